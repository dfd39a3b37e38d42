//! The timers of the connections: idle timeout, linger, drain, handshakes, back-pressure. One
//! entry a connection, ordered by time; one that comes too early is set again.

use std::time::{Duration, Instant};

use super::EventLoop;
use super::phase::Phase;
use super::table::{Entry, Table};
use crate::console::event::Reason;
use crate::net::connection::WriteHalf;
use crate::net::deadline::Deadline;
use crate::net::flow::{HIGH_WATER, STALL_AFTER};
use crate::net::role::Role;

/// While stopping: silence that ends a connection, and then again its draining.
const STOP_QUIET: Duration = Duration::from_millis(250);
/// After FIN on a closed connection: silence, and time, until it is no longer drained.
const DRAIN_QUIET: Duration = Duration::from_secs(1);
pub(super) const DRAIN: Duration = Duration::from_secs(10);
/// How soon a timer that could not be dealt with when it was due is looked at again.
const RECHECK: Duration = Duration::from_millis(100);
/// How often back-pressure is updated while it is on.
const BACK_PRESSURE_POLL: Duration = Duration::from_millis(20);

/// What is due next on a connection.
enum Timer {
    Handshake,
    /// It has been silent for long enough to be no health check.
    Admit,
    HandedOff,
    /// Gracefully: it was silent for too long.
    Close(Reason),
    /// The peer took, or sent, nothing more for too long.
    Remove(Reason),
    /// Whether the peer has acknowledged everything.
    LastAck,
    /// `--linger` is over: our end is sent behind what is queued, then it is removed.
    Finish,
    /// Whether the peer has acknowledged more.
    AckCheck,
    /// It has taken nothing for [`STALL_AFTER`]: processing it makes it read again.
    Stalled,
}

impl Table {
    /// What is due next on a connection, and when.
    fn next_timer(&self, entry: &Entry) -> Option<(Instant, Timer)> {
        let conn = &entry.conn;
        match (&entry.phase, conn.write_half()) {
            (Phase::Handshake(negotiation), _) => {
                let due = negotiation.until.instant().map(|at| (at, Timer::Handshake));
                let silent = entry.phase.is_joined().then(|| self.silence_timer(entry)).flatten();
                due.into_iter().chain(silent).min_by_key(|(at, _)| *at)
            }
            (Phase::Silent(until), _) => Some((*until, Timer::Admit)),
            (Phase::Waiting, _) => None,
            (Phase::HandedOff(hand_off), _) => {
                Some((hand_off.due(conn.active, self.bounds.idle)?, Timer::HandedOff))
            }
            // What a socket holds when it is closed is lost if the peer still sends.
            (Phase::Closing(_), WriteHalf::Ended(at)) if !conn.has_unacked => {
                let quiet = if self.stopping.is_some() { STOP_QUIET } else { DRAIN_QUIET };
                let began = conn.last_taken.max(at);
                let due = match self.bounds.linger {
                    Some(linger) => began + linger,
                    None => (conn.active.max(at) + quiet).min(began + DRAIN),
                };
                Some((due, Timer::Remove(Reason::Eof)))
            }
            (Phase::LastAck(last_ack), _) => Some((last_ack.check_at, Timer::LastAck)),
            (Phase::Closing(_), _) => {
                let due = conn.last_taken + DRAIN;
                match conn.next_ack_check() {
                    at if at < due => Some((at, Timer::AckCheck)),
                    _ => Some((due, Timer::Remove(Reason::Slow))),
                }
            }
            (Phase::Open, _) => self.next_timer_open(entry),
        }
    }

