//! `--wait`, `--reconnect`: attempts that are repeated while they fail in a way that may pass.

use std::fmt::Display;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::deadline::Deadline;
use super::quantity;
use crate::exit::{Exit, Failure};

/// The pause after a first failure; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_millis(500);
/// The first pause of `--reconnect`, unless its longest is shorter.
const FIRST_RECONNECT: Duration = Duration::from_secs(1);

/// The time that `--wait` gives, and how it is spent. Clones have the same end.
#[derive(Clone)]
pub struct Retry {
    limit: Duration,
    deadline: Deadline,
    until: Deadline,
    /// The first pause, the next one, and the longest.
    first: Duration,
    pause: Duration,
    longest: Duration,
    attempts: u32,
    /// With `--reconnect`: whatever does not show that it is of no use is tried again.
    reconnects: bool,
}

impl Retry {
    /// `limit` from now (zero: one attempt), or until `deadline` if that is earlier.
    pub fn new(limit: Duration, deadline: Deadline) -> Self {
        let (until, first) = (end(limit, deadline), FIRST);
        Self {
            limit,
            deadline,
            until,
            first,
            pause: first,
            longest: LONGEST,
            attempts: 0,
            reconnects: false,
        }
    }

    /// `--reconnect`: with pauses of at most `longest`; each absence lasts as long as `--wait` says, or
    /// without end.
    pub fn reconnecting(longest: Duration, wait: Option<Duration>, deadline: Deadline) -> Self {
        let longest = longest.max(FIRST);
        let first = FIRST_RECONNECT.min(longest);
        let new = Self::new(wait.unwrap_or(Duration::MAX), deadline);
        Self { first, pause: first, longest, reconnects: true, ..new }
    }

    /// A connection that stood for so long is lost: attempts begin anew, after short pauses again unless that
    /// was shorter than the next one. A server that rejects every connection is not asked every second.
    pub fn renew(&mut self, stood: Duration) {
        (self.until, self.attempts) = (end(self.limit, self.deadline), 0);
        if stood >= self.pause {
            self.pause = self.first;
        }
    }

    /// Whether to try again after this failure.
    pub fn takes(&self, failure: &Failure) -> bool {
        match failure.exit {
            Exit::Usage | Exit::NotAuthenticated | Exit::Permission | Exit::Output => false,
            _ if self.reconnects => true,
            exit => Self::may_pass(exit, failure.code),
        }
    }

    /// What `--reconnect` does about a failure, to be said when that is news.
    pub fn reconnect_notice(&self, failure: &Failure) -> Option<String> {
        let verb = if self.attempts == 0 { "reconnecting" } else { "trying again" };
        let pause = quantity::shown(self.pause);
        self.reconnects.then(|| format!("{failure}; {verb} in {pause}"))
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
        self.pause = (pause * 2).min(self.longest);
        self.until.instant().map_or(now + pause, |until| until.min(now + pause))
    }

    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        self.until.passed()
    }

    /// What is waited for, to be said once: after the first attempt.
    pub fn notice(&self, target: impl Display, cause: &str) -> Option<String> {
        let limit = quantity::shown(self.limit);
        (self.attempts == 1 && !self.reconnects)
            .then(|| format!("waiting up to {limit} for {target}: {cause}"))
    }

    /// The last failure, when the time is over.
    pub fn run_out(&self, last: Failure) -> Failure {
        let times = match self.attempts {
            1 => "1 attempt".into(),
            more => format!("{more} attempts"),
        };
        let hint = match self.limit {
            Duration::MAX => format!("still so at the deadline, {times} (--deadline)"),
            limit => format!("still so after {}, {times} (--wait)", quantity::shown(limit)),
        };
        last.hint(&hint).exit(Exit::TimedOut)
    }

    /// Whether a failure of this status and code may pass by itself: no listener, no route, no name, no
    /// answer yet.
    pub fn may_pass(exit: Exit, code: Option<i32>) -> bool {
        // A UNIX socket that is not bound yet has no file.
        code == Some(Errno::ENOENT as i32)
            || matches!(exit, Exit::Refused | Exit::Unreachable | Exit::Unresolved | Exit::TimedOut)
    }
}

/// `limit` from now, or the deadline if that is earlier.
fn end(limit: Duration, deadline: Deadline) -> Deadline {
    Deadline::from(Instant::now().checked_add(limit)).min(deadline)
}
