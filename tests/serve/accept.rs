//! Accepting goes on under pressure: failing calls, no descriptors, crowds (rows 18 to 20).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::run::{Running, connect, injected, read_all, reset, shell, sockctl, unread, until};

/// One byte there and back; false where the connection ends instead.
fn is_served(mut stream: &TcpStream) -> bool {
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0]).is_ok()
}

/// A new client is served and let go.
fn serves_on(server: &Running) {
    let client = server.connect();
    assert!(is_served(&client));
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&client), b"");
}

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
                serves_on(&server);
            }
            let address = server.address();
            server.signal("TERM");
            let said = server.finish().gives(0, "");
            let told = format!("sockctl: accept on {address}: ");
            let wanted = format!("({errno} {code})");
            // EINTR is no trouble: it is tried again.
            let lines: Vec<&str> = said.lines().skip(1).collect();
            assert_eq!(lines.len(), usize::from(errno != "EINTR"), "{errno} {when}: {said}");
            for line in lines {
                assert!(line.starts_with(&told) && line.ends_with(&wanted), "{line}");
            }
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
    let port = server.port();
    let mut clients: Vec<TcpStream> = (0..40).map(|_| connect(port)).collect();
    let said = server.stderr_has("(EMFILE 24)\n");
    assert!(said.contains(&format!("sockctl: accept on 127.0.0.1:{port}: ")), "{said}");
    server.rests();
    assert!(is_served(&clients[0]) && is_served(&clients[1]));
    // As the first ones leave, all others are served in turn.
    while !clients.is_empty() {
        let client = clients.remove(0);
        assert!(is_served(&client), "{} are left", clients.len());
    }
    server.rests();
    serves_on(&server);
}

#[test]
fn row_19_a_place_that_becomes_free_is_taken_at_once() {
    let line = r#"ulimit -n 20; exec "$0" serve 0 --echo --trace"#;
    let is_quick = |_| {
        let server = shell(line, "").start();
        let count = |what: &str| server.stderr_has("").matches(what).count();
        let mut clients: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
        // After its seventh failure it is tried again in a second, if nobody leaves.
        until("the pause is long", || count("accept() -> EMFILE") >= 7);
        let (before, began) = (count("accept() -> fd"), Instant::now());
        drop(clients.remove(0));
        until("the next is in", || count("accept() -> fd") > before);
        began.elapsed() < Duration::from_millis(500)
    };
    assert!((0..3).any(is_quick));
}

#[test]
fn row_20_the_third_of_two_waits_or_is_refused_and_a_reset_frees_the_place() {
    let server = sockctl("serve 0 --echo -m 2").start();
    let (first, second) = (server.connect(), server.connect());
    assert!(is_served(&first) && is_served(&second));
    let third = server.connect();
    (&third).write_all(b"x").unwrap();
    server.rests();
    reset(first);
    (&third).read_exact(&mut [0]).unwrap();

    let server = sockctl("serve 0 --echo -m 2 --on-full=reject").start();
    let (first, second) = (server.connect(), server.connect());
    assert!(is_served(&first) && is_served(&second));
    assert!(!is_served(&server.connect()));
    reset(first);
    until("the place is free", || is_served(&server.connect()));
    assert!(is_served(&second));
}

#[test]
fn row_20_a_place_held_by_a_silent_proxy_is_freed_by_its_reset() {
    let server = sockctl("serve 0 --echo -m 1 --accept-proxy 127.0.0.1").start();
    let silent = server.connect();
    let next = server.connect();
    (&next).write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nx").unwrap();
    server.rests();
    reset(silent);
    (&next).read_exact(&mut [0]).unwrap();
}

#[test]
fn row_19_a_storm_of_clients_that_leave_at_once_is_survived() {
    let server = sockctl("serve 0 --echo -m 100000").start();
    serves_on(&server);
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
    serves_on(&server);
    assert!(server.vitals().peak < before.peak + (32 << 20));
}

#[test]
fn row_19_a_crowd_that_waits_to_be_accepted_is_served_to_the_last() {
    let server = sockctl("serve 0 --reply hello").start();
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
