//! One connection, in either role: the socket, the codec on it, what waits to be sent, both
//! directions' ends, the counters and the dump. The ends inside a codec and the order of data
//! and end are decided here; what ends our side is the handler's decision (`Handler::ended`), and
//! when both have ended follows in `server/process.rs`.
//!
//! | direction     | bytes are                          | then                              |
//! |---------------|------------------------------------|-----------------------------------|
//! | from the wire | decoded, counted, dumped           | offered to the handler, in order: |
//! |               |                                    | data, what it left, the end       |
//! | to the wire   | dumped, queued in the outbox       | encoded as far as the socket has  |
//! |               |                                    | room, counted, sent               |
//!
//! Over 300 lines: each rule ties one direction's state to the other's, and no other file can
//! change either.

use std::io;
use std::net::Shutdown;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use socket2::Domain;

use super::codec::{Codec, Reject};
use super::dump::{Direction, Recorder};
use super::endpoint::Endpoint;
use super::errno::{is_reset, would_block};
use super::outbox::{BroadcastLog, Outbox};
use super::socket::Socket;
use super::splice::{CHUNK, Moved, Splice};
use super::trace;
use crate::exit::Failure;

/// The peer's side of the stream.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum ReadHalf {
    /// More may come.
    Open,
    /// It ended, in good order: to be reported once all data is taken.
    Eof,
    /// It broke off ([`Connection::failure`]): to be reported once all data is taken.
    Failed,
    /// The end has been reported.
    Reported,
}

/// Our side of the stream.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum WriteHalf {
    /// More may be sent.
    Open,
    /// Nothing more is queued; FIN follows what is.
    Ending,
    /// FIN is sent, since then.
    Ended(Instant),
    /// Nothing more is queued, and no FIN follows: the connection is to be reset.
    Aborted,
}

/// With a codec: so much payload is encoded at a time. More waits as it came, which several
/// connections may share.
const ENCODED: usize = 256 << 10;

/// A connection.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Connection {
    /// The socket.
    pub socket: Socket,
    /// The other end, as it is shown.
    pub peer: Endpoint,
    /// UNIX sockets deliver what they take, and have no reset.
    is_unix: bool,
    codec: Option<Box<dyn Codec>>,
    /// Bytes before those in the outbox: a handshake's, or encoded.
    wire: Vec<u8>,
    /// Payload that waits.
    outbox: Outbox,
    /// Payload that the handler has not taken yet.
    unread: Box<[u8]>,
    read_half: ReadHalf,
    /// recv(2) returned 0. With a codec that can be later than its end of stream.
    wire_ended: bool,
    write_half: WriteHalf,
    /// When the handler ended our side, with half-close or without.
    output_ended: Option<Instant>,
    /// The error that ended the connection.
    failure: Option<io::Error>,
    /// `--hex`, `--log`.
    recorders: Box<[Recorder]>,
    /// Payload bytes; with a codec those inside it.
    pub received: u64,
    /// The same in the other direction.
    pub sent: u64,
    /// When it was accepted or connected.
    pub opened: Instant,
    /// When bytes last moved in either direction.
    pub active: Instant,
    /// When the peer last took bytes, or nothing waited: the socket had room, or what it holds was
    /// acknowledged.
    pub last_taken: Instant,
    /// Bytes were sent that were not acknowledged when that was last asked for.
    pub has_unacked: bool,
    /// Payload that came beyond the limit was dropped.
    pub is_truncated: bool,
    /// The peer has ended and acknowledged all payload: a reset in answer to our end of stream, from
    /// one that has closed since, loses nothing.
    ignores_reset: bool,
    /// What was not acknowledged when [`Connection::update_acked`] was last called, and when that was.
    unacknowledged: u64,
    ack_checked_at: Instant,
}

/// How often the socket is looked at while bytes are on their way.
const ACK_POLL: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(1);

