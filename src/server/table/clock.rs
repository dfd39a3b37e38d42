//! The clocks of the connections: what is due, and when to look next.

use std::cmp::Reverse;

use super::{Fin, LOOK, Phase, RETRY, Table};
use crate::console::event::Reason;
use crate::net::deadline::Deadline;

impl Table {
    /// Sets the clock for whatever is due next on a connection.
    pub(super) fn arm(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        let Some(due) = conn.due(self.idle, self.stopping, &self.log).instant() else {
            return;
        };
        // What is due already was just dealt with, as far as it can be.
        let due = if due > self.now { due } else { self.now + RETRY };
        if conn.armed.is_none_or(|armed| due < armed) {
            conn.armed = Some(due);
            self.clock.push(Reverse((due, slot, conn.number)));
        }
    }

    /// When the clock is next due.
    pub(in crate::server) fn deadline(&self) -> Deadline {
        let clock = self.clock.peek();
        let due = clock.map_or(Deadline::NEVER, |Reverse((due, ..))| Deadline::at(*due));
        let due = due.min(self.rounds.deadline(self.log.end()));
        if self.pace.waits() { due.min(Deadline::at(self.now + LOOK)) } else { due }
    }

    /// The connections that were to show who they are and whose time is up, or whose verdict may be
    /// told now; all others that are due are dealt with.
    pub(in crate::server) fn tick(&mut self) -> Vec<usize> {
        let mut unproved = Vec::new();
        while let Some(&Reverse((due, slot, number))) = self.clock.peek()
            && due <= self.now
        {
            self.clock.pop();
            let Some(conn) = self.conns.get_mut(slot).filter(|conn| conn.number == number) else {
                continue;
            };
            conn.armed = None;
            if conn
                .due(self.idle, self.stopping, &self.log)
                .instant()
                .is_some_and(|due| due <= self.now)
            {
                if let Phase::Announcing(_) | Phase::Proving(_) = conn.phase {
                    unproved.push(slot);
                    continue;
                }
                self.due(slot);
            }
            self.dirty.push(slot);
        }
        unproved
    }

    pub(super) fn due(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        match (&conn.phase, conn.fin) {
            (Phase::Lent(_), _) => self.look_at_lent(slot),
            (Phase::Closing(_), Fin::Sent(_)) => self.remove(slot, Reason::Eof),
            (Phase::Closing(_), _) => self.remove(slot, Reason::Slow),
            (Phase::Open, _)
                if self.stopping.is_some() && !conn.occupied && conn.outbox.is_empty(&self.log) =>
            {
                self.end(slot, Reason::Shutdown);
            }
            (Phase::Open, _) if !self.idle.is_zero() && self.now - conn.active >= self.idle => {
                self.end(slot, Reason::Idle);
            }
            _ => {} // stalled: settle lets it be read
        }
    }
}
