//! TLS 1.2 and 1.3 by rustls: certificates, how they are checked, and the handshake.
