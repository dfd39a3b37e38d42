//! The `>>>` prompt: rustyline in a thread of its own, and text printed above the line being typed.

use std::borrow::Cow;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::Pid;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, Config, Context, Editor, ExternalPrinter, Helper};

use super::printer::{self, Queue};

/// How long a prompt that is told to stop may take to do so.
const STOP: Duration = Duration::from_millis(500);

/// What came from the prompt.
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
    saved: Option<Termios>,
}

/// What the prompt's thread and its owner share.
#[derive(Default)]
struct Watch {
    /// The line being typed.
    line: Mutex<String>,
    /// The next refresh comes from a key, not from a message printed above the line.
    by_key: AtomicBool,
    /// Messages printed above the line so far.
    printed: AtomicUsize,
    /// Messages handed to rustyline so far.
    handed: AtomicUsize,
    last: Mutex<String>,
    /// A readline is under way; none begins while a message is printed plainly.
    editing: Mutex<bool>,
    stopping: AtomicBool,
}

impl Prompt {
    /// Starts a prompt on the terminal. `deliver` gets what is typed, in the prompt's thread; the
    /// next line is read after [`Prompt::again`]. The queue is for whatever else goes to the
    /// terminal, in whole lines.
    pub fn start(
        history: Option<PathBuf>,
        mut deliver: impl FnMut(Typed) + Send + 'static,
    ) -> io::Result<(Self, Queue)> {
        let saved = tcgetattr(io::stdin().as_fd()).ok();
        let watch = Arc::new(Watch::default());
        let mut editor = editor(Arc::clone(&watch)).map_err(io::Error::other)?;
        let queue = Queue::new("terminal", screen(&mut editor, Arc::clone(&watch)))?;
        if let Some(path) = &history
            && let Err(e) = load_history(&mut editor, path)
        {
            let warning = format!(
                "sockctl: read the history {}: {}\n",
                path.display(),
                crate::exit::cause(&e)
            );
            queue.push(warning.as_bytes());
        }
        let (again, permission) = mpsc::channel();
        let (finished, done) = mpsc::channel();
        let seen = Arc::clone(&watch);
        std::thread::Builder::new()
            .name("prompt".into())
            .spawn(move || {
                while read(&mut editor, &seen, history.as_deref(), &mut deliver)
                    && permission.recv().is_ok()
                {}
                // The owner may be gone already.
                let _ = finished.send(());
            })?;
        Ok((
            Self {
                again,
                done,
                watch,
                saved,
            },
            queue,
        ))
    }

    /// What was typed is dealt with: reads the next line.
    pub fn again(&self) {
        // A prompt that has ended reads no more.
        let _ = self.again.send(());
    }

    /// Ends the prompt, restores the terminal, and returns what was typed but not entered.
    pub fn stop(self, queue: &Queue) -> Option<String> {
        queue.flush(STOP);
        let Self {
            again,
            done,
            watch,
            saved,
        } = self;
        watch.stopping.store(true, Ordering::SeqCst);
        drop(again);
        let until = Instant::now() + STOP;
        // A SIGINT makes readline return; it counts only while a readline is under way, hence
        // several.
        while done.recv_timeout(Duration::from_millis(10)).is_err() && Instant::now() < until {
            let _ = kill(Pid::this(), Signal::SIGINT);
        }
        if let Some(saved) = saved {
            let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSADRAIN, &saved);
        }
        // The last message may wait in rustyline, which will not print it any more.
        if watch.handed.load(Ordering::SeqCst) > watch.printed.load(Ordering::SeqCst) {
            queue.push(lock(&watch.last).as_bytes());
        }
        queue.flush(STOP);
        let line = std::mem::take(&mut *lock(&watch.line));
        (!line.is_empty()).then_some(line)
    }
}

fn editor(watch: Arc<Watch>) -> rustyline::Result<Editor<Watcher, FileHistory>> {
    let config = Config::builder()
        // Our prompt has no colour; the highlighter is how refreshes are seen.
        .color_mode(ColorMode::Forced)
        .auto_add_history(false)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Watcher(watch)));
    Ok(editor)
}

/// Reads and delivers one entry; `false` when the prompt has ended.
fn read(
    editor: &mut Editor<Watcher, FileHistory>,
    watch: &Watch,
    history: Option<&Path>,
    deliver: &mut impl FnMut(Typed),
) -> bool {
    loop {
        *lock(&watch.editing) = true;
        let result = editor.readline(">>> ");
        *lock(&watch.editing) = false;
        if watch.stopping.load(Ordering::SeqCst) {
            return false;
        }
        match result {
            Ok(entry) => {
                lock(&watch.line).clear();
                if !entry.trim().is_empty()
                    && editor.add_history_entry(entry.as_str()).unwrap_or(false)
                {
                    // Told once at the start if it cannot be written.
                    let _ = history.map(|path| editor.append_history(path));
                }
                let lines = entry
                    .split('\n')
                    .map(|line| line.trim_end_matches('\r').into());
                deliver(Typed::Lines(lines.collect()));
                return true;
            }
            Err(ReadlineError::Interrupted) if !lock(&watch.line).is_empty() => {
                lock(&watch.line).clear();
            }
            Err(ReadlineError::Interrupted) => {
                deliver(Typed::Interrupt);
                return true;
            }
            Err(_) => {
                deliver(Typed::End);
                return true;
            }
        }
    }
}

/// Opens or makes the history file, 0600, and reads it.
fn load_history(editor: &mut Editor<Watcher, FileHistory>, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    match editor.load_history(path) {
        Err(ReadlineError::Io(e)) => Err(e),
        _ => Ok(()),
    }
}

/// The sink for everything that goes to the terminal beside the prompt. Where rustyline has no
/// printer (a dumb terminal) it is written plainly.
fn screen(editor: &mut Editor<Watcher, FileHistory>, watch: Arc<Watch>) -> printer::Sink {
    let mut plain = printer::stdout();
    let Ok(mut printer) = editor.create_external_printer() else {
        return plain;
    };
    Box::new(move |bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let editing = lock(&watch.editing);
        if !*editing || watch.stopping.load(Ordering::SeqCst) {
            return plain(bytes);
        }
        drop(editing); // the printer may wait for the readline, which may be ending
        lock(&watch.last).clone_from(&text);
        let before = watch.handed.fetch_add(1, Ordering::SeqCst);
        // The channel to rustyline holds one message: all before this one have been printed.
        let result = printer.print(text);
        watch.printed.fetch_max(before, Ordering::SeqCst);
        result.or_else(|_| plain(bytes))
    })
}

/// Watches rustyline at work through the hooks it has for hints and colours.
struct Watcher(Arc<Watch>);

impl Hinter for Watcher {
    type Hint = String;

    /// Called after every key that changes the line, before the refresh.
    fn hint(&self, line: &str, _pos: usize, _context: &Context<'_>) -> Option<String> {
        line.clone_into(&mut lock(&self.0.line));
        self.0.by_key.store(true, Ordering::SeqCst);
        None
    }
}

impl Highlighter for Watcher {
    /// Called at every refresh, also the one after a message was printed above the line.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        if !self.0.by_key.swap(false, Ordering::SeqCst) {
            self.0
                .printed
                .store(self.0.handed.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        Cow::Borrowed(prompt)
    }
}

impl Completer for Watcher {
    type Candidate = String;
}
impl Validator for Watcher {}
impl Helper for Watcher {}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
