//! Talk over datagrams: `udp-serve` answers each datagram to its sender, `udp-send` sends datagrams
//! and waits for the answers.

mod answers;
pub mod frontend;
pub mod programs;
pub mod send;
pub mod serve;
