//! The event loop, or LINK loop: connections are accepted or dialled, and admitted; from then on
//! they talk (`session/`). One thread and one readiness loop serve all connections of a run:
//! `serve` is the loop with a listener, `connect` is the loop with one connection to dial.
//!
//! The crate's documentation has [a turn of the loop](crate#a-turn-of-the-loop), the
//! [phases](crate#the-phases-of-a-connection) and the [names in
//! `socketserver`](crate#two-loops). Over 300 lines: the whole loop is in one file, its parts are in
//! the others of this folder.

mod accept;
mod backpressure;
mod clients;
mod flush;
mod handoff;
mod lifecycle;
mod negotiation;
mod outgoing;
mod phase;
mod preauth;
mod process;
mod receive;
mod security;
mod table;
mod timers;

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::console::event::{Event, Level, Reason};
use crate::console::log_limit::LogLimit;
use crate::console::meter::Meter;
use crate::console::talk::Talk;
use crate::exit::{During, Exit, Failure};
use crate::net::deadline::{Deadline, DeadlineGrace, REREAD};
use crate::net::dump::{self, Dump};
use crate::net::endpoint::Endpoint;
use crate::net::listen::Listener;
use crate::net::open_files;
use crate::net::poller::{Interest, Ready};
use crate::net::quantity;
use crate::net::ready::{self, PortFile};
use crate::net::signal::Deferred;
use crate::net::sockopt::Setting;
use crate::session::closed::Closed;
use crate::session::seat::Inbox;
use crate::session::{Clients, Handler, Id};
pub use accept::{Limits, Proxies};
use lifecycle::ABORT_TIMEOUT;
pub use outgoing::Route;
use outgoing::{Dials, Outgoing};
use phase::Phase;
use preauth::PreAuthLimits;
pub use security::{ReadSecurity, Security};
pub use table::Bounds;
use table::Table;

/// Tokens that are no connection's.
const LISTENER: u64 = u64::MAX;
const SIGNAL: u64 = u64::MAX - 1;
const INBOX: u64 = u64::MAX - 2;
const HANDLER: u64 = u64::MAX - 3;
/// With the number of a connection that is dialled.
const DIALER: u64 = 1 << 63;

/// One recv(2), and so what one connection gets of a turn. 1 GiB through an encrypted session costs
/// both ends 0.84 s of CPU time; 0.88 s with 128 KiB. 1 GiB that is discarded costs 0.19 s with either,
/// and 0.4 s with 64 KiB.
const BUFFER: usize = 256 << 10;

/// The same with `--hex` or `--log`, where a byte costs more than a hundred times as much.
const DUMPED: usize = 8 << 10;

/// What a run of the loop does beside talking.
pub struct Config {
    /// `--once`: the first connection that is admitted is the last.
    pub once: bool,
    /// What holds for every connection.
    pub bounds: Bounds,
    /// Who may connect, and how many.
    pub limits: Limits,
    /// `--accept-proxy`.
    pub proxies: Option<Proxies>,
    /// `--grace`: how long stopping may take; zero: at once.
    pub grace: Duration,
    /// `--deadline`.
    pub deadline: Deadline,
    /// `-o`, for accepted connections.
    pub settings: Vec<Setting>,
    /// `--hex`, `--log`. Lines of a server carry the connection's number.
    pub dumps: Vec<Dump>,
    /// Whether their lines begin with the connection's number.
    pub labels: bool,
    /// `auth-serve`.
    pub security: Option<Security>,
    /// `--progress`.
    pub meter: Option<Meter>,
    /// `--port-file`.
    pub port_file: Option<PortFile>,
}

/// A run of the loop, but for its handler.
pub struct Run<'a> {
    /// Where to accept connections.
    pub listener: Option<Listener>,
    /// How connections are dialled: [`Clients::dial`] names one by its place.
    pub routes: Vec<Route>,
    /// Where input comes from.
    pub inbox: &'a Inbox,
    /// SIGINT, SIGTERM.
    pub signals: Option<&'a Deferred>,
    /// What it does beside talking.
    pub config: Config,
    /// Where events go.
    pub talk: Talk,
}

