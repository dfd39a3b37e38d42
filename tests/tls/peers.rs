//! Peers of TLS in Python (`tests/peers/tls.py`, at whose top stands what they can do), and our own.

use std::fmt::Display;

use crate::run::{Program, Running, Words, program, sockctl};

/// The peer in Python.
const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/tls.py");

/// A Python server with the certificate in this file, and its address.
#[track_caller]
pub fn python_server(cert: &str, words: impl Words) -> (Running, String) {
    let server = program("python3", ["-u", PEER, "server", cert]).args(words).start();
    let address = server.address();
    (server, address)
}

/// A Python client of a server on this port of 127.0.0.1.
pub fn python_client(port: u16, words: impl Words) -> Program {
    program("python3", ["-u", PEER, "client", &port.to_string()]).args(words)
}

/// `serve --tls` with the certificate in this file, on a free port.
pub fn server(cert: &str, words: impl Words) -> Running {
    sockctl("serve 127.0.0.1:0 --tls --tls-cert").arg(cert).args(words).start()
}

/// `connect --tls` to this address or port, which trusts the roots in this file.
pub fn client(address: impl Display, ca: &str, words: impl Words) -> Program {
    sockctl(format!("connect {address} --tls --tls-ca")).arg(ca).args(words)
}

/// The versions of TLS that there are.
pub const VERSIONS: [&str; 2] = ["1.2", "1.3"];

/// Whether it is one error line.
pub fn is_one_line(said: &str) -> bool {
    said.lines().count() == 1 && said.starts_with("sockctl: ") && !said.contains("panicked")
}
