//! The prompt, at a real pseudo-terminal: what a person types, and what a person sees.

mod blind;
mod conversation;
mod datagrams;
mod ends;
mod faults;
mod hostile;
mod keys;
mod notices;
mod ornaments;
mod proof;
pub mod pty;
mod python_api;
mod reconnect;
mod room;
mod tmux;
