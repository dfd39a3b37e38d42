//! Where one end of a socket is: an IP address and port, or a UNIX name, as it is shown.

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use nix::sys::socket::{SockaddrLike, SockaddrStorage, UnixAddr};
use serde::{Serialize, Serializer};
use socket2::{Domain, SockAddr};

use super::interface;
use crate::sanitize;

/// The address of one end of a socket. v4-mapped IPv6 addresses are held as IPv4, so that a
/// dual-stack listener shows and limits its peers like any other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// The dual-stack wildcard, shown as `*:PORT`.
    Any(u16),
    /// A UNIX socket's path, abstract name (with its leading `@`), or nothing where it has none.
    Unix(Vec<u8>),
    /// What a proxy connects us to, as it is asked for.
    ViaProxy(String),
}

impl Endpoint {
    /// The endpoint a system address stands for.
    pub fn of(address: &SockAddr) -> Self {
        let path = address.as_pathname().map(|path| path.as_os_str().as_bytes());
        match address.as_socket() {
            Some(inet) => inet.into(),
            None => Self::unix(path, address.as_abstract_namespace()),
        }
    }

    /// The sender of a UDP datagram, as recvmsg(2) gives it.
    pub fn of_inet(address: Option<&SockaddrStorage>) -> Self {
        if let Some(v4) = address.and_then(SockaddrStorage::as_sockaddr_in) {
            return SocketAddr::from((v4.ip(), v4.port())).into();
        }
        match address.and_then(SockaddrStorage::as_sockaddr_in6) {
            Some(v6) => {
                let (flow, scope) = (v6.flowinfo(), v6.scope_id());
                SocketAddr::from(SocketAddrV6::new(v6.ip(), v6.port(), flow, scope)).into()
            }
            None => Self::Unix(Vec::new()),
        }
    }

    /// The sender of a UNIX datagram, as recvmsg(2) gives it. It may have no name: then nothing
    /// follows the address family. A path of 108 bytes leaves no room for its NUL, which the kernel
    /// counts nevertheless (unix(7), BUGS): its sender counts as nameless, as nix would read beyond
    /// the address.
    pub fn of_unix(address: Option<&UnixAddr>) -> Self {
        let named = size_of::<libc::sa_family_t>() + 1..=size_of::<libc::sockaddr_un>();
        let named = address.filter(|unix| named.contains(&(unix.len() as usize)));
        let path = named.and_then(UnixAddr::path).map(|path| path.as_os_str().as_bytes());
        Self::unix(path, named.and_then(UnixAddr::as_abstract))
    }

    fn unix(path: Option<&[u8]>, abstract_name: Option<&[u8]>) -> Self {
        Self::Unix(match (path, abstract_name) {
            (_, Some(name)) => [b"@", name].concat(),
            // The same path, which cannot be taken for an abstract name.
            (Some(path @ [b'@', ..]), None) => [b"./", path].concat(),
            (path, None) => path.unwrap_or_default().to_vec(),
        })
    }

    /// Whether a connection to `target` reaches a listener that is bound here. A wildcard is reached at every
    /// address of this machine.
    pub fn is_reached_at(&self, target: &Self) -> bool {
        match (self, target) {
            (Self::Any(port), Self::Inet(target)) => *port == target.port() && is_here(target.ip()),
            (Self::Inet(own), Self::Inet(target)) if own.ip().is_unspecified() => {
                own.port() == target.port()
                    && own.is_ipv4() == target.is_ipv4()
                    && is_here(target.ip())
            }
            (Self::Inet(own), Self::Inet(target)) if target.ip().is_unspecified() => {
                own.port() == target.port() && own.ip().is_loopback()
            }
            (Self::Unix(own), Self::Unix(target)) => own == target || is_same_file(own, target),
            (own, target) => own == target,
        }
    }

