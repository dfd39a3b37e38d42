//! Connections that we dial: tried again while `--wait` lasts, through a proxy where one is named,
//! with a PROXY header in front, and with the handshake of our key behind all that. The order:
//!
//! ```text
//! Dialer ──> Tunnel (handshake) ──> PROXY header (sent) ──> Security (handshake) ──> admitted
//!    ^──────────── pause <───── a failure that may pass, while --wait lasts
//!    ^────────────────┘         an HTTP proxy that asks for a login, and closes
//! ```

use std::time::{Duration, Instant};

use super::EventLoop;
use super::negotiation::HandshakeEvent;
use super::phase::Purpose;
use super::table::Closed;
use crate::auth::proof::Proof;
use crate::console::event::{Event, Level, Reason};
use crate::exit::{During, Exit, Failure, cause};
use crate::net::address::Address;
use crate::net::connection::Connection;
use crate::net::deadline::Deadline;
use crate::net::dial::{Dial, Dialer};
use crate::net::endpoint::Endpoint;
use crate::net::poller::Interest;
use crate::net::proxy::Tunnel;
use crate::net::proxy_header::{Version, header};
use crate::net::retry::Retry;
use crate::net::socket::Socket;
use crate::session::Clients;

/// A connection to dial.
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
    pub retry: Option<Retry>,
    /// `-w`: bounds one attempt, and the handshake that secures it; zero: no limit.
    pub timeout: Duration,
    /// `auth-connect`: how our key is proved.
    pub proof: Option<Proof>,
    /// Whether connecting is reported without `-v`.
    pub greet: bool,
}

/// A connection on its way.
pub(super) struct Outgoing {
    route: Route,
    attempt: Attempt,
    /// The end of the attempt under way.
    until: Deadline,
    last: Option<Failure>,
}

enum Attempt {
    Dialing(Box<Dialer>),
    Pausing(Instant),
    /// It is in the table of connections.
    Connected,
}

impl Outgoing {
    /// When its timer is due.
    pub(super) fn deadline(&self) -> Deadline {
        match &self.attempt {
            Attempt::Dialing(dialer) => dialer.deadline(),
            Attempt::Pausing(until) => Deadline::at(*until),
            Attempt::Connected => Deadline::NEVER,
        }
    }

    /// Whether notices say how it went: there is a prompt.
    pub(super) fn greets(&self) -> bool {
        self.route.greet
    }

    /// The target.
    pub(super) fn address(&self) -> &Address {
        &self.route.address
    }

    /// Whether the connection is not in the table yet.
    pub(super) fn is_dialling(&self) -> bool {
        !matches!(self.attempt, Attempt::Connected)
    }
}

