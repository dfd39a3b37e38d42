//! `--bridge`: one room on several servers, which tell each other through Redis or Valkey what happens.
//!
//! The room itself never waits for Redis: it delivers to its own members at once, and two threads
//! ([`threads`]) write and read. What Redis holds is in [`store`], how it is written in [`record`], and what
//! makes each record come once and in order in [`order`].
//!
//! | failure                        | costs                                                            |
//! |--------------------------------|------------------------------------------------------------------|
//! | Redis is not there             | each room goes on by itself; up to 10,000 records wait, then the first are dropped |
//! | it comes back                  | what waited is sent, what came meanwhile is read; names that others have taken change |
//! | it comes back without its data | what servers still keep (the last 256 entries) is sent again     |
//! | a server dies                  | its members leave everywhere after 10 s; its last records may be lost |
//! | a server is cut off            | for more than 10 s: the same, until it is back                   |
//! | the stream is trimmed past a server that is behind | so many records, which it says               |
//!
//! Who operates Redis can see all that is said, private lines too, and can say anything in any name.

mod order;
mod record;
mod store;
mod threads;

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::auth::random_bytes;
use crate::exit::{During, Failure};
use crate::net::deadline::Deadline;
use crate::net::poller::Waker;
pub use record::Record;
pub use store::Location;
pub use threads::Incoming;
use threads::{Command, State, ToRoom, Writer};

/// Messages that wait for the room at most.
const INCOMING: usize = 256;
/// What is queued for Redis before the room's members are not read any more, in bytes.
const HIGH_WATER: usize = 1 << 20;
/// For how long Redis may take nothing of it until they are read again.
const WAIT: Duration = Duration::from_millis(250);
/// How often a full bridge, and its end, is looked at.
const POLL: Duration = Duration::from_millis(5);

/// A room's end of the bridge.
pub struct Bridge {
    commands: Sender<Command>,
    incoming: Receiver<Incoming>,
    waker: Waker,
    /// The bytes of records that Redis does not have.
    queued: Arc<AtomicUsize>,
    is_up: bool,
    /// Since when it is full, or when Redis has taken something last, and what was queued then.
    full: Option<(Instant, usize)>,
    guests: Range<u64>,
    writer: JoinHandle<()>,
}

impl Bridge {
    /// Starts the threads, which connect. Newcomers are to get the last `recall` lines.
    pub fn start(location: &Location, recall: usize) -> Result<Self, Failure> {
        let started = |result: std::io::Result<_>| result.during("start", "the bridge");
        let waker = Waker::new().during("start", "the bridge")?;
        let server = format!("{:016x}", u64::from_ne_bytes(random_bytes()?));
        let (commands, receiver) = mpsc::channel();
        let (sender, incoming) = mpsc::sync_channel(INCOMING);
        let queued = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            location: location.clone(),
            server,
            recall,
            commands: receiver,
            room: ToRoom { sender, waker: waker.clone() },
            queued: Arc::clone(&queued),
            has_missed: Arc::default(),
            state: State::default(),
        };
        let named = thread::Builder::new().name("bridge writer".into());
        let writer = started(named.spawn(|| writer.run()))?;
        let (is_up, full, guests) = (false, None, 0..0);
        Ok(Self { commands, incoming, waker, queued, is_up, full, guests, writer })
    }

    /// Readable when something has come.
    pub fn source(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }

    /// What has come.
    pub fn take(&mut self) -> Option<Incoming> {
        let incoming = self.incoming.try_recv().ok();
        match &incoming {
            Some(Incoming::Up(_)) => self.is_up = true,
            Some(Incoming::Down(_)) => self.is_up = false,
            Some(Incoming::Guests(numbers)) => self.guests = numbers.clone(),
            Some(_) => {}
            None => self.waker.quiet(),
        }
        incoming
    }

    /// Wakes the room again: there may be more.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Whether Redis is there.
    pub fn is_up(&self) -> bool {
        self.is_up
    }

    /// Whether members are to wait: Redis is there, has much to take, and takes it.
    pub fn waits(&mut self) -> bool {
        let (now, queued) = (Instant::now(), self.queued.load(Ordering::Relaxed));
        if !self.is_up || queued < HIGH_WATER {
            self.full = None;
            return false;
        }
        let (since, before) = *self.full.get_or_insert((now, queued));
        if queued < before {
            self.full = Some((now, queued));
        }
        now - since < WAIT
    }

    /// When to ask that again.
    pub fn deadline(&self) -> Deadline {
        self.full.map(|_| Instant::now() + POLL).into()
    }

    /// A number for a guest that no other server gives.
    pub fn guest(&mut self) -> Option<u64> {
        self.guests.next()
    }

    /// Passes a record on to all servers.
    pub fn publish(&self, record: Record) {
        self.queued.fetch_add(record.len(), Ordering::Relaxed);
        self.send(Command::Publish(record));
    }

    /// Passes a private line on to one server.
    pub fn tell(&self, server: &str, record: Record) {
        self.send(Command::Private(server.into(), record));
    }

    /// Takes a name for a member, which is said to have joined with it if it `has_joined`.
    pub fn claim(&self, member: u64, name: &str, has_joined: bool) {
        self.send(Command::Claim { member, name: name.into(), has_joined });
    }

    /// Gives a name back.
    pub fn release(&self, name: &str) {
        self.send(Command::Release(name.into()));
    }

    fn send(&self, command: Command) {
        // The thread ends with the room only.
        let _ = self.commands.send(command);
    }

    /// Ends it: what is queued is sent, and the names are given back, as far as there is time.
    pub fn finish(self, until: Deadline) {
        self.send(Command::Close);
        while !self.writer.is_finished() && !until.passed() {
            while self.incoming.try_recv().is_ok() {} // else it could wait for the room
            thread::sleep(POLL);
        }
    }
}
