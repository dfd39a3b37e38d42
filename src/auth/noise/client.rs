//! The side that wants in.
//!
//! | while it waits for | there comes                        | then                              |
//! |--------------------|------------------------------------|-----------------------------------|
//! | message 2          | `00 00` and the end                | refused: no key there opens ours  |
//! |                    | another protocol's first bytes     | refused, with a hint              |
//! |                    | it                                 | READY                             |
//! | the verdict        | WELCOME                            | proved                            |
//! |                    | REFUSED                            | refused, with its reason          |

use snow::HandshakeState;

use super::record::{Kind, SHORTEST};
use super::{
    FRAMED, Identity, MESSAGE, NO_KEY, PREFACE, PYTHON, Records, differs, failure, framed,
};
use crate::auth::handshake::{Guest, Refusal, Session, Verdict};
use crate::exit::{Exit, Failure};
use crate::layer::Away;

/// What of a Python listener's challenge tells it from our server's `00 00`.
const NO_KEY_OR_PYTHON: usize = 4 + PYTHON.len();

/// One handshake.
pub struct Client {
    hello: Vec<u8>,
    held: Vec<u8>,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    Message(Box<HandshakeState>),
    Verdict(Box<Records>),
    Over,
}

impl Client {
    /// A client that proves the first key. Fails where there is no randomness.
    pub fn new(identity: &Identity) -> Result<Self, Failure> {
        Self::begin(identity).map_err(|e| failure(&e))
    }

    fn begin(identity: &Identity) -> Result<Self, snow::Error> {
        let mut state = identity.initiator(&identity.keys.first().bytes)?;
        let mut hello = PREFACE.to_vec();
        hello.extend_from_slice(&framed(&mut state)?);
        Ok(Self { hello, held: Vec::with_capacity(FRAMED), stage: Stage::Message(Box::new(state)) })
    }

    fn message(&mut self, reply: &mut Vec<u8>) -> Verdict<Session> {
        if self.held.starts_with(NO_KEY) {
            let behind = self.held.get(4..).unwrap_or_default();
            if behind.is_empty() && self.held.get(2).is_none_or(|byte| *byte == 0) {
                return Verdict::More;
            }
            if behind == PYTHON {
                return self.refuse(
                    "the server speaks Python's multiprocessing protocol; use --python here",
                );
            }
            if differs(behind, PYTHON).is_none() {
                return Verdict::More;
            }
            return self.refuse(STRANGE);
        }
        match differs(&self.held, &[0, 48]) {
            Some(_) if self.held.len() < 2 => return Verdict::More,
            Some(_) if PREFACE.starts_with(&self.held[..2]) => {
                return self.refuse("the server sends back what it gets: it is no auth-serve");
            }
            Some(_) => return self.refuse(STRANGE),
            None if self.held.len() < FRAMED => return Verdict::More,
            None => {}
        }
        let Stage::Message(state) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return Verdict::More;
        };
        let Ok(mut records) = begin(*state, &self.held[2..]) else {
            return self.refuse("the server does not hold this key, or somebody is in between");
        };
        self.held.clear();
        match records.write(Kind::Ready, &[], reply) {
            Ok(()) => {
                self.stage = Stage::Verdict(Box::new(records));
                Verdict::More
            }
            Err(flaw) => self.refuse(flaw.0),
        }
    }

    fn verdict(&mut self) -> Verdict<Session> {
        if self.wanted() > 0 {
            return Verdict::More;
        }
        let Stage::Verdict(mut records) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return Verdict::More;
        };
        let away = match records.read(&self.held[2..]) {
            Ok((Kind::Welcome, [])) => return Verdict::Proved(Some(records)),
            Ok((Kind::Refused, [byte])) => Away::ALL.into_iter().find(|why| *why as u8 == *byte),
            _ => {
                let cause = "the server's verdict was changed on its way";
                return Verdict::Refused(Refusal::new(cause, Exit::Broken));
            }
        };
        let (cause, exit) = match away {
            Some(Away::Auth) => ("the server does not accept this key", Exit::NotAuthenticated),
            Some(Away::Full) => ("turned away: the server is full", Exit::Refused),
            Some(Away::Access) => {
                ("turned away: the server does not let our address in", Exit::Refused)
            }
            Some(Away::Shutdown) => ("turned away: the server is stopping", Exit::Refused),
            None => ("turned away", Exit::Refused),
        };
        Verdict::Refused(Refusal::new(cause, exit))
    }

    fn refuse(&mut self, why: impl Into<String>) -> Verdict<Session> {
        self.stage = Stage::Over;
        Verdict::Refused(Refusal::new(why, Exit::NotAuthenticated))
    }
}

const STRANGE: &str =
    "the server does not speak the encrypted protocol; does it use auth-serve --digest?";

/// Message 2 is read; the session begins.
fn begin(mut state: HandshakeState, message: &[u8]) -> Result<Records, snow::Error> {
    let mut nothing = [0; MESSAGE];
    match state.read_message(message, &mut nothing)? {
        0 => Ok(Records::new(state.into_transport_mode()?)),
        _ => Err(snow::Error::Input),
    }
}

impl Guest for Client {
    fn greeting(&self) -> &[u8] {
        &self.hello
    }

    fn wanted(&self) -> usize {
        let whole = match self.stage {
            Stage::Message(_) if self.held.starts_with(NO_KEY) => NO_KEY_OR_PYTHON,
            Stage::Message(_) if self.held.len() < 2 => 2,
            Stage::Message(_) => FRAMED,
            // One of the two that may come, with its length before it.
            Stage::Verdict(_) => match self.held[..] {
                [0, SHORTEST, ..] => 2 + usize::from(SHORTEST),
                [0, low, ..] if low == SHORTEST + 1 => 3 + usize::from(SHORTEST),
                _ => 2,
            },
            Stage::Over => return 0,
        };
        whole.saturating_sub(self.held.len())
    }

    fn feed(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Verdict<Session> {
        debug_assert!(bytes.len() <= self.wanted(), "payload was read");
        self.held.extend_from_slice(&bytes[..bytes.len().min(self.wanted())]);
        match self.stage {
            Stage::Message(_) => self.message(reply),
            Stage::Verdict(_) => self.verdict(),
            Stage::Over => Verdict::More,
        }
    }

    fn ended(&self) -> Refusal {
        let (reason, exit) = match (&self.stage, self.held.len()) {
            (Stage::Message(_), 2) if self.held == NO_KEY => {
                ("no key there opens ours: wrong key or --context".into(), Exit::NotAuthenticated)
            }
            (Stage::Message(_), 0) => (
                "the server closed without an answer; is it an auth-serve without --digest?".into(),
                Exit::Broken,
            ),
            (Stage::Message(_), got) => (
                format!("the server closed after {got} of {FRAMED} bytes of its answer"),
                Exit::Broken,
            ),
            _ => ("the server closed without a verdict".into(), Exit::Broken),
        };
        Refusal::new(reason, exit)
    }

    fn timed_out(&self) -> Refusal {
        let reason = match (&self.stage, self.held.len()) {
            (Stage::Message(_), 2) if self.held == NO_KEY => return self.ended(),
            (Stage::Message(_), 0) => {
                "no answer in time; is it an auth-serve without --digest?".into()
            }
            (Stage::Message(_), got) => {
                format!("timed out after {got} of {FRAMED} bytes of the server's answer")
            }
            _ => "the server did not let us in in time".into(),
        };
        Refusal::new(reason, Exit::TimedOut)
    }
}
