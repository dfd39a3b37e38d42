//! The member who runs sockctl: at a terminal a prompt, elsewhere stdin and stdout.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::console::decoration::{COMMANDS, Decoration, Style};
use crate::console::printer::{self, Queue};
use crate::console::prompt::{Options, Prompt, Words};
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::session::conversation::pipe::output_failed;
use crate::session::feed::{Inbox, Input, Stdin};

/// How long the room waits for whoever reads what the operator sees. Then lines are left out.
const PATIENCE: Duration = Duration::from_millis(250);

/// Room for the lines of a turn. It costs nothing until it is used; growing to it would.
const LINES: usize = 128 << 10;

/// The operator's seat.
pub struct Operator {
    seat: Seat,
    screen: Queue,
    talk: Talk,
    /// Lines that are on their way to the screen.
    lines: Vec<u8>,
    /// Since when the screen's queue is full.
    full: Option<Instant>,
    /// The room waits for it, and is to ask again.
    waits: bool,
    /// Lines left out meanwhile.
    missed: u64,
}

enum Seat {
    Terminal { prompt: Prompt, asked: bool, decoration: Decoration },
    Pipe { stdin: Stdin, ended: bool },
}

impl Operator {
    /// Takes over the terminal.
    pub fn at_terminal(
        inbox: &Inbox,
        history: Option<PathBuf>,
        style: Style,
        talk: Talk,
    ) -> io::Result<Self> {
        let deliver = inbox.entry();
        let words = Words::new(COMMANDS.into_iter().chain(["/kick"]));
        let options = Options { history, words: words.clone(), style };
        let (prompt, screen) =
            Prompt::start(options, &talk, move |typed| deliver(Input::Typed(typed)))?;
        let seat = Seat::Terminal {
            prompt,
            asked: true, // a prompt begins by itself
            decoration: Decoration::new(style, words, Some("server")),
        };
        Ok(Self::new(seat, screen, inbox, talk))
    }

    /// Takes over stdin and stdout.
    pub fn in_pipe(inbox: &Inbox, talk: Talk) -> io::Result<Self> {
        let stdin = Stdin::start(inbox.entry())?;
        let stdout = Queue::new("stdout", printer::stdout())?;
        let ended = false;
        Ok(Self::new(Seat::Pipe { stdin, ended }, stdout, inbox, talk))
    }

    fn new(seat: Seat, screen: Queue, inbox: &Inbox, talk: Talk) -> Self {
        let waker = inbox.waker.clone();
        screen.on_room(move || waker.wake());
        Self {
            seat,
            screen,
            talk,
            lines: Vec::with_capacity(LINES),
            full: None,
            waits: false,
            missed: 0,
        }
    }

    /// Asks for the next input.
    pub fn ask(&mut self) {
        match &mut self.seat {
            Seat::Terminal { prompt, asked, .. } => {
                if !std::mem::replace(asked, true) {
                    prompt.again();
                }
            }
            Seat::Pipe { stdin, ended: false } => stdin.ask(),
            Seat::Pipe { .. } => {}
        }
    }

    /// What was asked for has come; it may have been the last.
    pub fn came(&mut self, last: bool) {
        match &mut self.seat {
            Seat::Terminal { asked, .. } => *asked = false,
            Seat::Pipe { stdin, ended } => {
                stdin.came();
                *ended = last;
            }
        }
    }

    /// Adds whole lines to what is shown next.
    pub fn hear(&mut self, lines: &[u8]) {
        match &mut self.seat {
            Seat::Terminal { decoration, .. } => {
                let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
                for line in lines.split(|&byte| byte == b'\n') {
                    decoration.line(line, &mut self.lines);
                }
            }
            Seat::Pipe { .. } => self.lines.extend_from_slice(lines),
        }
    }

    /// Shows what was heard.
    pub fn show(&mut self) {
        let late = self.full.is_some_and(|since| since.elapsed() >= PATIENCE);
        if late && self.screen.is_full() {
            self.missed += self.lines.split(|&byte| byte == b'\n').count() as u64 - 1;
        } else {
            self.tell_missed();
            if !self.lines.is_empty() {
                self.screen.push(&self.lines);
            }
        }
        self.lines.clear();
    }

    fn tell_missed(&mut self) {
        let missed = std::mem::take(&mut self.missed);
        if missed > 0 {
            let note = format!("! {missed} lines left out: nobody read them\n");
            self.screen.push(note.as_bytes());
        }
    }

    /// Whether the room waits for the screen to be read.
    pub fn waits(&mut self) -> bool {
        let now = Instant::now();
        let since = self.full.unwrap_or(now);
        self.full = self.screen.is_full().then_some(since);
        self.waits = self.full.is_some() && now - since < PATIENCE;
        self.waits
    }

    /// When to ask that again.
    pub fn deadline(&self) -> Deadline {
        let end = self.full.filter(|_| self.waits).map(|since| since + PATIENCE);
        end.map_or(Deadline::NEVER, Deadline::at)
    }

    /// What writing failed with, if it did.
    pub fn failure(&self) -> Option<Failure> {
        self.screen.failure().map(|e| output_failed(&e))
    }

    /// Gives terminal or stdout back; a line that was typed but not entered is told.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.tell_missed();
        match self.seat {
            Seat::Terminal { prompt, .. } => {
                if let Some(line) = prompt.stop(&self.screen) {
                    self.screen.push(format!("not sent: {line}\n").as_bytes());
                }
                self.talk.flush();
                self.screen.flush(Duration::from_secs(1));
                Ok(())
            }
            Seat::Pipe { .. } => {
                self.screen.flush(Duration::ZERO);
                let failure = self.screen.failure();
                failure.map_or(Ok(()), |e| Err(output_failed(&e)))
            }
        }
    }
}
