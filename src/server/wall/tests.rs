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

const NONE: [u64; 0] = [];

#[test]
fn row_57_the_ninth_from_an_address_replaces_its_longest_silent() {
    let start = Instant::now();
    let mut wall = Wall::new(true);
    for id in 0..8 {
        assert_eq!(wall.admit(id, nth(1), later(start, id)), NONE);
    }
    assert_eq!(wall.admit(100, nth(2), start), NONE);
    wall.heard(0, false, later(start, 50));
    assert_eq!(wall.admit(8, nth(1), later(start, 51)), [1]);
    assert_eq!(wall.admit(9, nth(1), later(start, 52)), [2]);
    wall.leave(0);
    assert_eq!(wall.admit(10, nth(1), later(start, 53)), NONE);
}

#[test]
fn row_57_whoever_has_shown_a_key_goes_last() {
    let start = Instant::now();
    let mut wall = Wall::new(true);
    assert_eq!(wall.admit(0, nth(1), start), NONE);
    wall.heard(0, true, start);
    for id in 1..8 {
        assert_eq!(wall.admit(id, nth(1), later(start, id)), NONE);
    }
    for id in 8..100 {
        assert_eq!(wall.next_victim(nth(1), later(start, id)), Some(id - 7));
        assert_eq!(wall.admit(id, nth(1), later(start, id)), [id - 7]);
    }
    // Among those who have, it is the longest silent again.
    for id in 93..100 {
        wall.heard(id, true, later(start, id));
    }
    assert_eq!(wall.admit(100, nth(1), later(start, 101)), [0]);
}

#[test]
fn row_57_the_65th_replaces_the_longest_silent_its_own_address_first() {
    let start = Instant::now();
    let mut wall = Wall::new(true);
    for id in 0..64 {
        assert_eq!(
            wall.admit(u64::from(id), nth(id), later(start, id.into())),
            NONE
        );
    }
    // Its address holds number 40: that goes, though others are silent for longer.
    assert_eq!(wall.admit(64, nth(40), later(start, 100)), [40]);
    wall.heard(0, false, later(start, 101));
    assert_eq!(wall.admit(65, nth(500), later(start, 102)), [1]);
}

#[test]
fn of_equally_silent_ones_the_first_goes_and_never_the_newcomer() {
    let now = Instant::now();
    let mut wall = Wall::new(true);
    for id in 0..8 {
        wall.admit(id, nth(1), now);
    }
    assert_eq!(wall.admit(8, nth(1), now), [0]);
    assert_eq!(wall.admit(9, nth(1), now), [1]);
}

#[test]
fn an_ipv6_network_and_a_mapped_address_count_as_one() {
    let now = Instant::now();
    let mut wall = Wall::new(true);
    for id in 0..8 {
        wall.admit(id, ip(&format!("2001:db8:0:1:{id}::1")), now);
    }
    assert_eq!(wall.admit(8, ip("2001:db8:0:1:ffff::"), now), [0]);
    assert_eq!(wall.admit(9, ip("2001:db8:0:2::1"), now), NONE);
    for id in 10..18 {
        wall.admit(id, ip("192.0.2.1"), now);
    }
    assert_eq!(wall.admit(18, ip("::ffff:192.0.2.1"), now), [10]);
    assert_eq!(wall.admit(19, ip("::ffff:192.0.2.2"), now), NONE);
}

#[test]
fn unix_peers_are_limited_in_all_only() {
    let now = Instant::now();
    let mut wall = Wall::new(true);
    for id in 0..64 {
        assert_eq!(wall.admit(id, None, now), NONE);
    }
    assert_eq!(wall.admit(64, None, now), [0]);
    for _ in 0..20 {
        assert_eq!(wall.wrong_proof(None, now), Duration::ZERO);
    }
    assert_eq!(wall.admit(65, None, now), [1]);
}

#[test]
fn after_five_wrong_proofs_in_a_minute_verdicts_come_late() {
    let start = Instant::now();
    let mut wall = Wall::new(true);
    for second in 0..5 {
        let now = later(start, second * 1000);
        assert_eq!(wall.wrong_proof(nth(1), now), Duration::ZERO);
    }
    assert_eq!(wall.wrong_proof(nth(2), later(start, 5000)), Duration::ZERO);
    assert_eq!(wall.wrong_proof(nth(1), later(start, 5000)), DELAY);
    // Those of seconds 1 to 5 count until the first of them is a minute old.
    assert_eq!(wall.wrong_proof(nth(1), later(start, 60_999)), DELAY);
    let mut wall = Wall::new(true);
    for _ in 0..5 {
        wall.wrong_proof(nth(1), start);
    }
    assert_eq!(
        wall.wrong_proof(nth(1), later(start, 60_000)),
        Duration::ZERO
    );
}

#[test]
fn an_address_under_penalty_holds_one_at_a_time() {
    let start = Instant::now();
    let mut wall = Wall::new(true);
    for id in 0..6 {
        wall.admit(id, nth(1), later(start, id));
    }
    wall.admit(50, nth(2), start);
    for _ in 0..5 {
        wall.wrong_proof(nth(1), start);
    }
    assert_eq!(wall.admit(6, nth(1), later(start, 10)), [0, 1, 2, 3, 4, 5]);
    assert_eq!(wall.admit(7, nth(1), later(start, 11)), [6]);
    assert_eq!(wall.admit(51, nth(2), later(start, 11)), NONE);
    assert_eq!(wall.admit(8, nth(1), later(start, 60_000)), NONE);
}

