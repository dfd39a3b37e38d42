//! `udp-send`.
