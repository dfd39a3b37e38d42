//! Other programs as the other end. Ignored by default, each with its need; `.ci/run` installs
//! them all, and there a missing one is a failure.

pub mod client;
mod netcat;
mod opts;
mod relay;
mod scripted;
pub mod services;
pub mod tls;
