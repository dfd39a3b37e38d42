//! `connect` as a smoke test: `--wait`, `--send`, `--expect`, `--expect-eof`, and the limits and
//! the exit statuses that tell the causes of a failure apart.

use std::fmt::Display;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, SockAddr, SockRef, Socket};

use crate::run::{
    BINARY, Finished, Folder, Peer, REFUSED, TIMED_OUT, accept, ask, deserted_socket, events,
    events_of, flood, free_port, listen, listener, listening, pattern, peer, python, read_all,
    read_to_reset, shell, sockctl, until,
};

/// Waits until everything up to these bytes came.
fn hear(stream: &mut TcpStream, last: &str) -> String {
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(last.as_bytes()) {
        let count = stream.read(&mut byte).unwrap();
        assert!(count > 0, "ended after {}", heard.escape_ascii());
        heard.push(byte[0]);
    }
    String::from_utf8(heard).unwrap()
}

fn connect(at: impl Display, words: &str) -> Finished {
    sockctl(format!("connect {at} {words}")).run()
}

/// A peer that sends each of these in a segment of its own and then reads to the end; what it got.
fn says(parts: &'static [&'static str]) -> Peer<Vec<u8>> {
    peer(move |mut stream| {
        stream.set_nodelay(true).unwrap();
        for part in parts {
            stream.write_all(part.as_bytes()).unwrap();
        }
        read_all(&stream)
    })
}

#[test]
fn steps_are_done_in_the_order_given() {
    let peer = peer(|mut stream| {
        stream.set_nodelay(true).unwrap();
        for (line, answer) in [
            ("", "220 mail ready\r\n"),
            ("EHLO me\r\n", "250-mail\r\n250 SIZE 1000\r\n"),
            ("QUIT\r\n", "221 bye\r\n"),
        ] {
            assert_eq!(hear(&mut stream, line), line);
            let (one, other) = answer.split_at(answer.len() / 2);
            stream.write_all(one.as_bytes()).unwrap();
            stream.write_all(other.as_bytes()).unwrap();
        }
    });
    connect(
        &peer,
        "--expect '^220 .*\r\n' --send 'EHLO me\\r\\n' \
         --expect '^250 SIZE (\\d+)\r\n' --send QUIT\\r\\n --expect ^221 \
         --expect-eof",
    )
    .is(0, "220 mail ready\r\n250-mail\r\n250 SIZE 1000\r\n221 bye\r\n", "");
    peer.done();
}

#[test]
fn what_is_behind_a_match_is_kept_and_the_connection_is_closed() {
    let peer = says(&["one two ", "three"]);
    let talk = connect(&peer, "--expect one --expect two --send x --expect '^ three$'");
    talk.is(0, "one two three", "");
    assert_eq!(peer.done(), b"x");
}

#[test]
fn after_a_last_send_the_answer_is_read_to_its_end() {
    let peer = peer(|mut stream| {
        let mut request = String::new();
        stream.read_to_string(&mut request).unwrap();
        stream.write_all(request.to_uppercase().as_bytes()).unwrap();
        stream.write_all(&vec![b'.'; 3 << 20]).unwrap();
    });
    let talk = sockctl(format!("connect {peer} --send 'get \\x61' --send bc")).input("never read");
    talk.run().is(0, format!("GET ABC{}", ".".repeat(3 << 20)), "");
    peer.done();
}

#[test]
fn an_expectation_is_about_bytes() {
    for (pattern, answer) in [
        (r"^\xff\x00.\xfe$", &b"\xff\x00\x80\xfe\n"[..]),
        ("(?i)^grüsse \\d+", "GRüSSE 42\n".as_bytes()),
        ("^(?u:[äöü].)$", "öß\n".as_bytes()),
    ] {
        let peer = peer(move |mut stream| stream.write_all(answer).unwrap());
        sockctl(format!("connect {peer} --expect")).arg(pattern).run().is(0, answer, "");
        peer.done();
    }
}

