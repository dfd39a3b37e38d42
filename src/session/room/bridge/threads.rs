//! The two threads of a bridge, each with a connection of its own: one writes what happens here, holds the
//! names and says that this server is there; the other reads what happens on the others. Each connects
//! again by itself.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use redis::RedisResult;

use super::order::{Entry, Seen};
use super::outgoing::{Claim, Outgoing};
use super::record::Record;
use super::store::{
    ALIVE, BLOCK, Entries, Location, Others, START, Store, TIMEOUT, position, reason,
};
use crate::net::poller::Waker;

/// How often a server says that it is there.
const BEAT: Duration = Duration::from_millis(1500);
/// How often, in beats, the list of all members is compared with what records have said.
const COMPARE: u64 = 10;
/// The pause between attempts to connect: at first, and at most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);
/// How often it is said that records have not come.
const NOTICE: Duration = Duration::from_secs(1);
/// Entries, private lines and names that are sent at a time.
const BATCH: usize = 64;
const PRIVATE: usize = 256;
const NAMES: usize = 256;
/// Bytes of entries that are looked through for lines that newcomers get.
const RECALLED: usize = 1 << 20;

/// What a room learns.
pub enum Incoming {
    /// Redis is there, and these members of other servers are; more may follow.
    Up(Others),
    /// These are all members of other servers.
    Members(Others),
    /// Redis is not there, for this reason.
    Down(String),
    /// What was said before, with the time in milliseconds since the Epoch.
    Recalled(Vec<(u64, Record)>),
    /// What happened on a server.
    Records(String, Vec<Record>),
    /// The member has the name that it wished for; or another has it, so that this one must not have it.
    Claimed { member: u64, name: String, held: Option<String> },
    /// These servers are there.
    Living(Vec<String>),
    /// So many records of others, lines and changes of members, have not come: they were trimmed, or dropped.
    Missed(u64),
    /// So many records of ours were dropped: Redis was not there for too long.
    Dropped(u64),
    /// This private line has perhaps not reached the other server.
    NotSent(Record),
    /// Numbers for guests.
    Guests(Range<u64>),
}

/// The ways to the room.
#[derive(Clone)]
pub struct ToRoom {
    /// For what the thread that writes has to say, which does not wait for the room: it would not say any more
    /// that this server is there. There is little of it, as the room takes it even where its members are slow.
    pub answers: Sender<Incoming>,
    /// For what comes from other servers: the thread that reads waits for a room that takes nothing.
    pub news: SyncSender<Incoming>,
    pub waker: Waker,
}

impl ToRoom {
    /// Sends without waiting.
    fn send(&self, answer: Incoming) {
        let _ = self.answers.send(answer); // the room may have ended
        self.waker.wake();
    }

    /// Waits until there is space for it; whether the room is still there.
    fn pass_on(&self, news: Incoming) -> bool {
        let sent = self.news.send(news).is_ok();
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
    pub outgoing: Arc<Outgoing>,
    pub room: ToRoom,
    /// Private lines so far.
    pub private: u64,
    pub is_reading: bool,
}

/// A connection of the thread that writes.
struct Link {
    store: Store,
    since: Instant,
    beats: u64,
}

impl Writer {
    /// Runs until the room ends.
    pub fn run(mut self) {
        let (mut link, mut pause, mut next) = (None, PAUSE, Instant::now());
        let mut is_up = None;
        loop {
            let is_closing = self.outgoing.wait(next);
            let is_due = next <= Instant::now();
            let result = match &mut link {
                Some(_) if let Some(why) = self.outgoing.deafness() => Err(why),
                Some(link) => self.turn(link, is_due).map_err(|error| reason(&error)),
                None if is_due => self.connect().map(|connected| link = Some(connected)),
                None => {
                    self.go_on_alone();
                    Ok(())
                }
            };
            if let Err(why) = result {
                link = None;
                self.outgoing.lock().is_connected = false;
                if is_up.replace(false) != Some(false) {
                    let address = &self.location.shown;
                    self.room.send(Incoming::Down(format!("--bridge {address}: {why}")));
                }
                next = Instant::now() + pause;
                pause = (pause * 2).min(LONGEST);
                self.go_on_alone();
            } else if link.is_some() {
                (is_up, pause) = (Some(true), PAUSE);
                if is_due {
                    next = Instant::now() + BEAT;
                }
            }
            if is_closing {
                if let Some(mut link) = link {
                    let _ = self.write_all(&mut link.store).and_then(|()| link.store.leave());
                }
                return;
            }
        }
    }

