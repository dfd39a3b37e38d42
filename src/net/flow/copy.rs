//! The way through a buffer of ours, for bytes that are seen or changed on their way, and for what
//! the kernel has no other way for.
//!
//! | direction     | what is done to the bytes   |
//! |---------------|-----------------------------|
//! | from the wire | unwrapped, dumped, filtered |
//! | to the wire   | filtered, dumped, wrapped   |

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use super::port::Port;
use super::{Flow, Held, Step};
use crate::net::codec::{Codec, ProtocolError};
use crate::net::hexdump::{Direction, Tap};
use crate::net::socket::would_block;

/// What the copying way reads at a time, and where a codec makes each byte dearer.
pub(super) const BUFFER: usize = 64 << 10;
const LAYERED: usize = 256 << 10;

/// Changes bytes on their way (a CR before each newline, a stranger's text made visible): appends
/// what becomes of the given ones. No bytes means the end.
pub type Filter = Box<dyn FnMut(&[u8], &mut Vec<u8>)>;

/// A codec that both directions of a connection share.
pub type Wire = Rc<RefCell<Box<dyn Codec>>>;

/// What is done to bytes on their way, beside moving them.
#[derive(Default)]
pub struct Change {
    /// They are changed.
    pub filter: Option<Filter>,
    /// They are wrapped for the wire, or unwrapped.
    pub codec: Option<Wire>,
    /// The payload is dumped.
    pub tap: Option<Tap>,
    /// When the dump's clock began.
    pub began: Option<Instant>,
    /// Our end is told in the codec's way, too.
    pub ends: bool,
}

impl Change {
    pub(super) fn is_none(&self) -> bool {
        self.filter.is_none() && self.tap.is_none() && self.codec.is_none()
    }

    /// Shows payload that the socket gave or gets.
    fn dump(&self, direction: Direction, payload: &[u8]) -> Result<(), Step> {
        let Some(tap) = self.tap.as_ref().filter(|_| !payload.is_empty()) else {
            return Ok(());
        };
        let elapsed = self.began.map(|began| began.elapsed()).unwrap_or_default();
        tap.borrow_mut().tell(direction, elapsed, payload).map_err(Step::TapFailed)
    }
}

impl Flow<'_> {
    pub(super) fn copy(&mut self) -> Step {
        if self.pending.is_empty() {
            if let Some(failure) = self.failure.take() {
                return Step::SourceFailed(failure);
            }
            if self.source_ended {
                return Step::Ended;
            }
            if let Err(step) = self.fill() {
                return step;
            }
            if self.pending.is_empty() {
                return Step::Moved; // the end, or what must wait until more comes
            }
        }
        match self.sink.write(&self.stages[self.stage][self.pending.clone()]) {
            Ok(n) => {
                self.pending.start += n;
                self.count_sent(n);
                Step::Moved
            }
            Err(e) if would_block(&e) => Step::Held(Held::Sink),
            Err(e) => Step::SinkFailed(e),
        }
    }

    fn count_sent(&mut self, n: usize) {
        if let Port::Socket(_) = self.sink {
            if self.change.codec.is_none() {
                self.moved += n as u64;
            } else if self.pending.is_empty() {
                self.moved += std::mem::take(&mut self.carried);
            }
        }
    }

    /// Reads, and does to the bytes what is to be done.
    fn fill(&mut self) -> Result<(), Step> {
        let room = if self.change.codec.is_some() { LAYERED } else { self.room(BUFFER) };
        self.stages[0].resize(room, 0);
        let count = match self.source.read(&mut self.stages[0]) {
            Ok(count) => count,
            Err(e) if would_block(&e) => return Err(Step::Held(Held::Source)),
            Err(e) => return Err(Step::SourceFailed(e)),
        };
        self.source_ended = count == 0;
        self.wire_ended = count == 0;
        let length = match self.source {
            Port::Socket(socket) => {
                self.gather.came(count, socket);
                self.arrive(count)?
            }
            _ => self.depart(count)?,
        };
        self.pending = 0..length;
        Ok(())
    }

    /// From the wire: unwrapped, dumped, changed. How much there is to write, in `self.stage`.
    fn arrive(&mut self, count: usize) -> Result<usize, Step> {
        let room = self.room(usize::MAX);
        let [wire, payload, changed] = &mut self.stages;
        let mut bytes = &wire[..count];
        self.stage = 0;
        if let Some(codec) = &self.change.codec {
            let mut codec = codec.borrow_mut();
            payload.clear();
            let result = match bytes {
                [] => codec.at_wire_eof(),
                bytes => codec.decode(bytes, payload),
            };
            payload.truncate(room);
            self.failure = result.err().map(Into::into);
            self.source_ended |= codec.peer_ended();
            bytes = payload;
            self.stage = 1;
        }
        self.moved += bytes.len() as u64;
        self.change.dump(Direction::Received, bytes)?;
        if let Some(filter) = &mut self.change.filter {
            changed.clear();
            filter(bytes, changed);
            if self.source_ended && !bytes.is_empty() {
                filter(&[], changed);
            }
            bytes = changed;
            self.stage = 2;
        }
        Ok(bytes.len())
    }

    /// To the wire: changed, dumped, wrapped. How much there is to write, in `self.stage`.
    fn depart(&mut self, count: usize) -> Result<usize, Step> {
        let [read, changed, wire] = &mut self.stages;
        let mut bytes = &read[..count];
        self.stage = 0;
        if let Some(filter) = &mut self.change.filter {
            changed.clear();
            filter(bytes, changed);
            bytes = changed;
            self.stage = 1;
        }
        self.change.dump(Direction::Sent, bytes)?;
        if let Some(codec) = &self.change.codec {
            let mut codec = codec.borrow_mut();
            wire.clear();
            let broken = |flaw: ProtocolError| Step::SinkFailed(flaw.into());
            codec.encode(bytes, wire).map_err(broken)?;
            self.carried += bytes.len() as u64;
            if count == 0 && self.change.ends {
                codec.encode_eof(wire);
            }
            bytes = wire;
            self.stage = 2;
        }
        Ok(bytes.len())
    }
}
