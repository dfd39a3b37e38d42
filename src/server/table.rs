//! The table of connections: which there are, how far each is, and what the loop knows of it.
//! Its invariants are [in the guide](crate#invariants).
//!
//! Over 300 lines: a third declares what is kept, each field with its meaning.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slab::Slab;

use super::backpressure::BackPressure;
use super::flush::FlushSchedule;
use super::outgoing::Wanted;
use super::phase::{Negotiation, Phase};
use crate::console::event::{Event, Level, Reason};
use crate::console::log_limit::LogLimit;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::connection::Connection;
use crate::net::outbox::BroadcastLog;
use crate::net::poller::{Interest, Poller};
use crate::net::role::Role;
use crate::net::tlsinfo::TlsInfo;
use crate::session::closed::Closed;
use crate::session::{Clients, Handler, Id};

/// One connection in the loop.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Entry {
    pub(super) number: u64,
    /// Whether it was accepted or dialled.
    pub(super) role: Role,
    /// If it was dialled: by which route.
    pub(super) route: usize,
    /// It was dialled for a client: it ends as an accepted one does.
    pub(super) is_target: bool,
    pub(super) conn: Connection,
    pub(super) phase: Phase,
    /// The name of the key that it proved.
    pub(super) key: Option<Rc<str>>,
    /// Its TLS session.
    pub(super) tls: Option<Rc<TlsInfo>>,
    /// The access rule that keeps it out.
    pub(super) denied_by: Option<Box<str>>,
    pub(super) is_admitted: bool,
    /// The handler has paused it: its bytes stay in the socket.
    pub(super) is_paused: bool,
    /// A program runs for it: silence does not end it while the run is stopping.
    pub(super) is_occupied: bool,
    /// The handler waits for room in the socket.
    pub(super) wants_room: bool,
    /// The byte counts are known.
    pub(super) has_counts: bool,
    pub(super) interest: Interest,
    /// When its timer looks at it next: its place in [`Table::timers`].
    pub(super) armed: Option<Instant>,
    /// Its part of [`Table::queued`].
    counted: usize,
}

impl Entry {
    /// Brings its part of [`Table::queued`] up to date with what its outbox owns now.
    pub(super) fn count_queued(&mut self, queued: &mut usize) {
        let own = self.conn.own();
        *queued = *queued - self.counted + own;
        self.counted = own;
    }

    /// The notice of what its handshake has come to: the TLS session, or whose key was proved.
    pub(super) fn security_notice(&self) -> String {
        match (&self.tls, &self.key) {
            (Some(info), _) => format!("encrypted with {info}"),
            _ if !self.conn.is_encrypted() => "not encrypted: only the key is proved".into(),
            (None, Some(name)) => format!("encrypted with key {name}"),
            (None, None) => "encrypted with the shared key".into(),
        }
    }

    /// What its address counts as; UNIX peers have none.
    fn network(&self) -> Option<IpAddr> {
        self.conn.peer.network()
    }
}

/// What holds for every connection, in both roles.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// `-i`, the idle timeout: silence in both directions that ends a connection; zero: no limit.
    pub idle: Duration,
    /// `--linger`: how long the peer has to end its side once ours has ended.
    pub linger: Option<Duration>,
    /// `--max-bytes`: ends the connection once so much payload has come.
    pub max_bytes: u64,
    /// Half-close: the end of our side is passed on as FIN.
    pub half_close: bool,
    /// We prove a key as a client.
    pub proves: bool,
    /// `--tcp-info`: statistics are reported at the end.
    pub tcp_info: bool,
}

