//! A bad network on purpose: `--delay`, `--rate`, `--cut`. A measured time is never too short; how much too
//! long it is depends on the machine, too.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::secured::Chain;
use super::{pair, relay};
use crate::auth::random_key;
use crate::run::{
    Folder, accept, ask, echoes, events_of, flood, listener, pattern, read_all, read_to_reset,
    refused, reset, sockctl, take, until,
};

/// What the machine may add.
const LATE: Duration = Duration::from_secs(5);

/// How long something takes: at least `least`.
#[track_caller]
fn takes<T>(least: Duration, what: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = what();
    let time = began.elapsed();
    assert!(time >= least, "early: {time:?} instead of {least:?}");
    assert!(time < least + LATE, "late: {time:?} instead of {least:?}");
    result
}

const DELAY: Duration = Duration::from_millis(300);

// ---- --delay -------------------------------------------------------------------------------

#[test]
fn bytes_are_delayed_in_each_direction_and_do_not_wait_for_each_other() {
    let (target, address) = listener();
    let server = relay(&address, "--delay 300ms");
    let (client, end) = pair(&server, &target);
    for (mut from, to) in [(&client, &end), (&end, &client)] {
        takes(DELAY, || {
            from.write_all(b"x").unwrap();
            take(to, 1)
        });
    }
    // A window of ten takes as long as one.
    let began = Instant::now();
    let mut gaps = Vec::new();
    for at in 0..10 {
        (&client).write_all(&[at]).unwrap();
        gaps.push(Instant::now());
        std::thread::sleep(Duration::from_millis(5));
    }
    for (at, sent) in (0..).zip(gaps) {
        assert_eq!(take(&end, 1), [at]);
        assert!(sent.elapsed() >= DELAY, "{at}");
    }
    assert!(began.elapsed() < DELAY + LATE);
    server.rests();
    server.stops("", "");
}

#[test]
fn ends_are_delayed_behind_the_bytes_and_half_closes_stay_halves() {
    let (target, address) = listener();
    let server = relay(&address, "--delay 300ms");
    for swapped in [false, true] {
        let (client, end) = pair(&server, &target);
        let (mut first, mut last) = if swapped { (end, client) } else { (client, end) };
        takes(DELAY, || {
            first.write_all(b"ask").unwrap();
            first.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_all(&last), b"ask");
        });
        takes(DELAY, || {
            last.write_all(b"answer").unwrap();
            assert_eq!(take(&first, 6), b"answer");
        });
        takes(DELAY, || {
            last.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_all(&first), b"");
        });
    }
    server.stops("", "");
}

#[test]
fn both_ends_at_once_cost_no_bytes() {
    let (target, address) = listener();
    let server = relay(&address, "--delay 300ms");
    let (client, end) = pair(&server, &target);
    let text = pattern(500_000);
    let (near, far) = std::thread::scope(|scope| {
        let far = scope.spawn(|| ask(&end, &text));
        (ask(&client, &text), far.join().unwrap())
    });
    assert!(far == text && near == text);
    server.stops("", "");
}

#[test]
fn a_reset_is_delayed_behind_the_bytes() {
    let (target, address) = listener();
    let server = relay(&address, "--delay 300ms");
    for swapped in [false, true] {
        let (client, end) = pair(&server, &target);
        let (first, mut last) = if swapped { (end, client) } else { (client, end) };
        (&first).write_all(b"before").unwrap();
        assert_eq!(take(&last, 3), b"bef"); // it is read before the reset
        takes(DELAY, || {
            reset(first);
            last.write_all(b"unread").unwrap();
            assert_eq!(read_to_reset(&last), b"ore");
        });
    }
    server.stops("", "");
}

#[test]
fn a_reset_reaches_a_side_that_reads_nothing() {
    let (target, address) = listener();
    let server = relay(&address, "--delay 100ms");
    let before = server.vitals().descriptors;
    let (client, end) = pair(&server, &target);
    client.set_nonblocking(true).unwrap();
    let text = pattern(1 << 20);
    while !matches!((&client).write(&text), Err(e) if e.kind() == ErrorKind::WouldBlock) {
        std::thread::sleep(Duration::from_millis(200)); // until all between is full
    }
    reset(client);
    until("the pair is gone", || server.vitals().descriptors <= before);
    drop(end);
    server.stops("", "");
}

