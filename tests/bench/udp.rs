//! Datagrams of 64 bytes: echoed, relayed to an echo, and sent from the lines of a pipe.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::SockaddrStorage;
use socket2::SockRef;
use std::fs::File;
use std::os::fd::AsFd;

use crate::Bench;
use crate::load::{BATCH, Datagrams, send_run};
use crate::peer::{PATIENCE, Process, Server, with_port};
use crate::place::Apart;
use crate::report::{Metric, Sample};

const PYTHON_ECHO: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', int(sys.argv[1])))
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data, peer)
";
const PYTHON_SEND: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(('127.0.0.1', int(sys.argv[1])))
send = s.send
for line in sys.stdin.buffer: send(line[:-1])
";

const ECHO: &[(&str, &[&str])] = &[
    ("sockctl", &["sockctl", "udp-serve", "--echo", "-q", "127.0.0.1:{port}"]),
    ("reference", &["reference", "udp-echo", "{port}"]),
    ("ncat", &["ncat", "-u", "-l", "-e", "/bin/cat", "127.0.0.1", "{port}"]),
    ("socat", &["socat", "UDP-LISTEN:{port},bind=127.0.0.1", "PIPE"]),
    ("Python", &["python", "-c", PYTHON_ECHO, "{port}"]),
];
const SEND: &[(&str, &[&str])] = &[
    ("sockctl", &["sockctl", "udp-send", "-q", "127.0.0.1:{port}"]),
    ("reference", &["reference", "udp-send", "{port}"]),
    // Reads 64 bytes at a time, which is a line here.
    ("socat", &["socat", "-u", "-b64", "STDIN", "UDP:127.0.0.1:{port}"]),
    ("Python", &["python", "-c", PYTHON_SEND, "{port}"]),
];

/// Of the script: $0 is the port, $1 the target's, $2 a file.
const NGINX: &str = "printf '%s\\n' \\
    'load_module /usr/lib/nginx/modules/ngx_stream_module.so;' 'daemon off; master_process off;' \\
    'error_log /dev/null;' \"pid $2.pid;\" 'events { worker_connections 4096; }' \\
    \"stream { server { listen 127.0.0.1:$0 udp; proxy_pass 127.0.0.1:$1; } }\" >\"$2\" && exec nginx -c \"$2\"";
const RELAY: &[(&str, &[&str])] = &[
    ("sockctl", &["sockctl", "udp-serve", "-q", "127.0.0.1:{port}", "--to", "127.0.0.1:{target}"]),
    ("socat", &["socat", "UDP-LISTEN:{port},bind=127.0.0.1,fork", "UDP:127.0.0.1:{target}"]),
    ("nginx", &["sh", "-c", NGINX, "{port}", "{target}", "{file}"]),
];

/// What a client of a relay waits for an answer.
const SILENCE: Duration = Duration::from_secs(1);
/// Clients of a relay, each with one datagram under way.
const CLIENTS: usize = 64;
/// Datagrams under way at a time.
const WINDOW: usize = 128;
/// What was not answered after this long is lost.
const LOST: Duration = Duration::from_millis(100);

pub fn run(bench: &mut Bench) -> Result<()> {
    let time = bench.time();
    let apart = Apart::new();
    let contenders = bench.contenders(ECHO, move |words| {
        let server = Server::start_udp(words)?;
        Ok(vec![echo(server.port, time)?])
    });
    bench.measure(vec![Metric::more("UDP echo", "datagrams/s", Some(4.0))], contenders);
    relay(bench, time)?;
    drop(apart);

    let count = if bench.options.quick { 100_000 } else { 400_000 };
    let input = bench.scratch.path().join("lines");
    std::fs::write(&input, format!("{}\n", "x".repeat(63)).repeat(count))?;
    let path = input.clone();
    let contenders = bench.contenders(SEND, move |words| {
        let (sent, arrived) = send(words, File::open(&path)?, count)?;
        Ok(vec![sent, arrived])
    });
    let metrics = vec![
        Metric::more("UDP send of lines", "datagrams/s", Some(2.6)),
        Metric::more("UDP send of lines, arrived", "part", None),
    ];
    bench.measure(metrics, contenders);
    Ok(std::fs::remove_file(input)?)
}

