//! What waits to be sent to one client: bytes of its own, and stretches of the log that all share.
//!
//! What is said to all is written once, into the [`Log`], and a client only knows from where on
//! it has not been sent. A thousand clients that wait for the same bytes hold them once.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Range;

use crate::net::socket::Socket;
use crate::net::socket::would_block;

/// The most pieces one sendmsg(2) takes here.
const BATCH: usize = 64;
/// An empty log or queue keeps this much memory for the next burst.
const KEPT: usize = 256 << 10;
const KEPT_PIECES: usize = 8;

/// What was said to all, until everybody has it. Positions count all bytes ever said.
#[derive(Default)]
pub struct Log {
    bytes: VecDeque<u8>,
    start: u64,
}

impl Log {
    /// Where the next bytes will be.
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Says it to all who listen.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.bytes.capacity() == 0 {
            // As much as is kept anyway: growing to it would touch twice the memory.
            self.bytes.reserve(KEPT);
        }
        self.bytes.extend(bytes);
    }

    /// Forgets what is before `position`: everybody has it.
    pub fn forget(&mut self, position: u64) {
        let count = length(&(self.start..position)).min(self.bytes.len());
        self.bytes.drain(..count);
        self.start += count as u64;
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
            self.bytes = VecDeque::new();
        }
    }

    /// The bytes of a stretch, which must not be forgotten yet. They lie in a ring: two pieces.
    fn slices(&self, stretch: &Range<u64>) -> [&[u8]; 2] {
        let (first, second) = self.bytes.as_slices();
        let from = length(&(self.start..stretch.start)).min(self.bytes.len());
        let to = (from + length(stretch)).min(self.bytes.len());
        let split = first.len();
        [
            &first[from.min(split)..to.min(split)],
            &second[from.saturating_sub(split)..to.saturating_sub(split)],
        ]
    }
}

fn length(stretch: &Range<u64>) -> usize {
    usize::try_from(stretch.end.saturating_sub(stretch.start)).unwrap_or(usize::MAX)
}

/// A queue of bytes for one client. It has no end of its own: whoever fills it asks its length.
pub struct Outbox {
    pieces: VecDeque<Piece>,
    /// What of the first piece is sent already, if it is its own.
    offset: usize,
    /// Bytes in `pieces` that only this client waits for, and bytes of the log.
    own: usize,
    shared: usize,
    /// The log from here on comes after the pieces; [`DEAF`] if the client takes no part in it.
    hears: u64,
}

const DEAF: u64 = u64::MAX;

enum Piece {
    Own(Box<[u8]>),
    Shared(Range<u64>),
}

impl Default for Outbox {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), offset: 0, own: 0, shared: 0, hears: DEAF }
    }
}

impl Outbox {
    /// Bytes that wait.
    pub fn len(&self, log: &Log) -> usize {
        self.own + self.shared + length(&(self.hears..log.end()))
    }

    /// Whether nothing waits.
    pub fn is_empty(&self, log: &Log) -> bool {
        self.len(log) == 0
    }

    /// Bytes that wait for this client alone.
    pub fn own(&self) -> usize {
        self.own
    }

    /// Bytes that are kept because of it: of the log that is all since the first it still needs.
    pub fn kept(&self, log: &Log) -> usize {
        self.own + length(&(self.oldest()..log.end()))
    }

    /// The first position of the log that it still needs.
    pub fn oldest(&self) -> u64 {
        let shared = self.pieces.iter().find_map(|piece| match piece {
            Piece::Shared(stretch) => Some(stretch.start),
            Piece::Own(_) => None,
        });
        shared.unwrap_or(self.hears)
    }

    /// From now on what is said to all is for this client too.
    pub fn listen(&mut self, log: &Log) {
        self.hears = log.end();
    }

    /// What is in the log since `position` is not for this client, who said it.
    pub fn skip(&mut self, position: u64, log: &Log) {
        if self.hears != DEAF {
            self.push_shared(position);
            self.hears = log.end();
        }
    }

    /// Adds bytes for this client alone.
    pub fn push(&mut self, bytes: &[u8], log: &Log) {
        if bytes.is_empty() {
            return;
        }
        if self.hears != DEAF {
            self.push_shared(log.end());
            self.hears = log.end();
        }
        self.own += bytes.len();
        self.pieces.push_back(Piece::Own(bytes.into()));
    }

    /// Makes what waits of the log the client's own, each stretch as `wrap` gives it on; nothing
    /// where that fails.
    pub fn take_over<E>(
        &mut self,
        log: &Log,
        mut wrap: impl FnMut(Vec<u8>) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        if self.hears != DEAF {
            self.push_shared(log.end());
        }
        for piece in &mut self.pieces {
            if let Piece::Shared(stretch) = piece {
                let bytes = wrap(log.slices(stretch).concat())?;
                self.shared -= length(stretch);
                self.own += bytes.len();
                *piece = Piece::Own(bytes.into());
            }
        }
        Ok(())
    }

    /// What is said to all from now on is not for this client.
    pub fn detach(&mut self, log: &Log) {
        if self.hears != DEAF {
            self.push_shared(log.end());
            self.hears = DEAF;
        }
    }

