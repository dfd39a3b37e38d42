//! A program whose bytes have to pass through us (`--hex`, an encrypted session): one end of a
//! socketpair is its stdin and stdout, the other is here. Both directions have an end: what the
//! program has not read holds the client up, what the client has not read holds the program up.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::net::poller::Interest;

/// Our end, and what waits for the program.
pub struct Pump {
    ours: UnixStream,
    waiting: Vec<u8>,
    input: Input,
    /// The program may write; nothing more comes once it has ended its side.
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
    /// Nothing more goes there: it was ended, or the program does not read.
    Over,
}

impl Pump {
    /// A pump, and the end that is the program's.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        // Each end has a mode of its own: the program's stays blocking.
        ours.set_nonblocking(true)?;
        let pump =
            Self { ours, waiting: Vec::new(), input: Input::Open, output: true, held: false };
        Ok((pump, theirs.into()))
    }

    /// Bytes for the program.
    pub fn give(&mut self, bytes: &[u8]) {
        if self.input == Input::Open {
            self.waiting.extend_from_slice(bytes);
            self.flush();
        }
    }

    /// The end of its input, behind everything given.
    pub fn finish(&mut self) {
        if self.input == Input::Open {
            self.input = Input::Ending;
            self.flush();
        }
    }

    /// Writes what the program takes. One that does not read any more loses the rest.
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

    /// Whether the program has something to read still.
    pub fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What the program wrote; nothing for now, or its end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Output {
        loop {
            match (&self.ours).read(buffer) {
                Ok(n) if n > 0 => return Output::Bytes(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Output::Nothing,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // A program that ended without reading all leaves a reset: an end as well.
                Ok(_) | Err(_) => {
                    self.output = false;
                    return Output::End;
                }
            }
        }
    }

    /// What our end is to be watched for.
    pub fn interest(&self) -> Interest {
        Interest { read: self.output && !self.held, write: !self.waiting.is_empty() }
    }
}

/// What came of reading a program's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// It ended its side.
    End,
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
    fn what_is_not_read_waits_and_the_end_comes_behind_it() {
        let (mut pump, theirs) = Pump::new().unwrap();
        let mut theirs = UnixStream::from(theirs);
        let wanted: Vec<u8> = (0..1_u32 << 20).map(|n| n.to_le_bytes()[0]).collect();
        pump.give(&wanted);
        pump.finish();
        assert!(pump.is_behind() && pump.interest().write);
        let mut got = vec![0; wanted.len() + 1];
        let mut count = 0;
        while let n @ 1.. = theirs.read(&mut got[count..]).unwrap() {
            count += n;
            pump.flush();
        }
        assert!(!pump.is_behind() && !pump.interest().write);
        assert!(got[..count] == wanted);
    }

    #[test]
    fn a_program_that_does_not_read_loses_what_waits_and_is_heard() {
        let (mut pump, theirs) = Pump::new().unwrap();
        let mut theirs = UnixStream::from(theirs);
        theirs.write_all(b"answer").unwrap();
        theirs.shutdown(Shutdown::Read).unwrap();
        pump.give(b"request");
        assert!(!pump.is_behind());
        let mut buffer = [0; 16];
        assert_eq!(pump.read(&mut buffer), Output::Bytes(6));
        assert_eq!(pump.read(&mut buffer), Output::Nothing);
        drop(theirs);
        assert_eq!(pump.read(&mut buffer), Output::End);
        assert_eq!(pump.interest(), Interest::default());
    }
}
