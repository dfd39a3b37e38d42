//! `sockctl udp-send`: what becomes a datagram, and what is done about answers.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::run::{
    DEADLINE, Folder, NOT_THERE, REFUSED, Running, TIMED_OUT, Words, datagram, datagrams,
    deserted_socket, free_port, listening, python, refused, sockctl,
};

/// A socket to receive on, with its port.
fn receiver() -> (UdpSocket, u16) {
    let socket = datagrams();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// The next datagrams.
fn next(socket: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|_| datagram(socket)).collect()
}

/// Words, stdin, and the datagrams they are.
type Case<'a> = (&'a str, &'a [u8], &'a [&'a [u8]]);

#[test]
fn each_text_line_piece_is_a_datagram() {
    let cases: [Case<'_>; 7] = [
        ("one '' a\\n\\x00", b"", &[b"one", b"", b"a\n\0"]),
        ("", b"one\r\n\nlast", &[b"one\r", b"", b"last"]),
        ("--whole", b"one\ntwo\n", &[b"one\ntwo\n"]),
        ("--chunk 4", b"abcdefghij", &[b"abcd", b"efgh", b"ij"]),
        ("--data-hex '00 ff:0a'", b"", &[b"\x00\xff\n"]),
        ("--count 2 x y", b"", &[b"x", b"y", b"x", b"y"]),
        ("--whole", b"", &[b""]),
    ];
    for (words, input, wanted) in cases {
        let (socket, port) = receiver();
        sockctl(format!("udp-send {port}")).args(words).input(input).run().is(0, "", "");
        assert_eq!(next(&socket, wanted.len()), wanted, "{words:?}");
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0]).is_err(), "{words:?}: no more");
    }
}

#[test]
fn a_burst_of_lines_arrives_whole_and_in_order() {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    // Runs of one size, of many sizes, of nothing, and larger than one packet of most networks.
    for (count, size) in [(70, 5), (1, 6), (9, 0), (8, 1), (7, 1), (9, 1800), (1, 3)] {
        for index in 0..count {
            let mut line = format!("{index:x}").repeat(size).into_bytes();
            line.truncate(size);
            lines.push(line);
        }
    }
    lines.extend((0..30).map(|size| vec![b'x'; size]));
    let input = [&lines.join(&b'\n')[..], b"\n"].concat();
    for (bind, host) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
        let socket = UdpSocket::bind(bind).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let port = socket.local_addr().unwrap().port().to_string();
        // The receiver's buffer holds them all.
        sockctl(["udp-send", host, &port]).input(&input[..]).run().is(0, "", "");
        assert_eq!(next(&socket, lines.len()), lines, "{host}");
    }
}

#[test]
fn a_closed_port_ends_a_burst_of_lines() {
    let port = free_port().to_string();
    let refused = format!("sockctl: send to 127.0.0.1:{port}: {REFUSED}\n");
    let input = "the same again\n".repeat(1000);
    sockctl(format!("udp-send {port}")).input(input).run().is(3, "", &refused);
}

#[test]
fn only_what_is_known_beforehand_is_repeated() {
    let why = "--count repeats TEXT, --whole or --data-hex";
    refused(&[("udp-send 1 --count 2", why), ("udp-send 1 --chunk 9 --count 2", why)]);
}

#[test]
fn the_interval_lies_between_datagrams() {
    let (socket, port) = receiver();
    let began = Instant::now();
    sockctl(format!("udp-send {port} tick --count 3 --interval 100ms")).run().is(0, "", "");
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(next(&socket, 3), [b"tick"; 3]);
}

/// Answers the nth datagram with the nth number of answers.
const ANSWERS: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % s.getsockname()[1], file=sys.stderr)
for count in sys.argv[1:]:
    data, addr = s.recvfrom(70000)
    for n in range(int(count)):
        s.sendto(data + b"%d\n" % n, addr)
print("done")
"#;

fn answers(counts: impl Words) -> Running {
    python(ANSWERS, counts).start()
}

#[test]
fn replies_are_printed_byte_for_byte_before_the_next_is_sent() {
    let server = answers("2 2");
    let port = server.port().to_string();
    sockctl(format!("udp-send {port} a b --reply=2")).run().is(0, "a0\na1\nb0\nb1\n", "");
    assert_eq!(server.finish().stdout, b"done\n");
}

