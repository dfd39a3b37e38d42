//! The connections of a server: their queues, their ends, their clocks. What happens to one is
//! nobody else's trouble.

mod clients;
mod clock;
mod conn;
mod lent;
mod turn;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slab::Slab;

use super::header::Announcement;
use super::limits::Census;
use super::outbox::{Log, Outbox};
use super::pace::Pace;
use super::proof::Proof;
use super::rounds::Rounds;
use crate::console::event::{Event, Level, Reason};
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::layer::{Flaw, Layer};
use crate::net::endpoint::Endpoint;
use crate::net::hexdump::{Direction, Tap};
use crate::net::poller::{Interest, Poller};
use crate::net::socket::Socket;
use crate::session::{Handler, Id};
use conn::{dump, flush, transmit, wrap};
use lent::Lent;

/// A client with this much queued is not read from: its own socket slows it down.
const HIGH: usize = 256 << 10;
/// What all queues together may hold for clients that write everything before they read.
const POOL: usize = 128 << 20;
/// A client that has taken nothing for this long is such a one.
const STALL: Duration = Duration::from_millis(100);
/// While stopping: silence that ends a connection, and then again its draining.
const STOP_QUIET: Duration = Duration::from_millis(250);
/// After our end of a closed connection: silence, and time, until we stop listening to it.
const DRAIN_QUIET: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(10);

/// How soon the clock looks again at what could not be dealt with when it was due.
const RETRY: Duration = Duration::from_millis(100);
/// How soon it looks again at clients that are waited for.
const LOOK: Duration = Duration::from_millis(20);

/// How far a connection is.
pub(super) enum Phase {
    /// A proxy has to say whose connection it is.
    Announcing(Box<Announcement>),
    /// It has to prove that it holds a key.
    Proving(Box<Proof>),
    /// Proved, but the server is full.
    Waiting,
    /// Let in: it talks to the handler.
    Open,
    /// Let in, and a program has its socket.
    Lent(Box<Lent>),
    /// It is being ended: what is queued is sent, what comes is dropped.
    Closing(Reason),
}

/// Our end of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fin {
    No,
    Wanted,
    Sent(Instant),
}

/// One connection.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Conn {
    pub(super) number: u64,
    pub(super) socket: Socket,
    pub(super) peer: Endpoint,
    pub(super) phase: Phase,
    pub(super) peer_ended: bool,
    /// Nothing more can come from it. Where the wire is not the payload, that shows later.
    pub(super) wire_ended: bool,
    /// Sending failed: the connection is gone, though what arrived may still be read.
    broken: bool,
    outbox: Outbox,
    fin: Fin,
    /// What stands between the wire and the handler.
    pub(super) layer: Option<Box<dyn Layer>>,
    tap: Option<Tap>,
    /// The name of the key that it proved.
    pub(super) key: Option<Rc<str>>,
    let_in: bool,
    /// The handler takes nothing more from it for now.
    paused: bool,
    /// Something works for it: silence is no reason to end it when the run is to stop.
    occupied: bool,
    /// Its socket was lent: others may have it still.
    shared: bool,
    /// What moved over it is known.
    moved: bool,
    interest: Interest,
    received: u64,
    sent: u64,
    opened: Instant,
    /// When something last moved in either direction.
    active: Instant,
    /// When the client last took something, or its queue was last empty.
    progress: Instant,
    /// When the clock is next looked at for it.
    armed: Option<Instant>,
}

/// A connection on its way elsewhere.
pub struct Taken {
    /// The open socket.
    pub socket: Socket,
    /// What stands between it and the payload.
    pub layer: Option<Box<dyn Layer>>,
    /// Whose it is.
    pub peer: Endpoint,
    /// Its number.
    pub number: u64,
}

/// All connections.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Table {
    pub(super) poller: Poller,
    pub(super) now: Instant,
    pub(super) talk: Talk,
    pub(super) stopping: Option<Instant>,
    /// How the run ends, once somebody has said so.
    pub(super) quit: Option<Result<(), Failure>>,
    pub(super) stop_wanted: bool,
    /// Connections that were let in and are not removed yet.
    pub(super) open: usize,
    /// Connections whose proxy has not said whose they are.
    pub(super) announcing: usize,
    /// Connections that wait to be let in, by their numbers: the first to come is the first.
    waiting: BTreeMap<u64, usize>,
    /// A connection was closed since the last [`Table::has_freed`].
    freed: bool,
    /// Why the last one that was let in ended.
    pub(super) last: Option<(Endpoint, Reason)>,
    conns: Slab<Conn>,
    clock: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    /// Connections that something was done to.
    dirty: Vec<usize>,
    /// Clients that left and whose handler does not know yet.
    left: Vec<Id>,
    drained: Vec<Id>,
    /// What all queues together hold for one client each.
    queued: usize,
    /// What was said to all, and when it is offered to them.
    log: Log,
    rounds: Rounds,
    /// Bytes that clients took.
    taken: u64,
    pace: Pace,
    /// The handler takes nothing more for now.
    held: bool,
    idle: Duration,
    /// Kept where connections from one address are limited.
    census: Option<Census>,
    /// A client with this much waiting is cut off.
    limit: usize,
    /// People take part: who joins and who leaves is said.
    pub(super) social: bool,
    /// `--hex` is on.
    dumps: bool,
    /// Wrapped payload, on its way into a queue.
    wrapped: Vec<u8>,
}

