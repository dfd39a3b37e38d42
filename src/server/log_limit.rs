//! Log rate limit: refused connections must not fill the log. Pure: times are passed in.

use std::time::{Duration, Instant};

/// So many lines in so long; the rest is counted.
const BURST: u32 = 100;
const INTERVAL: Duration = Duration::from_secs(10);

/// The lines that were logged lately.
#[derive(Default)]
pub(super) struct LogLimit {
    since: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl LogLimit {
    /// One more line: `Some` if it is to be logged, with how many were suppressed before it.
    pub(super) fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now - since >= INTERVAL) {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines == BURST {
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
        let (mut limit, start) = (LogLimit::default(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(limit.admit(start), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(limit.admit(start + INTERVAL / 2), None);
        }
        assert_eq!(limit.admit(start + INTERVAL), Some(1000));
        assert_eq!(limit.admit(start + INTERVAL), Some(0));
    }
}
