//! `udp-send`: datagrams out, and the answers to each before the next.

use std::io::{self, BufRead, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use regex::bytes::Regex;

use super::{Shown, show};
use crate::console::event::{Event, Payload};
use crate::console::prompt::Typed;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::deadline::{Deadline, wait};
use crate::net::dial::timed_out;
use crate::net::endpoint::Endpoint;
use crate::net::hexdump::{Direction, Tap};
use crate::net::signal::Deferred;
use crate::net::socket::would_block;
use crate::net::udp::{BATCH, Datagrams, MOST, Peer, limit};
use crate::session::seat::{Inbox, Input, Seat};

/// What is expected of the peer.
pub struct Wanted {
    /// `--reply`: answers to each datagram; 0: none is waited for.
    pub replies: usize,
    /// `--retries`: how often a datagram is sent again while no answer came.
    pub retries: usize,
    /// `-w`: how long each answer may take.
    pub timeout: Duration,
    /// `--expect`: what an answer must match.
    pub expect: Option<Regex>,
}

/// A sender of datagrams to one address.
pub struct Sender<'a> {
    /// Its socket.
    pub socket: Datagrams,
    /// Where it sends to.
    pub to: Peer,
    /// What must come back.
    pub wanted: Wanted,
    /// Where answers are shown, and how.
    pub seat: &'a mut Seat,
    /// How they are shown.
    pub shown: Shown,
    /// SIGINT and SIGTERM, at a prompt.
    pub signals: Option<&'a Deferred>,
    /// `--deadline`.
    pub deadline: Deadline,
    /// `--hex`.
    pub tap: Option<Tap>,
    /// When the run began.
    pub began: Instant,
    /// Where events go.
    pub talk: Talk,
}

impl Sender<'_> {
    /// Sends datagrams, and waits for the answers to each before the next.
    pub fn exchange(&mut self, datagrams: &[&[u8]]) -> Result<(), Failure> {
        if self.wanted.replies == 0 && self.wanted.expect.is_none() {
            return self.send(datagrams);
        }
        datagrams.iter().try_for_each(|bytes| self.ask(bytes))
    }

    /// Refuses what no datagram can hold.
    fn check(&self, bytes: &[u8]) -> Result<(), Failure> {
        check_size(bytes.len(), &self.to)
    }

    /// Sends one datagram and waits for the answers to it.
    fn ask(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.send(&[bytes])?;
        let wanted = if self.wanted.expect.is_some() {
            self.wanted.replies.max(1)
        } else {
            self.wanted.replies
        };
        let mut retries = self.wanted.retries;
        let mut came = 0;
        while came < wanted {
            match self.receive(self.until())? {
                Some(answer) => {
                    came += 1;
                    self.expect(&answer)?;
                }
                None if came == 0 && retries > 0 && !self.deadline.passed() => {
                    retries -= 1;
                    self.send(&[bytes])?;
                }
                None => {
                    if let Some(pattern) = &self.wanted.expect {
                        let cause = format!("expected {:?}, but no answer came", pattern.as_str());
                        return Err(Failure::new(
                            "answer from",
                            Endpoint::from(&self.to),
                            cause,
                            Exit::Expectation,
                        ));
                    }
                    let failure = timed_out("answer from", Endpoint::from(&self.to));
                    return Err(failure.hint(&format!("{came} of {wanted} answers came")));
                }
            }
        }
        Ok(())
    }

    /// One look for an ICMP error that has come back.
    pub fn finish(&self) -> Result<(), Failure> {
        match self.socket.take_error() {
            Ok(Some(e)) | Err(e) => Err(self.failed(&e)),
            Ok(None) => Ok(()),
        }
    }

    /// Sends datagrams up to the first that is too long.
    fn send(&self, datagrams: &[&[u8]]) -> Result<(), Failure> {
        let fit = datagrams.iter().take_while(|one| self.check(one).is_ok());
        let (mut rest, beyond) = datagrams.split_at(fit.count());
        // An ICMP error is told by the next call, but not by one that has sent something before it
        // meets the error: the first goes alone, and so does what follows such a call.
        let mut alone = true;
        let mut until = self.until();
        while !rest.is_empty() {
            let some = if alone { &rest[..1] } else { rest };
            match self.socket.send_batch(some, self.to) {
                Ok(sent) => {
                    alone = sent < some.len().min(BATCH);
                    let (sent, left) = rest.split_at(sent);
                    rest = left;
                    until = self.until();
                    for bytes in sent {
                        self.dump(Direction::Sent, bytes)?;
                    }
                }
                Err(e) if would_block(&e) && !until.passed() => {
                    wait([(self.socket.as_fd(), PollFlags::POLLOUT)], until)
                        .map_err(|e| self.failed(&e))?;
                }
                Err(e) => return Err(self.failed(&e)),
            }
        }
        beyond.first().map_or(Ok(()), |one| self.check(one))
    }

    fn until(&self) -> Deadline {
        Deadline::after(self.wanted.timeout).min(self.deadline)
    }

    /// The next answer, if one comes in time.
    fn receive(&self, until: Deadline) -> Result<Option<Vec<u8>>, Failure> {
        let mut buffer = self.socket.buffer();
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(envelope) => {
                    buffer.truncate(envelope.len);
                    self.dump(Direction::Received, &buffer)?;
                    show(self.seat, &self.talk, &envelope.from, &buffer, self.shown);
                    return Ok(Some(buffer));
                }
                Err(e) if would_block(&e) => {
                    if until.passed() {
                        return Ok(None);
                    }
                    wait([(self.socket.as_fd(), PollFlags::POLLIN)], until)
                        .map_err(|e| self.failed(&e))?;
                }
                Err(e) => return Err(self.failed(&e)),
            }
        }
    }

    fn expect(&self, answer: &[u8]) -> Result<(), Failure> {
        let Some(pattern) = &self.wanted.expect else {
            return Ok(());
        };
        let found = pattern.find(answer).map(|found| found.as_bytes());
        self.talk.say(&Event::expected(pattern.as_str(), found));
        if found.is_some() {
            return Ok(());
        }
        let came = match Payload::of(answer) {
            Payload::Text(text) => crate::exit::quoted(text),
            Payload::Base64(_) => crate::exit::quoted(crate::net::text::show(answer)),
        };
        let cause = format!("expected {:?}, came {came}", pattern.as_str());
        Err(Failure::new("answer from", Endpoint::from(&self.to), cause, Exit::Expectation))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::system("send to", Endpoint::from(&self.to), error)
    }

    fn dump(&self, direction: Direction, bytes: &[u8]) -> Result<(), Failure> {
        let Some(tap) = &self.tap else { return Ok(()) };
        tap.borrow_mut().tell(direction, self.began.elapsed(), bytes)
    }

    /// `>>>`: each line is a datagram, answers appear above the line being typed.
    pub fn converse(&mut self, inbox: &Inbox) -> Result<(), Failure> {
        let mut buffer = self.socket.buffer();
        loop {
            if self.deadline.passed() {
                return Err(
                    timed_out("send to", Endpoint::from(&self.to)).hint("the deadline has passed")
                );
            }
            let waker = (inbox.waker.as_fd(), PollFlags::POLLIN);
            let signal = self.signals.map_or(waker, |signals| (signals.as_fd(), PollFlags::POLLIN));
            wait([(self.socket.as_fd(), PollFlags::POLLIN), waker, signal], self.deadline)
                .map_err(|e| self.failed(&e))?;
            if let Some(signal) = self.signals.and_then(Deferred::take) {
                let exit =
                    if signal == libc::SIGINT { Exit::Interrupted } else { Exit::Terminated };
                return Err(Failure::silent(exit));
            }
            // A closed port is told, and tried again with the next line.
            match self.socket.recv(&mut buffer) {
                Ok(envelope) => {
                    show(
                        self.seat,
                        &self.talk,
                        &envelope.from,
                        &buffer[..envelope.len],
                        self.shown,
                    );
                    self.dump(Direction::Received, &buffer[..envelope.len])?;
                }
                Err(e) if would_block(&e) => {}
                Err(e) => self.talk.failure(&self.failed(&e)),
            }
            inbox.waker.quiet();
            while let Some(input) = inbox.take() {
                self.seat.came(&input);
                match input {
                    Input::Typed(Typed::Lines(lines)) => {
                        for line in lines {
                            if line == "/quit" {
                                return Ok(());
                            }
                            if let Err(failure) = self.send(&[line.as_bytes()]) {
                                self.talk.failure(&failure);
                            }
                        }
                        self.seat.ask();
                    }
                    Input::Typed(Typed::Interrupt) => {
                        return Err(Failure::silent(Exit::Interrupted));
                    }
                    _ => return Ok(()),
                }
            }
        }
    }
}

