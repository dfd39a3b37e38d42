//! `IPPROTO_IPV6`, ipv6(7). A table, hence its length.

use super::super::row::{Field, Kind, Level, Moment, Row, Sockets};
use super::{PMTUDISC, TOS, half, long, word};

const fn row(name: &'static str, number: i32, kind: Kind, meaning: &'static str) -> Row {
    Row::new(Level::Ipv6, name, number, kind, meaning).on(Sockets::INET)
}

/// An option of what is received with a datagram.
const fn with_datagram(name: &'static str, number: i32, meaning: &'static str) -> Row {
    row(name, number, Kind::Flag, meaning)
}

/// Joining, leaving and filtering groups: set on a datagram socket.
const fn group(name: &'static str, number: i32, kind: Kind, meaning: &'static str) -> Row {
    row(name, number, kind, meaning).set().on(Sockets::UDP)
}

/// An extension header of every sent packet.
const fn header(name: &'static str, number: i32, meaning: &'static str) -> Row {
    row(name, number, Kind::Bytes, meaning).at(Moment::Open).needs("CAP_NET_RAW")
}

const ADDRFORM: &[(&str, i32)] = &[("AF_INET", libc::AF_INET), ("AF_INET6", libc::AF_INET6)];

const PREFERENCES: &[(&str, i32)] = &[
    ("tmp", 0x0001),
    ("public", 0x0002),
    ("coa", 0x0004),
    ("cga", 0x0008),
    ("pubtmp_default", 0x0100),
    ("home", 0x0400),
    ("noncga", 0x0800),
];

/// struct `ip6_mtuinfo`: a `sockaddr_in6` and the MTU.
const PATHMTU: &[Field] = &[
    half("family"),
    half("port"),
    word("flowinfo"),
    long("address_high"),
    long("address_low"),
    word("scope"),
    word("mtu"),
];

