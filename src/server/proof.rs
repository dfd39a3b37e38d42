//! The gate of auth-serve: a connection that has to prove that it holds a key, before any
//! handler knows of it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::table::{Phase, Table};
use super::told::{Say, Told};
use super::wall::Wall;
use crate::auth::handshake::{Host, Refusal, Verdict};
use crate::console::event::{Event, Reason};
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::socket::would_block;
use crate::session::Id;

/// Refused connections that are still being ended in good order; one more closes the first of
/// them at once, so that strangers who will not go hold no descriptors.
const LEAVING: usize = 64;

/// What makes our side of a handshake for each newcomer.
pub type Ask = Box<dyn Fn() -> Result<Box<dyn Host>, Failure>>;

/// What a server asks of newcomers.
pub struct Gate {
    ask: Ask,
    key_names: Vec<String>,
    /// `-w`: the time for a whole handshake; zero: no limit.
    timeout: Duration,
    wall: Wall,
    told: Told,
    leaving: VecDeque<Id>,
}

/// One connection's handshake.
pub(super) struct Proof {
    machine: Box<dyn Host>,
    until: Deadline,
    /// A wrong verdict that is told late: when, and with what.
    verdict: Option<(Instant, &'static [u8])>,
}

/// What a step of a handshake came to.
#[derive(PartialEq, Eq)]
pub(super) enum Passed {
    /// Nothing came.
    Silent,
    /// It goes on, or is over without success.
    No,
    /// The peer holds this key.
    Yes,
}

impl Gate {
    /// A gate for holders of the keys of these names.
    pub fn new(ask: Ask, key_names: Vec<String>, timeout: Duration, penalty: bool) -> Self {
        Self {
            ask,
            key_names,
            timeout,
            wall: Wall::new(penalty),
            told: Told::default(),
            leaving: VecDeque::new(),
        }
    }

    /// The names of the keys that open it.
    pub fn key_names(&self) -> Vec<String> {
        self.key_names.clone()
    }

    /// Who is next to make way for a newcomer from there; it may have spoken meanwhile.
    pub(super) fn next_victim(&self, from: Option<IpAddr>, now: Instant) -> Option<u64> {
        self.wall.next_victim(from, now)
    }

    /// A new handshake, and the numbers of the connections to close for it where the wall is full.
    pub(super) fn start(
        &mut self,
        number: u64,
        from: Option<IpAddr>,
        now: Instant,
    ) -> Result<(Proof, Vec<u64>), Failure> {
        let machine = (self.ask)()?;
        let until = Deadline::after(self.timeout);
        Ok((
            Proof {
                machine,
                until,
                verdict: None,
            },
            self.wall.admit(number, from, now),
        ))
    }

    /// Closes a connection that the wall has forgotten. Nothing is owed to it.
    pub(super) fn crowd_out(&mut self, table: &mut Table, number: u64) {
        let Some(slot) = table.slot_of(number) else {
            return;
        };
        self.tell(table, slot, "made way for a newcomer");
        table.remove(slot, Reason::Auth);
    }

