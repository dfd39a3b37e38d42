//! Datagram sockets: whole messages with their peers, answered from the address that was asked.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::PollFlags;
use socket2::{Domain, SockAddr};

use super::address::Address;
use super::deadline::{Deadline, wait};
use super::dial::{self, Dial};
use super::endpoint::Endpoint;
use super::listen::{self, Listen, OwnPath};
use super::resolve::resolve;
use super::socket::Socket;
use crate::exit::{During, Exit, Failure};

mod message;

pub use message::{Received, SEGMENTS};

/// The largest payload of a datagram (RFC 768, RFC 8200): 65,535 bytes less the headers that count.
/// The limit of a UNIX socket is known to the kernel only.
pub fn limit(to: &Endpoint) -> Option<usize> {
    match to {
        Endpoint::Inet(SocketAddr::V4(_)) => Some(65_507),
        Endpoint::Inet(SocketAddr::V6(_)) => Some(65_527),
        Endpoint::Any(_) | Endpoint::Unix(_) | Endpoint::ViaProxy(_) => None,
    }
}

/// A buffer of this size holds every UDP datagram.
const UDP_ROOM: usize = 65_536;
/// The same for UNIX sockets, whose limit is `SO_SNDBUF`; and the most that is read as one datagram.
pub const LARGEST: usize = 1 << 20;

/// A datagram socket. A UNIX path it made is removed on drop.
pub struct Datagrams {
    socket: Socket,
    family: Domain,
    is_connected: bool,
    /// Whether the kernel cuts one send into datagrams (`UDP_SEGMENT`), as far as is known.
    segments: Cell<bool>,
    #[expect(dead_code, reason = "held for its drop")]
    path: Option<OwnPath>,
}

/// The envelope of a datagram.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Whether the buffer was too small for it.
    pub truncated: bool,
    /// Its sender, who gets the answer.
    pub from: Endpoint,
    /// Which of our addresses it was sent to; an answer leaves from there.
    pub to: Option<IpAddr>,
}

impl Envelope {
    /// The envelope for datagrams that answer none.
    pub fn to(peer: Endpoint) -> Self {
        Self { truncated: false, from: peer, to: None }
    }
}

impl Datagrams {
    /// A socket bound to `address`, and where it listens.
    pub fn bind(address: &Address, how: &Listen<'_>) -> Result<(Self, Endpoint), Failure> {
        let (socket, local, path) = listen::bind(address, how)?;
        let family = socket.options().domain().during("listen on", address)?;
        // Each datagram comes with the address of ours that it was sent to.
        match family {
            Domain::IPV6 => socket.set_int("IPV6_RECVPKTINFO", 1),
            Domain::IPV4 => socket.set_int("IP_PKTINFO", 1),
            _ => Ok(()),
        }
        .during("listen on", address)?;
        Ok((Self::new(socket, family, false, path), local))
    }

    fn new(socket: Socket, family: Domain, is_connected: bool, path: Option<OwnPath>) -> Self {
        Self { socket, family, is_connected, segments: Cell::new(family != Domain::UNIX), path }
    }

    /// A socket to send to `address` from, and the address it resolved to. It is connected to a
    /// unicast address, so that ICMP errors are reported; not to a group or a broadcast address, as
    /// answers come from other addresses.
    pub fn dial(
        address: &Address,
        how: &Dial,
        broadcast: bool,
        until: Deadline,
    ) -> Result<(Self, Endpoint), Failure> {
        let addresses = resolve(address, how.query, until)?;
        let Some(system) = addresses.first() else {
            return Err(Failure::new("send to", address, "no address", Exit::Unresolved));
        };
        let to = Endpoint::of(system);
        let socket = dial::open(system, how)?;
        let fail = |e: io::Error| {
            let failure = Failure::system("send to", &to, &e);
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
        Ok((Self::new(socket, system.domain(), !to_many, None), to))
    }

    /// `--ttl`: the hop limit of datagrams to this address.
    pub fn set_ttl(&self, ttl: u8, to: &Endpoint) -> io::Result<()> {
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

    /// The pending error (`SO_ERROR`), if there is one; empties the error queue, which would be
    /// reported as `EPOLLERR` again and again.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        // In this order: reading an ICMP error from the queue clears SO_ERROR.
        let error = self.socket.take_error();
        self.socket.drain_error_queue();
        error
    }

    /// Waits until a datagram is there (`POLLIN`), or room for one (`POLLOUT`). A pending error is
    /// returned.
    pub fn wait(&self, flags: PollFlags, until: Deadline) -> io::Result<()> {
        let [ready] = wait([(self.as_fd(), flags)], until)?;
        if ready.contains(PollFlags::POLLERR) {
            return self.take_error()?.map_or(Ok(()), Err);
        }
        Ok(())
    }

    /// Whether [`Datagrams::wait`] and epoll(7) know when there is room: a UNIX socket is writable
    /// though the queue of the receiver is full.
    pub fn knows_room(&self) -> bool {
        self.family != Domain::UNIX
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
