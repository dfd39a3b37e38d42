//! `connect` as a smoke test: `--wait`, `--send`, `--expect`, `--expect-eof`, and the limits and
//! the exit statuses that tell the causes of a failure apart.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::run::{DEADLINE, Finished, Running, deserted_socket, python, sockctl, until};

/// A peer on a port of its own, for one connection.
fn peer<T: Send + 'static>(
    talk: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        talk(stream)
    });
    (address, thread)
}

/// A port where nobody listens.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

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

fn connect<'a>(address: &'a str, words: &[&'a str]) -> Finished {
    sockctl([&["connect", address], words].concat()).run()
}

/// A server in Python that says each of `sys.argv[1:]`, one an arrival, then waits for our end.
const SAYS: &str = r"
import socket, sys
server = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % server.getsockname()[1], file=sys.stderr)
peer, _ = server.accept()
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for part in sys.argv[1:]:
    peer.sendall(part.encode())
got = b''
while data := peer.recv(1024):
    got += data
print(repr(got))
";

/// An SMTP server in Python: one line, one answer, each answer in two pieces.
const SMTP: &str = r"
import socket, sys
server = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % server.getsockname()[1], file=sys.stderr)
peer, _ = server.accept()
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def say(text):
    half = len(text) // 2
    peer.sendall(text[:half]); peer.sendall(text[half:])
say(b'220 mail ready\r\n')
lines = peer.makefile('rb')
for line in lines:
    print(line)
    if line.startswith(b'EHLO'): say(b'250-mail\r\n250 SIZE 1000\r\n')
    elif line.startswith(b'QUIT'): say(b'221 bye\r\n'); break
    else: say(b'500 what?\r\n')
";

fn listening(script: &str, words: &[&str]) -> (Running, String) {
    let server = python(script, words).start();
    let address = server.address();
    (server, address)
}

#[test]
fn steps_are_done_in_the_order_given() {
    let (server, address) = listening(SMTP, &[]);
    connect(
        &address,
        &[
            "--expect",
            "^220 .*\r\n",
            "--send",
            "EHLO me\\r\\n",
            "--expect",
            "^250 SIZE (\\d+)\r\n",
            "--send",
            "QUIT\\r\\n",
            "--expect",
            "^221",
            "--expect-eof",
        ],
    )
    .is(0, "220 mail ready\r\n250-mail\r\n250 SIZE 1000\r\n221 bye\r\n", "");
    server.finish().is(
        0,
        "b'EHLO me\\r\\n'\nb'QUIT\\r\\n'\n",
        &format!("listening on {address}\n"),
    );
}

#[test]
fn what_is_behind_a_match_is_kept_and_the_connection_is_closed() {
    let (server, address) = listening(SAYS, &["one two ", "three"]);
    let talk = connect(
        &address,
        &["--expect", "one", "--expect", "two", "--send", "x", "--expect", "^ three$"],
    );
    talk.is(0, "one two three", "");
    server.finish().is(0, "b'x'\n", &format!("listening on {address}\n"));
}

#[test]
fn after_a_last_send_the_answer_is_read_to_its_end() {
    let (address, peer) = peer(|mut stream| {
        let mut request = String::new();
        stream.read_to_string(&mut request).unwrap();
        stream.write_all(request.to_uppercase().as_bytes()).unwrap();
        stream.write_all(&vec![b'.'; 3 << 20]).unwrap();
    });
    let talk = sockctl(["connect", &address, "--send", "get \\x61", "--send", "bc"])
        .input("never read")
        .run();
    assert_eq!((talk.code, talk.stderr.as_str()), (0, ""));
    assert!(talk.stdout.starts_with(b"GET ABC..."));
    assert_eq!(talk.stdout.len(), 7 + (3 << 20));
    peer.join().unwrap();
}

#[test]
fn an_expectation_is_about_bytes() {
    for (pattern, answer) in [
        (r"^\xff\x00.\xfe$", &b"\xff\x00\x80\xfe\n"[..]),
        ("(?i)^grüsse \\d+", "GRüSSE 42\n".as_bytes()),
        ("^(?u:[äöü].)$", "öß\n".as_bytes()),
    ] {
        let (address, peer) = peer(move |mut stream| stream.write_all(answer).unwrap());
        connect(&address, &["--expect", pattern]).is(0, answer, "");
        peer.join().unwrap();
    }
    connect("127.0.0.1:1", &["--expect", "[ä]"])
        .refuses("--expect '[ä]': Unicode not allowed here");
}

