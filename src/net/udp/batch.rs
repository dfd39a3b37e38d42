//! Receiving and sending, several datagrams with one call where the socket can: recvmmsg(2) with
//! `UDP_GRO`, sendmmsg(2), sendmsg(2) with `UDP_SEGMENT`. A UNIX socket has one at a time.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, UnixAddr, recvmmsg, recvmsg, sendmmsg,
    sendmsg,
};
use socket2::Domain;

use super::control::{Source, envelope, room};
use super::{Datagrams, Envelope, MOST, UDP_ROOM};
use crate::net::endpoint::Endpoint;
use crate::net::socket::{retry, would_block};
use crate::net::trace::{self, CallResult};

/// Datagrams in a batch.
pub const BATCH: usize = 64;

/// The fewest datagrams of one size to one peer that are sent with `UDP_SEGMENT`.
const RUN: usize = 8;
/// The most bytes of one send with `UDP_SEGMENT`.
const LONGEST: usize = 65_507;

/// What was received with one call.
pub struct Batch {
    headers: MultiHeaders<SockaddrStorage>,
    /// Room for each message, one behind the other.
    room: Vec<u8>,
    each: usize,
    /// The kernel may hand over several datagrams as one message.
    merged: bool,
    /// Where in `room` a datagram begins, and its envelope.
    datagrams: Vec<(usize, Envelope)>,
}

impl Batch {
    /// The datagrams in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Envelope)> {
        let datagrams = self.datagrams.iter();
        datagrams.map(|(start, envelope)| (&self.room[*start..][..envelope.len], envelope))
    }

    /// Takes in a message: a datagram, or several of a size from one peer, the last of which may be
    /// shorter.
    fn add(&mut self, start: usize, message: Envelope, size: Option<usize>) {
        let size = size.unwrap_or(message.len);
        if size == 0 || size >= message.len {
            return self.datagrams.push((start, message));
        }
        for offset in (0..message.len).step_by(size) {
            let len = size.min(message.len - offset);
            self.datagrams.push((start + offset, Envelope { len, ..message.clone() }));
        }
    }
}

impl Datagrams {
    /// Room for `most` messages. What is not used costs nothing. With `merged` the kernel may hand
    /// over several datagrams of a size from one peer as a message (`UDP_GRO`), which costs it
    /// little more than one; the number of datagrams has no limit then.
    pub fn batch(&self, most: usize, merged: bool) -> Batch {
        let each = if self.family == Domain::UNIX { MOST } else { UDP_ROOM };
        // An old kernel cannot, and hands them over one by one. Without `merged` it has to,
        // whatever `-o` asked for.
        let is_set = most > 1
            && self.family != Domain::UNIX
            && self.socket.set_int("UDP_GRO", merged.into()).is_ok();
        Batch {
            headers: MultiHeaders::preallocate(most, Some(room())),
            merged: merged && is_set,
            each,
            room: vec![0; each * most],
            datagrams: Vec::with_capacity(most),
        }
    }

    /// Receives what is there, `most` messages at most. Never blocks.
    pub fn recv(&self, batch: &mut Batch, most: usize) -> io::Result<()> {
        batch.datagrams.clear();
        let result = retry(|| match self.family {
            Domain::UNIX => self.recv_unix(batch),
            _ => self.recv_udp(batch, most),
        });
        if trace::on() {
            let room = batch.each;
            for (_, Envelope { len, from, .. }) in &batch.datagrams {
                trace::call("recvfrom", &[&room], CallResult::CountFrom(*len, from.to_string()));
            }
            if let Err(e) = result.as_ref()
                && !would_block(e)
            {
                trace::call("recvfrom", &[&room], trace::failed(e));
            }
        }
        result
    }

    fn recv_unix(&self, batch: &mut Batch) -> nix::Result<()> {
        let mut pieces = [IoSliceMut::new(&mut batch.room[..batch.each])];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        // Without room for control messages the kernel closes descriptors that a peer sends
        // (SCM_RIGHTS), instead of giving them to us.
        let message = recvmsg(fd, &mut pieces, None, flags | MsgFlags::MSG_CMSG_CLOEXEC)?;
        let (envelope, _) = envelope(&message, Endpoint::of_unix(message.address.as_ref()));
        batch.datagrams.push((0, envelope));
        Ok(())
    }

    fn recv_udp(&self, batch: &mut Batch, most: usize) -> nix::Result<()> {
        let rooms = batch.room.chunks_mut(batch.each).take(most);
        let mut pieces: Vec<_> = rooms.map(|room| [IoSliceMut::new(room)]).collect();
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let mut is_shrunk = false;
        let mut messages = Vec::with_capacity(most);
        for message in recvmmsg(fd, &mut batch.headers, &mut pieces, flags, None)? {
            let (envelope, size) = envelope(&message, Endpoint::of_inet(message.address.as_ref()));
            is_shrunk |= message.flags.contains(MsgFlags::MSG_CTRUNC);
            is_shrunk |= batch.merged && size.is_none();
            messages.push((envelope, size));
        }
        for (index, (envelope, size)) in messages.into_iter().enumerate() {
            batch.add(index * batch.each, envelope, size);
        }
        if is_shrunk {
            // The kernel has stored how much room it used in the headers, and would take that for
            // all there is.
            let most = batch.room.len() / batch.each;
            batch.headers = MultiHeaders::preallocate(most, Some(room()));
        }
        Ok(())
    }

