//! A program for each client of a stream server.
//!
//! The client's socket itself is the program's stdin and stdout: while it runs, the server only
//! sees whether the client is gone. Where bytes must be seen on their way they are pumped instead.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::children::Children;
use super::ending::{Endings, signal};
use super::pump::{Output, Pump};
use super::{Program, Request, Start};
use crate::console::event::{Event, Reason, Status};
use crate::console::talk::Talk;
use crate::net::deadline::Deadline;
use crate::net::poller::{Interest, Poller, Ready};
use crate::session::{Clients, Handler, Id};

/// The token of the children; a pump's is its client's number.
const CHILDREN: u64 = u64::MAX;
/// A client with this much queued holds its program up.
const HIGH: usize = 128 << 10;
/// More than a socketpair holds.
const LEFT: usize = 1 << 20;
/// One read of what a program wrote.
const BUFFER: usize = 64 << 10;

/// The programs at work.
pub struct Programs {
    program: Program,
    pumped: bool,
    children: Children,
    poller: Poller,
    /// By the client's number.
    runs: HashMap<u64, Run>,
    /// Whose program a process is.
    processes: HashMap<Pid, u64>,
    /// What is started at the end of the turn: all at once.
    starts: Vec<(Id, Start)>,
    /// Groups whose clients are gone.
    endings: Endings,
    talk: Talk,
    buffer: Vec<u8>,
}

/// A program at work for a client.
struct Run {
    client: Id,
    pump: Option<(Pump, Interest)>,
    /// Once it is started.
    pid: Option<Pid>,
}

impl Programs {
    /// Nothing is started yet. `pumped`: the bytes must be seen on their way.
    pub fn new(program: Program, pumped: bool, talk: Talk) -> io::Result<Self> {
        let (children, poller) = (Children::watch()?, Poller::new()?);
        let read = Interest { read: true, write: false };
        poller.add(&children, CHILDREN, read)?;
        Ok(Self {
            program,
            pumped,
            children,
            poller,
            runs: HashMap::new(),
            processes: HashMap::new(),
            starts: Vec::new(),
            endings: Endings::default(),
            talk,
            buffer: vec![0; BUFFER],
        })
    }

    /// Makes everything ready for a client's program.
    fn prepare(&mut self, client: Id, clients: &mut dyn Clients) -> io::Result<()> {
        let about = clients.about(client).ok_or(io::ErrorKind::NotConnected)?;
        let key = clients.key(client);
        let request = Request {
            datagram: false,
            local: about.local.as_ref(),
            peer: &about.peer,
            neighbours: about.neighbours,
            credentials: about.credentials,
            key: key.as_deref(),
        };
        let (pump, theirs): (Option<(Pump, Interest)>, OwnedFd) = if self.pumped || about.wrapped {
            let (pump, theirs) = Pump::new()?;
            let nothing = Interest::default();
            self.poller.add(&pump, client.number, nothing)?;
            (Some((pump, nothing)), theirs)
        } else {
            (None, clients.lend(client)?)
        };
        let start = self.program.prepare(theirs.try_clone()?, theirs, &request);
        self.starts.push((client, start));
        let pid = None;
        self.runs.insert(client.number, Run { client, pump, pid });
        // Without a pump the client is lent, and neither does anything.
        clients.occupy(client);
        self.rewatch(client.number, clients);
        Ok(())
    }

    /// Starts the programs of those who have come.
    fn start(&mut self, clients: &mut dyn Clients) {
        let (whose, starts): (Vec<Id>, Vec<Start>) = self.starts.drain(..).unzip();
        let results = self.program.start_all(starts);
        for (client, result) in whose.into_iter().zip(results) {
            match result {
                Ok(pid) => {
                    self.talk.say(&Event::Exec {
                        id: client.number,
                        pid: pid.as_raw(),
                        status: None,
                    });
                    self.processes.insert(pid, client.number);
                    if let Some(run) = self.runs.get_mut(&client.number) {
                        run.pid = Some(pid);
                    }
                }
                Err(e) => self.give_up(client, &e, clients),
            }
        }
    }

    fn give_up(&mut self, client: Id, error: &io::Error, clients: &mut dyn Clients) {
        self.runs.remove(&client.number);
        self.talk.failure(&self.program.failure(error));
        clients.take_back(client, Reason::Error);
        clients.close(client, Reason::Error);
    }

