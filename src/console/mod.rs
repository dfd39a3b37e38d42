//! What a person reads and types: the only place that prints.

pub mod clean;
pub mod event;
pub mod ornament;
pub mod printer;
pub mod progress;
pub mod prompt;
pub mod talk;
