//! Names and addresses that cannot be had, and those that can in spite of their form.

use std::net::TcpStream;

use crate::run::{Finished, apart, connect, read_all, sockctl};

/// Runs `argv[2:]` where the resolver on 127.0.0.1 takes questions and never answers; once it was
/// asked, sends the signal `argv[1]`, if there is one.
const SILENT_RESOLVER: &str = r#"
import signal, socket, subprocess, sys
resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
resolver.bind(("127.0.0.1", 53))
resolver.settimeout(20)
with open("resolv.conf", "w") as conf:
    conf.write("nameserver 127.0.0.1\n")
subprocess.check_call(["mount", "--bind", "resolv.conf", "/etc/resolv.conf"])
child = subprocess.Popen(sys.argv[2:])
resolver.recv(512)
if sys.argv[1]:
    child.send_signal(getattr(signal, sys.argv[1]))
sys.exit(child.wait(20))
"#;

/// Runs sockctl with these words where the resolver does not answer.
fn unanswered(signal: &str, words: &str) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let line = format!(r#"exec python3 -c "$1" "$2" "$0" {words}"#);
    apart(&line, [SILENT_RESOLVER, signal])
        .with(|command| {
            command.current_dir(folder.path());
        })
        .run()
}

#[test]
fn row_11_a_name_that_does_not_exist_is_6() {
    for words in [
        vec!["connect", "nosuch.invalid", "80", "-w", "25"],
        vec!["connect", "-n", "nosuch.invalid:80"],
        vec!["udp-send", "-n", "nosuch.invalid:80", "x"],
        vec!["serve", "-n", "nosuch.invalid:80"],
    ] {
        let finished = sockctl(words).run();
        assert!(
            finished.stderr.starts_with("sockctl: resolve nosuch.invalid: ")
                && finished.stderr.contains(" (EAI_"),
            "{}",
            finished.stderr
        );
        let line = finished.stderr.lines().next().unwrap().to_string() + "\n";
        finished.is(6, "", &line);
    }
    sockctl(["connect", "-z", "-n", "nosuch.invalid:80,81"]).run().is(
        6,
        "nosuch.invalid:80 EAI_NONAME (-2)\nnosuch.invalid:81 EAI_NONAME (-2)\n",
        "",
    );
    sockctl(["connect", "-z", "127.0.0.1:nosuchservice"]).run().is(
        6,
        "127.0.0.1:nosuchservice EAI_SERVICE (-8)\n",
        "",
    );
}

#[test]
#[ignore = "needs unshare, ip, python3 and root"]
fn row_11_a_resolver_that_does_not_answer_is_left_at_the_deadline() {
    let message = "sockctl: resolve nobody.example: connection timed out (ETIMEDOUT 110)\n";
    for words in [
        "connect nobody.example 80 -w 0.3",
        "connect nobody.example 80 --deadline 0.3 -w 0",
        "udp-send nobody.example 80 x -w 0.3",
        "serve nobody.example 80 --deadline 0.3",
    ] {
        unanswered("", words).is(4, "", message);
    }
    unanswered("", "connect -z nobody.example 80 -w 0.3").is(
        4,
        "nobody.example:80 ETIMEDOUT (110)\n",
        "",
    );
}

#[test]
#[ignore = "needs unshare, ip, python3 and root"]
fn row_11_signals_work_while_a_name_is_looked_up() {
    for words in [
        "connect nobody.example 80",
        "connect -z nobody.example 80",
        "udp-send nobody.example 80 x",
        "serve nobody.example 80",
        "udp-serve nobody.example 80",
    ] {
        unanswered("SIGINT", words).is(130, "", "");
        unanswered("SIGTERM", words).is(143, "", "");
    }
}

#[test]
fn row_12_a_zone_is_a_name_and_an_unknown_one_is_refused() {
    let finished = sockctl(["connect", "[fe80::1%lo]:1", "-w", "0.5"]).run();
    assert!(
        finished.stderr.starts_with("sockctl: connect to [fe80::1%lo]:1: ") && finished.code != 2,
        "{} {}",
        finished.code,
        finished.stderr
    );
    for word in ["[fe80::1%nosuch0]:80", "[fe80::1%4294967295]:80"] {
        let zone = word.trim_end_matches("]:80").split_once('%').unwrap().1;
        sockctl(["connect", word]).run().refuses(&format!(
            "zone '{zone}' of fe80::1: no such network interface; `ip link` lists them"
        ));
    }
    let server = sockctl(["serve", "--once", "--reply", "scoped", "[::1%lo]:0"]).start();
    let port = server.port().to_string();
    sockctl(["connect", "::1%lo", &port]).run().is(0, "scoped", "");
}

