//! How a connection ends: by a graceful close (FIN), which tells the peer that the stream is complete, or
//! by a reset; removed at once where there is nothing to wait for. The reason alone decides, here.
//!
//! Over 300 lines: all ways to the end of a connection are in one file.

use std::io;
use std::time::Duration;

use super::phase::{LastAck, Phase};
use super::table::{Bounds, Entry, Table};
use super::timers::DRAIN;
use crate::console::event::{Event, Level, Reason};
use crate::exit::During;
use crate::net::codec::Reject;
use crate::net::connection::{ReadHalf, WriteHalf};
use crate::net::role::Role;
use crate::net::tcpinfo::TcpInfo;
use crate::session::Id;
use crate::session::closed::Closed;

/// Refused connections that are still being closed in good order; one more removes the first of
/// them, so that peers that do not close hold no descriptors.
const MAX_REFUSED: usize = 64;
/// How long a peer that is to be reset may take nothing of what was sent before, at the end of a run.
pub(super) const ABORT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often the last acknowledgement is asked for, at first and in the end.
const ACK_POLL_MIN: Duration = Duration::from_millis(1);
const ACK_POLL_MAX: Duration = Duration::from_millis(100);

impl Entry {
    /// Whether it gets FIN where it ends for this reason: all that was to be sent is on its way, or
    /// it is refused. Anything else is a reset.
    fn is_graceful(&self, reason: Reason) -> bool {
        match reason {
            Reason::Shutdown => self.role == Role::Server || self.is_target,
            // A plain socket that is closed with unread data resets the connection by itself.
            Reason::Limit => self.conn.output_ended().is_some() && !self.conn.is_truncated,
            Reason::Incomplete | Reason::Reset | Reason::Idle | Reason::Slow | Reason::Error => {
                false
            }
            Reason::Eof
            | Reason::Kicked
            | Reason::Auth
            | Reason::Access
            | Reason::PerAddress
            | Reason::Full
            | Reason::Once => true,
        }
    }
}

impl Table {
    /// Removes a connection at once: it failed, or has no more time. Only one whose
    /// end was sent is not reset.
    pub(super) fn remove(&mut self, slot: usize, reason: Reason) {
        let Some(mut entry) = self.take(slot) else {
            return;
        };
        // The reason that it was closed for comes first in time.
        let (first, is_graceful) = match &entry.phase {
            Phase::LastAck(last_ack) => (last_ack.reason, true),
            Phase::Closing(first) => (*first, true),
            _ => (reason, entry.is_graceful(reason)),
        };
        let reason = match if first.is_end() { reason } else { first } {
            Reason::Incomplete if self.stopping.is_some() => Reason::Shutdown,
            reason => reason,
        };
        if entry.phase.is_joined() {
            self.left.push(Id { number: entry.number, slot });
        }
        let write_half = entry.conn.write_half();
        let is_complete = is_graceful && matches!(write_half, WriteHalf::Ended(_));
        let is_by_peer = reason == Reason::Reset && write_half != WriteHalf::Aborted;
        let is_over = entry.conn.failure().is_some() || is_by_peer;
        if entry.is_admitted && !is_over && !is_complete {
            entry.conn.reset_on_close();
        }
        let error = entry.conn.take_failure();
        // Strangers must not fill the log.
        if entry.is_admitted
            || entry.role == Role::Server
                && self.talk.says(Level::Verbose)
                && self.log_limit.allows(self.now)
        {
            self.report_closed(&entry, reason);
        }
        if entry.is_admitted || reason.refusal().is_some() {
            let is_client_of_tls = entry.role == Role::Client && entry.tls.is_some();
            let mut conn = entry.conn;
            let closed = Closed {
                undelivered: match entry.role {
                    Role::Client => conn.undelivered(&self.log, self.now),
                    Role::Server => 0,
                },
                role: entry.role,
                idle: self.bounds.idle,
                reason,
                by_peer: conn.read_half() != ReadHalf::Open || error.is_some(),
                error,
                is_unconfirmed: self.bounds.proves && !conn.has_codec(),
                half_closed_tls: is_client_of_tls && matches!(write_half, WriteHalf::Ended(_)),
                received: conn.received,
                sent: conn.sent,
                peer: conn.peer,
            };
            if entry.is_admitted {
                self.closed.push((Id { number: entry.number, slot }, closed));
            } else {
                self.last = Some(closed);
            }
        }
    }

