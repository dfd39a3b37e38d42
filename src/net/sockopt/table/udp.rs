//! `IPPROTO_UDP`, udp(7).

use super::super::row::{Kind, Level, Moment, Row, Sockets};

const fn row(name: &'static str, number: i32, kind: Kind, meaning: &'static str) -> Row {
    Row::new(Level::Udp, name, number, kind, meaning).on(Sockets::UDP)
}

const ENCAP: &[(&str, i32)] = &[
    ("none", 0),
    ("espinudp_non_ike", 1),
    ("espinudp", 2),
    ("l2tpinudp", 3),
    ("gtp0", 4),
    ("gtp1u", 5),
    ("rxrpc", 6),
    ("espintcp", 7),
];

pub(super) static ROWS: &[Row] = &[
    row("UDP_CORK", 1, Kind::Flag, "gather what is sent into one datagram until switched off")
        .at(Moment::Connection),
    row("UDP_ENCAP", 100, Kind::Names(ENCAP), "datagrams carry another protocol (IPsec, L2TP)"),
    row("UDP_NO_CHECK6_TX", 101, Kind::Flag, "send over IPv6 without a checksum"),
    row("UDP_NO_CHECK6_RX", 102, Kind::Flag, "accept IPv6 datagrams without a checksum"),
    row("UDP_SEGMENT", 103, Kind::Size, "cut what is sent into datagrams of this size; 0 is off")
        .range(0, 65535),
    row("UDP_GRO", 104, Kind::Flag, "receive several datagrams of one sender at once"),
];
