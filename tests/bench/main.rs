//! Measures sockctl beside other programs: the same scenario for each in turn, several rounds,
//! medians with their spread, and the ratio to the best of the others.
//!
//! `cargo bench` runs everything, `cargo bench -- --only udp --quick` a part. A group of scenarios
//! is one file here and one line in `GROUPS`. Programs that are not installed are left out; one
//! that fails or hangs is reported in the table, and the others go on.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the results are printed, and each as it comes"
)]
#![allow(clippy::unnecessary_wraps, reason = "all groups are called alike")]

mod auth;
mod bridge;
mod bulk;
mod churn;
mod echo;
mod growth;
mod load;
mod memory;
mod peer;
mod place;
mod reference;
mod relay;
mod repeat;
mod report;
mod room;
mod scan;
mod startup;
mod tls;
mod udp;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use tempfile::TempDir;

use peer::Process;
use report::{Metric, OURS, Report, Row, Sample, Series};

/// Measures some scenarios; fails where none can be measured.
type Group = fn(&mut Bench) -> Result<()>;

/// The groups of scenarios, in the order they are run.
const GROUPS: &[(&str, Group)] = &[
    ("bulk", bulk::run),
    ("encrypted", bulk::encrypted),
    ("echo", echo::run),
    ("connect", churn::run),
    ("program", churn::programs),
    ("memory", memory::run),
    ("room", room::run),
    ("bridge", bridge::run),
    ("udp", udp::run),
    ("auth", auth::run),
    ("tls-bulk", tls::bulk),
    ("tls-handshakes", tls::handshakes),
    ("tls-memory", tls::memory),
    ("relay-bulk", relay::bulk),
    ("relay-latency", relay::latency),
    ("relay-connections", relay::connections),
    ("relay-memory", relay::memory),
    ("relay-encrypted", relay::encrypted),
    ("repeat", repeat::run),
    ("start", startup::run),
    ("scan", scan::run),
    ("growth", growth::run),
];

/// After this long every scenario has one round only.
const HURRY: Duration = Duration::from_secs(12 * 60);
/// Who takes this long for one turn gets no other in its scenario.
const SLOW: Duration = Duration::from_secs(8);

/// Measures sockctl beside other programs
#[derive(Parser)]
struct Options {
    /// Groups to run: bulk, encrypted, echo, connect, program, memory, room, bridge, udp, auth, tls-bulk, tls-handshakes, tls-memory, relay-bulk, relay-latency, relay-connections, relay-memory, relay-encrypted, repeat, start, scan, growth
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    only: Vec<String>,
    /// Fewer and shorter rounds
    #[arg(long)]
    quick: bool,
    /// How often each program has its turn
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Writes everything to FILE as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measures this sockctl, not this project's release
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Measures this sockctl too, beside the peers
    #[arg(long, value_name = "FILE")]
    other: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// One turn of one contender: a sample for each metric of the scenario.
type Turn<'a> = Box<dyn FnMut() -> Result<Vec<Sample>> + 'a>;

/// A program in a scenario.
struct Contender<'a> {
    who: String,
    turn: Turn<'a>,
}

/// A benchmark under way.
struct Bench {
    options: Options,
    report: Report,
    began: Instant,
    /// Files of the run, in memory where the system has room for that.
    scratch: TempDir,
    sockctl: String,
    itself: String,
    python: String,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("reference", rest)) = words.split_first().map(|(first, rest)| (&**first, rest)) {
        return reference::run(rest);
    }
    let options = Options::parse();
    load::raise_file_limit();
    let mut bench = Bench::new(options)?;
    for (name, run) in GROUPS {
        if bench.options.only.is_empty() || bench.options.only.iter().any(|only| only == name) {
            eprintln!("\n{name}");
            run(&mut bench)?;
            if let Some(path) = &bench.options.json {
                fs::write(path, format!("{:#}\n", bench.report.json()))?;
            }
        }
    }
    println!("{}", bench.report.markdown());
    Ok(())
}

/// Builds what users get, and where it is. `cargo bench` has built it with what the tests ask of
/// its crates besides (proptest, all of regex), which is another program.
fn release() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(["build", "--release", "--quiet"]).status()?;
    ensure!(status.success(), "cargo build --release: {status}");
    Ok(env!("CARGO_BIN_EXE_sockctl").into())
}

impl Bench {
    fn new(options: Options) -> Result<Self> {
        for only in &options.only {
            let known = GROUPS.iter().any(|(name, _)| name == only);
            ensure!(known, "no group {only}; see --help");
        }
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let program = options.program.clone().map_or_else(release, Ok)?;
        Ok(Self {
            report: Report::default(),
            began: Instant::now(),
            scratch: TempDir::new_in(place)?,
            sockctl: program.display().to_string(),
            itself: std::env::current_exe()?.display().to_string(),
            python: python(),
            options,
        })
    }

