//! Pre-auth limits: what connections that have not authenticated may hold, all together and by
//! address. Pure: times are passed in, and connections are known by their ids.
//!
//! A new connection has a grace of a quarter of a second in which it counts towards nothing. Then:
//!
//! | limit                               | over it                                            |
//! |-------------------------------------|----------------------------------------------------|
//! | 64 pending connections              | the longest silent is evicted, from the new one's  |
//! |                                     | address if it holds another                        |
//! | 8 from one address                  | the longest silent of that address is evicted      |
//! | 5 wrong proofs in 60 s from one     | later wrong verdicts come 1 s late, and the        |
//! | address: a penalty                  | address may hold one pending connection            |
//!
//! A new connection is never refused, so that holding connections locks out no one else; it cannot be
//! evicted in its grace, so that opening ever new ones does not either, and one that has shown a
//! key is evicted last. A right key is admitted whatever the penalty. An IPv6 address counts as its
//! /64, which is what one customer gets. UNIX peers have no address: only the first limit holds. The
//! same is true of connections whose PROXY header is awaited: a proxy has one address for all clients.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::net::deadline::Deadline;
use crate::net::endpoint::network;
use crate::session::Id;

#[cfg(test)]
mod tests;

/// Pending connections in all.
const MAX_PENDING: usize = 64;
/// Pending connections of one address.
const MAX_PER_ADDRESS: usize = 8;
/// How long a new connection counts towards neither: more than one round trip around the world.
const LOGIN_GRACE: Duration = Duration::from_millis(250);
/// Wrong proofs that bring a penalty.
const PENALTY_PROOFS: usize = 5;
/// The time within which they count.
const PENALTY_WINDOW: Duration = Duration::from_secs(60);
/// The delay of a wrong verdict under a penalty.
const PENALTY_DELAY: Duration = Duration::from_secs(1);
/// Addresses with wrong proofs that are remembered; the least recent is dropped first.
const MAX_OFFENDERS: usize = 1024;

/// The pending connections, and the addresses that wrong proofs came from.
#[derive(Debug)]
pub struct PreAuthLimits {
    penalty: bool,
    /// Connections in their grace, in the order of arrival, and how many there may be: one more
    /// ends the grace of the first.
    in_grace: VecDeque<Pending>,
    max_grace: usize,
    /// Connections that count: [`MAX_PENDING`] at most, so that they need no index.
    pending: Vec<Pending>,
    /// When the last wrong proofs came from an address, up to [`PENALTY_PROOFS`] of them.
    offenders: BTreeMap<IpAddr, VecDeque<Instant>>,
}

/// A connection that has not authenticated yet.
#[derive(Debug)]
struct Pending {
    id: Id,
    from: Option<IpAddr>,
    since: Instant,
    /// When bytes last came; `None` once it is refused.
    last_heard: Option<Instant>,
    /// What it sent was made with a key, unless it is a replay.
    shows_key: bool,
}

impl PreAuthLimits {
    /// No connections; at most `max_grace` in their grace. `penalty` is off with `--no-penalty`.
    pub fn new(penalty: bool, max_grace: usize) -> Self {
        Self {
            penalty,
            in_grace: VecDeque::new(),
            max_grace,
            pending: Vec::with_capacity(MAX_PENDING),
            offenders: BTreeMap::new(),
        }
    }

    /// A connection begins its handshake, from this address if there is a limit for that.
    pub fn add(&mut self, id: Id, from: Option<IpAddr>, now: Instant) {
        self.in_grace.push_back(Pending {
            id,
            from: from.map(network),
            since: now,
            last_heard: Some(now),
            shows_key: false,
        });
    }

    /// Whether few connections have come lately.
    pub fn is_calm(&self) -> bool {
        self.in_grace.len() < MAX_PER_ADDRESS
    }