impl Run<'_> {
    /// Accepts, or dials, and talks until it is over; connections that are left then are cut off.
    /// Also returns how the last connection ended.
    pub fn serve(self, handler: &mut dyn Handler) -> Result<(RunEnd, Option<Closed>), Failure> {
        let mut events = EventLoop::new(self, handler).during("start", "the event loop")?;
        // Nothing that could be missing at the start is started later.
        if let Some(listener) = &events.listener {
            let pin = events.config.security.as_ref().and_then(Security::pin);
            let port_file = events.config.port_file.as_mut();
            announce(listener.locals(), pin.as_deref(), port_file, &events.talk)?;
        }
        if !events.routes.is_empty() {
            events.handler.begin(&mut events.table);
        }
        let end = events.serve_forever();
        events.show_progress(true);
        events.abort_all(if end.is_ok() { Reason::Shutdown } else { Reason::Error });
        events.routes.clear(); // nothing is dialled any more
        events.process();
        let dumped = dump::finish(&events.config.dumps);
        let end = end?;
        dumped?;
        Ok((end, events.table.last.take()))
    }
}

/// Says that we listen: the port file, the line (with the pin of our certificate), the service manager.
pub fn announce(
    locals: &[Endpoint],
    tls_pin: Option<&str>,
    port_file: Option<&mut PortFile>,
    talk: &Talk,
) -> Result<(), Failure> {
    if let Some(file) = port_file {
        file.write(locals)?;
    }
    for local in locals {
        talk.say(&Event::Listening { local, tls_pin });
        if talk.gives_notice(Level::Never) {
            let found = local.reached_at();
            let addresses: Vec<String> = found.iter().map(ToString::to_string).collect();
            if !addresses.is_empty() {
                let notice = format!("from other machines: {}", addresses.join(", "));
                talk.notice(Level::Never, &notice);
            }
        }
    }
    ready::notify();
    Ok(())
}

/// Why a run ended.
pub enum RunEnd {
    /// It was asked to stop, by this signal or by the operator.
    Stopped(Option<i32>),
    /// Its only connection is over.
    Over,
    /// `--deadline` has passed.
    Expired(Failure),
}

/// An event loop with its connections.
pub struct EventLoop<'a> {
    listener: Option<Listener>,
    routes: Vec<Route>,
    /// Connections that are dialled.
    outgoing: Dials,
    /// Those that are in the table by now, and may be dialled again.
    connected: BTreeMap<u64, Outgoing>,
    handler: &'a mut dyn Handler,
    inbox: &'a Inbox,
    signals: Option<&'a Deferred>,
    config: Config,
    table: Table,
    talk: Talk,
    /// The listener is watched.
    accepting: bool,
    preauth: PreAuthLimits,
    accept_log: LogLimit,
    /// When accept(2) is tried again after a failure.
    resume: Option<Instant>,
    grace_end: Deadline,
    deadline_grace: DeadlineGrace,
    /// When a notice says what stopping waits for.
    stop_notice: Deadline,
    /// The signal that asked us to stop.
    signal: Option<i32>,
    /// A second signal has come: nothing is waited for any more.
    is_urgent: bool,
    /// When progress is shown next.
    meter_at: Instant,
    buffer: Vec<u8>,
    decoded: Vec<u8>,
}

/// Payload for single clients that is processed before the turn is over.
const BURST: usize = 4 << 20;

/// When a stopping server says what it waits for: most have stopped before.
const STOP_NOTICE: Duration = Duration::from_secs(1);

/// accept(2) that fails again and again is logged once in this time.
const ACCEPT_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Connections in the grace of their handshakes, and their part of the limit on open files: a small
/// one, as with programs that limit is little above what the admitted connections need.
const MAX_GRACE: usize = 1024;
const GRACE_PART: usize = 16;

/// How often progress is shown.
const METER: Duration = Duration::from_millis(250);

