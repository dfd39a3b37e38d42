//! Handshakes: what precedes the payload of a connection. One interface for authentication, for
//! proxies and for PROXY headers, in both roles. Pure: bytes in, bytes out.
//!
//! The owner of a [`Driver`] sends the greeting, then reads at most [`Driver::wanted`] bytes at a
//! time, so that payload behind the handshake stays in the socket, and sends each reply. Greetings
//! and replies may hold passwords: the owner wipes them.

use std::net::SocketAddr;
use std::rc::Rc;

use super::codec::Codec;
use super::tlsinfo::TlsInfo;
use crate::exit::Exit;

#[cfg(test)]
pub(crate) mod tests;

/// One side of a handshake, message by message.
pub trait Handshake {
    /// What is sent first, empty where the peer sends first; and the least length of the peer's
    /// first message. Called once.
    fn start(&mut self) -> (Vec<u8>, usize);

    /// Takes all that has come of one message, at least a byte; appends what is to be sent.
    fn receive(&mut self, message: &[u8], reply: &mut Vec<u8>) -> Progress;

    /// The refusal of a peer that stopped behind this part of a message.
    fn stopped(&self, stop: Stop, message: &[u8]) -> Refusal;

    /// Whether the bytes so far were made with a key, now or at an earlier time.
    fn shows_key(&self) -> bool {
        false
    }
}

/// What follows from a message. After an outcome comes payload; after a refusal its farewell, and
/// the end of the connection.
pub type Progress = Result<Next, Refusal>;

/// What a handshake that is not refused goes on with.
pub enum Next {
    /// At least so many more bytes of the same message.
    Rest(usize),
    /// Another message, of at least so many bytes.
    Message(usize),
    /// The payload.
    Payload(Outcome),
}

/// A handshake under way, with the part of a message that has come.
pub struct Driver {
    handshake: Box<dyn Handshake>,
    message: Vec<u8>,
    wanted: usize,
    has_received: bool,
}

impl Driver {
    /// A handshake that begins now, and its greeting.
    pub fn start(mut handshake: Box<dyn Handshake>) -> (Self, Vec<u8>) {
        let (greeting, wanted) = handshake.start();
        (Self { handshake, message: Vec::new(), wanted, has_received: false }, greeting)
    }

    /// How many bytes may be read now without reading past the handshake's end.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Takes received bytes, at most [`Driver::wanted`] of them; appends what is to be sent. `None`
    /// while the handshake is not over; it takes no more bytes after that.
    pub fn feed(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Result<Option<Outcome>, Refusal> {
        self.has_received = true;
        self.message.extend_from_slice(bytes);
        match self.handshake.receive(&self.message, reply)? {
            Next::Rest(missing) => self.wanted = missing,
            Next::Message(length) => {
                self.message.clear();
                self.wanted = length;
            }
            Next::Payload(outcome) => return Ok(Some(outcome)),
        }
        Ok(None)
    }

    /// Whether any byte has come.
    pub fn has_received(&self) -> bool {
        self.has_received
    }

    /// The refusal of a peer that stopped before the handshake was over.
    pub fn stopped(&self, stop: Stop) -> Refusal {
        self.handshake.stopped(stop, &self.message)
    }

    /// See [`Handshake::shows_key`].
    pub fn shows_key(&self) -> bool {
        self.handshake.shows_key()
    }
}

/// How a peer stopped in a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has ended the connection, or reset it.
    Closed,
    /// The deadline has passed.
    TimedOut,
}

impl Stop {
    /// The refusal of a `peer` that stopped after `received` bytes of its `message`; the hint is for
    /// one of which nothing has come.
    pub fn refusal(self, peer: &str, message: &str, received: usize, hint: &str) -> Refusal {
        let exit = if self == Self::Closed { Exit::Broken } else { Exit::TimedOut };
        let reason = match (self, received) {
            (Self::Closed, 0) => format!("{peer} closed without its {message}{hint}"),
            (Self::Closed, _) => format!("{peer} closed after {received} bytes of its {message}"),
            (Self::TimedOut, 0) => format!("no {message} in time{hint}"),
            (Self::TimedOut, _) => format!("timed out after {received} bytes of the {message}"),
        };
        Refusal::new(reason, exit)
    }
}

/// The result of a handshake.
#[derive(Default)]
pub struct Outcome {
    /// The name of the key that was proved, if it has one.
    pub key: Option<String>,
    /// The codec of the payload, if it has one.
    pub codec: Option<Box<dyn Codec>>,
    /// The client for which a proxy has made the connection.
    pub source: Option<SocketAddr>,
    /// The TLS session.
    pub tls: Option<Rc<TlsInfo>>,
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
    /// What was known of the TLS session that failed.
    pub tls: Option<Rc<TlsInfo>>,
}

impl Refusal {
    /// A refusal that sends nothing and counts for no penalty.
    pub fn new(reason: impl Into<String>, exit: Exit) -> Self {
        Self { reason: reason.into(), exit, wrong_proof: false, farewell: b"", tls: None }
    }

    /// The same, as the answer to a wrong proof.
    #[must_use]
    pub fn wrong_proof(mut self, farewell: &'static [u8]) -> Self {
        self.wrong_proof = true;
        self.farewell = farewell;
        self
    }
}