    /// Removes a connection whose queue is sent once that is acknowledged, or has failed: LAST-ACK.
    pub(super) fn await_last_ack(&mut self, slot: usize, reason: Reason) {
        let Some(entry) = self.entries.get(slot) else {
            return;
        };
        let reason = match entry.phase {
            Phase::LastAck(_) => return,
            Phase::Closing(first) if first != Reason::Eof => first,
            _ => reason,
        };
        let (since, check_at) = (self.now, self.now);
        self.set_phase(slot, Phase::LastAck(LastAck { reason, since, check_at }.into()));
        self.with(slot, |entry, _, now| entry.conn.last_taken = now);
        self.check_last_ack(slot);
        if let Some(entry) = self.entries.get(slot) {
            let _ = self.poller.remove(&entry.conn);
        }
    }

    /// Removes a connection that has delivered everything, or has no more time.
    pub(super) fn check_last_ack(&mut self, slot: usize) {
        let is_delivered = self.with(slot, |entry, log, now| {
            entry.conn.flush(log, now);
            entry.conn.check_error(now);
            entry.conn.is_delivered(log)
        });
        let Bounds { linger, idle, .. } = self.bounds;
        let Some(Entry { role, conn, phase: Phase::LastAck(last_ack), .. }) =
            self.entries.get_mut(slot)
        else {
            return;
        };
        let reason = last_ack.reason;
        if conn.failure().is_some() {
            return self.remove_failed(slot);
        }
        // Success has time; what a server's kernel has then, it goes on delivering by itself.
        let until = match role {
            _ if !reason.is_end() && self.stopping.is_none() => {
                Some(conn.last_taken + self.reset_timeout)
            }
            _ if !reason.is_end() => {
                Some((conn.last_taken + ABORT_TIMEOUT).min(last_ack.since + DRAIN))
            }
            Role::Server => Some(conn.last_taken + DRAIN),
            Role::Client => linger.map(|time| conn.output_ended().unwrap_or(last_ack.since) + time),
        };
        if is_delivered == Some(true) || until.is_some_and(|at| at <= self.now) {
            return self.remove(slot, reason);
        }
        if !idle.is_zero() && self.now - conn.active.max(conn.last_taken) >= idle {
            return self.remove(slot, Reason::Idle);
        }
        last_ack.check_at =
            self.now + (self.now - last_ack.since).clamp(ACK_POLL_MIN, ACK_POLL_MAX);
    }

    /// Ends a connection by a reset, behind what is queued, as far as there is time for that.
    pub(super) fn abort(&mut self, slot: usize, reason: Reason) {
        self.with(slot, |entry, log, _| {
            if reason == Reason::Slow {
                entry.conn.drop_output(); // the peer would not read it either
            }
            entry.conn.abort_output(log);
        });
        self.await_last_ack(slot, reason);
    }

    fn report_closed(&mut self, entry: &Entry, reason: Reason) {
        let conn = &entry.conn;
        // Before that it has no payload.
        let count = |bytes| entry.has_counts.then_some(if entry.is_admitted { bytes } else { 0 });
        self.talk.say(&Event::Closed {
            id: Some(entry.number),
            peer: &conn.peer,
            received: count(conn.received),
            sent: count(conn.sent),
            seconds: (self.now - conn.opened).as_secs_f64(),
            reason,
            rule: entry.denied_by.as_deref(),
            left: self.is_social && entry.is_admitted,
        });
        if self.bounds.tcp_info
            && let info =
                TcpInfo::read(conn).during("read TCP_INFO of the connection to", &conn.peer)
            && let Some(info) = self.or_quit(info)
        {
            self.talk.say(&Event::TcpInfo { id: entry.number, peer: &conn.peer, info: &info });
        }
    }

    /// Removes a connection that has failed; the failure says how.
    pub(super) fn remove_failed(&mut self, slot: usize) {
        let failure = self.entries.get(slot).and_then(|entry| entry.conn.failure());
        let reason = match failure.map(io::Error::kind) {
            Some(io::ErrorKind::InvalidData) => Reason::Error, // the codec's
            _ => Reason::Reset,
        };
        self.remove(slot, reason);
    }

