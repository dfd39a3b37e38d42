//! The codecs: the wire formats that a connection may have once its handshake is over.

pub mod noise;
pub mod python;
pub mod tls;
