//! The relay between a client and a program where the client's socket cannot be handed off (`--hex`,
//! a codec): the program's stdin and stdout are one end of a socketpair, the other is here. Both
//! directions have back-pressure: what the program has not read pauses the client, what the client
//! has not read pauses the program.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::net::poller::Interest;

/// Our end, and what waits for the program.
pub(super) struct Relay {
    ours: UnixStream,
    waiting: Vec<u8>,
    input: Input,
    /// The program may still write.
    output: bool,
    /// The client is behind: what the program writes waits in the kernel.
    pub held: bool,
}

/// The program's stdin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    /// The client ended its side; what waits is still delivered.
    Ending,
    /// Ended, or the program does not read.
    Over,
}

impl Relay {
    /// A relay, and the program's end.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        // O_NONBLOCK belongs to one end: the program's stays blocking.
        ours.set_nonblocking(true)?;
        let relay =
            Self { ours, waiting: Vec::new(), input: Input::Open, output: true, held: false };
        Ok((relay, theirs.into()))
    }

    /// Queues bytes for the program.
    pub fn send(&mut self, bytes: &[u8]) {
        if self.input == Input::Open {
            self.waiting.extend_from_slice(bytes);
            self.flush();
        }
    }

    /// Ends the program's input once everything queued is written.
    pub fn finish(&mut self) {
        if self.input == Input::Open {
            self.input = Input::Ending;
            self.flush();
        }
    }

    /// Writes what the program takes; drops the rest if it does not read any more.
    pub fn flush(&mut self) {
        let mut done = 0;
        while self.input != Input::Over && done < self.waiting.len() {
            match (&self.ours).write(&self.waiting[done..]) {
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.input = Input::Over,
            }
        }
        self.waiting.drain(..done);
        if self.input == Input::Over {
            self.waiting.clear();
        } else if self.input == Input::Ending && self.waiting.is_empty() {
            self.input = Input::Over;
            // A program that is gone has no input to end.
            let _ = self.ours.shutdown(Shutdown::Write);
        }
    }

    /// Whether the program has not read everything.
    pub fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
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

    /// What our end is to be watched for.
    pub fn interest(&self) -> Interest {
        Interest { read: self.output && !self.held, write: !self.waiting.is_empty() }
    }
}

impl AsFd for Relay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_waits_and_the_end_comes_behind_it() {
        let (mut relay, theirs) = Relay::new().unwrap();
        let mut theirs = UnixStream::from(theirs);
        let wanted: Vec<u8> = (0..1_u32 << 20).map(|n| n.to_le_bytes()[0]).collect();
        relay.send(&wanted);
        relay.finish();
        assert!(relay.is_behind() && relay.interest().write);
        let mut got = vec![0; wanted.len() + 1];
        let mut count = 0;
        while let n @ 1.. = theirs.read(&mut got[count..]).unwrap() {
            count += n;
            relay.flush();
        }
        assert!(!relay.is_behind() && !relay.interest().write);
        assert!(got[..count] == wanted);
    }

    #[test]
    fn a_program_that_does_not_read_loses_what_waits_and_may_still_write() {
        let (mut relay, theirs) = Relay::new().unwrap();
        let mut theirs = UnixStream::from(theirs);
        theirs.write_all(b"answer").unwrap();
        theirs.shutdown(Shutdown::Read).unwrap();
        relay.send(b"request");
        assert!(!relay.is_behind());
        let mut buffer = [0; 16];
        assert_eq!(relay.read(&mut buffer), Some(6));
        assert_eq!(relay.read(&mut buffer), None);
        drop(theirs);
        assert_eq!(relay.read(&mut buffer), Some(0));
        assert_eq!(relay.interest(), Interest::default());
    }
}
