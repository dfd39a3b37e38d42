//! The server's side.
//!
//! | while it waits for | the client sends                  | then                                |
//! |--------------------|-----------------------------------|-------------------------------------|
//! | the hello          | a byte that is none of it         | refused at once, without an answer  |
//! |                    | a message 1 that no key opens     | refused, `00 00`: a wrong proof     |
//! |                    | one that a key opens              | message 2                           |
//! | READY              | READY                             | done                                |
//! |                    | anything else                     | refused, no answer: a wrong proof   |

use std::mem::take;
use std::rc::Rc;

use super::{
    FRAMED, Identity, MESSAGE, MESSAGE_LENGTH, NO_KEY, PREFACE, read_message, records,
    write_message,
};
use crate::codec::noise::{Record, Records, SHORTEST};
use crate::exit::Exit;
use crate::net::handshake::{Handshake, Outcome, Progress, Refusal};

/// Preface and message 1.
const HELLO: usize = PREFACE.len() + FRAMED;
/// The READY record with its length.
const READY: usize = 2 + SHORTEST as usize;

/// The server's side of a handshake.
pub struct Server {
    identity: Rc<Identity>,
    held: Vec<u8>,
    state: State,
}

/// What is waited for.
#[derive(Default)]
enum State {
    Hello,
    Ready(Box<Records>, Option<String>),
    #[default]
    Over,
}

impl Server {
    /// A server whose handshake begins now.
    pub fn new(identity: Rc<Identity>) -> Self {
        Self { identity, held: Vec::with_capacity(HELLO), state: State::Hello }
    }

    fn step(&mut self, reply: &mut Vec<u8>) -> Progress {
        match self.state {
            State::Hello => self.hello(reply).map(|()| None),
            State::Ready(..) => self.ready(),
            State::Over => Ok(None),
        }
    }

    fn hello(&mut self, reply: &mut Vec<u8>) -> Result<(), Refusal> {
        let refused = |reason: &str| Refusal::new(reason, Exit::NotAuthenticated);
        let mut begins = PREFACE.iter().chain(&MESSAGE_LENGTH).zip(&self.held);
        match begins.position(|(expected, byte)| expected != byte) {
            None => {}
            Some(0..6) => {
                return Err(refused("not an auth-connect client"));
            }
            Some(6 | 7) => {
                return Err(refused("the client uses another version of the encrypted protocol"));
            }
            Some(_) => return Err(refused("its hello has another length")),
        }
        if self.held.len() < HELLO {
            return Ok(());
        }
        let message = &self.held[HELLO - MESSAGE..];
        // Every key is tried: the time it takes does not depend on which one it is.
        let mut found = None;
        for key in &self.identity.keys {
            let state = self.identity.builder(key).and_then(snow::Builder::build_responder);
            if let Ok(state) = state.and_then(|state| read_message(state, message)) {
                found = Some((state, key.name.clone()));
            }
        }
        self.held.clear();
        let (mut state, key) =
            found.ok_or_else(|| refused("wrong key, or another --context").wrong_proof(NO_KEY))?;
        let answer = write_message(&mut state).and_then(|answer| Ok((answer, records(state)?)));
        let (answer, records) = answer.map_err(|e| match e {
            // Others could read such a session (RFC 7748, §6.1).
            snow::Error::Dh => refused("its hello makes no secret: a key of low order"),
            e => Refusal::new(format!("cannot answer: {e}"), Exit::Other),
        })?;
        reply.extend_from_slice(&answer);
        self.state = State::Ready(records, key);
        Ok(())
    }

    fn ready(&mut self) -> Progress {
        let begins = self.held.iter().zip(&[0, SHORTEST]).all(|(a, b)| a == b);
        if begins && self.held.len() < READY {
            return Ok(None);
        }
        if let State::Ready(mut records, key) = take(&mut self.state)
            && begins
            && let Ok((Record::Ready, [])) = records.read(&self.held[2..])
        {
            return Ok(Some(Outcome { key, codec: Some(records), source: None }));
        }
        let reason = "its hello was a replay, or was changed on its way";
        Err(Refusal::new(reason, Exit::NotAuthenticated).wrong_proof(b""))
    }
}

impl Handshake for Server {
    fn wanted(&self) -> usize {
        let whole = match self.state {
            State::Hello => HELLO,
            State::Ready(..) => READY,
            State::Over => return 0,
        };
        whole - self.held.len()
    }

    fn feed(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Progress {
        self.held.extend_from_slice(bytes);
        self.step(reply)
    }

    fn shows_key(&self) -> bool {
        matches!(self.state, State::Ready(..))
    }

    fn on_eof(&mut self) -> Refusal {
        let reason = match (&self.state, self.held.len()) {
            (State::Hello, 0) => "the client ended without a hello".into(),
            (State::Hello, got) => format!("the client ended after {got} of {HELLO} bytes"),
            _ => "the client ended before its proof".into(),
        };
        Refusal::new(reason, Exit::Broken)
    }

    fn on_timeout(&mut self) -> Refusal {
        let reason = match (&self.state, self.held.len()) {
            (State::Hello, 0) => {
                "no hello in time; does the client use --digest, or --python?".into()
            }
            (State::Hello, got) => format!("timed out after {got} of {HELLO} bytes"),
            _ => "the client did not prove itself in time".into(),
        };
        Refusal::new(reason, Exit::TimedOut)
    }
}
