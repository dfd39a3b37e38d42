//! Connections in a handshake: one driver for both roles and every protocol.
//!
//! | handshake    | role   | done                         | refused, ended, timed out     |
//! |--------------|--------|------------------------------|-------------------------------|
//! | PROXY header | server | the peer is known: go on     | logged and removed            |
//! | pre-auth     | server | admitted                     | by the authenticator          |
//! | tunnel       | client | the target is connected      | another attempt, or a failure |
//! | login        | client | admitted                     | how the run ends              |

use std::io;
use std::time::Instant;

use zeroize::Zeroizing;

use super::EventLoop;
use super::table::{Entry, Phase};
use crate::console::event::Reason;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::handshake::{Handshake, Outcome, Progress, Refusal};
use crate::net::outbox::BroadcastLog;
use crate::net::socket::would_block;

/// What a handshake is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// `--accept-proxy`: the proxy announces the client's address.
    ProxyHeader,
    /// `auth-serve`: the client proves its key.
    PreAuth,
    /// `--proxy`: we ask the proxy for a connection.
    Tunnel,
    /// `auth-connect`: we prove our key.
    Login,
}

/// A handshake under way.
pub(super) struct Negotiation {
    machine: Box<dyn Handshake>,
    pub(super) purpose: Purpose,
    until: Deadline,
    /// A verdict that is delayed: until when, and the bytes that tell it.
    pub(super) verdict: Option<(Instant, &'static [u8])>,
    /// Our last message is out; the connection opens when the peer answers, or then.
    opens_at: Option<Instant>,
}

/// What came of reading.
pub(super) enum Step {
    /// Nothing has come.
    Nothing,
    /// It goes on.
    More,
    Done(Outcome),
    Refused(Refusal),
    Failed(io::Error),
}

impl Negotiation {
    pub(super) fn new(machine: Box<dyn Handshake>, purpose: Purpose, until: Deadline) -> Self {
        Self { machine, purpose, until, verdict: None, opens_at: None }
    }

    /// When its timer is due.
    pub(super) fn due(&self) -> Deadline {
        let at = self.verdict.map(|(at, _)| at).or(self.opens_at);
        at.map_or(self.until, Deadline::at)
    }

    /// Whether only its verdict is still to be told.
    pub(super) fn is_decided(&self) -> bool {
        self.verdict.is_some()
    }

    pub(super) fn is_proxy_header(&self) -> bool {
        self.purpose == Purpose::ProxyHeader
    }

    /// What the bytes so far prove, for the pre-auth limits.
    pub(super) fn shows_key(&self) -> bool {
        self.machine.shows_key()
    }

    pub(super) fn on_timeout(&mut self) -> Refusal {
        self.machine.on_timeout()
    }

    pub(super) fn on_eof(&mut self) -> Refusal {
        self.machine.on_eof()
    }

    /// Keeps the connection quiet until the peer answers, or until then.
    pub(super) fn open_at(&mut self, at: Instant) {
        self.opens_at = Some(at);
    }

