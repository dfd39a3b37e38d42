//! `auth-serve --digest`: the challenge-response of Python's `hmac` examples against Python clients,
//! byte for byte, and everything `serve` does behind it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use tempfile::NamedTempFile;

use super::{answer, challenged, key_file, refused};
use crate::run::{
    Folder, Program, REFUSED, Running, Words, ask, echoes, events_of, peer, python, read_all,
    read_to_either, shell, sockctl, take,
};

/// `auth-serve --digest DIGEST` on a free port; the key is `wangwang`.
pub fn server(digest: &str, words: impl Words) -> Program {
    sockctl(format!("auth-serve --digest {digest} 127.0.0.1:0"))
        .env("SOCKCTL_KEY", "wangwang")
        .args(words)
}

/// `auth-connect --digest DIGEST` to a port, with the same key.
pub fn client(digest: &str, port: u16, words: impl Words) -> Program {
    sockctl(format!("auth-connect --digest {digest} {port}"))
        .env("SOCKCTL_KEY", "wangwang")
        .args(words)
}

/// A connection that has proved that key.
pub fn proved(running: &Running, digest: &str) -> TcpStream {
    let (mut stream, challenge) = challenged(running);
    stream.write_all(&answer(digest, "wangwang", &challenge)).unwrap();
    stream
}

/// A client as in Python's `hmac` examples, and what it sends in how many segments.
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
fn row_52_python_clients_prove_the_key_however_their_bytes_are_split() {
    for (digest, len) in [("md5", 32), ("sha256", 64), ("sha512", 128)] {
        let server = server(digest, "--echo").start();
        let port = server.port();
        let byte_by_byte = vec!["1"; len + 9].join(",");
        let (edge, early) = (format!("{len},1"), format!("{},2", len - 1));
        for sizes in ["4096", &byte_by_byte, &edge, &early, &(len + 1).to_string()] {
            let client = python(CLIENT, format!("{digest} {port} {sizes}"));
            client.run().is(0, b"upload\x00\xff\n", "");
        }
        server.stops("", "");
    }
}

#[test]
fn the_challenge_is_32_fresh_bytes_and_nothing_else() {
    let server = server("md5", "--echo").start();
    let (first, a) = challenged(&server);
    let (second, b) = challenged(&server);
    assert_ne!(a, b);
    for stream in [first, second] {
        assert_eq!(ask(&stream, ""), b"", "nothing follows the challenge");
    }
}

#[test]
fn events_have_all_their_fields() {
    let keys = key_file("alice:wangwang\nbob:geheim\n");
    let server = sockctl("auth-serve --digest sha256 127.0.0.1:0 --echo --json --keys")
        .arg(keys.path())
        .start();
    let local = server.address();
    let stream = |key: &str| {
        let (mut stream, challenge) = challenged(&server);
        stream.write_all(&answer("sha256", key, &challenge)).unwrap();
        // Who is rejected is not heard.
        let _ = stream.write_all(b"hi").and_then(|()| stream.shutdown(Shutdown::Write));
        (read_to_either(&stream).0, stream.local_addr().unwrap().to_string())
    };
    let ((heard, bob), (unheard, mallory)) = (stream("geheim"), stream("mallory"));
    assert_eq!((&heard[..], &unheard[..]), (&b"hi"[..], &b""[..]));
    server.stderr_has("wrong key");
    server.signal("TERM");
    let done = server.finish().gives(0, "");
    let why = "wrong key, or a longer digest than sha256 on the client";
    assert_eq!(
        events_of(&done, "auth"),
        [
            json!({"event": "auth", "id": 1, "peer": bob, "ok": true, "key": "bob"}),
            json!({"event": "auth", "id": 2, "peer": mallory, "ok": false, "reason": why}),
        ]
    );
    assert_eq!(
        events_of(&done, "accepted"),
        [json!({"event": "accepted", "id": 1, "peer": bob, "local": local})]
    );
    let mut closed = events_of(&done, "closed");
    for event in &mut closed {
        event.as_object_mut().unwrap().remove("seconds");
    }
    assert_eq!(
        closed,
        [
            json!({"event": "closed", "id": 1, "peer": bob, "received": 2, "sent": 2,
                "reason": "eof"}),
            json!({"event": "closed", "id": 2, "peer": mallory, "received": 0, "sent": 0,
                "reason": "auth"}),
        ]
    );
}

