//! Ends are passed on as they come, behind what was sent; a reset as a reset.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proptest::prelude::*;

use super::secured::{Chain, KINDS};
use super::{pair, relay};
use crate::run::{accept, listener, pattern, read_all, read_to_reset, reset, sockctl, take, until};

/// A pause that is longer than any clock that could end a half-closed connection.
const SILENCE: Duration = Duration::from_secs(2);

#[test]
fn half_closes_have_no_clock() {
    let (target, address) = listener();
    let server = relay(&address, "");
    for swapped in [false, true] {
        let (client, end) = pair(&server, &target);
        let (first, last) = if swapped { (end, client) } else { (client, end) };
        (&first).write_all(b"one").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&last), b"one");
        for part in ["two", "three"] {
            std::thread::sleep(SILENCE);
            (&last).write_all(part.as_bytes()).unwrap();
            assert_eq!(take(&first, part.len()), part.as_bytes());
        }
        drop(last);
        assert_eq!(read_all(&first), b"");
    }
    server.stops("", "");
}

#[test]
fn a_reset_is_passed_on_behind_what_came_before() {
    let (target, address) = listener();
    let server = relay(&address, "");
    for swapped in [false, true] {
        let (client, end) = pair(&server, &target);
        let (first, last) = if swapped { (end, client) } else { (client, end) };
        (&first).write_all(b"before").unwrap();
        assert_eq!(take(&last, 3), b"bef");
        reset(first);
        assert_eq!(read_to_reset(&last), b"ore");
    }
    server.stops("", "");
}

#[test]
fn a_reset_waits_for_a_side_that_pauses() {
    let (target, address) = listener();
    let server = relay(&address, "");
    let (client, end) = pair(&server, &target);
    let text = pattern(3 << 20);
    (&client).write_all(&text).unwrap();
    std::thread::sleep(Duration::from_millis(300)); // what its own kernel still holds is lost
    reset(client);
    std::thread::sleep(SILENCE);
    let got = read_to_reset(&end);
    assert!(text.starts_with(&got) && got.len() > 1 << 20, "{}", got.len());
    server.stops("", "");
}

#[test]
fn a_reset_behind_a_full_partner_reaches_it() {
    let (target, address) = listener();
    let server = relay(&address, "");
    for swapped in [false, true] {
        let (client, end) = pair(&server, &target);
        let (first, last) = if swapped { (end, client) } else { (client, end) };
        first.set_nonblocking(true).unwrap();
        let text = pattern(1 << 20);
        while !matches!((&first).write(&text), Err(e) if e.kind() == ErrorKind::WouldBlock) {
            std::thread::sleep(Duration::from_millis(20)); // until all between is full
        }
        reset(first);
        let before = server.vitals().descriptors;
        until("the pair is gone", || server.vitals().descriptors < before);
        read_to_reset(&last);
    }
    server.stops("", "");
}

#[test]
fn both_gone_leave_nothing() {
    let (target, address) = listener();
    let server = relay(&address, "");
    let before = server.vitals().descriptors;
    for _ in 0..20 {
        let (client, end) = pair(&server, &target);
        (&client).write_all(&pattern(100_000)).unwrap();
        (&end).write_all(&pattern(100_000)).unwrap();
        reset(client);
        reset(end);
    }
    // Pipes are kept for the next.
    until("all is closed", || server.vitals().descriptors <= before + 8);
    server.rests();
    server.stops("", "");
}

#[test]
fn a_unix_peer_that_closes_is_an_end() {
    let folder = crate::run::Folder::new();
    let (target, address) = listener();
    let path = folder.text("s");
    let server = sockctl(format!("serve unix:{path} --to {address}")).start();
    server.address();
    let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    client.write_all(b"all").unwrap();
    drop(client);
    let end = accept(&target);
    assert_eq!(read_all(&end), b"all");
    // Nothing is there to get an answer.
    until("a reset", || (&end).write_all(b"answer").is_err());
    server.stops("", "");
}

// ---- any schedule --------------------------------------------------------------------------

/// What a side does once it has sent everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    End,
    Reset,
    /// It ends its direction once the other has.
    Follow,
}

#[derive(Clone, Copy, Debug)]
struct Side {
    size: usize,
    last: Last,
    /// For so long it reads nothing.
    stall: Duration,
    /// For so long it does nothing behind what it has sent.
    pause: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Schedule {
    kind: usize,
    client: Side,
    target: Side,
}

fn side() -> impl Strategy<Value = Side> {
    let size = prop_oneof![Just(0), Just(1), Just(64 << 10), Just(10_usize << 20)];
    let last = prop_oneof![3 => Just(Last::End), 1 => Just(Last::Reset), 1 => Just(Last::Follow)];
    let time = prop_oneof![2 => Just(0), 1 => 1_u64..700];
    (size, last, time.clone(), time).prop_map(|(size, last, stall, pause)| Side {
        size,
        last,
        stall: Duration::from_millis(stall),
        pause: Duration::from_millis(pause),
    })
}

fn schedule() -> impl Strategy<Value = Schedule> {
    (0..KINDS.len(), side(), side()).prop_map(|(kind, client, mut target)| {
        if client.last == Last::Follow && target.last == Last::Follow {
            target.last = Last::End;
        }
        Schedule { kind, client, target }
    })
}

/// How the other direction ended for a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saw {
    End,
    Reset,
    /// It has reset the connection itself.
    Nothing,
    /// The time was over.
    Hang,
}

