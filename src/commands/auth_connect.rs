//! `auth-connect`: everything `connect` does, after proving to the server that we hold the key.

use clap::Args;

use crate::args::KeyArgs;
use crate::codec::python::Unit;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::roles::client::{self, ClientArgs};

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
        self.client.steps.refuse_starttls()?;
        if self.key.create(talk)? {
            return Ok(());
        }
        // What is sent at a time may be a line without its newline.
        let by_chunk = self.client.no_newline || !self.client.steps.is_empty();
        let unit = if self.client.socket.raw || by_chunk { Unit::Chunk } else { Unit::Line };
        let proof = self.key.proof(None, unit, talk)?;
        client::run(&self.client, Some(proof), None, talk)
    }
}