    pub(super) fn opens_soon(&self) -> bool {
        self.opens_at.is_some()
    }
}

/// Reads what the handshake wants, never past its own end, and answers.
fn step(entry: &mut Entry, buffer: &mut [u8], log: &BroadcastLog, now: Instant) -> Step {
    let mut came = false;
    loop {
        let Phase::Handshake(negotiation) = &mut entry.phase else {
            return Step::Nothing;
        };
        let machine = &mut negotiation.machine;
        let wanted = machine.wanted().min(buffer.len());
        let count = match entry.conn.socket.recv(&mut buffer[..wanted]) {
            Ok(0) => return Step::Refused(machine.on_eof()),
            Ok(count) => count,
            Err(e) if would_block(&e) => return if came { Step::More } else { Step::Nothing },
            Err(e) => return Step::Failed(e),
        };
        came = true;
        // A reply may hold a password: it is wiped, and does not move while it grows.
        let mut reply = Zeroizing::new(Vec::with_capacity(1024));
        let progress = machine.feed(&buffer[..count], &mut reply);
        entry.conn.active = now;
        entry.conn.transmit(&reply, log, now);
        match progress {
            Progress::More => {}
            Progress::Done(outcome) => return Step::Done(outcome),
            Progress::Refused(why) => return Step::Refused(why),
        }
    }
}

impl EventLoop<'_> {
    /// Begins a handshake, with what we say first.
    pub(super) fn begin_handshake(
        &mut self,
        slot: usize,
        mut machine: Box<dyn Handshake>,
        purpose: Purpose,
        until: Deadline,
    ) {
        let greeting = Zeroizing::new(machine.greeting());
        let negotiation = Box::new(Negotiation::new(machine, purpose, until));
        self.table.set_phase(slot, Phase::Handshake(negotiation));
        self.table.with(slot, |entry, log, now| entry.conn.transmit(&greeting, log, now));
    }

    /// Reads on a connection in a handshake; whether anything came.
    pub(super) fn negotiate(&mut self, slot: usize) -> Result<bool, Failure> {
        let Some(Phase::Handshake(negotiation)) = self.table.get(slot).map(|entry| &entry.phase)
        else {
            return Ok(false);
        };
        if negotiation.is_decided() {
            return Ok(false);
        }
        let purpose = negotiation.purpose;
        if negotiation.opens_soon() {
            self.open_dialled(slot);
            return Ok(true);
        }
        let buffer = &mut self.buffer;
        let step = self.table.with(slot, |entry, log, now| step(entry, buffer, log, now));
        let step = step.unwrap_or(Step::Nothing);
        let came = !matches!(step, Step::Nothing);
        match purpose {
            Purpose::ProxyHeader => self.proxy_header(slot, step)?,
            Purpose::PreAuth => self.authenticate(slot, step),
            Purpose::Tunnel => self.tunnel(slot, step)?,
            Purpose::Login => self.login(slot, step),
        }
        Ok(came)
    }

    /// The timer of a handshake.
    pub(super) fn handshake_due(&mut self, slot: usize) -> Result<(), Failure> {
        let Some(Phase::Handshake(negotiation)) = self.table.get(slot).map(|e| &mut e.phase) else {
            return Ok(());
        };
        if negotiation.opens_soon() {
            self.open_dialled(slot);
            return Ok(());
        }
        let purpose = negotiation.purpose;
        if let Some((_, farewell)) = negotiation.verdict {
            self.tell_verdict(slot, farewell);
            return Ok(());
        }
        let refused = Step::Refused(negotiation.on_timeout());
        match purpose {
            Purpose::ProxyHeader => self.proxy_header(slot, refused)?,
            Purpose::PreAuth => self.authenticate(slot, refused),
            Purpose::Tunnel => self.tunnel(slot, refused)?,
            Purpose::Login => self.login(slot, refused),
        }
        Ok(())
    }

    /// `--accept-proxy`: the header says whose the connection is.
    fn proxy_header(&mut self, slot: usize, step: Step) -> Result<(), Failure> {
        let Some(entry) = self.table.get(slot) else {
            return Ok(());
        };
        let why = match step {
            Step::Nothing | Step::More => return Ok(()),
            Step::Done(outcome) => {
                if let Some(source) = outcome.source {
                    entry.conn.peer = source.into();
                }
                self.table.set_phase(slot, Phase::Waiting);
                return self.receive_newcomer(slot);
            }
            Step::Refused(why) => why.reason,
            Step::Failed(_) => match &mut entry.phase {
                Phase::Handshake(negotiation) => negotiation.on_eof().reason,
                _ => return Ok(()),
            },
        };
        let peer = &entry.conn.peer;
        let failure = Failure::new("read the PROXY header of", peer, why, Exit::Broken);
        self.talk.failure(&failure);
        self.table.remove(slot, Reason::Error);
        Ok(())
    }
}
