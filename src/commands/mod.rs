//! The subcommands: each its arguments, and what it composes from the floors below.

pub mod opts;
