//! Descriptors 0 and 1 as ends of a stream: what each is, and how it is read and written without
//! blocking. `O_NONBLOCK` is never set on them: others share them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::LazyLock;

use nix::poll::PollFlags;
use nix::sys::socket::MsgFlags;
use nix::sys::stat::{SFlag, fstat};

use super::deadline::{Deadline, wait};
use super::errno::retry;
use super::raw;

/// pipe(7): a write of this size goes through whole where poll(2) says there is room.
const PIPE_BUF: usize = 4096;

/// What a descriptor is, as far as moving bytes cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// A pipe or FIFO: splice(2) works straight on it.
    Pipe,
    /// A regular file: never blocks.
    File,
    /// A socket, as inetd and some shells hand on.
    Socket,
    /// A terminal.
    Terminal,
    /// Any other device (`/dev/null`).
    Device,
}

/// Descriptor 0 or 1 as one end of a stream.
#[derive(Clone, Copy)]
pub struct Stdio {
    fd: BorrowedFd<'static>,
    kind: StreamKind,
    /// The same pipe or terminal, opened once more: a description of our own may be non-blocking,
    /// and takes writes of any size.
    own: Option<BorrowedFd<'static>>,
}

impl Stdio {
    /// Descriptor 0.
    pub fn input() -> Self {
        static STDIN: LazyLock<io::Stdin> = LazyLock::new(io::stdin);
        Self::new(STDIN.as_fd())
    }

    /// Descriptor 1.
    pub fn output() -> Self {
        static STDOUT: LazyLock<io::Stdout> = LazyLock::new(io::stdout);
        static OWN: LazyLock<Option<File>> = LazyLock::new(|| {
            let mut options = OpenOptions::new();
            let options = options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
            // Without /proc, or without permission, the shared description is written.
            options.open("/proc/self/fd/1").ok()
        });
        let mut stdout = Self::new(STDOUT.as_fd());
        if matches!(stdout.kind, StreamKind::Pipe | StreamKind::Terminal) {
            stdout.own = OWN.as_ref().map(AsFd::as_fd);
        }
        stdout
    }

    fn new(fd: BorrowedFd<'static>) -> Self {
        let kind =
            match fstat(fd).map(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT) {
                Ok(SFlag::S_IFIFO) => StreamKind::Pipe,
                Ok(SFlag::S_IFREG) => StreamKind::File,
                Ok(SFlag::S_IFSOCK) => StreamKind::Socket,
                _ if io::IsTerminal::is_terminal(&fd) => StreamKind::Terminal,
                _ => StreamKind::Device,
            };
        Self { fd, kind, own: None }
    }

    /// What it is.
    pub fn kind(self) -> StreamKind {
        self.kind
    }

    /// Whether poll(2) can wait for it: regular files are always ready.
    pub fn can_wait(self) -> bool {
        self.kind != StreamKind::File
    }

    /// read(2) if there is something to read, else `WouldBlock`. 0 is the end.
    pub fn read(self, buf: &mut [u8]) -> io::Result<usize> {
        self.ready(PollFlags::POLLIN)?;
        retry(|| nix::unistd::read(self.fd, buf))
    }

    /// The bytes that wait in a pipe or a socket (`FIONREAD`).
    pub fn unread(self) -> u64 {
        if self.can_wait() { raw::unread(self.fd).unwrap_or(0) } else { 0 }
    }

    /// write(2) as much as there is room for, else `WouldBlock`.
    pub fn write(self, bytes: &[u8]) -> io::Result<usize> {
        match self.kind {
            StreamKind::File | StreamKind::Device => retry(|| nix::unistd::write(self.fd, bytes)),
            StreamKind::Socket => {
                retry(|| nix::sys::socket::send(self.fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT))
            }
            StreamKind::Pipe | StreamKind::Terminal => {
                if let Some(own) = self.own {
                    return retry(|| nix::unistd::write(own, bytes));
                }
                self.ready(PollFlags::POLLOUT)?;
                retry(|| nix::unistd::write(self.fd, &bytes[..bytes.len().min(PIPE_BUF)]))
            }
        }
    }

    fn ready(self, event: PollFlags) -> io::Result<()> {
        if self.can_wait() && wait([(self.fd, event)], Deadline::now())?[0].is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }
}

impl AsFd for Stdio {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd
    }
}
