//! sockctl: talk, serve, authenticate, test and explain sockets.

mod console;
mod exit;
mod net;
mod visible;

fn main() {}
