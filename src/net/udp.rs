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
use super::dial::{self, Dial, OWN};
use super::endpoint::Endpoint;
use super::listen::{self, Listen, OwnFile};
use super::resolve::resolve;
use super::socket::Socket;
use crate::exit::{During, Failure};

mod message;

pub use super::interface::all_addresses;

pub use message::{Received, SEGMENTS};

/// The largest payload of a datagram (RFC 768, RFC 8200): 65,535 bytes less the headers that count.
/// The limit of a UNIX socket is known to the kernel only.
pub fn limit(to: &Endpoint) -> Option<usize> {
    match to {
        Endpoint::Inet(SocketAddr::V4(_)) => Some(65_507),
        Endpoint::Inet(SocketAddr::V6(_)) | Endpoint::Any(_) => Some(65_527),
        Endpoint::Unix(_) | Endpoint::ViaProxy(_) => None,
    }
}

/// A buffer of this size holds every UDP datagram.
const UDP_ROOM: usize = 65_536;
/// The same for UNIX sockets, whose limit is `SO_SNDBUF`; and the most that is read as one datagram.
pub const LARGEST: usize = 1 << 20;

/// A datagram socket. A UNIX path it made is removed on drop.
pub struct Datagrams {
    #[expect(dead_code, reason = "held for its drop, which comes before that of the socket")]
    path: Option<OwnFile>,
    socket: Socket,
    family: Domain,
    is_connected: bool,
    /// Whether the kernel cuts one send into datagrams (`UDP_SEGMENT`), as far as is known.
    segments: Cell<bool>,
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

    /// The address of ours that was asked, on a socket that is bound to `bound`.
    pub fn local(&self, bound: &Endpoint) -> Endpoint {
        match (bound, self.to) {
            (Endpoint::Inet(inet), Some(ip)) => SocketAddr::new(ip, inet.port()).into(),
            (Endpoint::Any(port), Some(ip)) => SocketAddr::new(ip, *port).into(),
            _ => bound.clone(),
        }
    }
}

impl Datagrams {
    /// A socket bound to `address`, and where it listens.
    pub fn bind(address: &Address, how: &Listen<'_>) -> Result<(Self, Endpoint), Failure> {
        let (socket, local, path) = listen::bind(address, how, |_| Ok(()))?;
        let family = socket.options().domain().during("listen on", address)?;
        // Each datagram comes with the address of ours that it was sent to. A socket for both
        // families gets two for IPv4: only that of IPv4 is a unicast address where the datagram was
        // sent to many.
        let options: &[&str] = match family {
            Domain::IPV6 => &["IPV6_RECVPKTINFO", "IP_PKTINFO"],
            Domain::IPV4 => &["IP_PKTINFO"],
            _ => &[],
        };
        let asked = options.iter().try_for_each(|option| socket.set_int(option, 1));
        asked.during("listen on", address)?;
        Ok((Self::new(socket, family, false, path), local))
    }

    fn new(socket: Socket, family: Domain, is_connected: bool, path: Option<OwnFile>) -> Self {
        Self { socket, family, is_connected, segments: Cell::new(family != Domain::UNIX), path }
    }

    /// `--ttl`: the hop limit of datagrams to this address.
    fn set_ttl(&self, ttl: u8, to: &Endpoint) -> io::Result<()> {
        let option = match to.ip().map(|ip| (ip, ip.is_multicast())) {
            Some((IpAddr::V4(_), false)) => "IP_TTL",
            Some((IpAddr::V4(_), true)) => "IP_MULTICAST_TTL",
            Some((IpAddr::V6(_), false)) => "IPV6_UNICAST_HOPS",
            Some((IpAddr::V6(_), true)) => "IPV6_MULTICAST_HOPS",
            None => return Err(Errno::EOPNOTSUPP.into()),
        };
        self.socket.set_int(option, ttl.into())
    }

