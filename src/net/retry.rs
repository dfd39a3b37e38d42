//! `--wait`: attempts that are repeated while they fail in a way that may pass.

use std::fmt::Display;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::deadline::Deadline;
use super::quantity;
use crate::exit::{Exit, Failure};

/// The pause after a first failure; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_millis(500);

/// The time that `--wait` gives, and how it is spent. Clones have the same end.
#[derive(Clone)]
pub struct Retry {
    limit: Duration,
    deadline: Deadline,
    until: Deadline,
    pause: Duration,
    attempts: u32,
}

impl Retry {
    /// `limit` from now (zero: one attempt), or until `deadline` if that is earlier.
    pub fn new(limit: Duration, deadline: Deadline) -> Self {
        let end = Deadline::from(Instant::now().checked_add(limit));
        Self { limit, deadline, until: end.min(deadline), pause: FIRST, attempts: 0 }
    }

    /// Begins an attempt; when that must end. The first one is made even if there is no time.
    pub fn attempt(&mut self) -> Deadline {
        self.attempts += 1;
        self.end()
    }

    /// When an attempt must end.
    pub fn end(&self) -> Deadline {
        if self.limit.is_zero() { self.deadline } else { self.until }
    }

    /// When the pause that begins now is over. If the time is over then, there is no next attempt.
    pub fn pause(&mut self, now: Instant) -> Instant {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        self.until.instant().map_or(now + pause, |until| until.min(now + pause))
    }

    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        self.until.passed()
    }

    /// What is waited for, to be said once: after the first attempt.
    pub fn notice(&self, target: impl Display, cause: &str) -> Option<String> {
        let limit = quantity::shown(self.limit);
        (self.attempts == 1).then(|| format!("waiting up to {limit} for {target}: {cause}"))
    }

    /// The last failure, when the time is over.
    pub fn run_out(&self, last: Failure) -> Failure {
        let times = match self.attempts {
            1 => "1 attempt".into(),
            more => format!("{more} attempts"),
        };
        last.hint(&format!("still so after {}, {times} (--wait)", quantity::shown(self.limit)))
            .exit(Exit::TimedOut)
    }

    /// Whether a failure of this status and code may pass by itself: no listener, no route, no name, no
    /// answer yet.
    pub fn may_pass(exit: Exit, code: Option<i32>) -> bool {
        // A UNIX socket that is not bound yet has no file.
        code == Some(Errno::ENOENT as i32)
            || matches!(exit, Exit::Refused | Exit::Unreachable | Exit::Unresolved | Exit::TimedOut)
    }
}
