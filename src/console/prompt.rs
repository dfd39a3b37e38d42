//! The `>>>` prompt: rustyline in a thread of its own, and text printed above the line being typed.
//!
//! [`Prompt::start`] takes over the terminal. What is typed arrives through `deliver`, one entry at
//! a time; [`Prompt::again`] asks for the next. All output goes through [`Prompt::queue`], in whole
//! lines. [`Prompt::stop`] gives the terminal back. Over 300 lines, as everything that rustyline
//! calls back from its thread is here.

mod above;
mod history;
mod modes;
mod reflow;

use std::borrow::Cow;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, raise};
use nix::sys::termios::SpecialCharacterIndices as Index;
use nix::unistd::Pid;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ColorMode, CompletionType, ConditionalEventHandler, Config, Context, Editor, Event,
    EventContext, EventHandler, Helper, KeyEvent, Modifiers, Movement, RepeatCount,
};

use super::completion::Words;
use super::decoration::{NOT_SENT, Style, stamp};
use super::lock;
use super::printer::{self, Queue};
use super::talk::Talk;
use crate::net::deadline::Deadline;
use crate::sanitize;
use above::{Above, PROMPT, start_nudging};
use history::Store;
use modes::Modes;
use reflow::Drawn;

/// Takes back a prompt that nothing was typed at, from the line below it.
const UNPROMPT: &str = "\x1b[A\r\x1b[K";
/// How long each part of stopping may take.
const STOP: Duration = Duration::from_millis(500);
/// How long the terminal is kept once the peer has gone, or after the last line that was entered then: what is
/// typed before one has seen that is no command for the shell.
pub const BLIND: Duration = Duration::from_millis(500);
/// How long all of it may take on a terminal that gets full meanwhile.
const GIVE_UP: Duration = Duration::from_secs(2);
/// How long the rest of a key's escape sequence may take: as in readline(3).
const SEQUENCE: u16 = 500;

/// How a prompt starts.
#[derive(Default)]
pub struct Options {
    /// Where its history is kept; in memory alone without.
    pub history: Option<PathBuf>,
    /// What Tab completes.
    pub words: Words,
    /// How lines are decorated, those of talk included.
    pub style: Style,
    /// Our name in a room, where it is known from the start.
    pub name: Option<&'static str>,
}

/// An entry at the prompt.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// A line without its newline; a pasted block comes as its lines.
    Lines(Vec<String>),
    /// Ctrl-C on an empty line.
    Interrupt,
    /// Ctrl-D on an empty line, or the terminal is gone.
    End,
}

/// A prompt at work.
pub struct Prompt {
    again: Sender<()>,
    done: Receiver<()>,
    watch: Arc<Watch>,
    above: Arc<Above>,
    queue: Queue,
    /// The terminal's; `None`: it is too dumb to have them changed.
    modes: Option<Arc<Modes>>,
}

/// What the prompt's thread and its owner share.
struct Watch {
    /// The line being typed.
    drawn: Mutex<Drawn>,
    /// Ctrl-C was pressed, as opposed to a SIGINT from elsewhere.
    interrupted: AtomicBool,
    /// Nothing that is entered is sent any more.
    disconnected: AtomicBool,
    stopping: AtomicBool,
}

impl Watch {
    /// Whether what comes can be shown above the line. One that is as high as the window would be drawn again
    /// and again, and scroll that away: it waits then, but at the end of the conversation.
    fn has_room(&self) -> bool {
        let height = terminal_size::terminal_size().map_or(usize::MAX, |(_, rows)| rows.0.into());
        self.disconnected.load(Ordering::SeqCst) || lock(&self.drawn).rows() < height.max(2)
    }

    /// What was typed so far, and the place of the cursor in it.
    fn take_line(&self) -> (String, usize) {
        lock(&self.drawn).renew(columns())
    }
}

/// How wide the terminal is.
fn columns() -> usize {
    terminal_size::terminal_size().map_or(80, |(width, _)| width.0.max(1).into())
}

