//! Handshakes: what precedes the payload of a connection. One interface for authentication, for
//! proxies and for PROXY headers, in both roles. Pure: bytes in, bytes out.
//!
//! The driver sends the greeting, then reads at most [`Handshake::wanted`] bytes at a time, so that
//! payload behind the handshake stays in the socket, and sends each reply. Greetings and replies
//! may hold passwords: the driver wipes them.

use std::net::SocketAddr;

use super::codec::Codec;
use crate::exit::Exit;

#[cfg(test)]
pub(crate) mod tests;

/// One side of a handshake.
pub trait Handshake {
    /// What is sent first; empty where the peer sends first. Called once.
    fn greeting(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// How many bytes may be read now without reading past the handshake's end.
    fn wanted(&self) -> usize;

    /// Takes received bytes, at most [`Handshake::wanted`] of them; appends what is to be sent.
    fn feed(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Progress;

    /// The peer has ended the connection, or reset it.
    fn on_eof(&mut self) -> Refusal;

    /// The deadline has passed.
    fn on_timeout(&mut self) -> Refusal;

    /// Whether the bytes so far were made with a key, now or at an earlier time.
    fn shows_key(&self) -> bool {
        false
    }
}

/// The state of a handshake after bytes were fed to it: `None` while it is not over. It takes no
/// more bytes after that: payload follows an outcome; the farewell and the end of the connection
/// follow a refusal.
pub type Progress = Result<Option<Outcome>, Refusal>;

/// The result of a handshake.
#[derive(Default)]
pub struct Outcome {
    /// The name of the key that the peer has proved, if it has one.
    pub key: Option<String>,
    /// The codec of the payload, if it has one.
    pub codec: Option<Box<dyn Codec>>,
    /// The client for which a proxy has made the connection.
    pub source: Option<SocketAddr>,
}

/// Why a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One line, in which bytes of the peer are escaped.
    pub reason: String,
    /// The exit status of a client.
    pub exit: Exit,
    /// Whether it was a wrong proof: only these count for a penalty, as only they guess at the key.
    pub wrong_proof: bool,
    /// What is sent before the connection is closed.
    pub farewell: &'static [u8],
}

impl Refusal {
    /// A refusal that sends nothing and counts for no penalty.
    pub fn new(reason: impl Into<String>, exit: Exit) -> Self {
        Self { reason: reason.into(), exit, wrong_proof: false, farewell: b"" }
    }

    /// The same, as the answer to a wrong proof.
    #[must_use]
    pub fn wrong_proof(mut self, farewell: &'static [u8]) -> Self {
        self.wrong_proof = true;
        self.farewell = farewell;
        self
    }
}
