//! `connect` in a pipe and `connect --check`; its prompt is in `terminal/`.

use std::fmt::Display;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::run::{
    BINARY, DEADLINE, Finished, Folder, REFUSED, RESET, TIMED_OUT, accept, apart, ask, free_port,
    hold, is_like, listener, pattern, peer, python, read_all, shell, sockctl, take, until,
};

pub mod proxy;
mod reconnect;
mod repeat;
mod script;
mod waits;

const TEN_MIB: usize = 10 << 20;

#[test]
fn ten_mib_both_ways_are_equal_over_every_kind_of_stdio() {
    let folder = Folder::new();
    let bytes = pattern(TEN_MIB);
    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
    let (up, out) = (folder.file("up", &bytes), folder.text("out"));

    // How stdin and stdout are made in a shell: `$1` port, `$2` input, `$3` output.
    let ways = [
        ("pipe to pipe", r#"cat "$2" | "$0" connect $1 $4 | cat >"$3""#),
        ("file to file", r#""$0" connect $1 $4 <"$2" >"$3""#),
        ("file to appended file", r#""$0" connect $1 $4 <"$2" >>"$3""#),
        ("pipe to file", r#"cat "$2" | "$0" connect $1 $4 >"$3""#),
        ("file to pipe", r#""$0" connect $1 $4 <"$2" | cat >"$3""#),
        (
            "socket to socket",
            r#"exec python3 -c '
import shutil, socket, subprocess, sys, threading
ours, theirs = socket.socketpair()
child = subprocess.Popen(sys.argv[3:], stdin=theirs, stdout=theirs)
theirs.close()
def send():
    with open(sys.argv[1], "rb") as file:
        ours.sendall(file.read())
    ours.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
with open(sys.argv[2], "wb") as out:
    while data := ours.recv(65536):
        out.write(data)
sys.exit(child.wait())' "$2" "$3" "$0" connect $1 $4"#,
        ),
    ];
    for (index, (way, line)) in ways.into_iter().enumerate() {
        // A dump is a way of its own, and a slow one: once is enough.
        let dumps: &[_] = if index == 0 { &["", "--hex=/dev/null"] } else { &[""] };
        for &extra in dumps {
            let _ = fs::remove_file(&out);
            let down = reversed.clone();
            let peer = peer(move |stream| ask(&stream, down));
            shell(line, [&peer.to_string(), &up, &out, extra]).run().is(0, "", "");
            assert!(peer.done() == bytes, "{way} {extra}: sent");
            assert!(fs::read(&out).unwrap() == reversed, "{way} {extra}: received");
        }
    }
}

#[test]
fn row_22_an_answer_3_s_after_our_end_is_delivered() {
    for (words, input) in [("", "late"), ("--send late", "")] {
        let peer = peer(|mut stream| {
            let request = read_all(&stream);
            std::thread::sleep(Duration::from_secs(3)); // what the row is about
            stream.write_all(&request).unwrap();
        });
        sockctl(format!("connect {peer} {words}")).input(input).run().is(0, "late", "");
        peer.done();
    }
}

#[test]
fn the_peers_end_first_still_lets_all_of_stdin_out() {
    let bytes = pattern(TEN_MIB);
    let wanted = bytes.clone();
    let peer = peer(move |stream| {
        assert!(ask(&stream, b"bye") == wanted);
    });
    sockctl(format!("connect {peer}")).input(bytes).run().is(0, "bye", "");
    peer.done();
}

#[test]
fn the_little_behind_much_is_not_kept_waiting() {
    const MUCH: usize = 8 << 20;
    // As it is, and where bytes are looked at on their way.
    for words in ["", "--hex /dev/null"] {
        let (go, wait) = std::sync::mpsc::channel();
        let peer = peer(move |mut stream| {
            stream.write_all(&vec![b'm'; MUCH]).unwrap();
            for _ in 0..3 {
                stream.write_all(b"little").unwrap();
                let () = wait.recv_timeout(DEADLINE).unwrap();
            }
        });
        let talk = sockctl(format!("connect {peer} --recv-only {words}")).start();
        for count in 1..=3 {
            let all = talk.stdout_bytes(MUCH + count * 6);
            assert!(all.ends_with(b"little"));
            go.send(()).unwrap();
        }
        let all = [vec![b'm'; MUCH], b"littlelittlelittle".to_vec()].concat();
        talk.finish().is(0, all, "");
        peer.done();
    }
}

#[test]
fn a_stdin_that_is_never_quiet_for_500_ms_is_sent_on() {
    let peer = peer(|stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&stream), b"12345");
    });
    let line = r#"for i in 1 2 3 4 5; do printf $i; sleep 0.2; done | "$0" connect $1"#;
    shell(line, peer.to_string()).run().is(0, "", "");
    peer.done();
}

#[test]
fn a_stdin_quiet_for_500_ms_after_the_peers_end_ends_it() {
    let peer = peer(|mut stream| stream.write_all(b"all there is").unwrap());
    let began = Instant::now();
    let running = sockctl(format!("connect {peer}")).start();
    running.stdout_has("all there is");
    running.ends().is(0, "all there is", "");
    assert!(began.elapsed() >= Duration::from_millis(500));
    peer.done();
}

#[test]
fn a_reset_is_7_and_what_came_before_is_written() {
    let peer = peer(|mut stream| {
        stream.write_all(b"before").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        // Closed with bytes unread: the kernel sends a reset.
    });
    let mut running = sockctl(format!("connect {peer}")).start();
    running.stdout_has("before");
    running.send("12");
    running.ends().is(7, "before", format!("sockctl: connection to {peer}: {RESET}\n"));
    peer.done();
}

#[test]
fn a_peer_that_is_gone_while_we_still_send_is_a_reset_too() {
    for words in ["", "-C"] {
        let peer = peer(|mut stream| {
            stream.write_all(b"bye").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            stream.read_exact(&mut [0; 1]).unwrap();
            // Closed with bytes unread: a reset comes behind the end.
        });
        let told = format!("sockctl: connection to {peer}: {RESET}\n");
        let mut running = sockctl(format!("connect {peer} {words}")).start();
        running.feed(vec![b'x'; TEN_MIB]);
        peer.done();
        running.finish().is(7, "bye", told);
    }
}

#[test]
fn messages_in_the_error_queue_are_no_reset_and_nothing_spins() {
    for option in ["SO_TIMESTAMPING=tx_software|tx_ack|software", "IP_RECVERR=1"] {
        let (listener, address) = listener();
        let mut running = sockctl(format!("connect {address} -o {option}")).start();
        let stream = accept(&listener);
        running.send("first");
        assert_eq!(take(&stream, 5), b"first");
        (&stream).write_all(b"answer").unwrap();
        running.stdout_has("answer");
        running.rests();
        let text = pattern(TEN_MIB);
        running.feed(text.clone());
        assert!(read_all(&stream) == text, "{option}");
        drop(stream);
        running.ends().is(0, "answer", "");
    }
}

#[test]
fn send_only_drops_what_comes() {
    let peer = peer(|mut stream| {
        stream.write_all(b"unwanted").unwrap();
        assert_eq!(read_all(&stream), b"sent");
    });
    sockctl(format!("connect --send-only {peer}")).input("sent").run().is(0, "", "");
    peer.done();
}

#[test]
fn recv_only_does_not_read_stdin() {
    let peer = peer(|stream| {
        assert_eq!(ask(&stream, b"wanted"), b"");
    });
    // The next program in the shell gets what was not read.
    let line = r#""$0" connect --recv-only $1; cat"#;
    shell(line, peer.to_string()).input(" stdin").run().is(0, "wanted stdin", "");
    peer.done();
}

#[test]
fn linger_bounds_the_wait_for_the_peers_end_and_is_no_failure() {
    let (done, wait) = std::sync::mpsc::channel();
    let peer = peer(move |mut stream| {
        assert_eq!(read_all(&stream), b"data");
        stream.write_all(b"some").unwrap();
        // Open until the other side has left.
        wait.recv_timeout(DEADLINE).unwrap();
    });
    let began = Instant::now();
    sockctl(format!("connect --linger 300ms {peer}")).input("data").run().is(0, "some", "");
    assert!(began.elapsed() >= Duration::from_millis(300));
    done.send(()).unwrap();
    peer.done();

    let peer = self::peer(|stream| assert_eq!(read_all(&stream), b"data"));
    sockctl(format!("connect --linger 0 {peer}")).input("data").run().is(0, "", "");
    peer.done();
}

#[test]
fn no_half_close_keeps_our_side_open() {
    let peer = peer(|mut stream| {
        assert_eq!(take(&stream, 4), b"data");
        // No end comes while we are open.
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        stream.write_all(b"answer").unwrap();
    });
    sockctl(format!("connect --no-half-close {peer}")).input("data").run().is(0, "answer", "");
    peer.done();
}

#[test]
fn source_is_where_it_comes_from() {
    let seen = |words: &str| {
        let peer = peer(|stream| stream.peer_addr().unwrap());
        sockctl(format!("connect {peer} {words}")).run().is(0, "", "");
        peer.done()
    };
    assert_eq!(seen("-s 127.0.0.9").ip().to_string(), "127.0.0.9");
    let free = format!("127.0.0.8:{}", free_port());
    assert_eq!(seen(&format!("--source {free}")).to_string(), free);
}

#[test]
fn crlf_adds_the_cr_where_it_is_missing_across_packets_too() {
    let peer = peer(|stream| read_all(&stream));
    let pieces = "one\n|two\r|\n\n|three\r\n|\r|\nlone|\rend";
    let mut running = sockctl(format!("connect -C --hex - {peer}")).start();
    for (before, piece) in pieces.split('|').enumerate() {
        running.send(piece);
        // Each piece has gone out by itself before the next is given.
        let gone = |text: &str| text.lines().filter(|line| line.starts_with("> ")).count() > before;
        until("the piece", || gone(&running.stderr_has("")));
    }
    running.finish().gives(0, "");
    assert_eq!(peer.done(), b"one\r\ntwo\r\n\r\nthree\r\n\r\nlone\rend");
}

#[test]
fn hex_shows_both_directions_with_offset_and_time() {
    let peer = peer(|mut stream| {
        let got = read_all(&stream);
        stream.write_all(b"0123456789abcdef").unwrap();
        stream.write_all(&got).unwrap();
    });
    let folder = Folder::new();
    let file = folder.text("dump");
    let done = sockctl(format!("connect {peer} -x {file}")).input("hi\n\0\u{ff}").run();
    done.is(0, "0123456789abcdefhi\n\0\u{ff}", "");
    peer.done();
    let dump = fs::read_to_string(&file).unwrap();
    let wanted = "\
        > 0.… 00000000  68 69 0a 00 c3 bf        |hi....|\n\
        < 0.… 00000000  30 31 32 33 34 35 36 37  |01234567|\n\
        < 0.… 00000008  38 39 61 62 63 64 65 66  |89abcdef|\n\
        < 0.… 00000010  68 69 0a 00 c3 bf        |hi....|\n";
    assert!(is_like(wanted, &dump), "{dump}");
}

#[test]
fn idle_timeout_and_deadline_are_4() {
    for (words, cause) in [
        ("--idle-timeout 0.3", "idle timeout: no data for 300ms (-i)".to_owned()),
        ("--deadline 300ms", format!("{TIMED_OUT}; the deadline has passed")),
    ] {
        let peer = peer(hold);
        let began = Instant::now();
        let done = sockctl(format!("connect {peer} {words}")).start().ends();
        assert!(began.elapsed() >= Duration::from_millis(300));
        done.fails(4, format!("connection to {peer}: {cause}"));
        peer.done();
    }
}

#[test]
fn both_directions_reset_the_idle_timeout() {
    let peer = peer(|mut stream| {
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(250));
            stream.write_all(b".").unwrap();
        }
    });
    sockctl(format!("connect -i 1 --recv-only {peer}")).run().is(0, "......", "");
    peer.done();
}

