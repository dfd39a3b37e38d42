//! Truncated sessions and broken records, in both roles: errors and events name what happened.

use std::time::Duration;

use super::certificates::Chain;
use super::peers::{VERSIONS, client, is_one_line, python_client, python_server, server};
use crate::run::{RESET, Running, events_of, pattern};

/// What a client says of a connection that stands.
fn broken(address: &str, why: &str) -> String {
    format!("sockctl: connection to {address}: {why}\n")
}

#[test]
fn an_end_without_close_notify_is_a_truncation_with_its_count() {
    let chain = Chain::new();
    let truncated =
        |count| format!("truncated after {count} bytes: the peer's close_notify did not come");
    for version in VERSIONS {
        for (ops, received) in [
            ("", String::new()),
            ("send:data", "data".into()),
            ("send*100000:ab", "ab".repeat(100_000)),
        ] {
            let (_server, address) =
                python_server(&chain.cert, format!("version={version} {ops} shut hold"));
            let why = broken(&address, &truncated(received.len()));
            client(&address, &chain.ca, "").start().ends().is(7, &received, &why);
            // Also where an answer is not waited for.
            let (_server, address) =
                python_server(&chain.cert, format!("version={version} {ops} shut hold"));
            let why = broken(&address, &truncated(received.len()));
            client(&address, &chain.ca, "--recv-only").run().is(7, &received, why);
            // The same at a server: its own status with --once, else a line.
            let server = server(&chain.cert, "--once --recv-only");
            let said = python_client(server.port(), format!("version={version} {ops} shut read"));
            said.run().is(0, "<fin>\n", "");
            let end = server.finish();
            assert_eq!(
                (end.code, end.stdout.as_slice()),
                (7, received.as_bytes()),
                "{}",
                end.stderr
            );
            let line = format!(": {}\n", truncated(received.len()));
            assert!(end.stderr.ends_with(&line), "{}", end.stderr);
        }
    }
    let server = server(&chain.cert, "--echo --json");
    python_client(server.port(), "send:hi take:2 shut read").run().is(0, "hi\n<fin>\n", "");
    client(&server, &chain.ca, "").input("next").run().is(0, "next", "");
    server.stderr_has("\"id\":2");
    server.signal("TERM");
    let said = server.finish().stderr;
    let closed = &events_of(&said, "closed")[0];
    assert_eq!((&closed["reason"], &closed["received"]), (&"error".into(), &2.into()));
    assert_eq!(events_of(&said, "error")[0]["exit"], 7);
}

#[test]
fn an_end_with_close_notify_is_whole_even_without_a_fin() {
    let chain = Chain::new();
    for version in VERSIONS {
        let (_server, address) =
            python_server(&chain.cert, format!("version={version} send:data close hold"));
        client(&address, &chain.ca, "").run().is(0, "data", "");
        let server = server(&chain.cert, "--once --recv-only --no-half-close");
        python_client(server.port(), format!("version={version} send:data close read")).run();
        let end = server.finish();
        assert_eq!((end.code, end.stdout.as_slice()), (0, &b"data"[..]), "{}", end.stderr);
    }
}

#[test]
fn a_reset_is_a_reset() {
    let chain = Chain::new();
    for version in VERSIONS {
        let ops = format!("version={version} send:data pause:300 reset");
        let (_server, address) = python_server(&chain.cert, &ops);
        client(&address, &chain.ca, "").start().ends().is(7, "data", broken(&address, RESET));
        let server = server(&chain.cert, "--once");
        python_client(server.port(), &ops).run();
        let end = server.ends();
        assert_eq!((end.code, end.stdout.as_slice()), (7, &b"data"[..]), "{}", end.stderr);
        assert!(end.stderr.contains(RESET), "{}", end.stderr);
    }
}

#[test]
fn what_came_before_an_alert_is_delivered() {
    let chain = Chain::new();
    let alert = "the peer ended TLS with the alert bad_record_mac";
    for version in VERSIONS {
        let ops = format!("version={version} send*50000:ab alert hold");
        let received = "ab".repeat(50_000);
        let (_server, address) = python_server(&chain.cert, &ops);
        let end = client(&address, &chain.ca, "").start().ends();
        end.is(7, &received, broken(&address, alert));
        let server = server(&chain.cert, "--once");
        python_client(server.port(), &ops).run().is(0, "", "");
        let end = server.ends();
        assert_eq!((end.code, end.stdout.as_slice()), (7, received.as_bytes()), "{}", end.stderr);
        assert!(end.stderr.ends_with(&format!(": {alert}\n")), "{}", end.stderr);
    }
}

