//! `udp-serve`: one event loop that answers every peer. Nothing a peer does ends it.
//!
//! Over 300 lines: the loop and each kind of answer.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::answers::AnswerQueue;
use super::frontend::{Frontend, INBOX, LATER, OUTPUT, SIGNALS, SOCKET};
use super::programs::DatagramPrograms;
use super::reflection::ReflectionGuard;
use super::relay::DatagramRelay;
use crate::console::event::{Event, Level, Reason};
use crate::console::log_limit::LogLimit;
use crate::exit::{During, Exit, Failure, quoted};
use crate::net::access::AccessList;
use crate::net::deadline::{Deadline, DeadlineGrace, REREAD};
use crate::net::dump::Direction;
use crate::net::endpoint::Endpoint;
use crate::net::errno::would_block;
use crate::net::poller::{Interest, Poller, Ready};
use crate::net::quantity;
use crate::net::signal::Deferred;
use crate::net::udp::{Datagrams, Envelope, Received};
use crate::session::when::Rules;

/// The most messages that are received in a turn.
const BURST: usize = 16;
/// How long an answer waits for room in the socket.
const SEND_TIMEOUT: Duration = Duration::from_millis(200);
/// The most matches of a datagram that are answered: its sender may be forged.
const MATCHES: usize = 1024;
/// A datagram that has been answered with so many bytes gets no further answer: all answers to what one
/// receive returned, 64 datagrams at most, may have to wait.
const ANSWERED: usize = 64 << 10;
/// How long programs run on, and a relay's answers may take, once the server is to stop.
const GRACE: Duration = Duration::from_secs(5);

/// The answer to `/help` at the prompt.
const HELP: &str = "\
-- TEXT          send TEXT to the peer that was heard last
-- @PEER TEXT    send TEXT to PEER: @192.0.2.1:5000 TEXT
-- /quit         stop the server
-- a leading space sends such a line as text";

/// What is done with a datagram.
pub enum Answer {
    /// It is shown.
    Show,
    /// It is shown, and what is entered goes to the peer that was heard last.
    Talk,
    /// It is returned.
    Echo,
    /// It is dropped.
    Discard,
    /// The same answer to every datagram.
    Reply(Arc<[u8]>),
    /// Each match in it is answered, as far as [`MATCHES`] and [`ANSWERED`] go.
    When(Rules),
    /// The output of a program is the answer.
    Program(Box<DatagramPrograms>),
    /// It is passed on to a target, and the target's answers to its sender.
    Relay(Box<DatagramRelay>),
}

impl Answer {
    /// The length of the longest TEXT that is sent as one datagram, in bytes.
    pub fn longest(&self) -> usize {
        match self {
            Self::Reply(text) => text.len(),
            Self::When(rules) => rules.longest(),
            _ => 0,
        }
    }
}

/// The answers to a datagram, within the limits.
fn matches<'a>(rules: &'a Rules, datagram: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut sent = 0;
    rules.answers(datagram).take(MATCHES).take_while(move |answer| {
        let has_room = sent < ANSWERED;
        sent += answer.len();
        has_room
    })
}

/// What bounds a datagram server.
pub struct Bounds {
    /// `--count`: ends after this many datagrams.
    pub count: Option<u64>,
    /// `--allow`, `--deny`: whose datagrams count.
    pub access: AccessList,
    /// `-i`: ends when there was none for this long; zero: no limit.
    pub idle: Duration,
    /// `-w`: how long what is entered may wait for a peer that takes nothing, and the last datagrams for
    /// the target of a relay.
    pub timeout: Duration,
    /// `--deadline`.
    pub deadline: Deadline,
}

/// A datagram server.
pub struct Service<'a> {
    answers: AnswerQueue,
    answer: Answer,
    bounds: Bounds,
    /// Limits the lines about datagrams that are refused.
    log_limit: LogLimit,
    frontend: &'a mut Frontend,
    /// When the last datagram was received or answered.
    active: Instant,
    /// The last datagram: what is entered goes to its sender.
    last: Option<Envelope>,
    /// Once it is to stop: how long programs may run on.
    stopping: Option<Deadline>,
    /// The terminal has gone: the status says so.
    hung_up: bool,
    guard: ReflectionGuard,
    poller: Poller,
    deadline_grace: DeadlineGrace,
}