#[test]
fn a_wrong_answer_is_shown_beside_what_was_expected() {
    for (said, ends, cause) in [
        ("-ERR \x1b[1m no\r\n", true, "the peer closed the connection"),
        ("-ERR \x1b[1m no\r\n", false, "not within 300ms (-w)"),
    ] {
        let (address, peer) = peer(move |mut stream| {
            hear(&mut stream, "PING\r\n");
            stream.write_all(said.as_bytes()).unwrap();
            if ends {
                stream.shutdown(Shutdown::Write).unwrap();
            }
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, b"");
        });
        let began = Instant::now();
        let words = ["--send", "PING\\r\\n", "--expect", "\\+PONG", "-w", "300ms"];
        connect(&address, if ends { &words[..4] } else { &words }).is(
            8,
            said,
            &format!(
                "sockctl: expect '\\+PONG' from {address}: {cause}; \
                 14 bytes came: '-ERR \\x1b[1m no\\r\\n'\n"
            ),
        );
        assert!(ends || began.elapsed() >= Duration::from_millis(300));
        peer.join().unwrap();
    }
}

#[test]
fn a_reset_fails_an_expectation_and_a_script_without_one() {
    for (words, code, message) in [
        (
            &["--send", "x", "--expect", "y"][..],
            8,
            "expect 'y' from ADDRESS: connection reset by peer (ECONNRESET 104); nothing came",
        ),
        (&["--send", "x"], 7, "connection to ADDRESS: connection reset by peer (ECONNRESET 104)"),
        (
            &["--send", "x", "--expect-eof"],
            8,
            "expect the end of ADDRESS: connection reset by peer (ECONNRESET 104); nothing came",
        ),
    ] {
        let (address, peer) = peer(|stream| {
            // Closed with a byte unread: the kernel resets.
            let mut byte = [0];
            until("a byte", || stream.peek(&mut byte).unwrap() == 1);
        });
        let message = message.replace("ADDRESS", &address);
        connect(&address, words).is(code, "", &format!("sockctl: {message}\n"));
        peer.join().unwrap();
    }
}

#[test]
fn a_pending_expectation_ends_with_whatever_ends_the_run() {
    for (words, cause) in [
        (&["--deadline", "300ms"][..], "the deadline has passed (--deadline)"),
        (&["-i", "300ms"], "nothing was said for too long (-i)"),
        (&["-w", "300ms"], "not within 300ms (-w)"),
        (&["--max-bytes", "2"], "as much came as --max-bytes allows"),
    ] {
        let (address, peer) = peer(|mut stream| {
            stream.write_all(b"abc").unwrap();
            // A reset is as good an end as any: bytes of ours may be unread.
            let _ = stream.read(&mut [0]);
        });
        let talk = connect(&address, &[&["--expect", "abcd"], words].concat());
        let came = if words[0] == "--max-bytes" { "ab" } else { "abc" };
        let count = came.len();
        talk.is(
            8,
            came,
            &format!(
                "sockctl: expect 'abcd' from {address}: {cause}; {count} bytes came: '{came}'\n"
            ),
        );
        peer.join().unwrap();
    }
}

#[test]
fn expect_eof_waits_for_the_end_whatever_comes_before() {
    let (address, peer) = peer(|mut stream| {
        hear(&mut stream, "q");
        stream.write_all(b"bye").unwrap();
    });
    connect(&address, &["--send", "q", "--expect-eof"]).is(0, "bye", "");
    peer.join().unwrap();
    let (address, peer) = self::peer(|mut stream| {
        stream.write_all(b"still here").unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    });
    connect(&address, &["--expect-eof", "-w", "0.2"]).is(
        8,
        "still here",
        &format!(
            "sockctl: expect the end of {address}: not within 200ms (-w); \
             10 bytes came: 'still here'\n"
        ),
    );
    peer.join().unwrap();
}

#[test]
fn an_answer_that_does_not_begin_is_a_timeout_and_a_slow_one_is_not() {
    let (address, peer) = peer(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream // open until this is joined
    });
    connect(&address, &["--send", "hello?", "-w", "200ms"]).is(
        4,
        "",
        &format!(
            "sockctl: answer from {address}: connection timed out (ETIMEDOUT 110); \
             nothing came within 200ms (-w)\n"
        ),
    );
    peer.join().unwrap();
    let (address, peer) = self::peer(|mut stream| {
        hear(&mut stream, "hello?");
        stream.write_all(b"first").unwrap();
        std::thread::sleep(Duration::from_millis(600)); // longer than -w
        stream.write_all(b" and last").unwrap();
    });
    connect(&address, &["--send", "hello?", "-w", "500ms"]).is(0, "first and last", "");
    peer.join().unwrap();
}

