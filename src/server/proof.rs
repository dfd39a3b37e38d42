//! The gate of auth-serve: a connection that has to prove that it holds a key, before any
//! handler knows of it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::table::{Phase, Table};
use super::told::{Say, Told};
use super::wall::Wall;
use crate::console::event::{Event, Reason};
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::handshake::{Handshake, Progress, Refusal};
use crate::net::open_files;
use crate::net::socket::would_block;
use crate::session::Id;

/// Refused connections that are still being ended in good order; one more closes the first of
/// them at once, so that strangers who will not go hold no descriptors.
const LEAVING: usize = 64;

/// The most newcomers that are heard at a time, and their part of the limit on open files: small,
/// as with programs that is little above what those who are let in need.
const NEWCOMERS: usize = 1024;
const PART: usize = 16;

/// What makes our side of a handshake for each newcomer.
pub type Ask = Box<dyn Fn() -> Result<Box<dyn Handshake>, Failure>>;

/// What a server asks of newcomers.
pub struct Gate {
    ask: Ask,
    key_names: Vec<String>,
    /// Whoever holds a key can be told why it is not let in.
    explains: bool,
    /// `-w`: the time for a whole handshake; zero: no limit.
    timeout: Duration,
    wall: Wall,
    told: Told,
    leaving: VecDeque<Id>,
}

/// One connection's handshake.
pub(super) struct Proof {
    machine: Box<dyn Handshake>,
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
    /// A gate for holders of the keys of these names. Where it `explains`, whoever holds one can be
    /// told why it is not let in.
    pub fn new(
        ask: Ask,
        key_names: Vec<String>,
        explains: bool,
        timeout: Duration,
        penalty: bool,
    ) -> Self {
        Self {
            ask,
            key_names,
            explains,
            timeout,
            wall: Wall::new(penalty, NEWCOMERS),
            told: Told::default(),
            leaving: VecDeque::new(),
        }
    }

    /// The same, where it hears no more newcomers than the limit on open files has room for.
    #[must_use]
    pub fn within_open_files(mut self) -> Self {
        self.wall.hear_at_most(NEWCOMERS.min(open_files::most() / PART));
        self
    }

    /// The names of the keys that open it.
    pub fn key_names(&self) -> Vec<String> {
        self.key_names.clone()
    }

    /// Whether one from an address that is not let in may show that it holds a key, to be told that.
    /// For strangers from there nobody is kept waiting.
    pub(super) fn would_explain(&self) -> bool {
        self.explains && self.wall.is_quiet()
    }

    /// Who has to make way now; it may have spoken since its turn.
    pub(super) fn next_victim(&mut self, now: Instant) -> Option<Id> {
        self.wall.next_victim(now)
    }

    /// When somebody may have to.
    pub(super) fn deadline(&self) -> Deadline {
        self.wall.deadline()
    }

    /// A new handshake.
    pub(super) fn start(
        &mut self,
        id: Id,
        from: Option<IpAddr>,
        now: Instant,
    ) -> Result<Proof, Failure> {
        self.wall.admit(id, from, now);
        Ok(Proof { machine: (self.ask)()?, until: Deadline::after(self.timeout), verdict: None })
    }

    /// Closes a connection for others. Nothing is owed to it.
    pub(super) fn crowd_out(&mut self, table: &mut Table, id: Id) {
        self.wall.leave(id);
        if table.id(id.slot) == Some(id) {
            self.tell(table, id.slot, "made way for a newcomer");
            table.remove(id.slot, Reason::Auth);
        }
    }

    /// Reads what came from an unproved connection, never beyond its proof.
    pub(super) fn hear(&mut self, table: &mut Table, slot: usize, buffer: &mut [u8]) -> Passed {
        let (Some(id), Some(conn)) = (table.id(slot), table.get(slot)) else {
            return Passed::Silent;
        };
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
            let why = proof.machine.on_eof();
            self.refuse(table, slot, &why);
            return Passed::No;
        }
        let mut reply = Vec::new();
        let progress = proof.machine.feed(&buffer[..count], &mut reply);
        self.wall.heard(id, proof.machine.shows_key(), now);
        match progress {
            Progress::More => {
                table.send_plain(slot, &reply);
                Passed::No
            }
            Progress::Refused(why) => {
                table.send_plain(slot, &reply);
                self.refuse(table, slot, &why);
                Passed::No
            }
            Progress::Done(outcome) => {
                self.wall.leave(id);
                conn.key = outcome.key.as_deref().map(Rc::from);
                conn.codec = outcome.codec;
                let key = outcome.key.as_deref();
                talk.say(&Event::Auth {
                    id: id.number,
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
        let Phase::Proving(proof) = &mut conn.phase else {
            return;
        };
        if let Some((_, farewell)) = proof.verdict {
            self.end(table, slot, farewell);
        } else {
            let why = proof.machine.on_timeout();
            self.refuse(table, slot, &why);
        }
    }

    fn refuse(&mut self, table: &mut Table, slot: usize, why: &Refusal) {
        self.tell(table, slot, &why.reason);
        let now = table.now;
        let (Some(id), Some(conn)) = (table.id(slot), table.get(slot)) else {
            return;
        };
        let delay = if why.wrong_proof {
            self.wall.wrong_proof(id, conn.peer.ip(), now)
        } else {
            Duration::ZERO
        };
        if delay.is_zero() {
            self.end(table, slot, why.farewell);
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
    fn end(&mut self, table: &mut Table, slot: usize, farewell: &[u8]) {
        let Some(id) = table.id(slot) else { return };
        self.wall.leave(id);
        table.send_plain(slot, farewell);
        table.end(slot, Reason::Auth);
        self.leaving.push_back(id);
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
    pub(super) fn greeting(&mut self) -> Vec<u8> {
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
