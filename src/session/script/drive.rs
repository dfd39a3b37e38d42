//! Carries out a script on a connected socket: one thread, one poll(2), everything that comes to
//! stdout. The script decides; this file moves bytes and watches the clocks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use super::{Action, Script};
use crate::console::event::Event;
use crate::console::talk::Talk;
use crate::net::deadline::Deadline;
use crate::net::flow::{finish, goes_on};
use crate::net::hexdump::Direction;
use crate::net::pump::{End, Pace, Rules};
use crate::net::signal::Deferred;
use crate::net::socket::{Socket, would_block};
use crate::net::stdio::Stdio;

/// The most one read takes.
const CHUNK: usize = 64 << 10;

/// Why a script is over.
#[derive(Debug)]
pub enum Over {
    /// All steps are done, and nothing more is waited for.
    Done,
    /// A step was not done in time: an expectation, a send that the peer does not take, the
    /// first byte of the answer.
    Late,
    /// For a reason that a pump has too.
    Ended(End),
}

/// Carries out `script` on `socket`, which is non-blocking meanwhile. `patience` (zero: no limit)
/// bounds each expectation, how long the peer may take nothing, and how long it may take to begin
/// its answer to the last step. Of the rules everything holds but what stdin would send.
pub fn run(
    socket: &Socket,
    script: &mut Script,
    mut rules: Rules,
    patience: Duration,
    signals: Option<&Deferred>,
    talk: &Talk,
) -> (u64, u64, Over) {
    let now = Instant::now();
    let mut drive = Drive {
        socket,
        script,
        output: rules.receive.then(Stdio::output),
        pace: Pace::new(rules.progress.take()),
        rules,
        patience,
        signals,
        talk,
        outgoing: Vec::new(),
        taken: 0,
        incoming: Vec::new(),
        buffer: vec![0; CHUNK],
        phase: Phase::Steps,
        began: now,
        step_began: now,
        moved: now,
        received: 0,
        sent: 0,
        heard: false,
        peer_ended: false,
        wire_ended: false,
        broken: None,
    };
    let over = match socket.set_nonblocking(true) {
        Ok(()) => drive.run().unwrap_or_else(|over| over),
        Err(e) => Over::Ended(End::Broken(e)),
    };
    if let (Over::Done | Over::Ended(End::Eof | End::Linger | End::Limit), Some(codec)) =
        (&over, &mut drive.rules.codec)
    {
        finish(socket, &mut **codec);
    }
    if !drive.outgoing.is_empty() {
        drive.script.cut_short();
    }
    drive.pace.end(drive.received, drive.sent);
    // A socket that is gone does not care about its mode.
    let _ = socket.set_nonblocking(false);
    (drive.received, drive.sent, over)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There are steps to do.
    Steps,
    /// Our side has ended (if it should), the answer is read to its end.
    Answer,
    /// What came is written, then it is over.
    Closing,
}

struct Drive<'a> {
    socket: &'a Socket,
    script: &'a mut Script,
    output: Option<Stdio>,
    rules: Rules,
    pace: Pace,
    patience: Duration,
    signals: Option<&'a Deferred>,
    talk: &'a Talk,
    /// What is to be sent, and what is to be written: neither grows before it is empty.
    outgoing: Vec<u8>,
    /// How much of it is sent.
    taken: usize,
    incoming: Vec<u8>,
    buffer: Vec<u8>,
    phase: Phase,
    began: Instant,
    /// When the step on hand began, or last got on.
    step_began: Instant,
    /// When something last went over the connection.
    moved: Instant,
    received: u64,
    sent: u64,
    /// Something came since the last send began.
    heard: bool,
    peer_ended: bool,
    /// Nothing more can come over the wire.
    wire_ended: bool,
    /// A send failed: what has arrived is still to be delivered.
    broken: Option<io::Error>,
}

