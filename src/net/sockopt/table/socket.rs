//! `SOL_SOCKET`, socket(7) and unix(7). A table, hence its length.
//!
//! Numbers come from libc where it has them: on this level they differ between processors.

use super::super::row::{Field, Kind, Level, Moment, Row, Sockets};
use super::{signed, word};

const fn row(name: &'static str, number: i32, kind: Kind, meaning: &'static str) -> Row {
    Row::new(Level::Socket, name, number, kind, meaning)
}

const TYPES: &[(&str, i32)] = &[
    ("SOCK_STREAM", libc::SOCK_STREAM),
    ("SOCK_DGRAM", libc::SOCK_DGRAM),
    ("SOCK_RAW", libc::SOCK_RAW),
    ("SOCK_RDM", libc::SOCK_RDM),
    ("SOCK_SEQPACKET", libc::SOCK_SEQPACKET),
];

const DOMAINS: &[(&str, i32)] = &[
    ("AF_UNIX", libc::AF_UNIX),
    ("AF_INET", libc::AF_INET),
    ("AF_INET6", libc::AF_INET6),
    ("AF_NETLINK", libc::AF_NETLINK),
    ("AF_PACKET", libc::AF_PACKET),
    ("AF_VSOCK", libc::AF_VSOCK),
];

const PROTOCOLS: &[(&str, i32)] = &[
    ("IPPROTO_ICMP", libc::IPPROTO_ICMP),
    ("IPPROTO_TCP", libc::IPPROTO_TCP),
    ("IPPROTO_UDP", libc::IPPROTO_UDP),
    ("IPPROTO_ICMPV6", libc::IPPROTO_ICMPV6),
    ("IPPROTO_SCTP", libc::IPPROTO_SCTP),
    ("IPPROTO_UDPLITE", libc::IPPROTO_UDPLITE),
    ("IPPROTO_RAW", libc::IPPROTO_RAW),
    ("IPPROTO_MPTCP", libc::IPPROTO_MPTCP),
];

const TIMESTAMPING: &[(&str, i32)] = &[
    ("tx_hardware", 1),
    ("tx_software", 1 << 1),
    ("rx_hardware", 1 << 2),
    ("rx_software", 1 << 3),
    ("software", 1 << 4),
    ("sys_hardware", 1 << 5),
    ("raw_hardware", 1 << 6),
    ("opt_id", 1 << 7),
    ("tx_sched", 1 << 8),
    ("tx_ack", 1 << 9),
    ("opt_cmsg", 1 << 10),
    ("opt_tsonly", 1 << 11),
    ("opt_stats", 1 << 12),
    ("opt_pktinfo", 1 << 13),
    ("opt_tx_swhw", 1 << 14),
    ("bind_phc", 1 << 15),
    ("opt_id_tcp", 1 << 16),
    ("opt_rx_filter", 1 << 17),
    ("tx_completion", 1 << 18),
];

const LOCKS: &[(&str, i32)] = &[("sndbuf", 1), ("rcvbuf", 2)];

const CREDENTIALS: &[Field] = &[signed("pid"), signed("uid"), signed("gid")];

const MEMINFO: &[Field] = &[
    word("rmem_alloc"),
    word("rcvbuf"),
    word("wmem_alloc"),
    word("sndbuf"),
    word("fwd_alloc"),
    word("wmem_queued"),
    word("optmem"),
    word("backlog"),
    word("drops"),
];

const TXTIME: &[Field] = &[signed("clockid"), word("flags")];

const INT_MAX: i64 = i32::MAX as i64;

