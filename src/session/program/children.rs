//! The ends of children: told by SIGCHLD, collected with waitpid(2), so that there is never a
//! zombie. All children of this process are programs of ours.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::console::event::Status;
use crate::net::signal;

/// Readable whenever a child may have ended.
pub struct Children {
    news: UnixStream,
}

impl Children {
    /// From now on the ends of children are told.
    pub fn watch() -> io::Result<Self> {
        Ok(Self { news: signal::children()? })
    }

    /// The children that have ended since the last call, and how.
    pub fn reap(&self) -> Vec<(Pid, Status)> {
        let mut sink = [0; 256];
        let mut news = &self.news;
        while matches!(news.read(&mut sink), Ok(n) if n > 0) {}
        let mut ended = Vec::new();
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => ended.push((pid, Status::Exited(code))),
                Ok(WaitStatus::Signaled(pid, signal, _)) => ended.push((pid, killed(signal))),
                Err(nix::errno::Errno::EINTR) => {}
                // Nobody has ended, or there is nobody.
                Ok(_) | Err(_) => return ended,
            }
        }
    }
}

fn killed(signal: Signal) -> Status {
    Status::Killed(signal as i32, signal.as_str())
}

impl AsFd for Children {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }
}