impl Drive<'_> {
    fn run(&mut self) -> Result<Over, Over> {
        loop {
            if let Some(signal) = self.signals.and_then(Deferred::pending) {
                return Ok(Over::Ended(End::Signal(signal)));
            }
            self.pace.tell(self.received, self.sent);
            let moved = self.write()? | self.send()?;
            let received = self.receive();
            // What came before a reset may be all that was waited for.
            self.act()?;
            self.over()?;
            let moved = moved
                | match received {
                    Err(_) if self.phase == Phase::Closing => true,
                    received => received?,
                };
            self.check_clocks()?;
            if !moved {
                self.wait();
            }
        }
    }

    /// Does what the script asks for, as far as it can be done at once.
    fn act(&mut self) -> Result<(), Over> {
        while self.phase == Phase::Steps && self.outgoing.is_empty() && self.broken.is_none() {
            match self.script.act() {
                Action::Send(bytes) => {
                    self.heard = false;
                    let payload = match &mut self.rules.outgoing {
                        None => bytes,
                        Some(filter) => {
                            let mut out = Vec::with_capacity(bytes.len());
                            filter(&bytes, &mut out);
                            out
                        }
                    };
                    self.outgoing = self.wrap(payload)?;
                }
                Action::Met { pattern, matched } => {
                    self.talk.say(&Event::expected(&pattern, Some(&matched)));
                }
                Action::Await => return Ok(()),
                Action::Unmet => return Err(Over::Ended(End::Eof)),
                Action::Answer => {
                    if self.rules.half_close {
                        if let Some(codec) = &mut self.rules.codec {
                            finish(self.socket, &mut **codec);
                        }
                        // A peer that is gone shows itself to the next read.
                        let _ = self.socket.shutdown_write();
                    }
                    self.phase = Phase::Answer;
                }
                Action::Close => self.phase = Phase::Closing,
            }
            self.step_began = Instant::now();
        }
        Ok(())
    }

    /// Payload as it goes over the wire. Wrapped, it is counted and dumped here, else as it goes.
    fn wrap(&mut self, payload: Vec<u8>) -> Result<Vec<u8>, Over> {
        let Some(codec) = &mut self.rules.codec else {
            return Ok(payload);
        };
        let mut wire = Vec::new();
        codec.encode(&payload, &mut wire).map_err(|flaw| Over::Ended(End::Broken(flaw.into())))?;
        self.sent += payload.len() as u64;
        self.dump(Direction::Sent, &payload)?;
        Ok(wire)
    }

    /// The payload of what came over the wire, nothing being its end; what is wrong behind it
    /// shows once it is delivered.
    fn unwrap(&mut self, count: usize) -> Option<Vec<u8>> {
        let left = usize::try_from(self.left()).unwrap_or(usize::MAX);
        let codec = self.rules.codec.as_mut()?;
        let mut payload = Vec::new();
        let result = match count {
            0 => codec.at_wire_eof(),
            _ => codec.decode(&self.buffer[..count], &mut payload),
        };
        payload.truncate(left);
        self.peer_ended = codec.peer_ended() || result.is_err();
        self.broken = self.broken.take().or(result.err().map(Into::into));
        Some(payload)
    }

    /// Whether it is over, once what came is written.
    fn over(&mut self) -> Result<(), Over> {
        if !self.incoming.is_empty() {
            return Ok(());
        }
        match self.phase {
            Phase::Closing => Err(Over::Done),
            Phase::Answer if self.peer_ended => Err(Over::Ended(End::Eof)),
            _ if self.left() == 0 => Err(Over::Ended(End::Limit)),
            _ if self.peer_ended && self.broken.is_some() => Err(self.broken()),
            _ => Ok(()),
        }
    }

    fn broken(&mut self) -> Over {
        let error = self.broken.take();
        Over::Ended(error.map_or(End::Eof, End::Broken))
    }

    /// How many bytes may still come (`--max-bytes`).
    fn left(&self) -> u64 {
        self.rules.max.map_or(u64::MAX, |max| max.saturating_sub(self.received))
    }

    fn send(&mut self) -> Result<bool, Over> {
        if self.outgoing.is_empty() || self.broken.is_some() {
            return Ok(false);
        }
        match self.socket.send(&self.outgoing[self.taken..]) {
            Ok(count) => {
                self.moved = Instant::now();
                self.step_began = self.moved;
                if self.rules.codec.is_none() {
                    self.sent += count as u64;
                    let piece = self.taken..self.taken + count;
                    self.dump(Direction::Sent, &self.outgoing[piece])?;
                }
                self.taken += count;
                if self.taken == self.outgoing.len() {
                    self.outgoing.clear();
                    self.taken = 0;
                }
                Ok(true)
            }
            Err(e) if would_block(&e) => Ok(false),
            Err(e) => {
                self.broken = Some(e);
                Ok(true)
            }
        }
    }

    fn receive(&mut self) -> Result<bool, Over> {
        let wrapped = self.rules.codec.is_some();
        let limit = usize::try_from(self.left()).unwrap_or(CHUNK).min(CHUNK);
        let busy = !self.incoming.is_empty() || self.phase == Phase::Closing;
        if busy {
            return Ok(false); // also of what is wrong nothing is said before what came is written
        }
        if let Some(codec) = self.rules.codec.as_mut().filter(|_| self.peer_ended)
            && self.broken.is_none()
            && !self.wire_ended
        {
            let result = goes_on(self.socket, &mut **codec);
            self.wire_ended = !result.map_err(|e| Over::Ended(End::Broken(e)))?;
        }
        if self.peer_ended || limit == 0 {
            return Ok(false);
        }
        let limit = if wrapped { CHUNK } else { limit };
        let count = match self.socket.recv(&mut self.buffer[..limit]) {
            Ok(count) => count,
            Err(e) if would_block(&e) && self.broken.is_some() => return Err(self.broken()),
            Err(e) if would_block(&e) => return Ok(false),
            Err(e) => return Err(Over::Ended(End::Broken(self.broken.take().unwrap_or(e)))),
        };
        self.peer_ended = count == 0;
        self.wire_ended = count == 0;
        let payload = self.unwrap(count).unwrap_or_else(|| self.buffer[..count].to_vec());
        if !payload.is_empty() {
            self.received += payload.len() as u64;
            self.moved = Instant::now();
            self.dump(Direction::Received, &payload)?;
            self.script.feed(&payload);
            self.deliver(&payload);
            self.heard = true;
        }
        if self.peer_ended {
            self.script.end();
            self.deliver(&[]);
        }
        Ok(true)
    }

    /// Queues what came for stdout; no bytes are the end.
    fn deliver(&mut self, bytes: &[u8]) {
        if self.output.is_none() {
            return;
        }
        match &mut self.rules.incoming {
            Some(filter) => filter(bytes, &mut self.incoming),
            None => self.incoming.extend_from_slice(bytes),
        }
    }

    fn write(&mut self) -> Result<bool, Over> {
        let Some(output) = self.output.filter(|_| !self.incoming.is_empty()) else {
            return Ok(false);
        };
        match output.write(&self.incoming) {
            Ok(count) => {
                self.incoming.drain(..count);
                Ok(true)
            }
            Err(e) if would_block(&e) => Ok(false),
            Err(e) => Err(Over::Ended(End::Output(e))),
        }
    }

    fn dump(&self, direction: Direction, bytes: &[u8]) -> Result<(), Over> {
        let elapsed = self.began.elapsed();
        match &self.rules.tap {
            Some(tap) => tap
                .borrow_mut()
                .tell(direction, elapsed, bytes)
                .map_err(|failure| Over::Ended(End::Tap(failure))),
            None => Ok(()),
        }
    }

    /// Every limit that applies now: when it strikes, and what it means.
    fn clocks(&self) -> [(Deadline, Over); 4] {
        let after = |since: Instant, limit: Duration| {
            (!limit.is_zero()).then(|| since.checked_add(limit)).flatten()
        };
        let at = |when: Option<Instant>| when.map_or(Deadline::NEVER, Deadline::at);
        let step = match self.phase {
            Phase::Answer if self.heard => None,
            Phase::Steps | Phase::Answer => after(self.step_began, self.patience),
            Phase::Closing => None,
        };
        let linger = match self.phase {
            Phase::Answer => self.rules.linger.map(|linger| self.step_began + linger),
            Phase::Steps | Phase::Closing => None,
        };
        let idle = after(self.moved, self.rules.idle);
        [
            (at(linger), Over::Ended(End::Linger)),
            (at(step), Over::Late),
            (at(idle), Over::Ended(End::Idle)),
            (self.rules.deadline, Over::Ended(End::Deadline)),
        ]
    }

    fn check_clocks(&mut self) -> Result<(), Over> {
        let struck = self.clocks().into_iter().find(|(at, _)| at.passed());
        struck.map_or(Ok(()), |(_, over)| Err(over))
    }

    /// Waits for what can go on, at the latest until a clock strikes.
    fn wait(&self) {
        let until = self.clocks().iter().fold(self.pace.due(), |until, (at, _)| until.min(*at));
        let mut fds: Vec<(BorrowedFd<'_>, PollFlags)> = Vec::with_capacity(3);
        let mut events = PollFlags::empty();
        let ended = if self.rules.codec.is_some() { self.wire_ended } else { self.peer_ended };
        let reads = !ended && self.incoming.is_empty() && self.left() > 0;
        events.set(PollFlags::POLLIN, reads);
        events.set(PollFlags::POLLOUT, !self.outgoing.is_empty());
        if !events.is_empty() {
            fds.push((self.socket.as_fd(), events));
        }
        if let Some(output) = &self.output
            && !self.incoming.is_empty()
        {
            fds.push((output.as_fd(), PollFlags::POLLOUT));
        }
        if let Some(signals) = self.signals {
            fds.push((signals.as_fd(), PollFlags::POLLIN));
        }
        let mut polled: Vec<PollFd<'_>> =
            fds.iter().map(|(fd, events)| PollFd::new(*fd, *events)).collect();
        // EINTR or not: the loop looks at everything again.
        let _ = nix::poll::poll(&mut polled, until.timeout());
    }
}
