//! The table of socket options, one file a level, in the order of their numbers.
//!
//! A new option is one row. Names and numbers are those of linux/include/uapi; rows newer than
//! the kernel at hand read as ENOPROTOOPT.

mod ip;
mod ipv6;
mod socket;
mod tcp;
mod udp;

use super::row::{Field, Row};

/// Every option, grouped by level.
pub fn rows() -> impl Iterator<Item = &'static Row> + Clone {
    [socket::ROWS, ip::ROWS, ipv6::ROWS, tcp::ROWS, udp::ROWS].into_iter().flatten()
}

/// Other names of the same option: a second spelling, or the one used when reading it.
pub const ALIASES: &[(&str, &str)] = &[
    ("IPV6_JOIN_GROUP", "IPV6_ADD_MEMBERSHIP"),
    ("IPV6_LEAVE_GROUP", "IPV6_DROP_MEMBERSHIP"),
    ("IPV6_ORIGDSTADDR", "IPV6_RECVORIGDSTADDR"),
    ("IP_ORIGDSTADDR", "IP_RECVORIGDSTADDR"),
    ("IP_RECVRETOPTS", "IP_RETOPTS"),
    ("SO_DETACH_BPF", "SO_DETACH_FILTER"),
    ("SO_GET_FILTER", "SO_ATTACH_FILTER"),
    ("TCP_CM_INQ", "TCP_INQ"),
];

/// Values of `IP_MTU_DISCOVER` and `IPV6_MTU_DISCOVER`.
const PMTUDISC: &[(&str, i32)] =
    &[("dont", 0), ("want", 1), ("do", 2), ("probe", 3), ("interface", 4), ("omit", 5)];

/// Values of `IP_TOS` and `IPV6_TCLASS`: the old names first, then the classes of DSCP.
const TOS: &[(&str, i32)] = &[
    ("lowdelay", 0x10),
    ("throughput", 0x08),
    ("reliability", 0x04),
    ("mincost", 0x02),
    ("le", 0x04),
    ("cs1", 0x20),
    ("af11", 0x28),
    ("af12", 0x30),
    ("af13", 0x38),
    ("cs2", 0x40),
    ("af21", 0x48),
    ("af22", 0x50),
    ("af23", 0x58),
    ("cs3", 0x60),
    ("af31", 0x68),
    ("af32", 0x70),
    ("af33", 0x78),
    ("cs4", 0x80),
    ("af41", 0x88),
    ("af42", 0x90),
    ("af43", 0x98),
    ("cs5", 0xa0),
    ("va", 0xb0),
    ("ef", 0xb8),
    ("cs6", 0xc0),
    ("cs7", 0xe0),
];

const fn byte(name: &'static str) -> Field {
    Field { name, size: 1, signed: false }
}

const fn half(name: &'static str) -> Field {
    Field { name, size: 2, signed: false }
}

const fn word(name: &'static str) -> Field {
    Field { name, size: 4, signed: false }
}

const fn signed(name: &'static str) -> Field {
    Field { name, size: 4, signed: true }
}

const fn long(name: &'static str) -> Field {
    Field { name, size: 8, signed: false }
}