    /// Gives each processor something to do when there is nothing else, in the scheduler's class
    /// for that (`SCHED_IDLE`, which makes way at once): what is measured is programs, not how long
    /// a processor takes to wake up, which in a virtual machine is longer than most of them. Not
    /// for what keeps them busy by itself: that it costs a fifth.
    fn keep_awake(&self) -> Vec<Process> {
        let spin = |number: usize| {
            let number = number.to_string();
            let line = ["taskset", "-c", &number, "chrt", "--idle", "0"];
            let mut words = peer::words(&line);
            words.extend(peer::words(&[&self.itself, "reference", "spin"]));
            Process::start(&words, Stdio::null(), Stdio::null()).ok()
        };
        place::processors().into_iter().filter_map(spin).collect()
    }

    /// How long one turn lasts, where that can be chosen.
    fn time(&self) -> Duration {
        Duration::from_millis(if self.options.quick { 200 } else { 500 })
    }

    /// Gives each contender its turn, in every round, and adds a row for each metric.
    fn measure(&mut self, metrics: Vec<Metric>, mut contenders: Vec<Contender<'_>>) {
        let rounds = self.options.rounds.unwrap_or(if self.options.quick { 2 } else { 3 });
        let mut rows: Vec<Row> = metrics
            .into_iter()
            .map(|metric| Row {
                metric,
                series: contenders.iter().map(|contender| Series::of(&contender.who)).collect(),
            })
            .collect();
        let mut slow = Vec::new();
        for round in 0..rounds {
            if round > 0 && self.began.elapsed() > HURRY {
                break;
            }
            for (index, contender) in contenders.iter_mut().enumerate() {
                if rows.iter().any(|row| row.series[index].failure.is_some()) {
                    continue;
                }
                if slow.contains(&index) {
                    continue;
                }
                let start = Instant::now();
                let before = peer::children_cpu();
                let turn = (contender.turn)();
                // All that a turn starts has ended with it.
                let cpu = peer::children_cpu() - before;
                if start.elapsed() > SLOW {
                    slow.push(index);
                }
                match turn {
                    Ok(samples) => {
                        for (row, mut sample) in rows.iter_mut().zip(samples) {
                            sample.cpu = sample.units.map(|units| cpu / units);
                            row.series[index].samples.push(sample);
                        }
                    }
                    Err(error) => {
                        for row in &mut rows {
                            row.series[index].failure = Some(format!("{error:#}"));
                        }
                    }
                }
            }
        }
        for row in rows {
            self.report.add(row);
        }
    }

    /// A contender for each command line whose program is installed. The words `sockctl`,
    /// `python` and `reference` stand for the programs themselves; with `--other`, another sockctl
    /// runs the same lines.
    fn contenders<'a, W: AsRef<str>>(
        &self,
        lines: &[(&str, &[W])],
        turn: impl Fn(&[String]) -> Result<Vec<Sample>> + Clone + 'a,
    ) -> Vec<Contender<'a>> {
        let mut contenders = Vec::new();
        for (who, line) in lines {
            let mut programs = vec![(who.to_string(), self.sockctl.clone())];
            if let (OURS, Some(other)) = (*who, &self.options.other) {
                programs.push(("other".into(), other.display().to_string()));
            }
            for (who, sockctl) in programs {
                let words = self.resolve(line, &sockctl);
                if !peer::is_installed(&words[0]) {
                    eprintln!("{} is not installed", words[0]);
                    continue;
                }
                let turn = turn.clone();
                let turn = Box::new(move || turn(&words));
                contenders.push(Contender { who, turn });
            }
        }
        contenders
    }

    fn resolve<W: AsRef<str>>(&self, line: &[W], sockctl: &str) -> Vec<String> {
        let mut words = Vec::new();
        for word in line {
            match word.as_ref() {
                "sockctl" => words.push(sockctl.to_string()),
                "python" => words.push(self.python.clone()),
                "reference" => words.extend([self.itself.clone(), "reference".into()]),
                word => words.push(word.into()),
            }
        }
        words
    }
}

impl Series {
    fn of(who: &str) -> Self {
        Self { who: who.into(), samples: Vec::new(), failure: None }
    }
}

/// The interpreter itself: what is in PATH may be a script that looks for it.
fn python() -> String {
    let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let path = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string());
    path.ok().filter(|path| !path.is_empty()).unwrap_or_else(|| "python3".into())
}