pub(super) static ROWS: &[Row] = &[
    row("SO_DEBUG", libc::SO_DEBUG, Kind::Flag, "record debugging information")
        .needs("CAP_NET_ADMIN"),
    row(
        "SO_REUSEADDR",
        libc::SO_REUSEADDR,
        Kind::Flag,
        "bind to an address in TIME_WAIT, or shared with others that allow it (UDP)",
    )
    .at(Moment::Bind)
    .on(Sockets::INET),
    row("SO_TYPE", libc::SO_TYPE, Kind::Names(TYPES), "the socket's type").get(),
    row("SO_ERROR", libc::SO_ERROR, Kind::Errno, "the pending error; reading clears it").get(),
    row(
        "SO_DONTROUTE",
        libc::SO_DONTROUTE,
        Kind::Flag,
        "send to directly connected hosts only, not through a gateway",
    )
    .on(Sockets::INET),
    row("SO_BROADCAST", libc::SO_BROADCAST, Kind::Flag, "allow datagrams to a broadcast address")
        .on(Sockets::UDP),
    row("SO_SNDBUF", libc::SO_SNDBUF, Kind::Size, "send buffer, with the kernel's bookkeeping")
        .at(Moment::Open)
        .sysctl("net.core.wmem_max"),
    row(
        "SO_RCVBUF",
        libc::SO_RCVBUF,
        Kind::Size,
        "receive buffer, with the kernel's bookkeeping; setting it ends TCP's own tuning",
    )
    .at(Moment::Open)
    .sysctl("net.core.rmem_max"),
    row(
        "SO_KEEPALIVE",
        libc::SO_KEEPALIVE,
        Kind::Flag,
        "probe an idle connection to notice that the peer is gone",
    )
    .at(Moment::Connection)
    .on(Sockets::TCP),
    row("SO_OOBINLINE", libc::SO_OOBINLINE, Kind::Flag, "leave urgent data in the stream")
        .at(Moment::Connection)
        .on(Sockets::TCP),
    row("SO_NO_CHECK", libc::SO_NO_CHECK, Kind::Flag, "send UDP over IPv4 without a checksum")
        .on(Sockets::UDP),
    row(
        "SO_PRIORITY",
        libc::SO_PRIORITY,
        Kind::Int,
        "priority of sent packets in the queueing discipline",
    )
    .range(0, INT_MAX)
    .needs("CAP_NET_ADMIN above 6"),
    row(
        "SO_LINGER",
        libc::SO_LINGER,
        Kind::Linger,
        "how long close waits for unsent data; 0 seconds resets the connection",
    )
    .at(Moment::Connection),
    row(
        "SO_BSDCOMPAT",
        libc::SO_BSDCOMPAT,
        Kind::Flag,
        "once: hide ICMP errors of UDP; does nothing since Linux 2.2",
    ),
    row(
        "SO_REUSEPORT",
        libc::SO_REUSEPORT,
        Kind::Flag,
        "several sockets share one port, the kernel spreads clients over them",
    )
    .at(Moment::Bind)
    .on(Sockets::INET),
    row(
        "SO_PASSCRED",
        libc::SO_PASSCRED,
        Kind::Flag,
        "receive the sender's credentials with each message",
    )
    .on(Sockets::UNIX),
    row(
        "SO_PEERCRED",
        libc::SO_PEERCRED,
        Kind::Record(CREDENTIALS),
        "process, user and group of the peer when it connected",
    )
    .get()
    .on(Sockets::UNIX),
    row(
        "SO_RCVLOWAT",
        libc::SO_RCVLOWAT,
        Kind::Size,
        "bytes that must have arrived before the socket counts as readable",
    )
    .at(Moment::Connection),
    row("SO_SNDLOWAT", libc::SO_SNDLOWAT, Kind::Size, "always 1 on Linux").get(),
    row(
        "SO_RCVTIMEO",
        libc::SO_RCVTIMEO,
        Kind::Duration,
        "longest wait of a blocking receive; 0 is no limit",
    )
    .at(Moment::Connection),
    row(
        "SO_SNDTIMEO",
        libc::SO_SNDTIMEO,
        Kind::Duration,
        "longest wait of a blocking send or connect; 0 is no limit",
    )
    .at(Moment::Connection),
    row("SO_BINDTODEVICE", libc::SO_BINDTODEVICE, Kind::Text, "use this network interface only")
        .at(Moment::Bind)
        .on(Sockets::INET)
        .needs("CAP_NET_RAW"),
    row(
        "SO_ATTACH_FILTER",
        libc::SO_ATTACH_FILTER,
        Kind::Filter,
        "classic BPF program that drops or cuts what arrives; reads as its length",
    )
    .at(Moment::Open),
    row("SO_DETACH_FILTER", libc::SO_DETACH_FILTER, Kind::Flag, "remove the BPF program")
        .set()
        .at(Moment::Connection),
    row(
        "SO_PEERNAME",
        libc::SO_PEERNAME,
        Kind::Address,
        "the peer's address, as getpeername gives it",
    )
    .get(),
    row(
        "SO_TIMESTAMP",
        libc::SO_TIMESTAMP,
        Kind::Flag,
        "receive the arrival time of each datagram, in microseconds",
    ),
    row("SO_ACCEPTCONN", libc::SO_ACCEPTCONN, Kind::Flag, "whether the socket listens").get(),
    row("SO_PEERSEC", libc::SO_PEERSEC, Kind::Text, "security context of the peer (SELinux)").get(),
    row("SO_SNDBUFFORCE", libc::SO_SNDBUFFORCE, Kind::Size, "SO_SNDBUF beyond net.core.wmem_max")
        .set()
        .at(Moment::Open)
        .needs("CAP_NET_ADMIN"),
    row("SO_RCVBUFFORCE", libc::SO_RCVBUFFORCE, Kind::Size, "SO_RCVBUF beyond net.core.rmem_max")
        .set()
        .at(Moment::Open)
        .needs("CAP_NET_ADMIN"),
    row(
        "SO_PASSSEC",
        libc::SO_PASSSEC,
        Kind::Flag,
        "receive the sender's security context with each message",
    )
    .on(Sockets::UNIX),
    row(
        "SO_TIMESTAMPNS",
        libc::SO_TIMESTAMPNS,
        Kind::Flag,
        "receive the arrival time of each datagram, in nanoseconds",
    ),
    row(
        "SO_MARK",
        libc::SO_MARK,
        Kind::Unsigned,
        "mark of sent packets, for routing and filtering",
    )
    .on(Sockets::INET)
    .needs("CAP_NET_ADMIN or CAP_NET_RAW"),
    row(
        "SO_TIMESTAMPING",
        libc::SO_TIMESTAMPING,
        Kind::Bits(TIMESTAMPING),
        "which times of sending and arrival to report, and from where",
    ),
    row("SO_PROTOCOL", libc::SO_PROTOCOL, Kind::Names(PROTOCOLS), "the socket's protocol").get(),
    row("SO_DOMAIN", libc::SO_DOMAIN, Kind::Names(DOMAINS), "the socket's address family").get(),
    row(
        "SO_RXQ_OVFL",
        libc::SO_RXQ_OVFL,
        Kind::Flag,
        "receive the count of dropped datagrams with each message",
    ),
    row(
        "SO_WIFI_STATUS",
        libc::SO_WIFI_STATUS,
        Kind::Flag,
        "report whether a frame sent over Wi-Fi was acknowledged",
    )
    .on(Sockets::INET),
    row(
        "SO_PEEK_OFF",
        libc::SO_PEEK_OFF,
        Kind::Int,
        "where the next MSG_PEEK begins; -1 is always at the front",
    )
    .at(Moment::Connection),
    row("SO_NOFCS", libc::SO_NOFCS, Kind::Flag, "leave the frame checksum of sent packets to us")
        .on(Sockets::INET),
    row(
        "SO_LOCK_FILTER",
        libc::SO_LOCK_FILTER,
        Kind::Flag,
        "forbid any change of the BPF program from now on",
    )
    .at(Moment::Connection),
    row(
        "SO_SELECT_ERR_QUEUE",
        libc::SO_SELECT_ERR_QUEUE,
        Kind::Flag,
        "report waiting errors as POLLPRI too",
    ),
    row(
        "SO_BUSY_POLL",
        libc::SO_BUSY_POLL,
        Kind::Micros,
        "how long a receive polls the network card instead of sleeping",
    )
    .on(Sockets::INET)
    .sysctl("net.core.busy_read")
    .range(0, INT_MAX)
    .needs("CAP_NET_ADMIN to raise it"),
    row(
        "SO_MAX_PACING_RATE",
        libc::SO_MAX_PACING_RATE,
        Kind::Wide,
        "highest rate of sending, in bytes a second; all ones is no limit",
    )
    .on(Sockets::INET),
    row(
        "SO_BPF_EXTENSIONS",
        libc::SO_BPF_EXTENSIONS,
        Kind::Int,
        "the newest BPF extension this kernel has",
    )
    .get(),
    row(
        "SO_INCOMING_CPU",
        libc::SO_INCOMING_CPU,
        Kind::Int,
        "processor that handles what arrives; -1 before anything did",
    )
    .on(Sockets::INET),
    row(
        "SO_ATTACH_BPF",
        libc::SO_ATTACH_BPF,
        Kind::Int,
        "descriptor of an eBPF program that drops or cuts what arrives",
    )
    .set()
    .at(Moment::Open),
    row(
        "SO_ATTACH_REUSEPORT_CBPF",
        libc::SO_ATTACH_REUSEPORT_CBPF,
        Kind::Filter,
        "classic BPF program that picks a socket of the SO_REUSEPORT group",
    )
    .set()
    .at(Moment::Open)
    .on(Sockets::INET),
    row(
        "SO_ATTACH_REUSEPORT_EBPF",
        libc::SO_ATTACH_REUSEPORT_EBPF,
        Kind::Int,
        "descriptor of an eBPF program that picks a socket of the SO_REUSEPORT group",
    )
    .set()
    .at(Moment::Open)
    .on(Sockets::INET),
    row(
        "SO_CNX_ADVICE",
        libc::SO_CNX_ADVICE,
        Kind::Flag,
        "the path seems broken: look for another route",
    )
    .set()
    .at(Moment::Connection)
    .on(Sockets::INET),
    row(
        "SO_MEMINFO",
        libc::SO_MEMINFO,
        Kind::Record(MEMINFO),
        "memory in use and its limits, in bytes; drops counts packets",
    )
    .get(),
    row(
        "SO_INCOMING_NAPI_ID",
        libc::SO_INCOMING_NAPI_ID,
        Kind::Unsigned,
        "queue of the network card that handles what arrives; 0 before anything did",
    )
    .get()
    .on(Sockets::INET),
    row(
        "SO_COOKIE",
        libc::SO_COOKIE,
        Kind::Wide,
        "a number no other socket of this system has had since it started",
    )
    .get(),
    row(
        "SO_PEERGROUPS",
        libc::SO_PEERGROUPS,
        Kind::List,
        "supplementary groups of the peer when it connected",
    )
    .get()
    .on(Sockets::UNIX),
    row("SO_ZEROCOPY", libc::SO_ZEROCOPY, Kind::Flag, "allow MSG_ZEROCOPY"),
    row(
        "SO_TXTIME",
        libc::SO_TXTIME,
        Kind::Record(TXTIME),
        "clock by which packets say when they are to be sent",
    )
    .on(Sockets::INET)
    .needs("CAP_NET_ADMIN"),
    row(
        "SO_BINDTOIFINDEX",
        libc::SO_BINDTOIFINDEX,
        Kind::Interface,
        "use this network interface only, by its index",
    )
    .at(Moment::Bind)
    .on(Sockets::INET)
    .needs("CAP_NET_RAW"),
    row("SO_TIMESTAMP_NEW", libc::SO_TIMESTAMP_NEW, Kind::Flag, "SO_TIMESTAMP with 64-bit times"),
    row(
        "SO_TIMESTAMPNS_NEW",
        libc::SO_TIMESTAMPNS_NEW,
        Kind::Flag,
        "SO_TIMESTAMPNS with 64-bit times",
    ),
    row(
        "SO_TIMESTAMPING_NEW",
        libc::SO_TIMESTAMPING_NEW,
        Kind::Bits(TIMESTAMPING),
        "SO_TIMESTAMPING with 64-bit times",
    ),
    row("SO_RCVTIMEO_NEW", libc::SO_RCVTIMEO_NEW, Kind::Duration, "SO_RCVTIMEO with 64-bit times")
        .at(Moment::Connection),
    row("SO_SNDTIMEO_NEW", libc::SO_SNDTIMEO_NEW, Kind::Duration, "SO_SNDTIMEO with 64-bit times")
        .at(Moment::Connection),
    row(
        "SO_DETACH_REUSEPORT_BPF",
        libc::SO_DETACH_REUSEPORT_BPF,
        Kind::Flag,
        "remove the program that picks a socket of the SO_REUSEPORT group",
    )
    .set()
    .on(Sockets::INET),
    row(
        "SO_PREFER_BUSY_POLL",
        libc::SO_PREFER_BUSY_POLL,
        Kind::Flag,
        "poll the network card rather than take its interrupts",
    )
    .on(Sockets::INET)
    .needs("CAP_NET_ADMIN"),
    row(
        "SO_BUSY_POLL_BUDGET",
        libc::SO_BUSY_POLL_BUDGET,
        Kind::Int,
        "packets taken at most in one poll of the network card",
    )
    .set()
    .on(Sockets::INET)
    .range(0, 65535)
    .needs("CAP_NET_ADMIN"),
    row("SO_NETNS_COOKIE", 71, Kind::Wide, "a number no other network namespace has").get(),
    row(
        "SO_BUF_LOCK",
        72,
        Kind::Bits(LOCKS),
        "which buffer sizes the kernel no longer tunes by itself",
    ),
    row("SO_RESERVE_MEM", 73, Kind::Size, "memory set aside for this socket").on(Sockets::INET),
    row("SO_TXREHASH", 74, Kind::Flag, "try another path after retransmissions")
        .on(Sockets::TCP)
        .sysctl("net.core.txrehash"),
    row("SO_RCVMARK", 75, Kind::Flag, "receive the mark of each datagram")
        .on(Sockets::INET)
        .needs("CAP_NET_ADMIN or CAP_NET_RAW"),
    row(
        "SO_PASSPIDFD",
        76,
        Kind::Flag,
        "receive a descriptor of the sending process with each message",
    )
    .on(Sockets::UNIX),
    row("SO_RCVPRIORITY", 82, Kind::Flag, "receive the priority of each datagram")
        .on(Sockets::INET),
    row("SO_PASSRIGHTS", 83, Kind::Flag, "accept descriptors sent with a message")
        .on(Sockets::UNIX),
    row("SO_INQ", 84, Kind::Flag, "receive the count of bytes still queued with each message")
        .set()
        .on(Sockets::UNIX),
];
