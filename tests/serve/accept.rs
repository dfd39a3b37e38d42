//! Accepting goes on under pressure: failing calls, no descriptors, crowds (rows 18 to 20).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{is_served, serve};
use crate::run::{ask, connect, injected, read_all, reset, shell, unread, until};

#[test]
#[ignore = "needs strace"]
fn row_18_accept_that_fails_is_told_and_survived() {
    for (errno, code) in [
        ("EMFILE", 24),
        ("ENFILE", 23),
        ("ENOBUFS", 105),
        ("ENOMEM", 12),
        ("ECONNABORTED", 103),
        ("EPROTO", 71),
        ("EINTR", 4),
    ] {
        for when in ["1", "3"] {
            let calls = format!("accept4:error={errno}:when={when}");
            let server = injected(&calls, "serve 0 --echo").start();
            for _ in 0..4 {
                assert_eq!(ask(&server.connect(), b"on"), b"on");
            }
            // A call that was interrupted is repeated without a message.
            let said = format!("sockctl: accept on {server}: … ({errno} {code})\n");
            server.stops("", if errno == "EINTR" { "" } else { &said });
        }
    }
}

#[test]
#[ignore = "needs strace"]
fn row_18_accept_that_always_fails_backs_off() {
    for errno in ["EMFILE", "ECONNABORTED", "EINTR"] {
        let server = injected(&format!("accept4:error={errno}"), "serve 0 --echo").start();
        let began = Instant::now();
        let clients: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
        server.rests();
        until("it was tried for a while", || began.elapsed().as_secs() >= 3);
        server.signal("TERM");
        let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
        let said = server.finish().gives(0, "");
        let complaints = said.matches("sockctl: accept on ").count();
        let least = usize::from(errno != "EINTR");
        assert!((least..=seconds + 1).contains(&complaints), "{said}");
        drop(clients);
    }
}

#[test]
fn row_19_out_of_descriptors_the_first_go_on_and_the_next_are_served_when_some_leave() {
    let server = shell(r#"ulimit -n 20; exec "$0" serve 0 --echo"#, "").start();
    let clients: Vec<TcpStream> = (0..40).map(|_| server.connect()).collect();
    server.stderr_has(&format!("sockctl: accept on {server}: too many open files (EMFILE 24)\n"));
    server.rests();
    assert!(is_served(&clients[0]) && is_served(&clients[1]));
    // As the first ones leave, all others are served in turn.
    for client in clients {
        assert!(is_served(&client));
    }
    server.rests();
    assert_eq!(ask(&server.connect(), b"on"), b"on");
}

#[test]
fn row_19_a_place_that_becomes_free_is_taken_at_once() {
    let line = r#"ulimit -n 20; exec "$0" serve 0 --echo --trace"#;
    let is_quick = |_| {
        let server = shell(line, "").start();
        let count = |what: &str| server.stderr_has("").matches(what).count();
        let mut clients: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
        // After the seventh failure the next try is a second later, unless a client leaves.
        until("the pause is long", || count("accept() -> EMFILE") >= 7);
        let (before, began) = (count("accept() -> fd"), Instant::now());
        drop(clients.remove(0));
        until("the next is in", || count("accept() -> fd") > before);
        began.elapsed() < Duration::from_millis(500)
    };
    assert!((0..3).any(is_quick));
}

#[test]
fn row_20_the_third_of_two_waits_or_is_refused_until_one_ends_or_resets() {
    for leave in [drop, reset] {
        let server = serve("--echo -m 2");
        let (first, second) = (server.connect(), server.connect());
        assert!(is_served(&first) && is_served(&second));
        let third = server.connect();
        (&third).write_all(b"x").unwrap();
        server.rests();
        third.set_nonblocking(true).unwrap();
        assert!((&third).read(&mut [0]).is_err(), "it has to wait");
        third.set_nonblocking(false).unwrap();
        leave(first);
        (&third).read_exact(&mut [0]).unwrap();

        let server = serve("--echo -m 2 --on-full=reject");
        let (first, second) = (server.connect(), server.connect());
        assert!(is_served(&first) && is_served(&second));
        assert_eq!(read_all(&server.connect()), b"");
        leave(first);
        until("the place is free", || is_served(&server.connect()));
        assert!(is_served(&second));
    }
}

#[test]
fn row_20_a_place_held_by_a_silent_proxy_is_freed_by_its_reset() {
    let server = serve("--echo -m 1 --accept-proxy 127.0.0.1");
    let silent = server.connect();
    let next = server.connect();
    (&next).write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nx").unwrap();
    server.rests();
    reset(silent);
    (&next).read_exact(&mut [0]).unwrap();
}

#[test]
fn row_19_a_storm_of_clients_that_leave_at_once_is_survived() {
    let server = serve("--echo -m 100000");
    assert_eq!(ask(&server.connect(), b"on"), b"on");
    server.rests();
    let before = server.vitals();
    let port = server.port();
    let waves: Vec<_> = (0..4)
        .map(|kind| {
            std::thread::spawn(move || {
                for n in 0..1250 {
                    let client = connect(port);
                    match (kind + n) % 4 {
                        0 => drop(client),
                        1 => reset(client),
                        2 => _ = (&client).write_all(b"and gone"),
                        _ => {
                            let _ = (&client).write_all(b"and reset");
                            reset(client);
                        }
                    }
                }
            })
        })
        .collect();
    for wave in waves {
        wave.join().unwrap();
    }
    until("descriptors are back", || server.vitals().descriptors == before.descriptors);
    assert_eq!(server.vitals().threads, before.threads);
    server.rests();
    assert_eq!(ask(&server.connect(), b"on"), b"on");
    assert!(server.vitals().peak < before.peak + (32 << 20));
}

#[test]
fn row_19_a_crowd_that_waits_to_be_accepted_is_served_to_the_last() {
    let server = serve("--reply hello");
    let port = server.port();
    server.signal("STOP");
    // What the kernel queues while the server sleeps; it may drop some, which then try again.
    let crowds: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let all: Vec<TcpStream> = (0..100).map(|_| connect(port)).collect();
                all.iter().all(|client| read_all(client) == b"hello")
            })
        })
        .collect();
    until("the queue is long", || unread(port, true) > 500);
    server.signal("CONT");
    for crowd in crowds {
        assert!(crowd.join().unwrap());
    }
    server.rests();
}