    /// Watches a pump for what it can do next, and lets its client wait while it is behind.
    fn rewatch(&mut self, number: u64, clients: &mut dyn Clients) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        let Some((pump, before)) = &mut run.pump else {
            return;
        };
        clients.pause(run.client, pump.is_behind());
        let wanted = pump.interest();
        if wanted != *before && self.poller.change(&*pump, run.client.number, wanted).is_err() {
            // Without being watched it would never end.
            clients.close(run.client, Reason::Error);
        }
        *before = wanted;
    }

    /// One turn of a pump.
    fn pump(&mut self, event: &Ready, clients: &mut dyn Clients) {
        let Some(run) = self.runs.get_mut(&event.token) else {
            return;
        };
        let client = run.client;
        let Some((pump, _)) = &mut run.pump else {
            return;
        };
        if event.write {
            pump.flush();
        }
        if event.read && pump.interest().read {
            match pump.read(&mut self.buffer) {
                Output::Bytes(count) => clients.send(client, &self.buffer[..count]),
                Output::Nothing => {}
                Output::End => clients.finish(client),
            }
            pump.held = clients.queued(client).0 >= HIGH;
        }
        self.rewatch(client.number, clients);
    }

    /// A program has ended: its client gets what it wrote, and its end.
    fn reaped(&mut self, pid: Pid, status: Status, clients: &mut dyn Clients) {
        let number = self.processes.remove(&pid);
        let Some(run) = number.and_then(|number| self.runs.remove(&number)) else {
            return;
        };
        let client = run.client;
        let pumped = run.pump.is_some();
        if let Some((mut pump, _)) = run.pump {
            // What is left of it; what it started may write on and on.
            let mut left = 0;
            while left < LEFT
                && let Output::Bytes(count) = pump.read(&mut self.buffer)
            {
                clients.send(client, &self.buffer[..count]);
                left += count;
            }
            clients.pause(client, false);
        }
        self.talk.say(&Event::Exec { id: client.number, pid: pid.as_raw(), status: Some(status) });
        self.endings.reaped(pid);
        if pumped {
            clients.close(client, Reason::Eof);
        } else {
            clients.take_back(client, Reason::Eof);
        }
    }

    /// Does something with a client's pump, and what follows from that.
    fn with_pump(&mut self, client: Id, clients: &mut dyn Clients, act: impl FnOnce(&mut Pump)) {
        if let Some(run) = self.runs.get_mut(&client.number)
            && let Some((pump, _)) = &mut run.pump
        {
            act(pump);
            self.rewatch(client.number, clients);
        }
    }
}

impl Handler for Programs {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        if let Err(e) = self.prepare(client, clients) {
            self.give_up(client, &e, clients);
        }
    }

    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) {
        self.with_pump(client, clients, |pump| pump.give(bytes));
    }

    fn ended(&mut self, client: Id, clients: &mut dyn Clients) {
        self.with_pump(client, clients, Pump::finish);
    }

    fn drained(&mut self, client: Id, clients: &mut dyn Clients) {
        self.with_pump(client, clients, |pump| pump.held = false);
    }

    fn left(&mut self, client: Id, clients: &mut dyn Clients) {
        match self.runs.get(&client.number).map(|run| run.pid) {
            Some(Some(pid)) => {
                self.endings.begin(pid);
                self.endings.step();
            }
            Some(None) => {
                self.runs.remove(&client.number);
                self.starts.retain(|(whose, _)| *whose != client);
                clients.take_back(client, Reason::Reset);
            }
            None => {}
        }
    }

    fn deadline(&self) -> Deadline {
        if self.starts.is_empty() { self.endings.due() } else { Deadline::at(Instant::now()) }
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        self.start(clients);
        let mut ready = Vec::new();
        // What cannot be waited for now is waited for again.
        let _ = self.poller.wait(&mut ready, Deadline::at(Instant::now()));
        for event in ready {
            if event.token == CHILDREN {
                for (pid, status) in self.children.reap() {
                    self.reaped(pid, status, clients);
                }
            } else {
                self.pump(&event, clients);
            }
        }
        self.endings.step();
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        Some(self.poller.as_fd())
    }

    fn is_busy(&self) -> bool {
        !self.runs.is_empty() || !self.endings.is_empty()
    }

    fn counts_neighbours(&self) -> bool {
        true
    }
}

impl Drop for Programs {
    /// The run is over at once: so are its programs.
    fn drop(&mut self) {
        for group in self.processes.keys() {
            signal(*group, Signal::SIGKILL);
        }
    }
}
