//! The real binary, driven on loopback. The files mirror `src/commands`; `terminal.rs` sits at a
//! real pseudo-terminal, `interop/` needs other programs, and `faults/` is what a trustworthy tool
//! survives: its tests are named after the numbered rows of the faults they prove.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod auth_connect;
mod auth_noise;
mod auth_python;
mod auth_serve;
mod completions;
mod connect;
mod connect_proxy;
mod connect_script;
mod faults;
mod habits;
mod interop;
mod limits;
mod notes;
mod opts;
mod opts_live;
mod program;
mod readme;
mod room;
mod run;
mod serve;
mod talk;
mod terminal;
mod udp_send;
mod udp_serve;
