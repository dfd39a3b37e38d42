//! Connections in a handshake: one driver for both roles and every protocol.
//!
//! | handshake    | role   | done                    | refused, ended, timed out     |
//! |--------------|--------|-------------------------|-------------------------------|
//! | PROXY header | server | the peer is known       | logged and removed            |
//! | tunnel       | client | the target is connected | another attempt, or a failure |
//! | security     | both   | admitted                | `security.rs`                 |
//! | STARTTLS     | both   | the handler goes on     | `security.rs`                 |

use std::io;
use std::time::Instant;

use zeroize::Zeroizing;

use super::EventLoop;
use super::phase::{Awaiting, Negotiation, Phase, Purpose};
use super::table::Entry;
use crate::console::event::Reason;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::errno::{is_reset, would_block};
use crate::net::handshake::{Driver, Handshake, Outcome, Refusal, Stop};
use crate::net::role::Role;

/// What came of reading.
pub(super) enum HandshakeEvent {
    /// It goes on.
    More,
    Done(Outcome),
    Refused(Refusal),
    /// The connection broke, which the handshake takes for this end.
    Broken(io::Error, Refusal),
}

/// Reads what the handshake wants, never past its own end, and answers; `None` if nothing came.
fn step(entry: &mut Entry, buffer: &mut [u8], now: Instant) -> Option<HandshakeEvent> {
    let Phase::Handshake(negotiation) = &mut entry.phase else {
        return None;
    };
    let driver = &mut negotiation.driver;
    let mut event = None;
    loop {
        let wanted = driver.wanted().min(buffer.len());
        let count = match entry.conn.socket.recv(&mut buffer[..wanted]) {
            Ok(0) => {
                let refusal = driver.stopped(Stop::Closed);
                // A reset that a send has met is no error of the read any more.
                let reset = entry.conn.take_failure().filter(is_reset);
                return Some(match reset {
                    Some(e) => HandshakeEvent::Broken(e, refusal),
                    None => HandshakeEvent::Refused(refusal),
                });
            }
            Ok(count) => count,
            Err(e) if would_block(&e) => {
                // Without what could not be sent nothing more comes.
                let broken = |e| HandshakeEvent::Broken(e, driver.stopped(Stop::Closed));
                return entry.conn.take_failure().map(broken).or(event);
            }
            Err(e) => return Some(HandshakeEvent::Broken(e, driver.stopped(Stop::Closed))),
        };
        event = Some(HandshakeEvent::More);
        // A reply may hold a password: it is wiped, and does not move while it grows.
        let mut reply = Zeroizing::new(Vec::with_capacity(1024));
        let progress = driver.feed(&buffer[..count], &mut reply);
        entry.conn.active = now;
        entry.conn.transmit(&reply, now);
        match progress {
            Ok(None) => {}
            Ok(Some(outcome)) => return Some(HandshakeEvent::Done(outcome)),
            Err(why) => return Some(HandshakeEvent::Refused(why)),
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
        let negotiation = Negotiation { driver, purpose, awaiting: Awaiting::Message, until };
        self.table.set_phase(slot, Phase::Handshake(Box::new(negotiation)));
        self.table.with(slot, |entry, _, now| entry.conn.transmit(&greeting, now));
        if self.table.get(slot).is_some_and(|entry| entry.conn.failure().is_some()) {
            self.negotiate(slot);
        }
    }

    /// Reads on a connection in a handshake; whether anything came.
    pub(super) fn negotiate(&mut self, slot: usize) -> bool {
        let Some(negotiation) = self.table.negotiation(slot) else {
            return false;
        };
        let purpose = negotiation.purpose;
        match negotiation.awaiting {
            Awaiting::Verdict(_) => return false,
            Awaiting::Payload => {
                self.admit(slot);
                return true;
            }
            Awaiting::Message => {}
        }
        let buffer = &mut self.buffer;
        let event = self.table.with(slot, |entry, _, now| step(entry, buffer, now));
        match event.flatten() {
            None => return false,
            Some(event) if self.is_health_check(slot, &event) => {
                self.end_health_check(slot, &event);
            }
            Some(event) => self.handle(slot, purpose, event),
        }
        true
    }

    /// Whether a client has left without a byte, as a health check does.
    fn is_health_check(&mut self, slot: usize, event: &HandshakeEvent) -> bool {
        let has_left = matches!(event, HandshakeEvent::Refused(_) | HandshakeEvent::Broken(..));
        let Some(entry) = self.table.entries.get(slot) else {
            return false;
        };
        let is_newcomer = entry.role == Role::Server && !entry.phase.is_joined();
        let Phase::Handshake(negotiation) = &entry.phase else {
            return false;
        };
        has_left && is_newcomer && !negotiation.driver.has_received()
    }

    /// Removes it. Only connection detail tells of it.
    fn end_health_check(&mut self, slot: usize, event: &HandshakeEvent) {
        if let Some(id) = self.table.id(slot) {
            self.preauth.leave(id);
        }
        // What was sent may have met the reset.
        let has_failed = self.table.get(slot).is_some_and(|entry| entry.conn.failure().is_some());
        let is_reset = has_failed || matches!(event, HandshakeEvent::Broken(..));
        self.table.remove(slot, if is_reset { Reason::Reset } else { Reason::Eof });
    }

    /// What follows from an event of a handshake: see the table above.
    fn handle(&mut self, slot: usize, purpose: Purpose, event: HandshakeEvent) {
        match purpose {
            Purpose::ProxyHeader => self.proxy_header(slot, event),
            Purpose::Tunnel => self.tunnel(slot, event),
            Purpose::Security | Purpose::StartTls => self.secure(slot, event),
        }
    }

    /// The timer of a handshake.
    pub(super) fn handshake_due(&mut self, slot: usize) {
        let Some(negotiation) = self.table.negotiation(slot) else {
            return;
        };
        match negotiation.awaiting {
            Awaiting::Payload => self.admit(slot),
            Awaiting::Verdict(farewell) => self.send_verdict(slot, farewell),
            Awaiting::Message => {
                let purpose = negotiation.purpose;
                let timeout = negotiation.driver.stopped(Stop::TimedOut);
                self.handle(slot, purpose, HandshakeEvent::Refused(timeout));
            }
        }
    }

    /// `--accept-proxy`: the header says whose the connection is.
    fn proxy_header(&mut self, slot: usize, event: HandshakeEvent) {
        let Some(id) = self.table.id(slot) else {
            return;
        };
        let entry = &mut self.table.entries[slot];
        match event {
            HandshakeEvent::More => self.preauth.heard(id, false, self.table.now),
            HandshakeEvent::Done(outcome) => {
                self.preauth.leave(id);
                if let Some(source) = outcome.source {
                    entry.conn.peer = source.into();
                }
                self.table.set_phase(slot, Phase::Waiting);
                self.receive_newcomer(slot);
            }
            HandshakeEvent::Refused(why) | HandshakeEvent::Broken(_, why) => {
                self.preauth.leave(id);
                self.refuse_header(slot, &why.reason);
            }
        }
    }

    /// Without its PROXY header a connection is removed, which is logged within the log rate limit.
    pub(super) fn refuse_header(&mut self, slot: usize, why: &str) {
        let (op, peer) = ("read the PROXY header of", &self.table.entries[slot].conn.peer);
        let failure = Failure::new(op, peer, why, Exit::Broken);
        self.table.log_limit.failure(&failure, self.table.now);
        self.table.remove(slot, Reason::Error);
    }
}
