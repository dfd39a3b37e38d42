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

/// The client's side of a protocol.
pub trait Client: Clone + 'static {
    /// What it begins with.
    type Hello;

    /// How many hellos are made before the clock runs: it is the server's work that is measured.
    fn prepared(&self) -> usize;

    fn hello(&self) -> Result<Self::Hello>;

    /// Shakes hands on fresh connections, in step, until the server has answered to that on each.
    fn shake(&self, streams: &mut [TcpStream], hellos: Vec<Self::Hello>) -> Result<()>;
}

/// Shows that it holds the key, and has a byte echoed.
#[derive(Clone, Copy)]
struct Classic;

/// The same in an encrypted session.
#[derive(Clone, Copy)]
struct Encrypted;

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
    compare(bench, "md5", &(&classic, Classic), &python, 5.0);
    compare(bench, "encrypted", &(&encrypted, Encrypted), &python, 2.0);
    Ok(())
}

/// One protocol beside the classic one in Python.
fn compare(
    bench: &mut Bench,
    name: &str,
    ours: &(&[String], impl Client),
    python: &[String],
    target: f64,
) {
    let time = bench.time();
    let reference = ["reference", "greet", "{port}"].map(String::from);
    for clients in [1, 8] {
        let mut contenders =
            bench.contenders(&[("sockctl", ours.0)], turn(ours.1.clone(), clients, time));
        let classic = [("Python", python), ("reference", &reference)];
        contenders.extend(bench.contenders(&classic, turn(Classic, clients, time)));
        let metrics = metrics(&format!("handshakes ({name}), {clients} at a time"), Some(target));
        bench.measure(metrics, contenders);
    }
}

/// What [`turn`] yields.
pub fn metrics(name: &str, target: Option<f64>) -> Vec<Metric> {
    let cpu = format!("{name}: the server's CPU time for each");
    vec![Metric::more(name, "1/s", target), Metric::less(cpu, "µs", None)]
}

/// Connects, shakes hands, closes; that many at a time. How often in a second, and what it cost the
/// server.
pub fn turn<C: Client>(
    client: C,
    clients: usize,
    time: Duration,
) -> impl Fn(&[String]) -> Result<Vec<Sample>> + Clone {
    move |words| {
        // ncat says to each client when its input ends: that stays open.
        let server = Server::start(words, Stdio::piped(), Stdio::null())?;
        // A client may learn from its first connection what the server wants.
        client.shake(&mut [connect(server.port)?], vec![client.hello()?])?;
        let mut prepared: Vec<_> =
            (0..client.prepared()).map(|_| client.hello()).collect::<Result<_>>()?;
        let mut done = 0;
        let before = server.process.cpu()?;
        let start = Instant::now();
        while start.elapsed() < time {
            let mut streams =
                (0..clients).map(|_| connect(server.port)).collect::<Result<Vec<TcpStream>>>()?;
            let hellos = (0..clients).map(|_| prepared.pop().map_or_else(|| client.hello(), Ok));
            client.shake(&mut streams, hellos.collect::<Result<_>>()?)?;
            done += clients;
        }
        let elapsed = start.elapsed();
        let cpu = server.process.cpu()?.saturating_sub(before);
        let each = cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(done)?);
        Ok(vec![Sample::rate(done, elapsed), Sample::new(each)])
    }
}

impl Client for Classic {
    type Hello = ();

    fn prepared(&self) -> usize {
        0
    }

    fn hello(&self) -> Result<()> {
        Ok(())
    }

    fn shake(&self, streams: &mut [TcpStream], _: Vec<()>) -> Result<()> {
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
}

/// What a client of the encrypted session says first, and what it goes on with. (The README draws
/// the wire.)
type Hello = ([u8; 58], HandshakeState);

impl Client for Encrypted {
    type Hello = Hello;

    fn prepared(&self) -> usize {
        4096
    }

    fn hello(&self) -> Result<Hello> {
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

    fn shake(&self, streams: &mut [TcpStream], hellos: Vec<Hello>) -> Result<()> {
        let mut states = Vec::with_capacity(streams.len());
        for (stream, (hello, state)) in streams.iter_mut().zip(hellos) {
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
}

/// A file with this key, which only its owner can read.
pub fn key_file(path: &Path, key: &str) -> Result<String> {
    fs::write(path, key)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    path.to_str().map(Into::into).context("a path")
}