#[test]
fn without_penalty_wrong_proofs_change_nothing() {
    let now = Instant::now();
    let mut wall = Wall::new(false);
    for _ in 0..20 {
        assert_eq!(wall.wrong_proof(nth(1), now), Duration::ZERO);
    }
    wall.admit(0, nth(1), now);
    assert_eq!(wall.admit(1, nth(1), now), NONE);
}

#[test]
fn old_offenders_are_forgotten_and_the_table_has_an_end() {
    let start = Instant::now();
    let mut wall = Wall::new(true);
    for n in 0..5000 {
        wall.wrong_proof(nth(n), later(start, n.into()));
        assert!(wall.offenders.len() <= OFFENDERS);
    }
    // The most recent ones are kept.
    for _ in 0..4 {
        wall.wrong_proof(nth(4999), later(start, 5000));
    }
    assert_eq!(wall.wrong_proof(nth(4999), later(start, 5000)), DELAY);
    wall.wrong_proof(nth(5000), later(start, 70_000));
    assert_eq!(wall.offenders.len(), 1);
}

#[test]
fn who_has_left_is_unknown() {
    let now = Instant::now();
    let mut wall = Wall::new(true);
    wall.admit(1, nth(1), now);
    wall.leave(1);
    wall.leave(1);
    wall.heard(1, false, now);
    assert!(wall.unproved.is_empty());
}

#[derive(Clone, Debug)]
enum Happening {
    Admit(Option<IpAddr>),
    Heard(usize),
    Leave(usize),
    WrongProof(Option<IpAddr>),
    Pass(u64),
}

fn someone() -> impl Strategy<Value = Option<IpAddr>> {
    prop_oneof![
        4 => (0..4_u16).prop_map(nth),
        4 => (0..200_u16).prop_map(nth),
        1 => (0..4_u16).prop_map(|n| ip(&format!("2001:db8:0:{}::{n}", n % 2))),
        1 => Just(None),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => someone().prop_map(Happening::Admit),
        4 => any::<usize>().prop_map(Happening::Heard),
        1 => any::<usize>().prop_map(Happening::Leave),
        2 => someone().prop_map(Happening::WrongProof),
        2 => (0..20_000_u64).prop_map(Happening::Pass),
    ]
}

proptest! {
    #[test]
    fn the_limits_hold_whatever_happens(
        happenings in prop::collection::vec(happening(), 0..400),
        penalty in any::<bool>(),
    ) {
        let mut now = Instant::now();
        let mut wall = Wall::new(penalty);
        let mut next = 0;
        // What the wall should hold: id, network, when last heard.
        let mut model: Vec<(u64, Option<IpAddr>, Instant)> = Vec::new();
        for happening in happenings {
            match happening {
                Happening::Pass(millis) => now = later(now, millis),
                Happening::Heard(n) if !model.is_empty() => {
                    let at = n % model.len();
                    model[at].2 = now;
                    wall.heard(model[at].0, false, now);
                }
                Happening::Leave(n) if !model.is_empty() => {
                    wall.leave(model.remove(n % model.len()).0);
                }
                Happening::Heard(_) | Happening::Leave(_) => {}
                Happening::WrongProof(from) => {
                    let delay = wall.wrong_proof(from, now);
                    prop_assert!(delay.is_zero() || (penalty && delay == DELAY));
                }
                Happening::Admit(from) => {
                    let network = from.map(network);
                    let before = model.len();
                    let same = model.iter().filter(|one| one.1 == network).count();
                    let victims = wall.admit(next, from, now);
                    prop_assert!(!victims.contains(&next), "the newcomer was refused");
                    if same < PER_ADDRESS && before < IN_ALL {
                        let penalised = network.is_some_and(|from| wall.is_penalised(from, now));
                        prop_assert!(victims.is_empty() || penalised);
                    }
                    for victim in victims {
                        let at = model.iter().position(|one| one.0 == victim).unwrap();
                        let (_, of, heard) = model.remove(at);
                        prop_assert!(of == network || same == 0, "a stranger was closed first");
                        let longer = model.iter().any(|one| one.1 == of && one.2 < heard);
                        prop_assert!(!longer, "another was silent for longer");
                    }
                    model.push((next, network, now));
                    let same = model.iter().filter(|one| one.1 == network).count();
                    let room = match network {
                        None => IN_ALL,
                        Some(from) if wall.is_penalised(from, now) => 1,
                        Some(_) => PER_ADDRESS,
                    };
                    prop_assert!(same <= room);
                    next += 1;
                }
            }
            let held: Vec<u64> = wall.unproved.iter().map(|one| one.id).collect();
            let expected: Vec<u64> = model.iter().map(|one| one.0).collect();
            prop_assert_eq!(held, expected);
            prop_assert!(model.len() <= IN_ALL);
        }
    }
}
