//! Measures sockctl beside other programs: the same scenario for each in turn, several rounds,
//! medians with their spread, and the ratio to the best of the others.
//!
//! `cargo bench` runs everything; `cargo bench -- room --members 10 --lines 1000 --rounds 3` a
//! part. A scenario is one file here; a new one is a line in `main`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot be made ends the run, and its results are printed"
)]

mod load;
mod peer;
mod report;
mod room;

use clap::Parser;

/// Measures sockctl beside other programs
#[derive(Parser)]
pub struct Options {
    /// What to measure; everything, if nothing is named
    #[arg(value_parser = ["room"])]
    scenarios: Vec<String>,
    /// How often each program has its turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Members of a room
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 500])]
    members: Vec<usize>,
    /// Lines said in it
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 200_000])]
    lines: Vec<usize>,
    /// Members of a large one, who only listen
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    load::raise_file_limit();
    println!("{}\n", report::machine());
    let wanted = |name: &str| {
        options.scenarios.is_empty() || options.scenarios.iter().any(|one| one == name)
    };
    if wanted("room") {
        room::run(&options);
    }
}
