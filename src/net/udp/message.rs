//! recvmsg(2) and sendmsg(2) of datagrams, with their control messages: the address of ours that one
//! was sent to, the address that an answer leaves from, and the size of several that pass as one
//! message (`UDP_GRO`, `UDP_SEGMENT`).
//!
//! With several in one message a datagram costs `udp-serve --echo` 0.8 µs of CPU time; 1.4 µs without
//! `UDP_GRO`, 3.8 µs without `UDP_SEGMENT` (`cargo bench -- --only udp`). recvmmsg(2) and sendmmsg(2)
//! beside them save nothing.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage, UnixAddr, recvmsg,
    sendmsg,
};
use socket2::Domain;

use super::{Datagrams, Envelope, LARGEST, UDP_ROOM};
use crate::net::endpoint::Endpoint;
use crate::net::errno::retry;
use crate::net::errno::would_block;
use crate::net::socket::or_again;
use crate::net::trace::{self, CallResult};

/// The most datagrams of one send (`UDP_MAX_SEGMENTS`).
pub const SEGMENTS: usize = 64;
/// The most bytes of one send.
const MAX_SEND: usize = 65_507;

/// What was received with one call: a datagram, or several from one peer.
pub struct Received<'a> {
    bytes: &'a [u8],
    /// The size of each datagram; the last may be shorter.
    size: usize,
    /// The envelope of each.
    pub envelope: Envelope,
}

impl<'a> Received<'a> {
    /// The datagrams in the order they came.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let empty = self.bytes.is_empty().then_some(self.bytes);
        empty.into_iter().chain(self.bytes.chunks(self.size.max(1)))
    }
}

impl Datagrams {
    /// A buffer for [`Datagrams::recv`].
    pub fn buffer(&self) -> Vec<u8> {
        vec![0; if self.family == Domain::UNIX { LARGEST } else { UDP_ROOM }]
    }

    /// Whether the kernel may hand over several datagrams as one message (`UDP_GRO`): then their
    /// number has no limit. An old kernel cannot.
    pub fn merge(&self, on: bool) {
        if self.family != Domain::UNIX {
            let _ = self.socket.set_int("UDP_GRO", on.into());
        }
    }

