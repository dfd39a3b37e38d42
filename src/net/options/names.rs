//! The names of an option's values and bits, and the fields of structs, for the table.

#![allow(clippy::enum_glob_use, clippy::wildcard_imports, reason = "the values are libc's constants of the same names")]

use libc::*;

use super::format::{Fields, Names, Width::*};

/// Values of `IP_MTU_DISCOVER` and `IPV6_MTU_DISCOVER`.
pub(super) const PMTUDISC: Names = &[
    ("dont", 0), ("want", 1), ("do", 2), ("probe", 3), ("interface", 4), ("omit", 5),
];

/// Values of `IP_TOS` and `IPV6_TCLASS`: the old names first, then the classes of DSCP.
pub(super) const TOS: Names = &[
    ("lowdelay", 0x10), ("throughput", 0x08), ("reliability", 0x04), ("mincost", 0x02),
    ("le", 0x04), ("cs1", 0x20), ("af11", 0x28), ("af12", 0x30), ("af13", 0x38), ("cs2", 0x40),
    ("af21", 0x48), ("af22", 0x50), ("af23", 0x58), ("cs3", 0x60), ("af31", 0x68), ("af32", 0x70),
    ("af33", 0x78), ("cs4", 0x80), ("af41", 0x88), ("af42", 0x90), ("af43", 0x98), ("cs5", 0xa0),
    ("va", 0xb0), ("ef", 0xb8), ("cs6", 0xc0), ("cs7", 0xe0),
];

/// Levels.
pub(super) const LEVELS: Names = &[
    ("SOL_SOCKET", SOL_SOCKET), ("IPPROTO_IP", IPPROTO_IP), ("IPPROTO_IPV6", IPPROTO_IPV6),
    ("IPPROTO_TCP", IPPROTO_TCP), ("IPPROTO_UDP", IPPROTO_UDP),
];

/// Types of sockets.
pub const TYPES: Names = &[
    ("SOCK_STREAM", SOCK_STREAM), ("SOCK_DGRAM", SOCK_DGRAM), ("SOCK_RAW", SOCK_RAW),
    ("SOCK_RDM", SOCK_RDM), ("SOCK_SEQPACKET", SOCK_SEQPACKET),
];

/// Families of addresses.
pub const DOMAINS: Names = &[
    ("AF_UNIX", AF_UNIX), ("AF_INET", AF_INET), ("AF_INET6", AF_INET6), ("AF_NETLINK", AF_NETLINK),
    ("AF_PACKET", AF_PACKET), ("AF_VSOCK", AF_VSOCK),
];

pub(super) const PROTOCOLS: Names = &[
    ("IPPROTO_ICMP", IPPROTO_ICMP), ("IPPROTO_TCP", IPPROTO_TCP), ("IPPROTO_UDP", IPPROTO_UDP),
    ("IPPROTO_ICMPV6", IPPROTO_ICMPV6), ("IPPROTO_SCTP", IPPROTO_SCTP),
    ("IPPROTO_UDPLITE", IPPROTO_UDPLITE), ("IPPROTO_RAW", IPPROTO_RAW),
    ("IPPROTO_MPTCP", IPPROTO_MPTCP),
];

pub(super) const TIMESTAMPING: Names = &[
    ("tx_hardware", 1), ("tx_software", 1 << 1), ("rx_hardware", 1 << 2), ("rx_software", 1 << 3),
    ("software", 1 << 4), ("sys_hardware", 1 << 5), ("raw_hardware", 1 << 6), ("opt_id", 1 << 7),
    ("tx_sched", 1 << 8), ("tx_ack", 1 << 9), ("opt_cmsg", 1 << 10), ("opt_tsonly", 1 << 11),
    ("opt_stats", 1 << 12), ("opt_pktinfo", 1 << 13), ("opt_tx_swhw", 1 << 14),
    ("bind_phc", 1 << 15), ("opt_id_tcp", 1 << 16), ("opt_rx_filter", 1 << 17),
    ("tx_completion", 1 << 18),
];

pub(super) const LOCKS: Names = &[("sndbuf", 1), ("rcvbuf", 2)];

