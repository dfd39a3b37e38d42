//! The two threads of a bridge, each with a connection of its own: one writes what happens here, holds the
//! names and says that this server is there; the other reads what happens on the others. Each connects
//! again by itself.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use redis::RedisResult;

use super::order::{Backlog, Entry, Seen};
use super::record::Record;
use super::store::{ALIVE, Entries, Location, Store};
use crate::net::poller::Waker;
use crate::sanitize;

/// How often a server says that it is there.
const BEAT: Duration = Duration::from_millis(1500);
/// The pause between attempts to connect: at first, and at most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);
/// Entries that are sent at a time.
const BATCH: usize = 64;
/// Names that are taken at a time.
const NAMES: usize = 256;
/// Before any entry.
const START: &str = "0-0";

/// What a room wants.
pub enum Command {
    /// All servers are to know this.
    Publish(Record),
    /// This server is to know this.
    Private(String, Record),
    /// A name is to be this member's; others are to know that it has joined.
    Claim { member: u64, name: String, has_joined: bool },
    /// The name is nobody's any more.
    Release(String),
    /// The room ends.
    Close,
}

/// What a room learns.
pub enum Incoming {
    /// Redis is there, and these members of other servers are, as servers and names; more may follow.
    Up(Vec<(String, String)>),
    /// These are all members of other servers: some of their leaves may have been missed.
    Members(Vec<(String, String)>),
    /// Redis is not there, for this reason.
    Down(String),
    /// What was said before, with the time in milliseconds since the Epoch.
    Recalled(Vec<(u64, Record)>),
    /// What happened on a server.
    Records(String, Vec<Record>),
    /// The member has the name, or what holds it.
    Claimed { member: u64, name: String, held: Option<String> },
    /// These servers are there.
    Living(Vec<String>),
    /// So many records of others were trimmed before they were read.
    Missed(u64),
    /// So many records of ours were dropped: Redis was not there for too long.
    Dropped(u64),
    /// This private line has perhaps not reached the other server.
    NotSent(Record),
    /// Numbers for guests.
    Guests(Range<u64>),
}

/// The way to the room.
#[derive(Clone)]
pub struct ToRoom {
    pub sender: SyncSender<Incoming>,
    pub waker: Waker,
}

impl ToRoom {
    /// Whether the room is still there.
    fn send(&self, incoming: Incoming) -> bool {
        let sent = self.sender.send(incoming).is_ok();
        self.waker.wake();
        sent
    }
}

/// The thread that writes.
pub struct Writer {
    pub location: Location,
    pub server: String,
    /// How many lines newcomers get.
    pub recall: usize,
    pub commands: Receiver<Command>,
    pub room: ToRoom,
    /// The bytes of records that Redis does not have.
    pub queued: Arc<AtomicUsize>,
    /// The reader has missed records.
    pub has_missed: Arc<AtomicBool>,
    pub state: State,
}

/// What it knows.
#[derive(Default)]
pub struct State {
    backlog: Backlog,
    /// Private lines, and the number of the last.
    private: Vec<(String, Record)>,
    privates: u64,
    /// Names to take, and whose they are.
    claims: Vec<(u64, String, bool)>,
    releases: Vec<String>,
    /// The names that members of this server have.
    own: BTreeMap<String, u64>,
    /// Records that waited for too long, since it was last said.
    dropped: u64,
    /// Since when Redis is there: the other servers need a while to take their places again.
    since: Option<Instant>,
    /// All have had time for that.
    is_settled: bool,
    is_reading: bool,
    is_closing: bool,
}