#[test]
fn max_bytes_ends_a_pipe_exactly_there() {
    for (redirect, words) in
        [("", &[][..]), ("", &["--hex", "/dev/null"]), (" >\"$2\"; cat \"$2\"", &[])]
    {
        let (address, peer) = peer(|mut stream| {
            let chunk = vec![b'y'; 64 << 10];
            while stream.write_all(&chunk).is_ok() {}
        });
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("out");
        let line = format!(
            "exec 3>&1; \"$0\" connect \"$1\" --max-bytes 100k {} </dev/null{redirect}",
            words.join(" ")
        );
        let talk = crate::run::shell(&line, [address.as_str(), file.to_str().unwrap()]).run();
        assert_eq!((talk.code, talk.stderr.as_str()), (0, ""), "{line}");
        assert!(talk.stdout == vec![b'y'; 100 << 10], "{line}: {}", talk.stdout.len());
        peer.join().unwrap();
    }
    sockctl(["connect", "1", "--max-bytes", "0"]).run().refuses("--max-bytes '0': at least 1 byte");
}

#[test]
fn max_bytes_ends_a_script_after_its_last_send() {
    let (address, peer) = peer(|mut stream| {
        let chunk = vec![b'y'; 64 << 10];
        while stream.write_all(&chunk).is_ok() {}
    });
    connect(&address, &["--send", "go", "--max-bytes", "70000"]).is(0, vec![b'y'; 70_000], "");
    peer.join().unwrap();
}

#[test]
fn a_cr_is_added_across_the_sends_of_a_script() {
    let (server, address) = listening(SAYS, &["ok"]);
    let words = ["-C", "--send", "a\\nb\\r", "--send", "\\nc", "--send", "\\n", "--expect", "ok"];
    connect(&address, &words).is(0, "ok", "");
    server.finish().is(0, "b'a\\r\\nb\\r\\nc\\r\\n'\n", &format!("listening on {address}\n"));
}

#[test]
fn expectations_are_events() {
    let (_server, address) = listening(SAYS, &["one\n", "\u{1f}two"]);
    let words =
        ["--json", "--expect", "o.e", "--expect", "(?-u:[^a-z]+)", "--expect", "x", "-w", "0.3"];
    let talk = connect(&address, &words);
    assert_eq!(talk.code, 8);
    let events: Vec<serde_json::Value> =
        talk.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
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
    let (address, peer) = peer(|mut stream| {
        stream.write_all(b"\xff\xfe!").unwrap();
        let _ = stream.read(&mut [0]);
    });
    let talk = connect(&address, &["--json", "--expect", "(?-u:\\xff\\xfe)"]);
    assert_eq!((talk.code, &talk.stdout[..]), (0, &b"\xff\xfe!"[..]));
    let line = talk.stderr.lines().find(|line| line.contains("\"expect\"")).unwrap();
    let event: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(event["base64"], "//4=");
    assert_eq!(event.get("matched"), None);
    peer.join().unwrap();
}

#[test]
fn a_hex_dump_has_both_directions_of_a_script() {
    let (_server, address) = listening(SAYS, &["hello"]);
    let talk = connect(&address, &["--expect", "hello", "--send", "bye", "--hex", "-", "-C"]);
    assert_eq!((talk.code, &talk.stdout[..]), (0, &b"hello"[..]));
    let lines: Vec<&str> = talk.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("< 0.") && lines[0].ends_with("  |hello|"), "{lines:?}");
    assert!(lines[1].starts_with("> 0.") && lines[1].ends_with("  |bye|"), "{lines:?}");
}

#[test]
fn a_large_send_and_a_peer_that_echoes_it_do_not_wait_for_each_other() {
    let server = sockctl(["serve", "127.0.0.1:0", "--echo"]).start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("big");
    let big: Vec<u8> = (0..8 << 20).map(|i: u32| (i % 251) as u8).collect();
    std::fs::write(&file, &big).unwrap();
    let send = format!("@{}", file.display());
    let talk = connect(&server.address(), &["--send", &send, "--send", "END", "--expect", "END"]);
    assert_eq!((talk.code, talk.stderr.as_str()), (0, ""));
    assert!(talk.stdout == [&big[..], b"END"].concat());
}