/// All connections.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Table {
    pub(super) poller: Poller,
    pub(super) now: Instant,
    pub(super) talk: Talk,
    /// Limits the lines about what strangers do.
    pub(super) log_limit: LogLimit,
    pub(super) bounds: Bounds,
    /// Since when the run is stopping.
    pub(super) stopping: Option<Instant>,
    pub(super) stop_wanted: bool,
    /// How the run ends, once that is decided.
    pub(super) result: Option<Result<(), Failure>>,
    /// Accepted connections that hold a place of `-m`.
    pub(super) admitted: usize,
    /// Connections in [`Phase::Silent`].
    pub(super) silent: usize,
    /// How many of those that are admitted each address has.
    by_address: BTreeMap<IpAddr, usize>,
    /// Slots of connections in [`Phase::Waiting`], by number: first come, first served.
    waiting: BTreeMap<u64, usize>,
    /// Slots of dialled connections that are not admitted yet, by number.
    unadmitted: BTreeMap<u64, usize>,
    pub(super) entries: Slab<Entry>,
    /// When to look at which slot next; nothing is kept of connections that are gone.
    pub(super) timers: BTreeSet<(Instant, usize)>,
    /// Slots to process at the end of the turn.
    pub(super) pending: Vec<usize>,
    /// Slots whose handler has not taken all bytes.
    pub(super) unread: Vec<usize>,
    /// Connections that were refused and are still being closed.
    pub(super) refused: VecDeque<Id>,
    /// Connections accepted and dialled so far.
    pub(super) count: u64,
    /// Connections to dial, by their numbers.
    pub(super) dials: BTreeMap<u64, Wanted>,
    /// The numbers of connections that are not to be dialled any more.
    pub(super) cancelled: Vec<u64>,
    /// Clients that left, and clients whose queue is empty again, not yet reported to the handler.
    pub(super) left: Vec<Id>,
    pub(super) drained: Vec<Id>,
    /// Clients whose connections are to begin TLS once their queues are empty.
    pub(super) upgrades: Vec<Id>,
    /// Bytes that all outboxes own, as each was last counted ([`Entry::count_queued`]).
    pub(super) queued: usize,
    /// Bytes that handlers have sent to single clients since the entries were last processed.
    pub(super) fresh: usize,
    /// Bytes that all peers together have taken.
    pub(super) taken: u64,
    pub(super) log: BroadcastLog,
    pub(super) flush: FlushSchedule,
    pub(super) back_pressure: BackPressure,
    /// The handler has paused all connections.
    pub(super) paused_by_handler: bool,
    /// A connection with this much waiting is cut off.
    pub(super) queue_limit: usize,
    pub(super) reset_timeout: Duration,
    /// Joins and leaves are reported without `-v`.
    pub(super) is_social: bool,
    /// `--hex` or `--log` is on.
    pub(super) has_dump: bool,
    /// Admitted connections that are gone, not yet reported to the handler.
    pub(super) closed: Vec<(Id, Closed)>,
    /// The last of them, or the last that was refused.
    pub(super) last: Option<Closed>,
}