impl Prompt {
    /// Starts a prompt on the terminal; talk goes through its queue from now on. `deliver` gets
    /// what is typed, in the prompt's thread.
    pub fn start(
        options: Options,
        talk: &Talk,
        deliver: impl FnMut(Typed) + Send + 'static,
    ) -> io::Result<Self> {
        let Options { history, words, style, .. } = options;
        // Earlier talk stands above the prompt.
        talk.flush();
        let watch = Arc::new(Watch {
            drawn: Mutex::new(Drawn::new(columns())),
            interrupted: AtomicBool::new(false),
            disconnected: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        });
        let mut editor =
            Editor::with_history(config(), MemHistory::new()).map_err(io::Error::other)?;
        let (above, modes) = take_terminal(&mut editor, &watch)?;
        if let Some(modes) = &modes {
            bind(&mut editor, modes, &watch);
        }
        editor.set_helper(Some(Watcher {
            watch: Arc::clone(&watch),
            above: Arc::clone(&above),
            words,
        }));
        let screen = Arc::clone(&above);
        let queue = Queue::new("terminal", move |bytes| screen.show(bytes))?;
        talk.share_terminal(&queue, style);
        let (history, warning) = Store::open(history, &mut editor);
        if let Some(warning) = warning {
            queue.push(warning.as_bytes());
        }
        let (again, permission) = mpsc::channel();
        let (finished, done) = mpsc::channel();
        let mut reader = LineReader {
            editor,
            history,
            watch: Arc::clone(&watch),
            above: Arc::clone(&above),
            queue: queue.clone(),
            style,
            can_draw: modes.is_some(),
            deliver,
        };
        std::thread::Builder::new().name("prompt".into()).spawn(move || {
            while reader.read() && permission.recv().is_ok() {}
            // The owner may be gone already.
            let _ = finished.send(());
        })?;
        Ok(Self { again, done, watch, above, queue, modes })
    }

    /// For everything that goes to the terminal, in whole lines.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Reads the next entry.
    pub fn again(&self) {
        // A prompt that has ended reads no more.
        let _ = self.again.send(());
    }

    /// Whether a line is being typed.
    pub fn is_typing(&self) -> bool {
        !lock(&self.watch.drawn).is_empty()
    }

    /// The peer has gone: from now on Ctrl-C and Ctrl-D leave, whatever is being typed.
    pub fn disconnect(&self) {
        self.watch.disconnected.store(true, Ordering::SeqCst);
        self.above.nudge();
    }

    /// Reads no more: Ctrl-C is a signal, as in any program without a prompt.
    pub fn stop_reading(&self) {
        if let Some(modes) = &self.modes {
            modes.stop_reading();
        }
    }

    /// Ends the prompt, restores the terminal, and reports what was typed but not entered; false if
    /// the terminal takes no output, which would block: then only its modes are restored.
    pub fn stop(self) -> bool {
        let (queue, modes) = (self.queue.clone(), self.modes.clone());
        let is_stuck = !queue.flush(Deadline::after(STOP)) && !printer::stdout_has_room();
        let (ended, end) = mpsc::channel();
        let stop = move || {
            self.end();
            // The owner may have given up.
            let _ = ended.send(());
        };
        let start = || std::thread::Builder::new().name("stop".into()).spawn(stop).is_ok();
        let is_stopped = !is_stuck && start() && end.recv_timeout(GIVE_UP).is_ok();
        if !is_stopped {
            queue.abandon();
            modes.inspect(|modes| modes.restore());
        }
        is_stopped
    }

