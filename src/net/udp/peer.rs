//! Who is at the other end of a datagram: an IP address and port, a UNIX name, or nobody nameable.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;

use nix::sys::socket::{SockaddrLike, SockaddrStorage, UnixAddr};

use crate::net::endpoint::Endpoint;

/// The other side of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// As the system has it: a v4-mapped address on a dual-stack socket.
    Inet(SocketAddr),
    /// A UNIX socket with a name.
    Unix(UnixAddr),
    /// A UNIX socket without one: it cannot be answered.
    Nameless,
}

impl Peer {
    /// A peer as it is shown: `192.0.2.1:5000`, `[::1]:5000`, `unix:PATH`, `unix:@NAME`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("unix:") {
            None => text.parse().ok().map(Self::Inet),
            Some(name) => match name.strip_prefix('@') {
                Some(name) => UnixAddr::new_abstract(name.as_bytes()),
                None if name.is_empty() => return None,
                None => UnixAddr::new(name),
            }
            .ok()
            .map(Self::Unix),
        }
    }

    /// The IP address, where there is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(inet) => Some(inet.ip()),
            Self::Unix(_) | Self::Nameless => None,
        }
    }

    /// What recvmsg(2) gives on a UNIX socket.
    pub(super) fn unix(address: Option<&UnixAddr>) -> Self {
        // Nothing behind the family: a socket without a name.
        let family = size_of::<libc::sa_family_t>();
        address
            .filter(|unix| unix.len() as usize > family)
            .map_or(Self::Nameless, |unix| Self::Unix(*unix))
    }

    /// What recvmsg(2) gives on a UDP socket.
    pub(super) fn inet(address: Option<&SockaddrStorage>) -> Option<Self> {
        let address = address.filter(|address| address.len() > 0)?;
        let four = address.as_sockaddr_in().map(|a| SocketAddr::from((a.ip(), a.port())));
        four.or_else(|| {
            address
                .as_sockaddr_in6()
                .map(|a| SocketAddrV6::new(a.ip(), a.port(), a.flowinfo(), a.scope_id()).into())
        })
        .map(Self::Inet)
    }
}

impl From<&Peer> for Endpoint {
    fn from(peer: &Peer) -> Self {
        match peer {
            Peer::Inet(inet) => Self::from(*inet),
            Peer::Nameless => Self::Unix(Vec::new()),
            Peer::Unix(unix) => Self::Unix(match (unix.path(), unix.as_abstract()) {
                (Some(path), _) => path.as_os_str().as_bytes().to_vec(),
                (None, name) => [b"@", name.unwrap_or_default()].concat(),
            }),
        }
    }
}