impl Table {
    pub(super) fn new(talk: Talk, bounds: Bounds, handler: &dyn Handler) -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            now: Instant::now(),
            log_limit: LogLimit::for_peers(talk.clone()),
            talk,
            bounds,
            stopping: None,
            stop_wanted: false,
            result: None,
            admitted: 0,
            silent: 0,
            by_address: BTreeMap::new(),
            waiting: BTreeMap::new(),
            unadmitted: BTreeMap::new(),
            entries: Slab::new(),
            timers: BTreeSet::new(),
            pending: Vec::new(),
            unread: Vec::new(),
            refused: VecDeque::new(),
            count: 0,
            dials: BTreeMap::new(),
            cancelled: Vec::new(),
            left: Vec::new(),
            drained: Vec::new(),
            upgrades: Vec::new(),
            queued: 0,
            fresh: 0,
            taken: 0,
            log: BroadcastLog::default(),
            flush: FlushSchedule::default(),
            back_pressure: BackPressure::default(),
            paused_by_handler: false,
            queue_limit: handler.queue_limit(),
            reset_timeout: handler.reset_timeout(),
            is_social: handler.is_social(),
            has_dump: false,
            closed: Vec::new(),
            last: None,
        })
    }

    /// Removes a dialled connection that is in its handshake.
    pub(super) fn remove_unadmitted(&mut self, number: u64) {
        if let Some(&slot) = self.unadmitted.get(&number) {
            self.remove(slot, Reason::Reset);
        }
    }

    /// Adds a connection, which waits to be admitted.
    pub(super) fn insert(&mut self, number: u64, role: Role, conn: Connection) -> io::Result<Id> {
        let vacant = self.entries.vacant_entry();
        let slot = vacant.key();
        self.poller.add(&conn, slot as u64, Interest::READ)?;
        vacant.insert(Entry {
            number,
            role,
            route: 0,
            is_target: false,
            conn,
            phase: Phase::Waiting,
            key: None,
            tls: None,
            denied_by: None,
            is_admitted: false,
            is_paused: false,
            is_occupied: false,
            wants_room: false,
            has_counts: true,
            interest: Interest::READ,
            armed: None,
            counted: 0,
        });
        self.waiting.insert(number, slot);
        if role == Role::Client {
            self.unadmitted.insert(number, slot);
        }
        self.pending.push(slot);
        Ok(Id { number, slot })
    }

    pub(super) fn get(&mut self, slot: usize) -> Option<&mut Entry> {
        self.entries.get_mut(slot)
    }

    /// The entry of this client, if it is still there.
    pub(super) fn find(&self, id: Id) -> Option<&Entry> {
        self.entries.get(id.slot).filter(|entry| entry.number == id.number)
    }

    /// The same, if it is in [`Phase::Open`].
    pub(super) fn open_entry(&mut self, id: Id) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(id.slot)?;
        (entry.number == id.number && matches!(entry.phase, Phase::Open)).then_some(entry)
    }

    pub(super) fn id(&self, slot: usize) -> Option<Id> {
        self.entries.get(slot).map(|entry| Id { number: entry.number, slot })
    }

    pub(super) fn slots(&self) -> Vec<usize> {
        self.entries.iter().map(|(slot, _)| slot).collect()
    }

    /// Changes an entry, and has it processed.
    pub(super) fn with<T>(
        &mut self,
        slot: usize,
        change: impl FnOnce(&mut Entry, &BroadcastLog, Instant) -> T,
    ) -> Option<T> {
        let entry = self.entries.get_mut(slot)?;
        self.pending.push(slot);
        Some(change(entry, &self.log, self.now))
    }

    /// Moves a connection to another phase. Where that takes it from its handler, `left` follows.
    pub(super) fn set_phase(&mut self, slot: usize, phase: Phase) {
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        if let Phase::Waiting = phase {
            self.waiting.insert(entry.number, slot);
        } else {
            self.waiting.remove(&entry.number);
        }
        if entry.phase.is_joined() && !phase.is_joined() {
            self.left.push(Id { number: entry.number, slot });
        }
        self.silent += usize::from(matches!(phase, Phase::Silent(_)));
        let before = std::mem::replace(&mut entry.phase, phase);
        self.silent -= usize::from(matches!(before, Phase::Silent(_)));
        self.pending.push(slot);
    }

    /// Takes an entry out.
    pub(super) fn take(&mut self, slot: usize) -> Option<Entry> {
        let entry = self.entries.try_remove(slot)?;
        // Closing a descriptor of which a program has a duplicate would not end the watch.
        let _ = self.poller.remove(&entry.conn);
        self.waiting.remove(&entry.number);
        self.unadmitted.remove(&entry.number);
        self.queued -= entry.counted;
        self.silent -= usize::from(matches!(entry.phase, Phase::Silent(_)));
        if let Some(armed) = entry.armed {
            self.timers.remove(&(armed, slot));
        }
        if entry.is_admitted && entry.role == Role::Server {
            self.admitted -= 1;
            if let Some(address) = entry.network()
                && let Some(count) = self.by_address.get_mut(&address)
            {
                *count -= 1;
                if *count == 0 {
                    self.by_address.remove(&address);
                }
            }
        }
        Some(entry)
    }

    /// The state of a connection in a handshake.
    pub(super) fn negotiation(&mut self, slot: usize) -> Option<&mut Negotiation> {
        match &mut self.entries.get_mut(slot)?.phase {
            Phase::Handshake(negotiation) => Some(negotiation),
            _ => None,
        }
    }

    /// The clients that TLS can begin with: nothing is queued for them.
    pub(super) fn take_upgrades(&mut self) -> Vec<Id> {
        let all = std::mem::take(&mut self.upgrades);
        let (ready, later) = all.into_iter().partition(|&id| self.queued(id) == 0);
        self.upgrades = later;
        ready
    }

    /// The value; a failure ends the run.
    pub(super) fn or_quit<T>(&mut self, result: Result<T, Failure>) -> Option<T> {
        result.map_err(|failure| self.result.get_or_insert(Err(failure))).ok()
    }

    /// The connection that has waited longest to be admitted.
    pub(super) fn first_waiting(&self) -> Option<usize> {
        self.waiting.first_key_value().map(|(_, &slot)| slot)
    }

    /// How many admitted connections have the address of this one; UNIX peers have none.
    pub(super) fn neighbours(&self, slot: usize) -> usize {
        let address = self.entries.get(slot).and_then(Entry::network);
        address.and_then(|address| self.by_address.get(&address)).copied().unwrap_or_default()
    }

    /// Admits a connection: from now on it talks to the handler.
    pub(super) fn open(&mut self, slot: usize) {
        self.set_phase(slot, Phase::Open);
        self.with(slot, |entry, log, now| {
            entry.is_admitted = true;
            entry.conn.open(log, now);
        });
        let Some(entry) = self.entries.get(slot) else {
            return;
        };
        if entry.role == Role::Client {
            self.unadmitted.remove(&entry.number);
            return;
        }
        self.admitted += 1;
        if let Some(address) = entry.network() {
            *self.by_address.entry(address).or_default() += 1;
        }
        let joined = self.is_social;
        if self.talk.says(if joined { Level::Normal } else { Level::Verbose })
            && let Ok(local) = entry.conn.socket.local()
        {
            let (id, peer) = (entry.number, &entry.conn.peer);
            self.talk.say(&Event::Accepted { id, peer, local: &local, joined });
            if joined && entry.conn.is_encrypted() {
                let notice = format!("[{id}] {}", entry.security_notice());
                self.talk.notice(Level::Never, &notice);
            }
        }
    }

    /// Has every connection processed: something changed for all of them.
    pub(super) fn touch_all(&mut self) {
        self.pending.extend(self.entries.iter().map(|(slot, _)| slot));
    }
}
