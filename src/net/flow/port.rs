//! The ends of a flow: a socket, one of the standard streams, or nowhere.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::net::socket::Socket;
use crate::net::stdio::Stdio;

/// One end of a flow.
#[derive(Clone, Copy)]
pub(super) enum Port<'a> {
    Socket(&'a Socket),
    Stdio(Stdio),
    /// Bytes are dropped.
    Nowhere,
}

impl Port<'_> {
    /// The descriptor to wait for; `None` where waiting makes no sense.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Stdio(stdio) if !stdio.can_wait() => None,
            port => port.any_fd(),
        }
    }

    pub(super) fn any_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Socket(socket) => Some(socket.as_fd()),
            Self::Stdio(stdio) => Some(stdio.as_fd()),
            Self::Nowhere => None,
        }
    }

    pub(super) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.recv(buf),
            Self::Stdio(stdio) => stdio.read(buf),
            Self::Nowhere => Ok(0),
        }
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.send(bytes),
            Self::Stdio(stdio) => stdio.write(bytes),
            Self::Nowhere => Ok(bytes.len()),
        }
    }
}
