//! One direction of a pump: how bytes get from a source to a sink.
//!
//! | source -> sink               | how                                                  |
//! |------------------------------|------------------------------------------------------|
//! | pipe -> socket, socket -> pipe | splice(2), no copy to user space                   |
//! | file -> socket               | sendfile(2)                                          |
//! | socket -> file, device       | splice(2) through a pipe of our own                  |
//! | anything else, or bytes that must be seen (`--hex`, `--crlf`) or changed (a [`Layer`]) | buffers |
//!
//! Where the kernel refuses (EINVAL: an append-only file, a device), the buffer takes over.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::poll::PollFlags;

use super::deadline::{Deadline, wait};
use super::gather::Gather;
use super::hexdump::{Direction, Tap};
use super::socket::{Socket, retry, would_block};
use super::stdio::{Kind, Stdio};
use super::trace;
use crate::exit::Failure;
use crate::layer::{Flaw, Layer};

/// The most one call moves; also the size that pipes are grown to.
const CHUNK: usize = 1 << 20;
/// What the copying way reads at a time, and where a layer makes each byte dearer.
const BUFFER: usize = 64 << 10;
const LAYERED: usize = 256 << 10;
/// How long a peer that takes nothing can hold up the end that a layer tells it.
const LAST_WORD: Duration = Duration::from_secs(1);

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

/// A layer that both directions of a connection share.
pub type Wire = Rc<RefCell<Box<dyn Layer>>>;

/// One direction, with what is on its way.
pub struct Flow<'a> {
    source: Port<'a>,
    sink: Port<'a>,
    how: How,
    /// What was read, and what becomes of it in turn.
    stages: [Vec<u8>; 3],
    /// What is not written yet: of which stage, and where in it.
    stage: usize,
    pending: Range<usize>,
    /// The payload that `pending` stands for, where a layer makes it another size.
    carried: u64,
    change: Change,
    source_ended: bool,
    /// Nothing more can come over the wire, where it is not the payload.
    wire_ended: bool,
    /// What is wrong with the source; what came before it is written first.
    failure: Option<io::Error>,
    moved: u64,
    /// How much may be moved in all.
    max: u64,
    gather: Gather,
}

/// What is done to bytes on their way, beside moving them.
#[derive(Default)]
pub struct Change {
    /// They are changed.
    pub filter: Option<Filter>,
    /// They are wrapped for the wire, or unwrapped.
    pub layer: Option<Wire>,
    /// The payload is dumped.
    pub tap: Option<Tap>,
    /// When the dump's clock began.
    pub began: Option<Instant>,
    /// Our end is told in the layer's way, too.
    pub ends: bool,
}

impl Change {
    fn is_none(&self) -> bool {
        self.filter.is_none() && self.tap.is_none() && self.layer.is_none()
    }

    /// Shows payload that the socket gave or gets.
    fn dump(&self, direction: Direction, payload: &[u8]) -> Result<(), Step> {
        let Some(tap) = self.tap.as_ref().filter(|_| !payload.is_empty()) else {
            return Ok(());
        };
        let elapsed = self.began.map(|began| began.elapsed()).unwrap_or_default();
        tap.borrow_mut()
            .tell(direction, elapsed, payload)
            .map_err(Step::TapFailed)
    }
}

impl<'a> Flow<'a> {
    /// From stdin to the socket.
    pub fn up(input: Stdio, socket: &'a Socket, change: Change) -> Self {
        let how = match input.kind() {
            Kind::Pipe if change.layer.is_some() => {
                grow(input.as_fd());
                How::Copy
            }
            _ if !change.is_none() => How::Copy,
            Kind::Pipe => {
                grow(input.as_fd());
                How::Splice
            }
            Kind::File => How::SendFile,
            Kind::Socket | Kind::Terminal | Kind::Device => How::Copy,
        };
        Self::new(Port::Stdio(input), Port::Socket(socket), how, change)
    }

    /// From the socket to stdout, or to nowhere; no more than `max` bytes.
    pub fn down(
        socket: &'a Socket,
        output: Option<Stdio>,
        change: Change,
        max: Option<u64>,
    ) -> Self {
        let how = match output {
            Some(output) if change.layer.is_some() && output.kind() == Kind::Pipe => {
                grow(output.as_fd());
                How::Copy
            }
            Some(output) if change.is_none() => match output.kind() {
                Kind::Pipe => {
                    grow(output.as_fd());
                    How::Splice
                }
                Kind::File | Kind::Device => How::through(),
                Kind::Socket | Kind::Terminal => How::Copy,
            },
            _ => How::Copy,
        };
        let sink = output.map_or(Port::Nowhere, Port::Stdio);
        let mut down = Self::new(Port::Socket(socket), sink, how, change);
        down.max = max.unwrap_or(u64::MAX);
        down
    }

