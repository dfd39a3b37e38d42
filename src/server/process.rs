//! What follows from a turn of the loop: flushes, FIN, removals, watched events, timers.

use std::time::Instant;

use super::phase::{Awaiting, Phase};
use super::table::Table;
use crate::console::event::Reason;
use crate::net::connection::{ReadHalf, WriteHalf};
use crate::net::flow::{HIGH_WATER, STALL_AFTER, TOTAL_QUEUE_LIMIT};
use crate::net::poller::Interest;
use crate::net::role::Role;
use crate::session::{Clients, Id};

impl Table {
    /// Processes every entry that was changed since the last call.
    pub(super) fn process_pending(&mut self) {
        self.fresh = 0;
        while let Some(slot) = self.pending.pop() {
            self.process(slot);
        }
    }

    /// The socket has room again.
    pub(super) fn writable(&mut self, slot: usize) {
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        let id = Id { number: entry.number, slot };
        let had_queue = entry.conn.waiting(&self.log) > 0;
        let waited = std::mem::take(&mut entry.wants_room);
        self.flush_entry(slot);
        let entry = &self.entries[slot];
        let is_drained = waited || had_queue && entry.conn.waiting(&self.log) == 0;
        if is_drained && !matches!(entry.phase, Phase::Handshake(_)) {
            self.drained.push(id);
        }
    }

    /// Sends what waits on one connection, as far as the socket takes it.
    pub(super) fn flush_entry(&mut self, slot: usize) {
        let taken = self.with(slot, |entry, log, now| {
            if !entry.interest.write {
                entry.conn.last_taken = now; // it has not waited before
            }
            entry.conn.flush(log, now)
        });
        self.taken += taken.unwrap_or_default();
    }

    /// Flushes the broadcasts to all connections, if that is due, and updates the back-pressure.
    /// Returns whether there was anything to do.
    pub(super) fn flush_broadcasts(&mut self) -> bool {
        let end = self.log.end();
        let was_on = self.back_pressure.is_on();
        let is_last = self.stopping.is_some() && self.flush.has_news(end);
        let is_due = is_last || self.flush.is_due(end, self.now);
        if !is_due && !was_on {
            return false;
        }
        let began = Instant::now();
        let (mut oldest, mut over) = (end, false);
        for (slot, entry) in &mut self.entries {
            let conn = &mut entry.conn;
            if !entry.interest.write && conn.waiting(&self.log) > 0 {
                conn.last_taken = self.now;
                self.taken += conn.flush(&self.log, self.now);
                if conn.failure().is_some() {
                    self.pending.push(slot);
                }
                entry.count_queued(&mut self.queued);
            }
            let conn = &entry.conn;
            let waiting = conn.waiting(&self.log);
            if waiting > 0 {
                oldest = oldest.min(conn.oldest());
                over |= waiting >= HIGH_WATER && self.now - conn.last_taken < STALL_AFTER;
                self.pending.push(slot);
            }
        }
        self.flush.flushed(end, began, Instant::now());
        self.log.forget(oldest);
        let is_on = self.back_pressure.update(self.now, over, self.taken, end);
        if was_on && !is_on {
            self.touch_all();
        }
        is_due || was_on != is_on
    }

    /// Whether reading from this connection is paused: its bytes stay in the socket.
    pub(super) fn is_paused_at(&self, slot: usize) -> bool {
        self.is_paused() || self.entries.get(slot).is_some_and(|entry| entry.is_paused)
    }

    fn process(&mut self, slot: usize) {
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        entry.count_queued(&mut self.queued);
        if let Phase::LastAck(_) = entry.phase {
            return self.arm(slot);
        }
        // One queue may own as much as is still free. So there is always something left for the next.
        let share = TOTAL_QUEUE_LIMIT.saturating_sub(self.queued);
        let limit = match self.queue_limit {
            usize::MAX => usize::MAX,
            limit => limit.min(share.max(HIGH_WATER)),
        };
        if entry.conn.held(&self.log) >= limit {
            if entry.conn.waiting(&self.log) >= limit {
                return self.close(slot, Reason::Slow);
            }
            // What waits is little; the log, which holds much, must not be kept because of it.
            self.with(slot, |entry, log, _| entry.conn.outbox_mut().copy_log(log));
        } else if !self.follow_ends(slot) {
            self.watch(slot, share);
        }
    }

    /// What follows where a side of a connection has ended: FIN, or its removal. Whether it is not to be
    /// watched, for now or any more.
    fn follow_ends(&mut self, slot: usize) -> bool {
        let Some(entry) = self.entries.get_mut(slot) else {
            return true;
        };
        let conn = &mut entry.conn;
        let ended = matches!(conn.read_half(), ReadHalf::Reported)
            || !matches!(entry.phase, Phase::Open) && conn.read_half() == ReadHalf::Eof;
        if ended && conn.output_ended().is_some() && conn.write_half() == WriteHalf::Open {
            // Both sides have ended, ours without passing it on so far.
            conn.end_output(true, &self.log, self.now);
            self.pending.push(slot);
            self.flush_entry(slot);
            return true;
        }
        conn.send_fin(&self.log, self.now);
        let has_failed = !matches!(entry.phase, Phase::Open)
            && conn.read_half() == ReadHalf::Failed
            || ended && conn.failure().is_some();
        if has_failed {
            self.remove_failed(slot);
        } else if let WriteHalf::Ended(_) = conn.write_half()
            && (ended
                || entry.role == Role::Client
                    && !entry.is_occupied
                    && matches!(entry.phase, Phase::Closing(_)))
        {
            let reason = if self.stopping.is_some() { Reason::Shutdown } else { Reason::Eof };
            self.await_last_ack(slot, reason);
        } else {
            return false;
        }
        true
    }

    /// Sets what a connection is watched for, and its timer; its queue may own as much as its `share`.
    fn watch(&mut self, slot: usize, share: usize) {
        let is_paused = self.is_paused_at(slot);
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        let conn = &entry.conn;
        let waiting = conn.waiting(&self.log);
        let has_room = conn.own() <= share
            && (waiting < HIGH_WATER || self.now - conn.last_taken >= STALL_AFTER);
        let reads = match &entry.phase {
            Phase::Open => !is_paused && !conn.has_unread() && has_room,
            Phase::Waiting | Phase::HandedOff(_) | Phase::LastAck(_) => false,
            Phase::Handshake(negotiation) => !matches!(negotiation.awaiting, Awaiting::Verdict(_)),
            Phase::Silent(_) | Phase::Closing(_) => true,
        };
        let interest =
            Interest { read: reads && !conn.wire_ended(), write: waiting > 0 || entry.wants_room };
        if interest != entry.interest {
            entry.interest = interest;
            if self.poller.change(&entry.conn, slot as u64, interest).is_err() {
                return self.remove(slot, Reason::Error);
            }
        }
        self.arm(slot);
    }
}
