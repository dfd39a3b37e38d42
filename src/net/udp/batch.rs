//! Several datagrams with one call: recvmmsg(2) and sendmmsg(2). A UNIX socket has one at a time.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg,
    sendmmsg, sendmsg,
};

use super::{Datagrams, Envelope, Peer, Source, control_room, told, trace_recv, trace_send};
use crate::net::socket::retry;

/// Datagrams in a batch.
pub const BATCH: usize = 64;

/// So many datagrams of one size to one peer are worth a send of their own.
const RUN: usize = 8;
/// What one send may hold on any network.
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
        if message.len == 0 {
            return self.datagrams.push((start, message));
        }
        let size = size.filter(|&size| size > 0).unwrap_or(message.len);
        for offset in (0..message.len).step_by(size) {
            let len = size.min(message.len - offset);
            self.datagrams.push((start + offset, Envelope { len, ..message }));
        }
    }
}

impl Datagrams {
    /// Room for datagrams, none of which has come yet. What is not used costs nothing. With
    /// `merged` the kernel may hand over several of a size from one peer as a message (`UDP_GRO`),
    /// which costs it little more than one; how many come with a call has no end then.
    pub fn batch(&self, merged: bool) -> Batch {
        // A kernel that cannot hands them over one by one. Without `merged` it has to, whatever
        // options it was given.
        let is_set = !self.is_unix && self.socket.set_int("UDP_GRO", merged.into()).is_ok();
        let merged = merged && is_set;
        Batch {
            headers: headers(),
            merged,
            each: self.room(),
            room: vec![0; self.room() * BATCH],
            datagrams: Vec::with_capacity(BATCH),
        }
    }

    /// The datagrams that are there, `most` of them if there are more; where they are merged, so
    /// many messages. Never blocks.
    pub fn recv_batch(&self, batch: &mut Batch, most: usize) -> io::Result<()> {
        batch.datagrams.clear();
        if self.is_unix || most == 1 {
            let envelope = self.recv(&mut batch.room[..batch.each])?;
            batch.datagrams.push((0, envelope));
            return Ok(());
        }
        let rooms = batch.room.chunks_mut(batch.each).take(most);
        let mut pieces: Vec<_> = rooms.map(|room| [IoSliceMut::new(room)]).collect();
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let received = recvmmsg(fd, &mut batch.headers, &mut pieces, flags, None);
        let received = received.map_err(|e| {
            let e = e.into();
            trace_recv(batch.each, Err(&e));
            e
        })?;
        let mut is_shrunk = false;
        let mut messages = Vec::with_capacity(most);
        for message in received {
            is_shrunk |= message.flags.contains(MsgFlags::MSG_CTRUNC);
            let size = told(&message).find_map(|control| match control {
                ControlMessageOwned::UdpGroSegments(size) => usize::try_from(size).ok(),
                _ => None,
            });
            is_shrunk |= batch.merged && size.is_none();
            messages.push((Envelope::of(&message, Peer::inet)?, size));
        }
        for (index, (envelope, size)) in messages.into_iter().enumerate() {
            batch.add(index * batch.each, envelope, size);
        }
        if is_shrunk {
            // The kernel notes in the headers how much room it used; it is to have all again.
            batch.headers = headers();
        }
        for (_, envelope) in &batch.datagrams {
            trace_recv(batch.each, Ok(envelope));
        }
        Ok(())
    }

    /// Answers datagrams, each from the address that was asked: as many as one call takes. An
    /// error is that of the first.
    pub fn answer_batch(&self, answers: &[(&[u8], &Envelope)]) -> io::Result<usize> {
        let Some((bytes, asked)) = answers.first() else {
            return Ok(0);
        };
        let alike = answers.iter().take_while(|(_, other)| other.to == asked.to);
        let answers = &answers[..alike.take(BATCH).count()];
        if answers.len() == 1 || self.is_unix {
            return self.answer(bytes, asked).map(|()| 1);
        }
        let pieces: Vec<_> = answers.iter().map(|one| one.0).collect();
        let to = |index: usize| answers[index].1.from;
        self.send_many(&pieces, to, &Source::of(asked.to))
    }

