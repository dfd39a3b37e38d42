//! The handshake of Python's `multiprocessing.connection`, both roles.
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
//! ```
//!
//! Each message is a frame (see `codec::python`). Python up to 3.11 names no digest: its challenges
//! are 20 bytes, its answers bare HMAC-MD5, which `--digest md5` allows.

use std::rc::Rc;

use sha2::Sha384;
use subtle::ConstantTimeEq;

use super::digest::{self, Digest};
use super::key::{Key, Keyring};
use super::{NOISE_MAGIC, PYTHON_CHALLENGE};
use crate::codec::python::{Frames, Unit, frame};
use crate::exit::{Exit, Failure};
use crate::net::handshake::{Handshake, Next, Outcome, Progress, Refusal, Stop};

#[cfg(test)]
mod tests;

const WELCOME: &[u8] = b"#WELCOME#";
const FAILURE: &[u8] = b"#FAILURE#";
/// `FAILURE` as a frame.
const FAREWELL: &[u8] = b"\0\0\0\x09#FAILURE#";
/// The first bytes of our own challenges.
const PREFIX: &[u8] = b"{sha256}";
/// The bytes of a frame's length.
const LENGTH: usize = 4;
/// The longest message of a handshake (Python's own limit).
const LONGEST: usize = 256;
/// The lengths of a challenge and of an answer of Python 3.11 and older.
const OLD_CHALLENGE: usize = 20;
const OLD_ANSWER: usize = 16;
const OLD: &str = "the other side uses MD5 (Python 3.11 or older); allow it with --digest md5";

/// What a handshake is made with.
pub struct Secrets {
    /// The keys that a listener accepts; a client proves the first.
    pub keyring: Rc<Keyring>,
    /// Whether Python 3.11 and older may prove it with MD5.
    pub md5: bool,
    /// The unit of messages once it is over.
    pub unit: Unit,
}

impl Secrets {
    /// Whether `--digest` allows MD5; Python knows sha256, too, but no other of our names.
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

/// One side of a handshake.
pub struct Side {
    secrets: Rc<Secrets>,
    /// Our challenge, without its mark.
    challenge: Vec<u8>,
    /// The messages of the peer that are still to come.
    expected: &'static [Expected],
    listens: bool,
    /// The key that the peer has proved.
    proved: Option<usize>,
}

/// A message of the peer.
enum Expected {
    Challenge,
    Verdict,
    Answer,
}

/// Both sides challenge and answer; the listener challenges first.
const OF_CLIENT: &[Expected] = &[Expected::Answer, Expected::Challenge, Expected::Verdict];
const OF_LISTENER: &[Expected] = &[Expected::Challenge, Expected::Verdict, Expected::Answer];

impl Side {
    /// A `multiprocessing.connection.Listener`. `random` must be fresh random bytes.
    pub fn listener(secrets: Rc<Secrets>, random: [u8; 40]) -> Self {
        Self::new(secrets, random, true)
    }

    /// A `multiprocessing.connection.Client`. `random` must be fresh random bytes.
    pub fn client(secrets: Rc<Secrets>, random: [u8; 40]) -> Self {
        Self::new(secrets, random, false)
    }

    fn new(secrets: Rc<Secrets>, random: [u8; 40], listens: bool) -> Self {
        Self {
            secrets,
            challenge: [PREFIX, &random].concat(),
            expected: if listens { OF_CLIENT } else { OF_LISTENER },
            listens,
            proved: None,
        }
    }

    /// The key to answer with: a listener answers with the one that was proved to it.
    fn key(&self) -> &Key {
        &self.secrets.keyring.keys()[self.proved.unwrap_or_default()]
    }

    /// HMAC(key, message) with the digest of this name, if it is allowed.
    fn mac(&self, name: &[u8], key: &Key, message: &[u8]) -> Option<Vec<u8>> {
        match name {
            b"md5" if self.secrets.md5 => Some(Digest::Md5.mac(key.bytes(), message)),
            b"sha256" => Some(Digest::Sha256.mac(key.bytes(), message)),
            b"sha384" => Some(digest::mac::<Sha384>(key.bytes(), message)),
            _ => None,
        }
    }

    /// Our challenge as a frame.
    fn ask(&self, wire: &mut Vec<u8>) {
        frame(&[PYTHON_CHALLENGE, &self.challenge].concat(), wire);
    }

    fn answer(&self, message: &[u8], reply: &mut Vec<u8>) -> Result<(), Refusal> {
        let challenge = message
            .strip_prefix(PYTHON_CHALLENGE)
            .ok_or_else(|| refusal("the peer sent no challenge of Python's multiprocessing"))?;
        // A peer must not get our answer to our own challenge.
        if challenge == self.challenge {
            return Err(refusal("our own challenge came back"));
        }
        let (name, refused) = match named(challenge) {
            Some((name, _)) => (name, "the challenge asks for a digest that is not allowed here"),
            None if challenge.len() == OLD_CHALLENGE => (&b"md5"[..], OLD),
            None => return Err(refusal("a challenge of an unknown form")),
        };
        let mac = self.mac(name, self.key(), challenge).ok_or_else(|| refusal(refused))?;
        let is_bare = challenge.len() == OLD_CHALLENGE;
        frame(&if is_bare { mac } else { [b"{", name, b"}", &mac[..]].concat() }, reply);
        Ok(())
    }

