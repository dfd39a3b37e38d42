//! sockctl: talk, serve, authenticate, test and explain sockets.

mod exit;
mod net;

fn main() {}
