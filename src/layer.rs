//! What may stand between a socket and the payload: encrypted records, or framed messages. Pure.

use std::{fmt, io};

/// A connection's wire format, both directions. Where there is none, the wire is the payload.
pub trait Layer {
    /// Appends what goes over the wire for this payload.
    fn seal(&mut self, payload: &[u8], wire: &mut Vec<u8>) -> Result<(), Flaw>;

    /// Appends what ends our side; nothing is sealed after it. A second call appends nothing.
    fn seal_end(&mut self, wire: &mut Vec<u8>) -> Result<(), Flaw>;

    /// Takes what came over the wire and appends its payload, which is good up to a flaw.
    fn open(&mut self, wire: &[u8], payload: &mut Vec<u8>) -> Result<(), Flaw>;

    /// Whether the peer has said that it ends its side.
    fn has_ended(&self) -> bool;

    /// The wire itself has ended: whether it may, or something is missing.
    fn wire_ended(&mut self) -> Result<(), Flaw>;

    /// Appends, on the side that lets others in, that the peer is let in.
    fn welcome(&mut self, _wire: &mut Vec<u8>) {}

    /// Appends, on that side, that the peer is not let in though it holds a key.
    fn turn_away(&mut self, _why: Away, _wire: &mut Vec<u8>) {}
}

/// Why one who holds a key is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Away {
    /// The key does not open this server.
    Auth = 1,
    /// There is no room.
    Full = 2,
    /// Its address is not let in.
    Access = 3,
    /// The server is stopping.
    Shutdown = 4,
}

impl Away {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auth, Self::Full, Self::Access, Self::Shutdown];
}

/// Why a connection cannot go on: the peer, or somebody on the path, broke its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw(pub String);

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Flaw {}

impl From<Flaw> for io::Error {
    fn from(flaw: Flaw) -> Self {
        Self::new(io::ErrorKind::InvalidData, flaw)
    }
}
