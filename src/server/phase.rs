//! How far a connection is, and what is kept of it in each phase.
//!
//! The way from one to the next is drawn in [the crate's documentation](crate#the-phases-of-a-connection).
//!
//! | phase     | received bytes are       | what is sent               | known to the handler |
//! |-----------|--------------------------|----------------------------|----------------------|
//! | Handshake | the handshake's          | the handshake's replies    | no; with STARTTLS as in Open |
//! | Silent    | left in the socket       | nothing                    | no                   |
//! | Waiting   | left in the socket       | nothing                    | no                   |
//! | Open      | the handler's            | what the handler queued    | yes, since `joined`  |
//! | HandedOff | the program's            | the program's              | yes                  |
//! | Closing   | dropped until the end    | what was queued, then FIN  | no, since `left`     |
//! | LastAck   | left in the socket       | what was queued            | no, since `left`     |

use std::time::{Duration, Instant};

use crate::console::event::Reason;
use crate::net::deadline::Deadline;
use crate::net::handshake::Driver;

/// How far a connection is.
pub(super) enum Phase {
    /// It is in a handshake.
    Handshake(Box<Negotiation>),
    /// Nothing has come from it: it is admitted with its first byte, or then.
    Silent(Instant),
    /// Its handshakes are over, but the server is full.
    Waiting,
    /// Admitted: it talks to the handler.
    Open,
    /// Admitted, and a program has its socket.
    HandedOff(Box<HandOff>),
    /// It is being closed: what is queued is sent, received bytes are drained and dropped.
    Closing(Reason),
    /// It is over but for what the peer's kernel has not acknowledged.
    LastAck(Box<LastAck>),
}

impl Phase {
    /// Whether the handler counts it among its clients: it was `joined` and has not `left`.
    pub(super) fn is_joined(&self) -> bool {
        match self {
            Self::Open => true,
            Self::Handshake(negotiation) => negotiation.purpose == Purpose::StartTls,
            Self::HandedOff(hand_off) => hand_off.gone.is_none(),
            _ => false,
        }
    }
}

/// What a handshake is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// `--accept-proxy`: the proxy announces the client's address.
    ProxyHeader,
    /// `--proxy`: we ask the proxy for a connection.
    Tunnel,
    /// `auth-serve`, `auth-connect`, `--tls`: keys are proved, and a codec is agreed on.
    Security,
    /// `--starttls`: the same on a connection that has talked to its handler before.
    StartTls,
}

/// What a handshake waits for, until its deadline.
pub(super) enum Awaiting {
    /// The peer's next message; the deadline is a timeout.
    Message,
    /// The end of the delay of a refusal, which is sent then.
    Verdict(&'static [u8]),
    /// The peer's first byte after our last message: the connection opens with it, or then.
    Payload,
}

/// A handshake under way.
pub(super) struct Negotiation {
    pub(super) driver: Driver,
    pub(super) purpose: Purpose,
    pub(super) awaiting: Awaiting,
    pub(super) until: Deadline,
}

/// The last phase. Its socket is not watched: nothing reports an acknowledgement.
pub(super) struct LastAck {
    pub(super) reason: Reason,
    pub(super) since: Instant,
    /// When acknowledgements are asked for next.
    pub(super) check_at: Instant,
}

/// What is kept of a connection while a program has its socket.
pub(super) struct HandOff {
    /// Bytes received and sent before, as the kernel counts them.
    pub(super) before: Option<(u64, u64)>,
    /// Both directions have ended: when to look at it again.
    pub(super) ended: Option<Instant>,
    /// The client is gone, for this reason.
    pub(super) gone: Option<Reason>,
}

impl HandOff {
    /// When it must be looked at next.
    pub(super) fn due(&self, active: Instant, idle: Duration) -> Option<Instant> {
        match (self.gone, self.ended) {
            (Some(_), _) => None,
            (None, Some(at)) => Some(at),
            (None, None) => (!idle.is_zero()).then(|| active + idle),
        }
    }
}
