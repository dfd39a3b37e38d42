//! `serve`: a server for many clients at once.

use clap::Args;

use crate::args::tls::ServerTlsArgs;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::roles::server::{self, ServerArgs};
use crate::server::{ReadSecurity, Security};

/// Serve many clients at once: a conversation with you, a chat room, an echo, a fixed reply
#[derive(Args, Debug, Clone)]
pub struct Serve {
    #[command(flatten)]
    pub tls: ServerTlsArgs,
    #[command(flatten)]
    pub server: ServerArgs,
}

impl Serve {
    /// Serves until it is stopped.
    pub fn run(&self, talk: &Talk) -> Result<(), Failure> {
        if self.tls.create(talk)? {
            return Ok(());
        }
        let end = self.server.socket.end();
        let starttls = self.server.steps.starttls();
        let security = self.tls.security(starttls, end, talk)?.map(|by| {
            let flags = self.tls.clone();
            let read: ReadSecurity = Box::new(move |before, until| flags.reread(before, until));
            let security = Security::new(by, Some(read), self.server.socket.timeout, false);
            if starttls { security.deferred() } else { security }
        });
        server::run(&self.server, security, talk)
    }
}