#[test]
fn wait_tries_until_somebody_listens() {
    let port = closed_port();
    let mut client =
        sockctl(["connect", &port.to_string(), "--wait", "30", "--trace", "--expect", "hi"])
            .start();
    client.close();
    // Refused at least once; only then there is a server.
    client.stderr_has("ECONNREFUSED");
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"hi").unwrap();
    let talk = client.finish();
    assert_eq!((talk.code, &talk.stdout[..]), (0, &b"hi"[..]));
}

#[test]
fn wait_run_out_is_a_timeout_that_tells_the_last_cause() {
    let port = closed_port().to_string();
    let began = Instant::now();
    let talk = sockctl(["connect", &port, "--wait", "300ms"]).run();
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!((talk.code, &talk.stdout[..]), (4, &b""[..]));
    let head = format!(
        "sockctl: connect to 127.0.0.1:{port}: connection refused (ECONNREFUSED 111); \
         still so after 300ms, "
    );
    assert!(talk.stderr.starts_with(&head), "{}", talk.stderr);
    assert!(talk.stderr.ends_with(" attempts (--wait)\n"), "{}", talk.stderr);
    sockctl(["connect", &port, "--wait", "0"]).run().is(
        4,
        "",
        &format!(
            "sockctl: connect to 127.0.0.1:{port}: connection refused (ECONNREFUSED 111); \
             still so after 0s, 1 attempt (--wait)\n"
        ),
    );
}

#[test]
fn wait_covers_names_and_unix_paths() {
    let talk = sockctl(["connect", "nosuch.invalid:1", "--wait", "200ms"]).run();
    assert_eq!(talk.code, 4, "{}", talk.stderr);
    assert!(talk.stderr.starts_with("sockctl: resolve nosuch.invalid"), "{}", talk.stderr);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sock");
    let address = format!("unix:{}", path.display());
    let mut client =
        sockctl(["connect", &address, "--wait", "30", "--trace", "--expect-eof"]).start();
    client.close();
    client.stderr_has("ENOENT");
    let listener = UnixListener::bind(&path).unwrap();
    listener.accept().unwrap().0.write_all(b"hi").unwrap();
    let talk = client.finish();
    assert_eq!((talk.code, &talk.stdout[..]), (0, &b"hi"[..]));
}

#[test]
fn wait_does_not_wait_for_what_cannot_pass() {
    sockctl(["connect", "127.0.0.1:1", "--wait", "30", "-s", "192.0.2.1"]).run().is(
        10,
        "",
        "sockctl: bind 192.0.2.1:0: cannot assign requested address (EADDRNOTAVAIL 99)\n",
    );
}

#[test]
fn check_waits_until_the_port_is_open() {
    let port = closed_port();
    let mut client =
        sockctl(["connect", "-z", &port.to_string(), "--wait", "30", "--trace"]).start();
    client.close();
    client.stderr_has("ECONNREFUSED");
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let talk = client.finish();
    let open = format!("127.0.0.1:{port} open\n");
    assert_eq!((talk.code, String::from_utf8_lossy(&talk.stdout)), (0, open.into()));
}

#[test]
fn check_that_waited_in_vain_shows_the_last_result() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap().port();
    let closed = closed_port();
    let list = format!("127.0.0.1:{closed},{open}");
    let began = Instant::now();
    sockctl(["connect", "-z", &list, "--wait", "300ms"]).run().is(
        4,
        format!("127.0.0.1:{closed} ECONNREFUSED (111)\n127.0.0.1:{open} open\n"),
        "",
    );
    assert!(began.elapsed() >= Duration::from_millis(300));
    // One open port of a range is enough.
    let range = format!("127.0.0.1:{open}-{open}");
    sockctl(["connect", "-z", &range, "--wait", "30"]).run().is(
        0,
        format!("127.0.0.1:{open} open\n"),
        "",
    );
}

#[test]
fn check_of_a_unix_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sock");
    let address = format!("unix:{}", path.display());
    sockctl(["connect", "-z", &address]).run().is(1, format!("{address} ENOENT (2)\n"), "");
    let _listener = UnixListener::bind(&path).unwrap();
    sockctl(["connect", "-z", &address]).run().is(0, format!("{address} open\n"), "");
    std::fs::remove_file(&path).unwrap();
    deserted_socket(&path);
    sockctl(["connect", "-z", &address]).run().is(3, format!("{address} ECONNREFUSED (111)\n"), "");
}