pub(super) static ROWS: &[Row] = &[
    row(
        "IPV6_ADDRFORM",
        1,
        Kind::Names(ADDRFORM),
        "turn a v4-mapped connection into an IPv4 socket",
    )
    .at(Moment::Connection),
    with_datagram("IPV6_2292PKTINFO", 2, "IPV6_RECVPKTINFO in its form of RFC 2292"),
    with_datagram("IPV6_2292HOPOPTS", 3, "IPV6_RECVHOPOPTS in its form of RFC 2292"),
    with_datagram("IPV6_2292DSTOPTS", 4, "IPV6_RECVDSTOPTS in its form of RFC 2292"),
    with_datagram("IPV6_2292RTHDR", 5, "IPV6_RECVRTHDR in its form of RFC 2292"),
    row("IPV6_2292PKTOPTIONS", 6, Kind::Bytes, "what those flags would report, of the last packet")
        .get()
        .on(Sockets::TCP),
    row("IPV6_CHECKSUM", 7, Kind::Int, "where a raw packet's checksum is; -1 is nowhere")
        .on(Sockets::RAW),
    with_datagram("IPV6_2292HOPLIMIT", 8, "IPV6_RECVHOPLIMIT in its form of RFC 2292"),
    // Three that the man page or the headers name and no kernel of today answers to.
    row("IPV6_NEXTHOP", 9, Kind::Address, "first hop of sent packets; never done on Linux").get(),
    with_datagram("IPV6_AUTHHDR", 10, "receive the authentication header; removed long ago"),
    with_datagram("IPV6_FLOWINFO", 11, "receive flow label and class of each datagram"),
    row("IPV6_UNICAST_HOPS", 16, Kind::Int, "hop limit of sent packets; -1 is the default")
        .sysctl("net.ipv6.conf.default.hop_limit")
        .range(-1, 255),
    row("IPV6_MULTICAST_IF", 17, Kind::Interface, "interface for sent multicasts").on(Sockets::UDP),
    row("IPV6_MULTICAST_HOPS", 18, Kind::Int, "hop limit of sent multicasts; -1 is the default")
        .on(Sockets::UDP)
        .range(-1, 255),
    row("IPV6_MULTICAST_LOOP", 19, Kind::Flag, "sent multicasts reach this machine too")
        .on(Sockets::UDP),
    group("IPV6_ADD_MEMBERSHIP", 20, Kind::Group6, "join a multicast group"),
    group("IPV6_DROP_MEMBERSHIP", 21, Kind::Group6, "leave a multicast group"),
    row(
        "IPV6_ROUTER_ALERT",
        22,
        Kind::Int,
        "receive forwarded packets with the router alert option",
    )
    .on(Sockets::RAW),
    row(
        "IPV6_MTU_DISCOVER",
        23,
        Kind::Names(PMTUDISC),
        "path MTU discovery: may packets be fragmented",
    )
    .range(0, 5),
    row("IPV6_MTU", 24, Kind::Size, "the path's MTU as far as it is known")
        .at(Moment::Open)
        .range(1280, i32::MAX as i64),
    row("IPV6_RECVERR", 25, Kind::Flag, "queue ICMP errors, to be read with MSG_ERRQUEUE"),
    row("IPV6_V6ONLY", 26, Kind::Flag, "IPv6 only, not IPv4 through mapped addresses")
        .at(Moment::Bind)
        .sysctl("net.ipv6.bindv6only"),
    group("IPV6_JOIN_ANYCAST", 27, Kind::Group6, "take up an anycast address")
        .needs("CAP_NET_ADMIN"),
    group("IPV6_LEAVE_ANYCAST", 28, Kind::Group6, "give up an anycast address"),
    row("IPV6_MULTICAST_ALL", 29, Kind::Flag, "receive groups that other sockets here have joined")
        .on(Sockets::UDP),
    row(
        "IPV6_ROUTER_ALERT_ISOLATE",
        30,
        Kind::Flag,
        "router alerts of this network namespace only",
    )
    .on(Sockets::RAW),
    row("IPV6_RECVERR_RFC4884", 31, Kind::Flag, "queue ICMP errors with their extensions")
        .on(Sockets::UDP),
    row("IPV6_FLOWLABEL_MGR", 32, Kind::Bytes, "ask for, renew and give back flow labels")
        .at(Moment::Open),
    row("IPV6_FLOWINFO_SEND", 33, Kind::Flag, "sent packets carry the flow label of the address")
        .at(Moment::Open),
    row("IPV6_IPSEC_POLICY", 34, Kind::Bytes, "IPsec policy (KAME form)")
        .set()
        .at(Moment::Open)
        .needs("CAP_NET_ADMIN"),
    row("IPV6_XFRM_POLICY", 35, Kind::Bytes, "IPsec policy")
        .set()
        .at(Moment::Open)
        .needs("CAP_NET_ADMIN"),
    row("IPV6_HDRINCL", 36, Kind::Flag, "we write the IP header ourselves").on(Sockets::RAW),
    with_datagram("IPV6_RECVPKTINFO", 49, "receive interface and destination of each datagram"),
    row(
        "IPV6_PKTINFO",
        50,
        Kind::Bytes,
        "source address (16 bytes) and interface (4) of sent packets",
    )
    .set()
    .at(Moment::Open),
    with_datagram("IPV6_RECVHOPLIMIT", 51, "receive the hop limit of each datagram"),
    with_datagram("IPV6_HOPLIMIT", 52, "hop limit of one datagram: a control message only"),
    with_datagram("IPV6_RECVHOPOPTS", 53, "receive the hop-by-hop options of each datagram"),
    header("IPV6_HOPOPTS", 54, "hop-by-hop options of sent packets"),
    header(
        "IPV6_RTHDRDSTOPTS",
        55,
        "options of sent packets for each router of the routing header",
    ),
    with_datagram("IPV6_RECVRTHDR", 56, "receive the routing header of each datagram"),
    row("IPV6_RTHDR", 57, Kind::Bytes, "routing header of sent packets").at(Moment::Open),
    with_datagram("IPV6_RECVDSTOPTS", 58, "receive the destination options of each datagram"),
    header("IPV6_DSTOPTS", 59, "destination options of sent packets"),
    with_datagram("IPV6_RECVPATHMTU", 60, "be told when the path's MTU changes"),
    row("IPV6_PATHMTU", 61, Kind::Record(PATHMTU), "the path's MTU and whose it is").get(),
    row(
        "IPV6_DONTFRAG",
        62,
        Kind::Flag,
        "refuse what is larger than the MTU instead of fragmenting it",
    )
    .on(Sockets::UDP),
    with_datagram("IPV6_RECVTCLASS", 66, "receive the traffic class of each datagram"),
    row(
        "IPV6_TCLASS",
        67,
        Kind::Names(TOS),
        "traffic class, or DSCP, of sent packets; -1 is the default",
    )
    .range(-1, 255),
    row("IPV6_AUTOFLOWLABEL", 70, Kind::Flag, "make a flow label from addresses and ports")
        .sysctl("net.ipv6.auto_flowlabels"),
    row(
        "IPV6_ADDR_PREFERENCES",
        72,
        Kind::Bits(PREFERENCES),
        "which source addresses to choose first",
    )
    .at(Moment::Open),
    row("IPV6_MINHOPCOUNT", 73, Kind::Int, "drop packets with a smaller hop limit").range(0, 255),
    with_datagram("IPV6_RECVORIGDSTADDR", 74, "receive the destination before redirection"),
    row("IPV6_TRANSPARENT", 75, Kind::Flag, "bind to and answer for addresses of others (proxy)")
        .at(Moment::Bind)
        .needs("CAP_NET_ADMIN or CAP_NET_RAW"),
    row("IPV6_UNICAST_IF", 76, Kind::InterfaceSwapped, "interface for sent packets, routes aside")
        .at(Moment::Open),
    with_datagram("IPV6_RECVFRAGSIZE", 77, "receive the size of the largest fragment"),
    row("IPV6_FREEBIND", 78, Kind::Flag, "bind to an address this machine does not have (yet)")
        .at(Moment::Bind)
        .sysctl("net.ipv6.ip_nonlocal_bind"),
    row(
        "IP6T_SO_ORIGINAL_DST",
        80,
        Kind::Address,
        "destination before a NAT rule redirected the connection",
    )
    .get()
    .on(Sockets::TCP),
];
