//! Connections that we dial: tried again while `--wait` lasts and, with `--reconnect`, once they are lost;
//! through a proxy where one is named, with a PROXY header in front, and with the handshake of our key
//! behind all that. The order:
//!
//! ```text
//! Dialer ──> Tunnel (handshake) ──> PROXY header (sent) ──> Security (handshake) ──> admitted
//!    ^──────────── pause <───── a failure that may pass, while --wait lasts
//!    ^────────────────┘         an HTTP proxy that asks for a login, and closes
//! ```
//!
//! Over 300 lines: the whole way of an attempt, from the dialer to the handler.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::negotiation::HandshakeEvent;
use super::phase::Purpose;
use super::{DIALER, EventLoop};
use crate::auth::security::ClientSecurity;
use crate::console::event::{Event, Level, Reason};
use crate::exit::{During, Exit, Failure, cause};
use crate::net::address::Address;
use crate::net::connection::Connection;
use crate::net::deadline::Deadline;
use crate::net::dial::{Dial, Dialer};
use crate::net::endpoint::Endpoint;
use crate::net::poller::{Interest, Poller};
use crate::net::proxy::Tunnel;
use crate::net::proxy_header::{Version, header};
use crate::net::retry::Retry;
use crate::net::role::Role;
use crate::net::socket::Socket;
use crate::session::Id;
use crate::session::closed::Closed;

/// How connections are dialled.
pub struct Route {
    /// The target.
    pub address: Address,
    /// How its socket, or that of the proxy, is opened.
    pub dial: Dial,
    /// `--proxy`.
    pub tunnel: Option<Tunnel>,
    /// `--send-proxy`.
    pub header: Option<Version>,
    /// `--wait`: how long to try again.
    pub wait: Option<Duration>,
    /// `--reconnect`: the longest pause; whatever ends it, a connection is dialled again.
    pub reconnect: Option<Duration>,
    /// `-w`: bounds one attempt, and the handshake that secures it; zero: no limit.
    pub timeout: Duration,
    /// `auth-connect`, `--tls`: what secures the connection.
    pub security: Option<ClientSecurity>,
    /// It begins where a script says so (STARTTLS), not with the connection.
    pub starttls: bool,
    /// Whether connecting is reported without `-v`.
    pub greet: bool,
    /// With `--wait`: whether a connection that ends before its first byte counts as not there yet. So
    /// it is with a proxy that accepts before the service does.
    pub redials: bool,
}

/// A connection that the handler wants.
pub(super) struct Wanted {
    /// The place of its route.
    pub(super) route: usize,
    /// The client that it is for.
    pub(super) client: Option<Id>,
    /// When it must be admitted.
    pub(super) until: Deadline,
}

/// A connection that is dialled, or may be dialled again.
pub(super) struct Outgoing {
    /// Its place among the routes.
    route: usize,
    /// It is dialled for a client.
    is_target: bool,
    /// Of the client that it is for, where the PROXY header names it: its address, and ours that it has
    /// connected to.
    origin: Option<Box<(Endpoint, Endpoint)>>,
    attempt: Attempt,
    /// When it must be admitted.
    end: Deadline,
    /// The end of the attempt under way.
    until: Deadline,
    /// When its timer is due: its place in [`Dials::timers`].
    armed: Option<Instant>,
    tunnel: Option<Tunnel>,
    retry: Option<Retry>,
    /// Why the attempt before failed.
    last: Option<Failure>,
    /// One that stood was lost.
    is_again: bool,
    /// When the socket was connected.
    since: Instant,
}

enum Attempt {
    Dialing(Box<Dialer>),
    Pausing(Instant),
}

impl Outgoing {
    /// When its dialer has something to do though nothing is ready, or its pause is over.
    fn deadline(&self) -> Deadline {
        match &self.attempt {
            Attempt::Dialing(dialer) => dialer.deadline(),
            Attempt::Pausing(until) => Deadline::at(*until),
        }
    }
}

/// Connections that are dialled, by their numbers.
#[derive(Default)]
pub(super) struct Dials {
    by_number: BTreeMap<u64, Outgoing>,
    /// When which is due.
    timers: BTreeSet<(Instant, u64)>,
}

impl Dials {
    fn get(&self, number: u64) -> Option<&Outgoing> {
        self.by_number.get(&number)
    }

    /// One that is changed must be armed again, or removed.
    fn get_mut(&mut self, number: u64) -> Option<&mut Outgoing> {
        self.by_number.get_mut(&number)
    }

    /// It must be armed, or removed, once its attempt is under way.
    fn insert(&mut self, number: u64, out: Outgoing) {
        self.by_number.insert(number, out);
    }

