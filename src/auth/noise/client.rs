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
use crate::net::handshake::{Handshake, Next, Outcome, Progress, Refusal, Stop};

/// The length of a REFUSED record, which carries a reason.
const REFUSED: u8 = SHORTEST + 1;

const OTHER_PROTOCOL: &str =
    "the server does not use the encrypted protocol; does it use auth-serve --digest?";

/// The client's side of a handshake.
pub struct Client {
    key: Option<String>,
    hello: Vec<u8>,
    expected: Expected,
}

/// The message of the peer that is expected.
#[derive(Default)]
enum Expected {
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
            let key = identity.keys[0].key.name.clone();
            Ok(Self { key, hello, expected: Expected::Message(Box::new(state)) })
        };
        begin().map_err(|e| failure(&e))
    }
}

impl Handshake for Client {
    fn start(&mut self) -> (Vec<u8>, usize) {
        (take(&mut self.hello), MESSAGE_LENGTH.len())
    }

    fn receive(&mut self, received: &[u8], reply: &mut Vec<u8>) -> Progress {
        let is_verdict = matches!(self.expected, Expected::Verdict(_));
        let length = if is_verdict { verdict_length(received) } else { message_length(received)? };
        if received.len() < length {
            return Ok(Next::Rest(length - received.len()));
        }
        match take(&mut self.expected) {
            Expected::Message(state) => {
                let Ok(mut records) = read_message(*state, &received[2..]).and_then(records) else {
                    return Err(refused(
                        "the server does not have our key, or the connection is tampered with",
                    ));
                };
                records.write(Record::Ready, &[], reply).map_err(|e| refused(&e.cause))?;
                self.expected = Expected::Verdict(records);
                Ok(Next::Message(2))
            }
            Expected::Verdict(records) => verdict(records, &received[2..], self.key.take()),
            Expected::Over => Err(refused(OTHER_PROTOCOL)),
        }
    }

    fn stopped(&self, stop: Stop, received: &[u8]) -> Refusal {
        match self.expected {
            Expected::Message(_) if received == NO_KEY => {
                refused("the server rejected our key: wrong key, or another --context")
            }
            Expected::Message(_) => {
                let hint = "; is it an auth-serve without --digest?";
                stop.refusal("the server", "answer", received.len(), hint)
            }
            _ => stop.refusal("the server", "verdict", received.len(), ""),
        }
    }
}

/// The length of message 2, as far as it is known, with its length field.
fn message_length(received: &[u8]) -> Result<usize, Refusal> {
    match received {
        // The end may follow, or this is the length of a Python listener's challenge.
        [0, 0, rest @ ..] => match rest.get(2..).unwrap_or_default() {
            PYTHON_CHALLENGE => {
                Err(refused("the server uses Python's multiprocessing protocol; use --python here"))
            }
            frame if PYTHON_CHALLENGE.starts_with(frame) => Ok(4 + PYTHON_CHALLENGE.len()),
            _ => Err(refused(OTHER_PROTOCOL)),
        },
        [a, b, ..] if [*a, *b] == MESSAGE_LENGTH => Ok(FRAMED),
        [a, b, ..] if PREFACE.starts_with(&[*a, *b]) => {
            Err(refused("the server sends back what it gets: it is not an auth-serve"))
        }
        [_, _, ..] => Err(refused(OTHER_PROTOCOL)),
        _ => Ok(MESSAGE_LENGTH.len()),
    }
}

/// The same of WELCOME or REFUSED.
fn verdict_length(received: &[u8]) -> usize {
    match received {
        [0, length @ (SHORTEST | REFUSED), ..] => 2 + usize::from(*length),
        _ => 2,
    }
}

/// What the server has made of our READY.
fn verdict(mut records: Box<Records>, record: &[u8], key: Option<String>) -> Progress {
    let why = match records.read(record) {
        Ok((Record::Welcome, [])) => {
            return Ok(Next::Payload(Outcome { key, codec: Some(records), ..Outcome::default() }));
        }
        Ok((Record::Refused, [byte])) => *byte,
        _ => {
            return Err(Refusal::new("the server's verdict was changed on its way", Exit::Broken));
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

fn refused(reason: &str) -> Refusal {
    Refusal::new(reason, Exit::NotAuthenticated)
}