impl EventLoop<'_> {
    /// Dials the only connection of this run.
    pub(super) fn dial(&mut self, route: Route) {
        let attempt = Attempt::Pausing(Instant::now());
        self.outgoing = Some(Outgoing { route, attempt, until: Deadline::NEVER, last: None });
        self.begin_attempt();
    }

    /// Begins one attempt.
    fn begin_attempt(&mut self) {
        let Some(out) = &mut self.outgoing else {
            return;
        };
        if let Some(retry) = &out.route.retry
            && retry.is_over()
            && let Some(last) = out.last.take()
        {
            return self.table.quit(Err(retry.run_out(last)));
        }
        let end = match &mut out.route.retry {
            Some(retry) => retry.attempt(),
            None => self.config.deadline,
        };
        out.until = Deadline::after(out.route.timeout).min(end);
        self.dial_again();
    }

    /// Dials within the attempt under way.
    fn dial_again(&mut self) {
        let Some(out) = &mut self.outgoing else {
            return;
        };
        let address = out.route.tunnel.as_ref().map_or(&out.route.address, Tunnel::address);
        match Dialer::new(address, out.route.dial.clone(), out.until) {
            Ok(dialer) => {
                let watched = self.table.poller.add(&dialer, super::DIALER, Interest::READ);
                let watched = watched.during("connect to", &out.route.address);
                out.attempt = Attempt::Dialing(Box::new(dialer));
                if self.table.or_quit(watched).is_some() {
                    self.step_dialer();
                }
            }
            Err(failure) => self.attempt_failed(failure),
        }
    }

    /// The dialer has something to do, or the pause is over.
    pub(super) fn step_dialer(&mut self) {
        let Some(out) = &mut self.outgoing else {
            return;
        };
        let result = match &mut out.attempt {
            Attempt::Pausing(until) if *until <= Instant::now() => return self.begin_attempt(),
            Attempt::Pausing(_) | Attempt::Connected => return,
            Attempt::Dialing(dialer) => dialer.step(),
        };
        match result {
            None => {}
            Some(Ok(socket)) => {
                let connected = self.connected(socket);
                self.table.or_quit(connected);
            }
            Some(Err(failure)) => {
                let failure = match &out.route.tunnel {
                    Some(tunnel) => tunnel.unreached(failure),
                    None => failure,
                };
                self.attempt_failed(failure);
            }
        }
    }

    /// A failed attempt: another one after a pause, or the end.
    pub(super) fn attempt_failed(&mut self, failure: Failure) {
        let Some(out) = &mut self.outgoing else {
            return;
        };
        let may_pass = Retry::may_pass(failure.exit, failure.code);
        let Some(retry) = out.route.retry.as_mut().filter(|_| may_pass) else {
            return self.table.quit(Err(failure));
        };
        // An attempt that its own end cut short says less than the one before it.
        let cut_short = failure.exit == Exit::TimedOut && retry.is_over();
        let last = match out.last.take() {
            Some(before) if cut_short => before,
            _ => failure,
        };
        if retry.is_over() {
            return self.table.quit(Err(retry.run_out(last)));
        }
        if let Some(notice) = retry.notice(&out.route.address, &last.cause) {
            self.talk.notice(Level::Verbose, &notice);
        }
        out.attempt = Attempt::Pausing(retry.pause(Instant::now()));
        out.last = Some(last);
    }

    /// The connection has ended: whether it is dialled again, as one that was not there yet.
    pub(super) fn dial_anew(&mut self) -> bool {
        let is_silent =
            |last: &mut Closed| last.by_peer && last.received == 0 && self.handler.restart();
        let Some(last) = self.table.last.take_if(is_silent) else {
            return false;
        };
        let cause = last.error.map_or_else(|| "it closed".into(), |e| cause(&e));
        let cause = format!("the connection ended before its first byte: {cause}");
        self.attempt_failed(Failure::new("connect to", last.peer, cause, Exit::Refused));
        true
    }

    /// The socket is connected: to the target, or to the proxy, which is asked for the target.
    fn connected(&mut self, socket: Socket) -> Result<(), Failure> {
        self.count = 1;
        self.table.now = Instant::now();
        let Some(out) = &mut self.outgoing else {
            return Ok(());
        };
        out.attempt = Attempt::Connected;
        let until = out.until;
        let tunnel = out.route.tunnel.as_ref().map(Tunnel::handshake);
        let target = &out.route.address;
        let peer = match tunnel {
            Some(_) => Endpoint::ViaProxy(out.route.address.to_string()),
            None => socket.peer().during("connect to", target)?,
        };
        let conn = Connection::new(socket, peer, self.table.now);
        let slot = self.table.insert(self.count, conn).during("connect to", target)?.slot;
        match tunnel {
            Some(handshake) => self.begin_handshake(slot, handshake, Purpose::Tunnel, until),
            None => self.reached(slot)?,
        }
        Ok(())
    }

    /// A step of the proxy's handshake.
    pub(super) fn tunnel(&mut self, slot: usize, event: HandshakeEvent) {
        let Some(tunnel) = self.outgoing.as_ref().and_then(|out| out.route.tunnel.as_ref()) else {
            return;
        };
        let is_late = matches!(&event, HandshakeEvent::Refused(why) if why.exit == Exit::TimedOut);
        let again = tunnel.has_authorization() && !is_late;
        let failure = match event {
            HandshakeEvent::More => return,
            HandshakeEvent::Done(_) => {
                let reached = self.reached(slot);
                self.table.or_quit(reached);
                return;
            }
            HandshakeEvent::Refused(why) => tunnel.refused(why),
            HandshakeEvent::Broken(e, _) => tunnel.broken(&e),
        };
        self.table.remove(slot, Reason::Error);
        if again {
            return self.dial_again();
        }
        self.attempt_failed(failure);
    }

    /// The connection reaches the target: it is announced, and secured.
    fn reached(&mut self, slot: usize) -> Result<(), Failure> {
        let (Some(out), Some(entry)) = (&self.outgoing, self.table.get(slot)) else {
            return Ok(());
        };
        let peer = entry.conn.peer.clone();
        let local = entry.conn.socket.local();
        let mut announcement = Vec::new();
        if let Some(version) = out.route.header {
            announcement = local
                .as_ref()
                .map_err(|e| e.kind().into())
                .and_then(|local| header(version, local, &peer))
                .during("send the PROXY header to", &peer)?;
        }
        if let Ok(local) = &local {
            self.talk.say(&Event::Connected { id: 1, peer: &peer, local, greet: out.route.greet });
        }
        let until = Deadline::after(out.route.timeout).min(self.config.deadline);
        let handshake = out.route.proof.as_ref().map(Proof::client).transpose()?;
        self.table.with(slot, |entry, _, now| entry.conn.transmit(&announcement, now));
        match handshake {
            Some(handshake) => self.begin_handshake(slot, handshake, Purpose::Security, until),
            None => self.admit(slot),
        }
        Ok(())
    }
}
