//! Answers on their way: sent at once where the socket has room, else when it has.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use crate::console::log_limit::LogLimit;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::errno::would_block;
use crate::net::udp::{Datagrams, Envelope};

/// When sending is tried again where epoll(7) does not know when there is room.
const SEND_POLL: Duration = Duration::from_millis(5);

/// Sends answers through a socket; failures are reported and forgotten.
pub struct AnswerQueue {
    /// The socket.
    pub socket: Datagrams,
    waiting: VecDeque<(Vec<u8>, Envelope)>,
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
    pub fn new(socket: Datagrams, timeout: Duration, talk: Talk) -> Self {
        let log_limit = LogLimit::for_peers(talk);
        let (waiting, until, stalled_peer) = (VecDeque::new(), Deadline::NEVER, None);
        Self { socket, waiting, timeout, until, stalled_peer, log_limit }
    }

    /// Sends answers to one peer; those that find no room wait.
    pub fn send(&mut self, mut answers: &[&[u8]], to: &Envelope) {
        if self.waiting.is_empty() {
            while !answers.is_empty()
                && let Some(done) = self.try_send(answers, to)
            {
                answers = &answers[done..];
            }
            self.until = Deadline::after(self.timeout);
        }
        self.waiting.extend(answers.iter().map(|bytes| (bytes.to_vec(), to.clone())));
    }

    /// Sends what waits and has room now, or gives the first up where it has waited too long.
    pub fn flush(&mut self) {
        if let Some((_, to)) = self.waiting.front()
            && self.until.passed()
        {
            self.stalled_peer = Some(to.from.clone());
        }
        while let Some((bytes, to)) = self.waiting.pop_front() {
            if self.try_send(&[&bytes], &to).is_none() {
                return self.waiting.push_front((bytes, to));
            }
            self.until = Deadline::after(self.timeout);
        }
    }

    /// Sends answers: how many are done with, sent or failed; `None` where they have to wait.
    fn try_send(&mut self, answers: &[&[u8]], to: &Envelope) -> Option<usize> {
        let is_stalled = self.stalled_peer.as_ref() == Some(&to.from);
        match self.socket.send(answers, to) {
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

    fn failed(&mut self, to: &Endpoint, error: &io::Error) {
        let failure = match to {
            Endpoint::Unix(name) if name.is_empty() => {
                let cause = "the sender is not bound to a name, so it cannot be answered";
                Failure::new("answer", "a UNIX sender", cause, Exit::Other)
            }
            _ if would_block(error) => {
                Failure::timed_out("send to", to).hint("it takes no more answers")
            }
            _ => Failure::system("send to", to, error),
        };
        self.log_limit.failure(&failure, Instant::now());
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the socket is to be watched for room.
    pub fn wants_room(&self) -> bool {
        !self.is_empty() && self.socket.knows_room()
    }

    /// When [`AnswerQueue::flush`] is due though there is no room.
    pub fn deadline(&self) -> Deadline {
        match self.is_empty() {
            true => Deadline::NEVER,
            false if self.socket.knows_room() => self.until,
            false => self.until.min(Deadline::after(SEND_POLL)),
        }
    }
}
