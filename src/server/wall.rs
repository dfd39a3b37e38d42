//! The wall in front of a server that asks for a key: what those who have proved nothing may
//! hold. Pure: the time is passed in, and connections are known by their ids.
//!
//! Whoever comes has a quarter of a second to say something, whoever else comes. From then on:
//!
//! | limit                                | over it                                          |
//! |--------------------------------------|--------------------------------------------------|
//! | 64 unproved connections in all       | the longest silent is closed, from the           |
//! |                                      | newcomer's address if it holds another           |
//! | 8 from one address                   | the longest silent of that address is closed     |
//! | 5 wrong proofs in 60 s from one      | later wrong verdicts come 1 s late, and the      |
//! | address: a penalty                   | address holds one unproved connection at a time  |
//!
//! A newcomer is never refused, so that nobody can lock out others by holding connections; it is
//! not in question while it is heard, so that nobody can by making ever new ones, and neither is
//! one that has shown a key as long as there are others; a right key is let in whatever the
//! penalty. An IPv6 address stands for its /64, which is what one customer gets. UNIX peers have
//! no address: only the limit on all holds for them.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::net::deadline::Deadline;
use crate::session::Id;

#[cfg(test)]
mod tests;

/// The most unproved connections in all.
const IN_ALL: usize = 64;
/// The most from one address.
const PER_ADDRESS: usize = 8;
/// How long a newcomer counts towards neither: more than one round trip around the world.
const HEARING: Duration = Duration::from_millis(250);
/// The wrong proofs that bring a penalty.
const WRONG_PROOFS: usize = 5;
/// The time they are remembered.
const MEMORY: Duration = Duration::from_secs(60);
/// How late a wrong verdict comes under a penalty.
const DELAY: Duration = Duration::from_secs(1);
/// The most addresses with wrong proofs remembered; the least recent is forgotten first.
const OFFENDERS: usize = 1024;

/// The unproved connections, and the addresses that wrong proofs came from.
#[derive(Debug)]
pub struct Wall {
    penalty: bool,
    /// Those who are heard, in the order of their arrival, and how many there may be: one more
    /// ends the hearing of the first.
    newcomers: VecDeque<NotAuthenticated>,
    most_newcomers: usize,
    /// Those who count. So few that a walk is cheaper than an index.
    counted: Vec<NotAuthenticated>,
    offenders: HashMap<IpAddr, Offender>,
}

/// A connection that has not proved its key yet.
#[derive(Debug)]
struct NotAuthenticated {
    id: Id,
    from: Option<IpAddr>,
    came: Instant,
    /// `None` where nothing it says matters any more.
    heard: Option<Instant>,
    /// What it said was made with a key, if it is no copy.
    shows_key: bool,
}

/// When the last wrong proofs came from an address: a ring, `last` the newest in it.
#[derive(Debug)]
struct Offender {
    times: [Option<Instant>; WRONG_PROOFS],
    last: usize,
}

impl Wall {
    /// An empty wall that hears so many newcomers at a time; `penalty` is off with `--no-penalty`.
    pub fn new(penalty: bool, most_newcomers: usize) -> Self {
        Self {
            penalty,
            newcomers: VecDeque::new(),
            most_newcomers,
            counted: Vec::with_capacity(IN_ALL),
            offenders: HashMap::new(),
        }
    }

    /// Hears no more newcomers than that at a time.
    pub fn hear_at_most(&mut self, newcomers: usize) {
        self.most_newcomers = newcomers;
    }

    /// A new connection begins its handshake.
    pub fn admit(&mut self, id: Id, from: Option<IpAddr>, now: Instant) {
        self.newcomers.push_back(NotAuthenticated {
            id,
            from: from.map(network),
            came: now,
            heard: Some(now),
            shows_key: false,
        });
    }

    /// Whether few have come of late.
    pub fn is_quiet(&self) -> bool {
        self.newcomers.len() < PER_ADDRESS
    }

    /// Who has to make way now for one whose hearing is over. Whoever that is must speak, or leave,
    /// before this is asked again.
    pub fn next_victim(&mut self, now: Instant) -> Option<Id> {
        while let Some(first) = self.newcomers.front()
            && (first.came + HEARING <= now || self.newcomers.len() > self.most_newcomers)
        {
            let victim = self.in_the_way(first.from, now);
            if victim.is_some() {
                return victim;
            }
            self.counted.extend(self.newcomers.pop_front());
        }
        None
    }

