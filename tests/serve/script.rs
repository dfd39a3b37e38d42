//! `serve` as a server for tests: steps that every client is taken through, and answers by content.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::serve;
use crate::run::{
    Folder, RESET, ask, events_of, is_like, listening, pattern, python, read_all, read_to_reset,
    reset, sockctl, take, until,
};

/// What a server has said after its first line, once this is part of it.
#[track_caller]
fn said(server: &crate::run::Running, last: &str) -> String {
    server.stderr_has(last).split_once('\n').unwrap().1.into()
}

#[test]
fn every_client_is_taken_through_the_steps_on_a_clock_of_its_own() {
    let server = serve(r"--expect '^PING\r\n' --pause .3 --send '+PONG\r\n'");
    let began = Instant::now();
    let clients: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
    for mut client in &clients {
        client.write_all(b"PI").unwrap();
        client.write_all(b"NG\r\nrest").unwrap();
    }
    for client in &clients {
        assert_eq!(read_all(client), b"+PONG\r\n");
    }
    assert!(began.elapsed() >= Duration::from_millis(300));
    // One after the other they would have taken six seconds.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    drop(clients);
    server.stops("", "");
}

#[test]
fn the_bytes_of_hex_are_sent() {
    let server = serve("--send-hex 'de:ad be ef00'");
    assert_eq!(read_all(server.connect()), [0xde, 0xad, 0xbe, 0xef, 0]);
    server.stops("", "");
}