#[test]
fn a_unix_socket_by_path_and_by_abstract_name() {
    let folder = Folder::new();
    let path = format!("unix:{}", folder.text("socket"));
    let name = format!("unix:@sockctl-test-{}", std::process::id());
    for (address, code, cause) in
        [(path, 1, "no such file or directory (ENOENT 2)"), (name, 3, REFUSED)]
    {
        let server = sockctl(format!("serve --echo {address}")).start();
        assert_eq!(server.address(), address);
        sockctl(format!("connect {address}")).input("over it").run().is(0, "over it", "");
        sockctl(format!("connect -z {address}")).run().is(0, format!("{address} open\n"), "");
        server.stops("", "");
        let gone = sockctl(format!("connect {address}")).run();
        gone.fails(code, format!("connect to {address}: {cause}"));
    }
}

#[test]
fn a_refused_connection_is_3_and_names_the_address() {
    for words in ["127.0.0.1:1", "1", "127.0.0.1 1", "-q 1", "-v 1", "-6 1"] {
        let there = if words == "-6 1" { "[::1]:1" } else { "127.0.0.1:1" };
        let done = sockctl(format!("connect {words}")).run();
        done.fails(3, format!("connect to {there}: {REFUSED}"));
    }
}

// ---- --check ---------------------------------------------------------------------------------