impl<'a> EventLoop<'a> {
    fn new(run: Run<'a>, handler: &'a mut dyn Handler) -> io::Result<Self> {
        let Run { listener, routes, inbox, signals, config, talk } = run;
        let mut table = Table::new(talk.clone(), config.bounds, handler)?;
        table.has_dump = !config.dumps.is_empty();
        table.poller.add(&inbox.waker, INBOX, Interest::READ)?;
        if let Some(signals) = signals {
            table.poller.add(signals, SIGNAL, Interest::READ)?;
        }
        if let Some(source) = handler.source() {
            table.poller.add(source, HANDLER, Interest::READ)?;
        }
        if let Some(listener) = &listener {
            table.poller.add(listener, LISTENER, Interest::READ)?;
        }
        let accept_log = LogLimit::new(1, ACCEPT_LOG_INTERVAL, talk.clone());
        let buffer = if table.has_dump { DUMPED } else { BUFFER };
        let penalty = config.security.as_ref().is_some_and(Security::has_penalty);
        let max_grace = MAX_GRACE.min(open_files::most() / GRACE_PART);
        Ok(Self {
            preauth: PreAuthLimits::new(penalty, max_grace),
            accepting: listener.is_some(),
            listener,
            routes,
            outgoing: Dials::default(),
            connected: BTreeMap::new(),
            handler,
            inbox,
            signals,
            config,
            table,
            talk,
            accept_log,
            resume: None,
            grace_end: Deadline::NEVER,
            deadline_grace: DeadlineGrace::default(),
            stop_notice: Deadline::NEVER,
            signal: None,
            is_urgent: false,
            meter_at: Instant::now() + METER,
            buffer: vec![0; buffer],
            decoded: Vec::new(),
        })
    }

    fn serve_forever(&mut self) -> Result<RunEnd, Failure> {
        let mut ready = Vec::new();
        let mut is_due = false;
        loop {
            self.dial_wanted();
            self.process();
            if let Some(end) = self.end(is_due)? {
                return Ok(end);
            }
            let due = self.next_deadline();
            let is_at_once = self.has_offers()
                || !self.table.dials.is_empty()
                || !self.table.cancelled.is_empty();
            let until = if is_at_once { Deadline::now() } else { due };
            let wait = self.table.poller.wait(&mut ready, until);
            wait.during("wait for events", "")?;
            self.table.now = Instant::now();
            is_due = self.deadline_grace.is_over(due, !ready.is_empty());
            // Connections that end come first: their places are free for those that are accepted.
            ready.sort_by_key(|event| event.token == LISTENER);
            for event in ready.drain(..) {
                if event.token == LISTENER {
                    self.process();
                }
                self.dispatch(event);
                if self.is_urgent {
                    return Ok(RunEnd::Stopped(self.signal));
                }
                self.process_burst();
            }
            self.offer_unread();
            if is_due {
                self.run_timers();
            }
        }
    }

    /// Processes the turn so far if much was sent in it: who does not take it is not read any more, or
    /// cut off, before the turn is over.
    fn process_burst(&mut self) {
        if self.table.flush.is_burst(self.table.log.end()) || self.table.fresh >= BURST {
            self.process();
        }
    }

    /// The run is over: connections that are left are reset, once what was sent is delivered; at once
    /// on a second signal.
    fn abort_all(&mut self, reason: Reason) {
        self.table.now = Instant::now();
        self.table.abort_all(reason, self.is_urgent);
        let until = Deadline::after(ABORT_TIMEOUT);
        while !self.table.entries.is_empty() {
            self.table.process_pending();
            // The other events of the loop are not for a run that is over.
            thread::sleep(self.table.deadline().min(until).remaining().unwrap_or_default());
            self.is_urgent |= until.passed() || self.signals.and_then(Deferred::take).is_some();
            self.table.now = Instant::now();
            self.run_connection_timers();
            if self.is_urgent {
                self.table.abort_all(reason, true);
            }
        }
    }

    fn next_deadline(&self) -> Deadline {
        let meter = self.config.meter.as_ref();
        [
            self.table.deadline(),
            self.preauth.deadline(),
            self.handler.deadline(),
            self.resume.into(),
            meter.map(|_| self.meter_at).into(),
            self.grace_end,
            self.stop_notice,
            self.config.deadline,
            self.outgoing.deadline(),
        ]
        .into_iter()
        .fold(Deadline::NEVER, Deadline::min)
    }

