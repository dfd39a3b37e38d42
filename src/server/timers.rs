//! The timers of the connections: idle timeout, linger, drain, handshakes, back-pressure. One heap
//! with one entry a connection; an entry that comes too early is pushed again.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::backpressure::{HIGH_WATER, PROGRESS};
use super::phase::Phase;
use super::table::{Bounds, Entry, Table};
use crate::console::event::Reason;
use crate::net::connection::WriteHalf;
use crate::net::deadline::Deadline;
use crate::net::outbox::BroadcastLog;

/// While stopping: silence that ends a connection, and then again its draining.
const STOP_QUIET: Duration = Duration::from_millis(250);
/// After FIN on a closed connection: silence, and time, until it is no longer drained.
const DRAIN_QUIET: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(10);
/// How soon a timer that could not be dealt with when it was due is looked at again.
const RECHECK: Duration = Duration::from_millis(100);
/// How often back-pressure is updated while it is on.
const BACK_PRESSURE_POLL: Duration = Duration::from_millis(20);

impl Table {
    /// Sets the timer for what is due next on a connection.
    pub(super) fn arm(&mut self, slot: usize) {
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        let Some(due) = due(entry, &self.bounds, self.stopping, &self.log).instant() else {
            return;
        };
        let due = if due > self.now { due } else { self.now + RECHECK };
        if entry.armed.is_none_or(|armed| due < armed) {
            entry.armed = Some(due);
            self.timers.push(Reverse((due, slot, entry.number)));
        }
    }

    /// When the next timer is due.
    pub(super) fn deadline(&self) -> Deadline {
        let timer = self.timers.peek();
        let due = timer.map_or(Deadline::NEVER, |Reverse((due, ..))| Deadline::at(*due));
        let due = due.min(self.flush.deadline(self.log.end()));
        if self.back_pressure.is_on() {
            due.min(Deadline::at(self.now + BACK_PRESSURE_POLL))
        } else {
            due
        }
    }

    /// Deals with all timers that are due, but those of handshakes: their slots are returned.
    pub(super) fn run_timers(&mut self) -> Vec<usize> {
        let mut handshakes = Vec::new();
        while let Some(&Reverse((at, slot, number))) = self.timers.peek()
            && at <= self.now
        {
            self.timers.pop();
            let Some(entry) = self.entries.get_mut(slot).filter(|entry| entry.number == number)
            else {
                continue;
            };
            entry.armed = None;
            let due = due(entry, &self.bounds, self.stopping, &self.log).instant();
            if due.is_some_and(|due| due <= self.now) {
                if let Phase::Handshake(_) = entry.phase {
                    handshakes.push(slot);
                    continue;
                }
                self.expire(slot);
            }
            self.pending.push(slot);
        }
        handshakes
    }

    /// A timer other than a handshake's: idle timeout, linger, or the end of draining.
    fn expire(&mut self, slot: usize) {
        let Some(entry) = self.entries.get(slot) else {
            return;
        };
        let is_idle = is_over(entry.conn.active, self.bounds.idle, self.now);
        let lingered = self.bounds.linger.zip(entry.conn.output_ended());
        match (&entry.phase, entry.conn.write_half()) {
            (Phase::HandedOff(_), _) => self.check_handed_off(slot),
            (Phase::Closing(_), WriteHalf::Ended(_)) => self.remove(slot, Reason::Eof),
            (Phase::Closing(_), _) => self.remove(slot, Reason::Slow),
            (Phase::Open, _)
                if self.stopping.is_some()
                    && !entry.is_occupied
                    && entry.conn.outbox().is_empty(&self.log) =>
            {
                self.end(slot, Reason::Shutdown);
            }
            (Phase::Open, _) if is_idle => self.end(slot, Reason::Idle),
            (Phase::Open, _)
                if lingered.is_some_and(|(linger, since)| self.now - since >= linger) =>
            {
                self.finish_now(slot, Reason::Eof);
            }
            _ => {} // stalled: processing lets it be read
        }
    }
}

fn is_over(since: Instant, limit: Duration, now: Instant) -> bool {
    !limit.is_zero() && now - since >= limit
}

/// When a connection must be looked at next.
fn due(entry: &Entry, bounds: &Bounds, stopping: Option<Instant>, log: &BroadcastLog) -> Deadline {
    let conn = &entry.conn;
    match (&entry.phase, conn.write_half()) {
        (Phase::Handshake(negotiation), _) => negotiation.due(),
        (Phase::Waiting, _) => Deadline::NEVER,
        (Phase::HandedOff(hand_off), _) => hand_off.due(conn.active, bounds.idle),
        (Phase::Closing(_), WriteHalf::Ended(at)) => {
            let quiet = if stopping.is_some() { STOP_QUIET } else { DRAIN_QUIET };
            Deadline::at((conn.active.max(at) + quiet).min(at + DRAIN))
        }
        (Phase::Closing(_), _) => Deadline::at(conn.progress + DRAIN),
        (Phase::Open, _) => {
            let mut due = Deadline::NEVER;
            if let Some(since) = stopping
                && !entry.is_occupied
                && conn.outbox().is_empty(log)
            {
                due = Deadline::at(conn.active.max(since) + STOP_QUIET);
            }
            if !bounds.idle.is_zero() {
                due = due.min(Deadline::at(conn.active + bounds.idle));
            }
            if let (Some(linger), Some(since)) = (bounds.linger, conn.output_ended()) {
                due = due.min(Deadline::at(since + linger));
            }
            if conn.outbox().len(log) >= HIGH_WATER && !entry.interest.read && !conn.wire_ended() {
                due = due.min(Deadline::at(conn.progress + PROGRESS));
            }
            due
        }
    }
}