    fn end(mut self) {
        let (unused, _) = mpsc::channel();
        drop(std::mem::replace(&mut self.again, unused));
        self.watch.stopping.store(true, Ordering::SeqCst);
        if let Some(modes) = &self.modes {
            modes.stop();
            let until = Deadline::after(STOP);
            // A SIGINT makes readline return; it counts only while a readline is under way, hence
            // several.
            while self.done.recv_timeout(Duration::from_millis(10)).is_err() && !until.passed() {
                let _ = kill(Pid::this(), Signal::SIGINT);
            }
        }
        self.above.end("");
        self.queue.flush(Deadline::after(STOP));
        let (line, _) = self.watch.take_line();
        if !line.is_empty() {
            self.queue.push(format!("{NOT_SENT}{}\n", sanitize::text(line.as_bytes())).as_bytes());
            if self.watch.disconnected.load(Ordering::SeqCst) {
                self.queue.flush(Deadline::after(STOP));
                std::thread::sleep(BLIND); // another Ctrl-D may follow the one that has left
            }
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        if let Some(modes) = &self.modes {
            modes.restore();
        }
    }
}

fn config() -> Config {
    Config::builder()
        // The prompt has no colour; text gets above it through the highlighter.
        .color_mode(ColorMode::Forced)
        .auto_add_history(false)
        // Otherwise a lone Esc would wait for the next key, and let no message through.
        .keyseq_timeout(Some(SEQUENCE))
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        .completion_prompt_limit(usize::MAX)
        .grapheme_cluster_mode(reflow::widths())
        .build()
}

/// Makes the terminal raw, if it is one that can be drawn on.
fn take_terminal(
    editor: &mut Editor<Watcher, MemHistory>,
    watch: &Arc<Watch>,
) -> io::Result<(Arc<Above>, Option<Arc<Modes>>)> {
    let Ok(printer) = editor.create_external_printer() else {
        return Ok((Arc::new(Above::new(None)), None));
    };
    let (nudges, nudge) = UnixStream::pair()?;
    nudge.set_nonblocking(true)?;
    let modes = Arc::new(Modes::start(nudge.try_clone()?)?);
    let (resumed, watch) = (Arc::clone(&modes), Arc::clone(watch));
    start_nudging(printer, nudges, move || {
        resumed.resume();
        watch.has_room()
    })?;
    Ok((Arc::new(Above::new(Some(nudge))), Some(modes)))
}

/// Ctrl-C, Ctrl-D and Ctrl-Z, on whatever keys the terminal has them.
fn bind(editor: &mut Editor<Watcher, MemHistory>, modes: &Arc<Modes>, watch: &Arc<Watch>) {
    for (index, clears) in [(Index::VINTR, true), (Index::VEOF, false)] {
        if let Some(key) = modes.key(index) {
            let leave = Leave { watch: Arc::clone(watch), clears };
            let handler = EventHandler::Conditional(Box::new(leave));
            editor.bind_sequence(KeyEvent::new(key, Modifiers::NONE), handler);
        }
    }
    if let Some(key) = modes.key(Index::VSUSP) {
        let (modes, watch) = (Arc::clone(modes), Arc::clone(watch));
        let handler = EventHandler::Conditional(Box::new(Suspend { modes, watch }));
        editor.bind_sequence(KeyEvent::new(key, Modifiers::NONE), handler);
    }
}

/// Ctrl-C clears the line; on an empty one it leaves. Ctrl-D does what it does in rustyline. Once the peer
/// has gone both leave.
struct Leave {
    watch: Arc<Watch>,
    /// It is Ctrl-C.
    clears: bool,
}

impl ConditionalEventHandler for Leave {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext) -> Option<Cmd> {
        let is_empty = context.line().is_empty();
        let is_over = self.watch.disconnected.load(Ordering::SeqCst);
        let leaves = if is_empty { self.clears } else { is_over };
        if leaves {
            self.watch.interrupted.store(true, Ordering::SeqCst);
            return Some(Cmd::Interrupt);
        }
        self.clears.then_some(Cmd::Kill(Movement::WholeBuffer))
    }
}

/// Ctrl-Z stops us as it stops any program.
struct Suspend {
    modes: Arc<Modes>,
    watch: Arc<Watch>,
}

impl ConditionalEventHandler for Suspend {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext) -> Option<Cmd> {
        let before = columns();
        let below = lock(&self.watch.drawn).leave();
        self.modes.suspend(&below);
        let now = columns();
        if now == before {
            return Some(Cmd::Repaint);
        }
        // The window changed while the shell was in the foreground: it got the SIGWINCH. Raised in
        // this thread, it is handled before rustyline draws anything.
        let _ = raise(Signal::SIGWINCH);
        let redraws_itself = lock(&self.watch.drawn).is_wrapped(now);
        Some(if redraws_itself { Cmd::Noop } else { Cmd::Repaint })
    }
}

