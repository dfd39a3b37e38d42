//! One side of a handshake: what it waits for, and what it answers. Both challenge and both answer;
//! they differ in who begins.

use std::rc::Rc;

use subtle::ConstantTimeEq;

use super::frames::frame;
use super::mac::{Mac, OLD_ANSWER, OLD_CHALLENGE, named};
use super::{Frames, Secrets};
use crate::auth::handshake::{Refusal, Verdict};
use crate::auth::key::Key;
use crate::exit::Exit;
use crate::layer::Layer;

pub(super) const CHALLENGE: &[u8] = b"#CHALLENGE#";
const WELCOME: &[u8] = b"#WELCOME#";
const FAILURE: &[u8] = b"#FAILURE#";
/// `FAILURE` as a frame.
pub(super) const FAREWELL: &[u8] = b"\0\0\0\x09#FAILURE#";
/// What our own challenges begin with.
pub(super) const PREFIX: &[u8] = b"{sha256}";
/// The longest frame of a handshake (Python's own limit).
const LONGEST: usize = 256;
const OLD: &str = "the other side speaks MD5 (Python 3.11 or older); --digest md5 would allow it";

/// One side of a handshake.
pub(super) struct Side {
    secrets: Rc<Secrets>,
    /// Our challenge, without its mark.
    challenge: Vec<u8>,
    pub(super) greeting: Vec<u8>,
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

impl Side {
    pub(super) fn new(secrets: Rc<Secrets>, random: [u8; 40], listens: bool) -> Self {
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
            stage: if listens { Stage::Answer } else { Stage::Challenge },
            listens,
            proved: None,
        }
    }

    /// The length of the frame that is being read, once it is known.
    fn length(&self) -> Option<Result<usize, i32>> {
        let length = self.held.first_chunk().copied().map(i32::from_be_bytes)?;
        Some(usize::try_from(length).ok().filter(|length| *length <= LONGEST).ok_or(length))
    }

    pub(super) fn wanted(&self) -> usize {
        match (self.stage, self.length()) {
            (Stage::Over, _) | (_, Some(Err(_))) => 0,
            (_, None) => 4 - self.held.len(),
            (_, Some(Ok(length))) => 4 + length - self.held.len(),
        }
    }

    /// Takes what was read; the key that was proved, once all is.
    pub(super) fn feed(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Verdict<usize> {
        debug_assert!(bytes.len() <= self.wanted(), "payload was read");
        self.held.extend_from_slice(&bytes[..bytes.len().min(self.wanted())]);
        if self.length().is_some_and(|length| length.is_err()) {
            return self.refuse(Refusal::new(self.strange(), Exit::NotAuthenticated));
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
    pub(super) fn key(&self) -> &Key {
        let keys = self.secrets.keyring.keys();
        &keys[self.proved.unwrap_or_default()]
    }

    fn answer(&self, message: &[u8], reply: &mut Vec<u8>) -> Result<Stage, Refusal> {
        let unproved = |why: &str| Refusal::new(why, Exit::NotAuthenticated);
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
            return Err(Refusal::new(why, Exit::NotAuthenticated));
        }
        if message != WELCOME {
            return Err(Refusal::new("neither welcome nor failure came", Exit::NotAuthenticated));
        }
        if self.listens {
            return Ok(Stage::Over);
        }
        frame(&[CHALLENGE, &self.challenge].concat(), reply);
        Ok(Stage::Answer)
    }

    fn judge(&mut self, message: &[u8], reply: &mut Vec<u8>) -> Result<Stage, Refusal> {
        let wrong = |why: &str| Refusal::new(why, Exit::NotAuthenticated).wrong_proof(FAREWELL);
        let (mac, answer) = match named(message) {
            Some((name, answer)) => {
                let mac = Mac::named(name, self.secrets.md5);
                (mac.ok_or_else(|| wrong("a digest that is not allowed here"))?, answer)
            }
            None if message.len() == OLD_ANSWER && self.secrets.md5 => (Mac::Md5, message),
            None if message.len() == OLD_ANSWER => {
                let mut refusal = Refusal::new(OLD, Exit::NotAuthenticated);
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
        Ok(if self.listens { Stage::Challenge } else { Stage::Over })
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

    pub(super) fn ended(&self) -> Refusal {
        let peer = if self.listens { "client" } else { "server" };
        let waited = match self.stage {
            Stage::Challenge => "challenge",
            Stage::Verdict => "welcome",
            Stage::Answer | Stage::Over => "answer",
        };
        Refusal::new(format!("the {peer} closed without its {waited}"), Exit::Broken)
    }

    pub(super) fn timed_out(&self) -> Refusal {
        let waited = match self.stage {
            Stage::Challenge => "challenge",
            Stage::Verdict => "welcome",
            Stage::Answer | Stage::Over => "answer",
        };
        let hint = if self.held.is_empty() { "; does the other side use --python?" } else { "" };
        Refusal::new(format!("no {waited} in time{hint}"), Exit::TimedOut)
    }

    pub(super) fn frames(&self) -> Box<dyn Layer> {
        Box::new(Frames::new(self.secrets.unit))
    }
}
