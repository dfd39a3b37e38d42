//! `--progress`: one line at a terminal that is written anew while bytes move.

use std::io::Write;
use std::time::Instant;

use super::talk::Talk;
use crate::net::quantity;

/// How wide the line is: what a shorter one leaves behind is overwritten.
const WIDTH: usize = 76;
/// What the last moment counts in the rate that is shown.
const WEIGHT: f64 = 0.3;

/// The line. It is ended, with the totals, on drop.
pub struct Meter {
    out: Box<dyn Write>,
    began: Instant,
    last: Instant,
    moved: u64,
    rate: Option<f64>,
    totals: (u64, u64),
}

impl Meter {
    /// A line on stderr, which must be a terminal.
    pub fn new(talk: &Talk) -> Self {
        let now = Instant::now();
        Self {
            out: Box::new(talk.writer()),
            began: now,
            last: now,
            moved: 0,
            rate: None,
            totals: (0, 0),
        }
    }

    /// Shows how many bytes were received and sent so far.
    pub fn show(&mut self, received: u64, sent: u64) {
        let moved = received + sent;
        let rate = per_second(moved - self.moved, self.last.elapsed().as_secs_f64());
        let rate = self.rate.map_or(rate, |before| before + WEIGHT * (rate - before));
        self.totals = (received, sent);
        (self.last, self.moved, self.rate) = (Instant::now(), moved, Some(rate));
        let line = self.line(rate);
        // The next line of talk begins where this one does.
        self.write(&format!("{line:WIDTH$}\r"));
    }

    fn line(&self, rate: f64) -> String {
        let (received, sent) = self.totals;
        let seconds = self.began.elapsed().as_secs();
        format!(
            "{} received, {} sent, {}/s, {}:{:02}",
            quantity::bytes(received),
            quantity::bytes(sent),
            quantity::bytes(whole(rate)),
            seconds / 60,
            seconds % 60
        )
    }

    fn write(&mut self, text: &str) {
        // A terminal that has gone is nobody's trouble.
        let _ = self.out.write(text.as_bytes());
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let (received, sent) = self.totals;
        let rate = per_second(received + sent, self.began.elapsed().as_secs_f64());
        let line = self.line(rate);
        self.write(&format!("{line:WIDTH$}\n"));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown in three digits")]
fn per_second(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 / seconds.max(1e-3)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "neither negative nor near 2^64"
)]
fn whole(rate: f64) -> u64 {
    rate as u64
}
