//! Proving that a peer holds the key: keys, and handshakes as pure state machines.

pub mod challenge;
pub mod digest;
pub mod handshake;
pub mod key;
pub mod noise;
pub mod python;
pub mod random;