impl Connection {
    /// A connection over an open socket.
    pub fn new(socket: Socket, peer: Endpoint, now: Instant) -> Self {
        // Not by the peer, which may be beyond a proxy.
        let is_unix = matches!(socket.options().domain(), Ok(Domain::UNIX));
        Self {
            socket,
            peer,
            is_unix,
            codec: None,
            wire: Vec::new(),
            outbox: Outbox::default(),
            unread: Box::default(),
            read_half: ReadHalf::Open,
            wire_ended: false,
            write_half: WriteHalf::Open,
            output_ended: None,
            failure: None,
            recorders: Box::default(),
            received: 0,
            sent: 0,
            opened: now,
            active: now,
            last_taken: now,
            has_unacked: false,
            is_truncated: false,
            ignores_reset: false,
            unacknowledged: 0,
            ack_checked_at: now,
        }
    }

    /// The handshake is over: from here on payload is counted, decoded and encoded.
    pub fn establish(&mut self, codec: Option<Box<dyn Codec>>) {
        self.codec = codec;
    }

    /// `--hex`, `--log`: what is read and sent from now on is dumped.
    pub fn dump_to(&mut self, recorders: Box<[Recorder]>) {
        self.recorders = recorders;
    }

    /// Accepts the peer, with the record that its codec has for that; starts the counters and the
    /// broadcasts.
    pub fn open(&mut self, log: &BroadcastLog, now: Instant) {
        let mut wire = Vec::new();
        if let Some(codec) = &mut self.codec {
            codec.accept(&mut wire);
        }
        self.transmit(&wire, now);
        self.outbox.subscribe(log);
        (self.received, self.sent) = (0, 0);
    }

    /// Whether the wire shows nothing of the payload.
    pub fn is_encrypted(&self) -> bool {
        self.codec.as_ref().is_some_and(|codec| codec.is_encrypted())
    }

    /// Whether a codec stands between the wire and the payload.
    pub fn has_codec(&self) -> bool {
        self.codec.is_some()
    }

    /// Whether bytes may be moved past this type, by the kernel or a program.
    pub fn is_plain(&self) -> bool {
        self.codec.is_none() && self.recorders.is_empty()
    }

    // ---- from the wire -----------------------------------------------------------------------

    /// The peer's side.
    pub fn read_half(&self) -> ReadHalf {
        self.read_half
    }

    /// Whether the socket has nothing more to read.
    pub fn wire_ended(&self) -> bool {
        self.wire_ended
    }

