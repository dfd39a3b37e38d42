//! `udp-serve --to`: a socket of its own for each client, which sends to the target; what comes back goes to
//! the client from the address that it has asked. nginx and haproxy call that a UDP session.
//!
//! | what happens                          | what is done                                                  |
//! |---------------------------------------|---------------------------------------------------------------|
//! | a new client                          | the target is looked up, its socket opened                    |
//! | one more than `-m`, or no descriptor  | its datagram is dropped                                       |
//! | the target refuses (ICMP)             | its next address gets the datagram; the last: one line        |
//! | the target takes nothing (UNIX)       | no client is read, for at most 200 ms, then datagrams dropped |
//! | silence in both directions for `-i`   | the client's socket is closed                                 |
//!
//! Over 300 lines: a session from its lookup to its end.
//!
//! A name is looked up for each new client; those that come meanwhile share the lookup.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::SockAddr;

use super::answers::AnswerQueue;
use super::frontend::LATER;
use crate::console::event::{Event, Reason};
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::address::Address;
use crate::net::deadline::{Deadline, DeadlineGrace};
use crate::net::dial::Dial;
use crate::net::dump::{Direction, Dump, Recorder};
use crate::net::endpoint::Endpoint;
use crate::net::errno::would_block;
use crate::net::poller::{Interest, Poller, Ready, Waker};
use crate::net::resolve::Lookup;
use crate::net::udp::{self, Datagrams, Destination, Envelope};

/// The most bytes that wait for a lookup, and the most datagrams.
const WAITING: u64 = 1 << 20;
const WAITING_COUNT: usize = 4096;
/// How long the target has to answer a datagram: a stop does not wait for later answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The token of the resolver; a client's is its number.
const RESOLVER: u64 = 0;

/// What a relay is given.
pub struct RelayOptions {
    /// `--to`.
    pub target: Address,
    /// How the sockets of clients are opened.
    pub dial: Dial,
    /// `-m`: how many clients there may be at a time.
    pub most: usize,
    /// `-i`: how long a silent client is kept; zero: for ever.
    pub idle: Duration,
    /// `-w`: bounds a lookup.
    pub timeout: Duration,
    /// `--hex`, `--log`.
    pub dumps: Rc<[Dump]>,
}

/// Key of a session: the client's address and the local address it sent to.
type Key = (Endpoint, Option<IpAddr>);

/// The clients of a relay.
pub struct DatagramRelay {
    options: RelayOptions,
    talk: Talk,
    poller: Poller,
    waker: Waker,
    pending: Option<Pending>,
    numbers: BTreeMap<Key, u64>,
    clients: BTreeMap<u64, Client>,
    /// When a client may have been silent for long enough.
    timers: BTreeSet<(Instant, u64)>,
    deadline_grace: DeadlineGrace,
    /// Clients so far.
    count: u64,
    buffer: Vec<u8>,
}

/// A lookup under way.
struct Pending {
    lookup: Lookup,
    until: Deadline,
    /// The datagrams of new clients, which wait for it.
    waiting: Vec<(Envelope, Vec<u8>)>,
    bytes: u64,
}

/// The session of a client.
struct Client {
    asked: Envelope,
    socket: Rc<Datagrams>,
    target: Envelope,
    /// The other addresses of the target, and what it was sent last, until it answers.
    others: Option<Box<(Destination, Vec<Vec<u8>>)>>,
    recorders: Vec<Recorder>,
    began: Instant,
    /// The last datagram in either direction.
    active: Instant,
    received: u64,
    sent: u64,
    /// When its last datagram came; `None` once an answer has.
    unanswered: Option<Instant>,
}

impl DatagramRelay {
    /// A relay without clients.
    pub fn new(options: RelayOptions, talk: Talk) -> io::Result<Self> {
        let (poller, waker) = (Poller::new()?, Waker::new()?);
        poller.add(&waker, RESOLVER, Interest::READ)?;
        Ok(Self {
            options,
            talk,
            poller,
            waker,
            pending: None,
            numbers: BTreeMap::new(),
            clients: BTreeMap::new(),
            timers: BTreeSet::new(),
            deadline_grace: DeadlineGrace::default(),
            count: 0,
            buffer: vec![0; udp::LARGEST],
        })
    }

