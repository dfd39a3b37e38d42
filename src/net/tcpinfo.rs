//! `TCP_INFO`, tcp(7): what the kernel knows of a TCP connection, in the few numbers that explain
//! why it is slow.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use serde::Serialize;

use super::quantity;
use super::raw;
use super::sockopt::{self, Value};

/// How a connection fares. A number that this kernel does not give is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TcpInfo {
    /// Smoothed round-trip time, µs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// Its mean deviation, µs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rttvar_us: Option<u64>,
    /// The least round-trip time seen, µs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rtt_us: Option<u64>,
    /// Congestion window, segments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwnd: Option<u64>,
    /// What a segment holds at most, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss: Option<u64>,
    /// Segments sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u64>,
    /// Segments sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segments: Option<u64>,
    /// The rate at which the peer got what we sent, bytes a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_rate: Option<u64>,
}

impl TcpInfo {
    /// Reads it off a TCP socket; ENOTSUP (UNIX sockets) and the like are the caller's to tell.
    pub fn read(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let row = sockopt::lookup("TCP_INFO").map_err(io::Error::other)?;
        let bytes = raw::getsockopt(socket, row.level.number(), row.number, row.kind.room())?;
        Ok(Self::of(&Value::decode(row.kind, &bytes)))
    }

    /// The numbers of the whole record.
    pub fn of(record: &Value) -> Self {
        let Value::Record(fields) = record else {
            return Self::default();
        };
        let field = |name: &str| {
            let found = fields.iter().find(|(field, _)| *field == name);
            found.and_then(|(_, number)| u64::try_from(*number).ok())
        };
        Self {
            rtt_us: field("rtt"),
            rttvar_us: field("rttvar"),
            min_rtt_us: field("min_rtt"),
            cwnd: field("snd_cwnd"),
            mss: field("snd_mss"),
            retransmits: field("total_retrans"),
            segments: field("segs_out"),
            delivery_rate: field("delivery_rate"),
        }
    }
}

/// The states of tcp(7), by the kernel's numbers.
const STATES: [&str; 13] = [
    "?",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
];

/// The states of congestion control (`tcp_ca_state`).
const CONTROL: [&str; 5] = ["open", "disorder", "cwr", "recovery", "loss"];

/// What was agreed on in the handshake (`TCPI_OPT_…`), by bits.
const AGREED: [&str; 7] =
    ["timestamps", "sack", "wscale", "ecn", "ecn_seen", "syn_data", "usec_ts"];

/// A state as the kernel names it.
pub fn state(number: u8) -> &'static str {
    STATES.get(usize::from(number)).copied().unwrap_or("?")
}

/// A field of `struct tcp_info` for people: with its unit, or by name.
pub fn field(name: &str, number: i128) -> String {
    let count = u64::try_from(number).unwrap_or(u64::MAX);
    let of = |names: &[&str]| {
        let name = usize::try_from(count).ok().and_then(|at| names.get(at).copied());
        name.map_or_else(|| number.to_string(), str::to_owned)
    };
    match name {
        "state" => of(&STATES),
        "ca_state" => of(&CONTROL),
        "options" => {
            let agreed = AGREED.iter().enumerate();
            let agreed = agreed.filter(|(bit, _)| count >> bit & 1 == 1);
            agreed.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
        }
        // Two numbers of four bits: the windows' scales, ours in the lower.
        "wscale" => format!("2^{} sent, 2^{} received", count & 15, count >> 4),
        "min_rtt" if count == u64::from(u32::MAX) => "none yet".into(),
        "rto" | "ato" | "rtt" | "rttvar" | "rcv_rtt" | "min_rtt" | "busy_time" | "rwnd_limited"
        | "sndbuf_limited" => format!("{}.{:03} ms", count / 1000, count % 1000),
        "last_data_sent" | "last_ack_sent" | "last_data_recv" | "last_ack_recv"
        | "total_rto_time" => format!("{count} ms"),
        "snd_ssthresh" if count >= i32::MAX as u64 => "none".into(),
        "pacing_rate" | "max_pacing_rate" if count == u64::MAX => "unlimited".into(),
        "pacing_rate" | "max_pacing_rate" | "delivery_rate" => {
            format!("{}/s", quantity::bytes(count))
        }
        "snd_mss" | "rcv_mss" | "pmtu" | "advmss" | "rcv_ssthresh" | "rcv_space"
        | "notsent_bytes" | "bytes_acked" | "bytes_received" | "bytes_sent" | "bytes_retrans"
        | "snd_wnd" | "rcv_wnd" => format!("{count} bytes"),
        "snd_cwnd" | "snd_ssthresh" | "unacked" | "sacked" | "lost" | "retrans" | "fackets"
        | "reordering" | "total_retrans" | "segs_out" | "segs_in" | "data_segs_in"
        | "data_segs_out" | "delivered" | "delivered_ce" | "rcv_ooopack" => {
            format!("{count} segments")
        }
        _ => count.to_string(),
    }
}

