//! `udp-serve`: one event loop that answers every peer. Nothing a peer does ends it.

use std::io;
use std::time::{Duration, Instant};

use super::answers::AnswerQueue;
use super::operator::{INBOX, Operator, PROGRAMS, READ, SIGNALS, SOCKET};
use super::programs::DatagramPrograms;
use crate::exit::{During, Exit, Failure};
use crate::net::access::AccessList;
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::hexdump::Direction;
use crate::net::poller::{Interest, Poller, Ready};
use crate::net::quantity;
use crate::net::signal::Deferred;
use crate::net::socket::would_block;
use crate::net::udp::{BATCH, Batch, Datagrams, Envelope};

/// How long programs run on once the server is to stop.
const GRACE: Duration = Duration::from_secs(5);

/// What is done with a datagram.
pub enum Answer {
    /// It is shown.
    Show,
    /// It is returned.
    Echo,
    /// It is dropped.
    Discard,
    /// The same answer to every datagram.
    Reply(Vec<u8>),
    /// The output of a program is the answer.
    Program(Box<DatagramPrograms>),
}

/// What bounds a datagram server.
pub struct Rules {
    /// `--count`: ends after this many datagrams.
    pub count: Option<u64>,
    /// `--allow`, `--deny`: whose datagrams count.
    pub access: AccessList,
    /// `-i`: ends when there was none for this long; zero: no limit.
    pub idle: Duration,
    /// `--deadline`.
    pub deadline: Deadline,
}

/// A datagram server.
pub struct Service<'a> {
    answers: AnswerQueue,
    answer: Answer,
    rules: Rules,
    operator: &'a mut Operator,
    /// When the last datagram was received or answered.
    active: Instant,
    /// The last datagram: what is typed goes to its sender.
    last: Option<Envelope>,
    /// Once it is to stop: how long programs may run on.
    stopping: Option<Deadline>,
}

impl<'a> Service<'a> {
    /// A server on a bound socket.
    pub fn new(
        socket: Datagrams,
        answer: Answer,
        rules: Rules,
        operator: &'a mut Operator,
    ) -> Self {
        let answers = AnswerQueue::new(socket, operator.talk.clone());
        let (active, last, stopping) = (Instant::now(), None, None);
        Self { answers, answer, rules, operator, active, last, stopping }
    }

    /// Serves until the count is reached, a signal comes or a limit passes.
    pub fn run(mut self) -> Result<(), Failure> {
        let mut poller = self.poller().during("wait for datagrams", "")?;
        let is_plain = self.rules.count.is_none() && !self.operator.dumps();
        let mut batch = self.answers.socket.batch(BATCH, is_plain && self.programs().is_none());
        let mut watched = READ;
        let mut ready: Vec<Ready> = Vec::new();
        while !self.is_over() {
            if let Some(failure) = self.operator.seat.failure() {
                return Err(failure);
            }
            let until = self.next_deadline()?;
            let wanted = self.interest();
            if wanted != watched {
                poller
                    .change(&self.answers.socket, SOCKET, wanted)
                    .during("wait for datagrams", "")?;
                watched = wanted;
            }
            ready.clear();
            poller.wait(&mut ready, until).during("wait for datagrams", "")?;
            for event in &ready {
                match event.token {
                    SIGNALS if self.stops_at_once() => return Ok(()),
                    INBOX if self.quits() => return Ok(()),
                    SOCKET => self.ready(event, &mut batch)?,
                    _ => {}
                }
            }
            if let Answer::Program(programs) = &mut self.answer {
                for (to, answer) in programs.tick() {
                    self.active = Instant::now();
                    self.answers.send(&[(&answer, &to)]);
                    self.operator.dump(Direction::Sent, &answer)?;
                }
            }
            self.answers.flush();
        }
        Ok(())
    }

    fn poller(&self) -> io::Result<Poller> {
        let poller = self.operator.poller(&self.answers.socket)?;
        if let Some(programs) = self.programs() {
            poller.add(programs, PROGRAMS, READ)?;
        }
        Ok(poller)
    }

    fn programs(&self) -> Option<&DatagramPrograms> {
        match &self.answer {
            Answer::Program(programs) => Some(programs),
            _ => None,
        }
    }

    fn is_busy(&self) -> bool {
        self.programs().is_some_and(DatagramPrograms::is_busy)
    }

    /// Whether no more datagrams are received, and all answers are sent.
    fn is_over(&self) -> bool {
        let is_done = !self.is_busy() && self.answers.is_empty();
        self.stopping.is_some_and(Deadline::passed)
            || is_done && (self.rules.count == Some(0) || self.stopping.is_some())
    }

    /// When something is due though nothing is ready; a failure where `-i` or `--deadline` ends the
    /// run.
    fn next_deadline(&self) -> Result<Deadline, Failure> {
        let idle = if self.rules.idle.is_zero() || self.is_busy() {
            Deadline::NEVER
        } else {
            Deadline::at(self.active + self.rules.idle)
        };
        let until = idle.min(self.rules.deadline);
        if until.passed() {
            let cause = if idle.passed() {
                let limit = quantity::shown(self.rules.idle);
                format!("idle timeout: no datagram for {limit} (-i)")
            } else {
                "the deadline has passed".into()
            };
            let local = self.answers.socket.local();
            let local = local.during("serve", "")?;
            return Err(Failure::new("serve on", local, cause, Exit::TimedOut));
        }
        let programs = self.programs().map_or(Deadline::NEVER, DatagramPrograms::deadline);
        let stopping = self.stopping.unwrap_or(Deadline::NEVER);
        Ok(until.min(programs).min(stopping).min(self.answers.deadline()))
    }

