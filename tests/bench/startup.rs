//! What it costs to start: nothing to do, a connection that is refused; and how large it is.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Result;

use crate::Bench;
use crate::report::{Metric, Sample, median};

const NOTHING: &[(&str, &[&str])] = &[
    ("sockctl", &["sockctl", "--version"]),
    ("reference", &["/bin/true"]),
    ("nc", &["nc.openbsd", "-h"]),
    ("ncat", &["ncat", "--version"]),
    ("socat", &["socat", "-V"]),
    ("tcpserver", &["tcpserver"]),
    ("Python", &["python", "-c", "import socket"]),
];
const REFUSED: &[(&str, &[&str])] = &[
    ("sockctl", &["sockctl", "connect", "127.0.0.1:{port}"]),
    ("nc", &["nc.openbsd", "127.0.0.1", "{port}"]),
    ("ncat", &["ncat", "127.0.0.1", "{port}"]),
    ("socat", &["socat", "-", "TCP:127.0.0.1:{port}"]),
    ("Python", &["python", "-c", "import socket; socket.create_connection(('127.0.0.1', {port}))"]),
];
const SIZE: &[(&str, &[&str])] = &[
    ("sockctl", &["sockctl"]),
    ("nc", &["/usr/bin/nc.openbsd"]),
    ("ncat", &["/usr/bin/ncat"]),
    ("socat", &["/usr/bin/socat"]),
    ("tcpserver", &["/usr/bin/tcpserver"]),
];

pub fn run(bench: &mut Bench) -> Result<()> {
    let _awake = bench.keep_awake();
    let times = if bench.options.quick { 30 } else { 100 };
    let time = |name| Metric::less(name, "ms", None);
    for (metric, lines) in
        [(time("start-up").beside("nc", 1.3), NOTHING), (time("a refused connection"), REFUSED)]
    {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let contenders = bench.contenders(lines, move |words| {
            let words = crate::peer::with_port(words, port);
            let mut taken = Vec::new();
            for _ in 0..times {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).stdin(Stdio::null());
                command.stdout(Stdio::null()).stderr(Stdio::null());
                let start = Instant::now();
                command.status()?;
                taken.push(start.elapsed().as_secs_f64() * 1e3);
            }
            let median = median(&taken).unwrap_or_default();
            Ok(vec![Sample { units: Some(f64::from(times)), ..Sample::new(median) }])
        });
        bench.measure(vec![metric], contenders);
    }
    let contenders = bench.contenders(SIZE, |words| {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let size = fs::metadata(&words[0])?.len() as f64;
        Ok(vec![Sample::new(size)])
    });
    let rounds = bench.options.rounds.replace(1);
    bench.measure(vec![Metric::less("size of the program", "bytes", None)], contenders);
    bench.options.rounds = rounds;
    Ok(())
}
