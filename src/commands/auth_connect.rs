//! `auth-connect`: everything `connect` does, after proving to the server that we hold the key.

use std::cell::Cell;
use std::rc::Rc;

use clap::Args;

use crate::args::{KeyArgs, Proof};
use crate::auth::{challenge, noise, python, random_bytes};
use crate::codec::python::Unit;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::handshake::Handshake;
use crate::roles::client::{self, ClientArgs};
use crate::server::NewHandshake;

/// Connect to an auth-serve, and prove that we hold the key; encrypted both ways
#[derive(Args, Debug, Clone)]
pub struct AuthConnect {
    #[command(flatten)]
    pub key: KeyArgs,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl AuthConnect {
    /// Talks until the connection ends.
    pub fn run(&self, talk: &Talk) -> Result<(), Failure> {
        if self.key.create(talk)? {
            return Ok(());
        }
        // What is sent at a time may be a line without its newline.
        let by_chunk = self.client.no_newline || !self.client.steps.0.is_empty();
        let unit = if self.client.socket.raw || by_chunk { Unit::Chunk } else { Unit::Line };
        let proof = self.key.proof(None, unit, talk)?;
        // Made before the connection: under load a server evicts clients that send nothing.
        let first = Cell::new(Some(machine(&proof)?));
        let handshake: NewHandshake =
            Box::new(move || first.take().map_or_else(|| machine(&proof), Ok));
        client::run(&self.client, Some(handshake), talk)
    }
}

/// Our side of a handshake.
fn machine(proof: &Proof) -> Result<Box<dyn Handshake>, Failure> {
    Ok(match proof {
        Proof::Challenge(digest, keyring) => {
            Box::new(challenge::Client::new(*digest, Rc::clone(keyring)))
        }
        Proof::Python(secrets) => {
            Box::new(python::Side::client(Rc::clone(secrets), random_bytes()?))
        }
        Proof::Noise(identity) => Box::new(noise::Client::new(identity)?),
    })
}
