//! `--bridge`: one room on several servers, which tell each other through Redis or Valkey what happens.
//!
//! The room itself never waits for Redis: it delivers to its own members at once, and two threads
//! ([`threads`]) write and read. What Redis holds is in [`store`], how it is written in [`record`], and what
//! makes each record come once and in order in [`order`].
//!
//! | failure                        | costs                                                            |
//! |--------------------------------|------------------------------------------------------------------|
//! | Redis is not there             | each room goes on by itself; up to 8 MiB of records wait, then the first are dropped |
//! | it comes back                  | what waited is sent, what came meanwhile is read; names that others have taken change |
//! | it comes back without its data | what servers still keep (the last 256 entries, 4 MiB at most) is sent again |
//! | a server dies                  | its members leave everywhere after 10 s; its last records may be lost |
//! | a server is cut off            | for more than 10 s: the same, until it is back                   |
//! | the stream is trimmed past a server that is behind | so many records, which it says               |
//!
//! The operator of Redis can see all that is said, private lines too, and can say anything in any name.

mod order;
mod outgoing;
mod record;
mod store;
mod threads;

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::auth::random_bytes;
use crate::exit::{During, Failure};
use crate::net::deadline::Deadline;
use crate::net::poller::Waker;
use outgoing::{Claim, Outgoing};
pub use record::Record;
pub use store::{Location, Others};
pub use threads::Incoming;
use threads::{ToRoom, Writer};

/// Entries of other servers that wait for the room at most.
const INCOMING: usize = 256;
/// What is queued for Redis before the room's members are not read any more, in bytes.
const HIGH_WATER: usize = 1 << 20;
/// How long they wait then, at most, in each [`PERIOD`]: with a slow Redis lines are dropped instead.
const WAIT: Duration = Duration::from_millis(250);
const PERIOD: Duration = Duration::from_secs(1);
/// How long a server that starts waits for Redis: its first members are to find the others there.
const START: Duration = Duration::from_secs(1);
/// How often a full bridge, its end, and a room that takes nothing are looked at.
const POLL: Duration = Duration::from_millis(5);
/// More numbers for guests are fetched when so many are left.
const FEW: u64 = 500;

/// A room's end of the bridge.
pub struct Bridge {
    outgoing: Arc<Outgoing>,
    answers: Receiver<Incoming>,
    news: Receiver<Incoming>,
    /// What came before the room was there.
    early: VecDeque<Incoming>,
    waker: Waker,
    is_up: bool,
    /// Since when it is full, or when its members have begun to wait again.
    full: Option<Instant>,
    /// When to look at a full bridge, or one from which the room takes nothing, again.
    again: Deadline,
    guests: Range<u64>,
    writer: JoinHandle<()>,
}

impl Bridge {
    /// Starts the threads, which connect. Newcomers are to get the last `recall` lines.
    pub fn start(location: &Location, recall: usize) -> Result<Self, Failure> {
        let started = |result: std::io::Result<_>| result.during("start", "the bridge");
        let waker = Waker::new().during("start", "the bridge")?;
        let outgoing = Arc::new(Outgoing::default());
        let (to_answers, answers) = mpsc::channel();
        let (to_news, news) = mpsc::sync_channel(INCOMING);
        let writer = Writer {
            location: location.clone(),
            server: format!("{:016x}", u64::from_ne_bytes(random_bytes()?)),
            recall,
            outgoing: Arc::clone(&outgoing),
            room: ToRoom { answers: to_answers, news: to_news, waker: waker.clone() },
            private: 0,
            is_reading: false,
        };
        let named = thread::Builder::new().name("bridge writer".into());
        let writer = started(named.spawn(|| writer.run()))?;
        let (is_up, full, guests, again) = (false, None, 0..0, Deadline::NEVER);
        let early = VecDeque::new();
        let mut bridge =
            Self { outgoing, answers, news, early, waker, is_up, full, again, guests, writer };
        bridge.await_first();
        Ok(bridge)
    }

    fn await_first(&mut self) {
        let until = Instant::now() + START;
        let is_answer = |it: &Incoming| matches!(it, Incoming::Up(_) | Incoming::Down(_));
        while !self.early.iter().any(is_answer)
            && let left = until.saturating_duration_since(Instant::now())
            && let Ok(incoming) = self.answers.recv_timeout(left)
        {
            self.early.push_back(incoming);
        }
    }

    /// Readable when something has come.
    pub fn source(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }

    /// What has come; nothing of what other servers have said if it `rests`.
    pub fn take(&mut self, rests: bool) -> Option<Incoming> {
        let mut incoming = self.next(rests);
        if incoming.is_none() {
            self.waker.quiet();
            incoming = self.next(rests); // it may have come just before
        }
        if rests && incoming.is_none() {
            self.again = Deadline::after(POLL);
        }
        let incoming = incoming?;
        match &incoming {
            Incoming::Up(_) => self.is_up = true,
            Incoming::Down(_) => self.is_up = false,
            Incoming::Guests(numbers) => self.guests = numbers.clone(),
            _ => {}
        }
        Some(incoming)
    }

    fn next(&mut self, rests: bool) -> Option<Incoming> {
        let answer = self.early.pop_front().or_else(|| self.answers.try_recv().ok());
        answer.or_else(|| if rests { None } else { self.news.try_recv().ok() })
    }

    /// Wakes the room again: there may be more.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Whether members are to wait: Redis is there, and has much to take.
    pub fn waits(&mut self) -> bool {
        if !self.is_up || self.outgoing.lock().waiting() < HIGH_WATER {
            self.full = None;
            return false;
        }
        self.again = Deadline::after(POLL);
        let now = Instant::now();
        self.full.take_if(|since| now - *since >= PERIOD);
        now - *self.full.get_or_insert(now) < WAIT
    }

    /// Whether they wait now.
    pub fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// The room has looked at it.
    pub fn looked_at(&mut self) {
        self.again = Deadline::NEVER;
    }

    /// When to look at it again.
    pub fn deadline(&self) -> Deadline {
        self.again
    }

    /// A number for a guest that no other server gives.
    pub fn guest(&mut self) -> Option<u64> {
        if self.guests.end.saturating_sub(self.guests.start) == FEW {
            self.outgoing.change(|state| state.needs_guests = true);
        }
        self.guests.next()
    }

    /// Passes a record on to all servers.
    pub fn publish(&self, record: &Record) {
        self.outgoing.change(|state| state.publish(record));
    }

    /// Passes a private line on to one server; false where that is out of reach, or too many wait already.
    pub fn tell(&self, server: &str, record: Record) -> bool {
        self.is_up && self.outgoing.change(|state| state.tell(server, record))
    }

    /// Takes a name for a member, which is called so already or wishes to be. Returns whether the wish is to be
    /// waited for.
    pub fn claim(&self, member: u64, name: &str, is_wish: bool) -> bool {
        let is_wish = is_wish && self.is_up;
        let claim = Claim { member, name: name.into(), is_wish };
        self.outgoing.change(|state| state.claims.push_back(claim));
        is_wish
    }

    /// A member has left.
    pub fn left(&self, member: u64) {
        self.outgoing.change(|state| state.left(member));
    }

    /// Ends it: what is queued is sent, and the names are given back, as far as there is time.
    pub fn finish(self, until: Deadline) {
        self.outgoing.change(|state| state.is_closing = true);
        while !self.writer.is_finished() && !until.passed() {
            thread::sleep(POLL);
        }
    }
}
