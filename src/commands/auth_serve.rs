//! `auth-serve`: everything `serve` does, for peers that have proved that they hold the key.

use clap::Args;

use crate::args::KeyArgs;
use crate::auth::random_bytes;
use crate::auth::security::ServerSecurity;
use crate::codec::python::Unit;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::roles::server::{self, ServerArgs};
use crate::server::{ReadSecurity, Security};

/// Serve only clients that prove they hold the key
#[derive(Args, Debug, Clone)]
pub struct AuthServe {
    #[command(flatten)]
    pub key: KeyArgs,
    /// Accept these keys: one NAME:KEY per line of FILE, which SIGHUP has read again
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
        self.server.steps.refuse_starttls()?;
        if self.key.create(talk)? {
            return Ok(());
        }
        let by_chunk = !self.server.steps.is_empty() || !self.server.when.when.is_empty();
        let unit = if self.server.socket.raw || by_chunk { Unit::Chunk } else { Unit::Line };
        let proof = self.key.proof(self.keys.as_deref(), unit, talk)?;
        // Without randomness no client can be challenged: an error at the start, not at the first.
        random_bytes::<32>()?;
        let (key, output) = (self.key.clone(), talk.clone());
        let read = self.keys.clone().map(|file| -> ReadSecurity {
            Box::new(move |before, until| {
                key.reread(&file, unit, before, until, &output).map(ServerSecurity::Key)
            })
        });
        let timeout = self.server.socket.timeout;
        let by = ServerSecurity::Key(proof);
        let security = Security::new(by, read, timeout, !self.no_penalty);
        server::run(&self.server, Some(security), talk)
    }
}
