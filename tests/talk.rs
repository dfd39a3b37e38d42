//! What is said on stderr: as text and as JSON, from the same events; and the trace.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::run::{
    BINARY, Folder, Peer, REFUSED, Words, ask, datagrams, events, events_of, hold, peer, program,
    python, read_all, read_to_reset, sockctl,
};

/// Answers "yes" to whatever comes, after its end.
fn answering() -> Peer {
    peer(|mut stream| {
        let _ = read_all(&stream);
        stream.write_all(b"yes").unwrap();
    })
}

fn text(event: &Value, field: &str) -> String {
    event[field].as_str().unwrap_or_default().to_string()
}

#[test]
fn verbose_tells_both_ends_and_counts() {
    let peer = answering();
    let said = format!(
        "[1] connected to {peer} from 127.0.0.1:…\n\
         [1] {peer} closed (eof; received 3, sent 5 bytes in 0.… s)\n"
    );
    sockctl(format!("connect -v {peer}")).input("hello").run().is(0, "yes", said);
    peer.done();
}

#[test]
fn json_tells_every_event_whatever_the_level() {
    for level in ["", "-q", "-v"] {
        let peer = answering();
        let there = peer.to_string();
        let done = sockctl(format!("connect --json {there} {level}")).input("hello").run();
        let mut events = events(&done.gives(0, "yes"));
        assert_eq!(events.len(), 2, "{events:?}");
        let local = text(&events[0], "local");
        assert!(local.starts_with("127.0.0.1:"), "{local}");
        let seconds = events[1].as_object_mut().unwrap().remove("seconds");
        assert!(seconds.unwrap().as_f64().unwrap() >= 0.0);
        assert_eq!(
            events,
            [
                json!({"event": "connected", "id": 1, "peer": there, "local": local}),
                json!({"event": "closed", "id": 1, "peer": there, "received": 3, "sent": 5,
                    "reason": "eof"}),
            ]
        );
        peer.done();
    }
}

/// The reason of the `closed` event, and the status.
fn ends(
    words: impl Words,
    input: &str,
    talk: impl FnOnce(TcpStream) + Send + 'static,
) -> (String, i32) {
    let peer = peer(talk);
    let mut running = sockctl(format!("connect --json {peer}")).args(words).start();
    running.send(input);
    let finished = running.ends();
    (text(&events_of(&finished.stderr, "closed")[0], "reason"), finished.code)
}

#[test]
fn closed_tells_why() {
    let reset = |mut stream: TcpStream| {
        // Closed with bytes unread: the kernel sends a reset.
        stream.read_exact(&mut [0; 1]).unwrap();
    };
    assert_eq!(ends("", "", drop), ("eof".into(), 0));
    assert_eq!(ends("-i 0.2", "", hold), ("idle".into(), 4));
    assert_eq!(ends("--deadline 0.2", "", hold), ("shutdown".into(), 4));
    assert_eq!(ends("", "123", reset), ("reset".into(), 7));
    assert_eq!(ends("--hex /dev/full", "1", hold), ("error".into(), 12));
}

#[test]
fn a_signal_closes_as_shutdown_in_silence() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let peer = peer(|mut stream| {
            stream.write_all(b"hello").unwrap();
            assert_eq!(read_to_reset(&stream), b"");
        });
        let running = sockctl(format!("connect --json {peer}")).start();
        running.stdout_has("hello");
        running.signal(signal);
        let events = events(&running.ends().gives(code, "hello"));
        assert_eq!((text(&events[1], "reason"), events.len()), ("shutdown".into(), 2));
        peer.done();
    }
}

#[test]
fn a_failure_in_json_has_the_systems_name_and_number() {
    for (words, op, target, errno, code, exit) in [
        ("127.0.0.1:1", "connect", "127.0.0.1:1", "ECONNREFUSED", 111, 3),
        ("-n nosuch.invalid:80", "resolve", "nosuch.invalid", "EAI_NONAME", -2, 6),
        ("unix:/nonexistent", "connect", "unix:/nonexistent", "ENOENT", 2, 1),
    ] {
        let said = sockctl(format!("connect --json {words}")).run().gives(exit, "");
        let wanted = json!({"event": "error", "op": op, "target": target, "errno": errno,
            "code": code, "exit": exit});
        assert_eq!(events(&said), [wanted]);
    }
}

#[test]
fn the_trace_of_a_whole_connection_is_in_the_words_of_python() {
    let peer = answering();
    let there = format!("127.0.0.1:{}", peer.port);
    let words = ["connect", "--trace", "-o", "SO_RCVBUF=8192", "-s", "127.0.0.3", &there];
    sockctl(words).args("-C").input("hello\n").run().is(
        0,
        "yes",
        format!(
            "socket(AF_INET, SOCK_STREAM) -> fd …\n\
             setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)\n\
             setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)\n\
             setsockopt(SOL_SOCKET, SO_RCVBUF, 8192)\n\
             bind(127.0.0.3:0)\n\
             connect({there})\n\
             getpeername() -> {there}\n\
             getsockname() -> 127.0.0.3:…\n\
             sendall(7)\n\
             shutdown(SHUT_WR)\n\
             recv(262144) -> 3\n\
             recv(1048576) -> 0\n\
             close(fd …)\n"
        ),
    );
    peer.done();
}

