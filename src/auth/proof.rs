//! How the key is proved: one of the protocols, with the keys ready for it.

use std::rc::Rc;

use super::digest::Digest;
use super::key::Keyring;
use super::{challenge, noise, python, random_bytes};
use crate::exit::Failure;
use crate::net::handshake::Handshake;

/// The protocol by which a key is proved, and what it takes.
#[derive(Clone)]
pub enum Proof {
    /// Challenge-response by HMAC.
    Challenge(Digest, Rc<Keyring>),
    /// `multiprocessing.connection`.
    Python(Rc<python::Secrets>),
    /// The encrypted session.
    Noise(Rc<noise::Identity>),
}

impl Proof {
    /// The client's side of one handshake.
    pub fn client(&self) -> Result<Box<dyn Handshake>, Failure> {
        Ok(match self {
            Self::Challenge(digest, keyring) => {
                Box::new(challenge::Client::new(*digest, Rc::clone(keyring)))
            }
            Self::Python(secrets) => {
                Box::new(python::Side::client(Rc::clone(secrets), random_bytes()?))
            }
            Self::Noise(identity) => Box::new(noise::Client::new(identity)?),
        })
    }

    /// The server's side of one handshake.
    pub fn server(&self) -> Result<Box<dyn Handshake>, Failure> {
        Ok(match self {
            Self::Challenge(digest, keyring) => {
                Box::new(challenge::Server::new(*digest, Rc::clone(keyring), random_bytes()?))
            }
            Self::Python(secrets) => {
                Box::new(python::Side::listener(Rc::clone(secrets), random_bytes()?))
            }
            Self::Noise(identity) => Box::new(noise::Server::new(Rc::clone(identity))),
        })
    }

    /// The names of the keys that open a server.
    pub fn key_names(&self) -> Vec<String> {
        let keyring = match self {
            Self::Noise(identity) => return identity.key_names(),
            Self::Challenge(_, keyring) => keyring,
            Self::Python(secrets) => &secrets.keyring,
        };
        keyring.keys().iter().filter_map(|key| key.name.clone()).collect()
    }

    /// Whether it has a message for a client that is refused. Without one it is known by that nothing
    /// behind its answer is taken.
    pub fn has_refusal_message(&self) -> bool {
        !matches!(self, Self::Challenge(..))
    }

    /// Whether it has a message for a client that holds a key and is not admitted.
    pub fn explains(&self) -> bool {
        matches!(self, Self::Noise(_))
    }
}