    /// Whether it sends to one address, and reports ICMP errors from there.
    pub fn is_connected(&self) -> bool {
        self.is_connected
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

/// What datagrams are sent to: an address, or a name with several, of which one that fails is
/// followed by the next.
pub struct Destination {
    address: Address,
    how: Dial,
    /// `--broadcast`.
    broadcast: bool,
    /// `--ttl`.
    ttl: Option<u8>,
    all: Vec<SockAddr>,
    /// Which of them is next.
    next: usize,
    /// Those that were tried since the first, with their causes.
    failed: Vec<(Endpoint, io::Error)>,
}

impl Destination {
    /// Looks the address up, and opens a socket for the first that can be sent to.
    pub fn open(
        address: &Address,
        how: Dial,
        broadcast: bool,
        ttl: Option<u8>,
        until: Deadline,
    ) -> Result<(Self, Datagrams, Endpoint), Failure> {
        let mut all = resolve(address, how.query, until)?;
        if broadcast {
            all.sort_by_key(SockAddr::is_ipv6); // which has no broadcast
        }
        let mut destination = Self { broadcast, ttl, ..Self::among(all, address.clone(), how) };
        let (socket, to) = destination.advance()?;
        Ok((destination, socket, to))
    }

    /// The addresses that were found for one.
    pub fn among(all: Vec<SockAddr>, address: Address, how: Dial) -> Self {
        let (broadcast, ttl, next, failed) = (false, None, 0, Vec::new());
        Self { address, how, broadcast, ttl, all, next, failed }
    }

    /// How many of the addresses were tried.
    pub fn tried(&self) -> usize {
        self.next
    }

    /// Whether there is an address that was not tried yet.
    pub fn has_next(&self) -> bool {
        self.all.len() > 1 && self.next < self.all.len()
    }

    /// Sending to `from` failed: goes on with the next address, for which `socket` is made ready.
    /// When all have failed, which the failure says, the first is next again.
    pub fn next_address(
        &mut self,
        socket: &mut Datagrams,
        from: &Endpoint,
        error: io::Error,
    ) -> Result<Endpoint, Failure> {
        self.note(from, error);
        while let Some(system) = self.all.get(self.next)
            && system.domain() == socket.family
            && socket.is_connected
        {
            self.next += 1;
            let to = Endpoint::of(system);
            match socket.socket.start_connect(system) {
                Ok(_) => return Ok(to),
                Err(e) => self.failed.push((to, e)),
            }
        }
        let (other, to) = self.advance()?;
        *socket = other;
        Ok(to)
    }

    /// Sending to `from` failed.
    pub fn note(&mut self, from: &Endpoint, error: io::Error) {
        self.failed.retain(|(before, _)| before != from);
        self.failed.push((from.clone(), error));
    }

    /// A socket for the next address that has one. When all have failed, which the failure says, the
    /// first is next again.
    pub fn advance(&mut self) -> Result<(Datagrams, Endpoint), Failure> {
        while let Some(system) = self.all.get(self.next).cloned() {
            self.next += 1;
            let to = Endpoint::of(&system);
            if self.how.avoids(&to) {
                self.failed.push((to, io::Error::other(OWN)));
                continue;
            }
            let opened = match dial::open(&system, &self.how) {
                Ok(opened) => self.connect(opened, &system, &to),
                Err(failure) => Err(dial::lacks_family(&failure).ok_or(failure)?),
            };
            match opened {
                Ok(opened) => return Ok((opened, to)),
                Err(e)
                    if e.kind() == io::ErrorKind::PermissionDenied
                        && to.ip().is_some()
                        && !self.broadcast =>
                {
                    return Err(Failure::system("send to", to, &e).hint("add --broadcast"));
                }
                Err(e) => self.failed.push((to, e)),
            }
        }
        let failure = self.failure();
        self.failed.clear();
        self.next = 0;
        Err(failure)
    }

    fn failure(&self) -> Failure {
        dial::failure("send to", &self.address, &self.failed)
    }

    /// Connects a socket to a unicast address, so that ICMP errors are reported; not to a group or a
    /// broadcast address, as answers come from other addresses.
    fn connect(&self, socket: Socket, system: &SockAddr, to: &Endpoint) -> io::Result<Datagrams> {
        if system.is_unix() {
            // unix(7), "Autobind feature": a name of its own, so that it can be answered.
            SockAddr::unix("").and_then(|none| socket.bind(&none))?;
        }
        if self.broadcast {
            socket.set_int("SO_BROADCAST", 1)?;
        }
        let to_many = to.ip().is_some_and(|ip| ip.is_multicast()) || self.broadcast;
        if !to_many {
            socket.start_connect(system)?;
        }
        let datagrams = Datagrams::new(socket, system.domain(), !to_many, None);
        if let Some(ttl) = self.ttl {
            datagrams.set_ttl(ttl, to)?;
        }
        Ok(datagrams)
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
