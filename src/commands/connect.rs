//! `connect`: talk to a server, or see whether its ports are open (`connect_ex`).

mod check;
mod probe;
mod report;
mod tries;
mod verdict;
mod workers;

use std::time::Duration;

use clap::Args;

use crate::args::tls::{ClientTlsArgs, first_given};
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::quantity;
use crate::roles::client::{self, ClientArgs};
use crate::roles::steps::STEPS;

/// Connect and talk: a prompt at a terminal, a byte-exact pipe elsewhere
#[derive(Args, Debug, Clone)]
pub struct Connect {
    /// Check whether all ADDRESSes are open; PORT may be a list (22,80,8000-8100). With --tls also whether
    /// they are trusted: prints names, days left and pin of the certificate, or why not (9)
    #[arg(short = 'z', long, conflicts_with_all = STEPS, conflicts_with = "parallel", help_heading = "Scripts")]
    pub check: bool,
    /// With -z: succeed once one of the ADDRESSes is open
    #[arg(long, conflicts_with = "count", help_heading = "Scripts")]
    pub any: bool,
    /// With -z: succeed if nothing listens at the ADDRESSes (any more); one that is open: 8
    #[arg(long, conflicts_with = "count", help_heading = "Scripts")]
    pub closed: bool,
    /// With -z --tls: fail (9) if a certificate expires within this time, such as 14d
    #[arg(long, value_name = "DUR", value_parser = quantity::duration, help_heading = "TLS")]
    pub expires_within: Option<Duration>,
    #[command(flatten)]
    pub tls: ClientTlsArgs,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl Connect {
    /// Talks until the connection ends, or checks ports.
    pub fn run(&self, talk: &Talk) -> Result<(), Failure> {
        if self.check {
            return check::run(self, talk);
        }
        let given = first_given(&[
            (self.any, "--any"),
            (self.closed, "--closed"),
            (self.expires_within.is_some(), "--expires-within"),
        ]);
        if let Some(flag) = given {
            return Err(Failure::usage(format!("{flag} needs -z, which checks addresses")));
        }
        let starttls = self.client.steps.starttls();
        let tls = self.tls.options(starttls, self.client.socket.end(), talk)?;
        client::run(&self.client, None, tls, talk)
    }
}