impl Table {
    pub(super) fn new(
        talk: Talk,
        idle: Duration,
        counts: bool,
        handler: &dyn Handler,
    ) -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            now: Instant::now(),
            talk,
            stopping: None,
            quit: None,
            stop_wanted: false,
            open: 0,
            announcing: 0,
            waiting: BTreeMap::new(),
            freed: false,
            last: None,
            conns: Slab::new(),
            clock: BinaryHeap::new(),
            dirty: Vec::new(),
            left: Vec::new(),
            drained: Vec::new(),
            queued: 0,
            log: Log::default(),
            rounds: Rounds::default(),
            taken: 0,
            pace: Pace::default(),
            held: false,
            idle,
            census: counts.then(Census::default),
            limit: handler.queue_limit(),
            social: handler.is_social(),
            dumps: false,
            wrapped: Vec::new(),
        })
    }

    /// Takes in a connection.
    pub(super) fn insert(
        &mut self,
        number: u64,
        socket: Socket,
        peer: Endpoint,
        phase: Phase,
        tap: Option<Tap>,
    ) -> io::Result<Id> {
        let entry = self.conns.vacant_entry();
        let slot = entry.key();
        let interest = Interest {
            read: true,
            write: false,
        };
        self.poller.add(&socket, slot as u64, interest)?;
        let now = self.now;
        self.announcing += usize::from(matches!(phase, Phase::Announcing(_)));
        if let Phase::Waiting = phase {
            self.waiting.insert(number, slot);
        }
        self.dumps |= tap.is_some();
        entry.insert(Conn {
            number,
            socket,
            peer,
            phase,
            peer_ended: false,
            wire_ended: false,
            broken: false,
            outbox: Outbox::default(),
            fin: Fin::No,
            layer: None,
            tap,
            key: None,
            let_in: false,
            paused: false,
            occupied: false,
            shared: false,
            moved: true,
            interest,
            received: 0,
            sent: 0,
            opened: now,
            active: now,
            progress: now,
            armed: None,
        });
        self.dirty.push(slot);
        Ok(Id { number, slot })
    }

    pub(super) fn get(&mut self, slot: usize) -> Option<&mut Conn> {
        self.conns.get_mut(slot)
    }

    pub(super) fn id(&self, slot: usize) -> Option<Id> {
        self.conns.get(slot).map(|conn| Id {
            number: conn.number,
            slot,
        })
    }

    /// How far a connection is from now on.
    pub(super) fn set_phase(&mut self, slot: usize, phase: Phase) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        if let Phase::Waiting = phase {
            self.waiting.insert(conn.number, slot);
        } else {
            self.waiting.remove(&conn.number);
        }
        let before = std::mem::replace(&mut conn.phase, phase);
        self.announcing -= usize::from(matches!(before, Phase::Announcing(_)));
        self.dirty.push(slot);
    }

    /// Whoever has waited longest to be let in.
    pub(super) fn first_waiting(&self) -> Option<usize> {
        self.waiting.first_key_value().map(|(_, &slot)| slot)
    }

    /// Whether connections were closed since this was last asked.
    pub(super) fn has_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    /// How many connections that are let in come from where this one does.
    pub(super) fn neighbours(&self, slot: usize) -> usize {
        match (&self.census, self.conns.get(slot)) {
            (Some(census), Some(conn)) => census.of(&conn.peer),
            _ => 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    pub(super) fn slots(&self) -> Vec<usize> {
        self.conns.iter().map(|(slot, _)| slot).collect()
    }

    /// The slot of a connection by its number.
    pub(super) fn slot_of(&self, number: u64) -> Option<usize> {
        self.conns
            .iter()
            .find_map(|(slot, conn)| (conn.number == number).then_some(slot))
    }

    /// Lets a connection in: from now on it talks to the handler.
    pub(super) fn open(&mut self, slot: usize) {
        self.set_phase(slot, Phase::Open);
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        conn.let_in = true;
        if let Some(layer) = &mut conn.layer {
            let mut welcome = Vec::new();
            layer.welcome(&mut welcome);
            self.queued += transmit(conn, &self.log, &welcome, self.now);
        }
        conn.outbox.listen(&self.log);
        // What is counted is payload, not what a handshake took.
        (conn.received, conn.sent) = (0, 0);
        self.open += 1;
        if let Some(census) = &mut self.census {
            census.add(&conn.peer);
        }
        let joined = self.social;
        if self.talk.says(if joined {
            Level::Normal
        } else {
            Level::Verbose
        }) && let Ok(local) = conn.socket.local()
        {
            self.talk.say(&Event::Accepted {
                id: conn.number,
                peer: &conn.peer,
                local: &local,
                joined,
            });
        }
    }

    /// recv(2) on one connection, counted and dumped. 0 is its end.
    pub(super) fn recv(&mut self, slot: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(conn) = self.conns.get_mut(slot) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let n = conn.socket.recv(buffer)?;
        conn.active = self.now;
        conn.wire_ended = n == 0;
        if conn.is_wrapped() {
            return Ok(n); // it is not known yet what this is
        }
        conn.received += n as u64;
        if n == 0 {
            conn.peer_ended = true;
            self.dirty.push(slot);
        } else if matches!(conn.phase, Phase::Open) {
            dump(&mut self.quit, conn, Direction::Received, &buffer[..n]);
        }
        Ok(n)
    }

    /// What came over the wire, nothing being its end, as the payload it carries, counted and
    /// dumped; whether the peer has ended with it, or what is wrong behind that payload.
    pub(super) fn unwrap(
        &mut self,
        slot: usize,
        wire: &[u8],
        payload: &mut Vec<u8>,
    ) -> Result<bool, Flaw> {
        let Some(conn) = self.conns.get_mut(slot) else {
            return Ok(false);
        };
        let Some(layer) = &mut conn.layer else {
            return Ok(false);
        };
        let result = match wire {
            [] => layer.wire_ended(),
            wire => layer.open(wire, payload),
        };
        let had_ended = std::mem::replace(&mut conn.peer_ended, layer.has_ended());
        let ends = conn.peer_ended && !had_ended;
        conn.received += payload.len() as u64;
        if !payload.is_empty() {
            dump(&mut self.quit, conn, Direction::Received, payload);
        }
        self.dirty.push(slot);
        result.map(|()| ends)
    }

    /// Sends bytes of ours that are no payload (a handshake's).
    pub(super) fn send_plain(&mut self, slot: usize, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(slot)
            && !bytes.is_empty()
        {
            self.queued += transmit(conn, &self.log, bytes, self.now);
            self.dirty.push(slot);
        }
    }

    /// A connection that failed, or that nothing is owed any more, is closed and told.
    pub(super) fn remove(&mut self, slot: usize, reason: Reason) {
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
            self.left.push(Id {
                number: conn.number,
                slot,
            });
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
    pub(super) fn expel(&mut self, slot: usize) {
        match self.conns.get(slot).map(|conn| &conn.phase) {
            Some(Phase::Lent(_)) => self.gone(slot, Reason::Shutdown),
            _ => self.remove(slot, Reason::Shutdown),
        }
    }

    /// Takes a connection out, with what is needed to go on with it elsewhere.
    pub(super) fn take(&mut self, slot: usize) -> Option<Taken> {
        if !self.conns.get(slot)?.outbox.is_empty(&self.log) {
            return None; // not while it waits for its welcome
        }
        let conn = self.conns.try_remove(slot)?;
        // Taken elsewhere it is watched elsewhere.
        let _ = self.poller.remove(&conn.socket);
        Some(Taken {
            socket: conn.socket,
            layer: conn.layer,
            peer: conn.peer,
            number: conn.number,
        })
    }

    /// Ends a connection in good order, telling the handler.
    pub(super) fn end(&mut self, slot: usize, reason: Reason) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        match conn.phase {
            Phase::Closing(_) => return,
            _ if !conn.let_in => conn.turn_away(reason, &self.log, &mut self.queued),
            _ => {}
        }
        match conn.phase {
            Phase::Open => self.left.push(Id {
                number: conn.number,
                slot,
            }),
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

    /// Looks at a connection again.
    pub(super) fn touch(&mut self, slot: usize) {
        self.dirty.push(slot);
    }

    /// Looks at every connection again: something changed for all of them.
    pub(super) fn touch_all(&mut self) {
        self.dirty.extend(self.conns.iter().map(|(slot, _)| slot));
    }

    fn open_conn(&mut self, client: Id) -> Option<&mut Conn> {
        self.conns
            .get_mut(client.slot)
            .filter(|conn| conn.is_open(client))
    }
}
