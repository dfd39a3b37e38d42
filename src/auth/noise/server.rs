//! The side that lets others in.
//!
//! | while it waits for | there comes                       | then                                |
//! |--------------------|-----------------------------------|-------------------------------------|
//! | the hello          | a byte that is none of it         | refused at once, nothing is said    |
//! |                    | a message 1 that no key opens     | refused, `00 00`: a wrong proof     |
//! |                    | one that a key opens              | message 2                           |
//! | READY              | it                                | proved                              |
//! |                    | anything else                     | refused, nothing said: a wrong proof |

use std::rc::Rc;

use snow::HandshakeState;

use super::record::{Kind, SHORTEST};
use super::{FRAMED, Identity, MESSAGE, NO_KEY, PREFACE, Records, differs, framed};
use crate::auth::handshake::{Host, Proved, Refusal, Verdict};
use crate::exit::Exit;

/// Preface and message 1.
const HELLO: usize = PREFACE.len() + FRAMED;
/// The READY record with its length.
const READY: usize = 2 + SHORTEST as usize;

/// One handshake.
pub struct Server {
    identity: Rc<Identity>,
    held: Vec<u8>,
    stage: Stage,
}

enum Stage {
    Hello,
    Ready { records: Box<Records>, key: Option<String> },
    Over,
}

impl Server {
    /// A server that has heard nothing yet.
    pub fn new(identity: Rc<Identity>) -> Self {
        Self { identity, held: Vec::with_capacity(HELLO), stage: Stage::Hello }
    }

    fn hello(&mut self, reply: &mut Vec<u8>) -> Verdict<Proved> {
        let begins = [&PREFACE[..], &[0, 48]].concat();
        if let Some(at) = differs(&self.held, &begins) {
            return self.refuse(stray(at));
        }
        if self.held.len() < HELLO {
            return Verdict::More;
        }
        let message = &self.held[HELLO - MESSAGE..];
        // Every key is tried: the time it takes does not tell which one it was.
        let mut found = None;
        for key in self.identity.keys.all() {
            let mut nothing = [0; MESSAGE];
            let opened = self.identity.responder(&key.bytes).and_then(|mut state| {
                state.read_message(message, &mut nothing).map(|length| (length, state))
            });
            if let Ok((0, state)) = opened {
                found = Some((state, key.name.clone()));
            }
        }
        self.held.clear();
        let Some((state, key)) = found else {
            let reason = "no key here opens its hello: wrong key or --context";
            return self.refuse(Refusal::new(reason, Exit::NotAuthenticated).wrong_proof(NO_KEY));
        };
        match answer(state, reply) {
            Ok(records) => {
                let records = Box::new(records);
                self.stage = Stage::Ready { records, key };
                Verdict::More
            }
            Err(snow::Error::Dh) => self.refuse(Refusal::new(LOW_ORDER, Exit::NotAuthenticated)),
            Err(e) => self.refuse(Refusal::new(format!("cannot answer: {e}"), Exit::Other)),
        }
    }

    fn refuse(&mut self, why: Refusal) -> Verdict<Proved> {
        self.stage = Stage::Over;
        Verdict::Refused(why)
    }

    fn ready(&mut self) -> Verdict<Proved> {
        let is_short = self.held.len() < READY;
        if is_short && differs(&self.held, &[0, SHORTEST]).is_none() {
            return Verdict::More;
        }
        let Stage::Ready { mut records, key } = std::mem::replace(&mut self.stage, Stage::Over)
        else {
            return Verdict::More;
        };
        let is_ready = !is_short
            && self.held[..2] == [0, SHORTEST]
            && matches!(records.read(&self.held[2..]), Ok((Kind::Ready, [])));
        if is_ready {
            let session = Some(records as _);
            return Verdict::Proved(Proved { key, session });
        }
        let reason = "its hello was a replay, or was changed on its way";
        self.refuse(Refusal::new(reason, Exit::NotAuthenticated).wrong_proof(b""))
    }
}

/// Whoever holds the key could otherwise have a session that others can read (RFC 7748, §6.1).
const LOW_ORDER: &str = "its hello makes no secret: a key of low order";

/// Message 2; the session begins.
fn answer(mut state: HandshakeState, reply: &mut Vec<u8>) -> Result<Records, snow::Error> {
    reply.extend_from_slice(&framed(&mut state)?);
    Ok(Records::new(state.into_transport_mode()?))
}

/// What the byte at `at`, the first that is none of a hello's, gives away.
fn stray(at: usize) -> Refusal {
    let reason = match at {
        0..6 => "this is no hello of the encrypted protocol; does the client use auth-connect?",
        6 | 7 => "the client speaks another version of the encrypted protocol",
        _ => "its hello has another length",
    };
    Refusal::new(reason, Exit::NotAuthenticated)
}

impl Host for Server {
    fn greeting(&self) -> &[u8] {
        b""
    }

    fn wanted(&self) -> usize {
        let whole = match self.stage {
            Stage::Hello => HELLO,
            Stage::Ready { .. } => READY,
            Stage::Over => return 0,
        };
        whole - self.held.len()
    }

    fn feed(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Verdict<Proved> {
        debug_assert!(bytes.len() <= self.wanted(), "payload was read");
        self.held.extend_from_slice(&bytes[..bytes.len().min(self.wanted())]);
        match self.stage {
            Stage::Hello => self.hello(reply),
            Stage::Ready { .. } => self.ready(),
            Stage::Over => Verdict::More,
        }
    }

    fn shows_key(&self) -> bool {
        matches!(self.stage, Stage::Ready { .. })
    }

    fn ended(&self) -> Refusal {
        let reason = match (&self.stage, self.held.len()) {
            (Stage::Hello, 0) => "the client ended without a hello".into(),
            (Stage::Hello, got) => format!("the client ended after {got} of {HELLO} bytes"),
            _ => "the client ended without having proved itself".into(),
        };
        Refusal::new(reason, Exit::Broken)
    }

    fn timed_out(&self) -> Refusal {
        let reason = match (&self.stage, self.held.len()) {
            (Stage::Hello, 0) => {
                "no hello in time; does the client use --digest, or --python?".into()
            }
            (Stage::Hello, got) => format!("timed out after {got} of {HELLO} bytes"),
            _ => "the client did not prove itself in time".into(),
        };
        Refusal::new(reason, Exit::TimedOut)
    }
}
