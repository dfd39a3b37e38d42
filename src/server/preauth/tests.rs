//! Which connection is evicted, and when; penalties, and when they end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok();
    assert!(address.is_some(), "{text} is no address");
    address
}

/// `10.0.x.y`, a different one for each number.
fn nth(n: u16) -> Option<IpAddr> {
    let [high, low] = n.to_be_bytes();
    ip(&format!("10.0.{high}.{low}"))
}

fn later(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

fn id(number: u64) -> Id {
    let slot = usize::try_from(number).unwrap();
    Id { number, slot }
}

/// The limits at work, and what it holds by the numbers of the connections.
struct Limited {
    limits: PreAuthLimits,
    now: Instant,
}

impl Limited {
    fn new() -> Self {
        Self { limits: PreAuthLimits::new(true, 1000), now: Instant::now() }
    }

    /// One comes from there, a millisecond after what was before.
    fn comes(&mut self, number: u64, from: Option<IpAddr>) {
        self.now = later(self.now, 1);
        self.limits.add(id(number), from, self.now);
    }

    fn speaks(&mut self, number: u64, shows_key: bool) {
        self.now = later(self.now, 1);
        self.limits.heard(id(number), shows_key, self.now);
    }

    /// Those that are evicted once all graces are over.
    fn closes(&mut self) -> Vec<u64> {
        self.now += LOGIN_GRACE;
        self.closes_now()
    }

    fn closes_now(&mut self) -> Vec<u64> {
        let mut closed = Vec::new();
        while let Some(victim) = self.limits.next_eviction(self.now) {
            self.limits.leave(victim);
            closed.push(victim.number);
        }
        closed
    }

    fn wrong_proof(&mut self, number: u64, from: Option<IpAddr>) -> Duration {
        self.limits.wrong_proof(id(number), from, self.now)
    }
}

const NONE: [u64; 0] = [];

#[test]
fn row_57_the_ninth_from_an_address_replaces_its_longest_silent() {
    let mut limits = Limited::new();
    (0..8).for_each(|number| limits.comes(number, nth(1)));
    limits.comes(100, nth(2));
    assert_eq!(limits.closes(), NONE);
    limits.speaks(0, false);
    limits.comes(8, nth(1));
    assert_eq!(limits.closes(), [1]);
    limits.comes(9, nth(1));
    assert_eq!(limits.closes(), [2]);
    limits.limits.leave(id(0));
    limits.comes(10, nth(1));
    assert_eq!(limits.closes(), NONE);
}

#[test]
fn row_57_during_the_grace_of_a_newcomer_none_is_evicted() {
    let mut limits = Limited::new();
    (0..500).for_each(|number| limits.comes(number, nth(1)));
    // Half of them have had their quarter of a second: 8 count, and the first are evicted.
    let closed: Vec<u64> = (0..250 - 8).collect();
    assert_eq!(limits.closes_now(), closed);
    let until = limits.now + Duration::from_millis(1);
    assert_eq!(limits.limits.deadline(), Deadline::at(until));
    // A connection that proves its key within it has left before it is looked at.
    limits.limits.leave(id(499));
    let closed: Vec<u64> = (250 - 8..499 - 8).collect();
    assert_eq!(limits.closes(), closed);
    assert_eq!(limits.limits.deadline(), Deadline::NEVER);
}

#[test]
fn row_57_more_newcomers_than_have_room_shorten_the_grace() {
    let mut limits = Limited::new();
    (0..1010).for_each(|number| limits.limits.add(id(number), nth(1), limits.now));
    assert_eq!(limits.closes_now(), [0, 1]);
    assert_eq!(limits.limits.in_grace.len(), 1000);
}

#[test]
fn row_57_a_connection_that_has_shown_a_key_is_evicted_last() {
    let mut limits = Limited::new();
    limits.comes(0, nth(1));
    limits.speaks(0, true);
    (1..8).for_each(|number| limits.comes(number, nth(1)));
    assert_eq!(limits.closes(), NONE);
    for number in 8..100 {
        limits.comes(number, nth(1));
        assert_eq!(limits.closes(), [number - 7]);
    }
    // Among those who have, it is the longest silent again.
    (93..100).for_each(|number| limits.speaks(number, true));
    limits.comes(100, nth(1));
    assert_eq!(limits.closes(), [0]);
}

#[test]
fn row_57_the_65th_replaces_the_longest_silent_its_own_address_first() {
    let mut limits = Limited::new();
    for number in 0..64 {
        limits.comes(number.into(), nth(number));
    }
    assert_eq!(limits.closes(), NONE);
    // Its address holds number 40: that goes, though others are silent for longer.
    limits.comes(64, nth(40));
    assert_eq!(limits.closes(), [40]);
    limits.speaks(0, false);
    limits.comes(65, nth(500));
    assert_eq!(limits.closes(), [1]);
}

#[test]
fn of_equally_silent_ones_the_first_goes_and_never_the_newcomer() {
    let mut limits = Limited::new();
    (0..10).for_each(|number| limits.limits.add(id(number), nth(1), limits.now));
    assert_eq!(limits.closes(), [0, 1]);
}

#[test]
fn an_ipv6_network_and_a_mapped_address_count_as_one() {
    let mut limits = Limited::new();
    for number in 0..8 {
        limits.comes(number, ip(&format!("2001:db8:0:1:{number}::1")));
    }
    limits.comes(8, ip("2001:db8:0:1:ffff::"));
    limits.comes(9, ip("2001:db8:0:2::1"));
    assert_eq!(limits.closes(), [0]);
    (10..18).for_each(|number| limits.comes(number, ip("192.0.2.1")));
    limits.comes(18, ip("::ffff:192.0.2.1"));
    limits.comes(19, ip("::ffff:192.0.2.2"));
    assert_eq!(limits.closes(), [10]);
}

#[test]
fn unix_peers_are_limited_in_all_only() {
    let mut limits = Limited::new();
    (0..64).for_each(|number| limits.comes(number, None));
    assert_eq!(limits.closes(), NONE);
    limits.comes(64, None);
    assert_eq!(limits.closes(), [0]);
    for _ in 0..20 {
        assert_eq!(limits.wrong_proof(64, None), Duration::ZERO);
    }
    limits.comes(65, None);
    assert_eq!(limits.closes(), [1]);
}

#[test]
fn after_five_wrong_proofs_in_a_minute_verdicts_come_late() {
    let start = Instant::now();
    let wrong = |limits: &mut PreAuthLimits, from, millis| {
        limits.wrong_proof(id(0), from, later(start, millis))
    };
    let mut limits = PreAuthLimits::new(true, 0);
    for second in 0..5 {
        assert_eq!(wrong(&mut limits, nth(1), second * 1000), Duration::ZERO);
    }
    assert_eq!(wrong(&mut limits, nth(2), 5000), Duration::ZERO);
    assert_eq!(wrong(&mut limits, nth(1), 5000), PENALTY_DELAY);
    // Those of seconds 1 to 5 count until the first of them is a minute old.
    assert_eq!(wrong(&mut limits, nth(1), 60_999), PENALTY_DELAY);
    let mut limits = PreAuthLimits::new(true, 0);
    for _ in 0..5 {
        wrong(&mut limits, nth(1), 0);
    }
    assert_eq!(wrong(&mut limits, nth(1), 60_000), Duration::ZERO);
}

#[test]
fn an_address_under_penalty_holds_one_at_a_time() {
    let mut limits = Limited::new();
    (0..6).for_each(|number| limits.comes(number, nth(1)));
    limits.comes(50, nth(2));
    assert_eq!(limits.closes(), NONE);
    for _ in 0..5 {
        limits.wrong_proof(5, nth(1));
    }
    limits.comes(6, nth(1));
    limits.comes(51, nth(2));
    assert_eq!(limits.closes(), [5, 0, 1, 2, 3, 4], "the one that was wrong first");
    limits.comes(7, nth(1));
    assert_eq!(limits.closes(), [6]);
    limits.now = later(limits.now, 60_000);
    limits.comes(8, nth(1));
    assert_eq!(limits.closes(), NONE);
}

#[test]
fn without_penalty_wrong_proofs_change_nothing() {
    let mut limits = Limited::new();
    limits.limits.penalty = false;
    for _ in 0..20 {
        assert_eq!(limits.wrong_proof(0, nth(1)), Duration::ZERO);
    }
    limits.comes(0, nth(1));
    limits.comes(1, nth(1));
    assert_eq!(limits.closes(), NONE);
}

#[test]
fn the_table_of_offenders_has_an_end() {
    let start = Instant::now();
    let mut limits = PreAuthLimits::new(true, 0);
    for n in 0..5000 {
        limits.wrong_proof(id(0), nth(n), later(start, n.into()));
        assert!(limits.offenders.len() <= MAX_OFFENDERS);
    }
    // The most recent ones are kept.
    for _ in 0..4 {
        limits.wrong_proof(id(0), nth(4999), later(start, 5000));
    }
    let delay = limits.wrong_proof(id(0), nth(4999), later(start, 5000));
    assert_eq!(delay, PENALTY_DELAY);
}

#[test]
fn a_connection_that_has_left_is_unknown() {
    let mut limits = Limited::new();
    limits.comes(1, nth(1));
    limits.limits.leave(id(1));
    limits.limits.leave(id(1));
    limits.speaks(1, false);
    assert_eq!(limits.closes(), NONE);
    assert!(limits.limits.pending.is_empty());
}

#[derive(Clone, Debug)]
enum Happening {
    Admit(Option<IpAddr>),
    Heard(usize),
    Leave(usize),
    WrongProof(Option<IpAddr>),
    Pass(u64),
}

fn source() -> impl Strategy<Value = Option<IpAddr>> {
    prop_oneof![
        4 => (0..4_u16).prop_map(nth),
        4 => (0..200_u16).prop_map(nth),
        1 => (0..4_u16).prop_map(|n| ip(&format!("2001:db8:0:{}::{n}", n % 2))),
        1 => Just(None),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => source().prop_map(Happening::Admit),
        4 => any::<usize>().prop_map(Happening::Heard),
        1 => any::<usize>().prop_map(Happening::Leave),
        2 => source().prop_map(Happening::WrongProof),
        2 => (0..20_000_u64).prop_map(Happening::Pass),
    ]
}

proptest! {
    #[test]
    fn the_limits_hold_whatever_happens(
        happenings in prop::collection::vec(happening(), 0..400),
        penalty in any::<bool>(),
        most in 0..20_usize,
    ) {
        let mut now = Instant::now();
        let mut limits = PreAuthLimits::new(penalty, most);
        let mut next = 0;
        // What the limits should hold: id, network, when it since, when last heard.
        let mut model: Vec<(Id, Option<IpAddr>, Instant, Option<Instant>)> = Vec::new();
        for happening in happenings {
            match happening {
                Happening::Pass(millis) => now = later(now, millis),
                Happening::Heard(n) if !model.is_empty() => {
                    let at = n % model.len();
                    model[at].3 = Some(now);
                    limits.heard(model[at].0, false, now);
                }
                Happening::Leave(n) if !model.is_empty() => {
                    limits.leave(model.remove(n % model.len()).0);
                }
                Happening::Heard(_) | Happening::Leave(_) => {}
                Happening::WrongProof(from) => {
                    let delay = limits.wrong_proof(id(u64::MAX >> 1), from, now);
                    prop_assert!(delay.is_zero() || (penalty && delay == PENALTY_DELAY));
                }
                Happening::Admit(from) => {
                    limits.add(id(next), from, now);
                    model.push((id(next), from.map(network), now, Some(now)));
                    next += 1;
                }
            }
            while let Some(victim) = limits.next_eviction(now) {
                let at = model.iter().position(|one| one.0 == victim).unwrap();
                let (_, of, since, heard) = model.remove(at);
                let heard_out = since + LOGIN_GRACE <= now;
                prop_assert!(heard_out || limits.in_grace.len() > most, "it was not heard");
                let counts = |one: &Id| limits.pending.iter().any(|pending| pending.id == *one);
                let longer = model.iter().any(|one| counts(&one.0) && one.1 == of && one.3 < heard);
                prop_assert!(!longer, "another was silent for longer");
                limits.leave(victim);
            }
            for one in &limits.pending {
                let same = limits.pending.iter().filter(|other| other.from == one.from).count();
                let most = if one.from.is_some() { MAX_PER_ADDRESS } else { MAX_PENDING };
                prop_assert!(same <= most);
            }
            prop_assert!(limits.pending.len() <= MAX_PENDING && limits.in_grace.len() <= most);
            prop_assert!(limits.in_grace.iter().all(|one| now < one.since + LOGIN_GRACE));
            let held = limits.pending.iter().chain(&limits.in_grace).map(|one| one.id);
            let expected: Vec<Id> = model.iter().map(|one| one.0).collect();
            prop_assert_eq!(held.collect::<Vec<_>>(), expected);
        }
    }
}
