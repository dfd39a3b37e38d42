//! `auth-serve`: a connection proves that it holds a key before any handler knows of it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::EventLoop;
use super::log_limit::LogLimit;
use super::negotiation::HandshakeEvent;
use super::phase::{Phase, Purpose};
use super::preauth::PreAuthLimits;
use super::table::Table;
use crate::console::event::{Event, Reason};
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::handshake::{Handshake, Outcome, Refusal, Stop};
use crate::net::open_files;
use crate::session::Id;

/// Refused connections that are still being closed in good order; one more removes the first of
/// them, so that peers that do not close hold no descriptors.
const MAX_CLOSING: usize = 64;

/// Connections in their grace, and their part of the limit on open files: a small one, as with
/// programs that limit is little above what the admitted connections need.
const MAX_GRACE: usize = 1024;
const GRACE_PART: usize = 16;

/// Makes our side of a handshake for each connection.
pub type NewHandshake = Box<dyn Fn() -> Result<Box<dyn Handshake>, Failure>>;

/// What a server asks of new connections.
pub struct Authenticator {
    handshake: NewHandshake,
    key_names: Vec<String>,
    /// The protocol has a message for a client that holds a key and is not admitted.
    explains: bool,
    /// `-w`: the time for a whole handshake; zero: no limit.
    timeout: Duration,
    limits: PreAuthLimits,
    log_limit: LogLimit,
    closing: VecDeque<Id>,
}

impl Authenticator {
    /// For holders of the keys of these names; `penalty` is off with `--no-penalty`.
    pub fn new(
        handshake: NewHandshake,
        key_names: Vec<String>,
        explains: bool,
        timeout: Duration,
        penalty: bool,
    ) -> Self {
        Self {
            handshake,
            key_names,
            explains,
            timeout,
            limits: PreAuthLimits::new(penalty, MAX_GRACE),
            log_limit: LogLimit::default(),
            closing: VecDeque::new(),
        }
    }

    /// Adapts to the limit on open files, once that is raised.
    #[must_use]
    pub fn within_open_files(mut self) -> Self {
        self.limits.set_max_grace(MAX_GRACE.min(open_files::most() / GRACE_PART));
        self
    }

    /// The names of the keys.
    pub fn key_names(&self) -> Vec<String> {
        self.key_names.clone()
    }

    /// Whether a connection from a denied address may authenticate, so that the protocol can report
    /// the reason. Not while many connections are pending: they share the pre-auth limits.
    pub(super) fn would_explain(&self) -> bool {
        self.explains && self.limits.is_calm()
    }

    /// When a connection may have to be evicted.
    pub(super) fn deadline(&self) -> Deadline {
        self.limits.deadline()
    }

    /// Logs why a connection is not admitted, within the log rate limit.
    fn log(&mut self, table: &mut Table, slot: usize, reason: &str) {
        let (now, talk) = (table.now, table.talk.clone());
        let (Some(entry), Some(suppressed)) = (table.get(slot), self.log_limit.admit(now)) else {
            return;
        };
        if suppressed > 0 {
            talk.warn(&format!("{suppressed} similar messages suppressed"));
        }
        talk.say(&Event::Auth {
            id: entry.number,
            peer: &entry.conn.peer,
            ok: false,
            reason: Some(reason),
            key: None,
        });
    }

    fn refuse(&mut self, table: &mut Table, slot: usize, why: &Refusal) {
        self.log(table, slot, &why.reason);
        let now = table.now;
        let (Some(id), Some(entry)) = (table.id(slot), table.get(slot)) else {
            return;
        };
        let delay = if why.wrong_proof {
            self.limits.wrong_proof(id, entry.conn.peer.ip(), now)
        } else {
            Duration::ZERO
        };
        if delay.is_zero() {
            self.close(table, slot, why.farewell);
        } else if let Phase::Handshake(negotiation) = &mut entry.phase {
            negotiation.verdict = Some((now + delay, why.farewell));
            table.pending.push(slot);
        }
    }

