//! sockctl: talk, serve, authenticate, test and explain sockets.

mod commands;
mod exit;
mod net;

fn main() {}
