//! When what was said to all is offered to all: rounds over the clients. Pure.
//!
//! A round costs as much as there are clients, and would be due for each of thousands who come one
//! after the other. What somebody says is offered at the end of the turn. That somebody came or
//! went may wait, after a round, for three times as long as that took: so notices cost a quarter of
//! the time at most, and do not wait where they are few or the room is small.

use std::time::Instant;

use crate::net::deadline::Deadline;

/// What may be said to all in one turn before it is offered.
const BURST: u64 = 256 << 10;
/// Notices wait for so many times as long as the last round took.
const REST: u32 = 3;

/// How far the log was offered, and when it is the next time.
#[derive(Default)]
pub(super) struct Rounds {
    offered: u64,
    /// Something that does not wait was said since.
    is_urgent: bool,
    /// Notices wait until then.
    rest: Option<Instant>,
}

impl Rounds {
    /// What was said just now does not wait.
    pub(super) fn urge(&mut self) {
        self.is_urgent = true;
    }

    /// Whether there is something to offer of a log that ends there.
    pub(super) fn has_news(&self, end: u64) -> bool {
        self.offered < end
    }

    /// Whether that is enough for a turn.
    pub(super) fn is_burst(&self, end: u64) -> bool {
        end - self.offered >= BURST
    }

    /// Whether it is to be offered now.
    pub(super) fn is_due(&self, end: u64, now: Instant) -> bool {
        let rested = self.rest.is_none_or(|until| until <= now);
        self.has_news(end) && (self.is_urgent || self.is_burst(end) || rested)
    }

    /// When it is to be offered, if it waits.
    pub(super) fn deadline(&self, end: u64) -> Deadline {
        let waits = self.rest.filter(|_| self.has_news(end));
        waits.map_or(Deadline::NEVER, Deadline::at)
    }

    /// All up to `end` was offered in a round that took this time.
    pub(super) fn done(&mut self, end: u64, began: Instant, ended: Instant) {
        self.offered = end;
        self.is_urgent = false;
        self.rest = Some(ended + (ended - began) * REST);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ROUND: Duration = Duration::from_millis(10);

    /// After a round of 10 ms that ended at the returned time.
    fn tired() -> (Rounds, Instant) {
        let (mut rounds, began) = (Rounds::default(), Instant::now());
        assert!(!rounds.is_due(0, began));
        assert!(rounds.is_due(1, began), "the first notice does not wait");
        rounds.done(1, began, began + ROUND);
        assert_eq!(rounds.deadline(1), Deadline::NEVER);
        (rounds, began + ROUND)
    }

    #[test]
    fn notices_wait_for_as_long_as_a_round_lets_them() {
        let (mut rounds, now) = tired();
        let rest = now + ROUND * REST;
        assert!(!rounds.is_due(2, now + ROUND * (REST - 1)));
        assert_eq!(rounds.deadline(2), Deadline::at(rest));
        assert!(rounds.is_due(2, rest));
        rounds.done(2, rest, rest + ROUND / 2);
        assert_eq!(rounds.deadline(3), Deadline::at(rest + ROUND / 2 * (1 + REST)));
    }

    #[test]
    fn what_is_said_waits_for_nothing() {
        let (mut rounds, now) = tired();
        rounds.urge();
        assert!(rounds.is_due(3, now));
        rounds.done(3, now, now + ROUND);
        assert!(!rounds.is_due(4, now + ROUND), "it was the line, not the member");
    }

    #[test]
    fn a_flood_of_notices_waits_for_nothing() {
        let (rounds, now) = tired();
        assert!(!rounds.is_due(BURST, now));
        assert!(rounds.is_due(1 + BURST, now));
    }
}