#[test]
fn the_trace_of_datagrams_has_their_peers_and_the_options_that_are_set_unasked() {
    let server = sockctl("udp-serve --trace --echo 127.0.0.1:0").start();
    let there = server.address();
    let words = format!("udp-send --trace --broadcast --ttl 3 --reply {there} hello");
    let said = sockctl(words).run().gives(0, "hello");
    for call in [
        "setsockopt(SOL_SOCKET, SO_BROADCAST, 1)\n",
        "setsockopt(IPPROTO_IP, IP_TTL, 3)\n",
        &format!("sendto(5, {there}) -> 5\n"),
        &format!(" -> 5 from {there}\n"),
    ] {
        assert!(said.contains(call), "no {call:?}: {said}");
    }
    let said = server.stderr_has("sendto(5, 127.0.0.1:");
    for call in [
        "bind(127.0.0.1:0)\n",
        "setsockopt(IPPROTO_IP, IP_PKTINFO, 1)\n",
        "setsockopt(IPPROTO_UDP, UDP_GRO, ",
        ") -> 5 from 127.0.0.1:",
    ] {
        assert!(said.contains(call), "no {call:?}: {said}");
    }
}

#[test]
fn the_trace_in_json_is_the_same_calls() {
    let peer = answering();
    let there = format!("127.0.0.1:{}", peer.port);
    let finished = sockctl(format!("connect --trace --json {there}")).input("hello").run();
    peer.done();
    let calls: Vec<Value> =
        events(&finished.stderr).into_iter().filter(|event| event["event"] == "call").collect();
    let names: Vec<String> = calls.iter().map(|call| text(call, "call")).collect();
    assert_eq!(
        names,
        [
            "socket",
            "setsockopt",
            "setsockopt",
            "connect",
            "getpeername",
            "getsockname",
            "sendall",
            "shutdown",
            "recv",
            "recv",
            "close"
        ]
    );
    assert_eq!(calls[3]["args"], json!([there]));
    assert_eq!(calls[3]["result"], Value::Null);
    assert_eq!(calls[8]["result"], 3);

    let refused = sockctl("connect --trace --json 127.0.0.1:1").run();
    let events = events(&refused.stderr);
    let call = events.iter().find(|event| event["call"] == "connect").unwrap();
    assert_eq!(call["errno"], "ECONNREFUSED");
    assert!(call.get("result").is_none());
}

#[test]
fn the_trace_of_a_refused_connection() {
    sockctl("connect --trace 127.0.0.1:1").run().is(
        3,
        "",
        format!(
            "socket(AF_INET, SOCK_STREAM) -> fd …\n\
             setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)\n\
             setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)\n\
             connect(127.0.0.1:1) -> ECONNREFUSED 111\n\
             close(fd …)\n\
             sockctl: connect to 127.0.0.1:1: {REFUSED}\n"
        ),
    );
}

#[test]
#[ignore = "needs strace"]
fn the_trace_holds_every_socket_call_that_strace_sees() {
    let peer = peer(|stream| {
        assert_eq!(ask(&stream, b"hello"), b"");
    });
    let folder = Folder::new();
    let log = folder.at("log");
    // Without -s the kernel's view of a splice is no socket call; --hex makes it recv.
    let finished = program("strace", "-f -e trace=network -o")
        .arg(log.as_os_str())
        .args([BINARY, "connect", "--trace", "--hex", "/dev/null"])
        .arg(peer.to_string())
        .run();
    peer.done();
    let strace = std::fs::read_to_string(&log).unwrap();
    for call in ["setsockopt", "connect", "getpeername", "getsockname", "shutdown"] {
        let seen = strace.lines().filter(|line| line.contains(&format!(" {call}("))).count();
        let told =
            finished.stderr.lines().filter(|line| line.starts_with(&format!("{call}("))).count();
        // getsockname and getpeername are asked once more to see that it did not meet itself.
        let own = usize::from(call.starts_with("get"));
        assert_eq!(told + own, seen, "{call}\n{strace}\n{}", finished.stderr);
    }
}

#[test]
fn lines_that_are_not_read_are_dropped_and_counted() {
    // A reader of stderr that comes when all is over.
    let script = r#"
import json, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE)
child.stdin.write(b"x" * 3_000_000)
child.stdin.close()
events = [json.loads(line) for line in child.stderr if line.startswith(b"{")]
notes = [event for event in events if event["event"] == "error"]
print([note["op"] + " " + note["target"] for note in notes][:1])
sys.exit(child.wait())
"#;
    let server = sockctl("serve --echo 127.0.0.1:0").start();
    let words = [BINARY, "connect", "--json", "--hex", "-"];
    python(script, words).arg(server.address()).run().is(0, "['write talk']\n", "");
}

#[test]
fn row_46_json_escapes_what_a_terminal_would_act_on() {
    let text = "\x1b]0;a\x07\x7f\u{9b}2J\u{202e}\u{ad}txt\u{e0041}é😀";
    let server = sockctl("udp-serve 127.0.0.1:0 --discard --count 1 --json").start();
    datagrams().send_to(text.as_bytes(), ("127.0.0.1", server.port())).unwrap();
    let said = server.finish().gives(0, "");
    assert_eq!(events_of(&said, "message")[0]["text"], text);
    let escaped = r#""\u001b]0;a\u0007\u007f\u009b2J\u202e\u00adtxt\udb40\udc41é😀""#;
    assert!(said.contains(escaped), "{said}");
    // stdout has JSON, too.
    let done = sockctl(["opts", "--json", "TCP_CONGESTION=\u{9b}\u{202e}"]).run();
    assert!(done.stdout.is_ascii() && done.stdout.starts_with(b"{"), "{:?}", done.text());
}
