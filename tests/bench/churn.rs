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
    (
        "sockctl",
        &["sockctl", "serve", "-q", "127.0.0.1:{port}", "--", "cat"],
    ),
    (
        "ncat",
        &[
            "ncat",
            "-l",
            "-k",
            "-m",
            "1000",
            "-e",
            "/bin/cat",
            "127.0.0.1",
            "{port}",
        ],
    ),
    (
        "socat",
        &[
            "socat",
            "TCP-LISTEN:{port},bind=127.0.0.1,backlog=4096,fork",
            "EXEC:cat",
        ],
    ),
    (
        "tcpserver",
        &[
            "tcpserver",
            "-HR",
            "-l0",
            "-c1000",
            "-b4096",
            "127.0.0.1",
            "{port}",
            "cat",
        ],
    ),
];

pub fn run(bench: &mut Bench) -> Result<()> {
    each(
        bench,
        "connect, echo, close",
        SERVERS,
        [Some(4.0), Some(6.5)],
    );
    Ok(())
}

pub fn programs(bench: &mut Bench) -> Result<()> {
    each(
        bench,
        "the same by a program (cat)",
        PROGRAMS,
        [Some(1.3), Some(1.3)],
    );
    Ok(())
}

fn each(bench: &mut Bench, name: &str, servers: &[(&str, &[&str])], targets: [Option<f64>; 2]) {
    let time = bench.time();
    for (clients, target) in [1, 32].into_iter().zip(targets) {
        let name = format!("{name}, {clients} at a time");
        let contenders = bench.contenders(servers, move |words| {
            let server = Server::start(words, Stdio::null(), Stdio::null())?;
            Ok(vec![churn(server.port, clients, time)?])
        });
        bench.measure(vec![Metric::more(name, "1/s", target)], contenders);
    }
}
