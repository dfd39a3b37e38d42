//! stdin and stdout in the event loop: read and written without blocking, and watched by a poller
//! of their own, which the loop watches as the handler's source. Clients are not read while stdout
//! is full; a failure to write ends the run.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

use super::{Clients, Id};
use crate::console::decoration;
use crate::exit::{During, Failure};
use crate::net::deadline::Deadline;
use crate::net::errno::would_block;
use crate::net::line::LinePrefix;
use crate::net::poller::{Interest, Poller};
use crate::net::stdio::Stdio;
use crate::sanitize::Sanitizer;

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
    /// Nothing more is written: stdout is closed behind what is pending.
    has_ended: bool,
    /// One a client, where stdout is a terminal.
    sanitizers: Option<BTreeMap<u64, Sanitizer>>,
    /// `--timestamps`.
    stamps: Option<LinePrefix>,
    /// Once the run is to stop: how long stdout may take what is pending.
    until: Deadline,
}

impl Streams {
    /// Takes the streams that the handler uses. Nothing is read yet. `sanitize`: received text is
    /// escaped.
    pub fn new(input: bool, output: bool, sanitize: bool) -> Result<Self, Failure> {
        let poller = Poller::new().during("watch", "stdin and stdout")?;
        let watched = |fd: Stdio, token| {
            let added = poller.add(fd, token, Interest::default());
            Watched { fd, is_always_ready: added.is_err(), is_awaited: false }
        };
        Ok(Self {
            input: input.then(|| watched(Stdio::input(), STDIN)),
            output: output.then(|| watched(Stdio::output(), STDOUT)),
            poller,
            pending: Vec::new(),
            has_ended: false,
            sanitizers: sanitize.then(BTreeMap::new),
            stamps: None,
            until: Deadline::NEVER,
        })
    }

    /// `--timestamps`: writes the local time before each line.
    #[must_use]
    pub fn stamping(mut self, on: bool) -> Self {
        self.stamps = on.then(LinePrefix::default);
        self
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

    /// Whether [`Streams::tick`] is to report when stdin can be read.
    pub fn watch_input(&mut self, on: bool) {
        if let Some(input) = &mut self.input {
            input.watch(&self.poller, STDIN, Interest { read: on, write: false });
        }
    }

    /// Whether stdin is watched.
    pub fn awaits_input(&self) -> bool {
        self.input.as_ref().is_some_and(|input| input.is_awaited)
    }

    /// read(2) on stdin: 0 at its end, `None` where nothing is there.
    pub fn read(&self, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
        match self.input.as_ref().map_or(Ok(0), |input| input.fd.read(buffer)) {
            Err(e) if would_block(&e) => Ok(None),
            read => read.map(Some).during("read", "stdin"),
        }
    }

    /// Writes what a client sent. What stdout does not take waits.
    pub fn write(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) {
        let Some(sanitizers) = &mut self.sanitizers else {
            return self.put(bytes, clients);
        };
        let mut text = String::new();
        sanitizers.entry(client.number).or_default().feed(bytes, &mut text);
        self.put(text.as_bytes(), clients);
    }

    /// A client sends no more: writes a character that was cut off by that.
    pub fn end_text(&mut self, client: Id, clients: &mut dyn Clients) {
        let sanitizers = self.sanitizers.as_mut();
        if let Some(mut sanitizer) = sanitizers.and_then(|all| all.remove(&client.number)) {
            let mut text = String::new();
            sanitizer.finish(&mut text);
            self.put(text.as_bytes(), clients);
        }
    }

    /// Nothing more comes: who reads stdout sees the end behind what is pending.
    pub fn end_output(&mut self, clients: &mut dyn Clients) {
        self.has_ended = true;
        self.close_ended(clients);
    }

    fn close_ended(&mut self, clients: &mut dyn Clients) {
        if !self.has_ended || self.has_pending() {
            return;
        }
        if let Some(output) = self.output.take() {
            let _ = self.poller.remove(output.fd);
            if let Err(e) = output.fd.close_output() {
                clients.quit(Err(Failure::output(e)));
            }
        }
    }

    fn put(&mut self, bytes: &[u8], clients: &mut dyn Clients) {
        let stamps = self.stamps.as_mut();
        let stamped = stamps.map(|prefix| prefix.insert(&decoration::stamp(false), bytes));
        let bytes = stamped.as_deref().unwrap_or(bytes);
        let taken = if self.has_pending() { 0 } else { self.write_some(bytes, clients) };
        if taken < bytes.len() {
            self.pending.extend_from_slice(&bytes[taken..]);
            self.pause(true, clients);
        }
    }

    fn write_some(&self, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        let Some(output) = &self.output else {
            return bytes.len();
        };
        let mut taken = 0;
        while taken < bytes.len() {
            match output.fd.write(&bytes[taken..]) {
                Ok(count) => taken += count,
                Err(e) if would_block(&e) => break,
                Err(e) => {
                    clients.quit(Err(Failure::output(e)));
                    return bytes.len();
                }
            }
        }
        taken
    }

    /// Pauses all clients until stdout has room, or resumes them.
    pub fn pause(&mut self, on: bool, clients: &mut dyn Clients) {
        if let Some(output) = &mut self.output {
            output.watch(&self.poller, STDOUT, Interest { read: false, write: on });
        }
        clients.pause_all(on);
    }

    /// Writes what waits, if stdout has room. Returns whether stdin is watched and can be read.
    pub fn tick(&mut self, clients: &mut dyn Clients) -> bool {
        let is_due = |stream: &Option<Watched>| stream.as_ref().is_some_and(Watched::is_due);
        let (mut readable, mut writable) = (is_due(&self.input), is_due(&self.output));
        let mut is_broken = false;
        let mut events = Vec::new();
        // A failure leaves both streams as not ready; the next call tries again.
        let _ = self.poller.wait(&mut events, Deadline::now());
        for event in events {
            if event.token == STDIN {
                readable = true;
            } else {
                writable = true;
                is_broken |= event.failed || event.hung_up;
            }
        }
        // The reader of stdout has gone, though there may be nothing to write.
        if is_broken && self.output().is_some_and(Stdio::is_to_reader) {
            clients.quit(Err(Failure::output(Errno::EPIPE)));
            return false;
        }
        if writable {
            let taken = self.write_some(&self.pending, clients);
            self.pending.drain(..taken);
            self.pause(self.has_pending(), clients);
            self.close_ended(clients);
        }
        readable
    }

    /// Whether bytes wait for room in stdout.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The run is to stop: stdin is not read any more, and what is pending has until then.
    pub fn stop(&mut self, until: Deadline) {
        self.close_input();
        self.until = until;
    }

    /// Whether the run must not end yet: bytes wait, and have time.
    pub fn is_busy(&self) -> bool {
        self.has_pending() && !self.until.passed()
    }

    /// When [`Streams::tick`] must be called though the poller reports nothing: at once where a
    /// stream that is always ready is awaited.
    pub fn deadline(&self) -> Deadline {
        if self.input.iter().chain(&self.output).any(Watched::is_due) {
            Deadline::now()
        } else if self.is_busy() {
            self.until
        } else {
            Deadline::NEVER
        }
    }
}

impl Watched {
    fn is_due(&self) -> bool {
        self.is_always_ready && self.is_awaited
    }

    fn watch(&mut self, poller: &Poller, token: u64, interest: Interest) {
        let on = interest != Interest::default();
        if self.is_awaited != on {
            self.is_awaited = on;
            if !self.is_always_ready {
                // A stream that was added can be changed.
                let _ = poller.change(self.fd, token, interest);
            }
        }
    }
}

impl AsFd for Streams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}
