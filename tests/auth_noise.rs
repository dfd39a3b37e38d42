//! The encrypted session, end to end: our two roles, and either against a peer in Python that was
//! written from the specifications.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::NamedTempFile;

use crate::auth_serve::{events, key_file};
use crate::run::{DEADLINE, Program, Running, python, shell, sockctl};

/// The peer in Python; what it can do stands at its top.
const PEER: &str = include_str!("peers/noise.py");

/// The bytes of alice's key.
pub const ALICE: [u8; 32] = [1; 32];

/// A file with a random key: its name, and its bytes.
pub fn random_key(name: &str, bytes: [u8; 32]) -> NamedTempFile {
    key_file(format!("sockctl-key-1 {name} {}\n", URL_SAFE_NO_PAD.encode(bytes)))
}

/// An encrypted server that alice's key opens.
pub fn server(words: &[&str]) -> (Running, NamedTempFile) {
    let key = random_key("alice", ALICE);
    let server =
        sockctl(["auth-serve", "127.0.0.1:0", "--key-file"]).args([key.path()]).args(words);
    (server.start(), key)
}

/// A client with alice's key.
pub fn client(port: u16, words: &[&str]) -> (Program, NamedTempFile) {
    let key = random_key("alice", ALICE);
    let client =
        sockctl(["auth-connect", &port.to_string(), "--key-file"]).args([key.path()]).args(words);
    (client, key)
}

/// The Python client with alice's key, doing these things.
pub fn python_client(port: u16, context: &str, ops: &[&str]) -> Program {
    let words = ["client", &port.to_string(), &hex::encode(ALICE), context].map(String::from);
    python(PEER, words).args(ops)
}

/// The Python server with alice's key, doing these things; and its port.
pub fn python_server(context: &str, ops: &[&str]) -> (Running, u16) {
    let words = ["server", &hex::encode(ALICE), context].map(String::from);
    let server = python(PEER, words).args(ops).start();
    let port = server.stdout_has("\n").trim().parse().unwrap();
    (server, port)
}