    /// The connection to evict for one whose grace is over. Before the next call it must have been
    /// heard or have left.
    pub fn next_eviction(&mut self, now: Instant) -> Option<Id> {
        while let Some(first) = self.in_grace.front()
            && (first.since + LOGIN_GRACE <= now || self.in_grace.len() > self.max_grace)
        {
            let victim = self.evictable(first.from, now);
            if victim.is_some() {
                return victim;
            }
            self.pending.extend(self.in_grace.pop_front());
        }
        None
    }

    /// When the next grace is over.
    pub fn deadline(&self) -> Deadline {
        let first = self.in_grace.front();
        first.map(|one| one.since + LOGIN_GRACE).into()
    }

    /// Bytes came on a pending connection, and whether they show a key.
    pub fn heard(&mut self, id: Id, shows_key: bool, now: Instant) {
        if let Some(one) = self.find(id) {
            one.last_heard = Some(now);
            one.shows_key = shows_key;
        }
    }

    /// A wrong proof came on this connection: the delay of its verdict. It stays pending until it
    /// leaves, as the first to be evicted.
    pub fn wrong_proof(&mut self, id: Id, from: Option<IpAddr>, now: Instant) -> Duration {
        let Some(from) = from.map(network).filter(|_| self.penalty) else {
            return Duration::ZERO;
        };
        if let Some(one) = self.find(id) {
            (one.last_heard, one.shows_key) = (None, false);
        }
        let delay = if self.is_penalised(from, now) { PENALTY_DELAY } else { Duration::ZERO };
        self.remember(from, now);
        delay
    }

    /// A connection has authenticated, or is closed.
    pub fn leave(&mut self, id: Id) {
        // Connections that leave soon are among the last.
        if let Some(at) = self.in_grace.iter().rposition(|one| one.id == id) {
            self.in_grace.remove(at);
        } else {
            self.pending.retain(|one| one.id != id);
        }
    }

    fn find(&mut self, id: Id) -> Option<&mut Pending> {
        let all = self.pending.iter_mut().chain(&mut self.in_grace);
        all.rev().find(|one| one.id == id)
    }

    /// The connection to evict before one from this address may count.
    fn evictable(&self, from: Option<IpAddr>, now: Instant) -> Option<Id> {
        let same = self.pending.iter().filter(|one| one.from == from).count();
        if same >= self.room(from, now) {
            return self.longest_silent(|one| one.from == from);
        }
        if self.pending.len() >= MAX_PENDING {
            return self.longest_silent(|one| same == 0 || one.from == from);
        }
        None
    }

    /// How many pending connections an address may hold.
    fn room(&self, from: Option<IpAddr>, now: Instant) -> usize {
        match from {
            None => MAX_PENDING,
            Some(from) if self.is_penalised(from, now) => 1,
            Some(_) => MAX_PER_ADDRESS,
        }
    }

    /// The longest silent of those that match; the earliest of several.
    fn longest_silent(&self, matches: impl Fn(&Pending) -> bool) -> Option<Id> {
        let matching = self.pending.iter().filter(|one| matches(one));
        let last = matching.min_by_key(|one| (one.shows_key, one.last_heard));
        last.map(|one| one.id)
    }

    fn is_penalised(&self, from: IpAddr, now: Instant) -> bool {
        let times = self.offenders.get(&from).filter(|times| times.len() == PENALTY_PROOFS);
        let oldest = times.and_then(VecDeque::front);
        oldest.is_some_and(|&time| now.saturating_duration_since(time) < PENALTY_WINDOW)
    }

    fn remember(&mut self, from: IpAddr, now: Instant) {
        if !self.offenders.contains_key(&from)
            && self.offenders.len() >= MAX_OFFENDERS
            && let Some((&least_recent, _)) =
                self.offenders.iter().min_by_key(|(_, times)| times.back().copied())
        {
            self.offenders.remove(&least_recent);
        }
        let times = self.offenders.entry(from).or_default();
        if times.len() == PENALTY_PROOFS {
            times.pop_front();
        }
        times.push_back(now);
    }
}