#[test]
fn a_missing_reply_is_4_and_retries_send_again() {
    let server = answers("0 0 1");
    let port = server.port().to_string();
    let ask = |retries: &str| {
        sockctl(["udp-send", &port, "q", "--reply", "-w", "300ms", "--retries", retries]).run()
    };
    ask("0")
        .fails(4, format!("answer from 127.0.0.1:{port}: {TIMED_OUT}; received 0 of 1 answers"));
    ask("3").is(0, "q0\n", "");
    assert_eq!(server.finish().stdout, b"done\n");
}

#[test]
fn an_answer_that_does_not_match_is_8() {
    let server = answers("1 1");
    sockctl(format!("udp-send {server} ping --expect ^p.ng[0-9]$")).run().is(0, "ping0\n", "");
    let why = format!(
        "sockctl: expect 'pong' from {server}: the answer does not match; \
         received 6 bytes: 'ping0\\n'\n"
    );
    sockctl(format!("udp-send {server} ping --expect pong")).run().is(8, "ping0\n", why);
}

#[test]
fn an_expected_answer_that_does_not_come_is_8() {
    let (_silent, port) = receiver();
    let done = sockctl(format!("udp-send {port} x --expect y -w 200ms")).run();
    let why = "not within 200ms (-w); nothing received";
    done.fails(8, format!("expect 'y' from 127.0.0.1:{port}: {why}"));
}

#[test]
fn a_group_is_reached_by_options() {
    let receive = "import socket, sys\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.settimeout(30)\n\
        s.bind(('', 0))\n\
        join = socket.inet_aton('239.1.2.4') + socket.inet_aton('127.0.0.1')\n\
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, join)\n\
        print('listening on 127.0.0.1:%d' % s.getsockname()[1], file=sys.stderr)\n\
        data, addr = s.recvfrom(100)\n\
        s.sendto(b'from ' + addr[0].encode(), addr)";
    let server = python(receive, "").start();
    let address = format!("239.1.2.4:{}", server.port());
    sockctl(format!("udp-send {address} hi -o IP_MULTICAST_IF=lo -s 127.0.0.1 --ttl 1 --reply"))
        .run()
        .is(0, "from 127.0.0.1", "");
}

#[test]
fn unix_sockets_take_datagrams_too() {
    let folder = Folder::new();
    let path = folder.at("log");
    let address = format!("unix:{}", path.display());
    let log = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    log.set_read_timeout(Some(DEADLINE)).unwrap();
    sockctl(format!("udp-send {address} <13>hello ''")).run().is(0, "", "");
    let mut buffer = [0; 100];
    assert_eq!(log.recv(&mut buffer).unwrap(), 9);
    assert_eq!(&buffer[..9], b"<13>hello");
    assert_eq!(log.recv(&mut buffer).unwrap(), 0);
    std::fs::remove_file(&path).unwrap();
    deserted_socket(&path);
    let done = sockctl(format!("udp-send {address} hello")).run();
    done.fails(3, format!("send to {address}: {REFUSED}"));
    let done = sockctl(format!("udp-send {address} hello --ttl 3")).run();
    done.fails(2, format!("--ttl is for UDP, not {address}"));
}

/// Answers each datagram with the next of these texts; the last one for all that follow, `-` is
/// silence.
const NEXT: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % s.getsockname()[1], file=sys.stderr)
texts = sys.argv[1:]
while True:
    data, addr = s.recvfrom(70000)
    text = texts.pop(0) if len(texts) > 1 else texts[0]
    if text != "-":
        s.sendto(text.encode(), addr)
"#;