    fn new(source: Port<'a>, sink: Port<'a>, how: How, change: Change) -> Self {
        Self {
            source,
            sink,
            how,
            stages: Default::default(),
            stage: 0,
            pending: 0..0,
            carried: 0,
            change,
            source_ended: false,
            wire_ended: false,
            failure: None,
            moved: 0,
            max: u64::MAX,
            gather: Gather::default(),
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

    /// When a wait for the source has to end, as it may be one for much.
    pub fn patience(&self) -> Deadline {
        self.gather.until()
    }

    /// That wait was long enough: what little has come is to be moved.
    pub fn hurry(&mut self) {
        if let Port::Socket(socket) = self.source {
            self.gather.stop(socket);
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
            _ if !self.pending.is_empty() => self.copy(),
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
                Err(Errno::EAGAIN) => return self.who_holds(),
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
            if let Some(failure) = self.failure.take() {
                return Step::SourceFailed(failure);
            }
            if self.source_ended {
                return Step::Ended;
            }
            if let Err(step) = self.fill() {
                return step;
            }
            if self.pending.is_empty() {
                return Step::Moved; // the end, or what must wait until more comes
            }
        }
        match self
            .sink
            .write(&self.stages[self.stage][self.pending.clone()])
        {
            Ok(n) => {
                self.pending.start += n;
                self.count_sent(n);
                Step::Moved
            }
            Err(e) if would_block(&e) => Step::Held(Held::Sink),
            Err(e) => Step::SinkFailed(e),
        }
    }

    fn count_sent(&mut self, n: usize) {
        if let Port::Socket(_) = self.sink {
            if self.change.layer.is_none() {
                self.moved += n as u64;
            } else if self.pending.is_empty() {
                self.moved += std::mem::take(&mut self.carried);
            }
        }
    }

    /// Reads, and does to the bytes what is to be done.
    fn fill(&mut self) -> Result<(), Step> {
        let room = if self.change.layer.is_some() {
            LAYERED
        } else {
            self.room(BUFFER)
        };
        self.stages[0].resize(room, 0);
        let count = match self.source.read(&mut self.stages[0]) {
            Ok(count) => count,
            Err(e) if would_block(&e) => return Err(Step::Held(Held::Source)),
            Err(e) => return Err(Step::SourceFailed(e)),
        };
        self.source_ended = count == 0;
        self.wire_ended = count == 0;
        let length = match self.source {
            Port::Socket(socket) => {
                self.gather.came(count, socket);
                self.arrive(count)?
            }
            _ => self.depart(count)?,
        };
        self.pending = 0..length;
        Ok(())
    }

    /// From the wire: unwrapped, dumped, changed. How much there is to write, in `self.stage`.
    fn arrive(&mut self, count: usize) -> Result<usize, Step> {
        let room = self.room(usize::MAX);
        let [wire, payload, changed] = &mut self.stages;
        let mut bytes = &wire[..count];
        self.stage = 0;
        if let Some(layer) = &self.change.layer {
            let mut layer = layer.borrow_mut();
            payload.clear();
            let result = match &mut wire[..count] {
                [] => layer.wire_ended(),
                bytes => layer.open(bytes, payload),
            };
            payload.truncate(room);
            self.failure = result.err().map(Into::into);
            self.source_ended |= layer.has_ended();
            bytes = payload;
            self.stage = 1;
        }
        self.moved += bytes.len() as u64;
        self.change.dump(Direction::Received, bytes)?;
        if let Some(filter) = &mut self.change.filter {
            changed.clear();
            filter(bytes, changed);
            if self.source_ended && !bytes.is_empty() {
                filter(&[], changed);
            }
            bytes = changed;
            self.stage = 2;
        }
        Ok(bytes.len())
    }

    /// To the wire: changed, dumped, wrapped. How much there is to write, in `self.stage`.
    fn depart(&mut self, count: usize) -> Result<usize, Step> {
        let [read, changed, wire] = &mut self.stages;
        let mut bytes = &read[..count];
        self.stage = 0;
        if let Some(filter) = &mut self.change.filter {
            changed.clear();
            filter(bytes, changed);
            bytes = changed;
            self.stage = 1;
        }
        self.change.dump(Direction::Sent, bytes)?;
        if let Some(layer) = &self.change.layer {
            let mut layer = layer.borrow_mut();
            wire.clear();
            let broken = |flaw: Flaw| Step::SinkFailed(flaw.into());
            layer.seal(bytes, wire).map_err(broken)?;
            self.carried += bytes.len() as u64;
            if count == 0 && self.change.ends {
                layer.seal_end(wire).map_err(broken)?;
            }
            bytes = wire;
            self.stage = 2;
        }
        Ok(bytes.len())
    }

    /// Tells our end in the layer's way, if that has not been done: all is well, and nothing more
    /// comes.
    pub fn finish(&mut self) {
        if let (Port::Socket(socket), Some(layer)) = (self.sink, &self.change.layer)
            && self.pending.is_empty()
        {
            finish(socket, &mut **layer.borrow_mut());
        }
    }

    /// Whether anything can still come over the wire behind the end that the peer has told. It
    /// must be nothing but the wire's own end.
    pub fn goes_on(&mut self) -> io::Result<bool> {
        if let (Port::Socket(socket), Some(layer)) = (self.source, &self.change.layer)
            && !self.wire_ended
        {
            self.wire_ended = !goes_on(socket, &mut **layer.borrow_mut())?;
            return Ok(!self.wire_ended);
        }
        Ok(false)
    }

    /// The buffer takes over; what is inside our own pipe is written first.
    fn give_up(&mut self) -> Step {
        if let How::Through { reader, inside, .. } = std::mem::replace(&mut self.how, How::Copy)
            && inside > 0
        {
            self.stages[0].resize(inside.max(BUFFER), 0);
            match io::Read::read_exact(&mut File::from(reader), &mut self.stages[0][..inside]) {
                Ok(()) => {
                    self.stage = 0;
                    self.pending = 0..inside;
                    self.moved += inside as u64;
                }
                Err(e) => return Step::SourceFailed(e),
            }
        }
        self.step()
    }

    fn end(&mut self) -> Step {
        if let Port::Socket(socket) = self.source {
            match socket.peek(&mut [0]) {
                Ok(1..) => return self.copy(), // no end, but urgent data
                Ok(0) => drop(trace::counted("recv", CHUNK, Ok(0))),
                Err(e) => return Step::SourceFailed(e),
            }
        }
        Step::Ended
    }

    fn count(&mut self, n: usize) -> Step {
        self.moved += n as u64;
        match (self.source, self.sink) {
            (Port::Socket(socket), _) => {
                self.gather.came(n, socket);
                drop(trace::counted("recv", CHUNK, Ok(n)));
            }
            _ => drop(trace::counted("sendall", n, Ok(n))),
        }
        Step::Moved
    }

    /// EAGAIN from splice(2) does not say which side it means.
    fn who_holds(&mut self) -> Step {
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
            // Both became ready meanwhile, or there is TCP's urgent data, which splice(2) does not
            // pass: a turn with the buffer does.
            _ => self.copy(),
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

/// Tells a peer our end in the layer's way, if that has not been done, as far as it takes that
/// soon.
pub fn finish(socket: &Socket, layer: &mut dyn Layer) {
    let (mut wire, until) = (Vec::new(), Deadline::after(LAST_WORD));
    if layer.seal_end(&mut wire).is_err() {
        return;
    }
    let mut rest = &wire[..];
    while !rest.is_empty() {
        match socket.send(rest) {
            Ok(n) => rest = &rest[n..],
            Err(e) if would_block(&e) && !until.passed() => {
                // Ready or not: the next send tells.
                let _ = wait([(socket.as_fd(), PollFlags::POLLOUT)], until);
            }
            Err(_) => return, // a peer that is gone needs no end
        }
    }
}

/// Reads behind the end that a peer has told in the layer's way: whether more can come. Whatever
/// does is a flaw.
pub fn goes_on(socket: &Socket, layer: &mut dyn Layer) -> io::Result<bool> {
    let mut byte = [0];
    match socket.recv(&mut byte) {
        Ok(0) => Ok(false),
        Ok(_) => Ok(layer.open(&byte, &mut Vec::new()).map(|()| true)?),
        Err(e) if would_block(&e) => Ok(true),
        Err(e) => Err(e),
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