#[test]
fn every_handler_works_behind_the_gate() {
    let echo = server("md5", "--echo").start();
    client("md5", echo.port(), "").input("a\0b").run().is(0, "a\0b", "");

    let reply = server("md5", "--reply welcome\\n").start();
    client("md5", reply.port(), "").run().is(0, "welcome\n", "");

    let discard = server("md5", "--discard").start();
    client("md5", discard.port(), "--send-only").input(vec![b'x'; 1 << 20]).run().is(0, "", "");

    let mut pipe = server("md5", "").start();
    let mut both = client("md5", pipe.port(), "").start();
    both.send("from the client\n");
    pipe.stdout_has("from the client\n");
    pipe.send("from the server\n");
    both.stdout_has("from the server\n");
    pipe.close();
    both.finish().is(0, "from the server\n", "");
}

#[test]
fn once_serves_the_first_that_proves_its_key() {
    let mut server = server("md5", "--once").start();
    let port = server.port();
    let silent = server.connect();
    client("md5", port, "").env("SOCKCTL_KEY", "other").run().fails(9, closed_without_a_word(port));
    let mut member = client("md5", port, "").start();
    member.send("question\n");
    server.stdout_has("question\n");
    client("md5", port, "").run().fails(3, format!("connect to 127.0.0.1:{port}: {REFUSED}"));
    drop(silent);
    server.send("answer\n").close();
    member.stdout_has("answer\n");
    member.finish().is(0, "answer\n", "");
    server.finish().gives(0, "question\n");
}

/// The error of a client with a wrong key.
pub fn closed_without_a_word(port: u16) -> String {
    refused(port, "the server closed without a reply (it may have rejected the key)")
}

#[test]
fn a_client_with_the_key_waits_for_room() {
    // No clock of its own that would let it in by the way.
    let server = server("md5", "--echo -m 1 -w 0").start();
    let first = proved(&server, "md5");
    echoes(&first, b"first");
    let mut second = proved(&server, "md5");
    second.write_all(b"second").unwrap();
    // The server admits no other client, and goes on with the first.
    echoes(&first, b"again");
    second.set_nonblocking(true).unwrap();
    assert!(second.read(&mut [0; 8]).is_err(), "it is not let in");
    second.set_nonblocking(false).unwrap();
    drop(first);
    assert_eq!(take(&second, 6), b"second");
}

#[test]
fn any_key_of_a_keys_file_opens() {
    let keys = key_file("alice:wangwang\n# a comment\nno colon\n");
    let with_keys = |keys: &NamedTempFile| {
        let keys = keys.path().display();
        sockctl(format!("auth-serve --digest md5 127.0.0.1:0 --echo -v --keys {keys}"))
    };
    let why = "line 3: neither NAME:KEY nor a sockctl-key-1 line; \
               a NAME is 1 to 32 of A-Z a-z 0-9 _ . -";
    let told = format!("read key from {}: {why}", keys.path().display());
    with_keys(&keys).run().fails(2, told);
    let keys = key_file("alice:wangwang\nbob:with:colons \n");
    let server = with_keys(&keys).start();
    for (name, key) in [("alice", "wangwang"), ("bob", "with:colons ")] {
        client("md5", server.port(), "").env("SOCKCTL_KEY", key).input("in").run().is(0, "in", "");
        server.stderr_has(&format!("authenticated with key {name}\n"));
    }
}

