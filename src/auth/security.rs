//! What secures connections before their payload: the proof of a shared key, or TLS.

use std::rc::Rc;

use super::proof::Proof;
use super::tls::{client, server};
use crate::exit::Failure;
use crate::net::handshake::Handshake;

/// How the error line of a TLS handshake begins.
pub const START_TLS: &str = "start TLS with";

/// What secures the connections of a client.
#[derive(Clone)]
pub enum ClientSecurity {
    /// `auth-connect`.
    Key(Proof),
    /// `connect --tls`, `--starttls`.
    Tls(Rc<client::Client>),
}

impl ClientSecurity {
    /// The client's side of one handshake.
    pub fn handshake(&self) -> Result<Box<dyn Handshake>, Failure> {
        match self {
            Self::Key(proof) => proof.client(),
            Self::Tls(tls) => tls.handshake(),
        }
    }

    /// How the error line of a handshake begins.
    pub fn op(&self) -> &'static str {
        match self {
            Self::Key(_) => "authenticate to",
            Self::Tls(_) => START_TLS,
        }
    }
}

/// What secures the connections of a server.
#[derive(Clone)]
pub enum ServerSecurity {
    /// `auth-serve`.
    Key(Proof),
    /// `serve --tls`, `--starttls`.
    Tls(Rc<server::Server>),
}

impl ServerSecurity {
    /// The server's side of one handshake.
    pub fn handshake(&self) -> Result<Box<dyn Handshake>, Failure> {
        match self {
            Self::Key(proof) => proof.server(),
            Self::Tls(tls) => tls.handshake(),
        }
    }

    /// The names of the keys that open it.
    pub fn key_names(&self) -> Vec<String> {
        match self {
            Self::Key(proof) => proof.key_names(),
            Self::Tls(_) => Vec::new(),
        }
    }

    /// See [`Proof::has_refusal_message`]; TLS has its alerts.
    pub fn has_refusal_message(&self) -> bool {
        match self {
            Self::Key(proof) => proof.has_refusal_message(),
            Self::Tls(_) => true,
        }
    }

    /// See [`Proof::explains`].
    pub fn explains(&self) -> bool {
        matches!(self, Self::Key(proof) if proof.explains())
    }

    /// With TLS: the pin of its certificate.
    pub fn pin(&self) -> Option<String> {
        match self {
            Self::Key(_) => None,
            Self::Tls(tls) => tls.pin(),
        }
    }
}