    /// Without Redis each member has the name that it wants.
    fn go_on_alone(&mut self) {
        let (claims, private) = {
            let mut state = self.outgoing.lock();
            (state.grant_all(), state.take_private(usize::MAX))
        };
        for claim in claims {
            self.answer(claim, None);
        }
        self.not_sent(private);
    }

    /// Tells the room whether the member has the name, where that changes anything.
    fn answer(&self, Claim { member, name, is_wish }: Claim, held: Option<String>) {
        if is_wish || held.is_some() {
            self.room.send(Incoming::Claimed { member, name, held });
        }
    }

    fn not_sent(&self, private: impl IntoIterator<Item = (String, Record)>) {
        for (_, record) in private {
            self.room.send(Incoming::NotSent(record));
        }
    }

    /// Connects, and takes its place among the servers.
    fn connect(&mut self) -> Result<Link, String> {
        let answered = Store::connect(&self.location, &self.server).and_then(|mut store| {
            if !self.is_reading {
                self.begin_reading(&mut store)?;
            }
            Ok(store)
        });
        let store = answered.map_err(|error| reason(&error))?;
        self.outgoing.await_reader(TIMEOUT)?;
        self.join(store).map_err(|error| reason(&error))
    }

    /// Takes its place among the servers.
    fn join(&mut self, mut store: Store) -> RedisResult<Link> {
        store.beat()?;
        let last = self.outgoing.lock().backlog.last_sent().map(str::to_owned);
        if let Some(last) = last
            && store.has_lost(&last)?
        {
            self.outgoing.lock().backlog.unsend();
        }
        self.claim_all(&mut store)?;
        let (own, _) = store.members()?;
        let stale = {
            let state = self.outgoing.lock();
            let is_stale = |(member, name): &(u64, String)| {
                let is_claim = |claim: &Claim| claim.member == *member && claim.name == *name;
                state.names.get(member) != Some(name) && !state.claims.iter().any(is_claim)
            };
            own.into_iter().filter(is_stale).collect::<Vec<_>>()
        };
        if !stale.is_empty() {
            store.release(&stale)?;
        }
        self.write(&mut store)?;
        let (_, living) = store.beat()?;
        let (_, mut others) = store.members()?;
        others.retain(|(server, ..)| living.contains(server));
        self.room.send(Incoming::Guests(store.guests()?));
        self.room.send(Incoming::Up(others));
        self.outgoing.change(|state| (state.is_connected, state.must_compare) = (true, true));
        self.report_dropped();
        Ok(Link { store, since: Instant::now(), beats: 0 })
    }

    fn report_dropped(&self) {
        let dropped = std::mem::take(&mut self.outgoing.lock().dropped);
        if dropped > 0 {
            self.room.send(Incoming::Dropped(dropped));
        }
    }

    /// Starts the thread that reads, behind what is there now.
    fn begin_reading(&mut self, store: &mut Store) -> RedisResult<()> {
        let last = store.last()?;
        let mut reader = Reader {
            location: self.location.clone(),
            server: self.server.clone(),
            room: self.room.clone(),
            outgoing: Arc::clone(&self.outgoing),
            began: last.clone(),
            behind: [last, START.into()],
            seen: [Seen::default(), Seen::default()],
            missed: 0,
            next_notice: Instant::now(),
        };
        let mut recalled = Vec::new();
        for (id, fields) in self.last_entries(store, &reader.began)? {
            let (_, records) = reader.news(&fields, 0).unwrap_or_default();
            let said = records.into_iter().filter(|record| matches!(record, Record::Said { .. }));
            recalled.extend(said.map(|record| (position(&id).0, record)));
        }
        self.room.send(Incoming::Recalled(recalled));
        let spawned = thread::Builder::new().name("bridge reader".into()).spawn(|| reader.run());
        self.is_reading = spawned.is_ok();
        Ok(spawned.map(drop)?)
    }

