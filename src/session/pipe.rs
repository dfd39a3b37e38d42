//! stdin to the clients, the clients to stdout, byte-exact: `connect` and `serve --once` in a pipe
//! with one client, `serve` in a pipe with all that are there.
//!
//! With one client whose bytes need not be seen the kernel moves them ([`Splice`]); else they are
//! read and sent. stdin is read only while every client has room, a client only while stdout has.
//!
//! Over 300 lines: both directions, and what the end of one means for the other.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::closed::Closed;
use super::stdio::Streams;
use super::{Clients, Handler, Id, StreamEnd};
use crate::console::event::Reason;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::errno::would_block;
use crate::net::flow::HIGH_WATER;
use crate::net::line::LineEnds;
use crate::net::splice::{Moved, Splice, grow};
use crate::net::stdio::Stdio;

/// One read of stdin.
const CHUNK: usize = 256 << 10;
/// How often a stdin that waits for one of several clients looks again.
const FULL_POLL: Duration = Duration::from_millis(50);
/// Read coalescing: so much at once is bulk, and the socket then counts as readable with `LOW_WATER`
/// bytes (`SO_RCVLOWAT`), or after `COALESCE_DELAY`. Both ways at once 1 GiB costs both ends 0.34 s of
/// CPU time; 0.39 s where each segment wakes the reader.
const COALESCE_FROM: usize = 64 << 10;
const LOW_WATER: i32 = 128 << 10;
const COALESCE_DELAY: Duration = Duration::from_micros(200);
/// How long a stdin may be silent behind a client that has ended its side.
const HALF_CLOSE_DELAY: Duration = Duration::from_millis(500);

/// What the end of a client's side means for ours, while stdin goes on. The kernel shows a half-close
/// and a close alike.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PeerEnd {
    /// Nothing: stdin is sent to its end.
    Ignore,
    /// The connection is aborted once stdin is silent: it has not ended, which our end would say.
    AbortWhenIdle,
    /// Our side ends while stdin has never delivered anything.
    FinishIfUnused,
}

/// What is done to the bytes, and with how many clients.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct PipeOptions {
    /// There is one client, which has the streams to itself.
    pub sole: bool,
    /// The joins and leaves of clients are reported without `-v`.
    pub social: bool,
    /// stdin is read and sent; otherwise our side stays silent, and ends with the client's.
    pub send: bool,
    /// What a client's end means.
    pub peer_end: PeerEnd,
    /// Our side of a connection ends when it is there: `connect --recv-only`.
    pub ends_at_join: bool,
    /// `--reconnect`: a connection that ends before stdin does is followed by another.
    pub reconnects: bool,
    /// What comes goes to stdout; otherwise it is dropped.
    pub receive: bool,
    /// `--crlf`.
    pub crlf: bool,
    /// Received text is escaped: stdout is a terminal.
    pub sanitize: bool,
    /// `--timestamps`: the time stands before each line that comes.
    pub timestamps: bool,
    /// `-w`: how long one of several clients may take nothing; zero: no limit.
    pub stall_limit: Duration,
}

/// The handler.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Pipe {
    options: PipeOptions,
    streams: Streams,
    /// What each connection begins with.
    opening: Vec<u8>,
    /// Bytes are moved inside the kernel where they can be: decided with the first connection.
    is_prepared: bool,
    /// Once the run is to stop: the stdin that had not ended before.
    unfinished: Option<Stdio>,
    /// It has given more since.
    has_more: bool,
    line_ends: LineEnds,
    splice_in: Option<Splice>,
    splice_out: Option<Splice>,
    /// Clients that ended their side, and when.
    ended: Vec<(Id, Instant)>,
    /// The end of stdin was read, and is passed on to clients that come later.
    has_ended: bool,
    /// stdin has delivered something.
    has_sent: bool,
    /// Since when a read of stdin has been pending.
    reading: Instant,
    /// When a stdin that waits for one of several clients looks again.
    look_at: Option<Instant>,
    /// The only client sends in bulk: when its socket is to be readable with any byte again.
    coalescing: Option<Instant>,
    buffer: Vec<u8>,
}

impl Pipe {
    /// Takes stdin and stdout. Nothing is read before a client is there.
    pub fn new(options: PipeOptions) -> Result<Self, Failure> {
        Ok(Self {
            options,
            streams: Streams::new(options.send, options.receive, options.sanitize)?
                .stamping(options.timestamps),
            opening: Vec::new(),
            is_prepared: false,
            unfinished: None,
            has_more: false,
            line_ends: LineEnds::new(options.crlf),
            splice_in: None,
            splice_out: None,
            ended: Vec::new(),
            has_ended: options.ends_at_join,
            has_sent: false,
            reading: Instant::now(),
            look_at: None,
            coalescing: None,
            buffer: vec![0; CHUNK],
        })
    }

    /// Sends this first on each connection.
    #[must_use]
    pub fn opening(self, bytes: Vec<u8>) -> Self {
        Self { opening: bytes, ..self }
    }

