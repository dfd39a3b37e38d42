//! ADDRESS: where to listen or to dial, as written on the command line.
//!
//! `grammar.rs` and `host.rs` read the words; names are not looked up here, only zones are.

mod grammar;
mod host;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::interface;
use crate::exit::{Failure, quoted};
use crate::sanitize;

/// The address family that `-4` or `-6` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Neither flag.
    #[default]
    Any,
    /// `-4`.
    V4,
    /// `-6`.
    V6,
}

/// A port as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// 0–65535; 0 is for listening.
    Number(u16),
    /// A name of services(5).
    Service(String),
}

/// A host as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Left out: `127.0.0.1`, with `-6` `::1`.
    Loopback,
    /// `*`: every address of this machine.
    Wildcard,
    /// A literal.
    Ip(IpAddr),
    /// `fe80::1%eth0`: a literal and the zone it is valid in (RFC 4007, section 11).
    Scoped(Ipv6Addr, String),
    /// A name to look up.
    Name(String),
}

/// Where to listen or to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host and a port.
    Inet {
        /// The host.
        host: Host,
        /// The port.
        port: Port,
    },
    /// `unix:PATH`, or `unix:@NAME` for an abstract name.
    Unix(OsString),
}

/// An address that `connect -z` checks.
#[derive(Clone, Debug)]
pub struct Target {
    /// The address.
    pub address: Address,
    /// The place in the port list of the range that the port is from.
    pub range: Option<usize>,
}

impl Address {
    /// The host as a certificate may name it; a UNIX socket has none.
    pub fn host(&self) -> Option<String> {
        match self {
            Self::Unix(_) => None,
            Self::Inet { host, .. } => Some(match host {
                Host::Loopback | Host::Wildcard => Ipv4Addr::LOCALHOST.to_string(),
                Host::Ip(ip) => ip.to_string(),
                Host::Scoped(ip, _) => ip.to_string(),
                Host::Name(name) => name.clone(),
            }),
        }
    }

    /// The address with the left-out host filled in: `127.0.0.1`, with `-6` `::1`.
    #[must_use]
    pub fn resolve_default(self, family: Family) -> Self {
        let Self::Inet { host: Host::Loopback, port } = self else {
            return self;
        };
        let ip = match family {
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
            Family::Any | Family::V4 => Ipv4Addr::LOCALHOST.into(),
        };
        Self::Inet { host: Host::Ip(ip), port }
    }

    /// Refuses `-4` and `-6` for a literal of the other family, and for a UNIX socket.
    pub fn check_family(&self, family: Family) -> Result<(), Failure> {
        let flag = match family {
            Family::Any => return Ok(()),
            Family::V4 => "-4",
            Family::V6 => "-6",
        };
        let excluded = match self {
            Self::Unix(_) => format!("UNIX socket {}", quoted(self.to_string())),
            Self::Inet { host, .. } => match host.family() {
                Family::V4 if family == Family::V6 => format!("IPv4 address {host}"),
                Family::V6 if family == Family::V4 => format!("IPv6 address {host}"),
                _ => return Ok(()),
            },
        };
        Err(Failure::usage(format!("{flag} excludes the {excluded}")))
    }

    /// Refuses a `-s` of another family than the literal, or than `-4` or `-6`.
    pub fn check_source(&self, source: IpAddr, family: Family) -> Result<(), Failure> {
        let fits = match self {
            Self::Unix(_) => false,
            Self::Inet { host, .. } => match (host.family(), family) {
                (Family::V4, _) | (Family::Any, Family::V4) => source.is_ipv4(),
                (Family::V6, _) | (Family::Any, Family::V6) => source.is_ipv6(),
                (Family::Any, Family::Any) => true,
            },
        };
        if fits {
            return Ok(());
        }
        Err(Failure::usage(format!("source {source} is of another family than {self}")))
    }

    /// Refuses what can only be listened on: port 0 and `*`.
    pub fn check_dial(&self) -> Result<(), Failure> {
        let refusal = match self {
            Self::Inet { host: Host::Wildcard, .. } => {
                "host * is for listening only; to dial this machine write 127.0.0.1"
            }
            Self::Inet { port: Port::Number(0), .. } => {
                "port 0 is for listening only; to dial, write one of 1–65535"
            }
            _ => return Ok(()),
        };
        Err(Failure::usage(refusal))
    }

    /// The path of a UNIX socket that has one.
    pub fn unix_path(&self) -> Option<&Path> {
        match self {
            Self::Unix(name) if !name.as_bytes().starts_with(b"@") => Some(Path::new(name)),
            _ => None,
        }
    }
}

impl Host {
    /// The family of a literal.
    fn family(&self) -> Family {
        match self {
            Self::Ip(IpAddr::V4(_)) => Family::V4,
            Self::Ip(IpAddr::V6(_)) | Self::Scoped(..) => Family::V6,
            Self::Loopback | Self::Wildcard | Self::Name(_) => Family::Any,
        }
    }

    /// The scope id of the zone, by `if_nametoindex(3)` or as a number; 0 where there is none.
    pub fn scope_id(&self) -> Result<u32, Failure> {
        let Self::Scoped(ip, zone) = self else {
            return Ok(0);
        };
        let number = || zone.parse().ok().filter(|&index| interface::exists(index));
        interface::index(zone).or_else(number).ok_or_else(|| {
            let zone = quoted(zone);
            Failure::usage(format!(
                "zone {zone} of {ip}: no such network interface; `ip link` lists them"
            ))
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet { host, port } => write!(f, "{host}:{port}"),
            // Hidden characters, and bytes that are not UTF-8, are escaped.
            Self::Unix(name) => write!(f, "unix:{}", sanitize::line(name.as_bytes())),
        }
    }
}

/// As before a `:PORT`: IPv6 in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("127.0.0.1"),
            Self::Wildcard => f.write_str("*"),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Scoped(ip, zone) => write!(f, "[{ip}%{zone}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Service(name) => f.write_str(name),
        }
    }
}