/// What `connect -z` with these words says, and its status.
#[track_caller]
fn check(words: impl Display, code: i32, said: impl Display) {
    sockctl(format!("connect -z {words}")).run().is(code, said.to_string(), "");
}

#[test]
fn check_reports_each_port_in_the_order_written() {
    let (_listener, open) = listener();
    let port = open.rsplit(':').next().unwrap();
    check(port, 0, format!("{open} open\n"));
    let both = format!("127.0.0.1:1 ECONNREFUSED (111)\n{open} open\n").repeat(2);
    check(format!("127.0.0.1:1,{port},1,{port}"), 3, both);
    let done = sockctl("connect --check 127.0.0.1 1").run();
    done.is(3, "127.0.0.1:1 ECONNREFUSED (111)\n", "");
}

#[test]
fn check_takes_a_range_that_succeeds_by_one_open_port() {
    // An address of its own: the neighbour of the port may be another test's on 127.0.0.1.
    let listener = TcpListener::bind("127.0.0.77:0").unwrap();
    let high = listener.local_addr().unwrap().port();
    let open = format!("127.0.0.77:{high} open\n");
    check(format!("127.0.0.77:{}-{high}", high - 1), 0, &open);
    let next = format!("127.0.0.77:{} ECONNREFUSED (111)\n", high + 1);
    check(format!("-v 127.0.0.77:{high}-{}", high + 1), 0, format!("{open}{next}"));
    // 1–3 are tcpmux, compressnet: no process listens there.
    sockctl("connect -z 127.0.0.1:1-3").run().is(3, "", "127.0.0.1:1-3: 0 of 3 open\n");
    sockctl("connect -qz 127.0.0.1:1-3").run().is(3, "", "");
    let closed = "127.0.0.77:1 ECONNREFUSED (111)\n";
    check("-v 127.0.0.77:1-2", 3, format!("{closed}127.0.0.77:2 ECONNREFUSED (111)\n"));
    // The first failure decides, whatever comes after it.
    let none = "127.0.0.77:1-3: 0 of 3 open\n";
    sockctl(format!("connect -z 127.0.0.77:1-3,{high}")).run().is(3, &open, none);
    let unknown = "127.0.0.77:nosuchservice EAI_SERVICE (-8)\n";
    let all = format!("{open}{unknown}{closed}");
    check(format!("127.0.0.77:{high},nosuchservice,1"), 6, all);
}

