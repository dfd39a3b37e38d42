//! The wall in front of a server that asks for a key: what those who have proved nothing may
//! hold. Pure: the time is passed in, and connections are known by their ids.
//!
//! | limit                                | over it                                          |
//! |--------------------------------------|--------------------------------------------------|
//! | 64 unproved connections in all       | the longest silent is closed, from the           |
//! |                                      | newcomer's address if it holds another           |
//! | 8 from one address                   | the longest silent of that address is closed     |
//! | 5 wrong proofs in 60 s from one      | later wrong verdicts come 1 s late, and the      |
//! | address: a penalty                   | address holds one unproved connection at a time  |
//!
//! A newcomer is never refused, so that nobody can lock out others by holding connections; whoever
//! has shown a key goes last, so that nobody can by making ever new ones; a right key is let in
//! whatever the penalty. An IPv6 address stands for its /64, which is what
//! one customer gets. UNIX peers have no address: only the limit on all holds for them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// The most unproved connections in all.
const IN_ALL: usize = 64;
/// The most from one address.
const PER_ADDRESS: usize = 8;
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
    /// In the order of their arrival. So few that a walk is cheaper than an index.
    unproved: Vec<Unproved>,
    offenders: HashMap<IpAddr, Offender>,
}

/// A connection that has not proved its key yet.
#[derive(Debug)]
struct Unproved {
    id: u64,
    from: Option<IpAddr>,
    heard: Instant,
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
    /// An empty wall; `penalty` is off with `--no-penalty`.
    pub fn new(penalty: bool) -> Self {
        Self {
            penalty,
            unproved: Vec::with_capacity(IN_ALL + 1),
            offenders: HashMap::new(),
        }
    }

    /// Who would have to make way for a newcomer from there, if anybody would.
    pub fn next_victim(&self, from: Option<IpAddr>, now: Instant) -> Option<u64> {
        let from = from.map(network);
        let same = self.count(from);
        if same >= self.room(from, now) {
            return self.last_of(|one| one.from == from);
        }
        if self.unproved.len() >= IN_ALL {
            return self.last_of(|one| same == 0 || one.from == from);
        }
        None
    }

    /// Lets a new connection begin its handshake. Returns those to close instead, which the
    /// wall has forgotten already: one at most, or all others of an address under a penalty.
    pub fn admit(&mut self, id: u64, from: Option<IpAddr>, now: Instant) -> Vec<u64> {
        let mut victims = Vec::new();
        while let Some(victim) = self.next_victim(from, now) {
            self.leave(victim);
            victims.push(victim);
        }
        self.unproved.push(Unproved {
            id,
            from: from.map(network),
            heard: now,
            shows_key: false,
        });
        victims
    }

    /// Bytes came from an unproved connection, and whether they show a key.
    pub fn heard(&mut self, id: u64, shows_key: bool, now: Instant) {
        if let Some(one) = self.unproved.iter_mut().find(|one| one.id == id) {
            one.heard = now;
            one.shows_key = shows_key;
        }
    }

    /// A wrong proof came from this address: how late the verdict is to be given. The
    /// connection stays on the wall until it leaves.
    pub fn wrong_proof(&mut self, from: Option<IpAddr>, now: Instant) -> Duration {
        let Some(from) = from.map(network).filter(|_| self.penalty) else {
            return Duration::ZERO;
        };
        let delay = if self.is_penalised(from, now) {
            DELAY
        } else {
            Duration::ZERO
        };
        self.remember(from, now);
        delay
    }

    /// A connection has proved its key, or is closed.
    pub fn leave(&mut self, id: u64) {
        self.unproved.retain(|one| one.id != id);
    }

    /// How many one address may hold.
    fn room(&self, from: Option<IpAddr>, now: Instant) -> usize {
        match from {
            None => IN_ALL,
            Some(from) if self.is_penalised(from, now) => 1,
            Some(_) => PER_ADDRESS,
        }
    }

    fn count(&self, from: Option<IpAddr>) -> usize {
        self.unproved.iter().filter(|one| one.from == from).count()
    }

    /// The longest silent of those that match; the earliest of several.
    fn last_of(&self, matches: impl Fn(&Unproved) -> bool) -> Option<u64> {
        let matching = self.unproved.iter().filter(|one| matches(one));
        let last = matching.min_by_key(|one| (one.shows_key, one.heard));
        last.map(|one| one.id)
    }

    fn is_penalised(&self, from: IpAddr, now: Instant) -> bool {
        self.offenders
            .get(&from)
            .is_some_and(|offender| offender.is_penalised(now))
    }

    fn remember(&mut self, from: IpAddr, now: Instant) {
        if !self.offenders.contains_key(&from) && self.offenders.len() >= OFFENDERS {
            self.offenders.retain(|_, one| is_recent(one.newest(), now));
            self.forget_one();
        }
        self.offenders
            .entry(from)
            .or_insert(Offender {
                times: [None; WRONG_PROOFS],
                last: 0,
            })
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
