//! Datagram sockets: whole messages with their peers, answered from the address that was asked.

use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, SockaddrIn, SockaddrIn6, SockaddrLike,
    UnixAddr, recvmsg, sendmsg,
};
use socket2::{Domain, SockAddr, Type};

use super::address::{Address, UnixName};
use super::deadline::Deadline;
use super::dial::{self, Dial};
use super::endpoint::Endpoint;
use super::listen::{self, Listen, OwnPath};
use super::socket::{Socket, retry, would_block};
use super::trace::{self, Outcome};
use crate::exit::{Exit, Failure};

mod batch;
mod peer;

pub use batch::{BATCH, Batch};
pub use peer::Peer;

/// The largest payload of a datagram (RFC 768, RFC 8200): 65,535 less the headers that count.
/// What a UNIX socket takes is for its kernel to say.
pub fn limit(to: &Peer) -> Option<usize> {
    match to {
        Peer::Inet(SocketAddr::V4(_)) => Some(65_507),
        Peer::Inet(SocketAddr::V6(v6)) if v6.ip().to_ipv4_mapped().is_some() => Some(65_507),
        Peer::Inet(SocketAddr::V6(_)) => Some(65_527),
        Peer::Unix(_) | Peer::Nameless => None,
    }
}

/// A buffer of this size holds every UDP datagram there can be.
const UDP_ROOM: usize = 65_536;
/// The same for UNIX sockets, whose limit is `SO_SNDBUF`; and what is read as one datagram at most.
pub const MOST: usize = 1 << 20;

/// A datagram socket. A UNIX path it made is removed on drop.
pub struct Datagrams {
    socket: Socket,
    is_unix: bool,
    is_connected: bool,
    /// Whether the kernel cuts one send into datagrams of a size, as far as is known.
    cuts: Cell<bool>,
    #[expect(dead_code, reason = "held for its drop")]
    path: Option<OwnPath>,
}

/// One datagram's envelope.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    /// Its length.
    pub len: usize,
    /// Whether the buffer was too small for it.
    pub truncated: bool,
    /// Who sent it.
    pub from: Peer,
    /// Which of our addresses it was sent to; an answer leaves from there.
    pub to: Option<IpAddr>,
}

impl Datagrams {
    /// A socket bound to `address`, and where it listens.
    pub fn bind(address: &Address, how: &Listen<'_>) -> Result<(Self, Endpoint), Failure> {
        let (socket, shown, path) = listen::bind(address, how, Type::DGRAM)?;
        let fail = |e| Failure::system("listen on", &shown, &e);
        let local = listen::local(&socket, address, how.family).map_err(fail)?;
        // The kernel is to tell which of our addresses each datagram was sent to.
        match socket.options().domain().map_err(fail)? {
            Domain::IPV6 => socket.set_int("IPV6_RECVPKTINFO", 1),
            Domain::IPV4 => socket.set_int("IP_PKTINFO", 1),
            _ => Ok(()),
        }
        .map_err(fail)?;
        let is_unix = matches!(address, Address::Unix(_));
        let datagrams =
            Self { socket, is_unix, is_connected: false, cuts: Cell::new(!is_unix), path };
        Ok((datagrams, local))
    }

