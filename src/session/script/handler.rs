//! Takes connections through a script: that of a client, or each client of a server, on a clock of
//! its own. The script decides, this file sends, writes and watches the timeouts.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::conversation::{Conversation, Phase};
use super::{Action, Script};
use crate::console::event::{Event, Reason};
use crate::console::log_limit::LogLimit;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::role::Role;
use crate::session::closed::Closed;
use crate::session::stdio::Streams;
use crate::session::{Clients, Handler, Id, StreamEnd};

/// What holds for every conversation.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct ScriptOptions {
    /// Which side we are.
    pub role: Role,
    /// Received data goes to stdout.
    pub receive: bool,
    /// stdout is a terminal: received text is escaped.
    pub sanitize: bool,
    /// `--timestamps`: the time stands before each line that comes.
    pub timestamps: bool,
    /// A step that is not done is reported, and the run goes on: a server.
    pub reports: bool,
    /// With `--wait`: a connection that ends before its first byte, while one is awaited, is dialled
    /// again.
    pub redials: bool,
    /// `-w`: bounds each expectation, how long the peer may take nothing, and how long it may take
    /// to begin its answer to the last step; zero: no limit.
    pub step_limit: Duration,
    /// `--rate`: the most bytes that are sent a second.
    pub rate: Option<u64>,
}

/// The handler.
pub struct Scripted {
    script: Script,
    options: ScriptOptions,
    streams: Streams,
    talk: Talk,
    log_limit: LogLimit,
    /// By the client's number.
    runs: BTreeMap<u64, Conversation>,
    /// When something is due on which of them.
    timers: BTreeSet<(Instant, u64)>,
    /// How the last conversation ended, where its steps decide that.
    verdict: Option<Result<(), Failure>>,
}

impl Scripted {
    /// Takes stdout, if received data goes there.
    pub fn new(script: Script, options: ScriptOptions, talk: Talk) -> Result<Self, Failure> {
        Ok(Self {
            script,
            streams: Streams::new(false, options.receive, options.sanitize)?
                .stamping(options.timestamps),
            options,
            log_limit: LogLimit::for_peers(talk.clone()),
            talk,
            runs: BTreeMap::new(),
            timers: BTreeSet::new(),
            verdict: None,
        })
    }

    /// How the last conversation ended: a step that was not done, or the success of `--reset`; `None`
    /// where the end of its connection decides.
    pub fn verdict(&mut self) -> Option<Result<(), Failure>> {
        self.verdict.take()
    }

    /// Does what a script asks for, as far as it can be done at once, and sets its timer.
    fn act(&mut self, number: u64, clients: &mut dyn Clients) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        while run.phase == Phase::Steps {
            match run.script.act() {
                Action::Send(bytes) => {
                    run.has_answer = false;
                    match self.options.rate {
                        None => clients.send_shared(run.client, &bytes),
                        Some(_) => run.rest = Some((bytes, 0, Instant::now())),
                    }
                    run.send_rest(self.options.rate, clients);
                }
                Action::Pause(time) => {
                    run.phase = Phase::Pause(Instant::now() + time);
                }
                Action::Met { pattern, matched } => {
                    self.talk.say(&Event::expected(&pattern, Some(&matched)));
                }
                Action::StartTls => {
                    run.phase = Phase::StartingTls;
                    clients.start_tls(run.client);
                }
                Action::UnreadBeforeTls => {
                    run.phase = Phase::Failed;
                    clients.close(run.client, Reason::Error);
                }
                Action::Await => break,
                Action::Unmet => {
                    run.report_unmet(&self.talk);
                    run.phase = Phase::Failed;
                    clients.close(run.client, Reason::Error);
                }
                Action::Answer => {
                    clients.finish(run.client);
                    run.phase = Phase::Answer;
                }
                Action::Close => run.phase = Phase::Closing,
                Action::Reset => {
                    run.phase = Phase::Reset;
                    clients.close(run.client, Reason::Reset);
                }
            }
            run.step_began = Instant::now();
        }
        if run.phase == Phase::Closing && !self.streams.has_pending() {
            clients.close(run.client, Reason::Eof);
        }
        self.arm(number);
    }

    /// Sets the timer of a conversation.
    fn arm(&mut self, number: u64) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        let due = run.due(&self.options).instant();
        if due != run.armed {
            self.timers.extend(due.map(|at| (at, number)));
            if let Some(armed) = std::mem::replace(&mut run.armed, due) {
                self.timers.remove(&(armed, number));
            }
        }
    }

    /// Something is due on a conversation.
    fn run_timer(&mut self, number: u64, clients: &mut dyn Clients) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        match run.phase {
            Phase::Opening => run.phase = Phase::Steps,
            Phase::Pause(_) => {
                run.phase = Phase::Steps;
                run.script.done();
                run.step_began = Instant::now();
            }
            Phase::Steps if run.rest.is_some() && !run.is_behind => {
                run.send_rest(self.options.rate, clients);
            }
            _ => run.check_step(&self.options, &self.talk, clients),
        }
        self.act(number, clients);
    }
}

