//! The encrypted session: `Noise_NNpsk0_25519_AESGCM_SHA256` (noiseprotocol.org, revision 34)
//! from one shared key. Pure: bytes in, bytes out.
//!
//! ```text
//! Client                                               Server
//!    | -- preface (8) | 00 30 | message 1 (48) -------> |  tries its keys on message 1
//!    | <--------------- 00 30 | message 2 (48) -------- |  or 00 00, if none opens it
//!    | -- READY record, DATA records if it likes -----> |  message 1 may be a replay:
//!    | <-- WELCOME record, or REFUSED record ---------- |  nothing happens before READY
//!    | <-- DATA records … EOF record, either way -----> |
//!
//! preface   "SKCTL" 00, version 01, suite 01; the prologue is the preface and the context
//! message   a u16 length, big-endian, then an X25519 key (32) and the tag of no payload (16)
//! record    a u16 length, big-endian, then AES-256-GCM over a type (1) and its data
//! type      1 DATA (0 to 16,384 bytes), 2 EOF, 3 READY, 4 WELCOME, 5 REFUSED (a reason)
//! reason    1 auth, 2 full, 3 access, 4 shutdown
//! ```
//!
//! Each direction rekeys (Noise, §4.2) after every 2^20 records. There is nothing to negotiate:
//! another version or suite is another protocol.

use std::rc::Rc;

use snow::Builder;
use snow::HandshakeState;
use snow::params::NoiseParams;

use crate::exit::{Exit, Failure};

mod client;
mod primitives;
mod psk;
mod record;
mod server;
#[cfg(test)]
mod tests;

pub use client::Client;
use primitives::Primitives;
pub use psk::{Psks, derive};
pub use record::Records;
pub use server::Server;

const PROTOCOL: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";
/// How a client begins.
const PREFACE: [u8; 8] = *b"SKCTL\0\x01\x01";
/// The length of either handshake message.
const MESSAGE: usize = 48;
/// A message with its length before it.
const FRAMED: usize = 2 + MESSAGE;
/// What the server answers to a hello that no key opens.
const NO_KEY: &[u8] = &[0, 0];
/// How the challenge of a Python listener begins, behind the four bytes of its length.
const PYTHON: &[u8] = b"#CHALLENGE#";

/// What both sides of a protocol run are made with: the keys, and the context they are bound to.
pub struct Identity {
    keys: Psks,
    params: NoiseParams,
    prologue: Vec<u8>,
}

impl Identity {
    /// The keys that open a server, or the one a client proves, in this context.
    pub fn new(keys: Psks, context: &[u8]) -> Result<Rc<Self>, Failure> {
        let params = PROTOCOL.parse();
        Ok(Rc::new(Self {
            keys,
            params: params.map_err(|e: snow::Error| failure(&e))?,
            prologue: [&PREFACE, context].concat(),
        }))
    }

    /// The names of the keys.
    pub fn key_names(&self) -> Vec<String> {
        let keys = self.keys.all().iter();
        keys.filter_map(|key| key.name.clone()).collect()
    }

    fn builder<'a>(&'a self, key: &'a [u8; 32]) -> Result<Builder<'a>, snow::Error> {
        Builder::with_resolver(self.params.clone(), Box::new(Primitives))
            .prologue(&self.prologue)?
            .psk(0, key)
    }

    fn initiator(&self, key: &[u8; 32]) -> Result<HandshakeState, snow::Error> {
        self.builder(key)?.build_initiator()
    }

    fn responder(&self, key: &[u8; 32]) -> Result<HandshakeState, snow::Error> {
        self.builder(key)?.build_responder()
    }
}

/// A failure of the library, which ours are not expected to meet: no randomness, as a rule.
fn failure(error: &snow::Error) -> Failure {
    Failure::new("begin", "the encrypted session", error.to_string(), Exit::Other)
}

/// Where `bytes` first differ from how `wanted` begins.
fn differs(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.iter().zip(wanted).position(|(a, b)| a != b)
}

/// A handshake message with its length before it.
fn framed(state: &mut HandshakeState) -> Result<[u8; FRAMED], snow::Error> {
    let mut framed = [0; FRAMED];
    framed[1] = 48;
    match state.write_message(&[], &mut framed[2..])? {
        MESSAGE => Ok(framed),
        _ => Err(snow::Error::Input),
    }
}