    /// A socket to send to `address` from, and the address it resolved to. It is connected to a
    /// unicast address, so that an ICMP error comes back as one; to many it is not, so that
    /// whoever answers is heard.
    pub fn dial(
        address: &Address,
        how: &Dial<'_>,
        broadcast: bool,
        until: Deadline,
    ) -> Result<(Self, Peer), Failure> {
        let addresses = dial::resolve(address, how, until)?;
        let Some(system) = addresses.first() else {
            return Err(Failure::new("send to", address, "no address", Exit::Unresolved));
        };
        let to = match (address, system.as_socket()) {
            (Address::Unix(name), _) => Peer::Unix(unix(name)?),
            (_, Some(inet)) => Peer::Inet(inet),
            (_, None) => Peer::Nameless,
        };
        let socket = dial::open(system, how)?;
        let fail = |e: io::Error| {
            let failure = Failure::system("send to", Endpoint::from(&to), &e);
            if e.kind() == io::ErrorKind::PermissionDenied && to.ip().is_some() && !broadcast {
                return failure.hint("add --broadcast");
            }
            failure
        };
        if system.is_unix() {
            // unix(7), "Autobind feature": a name of its own, so that it can be answered.
            SockAddr::unix("").and_then(|none| socket.bind(&none)).map_err(fail)?;
        }
        if broadcast {
            socket.set_int("SO_BROADCAST", 1).map_err(fail)?;
        }
        let to_many = to.ip().is_some_and(|ip| ip.is_multicast()) || broadcast;
        if !to_many {
            socket.start_connect(system).map_err(fail)?;
        }
        let datagrams = Self {
            socket,
            is_unix: system.is_unix(),
            is_connected: !to_many,
            cuts: Cell::new(!system.is_unix()),
            path: None,
        };
        Ok((datagrams, to))
    }

    /// Room for the largest datagram that can come.
    fn room(&self) -> usize {
        if self.is_unix { MOST } else { UDP_ROOM }
    }

    /// A buffer for the largest datagram that can come.
    pub fn buffer(&self) -> Vec<u8> {
        vec![0; self.room()]
    }

    /// recvmsg(2): the next datagram. Never blocks.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<Envelope> {
        let result = if self.is_unix {
            self.recv_message(buf, |address| Some(Peer::unix(address)))
        } else {
            self.recv_message(buf, Peer::inet)
        };
        trace_recv(buf.len(), result.as_ref());
        result
    }

    fn recv_message<A: SockaddrLike>(
        &self,
        buf: &mut [u8],
        peer: impl Fn(Option<&A>) -> Option<Peer>,
    ) -> io::Result<Envelope> {
        let mut space = control_room();
        let mut pieces = [IoSliceMut::new(buf)];
        let fd = self.socket.as_raw_fd();
        loop {
            match recvmsg::<A>(fd, &mut pieces, Some(&mut space), MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
                Ok(message) => return Envelope::of(&message, peer),
            }
        }
    }

    /// sendto(2): one datagram, whole or not at all.
    pub fn send(&self, bytes: &[u8], to: Peer) -> io::Result<()> {
        self.send_from(bytes, to, None)
    }

    /// An answer to a datagram, from the address that was asked.
    pub fn answer(&self, bytes: &[u8], asked: &Envelope) -> io::Result<()> {
        self.send_from(bytes, asked.from, asked.to)
    }

    fn send_from(&self, bytes: &[u8], to: Peer, source: Option<IpAddr>) -> io::Result<()> {
        let pieces = [IoSlice::new(bytes)];
        let source = Source::of(source);
        let control = source.control();
        let (control, fd) = (control.as_slice(), self.socket.as_raw_fd());
        let flags = MsgFlags::MSG_DONTWAIT;
        let result = retry(|| match to {
            Peer::Inet(SocketAddr::V4(to)) => {
                sendmsg(fd, &pieces, control, flags, Some(&SockaddrIn::from(to)))
            }
            Peer::Inet(SocketAddr::V6(to)) => {
                sendmsg(fd, &pieces, control, flags, Some(&SockaddrIn6::from(to)))
            }
            Peer::Unix(to) => sendmsg(fd, &pieces, control, flags, Some(&to)),
            Peer::Nameless => Err(Errno::EDESTADDRREQ),
        });
        trace_send(bytes.len(), &to, result.as_ref().map(drop));
        result.map(drop)
    }

    /// `--ttl`: the hops a datagram to this address may take.
    pub fn set_ttl(&self, ttl: u8, to: &Peer) -> io::Result<()> {
        let option = match to.ip().map(|ip| (ip, ip.is_multicast())) {
            Some((IpAddr::V4(_), false)) => "IP_TTL",
            Some((IpAddr::V4(_), true)) => "IP_MULTICAST_TTL",
            Some((IpAddr::V6(_), false)) => "IPV6_UNICAST_HOPS",
            Some((IpAddr::V6(_), true)) => "IPV6_MULTICAST_HOPS",
            None => return Err(Errno::EOPNOTSUPP.into()),
        };
        self.socket.set_int(option, ttl.into())
    }

    /// getsockname(2).
    pub fn local(&self) -> io::Result<Endpoint> {
        self.socket.local()
    }

    /// The pending ICMP error, if there is one.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Envelope {
    fn of<A: SockaddrLike>(
        message: &RecvMsg<'_, '_, A>,
        peer: impl Fn(Option<&A>) -> Option<Peer>,
    ) -> io::Result<Self> {
        let from = peer(message.address.as_ref()).ok_or(io::ErrorKind::InvalidData)?;
        let to = told(message).find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
            _ => None,
        });
        Ok(Self {
            len: message.bytes,
            truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
            from,
            to,
        })
    }
}

