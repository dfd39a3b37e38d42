//! Memory of connections that have talked once and say nothing since.

use std::process::Stdio;

use anyhow::Result;

use crate::echo::SERVERS;
use crate::load::{allowed, crowd};
use crate::peer::Server;
use crate::report::{Metric, Sample};
use crate::{Bench, Contender};

/// More than this many processes or threads are another experiment.
pub const FEW: usize = 1_000;

pub fn run(bench: &mut Bench) -> Result<()> {
    let counts: &[usize] =
        if bench.options.quick { &[1_000] } else { &[1_000, 5_000, 10_000, 50_000] };
    for count in allowed(counts) {
        let servers: Vec<_> = SERVERS
            .iter()
            .copied()
            .filter(|(who, _)| match *who {
                "ncat" => false, // ends at 1,024 descriptors
                "sockctl" | "reference" => true,
                "Python" => count <= 10 * FEW,
                _ => count <= FEW,
            })
            .collect();
        let contenders = bench.contenders(&servers, move |words| each(words, count, crowd));
        let name = format!("memory of each of {count} idle connections");
        compare(bench, Metric::less(name, "bytes", None), contenders);
    }
    Ok(())
}

/// The memory of a server for each of so many idle connections.
pub fn each<T>(
    words: &[String],
    count: usize,
    crowd: impl Fn(u16, usize) -> Result<T>,
) -> Result<Vec<Sample>> {
    let server = Server::start(words, Stdio::null(), Stdio::null())?;
    let empty = server.process.group_memory()?;
    let _idle = crowd(server.port, count)?;
    let each = (server.process.group_memory()? - empty) / f64::from(u32::try_from(count)?);
    Ok(vec![Sample::new(each)])
}

/// Two rounds: memory does not vary with the load of the machine.
pub fn compare(bench: &mut Bench, metric: Metric, contenders: Vec<Contender<'_>>) {
    let rounds = bench.options.rounds.replace(2);
    bench.measure(vec![metric], contenders);
    bench.options.rounds = rounds;
}