#[test]
fn check_in_json() {
    let (_listener, open) = listener();
    let open = open.rsplit(':').next().unwrap();
    let range = sockctl("connect -z --json 127.0.0.77:1-2").run();
    assert_eq!((range.code, range.stderr.as_str()), (3, ""));
    assert_eq!(range.text().lines().count(), 2, "every port of a range");
    let done = sockctl(format!("connect -z --json localhost:{open},1,nosuchservice")).run();
    assert_eq!((done.code, done.stderr.as_str()), (3, ""));
    let said = done.text();
    let results = said.lines().map(|line| {
        let mut result: Value = serde_json::from_str(line).unwrap();
        let ms = result.as_object_mut().unwrap().remove("ms").unwrap();
        assert!((0.0..10_000.0).contains(&ms.as_f64().unwrap()), "{line}");
        result
    });
    assert_eq!(
        results.collect::<Vec<_>>(),
        [
            json!({"event": "check", "address": format!("localhost:{open}"), "state": "open",
                "result": 0}),
            json!({"event": "check", "address": "localhost:1", "state": "closed",
                "errno": "ECONNREFUSED", "result": 111}),
            json!({"event": "check", "address": "localhost:nosuchservice", "state": "unknown",
                "errno": "EAI_SERVICE", "result": -8}),
        ]
    );
}

