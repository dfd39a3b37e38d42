//! Events of one connection. Here the link loop hands over to the talk loop: received data goes to
//! the handler, in order: data, what the handler had left of it, the end.

use super::EventLoop;
use super::phase::Phase;
use super::table::Table;
use crate::auth::speaks_tls;
use crate::console::event::Reason;
use crate::exit::{Exit, Failure};
use crate::net::connection::{ReadHalf, WriteHalf};
use crate::net::poller::Ready;
use crate::net::role::Role;
use crate::session::closed::protocol_exit;
use crate::session::{Id, StreamEnd};

#[cfg(test)]
mod tests;

/// Says of a peer that speaks TLS where nothing is secured what is missing.
fn hint_at_tls(table: &mut Table, slot: usize, first: &[u8]) {
    if let Some(hint) = speaks_tls(first)
        && table.log_limit.allows(table.now)
    {
        let entry = &table.entries[slot];
        let (op, peer) = (entry.role.op(), &entry.conn.peer);
        table.talk.warn(&format!("{op} {peer}: {hint}"));
    }
}

impl EventLoop<'_> {
    pub(super) fn connection(&mut self, slot: usize, mut event: Ready) {
        if event.failed
            && let Some(entry) = self.table.get(slot)
        {
            // EPOLLERR also reports messages in the error queue (IP_RECVERR, timestamps).
            event.failed = entry.conn.socket.has_failed();
        }
        let is_gone = event.hung_up || event.failed;
        if event.write {
            self.table.writable(slot);
        }
        if !event.read {
            return;
        }
        let is_paused = self.table.is_paused_at(slot);
        let Some(entry) = self.table.get(slot) else {
            return;
        };
        match entry.phase {
            // The end was read before: this is a hang-up.
            _ if entry.conn.wire_ended() && entry.is_occupied && !event.failed => {}
            _ if entry.conn.wire_ended() => {
                if is_gone {
                    self.hung_up(slot, event.failed);
                }
            }
            Phase::Handshake(_) => {
                self.negotiate(slot);
            }
            Phase::Silent(_) => self.end_silence(slot),
            // It is not read while it waits.
            Phase::Waiting if is_gone => self.table.remove(slot, Reason::Reset),
            Phase::Waiting | Phase::LastAck(_) => {}
            Phase::HandedOff(_) => self.table.hung_up_handed_off(slot, &event),
            // A paused socket is not read: only this event shows the reset.
            Phase::Open if is_paused && event.failed && entry.is_occupied => {
                self.table.remove(slot, Reason::Reset);
            }
            Phase::Open if is_paused || entry.conn.has_unread() => {
                let has_failed = event.failed || entry.conn.failure().is_some();
                let is_closed = event.hung_up && entry.conn.is_unix();
                if (has_failed || is_closed)
                    && let Some(id) = self.table.id(slot)
                {
                    self.handler.gone(id, has_failed, &mut self.table);
                }
                self.table.pending.push(slot);
            }
            Phase::Open | Phase::Closing(_) => self.receive(slot),
        }
    }

    /// One read of a connection, for the handler.
    fn receive(&mut self, slot: usize) {
        let Some(id) = self.table.id(slot) else {
            return;
        };
        let is_open = self.table.open_entry(id).is_some();
        if is_open && self.handler.readable(id, &mut self.table) {
            return self.report_end(slot);
        }
        let Some(entry) = self.table.entries.get_mut(slot) else {
            return;
        };
        let most =
            if is_open { self.table.bounds.max_bytes - entry.conn.received } else { u64::MAX };
        let now = self.table.now;
        let payload = entry.conn.read(&mut self.buffer, &mut self.decoded, most, now);
        self.table.pending.push(slot);
        let payload = self.table.or_quit(payload).flatten();
        if let Some(bytes) = payload.filter(|bytes| is_open && !bytes.is_empty()) {
            let received = self.table.entries[slot].conn.received;
            let entry = &self.table.entries[slot];
            // A relay may pass TLS on between its sides.
            let is_relayed =
                entry.is_target || entry.role == Role::Server && !self.routes.is_empty();
            let is_secured = is_relayed
                || self.config.security.is_some()
                || self.routes.iter().any(|route| route.security.is_some());
            if !is_secured && received == bytes.len() as u64 {
                hint_at_tls(&mut self.table, slot, bytes);
            }
            let taken = self.handler.received(id, bytes, &mut self.table);
            if taken < bytes.len() {
                let rest = bytes[taken..].to_vec();
                self.keep(slot, rest);
            }
        }
        self.report_end(slot);
    }

    /// Keeps bytes that the handler has not taken.
    fn keep(&mut self, slot: usize, rest: Vec<u8>) {
        if let Some(entry) = self.table.get(slot) {
            entry.conn.keep_unread(rest);
            self.table.unread.push(slot);
        }
    }

    /// Whether bytes could be offered now that a handler has left.
    pub(super) fn has_offers(&self) -> bool {
        self.table.unread.iter().any(|&slot| !self.table.is_paused_at(slot))
    }

    /// Offers the bytes that handlers have left, once to each connection that is not paused.
    pub(super) fn offer_unread(&mut self) {
        for slot in std::mem::take(&mut self.table.unread) {
            let Some(id) = self.table.id(slot).filter(|&id| self.table.open_entry(id).is_some())
            else {
                continue;
            };
            if self.table.is_paused_at(slot) {
                self.table.unread.push(slot);
                continue;
            }
            let Some(bytes) = self.table.get(slot).map(|entry| entry.conn.take_unread()) else {
                continue;
            };
            let taken = self.handler.received(id, &bytes, &mut self.table);
            if taken < bytes.len() {
                self.keep(slot, bytes[taken..].to_vec());
            }
            self.table.pending.push(slot);
            self.report_end(slot);
            self.process_burst();
        }
    }

    /// Reports the end of the peer's side, once everything before it is taken.
    fn report_end(&mut self, slot: usize) {
        let Some(id) = self.table.id(slot) else {
            return;
        };
        let max = self.table.bounds.max_bytes;
        let Some(entry) = self.table.open_entry(id) else {
            return;
        };
        if entry.conn.received >= max && !entry.conn.has_unread() {
            return self.handler.ended(id, StreamEnd::Limit, &mut self.table);
        }
        let has_failed = entry.conn.failure().is_some();
        match entry.conn.report_end() {
            Some(ReadHalf::Eof) if !has_failed => {
                self.table.pending.push(slot);
                self.handler.ended(id, StreamEnd::Eof, &mut self.table);
                if let Some(entry) = self.table.open_entry(id)
                    && entry.role == Role::Server
                    && entry.conn.output_ended().is_none()
                {
                    entry.conn.socket.probe_half_closed();
                }
            }
            Some(_) => self.fail(id),
            None => {}
        }
    }

    /// A connection that failed is removed. What a codec found wrong is logged, or is how the only
    /// connection ended.
    fn fail(&mut self, id: Id) {
        let entry = &self.table.entries[id.slot];
        let error = entry.conn.failure();
        if let Some(error) = error.filter(|e| e.kind() == std::io::ErrorKind::InvalidData)
            && !self.config.once
            // A target that has all of ours may close without its close_notify, as nginx does.
            && !(entry.is_target && entry.conn.output_ended().is_some())
        {
            let (op, peer) = (entry.role.op(), &entry.conn.peer);
            let exit = protocol_exit(error).unwrap_or(Exit::Broken);
            let failure = Failure::new(op, peer, error.to_string(), exit);
            self.table.log_limit.failure(&failure, self.table.now);
        }
        self.table.remove_failed(id.slot);
    }

    /// The peer, which had ended its side, is gone altogether while we would still send.
    fn hung_up(&mut self, slot: usize, has_failed: bool) {
        let conn = &self.table.entries[slot].conn;
        // TCP hangs up before our end only by a reset; sendfile(2) may have consumed its error.
        let is_reset = has_failed
            || conn.failure().is_some()
            || !matches!(conn.socket.take_error(), Ok(None))
            || !conn.is_unix() && !matches!(conn.write_half(), WriteHalf::Ended(_));
        let reason = if is_reset || conn.waiting(&self.table.log) > 0 {
            Reason::Reset
        } else {
            Reason::Eof // a UNIX peer that closed
        };
        self.table.remove(slot, reason);
    }
}
