//! A program for each client of a stream server, or for the connection of a client.
//!
//! The client's socket is handed off: it is the program's stdin and stdout, and the server only
//! notices that the client is gone. Where bytes must be seen on their way a pump passes them.
//!
//! A server's program is ended when its client is gone. The program of a connection that we dialled is
//! what the run is for: it goes on after an end in good order, and is ended after a reset or on a signal.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::unistd::Pid;

use super::pump::Pump;
use super::runner::Runner;
use super::{EXIT_GRACE, Program};
use crate::console::event::{Reason, Status};
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::flow::HIGH_WATER;
use crate::net::poller::Ready;
use crate::session::{Clients, Handler, Id, StreamEnd};

/// The most that is read of a program that has ended, as processes it started may write on: more
/// than a socketpair holds.
const FINAL_READ_LIMIT: usize = 1 << 20;
/// One read of a program's output.
const BUFFER: usize = 64 << 10;

/// The programs of all clients.
pub struct ClientPrograms {
    runner: Runner,
    relayed: bool,
    /// Whether a program that fails is a failure of the run.
    decides: bool,
    failure: Option<Failure>,
    /// By the client's number.
    runs: BTreeMap<u64, ClientProgram>,
    buffer: Vec<u8>,
}

/// The program of a client.
struct ClientProgram {
    client: Id,
    /// The client is a server that we connected to.
    is_dialled: bool,
    pump: Option<Pump>,
    /// Once it is started.
    pid: Option<Pid>,
    /// When it is ended: its client has left, or the run is to stop.
    end: Deadline,
}

impl ClientPrograms {
    /// Nothing is started yet. `relayed`: the bytes must be seen on their way. `is_sole`: there is one
    /// client, and its program's failure is that of the run ([`ClientPrograms::failure`]).
    pub fn new(program: Program, relayed: bool, is_sole: bool, talk: Talk) -> io::Result<Self> {
        let runner = Runner::new(program, talk)?;
        let (runs, buffer) = (BTreeMap::new(), vec![0; BUFFER]);
        Ok(Self { runner, relayed, decides: is_sole, failure: None, runs, buffer })
    }

    /// The failure of the only program, if that came before the end of its connection.
    pub fn failure(self) -> Option<Failure> {
        self.failure
    }

    /// Queues a client's program: those of all who came in a turn are started at once.
    fn queue(&mut self, client: Id, clients: &mut dyn Clients) -> io::Result<()> {
        let about = clients.about(client).ok_or(io::ErrorKind::NotConnected)?;
        clients.occupy(client);
        // What a handshake has queued comes before what the program writes.
        let relayed = self.relayed || about.has_codec || clients.queued(client) > 0;
        let (pump, theirs): (Option<Pump>, OwnedFd) = if relayed {
            let (pump, theirs) = Pump::new()?;
            self.runner.poller().add(&pump, client.number, pump.watched)?;
            (Some(pump), theirs)
        } else {
            (None, clients.hand_off(client)?)
        };
        self.runner.queue(client.number, theirs.try_clone()?, theirs, &about);
        let (is_dialled, end) = (about.is_dialled, Deadline::NEVER);
        let run = ClientProgram { client, is_dialled, pump, pid: None, end };
        self.runs.insert(client.number, run);
        self.watch(client.number, clients);
        Ok(())
    }

    /// Ends a client whose program could not be started.
    fn give_up(&mut self, client: Id, error: &io::Error, clients: &mut dyn Clients) {
        let failure = self.runner.start_failure(error);
        if self.decides {
            self.failure = Some(failure);
        } else {
            self.runner.report(&failure);
        }
        self.runs.remove(&client.number);
        clients.reclaim(client, Reason::Error);
        clients.close(client, Reason::Error);
    }

    /// Updates what a pump is watched for, pauses its client while the program is behind, and the
    /// program while the client is over the high-water mark.
    fn watch(&mut self, number: u64, clients: &mut dyn Clients) {
        let run = self.runs.get_mut(&number);
        let Some(ClientProgram { client, pump: Some(pump), .. }) = run else {
            return;
        };
        clients.pause(*client, pump.is_full);
        let wanted = pump.interest(clients.queued(*client) >= HIGH_WATER);
        if wanted != pump.watched && self.runner.poller().change(&*pump, number, wanted).is_err() {
            // Unwatched it would never end.
            clients.close(*client, Reason::Error);
        }
        pump.watched = wanted;
    }