    fn verdict(&self, message: &[u8], reply: &mut Vec<u8>) -> Result<(), Refusal> {
        match message {
            WELCOME if self.listens => Ok(()),
            WELCOME => {
                self.ask(reply);
                Ok(())
            }
            FAILURE if self.listens => Err(refusal("the client does not accept our answer")),
            FAILURE => Err(refusal("the server does not accept our answer: wrong key?")),
            _ => Err(refusal("the peer sent neither welcome nor failure")),
        }
    }

    fn judge(&mut self, message: &[u8], reply: &mut Vec<u8>) -> Result<(), Refusal> {
        let wrong = |reason: &str| refusal(reason).wrong_proof(FAREWELL);
        let (name, answer) = match named(message) {
            Some(parts) => parts,
            None if message.len() != OLD_ANSWER => {
                return Err(wrong("an answer of an unknown form"));
            }
            None if self.secrets.md5 => (&b"md5"[..], message),
            // No guess at the key.
            None => return Err(Refusal { farewell: FAREWELL, ..refusal(OLD) }),
        };
        let keys = self.secrets.keyring.keys();
        let keys = if self.listens { keys } else { &keys[..1] };
        // Every key is tried: the time it takes does not depend on which one it is.
        let mut proved = None;
        for (index, key) in keys.iter().enumerate() {
            let mac = self.mac(name, key, &self.challenge);
            let mac = mac.ok_or_else(|| wrong("a digest that is not allowed here"))?;
            if bool::from(mac.ct_eq(answer)) {
                proved = Some(index);
            }
        }
        self.proved = proved;
        match proved {
            None if self.listens => Err(wrong("wrong key")),
            None => Err(wrong("the server does not hold this key")),
            Some(_) => {
                frame(WELCOME, reply);
                Ok(())
            }
        }
    }
}

fn refusal(reason: &str) -> Refusal {
    Refusal::new(reason, Exit::NotAuthenticated)
}

/// `{NAME}REST`: the name, and what comes after it.
fn named(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = message.strip_prefix(b"{")?;
    // As in Python: a bare MAC may begin with the brace by chance.
    if message.len() == OLD_ANSWER || message.len() == OLD_CHALLENGE {
        return None;
    }
    let end = rest.iter().take(9).position(|byte| *byte == b'}')?;
    Some((&rest[..end], &rest[end + 1..]))
}

impl Handshake for Side {
    fn start(&mut self) -> (Vec<u8>, usize) {
        let mut greeting = Vec::new();
        if self.listens {
            self.ask(&mut greeting);
        }
        (greeting, LENGTH)
    }

    fn receive(&mut self, frame: &[u8], reply: &mut Vec<u8>) -> Progress {
        let Some((length, message)) = frame.split_first_chunk::<LENGTH>() else {
            return Ok(Next::Rest(LENGTH - frame.len()));
        };
        let length = match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) if length <= LONGEST => length,
            _ if NOISE_MAGIC.starts_with(frame) => {
                return Err(refusal(
                    "the client uses the encrypted protocol; drop --python here or add it there",
                ));
            }
            _ => {
                return Err(refusal(
                    "this is not Python's multiprocessing protocol; is --python right here?",
                ));
            }
        };
        if message.len() < length {
            return Ok(Next::Rest(length - message.len()));
        }
        match self.expected[0] {
            Expected::Challenge => self.answer(message, reply)?,
            Expected::Verdict => self.verdict(message, reply)?,
            Expected::Answer => self.judge(message, reply)?,
        }
        self.expected = &self.expected[1..];
        if !self.expected.is_empty() {
            return Ok(Next::Message(LENGTH));
        }
        Ok(Next::Payload(Outcome {
            key: self.key().name.clone(),
            codec: Some(Box::new(Frames::new(self.secrets.unit))),
            ..Outcome::default()
        }))
    }

    fn stopped(&self, stop: Stop, frame: &[u8]) -> Refusal {
        let peer = if self.listens { "the client" } else { "the server" };
        let message = match self.expected {
            [Expected::Challenge, ..] => "challenge",
            [Expected::Answer, ..] => "answer",
            [Expected::Verdict, ..] | [] => "welcome",
        };
        let is_first = self.expected.len() == OF_CLIENT.len();
        let hint = if is_first { "; does the other side use --python?" } else { "" };
        stop.refusal(peer, message, frame.len(), hint)
    }
}