#[test]
fn an_authenticated_script_waits_proves_and_expects() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    let key = key.to_str().unwrap();
    let auth = ["--digest", "sha256", "--key-file", key];
    sockctl(["auth-connect", "--create-key", "--key-file", key]).run().is(0, "", "");
    let port = closed_port();
    let address = format!("127.0.0.1:{port}");
    let words = [&["auth-connect", &address, "--wait", "30", "--trace"], &auth[..]].concat();
    let mut client = sockctl(words).args(["--send", "ping", "--expect", "ping"]).start();
    client.close();
    client.stderr_has("ECONNREFUSED");
    let server = sockctl([&["auth-serve", &address, "--echo"], &auth[..]].concat()).start();
    server.address();
    let talk = client.finish();
    assert_eq!((talk.code, &talk.stdout[..]), (0, &b"ping"[..]), "{}", talk.stderr);
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    sockctl(["connect", "1", "--send", "x", "--recv-only"])
        .run()
        .refuses("--send cannot be used with --recv-only");
    sockctl(["connect", "-z", "1", "--expect", "x"])
        .run()
        .refuses("--check cannot be used with --expect");
    sockctl(["connect", "1", "--expect", "(a"]).run().refuses("--expect '(a': unclosed group");
    sockctl(["connect", "1", "--send", "\\q"])
        .run()
        .refuses("--send: unknown escape '\\q' in '\\q'; escapes are \\n \\r \\t \\0 \\\\ \\xHH");
}

#[test]
fn tcp_info_tells_at_the_end_how_the_connection_fared() {
    let server = sockctl(["serve", "127.0.0.1:0", "--echo"]).start();
    let address = server.address();
    let talk = connect(&address, &["--send", "hi", "--tcp-info"]);
    assert_eq!((talk.code, &talk.stdout[..]), (0, &b"hi"[..]));
    let line = talk.stderr.strip_prefix("tcp: rtt ").unwrap();
    for part in [
        " ms (±",
        ", least ",
        "), 0 of ",
        " segments retransmitted, cwnd ",
        " × ",
        " bytes, delivery ",
        "/s\n",
    ] {
        assert!(line.contains(part), "{part:?} in {line}");
    }
    // In a pipe as well, and as an object of numbers.
    let talk = sockctl(["connect", &address, "--tcp-info", "--json", "-q"]).input("hello").run();
    assert_eq!((talk.code, &talk.stdout[..]), (0, &b"hello"[..]));
    let event: serde_json::Value =
        serde_json::from_str(talk.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(event["event"], "tcp_info");
    assert_eq!(event["peer"], address);
    assert_eq!(event["retransmits"], 0);
    assert!(event["rtt_us"].is_u64() && event["cwnd"].is_u64() && event["delivery_rate"].is_u64());
    sockctl(["connect", "unix:/x", "--tcp-info"])
        .run()
        .refuses("--tcp-info: unix:/x is no TCP connection");
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
    let server = sockctl(["serve", "127.0.0.1:0", "--echo"]).start();
    let address = server.address();
    let binary = env!("CARGO_BIN_EXE_sockctl");
    let talk = python(ON_TERMINAL, [binary, "connect", &address, "--progress"]).run();
    let shown = String::from_utf8(talk.stdout).unwrap();
    assert_eq!((talk.code, talk.stderr.as_str()), (0, ""), "{shown}");
    let last = shown.trim_end().rsplit('\r').next().unwrap();
    assert!(last.starts_with("2.8 MiB received, 2.8 MiB sent, "), "{shown:?}");
    assert!(!shown.contains('\x1b'), "{shown:?}");
    sockctl(["connect", &address, "--progress"]).input("hello").run().is(0, "hello", "");
}

#[test]
fn verbose_tells_each_expectation_that_was_met() {
    let (_server, address) = listening(SAYS, &["220 hi\r\n"]);
    let talk = connect(&address, &["-v", "--expect", "^2.*\n", "--send", "x", "-w", "0"]);
    assert_eq!((talk.code, &talk.stdout[..]), (0, &b"220 hi\r\n"[..]));
    let lines: Vec<&str> = talk.stderr.lines().collect();
    assert_eq!(lines[1], r"expected '^2.*\n': '220 hi\r\n'", "{lines:?}");
    assert_eq!(lines.len(), 3, "{lines:?}");
}
