//! What becomes a datagram: texts, and stdin as a whole, in pieces or by lines.

use std::io::{self, Read};

use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::line::{Lines, Overlong};
use crate::net::stdio::Stdio;
use crate::net::udp::LARGEST;

/// How much of stdin is read at a time.
const BLOCK: usize = 64 << 10;

/// What is sent.
pub enum Content {
    /// These datagrams, this many times.
    Fixed(Vec<Vec<u8>>, u64),
    /// All of stdin as one datagram, this many times.
    Whole(u64),
    /// stdin in pieces of this size; the last may be shorter.
    Chunks(usize),
    /// The lines of stdin.
    Lines,
}

/// The failure of a read of stdin.
pub(super) fn read_failed(error: &io::Error) -> Failure {
    Failure::system("read", "stdin", error)
}

/// A splitter of stdin into lines without their LF. A line too long for any datagram is given as far
/// as it was read: sending it fails.
pub(super) fn splitter() -> Lines {
    Lines::new(LARGEST, Overlong::Split).keeping_cr()
}

/// All of stdin; of too much for a datagram only as much as it takes to say so.
pub(super) fn whole() -> Result<Vec<u8>, Failure> {
    let mut all = Vec::new();
    let read =
        Stdio::input().waiting(Deadline::of_run()).take(LARGEST as u64 + 1).read_to_end(&mut all);
    read.map(|_| all).map_err(|e| read_failed(&e))
}

/// Calls `each` with the lines of stdin: as many as there are, `most` at a time.
pub(super) fn lines(
    most: usize,
    mut each: impl FnMut(&[&[u8]]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut stdin = Stdio::input().waiting(Deadline::of_run());
    let (mut splitter, mut block) = (splitter(), vec![0; BLOCK]);
    loop {
        let mut rest = match stdin.read(&mut block) {
            Ok(0) => break,
            Ok(count) => &block[..count],
            Err(e) => return Err(read_failed(&e)),
        };
        let lines: Vec<_> = std::iter::from_fn(|| splitter.next(&mut rest)).collect();
        let lines: Vec<&[u8]> = lines.iter().map(|line| &line[..]).collect();
        lines.chunks(most).try_for_each(&mut each)?;
    }
    splitter.take_partial().map_or(Ok(()), |last| each(&[&last]))
}

/// Calls `each` with stdin in pieces of `size` bytes; the last may be shorter.
pub(super) fn chunks(
    size: usize,
    mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut stdin = Stdio::input().waiting(Deadline::of_run());
    let mut piece = Vec::with_capacity(size.min(LARGEST));
    loop {
        piece.clear();
        match stdin.by_ref().take(size as u64).read_to_end(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(_) => each(&piece)?,
            Err(e) => return Err(read_failed(&e)),
        }
    }
}
