//! Datagrams: `udp-send`, `udp-serve`, and what may go wrong between them.

mod addresses;
mod faults;
mod relay;
mod send;
mod serve;
mod talk;
