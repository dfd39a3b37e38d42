//! When broadcasts are flushed to all connections. Pure: times are passed in.
//!
//! A flush costs as much as there are connections. A line is flushed at the end of the turn. A
//! notice that a member joined or left may wait, after a flush, for three times as long as that
//! took: with thousands who come one after the other notices cost a quarter of the time at most.

use std::time::Instant;

use crate::net::deadline::Deadline;
use crate::net::flow::HIGH_WATER;

/// Notices wait for so many times as long as the last flush took. 3,000 members who join within a
/// second cost 0.14 s of CPU time; 0.49 s without.
const PAUSE: u32 = 3;

/// How far the log was flushed, and when it is the next time.
#[derive(Default)]
pub(super) struct FlushSchedule {
    flushed: u64,
    /// A broadcast that does not wait was appended since.
    is_urgent: bool,
    /// Notices wait until then.
    pause: Option<Instant>,
}

impl FlushSchedule {
    /// What was appended just now does not wait.
    pub(super) fn expedite(&mut self) {
        self.is_urgent = true;
    }

    /// Whether a log that ends at `end` has anything to flush.
    pub(super) fn has_news(&self, end: u64) -> bool {
        self.flushed < end
    }

    /// Whether that is enough for one turn.
    pub(super) fn is_burst(&self, end: u64) -> bool {
        end - self.flushed >= HIGH_WATER as u64
    }

    /// Whether to flush now.
    pub(super) fn is_due(&self, end: u64, now: Instant) -> bool {
        let paused = self.pause.is_some_and(|until| until > now);
        self.has_news(end) && (self.is_urgent || self.is_burst(end) || !paused)
    }

    /// When to flush notices that wait.
    pub(super) fn deadline(&self, end: u64) -> Deadline {
        let waits = self.pause.filter(|_| self.has_news(end));
        waits.into()
    }

    /// All up to `end` was flushed, which took from `began` to `ended`.
    pub(super) fn flushed(&mut self, end: u64, began: Instant, ended: Instant) {
        self.flushed = end;
        self.is_urgent = false;
        self.pause = Some(ended + (ended - began) * PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FLUSH: Duration = Duration::from_millis(10);

    /// After a flush of 10 ms that ended at the returned time.
    fn after_a_flush() -> (FlushSchedule, Instant) {
        let (mut schedule, began) = (FlushSchedule::default(), Instant::now());
        assert!(!schedule.is_due(0, began));
        assert!(schedule.is_due(1, began), "the first notice does not wait");
        schedule.flushed(1, began, began + FLUSH);
        assert_eq!(schedule.deadline(1), Deadline::NEVER);
        (schedule, began + FLUSH)
    }

    #[test]
    fn notices_wait_in_proportion_to_the_last_flush() {
        let (mut schedule, now) = after_a_flush();
        let pause = now + FLUSH * PAUSE;
        assert!(!schedule.is_due(2, now + FLUSH * (PAUSE - 1)));
        assert_eq!(schedule.deadline(2), Deadline::at(pause));
        assert!(schedule.is_due(2, pause));
        schedule.flushed(2, pause, pause + FLUSH / 2);
        assert_eq!(schedule.deadline(3), Deadline::at(pause + FLUSH / 2 * (1 + PAUSE)));
    }

    #[test]
    fn a_line_waits_for_nothing() {
        let (mut schedule, now) = after_a_flush();
        schedule.expedite();
        assert!(schedule.is_due(3, now));
        schedule.flushed(3, now, now + FLUSH);
        assert!(!schedule.is_due(4, now + FLUSH), "it was the line, not the member");
    }

    #[test]
    fn a_flood_of_notices_waits_for_nothing() {
        let (schedule, now) = after_a_flush();
        assert!(!schedule.is_due(HIGH_WATER as u64, now));
        assert!(schedule.is_due(1 + HIGH_WATER as u64, now));
    }
}
