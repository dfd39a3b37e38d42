//! A link on a clock of its own: what leaves it when.

use super::*;
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn network(delay: Duration, rate: Option<u64>, cut: Option<u64>) -> Network {
    Network { delay, rate, cut }
}

/// All that leaves now, and when there is more.
fn leaving(link: &mut Link, now: Instant) -> (Vec<u8>, Vec<Departure>, Option<Instant>) {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    loop {
        match link.next(now) {
            Departure::Bytes(piece) => bytes.extend(piece),
            Departure::Later(at) => return (bytes, ends, at),
            Departure::Cut => {
                ends.push(Departure::Cut);
                return (bytes, ends, None);
            }
            end @ Departure::End(_) => ends.push(end),
        }
    }
}

/// Runs the link until it is empty, with each wake-up this much late: what left, and when.
fn run(link: &mut Link, from: Instant, late: Duration) -> Vec<(Duration, usize)> {
    let (mut now, mut left) = (from, Vec::new());
    loop {
        let (bytes, _, next) = leaving(link, now);
        if !bytes.is_empty() {
            left.push((now - from, bytes.len()));
        }
        match next {
            Some(at) => {
                assert!(at > now, "a link that spins");
                now = at + late;
            }
            None => return left,
        }
    }
}

#[test]
fn a_byte_and_an_end_leave_after_the_delay() {
    let began = Instant::now();
    let mut link = Link::new(network(100 * MS, None, None), began);
    link.push(b"one", began);
    link.push(b"two", began + 50 * MS);
    link.end(End::Fin, began + 60 * MS);
    let (bytes, ends, next) = leaving(&mut link, began + 99 * MS);
    assert_eq!((bytes.len(), ends.len(), next), (0, 0, Some(began + 100 * MS)));
    let (bytes, _, next) = leaving(&mut link, began + 100 * MS);
    assert_eq!((&bytes[..], next), (&b"one"[..], Some(began + 150 * MS)));
    let (bytes, ends, next) = leaving(&mut link, began + 150 * MS);
    assert_eq!((&bytes[..], ends.len(), next), (&b"two"[..], 0, Some(began + 160 * MS)));
    let (bytes, ends, next) = leaving(&mut link, began + 160 * MS);
    assert_eq!((bytes.len(), ends, next), (0, vec![Departure::End(End::Fin)], None));
    assert!(!link.is_busy());
}

#[test]
fn a_reset_replaces_an_end_and_comes_behind_the_bytes() {
    let began = Instant::now();
    let mut link = Link::new(network(10 * MS, Some(1000), None), began);
    link.push(&[0; 100], began);
    link.end(End::Fin, began);
    link.end(End::Reset, began + MS);
    link.end(End::Reset, began + 2 * MS);
    link.end(End::Fin, began + 2 * MS);
    assert!(!link.is_reset(began) && link.is_reset(began + 11 * MS));
    let (bytes, ends, _) = leaving(&mut link, began + 50 * MS);
    assert_eq!((bytes.len(), ends.len()), (40, 0));
    assert_eq!(leaving(&mut link, began + 90 * MS).0.len(), 40);
    let (bytes, ends, _) = leaving(&mut link, began + 110 * MS);
    assert_eq!((bytes.len(), ends), (20, vec![Departure::End(End::Reset)]));
}

#[test]
fn a_rate_is_exact_over_time_however_late_the_ticks_are() {
    let began = Instant::now();
    for (rate, late) in
        [(1, 0), (7, 40), (1000, 3), (1_000_000, 0), (1_000_000, 17), (3_333_333, 490)]
    {
        let mut link = Link::new(network(Duration::ZERO, Some(rate), None), began);
        let count = usize::try_from(rate * 10).unwrap();
        link.push(&vec![0; count], began);
        let left = run(&mut link, began, late * MS);
        let (end, _) = left.last().unwrap();
        assert!(
            *end >= 10 * SECOND && *end < 10 * SECOND + (late + 1) * MS,
            "{rate} {late} {end:?}"
        );
        let mut sum = 0;
        for (at, bytes) in left {
            sum += bytes as u64;
            // No byte before its time, and none more than a tick behind the clock.
            assert!(
                u128::from(sum) * 1_000_000_000 <= at.as_nanos() * u128::from(rate),
                "{rate} {at:?}"
            );
        }
    }
}