#[test]
fn a_flood_over_a_long_way_is_bounded() {
    let (target, address) = listener();
    for words in ["--delay 1h", "--rate 1", "--delay 1h --rate 1G"] {
        let server = relay(&address, words);
        let before = server.vitals().memory;
        let pairs: Vec<_> = (0..4).map(|_| pair(&server, &target)).collect();
        std::thread::scope(|scope| {
            for (client, end) in &pairs {
                for stream in [client, end] {
                    scope.spawn(|| flood(stream.try_clone().unwrap()));
                }
            }
            std::thread::sleep(Duration::from_secs(1)); // they flood
            server.rests();
            let grown = server.vitals().memory.saturating_sub(before);
            assert!(grown < 20 << 20, "{words}: {grown}");
            for (client, end) in &pairs {
                let _ = (client.shutdown(Shutdown::Both), end.shutdown(Shutdown::Both));
            }
        });
    }
}

#[test]
fn what_is_on_its_way_is_delivered_when_the_relay_stops() {
    let (target, address) = listener();
    let server = relay(&address, "--delay 1s --grace 20s");
    let (client, end) = pair(&server, &target);
    (&client).write_all(b"held").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    (&end).write_all(b"too").unwrap();
    std::thread::sleep(Duration::from_millis(300)); // it has come
    server.signal("TERM");
    assert_eq!(read_all(&end), b"held");
    drop(end);
    assert_eq!(read_all(&client), b"too");
    server.finish().gives(0, "");
}

#[test]
fn what_is_on_its_way_when_grace_is_over_is_cut_off_by_a_reset() {
    let (target, address) = listener();
    let server = relay(&address, "--delay 1h --grace 200ms");
    let (client, end) = pair(&server, &target);
    (&client).write_all(b"held").unwrap();
    std::thread::sleep(Duration::from_millis(300)); // it has come
    server.signal("TERM");
    assert_eq!(read_to_reset(&end), b"");
    assert_eq!(read_to_reset(&client), b"");
    server.finish();
}

// ---- --rate --------------------------------------------------------------------------------

/// Sends all of it and ends; what came at the other side.
fn through(from: &TcpStream, to: &TcpStream, text: &[u8]) -> Vec<u8> {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&*from).write_all(text).unwrap();
            from.shutdown(Shutdown::Write).unwrap();
        });
        read_all(to)
    })
}

#[test]
fn a_rate_holds_for_each_direction_of_each_pair() {
    let (target, address) = listener();
    let server = relay(&address, "--rate 1000000");
    let pairs = [pair(&server, &target), pair(&server, &target)];
    let text = pattern(1_000_000);
    std::thread::scope(|scope| {
        for (client, end) in &pairs {
            for (from, to) in [(client, end), (end, client)] {
                let text = &text;
                let least = Duration::from_secs(1);
                scope.spawn(move || assert!(takes(least, || through(from, to, text)) == *text));
            }
        }
    });
    server.stops("", "");
}

#[test]
fn a_byte_a_second_is_a_rate() {
    let (target, address) = listener();
    let server = relay(&address, "--rate 1 --delay 300ms");
    let (client, end) = pair(&server, &target);
    takes(DELAY + Duration::from_secs(2), || assert_eq!(through(&client, &end, b"ab"), b"ab"));
    server.stops("", "");
}

// ---- --cut ---------------------------------------------------------------------------------

#[test]
fn a_cut_resets_both_sides_behind_exactly_so_many_bytes() {
    let (target, address) = listener();
    let text = pattern(1_000_000);
    for cut in [0, 1, 65_537, 999_999] {
        for words in ["", "--delay 20ms", "--rate 10M"] {
            let server = relay(&address, format!("--once -v --cut {cut} {words}"));
            let client = TcpStream::connect(("127.0.0.1", server.port()));
            let mut end = accept(&target);
            let sends = std::thread::spawn({
                let text = text.clone();
                move || {
                    let _ = end.write_all(&text);
                    until("a reset", || end.write_all(b"x").is_err());
                    end.read(&mut [0]).is_ok()
                }
            });
            let got = match client {
                Ok(client) => read_to_reset(client),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => Vec::new(), // before connect(2) has returned
                Err(e) => panic!("{e}"),
            };
            assert!(got == text[..cut], "{cut} {words}: {}", got.len());
            sends.join().unwrap();
            let said = server.finish().gives(0, "");
            let wanted = format!("closed (limit; received 0, sent {cut} bytes in ");
            assert!(said.contains(&wanted), "{said}");
        }
    }
}

