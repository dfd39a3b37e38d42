//! The real binary, driven on loopback.
