//! Bounded queues, each with a thread that writes it out, so that a blocked terminal, pipe or log
//! never holds up the event loop.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;

use super::lock;
use crate::net::deadline::Deadline;
use crate::net::signal;
use crate::net::stdio::Stdio;

/// The end of every queue: talk beyond it is dropped, payload waits.
const CAPACITY: usize = 1 << 20;
/// How often a wait asks whether a signal has come.
const SIGNAL_POLL: Duration = Duration::from_millis(20);

/// A queue of bytes on their way out. Clones share it.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    state: Mutex<Buffer>,
    changed: Condvar,
}

#[derive(Default)]
struct Buffer {
    waiting: Vec<u8>,
    writing: usize,
    failure: Option<i32>,
    on_room: Option<Box<dyn Fn() + Send>>,
}

impl Queue {
    /// A queue with its thread, which ends with the process. `write` gets whole pushes, several at
    /// a time.
    pub fn new(
        name: &str,
        write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Self(Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() }));
        let shared = Arc::clone(&queue.0);
        std::thread::Builder::new().name(name.into()).spawn(move || shared.write_out(write))?;
        Ok(queue)
    }

    /// Queues payload. The caller asks [`Queue::is_full`] before it makes more.
    pub fn push(&self, bytes: &[u8]) {
        let mut state = lock(&self.0.state);
        if state.failure.is_none() {
            state.waiting.extend_from_slice(bytes);
            self.0.changed.notify_all();
        }
    }

    /// Whether the producer should wait.
    pub fn is_full(&self) -> bool {
        lock(&self.0.state).held() >= CAPACITY
    }

    /// Calls `wake` (from the queue's thread) when a full queue has room again, or writing failed.
    pub fn on_room(&self, wake: impl Fn() + Send + 'static) {
        lock(&self.0.state).on_room = Some(Box::new(wake));
    }

    /// What writing failed with, if it did; from then on everything is dropped.
    pub fn failure(&self) -> Option<io::Error> {
        lock(&self.0.state).failure.map(io::Error::from_raw_os_error)
    }

    /// From now on everything is dropped: it is not read.
    pub fn abandon(&self) {
        let mut state = lock(&self.0.state);
        state.failure.get_or_insert(Errno::ETIMEDOUT as i32);
        state.waiting.clear();
        self.0.changed.notify_all();
    }

    /// Waits until everything queued is written, writing failed, or the deadline has passed. Says
    /// whether everything was written.
    pub fn flush(&self, until: Deadline) -> bool {
        self.wait(until, 1) && self.failure().is_none()
    }

    /// The same, but a signal that comes meanwhile ends the wait, deferred or not.
    pub fn drain(&self, until: Deadline) -> bool {
        loop {
            let is_last = until.passed() || signal::pending().is_some();
            let is_written = self.flush(Deadline::after(SIGNAL_POLL));
            if is_written || is_last || self.failure().is_some() {
                return is_written;
            }
        }
    }

    /// Waits until there is room, writing failed, or the deadline has passed.
    pub fn wait_for_room(&self, until: Deadline) -> bool {
        self.wait(until, CAPACITY)
    }

    /// Waits until less than `most` bytes are held.
    fn wait(&self, until: Deadline, most: usize) -> bool {
        let wait = until.remaining().unwrap_or(Duration::MAX);
        let is_waiting = |state: &mut Buffer| state.failure.is_none() && state.held() >= most;
        let state = self.0.changed.wait_timeout_while(lock(&self.0.state), wait, is_waiting);
        let (state, _) = state.unwrap_or_else(PoisonError::into_inner);
        state.held() < most
    }
}

impl Buffer {
    fn held(&self) -> usize {
        self.waiting.len() + self.writing
    }
}

impl Shared {
    fn write_out(&self, mut write: impl FnMut(&[u8]) -> io::Result<()>) {
        let mut batch = Vec::new();
        loop {
            let mut state = lock(&self.state);
            while state.waiting.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut batch, &mut state.waiting);
            state.writing = batch.len();
            drop(state);
            let result = write(&batch);
            let mut state = lock(&self.state);
            let was_full = state.held() >= CAPACITY;
            state.writing = 0;
            if let Err(e) = result {
                state.failure = Some(e.raw_os_error().unwrap_or(Errno::EIO as i32));
                state.waiting.clear();
            }
            batch.clear();
            if (was_full || state.failure.is_some())
                && let Some(wake) = &state.on_room
            {
                wake();
            }
            self.changed.notify_all();
        }
    }
}

/// Writes to stdout, past Rust's buffer.
pub fn stdout(bytes: &[u8]) -> io::Result<()> {
    Stdio::output().waiting(Deadline::NEVER).write_all(bytes)
}

/// Writes to stderr. A stderr that is gone is no failure of the run.
pub fn stderr(bytes: &[u8]) -> io::Result<()> {
    let _ = Stdio::error().waiting(Deadline::NEVER).write_all(bytes);
    Ok(())
}

/// Whether stdout takes some output at once.
pub fn stdout_has_room() -> bool {
    Stdio::output().has_room()
}
