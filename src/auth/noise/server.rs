//! The server's side.
//!
//! | while it waits for | the client sends                  | then                                |
//! |--------------------|-----------------------------------|-------------------------------------|
//! | the hello          | a byte that is none of it         | refused at once, without an answer  |
//! |                    | a message 1 that no key opens     | refused, `00 00`: a wrong proof     |
//! |                    | one that a key opens              | message 2                           |
//! | READY              | READY                             | done                                |
//! |                    | anything else                     | refused, no answer: a wrong proof   |

use std::rc::Rc;

use super::{
    FRAMED, Identity, MESSAGE, MESSAGE_LENGTH, NO_KEY, PREFACE, read_message, records,
    write_message,
};
use crate::codec::noise::{Record, Records, SHORTEST};
use crate::exit::Exit;
use crate::net::handshake::{Handshake, Next, Outcome, Progress, Refusal, Stop};

/// Preface and message 1.
const HELLO: usize = PREFACE.len() + FRAMED;
/// The READY record with its length.
const READY: usize = 2 + SHORTEST as usize;

/// The server's side of a handshake.
pub struct Server {
    identity: Rc<Identity>,
    /// The session and the key's name, once a hello was opened: READY is waited for.
    opened: Option<(Box<Records>, Option<String>)>,
}

impl Server {
    /// A server whose handshake begins now.
    pub fn new(identity: Rc<Identity>) -> Self {
        Self { identity, opened: None }
    }

    fn hello(&mut self, hello: &[u8], reply: &mut Vec<u8>) -> Progress {
        let refused = |reason: &str| Refusal::new(reason, Exit::NotAuthenticated);
        let mut begins = PREFACE.iter().chain(&MESSAGE_LENGTH).zip(hello);
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
        if hello.len() < HELLO {
            return Ok(Next::Rest(HELLO - hello.len()));
        }
        let message = &hello[HELLO - MESSAGE..];
        // Every key is tried: the time it takes does not depend on which one it is.
        let mut found = None;
        for psk in &self.identity.keys {
            let state = self.identity.builder(psk).and_then(snow::Builder::build_responder);
            if let Ok(state) = state.and_then(|state| read_message(state, message)) {
                found = Some((state, psk.key.name.clone()));
            }
        }
        let (mut state, key) =
            found.ok_or_else(|| refused("wrong key, or another --context").wrong_proof(NO_KEY))?;
        let answer = write_message(&mut state).and_then(|answer| Ok((answer, records(state)?)));
        let (answer, records) = answer.map_err(|e| match e {
            // Others could read such a session (RFC 7748, §6.1).
            snow::Error::Dh => refused("its hello makes no secret: a key of low order"),
            e => Refusal::new(format!("cannot answer: {e}"), Exit::Other),
        })?;
        reply.extend_from_slice(&answer);
        self.opened = Some((records, key));
        Ok(Next::Message(READY))
    }
}

impl Handshake for Server {
    fn start(&mut self) -> (Vec<u8>, usize) {
        (Vec::new(), HELLO)
    }

    fn receive(&mut self, message: &[u8], reply: &mut Vec<u8>) -> Progress {
        if self.opened.is_none() {
            return self.hello(message, reply);
        }
        let begins = message.iter().zip(&[0, SHORTEST]).all(|(a, b)| a == b);
        if begins && message.len() < READY {
            return Ok(Next::Rest(READY - message.len()));
        }
        if begins
            && let Some((mut records, key)) = self.opened.take()
            && let Ok((Record::Ready, [])) = records.read(&message[2..])
        {
            return Ok(Next::Payload(Outcome { key, codec: Some(records), ..Outcome::default() }));
        }
        let reason = "its hello was a replay, or was changed on its way";
        Err(Refusal::new(reason, Exit::NotAuthenticated).wrong_proof(b""))
    }

    fn shows_key(&self) -> bool {
        self.opened.is_some()
    }

    fn stopped(&self, stop: Stop, message: &[u8]) -> Refusal {
        let (awaited, hint) = match &self.opened {
            None => ("hello", "; is the client an auth-connect without --digest and --python?"),
            Some(_) => ("proof", ""),
        };
        stop.refusal("the client", awaited, message.len(), hint)
    }
}
