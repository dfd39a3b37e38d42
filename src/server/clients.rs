//! What a handler can do to the connections: [`Clients`] for the table.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::outgoing::Wanted;
use super::phase::Phase;
use super::table::{Entry, Table};
use crate::console::event::Reason;
use crate::exit::Failure;
use crate::net::connection::WriteHalf;
use crate::net::deadline::Deadline;
use crate::net::dump::Direction;
use crate::net::endpoint::Endpoint;
use crate::net::role::Role;
use crate::net::splice::{Moved, Splice};
use crate::session::{About, Clients, Id};

impl Clients for Table {
    fn send(&mut self, client: Id, bytes: &[u8]) {
        if self.open_entry(client).is_none() {
            return;
        }
        self.fresh += bytes.len();
        let sent = self.with(client.slot, |entry, log, now| entry.conn.send(bytes, log, now));
        self.or_quit(sent.transpose());
    }

    fn send_shared(&mut self, client: Id, bytes: &Arc<[u8]>) {
        if self.open_entry(client).is_none() {
            return;
        }
        self.fresh += bytes.len();
        let sent =
            self.with(client.slot, |entry, log, now| entry.conn.send_shared(bytes, log, now));
        self.or_quit(sent.transpose());
    }

    fn broadcast(&mut self, bytes: &[u8], except: &[Id]) {
        self.flush.expedite();
        self.append_broadcast(bytes, except);
    }

    fn broadcast_later(&mut self, bytes: &[u8], except: &[Id]) {
        self.append_broadcast(bytes, except);
    }

    fn finish(&mut self, client: Id) {
        let half_close = self.bounds.half_close;
        if self.open_entry(client).is_none_or(|entry| entry.conn.output_ended().is_some()) {
            return;
        }
        self.with(client.slot, |entry, log, now| entry.conn.end_output(half_close, log, now));
        self.flush_entry(client.slot);
    }

    fn close(&mut self, client: Id, reason: Reason) {
        if self.open_entry(client).is_some() {
            Table::close(self, client.slot, reason);
        }
    }

    fn start_tls(&mut self, client: Id) {
        if let Some(entry) = self.open_entry(client) {
            // What comes from now on is for the handshake.
            entry.is_paused = true;
            self.upgrades.push(client);
        }
    }

    fn all(&self) -> Vec<Id> {
        let open = self.entries.iter().filter(|(_, entry)| matches!(entry.phase, Phase::Open));
        let mut ids: Vec<Id> =
            open.map(|(slot, entry)| Id { number: entry.number, slot }).collect();
        ids.sort_unstable_by_key(|id| id.number);
        ids
    }

    fn peer(&self, client: Id) -> Option<Endpoint> {
        self.find(client).map(|entry| entry.conn.peer.clone())
    }

    fn queued(&self, client: Id) -> usize {
        self.find(client).map_or(0, |entry| entry.conn.waiting(&self.log))
    }

    fn stalled(&mut self, client: Id) -> Duration {
        if self.open_entry(client).is_none() {
            return Duration::ZERO;
        }
        if self.queued(client) > 0 {
            self.flush_entry(client.slot);
        }
        let now = self.now;
        let stalled = self.with(client.slot, |entry, _, _| {
            entry.conn.update_acked(now);
            now - entry.conn.last_taken
        });
        stalled.unwrap_or_default()
    }

    fn about(&self, client: Id) -> Option<About> {
        let Entry { role, conn, key, tls, .. } = self.find(client)?;
        Some(About {
            is_datagram: false,
            is_dialled: *role == Role::Client,
            local: conn.socket.local().ok(),
            peer: conn.peer.clone(),
            neighbours: self.neighbours(client.slot),
            credentials: conn.socket.credentials(),
            key: key.clone(),
            tls: tls.clone(),
            has_codec: conn.has_codec(),
        })
    }

    fn key(&self, client: Id) -> Option<Rc<str>> {
        self.find(client).and_then(|entry| entry.key.clone())
    }

    fn pause(&mut self, client: Id, on: bool) {
        if let Some(entry) = self.open_entry(client)
            && entry.is_paused != on
        {
            entry.is_paused = on;
            self.pending.push(client.slot);
        }
    }

    fn pause_all(&mut self, on: bool) {
        if self.paused_by_handler != on {
            self.paused_by_handler = on;
            self.touch_all();
        }
    }

    fn is_paused(&self) -> bool {
        self.paused_by_handler || self.back_pressure.is_on()
    }

