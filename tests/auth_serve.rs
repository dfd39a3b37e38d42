//! `sockctl auth-serve --digest`: the notes' challenge-response against Python clients, byte for
//! byte, and everything `serve` does behind it.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::run::{Program, Running, connect, python, read_all, sockctl};

/// A key file that nobody else may read.
pub fn key_file(key: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(key.as_ref()).unwrap();
    file
}

/// `auth-serve --digest DIGEST` on a free port, with the notes' key.
pub fn server(digest: &str, words: &[&str]) -> Program {
    sockctl(["auth-serve", "--digest", digest, "127.0.0.1:0"])
        .env("SOCKCTL_KEY", "wangwang")
        .args(words)
}

/// `auth-connect --digest DIGEST` to a port, with the notes' key.
pub fn client(digest: &str, port: u16, words: &[&str]) -> Program {
    sockctl(["auth-connect", "--digest", digest, &port.to_string()])
        .env("SOCKCTL_KEY", "wangwang")
        .args(words)
}

/// What Python answers to a challenge.
pub fn answer(digest: &str, key: &str, challenge: &[u8]) -> Vec<u8> {
    let script = "import hmac, sys\n\
        print(hmac.new(sys.argv[2].encode(), bytes.fromhex(sys.argv[3]), sys.argv[1]).hexdigest(), end='')";
    let done = python(script, [digest, key, &hex::encode(challenge)]).run();
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    done.stdout
}

/// A connection that has received its challenge.
pub fn challenged(running: &Running) -> (TcpStream, [u8; 32]) {
    let mut stream = running.connect();
    let mut challenge = [0; 32];
    stream.read_exact(&mut challenge).unwrap();
    (stream, challenge)
}

/// A connection that has proved the notes' key.
pub fn proved(running: &Running, digest: &str) -> TcpStream {
    let (mut stream, challenge) = challenged(running);
    stream.write_all(&answer(digest, "wangwang", &challenge)).unwrap();
    stream
}

/// The events of a `--json` run, without what differs from run to run.
pub fn events(stderr: &str, event: &str) -> Vec<Value> {
    stderr
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|value| value["event"] == event)
        .map(|mut value| {
            assert!(value["t"].as_f64().is_some_and(|t| t >= 0.0), "{value}");
            value.as_object_mut().unwrap().remove("t");
            value
        })
        .collect()
}

/// The notes' client, and what it sends in how many segments.
const CLIENT: &str = r#"
import hmac, socket, sys
digest, port, sizes = sys.argv[1], int(sys.argv[2]), [int(n) for n in sys.argv[3].split(",")]
s = socket.create_connection(("127.0.0.1", port), 30)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
challenge = s.recv(32)
assert len(challenge) == 32
out = hmac.new(b"wangwang", challenge, digest).hexdigest().encode() + b"upload\x00\xff\n"
while out:
    n = sizes.pop(0) if sizes else len(out)
    s.sendall(out[:n])
    out = out[n:]
s.shutdown(socket.SHUT_WR)
while True:
    got = s.recv(1024)
    if not got:
        break
    sys.stdout.buffer.write(got)
"#;

#[test]
fn python_clients_prove_the_key_with_every_digest() {
    for (digest, len) in [("md5", 32), ("sha256", 64), ("sha512", 128)] {
        let server = server(digest, &["--echo"]).start();
        let port = server.port().to_string();
        let byte_by_byte = vec!["1"; len + 9].join(",");
        let edge = format!("{len},1");
        let early = format!("{},2", len - 1);
        let late = format!("{}", len + 1);
        for sizes in ["4096", &byte_by_byte, &edge, &early, &late] {
            python(CLIENT, [digest, &port, sizes]).run().is(0, b"upload\x00\xff\n", "");
        }
        server.signal("TERM");
        let done = server.finish();
        done.is(0, "", &format!("listening on 127.0.0.1:{port}\n"));
    }
}

#[test]
fn the_challenge_is_32_fresh_bytes_and_nothing_else() {
    let server = server("md5", &["--echo"]).start();
    let (first, a) = challenged(&server);
    let (second, b) = challenged(&server);
    assert_ne!(a, b);
    for stream in [first, second] {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(read_all(&stream), b"", "nothing follows the challenge");
    }
}

