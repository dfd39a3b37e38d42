//! Handshakes that secure a connection: keys are proved, and a codec is agreed on. `auth-serve` asks
//! each client ([`Security`]), `auth-connect` answers. TLS can also begin later (STARTTLS).
//! Over 300 lines: every end of these handshakes, for both roles, and the limits on those under way.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::negotiation::HandshakeEvent;
use super::phase::{Awaiting, Phase, Purpose};
use super::preauth::PreAuthLimits;
use super::table::{Entry, Table};
use super::{EventLoop, Route};
use crate::auth::security::{ClientSecurity, ServerSecurity};
use crate::console::event::{Event, Level, Reason};
use crate::exit::{Exit, Failure, cause};
use crate::net::codec::ProtocolError;
use crate::net::connection::Connection;
use crate::net::deadline::Deadline;
use crate::net::handshake::{Outcome, Refusal};
use crate::net::role::Role;
use crate::net::tlsinfo::TlsInfo;
use crate::session::Id;

/// How long our answer to a challenge has the connection to itself. A server that reads it with a
/// plain `recv(1024)`, as Python's hmac examples do, would take payload behind it for a part of it.
const POST_AUTH_DELAY: Duration = Duration::from_millis(25);

/// Reads the keys or certificates of a server again, until then; what was derived from the keys that it
/// has already is taken over.
pub type ReadSecurity = Box<dyn Fn(&ServerSecurity, Deadline) -> Result<ServerSecurity, Failure>>;

/// What a server asks of new connections.
pub struct Security {
    by: ServerSecurity,
    /// For `--keys`, `--tls-cert`, `--tls-ca`: how SIGHUP has them read again.
    read: Option<ReadSecurity>,
    /// `-w`: the time for a whole handshake; zero: no limit.
    timeout: Duration,
    penalty: bool,
    /// It begins where a script says so, not with the connection.
    starttls: bool,
}

impl Security {
    /// For clients that are secured this way; `penalty` is off with `--no-penalty`.
    pub fn new(
        by: ServerSecurity,
        read: Option<ReadSecurity>,
        timeout: Duration,
        penalty: bool,
    ) -> Self {
        Self { by, read, timeout, penalty, starttls: false }
    }

    /// The same, begun where a script says so (STARTTLS).
    #[must_use]
    pub fn deferred(mut self) -> Self {
        self.starttls = true;
        self
    }

    /// Whether it begins with the connection.
    pub(super) fn is_immediate(&self) -> bool {
        !self.starttls
    }

    /// The names of the keys that open the server.
    pub fn key_names(&self) -> Vec<String> {
        self.by.key_names()
    }

    /// The noun for the files that SIGHUP has read again, in the plural.
    pub(super) fn files(&self) -> &'static str {
        match self.by {
            ServerSecurity::Key(_) => "keys",
            ServerSecurity::Tls(_) => "certificates",
        }
    }

    /// With TLS: the pin of the certificate.
    pub(super) fn pin(&self) -> Option<String> {
        self.by.pin()
    }

    /// Reads keys and certificates again: the names of the keys. Those of before stay where that fails.
    pub(super) fn reread(&mut self, until: Deadline) -> Option<Result<Vec<String>, Failure>> {
        let read = self.read.as_ref()?;
        Some(read(&self.by, until).map(|by| {
            self.by = by;
            self.by.key_names()
        }))
    }

    /// Whether a connection from a denied address may authenticate, so that the protocol can report
    /// the reason. Not while many connections are pending: they share the pre-auth limits.
    pub(super) fn would_explain(&self, limits: &PreAuthLimits) -> bool {
        self.by.explains() && limits.is_calm()
    }

    /// Whether wrong proofs bring a penalty.
    pub(super) fn has_penalty(&self) -> bool {
        self.penalty
    }
}

/// Logs why a connection is not admitted, within the log rate limit.
fn log(table: &mut Table, slot: usize, reason: &str) {
    if !table.log_limit.allows(table.now) {
        return;
    }
    let entry = &table.entries[slot];
    table.talk.say(&Event::Auth {
        id: entry.number,
        peer: &entry.conn.peer,
        ok: false,
        reason: Some(reason),
        key: None,
    });
}

/// What is known of a TLS session, in an event.
fn log_tls(table: &Table, slot: usize, info: Option<&Rc<TlsInfo>>) {
    if let (Some(entry), Some(info)) = (table.entries.get(slot), info) {
        table.talk.say(&Event::Tls { id: entry.number, peer: &entry.conn.peer, info });
    }
}

/// How a connection has ended whose handshake of STARTTLS failed.
fn error(cause: String, exit: Exit, code: Option<i32>) -> io::Error {
    match code {
        Some(code) => io::Error::from_raw_os_error(code),
        None => ProtocolError { cause, exit }.into(),
    }
}

