//! `serve`: a server for many clients at once.

use clap::Args;

use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::roles::server::{self, ServerArgs};

/// Serve many clients at once: a conversation with you, a chat room, an echo, a fixed reply
#[derive(Args, Debug, Clone)]
pub struct Serve {
    #[command(flatten)]
    pub server: ServerArgs,
}

impl Serve {
    /// Serves until it is stopped.
    pub fn run(&self, talk: &Talk) -> Result<(), Failure> {
        server::run(&self.server, None, false, talk)
    }
}