    fn remove(&mut self, number: u64) -> Option<Outgoing> {
        let mut out = self.by_number.remove(&number)?;
        if let Some(at) = out.armed.take() {
            self.timers.remove(&(at, number));
        }
        Some(out)
    }

    /// Sets the timer of a connection for its deadline.
    fn arm(&mut self, number: u64) {
        let Some(out) = self.by_number.get_mut(&number) else {
            return;
        };
        let due = out.deadline().instant();
        let before = std::mem::replace(&mut out.armed, due);
        if before != due {
            self.timers.extend(due.map(|at| (at, number)));
            if let Some(at) = before {
                self.timers.remove(&(at, number));
            }
        }
    }

    /// When the next timer is due.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline::from(self.timers.first().map(|(at, _)| *at))
    }

    /// Those whose timers are due.
    fn due(&self) -> Vec<u64> {
        let now = Instant::now();
        self.timers.iter().take_while(|(at, _)| *at <= now).map(|(_, number)| *number).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.by_number.clear();
        self.timers.clear();
    }
}

/// A connection that is dialled, with its route.
fn find<'r, 'o>(
    routes: &'r [Route],
    outgoing: &'o mut Dials,
    number: u64,
) -> Option<(&'r Route, &'o mut Outgoing)> {
    let out = outgoing.get_mut(number)?;
    Some((routes.get(out.route)?, out))
}

