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

use sha2::{Sha256, Sha384};
use subtle::ConstantTimeEq;

use super::digest::{Digest, mac};
use super::handshake::{Guest, Host, Proved, Refusal, Session, Verdict};
use super::key::{Key, Keyring};
use crate::exit::{Exit, Failure};
use crate::layer::Layer;

mod frames;
#[cfg(test)]
mod tests;

pub use frames::{Frames, Unit};

const CHALLENGE: &[u8] = b"#CHALLENGE#";
const WELCOME: &[u8] = b"#WELCOME#";
const FAILURE: &[u8] = b"#FAILURE#";
/// `FAILURE` as a frame.
const FAREWELL: &[u8] = b"\0\0\0\x09#FAILURE#";
/// What our own challenges begin with.
const PREFIX: &[u8] = b"{sha256}";
/// The longest frame of a handshake (Python's own limit).
const LONGEST: usize = 256;
/// The length of a challenge of Python 3.11 and older, and of its answer.
const OLD_CHALLENGE: usize = 20;
const OLD_ANSWER: usize = 16;

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

/// One side of a handshake.
struct Side {
    secrets: Rc<Secrets>,
    /// Our challenge, without its mark.
    challenge: Vec<u8>,
    greeting: Vec<u8>,
    held: Vec<u8>,
    stage: Stage,
    /// The first to challenge.
    listens: bool,
    /// The key the peer has proved.
    proved: Option<usize>,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Challenge,
    Verdict,
    Answer,
    Over,
}

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

impl Side {
    fn new(secrets: Rc<Secrets>, random: [u8; 40], listens: bool) -> Self {
        let challenge = [PREFIX, &random].concat();
        let mut greeting = Vec::new();
        if listens {
            frame(&[CHALLENGE, &challenge].concat(), &mut greeting);
        }
        Self {
            secrets,
            challenge,
            greeting,
            held: Vec::with_capacity(4 + LONGEST),
            stage: if listens {
                Stage::Answer
            } else {
                Stage::Challenge
            },
            listens,
            proved: None,
        }
    }

    /// The length of the frame that is being read, once it is known.
    fn length(&self) -> Option<Result<usize, i32>> {
        let length = self.held.first_chunk().copied().map(i32::from_be_bytes)?;
        Some(
            usize::try_from(length)
                .ok()
                .filter(|length| *length <= LONGEST)
                .ok_or(length),
        )
    }

    fn wanted(&self) -> usize {
        match (self.stage, self.length()) {
            (Stage::Over, _) | (_, Some(Err(_))) => 0,
            (_, None) => 4 - self.held.len(),
            (_, Some(Ok(length))) => 4 + length - self.held.len(),
        }
    }

