//! `udp-send` both ways at once, at its prompt and with `--talk`: what is entered leaves as datagrams,
//! and what comes is shown. An ICMP error is reported once, and ends nothing.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;

use super::send::{Sender, check_size};
use crate::exit::{During, Exit, Failure};
use crate::net::deadline::{Deadline, DeadlineGrace, wait};
use crate::net::errno::would_block;
use crate::net::quantity;
use crate::net::signal::Deferred;
use crate::net::stdio::Stdio;
use crate::net::udp::SEGMENTS;
use crate::session::seat::Leave;

/// How far a talk has come.
struct Progress {
    /// Entered, and not sent yet.
    waiting: VecDeque<Vec<u8>>,
    /// How long the first of them may wait for room.
    until: Deadline,
    /// Input has ended.
    left: Option<Leave>,
    /// How long it may be silent then.
    linger: Duration,
    /// The same before that; zero: no limit.
    idle: Duration,
    /// When a datagram was last sent or received, or input ended.
    active: Instant,
    has_received: bool,
}

impl Sender<'_> {
    /// Talks until input has ended and nothing has come for the `linger` time; no datagram for `idle`
    /// (zero: no limit) is a failure. In a pipe it fails where
    /// nothing was ever received and ICMP said why; at a prompt only where Ctrl-C left it.
    pub fn converse(&mut self, idle: Duration, linger: Duration) -> Result<(), Failure> {
        let mut progress = Progress {
            waiting: VecDeque::new(),
            until: Deadline::NEVER,
            left: None,
            linger,
            idle,
            active: Instant::now(),
            has_received: false,
        };
        let mut buffer = self.socket.buffer();
        let mut deadline_grace = DeadlineGrace::default();
        let mut is_ready = false;
        loop {
            let (end, idle) = self.limits(&progress);
            let until = end.min(idle).min(self.deadline);
            if deadline_grace.is_over(until, is_ready) {
                self.check_deadline()?;
                return match end.passed() {
                    true if progress.waiting.is_empty() => self.result(&progress),
                    true => Err(self.stalled()),
                    false => Err(self.idle_timeout(progress.idle)),
                };
            }
            if progress.waiting.is_empty() && progress.left.is_none() {
                self.frontend.seat.ask();
            }
            is_ready = self.watch(!progress.waiting.is_empty(), until)?;
            if let Some(signal) = self.frontend.signals.as_ref().and_then(Deferred::take) {
                self.frontend.stop();
                return Err(Failure::silent(Exit::of_signal(signal)));
            }
            if let Some(failure) = self.frontend.seat.failure() {
                return Err(failure);
            }
            self.receive_some(&mut progress, &mut buffer)?;
            self.enter(&mut progress)?;
            self.send_some(&mut progress)?;
        }
    }

    /// When the talk is over, as nothing comes any more or what waits is not taken; and when `-i` ends
    /// it.
    fn limits(&self, progress: &Progress) -> (Deadline, Deadline) {
        let end = match progress.left {
            _ if !progress.waiting.is_empty() => progress.until,
            Some(Leave::Interrupted) => Deadline::at(progress.active),
            // Datagrams that stdout has no room for wait in the socket.
            Some(Leave::Quit) if !self.frontend.seat.is_full() => {
                Deadline::at(progress.active + progress.linger)
            }
            _ => Deadline::NEVER,
        };
        let idle = (!progress.idle.is_zero()).then(|| progress.active + progress.idle);
        (end, idle.into())
    }

    /// Waits for a datagram, for input, a signal, or room in the socket: whether any is there.
    fn watch(&mut self, wants_room: bool, until: Deadline) -> Result<bool, Failure> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, !self.frontend.seat.is_full());
        flags.set(PollFlags::POLLOUT, wants_room);
        let input = self.frontend.inbox.waker.as_fd();
        let signals = self.frontend.signals.as_ref().map_or(input, AsFd::as_fd);
        // A reader of stdout that goes away is noticed at once.
        let output = Stdio::output();
        let reader = if output.is_to_reader() { output.as_fd() } else { input };
        let watched = [
            (self.socket.as_fd(), flags),
            (input, PollFlags::POLLIN),
            (signals, PollFlags::POLLIN),
            (reader, PollFlags::empty()),
        ];
        let ready = wait(watched, until).during("wait for datagrams", "")?;
        if !ready[3].is_empty() {
            return Err(Failure::output(Errno::EPIPE));
        }
        if ready[0].contains(PollFlags::POLLERR)
            && let Ok(Some(e)) | Err(e) = self.socket.take_error()
        {
            self.survive(e)?;
        }
        Ok(ready.iter().any(|ready| !ready.is_empty()))
    }

    /// Shows what has come, as far as stdout has room.
    fn receive_some(&mut self, progress: &mut Progress, buffer: &mut [u8]) -> Result<(), Failure> {
        // What is to be sent has its turn, too.
        for _ in 0..SEGMENTS {
            if self.frontend.seat.is_full() {
                return Ok(());
            }
            match self.socket.recv(buffer) {
                Ok(received) => self.show(&received, true)?,
                Err(e) if would_block(&e) => return Ok(()),
                Err(e) => {
                    self.survive(e)?;
                    continue;
                }
            }
            progress.active = Instant::now();
            progress.has_received = true;
            self.failure = None;
        }
        Ok(())
    }

    /// Takes what was entered.
    fn enter(&mut self, progress: &mut Progress) -> Result<(), Failure> {
        let (entered, left) = self.frontend.entered()?;
        if self.frontend.seat.is_prompt() && !entered.is_empty() {
            self.failure = None; // the loss of each line is reported
        }
        if progress.waiting.is_empty() {
            progress.until = self.until();
        }
        progress.waiting.extend(entered);
        if left.is_some() {
            progress.left = left;
            progress.active = Instant::now();
            self.frontend.seat.stop_reading();
        }
        Ok(())
    }

    /// Sends some of what waits. What is too long fails when its turn comes, behind all before it.
    fn send_some(&mut self, progress: &mut Progress) -> Result<(), Failure> {
        if progress.waiting.is_empty() {
            return Ok(());
        }
        let some: Vec<&[u8]> = progress.waiting.iter().take(SEGMENTS).map(Vec::as_slice).collect();
        let sent = match self.count_fitting(&some) {
            0 => check_size(some[0].len(), &self.to.from).map(|()| 0),
            count => self.try_send(&some[..count]),
        };
        let done = match sent {
            Ok(done) => done,
            Err(failure) => self.at_prompt(failure).map(|()| 1)?,
        };
        if done > 0 {
            progress.waiting.drain(..done);
            progress.until = self.until();
            progress.active = Instant::now();
        }
        Ok(())
    }

    /// Goes on behind an ICMP error; any other ends a talk in a pipe.
    fn survive(&mut self, error: io::Error) -> Result<(), Failure> {
        self.try_next_address(error).map(drop).or_else(|failure| self.at_prompt(failure))
    }

    /// At a prompt a failure is reported, and the talk goes on.
    fn at_prompt(&self, failure: Failure) -> Result<(), Failure> {
        if !self.frontend.seat.is_prompt() {
            return Err(failure);
        }
        self.frontend.talk.failure(&failure);
        Ok(())
    }

    fn idle_timeout(&self, limit: Duration) -> Failure {
        let cause = format!("idle timeout: no datagram for {} (-i)", quantity::shown(limit));
        Failure::new("talk to", &self.to.from, cause, Exit::TimedOut)
    }

    /// How a talk that has come to its end went. The failure was reported when it came.
    fn result(&self, progress: &Progress) -> Result<(), Failure> {
        match &self.failure {
            Some(failure) if !progress.has_received && !self.frontend.seat.is_prompt() => {
                Err(Failure::silent(failure.exit))
            }
            _ => progress.left.map_or(Ok(()), Leave::result),
        }
    }
}
