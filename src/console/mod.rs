//! What people and programs read of a run, and what is typed: the only floor that prints.
//!
//! `event` is what happened, `talk` brings it to stderr, `printer` has the queues, `decoration`
//! adds time, colour and bell to lines, `prompt` reads the terminal and `completion` is what its
//! Tab key offers, `progress` is the meter of `--progress`.

pub mod completion;
pub mod decoration;
pub mod event;
pub mod printer;
pub mod progress;
pub mod prompt;
pub mod talk;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The value, whether or not another thread panicked while it held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
