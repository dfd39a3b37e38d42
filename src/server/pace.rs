//! How fast those who speak to all are read from. Pure: times and counts are passed in.
//!
//! A client that falls behind but reads on is waited for, so that a flood costs nobody a line;
//! the flooder feels it as back-pressure on its own socket. A client that takes nothing is not
//! waited for (the table looks at when it last took something), and those who take too little
//! only once for every [`BEHIND`] bytes: nobody can hold a room up by reading slowly.

use std::time::{Duration, Instant};

/// A client with this much waiting is behind.
pub(super) const BEHIND: usize = 256 << 10;
/// Whoever is behind has this long to show that it reads on …
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_millis(100);
/// … and all of them together must take this much a second, after a first time of grace.
const RATE: u64 = 4 << 20;
const GRACE: Duration = Duration::from_millis(250);

/// Whether senders wait.
#[derive(Default)]
pub(super) struct Pace {
    /// Since when, and how much had been taken then.
    waiting: Option<(Instant, u64)>,
    /// Not again before this much was said.
    next: u64,
}

impl Pace {
    /// Whether senders wait now.
    pub(super) fn waits(&self) -> bool {
        self.waiting.is_some()
    }

    /// Looks again: `behind` is whether anybody worth waiting for is behind, `taken` counts what
    /// all clients took and `said` what was said to all. Tells whether senders wait.
    pub(super) fn look(&mut self, now: Instant, behind: bool, taken: u64, said: u64) -> bool {
        if !behind || said < self.next {
            self.waiting = None;
            return false;
        }
        let (since, before) = *self.waiting.get_or_insert((now, taken));
        let earned = Duration::from_micros((taken - before).saturating_mul(1_000_000) / RATE);
        if now - since > GRACE + earned {
            self.waiting = None;
            self.next = said + BEHIND as u64;
        }
        self.waits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_read_on_are_waited_for() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for step in 0..100 {
            let now = start + Duration::from_millis(100) * step;
            assert!(pace.look(now, true, u64::from(step) * RATE / 10, 0));
        }
        assert!(!pace.look(start, false, 0, 0));
    }

    #[test]
    fn those_who_trickle_are_waited_for_once_a_stretch() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert!(pace.look(start, true, 0, 0));
        assert!(pace.look(start + GRACE, true, 1, 0));
        let late = start + GRACE + Duration::from_millis(1);
        assert!(!pace.look(late, true, 2, 0));
        assert!(!pace.look(late, true, 2, BEHIND as u64 - 1));
        assert!(pace.look(late, true, 2, BEHIND as u64));
    }
}