    /// Whether it is over, and how; the deadlines of the run count if what is due may be done.
    fn end(&mut self, is_due: bool) -> Result<Option<RunEnd>, Failure> {
        if let Some(result) = self.table.result.take() {
            return result.map(|()| Some(RunEnd::Stopped(self.signal)));
        }
        let is_dialling = !self.outgoing.is_empty() || !self.table.dials.is_empty();
        let is_idle = |this: &Self| this.table.entries.is_empty() && !this.handler.is_busy();
        if self.table.stopping.is_some() {
            if is_due && self.grace_end.passed() {
                self.grace_end = Deadline::NEVER;
                for slot in self.table.slots() {
                    let reason = self.stop_reason(slot);
                    self.table.grace_over(slot, reason);
                }
                self.process();
            }
            if is_idle(self) {
                return Ok(Some(RunEnd::Stopped(self.signal)));
            }
        }
        if self.config.once && self.listener.is_none() && !is_dialling && is_idle(self) {
            return Ok(Some(RunEnd::Over));
        }
        if is_due && self.config.deadline.passed() {
            return Ok(Some(RunEnd::Expired(self.expired())));
        }
        Ok(None)
    }

    /// The failure of `--deadline`.
    fn expired(&self) -> Failure {
        let cause = "the deadline has passed";
        let first = self.table.all().first().and_then(|&id| self.table.find(id));
        let only = first.map(|entry| (entry.role, entry.conn.peer.clone()));
        let dialled = self.routes.first().map(|route| &route.address);
        match (&self.listener, only, dialled) {
            (None, Some((role, peer)), _) => Failure::timed_out(role.op(), &peer).hint(cause),
            (None, None, Some(address)) => Failure::timed_out("connect to", address).hint(cause),
            (Some(listener), ..) => {
                Failure::new("serve on", listener.local(), cause, Exit::TimedOut)
            }
            (None, None, None) => Failure::new("serve", "", cause, Exit::TimedOut),
        }
    }

    /// Deals with one event.
    fn dispatch(&mut self, event: Ready) {
        match event.token {
            LISTENER => self.accept(),
            INBOX => {
                self.inbox.waker.quiet();
                if self.table.stopping.is_none() {
                    while let Some(input) = self.inbox.take() {
                        self.handler.input(input, &mut self.table);
                    }
                }
                // The waker also reports room on stdout, which matters while stopping, too.
                self.handler.tick(&mut self.table);
            }
            HANDLER => self.handler.tick(&mut self.table),
            SIGNAL => {
                let signal = self.signals.and_then(Deferred::take);
                if self.signals.is_some_and(Deferred::wants_reload) {
                    self.reload();
                }
                if let Some(signal) = signal {
                    if self.table.stopping.is_some() {
                        let now = Deadline::at(self.table.now);
                        self.handler.stopping(now, &mut self.table);
                        self.is_urgent = true;
                        return;
                    }
                    self.signal = Some(signal);
                    self.table.stop();
                }
            }
            token if token & DIALER != 0 => self.step_dialer(token & !DIALER),
            token => self.connection(usize::try_from(token).unwrap_or(usize::MAX), event),
        }
    }

    /// SIGHUP: reads access lists and keys again. Connections that are open are not checked again.
    fn reload(&mut self) {
        let until = Deadline::after(REREAD);
        let mut warnings = self.config.limits.access.reread(until);
        if let Some(proxies) = &mut self.config.proxies {
            warnings.extend(proxies.trusted.reread(until));
        }
        self.talk.reloaded("access lists", &warnings);
        if let Some(security) = &mut self.config.security
            && let Some(names) = security.reread(until)
        {
            let files = security.files();
            let failed =
                names.as_ref().err().map(|failure| format!("{failure}; the old {files} hold"));
            self.talk.reloaded(files, failed.as_slice());
            if let Ok(names) = names {
                self.handler.reserve(&names);
            }
        }
    }

    /// Everything that is due.
    fn run_timers(&mut self) {
        self.run_connection_timers();
        self.evict();
        self.run_dial_timers();
        if self.handler.deadline().passed() {
            self.handler.tick(&mut self.table);
        }
        if self.resume.is_some_and(|at| at <= self.table.now) {
            self.resume = None;
            self.watch_listener();
        }
        if self.stop_notice.passed() {
            self.stop_notice = Deadline::NEVER;
            self.notify_stopping();
        }
        self.show_progress(false);
    }

