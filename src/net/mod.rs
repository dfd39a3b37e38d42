//! Sockets and the bytes in them: everything that calls the kernel's network side.

pub mod access;
pub mod address;
pub mod deadline;
pub mod dial;
pub mod endpoint;
pub mod flow;
pub mod hexdump;
pub mod line;
pub mod listen;
pub mod poller;
pub mod process;
pub mod proxy;
pub mod proxy_header;
pub mod pump;
pub mod quantity;
mod raw;
pub mod ready;
pub mod scan;
pub mod signal;
pub mod socket;
pub mod sockopt;
pub mod stdio;
pub mod tcpinfo;
pub mod text;
pub mod trace;
pub mod udp;