#[test]
fn row_94_a_line_ends_before_crlf() {
    for (pattern, rest) in [(r"^\+PONG$", "--expect ^\r\n"), ("^.*G$", ""), (r"PONG\r$", "")] {
        let peer = says(&["+PONG\r\n"]);
        let words = format!("connect {peer} --expect {pattern} {rest} --json");
        let said = sockctl(words).run().gives(0, "+PONG\r\n");
        let event = &events_of(&said, "expect")[0];
        assert_eq!((&event["pattern"], &event["ok"]), (&pattern.into(), &true.into()));
        peer.done();
    }
    let server = sockctl("udp-serve 0 --reply PONG\\r\\n").start();
    let asked = sockctl(format!("udp-send {server} x --expect ^PONG$")).run();
    asked.is(0, "PONG\r\n", "");
}

#[test]
fn a_wrong_answer_is_shown_beside_what_was_expected() {
    let said = "-ERR \x1b[1m no\r\n";
    for (ends, cause, limit) in
        [(true, "the peer closed the connection", ""), (false, "not within 300ms (-w)", "-w 300ms")]
    {
        let peer = peer(move |mut stream| {
            hear(&mut stream, "PING\r\n");
            stream.write_all(said.as_bytes()).unwrap();
            if ends {
                stream.shutdown(Shutdown::Write).unwrap();
            }
            assert_eq!(read_to_reset(&stream), b"");
        });
        let began = Instant::now();
        let why = format!(
            "sockctl: expect '\\+PONG' from {peer}: {cause}; \
             received 14 bytes: '-ERR \\x1b[1m no\\r\\n'\n"
        );
        let words = format!("--send PING\\r\\n --expect \\+PONG {limit}");
        connect(&peer, &words).is(8, said, why);
        assert!(ends || began.elapsed() >= Duration::from_millis(300));
        peer.done();
    }
}

#[test]
fn a_reset_fails_an_expectation_and_a_script_without_one() {
    for (words, code, message) in [
        ("--send x --expect y", 8, "expect 'y' from ADDRESS: RESET; nothing received"),
        ("--send x", 7, "connection to ADDRESS: RESET"),
        ("--send x --expect-eof", 8, "expect the end of ADDRESS: RESET; nothing received"),
    ] {
        let peer = peer(|stream| {
            // Closed with a byte unread: the kernel resets.
            let mut byte = [0];
            until("a byte", || stream.peek(&mut byte).unwrap() == 1);
        });
        let message = message.replace("ADDRESS", &peer.to_string());
        let reset = "connection reset by peer (ECONNRESET 104)";
        connect(&peer, words).fails(code, message.replace("RESET", reset));
        peer.done();
    }
}

#[test]
fn a_pending_expectation_ends_with_whatever_ends_the_run() {
    for (limit, cause, came) in [
        ("--deadline 300ms", "the deadline has passed (--deadline)", "abc"),
        ("-i 300ms", "idle timeout: no data for 300ms (-i)", "abc"),
        ("-w 300ms", "not within 300ms (-w)", "abc"),
        ("--max-bytes 2", "--max-bytes reached", "ab"),
    ] {
        let peer = peer(|mut stream| {
            stream.write_all(b"abc").unwrap();
            // A reset is as good an end as any: bytes of ours may be unread.
            let _ = stream.read(&mut [0]);
        });
        let count = came.len();
        let why = format!("expect 'abcd' from {peer}: {cause}; received {count} bytes: '{came}'");
        connect(&peer, &format!("--expect abcd {limit}")).is(8, came, format!("sockctl: {why}\n"));
        peer.done();
    }
}

