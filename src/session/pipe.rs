//! stdin to the clients, the clients to stdout, byte-exact: `connect` and `serve --once` in a pipe
//! with one client, `serve` in a pipe with all that are there.
//!
//! With one client whose bytes need not be seen the kernel moves them ([`Splice`]); else they are
//! read and sent. stdin is read only while every client has room, a client only while stdout has.
//!
//! Over 300 lines: both directions and both ways, copied and spliced, share what ends a client.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::stdio::Streams;
use super::{Clients, Handler, Id, StreamEnd};
use crate::console::event::Reason;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::flow::HIGH_WATER;
use crate::net::line::Crlf;
use crate::net::splice::{self, Moved, Splice, grow};
use crate::net::stdio::Stdio;
use crate::sanitize::Sanitizer;

/// One read of stdin; larger where a codec costs for each record.
const CHUNK: usize = 64 << 10;
const CODEC_CHUNK: usize = 256 << 10;
/// Moves in one turn before others have theirs.
const TURN: usize = 16;
/// How often a stdin that waits for one of several clients looks again.
const FULL_POLL: Duration = Duration::from_millis(50);
/// The kernel shows a half-close and a close alike: once a client has ended its side, a stdin with
/// nothing to read for this long ends ours.
const HALF_CLOSE_DELAY: Duration = Duration::from_millis(500);

/// So much at once is a sign of bulk: a reader that is woken for each segment then spends its time
/// on being woken.
const COALESCE_FROM: usize = 64 << 10;
/// `SO_RCVLOWAT` keeps it asleep until so much is there …
const LOW_WATER: i32 = 128 << 10;
/// … and this bounds the latency that it adds.
const COALESCE_DELAY: Duration = Duration::from_micros(200);

/// What is done to the bytes, and with how many clients.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct PipeOptions {
    /// There is one client, which has the streams to itself.
    pub sole: bool,
    /// The joins and leaves of clients are reported without `-v`.
    pub social: bool,
    /// stdin is read and sent; otherwise our side stays silent and open.
    pub send: bool,
    /// What comes goes to stdout; otherwise it is dropped.
    pub receive: bool,
    /// `--crlf`.
    pub crlf: bool,
    /// Received text is escaped: stdout is a terminal.
    pub sanitize: bool,
    /// `-w`: how long one of several clients may take nothing; zero: no limit.
    pub stall_limit: Duration,
}

/// Read coalescing: how much the socket must have before it is readable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coalescing {
    Off,
    /// On; it ends if nothing more is read until then.
    On(Instant),
    /// The user has set `SO_RCVLOWAT`, or the system refuses.
    Unavailable,
}

/// The handler.
pub struct Pipe {
    options: PipeOptions,
    streams: Streams,
    crlf: Option<Crlf>,
    /// One a client, where received text is escaped.
    sanitizers: HashMap<u64, Sanitizer>,
    splice_in: Option<Splice>,
    splice_out: Option<Splice>,
    coalescing: Coalescing,
    /// Clients that ended their side, and when.
    ended: Vec<(Id, Instant)>,
    last_input: Instant,
    /// The reader of stdout has gone.
    is_broken: bool,
    /// stdin has nothing to read: no client holds it up.
    waits_for_input: bool,
    /// When a stdin that waits for one of several clients looks again.
    look_at: Option<Instant>,
    stopping: Deadline,
    buffer: Vec<u8>,
}

impl Pipe {
    /// Takes stdin and stdout. Nothing is read before a client is there.
    pub fn new(options: PipeOptions) -> Result<Self, Failure> {
        Ok(Self {
            options,
            streams: Streams::new(options.send, options.receive)?,
            crlf: options.crlf.then(Crlf::default),
            sanitizers: HashMap::new(),
            splice_in: None,
            splice_out: None,
            coalescing: Coalescing::Off,
            ended: Vec::new(),
            last_input: Instant::now(),
            is_broken: false,
            waits_for_input: false,
            look_at: None,
            stopping: Deadline::NEVER,
            buffer: Vec::new(),
        })
    }