    /// A pump is ready.
    fn ready(&mut self, event: &Ready, clients: &mut dyn Clients) {
        let run = self.runs.get_mut(&event.token);
        let Some(ClientProgram { client, pump: Some(pump), .. }) = run else {
            return;
        };
        if event.write {
            pump.is_full = false; // the connection offers what was not taken again
        }
        if event.read && pump.watched.read {
            match pump.read(&mut self.buffer) {
                // It has closed both directions, or is gone: how it ends shows which.
                Some(0) if event.hung_up => {}
                Some(0) => clients.finish(*client),
                Some(count) => clients.send(*client, &self.buffer[..count]),
                None => {}
            }
        }
        self.watch(event.token, clients);
    }

    /// A program has ended: its client gets the rest of the output, and the end. One that was killed
    /// may have had more to say.
    fn program_ended(&mut self, number: u64, status: Status, clients: &mut dyn Clients) {
        let Some(ClientProgram { client, pump, end, .. }) = self.runs.remove(&number) else {
            return;
        };
        let reason = match status {
            Status::Killed(_) if end.passed() => Reason::Incomplete,
            Status::Killed(_) => Reason::Error,
            Status::Exited(_) if end.passed() => Reason::Shutdown,
            Status::Exited(_) => Reason::Eof,
        };
        let was_gone = if let Some(mut pump) = pump {
            let mut count = 0;
            while count < FINAL_READ_LIMIT
                && let Some(some @ 1..) = pump.read(&mut self.buffer)
            {
                clients.send(client, &self.buffer[..some]);
                count += some;
            }
            clients.pause(client, false);
            clients.close(client, reason);
            end.passed()
        } else {
            clients.reclaim(client, reason)
        };
        if self.decides && !was_gone {
            self.failure = self.runner.failure(status);
        }
    }

    /// Does something with a client's pump, if it has one.
    fn pump<T>(
        &mut self,
        client: Id,
        clients: &mut dyn Clients,
        act: impl FnOnce(&mut Pump) -> T,
    ) -> Option<T> {
        let pump = self.runs.get_mut(&client.number)?.pump.as_mut()?;
        let result = act(pump);
        self.watch(client.number, clients);
        Some(result)
    }
}

impl Handler for ClientPrograms {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        if let Err(e) = self.queue(client, clients) {
            self.give_up(client, &e, clients);
        }
    }

    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        self.pump(client, clients, |pump| pump.send(bytes)).unwrap_or(bytes.len())
    }

    fn ended(&mut self, client: Id, _end: StreamEnd, clients: &mut dyn Clients) {
        self.pump(client, clients, Pump::finish);
    }

    fn drained(&mut self, client: Id, clients: &mut dyn Clients) {
        self.watch(client.number, clients);
    }

    fn left(&mut self, client: Id, clients: &mut dyn Clients) {
        let Some(run) = self.runs.get_mut(&client.number) else {
            return;
        };
        let Some(pid) = run.pid else {
            self.runs.remove(&client.number);
            self.runner.unqueue(client.number);
            clients.reclaim(client, Reason::Reset);
            return;
        };
        // Both directions have ended in good order: the program may still read what it got.
        run.end = match &run.pump {
            Some(pump) if pump.is_over() && run.is_dialled => Deadline::NEVER,
            Some(pump) if pump.is_over() => Deadline::after(EXIT_GRACE),
            _ => Deadline::now(),
        };
        if let Some(at) = run.end.instant() {
            self.runner.end(pid, at);
        }
    }

    fn deadline(&self) -> Deadline {
        self.runner.deadline()
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        for (number, result) in self.runner.start() {
            let Some(run) = self.runs.get_mut(&number) else {
                continue;
            };
            match result {
                Ok(pid) => run.pid = Some(pid),
                Err(e) => {
                    let client = run.client;
                    self.give_up(client, &e, clients);
                }
            }
        }
        let (ready, ended) = self.runner.poll();
        for event in ready {
            self.ready(&event, clients);
        }
        for (number, status) in ended {
            self.program_ended(number, status, clients);
        }
    }

    fn is_incomplete(&mut self, client: Id) -> bool {
        self.runs.contains_key(&client.number)
    }

    fn stopping(&mut self, _until: Deadline, _clients: &mut dyn Clients) {
        self.decides = false;
        let now = Instant::now();
        for run in self.runs.values_mut().filter(|run| run.is_dialled) {
            run.end = Deadline::at(now);
            if let Some(pid) = run.pid {
                self.runner.end(pid, now);
            }
        }
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        Some(self.runner.as_fd())
    }

    fn is_busy(&self) -> bool {
        self.runner.is_busy()
    }
}
