//! The encrypted session, end to end: our two roles, and either against a peer in Python that was
//! written from the specifications.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use super::{key_file, key_line, random_key, refused};
use crate::run::{
    DEADLINE, Peer, Program, RESET, Running, Words, events_of, pattern, peer, python, shell,
    sockctl,
};

/// The peer in Python; what it can do stands at its top.
const PEER: &str = include_str!("../peers/noise.py");

/// The bytes of alice's key.
pub const ALICE: [u8; 32] = [1; 32];

/// An encrypted server that alice's key opens.
pub fn server(words: impl Words) -> Running {
    sockctl("auth-serve 127.0.0.1:0")
        .args(words)
        .env("SOCKCTL_KEY", key_line("alice", ALICE))
        .start()
}

/// A client with alice's key.
pub fn client(port: u16, words: impl Words) -> Program {
    sockctl(format!("auth-connect {port}")).args(words).env("SOCKCTL_KEY", key_line("alice", ALICE))
}

/// The Python client with alice's key, doing these things.
pub fn python_client(port: u16, context: &str, ops: impl Words) -> Program {
    let words = ["client", &port.to_string(), &hex::encode(ALICE), context].map(String::from);
    python(PEER, words).args(ops)
}

/// The Python server with alice's key, doing these things; and its port.
pub fn python_server(context: &str, ops: impl Words) -> (Running, u16) {
    let words = ["server", &hex::encode(ALICE), context].map(String::from);
    let server = python(PEER, words).args(ops).start();
    let port = server.stdout_has("\n").trim().parse().unwrap();
    (server, port)
}

/// Payload that is no text, and no multiple of anything.
fn payload() -> Vec<u8> {
    pattern(3_000_017)
}

#[test]
fn bytes_go_both_ways_and_so_do_ends() {
    let echo = server("--echo");
    client(echo.port(), "").input(payload()).run().is(0, payload(), "");
}

#[test]
fn once_in_a_pipe_is_a_pipe() {
    let mut server = server("--once");
    let port = server.port();
    server.feed(payload());
    client(port, "").input("to the server").run().is(0, payload(), "");
    server.finish().gives(0, "to the server");
}

#[test]
fn one_key_of_many_opens_the_door_and_is_named() {
    let lines: String = (0..64u8).map(|i| key_line(&format!("k{i}"), [i + 100; 32])).collect();
    let keys = key_file(lines);
    let server = sockctl("auth-serve 127.0.0.1:0 --echo -v --keys").arg(keys.path()).start();
    for i in [0u8, 31, 63] {
        let key = random_key("its-own-name-for-it", [i + 100; 32]);
        let client = sockctl(format!("auth-connect {server} --key-file")).arg(key.path());
        client.input("hi").run().is(0, "hi", "");
        server.stderr_has(&format!("authenticated with key k{i}\n"));
    }
}

#[test]
fn a_passphrase_is_as_good_as_its_letters() {
    let pass = key_file("correct horse battery staple");
    let server = sockctl("auth-serve 127.0.0.1:0 --echo --key-file").arg(pass.path()).start();
    let port = server.port();
    let run = |key: &str, words: &str| {
        let client = sockctl(format!("auth-connect {port} {words}"));
        client.env("SOCKCTL_KEY", key).input("hi").run()
    };
    run("correct horse battery staple", "").is(0, "hi", "");
    let why = "the server rejected our key: wrong key, or another --context";
    let refused = refused(port, why);
    run("correct horse battery stable", "").fails(9, &refused);
    run("correct horse battery staple", "--context x").fails(9, &refused);
    let told = run("correct horse battery stable", "--json");
    assert_eq!(
        events_of(&told.stderr, "error"),
        [serde_json::json!({"event": "error", "op": "authenticate", "exit": 9,
            "target": format!("127.0.0.1:{port}"), "reason": why})]
    );
    run("wangwang", "").is(
        9,
        "",
        format!(
            "sockctl: warning: a passphrase of 8 characters can be guessed offline from a \
             recording; use 16 or more, or --create-key\nsockctl: {refused}\n"
        ),
    );
    run("wangwan", "").fails(
        2,
        "use the key: a passphrase of 7 characters is too short; \
         use 16 or more, or make a key with --create-key",
    );
}

#[test]
fn a_context_binds_both_sides() {
    let server = server("--echo --context db\\n");
    client(server.port(), "--context db\\x0a").input("hi").run().is(0, "hi", "");
}

#[test]
fn the_dump_shows_plaintext() {
    let server = server("--reply 'plain words' -x-");
    let said = client(server.port(), "-x- -q").input("and ours").run().gives(0, "plain words");
    assert!(said.contains("|plain wo|") && said.contains("|and ours|"), "{said}");
    server.stderr_has("|plain wo|");
}

#[test]
fn counts_are_of_payload() {
    let server = server("--echo -v");
    let said = client(server.port(), "-v").input("12345").run().gives(0, "12345");
    assert!(said.contains("received 5, sent 5 bytes"), "{said}");
    server.stderr_has("closed (eof; received 5, sent 5 bytes");
}

#[test]
fn scripts_and_limits_hold_inside() {
    let server = server("--echo");
    client(server.port(), "--send ping\\n --expect p.ng --send end").run().is(0, "ping\nend", "");
    client(server.port(), "--max-bytes 3").input("abcdef").run().is(0, "abc", "");
    client(server.port(), "--send-only").input("abcdef").run().is(0, "", "");
}

