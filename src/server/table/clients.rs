//! What a handler can do to the connections.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use super::{Conn, Fin, Phase, Table, dump, flush, transmit, wrap};
use crate::console::event::Reason;
use crate::exit::Failure;
use crate::net::endpoint::Endpoint;
use crate::net::hexdump::Direction;
use crate::session::{About, Clients, Id};

impl Clients for Table {
    fn send(&mut self, client: Id, bytes: &[u8]) {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(client.slot).filter(|conn| conn.is_open(client)) else {
            return;
        };
        dump(&mut self.quit, conn, Direction::Sent, bytes);
        conn.wrap_shared(&self.log, &mut self.queued);
        let wire = match wrap(conn, bytes, &mut self.wrapped) {
            Some(true) => &self.wrapped,
            Some(false) => return conn.fail(&mut self.queued),
            None => bytes,
        };
        self.queued += transmit(conn, &self.log, wire, now);
        self.dirty.push(client.slot);
    }

    fn send_all(&mut self, bytes: &[u8], except: Option<Id>) {
        self.rounds.urge();
        self.push_all(bytes, except);
    }

    fn notify_all(&mut self, bytes: &[u8]) {
        self.push_all(bytes, None);
    }

    fn finish(&mut self, client: Id) {
        let now = self.now;
        let Some(conn) = self
            .conns
            .get_mut(client.slot)
            .filter(|conn| conn.is_open(client) && conn.fin == Fin::No)
        else {
            return;
        };
        conn.detach(&self.log, &mut self.queued);
        conn.tell_end(&self.log, &mut self.queued);
        conn.fin = Fin::Wanted;
        // What was queued just now waits for nobody.
        self.taken += flush(conn, &self.log, now, &mut self.queued);
        self.dirty.push(client.slot);
    }

    fn close(&mut self, client: Id, reason: Reason) {
        if self.open_conn(client).is_some() {
            self.end(client.slot, reason);
        }
    }

    fn all(&self) -> Vec<Id> {
        let mut ids: Vec<Id> = self
            .conns
            .iter()
            .filter(|(_, conn)| matches!(conn.phase, Phase::Open))
            .map(|(slot, conn)| Id { number: conn.number, slot })
            .collect();
        ids.sort_unstable_by_key(|id| id.number);
        ids
    }

    fn peer(&self, client: Id) -> Option<Endpoint> {
        self.conns
            .get(client.slot)
            .filter(|conn| conn.number == client.number)
            .map(|conn| conn.peer.clone())
    }

    fn queued(&self, client: Id) -> (usize, Duration) {
        match self.conns.get(client.slot).filter(|conn| conn.number == client.number) {
            Some(conn) if !conn.outbox.is_empty(&self.log) => {
                (conn.outbox.len(&self.log), self.now - conn.progress)
            }
            _ => (0, Duration::ZERO),
        }
    }

    fn about(&self, client: Id) -> Option<About> {
        let found = self.conns.get(client.slot);
        let conn = found.filter(|conn| conn.number == client.number)?;
        Some(About {
            local: conn.socket.local().ok(),
            peer: conn.peer.clone(),
            neighbours: self.neighbours(client.slot),
            credentials: conn.socket.credentials(),
            wrapped: conn.codec.is_some(),
        })
    }

    fn key(&self, client: Id) -> Option<Rc<str>> {
        self.conns
            .get(client.slot)
            .filter(|conn| conn.number == client.number)
            .and_then(|conn| conn.key.clone())
    }

    fn pause(&mut self, client: Id, on: bool) {
        if let Some(conn) = self.open_conn(client)
            && conn.paused != on
        {
            conn.paused = on;
            self.dirty.push(client.slot);
        }
    }

    fn occupy(&mut self, client: Id) {
        if let Some(conn) = self.open_conn(client) {
            conn.occupied = true;
        }
    }

    fn lend(&mut self, client: Id) -> io::Result<OwnedFd> {
        self.lend_socket(client)
    }

    fn take_back(&mut self, client: Id, reason: Reason) {
        self.take_socket_back(client, reason);
    }

    fn hold(&mut self, on: bool) {
        if self.held != on {
            self.held = on;
            self.touch_all();
        }
    }

    fn is_held(&self) -> bool {
        self.held || self.pace.waits()
    }

    fn has_unread(&mut self, client: Id) -> bool {
        self.open_conn(client).is_some_and(|conn| matches!(conn.socket.unread(), Ok(1..)))
    }

    fn stop(&mut self) {
        self.stop_wanted = true;
    }

    fn quit(&mut self, result: Result<(), Failure>) {
        self.quit.get_or_insert(result);
    }
}

impl Table {
    /// Adds to what is said to all, except the one it is from.
    fn push_all(&mut self, bytes: &[u8], except: Option<Id>) {
        let position = self.log.end();
        self.log.push(bytes);
        let except = except.filter(|&id| self.open_conn(id).is_some());
        if let Some(id) = except {
            self.conns[id.slot].outbox.skip(position, &self.log);
        }
        if self.dumps {
            let hears = |conn: &Conn| matches!(conn.phase, Phase::Open) && conn.fin == Fin::No;
            for (slot, conn) in &self.conns {
                if hears(conn) && except.is_none_or(|id| id.slot != slot) {
                    dump(&mut self.quit, conn, Direction::Sent, bytes);
                }
            }
        }
    }
}