    /// The same for one that talks to the handler.
    fn next_timer_open(&self, entry: &Entry) -> Option<(Instant, Timer)> {
        let conn = &entry.conn;
        let waiting = conn.waiting(&self.log);
        let is_stalled = waiting >= HIGH_WATER && !entry.interest.read && !conn.wire_ended();
        let (idle, linger) = (self.bounds.idle, self.bounds.linger);
        let check = if waiting > 0 || conn.has_unacked && entry.role == Role::Client {
            Some(conn.next_ack_check())
        } else {
            (conn.has_unacked && !idle.is_zero()).then(|| conn.next_ack_check_within(idle))
        };
        [
            self.silence_timer(entry),
            linger
                .filter(|_| !entry.is_occupied)
                .zip(conn.output_ended())
                .map(|(time, at)| (at + time, Timer::Finish)),
            is_stalled.then(|| (conn.last_taken + STALL_AFTER, Timer::Stalled)),
            check.map(|at| (at, Timer::AckCheck)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    /// When silence ends a connection that its handler knows: the idle timeout, or that of stopping.
    fn silence_timer(&self, entry: &Entry) -> Option<(Instant, Timer)> {
        let conn = &entry.conn;
        let is_quiet = !entry.is_occupied && conn.waiting(&self.log) == 0;
        let stopping = self.stopping.filter(|_| is_quiet);
        let idle = self.bounds.idle;
        let stop =
            stopping.map(|at| (conn.active.max(at) + STOP_QUIET, Timer::Close(Reason::Shutdown)));
        let idle = (!idle.is_zero()).then(|| (conn.active + idle, Timer::Close(Reason::Idle)));
        stop.into_iter().chain(idle).min_by_key(|(at, _)| *at)
    }

    /// Sets the timer for what is due next on a connection.
    pub(super) fn arm(&mut self, slot: usize) {
        let Some((due, _)) = self.entries.get(slot).and_then(|entry| self.next_timer(entry)) else {
            return;
        };
        let due = if due > self.now { due } else { self.now + RECHECK };
        let entry = &mut self.entries[slot];
        if entry.armed.is_none_or(|armed| due < armed) {
            if let Some(armed) = entry.armed.replace(due) {
                self.timers.remove(&(armed, slot));
            }
            self.timers.insert((due, slot));
        }
    }

    /// When the next timer is due.
    pub(super) fn deadline(&self) -> Deadline {
        let due = Deadline::from(self.timers.first().map(|(due, _)| *due));
        let due = due.min(self.flush.deadline(self.log.end()));
        if self.back_pressure.is_on() {
            due.min(Deadline::at(self.now + BACK_PRESSURE_POLL))
        } else {
            due
        }
    }

    /// Takes out a connection whose timer is due, with what is due.
    fn next_due(&mut self) -> Option<(usize, Timer)> {
        while let Some(&(at, slot)) = self.timers.first()
            && at <= self.now
        {
            self.timers.pop_first();
            self.entries[slot].armed = None;
            self.pending.push(slot);
            let entry = &mut self.entries[slot];
            if let Phase::Open | Phase::Closing(_) = entry.phase {
                entry.conn.update_acked(self.now);
            }
            let next = self.next_timer(&self.entries[slot]);
            if let Some((_, timer)) = next.filter(|(due, _)| *due <= self.now) {
                return Some((slot, timer));
            }
        }
        None
    }
}

impl EventLoop<'_> {
    /// Whether the handler has bytes from or for a connection under way.
    fn is_in_transit(&self, slot: usize) -> bool {
        self.table.id(slot).is_some_and(|id| self.handler.is_in_transit(id, &self.table))
    }

    /// Whether the handler takes the silence of a connection for that of its client.
    fn is_idle(&self, slot: usize) -> bool {
        let limit = self.table.bounds.idle;
        self.table.id(slot).is_none_or(|id| self.handler.is_idle(id, limit, &self.table))
    }

    /// Deals with all timers of connections that are due.
    pub(super) fn run_connection_timers(&mut self) {
        while let Some((slot, timer)) = self.table.next_due() {
            match timer {
                Timer::Handshake => self.handshake_due(slot),
                Timer::Admit => self.admit(slot),
                Timer::HandedOff => self.table.check_handed_off(slot),
                Timer::Close(Reason::Shutdown) if self.is_in_transit(slot) => {}
                Timer::Close(Reason::Shutdown) => {
                    let reason = self.stop_reason(slot);
                    self.table.close(slot, reason);
                }
                Timer::Close(Reason::Idle) if !self.is_idle(slot) => {}
                Timer::Close(reason) => self.table.close(slot, reason),
                Timer::Remove(reason) => self.table.remove(slot, reason),
                Timer::LastAck => self.table.check_last_ack(slot),
                Timer::Finish => self.table.finish_lingering(slot),
                Timer::Stalled | Timer::AckCheck => {}
            }
        }
    }
}