    /// Chooses how the bytes of the only client are moved.
    fn choose_way(&mut self, client: Id, clients: &mut dyn Clients) {
        let (input, output) = (self.streams.input(), self.streams.output());
        if clients.can_splice(client) {
            if self.crlf.is_none() {
                self.splice_in = input.and_then(Splice::from_input);
            }
            if !self.options.sanitize {
                self.splice_out = output.and_then(Splice::to_output);
            }
        } else if clients.about(client).is_some_and(|about| about.has_codec) {
            // Fewer calls for the same bytes; a stream that is no pipe refuses.
            input.iter().chain(&output).for_each(|stream| grow(stream.as_fd()));
            self.buffer = vec![0; CODEC_CHUNK];
        }
    }

    // ---- stdin to the clients ----------------------------------------------------------------

    /// Moves what stdin has, while the clients have room.
    fn feed(&mut self, clients: &mut dyn Clients) {
        self.waits_for_input = false;
        for _ in 0..TURN {
            if self.streams.input().is_none() || !self.has_room(clients) {
                return self.streams.watch_input(false);
            }
            match self.feed_some(clients) {
                Ok(true) => self.last_input = Instant::now(),
                Ok(false) => {
                    self.streams.watch_input(self.waits_for_input);
                    return;
                }
                Err(failure) => return clients.quit(Err(failure)),
            }
        }
        // There is more: after the others' turn.
        self.streams.watch_input(true);
    }

    /// Whether there are clients, and none of them holds stdin up.
    fn has_room(&mut self, clients: &mut dyn Clients) -> bool {
        self.look_at = None;
        let all = clients.all();
        if self.options.sole {
            return all.first().is_some_and(|&id| clients.queued(id).0 == 0);
        }
        let full: Vec<Id> =
            all.iter().copied().filter(|&id| clients.queued(id).0 >= HIGH_WATER).collect();
        if full.is_empty() {
            return !all.is_empty();
        }
        self.look_at = Some(Instant::now() + FULL_POLL);
        let limit = self.options.stall_limit;
        let is_stuck = |id: &Id| !limit.is_zero() && clients.queued(*id).1 >= limit;
        let stuck: Vec<Id> = full.into_iter().filter(is_stuck).collect();
        // Where all are stuck none waits for another.
        if stuck.len() < all.len() {
            for id in stuck {
                clients.close(id, Reason::Slow);
            }
        }
        false
    }