    /// The entries up to `end` that have the lines that newcomers get, the first of them first.
    fn last_entries(&self, store: &mut Store, end: &str) -> RedisResult<Entries> {
        let (mut found, mut end) = (Entries::new(), end.to_owned());
        let (mut lines, mut bytes) = (0, 0);
        while lines < self.recall && bytes < RECALLED {
            let entries = store.before(&end, BATCH)?;
            let Some((last, _)) = entries.last() else {
                break;
            };
            end = format!("({last}");
            for (_, fields) in &entries {
                let records = field(fields, b"records").unwrap_or_default();
                let is_line = |record: &&[u8]| record.starts_with(b"<") || record.starts_with(b"*");
                lines += records.split(|&byte| byte == b'\n').filter(is_line).count();
                bytes += records.len();
            }
            found.extend(entries);
        }
        found.reverse();
        Ok(found)
    }

    /// Takes the names of all members again, and says that they are here.
    fn claim_all(&self, store: &mut Store) -> RedisResult<()> {
        self.outgoing.lock().claim_all();
        while self.claim(store)? {}
        Ok(())
    }

    /// Takes the first names that wait; whether there were any.
    fn claim(&self, store: &mut Store) -> RedisResult<bool> {
        let claims: Vec<Claim> = self.outgoing.lock().claims.iter().take(NAMES).cloned().collect();
        if claims.is_empty() {
            return Ok(false);
        }
        let held = store.claim(&claims)?;
        for (claim, held) in claims.into_iter().zip(held) {
            let is_asked = {
                let mut state = self.outgoing.lock();
                let is_asked = state.take_claim(&claim);
                match &held {
                    None if is_asked => state.granted(&claim),
                    Some(_) if is_asked => state.refused(&claim),
                    _ => {}
                }
                is_asked
            };
            if is_asked {
                self.answer(claim, held);
            }
        }
        Ok(true)
    }

    /// Says that this server is there if that is due, and does what waits.
    fn turn(&mut self, link: &mut Link, is_due: bool) -> RedisResult<()> {
        let Link { store, since, beats } = link;
        if is_due {
            let (was_there, living) = store.beat()?;
            if !was_there {
                self.claim_all(store)?; // others have taken us for dead
            }
            self.report_dropped();
            *beats += 1;
            // Redis may have come back without its data: then the others need a while to take their places.
            if since.elapsed() >= ALIVE {
                let must_compare = std::mem::take(&mut self.outgoing.lock().must_compare);
                if must_compare || *beats % COMPARE == 0 {
                    let (_, mut others) = store.members()?;
                    others.retain(|(server, ..)| living.contains(server));
                    self.room.send(Incoming::Members(others));
                }
                self.room.send(Incoming::Living(living));
            }
        }
        self.write(store)
    }

    /// Sends some of what waits.
    fn write(&mut self, store: &mut Store) -> RedisResult<()> {
        let (releases, needs_guests) = {
            let mut state = self.outgoing.lock();
            let releases = std::mem::take(&mut state.releases);
            (releases, std::mem::take(&mut state.needs_guests))
        };
        // First, as another member of this server may want such a name.
        if !releases.is_empty() {
            store.release(&releases)?;
        }
        self.claim(store)?;
        let (entries, private) = {
            let mut state = self.outgoing.lock();
            let entries = state.backlog.unsent(BATCH);
            // No private line overtakes what was said to all before it.
            let is_all = entries.len() < BATCH;
            (entries, if is_all { state.take_private(PRIVATE) } else { Vec::new() })
        };
        let sent = if entries.is_empty() { Ok(Vec::new()) } else { store.append(&entries) };
        let sent = sent.and_then(|ids| {
            self.outgoing.lock().backlog.sent(&entries, ids);
            self.write_private(store, &private)
        });
        if sent.is_err() {
            self.not_sent(private);
            return sent;
        }
        if needs_guests {
            self.room.send(Incoming::Guests(store.guests()?));
        }
        Ok(())
    }