/// What the handshake of a client has proved, in an event.
fn log_success(table: &Table, slot: usize) {
    let Entry { number, conn, key, tls, .. } = &table.entries[slot];
    let (id, peer) = (*number, &conn.peer);
    table.talk.say(&match tls {
        Some(info) => Event::Tls { id, peer, info },
        None => Event::Auth { id, peer, ok: true, reason: None, key: key.as_deref() },
    });
}

impl Entry {
    /// Takes over what a handshake has agreed on.
    fn secure(&mut self, outcome: Outcome) {
        self.key = outcome.key.map(Rc::from);
        self.tls = outcome.tls;
        self.conn.establish(outcome.codec);
    }
}

impl EventLoop<'_> {
    /// Begins the handshake in which a new connection proves its key.
    pub(super) fn authenticate(&mut self, id: Id, from: Option<IpAddr>) {
        let now = self.table.now;
        let Some(security) = &mut self.config.security else {
            return;
        };
        self.preauth.add(id, from, now);
        let until = Deadline::after(security.timeout);
        if let Some(handshake) = self.table.or_quit(security.by.handshake()) {
            self.begin_handshake(id.slot, handshake, Purpose::Security, until);
        }
    }

    /// Evicts what is over the limits. Each connection is read first: it may have sent its proof.
    pub(super) fn evict(&mut self) {
        let now = self.table.now;
        while let Some(victim) = self.preauth.next_eviction(now) {
            let is_here = self.table.id(victim.slot) == Some(victim);
            if is_here && self.negotiate(victim.slot) {
                continue;
            }
            self.preauth.leave(victim);
            let purpose = self.table.negotiation(victim.slot).map(|it| it.purpose);
            match purpose.filter(|_| is_here) {
                None => {}
                Some(Purpose::Security) => {
                    let reason = "evicted: too many unauthenticated connections";
                    log(&mut self.table, victim.slot, reason);
                    self.table.remove(victim.slot, Reason::Auth);
                }
                _ => self.refuse_header(victim.slot, "evicted: too many connections without one"),
            }
        }
    }

    /// STARTTLS: begins the handshake on an open connection. It was admitted: no pre-auth limits hold.
    pub(super) fn start_tls(&mut self, id: Id) {
        if self.table.open_entry(id).is_none() {
            return;
        }
        let entry = &self.table.entries[id.slot];
        let (handshake, timeout) =
            match (entry.role, &self.config.security, self.routes.get(entry.route)) {
                (Role::Server, Some(security), _) => (security.by.handshake(), security.timeout),
                (Role::Client, _, Some(Route { security: Some(security), timeout, .. })) => {
                    (security.handshake(), *timeout)
                }
                _ => return,
            };
        let Some(handshake) = self.table.or_quit(handshake) else {
            return;
        };
        self.table.with(id.slot, |entry, log, _| {
            entry.is_paused = false;
            entry.conn.outbox_mut().unsubscribe(log);
        });
        let until = Deadline::after(timeout).min(self.config.deadline);
        self.begin_handshake(id.slot, handshake, Purpose::StartTls, until);
        // Its end may have come before, and is not reported again.
        self.negotiate(id.slot);
    }

    /// The connection is secured: a new one is admitted, one that was open goes on.
    fn secured(&mut self, id: Id) {
        if !self.table.entries[id.slot].phase.is_joined() {
            return self.admit(id.slot);
        }
        self.table.set_phase(id.slot, Phase::Open);
        self.table.with(id.slot, |entry, log, _| entry.conn.outbox_mut().subscribe(log));
        self.handler.tls_started(id, &mut self.table);
    }

    /// A step of the handshake: of a client's proof, or of ours.
    pub(super) fn secure(&mut self, slot: usize, event: HandshakeEvent) {
        match self.table.entries[slot].role {
            Role::Server => self.secure_accepted(slot, event),
            Role::Client => self.secure_dialled(slot, event),
        }
    }

    fn secure_accepted(&mut self, slot: usize, event: HandshakeEvent) {
        let Some(id) = self.table.id(slot) else {
            return;
        };
        if let Some(negotiation) = self.table.negotiation(slot) {
            self.preauth.heard(id, negotiation.driver.shows_key(), self.table.now);
        }
        match event {
            HandshakeEvent::More => {}
            HandshakeEvent::Refused(why) => self.refuse(slot, &why),
            HandshakeEvent::Broken(e, why) => {
                self.refuse(slot, &Refusal { reason: cause(&e), ..why });
            }
            HandshakeEvent::Done(outcome) => {
                self.preauth.leave(id);
                self.table.entries[slot].secure(outcome);
                log_success(&self.table, slot);
                let entry = &mut self.table.entries[slot];
                if !entry.phase.is_joined() {
                    entry.denied_by = self.config.limits.access.denial(entry.conn.peer.ip());
                }
                if entry.denied_by.is_none() {
                    self.secured(id);
                } else {
                    self.table.close(slot, Reason::Access);
                }
            }
        }
    }

    fn secure_dialled(&mut self, slot: usize, event: HandshakeEvent) {
        let entry = &self.table.entries[slot];
        let number = entry.number;
        let peer = entry.conn.peer.clone();
        let route = self.routes.get(entry.route);
        let redials = route.is_some_and(|route| route.redials);
        let reconnects = route.is_some_and(|route| route.reconnect.is_some());
        let security = route.and_then(|route| route.security.as_ref());
        let op = security.map_or("secure", ClientSecurity::op);
        let refused = |why: Refusal| Failure::new(op, &peer, why.reason, why.exit);
        let failure = match event {
            HandshakeEvent::More => return,
            HandshakeEvent::Done(outcome) => return self.succeed(slot, outcome),
            HandshakeEvent::Refused(why) => {
                log_tls(&self.table, slot, why.tls.as_ref());
                self.handler.handshake_over(why.tls.as_deref());
                let farewell = why.farewell;
                self.table.with(slot, |entry, _, now| entry.conn.transmit(farewell, now));
                refused(why)
            }
            // The verdict may have come before the reset.
            HandshakeEvent::Broken(_, why) if why.exit == Exit::NotAuthenticated => refused(why),
            HandshakeEvent::Broken(e, why) => {
                self.handler.handshake_over(why.tls.as_deref());
                Failure::system(op, &peer, &e)
            }
        };
        let negotiation = self.table.negotiation(slot);
        let has_received = negotiation.is_some_and(|it| it.driver.has_received());
        if let Some(conn) = self.upgrading(slot) {
            conn.fail_handshake(error(failure.cause, failure.exit, failure.code));
            return self.table.remove(slot, Reason::Auth);
        }
        self.table.remove(slot, Reason::Auth);
        if reconnects {
            return self.ended_early(number, failure);
        }
        if !has_received && redials {
            return self.ended_early(number, failure.exit(Exit::Refused));
        }
        self.unreached(number, failure);
    }

    /// The handshake of a dialled connection has succeeded.
    fn succeed(&mut self, slot: usize, outcome: Outcome) {
        let (now, greets) = (self.table.now, self.greets());
        let entry = &mut self.table.entries[slot];
        entry.secure(outcome);
        let (id, has_codec) = (Id { number: entry.number, slot }, entry.conn.has_codec());
        if greets {
            self.talk.notice(Level::Never, &entry.security_notice());
        }
        let tls = entry.tls.clone();
        log_tls(&self.table, slot, tls.as_ref());
        self.handler.handshake_over(tls.as_deref());
        if has_codec {
            return self.secured(id);
        }
        if let Some(negotiation) = self.table.negotiation(slot) {
            negotiation.awaiting = Awaiting::Payload;
            negotiation.until = Deadline::at(now + POST_AUTH_DELAY);
        }
        self.table.pending.push(slot);
    }

    /// See [`ServerSecurity::has_refusal_message`].
    fn has_refusal_message(&self) -> bool {
        self.config.security.as_ref().is_none_or(|it| it.by.has_refusal_message())
    }

    /// The connection, if it was open before its handshake (STARTTLS).
    fn upgrading(&mut self, slot: usize) -> Option<&mut Connection> {
        let entry = self.table.get(slot).filter(|entry| entry.phase.is_joined())?;
        Some(&mut entry.conn)
    }

    fn refuse(&mut self, slot: usize, why: &Refusal) {
        if let Some(conn) = self.upgrading(slot) {
            conn.fail_handshake(error(why.reason.clone(), why.exit, None));
        }
        // That of an only connection is how the run ends.
        if !self.config.once || self.upgrading(slot).is_none() {
            log(&mut self.table, slot, &why.reason);
        }
        log_tls(&self.table, slot, why.tls.as_ref());
        let (entry, now) = (&self.table.entries[slot], self.table.now);
        let delay = if why.wrong_proof {
            let id = Id { number: entry.number, slot };
            self.preauth.wrong_proof(id, entry.conn.peer.ip(), now)
        } else {
            Duration::ZERO
        };
        // What was taken for an answer may have been payload.
        if !self.has_refusal_message() && why.exit == Exit::NotAuthenticated && !why.wrong_proof {
            entry.conn.reset_on_close();
        }
        if delay.is_zero() {
            self.send_verdict(slot, why.farewell);
        } else if let Some(negotiation) = self.table.negotiation(slot) {
            negotiation.awaiting = Awaiting::Verdict(why.farewell);
            negotiation.until = Deadline::at(now + delay);
            self.table.pending.push(slot);
        }
    }

    /// Sends the verdict that the protocol has, and closes; a reset would destroy the verdict.
    pub(super) fn send_verdict(&mut self, slot: usize, farewell: &[u8]) {
        if let Some(id) = self.table.id(slot) {
            self.preauth.leave(id);
            if !self.has_refusal_message() {
                return self.table.remove(slot, Reason::Auth);
            }
            self.table.with(slot, |entry, _, now| entry.conn.transmit(farewell, now));
            self.table.close(slot, Reason::Auth);
        }
    }
}
