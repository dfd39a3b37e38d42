//! Datagram sockets: whole messages with their peers, answered from the address that was asked.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike,
    SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::Type;

use super::address::Address;
use super::deadline::Deadline;
use super::dial::{self, Dial};
use super::endpoint::Endpoint;
use super::listen::{self, Listen};
use super::socket::{Socket, retry, would_block};
use super::trace::{self, Outcome};
use crate::exit::{Exit, Failure};

/// The largest payload of a datagram (RFC 768, RFC 8200): 65,535 less the headers that count.
pub fn limit(to: &SocketAddr) -> usize {
    match to {
        SocketAddr::V4(_) => 65_507,
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => 65_507,
        SocketAddr::V6(_) => 65_527,
    }
}

/// A buffer of this size holds every datagram there can be.
pub const BUFFER: usize = 65_536;

/// A datagram socket.
pub struct Datagrams {
    socket: Socket,
}

/// One datagram's envelope.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    /// Its length.
    pub len: usize,
    /// Whether the buffer was too small for it.
    pub truncated: bool,
    /// Who sent it, as the system has it (a v4-mapped address on a dual-stack socket).
    pub from: SocketAddr,
    /// Which of our addresses it was sent to; an answer leaves from there.
    pub to: Option<IpAddr>,
}

