//! stdin and stdout in the event loop: read and written without blocking, and watched by a poller
//! of their own, which the loop watches as the handler's source.

use std::os::fd::{AsFd, BorrowedFd};

use crate::exit::{During, Failure};
use crate::net::deadline::Deadline;
use crate::net::poller::{Interest, Poller};
use crate::net::socket::would_block;
use crate::net::stdio::{Stdio, StreamKind};

const STDIN: u64 = 0;
const STDOUT: u64 = 1;

/// A standard stream and whether it is watched.
struct Watched {
    fd: Stdio,
    /// epoll(7) cannot watch it (a file, `/dev/null`): it is always ready.
    is_always_ready: bool,
    is_awaited: bool,
}

/// stdin and stdout.
pub struct Streams {
    poller: Poller,
    input: Option<Watched>,
    output: Option<Watched>,
    /// Written by the handler, and not taken by stdout yet.
    pending: Vec<u8>,
}

/// What the streams are ready for.
#[derive(Default)]
pub struct StreamsReady {
    /// stdin can be read.
    pub input: bool,
    /// stdout has room.
    pub output: bool,
    /// The reader of a stdout that is a pipe has gone.
    pub is_broken: bool,
}

impl Streams {
    /// Takes the streams that the handler uses. Nothing is read yet.
    pub fn new(input: bool, output: bool) -> Result<Self, Failure> {
        let poller = Poller::new().during("watch", "stdin and stdout")?;
        let watched = |fd: Stdio, token| {
            let added = poller.add(fd, token, Interest::default());
            Watched { fd, is_always_ready: added.is_err(), is_awaited: false }
        };
        let input = input.then(|| watched(Stdio::input(), STDIN));
        let output = output.then(|| watched(Stdio::output(), STDOUT));
        Ok(Self { poller, input, output, pending: Vec::new() })
    }

    /// stdin, until it has ended.
    pub fn input(&self) -> Option<Stdio> {
        self.input.as_ref().map(|input| input.fd)
    }

    /// stdout, if it is used.
    pub fn output(&self) -> Option<Stdio> {
        self.output.as_ref().map(|output| output.fd)
    }

    /// stdin has ended, or is not read any more.
    pub fn close_input(&mut self) {
        self.watch_input(false);
        self.input = None;
    }

    /// Whether stdin is to be reported when it can be read.
    pub fn watch_input(&mut self, on: bool) {
        watch(&self.poller, &mut self.input, STDIN, Interest { read: on, write: false });
    }

    /// Whether stdout is to be reported when it has room.
    pub fn watch_output(&mut self, on: bool) {
        watch(&self.poller, &mut self.output, STDOUT, Interest { read: false, write: on });
    }

    /// read(2) on stdin: 0 at its end, `None` where nothing is there.
    pub fn read(&self, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
        match self.input.as_ref().map_or(Ok(0), |input| input.fd.read(buffer)) {
            Ok(count) => Ok(Some(count)),
            Err(e) if would_block(&e) => Ok(None),
            Err(e) => Err(Failure::system("read", "stdin", &e)),
        }
    }

    /// Writes to stdout; what it does not take waits, and stdout is watched.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if !self.pending.is_empty() {
            self.pending.extend_from_slice(bytes);
            return Ok(());
        }
        let taken = self.write_some(bytes)?;
        if taken < bytes.len() {
            self.pending.extend_from_slice(&bytes[taken..]);
            self.watch_output(true);
        }
        Ok(())
    }

    fn write_some(&self, bytes: &[u8]) -> Result<usize, Failure> {
        let Some(output) = &self.output else {
            return Ok(bytes.len());
        };
        let mut taken = 0;
        while taken < bytes.len() {
            match output.fd.write(&bytes[taken..]) {
                Ok(count) => taken += count,
                Err(e) if would_block(&e) => break,
                Err(e) => return Err(Failure::output(e)),
            }
        }
        Ok(taken)
    }

    /// Writes what waits, as far as stdout takes it.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let taken = self.write_some(&self.pending)?;
        self.pending.drain(..taken);
        self.watch_output(!self.pending.is_empty());
        Ok(())
    }

    /// Whether bytes wait for room in stdout.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// When the handler must look though nothing is reported: at once where it waits for a stream
    /// that is always ready.
    pub fn deadline(&self) -> Deadline {
        let is_ready = |stream: &Watched| stream.is_always_ready && stream.is_awaited;
        if self.input.iter().chain(&self.output).any(is_ready) {
            Deadline::now()
        } else {
            Deadline::NEVER
        }
    }

    /// What is ready now, of what is watched.
    pub fn ready(&mut self) -> StreamsReady {
        let waits = |stream: &Option<Watched>| {
            stream.as_ref().is_some_and(|stream| stream.is_always_ready && stream.is_awaited)
        };
        let mut ready = StreamsReady {
            input: waits(&self.input),
            output: waits(&self.output),
            is_broken: false,
        };
        let is_pipe = self.output().is_some_and(|output| output.kind() == StreamKind::Pipe);
        let mut events = Vec::new();
        // What cannot be waited for now is waited for again.
        let _ = self.poller.wait(&mut events, Deadline::now());
        for event in events {
            if event.token == STDIN {
                ready.input = true;
            } else {
                ready.output = true;
                ready.is_broken = event.failed && is_pipe;
            }
        }
        ready
    }
}

fn watch(poller: &Poller, stream: &mut Option<Watched>, token: u64, interest: Interest) {
    let Some(stream) = stream else {
        return;
    };
    let on = interest != Interest::default();
    if stream.is_awaited != on {
        stream.is_awaited = on;
        if !stream.is_always_ready {
            // A stream that was added can be changed.
            let _ = poller.change(stream.fd, token, interest);
        }
    }
}

impl AsFd for Streams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}
