//! The link loop: accepting connections, and who is let in.

pub mod wall;
