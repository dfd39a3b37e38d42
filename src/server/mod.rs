//! The LINK loop: accept connections and let them in; everything after that is talk (`session/`).
//!
//! One thread and one readiness loop serve all clients. In the words of the socketserver module:
//! `run` is `serve_forever`, `accept` is `get_request`, `admit` is `process_request`, and the
//! [`Handler`] is the request class. Here is the loop itself: what wakes it, and when it is over;
//! who gets in is in `accept.rs`, what comes from those who are there in `receive.rs`.

mod accept;
mod header;
mod limits;
mod outbox;
mod pace;
mod proof;
mod receive;
mod rounds;
mod table;
mod told;
mod wall;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::console::event::Reason;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::codec::Codec;
use crate::net::deadline::Deadline;
use crate::net::dial::timed_out;
use crate::net::endpoint::Endpoint;
use crate::net::handshake::Handshake;
use crate::net::hexdump::{Dump, HexDump, Tap};
use crate::net::listen::Listener;
use crate::net::poller::{Interest, Ready};
use crate::net::signal::Deferred;
use crate::net::socket::Socket;
use crate::net::sockopt::Setting;
use crate::session::seat::Inbox;
use crate::session::{Clients, Handler};
use accept::PAUSE;
pub use header::Proxies;
pub use limits::Limits;
pub use proof::Gate;
pub use table::Taken;
use table::{Phase, Table};

/// Tokens that are no connection's.
const LISTENER: u64 = u64::MAX;
const SIGNAL: u64 = u64::MAX - 1;
const INBOX: u64 = u64::MAX - 2;
const HANDLER: u64 = u64::MAX - 3;

/// One read; what a client sends in one turn.
const BUFFER: usize = 64 << 10;

/// What a server does beside talking.
pub struct Plan {
    /// `--once`: the first connection that is let in is the last.
    pub once: bool,
    /// The first connection that is let in is handed back by [`Server::run`].
    pub hand_over: bool,
    /// Who may connect, and how many.
    pub limits: Limits,
    /// `--accept-proxy`: who says in a header whose connection it is.
    pub proxies: Option<Proxies>,
    /// `-i`: silence that ends a connection; zero: no limit.
    pub idle: Duration,
    /// `--grace`: how long stopping may take; zero: at once.
    pub grace: Duration,
    /// `--deadline`.
    pub deadline: Deadline,
    /// `-o`.
    pub settings: Vec<Setting>,
    /// `--hex`.
    pub dump: Option<Dump>,
    /// auth-serve: what must be proved first.
    pub gate: Option<Gate>,
}

/// How a run ended.
pub enum Outcome {
    /// It was asked to stop, by this signal or by the operator.
    Stopped(Option<i32>),
    /// It was asked again while it was stopping: nothing waits any longer.
    Cut(i32),
    /// The only connection is over, with the peer and the reason.
    Ended(Endpoint, Reason),
    /// The first connection, handed over.
    Taken(Taken),
}

/// A server at work.
pub struct Server<'a> {
    listener: Option<Listener>,
    handler: &'a mut dyn Handler,
    inbox: &'a Inbox,
    signals: Option<&'a Deferred>,
    plan: Plan,
    table: Table,
    talk: Talk,
    /// Connections accepted so far.
    count: u64,
    accepting: bool,
    pause: Duration,
    resume: Option<Instant>,
    last_complaint: Option<Instant>,
    grace_end: Deadline,
    /// The signal that asked us to stop.
    signal: Option<i32>,
    buffer: Vec<u8>,
    payload: Vec<u8>,
    /// How failures call a connection.
    op: &'static str,
    /// What broke the only connection.
    flaw: Option<Failure>,
}

