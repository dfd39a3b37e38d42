//! Echo: how long a message of 64 bytes takes there and back, alone and beside idle connections.

use std::process::Stdio;

use anyhow::Result;

use crate::Bench;
use crate::load::{connect, crowd, ping};
use crate::peer::Server;
use crate::place::Apart;
use crate::report::{self, Metric, Sample, percentile};

pub const PYTHON: &str = "
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            while data := self.request.recv(65536): self.request.sendall(data)
        except ConnectionResetError: pass
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 4096
Server(('127.0.0.1', int(sys.argv[1])), Echo).serve_forever()
";

/// Servers that return what comes.
pub const SERVERS: &[(&str, &[&str])] = &[
    ("sockctl", SOCKCTL),
    ("reference", REFERENCE),
    ("ncat", &["ncat", "-l", "-k", "-m", "1000", "-e", "/bin/cat", "127.0.0.1", "{port}"]),
    ("socat", &["socat", "TCP-LISTEN:{port},bind=127.0.0.1,backlog=4096,fork", "PIPE"]),
    ("tcpserver", &["tcpserver", "-HR", "-l0", "-c1000", "-b4096", "127.0.0.1", "{port}", "cat"]),
    ("Python", &["python", "-c", PYTHON, "{port}"]),
];

pub const SOCKCTL: &[&str] =
    &["sockctl", "serve", "--echo", "-q", "-m", "100000", "127.0.0.1:{port}"];
pub const REFERENCE: &[&str] = &["reference", "echo", "{port}"];

pub fn run(bench: &mut Bench) -> Result<()> {
    let _awake = bench.keep_awake();
    let _apart = Apart::new();
    let time = bench.time();
    let many = if bench.options.quick { 1_000 } else { 10_000 };
    for idle in [0, many] {
        let name = |part: &str| match idle {
            0 => format!("echo, {part}"),
            idle => format!("echo, {part}, {idle} idle"),
        };
        let metrics = vec![
            Metric::less(name("p50"), "µs", Some(1.1)).beside(report::REFERENCE, 1.1),
            Metric::less(name("p99"), "µs", None),
        ];
        // A process for each of ten thousand connections is another experiment.
        let servers: Vec<_> = SERVERS
            .iter()
            .copied()
            .filter(|(who, _)| idle == 0 || ["sockctl", "reference", "Python"].contains(who))
            .collect();
        let contenders = bench.contenders(&servers, move |words| {
            let server = Server::start(words, Stdio::null(), Stdio::null())?;
            let _idle = crowd(server.port, idle)?;
            let mut stream = connect(server.port)?;
            let times = ping(&mut stream, 64, time)?;
            let part = |percent| Sample::new(percentile(&times, percent).unwrap_or_default());
            Ok(vec![part(50), part(99)])
        });
        bench.measure(metrics, contenders);
    }
    Ok(())
}
