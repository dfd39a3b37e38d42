//! What `serve` and `auth-serve`, `connect` and `auth-connect` have in common: the two roles a
//! stream socket can play, composed from the floors below.

pub mod client;
pub mod server;
pub mod steps;

use std::io::{self, IsTerminal};

use crate::server::RunEnd;
use crate::session::closed::Closed;

/// Why a run ended, and how its last connection did.
type Ended = (RunEnd, Option<Closed>);

/// Whether received text is escaped: stdout is a terminal, and `--raw` is off.
pub fn sanitizes(raw: bool) -> bool {
    !raw && io::stdout().is_terminal()
}
