//! How a connection ends: removed at once, or closed in good order.

use std::io;

use super::phase::Phase;
use super::table::{Closed, Entry, Role, Table};
use crate::console::event::{Event, Reason};
use crate::exit::During;
use crate::net::codec::Reject;
use crate::net::connection::ReadHalf;
use crate::net::tcpinfo::TcpInfo;
use crate::session::Id;

/// Refused connections that are still being closed in good order; one more removes the first of
/// them, so that peers that do not close hold no descriptors.
const MAX_REFUSED: usize = 64;

impl Table {
    /// Removes a connection at once: it failed, or everything queued is sent.
    pub(super) fn remove(&mut self, slot: usize, reason: Reason) {
        let Some(mut entry) = self.take(slot) else {
            return;
        };
        let reason = match entry.phase {
            // The reason that it was closed for comes first in time.
            Phase::Closing(first) if first != Reason::Eof => first,
            _ => reason,
        };
        if let Phase::Open | Phase::HandedOff(_) = entry.phase {
            self.left.push(Id { number: entry.number, slot });
        }
        let error = entry.conn.take_failure();
        if entry.is_admitted || self.bounds.role == Role::Server {
            self.report_closed(&entry, reason);
        }
        if entry.is_admitted || reason.refusal().is_some() {
            let conn = entry.conn;
            self.last = Some(Closed {
                reason,
                by_peer: conn.read_half() != ReadHalf::Open || error.is_some(),
                error,
                has_codec: conn.has_codec(),
                received: conn.received,
                sent: conn.sent,
                peer: conn.peer,
            });
        }
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

    /// Closes a connection gracefully: what is queued is sent, then FIN; received data is drained.
    pub(super) fn close(&mut self, slot: usize, reason: Reason) {
        let Some(entry) = self.entries.get(slot) else {
            return;
        };
        match entry.phase {
            // The peer does not read what is queued.
            Phase::Closing(_) if reason == Reason::Slow => return self.remove(slot, reason),
            Phase::Closing(_) => return,
            Phase::HandedOff(_) => return self.hang_up(slot, reason),
            Phase::Open => self.left.push(Id { number: entry.number, slot }),
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
        self.set_phase(slot, Phase::Closing(reason));
        self.with(slot, |entry, log, now| {
            entry.conn.last_taken = now;
            if reason == Reason::Slow {
                entry.conn.drop_output(); // the peer would not read it either
            }
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
}
