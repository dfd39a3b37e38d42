//! Handshakes: proofs by challenge-response and encrypted sessions, beside challenge-response in
//! Python. The clients are one thread, and cheap: what is measured is the server.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::Sha256;
use snow::{Builder, HandshakeState};

use crate::Bench;
use crate::load::connect;
use crate::peer::Server;
use crate::report::{Metric, Sample};
use primitives::Primitives;

#[path = "../../src/auth/noise/primitives.rs"]
mod primitives;

const KEY: &str = "wangwang";
const PROTOCOL: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";

const PYTHON: &str = "
import hmac, os, socketserver, sys
class Talk(socketserver.BaseRequestHandler):
    def handle(self):
        challenge = os.urandom(32)
        self.request.sendall(challenge)
        wanted = hmac.new(b'wangwang', challenge, 'md5').hexdigest().encode()
        answer = self.request.recv(32)
        if hmac.compare_digest(wanted, answer):
            while data := self.request.recv(1024): self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 4096
Server(('127.0.0.1', int(sys.argv[1])), Talk).serve_forever()
";

/// Shows that it holds the key, on as many fresh connections as there are, in step, and has a byte
/// echoed on each.
type Shake = fn(&mut [TcpStream], &mut Vec<Hello>) -> Result<()>;

/// The client's side of a protocol.
#[derive(Clone, Copy)]
struct Client {
    shake: Shake,
    /// Hellos that are made before the clock runs: it is the server's work that is measured.
    prepares: usize,
}

const CLASSIC: Client = Client { shake: md5, prepares: 0 };
const ENCRYPTED: Client = Client { shake: noise, prepares: 4096 };

pub fn run(bench: &mut Bench) -> Result<()> {
    let _awake = bench.keep_awake();
    let folder = bench.scratch.path();
    let passphrase = key_file(&folder.join("wangwang"), KEY)?;
    let random = format!("sockctl-key-1 bench {}", URL_SAFE_NO_PAD.encode([7; 32]));
    let random = key_file(&folder.join("random"), &random)?;
    let sockctl = |words: &[&'static str], key: &str| {
        let words = ["sockctl", "auth-serve", "--echo", "-q"].iter().chain(words);
        let words = words.map(ToString::to_string);
        words.chain(["--key-file", key, "127.0.0.1:{port}"].map(String::from)).collect::<Vec<_>>()
    };
    let classic = sockctl(&["--digest", "md5"], &passphrase);
    let encrypted = sockctl(&[], &random);
    let python = ["python", "-c", PYTHON, "{port}"].map(String::from);
    compare(bench, "md5", (&classic, CLASSIC), &python, 5.0);
    compare(bench, "encrypted", (&encrypted, ENCRYPTED), &python, 2.0);
    Ok(())
}

/// One protocol beside the classic one in Python.
fn compare(
    bench: &mut Bench,
    name: &str,
    ours: (&[String], Client),
    python: &[String],
    target: f64,
) {
    let time = bench.time();
    let reference = ["reference", "greet", "{port}"].map(String::from);
    for clients in [1, 8] {
        let turn = move |client: Client| {
            move |words: &[String]| {
                let server = Server::start(words, Stdio::null(), Stdio::null())?;
                handshakes(&server, client, clients, time)
            }
        };
        let mut contenders = bench.contenders(&[("sockctl", ours.0)], turn(ours.1));
        let classic = [("Python", python), ("reference", &reference)];
        contenders.extend(bench.contenders(&classic, turn(CLASSIC)));
        let name = format!("handshakes ({name}), {clients} at a time");
        let cpu = format!("{name}: the server's CPU time for each");
        let metrics = vec![Metric::more(name, "1/s", Some(target)), Metric::less(cpu, "µs", None)];
        bench.measure(metrics, contenders);
    }
}