    /// Passes a client's datagrams on through `queue`; those of a new client may wait for a lookup. A
    /// failure is one of local output, others are reported.
    pub fn forward(
        &mut self,
        datagrams: &[&[u8]],
        asked: &Envelope,
        queue: &mut AnswerQueue,
    ) -> Result<(), Failure> {
        if let Some(number) = self.numbers.get(&(asked.from.clone(), asked.to)) {
            return self.send(*number, datagrams, queue);
        }
        if !self.has_room(asked, queue) {
            return Ok(());
        }
        if self.pending.is_none() {
            match self.look_up() {
                Ok(Some(found)) => return self.admit(&found, datagrams, asked, queue),
                Ok(None) => {}
                Err(failure) => queue.report(&failure),
            }
        }
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        if pending.waiting.len() >= WAITING_COUNT || pending.bytes >= WAITING {
            let cause = "too many datagrams wait for the resolver";
            queue.report(&Failure::new("relay", &asked.from, cause, Exit::Other));
            return Ok(());
        }
        pending.bytes += total(datagrams);
        pending.waiting.extend(datagrams.iter().map(|bytes| (asked.clone(), bytes.to_vec())));
        Ok(())
    }

    /// Whether there may be one more client; that there may not is reported.
    fn has_room(&self, asked: &Envelope, queue: &mut AnswerQueue) -> bool {
        let has_room = self.clients.len() < self.options.most;
        if !has_room {
            let cause = format!("too many clients (-m {}): datagram dropped", self.options.most);
            queue.report(&Failure::new("relay", &asked.from, cause, Exit::Other));
        }
        has_room
    }

    /// Begins to look the target up: its addresses, if they are known at once.
    fn look_up(&mut self) -> Result<Option<Vec<SockAddr>>, Failure> {
        let (target, query) = (&self.options.target, self.options.dial.query);
        let lookup = Lookup::start(target, query, || Ok(Some(self.waker.clone())))?;
        let until = Deadline::after(self.options.timeout);
        if let Some(found) = lookup.poll(until) {
            return found.map(Some);
        }
        self.pending = Some(Pending { lookup, until, waiting: Vec::new(), bytes: 0 });
        Ok(None)
    }

    /// Passes on what waits for the lookup, once that is over.
    fn finish_lookup(&mut self, queue: &mut AnswerQueue) -> Result<(), Failure> {
        let Some(found) = self.pending.as_ref().and_then(|it| it.lookup.poll(it.until)) else {
            return Ok(());
        };
        let waiting = self.pending.take().map_or_else(Vec::new, |it| it.waiting);
        let found = match found {
            Ok(found) => found,
            Err(failure) => {
                queue.report(&failure);
                return Ok(());
            }
        };
        for (asked, bytes) in waiting {
            match self.numbers.get(&(asked.from.clone(), asked.to)).copied() {
                Some(number) => self.send(number, &[&bytes], queue)?,
                None => self.admit(&found, &[&bytes], &asked, queue)?,
            }
        }
        Ok(())
    }