impl<'a> Server<'a> {
    /// A server over a listener; without one, over the connections given to [`Server::adopt`].
    pub fn new(
        listener: Option<Listener>,
        handler: &'a mut dyn Handler,
        inbox: &'a Inbox,
        signals: Option<&'a Deferred>,
        plan: Plan,
        talk: Talk,
    ) -> io::Result<Self> {
        let counts = plan.limits.per_ip.is_some() || handler.counts_neighbours();
        let mut table = Table::new(talk.clone(), plan.idle, counts, handler)?;
        table.social |= plan.hand_over; // the conversation goes on where it is taken
        let read = Interest { read: true, write: false };
        table.poller.add(&inbox.waker, INBOX, read)?;
        if let Some(signals) = signals {
            table.poller.add(signals, SIGNAL, read)?;
        }
        if let Some(source) = handler.source() {
            table.poller.add(source, HANDLER, read)?;
        }
        if let Some(listener) = &listener {
            table.poller.add(listener, LISTENER, read)?;
        }
        Ok(Self {
            accepting: listener.is_some(),
            listener,
            handler,
            inbox,
            signals,
            plan,
            table,
            talk,
            count: 0,
            pause: PAUSE,
            resume: None,
            last_complaint: None,
            grace_end: Deadline::NEVER,
            signal: None,
            buffer: vec![0; BUFFER],
            payload: Vec::new(),
            op: "connection from",
            flaw: None,
        })
    }

    /// Takes in a connection that is open already, as the only one.
    pub fn adopt(
        &mut self,
        socket: Socket,
        peer: Endpoint,
        codec: Option<Box<dyn Codec>>,
    ) -> io::Result<()> {
        self.count += 1;
        let tap = self.tap(self.count);
        let id = self.table.insert(self.count, socket, peer, Phase::Waiting, tap)?;
        self.plan.once = true;
        self.op = "connection to";
        if let Some(conn) = self.table.get(id.slot) {
            conn.codec = codec;
        }
        self.admit(id.slot);
        Ok(())
    }

    /// The `--hex` dump of a connection.
    fn tap(&self, number: u64) -> Option<Tap> {
        let dump = self.plan.dump.as_ref()?;
        Some(Rc::new(RefCell::new(HexDump::new(dump.clone(), Some(number)))))
    }

    /// Serves until it is over; whoever is still there then is cut off.
    pub fn run(mut self) -> Result<Outcome, Failure> {
        let outcome = self.serve_forever();
        for slot in self.table.slots() {
            self.table.remove(slot, Reason::Shutdown);
        }
        outcome
    }

    fn serve_forever(&mut self) -> Result<Outcome, Failure> {
        let mut ready = Vec::new();
        loop {
            if let Some(outcome) = self.taken() {
                return Ok(outcome);
            }
            self.settle();
            if let Some(outcome) = self.over()? {
                return Ok(outcome);
            }
            let until = [
                self.table.deadline(),
                self.plan.gate.as_ref().map_or(Deadline::NEVER, Gate::deadline),
                self.handler.deadline(),
                self.resume.map_or(Deadline::NEVER, Deadline::at),
                self.grace_end,
                self.plan.deadline,
            ];
            let until = until.into_iter().fold(Deadline::NEVER, Deadline::min);
            let wait = self.table.poller.wait(&mut ready, until);
            wait.map_err(|e| Failure::system("wait for events", "", &e))?;
            self.table.now = Instant::now();
            for event in ready.drain(..) {
                if let Some(outcome) = self.dispatch(event)? {
                    return Ok(outcome);
                }
                if self.table.is_burst() {
                    self.table.fan_out();
                }
            }
            self.clocks();
        }
    }

    /// Whether it is over, and how.
    fn over(&mut self) -> Result<Option<Outcome>, Failure> {
        if let Some(result) = self.table.quit.take() {
            return result.map(|()| Some(Outcome::Stopped(None)));
        }
        if self.table.stopping.is_some() {
            if self.grace_end.passed() {
                self.grace_end = Deadline::NEVER;
                for slot in self.table.slots() {
                    self.table.expel(slot);
                }
                self.settle();
            }
            if self.table.is_empty() && !self.handler.is_busy() {
                return Ok(Some(Outcome::Stopped(self.signal)));
            }
        }
        if self.plan.deadline.passed() {
            return Err(self.out_of_time());
        }
        let is_over = self.table.is_empty() && !self.handler.is_busy();
        if self.plan.once && self.listener.is_none() && is_over {
            if let Some(failure) = self.flaw.take() {
                return Err(failure);
            }
            return Ok(self.table.last.take().map(|(peer, reason)| Outcome::Ended(peer, reason)));
        }
        Ok(None)
    }

