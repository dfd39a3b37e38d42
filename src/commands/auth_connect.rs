//! `auth-connect`: everything `connect` does, after proving to the server that we hold the key.

use std::rc::Rc;

use clap::Args;

use crate::args::KeyArgs;
use crate::auth::challenge::Client;
use crate::console::talk::Talk;
use crate::roles::client::{self, ClientArgs};
use crate::session::handshake;

/// Connect to a server that asks for proof of the key
#[derive(Args, Debug, Clone)]
pub struct AuthConnect {
    #[command(flatten)]
    pub key: KeyArgs,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl AuthConnect {
    /// Talks until the connection ends.
    pub fn run(&self, talk: &Talk) -> anyhow::Result<()> {
        if self.key.create()? {
            return Ok(());
        }
        let digest = self.key.digest()?;
        let keyring = Rc::new(self.key.load(None)?);
        let prove: client::Prove<'_> = &|socket, peer, until| {
            handshake::answer(
                socket,
                peer,
                Client::new(digest, Rc::clone(&keyring)),
                until,
            )
        };
        Ok(client::run(&self.client, Some(prove), talk)?)
    }
}
