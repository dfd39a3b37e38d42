//! Talk over datagrams: `udp-serve` answers each datagram to its sender, `udp-send` sends datagrams
//! and waits for the answers.

mod answers;
pub mod frontend;
mod loops;
pub mod programs;
pub mod send;
pub mod serve;