#[test]
fn expect_eof_waits_for_the_end_whatever_comes_before() {
    let peer = peer(|mut stream| {
        hear(&mut stream, "q");
        stream.write_all(b"bye").unwrap();
    });
    connect(&peer, "--send q --expect-eof").is(0, "bye", "");
    peer.done();
    let peer = self::peer(|mut stream| {
        stream.write_all(b"still here").unwrap();
        assert_eq!(read_to_reset(&stream), b"");
    });
    connect(&peer, "--expect-eof -w 0.2").is(
        8,
        "still here",
        format!(
            "sockctl: expect the end of {peer}: not within 200ms (-w); \
             received 10 bytes: 'still here'\n"
        ),
    );
    peer.done();
}

#[test]
fn an_answer_that_does_not_begin_is_a_timeout_and_a_slow_one_is_not() {
    let peer = peer(|stream| {
        read_all(&stream);
        stream // open until this is joined
    });
    connect(&peer, "--send hello? -w 200ms")
        .fails(4, format!("answer from {peer}: {TIMED_OUT}; no reply within 200ms (-w)"));
    peer.done();
    let peer = self::peer(|mut stream| {
        hear(&mut stream, "hello?");
        stream.write_all(b"first").unwrap();
        std::thread::sleep(Duration::from_millis(600)); // longer than -w
        stream.write_all(b" and last").unwrap();
    });
    connect(&peer, "--send hello? -w 500ms").is(0, "first and last", "");
    peer.done();
}

#[test]
fn max_bytes_ends_a_pipe_exactly_there() {
    let folder = Folder::new();
    for rest in ["</dev/null", "--hex /dev/null </dev/null", r#"</dev/null >"$2"; cat "$2""#] {
        let peer = peer(flood);
        let line = format!(r#"exec 3>&1; "$0" connect "$1" --max-bytes 100k {rest}"#);
        let words = [peer.to_string(), folder.text("out")];
        shell(&line, words).run().is(0, b"y\n".repeat(50 << 10), "");
        peer.done();
    }
}

#[test]
fn max_bytes_ends_a_script_after_its_last_send() {
    let peer = peer(flood);
    connect(&peer, "--send go --max-bytes 70000").is(0, b"y\n".repeat(35_000), "");
    peer.done();
}

#[test]
fn a_cr_is_added_across_the_sends_of_a_script() {
    let peer = says(&["ok"]);
    connect(&peer, "-C --send a\\nb\\r --send \\nc --send \\n --expect ok").is(0, "ok", "");
    assert_eq!(peer.done(), b"a\r\nb\r\nc\r\n");
}

#[test]
fn expectations_are_events() {
    let words = "--json --expect o.e --expect (?-u:[^a-z]+) --expect x -w 0.3";
    let talk = connect(says(&["one\n", "\u{1f}two"]), words);
    assert_eq!(talk.code, 8);
    let events = events(&talk.stderr);
    let expects: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "expect")
        .map(|e| {
            (e["pattern"].as_str().unwrap(), e["ok"].as_bool().unwrap(), e["matched"].as_str())
        })
        .collect();
    assert_eq!(expects[0], ("o.e", true, Some("one")));
    assert!(expects[1].2.unwrap().starts_with('\n'));
    assert_eq!(expects[2], ("x", false, None));
    let last = events.last().unwrap();
    assert_eq!(
        (&last["event"], &last["op"], &last["exit"]),
        (&"error".into(), &"expect".into(), &8.into())
    );
}

#[test]
fn a_matched_byte_that_is_no_text_is_base64() {
    let peer = peer(|mut stream| {
        stream.write_all(b"\xff\xfe!").unwrap();
        let _ = stream.read(&mut [0]);
    });
    let talk = connect(&peer, "--json --expect (?-u:\\xff\\xfe)").gives(0, b"\xff\xfe!");
    let event = &events_of(&talk, "expect")[0];
    assert_eq!((&event["base64"], &event["matched"]), (&"//4=".into(), &Value::Null));
    peer.done();
}

#[test]
fn a_hex_dump_has_both_directions_of_a_script() {
    let words = "--expect hello --send bye --hex - -C";
    connect(says(&["hello"]), words).is(0, "hello", "< 0.…  |hello|\n> 0.…  |bye|\n");
}

