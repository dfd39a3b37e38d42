//! The real binary, driven on loopback. The files mirror `src/commands`; `interop/` needs other
//! programs, `faults/` is what a trustworthy tool survives.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod opts;
mod run;
