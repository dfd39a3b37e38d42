//! The script of one connection: how far it is, when something is due on it, and what its end means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Script;
use super::handler::ScriptOptions;
use crate::auth::security::START_TLS;
use crate::console::event::{Event, Reason};
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::quantity;
use crate::net::role::Role;
use crate::session::closed::{Closed, protocol_exit};
use crate::session::{Clients, Id};

/// With `--rate` so many pieces are sent a second, unless that is more than its bytes.
const PIECES: u64 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first step comes after what the peer has sent already: a peer that has closed would
    /// answer bytes with a reset, which destroys what is on its way.
    Opening,
    /// There are steps to do.
    Steps,
    /// A pause, until then.
    Pause(Instant),
    /// TLS begins: its handshake has a clock of its own.
    StartingTls,
    /// Our side has ended (if it should), the answer is read to its end.
    Answer,
    /// What came is written to stdout, then the connection is closed.
    Closing,
    /// A step was not done: it is cut off.
    Failed,
    /// `--reset`.
    Reset,
}

/// The script of one connection.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Conversation {
    pub(super) client: Id,
    pub(super) script: Script,
    pub(super) phase: Phase,
    /// When the step on hand began, or last got on.
    pub(super) step_began: Instant,
    /// With `--rate`: what is left of the bytes to send, and when the next piece is due.
    pub(super) rest: Option<(Arc<[u8]>, usize, Instant)>,
    /// The peer has not taken the last piece: the next waits for that.
    pub(super) is_behind: bool,
    /// Bytes came since the last send began.
    pub(super) has_answer: bool,
    /// The step on hand was not done in time.
    pub(super) is_late: bool,
    /// The event of an expectation that is not met was written.
    pub(super) is_reported: bool,
    /// Its place among the timers.
    pub(super) armed: Option<Instant>,
}

impl Conversation {
    pub(super) fn new(client: Id, script: Script, phase: Phase) -> Self {
        Self {
            client,
            script,
            phase,
            step_began: Instant::now(),
            rest: None,
            is_behind: false,
            has_answer: false,
            is_late: false,
            is_reported: false,
            armed: None,
        }
    }

    /// Sends as much of the bytes on hand as `--rate` allows; the step is done when all are sent.
    pub(super) fn send_rest(&mut self, rate: Option<u64>, clients: &mut dyn Clients) {
        if let (Some((bytes, at, due)), Some(rate)) = (&mut self.rest, rate) {
            let now = Instant::now();
            self.is_behind = clients.queued(self.client) > 0;
            if *due > now || self.is_behind {
                return;
            }
            let most = usize::try_from(rate.div_ceil(PIECES)).unwrap_or(usize::MAX);
            let piece = &bytes[*at..][..most.min(bytes.len() - *at)];
            clients.send(self.client, piece);
            *at += piece.len();
            let nanos = 1_000_000_000 * piece.len() as u128 / u128::from(rate);
            let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            *due = (*due + time).max(now);
            self.step_began = now;
            if *at == bytes.len() {
                self.rest = None;
            }
        }
        if self.rest.is_none() && clients.queued(self.client) == 0 {
            self.script.done();
        }
    }

    /// When something is due: the step on hand is late, a pause is over, more may be sent.
    pub(super) fn due(&self, options: &ScriptOptions) -> Deadline {
        let is_bounded = match self.phase {
            Phase::Opening => return Deadline::at(self.step_began),
            Phase::Pause(until) => return Deadline::at(until),
            Phase::Steps => {
                if let Some((_, _, due)) = self.rest
                    && !self.is_behind
                {
                    return Deadline::at(due);
                }
                true
            }
            Phase::Answer => !self.has_answer || options.role == Role::Server,
            Phase::StartingTls | Phase::Closing | Phase::Failed | Phase::Reset => false,
        };
        if !is_bounded || options.step_limit.is_zero() {
            return Deadline::NEVER;
        }
        self.step_began.checked_add(options.step_limit).into()
    }

    /// Ends a conversation whose step is late; that of a server is over once its client, which has
    /// got everything, is silent.
    pub(super) fn check_step(
        &mut self,
        options: &ScriptOptions,
        talk: &Talk,
        clients: &mut dyn Clients,
    ) {
        if !self.due(options).passed() {
            return;
        }
        // Whatever the peer takes is progress.
        let stalled = clients.stalled(self.client);
        if stalled < options.step_limit {
            let now = Instant::now();
            self.step_began = now.checked_sub(stalled).unwrap_or(now);
            return;
        }
        if self.phase == Phase::Answer && options.role == Role::Server {
            self.phase = Phase::Closing;
            return;
        }
        self.phase = Phase::Failed;
        self.is_late = true;
        if self.script.pending().is_some() {
            self.report_unmet(talk);
        }
        clients.close(self.client, Reason::Error);
    }

    /// The event of an expectation that is not met.
    pub(super) fn report_unmet(&mut self, talk: &Talk) {
        if let Some((pattern, _)) = self.script.awaited().filter(|_| !self.is_reported) {
            talk.say(&Event::expected(pattern, None));
            self.is_reported = true;
        }
    }

    /// What the steps make of the end of the connection: the failure of an expectation that was
    /// pending, or of a step that was late; `None` where that end decides. Where the peer breaks the
    /// connection during a send, the expectation behind it counts as pending: whether the send is done
    /// before the break is a matter of timing.
    pub(super) fn verdict(
        &mut self,
        closed: &Closed,
        limit: Duration,
        talk: &Talk,
    ) -> Option<Failure> {
        let limit = quantity::shown(limit);
        if let Some(unread) = self.script.unread_before_tls() {
            let peer = match closed.role {
                Role::Server => "the client",
                Role::Client => "the server",
            };
            let cause = format!("{peer} sent {unread}");
            return Some(Failure::new(START_TLS, &closed.peer, cause, Exit::Broken));
        }
        // A TLS 1.3 server rejects our certificate behind the handshake.
        if closed.error.as_ref().and_then(protocol_exit) == Some(Exit::NotAuthenticated) {
            return None;
        }
        let is_broken = closed.by_peer && !self.is_late;
        let pending = if is_broken { self.script.awaited() } else { self.script.pending() };
        let Some((_, named)) = pending else {
            return self.is_late.then(|| self.late(&limit, closed));
        };
        let cause =
            if self.is_late { format!("not within {limit} (-w)") } else { closed.why_unmet()? };
        let target = format!("{named} {}", closed.peer);
        let cause = format!("{cause}; {}", self.script.account());
        self.report_unmet(talk);
        Some(Failure::new("expect", target, cause, Exit::Expectation))
    }

    /// The failure of a peer that read nothing, or answered nothing, for too long.
    pub(super) fn late(&self, limit: &str, closed: &Closed) -> Failure {
        let Closed { peer, sent, .. } = closed;
        if self.script.is_over() {
            Failure::timed_out("answer from", peer).hint(&format!("no reply within {limit} (-w)"))
        } else {
            Failure::timed_out("send to", peer)
                .hint(&format!("the peer read nothing for {limit} (-w), after {sent} bytes"))
        }
    }
}