/// Refuses what no datagram can hold.
pub fn check_size(len: usize, to: &Peer) -> Result<(), Failure> {
    if let Some(most) = limit(to).filter(|&most| len > most) {
        let what = format!(
            "a datagram of {len} bytes to {}: the limit is {most}; use --chunk",
            Endpoint::from(to)
        );
        return Err(Failure::usage(what));
    }
    Ok(())
}

/// Calls `each` with the lines of stdin, without their newlines: as many as there are, `most` at a
/// time. A line too long for any datagram is given as far as it was read: sending it fails.
pub fn lines(
    most: usize,
    mut each: impl FnMut(&[&[u8]]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut stdin = io::stdin().lock();
    let mut held = Vec::new();
    loop {
        let count = match stdin.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Failure::system("read", "stdin", &e)),
            Ok(block) => {
                held.extend_from_slice(block);
                block.len()
            }
        };
        stdin.consume(count);
        let last = held.iter().rposition(|&byte| byte == b'\n');
        let whole = match last {
            _ if count == 0 => held.len(),
            Some(last) => last + 1,
            None if held.len() > MOST => held.len(),
            None => 0,
        };
        let text = &held[..whole];
        if !text.is_empty() {
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
            lines.chunks(most).try_for_each(&mut each)?;
        }
        if count == 0 {
            return Ok(());
        }
        held.drain(..whole);
    }
}

/// Calls `each` with stdin in pieces of `size` bytes; the last may be shorter.
pub fn chunks(
    size: usize,
    mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut stdin = io::stdin().lock();
    let mut piece = Vec::with_capacity(size);
    loop {
        piece.clear();
        match stdin.by_ref().take(size as u64).read_to_end(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(_) => each(&piece)?,
            Err(e) => return Err(Failure::system("read", "stdin", &e)),
        }
    }
}