    /// Whether a connection that ends is followed by another: there is more to send, or nothing is sent at
    /// all.
    fn reconnects(&self) -> bool {
        self.options.reconnects && (!self.options.send || self.streams.input().is_some())
    }

    // ---- stdin to the clients ----------------------------------------------------------------

    /// Moves what stdin has, if all clients have room.
    fn feed(&mut self, clients: &mut dyn Clients) {
        let has_room = self.has_room(clients);
        self.watch_input(has_room);
        if has_room && let Err(failure) = self.feed_some(clients) {
            clients.quit(Err(failure));
        }
    }

    fn watch_input(&mut self, on: bool) {
        if on && !self.streams.awaits_input() {
            self.reading = Instant::now();
        }
        self.streams.watch_input(on);
    }

    /// stdin has delivered something.
    fn delivered(&mut self) {
        (self.reading, self.has_sent) = (Instant::now(), true);
        if self.options.peer_end == PeerEnd::FinishIfUnused {
            self.ended.clear();
        }
    }

    /// Whether stdin is read and there are clients, none of which holds it up.
    fn has_room(&mut self, clients: &mut dyn Clients) -> bool {
        self.look_at = None;
        if self.streams.input().is_none() {
            return false;
        }
        let all = clients.all();
        if self.options.sole {
            return all.first().is_some_and(|&id| clients.queued(id) == 0);
        }
        let mut full = all.clone();
        full.retain(|&id| clients.queued(id) >= HIGH_WATER);
        if full.is_empty() {
            return !all.is_empty();
        }
        self.look_at = Some(Instant::now() + FULL_POLL);
        let limit = self.options.stall_limit;
        full.retain(|&id| !limit.is_zero() && clients.stalled(id) >= limit);
        // If all are stuck, closing some would help no other client.
        if full.len() < all.len() {
            for id in full {
                clients.close(id, Reason::Slow);
            }
        }
        false
    }

    /// One move from stdin.
    fn feed_some(&mut self, clients: &mut dyn Clients) -> Result<(), Failure> {
        if let (Some(splice), Some(input), Some(&client)) =
            (&mut self.splice_in, self.streams.input(), clients.all().first())
        {
            match clients.splice_from(client, splice, input.as_fd()) {
                Moved::Bytes(_) => self.delivered(),
                Moved::SourceEmpty => {}
                Moved::Eof => self.end_input(clients),
                // The socket has no room, or is broken, which reading shows.
                Moved::SinkFull | Moved::SinkFailed(_) => self.watch_input(false),
                Moved::Failed(e) => return Err(Failure::system("read", "stdin", &e.into())),
                Moved::Unsupported => self.splice_in = None,
                Moved::CopyOnce => return self.copy(clients),
            }
            return Ok(());
        }
        self.copy(clients)
    }

    fn copy(&mut self, clients: &mut dyn Clients) -> Result<(), Failure> {
        match self.streams.read(&mut self.buffer)? {
            None => {}
            Some(0) => self.end_input(clients),
            Some(count) => self.send(count, clients),
        }
        Ok(())
    }

    /// Sends the first `count` bytes of the buffer.
    fn send(&mut self, count: usize, clients: &mut dyn Clients) {
        self.delivered();
        let bytes = self.line_ends.convert(&self.buffer[..count]);
        match clients.all().first() {
            Some(&client) if self.options.sole => clients.send(client, &bytes),
            _ => clients.broadcast(&bytes, &[]),
        }
    }

    /// Sends what had been written to our stdin before the run was asked to stop.
    fn send_rest(&mut self, clients: &mut dyn Clients) {
        let mut unread = self.streams.input().map_or(0, Stdio::unread);
        while unread > 0
            && let Ok(Some(count @ 1..)) = self.streams.read(&mut self.buffer)
        {
            unread = unread.saturating_sub(count as u64);
            self.send(count, clients);
        }
    }

    /// stdin has ended: so does our side of every connection.
    fn end_input(&mut self, clients: &mut dyn Clients) {
        self.streams.close_input();
        self.has_ended = true;
        self.ended.clear();
        clients.all().into_iter().for_each(|id| clients.finish(id));
    }

    /// When stdin has been silent for long enough for the first client that ended its side; never
    /// while it is not read, as a client has no room.
    fn silence(&self) -> Option<Instant> {
        let first = self.ended.first().filter(|_| self.streams.awaits_input());
        first.map(|&(_, at)| at.max(self.reading) + HALF_CLOSE_DELAY)
    }

    // ---- the clients to stdout ---------------------------------------------------------------

    /// So much has come at once.
    fn coalesce(&mut self, client: Id, count: usize, clients: &mut dyn Clients) {
        let is_bulk = self.options.sole && count >= COALESCE_FROM;
        if self.coalescing.is_some() || is_bulk && clients.set_low_water(client, LOW_WATER) {
            self.coalescing = Some(Instant::now() + COALESCE_DELAY);
        }
    }