    /// `--deadline`: whose time it was.
    fn out_of_time(&self) -> Failure {
        let cause = "the deadline has passed";
        let only = self.table.all().first().and_then(|&id| self.table.peer(id));
        match (&self.listener, only) {
            (None, Some(peer)) => timed_out(self.op, &peer).hint(cause),
            (Some(listener), _) => {
                Failure::new("serve on", listener.local(), cause, Exit::TimedOut)
            }
            (None, None) => Failure::new("serve", "", cause, Exit::TimedOut),
        }
    }

    /// The connection to hand over, once it is let in.
    fn taken(&mut self) -> Option<Outcome> {
        if !self.plan.hand_over || self.listener.is_some() || self.table.stopping.is_some() {
            return None;
        }
        let slot = self.table.all().first()?.slot;
        self.table.take(slot).map(Outcome::Taken)
    }

    fn dispatch(&mut self, event: Ready) -> Result<Option<Outcome>, Failure> {
        match event.token {
            LISTENER => self.accept()?,
            INBOX => {
                self.inbox.waker.quiet();
                if self.table.stopping.is_none() {
                    while let Some(input) = self.inbox.take() {
                        self.handler.input(input, &mut self.table);
                    }
                }
                // Room on stdout lets clients go on while we stop, too.
                self.handler.tick(&mut self.table);
            }
            HANDLER => self.handler.tick(&mut self.table),
            SIGNAL => {
                if let Some(signal) = self.signals.and_then(Deferred::take) {
                    if self.table.stopping.is_some() {
                        return Ok(Some(Outcome::Cut(signal)));
                    }
                    self.signal = Some(signal);
                    self.table.stop();
                }
            }
            token => self.connection(usize::try_from(token).unwrap_or(usize::MAX), event)?,
        }
        Ok(None)
    }

    /// Everything that is due.
    fn clocks(&mut self) {
        for slot in self.table.tick() {
            if let Some(Phase::Announcing(announcement)) =
                self.table.get(slot).map(|conn| &mut conn.phase)
            {
                let why = announcement.header.on_timeout();
                header::refuse(&mut self.table, slot, why);
            } else if let Some(gate) = &mut self.plan.gate {
                gate.due(&mut self.table, slot);
            }
        }
        self.make_way();
        if self.handler.deadline().passed() {
            self.handler.tick(&mut self.table);
        }
        if self.resume.is_some_and(|at| at <= self.table.now) {
            self.resume = None;
            self.watch_listener();
        }
    }

    /// Tells the handler what became of its clients until nothing more follows from it.
    fn settle(&mut self) {
        loop {
            if std::mem::take(&mut self.table.stop_wanted) {
                self.stop();
            }
            let (left, drained) = self.table.settle();
            let is_quiet = left.is_empty() && drained.is_empty() && !self.table.fan_out();
            if is_quiet && !self.let_in_waiting() {
                break;
            }
            for client in left {
                self.handler.left(client, &mut self.table);
            }
            for client in drained {
                self.handler.drained(client, &mut self.table);
            }
        }
        if self.table.has_freed() && self.resume.take().is_some() {
            self.pause = PAUSE; // a place is free: what accept failed for may be over
        }
        self.watch_listener();
    }

    /// Stops accepting and reading input; every connection is ended once it is idle.
    fn stop(&mut self) {
        if self.table.stopping.is_some() {
            return;
        }
        self.table.stopping = Some(self.table.now);
        let end = self.table.now.checked_add(self.plan.grace);
        self.grace_end = end.map_or(Deadline::NEVER, Deadline::at);
        self.listener = None;
        self.table.hold(false);
        for slot in self.table.slots() {
            match self.table.get(slot).map(|conn| &conn.phase) {
                // One that has proved its key is told.
                Some(Phase::Waiting) => self.table.end(slot, Reason::Shutdown),
                Some(Phase::Announcing(_) | Phase::Proving(_)) => {
                    self.table.remove(slot, Reason::Shutdown);
                }
                _ => {}
            }
        }
        self.table.touch_all();
    }
}