#[test]
fn a_large_send_and_a_peer_that_echoes_it_do_not_wait_for_each_other() {
    let server = sockctl("serve 127.0.0.1:0 --echo").start();
    let (folder, big) = (Folder::new(), pattern(8 << 20));
    let file = folder.file("big", &big);
    let talk = connect(&server, &format!("--send @{file} --send END --expect END"));
    talk.is(0, [&big[..], b"END"].concat(), "");
}

#[test]
fn wait_tries_until_the_port_is_open() {
    let port = free_port();
    let mut client = sockctl(format!("connect {port} --wait 30 --trace --expect hi")).start();
    client.close();
    // Refused at least once; only then there is a server.
    client.stderr_has("ECONNREFUSED");
    accept(&listen(port)).write_all(b"hi").unwrap();
    client.finish().gives(0, "hi");
}

#[test]
fn wait_run_out_is_a_timeout_that_tells_the_last_cause() {
    let port = free_port();
    let began = Instant::now();
    let head = format!("connect to 127.0.0.1:{port}: {REFUSED}; still so after");
    connect(port, "--wait 300ms").fails(4, format!("{head} 300ms, … attempts (--wait)"));
    assert!(began.elapsed() >= Duration::from_millis(300));
    connect(port, "--wait 0").fails(4, format!("{head} 0s, 1 attempt (--wait)"));
}

#[test]
fn wait_covers_names_and_unix_paths() {
    connect("nosuch.invalid:1", "--wait 200ms").fails(4, "resolve nosuch.invalid: … (--wait)");
    let folder = Folder::new();
    let address = format!("unix:{}", folder.text("sock"));
    let mut client = sockctl(format!("connect {address} --wait 30 --trace --expect-eof")).start();
    client.close();
    client.stderr_has("ENOENT");
    let listener = UnixListener::bind(folder.at("sock")).unwrap();
    listener.accept().unwrap().0.write_all(b"hi").unwrap();
    client.finish().gives(0, "hi");
}

#[test]
fn wait_does_not_wait_for_what_cannot_pass() {
    let why = "bind 192.0.2.1:0: cannot assign requested address (EADDRNOTAVAIL 99)";
    connect("127.0.0.1:1", "--wait 30 -s 192.0.2.1").fails(10, why);
}

#[test]
fn check_waits_until_the_port_is_open() {
    let port = free_port();
    let mut client = sockctl(format!("connect -z {port} --wait 30 --trace")).start();
    client.close();
    client.stderr_has("ECONNREFUSED");
    let _listener = listen(port);
    client.finish().gives(0, format!("127.0.0.1:{port} open\n"));
}

#[test]
fn check_that_waited_in_vain_shows_the_last_result() {
    let (_listener, open) = listener();
    let closed = free_port();
    let began = Instant::now();
    let port = open.rsplit(':').next().unwrap();
    let shown = format!("127.0.0.1:{closed} ECONNREFUSED (111)\n{open} open\n");
    connect(format!("127.0.0.1:{closed},{port}"), "-z --wait 300ms").is(4, shown, "");
    assert!(began.elapsed() >= Duration::from_millis(300));
    // One open port of a range is enough.
    connect(format!("{open}-{port}"), "-z --wait 30").is(0, format!("{open} open\n"), "");
}

#[test]
fn check_of_a_unix_path() {
    let folder = Folder::new();
    let address = format!("unix:{}", folder.text("sock"));
    let is = |code, result| connect(&address, "-z").is(code, format!("{address} {result}\n"), "");
    is(1, "ENOENT (2)");
    let _listener = UnixListener::bind(folder.at("sock")).unwrap();
    is(0, "open");
    std::fs::remove_file(folder.at("sock")).unwrap();
    deserted_socket(&folder.at("sock"));
    is(3, "ECONNREFUSED (111)");
}