    /// Closes a connection. What is queued is sent; then FIN, and received data is drained, or a reset, as
    /// the reason decides.
    pub(super) fn close(&mut self, slot: usize, reason: Reason) {
        let Some(entry) = self.entries.get(slot) else {
            return;
        };
        match entry.phase {
            // The peer does not read what is queued.
            Phase::Closing(_) if reason == Reason::Slow => return self.abort(slot, reason),
            Phase::Closing(_) | Phase::LastAck(_) => return,
            Phase::HandedOff(_) => return self.hang_up(slot, reason),
            Phase::Open => {}
            Phase::Handshake(_) if entry.phase.is_joined() => {}
            // What it has sent is not read: nothing is lost, or the kernel resets it.
            Phase::Waiting if !entry.conn.has_codec() => return self.remove(slot, reason),
            Phase::Handshake(_) | Phase::Silent(_) | Phase::Waiting => {
                let why = match reason {
                    Reason::Full | Reason::PerAddress => Reject::Full,
                    Reason::Access => Reject::Access,
                    Reason::Shutdown => Reject::Shutdown,
                    _ => Reject::Auth,
                };
                self.with(slot, |entry, _, _| entry.conn.reject(why));
                self.refused.extend(self.id(slot));
            }
        }
        self.end_in(slot, reason);
    }

    /// The last step of our side: FIN behind what is queued, or a reset.
    pub(super) fn end_in(&mut self, slot: usize, reason: Reason) {
        let Some(entry) = self.entries.get(slot) else {
            return;
        };
        if !entry.is_graceful(reason) {
            return self.abort(slot, reason);
        }
        self.set_phase(slot, Phase::Closing(reason));
        self.with(slot, |entry, log, now| {
            entry.conn.last_taken = now;
            entry.conn.end_output(true, log, now);
            entry.conn.flush(log, now);
        });
        if self.refused.len() > MAX_REFUSED
            && let Some(first) = self.refused.pop_front()
            && self.id(first.slot) == Some(first)
        {
            self.remove(first.slot, Reason::Auth);
        }
    }

    /// The time to linger is over: our end is sent, and what the socket does not take now is lost.
    pub(super) fn finish_lingering(&mut self, slot: usize) {
        self.with(slot, |entry, log, now| {
            entry.conn.end_output(true, log, now);
            entry.conn.flush(log, now);
            entry.conn.send_fin(log, now);
            entry.conn.check_error(now);
        });
        if self.entries.get(slot).is_some_and(|entry| entry.conn.failure().is_some()) {
            self.remove_failed(slot);
        } else {
            self.remove(slot, Reason::Eof);
        }
    }

    /// `--grace` is over: what has nothing queued ends gracefully, if the reason is one for that; the rest
    /// is aborted.
    pub(super) fn grace_over(&mut self, slot: usize, reason: Reason) {
        let Some(entry) = self.entries.get(slot) else {
            return;
        };
        let is_complete = entry.conn.waiting(&self.log) == 0 && entry.is_graceful(reason);
        match entry.phase {
            Phase::HandedOff(_) => return self.hang_up(slot, Reason::Shutdown),
            Phase::Open if is_complete => {
                self.close(slot, Reason::Shutdown);
                self.with(slot, |entry, log, now| {
                    entry.conn.flush(log, now);
                    entry.conn.send_fin(log, now);
                });
            }
            Phase::Open | Phase::Closing(_) if !is_complete => {
                return self.abort(slot, Reason::Shutdown);
            }
            _ => {}
        }
        self.remove(slot, Reason::Shutdown);
    }

    /// The end of a run that does not wait for its connections.
    pub(super) fn abort_all(&mut self, reason: Reason, is_at_once: bool) {
        for slot in self.slots() {
            match self.entries[slot].phase {
                Phase::Open | Phase::Closing(_) if !is_at_once => self.abort(slot, reason),
                Phase::Handshake(_) if !is_at_once && self.entries[slot].phase.is_joined() => {
                    self.abort(slot, reason);
                }
                Phase::LastAck(_) if !is_at_once => {}
                _ => self.remove(slot, reason),
            }
        }
    }
}
