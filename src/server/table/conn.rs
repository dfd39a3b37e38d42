//! One connection: what it is owed, how it is told its end, when the clock must look at it, and
//! the way of its bytes to the socket.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use super::super::outbox::Log;
use super::{Conn, DRAIN, DRAIN_QUIET, Fin, HIGH, Phase, STALL, STOP_QUIET};
use crate::exit::Failure;
use crate::net::codec::Reject;
use crate::net::deadline::Deadline;
use crate::net::hexdump::Direction;
use crate::net::socket::would_block;
use crate::session::Id;

impl Conn {
    /// The socket took this much; where it is wrapped, payload was counted when that was done.
    pub(super) fn count_sent(&mut self, n: u64) {
        if self.codec.is_none() {
            self.sent += n;
        }
    }

    /// The connection is gone: nothing more can be sent.
    pub(super) fn fail(&mut self, queued: &mut usize) {
        self.broken = true;
        *queued -= self.outbox.own();
        self.outbox.clear();
    }

    /// What is said to all from now on is not for this client.
    pub(super) fn detach(&mut self, log: &Log, queued: &mut usize) {
        self.wrap_shared(log, queued);
        self.outbox.detach(log);
    }

    /// Makes what waits of what was said to all its own.
    pub(super) fn take_over(&mut self, log: &Log, queued: &mut usize) {
        self.wrap_shared(log, queued);
        let own = self.outbox.own();
        let Ok(()) = self.outbox.take_over(log, Ok::<_, Infallible>);
        *queued += self.outbox.own() - own;
    }

    /// Where the wire is not the payload: wraps what was said to all, a turn's worth at a time.
    pub(super) fn wrap_shared(&mut self, log: &Log, queued: &mut usize) {
        let Some(codec) = &mut self.codec else {
            return;
        };
        let (own, sent) = (self.outbox.own(), &mut self.sent);
        let result = self.outbox.take_over(log, |payload| {
            let mut wire = Vec::new();
            *sent += payload.len() as u64;
            codec.encode(&payload, &mut wire).map(|()| wire)
        });
        *queued += self.outbox.own() - own;
        if result.is_err() {
            self.fail(queued);
        }
    }

    /// Whether what comes has to be unwrapped before it means anything.
    pub(in crate::server) fn is_wrapped(&self) -> bool {
        self.codec.is_some() && matches!(self.phase, Phase::Open)
    }

    /// Tells one who holds a key why it is not let in; only the first reason.
    pub(super) fn reject(&mut self, why: Reject, log: &Log, queued: &mut usize) {
        if let Some(mut codec) = self.codec.take() {
            let mut wire = Vec::new();
            codec.reject(why, &mut wire);
            *queued += wire.len();
            self.outbox.push(&wire, log);
        }
    }

    /// Queues what tells the end of our side, where that takes more than a FIN.
    pub(super) fn tell_end(&mut self, log: &Log, queued: &mut usize) {
        if let Some(codec) = &mut self.codec
            && self.let_in
            && self.fin == Fin::No
            && !self.broken
        {
            let mut wire = Vec::new();
            // Without it the peer takes the end for a truncation, which it then is.
            codec.encode_eof(&mut wire);
            *queued += wire.len();
            self.outbox.push(&wire, log);
        }
    }

    pub(super) fn is_open(&self, id: Id) -> bool {
        self.number == id.number && matches!(self.phase, Phase::Open)
    }

    pub(in crate::server) fn is_broken(&self) -> bool {
        self.broken
    }

    pub(in crate::server) fn is_occupied(&self) -> bool {
        self.occupied
    }

    /// When the clock must look at it next.
    pub(super) fn due(&self, idle: Duration, stopping: Option<Instant>, log: &Log) -> Deadline {
        match (&self.phase, self.fin) {
            (Phase::Announcing(announcement), _) => announcement.until,
            (Phase::Proving(proof), _) => proof.due(),
            (Phase::Waiting, _) => Deadline::NEVER,
            (Phase::Lent(lent), _) => lent.due(self.active, idle),
            (Phase::Closing(_), Fin::Sent(at)) => {
                let quiet = if stopping.is_some() { STOP_QUIET } else { DRAIN_QUIET };
                Deadline::at((self.active.max(at) + quiet).min(at + DRAIN))
            }
            (Phase::Closing(_), _) => Deadline::at(self.progress + DRAIN),
            (Phase::Open, _) => {
                let mut due = Deadline::NEVER;
                if let Some(since) = stopping
                    && !self.occupied
                    && self.outbox.is_empty(log)
                {
                    due = Deadline::at(self.active.max(since) + STOP_QUIET);
                }
                if !idle.is_zero() {
                    due = due.min(Deadline::at(self.active + idle));
                }
                if self.outbox.len(log) >= HIGH && !self.interest.read && !self.wire_ended {
                    due = due.min(Deadline::at(self.progress + STALL));
                }
                due
            }
        }
    }
}

/// Sends bytes for one client, as far as it takes them at once, and queues the rest; how many
/// bytes were queued.
pub(super) fn transmit(conn: &mut Conn, log: &Log, bytes: &[u8], now: Instant) -> usize {
    if conn.broken || conn.fin != Fin::No {
        return 0;
    }
    let mut taken = 0;
    if conn.outbox.is_empty(log) {
        conn.progress = now;
        match conn.socket.send(bytes) {
            Ok(n) => {
                taken = n;
                conn.count_sent(n as u64);
                conn.active = now;
            }
            Err(e) if would_block(&e) => {}
            Err(_) => {
                conn.fail(&mut 0); // nothing is queued
                return 0;
            }
        }
    }
    conn.outbox.push(&bytes[taken..], log);
    bytes.len() - taken
}

/// Sends what waits for a client, as far as it takes it; how much that was.
pub(super) fn flush(conn: &mut Conn, log: &Log, now: Instant, queued: &mut usize) -> u64 {
    conn.wrap_shared(log, queued);
    let own = conn.outbox.own();
    if !conn.interest.write {
        conn.progress = now; // it has just begun to wait
    }
    let taken = match conn.outbox.send_to(&conn.socket, log) {
        Ok(0) => 0,
        Ok(n) => {
            conn.active = now;
            conn.progress = now;
            n as u64
        }
        Err(_) => {
            *queued -= own - conn.outbox.own();
            conn.fail(queued);
            return 0;
        }
    };
    conn.count_sent(taken);
    *queued -= own - conn.outbox.own();
    taken
}

/// Wraps payload for the wire and counts it: `None` where the wire is the payload, false where it
/// could not be done.
pub(super) fn wrap(conn: &mut Conn, payload: &[u8], wire: &mut Vec<u8>) -> Option<bool> {
    let codec = conn.codec.as_mut()?;
    wire.clear();
    conn.sent += payload.len() as u64;
    Some(codec.encode(payload, wire).is_ok())
}

/// Writes to the `--hex` dump; a dump that cannot be written ends the run.
pub(super) fn dump(
    quit: &mut Option<Result<(), Failure>>,
    conn: &Conn,
    direction: Direction,
    bytes: &[u8],
) {
    if let Some(tap) = &conn.tap
        && let Err(failure) = tap.borrow_mut().tell(direction, conn.opened.elapsed(), bytes)
    {
        quit.get_or_insert(Err(failure));
    }
}
