//! One direction of a pump: how bytes get from a source to a sink.
//!
//! | source -> sink               | how                                                  |
//! |------------------------------|------------------------------------------------------|
//! | pipe -> socket, socket -> pipe | splice(2), no copy to user space                   |
//! | file -> socket               | sendfile(2)                                          |
//! | socket -> file, device       | splice(2) through a pipe of our own                  |
//! | anything else, or bytes that must be seen (`--hex`, `--crlf`) | a buffer            |
//!
//! Where the kernel refuses (EINVAL: an append-only file, a device), the buffer takes over.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::poll::PollFlags;

use super::deadline::{Deadline, wait};
use super::hexdump::{Direction, Tap};
use super::socket::{Socket, retry, would_block};
use super::stdio::{Kind, Stdio};
use super::trace;
use crate::exit::Failure;

/// The most one call moves; also the size that pipes are grown to.
const CHUNK: usize = 1 << 20;
/// The buffer of the copying way.
const BUFFER: usize = 64 << 10;

/// What one step came to.
pub enum Step {
    /// Something moved.
    Moved,
    /// Nothing can move until the source or the sink is ready.
    Held(Held),
    /// The source ended and everything from it is in the sink.
    Ended,
    /// As much as was wanted is in the sink.
    Full,
    /// The source failed.
    SourceFailed(io::Error),
    /// The sink failed.
    SinkFailed(io::Error),
    /// The hex dump could not be written.
    TapFailed(Failure),
}

/// What holds a flow up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// There is nothing to read.
    Source,
    /// There is no room to write.
    Sink,
}

/// One end of a flow.
#[derive(Clone, Copy)]
enum Port<'a> {
    Socket(&'a Socket),
    Stdio(Stdio),
    /// Bytes are dropped.
    Nowhere,
}

enum How {
    Splice,
    SendFile,
    Through {
        reader: OwnedFd,
        writer: OwnedFd,
        inside: usize,
    },
    Copy,
}

/// Changes bytes on their way (a CR before each newline, a stranger's text made visible): appends
/// what becomes of the given ones. No bytes means the end.
pub type Filter = Box<dyn FnMut(&[u8], &mut Vec<u8>)>;

/// One direction, with what is on its way.
pub struct Flow<'a> {
    source: Port<'a>,
    sink: Port<'a>,
    how: How,
    buffer: Vec<u8>,
    /// What of the buffer is not written yet.
    pending: std::ops::Range<usize>,
    filter: Option<Filter>,
    source_ended: bool,
    tap: Option<(Tap, Direction, Instant)>,
    moved: u64,
    /// How much may be moved in all.
    max: u64,
}

impl<'a> Flow<'a> {
    /// From stdin to the socket.
    pub fn up(input: Stdio, socket: &'a Socket, filter: Option<Filter>, tap: Option<Tap>) -> Self {
        let how = match input.kind() {
            _ if filter.is_some() || tap.is_some() => How::Copy,
            Kind::Pipe => {
                grow(input.as_fd());
                How::Splice
            }
            Kind::File => How::SendFile,
            Kind::Socket | Kind::Terminal | Kind::Device => How::Copy,
        };
        let tap = tap.map(|tap| (tap, Direction::Sent, Instant::now()));
        Self::new(Port::Stdio(input), Port::Socket(socket), how, filter, tap)
    }

    /// From the socket to stdout, or to nowhere; no more than `max` bytes.
    pub fn down(
        socket: &'a Socket,
        output: Option<Stdio>,
        filter: Option<Filter>,
        tap: Option<Tap>,
        max: Option<u64>,
    ) -> Self {
        let how = match output {
            Some(output) if filter.is_none() && tap.is_none() => match output.kind() {
                Kind::Pipe => {
                    grow(output.as_fd());
                    How::Splice
                }
                Kind::File | Kind::Device => How::through(),
                Kind::Socket | Kind::Terminal => How::Copy,
            },
            _ => How::Copy,
        };
        let tap = tap.map(|tap| (tap, Direction::Received, Instant::now()));
        let sink = output.map_or(Port::Nowhere, Port::Stdio);
        let mut down = Self::new(Port::Socket(socket), sink, how, filter, tap);
        down.max = max.unwrap_or(u64::MAX);
        down
    }

    fn new(
        source: Port<'a>,
        sink: Port<'a>,
        how: How,
        filter: Option<Filter>,
        tap: Option<(Tap, Direction, Instant)>,
    ) -> Self {
        Self {
            source,
            sink,
            how,
            buffer: Vec::new(),
            pending: 0..0,
            filter,
            source_ended: false,
            tap,
            moved: 0,
            max: u64::MAX,
        }
    }

