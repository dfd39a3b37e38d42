//! What stands between a socket and the payload: the interface of encrypted records and of framed
//! messages. A connection whose wire is its payload has no codec.

use std::{fmt, io};

use crate::exit::Exit;

/// The wire format of a connection, both directions. Pure: bytes in, bytes out.
pub trait Codec {
    /// Appends the wire form of this payload.
    fn encode(&mut self, payload: &[u8], wire: &mut Vec<u8>) -> Result<(), ProtocolError>;

    /// Appends the end of our direction; nothing is encoded after it. A second call appends nothing.
    fn encode_eof(&mut self, wire: &mut Vec<u8>);

    /// Takes bytes of the wire, where it may decrypt them, and appends their payload, and what is to be
    /// answered that is no payload. Both are valid even before an error.
    fn decode(
        &mut self,
        wire: &mut [u8],
        payload: &mut Vec<u8>,
        answer: &mut Vec<u8>,
    ) -> Result<(), ProtocolError>;

    /// The wire has ended: an error if the payload was truncated.
    fn at_wire_eof(&mut self) -> Result<(), ProtocolError>;

    /// Whether the peer has ended its direction.
    fn peer_ended(&self) -> bool;

    /// Whether the wire shows nothing of the payload.
    fn is_encrypted(&self) -> bool {
        false
    }

    /// Appends, as a server, that the client is accepted.
    fn accept(&mut self, _wire: &mut Vec<u8>) {}

    /// Appends, as a server, that the client is not accepted though it holds a key.
    fn reject(&mut self, _why: Reject, _wire: &mut Vec<u8>) {}
}

/// Why a client that holds a key is not accepted, with its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reject {
    /// The key is not valid for this server.
    Auth = 1,
    /// The connection limit is reached.
    Full = 2,
    /// The access lists exclude its address.
    Access = 3,
    /// The server is stopping.
    Shutdown = 4,
}

impl Reject {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auth, Self::Full, Self::Access, Self::Shutdown];
}

/// Bytes of the wire that break its format, or in which the peer ends the session for a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    /// What is wrong, in one line.
    pub cause: String,
    /// The exit status of a run that fails by it.
    pub exit: Exit,
}

impl ProtocolError {
    /// A broken connection.
    pub fn new(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), exit: Exit::Broken }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for ProtocolError {}

impl From<ProtocolError> for io::Error {
    fn from(error: ProtocolError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}
