//! Who gets in: accepts connections, and lets each in, has it wait or turns it away.
//!
//! On its way in a connection may have a proxy say whose it is (`header.rs`), and may have to prove
//! that it holds a key (`proof.rs`).

use std::io;
use std::time::Duration;

use super::proof::Gate;
use super::table::Phase;
use super::{LISTENER, Server};
use crate::console::event::Reason;
use crate::exit::Failure;
use crate::net::endpoint::Endpoint;
use crate::net::poller::Interest;
use crate::net::socket::Socket;
use crate::net::sockopt::{self, Stage};

/// Connections accepted before the others have their turn again.
const BATCH: usize = 64;
/// After a failed accept: the first pause, doubled up to the longest.
pub(super) const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Server<'_> {
    /// Accepts what waits, a batch at a time.
    pub(super) fn accept(&mut self) -> Result<(), Failure> {
        for _ in 0..BATCH {
            let Some(listener) = &self.listener else {
                return Ok(());
            };
            if self.is_full() && !self.plan.limits.reject && self.plan.gate.is_none() {
                self.watch_listener();
                return Ok(());
            }
            match listener.accept() {
                Ok((socket, peer)) => {
                    self.pause = PAUSE;
                    self.greet(socket, peer)?;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => {
                    self.back_off(&e);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// A newcomer: a proxy first says whose connection it is.
    fn greet(&mut self, socket: Socket, peer: Endpoint) -> Result<(), Failure> {
        self.count += 1;
        let number = self.count;
        if let Err(failure) = sockopt::apply(&self.plan.settings, &socket, Stage::Accepted) {
            self.talk.failure(&failure); // that client only
            return Ok(());
        }
        let tap = self.tap(number);
        let announced = self.plan.proxies.as_ref().and_then(|proxies| proxies.announcement(&peer));
        let is_known = announced.is_none();
        let phase = announced.map_or(Phase::Waiting, Phase::Announcing);
        match self.table.insert(number, socket, peer, phase, tap) {
            Ok(id) if is_known => self.receive_newcomer(id.slot),
            // One that cannot be watched is closed.
            _ => Ok(()),
        }
    }

    /// A newcomer whose address is known: turned away, at the gate if there is one, or let in.
    pub(super) fn receive_newcomer(&mut self, slot: usize) -> Result<(), Failure> {
        let Some(conn) = self.table.get(slot) else {
            return Ok(());
        };
        let from = conn.peer.ip();
        let is_denied = !self.plan.limits.access.admits(from);
        if is_denied && !self.plan.gate.as_ref().is_some_and(Gate::would_explain) {
            self.table.remove(slot, Reason::Limit);
            return Ok(());
        }
        let (Some(id), Some(gate)) = (self.table.id(slot), &mut self.plan.gate) else {
            self.admit(slot);
            return Ok(());
        };
        let mut proof = gate.start(id, from, self.table.now)?;
        let greeting = proof.greeting();
        self.table.set_phase(slot, Phase::Proving(Box::new(proof)));
        self.table.send_plain(slot, &greeting);
        self.make_way();
        Ok(())
    }

    /// Closes whoever has to make way for others. Each is heard first: it may have spoken since
    /// its turn.
    pub(super) fn make_way(&mut self) {
        let now = self.table.now;
        while let Some(gate) = &mut self.plan.gate
            && let Some(victim) = gate.next_victim(now)
        {
            if self.table.id(victim.slot) == Some(victim) && self.prove(victim.slot) {
                continue;
            }
            if let Some(gate) = &mut self.plan.gate {
                gate.crowd_out(&mut self.table, victim);
            }
        }
    }

    /// Lets a connection in, if there is room; it waits or is turned away otherwise.
    pub(super) fn admit(&mut self, slot: usize) {
        let most = self.plan.limits.per_ip.unwrap_or(usize::MAX);
        if self.table.neighbours(slot) >= most {
            return self.table.end(slot, Reason::Limit);
        }
        if self.is_full() {
            match self.table.get(slot) {
                Some(_) if self.plan.limits.reject => self.table.end(slot, Reason::Limit),
                Some(_) => self.table.set_phase(slot, Phase::Waiting),
                None => {}
            }
            return;
        }
        self.table.open(slot);
        if self.plan.once {
            // A second client is refused, not left hanging.
            self.listener = None;
            for other in self.table.slots().into_iter().filter(|&other| other != slot) {
                self.table.remove(other, Reason::Limit);
            }
        }
        if !self.plan.hand_over
            && let Some(id) = self.table.id(slot)
        {
            self.handler.joined(id, &mut self.table);
            self.table.offer(slot);
        }
    }

    /// Whoever proved its key while the server was full, now that there may be room; whether there
    /// was for anybody.
    pub(super) fn let_in_waiting(&mut self) -> bool {
        let mut any = false;
        while self.table.stopping.is_none()
            && !self.is_full()
            && let Some(slot) = self.table.first_waiting()
        {
            self.admit(slot);
            any = true;
        }
        any
    }

    fn is_full(&self) -> bool {
        self.table.open + self.table.announcing >= self.plan.limits.max
    }

    /// Watches the listener exactly while a connection could be taken.
    pub(super) fn watch_listener(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        let waits = self.is_full() && !self.plan.limits.reject && self.plan.gate.is_none();
        let wanted = self.resume.is_none() && !waits;
        if wanted != self.accepting {
            self.accepting = wanted;
            // A listener that cannot be watched again would be one that is closed.
            let _ = self.table.poller.change(
                listener,
                LISTENER,
                Interest { read: wanted, write: false },
            );
        }
    }

    /// accept(2) failed: says so, at most once a second, and leaves the listener alone for a
    /// while. Running out of descriptors or memory passes; nothing here ends the server.
    fn back_off(&mut self, error: &io::Error) {
        let now = self.table.now;
        let is_due = self.last_complaint.is_none_or(|at| now - at >= Duration::from_secs(1));
        if let Some(listener) = &self.listener
            && is_due
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.last_complaint = Some(now);
            let failure = Failure::system("accept on", listener.local(), error);
            self.talk.failure(&failure);
        }
        self.resume = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.watch_listener();
    }
}
