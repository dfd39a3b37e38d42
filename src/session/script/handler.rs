//! Takes connections through a script: that of a client, or each client of a server, on a clock of
//! its own. The script decides, this file sends, writes and watches the timeouts.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Action, Script};
use crate::console::event::{Event, Reason};
use crate::console::log_limit::LogLimit;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::quantity;
use crate::net::role::Role;
use crate::session::closed::Closed;
use crate::session::stdio::Streams;
use crate::session::{Clients, Handler, Id, StreamEnd};

/// With `--rate` so many pieces are sent a second, unless that is more than its bytes.
const PIECES: u64 = 50;

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
    pub stamps: bool,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first step comes after what the peer has sent already: a peer that has closed would
    /// answer bytes with a reset, which destroys what is on its way.
    Opening,
    /// There are steps to do.
    Steps,
    /// A pause, until then.
    Pause(Instant),
    /// Our side has ended (if it should), the answer is read to its end.
    Answer,
    /// What came is written to stdout, then the connection is closed.
    Closing,
    /// A step was not done: it is cut off.
    Failed,
    /// `--reset`.
    Reset,
}

/// The script of one connection.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Conversation {
    client: Id,
    script: Script,
    phase: Phase,
    /// When the step on hand began, or last got on.
    step_began: Instant,
    /// With `--rate`: what is left of the bytes to send, and when the next piece is due.
    rest: Option<(Arc<[u8]>, usize, Instant)>,
    /// The peer has not taken the last piece: the next waits for that.
    is_behind: bool,
    /// Bytes came since the last send began.
    has_answer: bool,
    /// The step on hand was not done in time.
    is_late: bool,
    /// The event of an expectation that is not met was written.
    is_reported: bool,
    /// Its place among the timers.
    armed: Option<Instant>,
}

impl Scripted {
    /// Takes stdout, if received data goes there.
    pub fn new(script: Script, options: ScriptOptions, talk: Talk) -> Result<Self, Failure> {
        Ok(Self {
            script,
            streams: Streams::new(false, options.receive, options.sanitize)?
                .stamping(options.stamps),
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

impl Conversation {
    fn new(client: Id, script: Script, phase: Phase) -> Self {
        Self {
            client,
            script,
            phase,
            step_began: Instant::now(),
            rest: None,
            is_behind: false,
            has_answer: false,
            is_late: false,
            is_reported: false,
            armed: None,
        }
    }

    /// Sends as much of the bytes on hand as `--rate` allows; the step is done when all are sent.
    fn send_rest(&mut self, rate: Option<u64>, clients: &mut dyn Clients) {
        if let (Some((bytes, at, due)), Some(rate)) = (&mut self.rest, rate) {
            let now = Instant::now();
            self.is_behind = clients.queued(self.client) > 0;
            if *due > now || self.is_behind {
                return;
            }
            let most = usize::try_from(rate.div_ceil(PIECES)).unwrap_or(usize::MAX);
            let piece = &bytes[*at..][..most.min(bytes.len() - *at)];
            clients.send(self.client, piece);
            *at += piece.len();
            let nanos = 1_000_000_000 * piece.len() as u128 / u128::from(rate);
            let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            *due = (*due + time).max(now);
            self.step_began = now;
            if *at == bytes.len() {
                self.rest = None;
            }
        }
        if self.rest.is_none() && clients.queued(self.client) == 0 {
            self.script.done();
        }
    }

    /// When something is due: the step on hand is late, a pause is over, more may be sent.
    fn due(&self, options: &ScriptOptions) -> Deadline {
        let is_bounded = match self.phase {
            Phase::Opening => return Deadline::at(self.step_began),
            Phase::Pause(until) => return Deadline::at(until),
            Phase::Steps => {
                if let Some((_, _, due)) = self.rest
                    && !self.is_behind
                {
                    return Deadline::at(due);
                }
                true
            }
            Phase::Answer => !self.has_answer || options.role == Role::Server,
            Phase::Closing | Phase::Failed | Phase::Reset => false,
        };
        if !is_bounded || options.step_limit.is_zero() {
            return Deadline::NEVER;
        }
        self.step_began.checked_add(options.step_limit).into()
    }

    /// Ends a conversation whose step is late; that of a server is over once its client, which has
    /// got everything, is silent.
    fn check_step(&mut self, options: &ScriptOptions, talk: &Talk, clients: &mut dyn Clients) {
        if !self.due(options).passed() {
            return;
        }
        // Whatever the peer takes is progress.
        let stalled = clients.stalled(self.client);
        if stalled < options.step_limit {
            let now = Instant::now();
            self.step_began = now.checked_sub(stalled).unwrap_or(now);
            return;
        }
        if self.phase == Phase::Answer && options.role == Role::Server {
            self.phase = Phase::Closing;
            return;
        }
        self.phase = Phase::Failed;
        self.is_late = true;
        self.report_unmet(talk);
        clients.close(self.client, Reason::Error);
    }

    /// The event of an expectation that is not met.
    fn report_unmet(&mut self, talk: &Talk) {
        if let Some((pattern, _)) = self.script.pending().filter(|_| !self.is_reported) {
            talk.say(&Event::expected(pattern, None));
            self.is_reported = true;
        }
    }

    /// What the steps make of the end of the connection: the failure of an expectation that was
    /// pending, or of a step that was late; `None` where that end decides.
    fn verdict(&mut self, closed: &Closed, limit: Duration, talk: &Talk) -> Option<Failure> {
        let limit = quantity::shown(limit);
        let Some((_, named)) = self.script.pending() else {
            return self.is_late.then(|| self.late(&limit, closed));
        };
        let cause =
            if self.is_late { format!("not within {limit} (-w)") } else { closed.why_unmet()? };
        let target = format!("{named} {}", closed.peer);
        let cause = format!("{cause}; {}", self.script.account());
        self.report_unmet(talk);
        Some(Failure::new("expect", target, cause, Exit::Expectation))
    }

    /// The failure of a peer that read nothing, or answered nothing, for too long.
    fn late(&self, limit: &str, closed: &Closed) -> Failure {
        let Closed { peer, sent, .. } = closed;
        if self.script.is_over() {
            Failure::timed_out("answer from", peer).hint(&format!("no reply within {limit} (-w)"))
        } else {
            Failure::timed_out("send to", peer)
                .hint(&format!("the peer read nothing for {limit} (-w), after {sent} bytes"))
        }
    }
}

impl Handler for Scripted {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        // What comes is of no interest where it is dropped, and a client of a server speaks first or
        // waits.
        let phase = if self.options.receive { Phase::Opening } else { Phase::Steps };
        self.runs.insert(client.number, Conversation::new(client, self.script.clone(), phase));
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
            run.send_rest(self.options.rate, clients);
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
        let has_not_begun = closed.by_peer && closed.received == 0 && run.phase != Phase::Closing;
        if self.options.redials && has_not_begun {
            return true;
        }
        self.verdict = match run.verdict(closed, self.options.step_limit, &self.talk) {
            Some(failure) if self.options.reports => {
                self.log_limit.failure(&failure, Instant::now());
                None
            }
            Some(failure) => Some(Err(failure)),
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

    fn stopping(&mut self, until: Deadline, _clients: &mut dyn Clients) {
        self.streams.stop(until);
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        Some(self.streams.as_fd())
    }

    fn is_busy(&self) -> bool {
        self.streams.is_busy()
    }
}
