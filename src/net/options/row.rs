//! What the table says of an option: level, kind of value, when it is set, on which sockets.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// A socket option.
#[derive(Clone, Debug)]
pub struct Row {
    /// The system's name; `LEVEL:NUMBER` for an option without a row of its own.
    pub name: Cow<'static, str>,
    /// The level.
    pub level: Level,
    /// The number on that level.
    pub number: i32,
    /// How its bytes are understood.
    pub kind: Kind,
    /// Whether it is read, set, or both.
    pub access: Access,
    /// When it is set.
    pub moment: Moment,
    /// The sockets it means something on.
    pub on: Sockets,
    /// One line of meaning.
    pub meaning: &'static str,
    /// The sysctl that gives its default or its limit.
    pub sysctl: Option<&'static str>,
    /// The values the kernel accepts.
    pub range: Option<(i64, i64)>,
    /// The capability that setting it can take.
    pub needs: Option<&'static str>,
}

impl Row {
    pub(super) const fn sysctl(mut self, name: &'static str) -> Self {
        self.sysctl = Some(name);
        self
    }

    pub(super) const fn range(mut self, least: i64, most: i64) -> Self {
        self.range = Some((least, most));
        self
    }

    pub(super) const fn needs(mut self, capability: &'static str) -> Self {
        self.needs = Some(capability);
        self
    }

    /// The name in a call, where an unnamed option is its number.
    pub fn spoken(&self) -> &str {
        self.name.split_once(':').map_or(&self.name, |(_, number)| number)
    }
}

/// The level an option lives on: `SOL_SOCKET` or a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the system's")]
pub enum Level {
    Socket,
    Ip,
    Ipv6,
    Tcp,
    Udp,
    /// Any other, by number.
    Other(i32),
}

impl Level {
    /// Its number in the kernel.
    pub fn number(self) -> i32 {
        match self {
            Self::Socket => libc::SOL_SOCKET,
            Self::Ip => libc::IPPROTO_IP,
            Self::Ipv6 => libc::IPPROTO_IPV6,
            Self::Tcp => libc::IPPROTO_TCP,
            Self::Udp => libc::IPPROTO_UDP,
            Self::Other(number) => number,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket => "SOL_SOCKET",
            Self::Ip => "IPPROTO_IP",
            Self::Ipv6 => "IPPROTO_IPV6",
            Self::Tcp => "IPPROTO_TCP",
            Self::Udp => "IPPROTO_UDP",
            Self::Other(number) => return write!(f, "{number}"),
        })
    }
}

/// Values with names.
pub type Names = &'static [(&'static str, i32)];

/// The fields of a struct, which follow each other without gaps.
pub type Fields = &'static [(&'static str, Width)];

/// How an option's bytes are to be understood. What is written for each is in `sockopt::parse`.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// An int that is 0 or 1.
    Flag,
    /// An int.
    Int,
    /// An unsigned int.
    Unsigned,
    /// An unsigned 64-bit number.
    Wide,
    /// An int that counts bytes.
    Size,
    /// A struct timeval.
    Duration,
    /// An int that counts seconds.
    Seconds,
    /// An int that counts milliseconds.
    Millis,
    /// An int that counts microseconds.
    Micros,
    /// A struct linger.
    Linger,
    /// Characters up to a NUL.
    Text,
    /// The index of a network interface.
    Interface,
    /// The same in network byte order.
    InterfaceSwapped,
    /// An IPv4 address (`IP_MULTICAST_IF`, where an interface's name does too).
    Ipv4,
    /// A struct sockaddr.
    Address,
    /// A struct `ip_mreqn`: group, and interface or local address.
    Group4,
    /// A struct `ip_mreq_source`: group, source, local address.
    Source4,
    /// A struct `ipv6_mreq`: group and interface.
    Group6,
    /// A struct `group_req`: group of either family and interface.
    Group,
    /// A struct `group_source_req`: group and source of either family, and interface.
    Source,
    /// An int whose values have names.
    Names(Names),
    /// An int whose bits have names.
    Bits(Names),
    /// An errno value.
    Errno,
    /// A struct of numbers.
    Record(Fields),
    /// A list of 32-bit numbers.
    List,
    /// A classic BPF program; reading gives its length.
    Filter,
    /// Anything else, in hex.
    Bytes,
}

impl Kind {
    /// The name in the type column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Int => "integer",
            Self::Unsigned | Self::Wide => "unsigned",
            Self::Size => "size",
            Self::Duration => "duration",
            Self::Seconds => "seconds",
            Self::Millis => "milliseconds",
            Self::Micros => "microseconds",
            Self::Linger => "linger",
            Self::Text => "string",
            Self::Interface | Self::InterfaceSwapped => "interface",
            Self::Ipv4 | Self::Address => "address",
            _ if self.is_membership() => "membership",
            Self::Names(_) => "enum",
            Self::Bits(_) => "bits",
            Self::Errno => "error",
            Self::Record(_) => "record",
            Self::List => "list",
            Self::Filter => "filter",
            _ => "bytes",
        }
    }

    /// Whether it joins, leaves or filters a multicast group.
    pub fn is_membership(self) -> bool {
        matches!(self, Self::Group4 | Self::Source4 | Self::Group6 | Self::Group | Self::Source)
    }

    /// How many bytes to ask the kernel for. Exact where it insists on it.
    pub fn room(self) -> usize {
        match self {
            Self::Wide | Self::Linger => 8,
            Self::Duration => size_of::<libc::timeval>(),
            Self::Text | Self::Address => 256,
            Self::Record(fields) => fields.iter().map(|(_, width)| width.bytes()).sum(),
            Self::List | Self::Bytes => 4096,
            _ => 4,
        }
    }
}

/// A number in a struct.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Width {
    U8,
    U16,
    U32,
    I32,
    U64,
}

impl Width {
    /// Its size.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 | Self::I32 => 4,
            Self::U64 => 8,
        }
    }
}

/// Whether an option is read, set, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Read only.
    Get,
    /// Set only.
    Set,
    /// Both.
    Both,
}

/// When an option is to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before bind: it decides which addresses can be had.
    Bind,
    /// Before connect or listen: it decides what the handshake offers, or belongs to the
    /// listener itself. Accepted sockets inherit it.
    Open,
    /// On a connection.
    Connection,
    /// Always: what a listener itself sends (its SYN-ACK) carries it too.
    Any,
}

/// Kinds of sockets, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets(u8);

#[allow(missing_docs, reason = "the names say it")]
impl Sockets {
    pub const TCP: Self = Self(1);
    pub const UDP: Self = Self(2);
    /// UNIX domain, streams and datagrams.
    pub const UNIX: Self = Self(4);
    /// Raw IP, which this program never opens.
    pub const RAW: Self = Self(8);
    /// TCP and UDP.
    pub const INET: Self = Self(3);
    /// All but raw ones.
    pub const ALL: Self = Self(7);

    /// Whether one of `other` is among these.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            [(Self::TCP, "TCP"), (Self::UDP, "UDP"), (Self::UNIX, "UNIX"), (Self::RAW, "raw IP")];
        let names = names.iter().filter(|(set, _)| self.contains(*set)).map(|(_, name)| *name);
        f.write_str(&names.collect::<Vec<_>>().join(" and "))
    }
}
