//! The client's side.
//!
//! | while it waits for | the server sends                   | then                              |
//! |--------------------|------------------------------------|-----------------------------------|
//! | message 2          | `00 00` and the end                | refused: no key opens our hello   |
//! |                    | another protocol's first bytes     | refused, with a hint              |
//! |                    | message 2                          | READY                             |
//! | the verdict        | WELCOME                            | done                              |
//! |                    | REFUSED                            | refused, with its reason          |

use std::mem::take;

use snow::HandshakeState;

use super::{
    FRAMED, Identity, MESSAGE_LENGTH, NO_KEY, PREFACE, failure, read_message, records,
    write_message,
};
use crate::auth::PYTHON_CHALLENGE;
use crate::codec::noise::{Record, Records, SHORTEST};
use crate::exit::{Exit, Failure};
use crate::net::codec::Reject;
use crate::net::handshake::{Handshake, Outcome, Progress, Refusal};

/// The length of a REFUSED record, which carries a reason.
const REFUSED: u8 = SHORTEST + 1;

const OTHER_PROTOCOL: &str =
    "the server does not use the encrypted protocol; does it use auth-serve --digest?";

/// The client's side of a handshake.
pub struct Client {
    hello: Vec<u8>,
    held: Vec<u8>,
    state: State,
}

/// What is waited for.
#[derive(Default)]
enum State {
    Message(Box<HandshakeState>),
    Verdict(Box<Records>),
    #[default]
    Over,
}

impl Client {
    /// A client that proves the first key. Fails where there is no randomness.
    pub fn new(identity: &Identity) -> Result<Self, Failure> {
        let begin = || {
            let mut state = identity.builder(&identity.keys[0])?.build_initiator()?;
            let hello = [&PREFACE[..], &write_message(&mut state)?].concat();
            let state = State::Message(Box::new(state));
            Ok(Self { hello, held: Vec::with_capacity(FRAMED), state })
        };
        begin().map_err(|e| failure(&e))
    }

    /// The session before its verdict.
    #[cfg(test)]
    pub(super) fn take_records(&mut self) -> Box<Records> {
        match take(&mut self.state) {
            State::Verdict(records) => records,
            _ => panic!("it waits for no verdict"),
        }
    }

    fn step(&mut self, reply: &mut Vec<u8>) -> Progress {
        match self.state {
            State::Message(_) => self.message(reply).map(|()| None),
            State::Verdict(_) if self.wanted() == 0 => self.verdict().map(Some),
            _ => Ok(None),
        }
    }

    fn message(&mut self, reply: &mut Vec<u8>) -> Result<(), Refusal> {
        if self.held.starts_with(NO_KEY) {
            // The end may follow, or this is the length of a Python listener's challenge.
            let frame = self.held.get(4..).unwrap_or_default();
            return match frame {
                PYTHON_CHALLENGE => {
                    refuse("the server uses Python's multiprocessing protocol; use --python here")
                }
                _ if PYTHON_CHALLENGE.starts_with(frame) => Ok(()),
                _ => refuse(OTHER_PROTOCOL),
            };
        }
        match self.held.get(..2) {
            None => return Ok(()),
            Some(length) if length == MESSAGE_LENGTH => {}
            Some(length) if PREFACE.starts_with(length) => {
                return refuse("the server sends back what it gets: it is no auth-serve");
            }
            Some(_) => return refuse(OTHER_PROTOCOL),
        }
        if self.held.len() < FRAMED {
            return Ok(());
        }
        let State::Message(state) = take(&mut self.state) else { return Ok(()) };
        let Ok(mut records) = read_message(*state, &self.held[2..]).and_then(records) else {
            return refuse("the server does not have our key, or the connection is tampered with");
        };
        self.held.clear();
        records.write(Record::Ready, &[], reply).or_else(|e| refuse(&e.0))?;
        self.state = State::Verdict(records);
        Ok(())
    }

    fn verdict(&mut self) -> Result<Outcome, Refusal> {
        let State::Verdict(mut records) = take(&mut self.state) else {
            return refuse(OTHER_PROTOCOL);
        };
        let why = match records.read(&self.held[2..]) {
            Ok((Record::Welcome, [])) => {
                return Ok(Outcome { codec: Some(records), ..Outcome::default() });
            }
            Ok((Record::Refused, [byte])) => *byte,
            _ => {
                let reason = "the server's verdict was changed on its way";
                return Err(Refusal::new(reason, Exit::Broken));
            }
        };
        let (reason, exit) = match Reject::ALL.into_iter().find(|reject| *reject as u8 == why) {
            Some(Reject::Auth) => ("the server does not accept this key", Exit::NotAuthenticated),
            Some(Reject::Full) => ("rejected: the server is full", Exit::Refused),
            Some(Reject::Access) => ("rejected: our address is not allowed", Exit::Refused),
            Some(Reject::Shutdown) => ("rejected: the server is stopping", Exit::Refused),
            None => ("rejected", Exit::Refused),
        };
        Err(Refusal::new(reason, exit))
    }
}

fn refuse<T>(reason: &str) -> Result<T, Refusal> {
    Err(Refusal::new(reason, Exit::NotAuthenticated))
}

impl Handshake for Client {
    fn greeting(&mut self) -> Vec<u8> {
        take(&mut self.hello)
    }

    fn wanted(&self) -> usize {
        let whole = match self.state {
            State::Message(_) if self.held.starts_with(NO_KEY) => 4 + PYTHON_CHALLENGE.len(),
            State::Message(_) if self.held.len() < 2 => 2,
            State::Message(_) => FRAMED,
            // WELCOME or REFUSED, with its length before it.
            State::Verdict(_) => match self.held[..] {
                [0, length @ (SHORTEST | REFUSED), ..] => 2 + usize::from(length),
                _ => 2,
            },
            State::Over => return 0,
        };
        whole.saturating_sub(self.held.len())
    }

    fn feed(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Progress {
        self.held.extend_from_slice(bytes);
        self.step(reply)
    }

    fn on_eof(&mut self) -> Refusal {
        let reason = match (&self.state, &self.held[..]) {
            (State::Message(_), NO_KEY) => return no_key(),
            (State::Message(_), []) => {
                "the server closed without an answer; is it an auth-serve without --digest?".into()
            }
            (State::Message(_), held) => {
                format!("the server closed after {} of {FRAMED} bytes of its answer", held.len())
            }
            _ => "the server closed without a verdict".into(),
        };
        Refusal::new(reason, Exit::Broken)
    }

    fn on_timeout(&mut self) -> Refusal {
        let reason = match (&self.state, &self.held[..]) {
            (State::Message(_), NO_KEY) => return no_key(),
            (State::Message(_), []) => {
                "no answer in time; is it an auth-serve without --digest?".into()
            }
            (State::Message(_), held) => {
                format!("timed out after {} of {FRAMED} bytes of the server's answer", held.len())
            }
            _ => "no verdict of the server in time".into(),
        };
        Refusal::new(reason, Exit::TimedOut)
    }
}

/// `00 00`, and nothing behind it.
fn no_key() -> Refusal {
    let reason = "the server rejected our key: wrong key, or another --context";
    Refusal::new(reason, Exit::NotAuthenticated)
}