    /// Sends the verdict that the protocol has, and closes; a reset would destroy the verdict.
    fn close(&mut self, table: &mut Table, slot: usize, farewell: &[u8]) {
        let Some(id) = table.id(slot) else { return };
        self.limits.leave(id);
        table.with(slot, |entry, log, now| entry.conn.transmit(farewell, log, now));
        table.end(slot, Reason::Auth);
        self.closing.push_back(id);
        if self.closing.len() > MAX_CLOSING
            && let Some(first) = self.closing.pop_front()
            && table.id(first.slot) == Some(first)
        {
            table.remove(first.slot, Reason::Auth);
        }
    }

    /// The handshake succeeded.
    fn succeed(&mut self, table: &mut Table, id: Id, outcome: Outcome) {
        self.limits.leave(id);
        let talk = table.talk.clone();
        table.with(id.slot, |entry, _, _| {
            entry.key = outcome.key.as_deref().map(Rc::from);
            entry.conn.establish(outcome.codec);
            talk.say(&Event::Auth {
                id: id.number,
                peer: &entry.conn.peer,
                ok: true,
                reason: None,
                key: outcome.key.as_deref(),
            });
        });
    }
}

impl EventLoop<'_> {
    /// Begins the handshake of a new connection.
    pub(super) fn challenge(&mut self, id: Id, from: Option<IpAddr>) -> Result<(), Failure> {
        let now = self.table.now;
        let Some(auth) = &mut self.config.auth else {
            return Ok(());
        };
        auth.limits.admit(id, from, now);
        let (handshake, until) = ((auth.handshake)()?, Deadline::after(auth.timeout));
        self.begin_handshake(id.slot, handshake, Purpose::PreAuth, until);
        self.evict()
    }

    /// Evicts what is over the limits. Each connection is read first: it may have sent its proof.
    pub(super) fn evict(&mut self) -> Result<(), Failure> {
        let now: Instant = self.table.now;
        while let Some(auth) = &mut self.config.auth
            && let Some(victim) = auth.limits.next_eviction(now)
        {
            if self.table.id(victim.slot) == Some(victim) && self.negotiate(victim.slot)? {
                continue;
            }
            if let Some(auth) = &mut self.config.auth {
                auth.limits.leave(victim);
                if self.table.id(victim.slot) == Some(victim) {
                    let reason = "evicted: too many unauthenticated connections";
                    auth.log(&mut self.table, victim.slot, reason);
                    self.table.remove(victim.slot, Reason::Auth);
                }
            }
        }
        Ok(())
    }

    /// A step of a client's proof.
    pub(super) fn authenticate(&mut self, slot: usize, step: HandshakeEvent) {
        let now = self.table.now;
        let (Some(auth), Some(id)) = (&mut self.config.auth, self.table.id(slot)) else {
            return;
        };
        let table = &mut self.table;
        let Some(Phase::Handshake(negotiation)) = table.get(slot).map(|entry| &mut entry.phase)
        else {
            return;
        };
        let heard = matches!(
            step,
            HandshakeEvent::More | HandshakeEvent::Done(_) | HandshakeEvent::Refused(_)
        );
        let shows_key = negotiation.driver.shows_key();
        let step = match step {
            // For the proof, a connection that failed has ended.
            HandshakeEvent::Failed(_) => {
                HandshakeEvent::Refused(negotiation.driver.stopped(Stop::Closed))
            }
            step => step,
        };
        if heard {
            auth.limits.heard(id, shows_key, now);
        }
        match step {
            HandshakeEvent::Nothing | HandshakeEvent::More | HandshakeEvent::Failed(_) => {}
            HandshakeEvent::Refused(why) => auth.refuse(table, slot, &why),
            HandshakeEvent::Done(outcome) => {
                auth.succeed(table, id, outcome);
                let from = table.get(slot).and_then(|entry| entry.conn.peer.ip());
                if self.config.limits.access.admits(from) {
                    self.admit(slot);
                } else {
                    self.table.deny(slot);
                }
            }
        }
    }

    /// The delay of a verdict is over.
    pub(super) fn tell_verdict(&mut self, slot: usize, farewell: &[u8]) {
        if let Some(auth) = &mut self.config.auth {
            auth.close(&mut self.table, slot, farewell);
        }
    }
}
