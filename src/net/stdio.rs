//! Descriptors 0, 1 and 2 as ends of a stream, and all that reads and writes them: without blocking
//! ([`Stdio`]), or waiting until a deadline ([`BlockingStdio`]). `O_NONBLOCK` is never set on them,
//! as others share them, and they may have it already.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::LazyLock;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::MsgFlags;
use nix::sys::stat::{SFlag, fstat, makedev};
use nix::unistd::dup2_stdout;

use super::deadline::{Deadline, wait};
use super::errno::{retry, would_block};
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
    /// Not open when the process began: the standard library has put `/dev/null` in its place.
    Closed,
}

/// Descriptor 0, 1 or 2 as one end of a stream.
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
        static INPUT: LazyLock<Stdio> = LazyLock::new(|| Stdio::new(leaked(io::stdin())));
        *INPUT
    }

    /// Descriptor 1.
    pub fn output() -> Self {
        static OUTPUT: LazyLock<Stdio> =
            LazyLock::new(|| Stdio::new(leaked(io::stdout())).with_own());
        *OUTPUT
    }

    /// Descriptor 2.
    pub fn error() -> Self {
        static ERROR: LazyLock<Stdio> =
            LazyLock::new(|| Stdio::new(leaked(io::stderr())).with_own());
        *ERROR
    }

    fn with_own(mut self) -> Self {
        if matches!(self.kind, StreamKind::Pipe | StreamKind::Terminal) {
            let mut options = OpenOptions::new();
            let options = options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
            let own = options.open(format!("/proc/self/fd/{}", self.fd.as_raw_fd()));
            // Without /proc, or without permission, the shared description is written.
            self.own = own.ok().map(leaked);
        }
        self
    }

    fn new(fd: BorrowedFd<'static>) -> Self {
        let kind =
            match fstat(fd).map(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT) {
                Ok(SFlag::S_IFIFO) => StreamKind::Pipe,
                Ok(SFlag::S_IFREG) => StreamKind::File,
                Ok(SFlag::S_IFSOCK) => StreamKind::Socket,
                _ if raw::was_closed(fd) => StreamKind::Closed,
                _ if io::IsTerminal::is_terminal(&fd) => StreamKind::Terminal,
                _ => StreamKind::Device,
            };
        Self { fd, kind, own: None }
    }

    /// What it is.
    pub fn kind(self) -> StreamKind {
        self.kind
    }

    /// Whether another process reads it, which may go away.
    pub fn is_to_reader(self) -> bool {
        matches!(self.kind, StreamKind::Pipe | StreamKind::Socket)
    }

    /// Whether it gives nothing: `/dev/null`, or a stream that was closed.
    pub fn is_null(self) -> bool {
        let is_null = || fstat(self.fd).is_ok_and(|stat| stat.st_rdev == makedev(1, 3));
        self.kind == StreamKind::Closed || self.kind == StreamKind::Device && is_null()
    }

    /// Puts `/dev/null` in the place of descriptor 1: who reads it sees the end.
    pub fn close_output(self) -> io::Result<()> {
        let null = OpenOptions::new().write(true).open("/dev/null")?;
        if let Some(own) = self.own {
            raw::replace(own, null.as_fd())?;
        }
        Ok(dup2_stdout(&null)?)
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

    /// The same stream for calls that wait until then.
    pub fn waiting(self, until: Deadline) -> BlockingStdio {
        BlockingStdio(self, until)
    }

    /// write(2) as much as there is room for, else `WouldBlock`.
    pub fn write(self, bytes: &[u8]) -> io::Result<usize> {
        match self.kind {
            StreamKind::Closed => Err(Errno::EBADF.into()),
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

    /// Whether it takes some bytes at once, or fails.
    pub fn has_room(self) -> bool {
        self.ready(PollFlags::POLLOUT).is_ok()
    }

    fn ready(self, event: PollFlags) -> io::Result<()> {
        if self.can_wait() && wait([(self.fd, event)], Deadline::now())?[0].is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    /// Repeats a call that would block once the stream is ready.
    fn when_ready(
        self,
        event: PollFlags,
        until: Deadline,
        mut call: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match call() {
                Err(e) if would_block(&e) => {}
                done => return done,
            }
            if wait([(self.fd, event)], until)?[0].is_empty() {
                return Err(Deadline::error());
            }
        }
    }
}

/// A stream whose calls wait until it is ready, whether it is non-blocking or not: for results, for
/// threads of their own, and for what has nothing else to do.
#[derive(Clone, Copy)]
pub struct BlockingStdio(Stdio, Deadline);

impl Read for BlockingStdio {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.when_ready(PollFlags::POLLIN, self.1, || self.0.read(buf))
    }
}

impl Write for BlockingStdio {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.when_ready(PollFlags::POLLOUT, self.1, || self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A descriptor that stays open to the end of the process.
fn leaked<T: AsFd + 'static>(owner: T) -> BorrowedFd<'static> {
    let owner: &'static T = Box::leak(Box::new(owner));
    owner.as_fd()
}

impl AsFd for Stdio {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd
    }
}