    /// An endpoint as it is shown: `192.0.2.1:5000`, `[::1]:5000`, `unix:PATH`, `unix:@NAME`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("unix:") {
            None => text.parse::<SocketAddr>().ok().map(Self::from),
            Some("") => None,
            Some(name) => Some(Self::Unix(name.into())),
        }
    }

    /// The address to send to from a socket of a family: an IPv6 socket takes v4-mapped addresses.
    pub fn to_inet(&self, family: Domain) -> Option<SocketAddr> {
        match self {
            Self::Inet(SocketAddr::V4(v4)) if family == Domain::IPV6 => {
                Some((v4.ip().to_ipv6_mapped(), v4.port()).into())
            }
            Self::Inet(inet) => Some(*inet),
            Self::Any(_) | Self::Unix(_) | Self::ViaProxy(_) => None,
        }
    }

    /// Where other machines may reach a socket that listens here on all addresses; empty for one
    /// that listens on a single address.
    pub fn reached_at(&self) -> Vec<SocketAddr> {
        let (port, fits): (u16, fn(&IpAddr) -> bool) = match self {
            Self::Any(port) => (*port, |_| true),
            Self::Inet(inet) if !inet.ip().is_unspecified() => return Vec::new(),
            Self::Inet(SocketAddr::V4(v4)) => (v4.port(), IpAddr::is_ipv4),
            Self::Inet(SocketAddr::V6(v6)) => (v6.port(), IpAddr::is_ipv6),
            Self::Unix(_) | Self::ViaProxy(_) => return Vec::new(),
        };
        let addresses = interface::addresses().into_iter().filter(fits);
        addresses.map(|address| (address, port).into()).collect()
    }

    /// The IP address, where there is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(inet) => Some(inet.ip()),
            Self::Any(_) | Self::Unix(_) | Self::ViaProxy(_) => None,
        }
    }

    /// What it counts as where addresses are limited ([`network`]).
    pub fn network(&self) -> Option<IpAddr> {
        self.ip().map(network)
    }
}

/// What counts as one address: an IPv4 address, also a v4-mapped one, or an IPv6 /64, which is what one
/// customer gets.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Whether two paths lead to one file.
fn is_same_file(one: &[u8], other: &[u8]) -> bool {
    let file =
        |path: &[u8]| std::fs::metadata(OsStr::from_bytes(path)).map(|it| (it.dev(), it.ino()));
    matches!((file(one), file(other)), (Ok(one), Ok(other)) if one == other)
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(unmapped(address))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(SocketAddr::V6(inet)) if inet.scope_id() != 0 => {
                let zone = interface::shown(inet.scope_id());
                write!(f, "[{}%{zone}]:{}", inet.ip(), inet.port())
            }
            Self::Inet(inet) => write!(f, "{inet}"),
            Self::Any(port) => write!(f, "*:{port}"),
            Self::Unix(name) => write!(f, "unix:{}", sanitize::line(name)),
            Self::ViaProxy(name) => f.write_str(name),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// `[::ffff:192.0.2.1]:80` as `192.0.2.1:80`; anything else as it is.
fn unmapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(IpAddr::V4(v4), v6.port()),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

/// Whether this is an address of this machine: a socket can be bound to it.
fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v4_mapped_address_is_ipv4_except_for_an_ipv6_socket() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:80".parse().unwrap();
        let endpoint = Endpoint::from(mapped);
        assert_eq!(endpoint, Endpoint::parse("192.0.2.1:80").unwrap());
        assert_eq!(endpoint.to_inet(Domain::IPV6), Some(mapped));
        assert_eq!(endpoint.to_inet(Domain::IPV4), "192.0.2.1:80".parse().ok());
    }

    #[test]
    fn a_path_is_never_taken_for_an_abstract_name() {
        for (path, shown) in [("@x", "unix:./@x"), ("\0x", "unix:@x"), ("/x", "unix:/x")] {
            let endpoint = Endpoint::of(&SockAddr::unix(path).unwrap());
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(Endpoint::parse(shown), Some(endpoint));
        }
        assert_eq!(Endpoint::of(&SockAddr::unix("").unwrap()), Endpoint::Unix(Vec::new()));
    }
}
