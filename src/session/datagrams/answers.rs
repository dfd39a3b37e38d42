//! Answers, and datagrams for the target of a relay, on their way: sent at once where the socket has room,
//! else when it has.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::console::log_limit::LogLimit;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::errno::would_block;
use crate::net::udp::{Datagrams, Envelope};

/// When sending is tried again where epoll(7) does not know when there is room.
const SEND_POLL: Duration = Duration::from_millis(5);

/// Sends datagrams; failures are reported and forgotten.
pub struct AnswerQueue {
    /// The socket that answers leave from.
    pub socket: Rc<Datagrams>,
    /// Each with the socket that it leaves from.
    waiting: VecDeque<(Vec<u8>, Envelope, Rc<Datagrams>)>,
    /// How long an answer waits for room in the socket.
    timeout: Duration,
    /// When the first that waits is given up.
    until: Deadline,
    /// Whose answer was given up last: none waits for it again until one was sent.
    stalled_peer: Option<Endpoint>,
    log_limit: LogLimit,
}

impl AnswerQueue {
    /// Nothing waits yet.
    pub fn new(socket: Datagrams, timeout: Duration, log_limit: LogLimit) -> Self {
        let (waiting, until, stalled_peer) = (VecDeque::new(), Deadline::NEVER, None);
        let socket = Rc::new(socket);
        Self { socket, waiting, timeout, until, stalled_peer, log_limit }
    }

    /// Sends answers to one peer; those that find no room wait.
    pub fn send(&mut self, answers: &[&[u8]], to: &Envelope) {
        self.send_from(&Rc::clone(&self.socket), answers, to);
    }

    /// The same from another socket.
    pub fn send_from(&mut self, socket: &Rc<Datagrams>, mut answers: &[&[u8]], to: &Envelope) {
        if self.waiting.is_empty() {
            while !answers.is_empty()
                && let Some(done) = self.try_send(socket, answers, to)
            {
                answers = &answers[done..];
            }
            self.until = Deadline::after(self.timeout);
        }
        let waiting = answers.iter().map(|bytes| (bytes.to_vec(), to.clone(), Rc::clone(socket)));
        self.waiting.extend(waiting);
    }

    /// Sends what waits and has room now, or gives the first up where it has waited too long.
    pub fn flush(&mut self) {
        if let Some((_, to, _)) = self.waiting.front()
            && self.until.passed()
        {
            self.stalled_peer = Some(to.from.clone());
        }
        while let Some((bytes, to, socket)) = self.waiting.pop_front() {
            if self.try_send(&socket, &[&bytes], &to).is_none() {
                return self.waiting.push_front((bytes, to, socket));
            }
            self.until = Deadline::after(self.timeout);
        }
    }

    /// Sends answers: how many are done with, sent or failed; `None` where they have to wait.
    fn try_send(&mut self, socket: &Datagrams, answers: &[&[u8]], to: &Envelope) -> Option<usize> {
        let is_stalled = self.stalled_peer.as_ref() == Some(&to.from);
        let mut result = socket.send(answers, to);
        if let Err(first) = &result
            && socket.is_connected()
            && !would_block(first)
            && let Ok(sent) = socket.send(answers, to)
        {
            // An ICMP error about a datagram before.
            self.failed(&to.from, first);
            result = Ok(sent);
        }
        match result {
            Ok(sent) => {
                self.stalled_peer = self.stalled_peer.take().filter(|_| !is_stalled);
                Some(sent)
            }
            Err(e) if would_block(&e) && !is_stalled => None,
            Err(e) => {
                self.failed(&to.from, &e);
                Some(1)
            }
        }
    }

    /// Reports that datagrams did not get to a peer.
    pub fn failed(&mut self, to: &Endpoint, error: &io::Error) {
        let failure = match to {
            Endpoint::Unix(name) if name.is_empty() => {
                let cause = "the sender is not bound to a name, so it cannot be answered";
                Failure::new("answer", "a UNIX sender", cause, Exit::Other)
            }
            _ if would_block(error) => {
                Failure::timed_out("send to", to).hint("it takes no more datagrams")
            }
            _ => Failure::system("send to", to, error),
        };
        self.report(&failure);
    }

    /// Reports what a peer has caused.
    pub fn report(&mut self, failure: &Failure) {
        self.log_limit.failure(failure, Instant::now());
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the socket is to be watched for room.
    pub fn wants_room(&self) -> bool {
        self.waiting.front().is_some_and(|(.., socket)| self.is_watched(socket))
    }

    /// When [`AnswerQueue::flush`] is due though there is no room.
    pub fn deadline(&self) -> Deadline {
        match self.waiting.front() {
            None => Deadline::NEVER,
            Some((.., socket)) if self.is_watched(socket) => self.until,
            Some(_) => self.until.min(Deadline::after(SEND_POLL)),
        }
    }

    /// Whether room in this socket wakes the loop.
    fn is_watched(&self, socket: &Rc<Datagrams>) -> bool {
        Rc::ptr_eq(socket, &self.socket) && socket.knows_room()
    }
}