impl Handler for Scripted {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        // Only what goes to stdout could be lost by sending first.
        let phase = if self.options.receive { Phase::Opening } else { Phase::Steps };
        self.runs.insert(client.number, Conversation::new(client, self.script.clone(), phase));
        self.act(client.number, clients);
    }

    fn tls_started(&mut self, client: Id, clients: &mut dyn Clients) {
        if let Some(run) = self.runs.get_mut(&client.number) {
            run.phase = Phase::Steps;
            run.script.done();
            run.step_began = Instant::now();
        }
        self.act(client.number, clients);
    }

    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        if let Some(run) = self.runs.get_mut(&client.number)
            && !matches!(run.phase, Phase::Closing | Phase::Failed | Phase::Reset)
        {
            run.script.feed(bytes);
            run.has_answer = true;
            match run.phase {
                Phase::Opening => run.phase = Phase::Steps,
                Phase::Answer => run.step_began = Instant::now(),
                _ => {}
            }
            self.streams.write(client, bytes, clients);
            self.act(client.number, clients);
        }
        bytes.len()
    }

    fn ended(&mut self, client: Id, end: StreamEnd, clients: &mut dyn Clients) {
        self.streams.end_text(client, clients);
        if end == StreamEnd::Limit {
            return clients.close(client, Reason::Limit);
        }
        if !self.options.redials {
            self.streams.end_output(clients);
        }
        if let Some(run) = self.runs.get_mut(&client.number) {
            run.script.end();
        }
        self.act(client.number, clients);
    }

    fn drained(&mut self, client: Id, clients: &mut dyn Clients) {
        if let Some(run) = self.runs.get_mut(&client.number) {
            run.step_began = Instant::now();
            if run.phase == Phase::Steps {
                run.send_rest(self.options.rate, clients);
            }
        }
        self.act(client.number, clients);
    }

    fn closed(&mut self, client: Id, closed: &Closed, _clients: &mut dyn Clients) -> bool {
        let Some(mut run) = self.runs.remove(&client.number) else {
            return false;
        };
        if let Some(armed) = run.armed {
            self.timers.remove(&(armed, client.number));
        }
        let is_early = !matches!(run.phase, Phase::StartingTls | Phase::Closing);
        let has_not_begun = closed.by_peer && closed.received == 0 && is_early;
        if self.options.redials && has_not_begun {
            return true;
        }
        self.verdict = match run.verdict(closed, self.options.step_limit, &self.talk) {
            Some(failure) if self.options.reports => {
                self.log_limit.failure(&failure, Instant::now());
                None
            }
            Some(failure) => Some(Err(closed.rejection().unwrap_or(failure))),
            None => (run.phase == Phase::Reset).then_some(Ok(())),
        };
        false
    }

    fn deadline(&self) -> Deadline {
        let first = self.timers.first().map(|(at, _)| *at);
        Deadline::from(first).min(self.streams.deadline())
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        self.streams.tick(clients);
        if self.options.receive {
            // What waited for room in stdout is written: the connection can be closed.
            let closing = self.runs.values().filter(|run| run.phase == Phase::Closing);
            for number in closing.map(|run| run.client.number).collect::<Vec<_>>() {
                self.act(number, clients);
            }
        }
        // Those that are set meanwhile are due in another turn.
        let later = self.timers.split_off(&(Instant::now(), u64::MAX));
        for (_, number) in std::mem::replace(&mut self.timers, later) {
            if let Some(run) = self.runs.get_mut(&number) {
                run.armed = None;
            }
            self.run_timer(number, clients);
        }
    }

    fn stopping(&mut self, until: Deadline, clients: &mut dyn Clients) {
        self.streams.stop(until);
        // What `--rate` has held back is not queued: an end would say that it was sent.
        for run in self.runs.values().filter(|run| run.rest.is_some()) {
            clients.close(run.client, Reason::Error);
        }
    }

    /// It pauses before it sends more; one that waits for its client has sent all that it had to so far.
    fn is_incomplete(&mut self, client: Id) -> bool {
        self.runs.get(&client.number).is_some_and(|run| {
            run.rest.is_some() || matches!(run.phase, Phase::Pause(_)) && run.script.sends()
        })
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        Some(self.streams.as_fd())
    }

    fn is_busy(&self) -> bool {
        self.streams.is_busy()
    }
}
