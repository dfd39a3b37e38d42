//! Log rate limit: what peers cause must not fill the log. Times are passed in.

use std::time::{Duration, Instant};

use super::talk::Talk;
use crate::exit::Failure;

/// So many lines in each interval; the rest is counted, and reported with the next line or when the
/// limit is dropped at the end of the run.
pub struct LogLimit {
    burst: u32,
    interval: Duration,
    talk: Talk,
    since: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl LogLimit {
    /// A limit of `burst` lines in each interval.
    pub fn new(burst: u32, interval: Duration, talk: Talk) -> Self {
        Self { burst, interval, talk, since: None, lines: 0, suppressed: 0 }
    }

    /// For lines that peers cause: a hundred in ten seconds.
    pub fn for_peers(talk: Talk) -> Self {
        Self::new(100, Duration::from_secs(10), talk)
    }

    /// Whether one more line is to be logged now.
    pub fn allows(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now - since >= self.interval) {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines == self.burst {
            self.suppressed += 1;
            return false;
        }
        self.lines += 1;
        self.report();
        true
    }

    /// Reports a failure, if the limit allows it.
    pub fn failure(&mut self, failure: &Failure, now: Instant) {
        if self.allows(now) {
            self.talk.failure(failure);
        }
    }

    fn report(&mut self) {
        match std::mem::take(&mut self.suppressed) {
            0 => {}
            1 => self.talk.warn("1 similar message suppressed"),
            more => self.talk.warn(&format!("{more} similar messages suppressed")),
        }
    }
}

impl Drop for LogLimit {
    fn drop(&mut self) {
        self.report();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::event::Level;

    #[test]
    fn a_flood_is_counted_and_reported_later() {
        const INTERVAL: Duration = Duration::from_secs(10);
        let talk = Talk::new(Level::Quiet, false, false);
        let (mut limit, start) = (LogLimit::new(100, INTERVAL, talk), Instant::now());
        for _ in 0..100 {
            assert!(limit.allows(start));
        }
        for _ in 0..1000 {
            assert!(!limit.allows(start + INTERVAL / 2));
        }
        assert_eq!(limit.suppressed, 1000);
        assert!(limit.allows(start + INTERVAL));
        assert_eq!(limit.suppressed, 0);
    }
}
