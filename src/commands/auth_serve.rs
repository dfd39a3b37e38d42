//! `auth-serve`: everything `serve` does, for peers that have proved that they hold the key.

use std::rc::Rc;

use clap::Args;

use crate::args::{KeyArgs, Proof};
use crate::auth::{challenge, noise, python, random_bytes};
use crate::codec::python::Unit;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::handshake::Handshake;
use crate::roles::server::{self, ServerArgs};
use crate::server::Security;

/// Serve only clients that prove they hold the key
#[derive(Args, Debug, Clone)]
pub struct AuthServe {
    #[command(flatten)]
    pub key: KeyArgs,
    /// Accept these keys: one NAME:KEY per line of FILE
    #[arg(long, value_name = "FILE", group = "key-source", help_heading = "Keys")]
    pub keys: Option<std::path::PathBuf>,
    /// Do not slow down addresses that send wrong proofs
    #[arg(long, help_heading = "Keys")]
    pub no_penalty: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

impl AuthServe {
    /// Serves until it is stopped.
    pub fn run(&self, talk: &Talk) -> Result<(), Failure> {
        if self.key.create(talk)? {
            return Ok(());
        }
        let unit = if self.server.socket.raw { Unit::Chunk } else { Unit::Line };
        let proof = self.key.proof(self.keys.as_ref(), unit, talk)?;
        // Without randomness no client can be challenged: an error at the start, not at the first.
        random_bytes::<32>()?;
        let names = key_names(&proof);
        let explains = matches!(proof, Proof::Noise(_));
        let security = Security::new(
            Box::new(move || machine(&proof)),
            names,
            explains,
            self.server.socket.timeout,
            !self.no_penalty,
        );
        server::run(&self.server, Some(security), talk)
    }
}

/// Our side of a handshake.
fn machine(proof: &Proof) -> Result<Box<dyn Handshake>, Failure> {
    Ok(match proof {
        Proof::Challenge(digest, keyring) => {
            let keyring = Rc::clone(keyring);
            Box::new(challenge::Server::new(*digest, keyring, random_bytes()?))
        }
        Proof::Python(secrets) => {
            Box::new(python::Side::listener(Rc::clone(secrets), random_bytes()?))
        }
        Proof::Noise(identity) => Box::new(noise::Server::new(Rc::clone(identity))),
    })
}

/// The names of the keys that open the server.
fn key_names(proof: &Proof) -> Vec<String> {
    let keyring = match proof {
        Proof::Noise(identity) => return identity.key_names(),
        Proof::Challenge(_, keyring) => keyring,
        Proof::Python(secrets) => &secrets.keyring,
    };
    let keys = keyring.keys().iter();
    keys.filter_map(|key| key.name.clone()).collect()
}