#[test]
fn texts_counts_and_retries_each_expect_an_answer() {
    let (_server, to) = listening(NEXT, "a1 b1 a2 b2 -");
    let ask = |words: &str| sockctl(format!("udp-send {to} {words}")).run();
    ask("a b --count 2 --expect ^[ab][12]$").is(0, "a1b1a2b2", "");
    let (_server, to) = listening(NEXT, "- - yes no");
    let ask = |words: &str| sockctl(format!("udp-send {to} {words}")).run();
    ask("x --expect yes --retries 5 -w 200ms").is(0, "yes", "");
    let why = "the answer does not match; received 2 bytes: 'no'";
    ask("x --expect yes --retries 5").is(
        8,
        "no",
        format!("sockctl: expect 'yes' from {to}: {why}\n"),
    );
    let (_server, to) = listening(NEXT, "yes -");
    let ask = |words: &str| sockctl(format!("udp-send {to} {words}")).run();
    let why = "not within 200ms (-w); received 1 of 2 answers";
    ask("x --expect yes --reply=2 -w 200ms").is(
        8,
        "yes",
        format!("sockctl: expect 'yes' from {to}: {why}\n"),
    );
}

#[test]
fn wait_sends_again_until_an_answer_matches_whatever_icmp_says() {
    let port = free_port();
    let began = Instant::now();
    let words = format!("udp-send 127.0.0.1:{port} ping again --wait 30s --expect pong -v");
    let waiting = sockctl(words).start();
    waiting.stderr_has(&format!("waiting up to 30s for 127.0.0.1:{port}: {REFUSED}\n"));
    let server = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut buffer = [0; 100];
    // What does not match is not printed, and the next try comes in a second.
    for (text, answer) in [("ping", "loading"), ("ping", "pong1"), ("again", "pong2")] {
        let (count, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], text.as_bytes());
        server.send_to(answer.as_bytes(), from).unwrap();
    }
    waiting.finish().gives(0, "pong1pong2");
    assert!(began.elapsed() >= Duration::from_millis(1900));
    // A UNIX path that is not there yet, and one of a server that has gone.
    let folder = Folder::new();
    for old in [false, true] {
        if old {
            deserted_socket(&folder.at("s"));
        }
        let to = format!("unix:{}", folder.text("s"));
        let waiting = sockctl(format!("udp-send {to} ping --wait 30s -v")).start();
        waiting.stderr_has("waiting up to 30s for unix:");
        let _ = std::fs::remove_file(folder.at("s"));
        let server = sockctl(format!("udp-serve {to} --echo")).start();
        waiting.finish().gives(0, "ping");
        server.signal("KILL");
        server.ends();
        std::fs::remove_file(folder.at("s")).unwrap();
    }
}

#[test]
fn wait_that_runs_out_is_4_with_the_last_cause() {
    let (silent, port) = receiver();
    let closed = free_port();
    let (_server, to) = listening(NEXT, "no");
    let so = |limit, times| format!("still so after {limit}, {times} (--wait)");
    let once = so("300ms", "1 attempt");
    for (words, why) in [
        (format!("{closed} x"), format!("send to 127.0.0.1:{closed}: {REFUSED}; {once}")),
        (
            format!("{port} x"),
            format!("answer from 127.0.0.1:{port}: {TIMED_OUT}; received 0 of 1 answers; {once}"),
        ),
        (
            format!("{port} x --expect y"),
            format!("expect 'y' from 127.0.0.1:{port}: no answer; nothing received; {once}"),
        ),
        (
            format!("{to} x --expect y"),
            format!(
                "expect 'y' from {to}: the answer does not match; received 2 bytes: 'no'; {once}"
            ),
        ),
        ("unix:/nonexistent x".into(), format!("send to unix:/nonexistent: {NOT_THERE}; {once}")),
    ] {
        sockctl(format!("udp-send {words} --wait 300ms")).run().fails(4, why);
    }
    let done = sockctl(format!("udp-send {port} x --wait 2500ms")).run();
    done.is(4, "", format!("sockctl: answer …; {}\n", so("2.5s", "3 attempts")));
    assert_eq!(next(&silent, 5), [b"x"; 5]);
    // The first of all limits.
    let done = sockctl(format!("udp-send {port} x --wait 1h --deadline 300ms")).run();
    done.is(4, "", "sockctl: answer …\n");
    let done = sockctl("udp-send nosuch.invalid 9 x --wait 200ms").run();
    done.is(4, "", "sockctl: resolve nosuch.invalid: …; still so after 200ms, … (--wait)\n");
}