/// Connects, shakes hands, closes; that many at a time. How often in a second, and what it cost the
/// server.
fn handshakes(
    server: &Server,
    client: Client,
    clients: usize,
    time: Duration,
) -> Result<Vec<Sample>> {
    let mut hellos = (0..client.prepares).map(|_| hello()).collect::<Result<_>>()?;
    let mut done = 0;
    let before = server.process.cpu()?;
    let start = Instant::now();
    while start.elapsed() < time {
        let mut streams =
            (0..clients).map(|_| connect(server.port)).collect::<Result<Vec<TcpStream>>>()?;
        (client.shake)(&mut streams, &mut hellos)?;
        done += clients;
    }
    let elapsed = start.elapsed();
    let cpu = server.process.cpu()?.saturating_sub(before);
    let each = cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(done)?);
    Ok(vec![Sample::rate(done, elapsed), Sample::new(each)])
}

fn md5(streams: &mut [TcpStream], _: &mut Vec<Hello>) -> Result<()> {
    for stream in &mut *streams {
        let mut challenge = [0; 32];
        stream.read_exact(&mut challenge)?;
        let mut mac = Hmac::<Md5>::new_from_slice(KEY.as_bytes())?;
        mac.update(&challenge);
        let mut answer = [b'.'; 33];
        hex::encode_to_slice(mac.finalize().into_bytes(), &mut answer[..32])?;
        stream.write_all(&answer)?;
    }
    for stream in streams {
        stream.read_exact(&mut [0])?;
    }
    Ok(())
}

/// What a client of the encrypted session says first, and what it goes on with. (The README draws
/// the wire.)
type Hello = ([u8; 58], HandshakeState);

fn hello() -> Result<Hello> {
    let mut psk = [0; 32];
    Hkdf::<Sha256>::new(Some(b"sockctl key v1"), &[7; 32])
        .expand(b"NNpsk0", &mut psk)
        .map_err(|e| anyhow::anyhow!("{e}"))?;
    let preface = b"SKCTL\0\x01\x01";
    let mut state = Builder::with_resolver(PROTOCOL.parse()?, Box::new(Primitives))
        .prologue(preface)?
        .psk(0, &psk)?
        .build_initiator()?;
    let mut hello = [0; 58];
    hello[..8].copy_from_slice(preface);
    hello[9] = 48;
    state.write_message(&[], &mut hello[10..])?;
    Ok((hello, state))
}

fn noise(streams: &mut [TcpStream], hellos: &mut Vec<Hello>) -> Result<()> {
    let mut states = Vec::with_capacity(streams.len());
    for stream in &mut *streams {
        let (hello, state) = hellos.pop().map_or_else(hello, Ok)?;
        stream.write_all(&hello)?;
        states.push(state);
    }
    let mut sessions = Vec::with_capacity(streams.len());
    for (stream, mut state) in streams.iter_mut().zip(states) {
        let mut answer = [0; 50];
        stream.read_exact(&mut answer)?;
        state.read_message(&answer[2..], &mut [0; 48])?;
        let mut session = state.into_transport_mode()?;
        // READY, and DATA of one byte.
        let mut records = [0; 19 + 20];
        (records[1], records[20]) = (17, 18);
        session.write_message(&[3], &mut records[2..19])?;
        session.write_message(&[1, b'.'], &mut records[21..])?;
        stream.write_all(&records)?;
        sessions.push(session);
    }
    for (stream, mut session) in streams.iter_mut().zip(sessions) {
        let (mut records, mut clear) = ([0; 19 + 20], [0; 18]);
        stream.read_exact(&mut records)?;
        session.read_message(&records[2..19], &mut clear)?;
        ensure!(clear[0] == 4, "not let in");
        session.read_message(&records[21..], &mut clear)?;
        ensure!(clear[..2] == [1, b'.'], "no echo");
    }
    Ok(())
}

/// A file with this key, which only its owner can read.
fn key_file(path: &Path, key: &str) -> Result<String> {
    fs::write(path, key)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    path.to_str().map(Into::into).context("a path")
}