    fn write_private(
        &mut self,
        store: &mut Store,
        private: &[(String, Record)],
    ) -> RedisResult<()> {
        if private.is_empty() {
            return Ok(());
        }
        let numbered = |(server, record): &(String, Record)| {
            self.private += 1;
            (server.clone(), Entry::of(self.private, record))
        };
        store.append_private(&private.iter().map(numbered).collect::<Vec<_>>())
    }

    /// Sends all that waits.
    fn write_all(&mut self, store: &mut Store) -> RedisResult<()> {
        while self.outgoing.lock().waiting() > 0 {
            self.write(store)?;
        }
        Ok(())
    }
}

/// The thread that reads.
struct Reader {
    location: Location,
    server: String,
    room: ToRoom,
    outgoing: Arc<Outgoing>,
    /// What was there at the start is not read again.
    began: String,
    /// What was read last of the stream of all, and of that of this server.
    behind: [String; 2],
    seen: [Seen; 2],
    /// Records that have not come since that was last said, and when it may be said again.
    missed: u64,
    next_notice: Instant,
}

impl Reader {
    /// Runs until the room has ended.
    fn run(mut self) {
        let mut pause = PAUSE;
        loop {
            let mut has_read = false;
            let Err(error) = self.read_on(&mut has_read) else {
                return;
            };
            if has_read {
                pause = PAUSE; // another connection may do
            } else {
                self.outgoing.set_reading(Err(reason(&error)));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Connects, and reads until that fails; whether any reading has succeeded.
    fn read_on(&mut self, has_read: &mut bool) -> RedisResult<()> {
        let mut store = Store::connect(&self.location, &self.server)?;
        // It may have come back without its latest data, and give new entries lower names than before if its
        // clock is behind; what has come before is known by its number.
        if store.has_lost(&self.began)? {
            self.began = START.into();
        }
        if store.has_lost(&self.behind[0])? {
            self.behind[0].clone_from(&self.began);
        }
        self.behind[1] = START.into();
        loop {
            let block = if *has_read { BLOCK } else { Duration::from_millis(1) };
            if !self.report_missed() {
                return Ok(());
            }
            let read = store.read(&self.behind, block)?;
            if !std::mem::replace(has_read, true) {
                self.outgoing.set_reading(Ok(()));
            }
            for (stream, entries) in read.into_iter().enumerate() {
                if !self.take(entries, stream) {
                    return Ok(());
                }
            }
        }
    }

    /// Says how many records have not come, at most once in [`NOTICE`]; whether the room is still there.
    fn report_missed(&mut self) -> bool {
        if self.missed == 0 || Instant::now() < self.next_notice {
            return true;
        }
        self.next_notice = Instant::now() + NOTICE;
        self.room.pass_on(Incoming::Missed(std::mem::take(&mut self.missed)))
    }

    /// Passes on what is new; whether the room is still there.
    fn take(&mut self, entries: Entries, stream: usize) -> bool {
        for (id, fields) in entries {
            self.behind[stream] = id;
            let server = field(&fields, b"server").map(String::from_utf8_lossy);
            let server = server.unwrap_or_default().into_owned();
            if server == self.server {
                continue;
            }
            let (missed, records) = self.news(&fields, stream).unwrap_or_default();
            if stream == 0 && missed > 0 {
                self.missed += missed;
                self.outgoing.lock().must_compare = true; // they may have named members
            }
            if !self.report_missed() {
                return false;
            }
            if !records.is_empty() && !self.room.pass_on(Incoming::Records(server, records)) {
                return false;
            }
        }
        true
    }

    /// The records of an entry that are new, and how many before them have not come.
    fn news(&mut self, fields: &[Vec<u8>], stream: usize) -> Option<(u64, Vec<Record>)> {
        let (server, first, records) = parsed(fields)?;
        let news = self.seen[stream].take(&server, first, records.len() as u64);
        let known = usize::try_from(news.known).unwrap_or(usize::MAX);
        Some((news.missed, records.into_iter().skip(known).flatten().collect()))
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
