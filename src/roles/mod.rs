//! What `serve` and `auth-serve`, `connect` and `auth-connect` have in common: the two roles a
//! stream socket can play, composed from the floors below.

pub mod client;
pub mod server;

use std::io::{self, IsTerminal};
use std::time::Duration;

use nix::errno::Errno;

use crate::console::event::Reason;
use crate::exit::{Exit, Failure};
use crate::net::quantity;
use crate::server::{Closed, Role, RunEnd};

/// Why a run ended, and how its last connection did.
type Ended = (RunEnd, Option<Closed>);

/// Whether received text is escaped: stdout is a terminal, and `--raw` is off.
pub fn sanitizes(raw: bool) -> bool {
    !raw && io::stdout().is_terminal()
}

/// What the end of the only connection means for the run.
/// `idle` is the idle timeout.
fn result(closed: Closed, role: Role, idle: Duration) -> Result<(), Failure> {
    let (op, peer) = (role.op(), closed.peer);
    match (closed.reason, closed.error) {
        (Reason::Eof | Reason::Limit | Reason::Shutdown | Reason::Kicked, _) => Ok(()),
        (reason, _) if reason.refusal().is_some() => Ok(()),
        (Reason::Idle, _) => {
            Err(Failure { cause: idle_timeout(idle), ..Failure::timed_out(op, peer) })
        }
        (Reason::Reset, None) => Err(Failure::system(op, peer, &Errno::ECONNRESET.into())),
        (Reason::Reset | Reason::Error, Some(e)) => Err(broken(op, &peer.to_string(), e)),
        (Reason::Slow, _) => {
            Err(Failure::new(op, peer, "closed: it did not read what was sent", Exit::Broken))
        }
        (reason, _) => Err(Failure::new(op, peer, format!("closed ({reason})"), Exit::Broken)),
    }
}

/// Why an idle connection was closed.
fn idle_timeout(limit: Duration) -> String {
    format!("idle timeout: no data for {} (-i)", quantity::shown(limit))
}

/// The failure of a connection that broke.
fn broken(op: &'static str, peer: &str, mut error: io::Error) -> Failure {
    // The kernel reports a reset that comes after the peer's end as EPIPE.
    if error.kind() == io::ErrorKind::BrokenPipe {
        error = Errno::ECONNRESET.into();
    }
    let failure = Failure::system(op, peer, &error);
    let exit = if failure.exit == Exit::TimedOut { Exit::TimedOut } else { Exit::Broken };
    failure.exit(exit)
}
