//! One file a subcommand: its flags, and how it is composed from the floors below.

pub mod auth_connect;
pub mod auth_serve;
pub mod connect;
pub mod opts;
pub mod serve;
pub mod udp_send;
pub mod udp_serve;
