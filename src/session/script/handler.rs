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
use crate::net::line::Crlf;
use crate::net::quantity;
use crate::sanitize::Sanitizer;
use crate::session::stdio::Streams;
use crate::session::{Clients, Handler, Id, StreamEnd};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// There are steps to do.
    Steps,
    /// Our side has ended (if it should), the answer is read to its end.
    Answer,
    /// What came is written to stdout, then the connection is closed.
    Closing,
}

/// The handler.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Scripted {
    script: Script,
    streams: Streams,
    crlf: Option<Crlf>,
    sanitizer: Option<Sanitizer>,
    /// `-w`: bounds each expectation, how long the peer may take nothing, and how long it may take
    /// to begin its answer to the last step; zero: no limit.
    step_limit: Duration,
    talk: Talk,
    client: Option<Id>,
    phase: Part,
    /// What a step sends is not on its way yet.
    is_sending: bool,
    /// The first step comes after what the peer has sent already: a peer that has closed would
    /// answer bytes with a reset, which destroys what is on its way.
    is_waiting: bool,
    /// When the step on hand began, or last got on.
    step_began: Instant,
    /// Bytes came since the last send began.
    has_answer: bool,
    /// The step on hand was not done in time.
    is_late: bool,
    /// The event of an expectation that is not met was written.
    is_reported: bool,
    stopping: Deadline,
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
            streams: Streams::new(false, receive)?,
            crlf: crlf.then(Crlf::default),
            sanitizer: sanitize.then(Sanitizer::default),
            step_limit,
            talk,
            client: None,
            phase: Part::Steps,
            is_sending: false,
            is_waiting: false,
            step_began: Instant::now(),
            has_answer: false,
            is_late: false,
            is_reported: false,
            stopping: Deadline::NEVER,
        })
    }

    /// Does what the script asks for, as far as it can be done at once.
    fn act(&mut self, clients: &mut dyn Clients) {
        let Some(client) = self.client else {
            return;
        };
        while self.phase == Part::Steps && !self.is_sending {
            match self.script.act() {
                Action::Send(bytes) => {
                    self.has_answer = false;
                    let mut converted = Vec::new();
                    let payload = match &mut self.crlf {
                        None => &bytes,
                        Some(crlf) => {
                            crlf.feed(&bytes, &mut converted);
                            &converted
                        }
                    };
                    clients.send(client, payload);
                    self.is_sending = clients.queued(client).0 > 0;
                }
                Action::Met { pattern, matched } => {
                    self.talk.say(&Event::expected(&pattern, Some(&matched)));
                }
                Action::Await => return,
                Action::Unmet => {
                    self.report_unmet();
                    return clients.close(client, Reason::Eof);
                }
                Action::Answer => {
                    clients.finish(client);
                    self.phase = Part::Answer;
                }
                Action::Close => self.phase = Part::Closing,
            }
            self.step_began = Instant::now();
        }
        if self.phase == Part::Closing && !self.streams.has_pending() {
            clients.close(client, Reason::Eof);
        }
    }

    /// Writes to stdout; no bytes are the end.
    fn write(&mut self, bytes: &[u8], clients: &mut dyn Clients) {
        let written = match &mut self.sanitizer {
            None => self.streams.write(bytes),
            Some(sanitizer) => {
                let mut text = String::new();
                sanitizer.feed(bytes, &mut text);
                if bytes.is_empty() {
                    sanitizer.finish(&mut text);
                }
                self.streams.write(text.as_bytes())
            }
        };
        self.check_output(written, clients);
    }

    fn check_output(&mut self, written: Result<(), Failure>, clients: &mut dyn Clients) {
        match written {
            Ok(()) => clients.pause_all(self.streams.has_pending()),
            Err(failure) => clients.quit(Err(failure)),
        }
    }

    /// When the step on hand is late.
    fn step_deadline(&self) -> Deadline {
        let is_bounded = match self.phase {
            Part::Steps => true,
            Part::Answer => !self.has_answer,
            Part::Closing => false,
        };
        if self.client.is_none() || !is_bounded || self.step_limit.is_zero() {
            return Deadline::NEVER;
        }
        self.step_began.checked_add(self.step_limit).map_or(Deadline::NEVER, Deadline::at)
    }

    fn check_step(&mut self, clients: &mut dyn Clients) {
        if let Some(client) = self.client
            && self.step_deadline().passed()
        {
            if self.is_sending {
                // Whatever the peer takes is progress.
                let (_, stalled) = clients.queued(client);
                if stalled < self.step_limit {
                    let now = Instant::now();
                    self.step_began = now.checked_sub(stalled).unwrap_or(now);
                    return;
                }
            }
            self.is_late = true;
            self.cut_short();
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

    /// A step whose bytes are not all sent is the last one that was begun.
    fn cut_short(&mut self) {
        if self.is_sending {
            self.script.cut_short();
        }
    }

    /// The failure of the script, whatever the end of the connection means: an expectation that was
    /// pending then, for `cause`, or a step that was late.
    pub fn verdict(&mut self, cause: String, peer: &Endpoint, sent: u64) -> Option<Failure> {
        self.cut_short();
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
        self.is_waiting = true;
    }

    fn received(&mut self, _client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        if self.phase != Part::Closing {
            self.script.feed(bytes);
            self.has_answer = true;
            self.write(bytes, clients);
            self.act(clients);
        }
        bytes.len()
    }

    fn ended(&mut self, client: Id, end: StreamEnd, clients: &mut dyn Clients) {
        self.write(&[], clients);
        if end == StreamEnd::Limit {
            return clients.close(client, Reason::Limit);
        }
        self.script.end();
        self.act(clients);
    }

    fn left(&mut self, _client: Id, _clients: &mut dyn Clients) {
        self.client = None;
    }

    fn drained(&mut self, _client: Id, clients: &mut dyn Clients) {
        self.is_sending = false;
        self.step_began = Instant::now();
        self.act(clients);
    }

    fn deadline(&self) -> Deadline {
        let stopping = if self.is_busy() { self.stopping } else { Deadline::NEVER };
        let start = if self.is_waiting { Deadline::at(self.step_began) } else { Deadline::NEVER };
        self.step_deadline().min(self.streams.deadline()).min(stopping).min(start)
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        if self.streams.ready().output {
            let flushed = self.streams.flush();
            self.check_output(flushed, clients);
            self.act(clients);
        }
        if std::mem::take(&mut self.is_waiting) {
            self.act(clients);
        }
        self.check_step(clients);
    }

    fn stopping(&mut self, until: Deadline, _clients: &mut dyn Clients) {
        self.stopping = until;
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        Some(self.streams.as_fd())
    }

    fn is_busy(&self) -> bool {
        self.streams.has_pending() && !self.stopping.passed()
    }
}