/// `rtt 0.045 ms (±0.012, least 0.031), 0 of 12 segments retransmitted, cwnd 10 × 1448 bytes,
/// delivery 1.2 MiB/s`.
impl fmt::Display for TcpInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: Option<u64>| {
            us.map_or_else(|| "?".to_string(), |us| format!("{}.{:03}", us / 1000, us % 1000))
        };
        let count = |n: Option<u64>| n.map_or_else(|| "?".to_string(), |n| n.to_string());
        let rate = self.delivery_rate;
        write!(
            f,
            "rtt {} ms (±{}, least {}), {} of {} segments retransmitted, cwnd {} × {} bytes, \
             delivery {}/s",
            ms(self.rtt_us),
            ms(self.rttvar_us),
            ms(self.min_rtt_us),
            count(self.retransmits),
            count(self.segments),
            count(self.cwnd),
            count(self.mss),
            rate.map_or_else(|| "?".to_string(), quantity::bytes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn each_field_has_its_unit() {
        for (name, number, told) in [
            ("state", 1, "ESTABLISHED"),
            ("state", 99, "99"),
            ("ca_state", 3, "recovery"),
            ("options", 7, "timestamps sack wscale"),
            ("wscale", 0x7a, "2^10 sent, 2^7 received"),
            ("rtt", 45, "0.045 ms"),
            ("min_rtt", u32::MAX.into(), "none yet"),
            ("last_data_sent", 12, "12 ms"),
            ("snd_cwnd", 10, "10 segments"),
            ("snd_mss", 1448, "1448 bytes"),
            ("delivery_rate", 1_258_292, "1.2 MiB/s"),
            ("max_pacing_rate", u64::MAX.into(), "unlimited"),
            ("probes", 2, "2"),
        ] {
            assert_eq!(field(name, number), told, "{name}");
        }
    }

    #[test]
    fn units_are_told_and_what_is_missing_is_a_question_mark() {
        let record = Value::Record(vec![
            ("rtt", 45),
            ("rttvar", 12_003),
            ("min_rtt", 4_000_031),
            ("snd_cwnd", 10),
            ("snd_mss", 1448),
            ("total_retrans", 1),
            ("segs_out", 12),
            ("delivery_rate", 1_258_292),
        ]);
        assert_eq!(
            TcpInfo::of(&record).to_string(),
            "rtt 0.045 ms (±12.003, least 4000.031), 1 of 12 segments retransmitted, \
             cwnd 10 × 1448 bytes, delivery 1.2 MiB/s"
        );
        assert_eq!(
            TcpInfo::default().to_string(),
            "rtt ? ms (±?, least ?), ? of ? segments retransmitted, cwnd ? × ? bytes, delivery ?/s"
        );
    }

    #[test]
    fn a_connection_on_loopback_has_a_window_and_no_retransmits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let info = TcpInfo::read(stream.as_fd()).unwrap();
        assert!(info.rtt_us.is_some_and(|us| us < 1_000_000), "{info:?}");
        assert!(info.cwnd.is_some_and(|segments| segments > 0), "{info:?}");
        assert_eq!(info.retransmits, Some(0));
        let (unix, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        TcpInfo::read(unix.as_fd()).unwrap_err();
    }
}