#[test]
fn an_authenticated_script_waits_proves_and_expects() {
    let folder = Folder::new();
    let key = folder.text("key");
    sockctl(format!("auth-connect --create-key --key-file {key}")).run().is(0, "", "");
    let auth = format!("127.0.0.1:{} --digest sha256 --key-file {key}", free_port());
    let script = "--wait 30 --trace --send ping --expect ping";
    let mut client = sockctl(format!("auth-connect {auth} {script}")).start();
    client.close();
    client.stderr_has("ECONNREFUSED");
    let server = sockctl(format!("auth-serve {auth} --echo")).start();
    server.address();
    client.finish().gives(0, "ping");
}

#[test]
fn tcp_info_tells_at_the_end_how_the_connection_fared() {
    let server = sockctl("serve 127.0.0.1:0 --echo").start();
    let address = server.address();
    let talk = connect(&address, "--send hi --tcp-info").gives(0, "hi");
    let line = talk.strip_prefix("tcp: rtt ").unwrap();
    let parts = [" ms (±", ", least ", "), 0 of ", " segments retransmitted, cwnd ", " × "];
    for part in parts.into_iter().chain([" bytes, delivery ", "/s\n"]) {
        assert!(line.contains(part), "{part:?} in {line}");
    }
    // In a pipe as well, and as an object of numbers.
    let talk = sockctl(format!("connect {address} --tcp-info --json -q")).input("hello").run();
    let event = &events(&talk.gives(0, "hello")).pop().unwrap();
    assert_eq!((&event["event"], &event["peer"]), (&"tcp_info".into(), &address.into()));
    assert_eq!(event["retransmits"], 0);
    assert!(event["rtt_us"].is_u64() && event["cwnd"].is_u64() && event["delivery_rate"].is_u64());
}

/// Runs `sys.argv[1:]` with a terminal as its stderr, and prints what that terminal shows.
const ON_TERMINAL: &str = r"
import os, pty, subprocess, sys
ours, theirs = pty.openpty()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs)
os.close(theirs)
child.stdin.write(b'x' * 3000000)
child.stdin.close()
got = child.stdout.read()
shown = b''
try:
    while data := os.read(ours, 4096): shown += data
except OSError: pass
sys.stdout.buffer.write(shown)
sys.exit(0 if child.wait() == 0 and got == b'x' * 3000000 else 1)
";

#[test]
fn progress_is_shown_at_a_terminal_only() {
    let server = sockctl("serve 127.0.0.1:0 --echo").start();
    let address = server.address();
    let shown = python(ON_TERMINAL, [BINARY, "connect", &address, "--progress"]).run().output();
    let last = shown.trim_end().rsplit('\r').next().unwrap();
    assert!(last.starts_with("2.8 MiB received, 2.8 MiB sent, "), "{shown:?}");
    assert!(!shown.contains('\x1b'), "{shown:?}");
    sockctl(format!("connect {address} --progress")).input("hello").run().is(0, "hello", "");
}

#[test]
fn verbose_tells_each_expectation_that_was_met() {
    let words = "-v --expect ^2.*\n --send x -w 0";
    let peer = says(&["220 hi\r\n"]);
    let said = format!(
        "[1] connected to {peer} from …\nexpected '^2.*\\n': '220 hi\\r\\n'\n\
         [1] {peer} closed (eof; received 8, sent 1 bytes in … s)\n"
    );
    connect(peer, words).is(0, "220 hi\r\n", said);
}

// ---- faults of peers and of our own side ---------------------------------------------------------

#[test]
fn row_24_a_peer_that_ended_first_still_gets_what_is_to_be_sent() {
    let peer = peer(|stream| {
        assert_eq!(ask(&stream, b"hello"), b"onetwo");
    });
    connect(&peer, "--expect-eof --send one --send two").is(0, "hello", "");
    peer.done();
}

