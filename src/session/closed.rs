//! How a connection ended, and what that means for a run of which it was the only one.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

use crate::console::event::Reason;
use crate::exit::{Exit, Failure, cause};
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::quantity;
use crate::net::role::Role;

/// An admitted connection that is gone.
pub struct Closed {
    /// Our side.
    pub role: Role,
    /// The other end.
    pub peer: Endpoint,
    /// Why it ended.
    pub reason: Reason,
    /// What broke it.
    pub error: Option<io::Error>,
    /// The peer ended its side, or broke the connection.
    pub by_peer: bool,
    /// A codec stood between the wire and the payload.
    pub has_codec: bool,
    /// Payload bytes received.
    pub received: u64,
    /// Payload bytes sent.
    pub sent: u64,
    /// The idle timeout that held for it.
    pub idle: Duration,
}

impl Closed {
    /// Success, or how it failed.
    pub fn result(&self) -> Result<(), Failure> {
        let (op, peer) = (self.role.op(), &self.peer);
        match (self.reason, &self.error) {
            (Reason::Limit | Reason::Shutdown | Reason::Kicked, _) => Ok(()),
            (reason, _) if reason.is_end() => Ok(()),
            (reason, _) if reason.refusal().is_some() => Ok(()),
            (Reason::Idle, _) => {
                Err(Failure { cause: self.idle_timeout(), ..Failure::timed_out(op, peer) })
            }
            (Reason::Reset, None) => Err(Failure::system(op, peer, &Errno::ECONNRESET.into())),
            (Reason::Reset | Reason::Error, Some(e)) => Err(broken(op, peer, e)),
            (Reason::Slow, _) => {
                Err(Failure::new(op, peer, "closed: it did not read what was sent", Exit::Broken))
            }
            (reason, _) => Err(Failure::new(op, peer, format!("closed ({reason})"), Exit::Broken)),
        }
    }

    /// Why what was still expected of the peer has not come; `None` where the run was asked to stop.
    pub fn why_unmet(&self) -> Option<String> {
        Some(match (self.reason, &self.error) {
            (Reason::Shutdown, _) if Deadline::of_run().passed() => Deadline::error().to_string(),
            (Reason::Shutdown, _) => return None,
            (Reason::Limit, _) => "--max-bytes reached".into(),
            (Reason::Idle, _) => self.idle_timeout(),
            (Reason::Reset | Reason::Error, Some(e)) => cause(e),
            (Reason::Reset, None) => cause(&Errno::ECONNRESET.into()),
            _ => "the peer closed the connection".into(),
        })
    }

    fn idle_timeout(&self) -> String {
        format!("idle timeout: no data for {} (-i)", quantity::shown(self.idle))
    }
}

/// The failure of a connection that broke.
fn broken(op: &'static str, peer: &Endpoint, error: &io::Error) -> Failure {
    // The kernel reports a reset that comes after the peer's end as EPIPE.
    let failure = match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::system(op, peer, &Errno::ECONNRESET.into()),
        _ => Failure::system(op, peer, error),
    };
    let exit = if failure.exit == Exit::TimedOut { Exit::TimedOut } else { Exit::Broken };
    failure.exit(exit)
}