    fn end_coalescing(&mut self, clients: &mut dyn Clients) {
        if self.coalescing.take_if(|until| *until <= Instant::now()).is_some()
            && let Some(&client) = clients.all().first()
        {
            clients.set_low_water(client, 1);
        }
    }
}

impl Handler for Pipe {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        if !self.opening.is_empty() {
            clients.send(client, &self.opening);
        }
        if self.options.sole {
            let is_first = !std::mem::replace(&mut self.is_prepared, true);
            let (input, output) = (self.streams.input(), self.streams.output());
            // A stream that is no pipe refuses.
            input.iter().chain(&output).for_each(|stream| grow(stream.as_fd()));
            if clients.can_splice(client) && is_first {
                self.splice_in = input.filter(|_| !self.options.crlf).and_then(Splice::from_input);
                let is_exact = !self.options.sanitize && !self.options.timestamps;
                self.splice_out = output.filter(|_| is_exact).and_then(Splice::to_output);
            }
        }
        if self.has_ended {
            clients.finish(client);
        }
        self.watch_input(true);
    }

    fn readable(&mut self, client: Id, clients: &mut dyn Clients) -> bool {
        let (Some(splice), Some(output)) = (&mut self.splice_out, self.streams.output()) else {
            return false;
        };
        match clients.splice_to(client, splice, output.as_fd()) {
            Moved::Bytes(count) => self.coalesce(client, count, clients),
            Moved::SourceEmpty | Moved::Eof => {}
            Moved::SinkFull => self.streams.pause(true, clients),
            Moved::CopyOnce => return false,
            Moved::Unsupported => self.splice_out = None,
            Moved::SinkFailed(e) | Moved::Failed(e) => clients.quit(Err(Failure::output(e))),
        }
        true
    }

    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        self.streams.write(client, bytes, clients);
        self.coalesce(client, bytes.len(), clients);
        bytes.len()
    }

    fn ended(&mut self, client: Id, end: StreamEnd, clients: &mut dyn Clients) {
        self.streams.end_text(client, clients);
        if end == StreamEnd::Limit {
            return clients.close(client, Reason::Limit);
        }
        if self.options.sole && !self.reconnects() {
            self.streams.end_output(clients);
        }
        match self.options.peer_end {
            _ if self.unfinished.is_some() => {} // it is closed as the run stops
            PeerEnd::AbortWhenIdle if self.reconnects() && self.options.send => {
                // What stdin gives is for the next one.
                clients.close(client, Reason::Incomplete);
            }
            _ if self.streams.input().is_none() => clients.finish(client),
            PeerEnd::Ignore => {}
            PeerEnd::FinishIfUnused if self.has_sent => {}
            PeerEnd::AbortWhenIdle | PeerEnd::FinishIfUnused => {
                self.ended.push((client, Instant::now()));
            }
        }
    }

    fn left(&mut self, client: Id, clients: &mut dyn Clients) {
        self.streams.end_text(client, clients);
        self.ended.retain(|(id, _)| *id != client);
        if self.options.sole && !self.reconnects() {
            self.streams.close_input();
        }
        self.feed(clients);
    }

    fn closed(&mut self, _client: Id, closed: &Closed, _clients: &mut dyn Clients) -> bool {
        self.reconnects() && closed.may_be_repeated()
    }

    fn drained(&mut self, _client: Id, clients: &mut dyn Clients) {
        self.feed(clients);
    }

    fn deadline(&self) -> Deadline {
        let due = [self.silence(), self.look_at, self.coalescing].into_iter().flatten().min();
        Deadline::from(due).min(self.streams.deadline())
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        self.end_coalescing(clients);
        let is_readable = self.streams.tick(clients);
        if is_readable || self.look_at.is_some_and(|at| at <= Instant::now()) {
            self.feed(clients);
        }
        while self.silence().is_some_and(|at| at <= Instant::now()) {
            let (client, _) = self.ended.remove(0);
            match self.options.peer_end {
                PeerEnd::AbortWhenIdle => clients.close(client, Reason::Incomplete),
                _ => clients.finish(client),
            }
        }
    }

    fn stopping(&mut self, until: Deadline, clients: &mut dyn Clients) {
        if !until.passed() {
            self.send_rest(clients);
        }
        self.ended.clear();
        self.unfinished = self.streams.input().or(self.unfinished);
        self.streams.stop(until);
    }

    /// stdin gives more, or cannot be read. One that has nothing to read counts as ended.
    fn is_incomplete(&mut self, _client: Id) -> bool {
        self.has_more |= match self.unfinished.map(|input| input.read(&mut [0])) {
            Some(Ok(count)) => count > 0,
            Some(Err(e)) => !would_block(&e),
            None => false,
        };
        self.has_more
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        Some(self.streams.as_fd())
    }

    fn is_busy(&self) -> bool {
        self.streams.is_busy()
    }

    fn is_social(&self) -> bool {
        self.options.social
    }
}
