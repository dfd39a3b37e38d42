//! Where one end of a socket is: an IP address and port, or a UNIX name, as it is shown.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use nix::net::if_::if_indextoname;
use socket2::SockAddr;

use crate::sanitize;

/// The address of one end of a socket. v4-mapped IPv6 addresses are held as IPv4, so that a
/// dual-stack listener shows and limits its peers like any other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// The dual-stack wildcard, shown as `*:PORT`.
    Any(u16),
    /// A UNIX socket's path, abstract name (with its leading `@`), or nothing where it has none.
    Unix(Vec<u8>),
    /// What a proxy connects us to, as it was asked for.
    Beyond(String),
}

impl Endpoint {
    /// The endpoint a system address stands for.
    pub fn of(address: &SockAddr) -> Self {
        if let Some(inet) = address.as_socket() {
            return Self::Inet(unmapped(inet));
        }
        if let Some(name) = address.as_abstract_namespace() {
            return Self::Unix([b"@", name].concat());
        }
        let path = address.as_pathname().map(|path| path.as_os_str().as_bytes());
        Self::Unix(path.unwrap_or_default().to_vec())
    }

    /// The IP address, where there is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(inet) => Some(inet.ip()),
            Self::Any(_) | Self::Unix(_) | Self::Beyond(_) => None,
        }
    }
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
                let zone = zone(inet.scope_id());
                write!(f, "[{}%{zone}]:{}", inet.ip(), inet.port())
            }
            Self::Inet(inet) => write!(f, "{inet}"),
            Self::Any(port) => write!(f, "*:{port}"),
            Self::Unix(name) => write!(f, "unix:{}", sanitize::line(name)),
            Self::Beyond(name) => f.write_str(name),
        }
    }
}

/// The name of a network interface; its number where it has gone.
fn zone(index: u32) -> String {
    if_indextoname(index)
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| index.to_string())
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
