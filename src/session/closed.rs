//! How a connection ended, and what that means for a run of which it was the only one.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

use crate::auth::security::START_TLS;
use crate::console::event::Reason;
use crate::exit::{Exit, Failure, cause};
use crate::net::codec::ProtocolError;
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
    /// Payload bytes received.
    pub received: u64,
    /// Payload bytes sent.
    pub sent: u64,
    /// Bytes for the peer that were sent or queued, and that it has not acknowledged: of a connection that we
    /// dialled.
    pub undelivered: u64,
    /// The idle timeout that held for it.
    pub idle: Duration,
    /// Our key was proved to the peer by a protocol without a verdict.
    pub is_unconfirmed: bool,
    /// We had ended our side of a TLS session with a server, which some take for the end of both
    /// directions (RFC 5246, section 7.2.1, demanded it).
    pub half_closed_tls: bool,
}

impl Closed {
    /// Success, or how it failed.
    pub fn result(&self) -> Result<(), Failure> {
        let outcome = self.outcome();
        match self.rejection() {
            Some(rejection) if outcome.is_err() || self.sent == 0 => Err(rejection),
            _ => outcome,
        }
    }

    /// The same for a peer that is not to confirm anything.
    fn outcome(&self) -> Result<(), Failure> {
        let (op, peer) = (self.role.op(), &self.peer);
        match (self.reason, &self.error) {
            (Reason::Limit | Reason::Shutdown | Reason::Kicked, _) => Ok(()),
            (reason, _) if reason.is_end() => Ok(()),
            // Only STARTTLS has a handshake on an admitted connection.
            (Reason::Auth, Some(e)) => Err(broken(START_TLS, peer, e)),
            (reason, _) if reason.refusal().is_some() => Ok(()),
            (Reason::Idle, _) => {
                Err(Failure { cause: self.idle_timeout(), ..Failure::timed_out(op, peer) })
            }
            (Reason::Reset, None) => {
                Err(self.hinted(Failure::system(op, peer, &Errno::ECONNRESET.into())))
            }
            (Reason::Reset | Reason::Error, Some(e)) => Err(self.hinted(broken(op, peer, e))),
            (Reason::Slow, _) => {
                Err(Failure::new(op, peer, "closed: it did not read what was sent", Exit::Broken))
            }
            (reason, _) => Err(Failure::new(op, peer, format!("closed ({reason})"), Exit::Broken)),
        }
    }

    /// The failure with what to do about it, if it may follow from the end of our side.
    fn hinted(&self, failure: Failure) -> Failure {
        if self.half_closed_tls && failure.exit == Exit::Broken {
            return failure
                .hint("it may take our end for that of both directions; try --no-half-close");
        }
        failure
    }

    /// The failure of a key that was perhaps rejected: in a protocol without a verdict a server that
    /// does so closes without a reply, and takes nothing of ours.
    pub fn rejection(&self) -> Option<Failure> {
        let is_unanswered = self.is_unconfirmed && self.by_peer && self.received == 0;
        is_unanswered.then(|| {
            let cause = "the server closed without a reply (it may have rejected the key)";
            Failure::new("authenticate to", &self.peer, cause, Exit::NotAuthenticated)
        })
    }

    /// Whether another connection in its place may fare better: not where our key was rejected, or where
    /// `--max-bytes` have come.
    pub fn may_be_repeated(&self) -> bool {
        let is_rejected = |failure: Failure| failure.exit == Exit::NotAuthenticated;
        !matches!(self.reason, Reason::Limit | Reason::Shutdown)
            && !self.result().is_err_and(is_rejected)
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
    let failure = Failure::system(op, peer, error);
    let exit = match protocol_exit(error) {
        Some(exit) => exit,
        None if failure.exit == Exit::TimedOut => Exit::TimedOut,
        None => Exit::Broken,
    };
    failure.exit(exit)
}

/// The exit status of what a codec found wrong.
pub fn protocol_exit(error: &io::Error) -> Option<Exit> {
    let error = error.get_ref()?.downcast_ref::<ProtocolError>()?;
    Some(error.exit)
}