#[test]
fn row_13_a_doubtful_address_is_refused_with_the_fix() {
    sockctl(["connect", "::1:80"])
        .run()
        .refuses("address '::1:80' is ambiguous; write [::1]:80, or [::1:80]:PORT");
    for (word, fix) in [
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("10.256", "10.0.1.0"),
    ] {
        for command in ["connect", "serve", "udp-send"] {
            sockctl([command, &format!("{word}:80")])
                .run()
                .refuses(&format!("host '{word}': an IPv4 address has four numbers; write {fix}"));
        }
    }
    sockctl(["connect", "1.2.3.4.5:80"])
        .run()
        .refuses("host '1.2.3.4.5': an IPv4 address has four numbers 0–255, as 127.0.0.1");
}

#[test]
fn row_14_a_busy_port_is_10_and_nobody_binds_beside_it() {
    let first = sockctl(["serve", "--echo", "127.0.0.1:0"]).start();
    let address = first.address();
    let message = format!("sockctl: listen on {address}: address already in use (EADDRINUSE 98)\n");
    sockctl(["serve", "--echo", &address]).run().is(10, "", &message);
    // One that shares its port does so only with its like.
    sockctl(["serve", "--echo", "--reuse-port", &address]).run().is(10, "", &message);
    sockctl(["connect", "-s", &address, "127.0.0.1:1"]).run().is(
        10,
        "",
        &format!("sockctl: bind {address}: address already in use (EADDRINUSE 98)\n"),
    );

    let sharing = sockctl(["serve", "--echo", "--reuse-port", "127.0.0.1:0"]).start();
    let address = sharing.address();
    let beside = sockctl(["serve", "--echo", "--reuse-port", &address]).start();
    assert_eq!(beside.address(), address);
}

#[test]
fn row_15_an_address_that_is_not_ours_is_10() {
    sockctl(["serve", "192.0.2.1:8520"]).run().is(
        10,
        "",
        "sockctl: listen on 192.0.2.1:8520: cannot assign requested address (EADDRNOTAVAIL 99)\n",
    );
    sockctl(["connect", "-s", "192.0.2.1", "127.0.0.1:1"]).run().is(
        10,
        "",
        "sockctl: bind 192.0.2.1:0: cannot assign requested address (EADDRNOTAVAIL 99)\n",
    );
}

#[test]
#[ignore = "needs unshare, ip, setpriv and root"]
fn row_15_a_privileged_port_is_11_for_a_user() {
    // A user is who lacks this capability; a network of its own has the usual limit.
    let line = "caps=-net_bind_service\n\
                exec setpriv --inh-caps $caps --bounding-set $caps \"$0\" serve 127.0.0.1:80";
    apart(line, [""; 0]).run().is(
        11,
        "",
        "sockctl: listen on 127.0.0.1:80: permission denied (EACCES 13)\n",
    );
}

#[test]
fn row_16_binds_beside_a_connection_in_time_wait() {
    let server = sockctl(["serve", "--once", "--reply", "bye", "127.0.0.1:0"]).start();
    let address = server.address();
    let client = server.connect();
    // It ended first: the port is in TIME_WAIT on its side from here on.
    assert_eq!(read_all(&client), b"bye");
    drop(client);
    assert_eq!(server.finish().code, 0);
    let again = sockctl(["serve", "--echo", &address]).start();
    assert_eq!(again.address(), address);
}

#[test]
fn row_17_a_star_answers_both_families() {
    let server = sockctl(["serve", "-v", "--reply", "both", "*:0"]).start();
    let address = server.address();
    let port = server.port();
    assert_eq!(address, format!("*:{port}"));
    assert_eq!(read_all(&connect(port)), b"both");
    assert_eq!(read_all(&TcpStream::connect(("::1", port)).unwrap()), b"both");
    let said = server.stderr_has("[::1]:");
    assert!(said.contains("[1] 127.0.0.1:"), "{said}");

    let six = sockctl(["serve", "--reply", "six", "[::]:0"]).start();
    let port = six.port();
    assert_eq!(six.address(), format!("[::]:{port}"));
    assert_eq!(read_all(&TcpStream::connect(("::1", port)).unwrap()), b"six");
    sockctl(["connect", "-z", &format!("127.0.0.1:{port}")]).run().is(
        3,
        format!("127.0.0.1:{port} ECONNREFUSED (111)\n"),
        "",
    );
}
