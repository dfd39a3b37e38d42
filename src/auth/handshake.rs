//! What all handshakes have in common: two sides that are fed bytes, never more than they want,
//! and come to a verdict. Pure.
//!
//! Whoever drives one reads at most `wanted()` bytes at a time, so that what follows the
//! handshake stays in the socket.

use crate::exit::Exit;
use crate::layer::Layer;

/// The side that lets others in.
pub trait Host {
    /// What it says first, if it speaks first.
    fn greeting(&self) -> &[u8];
    /// How many bytes may be read from the peer now; 0 after the verdict.
    fn wanted(&self) -> usize;
    /// Takes what was read; appends what is to be sent.
    fn feed(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Verdict<Proved>;
    /// Whether what came so far was made by somebody with a key: now, or once.
    fn shows_key(&self) -> bool {
        false
    }
    /// The peer has ended (or was reset) before the verdict.
    fn ended(&self) -> Refusal;
    /// The deadline has passed before the verdict.
    fn timed_out(&self) -> Refusal;
}

/// The side that wants in.
pub trait Guest {
    /// What it says first, if it speaks first.
    fn greeting(&self) -> &[u8];
    /// How many bytes may be read from the peer now; 0 after the verdict.
    fn wanted(&self) -> usize;
    /// Takes what was read; appends what is to be sent.
    fn feed(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Verdict<Session>;
    /// The peer has ended (or was reset) before the verdict.
    fn ended(&self) -> Refusal;
    /// The deadline has passed before the verdict.
    fn timed_out(&self) -> Refusal;
}

/// What came of bytes that were fed to a side.
pub enum Verdict<T> {
    /// It is not complete.
    More,
    /// It succeeded.
    Proved(T),
    /// The peer is to be left.
    Refused(Refusal),
}

/// What goes on where a handshake ended; `None` where the wire is the payload.
pub type Session = Option<Box<dyn Layer>>;

/// A peer that holds a key.
pub struct Proved {
    /// The key's name, if it has one.
    pub key: Option<String>,
    /// What goes on.
    pub session: Session,
}

/// Why a handshake failed: one line, without any of the peer's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The line.
    pub reason: String,
    /// The client's exit status.
    pub exit: Exit,
    /// Whether it was a wrong proof, the only refusal that counts for a penalty: silence, ends and
    /// strangers' protocols are no guesses at the key.
    pub wrong_proof: bool,
    /// What the peer is told before the connection is closed.
    pub farewell: &'static [u8],
}

impl Refusal {
    /// A refusal that tells the peer nothing and is held against nobody.
    pub fn new(reason: impl Into<String>, exit: Exit) -> Self {
        Self { reason: reason.into(), exit, wrong_proof: false, farewell: b"" }
    }

    /// The same as the verdict on a wrong proof, told with these bytes.
    #[must_use]
    pub fn wrong_proof(mut self, farewell: &'static [u8]) -> Self {
        self.wrong_proof = true;
        self.farewell = farewell;
        self
    }
}