#[test]
fn events_have_all_their_fields() {
    let keys = key_file("alice:wangwang\nbob:geheim\n");
    let server = sockctl(["auth-serve", "--digest", "sha256", "127.0.0.1:0", "--echo"])
        .args(["--json", "--keys"])
        .args([keys.path()])
        .start();
    let text = server.stderr_has("\n");
    let local = events(&text, "listening")[0]["local"].as_str().unwrap().to_string();
    let port: u16 = local.rsplit(':').next().unwrap().parse().unwrap();
    let stream = |key: &str| {
        let mut stream = connect(port);
        let mut challenge = [0; 32];
        stream.read_exact(&mut challenge).unwrap();
        stream.write_all(&answer("sha256", key, &challenge)).unwrap();
        stream.write_all(b"hi").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let peer = stream.local_addr().unwrap().to_string();
        (read_all(&stream), peer)
    };
    let (bytes, bob) = stream("geheim");
    assert_eq!(bytes, b"hi");
    let (bytes, mallory) = stream("mallory");
    assert_eq!(bytes, b"");
    server.stderr_has("wrong key");
    server.signal("TERM");
    let done = server.finish();
    assert_eq!((done.code, done.stdout.as_slice()), (0, &b""[..]));
    let why = "wrong key, or a longer digest than sha256 on the client";
    assert_eq!(
        events(&done.stderr, "auth"),
        [
            json!({"event": "auth", "id": 1, "peer": bob, "ok": true, "key": "bob"}),
            json!({"event": "auth", "id": 2, "peer": mallory, "ok": false, "reason": why}),
        ]
    );
    assert_eq!(
        events(&done.stderr, "accepted"),
        [json!({"event": "accepted", "id": 1, "peer": bob, "local": local})]
    );
    let mut closed = events(&done.stderr, "closed");
    assert_eq!(closed.len(), 1, "{}", done.stderr);
    closed[0].as_object_mut().unwrap().remove("seconds");
    assert_eq!(
        closed[0],
        json!({"event": "closed", "id": 1, "peer": bob, "received": 2, "sent": 2, "reason": "eof"})
    );
}

#[test]
fn every_handler_works_behind_the_gate() {
    let echo = server("md5", &["--echo"]).start();
    client("md5", echo.port(), &[]).input("a\0b").run().is(0, "a\0b", "");

    let reply = server("md5", &["--reply", "welcome\\n"]).start();
    client("md5", reply.port(), &[]).run().is(0, "welcome\n", "");

    let discard = server("md5", &["--discard"]).start();
    client("md5", discard.port(), &["--send-only"]).input(vec![b'x'; 1 << 20]).run().is(0, "", "");

    let mut pipe = server("md5", &[]).start();
    let mut both = client("md5", pipe.port(), &[]).start();
    both.send("from the client\n");
    pipe.stdout_has("from the client\n");
    pipe.send("from the server\n");
    both.stdout_has("from the server\n");
    both.finish().is(0, "from the server\n", "");
}

#[test]
fn once_serves_the_first_that_proves_its_key() {
    let mut server = server("md5", &["--once"]).start();
    let port = server.port();
    let stranger = server.connect();
    client("md5", port, &[]).env("SOCKCTL_KEY", "other").run().is(
        9,
        "",
        &closed_without_a_word(port),
    );
    let mut member = client("md5", port, &[]).start();
    member.send("question\n");
    server.stdout_has("question\n");
    client("md5", port, &[]).run().is(
        3,
        "",
        &format!("sockctl: connect to 127.0.0.1:{port}: connection refused (ECONNREFUSED 111)\n"),
    );
    drop(stranger);
    server.send("answer\n").close();
    member.stdout_has("answer\n");
    member.finish().is(0, "answer\n", "");
    let done = server.finish();
    assert_eq!((done.code, done.stdout.as_slice()), (0, &b"question\n"[..]));
}

/// What a client says whose key was wrong.
pub fn closed_without_a_word(port: u16) -> String {
    format!("sockctl: authenticate to 127.0.0.1:{port}: closed without a word: wrong key?\n")
}

