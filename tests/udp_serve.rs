//! `udp-serve`.
