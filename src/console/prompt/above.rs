//! Text above the line being typed.
//!
//! rustyline draws the prompt anew at every refresh, on a line it has cleared. What waits to be
//! shown is put in front of the prompt at the next one; a nudge makes that happen at once. Between
//! two lines there is no prompt, and text is written as it is. Either way it comes out once and in
//! order, whatever key is pressed meanwhile.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, PoisonError};

use rustyline::ExternalPrinter;

use crate::console::lock;
use crate::console::printer::stdout;

/// What stands before the line being typed.
pub const PROMPT: &str = ">>> ";
/// What rustyline is given to print, so that it draws the prompt. It needs a line end, which goes
/// back to the line it came from.
const NUDGE: &str = "\x1b[A\n";

/// What waits to be shown, and whether a line is being typed.
pub struct Above {
    state: Mutex<Screen>,
    changed: Condvar,
    /// Readable when the prompt is to be drawn. `None`: a terminal too dumb to draw on.
    nudge: Option<UnixStream>,
}

#[derive(Default)]
struct Screen {
    editing: bool,
    waiting: String,
}

impl Above {
    /// Nothing waits. A byte into `nudge` makes the prompt be drawn.
    pub fn new(nudge: Option<UnixStream>) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), nudge }
    }

    /// A line begins to be typed.
    pub fn begin(&self) {
        lock(&self.state).editing = true;
    }

    /// The line was entered, or is given up; `first` is written before anything else.
    pub fn end(&self, first: &str) {
        let mut state = lock(&self.state);
        state.editing = false;
        let text = first.to_string() + &std::mem::take(&mut state.waiting);
        // The next write fails too if the terminal is gone.
        let _ = stdout(text.as_bytes());
        self.changed.notify_all();
    }

    /// What is to be shown in front of the prompt that is about to be drawn, in whole lines.
    pub fn take(&self) -> String {
        let mut state = lock(&self.state);
        self.changed.notify_all();
        std::mem::take(&mut state.waiting)
    }

    /// Has the prompt drawn, with what waits above it.
    pub fn nudge(&self) {
        if let Some(mut nudge) = self.nudge.as_ref() {
            // A full pipe is readable already.
            let _ = nudge.write(&[0]);
        }
    }

    /// Shows this; returns when it is on its way to the terminal. For one thread.
    pub fn show(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.state);
        if self.nudge.is_none() {
            let (before, after) = if state.editing { ("\n", PROMPT) } else { ("", "") };
            return stdout(&[before.as_bytes(), bytes, after.as_bytes()].concat());
        }
        if !state.editing {
            return stdout(bytes);
        }
        state.waiting.push_str(&String::from_utf8_lossy(bytes));
        if !state.waiting.ends_with('\n') {
            state.waiting.push('\n');
        }
        self.nudge();
        while !state.waiting.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}

/// The thread that makes rustyline draw the prompt, where it `may_draw`. It is a thread of its own because rustyline
/// takes no nudge while a history search or a completion menu is open.
pub fn start_nudging(
    mut printer: impl ExternalPrinter + Send + 'static,
    mut nudges: UnixStream,
    may_draw: impl Fn() -> bool + Send + 'static,
) -> io::Result<()> {
    std::thread::Builder::new().name("nudge".into()).spawn(move || {
        let mut bytes = [0; 64];
        while let Ok(1..) = nudges.read(&mut bytes) {
            if may_draw() && printer.print(NUDGE.into()).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