#[test]
fn what_a_full_side_has_missed_does_not_come_at_once() {
    let began = Instant::now();
    let mut link = Link::new(network(Duration::ZERO, Some(1_000_000), None), began);
    link.push(&vec![0; 1 << 20], began);
    assert_eq!(leaving(&mut link, began + 10 * MS).0.len(), 10_000);
    link.block();
    assert_eq!(leaving(&mut link, began + SECOND).0.len(), 0);
    assert_eq!(leaving(&mut link, began + SECOND + 10 * MS).0.len(), 10_000);
    // Nor does what was not there while the link was idle.
    let mut link = Link::new(network(Duration::ZERO, Some(1_000_000), None), began);
    link.push(&[0; 10_000], began + SECOND);
    assert_eq!(leaving(&mut link, began + SECOND + MS).0.len(), 1000);
}

#[test]
fn a_cut_is_exact() {
    let began = Instant::now();
    for cut in [0, 1, 100_000, 200_000] {
        let mut link = Link::new(network(MS, None, Some(cut)), began);
        link.push(&vec![0; 200_000], began);
        link.end(End::Fin, began);
        let (bytes, ends, _) = leaving(&mut link, began + 2 * MS);
        assert_eq!((bytes.len() as u64, ends), (cut, vec![Departure::Cut]));
    }
    let mut link = Link::new(network(MS, None, Some(4)), began);
    link.push(&[0; 3], began);
    link.end(End::Fin, began);
    let (bytes, ends, _) = leaving(&mut link, began + 2 * MS);
    assert_eq!((bytes.len(), ends), (3, vec![Departure::End(End::Fin)]));
}

#[test]
fn a_link_holds_what_the_network_would_and_no_more() {
    let began = Instant::now();
    for (delay, rate, most) in [
        (SECOND, None, LINK_LIMIT),
        (Duration::ZERO, Some(1), LINK_MIN),
        (100 * MS, Some(2 << 20), 734_003),
        (100 * MS, Some(u64::MAX), LINK_LIMIT),
    ] {
        let mut link = Link::new(network(delay, rate, None), began);
        let mut held = 0;
        while !link.is_full() {
            link.push(&[0; 1024], began);
            held += 1024;
        }
        assert!(held <= most + 1024 && held > most / 20 * 19, "{delay:?} {rate:?} {held}");
    }
    // Many small pieces cost as much as they take.
    let mut link = Link::new(network(SECOND, None, None), began);
    let mut pieces = 0;
    while !link.is_full() {
        link.push(&[0], began);
        pieces += 1;
    }
    assert!(pieces < LINK_LIMIT / 16, "{pieces}");
    leaving(&mut link, began + SECOND);
    assert_eq!((link.bytes.capacity(), link.arrivals.capacity()), (0, 0));
}

proptest! {
    #[test]
    fn bytes_leave_in_order_and_never_early(
        parts in prop::collection::vec((0_u64..200, 1_usize..5000), 1..20),
        delay in 0_u64..300, rate in prop::option::of(500_u64..5_000_000), late in 0_u64..60,
    ) {
        let (began, delay) = (Instant::now(), Duration::from_millis(delay));
        let mut link = Link::new(network(delay, rate, None), began);
        let (mut now, mut sent, mut got, mut due) = (began, Vec::new(), Vec::new(), Vec::new());
        for (pause, size) in parts {
            now += Duration::from_millis(pause);
            let part: Vec<u8> = (0..=250).cycle().skip(sent.len() % 251).take(size).collect();
            link.push(&part, now);
            sent.extend(part);
            due.resize(sent.len(), now + delay);
            got.extend(leaving(&mut link, now).0);
            prop_assert!(got.is_empty() || due[got.len() - 1] <= now);
        }
        link.end(End::Fin, now);
        let mut ends = Vec::new();
        while ends.is_empty() {
            let (bytes, end, next) = leaving(&mut link, now);
            got.extend(bytes);
            prop_assert!(got.is_empty() || due[got.len() - 1] <= now);
            ends = end;
            now = next.map_or(now, |at| at + Duration::from_millis(late));
        }
        prop_assert!(got == sent);
        if let Some(rate) = rate {
            let least = sent.len() as u128 * 1_000_000_000 / u128::from(rate);
            prop_assert!((now - began).as_nanos() >= least);
        }
    }
}