#[test]
fn a_script_writes_what_came_before_it_looks_behind_the_end() {
    // It leaves unread what it is sent, so that its end is a reset.
    let data = format!("data*9:{}", "a".repeat(16_000));
    let (server, port) = python_server("", format!("record hold welcome {data} eof pause:0"));
    let key = random_key("alice", ALICE);
    let line = r#"exec 3<&0
        { "$0" auth-connect "$1" --key-file "$2" -w 0 --send "$3" </dev/null; echo $? >&2; } |
        { read -r _ <&3; exec python3 -c "$4"; }"#;
    let slow_reader = "import os, time
count = 0
while piece := os.read(0, 4096):
    count += len(piece)
    time.sleep(0.005)
print(count)";
    let mut client = shell(line, port.to_string())
        .arg(key.path())
        .args(["b".repeat(50_000).as_str(), slow_reader])
        .start();
    assert_eq!(server.finish().code, 0);
    client.send("go\n");
    // The rest of ours was not read.
    client.finish().is(
        0,
        "144000\n",
        format!("sockctl: connection to 127.0.0.1:{port}: {RESET}\n7\n"),
    );
}

#[test]
fn python_speaks_to_our_server() {
    let server = server("--echo --context there");
    // READY and data in one segment: nothing is lost.
    let ops = "hold ready data:hello data: 'data: again' eof record read";
    let python = python_client(server.port(), "there", ops);
    python.run().is(0, "welcome\nhello again<eof>", "");
}

#[test]
fn python_speaks_to_our_client() {
    let (server, port) =
        python_server("", "record hold welcome 'data:hello ' data:you read data:! eof shut");
    client(port, "").input("hi there").run().is(0, "hello you!", "");
    assert!(server.finish().output().ends_with("ready\nhi there<eof>"));
}

#[test]
fn a_rejected_client_reports_the_reason() {
    for (reason, exit, why) in [
        (1, 9, "the server does not accept this key"),
        (2, 3, "rejected: the server is full"),
        (3, 3, "rejected: our address is not allowed"),
        (4, 3, "rejected: the server is stopping"),
    ] {
        let (server, port) = python_server("", format!("record refused:{reason} shut"));
        client(port, "").input("payload").run().fails(exit, refused(port, why));
        drop(server);
    }
}

#[test]
fn a_full_server_says_so() {
    let server = server("--echo -m 1 --on-full reject");
    let port = server.port();
    let mut first = client(port, "").start();
    first.send("here");
    first.stdout_has("here");
    let why = refused(port, "rejected: the server is full");
    client(port, "").input("payload").run().fails(3, why);
    first.finish().is(0, "here", "");
}

#[test]
fn a_client_at_a_denied_address_gets_the_reason_only_if_it_has_the_key() {
    let server = server("--reply secret --deny 127.0.0.1 -v");
    let port = server.port();
    let why = refused(port, "rejected: our address is not allowed");
    client(port, "").input("payload").run().fails(3, why);
    let text = server.stderr_has("refused: 127.0.0.1 is not allowed (--deny 127.0.0.1)");
    assert!(text.contains("authenticated"), "{text}");
    let why = refused(port, "the server rejected our key: wrong key, or another --context");
    let wrong = client(port, "").env("SOCKCTL_KEY", key_line("alice", [2; 32]));
    wrong.input("payload").run().fails(9, why);
}

#[test]
fn a_client_that_waits_for_room_is_welcomed_later() {
    let server = server("--echo -m 1 -v -w 0");
    let port = server.port();
    let mut first = client(port, "").start();
    first.send("here");
    first.stdout_has("here");
    let mut second = client(port, "").start();
    second.send("and here");
    server.stderr_has("[2] 127.0.0.1");
    first.finish().is(0, "here", "");
    second.stdout_has("and here");
    second.finish().is(0, "and here", "");
}

#[test]
fn a_server_that_stops_ends_sessions_in_good_order() {
    let server = server("--echo");
    let mut client = client(server.port(), "").start();
    client.send("here");
    client.stdout_has("here");
    server.signal("TERM");
    // Not a truncation.
    client.finish().is(0, "here", "");
    assert_eq!(server.finish().code, 0);
}

/// Stands between a client and `port`: hands each direction to `change`, piece by piece, with
/// where the piece begins in it.
pub fn between(
    port: u16,
    change: impl Fn(Way, usize, Vec<u8>) -> Vec<u8> + Send + Sync + Clone + 'static,
) -> Peer {
    peer(move |client| {
        let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let down = change.clone();
        let back =
            std::thread::spawn(move || carry(from, to, |at, bytes| down(Way::Down, at, bytes)));
        carry(client, server, |at, bytes| change(Way::Up, at, bytes));
        back.join().unwrap();
    })
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

fn carry(
    mut from: TcpStream,
    mut to: TcpStream,
    mut change: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) {
    from.set_read_timeout(Some(DEADLINE)).unwrap();
    let (mut at, mut buffer) = (0, vec![0; 64 << 10]);
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        if to.write_all(&change(at, buffer[..count].to_vec())).is_err() {
            let _ = from.shutdown(Shutdown::Read);
            return;
        }
        at += count;
    }
}