#[test]
fn row_25_what_came_before_a_reset_is_written_and_counts() {
    let why = "connection reset by peer (ECONNRESET 104); received 2 bytes: 'bc'";
    for (wanted, code) in [("bc", 0), ("bcd", 8)] {
        let peer = peer(|mut stream| {
            stream.write_all(b"abc").unwrap();
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            // The client has read what came; then the reset.
            stream.read_exact(&mut [0]).unwrap();
        });
        let told = format!("sockctl: expect 'bcd' from {peer}: {why}\n");
        connect(&peer, &format!("--expect a --send x --expect {wanted}")).is(
            code,
            "abc",
            if code == 0 { "" } else { &told },
        );
        peer.done();
    }
}

#[test]
fn row_31_short_writes_of_a_script_go_on_at_the_right_byte() {
    let (folder, big) = (Folder::new(), pattern(300_000));
    let file = folder.file("big", &big);
    let peer = peer(move |mut stream| {
        SockRef::from(&stream).set_recv_buffer_size(2304).unwrap();
        let mut got = Vec::new();
        while (&stream).take(777).read_to_end(&mut got).unwrap() > 0 {}
        assert!(got == big);
        stream.write_all(b"thanks").unwrap();
    });
    connect(&peer, &format!("-o SO_SNDBUF=4608 --send @{file}")).is(0, "thanks", "");
    peer.done();
}

#[test]
fn row_36_a_reader_that_has_gone_is_141_in_silence() {
    let peer = peer(flood);
    let line = r#"("$0" connect "$1" --send x --expect never; echo $? >&2) | head -c 1"#;
    shell(line, peer.to_string()).run().is(0, "y", "141\n");
    peer.done();
}