impl<'a> Service<'a> {
    /// A server on a bound socket.
    pub fn new(
        socket: Datagrams,
        answer: Answer,
        bounds: Bounds,
        frontend: &'a mut Frontend,
    ) -> io::Result<Self> {
        let guard = ReflectionGuard::new(socket.local()?);
        let poller = frontend.poller(&socket)?;
        match &answer {
            Answer::Program(programs) => poller.add(&**programs, LATER, Interest::READ)?,
            Answer::Relay(relay) => poller.add(&**relay, LATER, Interest::READ)?,
            _ => {}
        }
        let timeout = match &answer {
            Answer::Talk => bounds.timeout,
            _ => SEND_TIMEOUT,
        };
        let log_limit = || LogLimit::for_peers(frontend.talk.clone());
        let of_answers = match &answer {
            // All clients have one target: what fails, fails for each of their datagrams.
            Answer::Relay(_) => LogLimit::new(1, Duration::from_secs(1), frontend.talk.clone()),
            _ => log_limit(),
        };
        let answers = AnswerQueue::new(socket, timeout, of_answers);
        let log_limit = log_limit();
        let (active, last, stopping) = (Instant::now(), None, None);
        let hung_up = false;
        let deadline_grace = DeadlineGrace::default();
        Ok(Self {
            answers,
            answer,
            bounds,
            log_limit,
            frontend,
            active,
            last,
            stopping,
            hung_up,
            guard,
            poller,
            deadline_grace,
        })
    }

    /// Serves until the count is reached, a signal comes or a limit passes.
    pub fn run(mut self) -> Result<(), Failure> {
        // A dump shows each datagram with its answer.
        let is_plain = self.bounds.count.is_none() && !self.frontend.has_dump();
        self.answers.socket.merge(is_plain && self.programs().is_none());
        let mut buffer = self.answers.socket.buffer();
        let (mut watched, mut relay_watched) = (Interest::READ, Interest::READ);
        let mut ready: Vec<Ready> = Vec::new();
        while !self.is_over() {
            if let Some(failure) = self.frontend.seat.failure() {
                return Err(failure);
            }
            if self.wants_input() {
                self.frontend.seat.ask();
            }
            let until = self.next_deadline(!ready.is_empty())?;
            let wanted = self.interest();
            if wanted != watched {
                self.poller
                    .change(&self.answers.socket, SOCKET, wanted)
                    .during("wait for datagrams", "")?;
                watched = wanted;
            }
            // Answers wait in the sockets of a relay's clients while none can be sent.
            let wanted = Interest { read: self.answers.is_empty(), write: false };
            if let Answer::Relay(relay) = &self.answer
                && wanted != relay_watched
            {
                let changed = self.poller.change(&**relay, LATER, wanted);
                changed.during("wait for datagrams", "")?;
                relay_watched = wanted;
            }
            ready.clear();
            self.poller.wait(&mut ready, until).during("wait for datagrams", "")?;
            for event in &ready {
                match event.token {
                    SIGNALS if self.handle_signals() => return Ok(()),
                    INBOX if self.enter()? => return Ok(()),
                    OUTPUT => return Err(Failure::output(Errno::EPIPE)),
                    SOCKET => self.ready(event, &mut buffer)?,
                    _ => {}
                }
            }
            match &mut self.answer {
                Answer::Program(programs) => {
                    for (to, answer) in programs.tick() {
                        self.active = Instant::now();
                        self.answers.send(&[&answer], &to);
                        self.frontend.dump(Direction::Sent, &answer)?;
                    }
                }
                Answer::Relay(relay) => relay.tick(&mut self.answers, &ready)?,
                _ => {}
            }
            self.answers.flush();
        }
        if self.hung_up { Err(Failure::silent(Exit::HungUp)) } else { Ok(()) }
    }

    fn programs(&self) -> Option<&DatagramPrograms> {
        match &self.answer {
            Answer::Program(programs) => Some(programs),
            _ => None,
        }
    }

    fn is_busy(&self) -> bool {
        match &self.answer {
            Answer::Program(programs) => programs.is_busy(),
            Answer::Relay(relay) => relay.busy_until().is_some(),
            _ => false,
        }
    }

    /// Whether no more datagrams are received, and all answers are sent.
    fn is_over(&self) -> bool {
        let is_last = self.bounds.count == Some(0) || self.stopping.is_some();
        self.stopping.is_some_and(Deadline::passed)
            || is_last && !self.is_busy() && self.answers.is_empty()
    }

