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

/// `rtt 0.045 ms (±0.012, least 0.031), 0 of 12 segments retransmitted, cwnd 10 × 1448 bytes,
/// delivery 1.2 MiB/s`.
impl fmt::Display for TcpInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: Option<u64>| {
            us.map_or_else(
                || "?".to_string(),
                |us| format!("{}.{:03}", us / 1000, us % 1000),
            )
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