#[test]
fn row_37_a_full_disk_is_12_though_the_expectation_is_met() {
    let server = sockctl("serve 127.0.0.1:0 --echo").start();
    let done = shell(r#""$0" connect "$1" --send x --expect x >/dev/full"#, server.address()).run();
    done.fails(12, "write stdout: no space left on device (ENOSPC 28)");
}

#[test]
fn row_38_a_script_needs_no_descriptors_of_ours_but_a_place_for_the_answer() {
    let server = sockctl("serve 127.0.0.1:0 --echo").start();
    for (stdout, status) in [("/dev/null", "0\n"), ("&-", "12\n")] {
        let line = format!(r#""$0" connect "$1" --send x --expect x <&- >{stdout} 2>&-; echo $?"#);
        shell(&line, server.address()).run().is(0, status, "");
    }
}

#[test]
fn row_35_a_peer_that_takes_nothing_is_a_timeout_not_a_hang() {
    let folder = Folder::new();
    let file = folder.file("big", vec![0; 32 << 20]);
    let (listener, address) = listener();
    SockRef::from(&listener).set_recv_buffer_size(2304).unwrap();
    let words = format!("-w 300ms -o SO_SNDBUF=4608 --send @{file} --expect x");
    let why = format!("{TIMED_OUT}; the peer read nothing for 300ms (-w), after …");
    connect(&address, &words).fails(4, format!("send to {address}: {why}"));
    drop(listener);
}

#[test]
fn row_53_a_wrong_key_is_9_whatever_is_expected() {
    let server = sockctl("auth-serve 127.0.0.1:0 --digest sha256 --echo");
    let server = server.env("SOCKCTL_KEY", "right").start();
    let words = format!("auth-connect {server} --digest sha256 --send x --expect x");
    let why = format!(
        "authenticate to {server}: the server closed without a reply (it may have rejected the key)"
    );
    sockctl(words).env("SOCKCTL_KEY", "wrong").run().fails(9, why);
}

#[test]
fn row_106_bytes_before_the_end_are_counted_for_the_step_that_consumed_them() {
    const MIB: usize = 1 << 20;
    for count in [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB] {
        for (words, came) in
            [("--expect-eof --expect foo", 0), ("--expect foo --expect-eof", count)]
        {
            let peer = peer(move |mut stream| stream.write_all(&vec![b'.'; count]).unwrap());
            let cause = match came {
                0 if count == 0 => "nothing received".to_owned(),
                0 => "nothing received after that".to_owned(),
                1 => "received 1 byte: '.'".to_owned(),
                _ => format!("received {came} bytes: …"),
            };
            let said = format!(
                "sockctl: expect 'foo' from {peer}: the peer closed the connection; {cause}\n"
            );
            connect(&peer, words).is(8, vec![b'.'; count], said);
            peer.done();
        }
    }
}

/// docker-proxy accepts before the service is there, and closes: a given number of times, by its end
/// or by a reset. Then it is the service.
const PROXY: &str = r#"
import socket, struct, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print("listening on 127.0.0.1:%d" % s.getsockname()[1], file=sys.stderr)
for turn in range(int(sys.argv[1])):
    c, _ = s.accept()
    if turn % 2:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()
while True:
    c, _ = s.accept()
    c.sendall(b"ready\n")
    c.sendall(c.recv(100))
    c.close()
"#;

#[test]
fn row_99_with_wait_a_connection_that_ends_before_its_first_byte_is_not_there_yet() {
    for steps in ["--send ping --expect ping", "--expect ready", "--send ping"] {
        let (_proxy, address) = listening(PROXY, "4");
        let done = sockctl(format!("connect {address} --wait 20s {steps}")).run();
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{steps}");
        assert!(done.text().starts_with("ready\n"), "{steps}");
    }
    // The time is over.
    let (_proxy, address) = listening(PROXY, "1000000");
    let done = sockctl(format!("connect {address} --wait 500ms --expect ready")).run();
    done.fails(4, format!("connect to {address}: the connection ended before its first byte: …; still so after 500ms, … attempts (--wait)"));
    // Without steps, and without --wait, an end is an end.
    let (_proxy, address) = listening(PROXY, "4");
    sockctl(format!("connect {address} --wait 5s")).run().is(0, "", "");
    assert_eq!(sockctl(format!("connect {address} --expect ready")).run().code, 8);
}

#[test]
fn row_99_so_it_is_before_a_key_is_proved() {
    let folder = Folder::new();
    let key = folder.file("key", "a key of some length");
    let server = sockctl(format!("auth-serve 127.0.0.1:0 --key-file {key} --reply ready")).start();
    let proxy = r#"
import socket, sys, threading
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print("listening on 127.0.0.1:%d" % s.getsockname()[1], file=sys.stderr)
for turn in range(3): s.accept()[0].close()
def pump(a, b):
    while data := a.recv(65536): b.sendall(data)
    b.shutdown(socket.SHUT_WR)
c, _ = s.accept()
t = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
threading.Thread(target=pump, args=(c, t)).start()
pump(t, c)
"#;
    let (_proxy, address) = listening(proxy, server.port().to_string());
    let words = format!("auth-connect {address} --key-file {key} --wait 20s --expect ready");
    sockctl(words).run().is(0, "ready", "");
}

#[test]
fn row_87_a_full_backlog_of_a_unix_listener_is_waited_for() {
    let folder = Folder::new();
    let path = folder.text("s");
    let [server, client] =
        [0; 2].map(|_| Socket::new(Domain::UNIX, socket2::Type::STREAM, None).unwrap());
    let address = SockAddr::unix(&path).unwrap();
    server.bind(&address).and_then(|()| server.listen(0)).unwrap();
    client.connect(&address).unwrap();
    let done = sockctl(format!("connect -z unix:{path} -w 300ms")).run();
    done.is(4, format!("unix:{path} ETIMEDOUT (110)\n"), "");
    let done = sockctl(format!("connect unix:{path} --wait 300ms")).run();
    assert_eq!(done.code, 4);
    assert!(done.stderr.contains(TIMED_OUT), "{}", done.stderr);
    for wait in ["", "--wait 20s"] {
        let mut check = sockctl(format!("connect -z unix:{path} {wait}")).start();
        check.rests();
        assert!(check.is_running());
        server.accept().unwrap();
        check.finish().is(0, format!("unix:{path} open\n"), "");
    }
}
