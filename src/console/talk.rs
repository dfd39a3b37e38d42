//! Talk: events on their way to stderr, as lines for people or as JSON.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::decoration::{self, Style, Tone};
use super::event::{Event, Level};
use super::printer::{self, Queue};
use super::{json, lock};
use crate::exit::{Exit, Failure, USAGE};
use crate::net::deadline::Deadline;
use crate::net::errno::would_block;
use crate::net::stdio::Stdio;
use crate::sanitize;

/// How long the end of a run waits for a stderr that is not read.
const FLUSH: Duration = Duration::from_secs(1);

/// Writes events to stderr. Clones share it; bytes that are written to it go the same way
/// (`--hex -`).
#[derive(Clone)]
pub struct Talk(Arc<Inner>);

struct Inner {
    level: Level,
    json: bool,
    color: bool,
    start: Instant,
    output: Mutex<Output>,
}

#[derive(Default)]
struct Output {
    /// Started when stderr has no room: most runs write a line or two.
    queue: Option<Queue>,
    /// Lines that found the queue full: stderr was not read.
    dropped: u64,
    /// At a prompt with `--timestamps`: the style of the time before each line.
    stamp: Option<Style>,
}

/// An event with the time it happened.
#[derive(Serialize)]
struct Timed<'a> {
    #[serde(flatten)]
    event: &'a Event<'a>,
    t: f64,
}

impl Talk {
    /// Talk at a level, as JSON or as text, which may be coloured.
    pub fn new(level: Level, json: bool, color: bool) -> Self {
        let (start, output) = (Instant::now(), Mutex::default());
        Self(Arc::new(Inner { level, json, color: color && !json, start, output }))
    }

    /// Whether events are written as JSON.
    pub fn is_json(&self) -> bool {
        self.0.json
    }

    /// Whether events of this level are written: spares making those that are not.
    pub fn says(&self, level: Level) -> bool {
        self.0.json || level <= self.0.level
    }

    /// Writes an event, if its level asks for it.
    pub fn say(&self, event: &Event<'_>) {
        if self.says(event.level()) {
            self.line(event.tone(), self.render(event));
        }
    }

    /// Writes one line. Names and paths in it are sanitized here, whatever they are.
    fn line(&self, tone: Tone, line: String) {
        let mut line = if self.is_json() { line } else { sanitize::line(line.as_bytes()) };
        if self.0.color {
            line = tone.paint(&line);
        }
        if let Some(style) = lock(&self.0.output).stamp {
            line.insert_str(0, &decoration::stamp(style.color));
        }
        line.push('\n');
        self.write(line.as_bytes());
    }

    /// Reports a failure, unless it has no message or is a broken pipe on stdout.
    pub fn failure(&self, failure: &Failure) {
        if failure.is_usage() {
            // Always text: the run has not begun, and there is no stream of events.
            let text = failure.to_string();
            let (message, usage) = text.split_once(USAGE).unwrap_or((&text, ""));
            self.line(Tone::Error, format!("sockctl: {message}"));
            if !usage.is_empty() {
                self.line(Tone::Plain, format!("usage: {usage}"));
            }
        } else if failure.exit != Exit::ReaderGone && !failure.is_silent() {
            self.say(&Event::failure(failure));
        }
    }

    /// Reports a warning, unless `-q` is given.
    pub fn warn(&self, warning: &str) {
        if self.is_json() {
            self.say(&Event::failure(&Failure::new("warn", warning, "", Exit::Other)));
        } else if self.says(Level::Normal) {
            self.line(Tone::Warning, format!("sockctl: warning: {warning}"));
        }
    }

    /// Whether notices are written: at a terminal, unless `-q` or `--json` is given. Where stderr is
    /// no terminal, from the level `elsewhere` on.
    pub fn gives_notice(&self, elsewhere: Level) -> bool {
        let level = if io::stderr().is_terminal() { Level::Normal } else { elsewhere };
        !self.is_json() && self.says(level)
    }

    /// Writes a notice: what a person at a terminal wants to know, and no script does.
    pub fn notice(&self, elsewhere: Level, line: &str) {
        if self.gives_notice(elsewhere) {
            self.line(Tone::Notice, line.into());
        }
    }

    /// Reports that SIGHUP had these files read again, or why some were not.
    pub fn reloaded(&self, what: &str, warnings: &[String]) {
        for warning in warnings {
            self.warn(warning);
        }
        if warnings.is_empty() {
            self.notice(Level::Verbose, &format!("SIGHUP: {what} are read again"));
        }
    }

    /// From now on lines go through the prompt's own queue, if stderr is the terminal too, so that
    /// they do not disturb the line being typed.
    pub fn share_terminal(&self, terminal: &Queue, style: Style) {
        if io::stderr().is_terminal() {
            self.flush();
            let stamp = (style.timestamps && !self.is_json()).then_some(style);
            *lock(&self.0.output) = Output { queue: Some(terminal.clone()), dropped: 0, stamp };
        }
    }

    /// Waits for a moment until everything is written.
    pub fn flush(&self) {
        let output = &mut *lock(&self.0.output);
        if let Some(queue) = &output.queue {
            self.push(queue, &mut output.dropped, b"");
            queue.flush(Deadline::after(FLUSH));
        }
    }

    /// Writes at once while stderr has room; from the first time it has not, a queue does.
    pub(super) fn write(&self, bytes: &[u8]) {
        let output = &mut *lock(&self.0.output);
        let mut bytes = bytes;
        if output.queue.is_none() {
            // Most runs have a line or two, and start no thread for them.
            match Stdio::error().write(bytes) {
                Ok(taken) => bytes = &bytes[taken..],
                Err(e) if would_block(&e) => {}
                Err(_) => return, // a stderr that is gone is no failure of the run
            }
            if bytes.is_empty() {
                return;
            }
            // Without a thread, talk is lost.
            output.queue = Queue::new("stderr", printer::stderr).ok();
        }
        match &output.queue {
            Some(queue) if !queue.is_full() => self.push(queue, &mut output.dropped, bytes),
            _ => output.dropped += 1,
        }
    }

    /// Queues these bytes, behind a line in place of those that were dropped before them.
    fn push(&self, queue: &Queue, dropped: &mut u64, bytes: &[u8]) {
        match std::mem::take(dropped) {
            0 => {}
            count => {
                let cause = format!("{count} lines dropped: stderr was not read");
                // The run goes on: there is no status.
                let failure = Failure::new("write", "talk", cause, Exit::Other);
                let line = self.render(&Event::failure(&failure)) + "\n";
                queue.push(line.as_bytes());
            }
        }
        queue.push(bytes);
    }

    /// An event as a line.
    fn render(&self, event: &Event<'_>) -> String {
        if !self.0.json {
            return event.line(self.0.level >= Level::Verbose);
        }
        // Microseconds are fine enough.
        let t = self.0.start.elapsed().as_micros();
        #[expect(clippy::cast_precision_loss, reason = "exact for runs of under 285 years")]
        let timed = Timed { event, t: t as f64 / 1e6 };
        json::line(&timed).unwrap_or_default()
    }
}

impl Write for Talk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::write(self, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