    /// Sends datagrams to the sender of their envelope, from the address that was asked: as many
    /// as one call takes, each whole or not at all. An error is that of the first. Never blocks.
    pub fn send(&self, datagrams: &[(&[u8], &Envelope)]) -> io::Result<usize> {
        let Some((bytes, first)) = datagrams.first() else {
            return Ok(0);
        };
        let most = if self.family == Domain::UNIX { 1 } else { BATCH };
        let alike = datagrams.iter().take(most).take_while(|(_, other)| other.to == first.to);
        let datagrams = &datagrams[..alike.count()];
        let source = Source::of(first.to);
        let result = retry(|| match datagrams {
            [_] => self.send_one(bytes, &first.from, &source),
            _ => self.send_many(datagrams, &source),
        });
        if trace::on() {
            match &result {
                Ok(sent) => {
                    for (bytes, to) in &datagrams[..*sent] {
                        let len = bytes.len();
                        trace::call("sendto", &[&len, &to.from], CallResult::Count(len));
                    }
                }
                Err(e) if would_block(e) => {}
                Err(e) => trace::call("sendto", &[&bytes.len(), &first.from], trace::failed(e)),
            }
        }
        result
    }

    fn send_one(&self, bytes: &[u8], to: &Endpoint, source: &Source) -> nix::Result<usize> {
        let pieces = [IoSlice::new(bytes)];
        let control = source.control();
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        match to {
            Endpoint::Unix(name) if !self.is_connected => {
                let to = match &name[..] {
                    [] => return Err(Errno::EDESTADDRREQ),
                    [b'@', name @ ..] => UnixAddr::new_abstract(name)?,
                    path => UnixAddr::new(path)?,
                };
                sendmsg(fd, &pieces, &[], flags, Some(&to))
            }
            _ => {
                let to = self.address(to);
                sendmsg(fd, &pieces, control.as_slice(), flags, to.as_ref())
            }
        }
        .map(|_| 1)
    }

    /// Where a UDP datagram is sent to; a connected socket knows.
    fn address(&self, to: &Endpoint) -> Option<SockaddrStorage> {
        let to = to.to_inet(self.family).filter(|_| !self.is_connected);
        to.map(SockaddrStorage::from)
    }

    fn send_many(&self, datagrams: &[(&[u8], &Envelope)], source: &Source) -> nix::Result<usize> {
        let run = run(datagrams);
        if run >= RUN && self.cuts.get() {
            match self.send_run(&datagrams[..run], source) {
                // An old kernel, or a device that does not cut.
                Err(Errno::EINVAL | Errno::EIO | Errno::EOPNOTSUPP | Errno::EMSGSIZE) => {
                    self.cuts.set(false);
                }
                result => return result.map(|()| run),
            }
        }
        let addresses: Vec<_> = datagrams.iter().map(|(_, to)| self.address(&to.from)).collect();
        let pieces: Vec<_> = datagrams.iter().map(|(bytes, _)| [IoSlice::new(bytes)]).collect();
        let mut headers = MultiHeaders::preallocate(pieces.len(), source.room());
        let (control, flags) = (source.control(), MsgFlags::MSG_DONTWAIT);
        let (fd, control) = (self.socket.as_raw_fd(), control.as_slice());
        sendmmsg(fd, &mut headers, &pieces, &addresses, control, flags).map(Iterator::count)
    }

    /// Datagrams of one size to one peer as a single send, which the kernel cuts (`UDP_SEGMENT`):
    /// it looks up the route once, not once for each. All of them are taken, or none.
    fn send_run(&self, datagrams: &[(&[u8], &Envelope)], source: &Source) -> nix::Result<()> {
        let (first, to) = datagrams[0];
        let size = u16::try_from(first.len()).unwrap_or(u16::MAX);
        let pieces: Vec<_> = datagrams.iter().map(|(bytes, _)| IoSlice::new(bytes)).collect();
        let cut = ControlMessage::UdpGsoSegments(&size);
        let control: Vec<_> = source.control().into_iter().chain([cut]).collect();
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        sendmsg(fd, &pieces, &control, flags, self.address(&to.from).as_ref()).map(drop)
    }
}

/// How many datagrams, from the first on, are of one size and for one peer, and together no longer
/// than the longest.
fn run(datagrams: &[(&[u8], &Envelope)]) -> usize {
    let (first, to) = datagrams[0];
    let most = LONGEST.checked_div(first.len()).unwrap_or(0);
    let alike =
        |other: &&(&[u8], &Envelope)| other.0.len() == first.len() && other.1.from == to.from;
    datagrams.iter().take(most).take_while(alike).count()
}