#[test]
fn a_record_that_was_changed_ends_it_and_the_peer_is_told() {
    let chain = Chain::new();
    let why = "TLS: cannot decrypt peer's message";
    for version in VERSIONS {
        let ops = format!("version={version} send:good flip:bad read");
        let (server, address) = python_server(&chain.cert, &ops);
        client(&address, &chain.ca, "").start().ends().is(7, "good", broken(&address, why));
        assert_eq!(server.finish().text(), "<error SSLV3_ALERT_BAD_RECORD_MAC>\n");
        let server = self::server(&chain.cert, "--once");
        let said = python_client(server.port(), &ops).run().text();
        assert_eq!(said, "<error SSLV3_ALERT_BAD_RECORD_MAC>\n");
        let end = server.ends();
        assert_eq!((end.code, end.stdout.as_slice()), (7, &b"good"[..]), "{}", end.stderr);
    }
}

/// What is no record of a session: plain text, a record that nothing encrypted, and ones of wrong lengths.
const NO_RECORDS: [&str; 5] = [
    "raw:474554202f20485454502f312e310d0a0d0a",
    "raw:15030300020100",
    "raw:17030300050102030405",
    "raw:1703034801ff",
    "raw:1703030000",
];

#[test]
fn what_is_no_record_ends_a_session_once_it_stands() {
    let chain = Chain::new();
    for version in VERSIONS {
        for garbage in NO_RECORDS {
            let ops = format!("version={version} send:good {garbage} shut hold");
            let (_server, address) = python_server(&chain.cert, &ops);
            let end = client(&address, &chain.ca, "").start().ends();
            assert_eq!(
                (end.code, end.stdout.as_slice()),
                (7, &b"good"[..]),
                "{ops} {}",
                end.stderr
            );
            assert!(is_one_line(&end.stderr), "{ops} {}", end.stderr);
            let server = server(&chain.cert, "--once");
            python_client(server.port(), &ops).run();
            let end = server.ends();
            assert_eq!(
                (end.code, end.stdout.as_slice()),
                (7, &b"good"[..]),
                "{ops} {}",
                end.stderr
            );
        }
    }
}

#[test]
fn a_record_may_come_byte_by_byte() {
    let chain = Chain::new();
    let bytes = "x".repeat(16384);
    for version in VERSIONS {
        let ops = format!("version={version} drip*16384:x drip:end close read");
        let (_server, address) = python_server(&chain.cert, &ops);
        client(&address, &chain.ca, "").run().is(0, format!("{bytes}end"), "");
        let server = server(&chain.cert, "--once --recv-only");
        python_client(server.port(), &ops).run().is(0, "<eof>\n", "");
        let end = server.finish();
        assert_eq!((end.code, end.stdout), (0, format!("{bytes}end").into()), "{}", end.stderr);
    }
}

#[test]
fn a_client_that_writes_and_reads_nothing_is_bounded() {
    let chain = Chain::new();
    let server = server(&chain.cert, "--echo");
    client(&server, &chain.ca, "").input("hi").run().is(0, "hi", "");
    let before = server.vitals();
    let mut python = python_client(server.port(), "send*20000000:x hold").start();
    // It cannot send it all, as it reads none of the echo.
    std::thread::sleep(Duration::from_millis(1500)); // what is measured
    assert!(python.is_running());
    let honest = client(&server, &chain.ca, "").input(pattern(1 << 20)).run();
    honest.is(0, pattern(1 << 20), "");
    let after = server.vitals();
    assert!(after.peak < before.peak + (24 << 20), "{before:?} {after:?}");
    drop::<Running>(python);
}

#[test]
fn garbage_behind_our_own_end_is_no_end() {
    let chain = Chain::new();
    for version in VERSIONS {
        for garbage in NO_RECORDS {
            let ops = format!("version={version} read send:good {garbage} shut hold");
            let (_server, address) = python_server(&chain.cert, &ops);
            let end = client(&address, &chain.ca, "").input("hi").run();
            assert_eq!(
                (end.code, end.stdout.as_slice()),
                (7, &b"good"[..]),
                "{ops} {}",
                end.stderr
            );
            assert!(is_one_line(&end.stderr), "{ops} {}", end.stderr);
        }
    }
}
