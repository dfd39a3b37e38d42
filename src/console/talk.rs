//! Talk: events on their way to stderr, as lines for people or as JSON.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::decoration::{self, Style};
use super::event::{Event, Level};
use super::printer::{self, Queue};
use crate::exit::{Exit, Failure, USAGE};
use crate::sanitize;

/// How long the end of a run waits for a stderr that is not read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where events are said. Clones share it.
#[derive(Clone)]
pub struct Talk(Arc<Inner>);

struct Inner {
    level: Level,
    format: Format,
    /// Started when stderr has no room: most runs say a line or two.
    queue: Mutex<Option<Queue>>,
    /// What stands before each line, at a terminal.
    stamp: Mutex<Option<Stamp>>,
}

/// How lines are written.
#[derive(Clone, Copy)]
struct Format {
    json: bool,
    /// What `-v` adds.
    detail: bool,
    start: Instant,
}

/// Makes what stands before a line.
type Stamp = Box<dyn Fn() -> String + Send>;

/// An event with the time it happened.
#[derive(Serialize)]
struct Timed<'a> {
    #[serde(flatten)]
    event: &'a Event<'a>,
    t: f64,
}

impl Talk {
    /// Talk at a level, as JSON or as text.
    pub fn new(level: Level, json: bool) -> Self {
        Self(Arc::new(Inner {
            level,
            format: Format { json, detail: level >= Level::Verbose, start: Instant::now() },
            queue: Mutex::new(None),
            stamp: Mutex::new(None),
        }))
    }

    /// Whether events are written as JSON.
    pub fn is_json(&self) -> bool {
        self.0.format.json
    }

    /// Whether an event of this level would be said: spares making one that would not.
    pub fn says(&self, level: Level) -> bool {
        self.0.format.json || level <= self.0.level
    }

    /// Says it, if the level asks for it.
    pub fn say(&self, event: &Event<'_>) {
        if !self.says(event.level()) {
            return;
        }
        self.line(render(event, self.0.format));
    }

    /// Writes one line: whatever names and paths are in it, they neither end it nor act on a
    /// terminal.
    fn line(&self, line: String) {
        let mut line = if self.is_json() { line } else { sanitize::line(line.as_bytes()) };
        let stamp = self.0.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stamp) = &*stamp {
            line.insert_str(0, &stamp());
        }
        line.push('\n');
        self.write(line.as_bytes());
    }

    /// Tells a failure, unless it has no words, or is that our reader has gone: then we are
    /// silent, like any filter.
    pub fn failure(&self, failure: &Failure) {
        if failure.is_usage() {
            // Always text: nothing has begun that could be followed.
            let text = failure.to_string();
            let (message, usage) = text.split_once(USAGE).unwrap_or((&text, ""));
            self.line(format!("sockctl: {message}"));
            if !usage.is_empty() {
                self.line(format!("usage: {usage}"));
            }
        } else if failure.exit != Exit::ReaderGone && !failure.is_silent() {
            self.say(&Event::failure(failure));
        }
    }

    /// Tells what one had better know, unless only errors are wanted.
    pub fn warn(&self, warning: &str) {
        if self.is_json() {
            self.say(&Event::failure(&Failure::new("warn", warning, "", Exit::Other)));
        } else if self.0.level > Level::Quiet {
            self.line(format!("sockctl: warning: {warning}"));
        }
    }

    /// From now on goes where the prompt's own output goes, if stderr is the terminal too, so
    /// that nothing disturbs the line being typed, and has the time before it, if the lines there
    /// have.
    pub fn share_terminal(&self, terminal: &Queue, style: Style) {
        if io::stderr().is_terminal() {
            self.flush();
            if style.timestamps && !self.is_json() {
                let stamp = Box::new(move || decoration::stamp(style.color));
                *self.0.stamp.lock().unwrap_or_else(PoisonError::into_inner) = Some(stamp);
            }
            *self.0.queue.lock().unwrap_or_else(PoisonError::into_inner) = Some(terminal.clone());
        }
    }

    /// Waits, within reason, until everything said is written.
    pub fn flush(&self) {
        if let Some(queue) = &*self.0.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            queue.flush(LAST_WORDS);
        }
    }

    /// A writer whose whole writes go the way of talk (`--hex -`).
    pub fn writer(&self) -> impl Write + use<> {
        Writer(self.clone())
    }

    /// Writes it at once while stderr has room; from the first time it has not, a queue does.
    fn write(&self, bytes: &[u8]) {
        let mut slot = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            if printer::write_at_once(bytes) {
                return;
            }
            // Without a thread to spare there is nobody to talk to.
            *slot = Queue::new("stderr", printer::stderr()).ok();
            if let Some(queue) = &*slot {
                let format = self.0.format;
                queue.on_drop(move |count| dropped(count, format));
            }
        }
        if let Some(queue) = &*slot {
            queue.push_or_drop(bytes);
        }
    }
}

/// An event as a line.
fn render(event: &Event<'_>, format: Format) -> String {
    if !format.json {
        return event.line(format.detail);
    }
    // Microseconds are as fine as anybody can use.
    let t = format.start.elapsed().as_micros();
    #[expect(clippy::cast_precision_loss, reason = "exact for runs of under 285 years")]
    let timed = Timed { event, t: t as f64 / 1e6 };
    serde_json::to_string(&timed).unwrap_or_default()
}

/// The line, newline included, in place of those that nobody read in time.
fn dropped(count: u64, format: Format) -> String {
    let cause = format!("{count} lines dropped: nobody read them");
    // The run goes on: there is no status.
    let failure = Failure::new("write", "talk", cause, Exit::Other);
    render(&Event::failure(&failure), format) + "\n"
}

struct Writer(Talk);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
