//! `auth-serve`: everything `serve` does, for peers that have proved that they hold the key.

use std::rc::Rc;

use clap::Args;

use crate::args::KeyArgs;
use crate::auth::random;
use crate::console::talk::Talk;
use crate::roles::server::{self, ServerArgs};
use crate::server::Gate;

/// Serve clients that prove they hold the key, and nobody else
#[derive(Args, Debug, Clone)]
pub struct AuthServe {
    #[command(flatten)]
    pub key: KeyArgs,
    /// Keys, one NAME:KEY a line
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
    pub fn run(&self, talk: &Talk) -> anyhow::Result<()> {
        if self.key.create()? {
            return Ok(());
        }
        let digest = self.key.digest()?;
        let keyring = Rc::new(self.key.load(self.keys.as_ref())?);
        // Without randomness there is no challenge: found out before anybody is kept waiting.
        random::bytes()?;
        let gate = Gate::new(
            digest,
            keyring,
            self.server.socket.timeout,
            !self.no_penalty,
        );
        Ok(server::run(&self.server, Some(gate), talk)?)
    }
}
