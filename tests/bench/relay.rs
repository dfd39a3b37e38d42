//! Relays between a client and a server that are both here: bulk, latency, connections, memory, and
//! with encryption between two relays. Each has one process with one thread, socat a process a connection.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::spawn;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::socket::{MsgFlags, recv};

use crate::load::{allowed, chorus, churn, connect, crowd, ping};
use crate::memory::{self, FEW};
use crate::peer::{PATIENCE, Server, is_installed, words};
use crate::place::Apart;
use crate::report::{ALONE, Metric, OURS, PAIR, REFERENCE, Sample, percentile};
use crate::{Bench, Contender, bulk, tls};

const SOCAT: &str = "socat -b262144";
const HAPROXY: &str = "haproxy";
const SPIPED: &str = "spiped";
const STUNNEL: &str = "stunnel";

/// Of the scripts: $0 is the port, $1 the target's, $2 a file; $3 a line of the configuration.
const HAPROXY_SCRIPT: &str = "printf '%s\\n' global 'nbthread 1' 'maxconn 9950' 'maxpipes 8' \\
    defaults 'mode tcp' 'timeout connect 5s' 'timeout client 1m' 'timeout server 1m' \"$3\" \\
    'listen relay' \"bind 127.0.0.1:$0\" \"server target 127.0.0.1:$1\" >\"$2\" && \\
    exec haproxy -db -f \"$2\"";
const NGINX_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
const NGINX_SCRIPT: &str = "printf '%s\\n' \\
    'load_module /usr/lib/nginx/modules/ngx_stream_module.so;' 'daemon off; master_process off;' \\
    'error_log /dev/null;' \"pid $2.pid;\" 'events { worker_connections 45000; }' \\
    \"stream { server { listen 127.0.0.1:$0 backlog=4096; proxy_pass 127.0.0.1:$1; } }\" >\"$2\" && \\
    exec nginx -c \"$2\"";
const STUNNEL_SERVER: &str = "printf '%s\\n' foreground=yes pid= cert=$2 \\
    [relay] accept=127.0.0.1:$0 connect=127.0.0.1:$1 | exec stunnel4 -fd 0";
const STUNNEL_CLIENT: &str = "printf '%s\\n' foreground=yes pid= client=yes \\
    [relay] accept=127.0.0.1:$0 connect=127.0.0.1:$1 | exec stunnel4 -fd 0";

