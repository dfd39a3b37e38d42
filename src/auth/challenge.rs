//! Challenge-response by HMAC, as in the examples of Python's `hmac`: a client proves that it holds
//! the key. Nothing is encrypted.
//!
//! ```text
//! Server                                          Client
//!    | ------- 32 random bytes -----------------> |
//!    | <------ 32, 64 or 128 hex digits --------- |   HMAC(key, challenge), lowercase,
//!    | <~~~~~~ payload, perhaps at once ~~~~~~~~~ |   no newline
//!    | equal: payload follows; else: close        |
//! ```
//!
//! Only the server challenges, so there is no challenge of the client's own that could be
//! reflected to it. What the protocol cannot prevent is a relay: a rogue server may pass another
//! server's challenge on to us and use our answer there.

use std::rc::Rc;

use subtle::{ConditionallySelectable, ConstantTimeEq};

pub use super::digest::Digest;
use super::key::Keyring;
use super::{NOISE_MAGIC, PYTHON_CHALLENGE};
use crate::exit::Exit;
use crate::net::handshake::{Handshake, Next, Outcome, Progress, Refusal, Stop};

#[cfg(test)]
mod tests;

/// The length of a challenge.
pub const CHALLENGE_LEN: usize = 32;

/// The server's side.
pub struct Server {
    digest: Digest,
    keyring: Rc<Keyring>,
    challenge: [u8; CHALLENGE_LEN],
}

impl Server {
    /// A server whose handshake begins now. `challenge` must be fresh random bytes.
    pub fn new(digest: Digest, keyring: Rc<Keyring>, challenge: [u8; CHALLENGE_LEN]) -> Self {
        Self { digest, keyring, challenge }
    }
}

impl Handshake for Server {
    fn start(&mut self) -> (Vec<u8>, usize) {
        (self.challenge.to_vec(), self.digest.hex_len())
    }

    fn receive(&mut self, answer: &[u8], _reply: &mut Vec<u8>) -> Progress {
        let digits = answer.iter().take_while(|byte| is_digit(**byte)).count();
        if digits < answer.len() {
            return Err(Refusal::new(stray(answer, digits), Exit::NotAuthenticated));
        }
        if digits < self.digest.hex_len() {
            return Ok(Next::Rest(self.digest.hex_len() - digits));
        }
        // Every key is tried, and every comparison made to its end: the time it takes depends
        // neither on the key nor on how much of an answer is right.
        let mut found = u64::MAX;
        for (index, key) in (0..).zip(self.keyring.keys()) {
            let expected = hex::encode(self.digest.mac(key.bytes(), &self.challenge));
            found.conditional_assign(&index, expected.as_bytes().ct_eq(answer));
        }
        let found = usize::try_from(found).ok().and_then(|found| self.keyring.keys().get(found));
        if let Some(key) = found {
            return Ok(Next::Payload(Outcome { key: key.name.clone(), ..Outcome::default() }));
        }
        let reason = match self.digest {
            Digest::Sha512 => "wrong key".into(),
            // The start of a longer digest's answer looks like a whole one of ours.
            digest => format!("wrong key, or a longer digest than {digest} on the client"),
        };
        // This protocol has no message for a refusal.
        Err(Refusal::new(reason, Exit::NotAuthenticated).wrong_proof(b""))
    }

    fn stopped(&self, stop: Stop, answer: &[u8]) -> Refusal {
        let mut refusal = stop.refusal("the client", "answer", answer.len(), "");
        refusal.reason += &digest_hint(answer.len());
        refusal
    }
}

/// What the byte at `at`, the first that is no lowercase hex digit, shows of the client.
fn stray(answer: &[u8], at: usize) -> String {
    let byte = at + 1;
    match answer[at] {
        _ if answer.starts_with(NOISE_MAGIC) => {
            "the client uses the encrypted protocol; drop --digest here or add it there".into()
        }
        // The length of a frame: big-endian, and no first message has 64 KiB or more.
        _ if answer.len() >= 4 && answer.starts_with(&[0, 0]) => {
            "the client uses Python's multiprocessing protocol; use --python here".into()
        }
        b'A'..=b'F' => {
            format!("byte {byte} of the answer is a capital; hex digits must be lowercase")
        }
        _ if at == 0 => {
            "the client does not answer the challenge; does it use auth-connect --digest?".into()
        }
        _ => format!("byte {byte} of the answer is not a hex digit{}", digest_hint(at)),
    }
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// A hint where another digest's answer has exactly so many digits.
fn digest_hint(digits: usize) -> String {
    match Digest::ALL.into_iter().find(|digest| digest.hex_len() == digits) {
        Some(digest) => format!("; does the client use --digest {digest}?"),
        None => String::new(),
    }
}

/// The client's side: proves the first key of the ring.
pub struct Client {
    digest: Digest,
    keyring: Rc<Keyring>,
}

impl Client {
    /// A client whose handshake begins now.
    pub fn new(digest: Digest, keyring: Rc<Keyring>) -> Self {
        Self { digest, keyring }
    }
}

impl Handshake for Client {
    fn start(&mut self) -> (Vec<u8>, usize) {
        (Vec::new(), CHALLENGE_LEN)
    }

    fn receive(&mut self, challenge: &[u8], reply: &mut Vec<u8>) -> Progress {
        let frame = challenge.get(4..).unwrap_or_default();
        if challenge.starts_with(&[0, 0]) && frame.starts_with(PYTHON_CHALLENGE) {
            let reason = "the server uses Python's multiprocessing protocol; use --python here";
            return Err(Refusal::new(reason, Exit::NotAuthenticated));
        }
        if challenge.len() < CHALLENGE_LEN {
            return Ok(Next::Rest(CHALLENGE_LEN - challenge.len()));
        }
        let mac = self.digest.mac(self.keyring.first().bytes(), challenge);
        reply.extend_from_slice(hex::encode(mac).as_bytes());
        Ok(Next::Payload(Outcome::default()))
    }

    fn stopped(&self, stop: Stop, challenge: &[u8]) -> Refusal {
        let hint = "; does the server use auth-serve --digest?";
        stop.refusal("the server", "challenge", challenge.len(), hint)
    }
}