    /// What the socket is watched for. Datagrams wait in it while they could not be shown or
    /// answered.
    fn interest(&self) -> Interest {
        let has_room = self.answers.is_empty() && !self.operator.seat.is_full() && self.most() > 0;
        Interest { read: has_room && self.stopping.is_none(), write: self.answers.wants_room() }
    }

    /// How many messages are received with one call: one where the dump shows it with its answer,
    /// and no more than programs can be started for.
    fn most(&self) -> usize {
        let most = match self.rules.count {
            Some(count) => usize::try_from(count).map_or(BATCH, |count| count.min(BATCH)),
            None => BATCH,
        };
        let most = if self.operator.dumps() { most.min(1) } else { most };
        self.programs().map_or(most, |programs| programs.room().min(most))
    }

    /// Takes a signal: the first stops the server in good order, the second at once.
    fn stops_at_once(&mut self) -> bool {
        if self.operator.signals.as_ref().and_then(Deferred::take).is_none() {
            return false;
        }
        self.operator.stop();
        self.stopping.replace(Deadline::after(GRACE)).is_some()
    }

    /// Receives a batch from the socket.
    fn ready(&mut self, event: &Ready, batch: &mut Batch) -> Result<(), Failure> {
        if event.failed
            && let Ok(Some(e)) | Err(e) = self.answers.socket.take_error()
        {
            self.receive_failed(&e); // an ICMP error about an answer
        }
        if !event.read || !self.interest().read {
            return Ok(());
        }
        match self.answers.socket.recv(batch, self.most()) {
            Ok(()) => self.handle(batch)?,
            Err(e) if would_block(&e) => {}
            Err(e) => self.receive_failed(&e),
        }
        Ok(())
    }

    fn receive_failed(&self, error: &io::Error) {
        let local = self.answers.socket.local().map_or_else(|_| String::new(), |at| at.to_string());
        self.operator.talk.failure(&Failure::system("receive on", local, error));
    }

    /// Shows or answers a batch of datagrams.
    fn handle(&mut self, batch: &Batch) -> Result<(), Failure> {
        self.active = Instant::now();
        let access = &self.rules.access;
        let admitted = batch.iter().filter(|(_, envelope)| access.admits(envelope.from.ip()));
        let admitted: Vec<(&[u8], &Envelope)> = admitted.collect();
        let Some((_, last)) = admitted.last() else {
            return Ok(());
        };
        self.last = Some((*last).clone());
        self.rules.count = self.rules.count.map(|count| count - admitted.len() as u64);
        for (bytes, envelope) in &admitted {
            self.received(bytes, envelope)?;
        }
        let answers = match &mut self.answer {
            Answer::Echo => admitted,
            Answer::Reply(text) => admitted.iter().map(|(_, to)| (&text[..], *to)).collect(),
            Answer::Program(programs) => {
                programs.start(&admitted, self.answers.socket.local().ok().as_ref());
                Vec::new() // the answers come later
            }
            Answer::Show | Answer::Discard => Vec::new(),
        };
        self.answers.send(&answers);
        for (answer, _) in answers {
            self.operator.dump(Direction::Sent, answer)?;
        }
        Ok(())
    }

    /// Shows one datagram.
    fn received(&self, bytes: &[u8], envelope: &Envelope) -> Result<(), Failure> {
        self.operator.dump(Direction::Received, bytes)?;
        let from = &envelope.from;
        if envelope.truncated {
            let failure = Failure::new("receive from", from, "truncated", Exit::Other);
            self.operator.talk.failure(&failure);
        }
        self.operator.show(from, bytes);
        Ok(())
    }

    /// Takes what the operator typed: whether that ends the run.
    fn quits(&mut self) -> bool {
        let (lines, left) = self.operator.typed();
        for line in &lines {
            self.say(line);
        }
        if self.operator.seat.is_prompt() {
            self.operator.seat.ask();
        }
        left.is_some()
    }

    /// Sends what the operator typed: `text` to the last peer, `@peer text` to a given one.
    fn say(&mut self, line: &str) {
        let (to, text) = match line.strip_prefix('@') {
            None => (self.last.clone(), line),
            Some(rest) => {
                let (peer, text) = rest.split_once(' ').unwrap_or((rest, ""));
                (Endpoint::parse(peer).map(Envelope::to), text)
            }
        };
        match to {
            Some(to) => self.answers.send(&[(text.as_bytes(), &to)]),
            None if line.starts_with('@') => {
                self.operator.seat.note("! not an address: not sent (@192.0.2.1:5000 text)");
            }
            None => self.operator.seat.note("! no datagram received yet: not sent"),
        }
    }
}