/// Plays a side: what came, and how that ended.
fn play(mut stream: TcpStream, side: Side) -> (Vec<u8>, Saw) {
    let (text, began) = (pattern(side.size), Instant::now());
    let (mut sent, mut got, mut all_sent) = (0, Vec::new(), None);
    let (mut ended, mut saw, mut is_broken) = (false, None, false);
    stream.set_nonblocking(true).unwrap();
    let mut buffer = vec![0; 64 << 10];
    loop {
        if let Some(saw) = saw.filter(|_| ended || is_broken) {
            return (got, saw);
        }
        if began.elapsed() > Duration::from_secs(20) {
            return (got, Saw::Hang);
        }
        if sent == side.size {
            let at = *all_sent.get_or_insert_with(Instant::now);
            if !ended && !is_broken && at.elapsed() >= side.pause {
                match side.last {
                    Last::Reset => {
                        reset(stream);
                        return (got, saw.unwrap_or(Saw::Nothing));
                    }
                    Last::Follow if saw.is_none() => {}
                    Last::End | Last::Follow => {
                        is_broken |= stream.shutdown(Shutdown::Write).is_err();
                        ended = true;
                    }
                }
            }
        }
        let mut wanted = PollFlags::empty();
        let stalls = began.elapsed() < side.stall;
        wanted.set(PollFlags::POLLIN, !stalls && saw.is_none());
        wanted.set(PollFlags::POLLOUT, sent < side.size && !is_broken);
        let mut fds = [PollFd::new(stream.as_fd(), wanted)];
        poll(&mut fds, PollTimeout::from(10_u8)).unwrap();
        if wanted.contains(PollFlags::POLLOUT) {
            match stream.write(&text[sent..]) {
                Ok(count) => sent += count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => is_broken = true,
            }
        }
        if wanted.contains(PollFlags::POLLIN) {
            match stream.read(&mut buffer) {
                // The error of the reset went to a write.
                Ok(0) => saw = Some(if is_broken { Saw::Reset } else { Saw::End }),
                Ok(count) => got.extend_from_slice(&buffer[..count]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => (saw, is_broken) = (Some(Saw::Reset), true),
            }
        }
    }
}

/// What is wrong with what a side saw of the other.
fn judge(got: &[u8], saw: Saw, other: Side, own: Side) -> Result<(), String> {
    let sent = pattern(other.size);
    let told = format!("{saw:?} behind {} of {} bytes", got.len(), sent.len());
    if !sent.starts_with(got) {
        return Err(format!("other bytes: {told}"));
    }
    let resets = [other.last, own.last].contains(&Last::Reset);
    // More may still be in the socket of the side that resets: its kernel drops that.
    let is_passed_on = other.size <= 64 << 10 && own.last != Last::Reset;
    match saw {
        Saw::Hang => Err(told),
        Saw::End if other.last == Last::Reset || got.len() < sent.len() => {
            Err(format!("an end that is none: {told}"))
        }
        Saw::Reset if !resets => Err(format!("a reset of its own: {told}")),
        Saw::Reset if is_passed_on && got.len() < sent.len() => Err(format!("lost: {told}")),
        _ => Ok(()),
    }
}

/// Plays a schedule; what is wrong with how it went.
fn played(chain: &Chain, schedule: &Schedule) -> Result<(), String> {
    let Schedule { client, target, .. } = *schedule;
    let (near, far) = chain.pair();
    let (near, far) = std::thread::scope(|scope| {
        let near = scope.spawn(move || play(near, client));
        let far = scope.spawn(move || play(far, target));
        (near.join().unwrap(), far.join().unwrap())
    });
    judge(&near.0, near.1, target, client).map_err(|e| format!("client: {e}"))?;
    judge(&far.0, far.1, client, target).map_err(|e| format!("target: {e}"))
}

/// Schedules at a time: much of each is waiting.
const TOGETHER: usize = 12;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("SOCKCTL_SCHEDULES").map_or(4, |n| n.parse().unwrap()),
        max_shrink_iters: 20,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// `SOCKCTL_SCHEDULES=N` plays N times 12 of them.
    #[test]
    fn row_121_no_schedule_loses_bytes_before_an_end(
        schedules in prop::collection::vec(schedule(), TOGETHER),
    ) {
        let chains: Vec<Chain> = KINDS.iter().map(|kind| Chain::new(kind)).collect();
        let results: Vec<_> = std::thread::scope(|scope| {
            let play = |one| (one, played(&chains[{ let it: &Schedule = one; it.kind }], one));
            let all: Vec<_> =
                schedules.iter().map(|one| scope.spawn(move || play(one))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for (schedule, result) in results {
            prop_assert!(result.is_ok(), "{schedule:#?}\n{}", result.unwrap_err());
        }
    }
}
