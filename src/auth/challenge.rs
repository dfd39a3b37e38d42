//! The notes' challenge-response: a client proves that it holds the key. Pure: bytes in, bytes out.
//!
//! ```text
//! Server                                          Client
//!    | ------- 32 random bytes -----------------> |
//!    | <------ 32, 64 or 128 hex digits --------- |   HMAC(key, challenge), lowercase,
//!    | <~~~~~~ payload, perhaps at once ~~~~~~~~~ |   no newline
//!    | equal: the talk goes on; else: close       |
//!
//! side    while it waits for    there comes            then
//! Server  the answer            digits, too few        More
//!                               the last digit         Proved, or Refused(WrongKey)
//!                               any other byte         Refused(Malformed, Capital, …), at once
//!                               the end, the deadline  ended(), timed_out()
//! Client  the challenge         1 to 31 bytes          More
//!                               the 32nd byte          Answer
//!                               the end, the deadline  ended(), timed_out()
//! ```
//!
//! Neither side ever reads past its part: whoever drives it reads at most `wanted()` bytes, so
//! that payload in the same segment stays in the socket for the handler.
//!
//! Only the server challenges, so there is no challenge of the client's own that could be
//! reflected to it. What the protocol cannot prevent is a relay: a rogue server may pass another
//! server's challenge on to us and use our answer there.

use std::rc::Rc;

use subtle::{ConditionallySelectable, ConstantTimeEq};

pub use super::digest::Digest;
use super::handshake::{self, Proved, Refusal, Session, Verdict};
use super::key::Keyring;
use crate::exit::Exit;

mod reason;
#[cfg(test)]
mod tests;

pub use reason::{NoChallenge, Reason};

/// The length of a challenge.
pub const CHALLENGE_LEN: usize = 32;

/// How the challenge of a Python listener begins, behind the four bytes of its length.
const PYTHON: &[u8] = b"#CHALLENGE#";

/// The side that lets others in.
pub struct Server {
    digest: Digest,
    keyring: Rc<Keyring>,
    challenge: [u8; CHALLENGE_LEN],
    answer: Vec<u8>,
    over: bool,
}

/// What came of bytes that were fed to a [`Server`].
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The answer is not complete.
    More,
    /// The client holds the key of this name, if it has one.
    Proved(Option<String>),
    /// The client is to be closed.
    Refused(Reason),
}

impl Server {
    /// A server that has sent nothing yet. `challenge` must be fresh random bytes.
    pub fn new(digest: Digest, keyring: Rc<Keyring>, challenge: [u8; CHALLENGE_LEN]) -> Self {
        Self {
            digest,
            keyring,
            challenge,
            answer: Vec::with_capacity(digest.hex_len()),
            over: false,
        }
    }

    /// The bytes to send first.
    pub fn challenge(&self) -> &[u8; CHALLENGE_LEN] {
        &self.challenge
    }

    /// How many bytes may be read from the client now; 0 after the verdict.
    pub fn wanted(&self) -> usize {
        if self.over {
            return 0;
        }
        self.digest.hex_len() - self.answer.len()
    }

    /// Takes what was read, at most [`Server::wanted`] bytes: more would be somebody's payload.
    pub fn feed(&mut self, bytes: &[u8]) -> Progress {
        debug_assert!(bytes.len() <= self.wanted(), "payload was read");
        let before = self.answer.len();
        self.answer.extend_from_slice(&bytes[..bytes.len().min(self.wanted())]);
        let stray = self.answer[before..].iter().position(|b| !is_digit(*b));
        if let Some(at) = stray {
            self.over = true;
            return Progress::Refused(Reason::stray(&self.answer, before + at));
        }
        if self.wanted() > 0 {
            return Progress::More;
        }
        self.over = true;
        self.judge()
    }

    /// Every key is tried, and every comparison made to its end: the time it takes tells
    /// neither which key it was nor how much of an answer was right.
    fn judge(&self) -> Progress {
        let keys = self.keyring.keys();
        let mut found = u64::MAX;
        for (index, key) in (0..).zip(keys) {
            let expected = hex::encode(self.digest.mac(key.bytes(), &self.challenge));
            let equal = expected.as_bytes().ct_eq(&self.answer);
            found.conditional_assign(&index, equal);
        }
        match usize::try_from(found).ok().and_then(|found| keys.get(found)) {
            Some(key) => Progress::Proved(key.name.clone()),
            None => Progress::Refused(Reason::WrongKey(self.digest)),
        }
    }

