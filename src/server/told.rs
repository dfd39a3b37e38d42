//! How many refusals are told: who is refused must not fill the log of who refuses. Pure: times
//! are passed in.

use std::time::{Duration, Instant};

/// So many are told in so long; the rest is counted.
const MOST: u32 = 100;
const SPAN: Duration = Duration::from_secs(10);

/// What was told lately.
#[derive(Default)]
pub(super) struct Told {
    since: Option<Instant>,
    lines: u32,
    untold: u64,
}

/// What becomes of one refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Say {
    /// It is told, after how many were not.
    It(u64),
    /// It is counted.
    Nothing,
}

impl Told {
    /// One more refusal.
    pub(super) fn one(&mut self, now: Instant) -> Say {
        if self.since.is_none_or(|since| now - since >= SPAN) {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines == MOST {
            self.untold += 1;
            return Say::Nothing;
        }
        self.lines += 1;
        Say::It(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_told_later() {
        let (mut told, start) = (Told::default(), Instant::now());
        for _ in 0..MOST {
            assert_eq!(told.one(start), Say::It(0));
        }
        for _ in 0..1000 {
            assert_eq!(told.one(start + SPAN / 2), Say::Nothing);
        }
        assert_eq!(told.one(start + SPAN), Say::It(1000));
        assert_eq!(told.one(start + SPAN), Say::It(0));
    }
}
