//! Carries out a script on a connection; received data goes to stdout. The script decides, this file
//! sends, writes and watches the timeouts.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::{Action, Script};
use crate::console::event::{Event, Reason};
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::line::LineEnds;
use crate::net::quantity;
use crate::session::stdio::Streams;
use crate::session::{Clients, Handler, Id, StreamEnd};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first step comes after what the peer has sent already: a peer that has closed would
    /// answer bytes with a reset, which destroys what is on its way.
    Opening,
    /// There are steps to do.
    Steps,
    /// Our side has ended (if it should), the answer is read to its end.
    Answer,
    /// What came is written to stdout, then the connection is closed.
    Closing,
}

/// The handler.
pub struct Scripted {
    script: Script,
    /// The whole script, where it can be begun anew.
    again: Option<Script>,
    streams: Streams,
    line_ends: LineEnds,
    /// `-w`: bounds each expectation, how long the peer may take nothing, and how long it may take
    /// to begin its answer to the last step; zero: no limit.
    step_limit: Duration,
    talk: Talk,
    client: Option<Id>,
    phase: Phase,
    /// When the step on hand began, or last got on.
    step_began: Instant,
    /// Bytes came since the last send began.
    has_answer: bool,
    /// The step on hand was not done in time.
    is_late: bool,
    /// The event of an expectation that is not met was written.
    is_reported: bool,
}

impl Scripted {
    /// Takes stdout, unless received data is dropped. `sanitize`: stdout is a terminal.
    pub fn new(
        script: Script,
        receive: bool,
        crlf: bool,
        sanitize: bool,
        step_limit: Duration,
        talk: Talk,
    ) -> Result<Self, Failure> {
        Ok(Self {
            script,
            again: None,
            streams: Streams::new(false, receive, sanitize)?,
            line_ends: LineEnds::new(crlf),
            step_limit,
            talk,
            client: None,
            phase: Phase::Opening,
            step_began: Instant::now(),
            has_answer: false,
            is_late: false,
            is_reported: false,
        })
    }

    /// With `--wait`: a connection that ends before its first byte, while one is awaited, counts as
    /// not there yet. So it is with a proxy that accepts before the service does.
    #[must_use]
    pub fn restarting(mut self) -> Self {
        self.again = Some(self.script.clone());
        self
    }

    /// `--timestamps`: the time stands before each line that comes.
    #[must_use]
    pub fn stamping(mut self, on: bool) -> Self {
        self.streams = self.streams.stamping(on);
        self
    }

    /// Does what the script asks for, as far as it can be done at once.
    fn act(&mut self, clients: &mut dyn Clients) {
        let Some(client) = self.client else {
            return;
        };
        while self.phase == Phase::Steps {
            match self.script.act() {
                Action::Send(bytes) => {
                    self.has_answer = false;
                    clients.send(client, &self.line_ends.convert(&bytes));
                    if clients.queued(client) == 0 {
                        self.script.sent();
                    }
                }
                Action::Met { pattern, matched } => {
                    self.talk.say(&Event::expected(&pattern, Some(&matched)));
                }
                Action::Await => return,
                Action::Unmet => {
                    self.report_unmet();
                    return clients.abort(client, Reason::Eof);
                }
                Action::Answer => {
                    clients.finish(client);
                    self.phase = Phase::Answer;
                }
                Action::Close => self.phase = Phase::Closing,
            }
            self.step_began = Instant::now();
        }
        if self.phase == Phase::Closing && !self.streams.has_pending() {
            clients.close(client, Reason::Eof);
        }
    }

    /// When the step on hand is late; before the first one, when that begins.
    fn step_deadline(&self) -> Deadline {
        let is_bounded = match self.phase {
            _ if self.client.is_none() => false,
            Phase::Opening => return Deadline::at(self.step_began),
            Phase::Steps => true,
            Phase::Answer => !self.has_answer,
            Phase::Closing => false,
        };
        if !is_bounded || self.step_limit.is_zero() {
            return Deadline::NEVER;
        }
        self.step_began.checked_add(self.step_limit).into()
    }

