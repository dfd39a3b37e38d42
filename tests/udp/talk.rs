//! `--talk`: datagrams both ways at once, in a pipe, at both ends.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use serde_json::json;

use crate::run::{
    DEADLINE, Folder, REFUSED, Running, datagram, datagrams, datagrams_to, events_of, free_port,
    refused, shell, sockctl, until,
};

/// A talk with this peer in a pipe, and the peer's socket, which is connected to it from the first
/// line on.
fn talk(words: &str) -> (Running, UdpSocket) {
    let peer = datagrams();
    let to = peer.local_addr().unwrap();
    let mut client = sockctl(format!("udp-send {to} --talk {words}")).start();
    client.send("hello\n");
    let mut buffer = [0; 100];
    let (count, from) = peer.recv_from(&mut buffer).unwrap();
    assert!(buffer[..count].starts_with(b"hello"));
    peer.connect(from).unwrap();
    (client, peer)
}

#[test]
fn lines_go_out_and_datagrams_come_in_at_once() {
    let (mut client, peer) = talk("");
    // The peer speaks unasked.
    peer.send(b"who is it?\n").unwrap();
    peer.send(b"").unwrap();
    peer.send(b"\xff\0no newline").unwrap();
    client.stdout_has("no newline");
    client.send("one\r\n\ntw").send("o\nlast");
    for wanted in [&b"one\r"[..], b"", b"two"] {
        assert_eq!(datagram(&peer), wanted);
    }
    client.close();
    assert_eq!(datagram(&peer), b"last");
    client.finish().is(0, b"who is it?\n\xff\0no newline", "");
}

#[test]
fn with_raw_each_read_is_a_datagram() {
    let (mut client, peer) = talk("--raw");
    for text in ["one\ntwo\n", "no end", "\n"] {
        client.send(text);
        assert_eq!(datagram(&peer), text.as_bytes());
    }
    // As much as one read of nc's.
    client.feed(vec![b'x'; 40_000]);
    let lengths = (0..3).map(|_| datagram(&peer).len()).collect::<Vec<_>>();
    assert_eq!(lengths.iter().sum::<usize>(), 40_000, "{lengths:?}");
    client.ends().is(0, "", "");
}

#[test]
fn the_end_is_silence_behind_the_end_of_stdin() {
    let began = Instant::now();
    let (mut client, peer) = talk("--linger 600ms");
    client.close();
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(200)); // shorter than the silence
        peer.send(b".").unwrap();
    }
    let said = Instant::now();
    client.ends().is(0, "....", "");
    assert!(said.elapsed() >= Duration::from_millis(500));
    assert!(began.elapsed() < DEADLINE / 3);
    // At once, and without any input.
    let (client, _peer) = talk("--linger 0");
    client.finish().is(0, "", "");
    for input in ["</dev/null", "<&-"] {
        let peer = datagrams().local_addr().unwrap();
        let line = format!(r#"exec "$0" udp-send {peer} --talk --linger 1ms {input}"#);
        shell(&line, "").run().is(0, "", "");
    }
}

#[test]
fn an_icmp_error_is_reported_once_and_ends_nothing() {
    let port = free_port();
    let words = format!("udp-send 127.0.0.1:{port} --talk --linger 100ms");
    let told = format!(
        "sockctl: send to 127.0.0.1:{port}: {REFUSED}; what follows is sent nevertheless\n"
    );
    // Nothing was ever received: the status is that of the error.
    sockctl(&words).input("one\n".repeat(100)).run().is(3, "", &told);

    let mut client = sockctl(&words).start();
    client.send("lost\n");
    client.stderr_has(&told);
    let server = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    client.send("here\n");
    let mut buffer = [0; 100];
    let (count, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"here");
    server.send_to(b"answer\n", from).unwrap();
    client.stdout_has("answer\n");
    // It goes once more, which is another outage. What another test has forked holds it until it is
    // executed.
    drop(server);
    let probe = datagrams_to(port);
    while probe.send(b"").is_ok() {}
    client.send("again\nand again\n");
    client.stderr_has(&told.repeat(2));
    client.finish().is(0, "answer\n", told.repeat(2));
}