impl Datagrams {
    /// A socket bound to `address`, and where it listens.
    pub fn bind(address: &Address, how: &Listen<'_>) -> Result<(Self, Endpoint), Failure> {
        if let Address::Unix(_) = address {
            return Err(Failure::usage(format!(
                "{address}: UNIX datagram sockets are not supported"
            )));
        }
        let (socket, shown, _) = listen::bind(address, how, Type::DGRAM)?;
        let fail = |e| Failure::system("listen on", &shown, &e);
        let local = listen::local(&socket, address, how.family).map_err(fail)?;
        if let Ok(true) = socket
            .options()
            .domain()
            .map(|domain| domain == socket2::Domain::IPV6)
        {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true).map_err(|e| fail(e.into()))?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).map_err(|e| fail(e.into()))?;
        }
        Ok((Self { socket }, local))
    }

    /// A socket to send to `address` from, and the address it resolved to. It is connected to a
    /// unicast address, so that an ICMP error comes back as one; to many it is not, so that
    /// whoever answers is heard.
    pub fn dial(
        address: &Address,
        how: &Dial<'_>,
        broadcast: bool,
        until: Deadline,
    ) -> Result<(Self, SocketAddr), Failure> {
        if let Address::Unix(_) = address {
            return Err(Failure::usage(format!(
                "{address}: UNIX datagram sockets are not supported"
            )));
        }
        let addresses = dial::resolve(address, how, until)?;
        let Some(to) = addresses.iter().find_map(socket2::SockAddr::as_socket) else {
            return Err(Failure::new(
                "send to",
                address,
                "no address",
                Exit::Unresolved,
            ));
        };
        let system = to.into();
        let socket = dial::open(&system, how)?;
        let fail = |e: io::Error| {
            let failure = Failure::system("send to", Endpoint::Inet(to), &e);
            if e.kind() == io::ErrorKind::PermissionDenied && !broadcast {
                return failure.hint("add --broadcast");
            }
            failure
        };
        if broadcast {
            let set = socket.set_flag("SOL_SOCKET", "SO_BROADCAST", true, |s, on| {
                s.set_broadcast(on)
            });
            set.map_err(fail)?;
        }
        let to_many = to.ip().is_multicast() || broadcast;
        if !to_many {
            socket.start_connect(&system).map_err(fail)?;
        }
        Ok((Self { socket }, to))
    }

    /// recvmsg(2): the next datagram. Never blocks.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<Envelope> {
        let room = buf.len();
        let result = self.recv_message(buf);
        if trace::on() {
            match &result {
                Ok(e) => trace::call(
                    "recvfrom",
                    &[&room],
                    Outcome::CountFrom(e.len, &Endpoint::from(e.from)),
                ),
                Err(e) if would_block(e) => {}
                Err(e) => trace::call("recvfrom", &[&room], trace::failed(e)),
            }
        }
        result
    }

    fn recv_message(&self, buf: &mut [u8]) -> io::Result<Envelope> {
        let mut space = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo);
        let mut pieces = [IoSliceMut::new(buf)];
        let fd = self.socket.as_raw_fd();
        let message = loop {
            match recvmsg::<SockaddrStorage>(
                fd,
                &mut pieces,
                Some(&mut space),
                MsgFlags::MSG_DONTWAIT,
            ) {
                Err(nix::errno::Errno::EINTR) => {}
                result => break result?,
            }
        };
        let from = message
            .address
            .as_ref()
            .and_then(inet)
            .ok_or(io::ErrorKind::InvalidData)?;
        let to = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
            _ => None,
        });
        Ok(Envelope {
            len: message.bytes,
            truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
            from,
            to,
        })
    }

    /// sendto(2): one datagram, whole or not at all.
    pub fn send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        self.send_from(bytes, to, None)
    }

    /// An answer to a datagram, from the address that was asked.
    pub fn answer(&self, bytes: &[u8], asked: &Envelope) -> io::Result<()> {
        self.send_from(bytes, asked.from, asked.to)
    }

    fn send_from(&self, bytes: &[u8], to: SocketAddr, source: Option<IpAddr>) -> io::Result<()> {
        let pieces = [IoSlice::new(bytes)];
        let send = |control: &[ControlMessage<'_>]| {
            let fd = self.socket.as_raw_fd();
            retry(|| match to {
                SocketAddr::V4(to) => sendmsg(
                    fd,
                    &pieces,
                    control,
                    MsgFlags::MSG_DONTWAIT,
                    Some(&SockaddrIn::from(to)),
                ),
                SocketAddr::V6(to) => sendmsg(
                    fd,
                    &pieces,
                    control,
                    MsgFlags::MSG_DONTWAIT,
                    Some(&SockaddrIn6::from(to)),
                ),
            })
        };
        let result = match source {
            // Who was asked as a group cannot answer as one.
            Some(ip) if ip.is_multicast() => send(&[]),
            None => send(&[]),
            Some(IpAddr::V4(ip)) => {
                let s_addr = u32::from_ne_bytes(ip.octets());
                let spec = libc::in_addr { s_addr };
                let any = libc::in_addr { s_addr: 0 };
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: spec,
                    ipi_addr: any,
                };
                send(&[ControlMessage::Ipv4PacketInfo(&info)])
            }
            Some(IpAddr::V6(ip)) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: in6(ip),
                    ipi6_ifindex: 0,
                };
                send(&[ControlMessage::Ipv6PacketInfo(&info)])
            }
        };
        if trace::on() {
            let outcome = result
                .as_ref()
                .map_or_else(trace::failed, |n| Outcome::Count(*n));
            trace::call("sendto", &[&bytes.len(), &Endpoint::from(to)], outcome);
        }
        result.map(drop)
    }

    /// `--ttl`: the hops a datagram to this address may take.
    pub fn set_ttl(&self, ttl: u8, to: &SocketAddr) -> io::Result<()> {
        let options = self.socket.options();
        match (to, to.ip().is_multicast()) {
            (SocketAddr::V4(_), false) => options.set_ttl_v4(ttl.into()),
            (SocketAddr::V4(_), true) => options.set_multicast_ttl_v4(ttl.into()),
            (SocketAddr::V6(_), false) => options.set_unicast_hops_v6(ttl.into()),
            (SocketAddr::V6(_), true) => options.set_multicast_hops_v6(ttl.into()),
        }
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

fn inet(address: &SockaddrStorage) -> Option<SocketAddr> {
    // An empty address would be that of a socket without a name.
    if address.len() == 0 {
        return None;
    }
    let four = address
        .as_sockaddr_in()
        .map(|a| SocketAddr::from((a.ip(), a.port())));
    four.or_else(|| {
        address.as_sockaddr_in6().map(|a| {
            std::net::SocketAddrV6::new(a.ip(), a.port(), a.flowinfo(), a.scope_id()).into()
        })
    })
}

fn in6(ip: Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr {
        s6_addr: ip.octets(),
    }
}
