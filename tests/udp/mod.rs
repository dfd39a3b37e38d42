//! Datagrams: `udp-send`, `udp-serve`, and what may go wrong between them.

mod faults;
mod send;
mod serve;
