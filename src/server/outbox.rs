//! What waits to be sent to one client: pieces, each made once and shared by all who get it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;

use crate::net::socket::Socket;
use crate::net::socket::would_block;

/// The most pieces one sendmsg(2) takes here.
const BATCH: usize = 64;

/// A queue of bytes for one client. It has no end of its own: whoever fills it asks its length.
#[derive(Default)]
pub struct Outbox {
    pieces: VecDeque<Rc<[u8]>>,
    /// What of the first piece is sent already.
    offset: usize,
    length: usize,
}

impl Outbox {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds a piece, of which the first `offset` bytes are sent already if nothing waits.
    pub fn push(&mut self, piece: Rc<[u8]>, offset: usize) {
        if offset < piece.len() {
            if self.pieces.is_empty() {
                self.offset = offset;
            }
            self.length += piece.len() - offset;
            self.pieces.push_back(piece);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Sends what the socket takes; the number of bytes it took.
    pub fn send_to(&mut self, socket: &Socket) -> io::Result<usize> {
        let mut total = 0;
        while !self.is_empty() {
            let first = self
                .pieces
                .front()
                .map_or(&[][..], |piece| &piece[self.offset..]);
            let rest = self
                .pieces
                .iter()
                .skip(1)
                .take(BATCH - 1)
                .map(|piece| &piece[..]);
            let slices: Vec<IoSlice<'_>> = std::iter::once(first)
                .chain(rest)
                .map(IoSlice::new)
                .collect();
            match socket.send_vectored(&slices) {
                Ok(n) => {
                    total += n;
                    self.sent(n);
                }
                Err(e) if would_block(&e) => break,
                Err(e) => return Err(e),
            }
        }
        Ok(total)
    }

    fn sent(&mut self, mut n: usize) {
        self.length -= n;
        while let Some(first) = self.pieces.front() {
            let left = first.len() - self.offset;
            if n < left {
                self.offset += n;
                return;
            }
            n -= left;
            self.offset = 0;
            self.pieces.pop_front();
        }
        // A queue that was long once gives its memory back.
        self.pieces.shrink_to(8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_short_writes_keep_the_order(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20),
            takes in prop::collection::vec(1usize..30, 0..200),
        ) {
            let mut outbox = Outbox::default();
            for piece in &pieces {
                outbox.push(piece.as_slice().into(), 0);
            }
            let wanted = pieces.concat();
            prop_assert_eq!(outbox.len(), wanted.len());
            let mut got = Vec::new();
            for take in takes {
                let waiting: Vec<u8> = outbox
                    .pieces
                    .iter()
                    .enumerate()
                    .flat_map(|(i, piece)| piece[if i == 0 { outbox.offset } else { 0 }..].to_vec())
                    .collect();
                let n = take.min(waiting.len());
                got.extend_from_slice(&waiting[..n]);
                outbox.sent(n);
                prop_assert_eq!(outbox.len() + got.len(), wanted.len());
            }
            prop_assert!(wanted.starts_with(&got));
        }
    }
}
