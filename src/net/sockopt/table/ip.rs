//! `IPPROTO_IP`, ip(7). A table, hence its length.

use super::super::row::{Field, Kind, Level, Moment, Row, Sockets};
use super::{PMTUDISC, TOS, half};

const fn row(name: &'static str, number: i32, kind: Kind, meaning: &'static str) -> Row {
    Row::new(Level::Ip, name, number, kind, meaning).on(Sockets::INET)
}

/// An option of what is received with a datagram.
const fn with_datagram(name: &'static str, number: i32, meaning: &'static str) -> Row {
    row(name, number, Kind::Flag, meaning)
}

/// Joining, leaving and filtering groups: set on a datagram socket.
const fn group(name: &'static str, number: i32, kind: Kind, meaning: &'static str) -> Row {
    row(name, number, kind, meaning).set().on(Sockets::UDP)
}

/// One int: `most << 16 | least`.
const PORTS: &[Field] = if cfg!(target_endian = "little") {
    &[half("least"), half("most")]
} else {
    &[half("most"), half("least")]
};

pub(super) static ROWS: &[Row] = &[
    row("IP_TOS", 1, Kind::Names(TOS), "type of service, or DSCP, of sent packets").range(0, 255),
    row("IP_TTL", 2, Kind::Int, "time to live of sent packets; -1 is the default")
        .sysctl("net.ipv4.ip_default_ttl")
        .range(1, 255),
    row("IP_HDRINCL", 3, Kind::Flag, "we write the IP header ourselves").on(Sockets::RAW),
    row("IP_OPTIONS", 4, Kind::Bytes, "IP options of every sent packet").at(Moment::Open),
    row("IP_ROUTER_ALERT", 5, Kind::Flag, "receive forwarded packets with the router alert option")
        .on(Sockets::RAW),
    with_datagram("IP_RECVOPTS", 6, "receive the IP options of each datagram"),
    with_datagram("IP_RETOPTS", 7, "the same, ready to be sent back"),
    with_datagram("IP_PKTINFO", 8, "receive interface and destination of each datagram"),
    row("IP_PKTOPTIONS", 9, Kind::Bytes, "what the flags above would report, of the last packet")
        .get()
        .on(Sockets::TCP),
    row(
        "IP_MTU_DISCOVER",
        10,
        Kind::Names(PMTUDISC),
        "path MTU discovery: may packets be fragmented",
    )
    .sysctl("net.ipv4.ip_no_pmtu_disc")
    .range(0, 5),
    row("IP_RECVERR", 11, Kind::Flag, "queue ICMP errors, to be read with MSG_ERRQUEUE"),
    with_datagram("IP_RECVTTL", 12, "receive the time to live of each datagram"),
    with_datagram("IP_RECVTOS", 13, "receive the type of service of each datagram"),
    row("IP_MTU", 14, Kind::Size, "the path's MTU as far as it is known").get(),
    row("IP_FREEBIND", 15, Kind::Flag, "bind to an address this machine does not have (yet)")
        .at(Moment::Bind)
        .sysctl("net.ipv4.ip_nonlocal_bind"),
    row("IP_IPSEC_POLICY", 16, Kind::Bytes, "IPsec policy (KAME form)")
        .set()
        .at(Moment::Open)
        .needs("CAP_NET_ADMIN"),
    row("IP_XFRM_POLICY", 17, Kind::Bytes, "IPsec policy")
        .set()
        .at(Moment::Open)
        .needs("CAP_NET_ADMIN"),
    with_datagram("IP_PASSSEC", 18, "receive the security context of each datagram"),
    row("IP_TRANSPARENT", 19, Kind::Flag, "bind to and answer for addresses of others (proxy)")
        .at(Moment::Bind)
        .needs("CAP_NET_ADMIN or CAP_NET_RAW"),
    with_datagram("IP_RECVORIGDSTADDR", 20, "receive the destination before redirection"),
    row("IP_MINTTL", 21, Kind::Int, "drop packets with a smaller time to live").range(0, 255),
    row("IP_NODEFRAG", 22, Kind::Flag, "do not reassemble fragments").on(Sockets::RAW),
    with_datagram("IP_CHECKSUM", 23, "receive the checksum of each datagram"),
    row("IP_BIND_ADDRESS_NO_PORT", 24, Kind::Flag, "bind takes no port, connect chooses it")
        .at(Moment::Bind),
    with_datagram("IP_RECVFRAGSIZE", 25, "receive the size of the largest fragment")
        .on(Sockets::UDP),
    row("IP_RECVERR_RFC4884", 26, Kind::Flag, "queue ICMP errors with their extensions")
        .on(Sockets::UDP),
    row("IP_MULTICAST_IF", 32, Kind::Ipv4, "interface for sent multicasts, by address or name")
        .on(Sockets::UDP),
    row("IP_MULTICAST_TTL", 33, Kind::Int, "time to live of sent multicasts")
        .on(Sockets::UDP)
        .range(-1, 255),
    row("IP_MULTICAST_LOOP", 34, Kind::Flag, "sent multicasts reach this machine too")
        .on(Sockets::UDP),
    group("IP_ADD_MEMBERSHIP", 35, Kind::Group4, "join a multicast group")
        .sysctl("net.ipv4.igmp_max_memberships"),
    group("IP_DROP_MEMBERSHIP", 36, Kind::Group4, "leave a multicast group"),
    group("IP_UNBLOCK_SOURCE", 37, Kind::Source4, "hear a source of a group again"),
    group("IP_BLOCK_SOURCE", 38, Kind::Source4, "stop hearing a source of a group"),
    group("IP_ADD_SOURCE_MEMBERSHIP", 39, Kind::Source4, "join a group for one source")
        .sysctl("net.ipv4.igmp_max_msf"),
    group("IP_DROP_SOURCE_MEMBERSHIP", 40, Kind::Source4, "leave a source of a group"),
    group("IP_MSFILTER", 41, Kind::Bytes, "all sources of a group at once"),
    group("MCAST_JOIN_GROUP", 42, Kind::Group, "join a multicast group")
        .sysctl("net.ipv4.igmp_max_memberships"),
    group("MCAST_BLOCK_SOURCE", 43, Kind::Source, "stop hearing a source of a group"),
    group("MCAST_UNBLOCK_SOURCE", 44, Kind::Source, "hear a source of a group again"),
    group("MCAST_LEAVE_GROUP", 45, Kind::Group, "leave a multicast group"),
    group("MCAST_JOIN_SOURCE_GROUP", 46, Kind::Source, "join a group for one source")
        .sysctl("net.ipv4.igmp_max_msf"),
    group("MCAST_LEAVE_SOURCE_GROUP", 47, Kind::Source, "leave a source of a group"),
    group("MCAST_MSFILTER", 48, Kind::Bytes, "all sources of a group at once"),
    row("IP_MULTICAST_ALL", 49, Kind::Flag, "receive groups that other sockets here have joined")
        .on(Sockets::UDP),
    row("IP_UNICAST_IF", 50, Kind::InterfaceSwapped, "interface for sent packets, routes aside")
        .at(Moment::Open),
    row(
        "IP_LOCAL_PORT_RANGE",
        51,
        Kind::Record(PORTS),
        "ports the kernel may choose from; 0,0 is the default",
    )
    .at(Moment::Bind)
    .sysctl("net.ipv4.ip_local_port_range"),
    row("IP_PROTOCOL", 52, Kind::Int, "protocol of a raw socket").get().on(Sockets::RAW),
    row(
        "SO_ORIGINAL_DST",
        80,
        Kind::Address,
        "destination before a NAT rule redirected the connection",
    )
    .get()
    .on(Sockets::TCP),
];