    /// When somebody's hearing is over.
    pub fn deadline(&self) -> Deadline {
        let first = self.newcomers.front();
        first.map_or(Deadline::NEVER, |one| Deadline::at(one.came + HEARING))
    }

    /// Bytes came from an unproved connection, and whether they show a key.
    pub fn heard(&mut self, id: Id, shows_key: bool, now: Instant) {
        if let Some(one) = self.find(id) {
            one.heard = Some(now);
            one.shows_key = shows_key;
        }
    }

    /// A wrong proof came on this connection: how late the verdict is to be given. It stays on the
    /// wall until it leaves, as the first to make way.
    pub fn wrong_proof(&mut self, id: Id, from: Option<IpAddr>, now: Instant) -> Duration {
        let Some(from) = from.map(network).filter(|_| self.penalty) else {
            return Duration::ZERO;
        };
        if let Some(one) = self.find(id) {
            (one.heard, one.shows_key) = (None, false);
        }
        let delay = if self.is_penalised(from, now) { DELAY } else { Duration::ZERO };
        self.remember(from, now);
        delay
    }

    /// A connection has proved its key, or is closed.
    pub fn leave(&mut self, id: Id) {
        // Those who leave soon after they came are the last.
        if let Some(at) = self.newcomers.iter().rposition(|one| one.id == id) {
            self.newcomers.remove(at);
        } else {
            self.counted.retain(|one| one.id != id);
        }
    }

    fn find(&mut self, id: Id) -> Option<&mut NotAuthenticated> {
        let all = self.counted.iter_mut().chain(&mut self.newcomers);
        all.rev().find(|one| one.id == id)
    }

    /// Who has to go before one from there may count.
    fn in_the_way(&self, from: Option<IpAddr>, now: Instant) -> Option<Id> {
        let same = self.counted.iter().filter(|one| one.from == from).count();
        if same >= self.room(from, now) {
            return self.last_of(|one| one.from == from);
        }
        if self.counted.len() >= IN_ALL {
            return self.last_of(|one| same == 0 || one.from == from);
        }
        None
    }

    /// How many one address may hold.
    fn room(&self, from: Option<IpAddr>, now: Instant) -> usize {
        match from {
            None => IN_ALL,
            Some(from) if self.is_penalised(from, now) => 1,
            Some(_) => PER_ADDRESS,
        }
    }

    /// The longest silent of those that match; the earliest of several.
    fn last_of(&self, matches: impl Fn(&NotAuthenticated) -> bool) -> Option<Id> {
        let matching = self.counted.iter().filter(|one| matches(one));
        let last = matching.min_by_key(|one| (one.shows_key, one.heard));
        last.map(|one| one.id)
    }

    fn is_penalised(&self, from: IpAddr, now: Instant) -> bool {
        self.offenders.get(&from).is_some_and(|offender| offender.is_penalised(now))
    }

    fn remember(&mut self, from: IpAddr, now: Instant) {
        if !self.offenders.contains_key(&from) && self.offenders.len() >= OFFENDERS {
            self.offenders.retain(|_, one| is_recent(one.newest(), now));
            self.forget_one();
        }
        self.offenders
            .entry(from)
            .or_insert(Offender { times: [None; WRONG_PROOFS], last: 0 })
            .add(now);
    }

    /// Makes room for one address, if there is none, by the one longest without a wrong proof.
    fn forget_one(&mut self) {
        if self.offenders.len() < OFFENDERS {
            return;
        }
        let oldest = self.offenders.iter().min_by_key(|(_, one)| one.newest());
        if let Some((&oldest, _)) = oldest {
            self.offenders.remove(&oldest);
        }
    }
}

impl Offender {
    fn add(&mut self, now: Instant) {
        self.last = (self.last + 1) % WRONG_PROOFS;
        self.times[self.last] = Some(now);
    }

    fn newest(&self) -> Option<Instant> {
        self.times[self.last]
    }

    /// Whether even the oldest of the last five is recent.
    fn is_penalised(&self, now: Instant) -> bool {
        is_recent(self.times[(self.last + 1) % WRONG_PROOFS], now)
    }
}

fn is_recent(time: Option<Instant>, now: Instant) -> bool {
    time.is_some_and(|time| now.saturating_duration_since(time) < MEMORY)
}

/// What counts as one address: an IPv4 address, also in IPv6 clothes, or an IPv6 /64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = v6.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}
