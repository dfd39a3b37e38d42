//! The connections of a server: their queues, their ends, their clocks. What happens to one is
//! nobody else's trouble. Here is which there are; what is done to them is in the files of `table/`.

mod clients;
mod clock;
mod conn;
mod end;
mod lent;
mod turn;
mod wire;

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
use crate::net::codec::Codec;
use crate::net::endpoint::Endpoint;
use crate::net::hexdump::Tap;
use crate::net::poller::{Interest, Poller};
use crate::net::socket::Socket;
use crate::session::{Handler, Id};
use conn::{dump, flush, transmit, wrap};
pub use end::Taken;
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
    pub(super) codec: Option<Box<dyn Codec>>,
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
        let interest = Interest { read: true, write: false };
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
            codec: None,
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
        self.conns.get(slot).map(|conn| Id { number: conn.number, slot })
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

    /// Lets a connection in: from now on it talks to the handler.
    pub(super) fn open(&mut self, slot: usize) {
        self.set_phase(slot, Phase::Open);
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        conn.let_in = true;
        if let Some(codec) = &mut conn.codec {
            let mut welcome = Vec::new();
            codec.accept(&mut welcome);
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
        if self.talk.says(if joined { Level::Normal } else { Level::Verbose })
            && let Ok(local) = conn.socket.local()
        {
            self.talk.say(&Event::Accepted {
                id: conn.number,
                peer: &conn.peer,
                local: &local,
                joined,
            });
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
        self.conns.get_mut(client.slot).filter(|conn| conn.is_open(client))
    }
}