impl Writer {
    /// Runs until the room ends.
    pub fn run(mut self) {
        let (mut store, mut pause, mut next) = (None, PAUSE, Instant::now());
        let mut is_up = None;
        loop {
            let wait = next.saturating_duration_since(Instant::now());
            match self.commands.recv_timeout(wait) {
                Ok(command) => {
                    self.take(command);
                    while let Ok(command) = self.commands.try_recv() {
                        self.take(command);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.state.is_closing = true,
            }
            let is_due = next <= Instant::now();
            let result = match &mut store {
                Some(store) => self.turn(store, is_due),
                None if is_due => self.connect().map(|connected| store = Some(connected)),
                None => {
                    self.go_on_alone();
                    Ok(())
                }
            };
            match result {
                Ok(()) if store.is_some() => {
                    (is_up, pause) = (Some(true), PAUSE);
                    if is_due {
                        next = Instant::now() + BEAT;
                    }
                }
                Ok(()) => {}
                Err(error) => {
                    store = None;
                    if is_up.replace(false) != Some(false) {
                        let why = sanitize::text(error.to_string().as_bytes());
                        self.room.send(Incoming::Down(why));
                    }
                    next = Instant::now() + pause;
                    pause = (pause * 2).min(LONGEST);
                    self.go_on_alone();
                }
            }
            if self.state.is_closing {
                if let Some(store) = &mut store {
                    let _ = self.write(store).and_then(|()| store.leave());
                }
                return;
            }
        }
    }

    fn take(&mut self, command: Command) {
        let state = &mut self.state;
        match command {
            Command::Publish(record) => self.publish(&record),
            Command::Private(server, record) => state.private.push((server, record)),
            Command::Claim { member, name, has_joined } => {
                state.claims.push((member, name, has_joined));
            }
            Command::Release(name) => {
                state.own.remove(&name);
                state.claims.retain(|(_, claimed, _)| *claimed != name);
                state.releases.push(name);
            }
            Command::Close => state.is_closing = true,
        }
    }

    fn publish(&mut self, record: &Record) {
        let before = self.state.backlog.waiting() + record.len();
        let dropped = self.state.backlog.push(record);
        self.queued.fetch_sub(before - self.state.backlog.waiting(), Ordering::Relaxed);
        self.state.dropped += dropped;
    }

    /// Without Redis each member has the name that it wants.
    fn go_on_alone(&mut self) {
        for (member, name, _) in std::mem::take(&mut self.state.claims) {
            self.state.own.insert(name.clone(), member);
            self.room.send(Incoming::Claimed { member, name, held: None });
        }
        self.state.releases.clear();
        for (_, record) in std::mem::take(&mut self.state.private) {
            self.room.send(Incoming::NotSent(record));
        }
    }

    /// Connects, and takes its place among the servers.
    fn connect(&mut self) -> RedisResult<Store> {
        let mut store = Store::connect(&self.location, &self.server)?;
        store.beat()?;
        if let Some(last) = self.state.backlog.last_sent()
            && !store.has(last)?
        {
            let before = self.state.backlog.waiting();
            self.state.backlog.unsend(); // it has come back without its latest data
            let more = self.state.backlog.waiting() - before;
            self.queued.fetch_add(more, Ordering::Relaxed);
        }
        if !self.state.is_reading {
            self.begin_reading(&mut store)?;
        }
        self.claim_all(&mut store)?;
        self.room.send(Incoming::Guests(store.guests()?));
        let (_, living) = store.beat()?;
        let mut members = store.members()?;
        members.retain(|(server, _)| living.contains(server));
        self.room.send(Incoming::Up(members));
        match std::mem::take(&mut self.state.dropped) {
            0 => {}
            dropped => drop(self.room.send(Incoming::Dropped(dropped))),
        }
        (self.state.since, self.state.is_settled) = (Some(Instant::now()), false);
        self.write(&mut store)?;
        Ok(store)
    }

    /// Starts the thread that reads, behind what is there now.
    fn begin_reading(&mut self, store: &mut Store) -> RedisResult<()> {
        let entries = store.last(self.recall.max(1))?;
        let mut reader = Reader {
            location: self.location.clone(),
            server: self.server.clone(),
            room: self.room.clone(),
            behind: [START, START].map(Into::into),
            seen: Seen::default(),
            private: Seen::default(),
            has_missed: Arc::clone(&self.has_missed),
        };
        let mut recalled = Vec::new();
        for (id, fields) in entries {
            let time = id.split('-').next().and_then(|it| it.parse().ok()).unwrap_or_default();
            let (_, records) = reader.news(&fields).unwrap_or_default();
            let said = records.into_iter().filter(|record| matches!(record, Record::Said { .. }));
            recalled.extend(said.map(|record| (time, record)));
            reader.behind[0] = id;
        }
        self.room.send(Incoming::Recalled(recalled));
        let spawned = thread::Builder::new().name("bridge reader".into()).spawn(|| reader.run());
        self.state.is_reading = spawned.is_ok();
        Ok(spawned.map(drop)?)
    }

    /// Takes the names of all members again, and says that they are here.
    fn claim_all(&mut self, store: &mut Store) -> RedisResult<()> {
        let own = std::mem::take(&mut self.state.own);
        self.state.claims.extend(own.into_iter().map(|(name, member)| (member, name, true)));
        self.claim(store)
    }

    fn claim(&mut self, store: &mut Store) -> RedisResult<()> {
        while !self.state.claims.is_empty() {
            let count = self.state.claims.len().min(NAMES);
            let names = self.state.claims[..count].iter().map(|(_, name, _)| name.as_str());
            let held = store.claim(&names.collect::<Vec<_>>())?;
            let claims: Vec<_> = self.state.claims.drain(..count).collect();
            for ((member, name, has_joined), held) in claims.into_iter().zip(held) {
                if held.is_none() {
                    self.state.own.insert(name.clone(), member);
                    if has_joined {
                        self.queued
                            .fetch_add(Record::Joined(name.clone()).len(), Ordering::Relaxed);
                        self.publish(&Record::Joined(name.clone()));
                    }
                }
                self.room.send(Incoming::Claimed { member, name, held });
            }
        }
        Ok(())
    }

    /// Does all that waits.
    fn turn(&mut self, store: &mut Store, is_due: bool) -> RedisResult<()> {
        if is_due {
            let (was_there, living) = store.beat()?;
            if !was_there {
                self.claim_all(store)?; // others have taken us for dead
            }
            if self.state.since.is_some_and(|since| since.elapsed() >= ALIVE) {
                if !std::mem::replace(&mut self.state.is_settled, true)
                    | self.has_missed.swap(false, Ordering::Relaxed)
                {
                    self.room.send(Incoming::Members(store.members()?));
                }
                self.room.send(Incoming::Living(living));
            }
        }
        self.write(store)
    }

    fn write(&mut self, store: &mut Store) -> RedisResult<()> {
        self.claim(store)?;
        if !self.state.releases.is_empty() {
            let names: Vec<&str> = self.state.releases.iter().map(String::as_str).collect();
            store.release(&names)?;
            self.state.releases.clear();
        }
        while let Some((server, record)) = self.state.private.first() {
            self.state.privates += 1;
            store.append(Some(server), &[&Entry::of(self.state.privates, record)])?;
            self.state.private.remove(0);
        }
        while self.state.backlog.waiting() > 0 {
            let before = self.state.backlog.waiting();
            let ids = store.append(None, &self.state.backlog.unsent(BATCH))?;
            self.state.backlog.sent(ids);
            let less = before - self.state.backlog.waiting();
            self.queued.fetch_sub(less, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The thread that reads.
struct Reader {
    location: Location,
    server: String,
    room: ToRoom,
    /// What was read last of the stream of all, and of that of this server.
    behind: [String; 2],
    seen: Seen,
    private: Seen,
    has_missed: Arc<AtomicBool>,
}

impl Reader {
    /// Runs until the room has ended.
    fn run(mut self) {
        let mut pause = PAUSE;
        while self.read_on(&mut pause).is_err() {
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Connects, and reads until that fails.
    fn read_on(&mut self, pause: &mut Duration) -> RedisResult<()> {
        let mut store = Store::connect(&self.location, &self.server)?;
        let last = store.last(1)?.pop().map_or_else(|| START.into(), |(id, _)| id);
        if position(&last) < position(&self.behind[0]) {
            self.behind[0] = START.into(); // it has come back without its latest data
        }
        *pause = PAUSE;
        loop {
            let [all, private] = store.read(&self.behind)?;
            if !self.take(all, 0) || !self.take(private, 1) {
                return Ok(());
            }
        }
    }

    /// Passes on what is new; whether the room is still there.
    fn take(&mut self, entries: Entries, stream: usize) -> bool {
        for (id, fields) in entries {
            let server = field(&fields, b"server").map(String::from_utf8_lossy);
            let server = server.unwrap_or_default().into_owned();
            self.behind[stream] = id;
            if server == self.server {
                continue;
            }
            let (missed, records) = if stream == 0 {
                self.news(&fields).unwrap_or_default()
            } else {
                (0, self.private_news(&fields).unwrap_or_default())
            };
            if missed > 0 {
                self.has_missed.store(true, Ordering::Relaxed);
                if !self.room.send(Incoming::Missed(missed)) {
                    return false;
                }
            }
            if !records.is_empty() && !self.room.send(Incoming::Records(server, records)) {
                return false;
            }
        }
        true
    }

    /// The records of an entry that are new, and how many before them have not come.
    fn news(&mut self, fields: &[Vec<u8>]) -> Option<(u64, Vec<Record>)> {
        let (server, first, records) = parsed(fields)?;
        let news = self.seen.take(&server, first, records.len() as u64);
        let known = usize::try_from(news.known).unwrap_or(usize::MAX);
        Some((news.missed, records.into_iter().skip(known).flatten().collect()))
    }

    fn private_news(&mut self, fields: &[Vec<u8>]) -> Option<Vec<Record>> {
        let (server, first, records) = parsed(fields)?;
        let news = self.private.take(&server, first, records.len() as u64);
        let known = usize::try_from(news.known).unwrap_or(usize::MAX);
        Some(records.into_iter().skip(known).flatten().collect())
    }
}

fn field<'f>(fields: &'f [Vec<u8>], name: &[u8]) -> Option<&'f [u8]> {
    fields.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| &*pair[1])
}

/// The server of an entry, the number of its first record, and its records.
fn parsed(fields: &[Vec<u8>]) -> Option<(String, u64, Vec<Option<Record>>)> {
    let text = |name| str::from_utf8(field(fields, name)?).ok();
    let (server, first) = (text(b"server")?, text(b"first")?.parse().ok()?);
    let records = Record::parse_all(field(fields, b"records")?).collect();
    Some((server.into(), first, records))
}

/// Where an entry is in its stream.
fn position(id: &str) -> (u64, u64) {
    let (time, number) = id.split_once('-').unwrap_or((id, "0"));
    (time.parse().unwrap_or_default(), number.parse().unwrap_or_default())
}
