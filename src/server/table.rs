//! The connections of a server: their queues, their ends, their clocks. What happens to one is
//! nobody else's trouble.

mod lent;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slab::Slab;

use super::header::Announcement;
use super::limits::Census;
use super::outbox::{Log, Outbox};
use super::pace::{BEHIND, Pace, SIGN_OF_LIFE};
use super::proof::Proof;
use crate::console::event::{Event, Level, Reason};
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::layer::{Away, Flaw, Layer};
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::hexdump::{Direction, Tap};
use crate::net::poller::{Interest, Poller};
use crate::net::socket::Socket;
use crate::net::socket::would_block;
use crate::session::{About, Clients, Handler, Id};
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
/// What may be said to all in one turn before it is sent.
const BURST: u64 = 256 << 10;

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
    /// What was said to all, and how far it was offered to everybody.
    log: Log,
    offered: u64,
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
            offered: 0,
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
    /// dumped; whether the peer has ended, or what is wrong behind that payload.
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
        conn.peer_ended = layer.has_ended();
        conn.received += payload.len() as u64;
        if !payload.is_empty() {
            dump(&mut self.quit, conn, Direction::Received, payload);
        }
        self.dirty.push(slot);
        result.map(|()| self.conns[slot].peer_ended)
    }

    /// Sends bytes of ours that are no payload (a handshake's).
    pub(super) fn send_plain(&mut self, slot: usize, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(slot) {
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

    /// Does what follows from what was done to connections since the last call: sends, ends,
    /// removes, watches. Returns who left and whose queue is empty again, for the handler.
    pub(super) fn settle(&mut self) -> (Vec<Id>, Vec<Id>) {
        while let Some(slot) = self.dirty.pop() {
            self.settle_one(slot);
        }
        (
            std::mem::take(&mut self.left),
            std::mem::take(&mut self.drained),
        )
    }

    /// The client can take more.
    pub(super) fn writable(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        let waited = !conn.outbox.is_empty(&self.log);
        self.taken += flush(conn, &self.log, self.now, &mut self.queued);
        if waited && conn.outbox.is_empty(&self.log) {
            self.drained.push(Id {
                number: conn.number,
                slot,
            });
        }
        self.dirty.push(slot);
    }

    /// What was said to all and not offered to them yet is enough for a turn.
    pub(super) fn is_burst(&self) -> bool {
        self.log.end() - self.offered >= BURST
    }

    /// Offers to all what was said to all since the last time, and looks at those who fall
    /// behind. Says whether there was anything to do.
    pub(super) fn fan_out(&mut self) -> bool {
        let end = self.log.end();
        let waited = self.pace.waits();
        if self.offered == end && !waited {
            return false;
        }
        let (mut oldest, mut behind, mut slow) = (end, false, Vec::new());
        for (slot, conn) in &mut self.conns {
            if !conn.interest.write && !conn.outbox.is_empty(&self.log) {
                self.taken += flush(conn, &self.log, self.now, &mut self.queued);
                if conn.broken {
                    self.dirty.push(slot);
                }
            }
            let waiting = conn.outbox.len(&self.log);
            if waiting == 0 {
                continue;
            }
            if waiting >= self.limit {
                slow.push(slot);
                continue;
            }
            oldest = oldest.min(conn.outbox.oldest());
            behind |= waiting >= BEHIND && self.now - conn.progress < SIGN_OF_LIFE;
            self.dirty.push(slot);
        }
        let offered = std::mem::replace(&mut self.offered, end);
        self.log.forget(oldest);
        for slot in slow {
            self.end(slot, Reason::Slow);
        }
        let waits = self.pace.look(self.now, behind, self.taken, end);
        if waited && !waits {
            self.touch_all();
        }
        offered < end || waited != waits
    }

    /// Whether a client that speaks is not heard for now: it is left to its socket.
    pub(super) fn is_held(&self, slot: usize) -> bool {
        Clients::is_held(self) || self.conns.get(slot).is_some_and(|conn| conn.paused)
    }

    /// A client that had ended its side is gone altogether, while we would still talk to it.
    pub(super) fn hung_up(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        let is_reset = conn.broken || !matches!(conn.socket.take_error(), Ok(None));
        let reason = if is_reset || !conn.outbox.is_empty(&self.log) {
            Reason::Reset
        } else {
            Reason::Eof // a UNIX peer that closed
        };
        self.remove(slot, reason);
    }

    fn settle_one(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        if conn.fin == Fin::Wanted && conn.outbox.is_empty(&self.log) {
            // A peer that is gone already shows itself when it is read.
            let _ = conn.socket.shutdown_write();
            conn.fin = Fin::Sent(self.now);
        }
        if conn.peer_ended {
            if conn.broken {
                return self.remove(slot, Reason::Reset);
            }
            if matches!(conn.fin, Fin::Sent(_)) {
                let reason = if self.stopping.is_some() {
                    Reason::Shutdown
                } else {
                    Reason::Eof
                };
                return self.remove(slot, reason);
            }
        }
        let stalled = self.now - conn.progress >= STALL && self.queued < POOL;
        let held = self.held || self.pace.waits() || conn.paused;
        let takes = match conn.phase {
            Phase::Open => !held && (conn.outbox.len(&self.log) < HIGH || stalled),
            Phase::Waiting | Phase::Lent(_) => false,
            Phase::Proving(ref proof) => !proof.is_decided(),
            Phase::Announcing(_) | Phase::Closing(_) => true,
        };
        let interest = Interest {
            read: takes && !conn.peer_ended,
            write: !conn.outbox.is_empty(&self.log),
        };
        if interest != conn.interest {
            conn.interest = interest;
            if self
                .poller
                .change(&conn.socket, slot as u64, interest)
                .is_err()
            {
                return self.remove(slot, Reason::Error);
            }
        }
        self.arm(slot);
    }

    /// Sets the clock for whatever is due next on a connection.
    fn arm(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        let Some(due) = conn.due(self.idle, self.stopping, &self.log).instant() else {
            return;
        };
        // What is due already was just dealt with, as far as it can be.
        let due = if due > self.now {
            due
        } else {
            self.now + RETRY
        };
        if conn.armed.is_none_or(|armed| due < armed) {
            conn.armed = Some(due);
            self.clock.push(Reverse((due, slot, conn.number)));
        }
    }

    /// When the clock is next due.
    pub(super) fn deadline(&self) -> Deadline {
        let clock = self.clock.peek();
        let due = clock.map_or(Deadline::NEVER, |Reverse((due, ..))| Deadline::at(*due));
        if self.pace.waits() {
            due.min(Deadline::at(self.now + LOOK))
        } else {
            due
        }
    }

    /// The connections that were to show who they are and whose time is up, or whose verdict may be
    /// told now; all others that are due are dealt with.
    pub(super) fn tick(&mut self) -> Vec<usize> {
        let mut unproved = Vec::new();
        while let Some(&Reverse((due, slot, number))) = self.clock.peek()
            && due <= self.now
        {
            self.clock.pop();
            let Some(conn) = self
                .conns
                .get_mut(slot)
                .filter(|conn| conn.number == number)
            else {
                continue;
            };
            conn.armed = None;
            if conn
                .due(self.idle, self.stopping, &self.log)
                .instant()
                .is_some_and(|due| due <= self.now)
            {
                if let Phase::Announcing(_) | Phase::Proving(_) = conn.phase {
                    unproved.push(slot);
                    continue;
                }
                self.due(slot);
            }
            self.dirty.push(slot);
        }
        unproved
    }

    fn due(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        match (&conn.phase, conn.fin) {
            (Phase::Lent(_), _) => self.look_at_lent(slot),
            (Phase::Closing(_), Fin::Sent(_)) => self.remove(slot, Reason::Eof),
            (Phase::Closing(_), _) => self.remove(slot, Reason::Slow),
            (Phase::Open, _)
                if self.stopping.is_some() && !conn.occupied && conn.outbox.is_empty(&self.log) =>
            {
                self.end(slot, Reason::Shutdown);
            }
            (Phase::Open, _) if !self.idle.is_zero() && self.now - conn.active >= self.idle => {
                self.end(slot, Reason::Idle);
            }
            _ => {} // stalled: settle lets it be read
        }
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

impl Conn {
    /// The socket took this much; where it is wrapped, payload was counted when that was done.
    fn count_sent(&mut self, n: u64) {
        if self.layer.is_none() {
            self.sent += n;
        }
    }

    /// The connection is gone: nothing more can be sent.
    fn fail(&mut self, queued: &mut usize) {
        self.broken = true;
        *queued -= self.outbox.own();
        self.outbox.clear();
    }

    /// What is said to all from now on is not for this client.
    fn detach(&mut self, log: &Log, queued: &mut usize) {
        self.wrap_shared(log, queued);
        *queued -= self.outbox.own();
        self.outbox.detach(log);
        *queued += self.outbox.own();
    }

    /// Where the wire is not the payload: wraps what was said to all, a turn's worth at a time.
    fn wrap_shared(&mut self, log: &Log, queued: &mut usize) {
        let Some(layer) = &mut self.layer else {
            return;
        };
        let (own, sent) = (self.outbox.own(), &mut self.sent);
        let result = self.outbox.take_over(log, |payload| {
            let mut wire = Vec::new();
            *sent += payload.len() as u64;
            layer.seal(&payload, &mut wire).map(|()| wire)
        });
        *queued += self.outbox.own() - own;
        if result.is_err() {
            self.fail(queued);
        }
    }

    /// Whether what comes has to be unwrapped before it means anything.
    pub(super) fn is_wrapped(&self) -> bool {
        self.layer.is_some() && matches!(self.phase, Phase::Open)
    }

    /// Tells one who holds a key why it is not let in.
    fn turn_away(&mut self, reason: Reason, log: &Log, queued: &mut usize) {
        let why = match reason {
            Reason::Limit => Away::Full,
            Reason::Shutdown => Away::Shutdown,
            _ => Away::Auth,
        };
        if let Some(layer) = &mut self.layer {
            let mut wire = Vec::new();
            layer.turn_away(why, &mut wire);
            *queued += wire.len();
            self.outbox.push(&wire, log);
        }
    }

    /// Queues what tells the end of our side, where that takes more than a FIN.
    fn tell_end(&mut self, log: &Log, queued: &mut usize) {
        if let Some(layer) = &mut self.layer
            && self.let_in
            && self.fin == Fin::No
            && !self.broken
        {
            let mut wire = Vec::new();
            // Without it the peer takes the end for a truncation, which it then is.
            let _ = layer.seal_end(&mut wire);
            *queued += wire.len();
            self.outbox.push(&wire, log);
        }
    }

    fn is_open(&self, id: Id) -> bool {
        self.number == id.number && matches!(self.phase, Phase::Open)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    pub(super) fn is_occupied(&self) -> bool {
        self.occupied
    }

    /// When the clock must look at it next.
    fn due(&self, idle: Duration, stopping: Option<Instant>, log: &Log) -> Deadline {
        match (&self.phase, self.fin) {
            (Phase::Announcing(announcement), _) => announcement.until,
            (Phase::Proving(proof), _) => proof.due(),
            (Phase::Waiting, _) => Deadline::NEVER,
            (Phase::Lent(lent), _) => lent.due(self.active, idle),
            (Phase::Closing(_), Fin::Sent(at)) => {
                let quiet = if stopping.is_some() {
                    STOP_QUIET
                } else {
                    DRAIN_QUIET
                };
                Deadline::at((self.active.max(at) + quiet).min(at + DRAIN))
            }
            (Phase::Closing(_), _) => Deadline::at(self.progress + DRAIN),
            (Phase::Open, _) => {
                let mut due = Deadline::NEVER;
                if let Some(since) = stopping
                    && !self.occupied
                    && self.outbox.is_empty(log)
                {
                    due = Deadline::at(self.active.max(since) + STOP_QUIET);
                }
                if !idle.is_zero() {
                    due = due.min(Deadline::at(self.active + idle));
                }
                if self.outbox.len(log) >= HIGH && !self.interest.read && !self.peer_ended {
                    due = due.min(Deadline::at(self.progress + STALL));
                }
                due
            }
        }
    }
}

/// Sends bytes for one client, as far as it takes them at once, and queues the rest; how many
/// bytes were queued.
fn transmit(conn: &mut Conn, log: &Log, bytes: &[u8], now: Instant) -> usize {
    if conn.broken || conn.fin != Fin::No {
        return 0;
    }
    let mut taken = 0;
    if conn.outbox.is_empty(log) {
        conn.progress = now;
        match conn.socket.send(bytes) {
            Ok(n) => {
                taken = n;
                conn.count_sent(n as u64);
                conn.active = now;
            }
            Err(e) if would_block(&e) => {}
            Err(_) => {
                conn.fail(&mut 0); // nothing is queued
                return 0;
            }
        }
    }
    conn.outbox.push(&bytes[taken..], log);
    bytes.len() - taken
}

/// Sends what waits for a client, as far as it takes it; how much that was.
fn flush(conn: &mut Conn, log: &Log, now: Instant, queued: &mut usize) -> u64 {
    conn.wrap_shared(log, queued);
    let own = conn.outbox.own();
    if !conn.interest.write {
        conn.progress = now; // it has just begun to wait
    }
    let taken = match conn.outbox.send_to(&conn.socket, log) {
        Ok(0) => 0,
        Ok(n) => {
            conn.active = now;
            conn.progress = now;
            n as u64
        }
        Err(_) => {
            *queued -= own - conn.outbox.own();
            conn.fail(queued);
            return 0;
        }
    };
    conn.count_sent(taken);
    *queued -= own - conn.outbox.own();
    taken
}

/// Wraps payload for the wire and counts it: `None` where the wire is the payload, false where it
/// could not be done.
fn wrap(conn: &mut Conn, payload: &[u8], wire: &mut Vec<u8>) -> Option<bool> {
    let layer = conn.layer.as_mut()?;
    wire.clear();
    conn.sent += payload.len() as u64;
    Some(layer.seal(payload, wire).is_ok())
}

/// Writes to the `--hex` dump; a dump that cannot be written ends the run.
fn dump(quit: &mut Option<Result<(), Failure>>, conn: &Conn, direction: Direction, bytes: &[u8]) {
    if let Some(tap) = &conn.tap
        && let Err(failure) = tap
            .borrow_mut()
            .tell(direction, conn.opened.elapsed(), bytes)
    {
        quit.get_or_insert(Err(failure));
    }
}

impl Clients for Table {
    fn send(&mut self, client: Id, bytes: &[u8]) {
        let now = self.now;
        let Some(conn) = self
            .conns
            .get_mut(client.slot)
            .filter(|conn| conn.is_open(client))
        else {
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
            .map(|(slot, conn)| Id {
                number: conn.number,
                slot,
            })
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
        match self
            .conns
            .get(client.slot)
            .filter(|conn| conn.number == client.number)
        {
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
            wrapped: conn.layer.is_some(),
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

    fn stop(&mut self) {
        self.stop_wanted = true;
    }

    fn quit(&mut self, result: Result<(), Failure>) {
        self.quit.get_or_insert(result);
    }
}