    /// When something is due though nothing is ready; a failure where `-i` or `--deadline` ends the
    /// run.
    fn next_deadline(&mut self, was_ready: bool) -> Result<Deadline, Failure> {
        let idle = if self.bounds.idle.is_zero() || self.is_busy() {
            Deadline::NEVER
        } else {
            Deadline::at(self.active + self.bounds.idle)
        };
        let until = idle.min(self.bounds.deadline);
        if self.deadline_grace.is_over(until, was_ready) {
            let cause = if idle.passed() {
                let limit = quantity::shown(self.bounds.idle);
                format!("idle timeout: no datagram for {limit} (-i)")
            } else {
                "the deadline has passed".into()
            };
            let local = self.answers.socket.local();
            let local = local.during("serve", "")?;
            return Err(Failure::new("serve on", local, cause, Exit::TimedOut));
        }
        let later = match &self.answer {
            Answer::Program(programs) => programs.deadline(),
            Answer::Relay(relay) => relay.deadline(),
            _ => Deadline::NEVER,
        };
        let stopping = match (self.stopping, &self.answer) {
            (Some(until), Answer::Relay(relay)) => {
                until.min(relay.busy_until().unwrap_or(Deadline::NEVER))
            }
            (until, _) => until.unwrap_or(Deadline::NEVER),
        };
        Ok(until.min(later).min(stopping).min(self.answers.deadline()))
    }

    /// Whether input is asked for: in a pipe not before there is a peer to send it to, and what was
    /// entered before is sent.
    fn wants_input(&self) -> bool {
        let has_peer = self.last.is_some() && self.answers.is_empty();
        let is_asked = has_peer || self.frontend.seat.is_prompt();
        matches!(self.answer, Answer::Talk) && is_asked && self.stopping.is_none()
    }

    /// What the socket is watched for. Datagrams wait in it while they could not be shown or
    /// answered.
    fn interest(&self) -> Interest {
        let is_talk = matches!(self.answer, Answer::Talk);
        let has_room = (is_talk || self.answers.is_empty())
            && !self.frontend.seat.is_full()
            && self.programs().is_none_or(DatagramPrograms::has_room);
        let read = has_room && self.stopping.is_none() && self.bounds.count != Some(0);
        Interest { read, write: self.answers.wants_room() }
    }

    /// Takes a signal: the first stops the server in good order; whether it is the second, which ends it at
    /// once.
    fn handle_signals(&mut self) -> bool {
        let signals = self.frontend.signals.as_ref();
        let signal = signals.and_then(Deferred::take);
        if signals.is_some_and(Deferred::wants_reload) {
            let warnings = self.bounds.access.reread(Deadline::after(REREAD));
            self.frontend.talk.reloaded("access lists", &warnings);
        }
        let Some(signal) = signal else {
            return false;
        };
        self.hung_up = signal == libc::SIGHUP;
        self.frontend.stop();
        self.stopping.replace(Deadline::after(GRACE)).is_some()
    }

    /// Receives from the socket.
    fn ready(&mut self, event: &Ready, buffer: &mut [u8]) -> Result<(), Failure> {
        if event.failed
            && let Ok(Some(e)) | Err(e) = self.answers.socket.take_error()
        {
            self.receive_failed(&e); // an ICMP error about an answer
        }
        if !event.read || !self.interest().read {
            return Ok(());
        }
        for _ in 0..BURST {
            match self.answers.socket.recv(buffer) {
                Ok(received) => self.handle(&received)?,
                Err(e) if would_block(&e) => break,
                Err(e) => self.receive_failed(&e),
            }
            if !self.interest().read {
                break;
            }
        }
        Ok(())
    }

    fn receive_failed(&mut self, error: &io::Error) {
        let local = self.answers.socket.local().map_or_else(|_| String::new(), |at| at.to_string());
        let failure = Failure::system("receive on", local, error);
        self.log_limit.failure(&failure, Instant::now());
    }

