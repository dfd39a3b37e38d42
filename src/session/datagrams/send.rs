//! `udp-send`: datagrams out, to the first address of a name that takes them.

use std::io;
use std::time::Duration;

use nix::poll::PollFlags;

use super::frontend::Frontend;
use super::input::{self, Content};
use crate::console::event::Level;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::dump::Direction;
use crate::net::endpoint::Endpoint;
use crate::net::errno::would_block;
use crate::net::quantity;
use crate::net::retry::Retry;
use crate::net::udp::{Datagrams, Destination, Envelope, Received, SEGMENTS, limit};
use crate::session::pattern::Pattern;

/// A sender of datagrams to one address.
pub struct Sender<'a> {
    /// Its socket.
    pub socket: Datagrams,
    /// The addresses that it may send to.
    pub destination: Destination,
    /// Where it sends to.
    pub to: Envelope,
    /// `--reply`: answers to each datagram; 0: none is waited for.
    pub replies: usize,
    /// `--retries`: how often a datagram is sent again while no answer came.
    pub retries: usize,
    /// `--wait`: how long it is sent again, whatever ICMP says.
    pub retry: Option<Retry>,
    /// `-w`: how long each answer may take, and a receiver that takes nothing.
    pub timeout: Duration,
    /// `--expect`: what an answer must match.
    pub expect: Option<Pattern>,
    /// `--talk`, or a prompt: datagrams go both ways at once.
    pub talks: bool,
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
    /// Sends everything there is to send, each datagram with the answers to it; `interval` is the pause
    /// between them.
    pub fn run(&mut self, content: Content, interval: Duration) -> Result<(), Failure> {
        let mut buffer = self.socket.buffer();
        let mut is_first = true;
        let (to, is_batched) = (self.to.from.clone(), interval.is_zero());
        let mut next = |datagrams: &[&[u8]]| {
            if !std::mem::replace(&mut is_first, false) && !interval.is_zero() {
                let left = self.deadline.remaining().unwrap_or(interval);
                std::thread::sleep(left.min(interval));
            }
            self.exchange(datagrams, &mut buffer)
        };
        let mut fixed = |datagrams: Vec<Vec<u8>>, count| {
            datagrams.iter().try_for_each(|bytes| check_size(bytes.len(), &to))?;
            (0..count).try_for_each(|_| datagrams.iter().try_for_each(|bytes| next(&[bytes])))
        };
        match content {
            Content::Fixed(datagrams, count) => fixed(datagrams, count)?,
            Content::Whole(count) => fixed(vec![input::whole()?], count)?,
            Content::Chunks(size) => {
                check_size(size, &to)?;
                input::chunks(size, |piece| next(&[piece]))?;
            }
            Content::Lines if is_batched => input::lines(SEGMENTS, next)?,
            Content::Lines => input::lines(1, next)?,
        }
        if self.retry.is_none()
            && let Ok(Some(e)) | Err(e) = self.socket.take_error()
        {
            self.try_next_address(e)?; // an ICMP error that has come back
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Sends datagrams; waits for the answers to each before the next.
    fn exchange(&mut self, datagrams: &[&[u8]], buffer: &mut [u8]) -> Result<(), Failure> {
        self.check_deadline()?;
        if !self.is_answered() {
            return self.send(datagrams);
        }
        datagrams.iter().try_for_each(|bytes| self.ask(bytes, buffer))
    }

    /// Whether answers are waited for.
    pub(super) fn is_answered(&self) -> bool {
        self.replies > 0 || self.expect.is_some() || self.retry.is_some()
    }

    pub(super) fn check_deadline(&self) -> Result<(), Failure> {
        if self.deadline.passed() {
            return Err(
                Failure::timed_out("send to", &self.to.from).hint("the deadline has passed")
            );
        }
        Ok(())
    }

    /// Sends datagrams up to the first that is too long.
    pub(super) fn send(&mut self, datagrams: &[&[u8]]) -> Result<(), Failure> {
        let (mut rest, beyond) = datagrams.split_at(self.count_fitting(datagrams));
        let mut until = self.until();
        while !rest.is_empty() {
            let done = self.try_send(rest)?;
            rest = &rest[done..];
            if done > 0 {
                until = self.until();
            } else if until.passed() {
                return Err(self.stalled());
            } else if let Err(e) = self.socket.wait(PollFlags::POLLOUT, until) {
                self.try_next_address(e)?;
            }
        }
        beyond.first().map_or(Ok(()), |one| check_size(one.len(), &self.to.from))
    }

    /// How many of these, from the first on, are no longer than a datagram can be.
    pub(super) fn count_fitting(&self, datagrams: &[&[u8]]) -> usize {
        let fits = |one: &&&[u8]| check_size(one.len(), &self.to.from).is_ok();
        datagrams.iter().take_while(fits).count()
    }

    /// Sends datagrams, as many as one call takes: how many are done with, sent or given up; 0 where
    /// there is no room.
    pub(super) fn try_send(&mut self, datagrams: &[&[u8]]) -> Result<usize, Failure> {
        let mut is_repeated = false;
        loop {
            let error = match self.transmit(datagrams) {
                Ok(sent) => {
                    for bytes in &datagrams[..sent] {
                        self.frontend.dump(Direction::Sent, bytes)?;
                    }
                    self.sent += sent as u64;
                    return Ok(sent);
                }
                Err(e) if would_block(&e) => return Ok(0),
                Err(e) => e,
            };
            // It may have been about a datagram before: this one has a second try.
            if !self.try_next_address(error)? && std::mem::replace(&mut is_repeated, true) {
                return Ok(1);
            }
        }
    }

    /// Where another address may do, a refusal is looked for at once.
    fn transmit(&self, datagrams: &[&[u8]]) -> io::Result<usize> {
        let sent = self.socket.send(datagrams, &self.to)?;
        let error = if self.destination.has_next() { self.socket.take_error()? } else { None };
        error.map_or(Ok(sent), Err)
    }

    /// An address takes no datagrams, at least now: whether there is another one, which is the next
    /// from now on. Where answers are awaited there has to be, unless the time of `--wait` runs.
    pub(super) fn try_next_address(&mut self, error: io::Error) -> Result<bool, Failure> {
        let failure = Failure::system("send to", &self.to.from, &error);
        if !matches!(failure.exit, Exit::Refused | Exit::Unreachable) {
            return Err(failure);
        }
        let waits = self.retry.is_some();
        let failure = match self.destination.next_address(&mut self.socket, &self.to.from, error) {
            Ok(to) => {
                self.to = Envelope::to(to);
                if waits {
                    self.failure.get_or_insert(failure);
                }
                return Ok(true);
            }
            Err(failure) if self.is_answered() && !waits => return Err(failure),
            Err(failure) => failure,
        };
        if self.failure.is_none() && !waits {
            self.lost(&failure);
        }
        self.failure = Some(failure);
        Ok(false)
    }

    /// Reports that nothing receives, which ends nothing: in a talk, else with `-v`.
    fn lost(&self, failure: &Failure) {
        let failure = failure.clone().hint("what follows is sent nevertheless");
        let talk = &self.frontend.talk;
        if self.talks {
            talk.failure(&failure);
        } else {
            talk.notice(Level::Verbose, &failure.to_string());
        }
    }

    /// The failure of a receiver that takes no more.
    pub(super) fn stalled(&self) -> Failure {
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

    pub(super) fn until(&self) -> Deadline {
        Deadline::after(self.timeout).min(self.deadline)
    }

    /// Dumps what has come, and shows it unless it is no answer.
    pub(super) fn show(&self, received: &Received<'_>, is_answer: bool) -> Result<(), Failure> {
        received.datagrams().try_for_each(|bytes| {
            self.frontend.dump(Direction::Received, bytes)?;
            if is_answer {
                self.frontend.show(&received.envelope.from, bytes);
            }
            Ok(())
        })
    }
}

/// Refuses what no datagram can hold.
pub(super) fn check_size(len: usize, to: &Endpoint) -> Result<(), Failure> {
    match limit(to) {
        Some(most) if len > most => Err(Failure::usage(format!(
            "a datagram of {len} bytes to {to}: the limit is {most}; use --chunk"
        ))),
        _ => Ok(()),
    }
}
