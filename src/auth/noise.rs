//! The encrypted session, its specification included: `Noise_NNpsk0_25519_AESGCM_SHA256`
//! (noiseprotocol.org, revision 34) from one shared key. Pure: bytes in, bytes out.
//!
//! ```text
//! Client                                               Server
//!    | -- preface (8) | 00 30 | message 1 (48) -------> |  tries its keys on message 1
//!    | <--------------- 00 30 | message 2 (48) -------- |  or 00 00 and the end, if none opens it
//!    | -- READY record, DATA records if it likes -----> |  message 1 may be a replay:
//!    | <-- WELCOME record, or REFUSED record ---------- |  nothing happens before READY
//!    | <-- DATA records … EOF record, either way -----> |
//!
//! preface   "SKCTL" 00, version 01, suite 01; the prologue is the preface and the context
//! message   a u16 length, big-endian, then an X25519 key (32) and the tag of no payload (16)
//! record    a u16 length, big-endian, then AES-256-GCM (16 bytes of tag) over a type and its data
//! type      1 DATA (0 to 16,384 bytes), 2 EOF, 3 READY, 4 WELCOME, 5 REFUSED (a reason)
//! reason    1 auth, 2 full, 3 access, 4 shutdown
//! ```
//!
//! EOF ends its direction; a TCP end without it is a truncation. Each direction rekeys (Noise, §4.2)
//! after every 2^20 records. There is nothing to negotiate, and so nothing to downgrade: another
//! version or suite is another protocol.
//!
//! # From a key to the 32 bytes that the protocol takes
//!
//! 32 random bytes (`sockctl-key-1`): HKDF-SHA256 with salt `sockctl key v1` and info `NNpsk0`.
//! A passphrase: Argon2id, 64 MiB, t=3, p=1, salt SHA-256 of `sockctl passphrase v1`, a zero byte and
//! the context. That salt is the same for all who share the context: two sides that know nothing but
//! the passphrase must come to the same bytes.
//!
//! | key | context | the 32 bytes |
//! |---|---|---|
//! | `sockctl-key-1 alice AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8` | | `d89bf031eeaa18ee91bad7758d5a0480749183c006024eb7a0e65fa03efacbb0` |
//! | `correct horse battery staple` | | `850cdc96f06a996cfd22432f1f8488842ec2eb4f3ac2c8b725b0825de1f4615e` |
//! | `correct horse battery staple` | `backup` | `36e0804fbdb3f601788b5c67d74d46d0c1ffc31229c688ed02480389f91718ba` |

use std::rc::Rc;

use snow::params::NoiseParams;
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use super::key::{Key, Keyring};
use crate::codec::noise::Records;
use crate::exit::{Exit, Failure};

mod client;
mod primitives;
mod psk;
mod server;
#[cfg(test)]
mod tests;

pub use client::Client;
use primitives::Primitives;
pub use server::Server;

const PROTOCOL: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";
/// The first bytes of a client.
const PREFACE: [u8; 8] = *b"SKCTL\0\x01\x01";
/// The length of either handshake message.
const MESSAGE: usize = 48;
/// The length field before a message.
const MESSAGE_LENGTH: [u8; 2] = [0, 48];
/// A message with its length before it.
const FRAMED: usize = 2 + MESSAGE;
/// The server's answer to a hello that no key opens.
const NO_KEY: &[u8] = &[0, 0];

/// What both sides of the protocol start from: the keys, and the context they are bound to.
pub struct Identity {
    keys: Vec<Psk>,
    params: NoiseParams,
    prologue: Vec<u8>,
}

/// A key, and the form of it that the protocol takes.
struct Psk {
    key: Key,
    bytes: Zeroizing<[u8; 32]>,
}

impl Identity {
    /// The keys that a server accepts, of which a client proves the first; and warnings of weak
    /// passphrases. Each passphrase takes a tenth of a second and 64 MiB, unless it was derived `before`.
    pub fn derive(
        keyring: &Keyring,
        context: &[u8],
        before: Option<&Self>,
    ) -> Result<(Rc<Self>, Vec<String>), Failure> {
        let params = PROTOCOL.parse().map_err(|e| failure(&e))?;
        let prologue = [&PREFACE, context].concat();
        let before = before.filter(|before| before.prologue == prologue);
        let known = before.map_or(&[][..], |before| &before.keys);
        let (mut keys, mut warnings) = (Vec::new(), Vec::new());
        for key in keyring.keys() {
            let (bytes, warning) = match known.iter().find(|psk| psk.key.is_same(key)) {
                Some(psk) => (psk.bytes.clone(), None),
                None => psk::derive(key, context)?,
            };
            warnings.extend(warning);
            keys.push(Psk { key: key.clone(), bytes });
        }
        Ok((Rc::new(Self { keys, params, prologue }), warnings))
    }

    /// The names of the keys.
    pub fn key_names(&self) -> Vec<String> {
        self.keys.iter().filter_map(|psk| psk.key.name.clone()).collect()
    }

    fn builder<'a>(&'a self, psk: &'a Psk) -> Result<Builder<'a>, snow::Error> {
        Builder::with_resolver(self.params.clone(), Box::new(Primitives))
            .prologue(&self.prologue)?
            .psk(0, &psk.bytes)
    }
}

/// An error of the library, which should not happen: a lack of randomness, as a rule.
fn failure(error: &snow::Error) -> Failure {
    Failure::new("begin", "the encrypted session", error.to_string(), Exit::Other)
}

/// The next message of a handshake, with its length before it.
fn write_message(state: &mut HandshakeState) -> Result<[u8; FRAMED], snow::Error> {
    let mut framed = [0; FRAMED];
    framed[..2].copy_from_slice(&MESSAGE_LENGTH);
    match state.write_message(&[], &mut framed[2..])? {
        MESSAGE => Ok(framed),
        _ => Err(snow::Error::Input),
    }
}

/// Reads a message, which must carry no payload.
fn read_message(mut state: HandshakeState, message: &[u8]) -> Result<HandshakeState, snow::Error> {
    match state.read_message(message, &mut [0; MESSAGE])? {
        0 => Ok(state),
        _ => Err(snow::Error::Input),
    }
}

/// The codec of a session whose messages are exchanged.
fn records(state: HandshakeState) -> Result<Box<Records>, snow::Error> {
    state.into_transport_mode().map(|state| Box::new(Records::new(state)))
}