#[test]
fn a_created_key_works_on_both_sides_and_is_named() {
    let folder = Folder::new();
    let path = folder.text("key");
    let create = |flag: &str| sockctl(format!("auth-serve {flag} --key-file {path}")).run();
    create("--create-key=alice").is(0, "", "");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let line = std::fs::read_to_string(&path).unwrap();
    assert!(line.starts_with("sockctl-key-1 alice ") && line.ends_with('\n'), "{line:?}");
    let why = "file exists (EEXIST 17); a key is never overwritten: name a new file";
    create("--create-key").fails(2, format!("create key {path}: {why}"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line);

    let key = format!("--digest sha512 --key-file {path}");
    let server = sockctl(format!("auth-serve 127.0.0.1:0 --echo -v {key}")).start();
    let client = sockctl(format!("auth-connect {server} {key}"));
    client.input("hello").run().is(0, "hello", "");
    server.stderr_has("authenticated with key alice\n");
}

#[test]
fn the_key_comes_from_a_descriptor_or_a_file_before_the_variable() {
    let server = server("md5", "--echo").start();
    let folder = Folder::new();
    let path = folder.file("key", "wangwang\r\n");
    let words = [server.address(), path.clone()];
    let line = r#"exec "$0" auth-connect --digest md5 --key-fd 3 "$1" 3<"$2""#;
    let by_descriptor = shell(line, words.clone()).env("SOCKCTL_KEY", "wrong");
    by_descriptor.input("by descriptor").run().is(0, "by descriptor", "");
    let by_file = sockctl(format!("auth-connect --digest md5 --key-file {path} {server}"));
    by_file.env("SOCKCTL_KEY", "wrong").input("by file").run().is(0, "by file", "");
    let line =
        r#"printf wangwang | (exec "$0" auth-connect --digest md5 --key-fd 3 "$1" 3<&0 <"$2")"#;
    shell(line, words).run().is(0, "wangwang\r\n", "");
}

/// A server as in Python's `hmac` examples: it reads the answer with a plain recv(1024), then talks.
const SERVER: &str = r#"
import hmac, os, socket, sys
digest, key = sys.argv[1], sys.argv[2].encode()
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(5)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], file=sys.stderr)
conn, addr = listener.accept()
challenge = os.urandom(32)
conn.sendall(challenge)
response = conn.recv(1024)
if not hmac.compare_digest(hmac.new(key, challenge, digest).hexdigest().encode(), response):
    conn.close()
    sys.exit("wrong")
while True:
    data = conn.recv(1024)
    if not data:
        break
    conn.sendall(data.upper())
conn.close()
"#;

fn python_server(digest: &str, key: &str) -> Running {
    python(SERVER, format!("{digest} {key}")).start()
}

#[test]
fn python_servers_let_it_in_with_every_digest() {
    for digest in ["md5", "sha256", "sha512"] {
        let server = python_server(digest, "wangwang");
        let port = server.port();
        client(digest, port, "").input("upload").run().is(0, "UPLOAD", "");
        server.finish().is(0, "", format!("listening on 127.0.0.1:{port}\n"));
    }
}

#[test]
fn a_wrong_key_is_told_with_9_by_either_side() {
    let server = python_server("md5", "another");
    let port = server.port();
    // With payload it depends on whether the server's recv(1024) has it with the answer.
    client("md5", port, "").run().fails(9, closed_without_a_word(port));
    server.finish().is(1, "", format!("listening on 127.0.0.1:{port}\nwrong\n"));
}

#[test]
fn payload_in_the_challenge_s_segment_is_not_lost() {
    let peer = peer(|mut stream| {
        stream.write_all(&[[7; 32].as_slice(), b"at once\0"].concat()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_all(&stream);
    });
    client("md5", peer.port, "").run().is(0, "at once\0", "");
    peer.done();
}

#[test]
fn send_only_takes_a_clean_end_for_success() {
    let peer = peer(|mut stream| {
        stream.write_all(&[7; 32]).unwrap();
        let got = read_all(&stream);
        assert!(got.ends_with(b"report"), "{got:?}");
    });
    client("md5", peer.port, "--send-only").input("report").run().is(0, "", "");
    peer.done();
}

#[test]
fn it_works_over_unix_sockets() {
    let folder = Folder::new();
    let address = format!("unix:{}", folder.text("s"));
    let server = sockctl(format!("auth-serve --digest md5 {address} --echo"));
    let server = server.env("SOCKCTL_KEY", "wangwang").start();
    assert_eq!(server.address(), address);
    let connect = |key: &str| {
        let client = sockctl(format!("auth-connect --digest md5 {address}"));
        client.env("SOCKCTL_KEY", key).input("local").run()
    };
    connect("wangwang").is(0, "local", "");
    connect("other")
        .fails(9, format!("authenticate to {address}: the server closed without a reply (it may have rejected the key)"));
}