    /// Sends datagrams to one peer: as many as one call takes. An error is that of the first.
    pub fn send_batch(&self, datagrams: &[&[u8]], to: Peer) -> io::Result<usize> {
        match datagrams {
            [] => Ok(0),
            [one] => self.send(one, to).map(|()| 1),
            [one, ..] if self.is_unix => self.send(one, to).map(|()| 1),
            many => self.send_many(&many[..many.len().min(BATCH)], |_| to, &Source::Any),
        }
    }

    fn send_many(
        &self,
        datagrams: &[&[u8]],
        to: impl Fn(usize) -> Peer,
        source: &Source,
    ) -> io::Result<usize> {
        let address = |index| match to(index) {
            _ if self.is_connected => None, // the system knows
            Peer::Inet(inet) => Some(SockaddrStorage::from(inet)),
            Peer::Unix(_) | Peer::Nameless => None,
        };
        let run = run(datagrams, &to);
        if run >= RUN && self.cuts.get() {
            match self.send_run(&datagrams[..run], address(0), source) {
                // An old kernel, or a way to the peer that does not cut.
                Err(Errno::EINVAL | Errno::EIO | Errno::EOPNOTSUPP | Errno::EMSGSIZE) => {
                    self.cuts.set(false);
                }
                Err(e) => {
                    let e = e.into();
                    trace_send(datagrams[0].len(), &to(0), Err(&e));
                    return Err(e);
                }
                Ok(()) => {
                    for (index, bytes) in datagrams[..run].iter().enumerate() {
                        trace_send(bytes.len(), &to(index), Ok(()));
                    }
                    return Ok(run);
                }
            }
        }
        let addresses: Vec<_> = (0..datagrams.len()).map(address).collect();
        let pieces: Vec<_> = datagrams.iter().map(|bytes| [IoSlice::new(bytes)]).collect();
        let control = source.control();
        let mut headers = MultiHeaders::preallocate(pieces.len(), source.room());
        let result = retry(|| {
            let fd = self.socket.as_raw_fd();
            let flags = MsgFlags::MSG_DONTWAIT;
            let control = control.as_slice();
            sendmmsg(fd, &mut headers, &pieces, &addresses, control, flags).map(Iterator::count)
        });
        match &result {
            Ok(sent) => {
                for (index, bytes) in datagrams[..*sent].iter().enumerate() {
                    trace_send(bytes.len(), &to(index), Ok(()));
                }
            }
            Err(e) => trace_send(datagrams[0].len(), &to(0), Err(e)),
        }
        result
    }

    /// Datagrams of one size to one peer as a single send, which the kernel cuts (`UDP_SEGMENT`):
    /// it looks for the way to the peer once, not once for each. All of them are taken, or none.
    fn send_run(
        &self,
        datagrams: &[&[u8]],
        to: Option<SockaddrStorage>,
        source: &Source,
    ) -> nix::Result<()> {
        let size = u16::try_from(datagrams[0].len()).unwrap_or(u16::MAX);
        let pieces: Vec<_> = datagrams.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let source = source.control();
        let cut = ControlMessage::UdpGsoSegments(&size);
        let control: Vec<_> = source.into_iter().chain([cut]).collect();
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        sendmsg(fd, &pieces, &control, flags, to.as_ref()).map(drop)
    }
}

/// How many datagrams, from the first on, are of one size and for one peer, and together no longer
/// than the longest.
fn run(datagrams: &[&[u8]], to: impl Fn(usize) -> Peer) -> usize {
    let (first, size) = (to(0), datagrams[0].len());
    let alike = |index: usize| datagrams[index].len() == size && to(index) == first;
    let most = LONGEST.checked_div(size).unwrap_or(0).min(datagrams.len());
    (0..most).take_while(|&index| alike(index)).count()
}

fn headers() -> MultiHeaders<SockaddrStorage> {
    MultiHeaders::preallocate(BATCH, Some(control_room()))
}