/// A program and its command line; two ends have `|` between them.
type Line = (&'static str, Vec<String>);

/// One direction, as fast as it goes.
pub fn bulk(bench: &mut Bench) -> Result<()> {
    let mut lines = relays(bench, true);
    let spliced = lines.iter().find(|(who, _)| *who == HAPROXY).cloned();
    lines.extend(spliced.map(|(_, mut line)| {
        line.push("option splice-auto".into());
        ("haproxy splice-auto", line)
    }));
    measure_bulk(bench, "relay", &lines, |rate, cpu| [rate.best(1.0), cpu.best(0.6)]);
    Ok(())
}

/// How long a message of 64 bytes takes there and back.
pub fn latency(bench: &mut Bench) -> Result<()> {
    let _awake = bench.keep_awake();
    let _apart = Apart::new();
    let time = bench.time();
    let metrics = vec![
        Metric::less("relay, echo, p50", "µs", None).beside(HAPROXY, 1.1),
        Metric::less("relay, echo, p99", "µs", None),
    ];
    let contenders = bench.contenders(&by_line(&relays(bench, true)), move |words| {
        // A thread that keeps to the load's processor, so that each hop is one to the other.
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let relay = chain(words, listener.local_addr()?.port())?;
        let mut stream = connect(relay[0].port)?;
        let (mut accepted, _) = listener.accept()?;
        accepted.set_nodelay(true)?;
        let echo = spawn(move || {
            let mut buffer = [0; 64];
            while accepted.read_exact(&mut buffer).is_ok() && accepted.write_all(&buffer).is_ok() {}
        });
        let times = ping(&mut stream, 64, time)?;
        drop((stream, relay));
        let _ = echo.join();
        let part = |percent| Sample::new(percentile(&times, percent).unwrap_or_default());
        Ok(vec![part(50), part(99)])
    });
    bench.measure(metrics, contenders);
    Ok(())
}

/// Connect, 64 bytes there and back, close.
pub fn connections(bench: &mut Bench) -> Result<()> {
    let _awake = bench.keep_awake();
    let (echo, time) = (echo(bench)?, bench.time());
    let port = echo.port;
    for clients in [8, 1] {
        let mut contenders = bench.contenders(&by_line(&relays(bench, true)), move |words| {
            let relay = chain(words, port)?;
            Ok(vec![churn(relay[0].port, clients, time)?])
        });
        // Without a relay: what the load and the target leave.
        let turn = Box::new(move || Ok(vec![churn(port, clients, time)?]));
        contenders.push(Contender { who: REFERENCE.into(), turn });
        let name = format!("relay, connect, echo, close, {clients} at a time");
        let mut metric = Metric::more(name, "1/s", None);
        if clients > 1 {
            metric = metric.beside(SOCAT, 5.0);
        }
        bench.measure(vec![metric], contenders);
    }
    Ok(())
}

/// Pairs that have talked once and say nothing since; then some that talk beside many of these.
pub fn memory(bench: &mut Bench) -> Result<()> {
    let echo = echo(bench)?;
    let (port, talking, time) = (echo.port, 100, bench.time());
    let counts: &[usize] = if bench.options.quick { &[1_000] } else { &[1_000, 10_000] };
    // Two descriptors a pair.
    for count in allowed(&counts.iter().map(|count| 2 * count).collect::<Vec<_>>()) {
        let count = count / 2;
        let lines = relays(bench, count <= FEW);
        let mut contenders = bench.contenders(&by_line(&lines), move |words| {
            let words: Vec<String> =
                words.iter().map(|word| word.replace("{target}", &port.to_string())).collect();
            memory::each(&words, count, crowd)
        });
        let budget = Box::new(|| Ok(vec![Sample::new(1024.0)]));
        contenders.push(Contender { who: PAIR.into(), turn: budget });
        let name = format!("relay, memory of each of {count} idle pairs");
        memory::compare(bench, Metric::less(name, "bytes", None).beside(PAIR, 1.0), contenders);
    }
    for idle in allowed(if bench.options.quick { &[900] } else { &[9_000] }) {
        let lines = relays(bench, false);
        let alone = [(ALONE, lines[0].1.clone())];
        let turn = |idle: usize| {
            move |words: &[String]| {
                let relay = chain(words, port)?;
                let _idle = crowd(relay[0].port, idle)?;
                let mut streams = crowd(relay[0].port, talking)?;
                Ok(vec![chorus(&mut streams, time)?])
            }
        };
        let mut contenders = bench.contenders(&by_line(&lines), turn(idle));
        contenders.extend(bench.contenders(&by_line(&alone), turn(0)));
        let name = format!("relay, echo, {talking} pairs at a time, {idle} idle");
        bench.measure(vec![Metric::more(name, "1/s", None).beside(ALONE, 0.9)], contenders);
    }
    Ok(())
}

/// Bulk from a relay to another, encrypted between the two: spiped's, stunnel's two ends; then
/// stunnel's end that has the certificate, behind the same client.
pub fn encrypted(bench: &mut Bench) -> Result<()> {
    let between = |near: &[&str], far: &[&str]| words(&[near, &["|"], far].concat());
    let (listen, target) = ("127.0.0.1:{port}", "127.0.0.1:{target}");
    bulk::noise(bench, OURS)?; // makes the key
    let key = bench.scratch.path().join("key").display().to_string();
    let near = ["sockctl", "serve", "-q", listen, "--to", "auth:127.0.0.1:{target}"];
    let near = [&near[..], &["--to-key-file", &key]].concat();
    let far = ["sockctl", "auth-serve", "-q", "--key-file", &key, listen, "--to", target];
    let mut lines = vec![(OURS, between(&near, &far))];
    if is_installed("spiped") {
        let (listen, target) = ("[127.0.0.1]:{port}", "[127.0.0.1]:{target}");
        let end = |way| ["spiped", way, "-F", "-k", &key, "-s", listen, "-t", target];
        lines.push((SPIPED, between(&end("-e"), &end("-d"))));
    }
    measure_bulk(bench, "relay, Noise", &lines, |rate, cpu| [rate.beside(SPIPED, 2.0), cpu]);

    let identity = tls::identity(bench)?;
    let near = ["sockctl", "serve", "-q", listen, "--to", "tls:localhost:{target}"];
    let near = [&near[..], &["--to-tls-ca", &identity]].concat();
    let far = ["sockctl", "serve", "-q", listen, "--to", target, "--tls", "--tls-cert", &identity];
    let mut both = vec![(OURS, between(&near, &far))];
    let mut server = both.clone();
    if is_installed("stunnel4") {
        let client = ["sh", "-c", STUNNEL_CLIENT, "{port}", "{target}"];
        let far = ["sh", "-c", STUNNEL_SERVER, "{port}", "{target}", &identity];
        both.push((STUNNEL, between(&client, &far)));
        server.push((STUNNEL, between(&near, &far)));
    }
    for (name, lines) in [("relay, TLS", both), ("relay, TLS server", server)] {
        measure_bulk(bench, name, &lines, |rate, cpu| [rate.beside(STUNNEL, 1.0), cpu]);
    }
    Ok(())
}

/// Plain relays.
fn relays(bench: &Bench, with_forks: bool) -> Vec<Line> {
    let file = |name| bench.scratch.path().join(name).display().to_string();
    let serve = ["sockctl", "serve", "-q", "-m", "100000", "127.0.0.1:{port}"];
    let mut lines = vec![(OURS, words(&[&serve[..], &["--to", "127.0.0.1:{target}"]].concat()))];
    if with_forks && is_installed("socat") {
        let listen = "TCP-LISTEN:{port},bind=127.0.0.1,backlog=4096,fork,reuseaddr";
        lines.push((SOCAT, words(&["socat", "-b262144", listen, "TCP:127.0.0.1:{target}"])));
    }
    let script = |script, arg: &str| words(&["sh", "-c", script, "{port}", "{target}", arg]);
    if is_installed(HAPROXY) {
        lines.push((HAPROXY, script(HAPROXY_SCRIPT, &file("haproxy.cfg"))));
    }
    if is_installed("nginx") && Path::new(NGINX_MODULE).exists() {
        lines.push(("nginx", script(NGINX_SCRIPT, &file("nginx.conf"))));
    }
    lines
}

fn by_line(lines: &[Line]) -> Vec<(&str, &[String])> {
    lines.iter().map(|(who, line)| (*who, &line[..])).collect()
}

/// A server that returns what comes.
fn echo(bench: &Bench) -> Result<Server> {
    let line = bench.resolve(crate::echo::REFERENCE, "");
    Server::start(&line, Stdio::null(), Stdio::null())
}

/// Starts the relays of a line, each to the next and the last to this port; the first is the first.
fn chain(line: &[String], mut target: u16) -> Result<Vec<Server>> {
    let mut relays = Vec::new();
    for words in line.rsplit(|word| word == "|") {
        let words: Vec<String> =
            words.iter().map(|word| word.replace("{target}", &target.to_string())).collect();
        let relay = Server::start(&words, Stdio::null(), Stdio::null())?;
        target = relay.port;
        relays.insert(0, relay);
    }
    Ok(relays)
}

/// How fast bytes pass, and the CPU time of the relays for a GiB.
fn measure_bulk(
    bench: &mut Bench,
    name: &str,
    lines: &[Line],
    with_targets: impl Fn(Metric, Metric) -> [Metric; 2],
) {
    let time = bench.time();
    let contenders = bench.contenders(&by_line(lines), move |words| through(words, time));
    let rate = Metric::more(format!("{name}, bulk"), "bytes/s", None);
    let cpu = Metric::less(format!("{name}, bulk, CPU time for a GiB"), "µs", None);
    bench.measure(with_targets(rate, cpu).into(), contenders);
}

/// Sends for this long through relays to a thread that drops what comes, without a copy.
fn through(line: &[String], time: Duration) -> Result<Vec<Sample>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let relays = chain(line, listener.local_addr()?.port())?;
    let mut stream = connect(relays[0].port)?;
    let arrived = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&arrived);
    let sink = spawn(move || -> Result<()> {
        let (mut accepted, _) = listener.accept()?;
        // The byte that shows that both ends have shaken hands.
        accepted.read_exact(&mut [0])?;
        accepted.write_all(b".")?;
        let mut buffer = vec![0; 1 << 20];
        while let Ok(length @ 1..) = recv(accepted.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
            count.fetch_add(length as u64, Ordering::Relaxed);
        }
        Ok(())
    });
    stream.write_all(b".")?;
    stream.read_exact(&mut [0])?;
    let cpu = || relays.iter().map(|relay| relay.process.group_cpu()).sum::<Result<Duration>>();
    let (before, start) = (cpu()?, Instant::now());
    let block = vec![0x5a; 256 << 10];
    let mut sent = 0;
    while start.elapsed() < time {
        stream.write_all(&block)?;
        sent += block.len() as u64;
    }
    while arrived.load(Ordering::Relaxed) < sent {
        ensure!(start.elapsed() < time + PATIENCE, "not all arrives");
        std::thread::sleep(Duration::from_micros(100));
    }
    let (time, cpu) = (start.elapsed(), cpu()?.saturating_sub(before));
    drop((stream, relays));
    let _ = sink.join();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let sent = sent as f64;
    let gib = sent / f64::from(1 << 30);
    Ok(vec![Sample::new(sent / time.as_secs_f64()), Sample::new(cpu.as_secs_f64() * 1e6 / gib)])
}