    /// One move; false where nothing more can be moved now.
    fn feed_some(&mut self, clients: &mut dyn Clients) -> Result<bool, Failure> {
        if let (Some(splice), Some(input), Some(&client)) =
            (&mut self.splice_in, self.streams.input(), clients.all().first())
        {
            match clients.splice_from(client, splice, input.as_fd()) {
                Moved::Bytes(_) => return Ok(true),
                Moved::SourceEmpty => {
                    self.waits_for_input = true;
                    return Ok(false);
                }
                Moved::Eof => {
                    self.end_input(clients);
                    return Ok(false);
                }
                // The socket has no room, or is broken, which reading shows.
                Moved::SinkFull | Moved::SinkFailed(_) => return Ok(false),
                Moved::Failed(e) => return Err(Failure::system("read", "stdin", &e.into())),
                Moved::Unsupported => self.splice_in = None,
                Moved::CopyOnce => {}
            }
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; CHUNK];
        }
        let count = match self.streams.read(&mut self.buffer)? {
            None => {
                self.waits_for_input = true;
                return Ok(false);
            }
            Some(0) => {
                self.end_input(clients);
                return Ok(false);
            }
            Some(count) => count,
        };
        self.send(count, clients);
        Ok(true)
    }

    /// Sends the first `count` bytes of the buffer.
    fn send(&mut self, count: usize, clients: &mut dyn Clients) {
        let mut converted = Vec::new();
        let bytes = match &mut self.crlf {
            None => &self.buffer[..count],
            Some(crlf) => {
                crlf.feed(&self.buffer[..count], &mut converted);
                &converted
            }
        };
        match clients.all().first() {
            Some(&client) if self.options.sole => clients.send(client, bytes),
            _ => clients.broadcast(bytes, None),
        }
    }

    /// Sends what had been written to our stdin before the run was asked to stop.
    fn send_rest(&mut self, clients: &mut dyn Clients) {
        let mut left = self.streams.input().map_or(0, Stdio::unread);
        self.buffer.resize(CHUNK, 0);
        while left > 0
            && let Ok(Some(count @ 1..)) = self.streams.read(&mut self.buffer)
        {
            left = left.saturating_sub(count as u64);
            self.send(count, clients);
        }
    }

    /// stdin has ended: so does our side of every connection.
    fn end_input(&mut self, clients: &mut dyn Clients) {
        self.streams.close_input();
        self.splice_in = None;
        self.ended.clear();
        clients.all().into_iter().for_each(|id| clients.finish(id));
    }

    /// Ends our side for clients that ended theirs, once stdin has nothing more for them.
    fn end_quiet(&mut self, clients: &mut dyn Clients) {
        let last = self.last_input;
        let waits = self.waits_for_input || !self.options.sole;
        self.ended.retain(|&(id, at)| {
            let over =
                at.max(last).elapsed() >= HALF_CLOSE_DELAY && waits && clients.queued(id).0 == 0;
            if over {
                clients.finish(id);
            }
            !over
        });
    }

    // ---- the clients to stdout ---------------------------------------------------------------

    /// Moves what came to stdout inside the kernel; false where it must be read.
    fn splice_out(&mut self, client: Id, clients: &mut dyn Clients) -> bool {
        let (Some(splice), Some(output)) = (&mut self.splice_out, self.streams.output()) else {
            return false;
        };
        for _ in 0..TURN {
            match clients.splice_to(client, splice, output.as_fd()) {
                Moved::Bytes(splice::CHUNK) => {}
                // That was all that had come.
                Moved::Bytes(count) => {
                    self.coalesce(client, count, clients);
                    return true;
                }
                Moved::SinkFull => {
                    self.streams.watch_output(true);
                    clients.pause_all(true);
                    return true;
                }
                Moved::SourceEmpty | Moved::Eof => return true,
                Moved::CopyOnce => return false,
                Moved::Unsupported => {
                    self.splice_out = None;
                    return true;
                }
                Moved::SinkFailed(e) | Moved::Failed(e) => {
                    clients.quit(Err(Failure::output(e)));
                    return true;
                }
            }
        }
        true
    }

    /// Writes what came from a client.
    fn write(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) {
        let written = if self.options.sanitize {
            let mut text = String::new();
            self.sanitizers.entry(client.number).or_default().feed(bytes, &mut text);
            self.streams.write(text.as_bytes())
        } else {
            self.streams.write(bytes)
        };
        self.check_output(written, clients);
    }

    /// Writes a character that was cut off by the end of what a client sends.
    fn finish_text(&mut self, client: Id, clients: &mut dyn Clients) {
        if let Some(mut sanitizer) = self.sanitizers.remove(&client.number) {
            let mut text = String::new();
            sanitizer.finish(&mut text);
            let written = self.streams.write(text.as_bytes());
            self.check_output(written, clients);
        }
    }

    /// After a write: clients wait while stdout is full; a stdout that failed ends the run.
    fn check_output(&mut self, written: Result<(), Failure>, clients: &mut dyn Clients) {
        match written {
            Ok(()) => clients.pause_all(self.streams.has_pending()),
            Err(failure) => clients.quit(Err(failure)),
        }
    }

    /// Ends the only connection once the reader of stdout has gone, though nothing comes.
    fn check_reader(&self, clients: &mut dyn Clients) {
        if self.is_broken && self.options.sole && !clients.all().is_empty() {
            clients.quit(Err(Failure::output(Errno::EPIPE)));
        }
    }

    /// So much has come at once.
    fn coalesce(&mut self, client: Id, count: usize, clients: &mut dyn Clients) {
        if self.coalescing == Coalescing::Off && count >= COALESCE_FROM && self.options.sole {
            self.coalescing = if clients.set_low_water(client, LOW_WATER) {
                Coalescing::On(Instant::now() + COALESCE_DELAY)
            } else {
                Coalescing::Unavailable
            };
        }
    }

    /// Something was read.
    fn extend_coalescing(&mut self) {
        if let Coalescing::On(until) = &mut self.coalescing {
            *until = Instant::now() + COALESCE_DELAY;
        }
    }

    /// The wait was long enough: little is readable, too.
    fn end_coalescing(&mut self, clients: &mut dyn Clients) {
        if let Coalescing::On(until) = self.coalescing
            && until <= Instant::now()
        {
            self.coalescing = Coalescing::Off;
            if let Some(&client) = clients.all().first() {
                clients.set_low_water(client, 1);
            }
        }
    }
}

