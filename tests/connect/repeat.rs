//! `connect --count`: the steps again and again, each time on a connection of its own.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::run::{REFUSED, Running, free_port, is_like, listening, refused, sockctl, until};

/// A server that answers PING.
fn pong() -> Running {
    let server = sockctl(r"serve 0 --when '^PING\n' 'PONG\n'").start();
    server.address();
    server
}

#[test]
fn the_steps_are_repeated_and_summed_up() {
    let server = pong();
    let words = r"--send 'PING\n' --expect '^PONG\n'";
    let done = sockctl(format!("connect {server} {words} --count 500 --parallel 7")).run();
    assert!(
        done.code == 0
            && is_like(
                "500 conversations in … s, … a second\n0 failed\n\
                 ms                    min       p50       p90       p99       max\n\
                 connecting     …\nconversation   …\n",
                &String::from_utf8_lossy(&done.stdout)
            ),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        done.stderr
    );
    assert_eq!(done.stderr, "");
}

#[test]
fn as_json_it_is_one_object() {
    let server = pong();
    let words = r"--send 'PING\n' --expect PONG --count 20 --json";
    let done = sockctl(format!("connect {server} {words}")).run();
    let text = String::from_utf8(done.stdout).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&all["event"], &all["conversations"], &all["failed"]),
        (&"summary".into(), &20.into(), &0.into())
    );
    for times in [&all["connecting"], &all["conversation"]] {
        let of = |name: &str| times[name].as_f64().unwrap();
        assert!(
            of("min") <= of("p50") && of("p50") <= of("p99") && of("p99") <= of("max"),
            "{text}"
        );
    }
}

#[test]
fn the_most_frequent_failure_is_the_status() {
    let port = free_port();
    let done = sockctl(format!("connect {port} --send x --count 3")).run();
    assert!(String::from_utf8_lossy(&done.stdout).contains("3 failed, 3 with status 3\n"));
    assert_eq!(done.code, 3);
    let line =
        format!("sockctl: connect to 127.0.0.1:{port}: {REFUSED}; 3 of 3 conversations failed\n");
    assert_eq!(done.stderr, line);
    // Two of three are not answered as expected.
    let (_server, address) = listening(
        r#"
import socket, sys
l = socket.create_server(("127.0.0.1", 0)); print("listening on %s:%d" % l.getsockname(), file=sys.stderr, flush=True)
for answer in [b"no", b"yes", b"no"]:
    s, _ = l.accept(); s.recv(9); s.sendall(answer); s.close()
"#,
        "",
    );
    let done = sockctl(format!("connect {address} --send x --expect yes --count 3")).run();
    assert!(String::from_utf8_lossy(&done.stdout).contains("2 failed, 2 with status 8\n"));
    let line = format!(
        "sockctl: expect 'yes' from {address}: the peer closed the connection; received 2 bytes: \
         'no'; 2 of 3 conversations failed\n"
    );
    assert_eq!((done.code, done.stderr), (8, line));
}

#[test]
fn the_interval_is_that_of_their_begins() {
    let server = pong();
    let began = Instant::now();
    let words = r"--send 'PING\n' --expect PONG --count 5 --parallel 5 --interval .1";
    sockctl(format!("connect {server} {words}")).run().text();
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[test]
fn ctrl_c_shows_the_summary_so_far() {
    let server = pong();
    let words = r"--send 'PING\n' --expect PONG --count 1000000 --interval .02";
    let client = sockctl(format!("connect {server} {words} -v")).start();
    client.stderr_has("[3] ");
    client.signal("INT");
    let done = client.finish();
    assert_eq!(done.code, 130);
    assert!(String::from_utf8_lossy(&done.stdout).contains("0 failed\n"));
}

#[test]
fn its_memory_does_not_grow_with_their_number() {
    let server = pong();
    let words = r"--send 'PING\n' --expect PONG --count 1000000000 --parallel 10";
    let client = sockctl(format!("connect {server} {words}")).start();
    let peak = |least: Duration| {
        let began = Instant::now();
        until("it has worked for a while", || began.elapsed() >= least);
        client.vitals().peak
    };
    let early = peak(Duration::from_millis(500));
    let late = peak(Duration::from_secs(2));
    assert!(late < early + (1 << 20), "{early} {late}");
    client.signal("INT");
    assert_eq!(client.finish().code, 130);
}

#[test]
fn it_repeats_behind_a_key_and_waits() {
    let port = free_port();
    let words = "--send x --expect x --count 5 --parallel 2 --wait 20";
    let client = sockctl(format!("auth-connect {port} {words}"))
        .env("SOCKCTL_KEY", "a passphrase of many words")
        .start();
    let server = sockctl(format!("auth-serve {port} --echo"))
        .env("SOCKCTL_KEY", "a passphrase of many words")
        .start();
    server.address();
    let done = client.finish();
    assert!(String::from_utf8_lossy(&done.stdout).contains("5 conversations"), "{}", done.stderr);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[test]
fn repetitions_need_steps() {
    refused(&[
        ("connect 1 --count 3", "--count repeats steps (--send, --expect, …) or, with -z, checks"),
        ("connect 1 --send x --parallel 3", "--count is missing"),
    ]);
}

#[test]
fn attempts_that_fail_at_once_can_be_interrupted() {
    let words = "connect unix:/nonexistent/x --send x --count 1000000000";
    let client = sockctl(format!("{words} --trace")).start();
    client.stderr_has("ENOENT");
    client.signal("INT");
    assert_eq!(client.finish().code, 130);
    assert_eq!(sockctl(format!("{words} --deadline .3")).run().code, 4);
}

#[test]
fn with_wait_a_connection_that_ends_before_its_first_byte_is_not_there_yet() {
    let (_server, address) = listening(
        r#"
import socket, sys
l = socket.create_server(("127.0.0.1", 0)); print("listening on %s:%d" % l.getsockname(), file=sys.stderr, flush=True)
for _ in range(3):
    s, _ = l.accept(); s.close()
while True:
    s, _ = l.accept(); s.recv(9); s.sendall(b"yes"); s.close()
"#,
        "",
    );
    let words = "--send x --expect yes --count 4 --wait 20";
    let done = sockctl(format!("connect {address} {words}")).run();
    assert!(String::from_utf8_lossy(&done.stdout).contains("4 conversations"), "{}", done.stderr);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[test]
fn a_wrong_key_is_the_status_of_each() {
    for digest in ["", " --digest sha256"] {
        let server = sockctl(format!("auth-serve 0 --echo --no-penalty{digest}"))
            .env("SOCKCTL_KEY", "a passphrase of many words")
            .start();
        let words = format!("auth-connect {server} --send x --expect x --count 3{digest}");
        let done = sockctl(words).env("SOCKCTL_KEY", "another passphrase of words").run();
        let text = String::from_utf8_lossy(&done.stdout);
        assert!(text.contains("3 failed, 3 with status 9"), "{text}{}", done.stderr);
        assert_eq!(done.code, 9);
    }
}
