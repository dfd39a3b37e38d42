//! A scan of all ports of this machine.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::Bench;
use crate::peer::Process;
use crate::report::{Metric, Sample};

const LINES: &[(&str, &[&str])] = &[
    ("sockctl", &["sockctl", "connect", "-z", "127.0.0.1:1-65535"]),
    ("reference", &["reference", "scan"]),
    ("nc", &["nc.openbsd", "-z", "127.0.0.1", "1-65535"]),
];

pub fn run(bench: &mut Bench) -> Result<()> {
    let contenders = bench.contenders(LINES, |words| {
        let start = Instant::now();
        let mut process = Process::start(words, Stdio::null(), Stdio::null())?;
        process.wait(Duration::from_secs(30))?;
        Ok(vec![Sample { units: Some(1.0), ..Sample::new(start.elapsed().as_secs_f64()) }])
    });
    bench.measure(
        vec![Metric::less("scan of 65,535 ports", "s", None).beside("nc", 0.65)],
        contenders,
    );
    Ok(())
}