    /// The client has ended (or was reset) before its answer was complete.
    pub fn ended(&self) -> Reason {
        Reason::Ended { got: self.answer.len(), digest: self.digest }
    }

    /// The deadline has passed before the answer was complete.
    pub fn timed_out(&self) -> Reason {
        Reason::TimedOut { got: self.answer.len(), digest: self.digest }
    }
}

/// The side that wants in.
pub struct Client {
    digest: Digest,
    keyring: Rc<Keyring>,
    challenge: Vec<u8>,
    over: bool,
}

/// What came of bytes that were fed to a [`Client`].
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The challenge is not complete.
    More,
    /// The answer to send. Payload may follow it at once.
    Answer(String),
    /// This is no challenge.
    Refused(NoChallenge),
}

impl Client {
    /// A client that proves the first key of the ring.
    pub fn new(digest: Digest, keyring: Rc<Keyring>) -> Self {
        Self { digest, keyring, challenge: Vec::with_capacity(CHALLENGE_LEN), over: false }
    }

    /// How many bytes may be read from the server now; 0 after the answer.
    pub fn wanted(&self) -> usize {
        if self.over {
            return 0;
        }
        CHALLENGE_LEN - self.challenge.len()
    }

    /// Takes what was read, at most [`Client::wanted`] bytes: byte 33 on is payload.
    pub fn feed(&mut self, bytes: &[u8]) -> Step {
        debug_assert!(bytes.len() <= self.wanted(), "payload was read");
        self.challenge.extend_from_slice(&bytes[..bytes.len().min(self.wanted())]);
        let frame = self.challenge.get(4..).unwrap_or_default();
        if self.challenge.starts_with(&[0, 0]) && frame.starts_with(PYTHON) {
            self.over = true;
            return Step::Refused(NoChallenge::Python);
        }
        if self.wanted() > 0 {
            return Step::More;
        }
        self.over = true;
        let mac = self.digest.mac(self.keyring.first().bytes(), &self.challenge);
        Step::Answer(hex::encode(mac))
    }

    /// The server has ended (or was reset) before its challenge was complete.
    pub fn ended(&self) -> NoChallenge {
        NoChallenge::Ended(self.challenge.len())
    }

    /// The deadline has passed before the challenge was complete.
    pub fn timed_out(&self) -> NoChallenge {
        NoChallenge::TimedOut(self.challenge.len())
    }
}

impl handshake::Host for Server {
    fn greeting(&self) -> &[u8] {
        self.challenge()
    }

    fn wanted(&self) -> usize {
        self.wanted()
    }

    fn feed(&mut self, bytes: &[u8], _reply: &mut Vec<u8>) -> Verdict<Proved> {
        match self.feed(bytes) {
            Progress::More => Verdict::More,
            Progress::Proved(key) => Verdict::Proved(Proved { key, session: None }),
            Progress::Refused(why) => Verdict::Refused(why.into()),
        }
    }

    fn ended(&self) -> Refusal {
        self.ended().into()
    }

    fn timed_out(&self) -> Refusal {
        self.timed_out().into()
    }
}

impl handshake::Guest for Client {
    fn greeting(&self) -> &[u8] {
        b""
    }

    fn wanted(&self) -> usize {
        self.wanted()
    }

    fn feed(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Verdict<Session> {
        match self.feed(bytes) {
            Step::More => Verdict::More,
            Step::Answer(answer) => {
                reply.extend_from_slice(answer.as_bytes());
                Verdict::Proved(None)
            }
            Step::Refused(why) => {
                Verdict::Refused(Refusal::new(why.to_string(), Exit::NotAuthenticated))
            }
        }
    }

    fn ended(&self) -> Refusal {
        Refusal::new(self.ended().to_string(), Exit::Broken)
    }

    fn timed_out(&self) -> Refusal {
        Refusal::new(self.timed_out().to_string(), Exit::TimedOut)
    }
}

impl From<Reason> for Refusal {
    fn from(why: Reason) -> Self {
        let refusal = Self::new(why.to_string(), Exit::NotAuthenticated);
        if why.is_wrong_proof() {
            // This wire has no verdict.
            refusal.wrong_proof(b"")
        } else {
            refusal
        }
    }
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}
