//! What the room has for the thread that writes. The room adds to it at once, whatever Redis does. Lines are
//! bounded in bytes, names by the number of members, of which each has one wish.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::order::Backlog;
use super::record::Record;

/// The most bytes of private lines that wait.
const MOST_PRIVATE: usize = 1 << 20;

/// The bytes that a name counts as which is to be taken or given back.
const NAME: usize = 128;

/// A name that a member of this server is to have everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub member: u64,
    pub name: String,
    /// The member is not called so before it has the name.
    pub is_wish: bool,
}

/// What the room and the thread share.
#[derive(Default)]
pub struct Outgoing {
    state: Mutex<State>,
    changed: Condvar,
}

/// What waits, and what the thread has done.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct State {
    pub backlog: Backlog,
    /// How many records were dropped since it was last said: they waited for too long.
    pub dropped: u64,
    /// Private lines, and the servers that they are for.
    pub private: VecDeque<(String, Record)>,
    /// Their bytes.
    private_bytes: usize,
    /// Names to take.
    pub claims: VecDeque<Claim>,
    /// The names of the members, and those that the other servers know them by.
    pub names: BTreeMap<u64, String>,
    announced: BTreeMap<u64, String>,
    /// Names to give back.
    pub releases: Vec<(u64, String)>,
    /// The members of other servers are to be compared with those that records have named.
    pub must_compare: bool,
    /// The numbers for guests run out.
    pub needs_guests: bool,
    /// Whether the thread that reads gets what it asks for, or why not; none while it tries.
    pub reading: Option<Result<(), String>>,
    /// The thread is connected.
    pub is_connected: bool,
    pub is_closing: bool,
    /// The thread waits.
    is_idle: bool,
}

impl State {
    /// Whether there is something to do.
    fn has_work(&self) -> bool {
        let waits_for_redis =
            self.backlog.waiting() > 0 || !self.releases.is_empty() || self.needs_guests;
        self.is_closing
            || !self.claims.is_empty()
            || !self.private.is_empty()
            || self.is_connected && (waits_for_redis || matches!(self.reading, Some(Err(_))))
    }

    /// The bytes that wait for Redis.
    pub fn waiting(&self) -> usize {
        let names = self.claims.len() + self.releases.len();
        self.backlog.waiting() + self.private_bytes + names * NAME
    }

    /// Appends a record for all servers; the first that wait are dropped beyond the bound.
    pub fn publish(&mut self, record: &Record) {
        self.dropped += self.backlog.push(record);
    }

    /// Appends a private line, if there is room for it.
    pub fn tell(&mut self, server: &str, record: Record) -> bool {
        let has_room = self.private_bytes <= MOST_PRIVATE;
        if has_room {
            self.private_bytes += record.len();
            self.private.push_back((server.into(), record));
        }
        has_room
    }

    /// Takes the first private lines out.
    pub fn take_private(&mut self, most: usize) -> Vec<(String, Record)> {
        let count = self.private.len().min(most);
        let taken: Vec<_> = self.private.drain(..count).collect();
        let bytes: usize = taken.iter().map(|(_, record)| record.len()).sum();
        self.private_bytes -= bytes;
        taken
    }

    /// A member has left.
    pub fn left(&mut self, member: u64) {
        let claimed = self.claims.iter().filter(|claim| claim.member == member);
        self.releases.extend(claimed.map(|claim| (member, claim.name.clone()))); // on their way, perhaps
        self.claims.retain(|claim| claim.member != member);
        self.releases.extend(self.names.remove(&member).map(|name| (member, name)));
        if let Some(name) = self.announced.remove(&member) {
            self.publish(&Record::Left { member, name });
        }
    }

    /// All members are to take their names again.
    pub fn claim_all(&mut self) {
        let claim =
            |(&member, name): (&u64, &String)| Claim { member, name: name.clone(), is_wish: false };
        let later = std::mem::take(&mut self.claims);
        self.claims = self.names.iter().map(claim).chain(later).collect();
    }

