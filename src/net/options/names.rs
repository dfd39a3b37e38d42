//! The names of an option's values and bits, and the fields of structs, for the table.

#![allow(clippy::wildcard_imports, reason = "the values are libc's constants of the same names")]

use libc::*;

use super::row::{Field, Names};

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

pub(super) const TYPES: Names = &[
    ("SOCK_STREAM", SOCK_STREAM), ("SOCK_DGRAM", SOCK_DGRAM),
    ("SOCK_RAW", SOCK_RAW), ("SOCK_RDM", SOCK_RDM),
    ("SOCK_SEQPACKET", SOCK_SEQPACKET),
];

pub(super) const DOMAINS: Names = &[
    ("AF_UNIX", AF_UNIX), ("AF_INET", AF_INET), ("AF_INET6", AF_INET6),
    ("AF_NETLINK", AF_NETLINK), ("AF_PACKET", AF_PACKET), ("AF_VSOCK", AF_VSOCK),
];

pub(super) const PROTOCOLS: Names = &[
    ("IPPROTO_ICMP", IPPROTO_ICMP), ("IPPROTO_TCP", IPPROTO_TCP),
    ("IPPROTO_UDP", IPPROTO_UDP), ("IPPROTO_ICMPV6", IPPROTO_ICMPV6),
    ("IPPROTO_SCTP", IPPROTO_SCTP), ("IPPROTO_UDPLITE", IPPROTO_UDPLITE),
    ("IPPROTO_RAW", IPPROTO_RAW), ("IPPROTO_MPTCP", IPPROTO_MPTCP),
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

pub(super) const CREDENTIALS: &[Field] = &[signed("pid"), signed("uid"), signed("gid")];

pub(super) const MEMINFO: &[Field] = &[
    word("rmem_alloc"), word("rcvbuf"), word("wmem_alloc"), word("sndbuf"), word("fwd_alloc"),
    word("wmem_queued"), word("optmem"), word("backlog"), word("drops"),
];

pub(super) const TXTIME: &[Field] = &[signed("clockid"), word("flags")];

pub(super) const ADDRFORM: Names = &[("AF_INET", AF_INET), ("AF_INET6", AF_INET6)];

pub(super) const PREFERENCES: Names = &[
    ("tmp", 0x0001), ("public", 0x0002), ("coa", 0x0004), ("cga", 0x0008),
    ("pubtmp_default", 0x0100), ("home", 0x0400), ("noncga", 0x0800),
];

/// struct `ip6_mtuinfo`: a `sockaddr_in6` and the MTU.
pub(super) const PATHMTU: &[Field] = &[
    half("family"), half("port"), word("flowinfo"), long("address_high"), long("address_low"),
    word("scope"), word("mtu"),
];

/// struct `tcp_info`; an older kernel gives fewer fields.
pub(super) const INFO: &[Field] = &[
    byte("state"), byte("ca_state"), byte("retransmits"), byte("probes"), byte("backoff"),
    byte("options"), byte("wscale"), byte("flags"), word("rto"), word("ato"), word("snd_mss"),
    word("rcv_mss"), word("unacked"), word("sacked"), word("lost"), word("retrans"),
    word("fackets"), word("last_data_sent"), word("last_ack_sent"), word("last_data_recv"),
    word("last_ack_recv"), word("pmtu"), word("rcv_ssthresh"), word("rtt"), word("rttvar"),
    word("snd_ssthresh"), word("snd_cwnd"), word("advmss"), word("reordering"), word("rcv_rtt"),
    word("rcv_space"), word("total_retrans"), long("pacing_rate"), long("max_pacing_rate"),
    long("bytes_acked"), long("bytes_received"), word("segs_out"), word("segs_in"),
    word("notsent_bytes"), word("min_rtt"), word("data_segs_in"), word("data_segs_out"),
    long("delivery_rate"), long("busy_time"), long("rwnd_limited"), long("sndbuf_limited"),
    word("delivered"), word("delivered_ce"), long("bytes_sent"), long("bytes_retrans"),
    word("dsack_dups"), word("reord_seen"), word("rcv_ooopack"), word("snd_wnd"), word("rcv_wnd"),
    word("rehash"), half("total_rto"), half("total_rto_recoveries"), word("total_rto_time"),
];

pub(super) const REPAIR_WINDOW: &[Field] = &[
    word("snd_wl1"), word("snd_wnd"), word("max_window"), word("rcv_wnd"), word("rcv_wup"),
];

pub(super) const REPAIR: Names = &[("off_no_wp", -1), ("off", 0), ("on", 1)];

pub(super) const QUEUES: Names = &[("none", 0), ("recv", 1), ("send", 2)];

pub(super) const ENCAP: Names = &[
    ("none", 0), ("espinudp_non_ike", 1), ("espinudp", 2), ("l2tpinudp", 3), ("gtp0", 4),
    ("gtp1u", 5), ("rxrpc", 6), ("espintcp", 7),
];
/// `IP_LOCAL_PORT_RANGE` is one int: `most << 16 | least`.
pub(super) const PORTS: &[Field] = if cfg!(target_endian = "little") {
    &[half("least"), half("most")]
} else {
    &[half("most"), half("least")]
};

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
