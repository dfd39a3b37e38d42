//! The pump between a client and a program where the client's socket cannot be handed off (`--hex`,
//! `--log`, a codec): the program's stdin and stdout are one end of a socketpair, the other is here. Both
//! directions have back-pressure: bytes that the program has not read stay with the connection, which
//! is paused; bytes that the client has not read pause the program.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::net::poller::Interest;

/// Our end of the socketpair.
pub(super) struct Pump {
    ours: UnixStream,
    /// The program may still read.
    input: bool,
    /// The socketpair was full: the client is paused until it has room.
    pub is_full: bool,
    /// The program may still write.
    output: bool,
    /// What our end is watched for.
    pub watched: Interest,
}

impl Pump {
    /// A pump, and the program's end.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        // O_NONBLOCK belongs to one end: the program's stays blocking.
        ours.set_nonblocking(true)?;
        let watched = Interest::default();
        let pump = Self { ours, input: true, is_full: false, output: true, watched };
        Ok((pump, theirs.into()))
    }

    /// Writes bytes to the program; how many it took. One that does not read any more takes all.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while self.input && taken < bytes.len() {
            match (&self.ours).write(&bytes[taken..]) {
                Ok(n) => taken += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.is_full = true;
                    return taken;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.input = false,
            }
        }
        bytes.len()
    }

    /// Ends the program's input.
    pub fn finish(&mut self) {
        self.input = false;
        // A program that is gone has no input to end.
        let _ = self.ours.shutdown(Shutdown::Write);
    }

    /// Reads what the program wrote: 0 bytes is its end; nothing for now is `None`.
    pub fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        loop {
            match (&self.ours).read(buffer) {
                Ok(n) if n > 0 => return Some(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return None,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // A program that ended without reading all leaves a reset: an end as well.
                Ok(_) | Err(_) => {
                    self.output = false;
                    return Some(0);
                }
            }
        }
    }

    /// Whether nothing more goes either way.
    pub fn is_over(&self) -> bool {
        !self.input && !self.output
    }

    /// What our end is to be watched for. While the client is held, what the program writes waits in
    /// the kernel.
    pub fn interest(&self, is_held: bool) -> Interest {
        Interest { read: self.output && !is_held, write: self.is_full }
    }
}

impl AsFd for Pump {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_has_not_read_is_not_taken() {
        let (mut pump, theirs) = Pump::new().unwrap();
        let mut theirs = UnixStream::from(theirs);
        let wanted: Vec<u8> = (0..1_u32 << 20).map(|n| n.to_le_bytes()[0]).collect();
        let mut sent = pump.send(&wanted);
        assert!(sent < wanted.len() && pump.interest(false).write);
        let mut got = vec![0; wanted.len() + 1];
        let mut count = 0;
        while let n @ 1.. = theirs.read(&mut got[count..]).unwrap() {
            count += n;
            sent += pump.send(&wanted[sent..]);
            if sent == wanted.len() {
                pump.finish();
            }
        }
        assert!(got[..count] == wanted);
    }

    #[test]
    fn a_program_that_does_not_read_takes_all_and_may_still_write() {
        let (mut pump, theirs) = Pump::new().unwrap();
        let mut theirs = UnixStream::from(theirs);
        theirs.write_all(b"answer").unwrap();
        theirs.shutdown(Shutdown::Read).unwrap();
        assert_eq!(pump.send(b"request"), 7);
        let mut buffer = [0; 16];
        assert_eq!(pump.read(&mut buffer), Some(6));
        assert_eq!(pump.read(&mut buffer), None);
        drop(theirs);
        assert_eq!(pump.read(&mut buffer), Some(0));
        assert_eq!(pump.interest(false), Interest::default());
    }
}
