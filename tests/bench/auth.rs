//! Handshakes: proofs by challenge-response, beside the same in Python.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Result;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use crate::Bench;
use crate::load::connect;
use crate::peer::Server;
use crate::report::{Metric, Sample};

const KEY: &str = "wangwang";

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

pub fn run(bench: &mut Bench) -> Result<()> {
    let time = bench.time();
    let key = bench.scratch.path().join("wangwang");
    fs::write(&key, KEY)?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let key = key.display().to_string();
    let sockctl = [
        "sockctl",
        "auth-serve",
        "--digest",
        "md5",
        "--echo",
        "-q",
        "--key-file",
        &key,
        "127.0.0.1:{port}",
    ];
    let servers: [(&str, &[&str]); 2] = [
        ("sockctl", &sockctl),
        ("Python", &["python", "-c", PYTHON, "{port}"]),
    ];
    for clients in [1, 8] {
        let contenders = bench.contenders(&servers, move |words| {
            let server = Server::start(words, Stdio::null(), Stdio::null())?;
            Ok(vec![handshakes(server.port, clients, time)?])
        });
        let name = format!("handshakes (md5), {clients} at a time");
        bench.measure(vec![Metric::more(name, "1/s", Some(5.0))], contenders);
    }
    Ok(())
}

/// Connects, proves, has one byte echoed, closes; that many at a time, in step.
fn handshakes(port: u16, clients: usize, time: Duration) -> Result<Sample> {
    let mut done = 0;
    let start = Instant::now();
    while start.elapsed() < time {
        let mut streams = (0..clients)
            .map(|_| connect(port))
            .collect::<Result<Vec<TcpStream>>>()?;
        for stream in &mut streams {
            let mut challenge = [0; 32];
            stream.read_exact(&mut challenge)?;
            let mut mac = Hmac::<Md5>::new_from_slice(KEY.as_bytes())?;
            mac.update(&challenge);
            stream.write_all(hex::encode(mac.finalize().into_bytes()).as_bytes())?;
            stream.write_all(b".")?;
        }
        for mut stream in streams {
            stream.read_exact(&mut [0])?;
            done += 1;
        }
    }
    Ok(Sample::rate(done, start.elapsed()))
}