#[test]
fn check_knows_names_and_services() {
    let server = sockctl("serve --echo localhost:0").start();
    let port = server.port();
    check(format!("localhost {port}"), 0, format!("localhost:{port} open\n"));
    check("localhost:tcpmux", 3, "localhost:tcpmux ECONNREFUSED (111)\n");
}

#[test]
fn a_port_that_would_connect_to_itself_is_refused() {
    let free = || format!("127.0.0.7:{}", free_port());
    let there = free();
    check(format!("-s {there} {there}"), 3, format!("{there} ECONNREFUSED (111)\n"));
    let free = free();
    let done = sockctl(format!("connect -s {free} {free}")).run();
    done.fails(3, format!("connect to {free}: {REFUSED}"));
}

#[test]
#[ignore = "needs unshare, ip and root"]
fn check_scans_all_ports() {
    let line = r#"
        "$0" serve --echo 127.0.0.1:22 2>/dev/null & one=$!
        "$0" serve --echo 127.0.0.1:65535 2>/dev/null & other=$!
        until "$0" connect -z 127.0.0.1:22,65535 >/dev/null; do :; done
        "$0" connect -z 127.0.0.1:1-65535
        "$0" connect -zv 127.0.0.1:1-65535 | grep -c ECONNREFUSED
        kill $one $other"#;
    apart(line, "").run().is(0, "127.0.0.1:22 open\n127.0.0.1:65535 open\n65533\n", "");
}

/// Takes the only place in the queue of a listener on `argv[1]` `argv[2]`, so that a client that comes
/// next gets no answer, as behind a packet filter; then runs `argv[3:]`.
const FILTERED: &str = r#"
import socket, subprocess, sys
address = (sys.argv[1], int(sys.argv[2]))
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(address)
listener.listen(0)
taken = socket.create_connection(listener.getsockname())
port = str(listener.getsockname()[1])
words = [word.replace("PORT", port) for word in sys.argv[3:]]
sys.exit(subprocess.call(words, stdin=subprocess.DEVNULL))
"#;