    fn check_step(&mut self, clients: &mut dyn Clients) {
        if let Some(client) = self.client
            && self.step_deadline().passed()
        {
            // Whatever the peer takes is progress.
            let stalled = clients.stalled(client);
            if stalled < self.step_limit {
                let now = Instant::now();
                self.step_began = now.checked_sub(stalled).unwrap_or(now);
                return;
            }
            self.is_late = true;
            self.report_unmet();
            clients.abort(client, Reason::Error);
        }
    }

    /// The event of an expectation that is not met.
    fn report_unmet(&mut self) {
        if let Some((pattern, _)) = self.script.pending().filter(|_| !self.is_reported) {
            self.talk.say(&Event::expected(pattern, None));
            self.is_reported = true;
        }
    }

    /// The failure of the script, whatever the end of the connection means: an expectation that was
    /// pending then, for `cause`, or a step that was late.
    pub fn verdict(&mut self, cause: String, peer: &Endpoint, sent: u64) -> Option<Failure> {
        let limit = quantity::shown(self.step_limit);
        let Some((_, named)) = self.script.pending() else {
            return self.is_late.then(|| self.late(&limit, peer, sent));
        };
        let cause = if self.is_late { format!("not within {limit} (-w)") } else { cause };
        let target = format!("{named} {peer}");
        let cause = format!("{cause}; {}", self.script.account());
        self.report_unmet();
        Some(Failure::new("expect", target, cause, Exit::Expectation))
    }

    /// The failure of a peer that read nothing, or answered nothing, for too long.
    fn late(&self, limit: &str, peer: &Endpoint, sent: u64) -> Failure {
        if self.script.is_done() {
            Failure::timed_out("answer from", peer).hint(&format!("no reply within {limit} (-w)"))
        } else {
            Failure::timed_out("send to", peer)
                .hint(&format!("the peer read nothing for {limit} (-w), after {sent} bytes"))
        }
    }
}

impl Handler for Scripted {
    fn joined(&mut self, client: Id, _clients: &mut dyn Clients) {
        self.client = Some(client);
        self.step_began = Instant::now();
    }

    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        if self.phase != Phase::Closing {
            self.script.feed(bytes);
            self.has_answer = true;
            self.streams.write(client, bytes, clients);
            self.act(clients);
        }
        bytes.len()
    }

    fn ended(&mut self, client: Id, end: StreamEnd, clients: &mut dyn Clients) {
        self.streams.end_text(client, clients);
        if end == StreamEnd::Limit {
            return clients.close(client, Reason::Limit);
        }
        if self.again.is_none() {
            self.streams.end_output(clients);
        }
        self.script.end();
        self.act(clients);
    }

    fn left(&mut self, _client: Id, _clients: &mut dyn Clients) {
        self.client = None;
    }

    fn drained(&mut self, _client: Id, clients: &mut dyn Clients) {
        self.script.sent();
        self.step_began = Instant::now();
        self.act(clients);
    }

    fn deadline(&self) -> Deadline {
        self.step_deadline().min(self.streams.deadline())
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        self.streams.tick(clients);
        if self.client.is_some() && self.phase == Phase::Opening {
            self.phase = Phase::Steps;
        }
        self.act(clients);
        self.check_step(clients);
    }

    fn stopping(&mut self, until: Deadline, _clients: &mut dyn Clients) {
        self.streams.stop(until);
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        Some(self.streams.as_fd())
    }

    fn is_busy(&self) -> bool {
        self.streams.is_busy()
    }

    fn restart(&mut self) -> bool {
        let Some(script) = self.again.clone().filter(|_| self.phase != Phase::Closing) else {
            return false;
        };
        self.script = script;
        self.phase = Phase::Opening;
        (self.has_answer, self.is_late, self.is_reported) = (false, false, false);
        true
    }
}
