//! Sockets and the bytes in them: everything that calls the kernel's network side.

pub mod endpoint;
mod raw;
pub mod socket;
pub mod sockopt;
pub mod trace;
