//! Two servers that answer everything answer each other for ever once a datagram with a forged source
//! starts it (`DoS` loop, CVE-2024-2169). After [`MAX_REPEATS`] equal datagrams from one peer one stays
//! unanswered, which ends the loop and costs an honest client one answer.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::net::endpoint::Endpoint;
use crate::net::udp::{self, Envelope};

/// Services that answer whatever comes (RFC 862 to 868): echo, daytime, qotd, chargen, time. As with
/// inetd, what comes from their ports is not answered.
const REFLECTORS: [u16; 5] = [7, 13, 17, 19, 37];
/// After so many equal datagrams of a peer, none of them late, one is not answered. A loop on this
/// machine takes about a second for them.
const MAX_REPEATS: u32 = 1 << 15;
/// What comes so much later than the datagram before is no answer to ours.
const GAP: Duration = Duration::from_secs(1);
/// How much of a datagram is compared.
const PREFIX: usize = 64;
/// The most peers that are remembered.
const PEERS: usize = 4096;

/// What peers have sent lately.
pub(super) struct ReflectionGuard {
    local: Endpoint,
    /// The addresses of this machine, and when they were read.
    own: Option<(Instant, Vec<IpAddr>)>,
    /// By peer and datagram: how often it came, and when last.
    repeats: BTreeMap<u64, (u32, Instant)>,
}

impl ReflectionGuard {
    /// For a socket that is bound here.
    pub(super) fn new(local: Endpoint) -> Self {
        Self { local, own: None, repeats: BTreeMap::new() }
    }

    /// Why a datagram gets no answer, if it gets none.
    pub(super) fn unanswered(&mut self, envelope: &Envelope, bytes: &[u8]) -> Option<&'static str> {
        if self.is_ours(&envelope.from) {
            return Some("it is our own address");
        }
        if let Endpoint::Inet(inet) = &envelope.from
            && REFLECTORS.contains(&inet.port())
        {
            return Some("its port is that of a service that answers everything");
        }
        let now = Instant::now();
        let start = &bytes[..bytes.len().min(PREFIX)];
        // The seed is fixed: a forged collision costs its victim one answer at most.
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let key = hasher.hash_one((&envelope.from, bytes.len(), start));
        if self.repeats.len() >= PEERS && !self.repeats.contains_key(&key) {
            self.repeats.retain(|_, (count, last)| *count > 1 && now - *last < GAP);
            if self.repeats.len() >= PEERS {
                self.repeats.clear();
            }
        }
        let (count, last) = self.repeats.entry(key).or_insert((0, now));
        *count = if now - *last < GAP { *count + 1 } else { 1 };
        *last = now;
        if *count < MAX_REPEATS {
            return None;
        }
        *count = 0;
        Some("it may be returning our answers; one of them is left out")
    }

    /// Whether this is the address of our own socket.
    fn is_ours(&mut self, from: &Endpoint) -> bool {
        match (from, &self.local) {
            (Endpoint::Inet(from), Endpoint::Inet(local)) if from.port() == local.port() => {
                let (ip, own) = (from.ip(), local.ip());
                ip == own || own.is_unspecified() && (ip.is_loopback() || self.is_of_machine(ip))
            }
            (Endpoint::Unix(from), Endpoint::Unix(local)) => from == local && !from.is_empty(),
            _ => false,
        }
    }

    /// Whether an interface of this machine has this address. Reading them takes half a dozen system
    /// calls, and with mDNS, NTP or syslog every peer has our port.
    fn is_of_machine(&mut self, ip: IpAddr) -> bool {
        let now = Instant::now();
        if self.own.as_ref().is_none_or(|(read, _)| now - *read >= GAP) {
            self.own = Some((now, udp::all_addresses()));
        }
        self.own.as_ref().is_some_and(|(_, own)| own.contains(&ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Envelope {
        Envelope::to(Endpoint::parse(address).unwrap())
    }

    #[test]
    fn of_equal_datagrams_in_a_row_one_is_not_answered() {
        let mut guard = ReflectionGuard::new(Endpoint::parse("127.0.0.1:9").unwrap());
        let peer = from("127.0.0.1:5000");
        for turn in 1..=3 * MAX_REPEATS {
            let answered = guard.unanswered(&peer, b"x").is_none();
            assert_eq!(answered, turn % MAX_REPEATS != 0, "{turn}");
            // Others are not disturbed.
            assert_eq!(guard.unanswered(&peer, &turn.to_be_bytes()), None);
        }
        assert!(guard.repeats.len() <= PEERS);
    }

    #[test]
    fn our_own_address_is_not_answered() {
        let mut guard = ReflectionGuard::new(Endpoint::parse("0.0.0.0:9000").unwrap());
        for (address, answered) in
            [("127.0.0.1:9000", false), ("127.0.0.1:9001", true), ("192.0.2.1:9000", true)]
        {
            assert_eq!(guard.unanswered(&from(address), b"x").is_none(), answered, "{address}");
        }
        assert!(guard.unanswered(&from("192.0.2.1:7"), b"x").is_some());
        // Interfaces are not read for every datagram from our port.
        let read = guard.own.as_ref().unwrap().0;
        assert!((0..1000).all(|_| guard.unanswered(&from("192.0.2.1:9000"), b"x").is_none()));
        assert_eq!(guard.own.unwrap().0, read);
    }
}
