//! Answers on their way: sent at once where the socket has room, else when it has.

use std::io;
use std::time::Duration;

use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::socket::would_block;
use crate::net::udp::{Datagrams, Envelope};

/// How long an answer waits for room in the socket.
const ROOM: Duration = Duration::from_millis(200);
/// When sending is tried again where epoll(7) does not know when there is room.
const RETRY: Duration = Duration::from_millis(5);

/// Sends answers through a socket; failures are reported and forgotten.
pub struct AnswerQueue {
    /// The socket.
    pub socket: Datagrams,
    waiting: Vec<(Vec<u8>, Envelope)>,
    /// When the first that waits is given up.
    until: Deadline,
    /// Whose answer was given up last: none waits for it again until one was sent.
    stuck: Option<Endpoint>,
    talk: Talk,
}

impl AnswerQueue {
    /// Nothing waits yet.
    pub fn new(socket: Datagrams, talk: Talk) -> Self {
        Self { socket, waiting: Vec::new(), until: Deadline::NEVER, stuck: None, talk }
    }

    /// Sends answers; those that find no room wait.
    pub fn send(&mut self, answers: &[(&[u8], &Envelope)]) {
        let mut rest = answers;
        if self.waiting.is_empty() {
            rest = self.try_send(answers);
            self.until = Deadline::after(ROOM);
        }
        self.waiting.extend(rest.iter().map(|(bytes, to)| (bytes.to_vec(), (*to).clone())));
    }

    /// Sends what waits and has room now, or gives the first up where it has waited too long.
    pub fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        if self.until.passed() {
            self.stuck = Some(self.waiting[0].1.from.clone());
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        let answers: Vec<_> = waiting.iter().map(|(bytes, to)| (&bytes[..], to)).collect();
        let done = answers.len() - self.try_send(&answers).len();
        if done > 0 {
            waiting.drain(..done);
            self.until = Deadline::after(ROOM);
        }
        self.waiting = waiting;
    }

    /// Sends answers until one has to wait; that and those behind it.
    fn try_send<'a, 'b>(
        &mut self,
        mut answers: &'a [(&'b [u8], &'b Envelope)],
    ) -> &'a [(&'b [u8], &'b Envelope)] {
        while let Some((_, to)) = answers.first() {
            let is_stuck = self.stuck.as_ref() == Some(&to.from);
            let done = match self.socket.send(answers) {
                Ok(sent) => {
                    self.stuck = self.stuck.take().filter(|_| !is_stuck);
                    sent
                }
                Err(e) if would_block(&e) && !is_stuck => break,
                Err(e) => {
                    self.failed(&to.from, &e);
                    1
                }
            };
            answers = &answers[done..];
        }
        answers
    }

    fn failed(&self, to: &Endpoint, error: &io::Error) {
        self.talk.failure(&match to {
            Endpoint::Unix(name) if name.is_empty() => {
                let cause = "the sender is not bound to a name, so it cannot be answered";
                Failure::new("answer", "a UNIX sender", cause, Exit::Other)
            }
            _ => Failure::system("send to", to, error),
        });
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
            false => self.until.min(Deadline::after(RETRY)),
        }
    }
}
