//! The terminal, stdout and stderr: events, the prompt, the queues to what may block. Payload goes
//! to stdout from `session/stdio.rs`, the results of a command from `commands/`.
//!
//! `event` has the events, `json` writes them for programs, `talk` writes them to stderr, `printer`
//! has the queues, `file` the files that a run writes, `log_limit` bounds the lines that strangers
//! cause, `decoration` adds time, colour and bell to lines, `prompt` is the line editor and
//! `completion` its Tab key, `meter` is that of `--progress`, `timings` sums up what was repeated.

pub mod completion;
pub mod decoration;
pub mod event;
pub mod file;
pub mod json;
pub mod log_limit;
pub mod meter;
pub mod printer;
pub mod prompt;
pub mod talk;
pub mod timings;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The value, whether or not another thread panicked while it held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
