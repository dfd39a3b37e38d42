//! How the cost grows with connections and with messages; beside a bare epoll loop.

use std::process::Stdio;

use anyhow::Result;

use crate::Bench;
use crate::echo::{REFERENCE, SOCKCTL};
use crate::load::{allowed, chorus, connect, crowd, ping};
use crate::peer::Server;
use crate::place::Apart;
use crate::report::{Metric, Sample, median};

const SERVERS: &[(&str, &[&str])] = &[("sockctl", SOCKCTL), ("reference", REFERENCE)];

pub fn run(bench: &mut Bench) -> Result<()> {
    let _awake = bench.keep_awake();
    let _apart = Apart::new();
    let time = bench.time();
    let rounds = bench.options.rounds.replace(if bench.options.quick { 1 } else { 3 });
    let counts: &[usize] =
        if bench.options.quick { &[1, 100, 1_000] } else { &[1, 10, 100, 1_000, 10_000, 50_000] };
    for count in allowed(counts) {
        let contenders = bench.contenders(SERVERS, move |words| {
            let server = Server::start(words, Stdio::null(), Stdio::null())?;
            let mut streams = crowd(server.port, count)?;
            let all = chorus(&mut streams, time)?;
            let mut stream = connect(server.port)?;
            let alone = median(&ping(&mut stream, 64, time)?).unwrap_or_default();
            Ok(vec![all, Sample::new(alone)])
        });
        let metrics = vec![
            Metric::more(format!("{count} connections, all talking"), "messages/s", None),
            Metric::less(format!("{count} connections idle, another one talking: p50"), "µs", None),
        ];
        bench.measure(metrics, contenders);
    }
    for size in [64, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20] {
        let contenders = bench.contenders(SERVERS, move |words| {
            let server = Server::start(words, Stdio::null(), Stdio::null())?;
            let mut stream = connect(server.port)?;
            let times = ping(&mut stream, size, time)?;
            Ok(vec![Sample::new(median(&times).unwrap_or_default())])
        });
        bench.measure(
            vec![Metric::less(format!("message of {size} bytes: p50"), "µs", None)],
            contenders,
        );
    }
    bench.options.rounds = rounds;
    Ok(())
}
