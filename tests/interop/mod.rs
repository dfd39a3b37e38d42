//! Other programs as the other end. Ignored by default, each with its need; `.ci/run` installs
//! them all, and there a missing one is a failure.

mod client;
mod netcat;
mod opts;
mod scripted;
mod services;
mod tls;