/// Room for what the kernel tells beside a datagram: more than we ask for, as options may ask for
/// more (`IP_RECVTTL`, `SO_TIMESTAMP`).
fn control_room() -> Vec<u8> {
    nix::cmsg_space!([u8; 256])
}

/// What it tells; nothing where that was too much for the room.
fn told<A>(message: &RecvMsg<'_, '_, A>) -> impl Iterator<Item = ControlMessageOwned> {
    message.cmsgs().into_iter().flatten()
}

/// The address that an answer leaves from, as the system is told.
enum Source {
    Any,
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Source {
    fn of(ip: Option<IpAddr>) -> Self {
        match ip {
            // Who was asked as a group cannot answer as one.
            Some(ip) if ip.is_multicast() => Self::Any,
            None => Self::Any,
            Some(IpAddr::V4(ip)) => Self::V4(libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            }),
            Some(IpAddr::V6(ip)) => Self::V6(libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: ip.octets() },
                ipi6_ifindex: 0,
            }),
        }
    }

    fn control(&self) -> Option<ControlMessage<'_>> {
        match self {
            Self::Any => None,
            Self::V4(info) => Some(ControlMessage::Ipv4PacketInfo(info)),
            Self::V6(info) => Some(ControlMessage::Ipv6PacketInfo(info)),
        }
    }

    /// Room for exactly that; more would be read as another message.
    fn room(&self) -> Option<Vec<u8>> {
        match self {
            Self::Any => None,
            Self::V4(_) => Some(nix::cmsg_space!(libc::in_pktinfo)),
            Self::V6(_) => Some(nix::cmsg_space!(libc::in6_pktinfo)),
        }
    }
}

fn trace_recv(room: usize, result: Result<&Envelope, &io::Error>) {
    if trace::on() {
        match result {
            Ok(e) => trace::call(
                "recvfrom",
                &[&room],
                Outcome::CountFrom(e.len, &Endpoint::from(&e.from)),
            ),
            Err(e) if would_block(e) => {}
            Err(e) => trace::call("recvfrom", &[&room], trace::failed(e)),
        }
    }
}

fn trace_send(len: usize, to: &Peer, result: Result<(), &io::Error>) {
    if trace::on() && !result.is_err_and(would_block) {
        let outcome = result.map_or_else(trace::failed, |()| Outcome::Count(len));
        trace::call("sendto", &[&len, &Endpoint::from(to)], outcome);
    }
}

/// The system address of a UNIX name.
fn unix(name: &UnixName) -> Result<UnixAddr, Failure> {
    match name {
        UnixName::Path(path) => UnixAddr::new(path),
        UnixName::Abstract(name) => UnixAddr::new_abstract(name),
    }
    .map_err(|e| Failure::system("send to", Address::Unix(name.clone()), &e.into()))
}