/// From many clients that wait for each answer, to a server that is here, too.
fn relay(bench: &mut Bench, time: Duration) -> Result<()> {
    let target = Server::start_udp(&bench.resolve(ECHO[1].1, ""))?;
    let file = bench.scratch.path().join("nginx-udp.conf").display().to_string();
    let to = target.port.to_string();
    let has_nginx = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so").exists();
    let lines = RELAY.iter().filter(|(who, _)| *who != "nginx" || has_nginx);
    let lines: Vec<(&str, Vec<String>)> = lines
        .map(|(who, line)| {
            let word = |word: &&str| word.replace("{target}", &to).replace("{file}", &file);
            (*who, line.iter().map(word).collect())
        })
        .collect();
    let lines: Vec<(&str, &[String])> = lines.iter().map(|(who, line)| (*who, &line[..])).collect();
    let contenders = bench.contenders(&lines, move |words| {
        let server = Server::start_udp(words)?;
        Ok(vec![ask(server.port, time)?])
    });
    let metric = Metric::more("UDP relay, 64 clients", "datagrams/s", None);
    bench.measure(vec![metric], contenders);
    Ok(())
}

/// Each client sends a datagram, then each waits for its answer: answers a second. They come one after the other,
/// as socat loses those that come at once.
fn ask(port: u16, time: Duration) -> Result<Sample> {
    let client = || -> Result<UdpSocket> {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        socket.connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(SILENCE))?;
        socket.send(b"first")?;
        socket.recv(&mut [0; 100])?;
        Ok(socket)
    };
    let clients = (0..CLIENTS).map(|_| client()).collect::<Result<Vec<_>>>()?;
    let mut buffer = [0; 2048];
    let (mut sent, mut answered, start) = (0, 0, Instant::now());
    while start.elapsed() < time {
        for socket in &clients {
            sent += usize::from(socket.send(&[b'.'; 64]).is_ok());
        }
        for socket in &clients {
            answered += usize::from(socket.recv(&mut buffer).is_ok());
        }
    }
    let time = start.elapsed();
    ensure!((sent - answered) * 100 <= sent, "{} of {sent} lost", sent - answered);
    Ok(Sample::rate(answered, time))
}

/// Keeps a window of datagrams under way: answers a second. None may be lost.
fn echo(port: u16, time: Duration) -> Result<Sample> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.connect(("127.0.0.1", port))?;
    let mut answers: Datagrams<SockaddrStorage> = Datagrams::new();
    let payload = [b'.'; 64];
    let (mut sent, mut answered, mut lost) = (0, 0, 0);
    let start = Instant::now();
    let mut heard = start;
    while start.elapsed() < time {
        let room = WINDOW.saturating_sub(sent - answered - lost);
        if room >= BATCH / 2 {
            sent += send_run(&socket, &payload, room.min(BATCH))?;
        }
        // Asked again and again: to wake the load is not the server's work.
        let came = answers.receive(&socket, false)?;
        if came > 0 {
            answered += came;
            heard = Instant::now();
        } else if heard.elapsed() > LOST {
            lost = sent - answered;
            heard = Instant::now();
            ensure!(answered > 0, "no answer");
        }
    }
    let time = start.elapsed();
    ensure!(lost * 100 <= sent, "{} % lost", lost * 100 / sent);
    Ok(Sample::rate(answered, time))
}

/// Lines of a file on stdin until the program ends: how many in a second, and the part of them
/// that a receiver saw.
fn send(words: &[String], input: File, count: usize) -> Result<(Sample, Sample)> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    SockRef::from(&socket).set_recv_buffer_size(8 << 20)?;
    let words = with_port(words, socket.local_addr()?.port());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| -> Result<usize> {
            let mut datagrams: Datagrams<SockaddrStorage> = Datagrams::new();
            let mut arrived = 0;
            loop {
                let mut fd = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
                if poll(&mut fd, PollTimeout::from(20u8))? == 0 && over.load(Ordering::Relaxed) {
                    return Ok(arrived);
                }
                arrived += datagrams.receive(&socket, false)?;
            }
        });
        let start = Instant::now();
        let ended = Process::start(&words, input.into(), Stdio::null())
            .and_then(|mut process| process.wait(PATIENCE));
        let time = start.elapsed();
        over.store(true, Ordering::Relaxed);
        let arrived = receiver.join().unwrap_or(Ok(0))?;
        ended?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let part = arrived as f64 / count as f64;
        Ok((Sample::rate(count, time), Sample::new(part)))
    })
}