    /// Forgets everything, and takes no part in the log any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Sends what the socket takes; the number of bytes it took.
    pub fn send_to(&mut self, socket: &Socket, log: &Log) -> io::Result<usize> {
        let mut total = 0;
        while !self.is_empty(log) {
            let (wanted, result) = self.send_some(socket, log);
            match result {
                Ok(n) => {
                    total += n;
                    self.sent(n);
                    if n < wanted {
                        break; // it is full: asking again would only say so
                    }
                }
                Err(e) if would_block(&e) => break,
                Err(e) => return Err(e),
            }
        }
        Ok(total)
    }

    /// One call: how much it was offered, and what it took.
    fn send_some(&self, socket: &Socket, log: &Log) -> (usize, io::Result<usize>) {
        let tail = log.slices(&(self.hears..log.end()));
        if self.pieces.is_empty() && tail[1].is_empty() {
            return (tail[0].len(), socket.send(tail[0])); // a message to all, as a rule
        }
        let pieces = self.pieces.iter().flat_map(|piece| match piece {
            Piece::Own(bytes) => [&bytes[..], &[]],
            Piece::Shared(stretch) => log.slices(stretch),
        });
        let mut offset = self.offset;
        let slices: Vec<IoSlice<'_>> = pieces
            .chain(tail)
            .map(|bytes| {
                let skipped = offset.min(bytes.len());
                offset -= skipped;
                &bytes[skipped..]
            })
            .filter(|bytes| !bytes.is_empty())
            .take(BATCH)
            .map(IoSlice::new)
            .collect();
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        (wanted, socket.send_vectored(&slices))
    }

    /// Adds the log up to `position`, as far as it is not there yet.
    fn push_shared(&mut self, position: u64) {
        if self.hears < position {
            self.shared += length(&(self.hears..position));
            self.pieces.push_back(Piece::Shared(self.hears..position));
            self.hears = position;
        }
    }

    fn sent(&mut self, mut n: usize) {
        while let Some(first) = self.pieces.front_mut() {
            let rest = match first {
                Piece::Own(bytes) => {
                    let taken = n.min(bytes.len() - self.offset);
                    n -= taken;
                    self.own -= taken;
                    self.offset += taken;
                    bytes.len() - self.offset
                }
                Piece::Shared(stretch) => {
                    let taken = n.min(length(stretch));
                    n -= taken;
                    self.shared -= taken;
                    stretch.start += taken as u64;
                    length(stretch)
                }
            };
            if rest > 0 {
                return;
            }
            self.offset = 0;
            self.pieces.pop_front();
        }
        if n > 0 {
            self.hears += n as u64;
        }
        self.pieces.shrink_to(KEPT_PIECES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What happens to a client.
    #[derive(Clone, Debug)]
    enum Step {
        ToAll(Vec<u8>),
        FromIt(Vec<u8>),
        ToIt(Vec<u8>),
        Takes(usize),
        Detach,
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..20);
        prop_oneof![
            4 => bytes().prop_map(Step::ToAll),
            2 => bytes().prop_map(Step::FromIt),
            2 => bytes().prop_map(Step::ToIt),
            4 => (1usize..40).prop_map(Step::Takes),
            1 => Just(Step::Detach),
        ]
    }

    fn waiting(outbox: &Outbox, log: &Log) -> Vec<u8> {
        let mut all = Vec::new();
        for piece in &outbox.pieces {
            match piece {
                Piece::Own(bytes) => all.extend_from_slice(bytes),
                Piece::Shared(stretch) => all.extend(log.slices(stretch).concat()),
            }
        }
        all.extend(log.slices(&(outbox.hears..log.end())).concat());
        all.split_off(outbox.offset)
    }

    proptest! {
        #[test]
        fn every_byte_for_a_client_comes_once_and_in_order(
            steps in prop::collection::vec(step(), 0..60),
        ) {
            let (mut log, mut outbox) = (Log::default(), Outbox::default());
            log.push(b"before it came");
            outbox.listen(&log);
            let (mut wanted, mut got, mut deaf) = (Vec::new(), Vec::new(), false);
            for step in steps {
                match step {
                    Step::ToAll(bytes) => {
                        log.push(&bytes);
                        if !deaf {
                            wanted.extend(bytes);
                        }
                    }
                    Step::FromIt(bytes) => {
                        let position = log.end();
                        log.push(&bytes);
                        outbox.skip(position, &log);
                    }
                    Step::ToIt(bytes) => {
                        outbox.push(&bytes, &log);
                        wanted.extend(bytes);
                    }
                    Step::Takes(n) => {
                        let all = waiting(&outbox, &log);
                        let n = n.min(all.len());
                        got.extend_from_slice(&all[..n]);
                        outbox.sent(n);
                        log.forget(outbox.oldest());
                    }
                    Step::Detach => {
                        outbox.detach(&log);
                        deaf = true;
                    }
                }
                prop_assert_eq!(outbox.len(&log) + got.len(), wanted.len());
                prop_assert_eq!([got.clone(), waiting(&outbox, &log)].concat(), &wanted[..]);
                prop_assert!(outbox.kept(&log) >= outbox.len(&log));
                if deaf && outbox.own() == outbox.len(&log) {
                    prop_assert_eq!(outbox.oldest(), DEAF);
                }
            }
        }
    }
}
