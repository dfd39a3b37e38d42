//! The gate of auth-serve: a connection that has to prove that it holds a key, before any
//! handler knows of it.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::table::{Phase, Table};
use super::wall::Wall;
use crate::auth::challenge::{Digest, Progress, Reason as Refusal, Server as Challenge};
use crate::auth::key::Keyring;
use crate::auth::random;
use crate::console::event::{Event, Reason};
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::socket::would_block;

/// What a server asks of newcomers.
pub struct Gate {
    digest: Digest,
    keyring: Rc<Keyring>,
    /// `-w`: the time for a whole handshake; zero: no limit.
    timeout: Duration,
    wall: Wall,
}

/// One connection's handshake.
pub(super) struct Proof {
    machine: Challenge,
    until: Deadline,
    /// A wrong verdict that is told late.
    verdict: Option<Instant>,
}

/// What a step of a handshake came to.
pub(super) enum Passed {
    /// It goes on, or is over without success.
    No,
    /// The peer holds this key.
    Yes,
}

impl Gate {
    /// A gate for holders of one of the keys.
    pub fn new(digest: Digest, keyring: Rc<Keyring>, timeout: Duration, penalty: bool) -> Self {
        Self {
            digest,
            keyring,
            timeout,
            wall: Wall::new(penalty),
        }
    }

    /// A new handshake, and the numbers of the connections to close for it where the wall is full.
    pub(super) fn start(
        &mut self,
        number: u64,
        from: Option<IpAddr>,
        now: Instant,
    ) -> Result<(Proof, Vec<u64>), Failure> {
        let machine = Challenge::new(self.digest, Rc::clone(&self.keyring), random::bytes()?);
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

    /// Forgets a connection.
    pub(super) fn leave(&mut self, number: u64) {
        self.wall.leave(number);
    }

    /// Reads what came from an unproved connection, never beyond its proof.
    pub(super) fn hear(&mut self, table: &mut Table, slot: usize, buffer: &mut [u8]) -> Passed {
        let Some(conn) = table.get(slot) else {
            return Passed::No;
        };
        let number = conn.number;
        let Phase::Proving(proof) = &conn.phase else {
            return Passed::No;
        };
        let wanted = proof.machine.wanted().min(buffer.len());
        let count = match table.recv(slot, &mut buffer[..wanted]) {
            Err(e) if would_block(&e) => return Passed::No,
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
        self.wall.heard(number, now);
        match proof.machine.feed(&buffer[..count]) {
            Progress::More => Passed::No,
            Progress::Refused(why) => {
                self.refuse(table, slot, &why);
                Passed::No
            }
            Progress::Proved(key) => {
                self.wall.leave(number);
                let key = key.as_deref();
                talk.say(&Event::Auth {
                    id: number,
                    peer: &conn.peer,
                    ok: true,
                    reason: None,
                    key,
                });
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
        if proof.is_decided() {
            self.wall.leave(number);
            table.end(slot, Reason::Auth);
        } else {
            let why = proof.machine.timed_out();
            self.refuse(table, slot, &why);
        }
    }

    fn refuse(&mut self, table: &mut Table, slot: usize, why: &Refusal) {
        let now = table.now;
        let talk = table.talk.clone();
        let Some(conn) = table.get(slot) else { return };
        let reason = why.to_string();
        talk.say(&Event::Auth {
            id: conn.number,
            peer: &conn.peer,
            ok: false,
            reason: Some(&reason),
            key: None,
        });
        let delay = if why.is_wrong_proof() {
            self.wall.wrong_proof(conn.peer.ip(), now)
        } else {
            Duration::ZERO
        };
        if delay.is_zero() {
            self.wall.leave(conn.number);
            table.end(slot, Reason::Auth);
        } else if let Phase::Proving(proof) = &mut conn.phase {
            proof.verdict = Some(now + delay);
        }
    }
}

impl Proof {
    /// What the server says first.
    pub(super) fn greeting(&self) -> &[u8] {
        self.machine.challenge()
    }

    /// When the clock must look at it.
    pub(super) fn due(&self) -> Deadline {
        self.verdict.map_or(self.until, Deadline::at)
    }

    /// Whether it only waits for its verdict to be told.
    pub(super) fn is_decided(&self) -> bool {
        self.verdict.is_some()
    }
}