    /// Bytes that came from the socket or went to it so far.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// The descriptor and event to wait for; `None` for one that is always ready.
    pub fn holds(&self, held: Held) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match held {
            Held::Source => Some((self.source.fd()?, PollFlags::POLLIN)),
            Held::Sink => Some((self.sink.fd()?, PollFlags::POLLOUT)),
        }
    }

    /// How much may be moved now, at most `chunk`.
    fn room(&self, chunk: usize) -> usize {
        usize::try_from(self.max - self.moved).map_or(chunk, |left| left.min(chunk))
    }

    /// Moves what can be moved with one call or two.
    pub fn step(&mut self) -> Step {
        if self.moved == self.max && self.pending.is_empty() {
            return Step::Full;
        }
        match &mut self.how {
            How::Splice => self.splice(),
            How::SendFile => self.send_file(),
            How::Through { .. } => self.through(),
            How::Copy => self.copy(),
        }
    }

    fn splice(&mut self) -> Step {
        let (Some(from), Some(to)) = (self.source.any_fd(), self.sink.any_fd()) else {
            return self.give_up();
        };
        match move_between(from, to, self.room(CHUNK)) {
            Ok(0) => self.end(),
            Ok(n) => self.count(n),
            Err(Errno::EAGAIN) => self.who_holds(),
            Err(Errno::EINVAL | Errno::ENOSYS) => self.give_up(),
            Err(e) => self.blame(e),
        }
    }

    fn send_file(&mut self) -> Step {
        let (Some(from), Some(to)) = (self.source.any_fd(), self.sink.any_fd()) else {
            return self.give_up();
        };
        match retry(|| nix::sys::sendfile::sendfile(to, from, None, CHUNK)) {
            Ok(0) => Step::Ended,
            Ok(n) => self.count(n),
            Err(e) if would_block(&e) => Step::Held(Held::Sink),
            Err(e) if matches!(errno(&e), Errno::EINVAL | Errno::ENOSYS) => self.give_up(),
            Err(e) => self.blame(errno(&e)),
        }
    }

    /// Source to our pipe, our pipe to the sink (a file or device: it never holds us up).
    fn through(&mut self) -> Step {
        let room = self.room(CHUNK);
        let How::Through {
            reader,
            writer,
            inside,
        } = &mut self.how
        else {
            return self.give_up();
        };
        let (Some(from), Some(to)) = (self.source.any_fd(), self.sink.any_fd()) else {
            return self.give_up();
        };
        if *inside == 0 {
            match move_between(from, writer.as_fd(), room) {
                Ok(0) => return self.end(),
                Ok(n) => *inside = n,
                Err(Errno::EAGAIN) => return Step::Held(Held::Source),
                Err(Errno::EINVAL | Errno::ENOSYS) => return self.give_up(),
                Err(e) => return Step::SourceFailed(e.into()),
            }
        }
        match move_between(reader.as_fd(), to, CHUNK) {
            Ok(n) => {
                *inside -= n;
                self.count(n)
            }
            Err(Errno::EINVAL | Errno::ENOSYS) => self.give_up(),
            Err(e) => Step::SinkFailed(e.into()),
        }
    }

    fn copy(&mut self) -> Step {
        if self.pending.is_empty() {
            if self.source_ended {
                return Step::Ended;
            }
            if let Err(step) = self.fill() {
                return step;
            }
            if self.pending.is_empty() {
                // The end, or bytes that the filter keeps until more come.
                return Step::Moved;
            }
        }
        match self.sink.write(&self.buffer[self.pending.clone()]) {
            Ok(n) => {
                self.pending.start += n;
                if let Port::Socket(_) = self.sink {
                    self.moved += n as u64;
                }
                Step::Moved
            }
            Err(e) if would_block(&e) => Step::Held(Held::Sink),
            Err(e) => Step::SinkFailed(e),
        }
    }

    /// Reads into the buffer, past the filter and the dump.
    fn fill(&mut self) -> Result<(), Step> {
        self.buffer.resize(self.room(BUFFER), 0);
        let count = match self.source.read(&mut self.buffer) {
            Ok(count) => count,
            Err(e) if would_block(&e) => return Err(Step::Held(Held::Source)),
            Err(e) => return Err(Step::SourceFailed(e)),
        };
        self.source_ended = count == 0;
        self.buffer.truncate(count);
        if let Port::Socket(_) = self.source {
            self.moved += count as u64;
            self.dump()?;
        }
        if let Some(filter) = &mut self.filter {
            let read = std::mem::take(&mut self.buffer);
            filter(&read, &mut self.buffer);
        }
        if let Port::Socket(_) = self.sink {
            self.dump()?;
        }
        self.pending = 0..self.buffer.len();
        Ok(())
    }

    /// Shows the buffer, which holds what the socket gave or gets.
    fn dump(&self) -> Result<(), Step> {
        match &self.tap {
            Some((tap, direction, start)) if !self.buffer.is_empty() => tap
                .borrow_mut()
                .tell(*direction, start.elapsed(), &self.buffer)
                .map_err(Step::TapFailed),
            _ => Ok(()),
        }
    }

    /// The buffer takes over; what is inside our own pipe is written first.
    fn give_up(&mut self) -> Step {
        if let How::Through { reader, inside, .. } = std::mem::replace(&mut self.how, How::Copy)
            && inside > 0
        {
            self.buffer.resize(inside.max(BUFFER), 0);
            match io::Read::read_exact(&mut File::from(reader), &mut self.buffer[..inside]) {
                Ok(()) => {
                    self.pending = 0..inside;
                    self.moved += inside as u64;
                }
                Err(e) => return Step::SourceFailed(e),
            }
        }
        self.step()
    }

    fn end(&self) -> Step {
        if let Port::Socket(_) = self.source {
            drop(trace::counted("recv", CHUNK, Ok(0)));
        }
        Step::Ended
    }

    fn count(&mut self, n: usize) -> Step {
        self.moved += n as u64;
        match (self.source, self.sink) {
            (Port::Socket(_), _) => drop(trace::counted("recv", CHUNK, Ok(n))),
            _ => drop(trace::counted("sendall", n, Ok(n))),
        }
        Step::Moved
    }

    /// EAGAIN from splice(2) does not say which side it means.
    fn who_holds(&self) -> Step {
        let (Some(source), Some(sink)) = (self.source.any_fd(), self.sink.any_fd()) else {
            return Step::Held(Held::Source);
        };
        let now = Deadline::at(Instant::now());
        match wait(
            [(source, PollFlags::POLLIN), (sink, PollFlags::POLLOUT)],
            now,
        ) {
            Ok([source, _]) if source.is_empty() => Step::Held(Held::Source),
            Ok([_, sink]) if sink.is_empty() => Step::Held(Held::Sink),
            _ => Step::Moved, // both became ready meanwhile: try again
        }
    }

    /// Tells which side an error of a call over both belongs to: the socket's errors are about
    /// the connection, everything else is local.
    fn blame(&self, errno: Errno) -> Step {
        let of_socket = matches!(
            errno,
            Errno::EPIPE
                | Errno::ECONNRESET
                | Errno::ETIMEDOUT
                | Errno::ENOTCONN
                | Errno::EHOSTUNREACH
                | Errno::ENETUNREACH
                | Errno::ECONNABORTED
                | Errno::ECONNREFUSED
        );
        let error = io::Error::from(errno);
        match (self.source, self.sink) {
            (_, Port::Socket(_)) if of_socket => Step::SinkFailed(error),
            (_, Port::Socket(_)) => Step::SourceFailed(error),
            (Port::Socket(_), _) if of_socket && errno != Errno::EPIPE => Step::SourceFailed(error),
            _ => Step::SinkFailed(error),
        }
    }
}