    /// Shows or answers datagrams.
    fn handle(&mut self, received: &Received<'_>) -> Result<(), Failure> {
        self.active = Instant::now();
        let envelope = &received.envelope;
        if let Some(rule) = self.bounds.access.denial(envelope.from.ip()) {
            self.refuse(received, &rule);
            return Ok(());
        }
        self.last = Some(envelope.clone());
        let datagrams: Vec<&[u8]> = received.datagrams().collect();
        self.bounds.count = self.bounds.count.map(|count| count - datagrams.len() as u64);
        for bytes in &datagrams {
            self.received(bytes, envelope)?;
        }
        let is_answered = !matches!(self.answer, Answer::Show | Answer::Talk | Answer::Discard);
        if is_answered && let Some(why) = self.guard.unanswered(envelope, datagrams[0]) {
            let from = &envelope.from;
            self.frontend.talk.notice(Level::Verbose, &format!("{from} is not answered: {why}"));
            return Ok(());
        }
        let answers = match &mut self.answer {
            Answer::Echo => datagrams,
            Answer::Reply(text) => vec![&text[..]; datagrams.len()],
            Answer::When(rules) => {
                datagrams.iter().flat_map(|bytes| matches(rules, bytes)).collect()
            }
            Answer::Program(programs) => {
                let local = self.answers.socket.local().ok();
                programs.start(&datagrams, envelope, local.as_ref());
                return Ok(()); // the answers come later
            }
            Answer::Relay(relay) => {
                relay.forward(&datagrams, envelope, &mut self.answers)?;
                if self.bounds.count == Some(0) {
                    self.stopping.get_or_insert(Deadline::after(self.bounds.timeout));
                }
                return Ok(());
            }
            Answer::Show | Answer::Talk | Answer::Discard => return Ok(()),
        };
        self.answers.send(&answers, envelope);
        answers.iter().try_for_each(|answer| self.frontend.dump(Direction::Sent, answer))
    }

    /// Reports datagrams that an access rule keeps out.
    fn refuse(&mut self, received: &Received<'_>, rule: &str) {
        let talk = &self.frontend.talk;
        if talk.says(Level::Verbose) && self.log_limit.allows(self.active) {
            talk.say(&Event::Closed {
                id: None,
                peer: &received.envelope.from,
                received: Some(received.datagrams().map(|bytes| bytes.len() as u64).sum()),
                sent: Some(0),
                seconds: 0.0,
                reason: Reason::Access,
                rule: Some(rule),
                left: false,
            });
        }
    }

    /// Shows one datagram.
    fn received(&mut self, bytes: &[u8], envelope: &Envelope) -> Result<(), Failure> {
        self.frontend.dump(Direction::Received, bytes)?;
        let from = &envelope.from;
        if envelope.truncated {
            let failure = Failure::new("receive from", from, "truncated", Exit::Other);
            self.log_limit.failure(&failure, self.active);
        }
        self.frontend.show(from, bytes);
        Ok(())
    }

    /// Takes what was entered: whether that ends the run.
    fn enter(&mut self) -> Result<bool, Failure> {
        let (entered, left) = self.frontend.entered()?;
        entered.iter().try_for_each(|bytes| self.say(bytes))?;
        Ok(left.is_some() && self.frontend.seat.is_prompt())
    }

    /// A command at the prompt; `/quit` is not seen here.
    fn command(&mut self, word: &[u8]) {
        if word == b"help" {
            return HELP.lines().for_each(|line| self.frontend.seat.note(line));
        }
        let word = quoted(OsStr::from_bytes(word));
        self.frontend.seat.note(&format!("! no command {word}; /help lists them"));
    }

    /// Sends what was entered to the last peer; at a prompt `@peer text` to a given one, while `/words` are
    /// commands, and a leading space sends either as text.
    fn say(&mut self, entered: &[u8]) -> Result<(), Failure> {
        let is_prompt = self.frontend.seat.is_prompt();
        let entered = match entered {
            [b' ', rest @ ..] if is_prompt && rest.starts_with(b"/") => rest,
            [b'/', word @ ..] if is_prompt => {
                self.command(word);
                return Ok(());
            }
            _ => entered,
        };
        let (to, bytes) = match entered.strip_prefix(b"@") {
            Some(rest) if is_prompt => {
                let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
                let peer = Endpoint::parse(&String::from_utf8_lossy(&rest[..end]));
                (peer.map(Envelope::to), rest.get(end + 1..).unwrap_or_default())
            }
            _ => (self.last.clone(), entered),
        };
        match to {
            Some(to) => {
                self.active = Instant::now();
                self.answers.send(&[bytes], &to);
                return self.frontend.dump(Direction::Sent, bytes);
            }
            None if entered.starts_with(b"@") => {
                self.frontend.seat.note("! not an address: not sent (@192.0.2.1:5000 text)");
            }
            None => self.frontend.seat.note("! no datagram received yet: not sent"),
        }
        Ok(())
    }
}