    fn occupy(&mut self, client: Id) {
        if let Some(entry) = self.open_entry(client) {
            entry.is_occupied = true;
        }
    }

    fn hand_off(&mut self, client: Id) -> io::Result<OwnedFd> {
        self.hand_off_socket(client)
    }

    fn reclaim(&mut self, client: Id, reason: Reason) -> bool {
        self.reclaim_socket(client, reason)
    }

    fn has_unread(&mut self, client: Id) -> bool {
        self.open_entry(client).is_some_and(|entry| {
            entry.conn.has_unread() || matches!(entry.conn.socket.unread(), Ok(1..))
        })
    }

    fn can_splice(&mut self, client: Id) -> bool {
        self.open_entry(client).is_some_and(|entry| {
            entry.conn.is_plain() && entry.conn.socket.set_nonblocking(true).is_ok()
        })
    }

    fn splice_to(&mut self, client: Id, splice: &mut Splice, to: BorrowedFd<'_>) -> Moved {
        if self.open_entry(client).is_none() {
            return Moved::Eof;
        }
        let max = self.bounds.max_bytes;
        let moved = self.with(client.slot, |entry, _, now| {
            let most = max - entry.conn.received;
            (entry.conn.splice_to(splice, to, most, now), entry.conn.has_unread())
        });
        let (moved, has_unread) = moved.unwrap_or((Moved::Eof, false));
        if has_unread {
            self.unread.push(client.slot);
        }
        moved
    }

    fn splice_from(&mut self, client: Id, splice: &mut Splice, from: BorrowedFd<'_>) -> Moved {
        let now = self.now;
        let Some(entry) = self.open_entry(client) else {
            return Moved::SourceEmpty;
        };
        let moved = entry.conn.splice_from(splice, from, now);
        entry.wants_room = matches!(moved, Moved::SinkFull);
        self.pending.push(client.slot);
        moved
    }

    fn splice_between(&mut self, from: Id, to: Id, splice: &mut Splice) -> Moved {
        if self.open_entry(from).is_none() || self.open_entry(to).is_none() {
            return Moved::Eof;
        }
        let now = self.now;
        let Some((source, sink)) = self.entries.get2_mut(from.slot, to.slot) else {
            return Moved::Eof;
        };
        let moved = source.conn.splice_to(splice, sink.conn.as_fd(), u64::MAX, now);
        sink.conn.spliced(&moved, now);
        sink.wants_room = splice.inside() > 0 || matches!(moved, Moved::SinkFull);
        let has_unread = source.conn.has_unread();
        self.pending.extend([from.slot, to.slot]);
        if has_unread {
            self.unread.push(from.slot); // the kernel refused: they come before what is read next
            return Moved::Bytes(0);
        }
        moved
    }

    fn dial(&mut self, route: usize, client: Option<Id>, until: Deadline) -> u64 {
        let number = self.count + 1;
        self.count = number;
        self.dials.insert(number, Wanted { route, client, until });
        number
    }

    fn cancel_dial(&mut self, number: u64) {
        if self.dials.remove(&number).is_none() {
            self.cancelled.push(number);
        }
    }

    fn silence(&self, client: Id) -> Duration {
        self.find(client).map_or(Duration::ZERO, |entry| self.now - entry.conn.active)
    }

    fn set_low_water(&mut self, client: Id, bytes: i32) -> bool {
        self.open_entry(client).is_some_and(|entry| entry.conn.socket.set_low_water(bytes))
    }

    fn stop(&mut self) {
        self.stop_wanted = true;
    }

    fn quit(&mut self, result: Result<(), Failure>) {
        self.result.get_or_insert(result);
    }
}

impl Table {
    /// Adds to the broadcasts, which reach every open connection but these.
    fn append_broadcast(&mut self, bytes: &[u8], except: &[Id]) {
        let position = self.log.end();
        self.log.push(bytes);
        for &id in except {
            if self.open_entry(id).is_some() {
                self.entries[id.slot].conn.outbox_mut().skip(position, &self.log);
            }
        }
        if !self.has_dump {
            return;
        }
        let receives = |entry: &Entry| {
            matches!(entry.phase, Phase::Open) && entry.conn.write_half() == WriteHalf::Open
        };
        for (slot, entry) in &mut self.entries {
            if receives(entry)
                && !except.contains(&Id { number: entry.number, slot })
                && let Err(failure) = entry.conn.dump(Direction::Sent, bytes)
            {
                self.result.get_or_insert(Err(failure));
            }
        }
    }
}
