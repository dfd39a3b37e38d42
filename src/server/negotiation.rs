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
use super::phase::{Negotiation, Phase, Purpose};
use super::table::Entry;
use crate::console::event::Reason;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::handshake::{Driver, Handshake, Outcome, Refusal, Stop};
use crate::net::outbox::BroadcastLog;
use crate::net::socket::would_block;

/// What came of reading.
pub(super) enum HandshakeEvent {
    /// Nothing has come.
    Nothing,
    /// It goes on.
    More,
    Done(Outcome),
    Refused(Refusal),
    Failed(io::Error),
}

/// Reads what the handshake wants, never past its own end, and answers.
fn step(entry: &mut Entry, buffer: &mut [u8], log: &BroadcastLog, now: Instant) -> HandshakeEvent {
    let mut came = false;
    loop {
        let Phase::Handshake(negotiation) = &mut entry.phase else {
            return HandshakeEvent::Nothing;
        };
        let driver = &mut negotiation.driver;
        let wanted = driver.wanted().min(buffer.len());
        let count = match entry.conn.socket.recv(&mut buffer[..wanted]) {
            Ok(0) => return HandshakeEvent::Refused(driver.stopped(Stop::Closed)),
            Ok(count) => count,
            Err(e) if would_block(&e) => {
                return if came { HandshakeEvent::More } else { HandshakeEvent::Nothing };
            }
            Err(e) => return HandshakeEvent::Failed(e),
        };
        came = true;
        // A reply may hold a password: it is wiped, and does not move while it grows.
        let mut reply = Zeroizing::new(Vec::with_capacity(1024));
        let progress = driver.feed(&buffer[..count], &mut reply);
        entry.conn.active = now;
        entry.conn.transmit(&reply, log, now);
        match progress {
            Ok(None) => {}
            Ok(Some(outcome)) => return HandshakeEvent::Done(outcome),
            Err(why) => return HandshakeEvent::Refused(why),
        }
    }
}

impl EventLoop<'_> {
    /// Begins a handshake, with what we say first.
    pub(super) fn begin_handshake(
        &mut self,
        slot: usize,
        handshake: Box<dyn Handshake>,
        purpose: Purpose,
        until: Deadline,
    ) {
        let (driver, greeting) = Driver::start(handshake);
        let greeting = Zeroizing::new(greeting);
        let negotiation = Box::new(Negotiation::new(driver, purpose, until));
        self.table.set_phase(slot, Phase::Handshake(negotiation));
        self.table.with(slot, |entry, log, now| entry.conn.transmit(&greeting, log, now));
    }

    /// Reads on a connection in a handshake; whether anything came.
    pub(super) fn negotiate(&mut self, slot: usize) -> Result<bool, Failure> {
        let Some(Phase::Handshake(negotiation)) = self.table.get(slot).map(|entry| &entry.phase)
        else {
            return Ok(false);
        };
        if negotiation.verdict.is_some() {
            return Ok(false);
        }
        let purpose = negotiation.purpose;
        if negotiation.opens_at.is_some() {
            self.admit(slot);
            return Ok(true);
        }
        let buffer = &mut self.buffer;
        let step = self.table.with(slot, |entry, log, now| step(entry, buffer, log, now));
        let step = step.unwrap_or(HandshakeEvent::Nothing);
        let came = !matches!(step, HandshakeEvent::Nothing);
        self.handle(slot, purpose, step)?;
        Ok(came)
    }

    /// What follows from an event of a handshake: see the table above.
    fn handle(
        &mut self,
        slot: usize,
        purpose: Purpose,
        event: HandshakeEvent,
    ) -> Result<(), Failure> {
        match purpose {
            Purpose::ProxyHeader => self.proxy_header(slot, event),
            Purpose::Tunnel => self.tunnel(slot, event),
            Purpose::PreAuth => {
                self.authenticate(slot, event);
                Ok(())
            }
            Purpose::Login => {
                self.login(slot, event);
                Ok(())
            }
        }
    }

    /// The timer of a handshake.
    pub(super) fn handshake_due(&mut self, slot: usize) -> Result<(), Failure> {
        let Some(Phase::Handshake(negotiation)) = self.table.get(slot).map(|e| &mut e.phase) else {
            return Ok(());
        };
        if negotiation.opens_at.is_some() {
            self.admit(slot);
            return Ok(());
        }
        let purpose = negotiation.purpose;
        if let Some((_, farewell)) = negotiation.verdict {
            self.tell_verdict(slot, farewell);
            return Ok(());
        }
        let refused = HandshakeEvent::Refused(negotiation.driver.stopped(Stop::TimedOut));
        self.handle(slot, purpose, refused)
    }

    /// `--accept-proxy`: the header says whose the connection is.
    fn proxy_header(&mut self, slot: usize, step: HandshakeEvent) -> Result<(), Failure> {
        let Some(entry) = self.table.get(slot) else {
            return Ok(());
        };
        let why = match step {
            HandshakeEvent::Nothing | HandshakeEvent::More => return Ok(()),
            HandshakeEvent::Done(outcome) => {
                if let Some(source) = outcome.source {
                    entry.conn.peer = source.into();
                }
                self.table.set_phase(slot, Phase::Waiting);
                return self.receive_newcomer(slot);
            }
            HandshakeEvent::Refused(why) => why.reason,
            HandshakeEvent::Failed(_) => match &mut entry.phase {
                Phase::Handshake(negotiation) => negotiation.driver.stopped(Stop::Closed).reason,
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
