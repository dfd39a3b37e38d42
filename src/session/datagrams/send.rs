//! `udp-send`: datagrams out, and the answers to each before the next.
//!
//! Over 300 lines: what is sent, the wait for its answers and the prompt work on one socket, in one
//! order.

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use nix::poll::PollFlags;

use super::frontend::Frontend;
use crate::console::event::{Event, Level};
use crate::exit::{During, Exit, Failure, quoted};
use crate::net::deadline::{Deadline, LastLook};
use crate::net::endpoint::Endpoint;
use crate::net::errno::would_block;
use crate::net::hexdump::Direction;
use crate::net::pattern::Pattern;
use crate::net::poller::Ready;
use crate::net::signal::Deferred;
use crate::net::stdio::Stdio;
use crate::net::udp::{Datagrams, Envelope, LARGEST, Received, SEGMENTS, Target, limit};
use crate::net::{quantity, text};

/// What is sent.
pub enum Content {
    /// These datagrams, this many times.
    Fixed(Vec<Vec<u8>>, u64),
    /// All of stdin as one datagram, this many times.
    Whole(u64),
    /// stdin in pieces of this size; the last may be shorter.
    Chunks(usize),
    /// The lines of stdin.
    Lines,
}

/// What a wait for an answer ends with.
enum Answer {
    Came,
    Missing,
    /// Its receiver is not there; another address is next.
    Elsewhere,
}

/// A sender of datagrams to one address.
pub struct Sender<'a> {
    /// Its socket.
    pub socket: Datagrams,
    /// The addresses that it may send to.
    pub target: Target,
    /// Where it sends to.
    pub to: Envelope,
    /// `--reply`: answers to each datagram; 0: none is waited for.
    pub replies: usize,
    /// `--retries`: how often a datagram is sent again while no answer came.
    pub retries: usize,
    /// `-w`: how long each answer may take.
    pub timeout: Duration,
    /// `--expect`: what an answer must match.
    pub expect: Option<Pattern>,
    /// `--interval`: the pause between datagrams.
    pub interval: Duration,
    /// `--deadline`.
    pub deadline: Deadline,
    /// Where answers are shown.
    pub frontend: &'a mut Frontend,
    /// Datagrams sent so far.
    pub sent: u64,
    /// A receiver was not there, at least for a while.
    pub failure: Option<Failure>,
}