#[test]
fn a_filtered_port_times_out() {
    let run =
        |words: &str| python(FILTERED, ["127.0.0.1", "0", BINARY, "connect"]).args(words).run();
    let timed_out = |words: &str, shown: &str| {
        let done = run(words);
        assert_eq!(done.code, 4, "{words}: {}", done.stderr);
        let text = done.stderr.clone() + &done.text();
        let (_, rest) = text.split_once("127.0.0.1:").unwrap_or_default();
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        assert_eq!(text, shown.replace("PORT", &port), "{words}");
    };
    timed_out(
        "-z 127.0.0.1:PORT,1 -w 0.3",
        "127.0.0.1:PORT ETIMEDOUT (110)\n127.0.0.1:1 ECONNREFUSED (111)\n",
    );
    timed_out("-z PORT -w 0 --deadline 0.3", "127.0.0.1:PORT ETIMEDOUT (110)\n");
    let line = "sockctl: connect to 127.0.0.1:PORT: connection timed out (ETIMEDOUT 110)\n";
    timed_out("PORT -w 300ms", line);
    timed_out("PORT -w 0 --deadline 0.3", line);
    // None of a range is open.
    run("-z 127.0.0.1:PORT-PORT -w 0.3").is(3, "", "127.0.0.1:…: 0 of 1 open\n");
}

#[test]
#[ignore = "needs unshare, ip and root"]
fn an_unreachable_network_is_5() {
    let line = "network is unreachable (ENETUNREACH 101)";
    let done = apart(r#"exec "$0" connect 203.0.113.1:22"#, "").run();
    done.fails(5, format!("connect to 203.0.113.1:22: {line}"));
    let check = apart(r#"exec "$0" connect -z 203.0.113.1:22"#, "").run();
    check.is(5, "203.0.113.1:22 ENETUNREACH (101)\n", "");
}

/// Runs in a network where `many` is `::1`, 127.0.0.2 and 127.0.0.1, and 127.0.0.2:8520 is silent.
fn with_many(line: &str) -> Finished {
    let folder = Folder::new();
    let hosts = "::1 many two\n127.0.0.2 many\n127.0.0.1 many two\n";
    fs::write(folder.at("hosts"), hosts).unwrap();
    let line = format!(
        r#"mount --bind hosts /etc/hosts
        exec python3 -c "$1" 127.0.0.2 8520 sh -c '{line}' "$0""#
    );
    apart(&line, [FILTERED]).within(&folder).run()
}

#[test]
#[ignore = "needs unshare, ip, python3 and root"]
fn a_name_with_several_addresses_is_tried_in_turn_and_a_failure_names_each() {
    with_many(r#"exec "$0" connect two 1"#)
        .fails(3, format!("connect to two:1: [::1]:1: {REFUSED}, 127.0.0.1:1: {REFUSED}"));
    with_many(r#"exec "$0" connect -4 two 1"#)
        .fails(3, format!("connect to 127.0.0.1:1: {REFUSED}"));
    let said = with_many(r#"exec "$0" connect many 8520 -w 0.8"#).gives(4, "");
    assert!(said.starts_with("sockctl: connect to many:8520: ") && said.lines().count() == 1);
    for each in [
        format!("[::1]:8520: {REFUSED}"),
        format!("127.0.0.1:8520: {REFUSED}"),
        format!("127.0.0.2:8520: {TIMED_OUT}"),
    ] {
        assert!(said.contains(&each), "{said}");
    }

    // The one that answers wins, and the silent one costs 250 ms.
    let serve = r#""$0" serve --reply found --once 127.0.0.1:8520 --port-file port & server=$!
        until [ -s port ]; do :; done
        "$0" connect many 8520 -v
        wait $server"#;
    let said = with_many(serve).gives(0, "found");
    assert!(said.contains("[1] connected to 127.0.0.1:8520 from 127.0.0.1:"), "{said}");
    with_many(r#""$0" connect -z two 1"#).is(3, "two:1 ECONNREFUSED (111)\n", "");
}
