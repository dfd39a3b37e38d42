//! Sockets and the bytes in them: everything that calls the kernel's network side.

pub mod address;
pub mod endpoint;
pub mod hexdump;
pub mod line;
pub mod quantity;
pub mod socket;
pub mod text;
pub mod trace;
