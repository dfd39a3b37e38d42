//! The ways on which bytes stay in the kernel: splice(2), sendfile(2), and splice(2) through a pipe
//! of our own. Where the kernel refuses, the buffer takes over (`copy.rs`).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::poll::PollFlags;

use super::copy::BUFFER;
use super::port::Port;
use super::{Flow, Held, How, Step};
use crate::net::deadline::{Deadline, wait};
use crate::net::socket::{retry, would_block};
use crate::net::trace;

/// The most one call moves; also the size that pipes are grown to.
const CHUNK: usize = 1 << 20;

impl How {
    /// Through a pipe of our own, or a buffer where there is none to be had.
    pub(super) fn through() -> Self {
        let Ok((reader, writer)) = nix::unistd::pipe2(OFlag::O_CLOEXEC) else {
            return Self::Copy;
        };
        grow(writer.as_fd());
        Self::Through { reader, writer, inside: 0 }
    }
}

impl Flow<'_> {
    pub(super) fn splice(&mut self) -> Step {
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

    pub(super) fn send_file(&mut self) -> Step {
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
    pub(super) fn through(&mut self) -> Step {
        let room = self.room(CHUNK);
        let How::Through { reader, writer, inside } = &mut self.how else {
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
                drop(trace::counted("recv", CHUNK, Ok(n)));
                self.gather.came(n, socket);
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
        match wait([(source, PollFlags::POLLIN), (sink, PollFlags::POLLOUT)], now) {
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
pub(super) fn grow(pipe: BorrowedFd<'_>) {
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(CHUNK.try_into().unwrap_or(i32::MAX)));
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
