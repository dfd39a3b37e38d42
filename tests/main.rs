//! The real binary, driven on loopback, a module a topic. `terminal/` sits at a real
//! pseudo-terminal, `interop/` needs other programs. Tests named `row_NN_…` prove the numbered
//! faults that `README.md` lists.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod arguments;
mod auth;
mod completions;
mod connect;
mod ends;
mod files;
mod guide;
mod habits;
mod interop;
mod log;
mod opts;
mod program;
mod python_api;
mod readme;
mod relay;
mod resolve;
mod room;
mod run;
mod serve;
mod signals;
mod stdio;
mod steps;
mod system;
mod talk;
mod terminal;
mod tls;
mod udp;