/// What the prompt's thread works with.
struct LineReader<D> {
    editor: Editor<Watcher, MemHistory>,
    history: Store,
    watch: Arc<Watch>,
    above: Arc<Above>,
    queue: Queue,
    style: Style,
    /// The terminal is not too dumb to be drawn on.
    can_draw: bool,
    deliver: D,
}

impl<D: FnMut(Typed)> LineReader<D> {
    /// Reads and delivers one entry; `false` when the prompt has ended.
    fn read(&mut self) -> bool {
        let mut begun = (String::new(), 0);
        loop {
            self.above.begin();
            let initial = begun.0.split_at_checked(begun.1).unwrap_or((&begun.0, ""));
            let result = self.editor.readline_with_initial(PROMPT, initial);
            if self.watch.stopping.load(Ordering::SeqCst) {
                let empty = lock(&self.watch.drawn).is_empty();
                self.above.end(if empty { UNPROMPT } else { "" });
                return false;
            }
            self.above.end(&result.as_ref().map_or_else(|_| String::new(), |it| self.stamped(it)));
            match result {
                Ok(entry) => {
                    self.watch.take_line();
                    self.enter(&entry);
                }
                Err(ReadlineError::Interrupted) => {
                    if self.watch.interrupted.load(Ordering::SeqCst) {
                        (self.deliver)(Typed::Interrupt);
                    } else {
                        // A SIGINT from elsewhere ends the run, and rustyline took it.
                        let _ = kill(Pid::this(), Signal::SIGINT);
                    }
                }
                // A byte that is no text, or a resize: the line goes on.
                Err(ReadlineError::Signal(_)) => {
                    begun = self.watch.take_line();
                    continue;
                }
                Err(ReadlineError::Io(e)) if e.kind() == io::ErrorKind::InvalidData => {
                    begun = self.watch.take_line();
                    continue;
                }
                Err(_) => (self.deliver)(Typed::End),
            }
            return true;
        }
    }

    /// `--timestamps`: what draws the entry again, a time before each of its lines. One that is higher
    /// than the window stays as it is.
    fn stamped(&self, entry: &str) -> String {
        let rows = lock(&self.watch.drawn).rows();
        let height = terminal_size::terminal_size().map_or(0, |(_, height)| height.0.into());
        if !self.style.timestamps || !self.can_draw || rows >= height {
            return String::new();
        }
        let stamp = stamp(self.style.color);
        let lines = lines(entry).map(|line| sanitize::text(line.as_bytes()));
        let lines = lines.map(|line| format!("{stamp}{PROMPT}{line}\n"));
        format!("\x1b[{rows}A\r\x1b[J{}", lines.collect::<String>())
    }

    fn enter(&mut self, entry: &str) {
        if let Some(warning) = self.history.add(entry, &mut self.editor) {
            self.queue.push(warning.as_bytes());
        }
        (self.deliver)(Typed::Lines(lines(entry).map(String::from).collect()));
    }
}

/// The lines of an entry. Enter ends the last; so may the newline at the end of what was pasted.
fn lines(entry: &str) -> impl Iterator<Item = &str> {
    let lines = entry.strip_suffix('\n').unwrap_or(entry).split('\n');
    lines.map(|line| line.trim_end_matches('\r'))
}

/// Watches rustyline at work through the hooks it has for colours.
struct Watcher {
    watch: Arc<Watch>,
    above: Arc<Above>,
    words: Words,
}

impl Hinter for Watcher {
    type Hint = String;
}

impl Highlighter for Watcher {
    /// Called after every key that changes the line or moves the cursor.
    fn highlight_char(&self, line: &str, pos: usize, _kind: CmdKind) -> bool {
        lock(&self.watch.drawn).change(line, pos, columns());
        false
    }

    /// Called at every refresh, for a line that will be cleared: that is rustyline's to write, after
    /// this.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        if let Some(correction) = lock(&self.watch.drawn).redraw(prompt, columns()) {
            modes::write(correction.as_bytes());
        }
        let mut text = if self.watch.has_room() { self.above.take() } else { String::new() };
        if text.is_empty() {
            return Cow::Borrowed(prompt);
        }
        text.push_str(prompt);
        Cow::Owned(text)
    }
}

impl Completer for Watcher {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.words.complete(line, pos))
    }
}

impl Validator for Watcher {}
impl Helper for Watcher {}
