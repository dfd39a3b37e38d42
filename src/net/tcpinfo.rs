//! `TCP_INFO` of tcp(7), decoded in one place: for `--tcp-info` the few numbers that explain why a
//! connection is slow, for `opts` all of them, and the byte counts of handed-off sockets.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::options::{self, Number, Value};
use super::quantity;
use super::raw;

/// A snapshot: the fields of `struct tcp_info` in the kernel's order. A field that this kernel does
/// not have is missing.
#[derive(Clone, Debug, Default)]
pub struct TcpInfo(Vec<(&'static str, Number)>);

/// The JSON of `--tcp-info`: key, field of the struct.
const SUMMARY: [(&str, &str); 8] = [
    ("rtt_us", "rtt"),
    ("rttvar_us", "rttvar"),
    ("min_rtt_us", "min_rtt"),
    ("cwnd", "snd_cwnd"),
    ("mss", "snd_mss"),
    ("retransmits", "total_retrans"),
    ("segments", "segs_out"),
    ("delivery_rate", "delivery_rate"),
];

/// `last_data_*` count ticks of at most this length, so they can be this much too large.
const TICK: Duration = Duration::from_millis(10);

/// Both sides have ended, or the connection was reset: `CLOSE`.
const CLOSED: Number = 7;
/// The peer has ended its side: `CLOSE_WAIT`, `LAST_ACK`, `CLOSING`, `TIME_WAIT`.
const PEER_ENDED: [Number; 4] = [8, 9, 11, 6];

impl TcpInfo {
    /// getsockopt(2), untraced. A socket that is not TCP is an error (ENOPROTOOPT, EOPNOTSUPP).
    pub fn read(socket: &impl AsFd) -> io::Result<Self> {
        let option = options::named("TCP_INFO")?;
        let (level, number, format) = (option.level, option.number, option.format);
        let bytes = raw::getsockopt(socket.as_fd(), level, number, format.room())?;
        match Value::decode(format, &bytes) {
            Value::Record(fields) => Ok(Self(fields)),
            _ => Ok(Self::default()),
        }
    }

    /// All fields.
    pub fn fields(&self) -> &[(&'static str, Number)] {
        &self.0
    }

    fn field(&self, name: &str) -> Option<Number> {
        self.0.iter().find_map(|(field, value)| (*field == name).then_some(*value))
    }

    fn count(&self, name: &str) -> Option<u64> {
        u64::try_from(self.field(name)?).ok()
    }

    /// The state as the kernel names it.
    pub fn state(&self) -> &'static str {
        let number = self.field("state").and_then(|number| usize::try_from(number).ok());
        number.and_then(|number| STATES.get(number)).copied().unwrap_or("?")
    }

    /// Whether the connection, which we dialled or accepted, was reset, also where the error was read
    /// already (by another process).
    pub fn is_reset(&self, is_dialled: bool) -> bool {
        // The kernel counts our FIN, and the SYN of one that we dialled, among the bytes that were
        // acknowledged, not among those sent.
        let syn = Number::from(is_dialled);
        let ended = |acked: Number| self.transmitted().map(|sent| acked - syn > sent);
        self.field("state") == Some(CLOSED)
            && self.field("bytes_acked").and_then(ended) == Some(false)
    }

    /// Payload bytes that arrived, read or not, on a connection that we dialled or accepted.
    pub fn received(&self, is_dialled: bool) -> Option<u64> {
        let state = self.field("state")?;
        let ended = PEER_ENDED.contains(&state) || (state == CLOSED && !self.is_reset(is_dialled));
        // The peer's FIN is counted as a byte.
        u64::try_from(self.field("bytes_received")? - Number::from(ended)).ok()
    }

    /// Payload bytes that were written, transmitted or not; unknown before Linux 4.19.
    pub fn sent(&self) -> Option<u64> {
        u64::try_from(self.transmitted()? + self.field("notsent_bytes")?).ok()
    }

    fn transmitted(&self) -> Option<Number> {
        Some(self.field("bytes_sent")? - self.field("bytes_retrans")?)
    }

    /// How long no payload has moved in either direction: a lower bound.
    pub fn quiet(&self) -> Option<Duration> {
        let last = self.count("last_data_sent")?.min(self.count("last_data_recv")?);
        Some(Duration::from_millis(last).saturating_sub(TICK))
    }
}

/// The summary, as `--tcp-info` writes it.
impl Serialize for TcpInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(SUMMARY.iter().filter_map(|(key, field)| Some((key, self.count(field)?))))
    }
}

/// `rtt 0.045 ms (±0.012, least 0.031), 0 of 12 segments retransmitted, cwnd 10 × 1448 bytes,
/// delivery 1.2 MiB/s`.
impl fmt::Display for TcpInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |field: &str, shown: &dyn Fn(u64) -> String| {
            self.count(field).map_or_else(|| "?".into(), shown)
        };
        let ms = |field| known(field, &|us| format!("{}.{:03}", us / 1000, us % 1000));
        let count = |field| known(field, &|count| count.to_string());
        write!(
            f,
            "rtt {} ms (±{}, least {}), {} of {} segments retransmitted, cwnd {} × {} bytes, \
             delivery {}/s",
            ms("rtt"),
            ms("rttvar"),
            ms("min_rtt"),
            count("total_retrans"),
            count("segs_out"),
            count("snd_cwnd"),
            count("snd_mss"),
            known("delivery_rate", &quantity::bytes),
        )
    }
}

/// The states of tcp(7), by the kernel's numbers.
#[rustfmt::skip]
const STATES: [&str; 13] = [
    "?", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
    "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV",
];

/// The states of congestion control (`tcp_ca_state`).
const CONTROL: [&str; 5] = ["open", "disorder", "cwr", "recovery", "loss"];

/// What was agreed on in the handshake (`TCPI_OPT_…`), by bits.
const AGREED: [&str; 7] =
    ["timestamps", "sack", "wscale", "ecn", "ecn_seen", "syn_data", "usec_ts"];

/// A field of `struct tcp_info` for people: with its unit, or as the name it stands for.
pub fn with_unit(name: &str, number: Number) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn each_field_has_its_unit() {
        for (name, number, shown) in [
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
            assert_eq!(with_unit(name, number), shown, "{name}");
        }
    }

    #[test]
    fn units_are_shown_and_what_is_missing_is_a_question_mark() {
        let info = TcpInfo(vec![
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
            info.to_string(),
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
        let info = TcpInfo::read(&stream).unwrap();
        assert!(info.count("rtt").is_some_and(|us| us < 1_000_000), "{info:?}");
        assert!(info.count("snd_cwnd").is_some_and(|segments| segments > 0), "{info:?}");
        assert_eq!((info.count("total_retrans"), info.state()), (Some(0), "ESTABLISHED"));
        let (unix, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        TcpInfo::read(&unix).unwrap_err();
    }
}
