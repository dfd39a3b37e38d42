//! Proving a key: by the challenge and response of Python's `hmac` examples (`--digest`), in the encrypted session, and
//! as Python's own `multiprocessing` does it (`--python`).

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::NamedTempFile;

use crate::run::{DEADLINE, Running, python, read_all, reset, sockctl};

mod challenge;
mod challenge_faults;
mod noise;
mod noise_faults;
mod python;

/// A key file of mode 0600.
pub fn key_file(key: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(key.as_ref()).unwrap();
    file
}

/// A random key as a line: its name, and its bytes.
pub fn key_line(name: &str, bytes: [u8; 32]) -> String {
    format!("sockctl-key-1 {name} {}\n", URL_SAFE_NO_PAD.encode(bytes))
}

/// A file with such a key.
pub fn random_key(name: &str, bytes: [u8; 32]) -> NamedTempFile {
    key_file(key_line(name, bytes))
}

/// What Python answers to a challenge.
pub fn answer(digest: &str, key: &str, challenge: &[u8]) -> Vec<u8> {
    let script = "import hmac, sys\n\
        print(hmac.new(sys.argv[2].encode(), bytes.fromhex(sys.argv[3]), sys.argv[1]).hexdigest(), end='')";
    python(script, [digest, key, &hex::encode(challenge)]).run().output().into()
}

/// A connection that has received its challenge.
pub fn challenged(server: &Running) -> (TcpStream, [u8; 32]) {
    let stream = server.connect();
    let challenge = challenge(&stream);
    (stream, challenge)
}

/// The challenge that comes on a connection.
fn challenge(mut stream: &TcpStream) -> [u8; 32] {
    let mut bytes = [0; 32];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// What a client says of a server that does not let it in.
fn refused(port: u16, why: &str) -> String {
    format!("authenticate to 127.0.0.1:{port}: {why}")
}

/// The lines on stderr after the first.
fn said(server: &Running, wanted: &str) -> Vec<String> {
    let text = server.stderr_has(wanted);
    text.lines().skip(1).map(str::to_string).collect()
}

/// The first two clients were refused, each in one line, for this reason.
fn one_line_each(server: &Running, why: &str) {
    let lines = said(server, "[2]");
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (id, line) in (1..).zip(&lines) {
        assert!(line.starts_with(&format!("[{id}] 127.0.0.1:")), "{line}");
        assert!(line.ends_with(&format!("refused: {why}")), "{line}");
    }
}

/// Makes ever new connections that say this and no more, and holds so many of them, until it is
/// over.
fn crowd(port: u16, says: &[u8], at_a_time: usize, over: &AtomicBool) {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut held = VecDeque::new();
    while !over.load(Ordering::Relaxed) {
        if let Ok(mut stream) = TcpStream::connect_timeout(&address, DEADLINE) {
            let _ = stream.write_all(says);
            held.push_back(stream);
        }
        if held.len() > at_a_time {
            held.pop_front();
        }
    }
}

/// Not even the beginnings of these are here, on one line or over the lines of a dump.
#[track_caller]
fn nowhere(secrets: &[String], text: &str) {
    let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    for secret in secrets {
        let start = &secret[..secret.len().min(15)];
        assert!(!text.contains(start), "{start} in {text}");
        assert!(!squeezed.contains(start), "{start} in {text}");
    }
}

#[test]
fn row_97_a_health_check_is_connection_detail() {
    let key = random_key("alice", [7; 32]);
    for words in ["", "--digest md5", "--python --digest md5"] {
        let start = |more: &str| {
            let words = format!("auth-serve 127.0.0.1:0 --echo {words} {more} --key-file");
            sockctl(words).arg(key.path()).start()
        };
        let check = |server: &Running| {
            drop(server.connect());
            reset(server.connect());
            // One that ends its side alone.
            let stream = server.connect();
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = read_all(&stream);
        };
        let server = start("");
        check(&server);
        let client = format!("auth-connect {server} {words} --key-file");
        sockctl(client).arg(key.path()).input("in\n").run().is(0, "in\n", "");
        server.stops("", "");
        let server = start("-v");
        check(&server);
        server.stderr_has("closed (eof; received 0, sent 0 bytes in ");
        server.stderr_has("closed (reset; received 0, sent 0 bytes in ");
    }
}
