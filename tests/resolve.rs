//! Names and addresses that cannot be had, and those that can in spite of their form.

use std::net::TcpStream;

use crate::run::{Finished, Folder, IN_USE, TIMED_OUT, apart, connect, read_all, refused, sockctl};

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
    let folder = Folder::new();
    let line = format!(r#"exec python3 -c "$1" "$2" "$0" {words}"#);
    apart(&line, [SILENT_RESOLVER, signal]).within(&folder).run()
}

#[test]
fn row_11_a_name_that_does_not_exist_is_6() {
    for words in [
        "connect nosuch.invalid 80 -w 25",
        "connect -n nosuch.invalid:80",
        "udp-send -n nosuch.invalid:80 x",
        "serve -n nosuch.invalid:80",
    ] {
        sockctl(words).run().fails(6, "resolve nosuch.invalid: … (EAI_… -…)");
    }
    let done = sockctl("connect -z -n nosuch.invalid:80,81").run();
    done.is(6, "nosuch.invalid:80 EAI_NONAME (-2)\nnosuch.invalid:81 EAI_NONAME (-2)\n", "");
    let done = sockctl("connect -z 127.0.0.1:nosuchservice").run();
    done.is(6, "127.0.0.1:nosuchservice EAI_SERVICE (-8)\n", "");
}

#[test]
#[ignore = "needs unshare, ip, python3 and root"]
fn row_11_a_resolver_that_does_not_answer_is_left_at_the_deadline() {
    for words in [
        "connect silent.example 80 -w 0.3",
        "connect silent.example 80 --deadline 0.3 -w 0",
        "udp-send silent.example 80 x -w 0.3",
        "serve silent.example 80 --deadline 0.3",
    ] {
        unanswered("", words).fails(4, format!("resolve silent.example: {TIMED_OUT}"));
    }
    unanswered("", "connect -z silent.example 80 -w 0.3").is(
        4,
        "silent.example:80 ETIMEDOUT (110)\n",
        "",
    );
}

#[test]
#[ignore = "needs unshare, ip, python3 and root"]
fn row_11_signals_work_while_a_name_is_looked_up() {
    for words in [
        "connect silent.example 80",
        "connect -z silent.example 80",
        "udp-send silent.example 80 x",
        "serve silent.example 80",
        "udp-serve silent.example 80",
    ] {
        unanswered("SIGINT", words).is(130, "", "");
        unanswered("SIGTERM", words).is(143, "", "");
    }
}

#[test]
fn row_12_a_zone_is_a_name_and_an_unknown_one_is_refused() {
    let done = sockctl("connect [fe80::1%lo]:1 -w 0.5").run();
    assert_ne!(done.code, 2);
    done.is(done.code, "", "sockctl: connect to [fe80::1%lo]:1: …\n");
    let why = "no such network interface; `ip link` lists them";
    refused(&[
        ("connect [fe80::1%nosuch0]:80", &format!("zone 'nosuch0' of fe80::1: {why}")),
        ("connect [fe80::1%4294967295]:80", &format!("zone '4294967295' of fe80::1: {why}")),
    ]);
    let server = sockctl("serve --once --reply scoped [::1%lo]:0").start();
    sockctl(format!("connect ::1%lo {}", server.port())).run().is(0, "scoped", "");
}

#[test]
fn row_13_a_doubtful_address_is_refused_with_the_fix() {
    let four = |host: &str, fix: &str| {
        format!("host '{host}': an IPv4 address has four numbers; write {fix}")
    };
    refused(&[
        ("connect ::1:80", "address '::1:80' is ambiguous; write [::1]:80, or [::1:80]:PORT"),
        ("connect 127.1:80", &four("127.1", "127.0.0.1")),
        ("serve 0x7f.1:80", &four("0x7f.1", "127.0.0.1")),
        ("udp-send 0177.0.0.1:80", &four("0177.0.0.1", "127.0.0.1")),
        ("connect 10.256:80", &four("10.256", "10.0.1.0")),
        (
            "connect 1.2.3.4.5:80",
            "host '1.2.3.4.5': an IPv4 address has four numbers 0–255, as 127.0.0.1",
        ),
    ]);
}

#[test]
fn row_14_a_busy_port_is_10() {
    let first = sockctl("serve --echo 127.0.0.1:0").start();
    let address = first.address();
    // One that shares its port does so only with its like.
    for words in ["", "--reuse-port"] {
        let done = sockctl(format!("serve --echo {address} {words}")).run();
        done.fails(10, format!("listen on {address}: {IN_USE}"));
    }
    let done = sockctl(format!("connect -s {address} 127.0.0.1:1")).run();
    done.fails(10, format!("bind {address}: {IN_USE}"));
}

#[test]
fn row_15_an_address_that_is_not_ours_is_10() {
    let done = sockctl("serve 192.0.2.1:8520").run();
    done.fails(10, "listen on 192.0.2.1:8520: cannot assign requested address (EADDRNOTAVAIL 99)");
    let done = sockctl("connect -s 192.0.2.1 127.0.0.1:1").run();
    done.fails(10, "bind 192.0.2.1:0: cannot assign requested address (EADDRNOTAVAIL 99)");
}

#[test]
#[ignore = "needs unshare, ip and root"]
fn a_service_of_every_address_is_listened_on_at_every_address() {
    let line = r#"exec "$0" serve '*:http' --deadline 0.1"#;
    apart(line, "").run().is(
        4,
        "",
        "listening on *:80\nsockctl: serve on *:80: the deadline has passed\n",
    );
}

#[test]
#[ignore = "needs unshare, ip, setpriv and root"]
fn row_15_a_privileged_port_is_11_for_a_user() {
    // Without this capability root is limited as any user; a network of its own has the usual limit.
    let line = "caps=-net_bind_service\n\
                exec setpriv --inh-caps $caps --bounding-set $caps \"$0\" serve 127.0.0.1:80";
    apart(line, "").run().fails(11, "listen on 127.0.0.1:80: permission denied (EACCES 13)");
}

#[test]
fn row_16_binds_beside_a_connection_in_time_wait() {
    let server = sockctl("serve --once --reply bye 127.0.0.1:0").start();
    let address = server.address();
    let client = server.connect();
    // It ended first: the port is in TIME_WAIT on its side from here on.
    assert_eq!(read_all(&client), b"bye");
    drop(client);
    assert_eq!(server.finish().code, 0);
    let again = sockctl(format!("serve --echo {address}")).start();
    assert_eq!(again.address(), address);
}

#[test]
fn row_17_a_star_answers_both_families() {
    let server = sockctl("serve -v --reply both *:0").start();
    let port = server.port();
    assert_eq!(server.address(), format!("*:{port}"));
    let (four, six) = (connect(port), TcpStream::connect(("::1", port)).unwrap());
    assert_eq!(read_all(&four), b"both");
    assert_eq!(read_all(&six), b"both");
    let (four, six) = (four.local_addr().unwrap(), six.local_addr().unwrap());
    server.stderr_has(&format!("[1] {four} accepted on 127.0.0.1:{port}\n"));
    server.stderr_has(&format!("[2] {six} accepted on [::1]:{port}\n"));

    let six = sockctl("serve --reply six [::]:0").start();
    let port = six.port();
    assert_eq!(six.address(), format!("[::]:{port}"));
    assert_eq!(read_all(&TcpStream::connect(("::1", port)).unwrap()), b"six");
    let done = sockctl(format!("connect -z 127.0.0.1:{port}")).run();
    done.is(3, format!("127.0.0.1:{port} ECONNREFUSED (111)\n"), "");
}