impl EventLoop<'_> {
    /// Whether notices say how dialling went: there is a prompt.
    pub(super) fn greets(&self) -> bool {
        self.routes.iter().any(|route| route.greet)
    }

    /// Dials the connections that the handler wants, once in a turn: those that fail at once hold up
    /// nothing else, however many follow them.
    pub(super) fn dial_wanted(&mut self) {
        for number in std::mem::take(&mut self.table.cancelled) {
            if self.outgoing.remove(number).is_none() {
                self.connected.remove(&number);
                self.table.remove_unadmitted(number);
            }
        }
        for (number, wanted) in std::mem::take(&mut self.table.dials) {
            self.dial(number, &wanted);
        }
    }

    /// Dials a connection.
    fn dial(&mut self, number: u64, wanted: &Wanted) {
        let Wanted { route: place, client, until: end } = *wanted;
        let Some(route) = self.routes.get(place).filter(|_| self.table.stopping.is_none()) else {
            return;
        };
        let entry = client.and_then(|client| self.table.find(client));
        let origin = entry.filter(|_| route.header.is_some()).and_then(|entry| {
            let local = entry.conn.socket.local().ok()?;
            Some(Box::new((entry.conn.peer.clone(), local)))
        });
        let outgoing = Outgoing {
            route: place,
            is_target: client.is_some(),
            origin,
            attempt: Attempt::Pausing(self.table.now),
            end: end.min(self.config.deadline),
            until: Deadline::NEVER,
            armed: None,
            tunnel: route.tunnel.as_ref().map(Tunnel::another),
            retry: match (route.reconnect, route.wait) {
                (Some(longest), wait) => {
                    Some(Retry::reconnecting(longest, wait, self.config.deadline))
                }
                (None, wait) => wait.map(|wait| Retry::new(wait, self.config.deadline)),
            },
            last: None,
            is_again: false,
            since: self.table.now,
        };
        self.outgoing.insert(number, outgoing);
        self.begin_attempt(number);
    }

    /// Begins one attempt.
    fn begin_attempt(&mut self, number: u64) {
        let Some((route, out)) = find(&self.routes, &mut self.outgoing, number) else {
            return;
        };
        if let Some(retry) = &out.retry
            && retry.is_over()
            && let Some(last) = out.last.take()
        {
            let failure = retry.run_out(last);
            return self.unreached(number, failure);
        }
        let end = match &mut out.retry {
            Some(retry) => retry.attempt(),
            None => out.end,
        };
        out.until = Deadline::after(route.timeout).min(end);
        self.start_dialer(number);
    }

    /// Dials within the attempt under way.
    fn start_dialer(&mut self, number: u64) {
        let Some((route, out)) = find(&self.routes, &mut self.outgoing, number) else {
            return;
        };
        let address = out.tunnel.as_ref().map_or(&route.address, Tunnel::address);
        let mut dialer = match Dialer::new(address, route.dial.clone(), out.until) {
            Ok(dialer) => dialer,
            Err(failure) => return self.attempt_failed(number, failure),
        };
        // On this machine it is over at once. By way of epoll(7) and another turn, for which the client of
        // a relay was paused, a short connection through a relay cost 77 µs of CPU time, not 65.
        if let Some(result) = dialer.step() {
            return self.dialled(number, result);
        }
        let add = |it: &Poller| self.table.poller.add(it, DIALER | number, Interest::READ);
        let watched = dialer.poller().and_then(add).during("connect to", &route.address);
        out.attempt = Attempt::Dialing(Box::new(dialer));
        self.outgoing.arm(number);
        if let Err(failure) = watched {
            self.attempt_failed(number, failure);
        }
    }

    /// Steps every dialer whose timer is due.
    pub(super) fn run_dial_timers(&mut self) {
        for number in self.outgoing.due() {
            self.step_dialer(number);
        }
    }

    /// A dialer has something to do, or a pause is over.
    pub(super) fn step_dialer(&mut self, number: u64) {
        let Some(out) = self.outgoing.get_mut(number) else {
            return;
        };
        let result = match &mut out.attempt {
            Attempt::Pausing(until) if *until <= Instant::now() => {
                return self.begin_attempt(number);
            }
            Attempt::Pausing(_) => return,
            Attempt::Dialing(dialer) => dialer.step(),
        };
        match result {
            Some(result) => self.dialled(number, result),
            None => self.outgoing.arm(number),
        }
    }

    /// A dialer is done.
    fn dialled(&mut self, number: u64, result: Result<Socket, Failure>) {
        let result = result.map_err(|failure| {
            let tunnel = self.outgoing.get(number).and_then(|out| out.tunnel.as_ref());
            match tunnel {
                Some(tunnel) => tunnel.unreached(failure),
                None => failure,
            }
        });
        if let Err(failure) = result.and_then(|socket| self.connected(number, socket)) {
            self.attempt_failed(number, failure);
        }
    }

    /// A failed attempt: another one after a pause, or the end.
    pub(super) fn attempt_failed(&mut self, number: u64, failure: Failure) {
        let Some((route, out)) = find(&self.routes, &mut self.outgoing, number) else {
            return self.unreached(number, failure);
        };
        let Some(retry) = out.retry.as_mut().filter(|retry| retry.takes(&failure)) else {
            return self.unreached(number, failure);
        };
        let is_news = out.last.as_ref().is_none_or(|before| before.cause != failure.cause);
        // An attempt that its own end cut short says less than the one before it.
        let cut_short = failure.exit == Exit::TimedOut && retry.is_over();
        let last = match out.last.take() {
            Some(before) if cut_short => before,
            _ => failure,
        };
        if retry.is_over() {
            let failure = retry.run_out(last);
            return self.unreached(number, failure);
        }
        if let Some(notice) = retry.notice(&route.address, &last.cause) {
            self.talk.notice(Level::Verbose, &notice);
        }
        if let Some(notice) = retry.reconnect_notice(&last)
            && (is_news || self.talk.says(Level::Verbose))
        {
            self.talk.notice(Level::Normal, &notice);
        }
        out.attempt = Attempt::Pausing(retry.pause(Instant::now()));
        out.last = Some(last);
        self.outgoing.arm(number);
    }

    /// A connection cannot be dialled, or the peer does not accept our key.
    pub(super) fn unreached(&mut self, number: u64, failure: Failure) {
        self.outgoing.remove(number);
        self.connected.remove(&number);
        self.handler.unreached(number, failure, &mut self.table);
    }

    /// Dials the connection that has ended again: with `--reconnect` as another one, else as one that was not
    /// there yet.
    pub(super) fn redial(&mut self, number: u64, closed: &Closed) {
        if let Some(mut out) = self.connected.remove(&number) {
            let route = self.routes.get(out.route);
            if route.is_some_and(|route| route.reconnect.is_none()) {
                self.connected.insert(number, out);
            } else if let Some(retry) = &mut out.retry {
                retry.renew(self.table.now - out.since);
                (out.is_again, out.last) = (true, None);
                self.table.count += 1;
                self.outgoing.insert(self.table.count, out);
                return self.lost(self.table.count, closed);
            }
        }
        let why = closed.error.as_ref().map_or_else(|| "it closed".into(), cause);
        let why = format!("the connection ended before its first byte: {why}");
        let failure = Failure::new("connect to", &closed.peer, why, Exit::Refused);
        self.ended_early(number, failure);
    }

    /// Reports that a connection is lost, and goes on to the next attempt.
    fn lost(&mut self, number: u64, closed: &Closed) {
        let (sent, undelivered) = (closed.sent, closed.undelivered);
        // What the peer's kernel had acknowledged may not have been read either.
        let is_broken = closed.error.is_some() && sent > 0 && !self.greets();
        if undelivered > 0 || is_broken {
            self.talk.warn(&format!(
                "{sent} bytes were sent on the lost connection; {undelivered} for it were not acknowledged \
                 and are not sent again"
            ));
        }
        let why = closed.why_unmet().unwrap_or_default();
        self.attempt_failed(number, Failure::new("connection lost", "", why, Exit::Broken));
    }

    /// What seemed to be connected has failed before the conversation began.
    pub(super) fn ended_early(&mut self, number: u64, failure: Failure) {
        if let Some(out) = self.connected.remove(&number) {
            self.outgoing.insert(number, out);
        }
        self.attempt_failed(number, failure);
    }

    /// The socket is connected: to the target, or to the proxy, which is asked for the target.
    fn connected(&mut self, number: u64, socket: Socket) -> Result<(), Failure> {
        self.table.now = Instant::now();
        let Some((route, out)) = find(&self.routes, &mut self.outgoing, number) else {
            return Ok(());
        };
        let until = out.until;
        out.since = self.table.now;
        // One try of a target ends with its handshake.
        let end = if out.is_target { until } else { self.config.deadline };
        let tunnel = out.tunnel.as_ref().map(Tunnel::handshake);
        let target = &route.address;
        let peer = match tunnel {
            Some(_) => Endpoint::ViaProxy(target.to_string()),
            None => socket.peer().during("connect to", target)?,
        };
        let conn = Connection::new(socket, peer, self.table.now);
        let slot = self.table.insert(number, Role::Client, conn).during("connect to", target)?.slot;
        let entry = &mut self.table.entries[slot];
        (entry.route, entry.is_target) = (out.route, out.is_target);
        // What is connected is kept only while it may be dialled again.
        let kept = self
            .outgoing
            .remove(number)
            .filter(|out| out.tunnel.is_some() || out.retry.is_some() || out.origin.is_some());
        self.connected.extend(kept.map(|out| (number, out)));
        match tunnel {
            Some(handshake) => self.begin_handshake(slot, handshake, Purpose::Tunnel, until),
            None => self.reached(slot, end),
        }
        Ok(())
    }

    /// A step of the proxy's handshake.
    pub(super) fn tunnel(&mut self, slot: usize, event: HandshakeEvent) {
        let Some(number) = self.table.id(slot).map(|id| id.number) else {
            return;
        };
        let Some(tunnel) = self.connected.get(&number).and_then(|out| out.tunnel.as_ref()) else {
            return;
        };
        let is_late = matches!(&event, HandshakeEvent::Refused(why) if why.exit == Exit::TimedOut);
        let again = tunnel.has_authorization() && !is_late;
        let failure = match event {
            HandshakeEvent::More => return,
            HandshakeEvent::Done(_) => return self.reached(slot, self.config.deadline),
            HandshakeEvent::Refused(why) => tunnel.refused(why),
            HandshakeEvent::Broken(e, _) => tunnel.broken(&e),
        };
        self.table.remove(slot, Reason::Error);
        if again && let Some(out) = self.connected.remove(&number) {
            self.outgoing.insert(number, out);
            return self.start_dialer(number);
        }
        self.ended_early(number, failure);
    }

    /// The connection reaches the target; its handshake must be over at the `end`.
    fn reached(&mut self, slot: usize, end: Deadline) {
        if let Err(failure) = self.announce(slot, end)
            && let Some(id) = self.table.id(slot)
        {
            self.table.remove(slot, Reason::Error);
            self.ended_early(id.number, failure);
        }
    }

    /// Announces the connection, and secures it.
    fn announce(&mut self, slot: usize, end: Deadline) -> Result<(), Failure> {
        let Some(entry) = self.table.entries.get(slot) else {
            return Ok(());
        };
        let Some(route) = self.routes.get(entry.route) else {
            return Ok(());
        };
        let id = entry.number;
        let peer = entry.conn.peer.clone();
        let local = entry.conn.socket.local();
        let mut announcement = Vec::new();
        if let Some(version) = route.header {
            let origin = self.connected.get(&id).and_then(|out| out.origin.as_deref());
            let made = match (origin, &local) {
                (Some((client, ours)), _) => header(version, client, ours),
                (None, Ok(local)) => header(version, local, &peer),
                (None, Err(e)) => Err(e.kind().into()),
            };
            announcement = made.during("send the PROXY header to", &peer)?;
        }
        if let Ok(local) = &local {
            let again = self.connected.get(&id).is_some_and(|out| out.is_again);
            let greet = route.greet || again;
            self.talk.say(&Event::Connected { id, peer: &peer, local, greet, again });
        }
        let until = Deadline::after(route.timeout).min(end);
        let security = route.security.as_ref().filter(|_| !route.starttls);
        let handshake = security.map(ClientSecurity::handshake).transpose()?;
        self.table.with(slot, |entry, _, now| entry.conn.transmit(&announcement, now));
        match handshake {
            Some(handshake) => self.begin_handshake(slot, handshake, Purpose::Security, until),
            None => self.admit(slot),
        }
        Ok(())
    }
}
