//! The member who runs sockctl: at a terminal a prompt, elsewhere stdin and stdout.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::console::completion::Words;
use crate::console::decoration::{COMMANDS, Style};
use crate::console::prompt::Options;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::session::seat::{Inbox, Input, Seat};

/// How long the room waits for a terminal or pipe that does not take its lines. Then lines are
/// skipped.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(250);

/// Room for the lines of a turn, which costs nothing until it is used, as in the broadcast log.
const LINES: usize = 128 << 10;

/// The operator's seat.
pub struct Operator {
    seat: Seat,
    /// Lines that are on their way to the screen.
    lines: Vec<u8>,
    /// Since when the screen's queue is full.
    full: Option<Instant>,
    /// The room waits for it, and is to ask again.
    waits: bool,
    /// Lines skipped meanwhile.
    missed: u64,
}

impl Operator {
    /// Takes over the terminal.
    pub fn at_terminal(
        inbox: &Inbox,
        history: Option<PathBuf>,
        style: Style,
        talk: Talk,
    ) -> Result<Self, Failure> {
        let words = Words::new(COMMANDS.into_iter().chain(["/ban", "/kick"]));
        let options = Options { history, words, style, name: Some("server") };
        Ok(Self::new(Seat::at_prompt(inbox, options, talk)?))
    }

    /// Takes over stdin and stdout; with `timestamps` the time stands before each line.
    pub fn in_pipe(inbox: &Inbox, timestamps: bool, talk: Talk) -> Result<Self, Failure> {
        Ok(Self::new(Seat::in_pipe(inbox, timestamps, talk)?))
    }

    fn new(seat: Seat) -> Self {
        Self { seat, lines: Vec::with_capacity(LINES), full: None, waits: false, missed: 0 }
    }

    /// Asks for the next input.
    pub fn ask(&mut self) {
        self.seat.ask();
    }

    /// No more input is asked for.
    pub fn stop_reading(&self) {
        self.seat.stop_reading();
    }

    /// What was asked for has come.
    pub fn came(&mut self, input: &Input) {
        self.seat.came(input);
    }

    /// Adds whole lines to what is shown next.
    pub fn deliver(&mut self, lines: &[u8]) {
        self.seat.decorate(lines, &mut self.lines);
    }

    /// Shows what was delivered.
    pub fn show(&mut self) {
        let late = self.full.is_some_and(|since| since.elapsed() >= OUTPUT_TIMEOUT);
        if late && self.seat.is_full() {
            self.missed += self.lines.split(|&byte| byte == b'\n').count() as u64 - 1;
        } else {
            self.report_missed();
            if !self.lines.is_empty() {
                self.seat.show(&self.lines);
            }
        }
        self.lines.clear();
    }

    fn report_missed(&mut self) {
        let missed = std::mem::take(&mut self.missed);
        if missed > 0 {
            self.seat.note(&format!("! {missed} lines skipped: the output was not read"));
        }
    }

    /// Whether the room waits for the screen to be read.
    pub fn waits(&mut self) -> bool {
        let now = Instant::now();
        let since = self.full.unwrap_or(now);
        self.full = self.seat.is_full().then_some(since);
        self.waits = self.full.is_some() && now - since < OUTPUT_TIMEOUT;
        self.waits
    }

    /// When to ask that again.
    pub fn deadline(&self) -> Deadline {
        let end = self.full.filter(|_| self.waits).map(|since| since + OUTPUT_TIMEOUT);
        end.into()
    }

    /// What writing failed with, if it did.
    pub fn failure(&self) -> Option<Failure> {
        self.seat.failure()
    }

    /// Gives terminal or stdout back; a line that was typed but not entered is reported.
    pub fn finish(mut self, until: Deadline) -> Result<(), Failure> {
        self.report_missed();
        self.seat.finish(until)
    }
}