impl Sender<'_> {
    /// Sends everything there is to send, each datagram with the answers to it.
    pub fn run(&mut self, content: Content) -> Result<(), Failure> {
        let mut buffer = self.socket.buffer();
        let mut is_first = true;
        let (to, is_batched) = (self.to.from.clone(), self.interval.is_zero());
        let mut next = |datagrams: &[&[u8]]| {
            if !std::mem::replace(&mut is_first, false) && !self.interval.is_zero() {
                let left = self.deadline.remaining().unwrap_or(self.interval);
                std::thread::sleep(left.min(self.interval));
            }
            self.exchange(datagrams, &mut buffer)
        };
        let mut fixed = |datagrams: Vec<Vec<u8>>, count| {
            datagrams.iter().try_for_each(|bytes| check_size(bytes.len(), &to))?;
            (0..count).try_for_each(|_| datagrams.iter().try_for_each(|bytes| next(&[bytes])))
        };
        match content {
            Content::Fixed(datagrams, count) => fixed(datagrams, count)?,
            Content::Whole(count) => fixed(vec![whole()?], count)?,
            Content::Chunks(size) => {
                check_size(size, &to)?;
                chunks(size, |piece| next(&[piece]))?;
            }
            Content::Lines if is_batched => lines(SEGMENTS, next)?,
            Content::Lines => lines(1, next)?,
        }
        if let Ok(Some(e)) | Err(e) = self.socket.take_error() {
            self.gone(e)?; // an ICMP error that has come back
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    /// An address takes no datagrams, at least now: whether there is another one, which is the next
    /// from now on. Where answers are awaited there has to be.
    fn gone(&mut self, error: io::Error) -> Result<bool, Failure> {
        if !matches!(Exit::of(&error), Exit::Refused | Exit::Unreachable) {
            return Err(self.failed(&error));
        }
        match self.target.go_on(&mut self.socket, &self.to.from, error) {
            Ok(to) => self.to = Envelope::to(to),
            Err(failure) if self.is_answered() => return Err(failure),
            Err(failure) => {
                self.failure = Some(failure);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_answered(&self) -> bool {
        self.replies > 0 || self.expect.is_some()
    }

    /// Sends datagrams; waits for the answers to each before the next.
    fn exchange(&mut self, datagrams: &[&[u8]], buffer: &mut [u8]) -> Result<(), Failure> {
        self.check_deadline()?;
        if !self.is_answered() {
            return self.send(datagrams);
        }
        datagrams.iter().try_for_each(|bytes| self.ask(bytes, buffer))
    }

    fn check_deadline(&self) -> Result<(), Failure> {
        if self.deadline.passed() {
            return Err(
                Failure::timed_out("send to", &self.to.from).hint("the deadline has passed")
            );
        }
        Ok(())
    }

    /// Sends one datagram and waits for the answers to it.
    fn ask(&mut self, bytes: &[u8], buffer: &mut [u8]) -> Result<(), Failure> {
        self.send(&[bytes])?;
        let wanted = self.replies.max(1);
        let mut retries = self.retries;
        let mut received = 0;
        while received < wanted {
            match self.receive(buffer)? {
                Answer::Came => received += 1,
                Answer::Elsewhere => self.send(&[bytes])?,
                Answer::Missing if received == 0 && retries > 0 && !self.deadline.passed() => {
                    retries -= 1;
                    self.send(&[bytes])?;
                }
                Answer::Missing => return Err(self.missing(received, wanted)),
            }
        }
        Ok(())
    }

    /// The failure when an answer does not come.
    fn missing(&self, received: usize, wanted: usize) -> Failure {
        if let Some(pattern) = &self.expect {
            let cause = if self.deadline.passed() {
                "the deadline has passed (--deadline)".into()
            } else {
                format!("not within {} (-w)", quantity::shown(self.timeout))
            };
            return self.unmet(pattern, &format!("{cause}; nothing received"));
        }
        let failure = Failure::timed_out("answer from", &self.to.from);
        failure.hint(&format!("received {received} of {wanted} answers"))
    }

    /// Sends datagrams up to the first that is too long.
    fn send(&mut self, datagrams: &[&[u8]]) -> Result<(), Failure> {
        let fits = |one: &&&[u8]| check_size(one.len(), &self.to.from).is_ok();
        let (mut rest, beyond) = datagrams.split_at(datagrams.iter().take_while(fits).count());
        let mut until = self.until();
        let mut is_repeated = false;
        while !rest.is_empty() {
            let error = match self.try_send(rest) {
                Ok(sent) => {
                    for bytes in &rest[..sent] {
                        self.frontend.dump(Direction::Sent, bytes)?;
                    }
                    rest = &rest[sent..];
                    self.sent += sent as u64;
                    until = self.until();
                    is_repeated = false;
                    continue;
                }
                Err(e) if would_block(&e) && until.passed() => return Err(self.stalled()),
                Err(e) if would_block(&e) => match self.socket.wait(PollFlags::POLLOUT, until) {
                    Ok(()) => continue,
                    Err(e) => e,
                },
                Err(e) => e,
            };
            let is_first = self.failure.is_none() && !self.frontend.seat.is_prompt();
            if !self.gone(error)? {
                if is_first && let Some(failure) = &self.failure {
                    let notice = format!("{failure}; what follows is sent nevertheless");
                    self.frontend.talk.notice(Level::Verbose, &notice);
                }
                // It may have been about a datagram before: this one has a second try.
                rest = if is_repeated { &rest[1..] } else { rest };
                is_repeated = !is_repeated;
            }
        }
        beyond.first().map_or(Ok(()), |one| check_size(one.len(), &self.to.from))
    }

    /// Sends datagrams: how many were sent. Where another address may do, a refusal is looked for at
    /// once.
    fn try_send(&self, datagrams: &[&[u8]]) -> io::Result<usize> {
        let sent = self.socket.send(datagrams, &self.to)?;
        let error = if self.target.has_next() { self.socket.take_error()? } else { None };
        error.map_or(Ok(sent), Err)
    }

    /// The failure of a receiver that takes no more.
    fn stalled(&self) -> Failure {
        let cause = if self.deadline.passed() {
            "the deadline has passed".into()
        } else {
            format!("nothing taken for {} (-w)", quantity::shown(self.timeout))
        };
        let sent = match self.sent {
            1 => "1 datagram was sent".into(),
            more => format!("{more} datagrams were sent"),
        };
        Failure::timed_out("send to", &self.to.from).hint(&format!("{cause}, {sent}"))
    }

    fn until(&self) -> Deadline {
        Deadline::after(self.timeout).min(self.deadline)
    }

    /// Waits for the next answer, shows and checks it.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Answer, Failure> {
        let until = self.until();
        loop {
            let is_over = until.passed();
            let error = match self.socket.recv(buffer) {
                Ok(received) => {
                    self.show(&received)?;
                    self.frontend.wait_for_room(self.deadline)?;
                    received.datagrams().try_for_each(|bytes| self.expect(bytes))?;
                    return Ok(Answer::Came);
                }
                Err(e) if would_block(&e) && is_over => return Ok(Answer::Missing),
                Err(e) if would_block(&e) => match self.socket.wait(PollFlags::POLLIN, until) {
                    Ok(()) => continue,
                    Err(e) => e,
                },
                Err(e) => e,
            };
            if self.gone(error)? {
                return Ok(Answer::Elsewhere);
            }
        }
    }

    fn show(&self, received: &Received<'_>) -> Result<(), Failure> {
        received.datagrams().try_for_each(|bytes| {
            self.frontend.dump(Direction::Received, bytes)?;
            self.frontend.show(&received.envelope.from, bytes);
            Ok(())
        })
    }

    fn expect(&self, answer: &[u8]) -> Result<(), Failure> {
        let Some(pattern) = &self.expect else {
            return Ok(());
        };
        let found = pattern.find(answer).map(|found| found.as_bytes());
        self.frontend.talk.say(&Event::expected(pattern.as_str(), found));
        if found.is_some() {
            return Ok(());
        }
        let (count, shown) = (answer.len(), text::show(answer));
        let bytes = if count == 1 { "byte" } else { "bytes" };
        let cause =
            format!("the answer does not match; received {count} {bytes}: {}", quoted(shown));
        Err(self.unmet(pattern, &cause))
    }

    fn unmet(&self, pattern: &Pattern, cause: &str) -> Failure {
        let target = format!("{} from {}", quoted(pattern.as_str()), self.to.from);
        Failure::new("expect", target, cause, Exit::Expectation)
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::system("send to", &self.to.from, error)
    }

    /// At a prompt: each line is a datagram, answers appear above the line being typed.
    pub fn converse(&mut self) -> Result<(), Failure> {
        let mut poller = self.frontend.poller(&self.socket).during("wait for datagrams", "")?;
        let mut buffer = self.socket.buffer();
        let mut ready: Vec<Ready> = Vec::new();
        let mut last_look = LastLook::default();
        loop {
            if last_look.is_over(self.deadline, !ready.is_empty()) {
                self.check_deadline()?;
            }
            ready.clear();
            poller.wait(&mut ready, self.deadline).during("wait for datagrams", "")?;
            if let Some(signal) = self.frontend.signals.as_ref().and_then(Deferred::take) {
                return Err(Failure::silent(Exit::of_signal(signal)));
            }
            // A closed port is reported, and tried again with the next line.
            if ready.iter().any(|event| event.failed)
                && let Ok(Some(e)) | Err(e) = self.socket.take_error()
            {
                self.frontend.talk.failure(&self.failed(&e));
            }
            match self.socket.recv(&mut buffer) {
                Ok(received) => self.show(&received)?,
                Err(e) if would_block(&e) => {}
                Err(e) => self.frontend.talk.failure(&self.failed(&e)),
            }
            let (lines, left) = self.frontend.typed();
            for line in lines {
                let sent = self.send(&[line.as_bytes()]);
                if let Err(failure) = sent.and(self.failure.take().map_or(Ok(()), Err)) {
                    self.frontend.talk.failure(&failure);
                }
            }
            match left {
                None => self.frontend.seat.ask(),
                Some(left) => return left.result(),
            }
        }
    }
}

/// Refuses what no datagram can hold.
fn check_size(len: usize, to: &Endpoint) -> Result<(), Failure> {
    match limit(to) {
        Some(most) if len > most => Err(Failure::usage(format!(
            "a datagram of {len} bytes to {to}: the limit is {most}; use --chunk"
        ))),
        _ => Ok(()),
    }
}

fn read_failed(error: &io::Error) -> Failure {
    Failure::system("read", "stdin", error)
}

/// All of stdin; of too much for a datagram only as much as it takes to say so.
fn whole() -> Result<Vec<u8>, Failure> {
    let mut all = Vec::new();
    let read =
        Stdio::input().waiting(Deadline::of_run()).take(LARGEST as u64 + 1).read_to_end(&mut all);
    read.map(|_| all).map_err(|e| read_failed(&e))
}

/// Calls `each` with the lines of stdin, without their newlines: as many as there are, `most` at a
/// time. A line too long for any datagram is given as far as it was read: sending it fails.
fn lines(
    most: usize,
    mut each: impl FnMut(&[&[u8]]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut stdin = BufReader::new(Stdio::input().waiting(Deadline::of_run()));
    let mut held = Vec::new();
    loop {
        let count = match stdin.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(read_failed(&e)),
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
            None if held.len() > LARGEST => held.len(),
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
fn chunks(size: usize, mut each: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut stdin = BufReader::new(Stdio::input().waiting(Deadline::of_run()));
    let mut piece = Vec::with_capacity(size.min(LARGEST));
    loop {
        piece.clear();
        match stdin.by_ref().take(size as u64).read_to_end(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(_) => each(&piece)?,
            Err(e) => return Err(read_failed(&e)),
        }
    }
}