/// Payload that is no text, and no multiple of anything.
pub fn payload() -> Vec<u8> {
    (0..3_000_017u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect()
}

#[test]
fn bytes_go_both_ways_and_so_do_ends() {
    let (echo, _key) = server(&["--echo"]);
    let (client, _key) = client(echo.port(), &[]);
    client.input(payload()).run().is(0, payload(), "");
}

#[test]
fn once_in_a_pipe_is_a_pipe() {
    let (mut server, _key) = server(&["--once"]);
    let port = server.port();
    server.feed(payload());
    let (client, _key) = client(port, &[]);
    client.input("to the server").run().is(0, payload(), "");
    let done = server.finish();
    assert_eq!((done.code, done.stdout.as_slice()), (0, &b"to the server"[..]));
}

#[test]
fn one_key_of_many_opens_the_door_and_is_named() {
    let lines: Vec<String> = (0..64u8)
        .map(|i| format!("sockctl-key-1 k{i} {}", URL_SAFE_NO_PAD.encode([i + 100; 32])))
        .collect();
    let keys = key_file(lines.join("\n"));
    let server = sockctl(["auth-serve", "127.0.0.1:0", "--echo", "-v", "--keys"])
        .args([keys.path()])
        .start();
    for i in [0u8, 31, 63] {
        let key = random_key("its-own-name-for-it", [i + 100; 32]);
        sockctl(["auth-connect", &server.port().to_string(), "--key-file"])
            .args([key.path()])
            .input("hi")
            .run()
            .is(0, "hi", "");
        server.stderr_has(&format!("authenticated with key k{i}\n"));
    }
}

#[test]
fn a_passphrase_is_as_good_as_its_letters() {
    let pass = key_file("correct horse battery staple");
    let server =
        sockctl(["auth-serve", "127.0.0.1:0", "--echo", "--key-file"]).args([pass.path()]).start();
    let port = server.port();
    let run = |key: &str, words: &[&str]| {
        sockctl(["auth-connect", &port.to_string()])
            .args(words)
            .env("SOCKCTL_KEY", key)
            .input("hi")
            .run()
    };
    run("correct horse battery staple", &[]).is(0, "hi", "");
    let refused = format!(
        "sockctl: authenticate to 127.0.0.1:{port}: \
         the server rejected our key: wrong key, or another --context\n"
    );
    run("correct horse battery stable", &[]).is(9, "", &refused);
    run("correct horse battery staple", &["--context", "x"]).is(9, "", &refused);
    let told = run("correct horse battery stable", &["--json"]);
    assert_eq!(
        events(&told.stderr, "error"),
        [serde_json::json!({"event": "error", "op": "authenticate", "exit": 9,
            "target": format!("127.0.0.1:{port}"),
            "reason": "the server rejected our key: wrong key, or another --context"})]
    );
    run("wangwang", &[]).is(
        9,
        "",
        &format!(
            "sockctl: warning: a passphrase of 8 characters can be guessed offline from a \
             recording; use 16 or more, or --create-key\n{refused}"
        ),
    );
    run("wangwan", &[]).is(
        2,
        "",
        "sockctl: use the key: a passphrase of 7 characters is too short; \
         use 16 or more, or make a key with --create-key\n",
    );
}

#[test]
fn a_context_binds_both_sides() {
    let (server, _key) = server(&["--echo", "--context", "db\\n"]);
    let (same, _key) = client(server.port(), &["--context", "db\\x0a"]);
    same.input("hi").run().is(0, "hi", "");
    for digest in [&["--digest", "md5"][..], &["--python"]] {
        let done = sockctl(["auth-connect", "1", "--context", "x"]).args(digest).run();
        assert_eq!(done.code, 2, "{}", done.stderr);
    }
}

#[test]
fn the_dump_shows_plaintext() {
    let (server, _key) = server(&["--reply", "plain words", "-x-"]);
    let (client, _key) = client(server.port(), &["-x-", "-q"]);
    let done = client.input("and ours").run();
    assert_eq!((done.code, done.stdout.as_slice()), (0, &b"plain words"[..]));
    assert!(done.stderr.contains("|plain words|"), "{}", done.stderr);
    assert!(done.stderr.contains("|and ours|"), "{}", done.stderr);
    server.stderr_has("|plain words|");
}

#[test]
fn counts_are_of_payload() {
    let (server, _key) = server(&["--echo", "-v"]);
    let (client, _key) = client(server.port(), &["-v"]);
    let done = client.input("12345").run();
    assert!(done.stderr.contains("received 5, sent 5 bytes"), "{}", done.stderr);
    server.stderr_has("closed (eof; received 5, sent 5 bytes");
}

#[test]
fn scripts_and_limits_hold_inside() {
    let (server, _key) = server(&["--echo"]);
    let (script, _key) =
        client(server.port(), &["--send", "ping\\n", "--expect", "p.ng", "--send", "end"]);
    script.run().is(0, "ping\nend", "");
    let (limited, _key) = client(server.port(), &["--max-bytes", "3"]);
    limited.input("abcdef").run().is(0, "abc", "");
    let (one_way, _key) = client(server.port(), &["--send-only"]);
    one_way.input("abcdef").run().is(0, "", "");
}

#[test]
fn a_script_writes_what_came_before_it_looks_behind_the_end() {
    // It leaves unread what it is sent, so that its end is a reset.
    let data = format!("data*9:{}", "a".repeat(16_000));
    let (server, port) = python_server("", &["record", "hold", "welcome", &data, "eof", "pause:0"]);
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
    let mut client = shell(line, [port.to_string()])
        .args([key.path()])
        .args(["b".repeat(50_000).as_str(), slow_reader])
        .start();
    assert_eq!(server.finish().code, 0);
    client.send("go\n");
    client.finish().is(0, "144000\n", "0\n");
}

#[test]
fn python_speaks_to_our_server() {
    let (server, _key) = server(&["--echo", "--context", "there"]);
    // READY and data in one segment: nothing is lost.
    python_client(
        server.port(),
        "there",
        &["hold", "ready", "data:hello", "data:", "data: again", "eof", "record", "read"],
    )
    .run()
    .is(0, "welcome\nhello again<eof>", "");
}

#[test]
fn python_speaks_to_our_client() {
    let (server, port) = python_server(
        "",
        &["record", "hold", "welcome", "data:hello ", "data:you", "read", "data:!", "eof", "shut"],
    );
    let (client, _key) = client(port, &[]);
    client.input("hi there").run().is(0, "hello you!", "");
    let done = server.finish();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(said.ends_with("ready\nhi there<eof>"), "{said}");
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[test]
fn who_is_turned_away_is_told_why() {
    for (reason, exit, why) in [
        (1, 9, "the server does not accept this key"),
        (2, 3, "rejected: the server is full"),
        (3, 3, "rejected: our address is not allowed"),
        (4, 3, "rejected: the server is stopping"),
    ] {
        let (server, port) = python_server("", &["record", &format!("refused:{reason}"), "shut"]);
        let (client, _key) = client(port, &[]);
        client.input("payload").run().is(
            exit,
            "",
            &format!("sockctl: authenticate to 127.0.0.1:{port}: {why}\n"),
        );
        drop(server);
    }
}

#[test]
fn a_full_server_says_so() {
    let (server, _key) = server(&["--echo", "-m", "1", "--on-full", "reject"]);
    let port = server.port();
    let (first, _key) = client(port, &[]);
    let mut first = first.start();
    first.send("here");
    first.stdout_has("here");
    let (second, _key) = client(port, &[]);
    second.input("payload").run().is(
        3,
        "",
        &format!("sockctl: authenticate to 127.0.0.1:{port}: rejected: the server is full\n"),
    );
    first.finish().is(0, "here", "");
}

#[test]
fn a_key_from_a_denied_address_is_told_so_and_a_stranger_from_there_nothing() {
    let (server, _key) = server(&["--reply", "secret", "--deny", "127.0.0.1", "-v"]);
    let port = server.port();
    let (holder, _key) = client(port, &[]);
    holder.input("payload").run().is(
        3,
        "",
        &format!(
            "sockctl: authenticate to 127.0.0.1:{port}: rejected: our address is not allowed\n"
        ),
    );
    let text = server.stderr_has("closed (limit");
    assert!(text.contains("authenticated"), "{text}");
    let wrong = random_key("alice", [2; 32]);
    sockctl(["auth-connect", &port.to_string(), "--key-file"])
        .args([wrong.path()])
        .input("payload")
        .run()
        .is(
            9,
            "",
            &format!(
                "sockctl: authenticate to 127.0.0.1:{port}: the server rejected our key: \
                 wrong key, or another --context\n"
            ),
        );
}

#[test]
fn one_who_waits_for_room_is_welcomed_later() {
    let (server, _key) = server(&["--echo", "-m", "1", "-v", "-w", "0"]);
    let port = server.port();
    let (first, _key) = client(port, &[]);
    let mut first = first.start();
    first.send("here");
    first.stdout_has("here");
    let (second, _key) = client(port, &[]);
    let mut second = second.start();
    second.send("and here");
    server.stderr_has("[2] 127.0.0.1");
    first.finish().is(0, "here", "");
    second.stdout_has("and here");
    second.finish().is(0, "and here", "");
}

#[test]
fn a_server_that_stops_ends_sessions_in_good_order() {
    let (server, _key) = server(&["--echo"]);
    let (client, _key) = client(server.port(), &[]);
    let mut client = client.start();
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
) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let back = {
            let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let change = change.clone();
            std::thread::spawn(move || carry(from, to, |at, bytes| change(Way::Down, at, bytes)))
        };
        carry(client, server, |at, bytes| change(Way::Up, at, bytes));
        back.join().unwrap();
    });
    (ours, thread)
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