    /// Reads what came from an unproved connection, never beyond its proof.
    pub(super) fn hear(&mut self, table: &mut Table, slot: usize, buffer: &mut [u8]) -> Passed {
        let Some(conn) = table.get(slot) else {
            return Passed::Silent;
        };
        let number = conn.number;
        let proof = match &conn.phase {
            Phase::Proving(proof) if !proof.is_decided() => proof,
            _ => return Passed::Silent,
        };
        let wanted = proof.machine.wanted().min(buffer.len());
        let count = match table.recv(slot, &mut buffer[..wanted]) {
            Err(e) if would_block(&e) => return Passed::Silent,
            // A connection that failed has ended, as far as its proof goes.
            Err(_) => 0,
            Ok(count) => count,
        };
        let (now, talk) = (table.now, table.talk.clone());
        let Some(conn) = table.get(slot) else {
            return Passed::No;
        };
        let Phase::Proving(proof) = &mut conn.phase else {
            return Passed::No;
        };
        if count == 0 {
            let why = proof.machine.ended();
            self.refuse(table, slot, &why);
            return Passed::No;
        }
        let mut reply = Vec::new();
        let verdict = proof.machine.feed(&buffer[..count], &mut reply);
        self.wall.heard(number, proof.machine.shows_key(), now);
        match verdict {
            Verdict::More => {
                table.send_plain(slot, &reply);
                Passed::No
            }
            Verdict::Refused(why) => {
                table.send_plain(slot, &reply);
                self.refuse(table, slot, &why);
                Passed::No
            }
            Verdict::Proved(proved) => {
                self.wall.leave(number);
                conn.key = proved.key.as_deref().map(Rc::from);
                conn.layer = proved.session;
                let key = proved.key.as_deref();
                talk.say(&Event::Auth {
                    id: number,
                    peer: &conn.peer,
                    ok: true,
                    reason: None,
                    key,
                });
                table.send_plain(slot, &reply);
                Passed::Yes
            }
        }
    }

    /// The clock of an unproved connection: its time is up, or its verdict may be told.
    pub(super) fn due(&mut self, table: &mut Table, slot: usize) {
        let Some(conn) = table.get(slot) else { return };
        let number = conn.number;
        let Phase::Proving(proof) = &mut conn.phase else {
            return;
        };
        if let Some((_, farewell)) = proof.verdict {
            self.end(table, slot, number, farewell);
        } else {
            let why = proof.machine.timed_out();
            self.refuse(table, slot, &why);
        }
    }

    fn refuse(&mut self, table: &mut Table, slot: usize, why: &Refusal) {
        self.tell(table, slot, &why.reason);
        let now = table.now;
        let Some(conn) = table.get(slot) else { return };
        let number = conn.number;
        let delay = if why.wrong_proof {
            self.wall.wrong_proof(conn.peer.ip(), now)
        } else {
            Duration::ZERO
        };
        if delay.is_zero() {
            self.end(table, slot, number, why.farewell);
        } else if let Phase::Proving(proof) = &mut conn.phase {
            proof.verdict = Some((now + delay, why.farewell));
            table.touch(slot);
        }
    }

    /// Says why a connection is not let in, as long as that is not said all the time.
    fn tell(&mut self, table: &mut Table, slot: usize, reason: &str) {
        let (now, talk) = (table.now, table.talk.clone());
        let (Some(conn), Say::It(untold)) = (table.get(slot), self.told.one(now)) else {
            return;
        };
        if untold > 0 {
            talk.warn(&format!("{untold} more were refused than was said"));
        }
        talk.say(&Event::Auth {
            id: conn.number,
            peer: &conn.peer,
            ok: false,
            reason: Some(reason),
            key: None,
        });
    }

    /// The verdict: what the protocol has for it, and our end, which no reset may overtake.
    fn end(&mut self, table: &mut Table, slot: usize, number: u64, farewell: &[u8]) {
        self.wall.leave(number);
        table.send_plain(slot, farewell);
        table.end(slot, Reason::Auth);
        self.leaving.push_back(Id { number, slot });
        if self.leaving.len() > LEAVING
            && let Some(first) = self.leaving.pop_front()
            && table.id(first.slot) == Some(first)
        {
            table.remove(first.slot, Reason::Auth);
        }
    }
}

impl Proof {
    /// What the server says first.
    pub(super) fn greeting(&self) -> &[u8] {
        self.machine.greeting()
    }

    /// When the clock must look at it.
    pub(super) fn due(&self) -> Deadline {
        self.verdict.map_or(self.until, |(at, _)| Deadline::at(at))
    }

    /// Whether it only waits for its verdict to be told.
    pub(super) fn is_decided(&self) -> bool {
        self.verdict.is_some()
    }
}
