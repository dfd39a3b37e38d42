//! `udp-serve`: one loop that answers everyone. Nothing a peer does ends it.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use super::programs::Programs;
use super::{Shown, show};
use crate::console::prompt::Typed;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::access::Access;
use crate::net::deadline::{Deadline, wait};
use crate::net::endpoint::Endpoint;
use crate::net::hexdump::{Direction, Tap};
use crate::net::signal::Deferred;
use crate::net::socket::would_block;
use crate::net::udp::{BATCH, Batch, Datagrams, Envelope, Peer};
use crate::session::seat::{Inbox, Input, Seat};

/// How long programs run on once the server is to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How long an answer waits for room in the socket.
const ROOM: Duration = Duration::from_millis(200);

/// What is done with a datagram.
pub enum Answer {
    /// It is shown.
    Show(Shown),
    /// It is returned.
    Echo,
    /// It is swallowed.
    Discard,
    /// The same answer for everybody.
    Reply(Vec<u8>),
    /// What a program makes of it.
    Program(Box<Programs>),
}

/// A datagram server.
pub struct Service<'a> {
    /// Its socket.
    pub socket: Datagrams,
    /// What it does.
    pub answer: Answer,
    /// Where datagrams are shown, and what the operator types comes from.
    pub seat: &'a mut Seat,
    /// What the operator types, and the queue's waker.
    pub inbox: &'a Inbox,
    /// SIGINT and SIGTERM.
    pub signals: Option<&'a Deferred>,
    /// `--count`: ends after so many datagrams.
    pub count: Option<u64>,
    /// `--allow`, `--deny`: whose datagrams count.
    pub access: Access,
    /// `-i`: ends when there was none for this long; zero: no limit.
    pub idle: Duration,
    /// `--deadline`.
    pub deadline: Deadline,
    /// `--hex`.
    pub tap: Option<Tap>,
    /// Where events go.
    pub talk: Talk,
}

