//! The prompt, at a real pseudo-terminal: what a person types, and what a person sees.

pub mod conversation;
mod datagrams;
mod ends;
mod keys;
mod notes;
mod ornaments;
mod proof;
pub mod pty;
mod room;
pub mod tmux;
