//! Log rate limit: refused connections must not fill the log. Pure: times are passed in.

use std::time::{Duration, Instant};

/// So many lines in each interval; the rest is counted.
pub(super) struct LogLimit {
    burst: u32,
    interval: Duration,
    since: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl LogLimit {
    /// A limit of `burst` lines in each interval.
    pub(super) fn new(burst: u32, interval: Duration) -> Self {
        Self { burst, interval, since: None, lines: 0, suppressed: 0 }
    }

    /// One more line: `Some` if it is to be logged, with how many were suppressed before it.
    pub(super) fn allow(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now - since >= self.interval) {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines == self.burst {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_reported_later() {
        const INTERVAL: Duration = Duration::from_secs(10);
        let (mut limit, start) = (LogLimit::new(100, INTERVAL), Instant::now());
        for _ in 0..100 {
            assert_eq!(limit.allow(start), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(limit.allow(start + INTERVAL / 2), None);
        }
        assert_eq!(limit.allow(start + INTERVAL), Some(1000));
        assert_eq!(limit.allow(start + INTERVAL), Some(0));
    }
}
