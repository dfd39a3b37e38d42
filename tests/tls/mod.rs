//! TLS: `connect --tls` and `serve --tls`, against each other and against Python's `ssl`.
//! `certificates.rs` makes what they show, `peers.rs` are the peers.

pub mod certificates;
mod check;
mod client;
mod handshake;
pub mod peers;
mod server;
mod session;
mod starttls;
mod truth;
