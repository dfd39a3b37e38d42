//! `IPPROTO_TCP`, tcp(7). A table, hence its length.

use super::super::row::{Field, Kind, Level, Moment, Row, Sockets};
use super::{byte, half, long, word};

const fn row(name: &'static str, number: i32, kind: Kind, meaning: &'static str) -> Row {
    Row::new(Level::Tcp, name, number, kind, meaning).on(Sockets::TCP)
}

/// struct `tcp_info`; an older kernel gives fewer fields.
const INFO: &[Field] = &[
    byte("state"),
    byte("ca_state"),
    byte("retransmits"),
    byte("probes"),
    byte("backoff"),
    byte("options"),
    byte("wscale"),
    byte("flags"),
    word("rto"),
    word("ato"),
    word("snd_mss"),
    word("rcv_mss"),
    word("unacked"),
    word("sacked"),
    word("lost"),
    word("retrans"),
    word("fackets"),
    word("last_data_sent"),
    word("last_ack_sent"),
    word("last_data_recv"),
    word("last_ack_recv"),
    word("pmtu"),
    word("rcv_ssthresh"),
    word("rtt"),
    word("rttvar"),
    word("snd_ssthresh"),
    word("snd_cwnd"),
    word("advmss"),
    word("reordering"),
    word("rcv_rtt"),
    word("rcv_space"),
    word("total_retrans"),
    long("pacing_rate"),
    long("max_pacing_rate"),
    long("bytes_acked"),
    long("bytes_received"),
    word("segs_out"),
    word("segs_in"),
    word("notsent_bytes"),
    word("min_rtt"),
    word("data_segs_in"),
    word("data_segs_out"),
    long("delivery_rate"),
    long("busy_time"),
    long("rwnd_limited"),
    long("sndbuf_limited"),
    word("delivered"),
    word("delivered_ce"),
    long("bytes_sent"),
    long("bytes_retrans"),
    word("dsack_dups"),
    word("reord_seen"),
    word("rcv_ooopack"),
    word("snd_wnd"),
    word("rcv_wnd"),
    word("rehash"),
    half("total_rto"),
    half("total_rto_recoveries"),
    word("total_rto_time"),
];

const REPAIR_WINDOW: &[Field] =
    &[word("snd_wl1"), word("snd_wnd"), word("max_window"), word("rcv_wnd"), word("rcv_wup")];

const REPAIR: &[(&str, i32)] = &[("off_no_wp", -1), ("off", 0), ("on", 1)];

const QUEUES: &[(&str, i32)] = &[("none", 0), ("recv", 1), ("send", 2)];

const INT_MAX: i64 = i32::MAX as i64;

