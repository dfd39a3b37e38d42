//! epoll(7), level-triggered: what the readiness loops wait on, and how other threads wake them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::deadline::Deadline;

/// The unit of the timeout of `epoll_wait(2)`. ppoll(2) waits for less: the pause between two flushes of
/// notices (`server/flush.rs`) is often shorter.
const TICK: Duration = Duration::from_millis(1);

/// Events that one wait can give: at first, and as soon as there were as many. A dialer, of which there can
/// be thousands at a time, has one or two.
const FEW: usize = 8;
const MANY: usize = 1024;

/// Watches descriptors, each under a token of the caller's choice.
pub struct Poller {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

/// What a descriptor is watched for. Errors and hang-ups are always reported, but only once where
/// nothing else is asked for: a descriptor that is not read now does not make the loop spin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Interest {
    /// Bytes, a connection or an end to read.
    pub read: bool,
    /// Room to write.
    pub write: bool,
}

/// What a descriptor is ready for.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of epoll's")]
pub struct Ready {
    /// The token it was added with.
    pub token: u64,
    /// A read will not block.
    pub read: bool,
    /// A write will not block.
    pub write: bool,
    /// Both directions have ended.
    pub hung_up: bool,
    /// There is a pending error (`EPOLLERR`).
    pub failed: bool,
}

impl Interest {
    /// To read only.
    pub const READ: Self = Self { read: true, write: false };

    fn event(self, token: u64) -> EpollEvent {
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, self.read);
        flags.set(EpollFlags::EPOLLOUT, self.write);
        flags.set(EpollFlags::EPOLLET, !self.read && !self.write);
        EpollEvent::new(flags, token)
    }
}

impl Poller {
    /// A poller that reports up to 1,024 descriptors a call.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { epoll, events: vec![EpollEvent::empty(); FEW] })
    }

    /// Starts watching. Regular files cannot be watched (EPERM).
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self.epoll.add(fd, interest.event(token))?)
    }

    /// Changes what a watched descriptor is watched for.
    pub fn change(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self.epoll.modify(fd, &mut interest.event(token))?)
    }

    /// Stops watching. Closing a descriptor that has no duplicate does so by itself.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(self.epoll.delete(fd)?)
    }

    /// Waits until something is ready or the deadline passes, then adds what is ready to `ready`.
    pub fn wait(&mut self, ready: &mut Vec<Ready>, until: Deadline) -> io::Result<()> {
        let count = loop {
            let mut timeout = until.timeout();
            if let Some(left) = until.remaining().filter(|left| !left.is_zero() && *left < TICK) {
                let mut this = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
                match ppoll(&mut this, Some(left.into()), None) {
                    Ok(_) | Err(Errno::EINTR) => timeout = PollTimeout::ZERO,
                    Err(e) => return Err(e.into()),
                }
            }
            match self.epoll.wait(&mut self.events, timeout) {
                Err(Errno::EINTR) => {}
                result => break result?,
            }
        };
        ready.extend(self.events[..count].iter().map(|event| {
            let flags = event.events();
            let hung_up = flags.contains(EpollFlags::EPOLLHUP);
            let failed = flags.contains(EpollFlags::EPOLLERR);
            Ready {
                token: event.data(),
                read: flags.contains(EpollFlags::EPOLLIN) || hung_up || failed,
                write: flags.contains(EpollFlags::EPOLLOUT) || hung_up || failed,
                hung_up,
                failed,
            }
        }));
        if count == self.events.len() {
            self.events.resize(MANY, EpollEvent::empty());
        }
        Ok(())
    }
}

impl AsFd for Poller {
    /// Readable while anything it watches is ready: a poller can be watched by another.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

/// Wakes a loop from another thread: readable once [`Waker::wake`] was called.
#[derive(Clone)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    /// A new, quiet waker.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(Arc::new(EventFd::from_value_and_flags(0, flags)?)))
    }

    /// Makes it readable. A full counter is readable already.
    pub fn wake(&self) {
        let _ = self.0.write(1);
    }

    /// Makes it quiet again.
    pub fn quiet(&self) {
        let _ = self.0.read();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