#[test]
fn whoever_proves_its_key_waits_for_room() {
    // No clock of its own that would let it in by the way.
    let server = server("md5", &["--echo", "-m", "1", "-w", "0"]).start();
    let mut first = proved(&server, "md5");
    echoes(&mut first, b"first");
    let mut second = proved(&server, "md5");
    second.write_all(b"second").unwrap();
    // The server lets nobody else in, and goes on with the first.
    echoes(&mut first, b"again");
    second.set_nonblocking(true).unwrap();
    assert!(second.read(&mut [0; 8]).is_err(), "it is not let in");
    second.set_nonblocking(false).unwrap();
    drop(first);
    let mut back = [0; 6];
    second.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"second");
}

/// Sends these bytes and reads them back.
pub fn echoes(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes);
}

#[test]
fn any_key_of_a_keys_file_opens() {
    let keys = key_file("alice:wangwang\n# a comment\nno colon\n");
    sockctl(["auth-serve", "--digest", "md5", "0", "--keys"]).args([keys.path()]).run().is(
        2,
        "",
        &format!(
            "sockctl: read key from {}: line 3: neither NAME:KEY nor a sockctl-key-1 line; \
                 a NAME is 1 to 32 of A-Z a-z 0-9 _ . -\n",
            keys.path().display()
        ),
    );
    let keys = key_file("alice:wangwang\nbob:with:colons \n");
    let server = sockctl(["auth-serve", "--digest", "md5", "127.0.0.1:0", "--echo", "-v"])
        .args(["--keys"])
        .args([keys.path()])
        .start();
    for (name, key) in [("alice", "wangwang"), ("bob", "with:colons ")] {
        client("md5", server.port(), &[]).env("SOCKCTL_KEY", key).input("in").run().is(0, "in", "");
        server.stderr_has(&format!("authenticated with key {name}\n"));
    }
}

#[test]
fn a_created_key_works_on_both_sides_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let create = |name: &str| sockctl(["auth-serve", name, "--key-file"]).args([&path]);
    create("--create-key=alice").run().is(0, "", "");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o7777, 0o600);
    let line = std::fs::read_to_string(&path).unwrap();
    assert!(line.starts_with("sockctl-key-1 alice ") && line.ends_with('\n'), "{line:?}");
    create("--create-key").run().is(
        2,
        "",
        &format!(
            "sockctl: create key {}: file exists (EEXIST 17); \
             a key is never overwritten: name a new file\n",
            path.display()
        ),
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line);

    let server = sockctl(["auth-serve", "--digest", "sha512", "127.0.0.1:0", "--echo", "-v"])
        .args(["--key-file"])
        .args([&path])
        .start();
    sockctl(["auth-connect", "--digest", "sha512", &server.port().to_string(), "--key-file"])
        .args([&path])
        .input("hello")
        .run()
        .is(0, "hello", "");
    server.stderr_has("authenticated with key alice\n");
}

#[test]
fn the_key_comes_from_a_descriptor_or_a_file_before_the_variable() {
    let server = server("md5", &["--echo"]).start();
    let port = server.port().to_string();
    let key = key_file("wangwang\r\n");
    let path = key.path().to_str().unwrap();
    let binary = env!("CARGO_BIN_EXE_sockctl");
    let script = r#"exec "$0" auth-connect --digest md5 --key-fd 3 "$1" 3<"$2""#;
    crate::run::program("sh", ["-c", script, binary, &port, path])
        .env("SOCKCTL_KEY", "wrong")
        .input("by descriptor")
        .run()
        .is(0, "by descriptor", "");
    sockctl(["auth-connect", "--digest", "md5", "--key-file", path, &port])
        .env("SOCKCTL_KEY", "wrong")
        .input("by file")
        .run()
        .is(0, "by file", "");
    let script =
        r#"printf wangwang | (exec "$0" auth-connect --digest md5 --key-fd 3 "$1" 3<&0 <"$2")"#;
    crate::run::program("sh", ["-c", script, binary, &port, path]).run().is(0, "wangwang\r\n", "");
}