    /// Opens the socket of a new client, and sends its datagrams.
    fn admit(
        &mut self,
        found: &[SockAddr],
        datagrams: &[&[u8]],
        asked: &Envelope,
        queue: &mut AnswerQueue,
    ) -> Result<(), Failure> {
        if !self.has_room(asked, queue) {
            return Ok(());
        }
        let target = &self.options.target;
        let mut destination =
            Destination::among(found.to_vec(), target.clone(), self.options.dial.clone());
        let number = self.count + 1;
        let recorders = self.options.dumps.iter().map(|dump| dump.recorder(number, true));
        let opened = recorders.collect::<Result<Vec<_>, _>>().and_then(|recorders| {
            let (socket, to) = destination.advance()?;
            Ok((recorders, self.watch(number, socket)?, to))
        });
        let (recorders, socket, to) = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                queue.report(&failure);
                return Ok(());
            }
        };
        self.count = number;
        if let Ok(bound) = queue.socket.local() {
            let (peer, local) = (&asked.from, &asked.local(&bound));
            self.talk.say(&Event::Accepted { id: number, peer, local, joined: false });
        }
        self.joined(number, &socket, 1.max(destination.tried()));
        let now = Instant::now();
        let client = Client {
            asked: asked.clone(),
            socket,
            target: Envelope::to(to),
            others: (found.len() > 1).then(|| Box::new((destination, Vec::new()))),
            recorders,
            began: now,
            active: now,
            received: 0,
            sent: 0,
            unanswered: None,
        };
        self.clients.insert(number, client);
        self.numbers.insert((asked.from.clone(), asked.to), number);
        if let Some(at) = Deadline::after(self.options.idle).instant() {
            self.timers.insert((at, number));
        }
        self.send(number, datagrams, queue)
    }

    /// Watches the socket of a client.
    fn watch(&self, number: u64, socket: Datagrams) -> Result<Rc<Datagrams>, Failure> {
        socket.merge(true);
        let watched = self.poller.add(&socket, number, Interest::READ);
        watched.map_err(|e| Failure::system("relay to", &self.options.target, &e))?;
        Ok(Rc::new(socket))
    }

    /// Reports which target a client has got.
    fn joined(&self, id: u64, socket: &Datagrams, attempts: usize) {
        if let Ok(local) = &socket.local() {
            let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
            let target = &self.options.target.to_string();
            self.talk.say(&Event::Relay { id, target, local, attempts });
        }
    }

    /// Sends a client's datagrams to the target.
    fn send(
        &mut self,
        number: u64,
        datagrams: &[&[u8]],
        queue: &mut AnswerQueue,
    ) -> Result<(), Failure> {
        if self.clients.get(&number).is_some_and(|client| client.others.is_some()) {
            self.check_error(number, queue); // before it is lost among errors of sending
        }
        let Some(client) = self.clients.get_mut(&number) else {
            return Ok(());
        };
        client.active = Instant::now();
        client.unanswered = Some(client.active);
        client.received += total(datagrams);
        client.dump(Direction::Received, datagrams)?;
        if let Some(others) = &mut client.others {
            others.1 = datagrams.iter().map(|bytes| bytes.to_vec()).collect();
        }
        queue.send_from(&client.socket, datagrams, &client.target);
        Ok(())
    }

    /// Takes the error of a client's socket, if it has one.
    fn check_error(&mut self, number: u64, queue: &mut AnswerQueue) {
        if let Some(client) = self.clients.get(&number)
            && let Ok(Some(error)) | Err(error) = client.socket.take_error()
        {
            self.failed(number, error, queue);
        }
    }

    /// The target refuses (ICMP): its next address, if there is one, gets what this one was sent.
    fn failed(&mut self, number: u64, error: io::Error, queue: &mut AnswerQueue) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        let Some((destination, last)) = client.others.as_deref_mut() else {
            return queue.failed(&client.target.from, &error);
        };
        destination.note(&client.target.from, error);
        let (opened, tried) = (destination.advance(), destination.tried());
        let (last, before) = (std::mem::take(last), Rc::clone(&client.socket));
        let opened =
            opened.and_then(|(socket, to)| Ok((self.watch(number, socket)?, Envelope::to(to))));
        match (opened, self.clients.get_mut(&number)) {
            (Ok((socket, to)), Some(client)) => {
                // One that is still to send is watched no more.
                let _ = self.poller.remove(&*before);
                (client.socket, client.target) = (Rc::clone(&socket), to.clone());
                self.joined(number, &socket, tried);
                let datagrams: Vec<&[u8]> = last.iter().map(Vec::as_slice).collect();
                queue.send_from(&socket, &datagrams, &to);
            }
            (Err(failure), _) => queue.report(&failure),
            (Ok(_), None) => {}
        }
    }

    /// Handles what is ready or due; `ready` is what the loop has found. Answers go to their clients through
    /// `queue`, while it has room. The idle timeout is not applied in a turn in which anything was ready: that
    /// may be a datagram of a client that would be closed.
    pub fn tick(&mut self, queue: &mut AnswerQueue, ready: &[Ready]) -> Result<(), Failure> {
        self.finish_lookup(queue)?;
        let mut events: Vec<Ready> = Vec::new();
        if ready.iter().any(|event| event.token == LATER)
            && let Err(e) = self.poller.wait(&mut events, Deadline::now())
        {
            queue.report(&Failure::system("relay to", &self.options.target, &e));
        }
        for event in &events {
            if event.token == RESOLVER {
                self.waker.quiet();
            } else if queue.is_empty() {
                self.receive(event, queue)?;
            }
        }
        self.expire(!ready.is_empty());
        Ok(())
    }

    /// Receives from the target for one client.
    fn receive(&mut self, event: &Ready, queue: &mut AnswerQueue) -> Result<(), Failure> {
        if event.failed {
            self.check_error(event.token, queue);
        }
        let Some(client) = self.clients.get_mut(&event.token) else {
            return Ok(());
        };
        let received = match client.socket.recv(&mut self.buffer) {
            Ok(received) => received,
            Err(e) if would_block(&e) => return Ok(()),
            Err(e) => {
                self.failed(event.token, e, queue);
                return Ok(());
            }
        };
        let datagrams: Vec<&[u8]> = received.datagrams().collect();
        if received.envelope.truncated {
            let from = &client.target.from;
            queue.report(&Failure::new("receive from", from, "truncated", Exit::Other));
        }
        client.active = Instant::now();
        client.others = None;
        client.unanswered = None;
        client.sent += total(&datagrams);
        client.dump(Direction::Sent, &datagrams)?;
        queue.send(&datagrams, &client.asked);
        Ok(())
    }

    /// Closes the clients that were silent for too long.
    fn expire(&mut self, was_ready: bool) {
        let due = Deadline::from(self.timers.first().map(|(at, _)| *at));
        if !self.deadline_grace.is_over(due, was_ready) {
            return;
        }
        let now = Instant::now();
        while let Some((at, number)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, number));
            let Some(client) = self.clients.get(&number) else {
                continue;
            };
            let until = client.active + self.options.idle;
            if until > now {
                self.timers.insert((until, number));
            } else if let Some(client) = self.clients.remove(&number) {
                self.numbers.remove(&(client.asked.from.clone(), client.asked.to));
                // A socket that is still to send would be reported until then.
                let _ = self.poller.remove(&*client.socket);
                client.closed(number, Reason::Idle, &self.talk);
            }
        }
    }

    /// When [`DatagramRelay::tick`] is due though nothing is readable.
    pub fn deadline(&self) -> Deadline {
        let lookup = self.pending.as_ref().map_or(Deadline::NEVER, |pending| pending.until);
        lookup.min(Deadline::from(self.timers.first().map(|(at, _)| *at)))
    }

    /// Until when the server has something under way: a lookup, or an answer to one of the clients, which may
    /// not be the last.
    pub fn busy_until(&self) -> Option<Deadline> {
        if let Some(pending) = &self.pending {
            return Some(pending.until);
        }
        let unanswered = self.clients.values().filter_map(|client| client.unanswered);
        let mut deadlines = unanswered.map(|at| Deadline::at(at + ANSWER_TIMEOUT));
        deadlines.find(|until| !until.passed())
    }
}

impl Client {
    fn dump(&mut self, direction: Direction, datagrams: &[&[u8]]) -> Result<(), Failure> {
        let elapsed = self.began.elapsed();
        self.recorders.iter_mut().try_for_each(|recorder| {
            datagrams.iter().try_for_each(|one| recorder.record_datagram(direction, elapsed, one))
        })
    }

    /// Reports its end.
    fn closed(&self, number: u64, reason: Reason, talk: &Talk) {
        talk.say(&Event::Closed {
            id: Some(number),
            peer: &self.asked.from,
            received: Some(self.received),
            sent: Some(self.sent),
            seconds: self.began.elapsed().as_secs_f64(),
            reason,
            rule: None,
            left: false,
        });
    }
}

/// The bytes of datagrams.
fn total(datagrams: &[&[u8]]) -> u64 {
    datagrams.iter().map(|bytes| bytes.len() as u64).sum()
}

impl Drop for DatagramRelay {
    fn drop(&mut self) {
        for (number, client) in &self.clients {
            client.closed(*number, Reason::Shutdown, &self.talk);
        }
    }
}

impl AsFd for DatagramRelay {
    /// Readable when [`DatagramRelay::tick`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}
