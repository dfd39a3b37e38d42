//! One direction of a pump: how bytes get from a source to a sink.
//!
//! | source -> sink               | how                                                  |
//! |------------------------------|------------------------------------------------------|
//! | pipe -> socket, socket -> pipe | splice(2), no copy to user space                   |
//! | file -> socket               | sendfile(2)                                          |
//! | socket -> file, device       | splice(2) through a pipe of our own                  |
//! | anything else, or bytes that must be seen (`--hex`, `--crlf`) or changed (a [`Codec`]) | buffers |
//!
//! Where the kernel refuses (EINVAL: an append-only file, a device), the buffer takes over.
//!
//! Here a way is chosen; the kernel's are in `zero_copy.rs`, the one with buffers is in `copy.rs`.

mod copy;
mod end;
mod port;
mod zero_copy;

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::PollFlags;

use super::deadline::Deadline;
use super::gather::Gather;
use super::socket::Socket;
use super::stdio::{Kind, Stdio};
use crate::exit::Failure;
pub use copy::{Change, Filter, Wire};
pub use end::{finish, goes_on};
use port::Port;
use zero_copy::grow;

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

/// Its way, as in the table above.
enum How {
    Splice,
    SendFile,
    Through { reader: OwnedFd, writer: OwnedFd, inside: usize },
    Copy,
}

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
    /// The payload that `pending` stands for, where a codec makes it another size.
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

impl<'a> Flow<'a> {
    /// From stdin to the socket.
    pub fn up(input: Stdio, socket: &'a Socket, change: Change) -> Self {
        let how = match input.kind() {
            Kind::Pipe if change.codec.is_some() => {
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
            Some(output) if change.codec.is_some() && output.kind() == Kind::Pipe => {
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
}
