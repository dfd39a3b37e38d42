//! A bad network between the sides of a pair. Pure: no clock, no socket.
//!
//! | flag      | one direction of a pair                                                          |
//! |-----------|----------------------------------------------------------------------------------|
//! | `--delay` | a byte leaves that much after it came; so do FIN and a reset, behind the bytes   |
//! | `--rate`  | a byte takes its part of a second, and begins when the one before it has left    |
//! | `--cut`   | once so many bytes have left for the client, both sides are reset                |

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a link may hold, and what it holds at any rate.
const LINK_LIMIT: usize = 1 << 20;
const LINK_MIN: usize = 64 << 10;
/// How late the clock may be without a loss of rate: so much more than the delay is held.
const LATE: Duration = Duration::from_millis(250);
/// Bytes that leave together.
const PIECE: usize = 64 << 10;
/// What leaves within this time leaves together.
const TICK: Duration = Duration::from_millis(1);

/// What is wrong with the network, the same for all pairs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network {
    /// How much later a byte leaves than it came.
    pub delay: Duration,
    /// Bytes a second, not 0.
    pub rate: Option<u64>,
    /// Bytes from the target, after which both sides are reset.
    pub cut: Option<u64>,
}

/// How a direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In good order.
    Fin,
    /// By a reset.
    Reset,
}

/// What leaves a link.
#[derive(Debug, PartialEq, Eq)]
pub enum Departure {
    /// Bytes, of which there may be more.
    Bytes(Vec<u8>),
    /// The end behind all bytes.
    End(End),
    /// The bytes of `--cut` have left.
    Cut,
    /// Nothing until then; or nothing at all, before more comes.
    Later(Option<Instant>),
}

/// One direction of a pair: what is on its way to a side.
pub struct Link {
    network: Network,
    bytes: VecDeque<u8>,
    /// How the bytes came: when they may leave as far as the delay goes, and how many.
    arrivals: VecDeque<(Instant, usize)>,
    end: Option<(Instant, End)>,
    /// When the last byte had left, had each left in time.
    busy_until: Instant,
    /// The side has no room.
    is_blocked: bool,
    /// Its place among the relay's departures.
    pub armed: Option<Instant>,
}

impl Link {
    /// An empty one.
    pub fn new(network: Network, now: Instant) -> Self {
        let (bytes, arrivals) = (VecDeque::new(), VecDeque::new());
        Self {
            network,
            bytes,
            arrivals,
            end: None,
            busy_until: now,
            is_blocked: false,
            armed: None,
        }
    }

    /// Bytes have come.
    pub fn push(&mut self, bytes: &[u8], now: Instant) {
        self.bytes.extend(bytes);
        self.arrivals.push_back((now + self.network.delay, bytes.len()));
    }

    /// The end has come, behind all bytes; a reset replaces a FIN that has not left, and nothing a reset.
    pub fn end(&mut self, end: End, now: Instant) {
        if self.end.is_none_or(|(_, before)| before == End::Fin) {
            self.end = Some((now + self.network.delay, end));
        }
    }

    /// Whether no bytes are on their way.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether bytes or an end have not left.
    pub fn is_busy(&self) -> bool {
        !self.bytes.is_empty() || self.end.is_some()
    }

    /// Whether the side has no room.
    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Nothing leaves before the next call of [`Link::next`], as the side has no room; when a reset comes through
    /// all the same.
    pub fn block(&mut self) -> Option<Instant> {
        self.is_blocked = true;
        self.end.filter(|(_, end)| *end == End::Reset).map(|(at, _)| at)
    }

    /// Whether a reset has come through: the side's room does not matter any more.
    pub fn is_reset(&self, now: Instant) -> bool {
        self.end.is_some_and(|(at, end)| end == End::Reset && at <= now)
    }

    /// Whether no more is to be pushed, for now: it holds what leaves within the delay and a little longer, or
    /// [`LINK_LIMIT`].
    pub fn is_full(&self) -> bool {
        let held = self.bytes.len() + self.arrivals.len() * size_of::<(Instant, usize)>();
        held >= self.count(self.network.delay + LATE).clamp(LINK_MIN, LINK_LIMIT)
    }

    /// What leaves now. It is called again until it says [`Departure::Later`].
    pub fn next(&mut self, now: Instant) -> Departure {
        if self.network.cut == Some(0) {
            return Departure::Cut;
        }
        let count = self.leave(now);
        if count > 0 {
            if let Some(cut) = &mut self.network.cut {
                *cut -= count as u64;
            }
            let bytes = self.bytes.drain(..count).collect();
            if self.bytes.is_empty() {
                // An idle pair keeps no buffer.
                (self.bytes, self.arrivals) = (VecDeque::new(), VecDeque::new());
            }
            return Departure::Bytes(bytes);
        }
        if let Some(&(at, left)) = self.arrivals.front() {
            let count = self.count(TICK).clamp(1, left);
            return Departure::Later(Some(self.busy_until.max(at) + self.time(count)));
        }
        match self.end {
            Some((at, end)) if at <= now => {
                self.end = None;
                Departure::End(end)
            }
            end => Departure::Later(end.map(|(at, _)| at)),
        }
    }

    /// Takes the bytes that may leave now off their arrivals: how many.
    fn leave(&mut self, now: Instant) -> usize {
        // What a late clock has held up is made up for, what a full side has is not.
        if std::mem::take(&mut self.is_blocked) {
            self.busy_until = self.busy_until.max(now);
        }
        let cut = self.network.cut.map_or(PIECE, |cut| usize::try_from(cut).unwrap_or(PIECE));
        let mut most = cut.min(PIECE);
        let mut gone = 0;
        while let Some(&(at, left)) = self.arrivals.front()
            && at <= now
        {
            let begin = self.busy_until.max(at);
            let count = self.count(now.saturating_duration_since(begin)).min(left).min(most);
            if count == 0 {
                break;
            }
            self.busy_until = begin + self.time(count);
            (gone, most) = (gone + count, most - count);
            match self.arrivals.front_mut() {
                Some(first) if count < left => first.1 -= count,
                _ => drop(self.arrivals.pop_front()),
            }
        }
        gone
    }

    /// The bytes that leave within this time.
    fn count(&self, time: Duration) -> usize {
        let count = |rate| time.as_nanos().saturating_mul(u128::from(rate)) / 1_000_000_000;
        self.network
            .rate
            .map_or(usize::MAX, |rate| usize::try_from(count(rate)).unwrap_or(usize::MAX))
    }

    /// The time that so many bytes take, rounded up.
    fn time(&self, count: usize) -> Duration {
        let nanos = |rate| (1_000_000_000 * count as u128).div_ceil(u128::from(rate));
        let nanos = self.network.rate.map_or(0, nanos);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests;
