//! sockctl: talk, serve, authenticate, test and explain sockets.

mod auth;
mod exit;
mod net;
mod server;

fn main() {}