    /// Receives a message. Never blocks.
    pub fn recv<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Received<'a>> {
        let room = buffer.len();
        let result = retry(|| self.receive(buffer));
        if trace::on()
            && let Err(e) = &result
            && !would_block(e)
        {
            trace::call("recvfrom", &[&room], trace::failed(e));
        }
        let (len, size, envelope) = result?;
        let received = Received { bytes: &buffer[..len], size: size.unwrap_or(len), envelope };
        if trace::on() {
            let from = &received.envelope.from;
            for one in received.datagrams() {
                trace::call(
                    "recvfrom",
                    &[&room],
                    CallResult::CountFrom(one.len(), from.to_string()),
                );
            }
        }
        Ok(received)
    }

    fn receive(&self, buffer: &mut [u8]) -> nix::Result<(usize, Option<usize>, Envelope)> {
        let mut pieces = [IoSliceMut::new(buffer)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        if self.family == Domain::UNIX {
            // Without room for control messages the kernel closes descriptors that a peer sends
            // (SCM_RIGHTS), instead of giving them to us.
            let message = recvmsg(fd, &mut pieces, None, flags | MsgFlags::MSG_CMSG_CLOEXEC)?;
            return Ok(describe(&message, Endpoint::of_unix(message.address.as_ref())));
        }
        // More room than we ask for, as options may ask for more (`IP_RECVTTL`, `SO_TIMESTAMP`).
        let mut control = nix::cmsg_space!([u8; 256]);
        let message = recvmsg(fd, &mut pieces, Some(&mut control), flags)?;
        Ok(describe(&message, Endpoint::of_inet(message.address.as_ref())))
    }

    /// Sends datagrams to the sender of an envelope, from the address that was asked: as many as
    /// one call takes, each whole or not at all. An error is that of the first. Never blocks.
    pub fn send(&self, datagrams: &[&[u8]], to: &Envelope) -> io::Result<usize> {
        let Some(first) = datagrams.first() else {
            return Ok(0);
        };
        let count = if self.segments.get() { alike(datagrams) } else { 1 };
        let result = or_again(|| match self.transmit(&datagrams[..count], to) {
            // An old kernel, or a device that does not cut.
            Err(Errno::EINVAL | Errno::EIO | Errno::EOPNOTSUPP | Errno::EMSGSIZE) if count > 1 => {
                self.segments.set(false);
                self.transmit(&datagrams[..1], to)
            }
            result => result,
        });
        if trace::on() {
            match &result {
                Ok(sent) => {
                    for one in &datagrams[..*sent] {
                        trace::call(
                            "sendto",
                            &[&one.len(), &to.from],
                            CallResult::Count(one.len()),
                        );
                    }
                }
                Err(e) if would_block(e) => {}
                Err(e) => trace::call("sendto", &[&first.len(), &to.from], trace::failed(e)),
            }
        }
        result
    }

    /// One sendmsg(2), which takes all or nothing. The kernel cuts it into datagrams of the size of
    /// the first.
    fn transmit(&self, datagrams: &[&[u8]], to: &Envelope) -> nix::Result<usize> {
        let pieces: Vec<_> = datagrams.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        if let Endpoint::Unix(name) = &to.from
            && !self.is_connected
        {
            let to = match &name[..] {
                [] => return Err(Errno::EDESTADDRREQ),
                [b'@', name @ ..] => UnixAddr::new_abstract(name)?,
                path => UnixAddr::new(path)?,
            };
            sendmsg(fd, &pieces, &[], flags, Some(&to))?;
            return Ok(1);
        }
        let (v4, v6) = source(to.to);
        let size = u16::try_from(datagrams[0].len()).unwrap_or(u16::MAX);
        let cut = (datagrams.len() > 1).then_some(ControlMessage::UdpGsoSegments(&size));
        let v4 = v4.as_ref().map(ControlMessage::Ipv4PacketInfo);
        let v6 = v6.as_ref().map(ControlMessage::Ipv6PacketInfo);
        let control: Vec<_> = [v4, v6, cut].into_iter().flatten().collect();
        // A connected socket knows the address.
        let address = to.from.to_inet(self.family).filter(|_| !self.is_connected);
        let address = address.map(SockaddrStorage::from);
        sendmsg(fd, &pieces, &control, flags, address.as_ref())?;
        Ok(datagrams.len())
    }
}

/// How many datagrams, from the first on, one send may carry: they are of one size.
fn alike(datagrams: &[&[u8]]) -> usize {
    let size = datagrams[0].len();
    let most = MAX_SEND.checked_div(size).unwrap_or(1).clamp(1, SEGMENTS);
    datagrams.iter().take(most).take_while(|other| other.len() == size).count()
}

/// The length of a message, the size of its datagrams where the kernel has merged several, and
/// their envelope. Control messages that did not fit are missing.
fn describe<S>(message: &RecvMsg<'_, '_, S>, from: Endpoint) -> (usize, Option<usize>, Envelope) {
    let truncated = message.flags.contains(MsgFlags::MSG_TRUNC);
    let mut envelope = Envelope { truncated, from, to: None };
    let mut size = None;
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                envelope.to = Some(info.ipi_spec_dst.s_addr.to_ne_bytes().into());
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let to = IpAddr::from(info.ipi6_addr.s6_addr);
                envelope.to = envelope.to.or(Some(to)).filter(|to| to.to_canonical() == *to);
            }
            ControlMessageOwned::UdpGroSegments(each) => size = usize::try_from(each).ok(),
            _ => {}
        }
    }
    (message.bytes, size, envelope)
}

/// The address that an answer leaves from, as sendmsg(2) takes it: the one that was asked, unless it
/// is a group, which is no source.
fn source(asked: Option<IpAddr>) -> (Option<libc::in_pktinfo>, Option<libc::in6_pktinfo>) {
    match asked.filter(|ip| !ip.is_multicast()) {
        None => (None, None),
        Some(IpAddr::V4(ip)) => {
            let ipi_spec_dst = libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
            let ipi_addr = libc::in_addr { s_addr: 0 };
            (Some(libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr }), None)
        }
        Some(IpAddr::V6(ip)) => {
            let ipi6_addr = libc::in6_addr { s6_addr: ip.octets() };
            (None, Some(libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 }))
        }
    }
}
