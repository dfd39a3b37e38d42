//! `sockctl auth-connect --digest` against the notes' own Python server.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use crate::auth_serve::{answer, client, closed_without_a_word};
use crate::run::{DEADLINE, Running, python, read_all, sockctl};

/// The notes' server: it reads the answer with a plain recv(1024), and then talks.
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

fn notes(digest: &str, key: &str) -> Running {
    python(SERVER, [digest, key]).start()
}

#[test]
fn python_servers_let_it_in_with_every_digest() {
    for digest in ["md5", "sha256", "sha512"] {
        let server = notes(digest, "wangwang");
        let port = server.port();
        client(digest, port, &[]).input("upload").run().is(0, "UPLOAD", "");
        server.finish().is(0, "", &format!("listening on 127.0.0.1:{port}\n"));
    }
}

#[test]
fn a_wrong_key_is_told_with_9_by_either_side() {
    let server = notes("md5", "another");
    let port = server.port();
    client("md5", port, &[]).input("upload").run().is(9, "", &closed_without_a_word(port));
    server.finish().is(1, "", &format!("listening on 127.0.0.1:{port}\nwrong\n"));
}

/// A server of the test's own, which is given the connection.
pub fn rogue(act: impl FnOnce(TcpStream) + Send + 'static) -> (u16, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        act(stream);
    });
    (port, thread)
}

#[test]
fn the_answer_is_exactly_the_hex_digest_and_what_follows_is_payload() {
    for (digest, len) in [("md5", 32), ("sha256", 64), ("sha512", 128)] {
        let challenge: [u8; 32] = std::array::from_fn(|n| u8::try_from(n * 7).unwrap());
        let expected = answer(digest, "wangwang", &challenge);
        let (port, thread) = rogue(move |mut stream| {
            for byte in challenge {
                stream.write_all(&[byte]).unwrap();
            }
            let mut got = vec![0; len];
            stream.read_exact(&mut got).unwrap();
            assert_eq!(got, expected);
            stream.write_all(b"verdict").unwrap();
            assert_eq!(read_all(&stream), b"payload\n");
        });
        client(digest, port, &[]).input("payload\n").run().is(0, "verdict", "");
        thread.join().unwrap();
    }
}

#[test]
fn payload_in_the_challenge_s_segment_is_not_lost() {
    let (port, thread) = rogue(|mut stream| {
        stream.write_all(&[[7; 32].as_slice(), b"at once\0"].concat()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_all(&stream);
    });
    client("md5", port, &[]).run().is(0, "at once\0", "");
    thread.join().unwrap();
}

#[test]
fn send_only_takes_a_clean_end_for_success() {
    let (port, thread) = rogue(|mut stream| {
        stream.write_all(&[7; 32]).unwrap();
        let got = read_all(&stream);
        assert!(got.ends_with(b"report"), "{got:?}");
    });
    client("md5", port, &["--send-only"]).input("report").run().is(0, "", "");
    thread.join().unwrap();
}

#[test]
fn it_works_over_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", folder.path().join("s").display());
    let server = sockctl(["auth-serve", "--digest", "md5", &address, "--echo"])
        .env("SOCKCTL_KEY", "wangwang")
        .start();
    assert_eq!(server.address(), address);
    let connect = |key: &str| {
        sockctl(["auth-connect", "--digest", "md5", &address])
            .env("SOCKCTL_KEY", key)
            .input("local")
            .run()
    };
    connect("wangwang").is(0, "local", "");
    connect("other").is(
        9,
        "",
        &format!("sockctl: authenticate to {address}: closed without a word: wrong key?\n"),
    );
}
