//! What the kernel counts for a TCP connection (`TCP_INFO` of tcp(7)): all there is to know of one
//! whose bytes somebody else moves.

use std::os::fd::AsFd;
use std::time::Duration;

use super::raw;
use super::socket::Socket;
use super::sockopt::{self, Number, Value};

/// The clock that `last_data_*` are told in ticks this often, and so may be this much too old.
const TICK: Duration = Duration::from_millis(10);

/// Nothing more can happen: both sides have ended, or the connection was reset.
const CLOSED: Number = 7;
/// The peer has ended its side: `CLOSE_WAIT`, `LAST_ACK`, `CLOSING`, `TIME_WAIT`.
const PEER_ENDED: [Number; 4] = [8, 9, 11, 6];

/// A snapshot.
pub struct Counts(Vec<(&'static str, Number)>);

impl Counts {
    /// Of this connection; `None` for one that is not TCP.
    pub fn of(socket: &Socket) -> Option<Self> {
        let row = sockopt::lookup("TCP_INFO").ok()?;
        let bytes =
            raw::getsockopt(socket.as_fd(), row.level.number(), row.number, row.kind.room());
        match Value::decode(row.kind, &bytes.ok()?) {
            Value::Record(fields) => Some(Self(fields)),
            _ => None,
        }
    }

    /// Whether it was reset, also where somebody has read that error already.
    pub fn is_reset(&self) -> bool {
        // The kernel counts our FIN among the bytes that were acknowledged, not among those sent.
        let ended = |acked: Number| self.sent_at_all().map(|sent| acked > sent);
        self.field("state") == Some(CLOSED)
            && self.field("bytes_acked").and_then(ended) == Some(false)
    }

    /// Payload bytes that arrived, read or not.
    pub fn received(&self) -> Option<u64> {
        let state = self.field("state")?;
        let ended = PEER_ENDED.contains(&state) || (state == CLOSED && !self.is_reset());
        // The peer's FIN is counted as a byte.
        let count = self.field("bytes_received")? - Number::from(ended);
        u64::try_from(count).ok()
    }

    /// Payload bytes that were written, sent or not; unknown before Linux 4.19.
    pub fn sent(&self) -> Option<u64> {
        let count = self.sent_at_all()? + self.field("notsent_bytes")?;
        u64::try_from(count).ok()
    }

    fn sent_at_all(&self) -> Option<Number> {
        Some(self.field("bytes_sent")? - self.field("bytes_retrans")?)
    }

    /// For how long no payload moved in either direction; never more than it was.
    pub fn quiet(&self) -> Option<Duration> {
        let last = self.field("last_data_sent")?.min(self.field("last_data_recv")?);
        let last = Duration::from_millis(u64::try_from(last).ok()?);
        Some(last.saturating_sub(TICK))
    }

    fn field(&self, name: &str) -> Option<Number> {
        let mut fields = self.0.iter();
        fields.find_map(|(field, value)| (*field == name).then_some(*value))
    }
}