pub(super) const CREDENTIALS: Fields = &[("pid", I32), ("uid", I32), ("gid", I32)];

pub(super) const MEMINFO: Fields = &[
    ("rmem_alloc", U32), ("rcvbuf", U32), ("wmem_alloc", U32), ("sndbuf", U32), ("fwd_alloc", U32),
    ("wmem_queued", U32), ("optmem", U32), ("backlog", U32), ("drops", U32),
];

pub(super) const TXTIME: Fields = &[("clockid", I32), ("flags", U32)];

pub(super) const ADDRFORM: Names = &[("AF_INET", AF_INET), ("AF_INET6", AF_INET6)];

pub(super) const PREFERENCES: Names = &[
    ("tmp", 0x0001), ("public", 0x0002), ("coa", 0x0004), ("cga", 0x0008),
    ("pubtmp_default", 0x0100), ("home", 0x0400), ("noncga", 0x0800),
];

/// struct `ip6_mtuinfo`: a `sockaddr_in6` and the MTU.
pub(super) const PATHMTU: Fields = &[
    ("family", U16), ("port", U16), ("flowinfo", U32), ("address_high", U64), ("address_low", U64),
    ("scope", U32), ("mtu", U32),
];

/// struct `tcp_info`; an older kernel gives fewer fields.
pub(super) const INFO: Fields = &[
    ("state", U8), ("ca_state", U8), ("retransmits", U8), ("probes", U8), ("backoff", U8),
    ("options", U8), ("wscale", U8), ("flags", U8), ("rto", U32), ("ato", U32), ("snd_mss", U32),
    ("rcv_mss", U32), ("unacked", U32), ("sacked", U32), ("lost", U32), ("retrans", U32),
    ("fackets", U32), ("last_data_sent", U32), ("last_ack_sent", U32), ("last_data_recv", U32),
    ("last_ack_recv", U32), ("pmtu", U32), ("rcv_ssthresh", U32), ("rtt", U32), ("rttvar", U32),
    ("snd_ssthresh", U32), ("snd_cwnd", U32), ("advmss", U32), ("reordering", U32),
    ("rcv_rtt", U32), ("rcv_space", U32), ("total_retrans", U32), ("pacing_rate", U64),
    ("max_pacing_rate", U64), ("bytes_acked", U64), ("bytes_received", U64), ("segs_out", U32),
    ("segs_in", U32), ("notsent_bytes", U32), ("min_rtt", U32), ("data_segs_in", U32),
    ("data_segs_out", U32), ("delivery_rate", U64), ("busy_time", U64), ("rwnd_limited", U64),
    ("sndbuf_limited", U64), ("delivered", U32), ("delivered_ce", U32), ("bytes_sent", U64),
    ("bytes_retrans", U64), ("dsack_dups", U32), ("reord_seen", U32), ("rcv_ooopack", U32),
    ("snd_wnd", U32), ("rcv_wnd", U32), ("rehash", U32), ("total_rto", U16),
    ("total_rto_recoveries", U16), ("total_rto_time", U32),
];

pub(super) const REPAIR_WINDOW: Fields = &[
    ("snd_wl1", U32), ("snd_wnd", U32), ("max_window", U32), ("rcv_wnd", U32), ("rcv_wup", U32),
];

pub(super) const REPAIR: Names = &[("off_no_wp", -1), ("off", 0), ("on", 1)];

pub(super) const QUEUES: Names = &[("none", 0), ("recv", 1), ("send", 2)];

pub(super) const ENCAP: Names = &[
    ("none", 0), ("espinudp_non_ike", 1), ("espinudp", 2), ("l2tpinudp", 3), ("gtp0", 4),
    ("gtp1u", 5), ("rxrpc", 6), ("espintcp", 7),
];

/// `IP_LOCAL_PORT_RANGE` is one int: `most << 16 | least`.
pub(super) const PORTS: Fields = if cfg!(target_endian = "little") {
    &[("least", U16), ("most", U16)]
} else {
    &[("most", U16), ("least", U16)]
};
