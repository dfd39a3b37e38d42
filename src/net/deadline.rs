//! Points in time that bound a wait, and the one poll(2) that waits until them.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};

/// When a wait ends; never, if there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

/// How long SIGHUP may have files read and names looked up: a server waits meanwhile.
pub const REREAD: Duration = Duration::from_secs(1);

/// The end of the run.
static RUN: OnceLock<Deadline> = OnceLock::new();

impl Deadline {
    /// No limit.
    pub const NEVER: Self = Self(None);

    /// `--deadline`, which also bounds what is done outside an event loop.
    pub fn of_run() -> Self {
        RUN.get().copied().unwrap_or(Self::NEVER)
    }

    /// Makes this the end of the run, if it has none yet.
    pub fn bound_run(self) {
        let _ = RUN.set(self);
    }

    /// The failure of a wait that the end of the run has cut short.
    pub fn error() -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, "the deadline has passed (--deadline)")
    }

    /// `limit` from now. Zero means no limit, as on the command line, and so does a limit
    /// beyond what the clock can hold.
    pub fn after(limit: Duration) -> Self {
        if limit.is_zero() { Self::NEVER } else { Self(Instant::now().checked_add(limit)) }
    }

    /// Passed already: a wait only looks.
    pub fn now() -> Self {
        Self::at(Instant::now())
    }

    /// At a known point in time.
    pub fn at(when: Instant) -> Self {
        Self(Some(when))
    }

    /// The earlier of two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Self(Some(a.min(b))),
            (a, b) => Self(a.or(b)),
        }
    }

    /// The point in time, if there is one.
    pub fn instant(self) -> Option<Instant> {
        self.0
    }

    /// Whether it has passed.
    pub fn passed(self) -> bool {
        self.0.is_some_and(|at| at <= Instant::now())
    }

    /// The time that remains; `None` without a limit.
    pub fn remaining(self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// The same as poll(2) and `epoll_wait(2)` take it, rounded up to a millisecond so that
    /// a wait never ends before the deadline.
    pub fn timeout(self) -> PollTimeout {
        match self.remaining() {
            None => PollTimeout::NONE,
            Some(left) => {
                let millis = left.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128);
                PollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX))
                    .unwrap_or(PollTimeout::MAX)
            }
        }
    }
}

impl From<Option<Instant>> for Deadline {
    /// At this point in time; never, if there is none.
    fn from(when: Option<Instant>) -> Self {
        Self(when)
    }
}

/// How long what is ready is still taken once a deadline has passed.
pub const DEADLINE_GRACE: Duration = Duration::from_millis(50);

/// A deadline of a loop counts as passed only after one wait found nothing ready: after SIGSTOP, input
/// comes first.
#[derive(Default)]
pub struct DeadlineGrace(Option<Instant>);

impl DeadlineGrace {
    /// Whether the deadline counts as passed: once, and no later than [`DEADLINE_GRACE`] after it has.
    pub fn is_over(&mut self, deadline: Deadline, was_ready: bool) -> bool {
        if !deadline.passed() {
            self.0 = None;
            return false;
        }
        match self.0 {
            None => {
                self.0 = Some(Instant::now());
                false
            }
            Some(since) if was_ready && since.elapsed() < DEADLINE_GRACE => false,
            Some(_) => {
                self.0 = None;
                true
            }
        }
    }
}

/// Waits until one of `fds` is ready for what is asked of it, or the deadline passes.
/// Returns what each is ready for (empty: nothing). EINTR is retried without starting over.
pub fn wait<const N: usize>(
    fds: [(BorrowedFd<'_>, PollFlags); N],
    until: Deadline,
) -> io::Result<[PollFlags; N]> {
    let mut polled = fds.map(|(fd, events)| PollFd::new(fd, events));
    loop {
        match nix::poll::poll(&mut polled, until.timeout()) {
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
            Ok(_) => return Ok(polled.map(|fd| fd.revents().unwrap_or(PollFlags::empty()))),
        }
    }
}
