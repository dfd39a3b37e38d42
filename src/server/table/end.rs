//! How a connection ends: closed at once, ended in good order, or taken elsewhere.

use super::{Fin, Phase, Table};
use crate::console::event::{Event, Reason};
use crate::net::codec::{Codec, Reject};
use crate::net::endpoint::Endpoint;
use crate::net::socket::Socket;
use crate::session::Id;

/// A connection on its way elsewhere.
pub struct Taken {
    /// The open socket.
    pub socket: Socket,
    /// What stands between it and the payload.
    pub codec: Option<Box<dyn Codec>>,
    /// Whose it is.
    pub peer: Endpoint,
    /// Its number.
    pub number: u64,
}

impl Table {
    /// A connection that failed, or that nothing is owed any more, is closed and told.
    pub(in crate::server) fn remove(&mut self, slot: usize, reason: Reason) {
        let Some(conn) = self.conns.try_remove(slot) else {
            return;
        };
        if conn.shared {
            // As long as somebody has the socket, closing it does not end the watch.
            let _ = self.poller.remove(&conn.socket);
        }
        self.freed = true;
        self.waiting.remove(&conn.number);
        self.queued -= conn.outbox.own();
        self.announcing -= usize::from(matches!(conn.phase, Phase::Announcing(_)));
        if let Some(census) = &mut self.census
            && conn.let_in
        {
            census.remove(&conn.peer);
        }
        let reason = match conn.phase {
            // What it was closed for comes before how it went then.
            Phase::Closing(why) if why != Reason::Eof => why,
            _ => reason,
        };
        if let Phase::Open | Phase::Lent(_) = conn.phase {
            self.left.push(Id { number: conn.number, slot });
        }
        if !conn.let_in && reason != Reason::Limit {
            return;
        }
        self.open -= usize::from(conn.let_in);
        self.talk.say(&Event::Closed {
            id: conn.number,
            peer: &conn.peer,
            received: conn.moved.then_some(conn.received),
            sent: conn.moved.then_some(conn.sent),
            seconds: (self.now - conn.opened).as_secs_f64(),
            reason,
            left: self.social && conn.let_in,
        });
        self.last = Some((conn.peer, reason));
    }

    /// Ends a connection now. A program that has its socket is told; it goes when that ends.
    pub(in crate::server) fn expel(&mut self, slot: usize) {
        match self.conns.get(slot).map(|conn| &conn.phase) {
            Some(Phase::Lent(_)) => self.gone(slot, Reason::Shutdown),
            _ => self.remove(slot, Reason::Shutdown),
        }
    }

    /// Takes a connection out, with what is needed to go on with it elsewhere.
    pub(in crate::server) fn take(&mut self, slot: usize) -> Option<Taken> {
        if !self.conns.get(slot)?.outbox.is_empty(&self.log) {
            return None; // not while it waits for its welcome
        }
        let conn = self.conns.try_remove(slot)?;
        // Taken elsewhere it is watched elsewhere.
        let _ = self.poller.remove(&conn.socket);
        Some(Taken { socket: conn.socket, codec: conn.codec, peer: conn.peer, number: conn.number })
    }

    /// Ends a connection whose address is not let in, in good order: it may hold a key.
    pub(in crate::server) fn deny(&mut self, slot: usize) {
        if let Some(conn) = self.conns.get_mut(slot) {
            conn.reject(Reject::Access, &self.log, &mut self.queued);
        }
        self.end(slot, Reason::Limit);
    }

    /// Ends a connection in good order, telling the handler.
    pub(in crate::server) fn end(&mut self, slot: usize, reason: Reason) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        match conn.phase {
            // It was to be sent what waits, and does not take it.
            Phase::Closing(_) if reason == Reason::Slow => return self.remove(slot, reason),
            Phase::Closing(_) => return,
            _ if !conn.let_in => {
                let why = match reason {
                    Reason::Limit => Reject::Full,
                    Reason::Shutdown => Reject::Shutdown,
                    _ => Reject::Auth,
                };
                conn.reject(why, &self.log, &mut self.queued);
            }
            _ => {}
        }
        match conn.phase {
            Phase::Open => self.left.push(Id { number: conn.number, slot }),
            Phase::Lent(_) => return self.gone(slot, reason),
            _ => {}
        }
        self.set_phase(slot, Phase::Closing(reason));
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        conn.progress = self.now;
        if reason == Reason::Slow {
            // It would not take that either.
            self.queued -= conn.outbox.own();
            conn.outbox.clear();
        } else {
            conn.detach(&self.log, &mut self.queued);
            conn.tell_end(&self.log, &mut self.queued);
        }
        if conn.fin == Fin::No {
            conn.fin = Fin::Wanted;
        }
    }
}