pub(super) static ROWS: &[Row] = &[
    row("TCP_NODELAY", 1, Kind::Flag, "send small pieces at once (no Nagle algorithm)")
        .at(Moment::Connection),
    row("TCP_MAXSEG", 2, Kind::Size, "largest segment; 536 before a connection knows better")
        .at(Moment::Open)
        .range(88, 32767),
    row("TCP_CORK", 3, Kind::Flag, "send full segments only, for 200 ms at most")
        .at(Moment::Connection),
    row("TCP_KEEPIDLE", 4, Kind::Seconds, "quiet time before the first keepalive probe")
        .at(Moment::Connection)
        .sysctl("net.ipv4.tcp_keepalive_time")
        .range(1, 32767),
    row("TCP_KEEPINTVL", 5, Kind::Seconds, "time between keepalive probes")
        .at(Moment::Connection)
        .sysctl("net.ipv4.tcp_keepalive_intvl")
        .range(1, 32767),
    row("TCP_KEEPCNT", 6, Kind::Int, "unanswered keepalive probes that end a connection")
        .at(Moment::Connection)
        .sysctl("net.ipv4.tcp_keepalive_probes")
        .range(1, 127),
    row("TCP_SYNCNT", 7, Kind::Int, "SYN retransmissions before connect gives up")
        .at(Moment::Open)
        .sysctl("net.ipv4.tcp_syn_retries")
        .range(1, 127),
    row("TCP_LINGER2", 8, Kind::Seconds, "time in FIN_WAIT2 after close; -1 is none")
        .at(Moment::Connection)
        .sysctl("net.ipv4.tcp_fin_timeout"),
    row("TCP_DEFER_ACCEPT", 9, Kind::Seconds, "accept a connection only once it has sent data")
        .at(Moment::Open),
    row("TCP_WINDOW_CLAMP", 10, Kind::Size, "largest window offered; 0 is no limit")
        .at(Moment::Open),
    row("TCP_INFO", 11, Kind::Record(INFO), "the state of the connection; times in µs, some in ms")
        .get(),
    row("TCP_QUICKACK", 12, Kind::Flag, "acknowledge at once; the kernel may change it again")
        .at(Moment::Connection),
    row("TCP_CONGESTION", 13, Kind::Text, "congestion control algorithm")
        .sysctl("net.ipv4.tcp_congestion_control")
        .needs("CAP_NET_ADMIN"),
    row("TCP_MD5SIG", 14, Kind::Bytes, "MD5 signature key for a peer (RFC 2385)")
        .set()
        .at(Moment::Open),
    row("TCP_THIN_LINEAR_TIMEOUTS", 16, Kind::Flag, "retransmit a thin stream without backing off")
        .at(Moment::Connection)
        .sysctl("net.ipv4.tcp_thin_linear_timeouts"),
    row(
        "TCP_THIN_DUPACK",
        17,
        Kind::Flag,
        "once: retransmit after one duplicate ACK; does nothing",
    )
    .at(Moment::Connection),
    row(
        "TCP_USER_TIMEOUT",
        18,
        Kind::Millis,
        "how long sent data may stay unacknowledged; 0 is the default",
    )
    .at(Moment::Connection)
    .range(0, INT_MAX),
    row(
        "TCP_REPAIR",
        19,
        Kind::Names(REPAIR),
        "take over a connection's state (checkpoint and restore)",
    )
    .at(Moment::Connection)
    .needs("CAP_NET_ADMIN"),
    row(
        "TCP_REPAIR_QUEUE",
        20,
        Kind::Names(QUEUES),
        "the queue that TCP_QUEUE_SEQ is about; under TCP_REPAIR",
    )
    .at(Moment::Connection),
    row("TCP_QUEUE_SEQ", 21, Kind::Unsigned, "sequence number of the queue; under TCP_REPAIR")
        .at(Moment::Connection),
    row("TCP_REPAIR_OPTIONS", 22, Kind::Bytes, "options of the connection; under TCP_REPAIR")
        .set()
        .at(Moment::Connection),
    row("TCP_FASTOPEN", 23, Kind::Int, "length of the queue for data in a SYN, on a listener")
        .at(Moment::Open)
        .sysctl("net.ipv4.tcp_fastopen")
        .range(0, INT_MAX),
    row("TCP_TIMESTAMP", 24, Kind::Unsigned, "clock of the timestamp option; set under TCP_REPAIR")
        .at(Moment::Connection),
    row(
        "TCP_NOTSENT_LOWAT",
        25,
        Kind::Unsigned,
        "unsent bytes above which the socket is not writable; 0 is the default",
    )
    .sysctl("net.ipv4.tcp_notsent_lowat"),
    row("TCP_CC_INFO", 26, Kind::Bytes, "the congestion control algorithm's own numbers").get(),
    row(
        "TCP_SAVE_SYN",
        27,
        Kind::Int,
        "keep each client's SYN: 1 from the IP header, 2 from the link's",
    )
    .at(Moment::Open)
    .range(0, 2),
    row("TCP_SAVED_SYN", 28, Kind::Bytes, "the client's SYN; reading frees it").get(),
    row(
        "TCP_REPAIR_WINDOW",
        29,
        Kind::Record(REPAIR_WINDOW),
        "window of the connection; under TCP_REPAIR",
    )
    .at(Moment::Connection),
    row(
        "TCP_FASTOPEN_CONNECT",
        30,
        Kind::Flag,
        "connect waits for the first data and sends it in the SYN",
    )
    .at(Moment::Open),
    row("TCP_ULP", 31, Kind::Text, "protocol on top, done by the kernel (tls)")
        .at(Moment::Connection)
        .sysctl("net.ipv4.tcp_available_ulp"),
    row("TCP_MD5SIG_EXT", 32, Kind::Bytes, "MD5 signature key for a network of peers")
        .set()
        .at(Moment::Open),
    row(
        "TCP_FASTOPEN_KEY",
        33,
        Kind::Bytes,
        "key of the fast open cookies: 16 bytes, or 32 with a backup",
    )
    .at(Moment::Open)
    .sysctl("net.ipv4.tcp_fastopen_key"),
    row("TCP_FASTOPEN_NO_COOKIE", 34, Kind::Flag, "fast open without a cookie").at(Moment::Open),
    row("TCP_INQ", 36, Kind::Flag, "receive the count of bytes still queued with each read")
        .at(Moment::Connection),
    row("TCP_TX_DELAY", 37, Kind::Micros, "hold back every sent segment for so long")
        .at(Moment::Connection)
        .range(0, (1 << 28) - 1),
    row("TCP_AO_ADD_KEY", 38, Kind::Bytes, "add a TCP-AO key (RFC 5925)").set().at(Moment::Open),
    row("TCP_AO_DEL_KEY", 39, Kind::Bytes, "delete a TCP-AO key").set().at(Moment::Open),
    row("TCP_AO_INFO", 40, Kind::Bytes, "TCP-AO counters and current keys").at(Moment::Open),
    row("TCP_AO_REPAIR", 42, Kind::Bytes, "TCP-AO state; under TCP_REPAIR").at(Moment::Connection),
    row("TCP_IS_MPTCP", 43, Kind::Flag, "whether this is a subflow of Multipath TCP").get(),
    row("TCP_RTO_MAX_MS", 44, Kind::Millis, "longest time between retransmissions")
        .at(Moment::Connection)
        .sysctl("net.ipv4.tcp_rto_max_ms")
        .range(1000, 120_000),
    row("TCP_RTO_MIN_US", 45, Kind::Micros, "shortest time before a retransmission")
        .at(Moment::Connection)
        .sysctl("net.ipv4.tcp_rto_min_us")
        .range(1, 200_000),
    row("TCP_DELACK_MAX_US", 46, Kind::Micros, "longest delay of an acknowledgement")
        .at(Moment::Connection)
        .range(1, 200_000),
];