    /// Takes the first claim out if it is this. It is not where the member has left meanwhile.
    pub fn take_claim(&mut self, claim: &Claim) -> bool {
        let is_first = self.claims.front() == Some(claim);
        if is_first {
            self.claims.pop_front();
        }
        is_first
    }

    /// A member has the name.
    pub fn granted(&mut self, Claim { member, name, .. }: &Claim) {
        let before = self.names.insert(*member, name.clone());
        self.releases.extend(before.filter(|it| it != name).map(|it| (*member, it)));
        self.announced.insert(*member, name.clone());
        self.publish(&Record::Named { member: *member, name: name.clone() });
    }

    /// A member does not have the name.
    pub fn refused(&mut self, Claim { member, name, .. }: &Claim) {
        if self.names.get(member) == Some(name) {
            self.names.remove(member);
        }
    }

    /// Without Redis members have the names that they want.
    pub fn grant_all(&mut self) -> VecDeque<Claim> {
        let claims = std::mem::take(&mut self.claims);
        self.names.extend(claims.iter().map(|claim| (claim.member, claim.name.clone())));
        self.releases.clear(); // what Redis still has of them is found out later
        claims
    }
}

impl Outgoing {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it for the room. The thread wakes up if that gives it something to do.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        if state.is_idle && state.has_work() {
            state.is_idle = false; // one call is enough
            drop(state);
            self.changed.notify_one();
        }
        result
    }

    /// The thread that reads gets what it asks for, or does not for this reason.
    pub fn set_reading(&self, reading: Result<(), String>) {
        self.lock().reading = Some(reading);
        self.changed.notify_one();
    }

    /// Why the thread that reads does not, once it has tried twice.
    pub fn deafness(&self) -> Option<String> {
        self.lock().reading.as_ref()?.as_ref().err().cloned()
    }

    /// Waits until the thread that reads gets what it asks for, for this time at most; why it does not.
    pub fn await_reader(&self, most: Duration) -> Result<(), String> {
        let mut state = self.lock();
        state.reading.take_if(|it| it.is_err());
        let is_trying = |state: &mut State| state.reading.is_none() && !state.is_closing;
        state.is_idle = true;
        let waited = self.changed.wait_timeout_while(state, most, is_trying);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.reading.clone().unwrap_or_else(|| Err("no answer to XREAD".into()))
    }

    /// Waits until there is something to do, or until then; whether the room ends.
    pub fn wait(&self, until: Instant) -> bool {
        let mut state = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            state.is_idle = !left.is_zero() && !state.has_work();
            if !state.is_idle {
                return state.is_closing;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(member: u64, name: &str) -> Claim {
        Claim { member, name: name.into(), is_wish: false }
    }

    #[test]
    fn a_name_that_is_taken_as_the_member_leaves_is_given_back() {
        let claims = [claim(1, "ann"), claim(2, "bob"), claim(2, "carl")];
        let mut state = State { claims: claims.clone().into(), ..State::default() };
        state.left(1);
        assert!(!state.take_claim(&claims[0]));
        for claim in &claims[1..] {
            assert!(state.take_claim(claim));
            state.granted(claim);
        }
        assert_eq!(state.names, BTreeMap::from([(2, "carl".into())]));
        assert_eq!(state.releases, [(1, "ann".into()), (2, "bob".into())]);
        state.left(2);
        let said = state.backlog.unsent(9).pop().unwrap().records;
        assert_eq!(*said, b"+2 bob\n+2 carl\n-2 carl\n");
    }

    #[test]
    fn private_lines_that_wait_are_bounded() {
        let mut state = State::default();
        let (name, to_name) = ("a".to_owned(), "b".to_owned());
        let line = Record::Private { member: 1, name, to: 2, to_name, text: vec![b'x'; 60_000] };
        let told = (0..100).take_while(|_| state.tell("s", line.clone())).count();
        assert_eq!(told, 18);
        assert_eq!(state.take_private(100).len(), 18);
        assert_eq!(state.waiting(), 0);
    }
}
