//! Talk over datagrams: `udp-serve` answers each datagram to its sender, `udp-send` sends datagrams
//! and waits for the answers, or talks both ways at once.

mod answers;
pub mod ask;
pub mod frontend;
pub mod input;
pub mod programs;
mod reflection;
pub mod relay;
pub mod send;
pub mod serve;
mod talk;