#[test]
fn json_and_the_dump_have_both_directions() {
    let folder = Folder::new();
    let dump = folder.text("dump");
    let (mut client, peer) = talk(&format!("--json --linger 0 --hex {dump}"));
    peer.send(b"n\xc3\xa9\n").unwrap();
    peer.send(b"\xff").unwrap();
    client.stdout_bytes(5);
    client.close();
    let to = peer.local_addr().unwrap().to_string();
    let said = client.ends().gives(0, b"n\xc3\xa9\n\xff");
    assert_eq!(
        events_of(&said, "message"),
        [
            json!({"event": "message", "peer": to, "bytes": 4, "text": "né\n"}),
            json!({"event": "message", "peer": to, "bytes": 1, "base64": "/w=="}),
        ]
    );
    let dump = std::fs::read_to_string(dump).unwrap();
    for bytes in ["68 65 6c 6c 6f", "6e c3 a9 0a", "ff"] {
        assert!(dump.contains(bytes), "{dump}");
    }
    let closed = free_port();
    let words = format!("udp-send 127.0.0.1:{closed} --talk --linger 0 --json");
    let said = sockctl(words).input("x\ny\n").run().gives(3, "");
    let errors = events_of(&said, "error");
    assert_eq!(errors.len(), 1, "{said}");
    assert_eq!((&errors[0]["errno"], &errors[0]["exit"]), (&json!("ECONNREFUSED"), &json!(3)));
}

#[test]
fn a_line_that_no_datagram_holds_ends_it_behind_those_before() {
    let peer = datagrams();
    let to = peer.local_addr().unwrap();
    let input = [b"first\n", &vec![b'x'; 65_508][..], b"\nlast\n"].concat();
    let done = sockctl(format!("udp-send {to} --talk")).input(input).run();
    let limit = "the limit is 65507; use --chunk";
    done.fails(2, format!("a datagram of 65508 bytes to {to}: {limit}"));
    assert_eq!(datagram(&peer), b"first");
}

#[test]
fn limits_and_signals_end_it() {
    let (client, peer) = talk("-i 200ms");
    let to = peer.local_addr().unwrap();
    client.ends().fails(4, format!("talk to {to}: idle timeout: no datagram for 200ms (-i)"));
    let (client, _peer) = talk("--deadline 300ms");
    client.ends().is(4, "", "sockctl: send to …; the deadline has passed\n");
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let (client, peer) = talk("");
        peer.send(b"shown").unwrap();
        client.stdout_has("shown");
        client.signal(signal);
        client.ends().is(code, "shown", "");
    }
}

#[test]
fn row_84_a_reader_of_a_talk_that_goes_away_ends_it_at_once() {
    let peer = datagrams();
    for words in [format!("udp-send {} --talk", peer.local_addr().unwrap()), "udp-serve 0".into()] {
        let line = format!(r#"{{ "$0" {words}; echo $? >&2; }} | head -c 0"#);
        shell(&line, "").start().stderr_has("141\n");
    }
}

#[test]
fn both_write_all_before_they_read_and_nothing_is_lost() {
    let folder = Folder::new();
    let peer = UnixDatagram::bind(folder.at("peer")).unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    let lines: Vec<String> = (0..3000).map(|number| format!("line {number}")).collect();
    let mut client = sockctl(format!("udp-send unix:{} --talk", folder.text("peer"))).start();
    client.feed(lines.join("\n").into_bytes());
    let mut buffer = [0; 100];
    let (count, from) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"line 0");
    // A UNIX socket takes a few datagrams and then blocks who sends.
    for number in 0..3000 {
        peer.send_to_addr(format!("answer {number}\n").as_bytes(), &from).unwrap();
    }
    for line in &lines[1..] {
        assert_eq!(datagram(&peer), line.as_bytes());
    }
    let answers: Vec<String> = (0..3000).map(|number| format!("answer {number}\n")).collect();
    client.ends().is(0, answers.concat(), "");
}

