//! Ends that a codec tells, beside the wire's own: ours, and what may come behind the peer's.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::PollFlags;

use super::Flow;
use super::port::Port;
use crate::net::codec::Codec;
use crate::net::deadline::{Deadline, wait};
use crate::net::socket::{Socket, would_block};

/// How long a peer that takes nothing can hold up the end that a codec tells it.
const LAST_WORD: Duration = Duration::from_secs(1);

impl Flow<'_> {
    /// Tells our end in the codec's way, if that has not been done: all is well, and nothing more
    /// comes.
    pub fn finish(&mut self) {
        if let (Port::Socket(socket), Some(codec)) = (self.sink, &self.change.codec)
            && self.pending.is_empty()
        {
            finish(socket, &mut **codec.borrow_mut());
        }
    }

    /// Whether anything can still come over the wire behind the end that the peer has told. It
    /// must be nothing but the wire's own end.
    pub fn goes_on(&mut self) -> io::Result<bool> {
        if let (Port::Socket(socket), Some(codec)) = (self.source, &self.change.codec)
            && !self.wire_ended
        {
            self.wire_ended = !goes_on(socket, &mut **codec.borrow_mut())?;
            return Ok(!self.wire_ended);
        }
        Ok(false)
    }
}

/// Tells a peer our end in the codec's way, if that has not been done, as far as it takes that
/// soon.
pub fn finish(socket: &Socket, codec: &mut dyn Codec) {
    let (mut wire, until) = (Vec::new(), Deadline::after(LAST_WORD));
    codec.encode_eof(&mut wire);
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

/// Reads behind the end that a peer has told in the codec's way: whether more can come. Whatever
/// does is a flaw.
pub fn goes_on(socket: &Socket, codec: &mut dyn Codec) -> io::Result<bool> {
    let mut byte = [0];
    match socket.recv(&mut byte) {
        Ok(0) => Ok(false),
        Ok(_) => Ok(codec.decode(&byte, &mut Vec::new()).map(|()| true)?),
        Err(e) if would_block(&e) => Ok(true),
        Err(e) => Err(e),
    }
}
