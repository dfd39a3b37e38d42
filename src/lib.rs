//! sockctl: talk, serve, authenticate, test and explain sockets.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")
)]

mod args;
pub mod auth;
pub mod cli;
pub mod codec;
mod commands;
pub mod console;
pub mod exit;
pub mod net;
mod roles;
pub mod sanitize;
pub mod server;
pub mod session;