impl Service<'_> {
    /// Serves until the count is reached, a signal comes or a limit passes.
    pub fn run(mut self) -> Result<(), Failure> {
        let began = Instant::now();
        let mut batch = self
            .socket
            .batch(self.count.is_none() && self.tap.is_none() && self.programs().is_none());
        let mut last: Option<Envelope> = None;
        let mut active = began;
        // Once it was told to stop: how long programs still have.
        let mut stopping: Option<Deadline> = None;
        loop {
            let busy = self.programs().is_some_and(Programs::is_busy);
            let over = self.count == Some(0) || stopping.is_some();
            if over && (!busy || stopping.is_some_and(Deadline::passed)) {
                return Ok(());
            }
            if let Some(failure) = self.seat.failure() {
                return Err(failure);
            }
            let idle = if self.idle.is_zero() || busy {
                Deadline::NEVER
            } else {
                Deadline::at(active + self.idle)
            };
            let until = idle.min(self.deadline);
            if until.passed() {
                let why = if idle.passed() {
                    "no datagram for too long"
                } else {
                    "the deadline has passed"
                };
                let local = self.socket.local();
                let local = local.map_err(|e| Failure::system("serve", "", &e))?;
                return Err(Failure::new("serve on", local, why, Exit::TimedOut));
            }
            let read =
                if self.has_room() && !over { PollFlags::POLLIN } else { PollFlags::empty() };
            let waker = (self.inbox.waker.as_fd(), PollFlags::POLLIN);
            let signal = self.signals.map_or(waker, |signals| (signals.as_fd(), PollFlags::POLLIN));
            let programs = self.programs();
            let due = programs.map_or(Deadline::NEVER, Programs::deadline);
            let until = until.min(due).min(stopping.unwrap_or(Deadline::NEVER));
            let ended = programs.map_or(waker, |programs| (programs.as_fd(), PollFlags::POLLIN));
            let ready = wait([(self.socket.as_fd(), read), waker, signal, ended], until)
                .map_err(|e| Failure::system("wait for datagrams", "", &e))?;
            if !ready[2].is_empty()
                && self.signals.and_then(Deferred::take).is_some()
                && stopping.replace(Deadline::after(GRACE)).is_some()
            {
                return Ok(()); // the second one
            }
            if !ready[1].is_empty() {
                self.inbox.waker.quiet();
                while let Some(input) = self.inbox.take() {
                    if !self.typed(input, last.as_ref()) {
                        return Ok(());
                    }
                }
            }
            if let Answer::Program(programs) = &mut self.answer {
                for (to, answer) in programs.tick() {
                    active = Instant::now();
                    self.send(&[(&answer, &to)]);
                    self.dump(Direction::Sent, &answer, began)?;
                }
            }
            if !ready[0].is_empty() && stopping.is_none() {
                active = Instant::now();
                last = self.receive(&mut batch, began)?.or(last);
            }
        }
    }

    /// Handles what has come, up to a batch; whose the last datagram was.
    fn receive(&mut self, batch: &mut Batch, began: Instant) -> Result<Option<Envelope>, Failure> {
        if self.count == Some(0) || !self.has_room() {
            return Ok(None);
        }
        match self.socket.recv_batch(batch, self.most()) {
            Ok(()) => return self.handle(batch, began),
            Err(e) if would_block(&e) => {}
            // An ICMP error about an answer of ours, or a moment without memory.
            Err(e) => self.complain("receive on", &self.socket.local(), &e),
        }
        Ok(None)
    }

    /// Whether another datagram can be dealt with now.
    fn has_room(&self) -> bool {
        !self.seat.is_full() && self.programs().is_none_or(|programs| programs.room() > 0)
    }

    fn programs(&self) -> Option<&Programs> {
        match &self.answer {
            Answer::Program(programs) => Some(programs),
            _ => None,
        }
    }

    /// How many datagrams are received with one call: one where the dump shows it with its answer,
    /// and no more than programs can be started for.
    fn most(&self) -> usize {
        match self.count {
            _ if self.tap.is_some() => 1,
            Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
            None => BATCH,
        }
        .min(BATCH)
        .min(self.programs().map_or(BATCH, Programs::room))
    }

    /// What a batch of datagrams asks for; the envelope of the last that was admitted.
    fn handle(&mut self, batch: &Batch, began: Instant) -> Result<Option<Envelope>, Failure> {
        let access = &self.access;
        let admitted = batch.iter().filter(|(_, envelope)| access.admits(envelope.from.ip()));
        let admitted: Vec<(&[u8], &Envelope)> = admitted.collect();
        self.count = self.count.map(|count| count - admitted.len() as u64);
        for (bytes, envelope) in &admitted {
            self.hear(bytes, envelope, began)?;
        }
        if let Answer::Program(programs) = &mut self.answer {
            programs.start(&admitted, self.socket.local().ok().as_ref());
        }
        let last = admitted.last().map(|(_, envelope)| **envelope);
        let answers = match &self.answer {
            Answer::Echo => admitted,
            Answer::Reply(text) => admitted.iter().map(|(_, to)| (&text[..], *to)).collect(),
            // A program's answer comes when it has ended.
            Answer::Show(_) | Answer::Discard | Answer::Program(_) => Vec::new(),
        };
        self.send(&answers);
        for (answer, _) in answers {
            self.dump(Direction::Sent, answer, began)?;
        }
        Ok(last)
    }

    /// Tells of one datagram what there is to tell.
    fn hear(&self, bytes: &[u8], envelope: &Envelope, began: Instant) -> Result<(), Failure> {
        self.dump(Direction::Received, bytes, began)?;
        if envelope.truncated {
            let failure = Failure::new(
                "receive from",
                Endpoint::from(&envelope.from),
                "truncated",
                Exit::Other,
            );
            self.talk.failure(&failure);
        }
        if let Answer::Show(how) = &self.answer {
            show(self.seat, &self.talk, &envelope.from, bytes, *how);
        } else if self.talk.is_json() {
            show(self.seat, &self.talk, &envelope.from, bytes, Shown::Nothing);
        }
        Ok(())
    }

    /// Answers datagrams; a failure is told and forgotten.
    fn send(&self, mut answers: &[(&[u8], &Envelope)]) {
        let mut until = Deadline::after(ROOM);
        while let Some((_, to)) = answers.first() {
            if let Peer::Nameless = to.from {
                let cause = "it has bound no name to send an answer to";
                let failure = Failure::new("answer", "a UNIX sender", cause, Exit::Other);
                self.talk.failure(&failure);
                answers = &answers[1..];
                continue;
            }
            let sent = match self.socket.answer_batch(answers) {
                Ok(sent) => sent,
                Err(e) if would_block(&e) && !until.passed() => {
                    // Whatever comes of waiting, the next attempt tells.
                    let _ = wait([(self.socket.as_fd(), PollFlags::POLLOUT)], until);
                    continue;
                }
                Err(e) => {
                    self.complain("send to", &Ok(Endpoint::from(&to.from)), &e);
                    1
                }
            };
            answers = &answers[sent..];
            until = Deadline::after(ROOM);
        }
    }

    fn complain(&self, op: &'static str, at: &io::Result<Endpoint>, error: &io::Error) {
        let target = at.as_ref().map_or_else(|_| String::new(), ToString::to_string);
        self.talk.failure(&Failure::system(op, target, error));
    }

    fn dump(&self, direction: Direction, bytes: &[u8], began: Instant) -> Result<(), Failure> {
        let Some(tap) = &self.tap else { return Ok(()) };
        tap.borrow_mut().tell(direction, began.elapsed(), bytes)
    }

    /// The operator typed something; `false` when that ends the run.
    fn typed(&mut self, input: Input, last: Option<&Envelope>) -> bool {
        self.seat.came(&input);
        let Input::Typed(Typed::Lines(lines)) = input else {
            return false;
        };
        for line in lines {
            if line == "/quit" {
                return false;
            }
            self.say(&line, last);
        }
        self.seat.ask();
        true
    }

    /// `text` goes to the last peer, `@peer text` to a given one.
    fn say(&self, line: &str, last: Option<&Envelope>) {
        let (to, text) = match line
            .strip_prefix('@')
            .map(|rest| rest.split_once(' ').unwrap_or((rest, "")))
        {
            None => (last.copied(), line),
            Some((peer, text)) => (
                Peer::parse(peer).map(|from| Envelope { len: 0, truncated: false, from, to: None }),
                text,
            ),
        };
        match to {
            Some(to) => self.send(&[(text.as_bytes(), &to)]),
            None if line.starts_with('@') => {
                self.seat.show(b"! not an address: not sent (@192.0.2.1:5000 text)\n");
            }
            None => self.seat.show(b"! nobody has written yet: not sent\n"),
        }
    }
}