impl Handler for Pipe {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        if self.options.sole {
            self.choose_way(client, clients);
        }
        if self.streams.input().is_none() {
            clients.finish(client);
        }
        self.last_input = Instant::now();
        self.waits_for_input = true;
        self.streams.watch_input(true);
        self.check_reader(clients);
    }

    fn readable(&mut self, client: Id, clients: &mut dyn Clients) -> bool {
        let is_moved = self.splice_out(client, clients);
        self.extend_coalescing();
        is_moved
    }

    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        if self.options.receive {
            self.write(client, bytes, clients);
        }
        self.extend_coalescing();
        self.coalesce(client, bytes.len(), clients);
        bytes.len()
    }

    fn ended(&mut self, client: Id, end: StreamEnd, clients: &mut dyn Clients) {
        self.finish_text(client, clients);
        match end {
            StreamEnd::Limit => clients.close(client, Reason::Limit),
            StreamEnd::Eof if self.streams.input().is_none() => clients.finish(client),
            StreamEnd::Eof => self.ended.push((client, Instant::now())),
        }
    }

    fn left(&mut self, client: Id, clients: &mut dyn Clients) {
        self.finish_text(client, clients);
        self.ended.retain(|(id, _)| *id != client);
        if self.options.sole {
            self.streams.close_input();
        }
        self.feed(clients);
    }

    fn drained(&mut self, _client: Id, clients: &mut dyn Clients) {
        self.feed(clients);
    }

    fn deadline(&self) -> Deadline {
        let quiet =
            self.ended.iter().map(|&(_, at)| at.max(self.last_input) + HALF_CLOSE_DELAY).min();
        let bulk = match self.coalescing {
            Coalescing::On(until) => Some(until),
            _ => None,
        };
        let due = [quiet, self.look_at, bulk].into_iter().flatten().min();
        let stopping = if self.is_busy() { self.stopping } else { Deadline::NEVER };
        due.map_or(Deadline::NEVER, Deadline::at).min(self.streams.deadline()).min(stopping)
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        let ready = self.streams.ready();
        self.is_broken |= ready.is_broken;
        self.check_reader(clients);
        if ready.output {
            let flushed = self.streams.flush();
            self.check_output(flushed, clients);
        }
        self.end_coalescing(clients);
        if ready.input || self.look_at.is_some_and(|at| at <= Instant::now()) {
            self.feed(clients);
        }
        self.end_quiet(clients);
    }

    fn stopping(&mut self, until: Deadline, clients: &mut dyn Clients) {
        if !until.passed() {
            self.send_rest(clients);
        }
        self.streams.close_input();
        self.splice_in = None;
        self.ended.clear();
        self.stopping = until;
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        Some(self.streams.as_fd())
    }

    fn is_busy(&self) -> bool {
        self.streams.has_pending() && !self.stopping.passed()
    }

    fn is_social(&self) -> bool {
        self.options.social
    }
}
