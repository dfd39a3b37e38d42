//! What follows from what was done to connections in a turn: sends, ends, removals, watches.

use std::time::Instant;

use super::super::pace::{BEHIND, SIGN_OF_LIFE};
use super::{Fin, HIGH, POOL, Phase, STALL, Table, flush};
use crate::console::event::Reason;
use crate::net::poller::Interest;
use crate::session::{Clients, Id};

impl Table {
    /// Does what follows from what was done to connections since the last call: sends, ends,
    /// removes, watches. Returns who left and whose queue is empty again, for the handler.
    pub(in crate::server) fn settle(&mut self) -> (Vec<Id>, Vec<Id>) {
        while let Some(slot) = self.dirty.pop() {
            self.settle_one(slot);
        }
        (std::mem::take(&mut self.left), std::mem::take(&mut self.drained))
    }

    /// The client can take more.
    pub(in crate::server) fn writable(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        let waited = !conn.outbox.is_empty(&self.log);
        self.taken += flush(conn, &self.log, self.now, &mut self.queued);
        if waited && conn.outbox.is_empty(&self.log) {
            self.drained.push(Id { number: conn.number, slot });
        }
        self.dirty.push(slot);
    }

    /// What was said to all and not offered to them yet is enough for a turn.
    pub(in crate::server) fn is_burst(&self) -> bool {
        self.rounds.is_burst(self.log.end())
    }

    /// Offers to a newcomer what is said about it: others may hear of it later.
    pub(in crate::server) fn offer(&mut self, slot: usize) {
        if let Some(conn) = self.conns.get_mut(slot)
            && !conn.outbox.is_empty(&self.log)
        {
            self.taken += flush(conn, &self.log, self.now, &mut self.queued);
        }
    }

    /// Offers to all what was said to all since the last time, if that is due, and slows speakers
    /// down if somebody falls behind. Says whether there was anything to do.
    pub(in crate::server) fn fan_out(&mut self) -> bool {
        let end = self.log.end();
        let waited = self.pace.waits();
        let is_last = self.stopping.is_some() && self.rounds.has_news(end);
        let is_due = is_last || self.rounds.is_due(end, self.now);
        if !is_due && !waited {
            return false;
        }
        let began = Instant::now();
        let (mut oldest, mut behind) = (end, false);
        for (slot, conn) in &mut self.conns {
            if !conn.interest.write && !conn.outbox.is_empty(&self.log) {
                self.taken += flush(conn, &self.log, self.now, &mut self.queued);
                if conn.broken {
                    self.dirty.push(slot);
                }
            }
            let waiting = conn.outbox.len(&self.log);
            if waiting == 0 {
                continue;
            }
            oldest = oldest.min(conn.outbox.oldest());
            behind |= waiting >= BEHIND && self.now - conn.progress < SIGN_OF_LIFE;
            self.dirty.push(slot);
        }
        self.rounds.done(end, began, Instant::now());
        self.log.forget(oldest);
        let waits = self.pace.look(self.now, behind, self.taken, end);
        if waited && !waits {
            self.touch_all();
        }
        is_due || waited != waits
    }

    /// Whether a client that speaks is not heard for now: it is left to its socket.
    pub(in crate::server) fn is_held(&self, slot: usize) -> bool {
        Clients::is_held(self) || self.conns.get(slot).is_some_and(|conn| conn.paused)
    }

    /// A client that had ended its side is gone altogether, while we would still talk to it.
    pub(in crate::server) fn hung_up(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        let is_reset = conn.broken || !matches!(conn.socket.take_error(), Ok(None));
        let reason = if is_reset || !conn.outbox.is_empty(&self.log) {
            Reason::Reset
        } else {
            Reason::Eof // a UNIX peer that closed
        };
        self.remove(slot, reason);
    }

    pub(super) fn settle_one(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        if conn.outbox.kept(&self.log) >= self.limit {
            // What others say, or it said itself, is not to be kept because of it.
            let waiting = conn.outbox.len(&self.log);
            if waiting >= self.limit || self.queued + waiting > POOL {
                return self.end(slot, Reason::Slow);
            }
            conn.take_over(&self.log, &mut self.queued);
        }
        if conn.fin == Fin::Wanted && conn.outbox.is_empty(&self.log) {
            // A peer that is gone already shows itself when it is read.
            let _ = conn.socket.shutdown_write();
            conn.fin = Fin::Sent(self.now);
        }
        if conn.peer_ended {
            if conn.broken {
                return self.remove(slot, Reason::Reset);
            }
            if matches!(conn.fin, Fin::Sent(_)) {
                let reason = if self.stopping.is_some() { Reason::Shutdown } else { Reason::Eof };
                return self.remove(slot, reason);
            }
        }
        let stalled = self.now - conn.progress >= STALL && self.queued < POOL;
        let held = self.held || self.pace.waits() || conn.paused;
        let takes = match conn.phase {
            Phase::Open => !held && (conn.outbox.len(&self.log) < HIGH || stalled),
            Phase::Waiting | Phase::Lent(_) => false,
            Phase::Proving(ref proof) => !proof.is_decided(),
            Phase::Announcing(_) | Phase::Closing(_) => true,
        };
        let interest =
            Interest { read: takes && !conn.wire_ended, write: !conn.outbox.is_empty(&self.log) };
        if interest != conn.interest {
            conn.interest = interest;
            if self.poller.change(&conn.socket, slot as u64, interest).is_err() {
                return self.remove(slot, Reason::Error);
            }
        }
        self.arm(slot);
    }
}