#[test]
fn a_server_sends_stdin_to_the_peer_heard_last_and_keeps_it_until_there_is_one() {
    let mut server = sockctl("udp-serve 127.0.0.1:0 --talk --deny 127.0.0.2").start();
    let port = server.port();
    server.send("kept\nback\n");
    let denied = UdpSocket::bind("127.0.0.2:0").unwrap();
    denied.send_to(b"me?", ("127.0.0.1", port)).unwrap();
    let (first, second) = (datagrams_to(port), datagrams_to(port));
    let [from_first, from_second] = [&first, &second].map(|it| it.local_addr().unwrap());
    first.send(b"one\n").unwrap();
    assert_eq!([datagram(&first), datagram(&first)], [&b"kept"[..], b"back"]);
    second.send(b"@two").unwrap();
    server.stdout_has("@two");
    server.send("@to the second\n/quit\n");
    assert_eq!([datagram(&second), datagram(&second)], [&b"@to the second"[..], b"/quit"]);
    // The end of stdin is no end of the server.
    server.close();
    first.send(b"still there?").unwrap();
    let shown = format!("{from_first} one\n{from_second} @two\n{from_first} still there?\n");
    server.stdout_has("still there?");
    denied.set_nonblocking(true).unwrap();
    assert!(denied.recv(&mut [0]).is_err());
    server.stops(shown, "");
}

#[test]
fn two_talk_to_each_other() {
    let mut server = sockctl("udp-serve 127.0.0.1:0 --talk --raw").start();
    let mut client = sockctl(format!("udp-send {server} --talk --raw")).start();
    client.send("hello\n");
    server.stdout_has("hello\n");
    server.send("who is it?\n");
    client.stdout_has("who is it?\n");
    client.finish().is(0, "who is it?\n", "");
    server.stops("hello\n", "");
}

#[test]
fn a_talk_takes_neither_texts_nor_what_is_about_single_answers() {
    refused(&[
        ("udp-send 1 x --talk", "TEXT cannot be used with --whole, --chunk, --data-hex or --talk"),
        ("udp-send 1 --talk --reply", "--talk cannot be used with --reply"),
        ("udp-send 1 --talk --expect x", "--talk cannot be used with --expect"),
        ("udp-send 1 --talk --wait 1", "--talk cannot be used with --wait"),
        ("udp-send 1 --talk --whole", "--talk cannot be used with --whole"),
        ("udp-send 1 --talk --count 2", "--talk cannot be used with --count"),
        ("udp-send 1 --linger 1", "--talk is missing"),
        ("udp-serve 0 --talk --echo", "--talk cannot be used with --echo"),
        ("udp-serve 0 --talk -- cat", "--talk cannot be used with PROGRAM"),
    ]);
}

#[test]
fn row_109_a_stdout_that_is_not_read_keeps_no_talk() {
    for (words, code) in [("", 143), ("--deadline 2", 4)] {
        let folder = Folder::new();
        let reader = folder.fifo("out");
        let peer = datagrams();
        let to = peer.local_addr().unwrap();
        let line = format!(r#"exec "$0" udp-send {to} --talk {words} > "$1""#);
        let mut client = shell(&line, [folder.at("out")]).start();
        client.send("hello\n");
        let (_, from) = peer.recv_from(&mut [0; 100]).unwrap();
        peer.connect(from).unwrap();
        let mut room = [PollFd::new(reader.as_fd(), PollFlags::POLLOUT)];
        until("stdout is full", || {
            let _ = peer.send(&[b'x'; 1000]);
            poll(&mut room, 0_u8) == Ok(0)
        });
        // Lines still go out.
        client.send("and again\n");
        assert_eq!(datagram(&peer), b"and again");
        if words.is_empty() {
            client.signal("TERM");
        }
        assert_eq!(client.ends().code, code, "{words}");
    }
}
