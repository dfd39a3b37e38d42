//! `--progress`: one line at a terminal that is written anew while bytes move.

use std::time::{Duration, Instant};

use super::talk::Talk;
use crate::net::quantity;

/// How wide the line is: what a shorter one leaves behind is overwritten.
const WIDTH: usize = 76;

/// The line. It is ended, with the totals, on drop.
pub struct Meter {
    talk: Talk,
    began: Instant,
    last: Instant,
    received: u64,
    sent: u64,
    /// Bytes a second, a moving average.
    rate: Option<u64>,
}

impl Meter {
    /// A line on stderr, which must be a terminal.
    pub fn new(talk: &Talk) -> Self {
        let now = Instant::now();
        Self { talk: talk.clone(), began: now, last: now, received: 0, sent: 0, rate: None }
    }

    /// Shows how many bytes were received and sent so far.
    pub fn show(&mut self, received: u64, sent: u64) {
        let moved = (received + sent).saturating_sub(self.received + self.sent);
        let rate = per_second(moved, self.last.elapsed());
        let rate = self.rate.map_or(rate, |before| (before.saturating_mul(7) + rate * 3) / 10);
        (self.received, self.sent, self.rate) = (received, sent, Some(rate));
        self.last = Instant::now();
        // The next line of talk begins where this one does.
        self.line(rate, '\r');
    }

    fn line(&self, rate: u64, end: char) {
        let seconds = self.began.elapsed().as_secs();
        let line = format!(
            "{} received, {} sent, {}/s, {}:{:02}",
            quantity::bytes(self.received),
            quantity::bytes(self.sent),
            quantity::bytes(rate),
            seconds / 60,
            seconds % 60
        );
        self.talk.write(format!("{line:WIDTH$}{end}").as_bytes());
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.line(per_second(self.received + self.sent, self.began.elapsed()), '\n');
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let rate = u128::from(bytes) * 1000 / time.as_millis().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}
