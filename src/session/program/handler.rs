//! A program for each client of a stream server.
//!
//! The client's socket is handed off: it is the program's stdin and stdout, and the server only
//! notices that the client is gone. Where bytes must be seen on their way a relay passes them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::unistd::Pid;

use super::Program;
use super::relay::Relay;
use super::runner::Runner;
use crate::console::event::{Reason, Status};
use crate::console::talk::Talk;
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
    /// By the client's number.
    runs: BTreeMap<u64, ClientProgram>,
    buffer: Vec<u8>,
}

/// The program of a client.
struct ClientProgram {
    client: Id,
    relay: Option<Relay>,
    /// Once it is started.
    pid: Option<Pid>,
}

impl ClientPrograms {
    /// Nothing is started yet. `relayed`: the bytes must be seen on their way.
    pub fn new(program: Program, relayed: bool, talk: Talk) -> io::Result<Self> {
        let runner = Runner::new(program, talk)?;
        Ok(Self { runner, relayed, runs: BTreeMap::new(), buffer: vec![0; BUFFER] })
    }

    /// Queues a client's program: those of all who came in a turn are started at once.
    fn queue(&mut self, client: Id, clients: &mut dyn Clients) -> io::Result<()> {
        let about = clients.about(client).ok_or(io::ErrorKind::NotConnected)?;
        let (relay, theirs): (Option<Relay>, OwnedFd) = if self.relayed || about.has_codec {
            let (relay, theirs) = Relay::new()?;
            self.runner.poller().add(&relay, client.number, relay.watched)?;
            (Some(relay), theirs)
        } else {
            (None, clients.hand_off(client)?)
        };
        self.runner.queue(client.number, theirs.try_clone()?, theirs, &about);
        self.runs.insert(client.number, ClientProgram { client, relay, pid: None });
        clients.occupy(client);
        self.watch(client.number, clients);
        Ok(())
    }

    /// Ends a client whose program could not be started.
    fn give_up(&mut self, client: Id, clients: &mut dyn Clients) {
        self.runs.remove(&client.number);
        clients.reclaim(client, Reason::Error);
        clients.close(client, Reason::Error);
    }

    /// Updates what a relay is watched for, pauses its client while the program is behind, and the
    /// program while the client is over the high-water mark.
    fn watch(&mut self, number: u64, clients: &mut dyn Clients) {
        let run = self.runs.get_mut(&number);
        let Some(ClientProgram { client, relay: Some(relay), .. }) = run else {
            return;
        };
        clients.pause(*client, relay.is_full);
        let wanted = relay.interest(clients.queued(*client) >= HIGH_WATER);
        if wanted != relay.watched && self.runner.poller().change(&*relay, number, wanted).is_err()
        {
            // Unwatched it would never end.
            clients.close(*client, Reason::Error);
        }
        relay.watched = wanted;
    }

    /// A relay is ready.
    fn ready(&mut self, event: &Ready, clients: &mut dyn Clients) {
        let run = self.runs.get_mut(&event.token);
        let Some(ClientProgram { client, relay: Some(relay), .. }) = run else {
            return;
        };
        if event.write {
            relay.is_full = false; // the connection offers what was not taken again
        }
        if event.read && relay.watched.read {
            match relay.read(&mut self.buffer) {
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
        let reason = match status {
            Status::Exited(_) => Reason::Eof,
            Status::Killed(_) => Reason::Error,
        };
        let Some(ClientProgram { client, relay, .. }) = self.runs.remove(&number) else {
            return;
        };
        let Some(mut relay) = relay else {
            return clients.reclaim(client, reason);
        };
        let mut count = 0;
        while count < FINAL_READ_LIMIT
            && let Some(some @ 1..) = relay.read(&mut self.buffer)
        {
            clients.send(client, &self.buffer[..some]);
            count += some;
        }
        clients.pause(client, false);
        clients.close(client, reason);
    }

    /// Does something with a client's relay, if it has one.
    fn relay<T>(
        &mut self,
        client: Id,
        clients: &mut dyn Clients,
        act: impl FnOnce(&mut Relay) -> T,
    ) -> Option<T> {
        let relay = self.runs.get_mut(&client.number)?.relay.as_mut()?;
        let result = act(relay);
        self.watch(client.number, clients);
        Some(result)
    }
}

impl Handler for ClientPrograms {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        if let Err(e) = self.queue(client, clients) {
            self.runner.failed(&e);
            self.give_up(client, clients);
        }
    }

    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        self.relay(client, clients, |relay| relay.send(bytes)).unwrap_or(bytes.len())
    }

    fn ended(&mut self, client: Id, _end: StreamEnd, clients: &mut dyn Clients) {
        self.relay(client, clients, Relay::finish);
    }

    fn drained(&mut self, client: Id, clients: &mut dyn Clients) {
        self.watch(client.number, clients);
    }

    fn left(&mut self, client: Id, clients: &mut dyn Clients) {
        match self.runs.get(&client.number).map(|run| run.pid) {
            Some(Some(pid)) => self.runner.end(pid),
            Some(None) => {
                self.runs.remove(&client.number);
                self.runner.unqueue(client.number);
                clients.reclaim(client, Reason::Reset);
            }
            None => {}
        }
    }

    fn deadline(&self) -> Deadline {
        self.runner.deadline()
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        for (number, pid) in self.runner.start() {
            match self.runs.get_mut(&number) {
                Some(run) if pid.is_none() => {
                    let client = run.client;
                    self.give_up(client, clients);
                }
                Some(run) => run.pid = pid,
                None => {}
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

    fn source(&self) -> Option<BorrowedFd<'_>> {
        Some(self.runner.as_fd())
    }

    fn is_busy(&self) -> bool {
        self.runner.is_busy()
    }
}
