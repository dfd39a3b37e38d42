//! Back-pressure on those who send to all: they are not read from while a reader that is still
//! reading is over the high-water mark. Pure: times and counts are passed in.
//!
//! A reader that takes nothing does not count (its `last_taken` is too old), and readers that take
//! too little hold the senders up once for every [`HIGH_WATER`] bytes only. So a flood costs a slow
//! reader no line, and a very slow reader cannot hold up the others.

use std::time::{Duration, Instant};

use crate::net::flow::HIGH_WATER;

/// All readers over the mark together must take this much a second, once senders have waited for
/// [`RATE_AFTER`].
const RATE: u64 = 4 << 20;
const RATE_AFTER: Duration = Duration::from_millis(250);

/// Whether senders wait.
#[derive(Default)]
pub(super) struct BackPressure {
    /// Since when, and how much had been taken then.
    since: Option<(Instant, u64)>,
    /// It does not set in again before the log has reached this position.
    next: u64,
}

impl BackPressure {
    pub(super) fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// Decides again: `over` is whether a reader that is still reading is over the mark, `taken`
    /// counts the bytes that all readers took, `position` is the end of the broadcast log.
    pub(super) fn update(&mut self, now: Instant, over: bool, taken: u64, position: u64) -> bool {
        if !over || position < self.next {
            self.since = None;
            return false;
        }
        let (since, before) = *self.since.get_or_insert((now, taken));
        let earned = Duration::from_micros((taken - before).saturating_mul(1_000_000) / RATE);
        if now - since > RATE_AFTER + earned {
            self.since = None;
            self.next = position + HIGH_WATER as u64;
        }
        self.is_on()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_that_go_on_reading_are_waited_for() {
        let (mut pressure, start) = (BackPressure::default(), Instant::now());
        for step in 0..100 {
            let now = start + Duration::from_millis(100) * step;
            assert!(pressure.update(now, true, u64::from(step) * RATE / 10, 0));
        }
        assert!(!pressure.update(start, false, 0, 0));
    }

    #[test]
    fn readers_that_take_too_little_are_waited_for_once_a_mark() {
        let (mut pressure, start) = (BackPressure::default(), Instant::now());
        assert!(pressure.update(start, true, 0, 0));
        assert!(pressure.update(start + RATE_AFTER, true, 1, 0));
        let late = start + RATE_AFTER + Duration::from_millis(1);
        assert!(!pressure.update(late, true, 2, 0));
        assert!(!pressure.update(late, true, 2, HIGH_WATER as u64 - 1));
        assert!(pressure.update(late, true, 2, HIGH_WATER as u64));
    }
}
