//! Numbers made readable: medians, spreads, ratios, a Markdown table.

use std::fmt::Write;
use std::fs;

/// Measurements of one program in one scenario.
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    pub fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_unstable_by(f64::total_cmp);
    }

    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// The median with the least and the greatest.
    pub fn shown(&self) -> String {
        let [least, most] = [self.0.first(), self.0.last()].map(|value| round(*value.unwrap()));
        format!("{} ({least}–{most})", round(self.median()))
    }
}

/// Three digits and a unit.
pub fn round(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e9 => (value / 1e9, " G"),
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e3 => (value / 1e3, " k"),
        value => (value, ""),
    };
    match value {
        value if value >= 100.0 => format!("{value:.0}{unit}"),
        value if value >= 10.0 => format!("{value:.1}{unit}"),
        value => format!("{value:.2}{unit}"),
    }
}

/// A Markdown table: what is measured, and a column for each program.
pub struct Table {
    text: String,
}

impl Table {
    pub fn new(columns: &[&str]) -> Self {
        let line = "---|".repeat(columns.len());
        Self {
            text: format!("| {} |\n|{line}\n", columns.join(" | ")),
        }
    }

    pub fn row(&mut self, cells: &[String]) {
        eprintln!("{}", cells.join("  "));
        writeln!(self.text, "| {} |", cells.join(" | ")).unwrap();
    }

    pub fn print(&self) {
        println!("{}", self.text);
    }
}

/// The machine, in one line.
pub fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |line| {
        line.trim_start_matches(['\t', ':', ' '])
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_string();
    format!(
        "{model}, {cores} cores, Linux {}, load {load} at the start",
        kernel.trim()
    )
}
