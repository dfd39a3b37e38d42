//! Faults and bad input, by number: `row_14_…` proves row 14.

mod accept;
mod arguments;
mod auth;
mod auth_noise;
mod programs;
mod resolve;
mod room;
mod script;
mod signals;
mod stdio;
mod stream;
mod system;
mod terminal;
mod udp;
