//! What a person reads and types: the only place that prints.

pub mod decoration;
pub mod event;
pub mod printer;
pub mod progress;
pub mod prompt;
pub mod talk;
