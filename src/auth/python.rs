//! The handshake and framing of Python's `multiprocessing.connection`, both roles. Pure.
//!
//! ```text
//! Listener                                             Client
//!    | -- #CHALLENGE# {sha256} 40 random bytes ------> |
//!    | <--------- {sha256} HMAC(key, challenge) ------ |  the MAC covers the {sha256} too
//!    | -- #WELCOME# or #FAILURE# --------------------> |
//!    | <-------- #CHALLENGE# {sha256} 40 random bytes  |  and now the other way round
//!    | -- {sha256} HMAC(key, challenge) -------------> |
//!    | <----------------- #WELCOME# or #FAILURE# ----- |
//!    | <======= frames, whatever is in them =========> |
//!
//! frame   an i32 length, big-endian, then the bytes; longer than i32: -1, then a u64 length
//! ```
//!
//! Python up to 3.11 knows no digest's name: its challenges are 20 bytes, its answers bare
//! HMAC-MD5. That is spoken only where MD5 is allowed. What is in a frame is payload: nothing is
//! ever pickled or unpickled.

use std::rc::Rc;

use super::digest::Digest;
use super::handshake::{Guest, Host, Proved, Refusal, Session, Verdict};
use super::key::Keyring;
use crate::exit::Failure;

mod frames;
mod mac;
mod side;
#[cfg(test)]
mod tests;

pub use frames::{Frames, Unit};
use side::Side;

/// What a handshake is made with.
pub struct Secrets {
    /// The keys that open a listener; a client proves the first.
    pub keyring: Rc<Keyring>,
    /// Whether Python 3.11 and older may prove it with MD5.
    pub md5: bool,
    /// What is a message once it is over.
    pub unit: Unit,
}

impl Secrets {
    /// Whether `--digest` allows MD5; only that and sha256 are names that Python knows, too.
    pub fn allows_md5(digest: Option<Digest>) -> Result<bool, Failure> {
        match digest {
            None | Some(Digest::Sha256) => Ok(false),
            Some(Digest::Md5) => Ok(true),
            Some(digest) => Err(Failure::usage(format!(
                "Python's multiprocessing knows no {digest}; with --python, --digest is sha256 or md5"
            ))),
        }
    }
}

/// The side that delivers its challenge first: `multiprocessing.connection.Listener`.
pub struct Listener(Side);

/// The side that answers first: `multiprocessing.connection.Client`.
pub struct Client(Side);

impl Listener {
    /// A listener that has said nothing yet. `random` must be fresh random bytes.
    pub fn new(secrets: Rc<Secrets>, random: [u8; 40]) -> Self {
        Self(Side::new(secrets, random, true))
    }
}

impl Client {
    /// A client that has heard nothing yet. `random` must be fresh random bytes.
    pub fn new(secrets: Rc<Secrets>, random: [u8; 40]) -> Self {
        Self(Side::new(secrets, random, false))
    }
}

impl Host for Listener {
    fn greeting(&self) -> &[u8] {
        &self.0.greeting
    }

    fn wanted(&self) -> usize {
        self.0.wanted()
    }

    fn feed(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Verdict<Proved> {
        match self.0.feed(bytes, reply) {
            Verdict::More => Verdict::More,
            Verdict::Refused(why) => Verdict::Refused(why),
            Verdict::Proved(_) => Verdict::Proved(Proved {
                key: self.0.key().name.clone(),
                session: Some(self.0.frames()),
            }),
        }
    }

    fn ended(&self) -> Refusal {
        self.0.ended()
    }

    fn timed_out(&self) -> Refusal {
        self.0.timed_out()
    }
}

impl Guest for Client {
    fn greeting(&self) -> &[u8] {
        &self.0.greeting
    }

    fn wanted(&self) -> usize {
        self.0.wanted()
    }

    fn feed(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Verdict<Session> {
        match self.0.feed(bytes, reply) {
            Verdict::More => Verdict::More,
            Verdict::Refused(why) => Verdict::Refused(why),
            Verdict::Proved(_) => Verdict::Proved(Some(self.0.frames())),
        }
    }

    fn ended(&self) -> Refusal {
        self.0.ended()
    }

    fn timed_out(&self) -> Refusal {
        self.0.timed_out()
    }
}
