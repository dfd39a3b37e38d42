//! Bulk: from a pipe or file through a client, a connection and a server to a pipe or file.
//!
//! The producer and the consumer of a pipe are threads here, and copy nothing, so that it is the
//! two programs that are measured.

use std::fs::{self, File};
use std::io::{IoSlice, PipeReader, PipeWriter, pipe};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{SpliceFFlags, splice, vmsplice};

use crate::peer::{PATIENCE, Process, Server, file_of, is_installed, with_port, words};
use crate::report::{IPERF, Metric, OURS, REFERENCE, Sample};
use crate::{Bench, Contender, tls};

/// What is written at a time: what a pipe holds.
const BLOCK: usize = 64 << 10;
const TLS: &str = "socat OPENSSL";
const NO_TICKETS: &str = "
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
NumTickets = 0
";
const GIB: f64 = (1 << 30) as f64;

/// Who is at both ends: name, server, client.
type Pair = (&'static str, &'static [&'static str], &'static [&'static str]);
/// The same, made for the run.
pub type Lines = (&'static str, Vec<String>, Vec<String>);

const PYTHON_SERVER: &str = "
import os, socket, sys, threading
s = socket.create_server(('127.0.0.1', int(sys.argv[1]))).accept()[0]
def up():
    while data := os.read(0, 262144): s.sendall(data)
    s.shutdown(socket.SHUT_WR)
t = threading.Thread(target=up); t.start()
while data := s.recv(262144):
    while data: data = data[os.write(1, data):]
t.join()
";
const PYTHON_CLIENT: &str = "
import os, socket, sys, threading
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
def up():
    while data := os.read(0, 262144): s.sendall(data)
    s.shutdown(socket.SHUT_WR)
t = threading.Thread(target=up); t.start()
while data := s.recv(262144):
    while data: data = data[os.write(1, data):]
t.join()
";

const PLAIN: &[Pair] = &[
    (
        "sockctl",
        &["sockctl", "serve", "--once", "-q", "127.0.0.1:{port}"],
        &["sockctl", "connect", "-q", "127.0.0.1:{port}"],
    ),
    ("reference", &["reference", "serve", "{port}"], &["reference", "connect", "{port}"]),
    (
        "nc",
        &["nc.openbsd", "-N", "-l", "127.0.0.1", "{port}"],
        &["nc.openbsd", "-N", "127.0.0.1", "{port}"],
    ),
    ("ncat", &["ncat", "-l", "127.0.0.1", "{port}"], &["ncat", "127.0.0.1", "{port}"]),
    (
        "socat",
        &["socat", "-t5", "TCP-LISTEN:{port},bind=127.0.0.1", "STDIO"],
        &["socat", "-t5", "STDIO", "TCP:127.0.0.1:{port}"],
    ),
    // With blocks of another size than its own 8 KiB it is another program.
    (
        "socat -b262144",
        &["socat", "-b262144", "-t5", "TCP-LISTEN:{port},bind=127.0.0.1", "STDIO"],
        &["socat", "-b262144", "-t5", "STDIO", "TCP:127.0.0.1:{port}"],
    ),
    (
        "Python",
        &["python", "-c", PYTHON_SERVER, "{port}"],
        &["python", "-c", PYTHON_CLIENT, "{port}"],
    ),
];

/// What bytes come from and go to.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Pipe,
    Both,
    File,
    Null,
}

pub fn run(bench: &mut Bench) -> Result<()> {
    let input = bench.scratch.path().join("input");
    file_of(&input, bench.file_size())?;
    let rate = |name, target| Metric::more(name, "bytes/s", target);
    for (metric, way) in [
        (rate("bulk, pipe to pipe", Some(2.2)).beside("nc", 2.2).beside(REFERENCE, 0.9), Way::Pipe),
        (rate("bulk, both ways at once", None), Way::Both),
        (rate("bulk, file to file", Some(1.6)).beside("nc", 1.6), Way::File),
        (rate("bulk, file to /dev/null", None), Way::Null),
    ] {
        let mut contenders = bench.pairs(PLAIN, way);
        if way == Way::Pipe && is_installed("iperf3") {
            let time = bench.time().max(Duration::from_secs(1)).as_secs();
            let turn = Box::new(move || iperf(time));
            contenders.push(Contender { who: IPERF.into(), turn });
        }
        bench.measure(vec![metric], contenders);
    }
    Ok(fs::remove_file(input)?)
}

/// The same over encrypted sessions, beside those of others and the plain peers.
pub fn encrypted(bench: &mut Bench) -> Result<()> {
    let mut lines = vec![noise(bench, OURS)?];
    lines.extend(tls_peers(bench)?);
    let metric = Metric::more("encrypted bulk, pipe to pipe", "bytes/s", Some(1.0))
        .beside("nc", 1.0)
        .beside(TLS, 2.2);
    let mut contenders = bench.through_pipes(&lines);
    let plain = PLAIN.iter().filter(|(who, ..)| ![OURS, REFERENCE].contains(who));
    contenders
        .extend(plain.flat_map(|(who, server, client)| bench.pair(who, server, client, Way::Pipe)));
    bench.measure(vec![metric], contenders);
    Ok(())
}

/// Our sessions with a key.
pub fn noise(bench: &Bench, who: &'static str) -> Result<Lines> {
    let key = bench.scratch.path().join("key").display().to_string();
    if !Path::new(&key).exists() {
        let create = ["auth-serve", "--create-key", "--key-file", &key];
        let output = Command::new(&bench.sockctl).args(create).output()?;
        ensure!(output.status.success(), "no key: {output:?}");
    }
    let at = "127.0.0.1:{port}";
    Ok((
        who,
        words(&["sockctl", "auth-serve", "--once", "-q", "--key-file", &key, at]),
        words(&["sockctl", "auth-connect", "-q", "--key-file", &key, at]),
    ))
}

/// TLS of other programs, all with the certificate of the run.
pub fn tls_peers(bench: &Bench) -> Result<Vec<Lines>> {
    let identity = tls::identity(bench)?;
    let listen = format!("OPENSSL-LISTEN:{{port}},bind=127.0.0.1,verify=0,cert={identity}");
    let mut peers = vec![(
        TLS,
        words(&["socat", "-b262144", "-t5", &listen, "STDIO"]),
        words(&["socat", "-b262144", "-t5", "STDIO", "OPENSSL:127.0.0.1:{port},verify=0"]),
    )];
    if is_installed("ncat") {
        // As a client that reads, too, ncat 7.93 fails (EIO) once its writes wait; one that does not
        // read must get no tickets, as its end would then be a reset.
        let settings = bench.scratch.path().join("openssl.cnf");
        fs::write(&settings, NO_TICKETS)?;
        let settings = format!("OPENSSL_CONF={}", settings.display());
        let server = ["env", &settings, "ncat", "--ssl", "--recv-only", "--ssl-cert", &identity];
        let own = ["--ssl-key", &identity, "-l", "127.0.0.1", "{port}"];
        peers.push((
            "ncat --ssl",
            words(&[&server[..], &own].concat()),
            words(&["ncat", "--ssl", "--send-only", "127.0.0.1", "{port}"]),
        ));
    }
    Ok(peers)
}

impl Bench {
    fn file_size(&self) -> usize {
        if self.options.quick { 256 << 20 } else { 1 << 30 }
    }

    /// Contenders whose bytes go from pipe to pipe.
    pub fn through_pipes<'a>(&self, lines: &[Lines]) -> Vec<Contender<'a>> {
        let each =
            lines.iter().map(|(who, server, client)| self.pair(who, server, client, Way::Pipe));
        each.flatten().collect()
    }

    fn pairs<'a>(&self, pairs: &[Pair], way: Way) -> Vec<Contender<'a>> {
        let each = pairs.iter().map(|(who, server, client)| self.pair(who, server, client, way));
        each.flatten().collect()
    }

    fn pair<'a, W: AsRef<str>>(
        &self,
        who: &str,
        server: &[W],
        client: &[W],
        way: Way,
    ) -> Vec<Contender<'a>> {
        let (server, client) = (server.iter(), client.iter());
        let (server, client) = (server.map(AsRef::as_ref), client.map(AsRef::as_ref));
        let line: Vec<&str> = server.chain(["|"]).chain(client).collect();
        let (time, size) = (self.time(), self.file_size());
        let folder = self.scratch.path().to_owned();
        self.contenders(&[(who, &line)], move |words| {
            let split = words.iter().position(|word| word == "|").context("two commands")?;
            let (server, client) = (&words[..split], &words[split + 1..]);

            let (bytes, seconds, memory) = match way {
                Way::Pipe => through_pipes(server, client, false, time),
                Way::Both => through_pipes(server, client, true, time),
                Way::File => through_files(server, client, &folder, Some(size)),
                Way::Null => through_files(server, client, &folder, None),
            }?;
            Ok(vec![Sample { units: Some(bytes / GIB), memory, ..Sample::new(bytes / seconds) }])
        })
    }
}

/// Bytes, seconds, the most memory of one of the two.
type Moved = (f64, f64, Option<f64>);

fn through_pipes(
    server: &[String],
    client: &[String],
    both: bool,
    time: Duration,
) -> Result<Moved> {
    let (sink, server_out) = pipe()?;
    let (server_in, back) = pipe()?;
    let (back, server_in) = if both {
        (Some(back), server_in.into())
    } else {
        drop(back);
        (None, Stdio::null())
    };
    let server = Server::start(server, server_in, server_out.into())?;
    let (client_in, source) = pipe()?;
    let (back_sink, client_out) = pipe()?;
    let client_out = if both { client_out.into() } else { Stdio::null() };
    let client = Process::start(&with_port(client, server.port), client_in.into(), client_out)?;
    let begin = Instant::now();
    let mut ways = vec![(Producer::start(source, time), Consumer::start(sink, begin))];
    if let Some(back) = back {
        ways.push((Producer::start(back, time), Consumer::start(back_sink, begin)));
    }
    let limit = begin + time + 2 * PATIENCE;
    let mut memory = None;
    let complete = |ways: &[(Producer, Consumer)]| {
        let mut ways = ways.iter();
        ways.all(|(from, to)| from.thread.is_finished() && to.arrived() == from.sent())
    };
    while !complete(&ways) && Instant::now() < limit {
        memory = [memory, server.process.peak_memory(), client.peak_memory()]
            .into_iter()
            .flatten()
            .reduce(f64::max);
        std::thread::sleep(Duration::from_millis(1));
    }
    // Their ends of the pipes close, and the threads end with that.
    drop((server, client));
    let (mut sent, mut arrived) = (0, 0);
    let (mut first, mut last) = (u64::MAX, 0);
    for (from, to) in ways {
        let _ = from.thread.join();
        let _ = to.thread.join();
        sent += from.sent.load(Ordering::Relaxed);
        arrived += to.arrived.load(Ordering::Relaxed);
        first = first.min(to.first.load(Ordering::Relaxed));
        last = last.max(to.last.load(Ordering::Relaxed));
    }
    ensure!(arrived == sent, "{arrived} of {sent} bytes arrived");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok((arrived as f64, last.saturating_sub(first) as f64 / 1e6, memory))
}

fn through_files(
    server: &[String],
    client: &[String],
    folder: &Path,
    size: Option<usize>,
) -> Result<Moved> {
    let input = folder.join("input");
    let bytes = fs::metadata(&input)?.len();
    let output: PathBuf = size.map_or_else(|| "/dev/null".into(), |_| folder.join("output"));
    if let Some(size) = size {
        // Memory that was not used of late is slower, and would be so for who has the first turn.
        file_of(&output, size)?;
    }
    let file =
        fs::OpenOptions::new().write(true).create(true).truncate(size.is_some()).open(&output)?;
    let mut server = Server::start(server, Stdio::null(), file.into())?;
    let start = Instant::now();
    let words = with_port(client, server.port);
    let mut client = Process::start(&words, File::open(&input)?.into(), Stdio::null())?;
    let mut memory = None;
    let arrived = |server: &mut Server| match size {
        Some(_) => fs::metadata(&output).is_ok_and(|file| file.len() == bytes),
        None => !server.process.runs(),
    };
    while !arrived(&mut server) {
        ensure!(start.elapsed() < 3 * PATIENCE, "not all arrives");
        memory = [memory, server.process.peak_memory(), client.peak_memory()]
            .into_iter()
            .flatten()
            .reduce(f64::max);
        std::thread::sleep(Duration::from_millis(1));
    }
    let seconds = start.elapsed().as_secs_f64();
    client.runs();
    drop((server, client));
    if size.is_some() {
        fs::remove_file(&output)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok((bytes as f64, seconds, memory))
}

/// A thread that writes into a pipe.
struct Producer {
    thread: JoinHandle<()>,
    sent: Arc<AtomicU64>,
}

impl Producer {
    /// Writes for this long from when the pipe is read, then closes it.
    fn start(pipe: PipeWriter, time: Duration) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let thread = spawn(move || {
            let block = vec![0x5a; BLOCK];
            let mut end = None;
            while end.is_none_or(|end| Instant::now() < end) {
                let Ok(length) = vmsplice(&pipe, &[IoSlice::new(&block)], SpliceFFlags::empty())
                else {
                    break;
                };
                // More than the pipe holds: the program reads.
                if count.fetch_add(length as u64, Ordering::Relaxed) > 1 << 20 {
                    end.get_or_insert_with(|| Instant::now() + time);
                }
            }
        });
        Self { thread, sent }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// A thread that reads from a pipe until it ends.
struct Consumer {
    thread: JoinHandle<()>,
    arrived: Arc<AtomicU64>,
    /// When the first and the last bytes came, in microseconds.
    first: Arc<AtomicU64>,
    last: Arc<AtomicU64>,
}

impl Consumer {
    fn start(pipe: PipeReader, begin: Instant) -> Self {
        let [arrived, first, last] = [0; 3].map(|_| Arc::new(AtomicU64::new(0)));
        let (count, early, late) = (Arc::clone(&arrived), Arc::clone(&first), Arc::clone(&last));
        let thread = spawn(move || {
            let now = || u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
            let Ok(nowhere) = File::create("/dev/null") else {
                return;
            };
            let flags = SpliceFFlags::empty();
            while let Ok(length @ 1..) = splice(&pipe, None, &nowhere, None, 1 << 20, flags) {
                if count.fetch_add(length as u64, Ordering::Relaxed) == 0 {
                    early.store(now(), Ordering::Relaxed);
                }
                late.store(now(), Ordering::Relaxed);
            }
        });
        Self { thread, arrived, first, last }
    }

    fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }
}

/// Bytes a second from memory to memory, by iperf3's own account.
fn iperf(seconds: u64) -> Result<Vec<Sample>> {
    let server = words(&["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", "{port}"]);
    let server = Server::start(&server, Stdio::null(), Stdio::null())?;
    let (port, seconds) = (server.port.to_string(), seconds.to_string());
    let output = Command::new("iperf3")
        .args(["-c", "127.0.0.1", "-p", &port, "-t", &seconds, "-J"])
        .stderr(Stdio::null())
        .output()?;
    let result: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let bits = result["end"]["sum_received"]["bits_per_second"].as_f64();
    Ok(vec![Sample::new(bits.context("no result")? / 8.0)])
}
