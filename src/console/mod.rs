//! What a person reads and types: the only place that prints.

pub mod clean;