#[test]
fn once_exits_with_what_was_expected_and_what_came() {
    let server = serve("--once --expect '^PING'");
    let mut client = server.connect();
    let peer = client.local_addr().unwrap();
    client.write_all(b"PONG\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(read_to_reset(&client).is_empty());
    let address = server.address();
    server.finish().is(
        8,
        "",
        format!(
            "listening on {address}\nsockctl: expect '^PING' from {peer}: the peer closed the \
             connection; received 6 bytes: 'PONG\\r\\n'\n"
        ),
    );
}

#[test]
fn once_with_all_steps_done_is_success() {
    let server = serve("--once --expect hello --send bye");
    assert_eq!(ask(&server.connect(), "hello"), b"bye");
    let address = server.address();
    server.finish().is(0, "", format!("listening on {address}\n"));
}

#[test]
fn a_server_reports_what_was_not_met_and_serves_on() {
    let server = serve("--expect a --send A -w 1");
    let silent = server.connect();
    let (gone, crashed) = (server.connect(), server.connect());
    let names = [&gone, &crashed, &silent].map(|one| one.local_addr().unwrap());
    drop(gone);
    said(&server, &format!("{}: the peer closed the connection; nothing received\n", names[0]));
    reset(crashed);
    said(&server, &format!("{}: {RESET}; nothing received\n", names[1]));
    assert_eq!(ask(&server.connect(), "a"), b"A");
    said(&server, &format!("{}: not within 1s (-w); nothing received\n", names[2]));
    assert!(read_to_reset(&silent).is_empty());
    let lines = said(&server, "");
    let wanted =
        names.map(|_| "sockctl: expect 'a' from 127.0.0.1:…: …; nothing received\n").concat();
    assert!(is_like(&wanted, &lines), "{lines}");
}

/// A client in Python that reads to the end; `reset` where that is one.
const READER: &str = r#"
import socket, sys
got = b""
try:
    s = socket.create_connection(sys.argv[1].rsplit(":", 1), 30)
    if len(sys.argv) > 2: s.sendall(b"x" * int(sys.argv[2]))
    while part := s.recv(65536): got += part
    print(got, "end")
except ConnectionResetError: print(got, "reset")
"#;

#[test]
fn a_reset_is_a_real_one_behind_what_was_sent() {
    let server = serve("--expect x --send +PO --reset");
    python(READER, [&server.address(), "1"]).run().is(0, "b'+PO' reset\n", "");
    server.stops("", "");
    // What the client has sent is not read.
    let server = serve("--once --expect x --reset");
    python(READER, [&server.address(), "100000"]).run().is(0, "b'' reset\n", "");
    let address = server.address();
    server.finish().is(0, "", format!("listening on {address}\n"));
}

#[test]
fn a_reset_comes_though_the_peer_reads_nothing() {
    let folder = Folder::new();
    let bytes = folder.file("bytes", pattern(20 << 20));
    let server = serve(format!("--once --send @{bytes} --reset -w .5"));
    let client = server.connect();
    // Its queue is full and it takes nothing: the send is late, which is a failure.
    let address = server.address();
    let done = server.finish();
    let peer = client.local_addr().unwrap();
    done.is(
        4,
        "",
        format!(
            "listening on {address}\nsockctl: send to {peer}: connection timed out (ETIMEDOUT 110); \
             the peer read nothing for 500ms (-w), after … bytes\n"
        ),
    );
    read_to_reset(&client);
}

#[test]
fn a_client_resets_too() {
    let (server, address) = listening(
        r#"
import socket, sys
l = socket.create_server(("127.0.0.1", 0)); print("listening on %s:%d" % l.getsockname(), file=sys.stderr, flush=True)
s, _ = l.accept()
s.sendall(b"unread")
try:
    while part := s.recv(10): print(part)
    print("end")
except ConnectionResetError: print("reset")
"#,
        "",
    );
    sockctl(format!("connect {address} --send hello --pause .2 --reset")).run().is(0, "unread", "");
    server.finish().gives(0, "b'hello'\nreset\n");
}

#[test]
fn row_82_behind_a_key_a_reset_is_no_end_record() {
    let folder = Folder::new();
    let key = folder.file("key", "a passphrase of the test");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for proof in ["", " --digest sha256", " --python"] {
        let server =
            sockctl(format!("auth-serve 0 --once --key-file {key}{proof} --send part --reset"))
                .start();
        let address = server.address();
        let client =
            sockctl(format!("auth-connect {address} --key-file {key}{proof} --recv-only")).run();
        let got = if proof == " --python" { "part\n" } else { "part" };
        client.is(7, got, format!("sockctl: connection to {address}: {RESET}\n"));
        server.finish().is(0, "", format!("listening on {address}\n"));
    }
}

#[test]
fn the_rate_bounds_what_is_sent() {
    let server = serve("--rate 1k --send 0123456789 --send-hex 30 --pause 0 --send @/etc/hostname");
    let began = Instant::now();
    let name = std::fs::read("/etc/hostname").unwrap();
    assert_eq!(read_all(server.connect()), [b"01234567890", &name[..]].concat());
    server.stops("", "");
    let folder = Folder::new();
    let bytes = pattern(600);
    let server = serve(format!("--rate 1k --send @{}", folder.file("bytes", &bytes)));
    let (client, least) = (server.connect(), Duration::from_millis(500));
    let began = began.max(Instant::now());
    assert_eq!(read_all(client), bytes);
    assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    server.stops("", "");
}

#[test]
fn a_peer_that_takes_nothing_is_late_at_any_rate() {
    let folder = Folder::new();
    let bytes = folder.file("bytes", pattern(30 << 20));
    let server = serve(format!("--rate 1G --send @{bytes} -w .5"));
    let client = server.connect();
    let peer = client.local_addr().unwrap();
    server.stderr_has(&format!(
        "sockctl: send to {peer}: connection timed out (ETIMEDOUT 110); the peer read nothing for 500ms (-w)"
    ));
    // Meanwhile others are served.
    let mut other = server.connect();
    other.read_exact(&mut [0; 1000]).unwrap();
    server.signal("TERM");
    server.signal("TERM");
    assert_eq!(server.finish().code, 0);
}

#[test]
fn row_82_what_the_rate_holds_back_when_it_stops_ends_with_a_reset() {
    let server = serve("--rate 1 --send 0123456789");
    let client = server.connect();
    assert_eq!(take(&client, 1), b"0");
    server.stops("", "");
    read_to_reset(&client);
}

#[test]
fn byte_by_byte_each_byte_is_a_segment() {
    let server = serve("--rate 20 --send abc");
    let mut client = server.connect();
    let mut byte = [0; 10];
    for wanted in [b"a", b"b", b"c"] {
        assert_eq!(client.read(&mut byte).unwrap(), 1);
        assert_eq!(&byte[..1], wanted);
    }
    assert_eq!(client.read(&mut byte).unwrap(), 0);
    drop(client);
    server.stops("", "");
}

/// Those of haproxy's tcploop: accept, and reset at once; half an answer, and a reset or an end; an
/// end with data unread; silence.
#[test]
fn scenarios_of_tcploop() {
    for (steps, sent, got) in [
        ("--reset", 0, "b'' reset\n"),
        ("--send-hex 00 --pause .3 --reset", 0, "b'\\x00' reset\n"),
        ("--expect x --send half", 1, "b'half' end\n"),
        ("--expect x --send half --reset", 1, "b'half' reset\n"),
        // What is unread is read before the end, and not before a reset.
        ("--expect x", 3_000_000, "b'' end\n"),
        ("--send half --expect x", 3_000_000, "b'half' end\n"),
        ("--pause .3", 3_000_000, "b'' end\n"),
        ("--expect x --pause .1 --send half --reset", 300_000, "b'half' reset\n"),
        ("--rate 40 --send slow", 0, "b'slow' end\n"),
        ("--expect x{3} --pause .1", 3, "b'' end\n"),
    ] {
        let server = serve(steps);
        python(READER, [&server.address(), &sent.to_string()]).run().is(0, got, "");
        server.stops("", "");
    }
    // A server that stops lets go of the silent; one that it has not accepted yet the kernel resets.
    let server = serve("--send on --pause 1h");
    let client = server.connect();
    assert_eq!(take(&client, 2), b"on");
    assert!((&client).write_all(b"hello?").is_ok());
    server.stops("", "");
    assert_eq!(read_all(&client), b"");
}

#[test]
fn a_flood_between_steps_costs_no_memory() {
    let server = serve("--pause 1 --expect END --send done");
    let mut client = server.connect();
    let bytes = vec![b'.'; 64 << 20];
    client.write_all(&bytes).unwrap();
    client.write_all(b"END").unwrap();
    assert_eq!(read_all(&client), b"done");
    let peak = server.vitals().peak;
    assert!(peak < 40 << 20, "{peak}");
    drop(client);
    server.stops("", "");
}

#[test]
fn a_thousand_clients_at_once() {
    let server = serve("--expect go --pause .1 --send ok");
    let clients: Vec<TcpStream> = (0..1000).map(|_| server.connect()).collect();
    for mut client in &clients {
        client.write_all(b"go").unwrap();
    }
    for client in &clients {
        assert_eq!(read_all(client), b"ok");
    }
    drop(clients);
    until("the clients are gone", || server.vitals().descriptors < 50);
    server.stops("", "");
}

#[test]
fn expectations_of_a_server_are_events() {
    let server = serve("--json --once --expect a --expect-eof");
    assert_eq!(ask(&server.connect(), "a"), b"");
    let done = server.finish();
    let found = events_of(&done.stderr, "expect");
    let met: Vec<_> = found.iter().map(|event| (&event["pattern"], &event["ok"])).collect();
    assert_eq!(met, [(&"a".into(), &true.into()), (&"--expect-eof".into(), &true.into())]);
    assert_eq!(events_of(&done.stderr, "closed")[0]["reason"], "eof");
}

#[test]
fn steps_that_make_no_sense_are_refused() {
    crate::run::refused(&[
        ("serve --reset --send x", "no step can follow --reset: it ends the connection"),
        (
            "serve --send-hex xyz",
            "--send-hex 'xyz': expected pairs of hex digits: 68656c6c6f or 68:65",
        ),
        ("connect 1 --expect ''", "--expect '': an empty regex matches everything"),
        ("serve --when '' x", "--when '': an empty regex matches everything"),
        ("serve --when 'x*' y", "--when 'x*': it matches the empty string, which is everywhere"),
        (
            "serve --when 'a(b' x",
            "--when 'a(b': unclosed group, marked by <-- HERE in 'a( <-- HERE b'",
        ),
        (
            "connect 1 --expect 'x{2,1}'",
            "--expect 'x{2,1}': invalid repetition count range, the start must be <= the end, marked by \
             <-- HERE in 'x{2,1} <-- HERE'",
        ),
    ]);
}

// ---- --when --------------------------------------------------------------------------------

#[test]
fn every_match_is_answered_in_the_order_of_arrival() {
    let server = serve(r"--when '^PING\r\n' '+PONG\r\n' --when '^(GET|SET) [^\n]*\n' '$-1\r\n'");
    let mut client = server.connect();
    for part in ["PI", "NG\r\nGET a\nnothing\nPING\r\nSET", " x y\nPIN"] {
        client.write_all(part.as_bytes()).unwrap();
    }
    assert_eq!(take(&client, 24), b"+PONG\r\n$-1\r\n+PONG\r\n$-1\r\n"[..24]);
    client.write_all(b"G\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        read_all(&client),
        [&b"+PONG\r\n$-1\r\n+PONG\r\n$-1\r\n"[24..], b"+PONG\r\n"].concat()
    );
    server.stops("", "");
}

#[test]
fn rules_that_match_nowhere_cost_no_time() {
    let server = serve("--when nothing x --when '^PING$' x --when a '' --when end yes");
    let mut client = server.connect();
    // A search for each rule behind each match would take minutes.
    client.write_all(&vec![b'a'; 1 << 20]).unwrap();
    client.write_all(b"end").unwrap();
    assert_eq!(take(&client, 3), b"yes");
    drop(client);
    server.stops("", "");
}

#[test]
fn a_client_that_does_not_read_its_answers_costs_no_memory() {
    let server = serve(format!("--when x {}", "y".repeat(100_000)));
    let mut client = server.connect();
    let asked = 10_000; // a gigabyte of answers
    let mut writer = client.try_clone().unwrap();
    let questions = std::thread::spawn(move || {
        writer.write_all(&vec![b'x'; asked]).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut buffer = vec![0; 1 << 20];
    let mut count = client.read(&mut buffer).unwrap();
    questions.join().unwrap();
    while let some @ 1.. = client.read(&mut buffer).unwrap() {
        count += some;
    }
    assert_eq!(count, asked * 100_000);
    let peak = server.vitals().peak;
    assert!(peak < 40 << 20, "{peak}");
    drop(client);
    server.stops("", "");
}

#[test]
fn of_what_matches_nothing_a_mebibyte_is_kept_and_one_warning_says_so() {
    let server = serve("--when begin[^x]*end yes");
    let mut client = server.connect();
    client.write_all(b"begin").unwrap();
    client.write_all(&vec![b'.'; 3 << 20]).unwrap();
    client.write_all(b"end begin and end").unwrap();
    assert_eq!(take(&client, 3), b"yes");
    drop(client);
    server.stops(
        "",
        "sockctl: warning: [1] more than 1 MiB matched no --when: the oldest bytes are dropped\n",
    );
}