#[test]
fn what_the_client_sends_is_not_cut_nor_is_a_shorter_answer() {
    let (target, address) = listener();
    let server = relay(&address, "--cut 10");
    let (client, end) = pair(&server, &target);
    let text = pattern(300_000);
    assert!(through(&client, &end, &text) == text);
    assert_eq!(through(&end, &client, b"nine char"), b"nine char");
    server.stops("", "");
}

// ---- all of it, and what is refused --------------------------------------------------------

#[test]
fn a_bad_network_is_one_between_encrypted_sides_too() {
    let chain = Chain::new("slow");
    let (client, end) = chain.pair();
    takes(Duration::from_millis(100), || {
        (&client).write_all(b"x").unwrap();
        take(&end, 1)
    });
    let text = pattern(400_000);
    let least = Duration::from_millis(200 + 100); // 400,000 bytes at 2,000,000 a second
    takes(least, || assert!(through(&end, &client, &text) == text));
    assert!(through(&client, &end, &text) == text);
}

#[test]
fn a_cut_of_an_encrypted_side_is_exact() {
    let (target, address) = listener();
    let key = random_key("me", [7; 32]);
    let key = key.path().display();
    let far = format!("auth-serve 0 --key-file {key} --to {address} --cut 100000");
    let far = sockctl(far).start();
    let near = relay(format!("auth:{far}"), format!("--to-key-file {key}"));
    let (client, end) = pair(&near, &target);
    let text = pattern(100_000);
    std::thread::scope(|scope| {
        scope.spawn(|| flood_with(&end, &text)); // its end is the reset
        assert!(read_to_reset(&client) == text);
    });
}

/// Sends the bytes again and again until the connection breaks.
fn flood_with(mut stream: &TcpStream, text: &[u8]) {
    while stream.write_all(text).is_ok() {}
}

#[test]
fn once_ends_when_both_directions_are_through() {
    let (target, address) = listener();
    for swapped in [false, true] {
        let server = relay(&address, "--once --delay 300ms");
        let (client, end) = pair(&server, &target);
        let (first, mut last) = if swapped { (end, client) } else { (client, end) };
        first.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&last), b"");
        // From here on one side has nothing more to send or to get.
        last.write_all(b"bye").unwrap();
        last.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&first), b"bye");
        server.finish().gives(0, "");
    }
}

#[test]
fn unix_sockets_have_a_delay_too() {
    let folder = Folder::new();
    let (target, address) = listener();
    let path = folder.text("s");
    let server = sockctl(format!("serve unix:{path} --to {address} --delay 300ms")).start();
    server.address();
    let mut client = UnixStream::connect(&path).unwrap();
    let end = accept(&target);
    takes(DELAY, || {
        client.write_all(b"all").unwrap();
        drop(client);
        assert_eq!(read_all(&end), b"all");
    });
    // Nothing is there to get an answer.
    until("a reset", || (&end).write_all(b"answer").is_err());
    server.stops("", "");
}

#[test]
fn many_pairs_share_one_clock() {
    let echo = sockctl("serve 0 --echo").start();
    let server = relay(&echo, "--delay 200ms --json");
    let clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    takes(Duration::from_millis(400), || {
        for mut client in &clients {
            client.write_all(b"ping").unwrap();
        }
        for client in &clients {
            assert_eq!(take(client, 4), b"ping");
        }
    });
    echoes(&clients[0], b"again");
    drop(clients);
    until("all are closed", || events_of(&server.stderr_has(""), "closed").len() == 200);
    server.rests();
}

#[test]
fn a_bad_network_needs_a_relay() {
    refused(&[
        ("serve 0 --echo --delay 1", "--delay is for --to TARGET"),
        ("serve 0 --cut 1", "--cut is for --to TARGET"),
        ("serve 0 --discard --wait 1", "--wait is for --to TARGET"),
        ("serve 0 --echo --rate 1", "--rate is for --to TARGET and for steps, as --send TEXT"),
        ("serve 0 --to 1 --rate 0", "--rate '0': expected at least 1 byte"),
        (
            "serve 0 --to 1 --delay x",
            "--delay 'x': a duration is 500ms, 1.5s, 2m, 1h, 14d or a bare number of seconds",
        ),
        ("serve 0 --to 1 --cut x", "--cut 'x': a size is 512, 64k, 1M or 2GiB"),
    ]);
}