impl How {
    /// Through a pipe of our own, or a buffer where there is none to be had.
    fn through() -> Self {
        let Ok((reader, writer)) = nix::unistd::pipe2(OFlag::O_CLOEXEC) else {
            return Self::Copy;
        };
        grow(writer.as_fd());
        Self::Through {
            reader,
            writer,
            inside: 0,
        }
    }
}

impl Port<'_> {
    /// The descriptor to wait for; `None` where waiting makes no sense.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Stdio(stdio) if !stdio.can_wait() => None,
            port => port.any_fd(),
        }
    }

    fn any_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Socket(socket) => Some(socket.as_fd()),
            Self::Stdio(stdio) => Some(stdio.as_fd()),
            Self::Nowhere => None,
        }
    }

    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.recv(buf),
            Self::Stdio(stdio) => stdio.read(buf),
            Self::Nowhere => Ok(0),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.send(bytes),
            Self::Stdio(stdio) => stdio.write(bytes),
            Self::Nowhere => Ok(bytes.len()),
        }
    }
}

fn move_between(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> nix::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
    loop {
        match splice(from, None, to, None, most, flags) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Asks for a larger pipe: fewer calls for the same bytes. One that stays small works too.
fn grow(pipe: BorrowedFd<'_>) {
    let _ = fcntl(
        pipe,
        FcntlArg::F_SETPIPE_SZ(CHUNK.try_into().unwrap_or(i32::MAX)),
    );
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