    /// Says what stopping waits for.
    fn notify_stopping(&self) {
        let (who, them) = match self.table.slots().len() {
            0 => return,
            1 => ("1 connection".into(), "it"),
            more => (format!("{more} connections"), "them"),
        };
        let left = self.grace_end.remaining().map_or_else(String::new, |left| {
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            format!(" up to {}", quantity::shown(Duration::from_secs(seconds)))
        });
        let notice = format!("stopping: waiting{left} for {who}; Ctrl-C again cuts {them} off");
        self.talk.notice(Level::Never, &notice);
    }

    /// `--progress`, a few times a second and at the end.
    fn show_progress(&mut self, last: bool) {
        if let Some(meter) = &mut self.config.meter
            && (last || self.meter_at <= self.table.now)
        {
            let closed = self.table.last.as_ref().map(|last| (last.received, last.sent));
            let open = self.table.entries.iter().next();
            let counts = open.map(|(_, entry)| (entry.conn.received, entry.conn.sent));
            if let Some((received, sent)) = counts.or(closed) {
                meter.show(received, sent);
            }
            self.meter_at = self.table.now + METER;
        }
    }

    /// Processes what the turn has changed, and reports it to the handler, until nothing follows.
    fn process(&mut self) {
        loop {
            if std::mem::take(&mut self.table.stop_wanted) {
                self.stop();
            }
            self.table.process_pending();
            let left = std::mem::take(&mut self.table.left);
            let drained = std::mem::take(&mut self.table.drained);
            let is_quiet = left.is_empty() && drained.is_empty() && !self.table.flush_broadcasts();
            let closed = std::mem::take(&mut self.table.closed);
            let upgrades = self.table.take_upgrades();
            let is_quiet = is_quiet && closed.is_empty() && upgrades.is_empty();
            if is_quiet && !self.admit_waiting() {
                break;
            }
            for client in upgrades {
                self.start_tls(client);
            }
            for client in left {
                self.handler.left(client, &mut self.table);
            }
            for client in drained {
                self.handler.drained(client, &mut self.table);
            }
            self.report_closed(closed);
        }
        self.watch_listener();
    }

    /// The reason for closing a connection as the run stops.
    fn stop_reason(&mut self, slot: usize) -> Reason {
        match self.table.id(slot) {
            Some(client) if self.handler.is_incomplete(client) => Reason::Incomplete,
            _ => Reason::Shutdown,
        }
    }

    /// No more connections are accepted: neither the port nor its file is there any more.
    pub(super) fn stop_listening(&mut self) {
        (self.listener, self.config.port_file) = (None, None);
    }

    /// Reports connections that are over to the handler.
    fn report_closed(&mut self, all: Vec<(Id, Closed)>) {
        for (client, closed) in all {
            let again = self.handler.closed(client, &closed, &mut self.table);
            if again && self.table.stopping.is_none() {
                self.redial(client.number, &closed);
            } else {
                self.connected.remove(&client.number);
                self.table.last = Some(closed);
            }
        }
    }

    /// Graceful shutdown: stops accepting and reading input; every connection is closed once it is
    /// quiet, and cut when `--grace` is over.
    fn stop(&mut self) {
        if self.table.stopping.is_some() {
            return;
        }
        self.table.stopping = Some(self.table.now);
        let end = self.table.now.checked_add(self.config.grace);
        self.grace_end = end.into();
        self.stop_notice = Deadline::after(STOP_NOTICE);
        self.stop_listening();
        self.outgoing.clear();
        self.table.dials.clear();
        self.handler.stopping(self.grace_end, &mut self.table);
        self.table.pause_all(false);
        for slot in self.table.slots() {
            match self.table.get(slot).map(|entry| &entry.phase) {
                // Its key is proved: the protocol reports why it is closed.
                Some(Phase::Waiting) => self.table.close(slot, Reason::Shutdown),
                Some(phase @ (Phase::Handshake(_) | Phase::Silent(_))) if !phase.is_joined() => {
                    self.table.remove(slot, Reason::Shutdown);
                }
                _ => {}
            }
        }
        self.table.touch_all();
    }
}