    /// One recv(2) of at most `most` bytes of payload; the payload is in one of the two buffers.
    /// `None` where nothing was received, and at the end or a failure: see [`Connection::read_half`].
    pub fn read<'b>(
        &mut self,
        wire: &'b mut [u8],
        decoded: &'b mut Vec<u8>,
        most: u64,
        now: Instant,
    ) -> Result<Option<&'b [u8]>, Failure> {
        let room = match &self.codec {
            Some(_) => wire.len(),
            None => usize::try_from(most).unwrap_or(usize::MAX).min(wire.len()),
        };
        let count = match self.socket.recv(&mut wire[..room]) {
            Ok(count) => count,
            Err(e) if would_block(&e) => return Ok(None),
            Err(e) => {
                self.fail(e);
                return Ok(None);
            }
        };
        self.active = now;
        self.wire_ended = count == 0;
        let payload = match &mut self.codec {
            None => {
                if count == 0 {
                    self.end_input();
                }
                &wire[..count]
            }
            Some(codec) => {
                decoded.clear();
                let mut answer = Vec::new();
                let result = match count {
                    0 => codec.at_wire_eof(),
                    _ => codec.decode(&mut wire[..count], decoded, &mut answer),
                };
                let ended = codec.peer_ended();
                self.transmit(&answer, now);
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                self.is_truncated = decoded.len() > most;
                decoded.truncate(most);
                match result {
                    Err(error) => self.fail(error.into()),
                    Ok(()) if ended => self.end_input(),
                    Ok(()) => {}
                }
                &decoded[..]
            }
        };
        self.received += payload.len() as u64;
        self.dump(Direction::Received, payload)?;
        Ok(Some(payload))
    }

    fn end_input(&mut self) {
        if self.read_half == ReadHalf::Open {
            self.read_half = ReadHalf::Eof;
        }
    }

    /// Moves bytes to `output` inside the kernel. The end and failures of the connection are in
    /// [`Connection::read_half`]; bytes inside the pipe when the kernel refused are kept as unread.
    pub fn splice_to(
        &mut self,
        splice: &mut Splice,
        output: BorrowedFd<'_>,
        most: u64,
        now: Instant,
    ) -> Moved {
        if self.received == 0 {
            return Moved::CopyOnce; // what a stream begins with is looked at
        }
        let most = usize::try_from(most).unwrap_or(CHUNK);
        match splice.step(self.socket.as_fd(), output, most) {
            Moved::Bytes(n) => {
                self.received += n as u64;
                self.active = now;
                drop(trace::counted("recv", CHUNK, Ok(n)));
                Moved::Bytes(n)
            }
            Moved::Eof => match self.socket.peek(&mut [0]) {
                Ok(1..) => Moved::CopyOnce,
                Ok(0) => {
                    drop(trace::counted("recv", CHUNK, Ok(0)));
                    self.wire_ended = true;
                    self.end_input();
                    Moved::Eof
                }
                Err(e) => {
                    self.fail(e);
                    Moved::Eof
                }
            },
            Moved::Failed(errno) if errno != Errno::EPIPE && is_of_connection(errno) => {
                self.fail(errno.into());
                Moved::Eof
            }
            Moved::Failed(errno) => Moved::SinkFailed(errno),
            Moved::Unsupported => {
                match splice.take_inside() {
                    Ok(bytes) => {
                        self.received += bytes.len() as u64;
                        self.unread = bytes.into();
                    }
                    Err(e) => self.fail(e),
                }
                Moved::Unsupported
            }
            moved => moved,
        }
    }

    /// Whether payload waits that the handler has not taken.
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Takes the payload that waits out, to offer it to the handler.
    pub fn take_unread(&mut self) -> Box<[u8]> {
        std::mem::take(&mut self.unread)
    }

    /// Puts payload back that the handler has not taken; it comes before what is read next.
    pub fn keep_unread(&mut self, bytes: Vec<u8>) {
        debug_assert!(self.unread.is_empty(), "offered twice");
        self.unread = bytes.into();
    }

    /// The end that is to be reported now: the handler has taken all data before it.
    pub fn report_end(&mut self) -> Option<ReadHalf> {
        if self.has_unread() || !matches!(self.read_half, ReadHalf::Eof | ReadHalf::Failed) {
            return None;
        }
        Some(std::mem::replace(&mut self.read_half, ReadHalf::Reported))
    }

    // ---- to the wire -------------------------------------------------------------------------

    /// Sends payload, or queues it behind what waits.
    pub fn send(
        &mut self,
        payload: &[u8],
        log: &BroadcastLog,
        now: Instant,
    ) -> Result<(), Failure> {
        self.dump(Direction::Sent, payload)?;
        if !self.takes_output() {
            return Ok(());
        }
        let is_first = self.waiting(log) == 0;
        let mut rest = payload;
        match &mut self.codec {
            None if is_first => {
                let taken = self.try_send(payload, now);
                self.sent += taken as u64;
                rest = &payload[taken..];
            }
            // By way of the outbox two buffers are freed for each send, more than malloc keeps: with
            // three brk(2) and their page faults 1 GiB costs both ends 1.7 s of CPU time, not 0.86 s.
            Some(codec) if is_first && payload.len() <= ENCODED => {
                self.wire.reserve(payload.len() + payload.len() / 64 + 64);
                if let Err(error) = codec.encode(payload, &mut self.wire) {
                    self.fail(error.into());
                    return Ok(());
                }
                self.sent += payload.len() as u64;
                rest = &[];
            }
            _ => {}
        }
        if self.failure.is_none() {
            self.outbox.push(rest, log);
            if is_first && self.codec.is_some() {
                self.last_taken = now;
                self.flush(log, now);
            }
        }
        Ok(())
    }

    /// The same for bytes that other connections get, too, which are not copied.
    pub fn send_shared(
        &mut self,
        payload: &Arc<[u8]>,
        log: &BroadcastLog,
        now: Instant,
    ) -> Result<(), Failure> {
        self.dump(Direction::Sent, payload)?;
        if self.takes_output() {
            let is_first = self.waiting(log) == 0;
            self.outbox.push_shared(payload, log);
            if is_first {
                self.last_taken = now;
                self.flush(log, now);
            }
        }
        Ok(())
    }

    /// Asks the kernel what the peer has acknowledged: a slow reader makes room in the socket only once in a
    /// while, and for some time after the last byte was queued.
    pub fn update_acked(&mut self, now: Instant) {
        let left = self.socket.unacknowledged();
        if left < self.unacknowledged {
            (self.active, self.last_taken) = (now, now);
        }
        (self.unacknowledged, self.has_unacked, self.ack_checked_at) = (left, left > 0, now);
    }

    /// When to ask that again: often enough for any limit on the time since bytes were taken.
    pub fn next_ack_check(&self) -> Instant {
        let quiet = self.ack_checked_at.saturating_duration_since(self.last_taken);
        self.ack_checked_at + (quiet / 4).clamp(*ACK_POLL.start(), *ACK_POLL.end())
    }

    /// The same for this limit on the time since bytes moved in either direction.
    pub fn next_ack_check_within(&self, limit: Duration) -> Instant {
        self.ack_checked_at.max(self.active) + (limit / 4).clamp(*ACK_POLL.start(), *ACK_POLL.end())
    }

    fn takes_output(&self) -> bool {
        self.failure.is_none() && self.write_half == WriteHalf::Open
    }

    /// One send(2) where nothing waits: how many bytes the socket took.
    fn try_send(&mut self, bytes: &[u8], now: Instant) -> usize {
        self.last_taken = now;
        match self.socket.send(bytes) {
            Ok(n) => {
                (self.active, self.has_unacked) = (now, true);
                n
            }
            Err(e) if would_block(&e) => 0,
            Err(e) => {
                self.fail_output(e);
                0
            }
        }
    }

    /// Counts what another connection's [`Connection::splice_to`] has moved here. A failure of this one is
    /// in [`Connection::read_half`].
    pub fn spliced(&mut self, moved: &Moved, now: Instant) {
        match *moved {
            Moved::Bytes(n) => {
                self.sent += n as u64;
                (self.active, self.last_taken, self.has_unacked) = (now, now, true);
                drop(trace::counted("sendall", n, Ok(n)));
            }
            Moved::SinkFailed(errno) => self.fail_output(errno.into()),
            _ => {}
        }
    }

    /// Moves bytes from `input` inside the kernel. A failure of the connection is in
    /// [`Connection::read_half`].
    pub fn splice_from(
        &mut self,
        splice: &mut Splice,
        input: BorrowedFd<'_>,
        now: Instant,
    ) -> Moved {
        match splice.step(input, self.socket.as_fd(), CHUNK) {
            Moved::Bytes(n) => {
                self.sent += n as u64;
                (self.active, self.last_taken, self.has_unacked) = (now, now, true);
                drop(trace::counted("sendall", n, Ok(n)));
                Moved::Bytes(n)
            }
            Moved::Failed(errno) if is_of_connection(errno) => {
                self.fail_output(errno.into());
                Moved::SinkFailed(errno)
            }
            moved => moved,
        }
    }

    /// Sends bytes that are no payload: a handshake's, a codec's own records. No payload waits.
    pub fn transmit(&mut self, wire: &[u8], now: Instant) {
        if !wire.is_empty() && self.takes_output() {
            let taken = if self.wire.is_empty() { self.try_send(wire, now) } else { 0 };
            if self.failure.is_none() {
                self.wire.extend_from_slice(&wire[taken..]);
            }
        }
    }

    /// Sends what is queued, as far as the socket takes it; the bytes sent.
    pub fn flush(&mut self, log: &BroadcastLog, now: Instant) -> u64 {
        match self.send_queued(log) {
            Ok(taken) => {
                if taken > 0 {
                    (self.active, self.last_taken, self.has_unacked) = (now, now, true);
                }
                taken as u64
            }
            Err(e) => {
                self.fail_output(e);
                0
            }
        }
    }

    fn send_queued(&mut self, log: &BroadcastLog) -> io::Result<usize> {
        let mut total = 0;
        while self.encode_some(log)? {
            let taken = match self.socket.send(&self.wire) {
                Err(e) if would_block(&e) => 0,
                taken => taken?,
            };
            total += taken;
            self.wire.drain(..taken);
            if !self.wire.is_empty() {
                return Ok(total);
            }
        }
        self.wire = Vec::new(); // thousands may be idle
        let taken = self.outbox.send_to(&self.socket, log)?; // with a codec it is empty
        self.sent += taken as u64;
        Ok(total + taken)
    }

    /// With a codec: encodes what waits, as far as it is sent next. Whether encoded bytes wait.
    fn encode_some(&mut self, log: &BroadcastLog) -> io::Result<bool> {
        if self.wire.is_empty()
            && let Some(codec) = &mut self.codec
        {
            while self.wire.len() < ENCODED
                && let Some(payload) = self.outbox.first(log)
            {
                let payload = &payload[..payload.len().min(ENCODED)];
                let count = payload.len();
                codec.encode(payload, &mut self.wire)?;
                self.sent += count as u64;
                self.outbox.sent(count);
            }
        }
        Ok(!self.wire.is_empty())
    }

    /// Sends FIN, behind the codec's end of stream, if our side has ended and nothing waits.
    pub fn send_fin(&mut self, log: &BroadcastLog, now: Instant) {
        if self.write_half != WriteHalf::Ending || self.waiting(log) > 0 {
            return;
        }
        if let Some(codec) = self.codec.as_mut().filter(|_| self.failure.is_none()) {
            codec.encode_eof(&mut self.wire);
            // Python's frames have no record for the end.
            if !self.wire.is_empty() {
                let has_peer_ended = self.read_half != ReadHalf::Open;
                self.ignores_reset = has_peer_ended && self.socket.unacknowledged() == 0;
                self.flush(log, now);
            }
            if self.failure.is_some() || !self.wire.is_empty() {
                return;
            }
        }
        let _ = self.socket.shutdown(Shutdown::Write);
        self.write_half = WriteHalf::Ended(now);
    }

    /// Ends our side: the codec's end of stream follows what is queued, and FIN behind that unless
    /// `half_close` is off. Broadcasts do not reach this connection any more.
    pub fn end_output(&mut self, half_close: bool, log: &BroadcastLog, now: Instant) {
        self.output_ended.get_or_insert(now);
        self.outbox.unsubscribe(log);
        if self.write_half == WriteHalf::Open && half_close {
            self.write_half = WriteHalf::Ending;
        }
    }

    /// Cuts our side off: what is queued may still be sent, and nothing says that it was all.
    pub fn abort_output(&mut self, log: &BroadcastLog) {
        self.outbox.unsubscribe(log);
        self.write_half = WriteHalf::Aborted;
    }

    /// Bytes that were sent and not acknowledged when [`Connection::update_acked`] was last called; none on UNIX
    /// sockets, which deliver what they take.
    fn on_the_way(&self) -> u64 {
        let fin = u64::from(matches!(self.write_half, WriteHalf::Ended(_)));
        if self.is_unix { 0 } else { self.unacknowledged.saturating_sub(fin) }
    }

    /// An error of the socket becomes the connection's failure, where it costs something.
    pub fn check_error(&mut self, now: Instant) {
        self.update_acked(now);
        // While nothing is outstanding an error may be a message: ICMP's, with IP_RECVERR. A reset that
        // follows the acknowledgement is the answer to our end, if the peer had not ended before.
        if !self.ignores_reset
            && let Ok(Some(error)) = self.socket.take_error()
            && (self.on_the_way() > 0 || is_reset(&error) && self.read_half != ReadHalf::Open)
        {
            self.fail(error);
        }
    }

    /// Whether nothing is queued, and the peer's kernel had acknowledged everything when
    /// [`Connection::update_acked`] was last called.
    pub fn is_delivered(&self, log: &BroadcastLog) -> bool {
        self.ignores_reset || self.waiting(log) == 0 && self.on_the_way() == 0
    }

    /// Bytes that are queued, or that the peer's kernel has not acknowledged; with a codec some of them are
    /// its own.
    pub fn undelivered(&mut self, log: &BroadcastLog, now: Instant) -> u64 {
        self.update_acked(now);
        if self.ignores_reset { 0 } else { self.waiting(log) as u64 + self.on_the_way() }
    }

    /// Whether its socket is a UNIX socket.
    pub fn is_unix(&self) -> bool {
        self.is_unix
    }

    /// close(2) is to reset the connection; UNIX sockets have no reset.
    pub fn reset_on_close(&self) {
        if !self.is_unix {
            self.socket.reset_on_close();
        }
    }

    /// Sends a peer that has proved a key the reason why it is not accepted. Only the first is sent.
    pub fn reject(&mut self, why: Reject) {
        if let Some(mut codec) = self.codec.take() {
            codec.reject(why, &mut self.wire);
        }
    }

    /// Our side.
    pub fn write_half(&self) -> WriteHalf {
        self.write_half
    }

    /// When the handler ended our side.
    pub fn output_ended(&self) -> Option<Instant> {
        self.output_ended
    }

    /// The payload that waits, before it is encoded; what is here can be changed.
    pub fn outbox_mut(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// The bytes that wait to be sent.
    pub fn waiting(&self, log: &BroadcastLog) -> usize {
        self.wire.len() + self.outbox.len(log)
    }

    /// Those of them that no other connection holds, too.
    pub fn own(&self) -> usize {
        self.wire.len() + self.outbox.own()
    }

    /// The bytes that are held because of it: its own, and the log from the first it still needs.
    pub fn held(&self, log: &BroadcastLog) -> usize {
        self.wire.len() + self.outbox.held(log)
    }

    /// The first position of the broadcast log that it still needs.
    pub fn oldest(&self) -> u64 {
        self.outbox.oldest()
    }

    /// Drops what waits.
    pub fn drop_output(&mut self) {
        self.outbox.clear();
        self.wire = Vec::new();
    }

    /// `--hex`, `--log`: dumps payload.
    pub fn dump(&mut self, direction: Direction, payload: &[u8]) -> Result<(), Failure> {
        let (received, sent, opened) = (self.received, self.sent, self.opened);
        self.recorders.iter_mut().try_for_each(|recorder| {
            recorder.record(direction, opened.elapsed(), payload).map_err(|failure| {
                failure.hint(&format!("received {received}, sent {sent} bytes until then"))
            })
        })
    }

    // ---- failures ----------------------------------------------------------------------------

    /// The error that ended the connection.
    pub fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// Takes the failure out. The kernel reports a reset that comes after the peer's end as EPIPE.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        let failure = self.failure.take()?;
        Some(if is_reset(&failure) { Errno::ECONNRESET.into() } else { failure })
    }

    /// Ends the connection with this error, of what precedes its payload. It may be drained before.
    pub fn fail_handshake(&mut self, error: io::Error) {
        self.fail_output(error);
    }

    /// Neither direction can go on.
    fn fail(&mut self, error: io::Error) {
        self.fail_output(error);
        if self.read_half != ReadHalf::Reported {
            self.read_half = ReadHalf::Failed;
        }
    }

    /// Nothing more can be sent; what has arrived can still be read, and the end is the failure.
    fn fail_output(&mut self, error: io::Error) {
        self.drop_output();
        self.failure.get_or_insert(error);
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether an error of a call over two descriptors is the connection's; all others are local.
fn is_of_connection(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EPIPE
            | Errno::ECONNRESET
            | Errno::ETIMEDOUT
            | Errno::ENOTCONN
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::ECONNABORTED
            | Errno::ECONNREFUSED
    )
}