    /// Takes what was read; the key that was proved, once all is.
    fn feed(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Verdict<usize> {
        debug_assert!(bytes.len() <= self.wanted(), "payload was read");
        self.held
            .extend_from_slice(&bytes[..bytes.len().min(self.wanted())]);
        if self.length().is_some_and(|length| length.is_err()) {
            return self.refuse(Refusal::new(self.strange(), Exit::Unproved));
        }
        if self.wanted() > 0 {
            return Verdict::More;
        }
        let message = self.held.split_off(4);
        self.held.clear();
        let next = match self.stage {
            Stage::Challenge => self.answer(&message, reply),
            Stage::Verdict => self.verdict(&message, reply),
            Stage::Answer => self.judge(&message, reply),
            Stage::Over => return Verdict::More,
        };
        match next {
            Ok(Stage::Over) => {
                self.stage = Stage::Over;
                Verdict::Proved(self.proved.unwrap_or_default())
            }
            Ok(stage) => {
                self.stage = stage;
                Verdict::More
            }
            Err(why) => self.refuse(why),
        }
    }

    fn refuse(&mut self, why: Refusal) -> Verdict<usize> {
        self.stage = Stage::Over;
        Verdict::Refused(why)
    }

    /// The key that answers: a listener answers with the one that was proved to it.
    fn key(&self) -> &Key {
        let keys = self.secrets.keyring.keys();
        &keys[self.proved.unwrap_or_default()]
    }

    fn answer(&self, message: &[u8], reply: &mut Vec<u8>) -> Result<Stage, Refusal> {
        let unproved = |why: &str| Refusal::new(why, Exit::Unproved);
        let challenge = message
            .strip_prefix(CHALLENGE)
            .ok_or_else(|| unproved("no challenge of Python's multiprocessing came"))?;
        // A peer must not have us answer what we asked it.
        if challenge == self.challenge {
            return Err(unproved("our own challenge came back"));
        }
        let answer = match named(challenge) {
            Some((name, _)) => {
                let mac = Mac::named(name, self.secrets.md5).ok_or_else(|| {
                    unproved("the challenge asks for a digest that is not allowed here")
                })?;
                [b"{", name, b"}", &mac.of(self.key(), challenge)[..]].concat()
            }
            None if challenge.len() != OLD_CHALLENGE => {
                return Err(unproved("a challenge of an unknown form"));
            }
            None if !self.secrets.md5 => return Err(unproved(OLD)),
            None => Mac::Md5.of(self.key(), challenge),
        };
        frame(&answer, reply);
        Ok(Stage::Verdict)
    }

    fn verdict(&self, message: &[u8], reply: &mut Vec<u8>) -> Result<Stage, Refusal> {
        if message == FAILURE {
            let why = if self.listens {
                "the client does not accept our answer"
            } else {
                "the server does not accept our answer: wrong key?"
            };
            return Err(Refusal::new(why, Exit::Unproved));
        }
        if message != WELCOME {
            return Err(Refusal::new(
                "neither welcome nor failure came",
                Exit::Unproved,
            ));
        }
        if self.listens {
            return Ok(Stage::Over);
        }
        frame(&[CHALLENGE, &self.challenge].concat(), reply);
        Ok(Stage::Answer)
    }

    fn judge(&mut self, message: &[u8], reply: &mut Vec<u8>) -> Result<Stage, Refusal> {
        let wrong = |why: &str| Refusal::new(why, Exit::Unproved).wrong_proof(FAREWELL);
        let (mac, answer) = match named(message) {
            Some((name, answer)) => {
                let mac = Mac::named(name, self.secrets.md5);
                (
                    mac.ok_or_else(|| wrong("a digest that is not allowed here"))?,
                    answer,
                )
            }
            None if message.len() == OLD_ANSWER && self.secrets.md5 => (Mac::Md5, message),
            None if message.len() == OLD_ANSWER => {
                let mut refusal = Refusal::new(OLD, Exit::Unproved);
                refusal.farewell = FAREWELL;
                return Err(refusal);
            }
            None => return Err(wrong("an answer of an unknown form")),
        };
        // Every key is tried: the time it takes does not tell which one it was.
        let keys = if self.listens {
            self.secrets.keyring.keys()
        } else {
            &self.secrets.keyring.keys()[..1]
        };
        for (index, key) in keys.iter().enumerate() {
            if bool::from(mac.of(key, &self.challenge).ct_eq(answer)) {
                self.proved = Some(index);
            }
        }
        if self.proved.is_none() {
            return Err(wrong(if self.listens {
                "wrong key"
            } else {
                "the server does not hold this key"
            }));
        }
        frame(WELCOME, reply);
        Ok(if self.listens {
            Stage::Challenge
        } else {
            Stage::Over
        })
    }

    /// What a frame that is none gives away.
    fn strange(&self) -> &'static str {
        match self.held[..] {
            [b'S', b'K', b'C', b'T', ..] => {
                "the client speaks the encrypted protocol; drop --python here or add it there"
            }
            _ => "this is not Python's multiprocessing protocol; is --python right here?",
        }
    }

    fn ended(&self) -> Refusal {
        let peer = if self.listens { "client" } else { "server" };
        let waited = match self.stage {
            Stage::Challenge => "challenge",
            Stage::Verdict => "welcome",
            Stage::Answer | Stage::Over => "answer",
        };
        Refusal::new(
            format!("the {peer} closed without its {waited}"),
            Exit::Broken,
        )
    }

    fn timed_out(&self) -> Refusal {
        let waited = match self.stage {
            Stage::Challenge => "challenge",
            Stage::Verdict => "welcome",
            Stage::Answer | Stage::Over => "answer",
        };
        let hint = if self.held.is_empty() {
            "; does the other side use --python?"
        } else {
            ""
        };
        Refusal::new(format!("no {waited} in time{hint}"), Exit::TimedOut)
    }

    fn frames(&self) -> Box<dyn Layer> {
        Box::new(Frames::new(self.secrets.unit))
    }
}

const OLD: &str = "the other side speaks MD5 (Python 3.11 or older); --digest md5 would allow it";

/// A MAC that Python may name.
#[derive(Clone, Copy)]
enum Mac {
    Md5,
    Sha256,
    Sha384,
}

impl Mac {
    fn named(name: &[u8], md5: bool) -> Option<Self> {
        match name {
            b"md5" if md5 => Some(Self::Md5),
            b"sha256" => Some(Self::Sha256),
            b"sha384" => Some(Self::Sha384),
            _ => None,
        }
    }

    fn of(self, key: &Key, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => Digest::Md5.mac(key.bytes(), message),
            Self::Sha256 => mac::<Sha256>(key.bytes(), message),
            Self::Sha384 => mac::<Sha384>(key.bytes(), message),
        }
    }
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

/// Appends a frame.
fn frame(message: &[u8], wire: &mut Vec<u8>) {
    frames::header(message.len(), wire);
    wire.extend_from_slice(message);
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
