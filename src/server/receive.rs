//! What comes on one connection: heard by whom it is for, while it is on its way in, and then by
//! the handler. Here the link loop hands over to the talk.

use super::proof::Passed;
use super::table::Phase;
use super::{Server, header};
use crate::console::event::Reason;
use crate::exit::{Exit, Failure};
use crate::net::codec::ProtocolError;
use crate::net::poller::Ready;
use crate::net::socket::would_block;
use crate::session::{Clients, Id};

impl Server<'_> {
    pub(super) fn connection(&mut self, slot: usize, event: Ready) -> Result<(), Failure> {
        if event.write {
            self.table.writable(slot);
        }
        if !event.read {
            return Ok(());
        }
        let held = self.table.is_held(slot);
        let Some(conn) = self.table.get(slot) else {
            return Ok(());
        };
        match conn.phase {
            // It is not watched for reading any more: this is a hang-up.
            _ if conn.wire_ended && conn.is_occupied() && !event.failed => {}
            _ if conn.wire_ended => self.table.hung_up(slot),
            Phase::Announcing(_) => {
                if header::hear(&mut self.table, slot, &mut self.buffer) {
                    self.receive_newcomer(slot)?;
                }
            }
            Phase::Proving(_) => {
                self.prove(slot);
            }
            // Not read while it waits; this is its reset.
            Phase::Waiting => self.table.remove(slot, Reason::Reset),
            Phase::Lent(_) => self.table.hang_up(slot, &event),
            // Nobody reads its reset, and the program that it should read it from does not.
            Phase::Open if held && event.failed && conn.is_occupied() => {
                self.table.remove(slot, Reason::Reset);
            }
            Phase::Open if held => self.table.touch(slot),
            Phase::Open | Phase::Closing(_) => self.receive(slot),
        }
        Ok(())
    }

    /// One read of a connection that has not proved its key; whether anything came.
    pub(super) fn prove(&mut self, slot: usize) -> bool {
        let Some(gate) = &mut self.plan.gate else {
            return false;
        };
        let passed = gate.hear(&mut self.table, slot, &mut self.buffer);
        if passed == Passed::Yes {
            let from = self.table.get(slot).and_then(|conn| conn.peer.ip());
            if self.plan.limits.access.admits(from) {
                self.admit(slot);
            } else {
                self.table.deny(slot);
            }
        }
        passed != Passed::Silent
    }

    /// One read: a turn.
    fn receive(&mut self, slot: usize) {
        let count = match self.table.recv(slot, &mut self.buffer) {
            Err(e) if would_block(&e) => return,
            Err(_) => return self.table.remove(slot, Reason::Reset),
            Ok(count) => count,
        };
        let (Some(id), Some(conn)) = (self.table.id(slot), self.table.get(slot)) else {
            return;
        };
        if conn.is_wrapped() {
            return self.unwrap(id, count);
        }
        if matches!(conn.phase, Phase::Open) {
            let bytes = &self.buffer[..count];
            match count {
                0 if conn.is_broken() => {}
                0 => self.handler.ended(id, &mut self.table),
                _ => self.handler.received(id, bytes, &mut self.table),
            }
        }
    }

    /// What was read of a connection whose wire is not its payload.
    fn unwrap(&mut self, id: Id, count: usize) {
        self.payload.clear();
        let wire = &self.buffer[..count];
        let result = self.table.unwrap(id.slot, wire, &mut self.payload);
        if !self.payload.is_empty() {
            self.handler.received(id, &self.payload, &mut self.table);
        }
        match result {
            Ok(false) => {}
            Ok(true) => self.handler.ended(id, &mut self.table),
            Err(flaw) => self.give_up(id, &flaw),
        }
    }

    /// A connection whose wire makes no sense is closed at once.
    fn give_up(&mut self, id: Id, flaw: &ProtocolError) {
        let Some(peer) = self.table.peer(id) else {
            return;
        };
        let failure = Failure::new(self.op, peer, flaw.to_string(), Exit::Broken);
        if self.plan.once {
            self.flaw = Some(failure); // how the run ends
        } else {
            self.talk.failure(&failure);
        }
        self.table.remove(id.slot, Reason::Error);
    }
}
