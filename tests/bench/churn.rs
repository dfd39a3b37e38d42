//! Connections that come and go: connect, 64 bytes there and back, close.

use std::process::Stdio;

use anyhow::Result;

use crate::Bench;
use crate::echo::SERVERS;
use crate::load::churn;
use crate::peer::Server;
use crate::report::Metric;

/// Servers that start a program for each connection.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("sockctl", &["sockctl", "serve", "-q", "127.0.0.1:{port}", "--", "cat"]),
    ("ncat", &["ncat", "-l", "-k", "-m", "1000", "-e", "/bin/cat", "127.0.0.1", "{port}"]),
    ("socat", &["socat", "TCP-LISTEN:{port},bind=127.0.0.1,backlog=4096,fork", "EXEC:cat"]),
    ("tcpserver", &["tcpserver", "-HR", "-l0", "-c1000", "-b4096", "127.0.0.1", "{port}", "cat"]),
];

pub fn run(bench: &mut Bench) -> Result<()> {
    for (clients, target) in [(1, 4.0), (32, 6.5)] {
        let name = format!("connect, echo, close, {clients} at a time");
        let metric = Metric::more(name, "1/s", Some(target));
        measure(bench, clients, SERVERS, metric);
    }
    Ok(())
}

pub fn programs(bench: &mut Bench) -> Result<()> {
    for clients in [1, 32] {
        let name = format!("the same by a program (cat), {clients} at a time");
        let metric = Metric::more(name, "1/s", None).beside("tcpserver", 1.3);
        measure(bench, clients, PROGRAMS, metric);
    }
    Ok(())
}

fn measure(bench: &mut Bench, clients: usize, servers: &[(&str, &[&str])], metric: Metric) {
    let _awake = bench.keep_awake();
    let time = bench.time();
    let contenders = bench.contenders(servers, move |words| {
        let server = Server::start(words, Stdio::null(), Stdio::null())?;
        Ok(vec![churn(server.port, clients, time)?])
    });
    bench.measure(vec![metric], contenders);
}
