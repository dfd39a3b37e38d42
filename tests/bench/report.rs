//! What was measured: medians with their spread, ratios, a Markdown table, JSON.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

/// The contender that everything is compared with the best of.
pub const OURS: &str = "sockctl";
/// A minimal loop of system calls: what the kernel allows. No peer.
pub const REFERENCE: &str = "reference";
/// Measures memory to memory: a mark, no peer.
pub const IPERF: &str = "iperf3";
/// Our own encrypted session beside our TLS. No peer.
pub const NOISE: &str = "Noise";
/// The memory that an idle TLS connection may have. No peer.
pub const BUDGET: &str = "24 KiB";
/// The memory that an idle pair of a relay may have. No peer.
pub const PAIR: &str = "1 KiB";
/// Ours without what is beside it. No peer.
pub const ALONE: &str = "alone";
/// What is no peer.
const MARKS: [&str; 6] = [REFERENCE, IPERF, NOISE, BUDGET, PAIR, ALONE];

/// Whether more or less of it is better.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

/// One number that a scenario yields.
#[derive(Clone)]
pub struct Metric {
    pub name: String,
    pub unit: &'static str,
    pub better: Better,
    /// Times a contender that sockctl is meant to reach; below 1: the part of its time. Without a
    /// name it is the best peer.
    pub targets: Vec<(Option<&'static str>, f64)>,
}

impl Metric {
    pub fn more(name: impl Into<String>, unit: &'static str, target: Option<f64>) -> Self {
        let (name, better) = (name.into(), Better::More);
        Self {
            name,
            unit,
            better,
            targets: target.map(|ratio| (None, ratio)).into_iter().collect(),
        }
    }

    pub fn less(name: impl Into<String>, unit: &'static str, target: Option<f64>) -> Self {
        let better = Better::Less;
        Self { better, ..Self::more(name, unit, target) }
    }

    /// With a target beside the best peer.
    pub fn best(mut self, ratio: f64) -> Self {
        self.targets.push((None, ratio));
        self
    }

    /// With a target beside this contender.
    pub fn beside(mut self, who: &'static str, ratio: f64) -> Self {
        self.targets.push((Some(who), ratio));
        self
    }
}

/// What one turn of one contender gave.
#[derive(Clone, Copy, Default)]
pub struct Sample {
    pub value: f64,
    /// How much work was done in all, in units of the scenario: messages, connections, GiB.
    pub units: Option<f64>,
    /// CPU time of the program for a unit, in microseconds.
    pub cpu: Option<f64>,
    /// The most memory that a process of it held, in bytes.
    pub memory: Option<f64>,
}

impl Sample {
    /// A number, and no work to account for.
    pub fn new(value: f64) -> Self {
        Self { value, ..Self::default() }
    }

    /// So many in a second.
    pub fn rate(done: usize, time: Duration) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let done = done as f64;
        Self { units: Some(done), ..Self::new(done / time.as_secs_f64()) }
    }
}

/// A contender's turns at one metric, in their order.
pub struct Series {
    pub who: String,
    pub samples: Vec<Sample>,
    /// Why it has no more of them.
    pub failure: Option<String>,
}

/// A metric with the turns of all.
pub struct Row {
    pub metric: Metric,
    pub series: Vec<Series>,
}

/// Everything measured.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Series {
    fn values(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.value).collect()
    }

    fn median_of(&self, field: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(&self.samples.iter().filter_map(field).collect::<Vec<_>>())
    }
}

impl Row {
    fn get(&self, who: &str) -> Option<&Series> {
        let mut found = self.series.iter().filter(|series| series.who == who);
        found.find(|series| !series.samples.is_empty())
    }

    /// The best of the others.
    fn best_peer(&self) -> Option<&Series> {
        let peers = self.series.iter().filter(|series| {
            series.who != OURS && !MARKS.contains(&&*series.who) && !series.samples.is_empty()
        });
        peers.max_by(|a, b| {
            let [a, b] = [a, b].map(|series| median(&series.values()).unwrap_or_default());
            match self.metric.better {
                Better::More => a.total_cmp(&b),
                Better::Less => b.total_cmp(&a),
            }
        })
    }

    /// Ours over theirs: of the medians, and the least and the greatest of one round.
    fn ratio(&self, theirs: &Series) -> Option<[f64; 3]> {
        let ours = self.get(OURS)?;
        let rounds = ours.samples.iter().zip(&theirs.samples);
        let rounds: Vec<f64> = rounds.map(|(our, their)| our.value / their.value).collect();
        let middle = median(&ours.values())? / median(&theirs.values())?;
        let (least, most) = ends(&rounds)?;
        Some([middle, least, most])
    }

    /// What came of a target: the ratio, and whether that meets it.
    fn outcome(&self, who: Option<&str>, target: f64) -> Option<(f64, bool)> {
        let [ratio, ..] = self.ratio(who.map_or_else(|| self.best_peer(), |who| self.get(who))?)?;
        let is_met = match self.metric.better {
            Better::More => ratio >= target,
            Better::Less => ratio <= target,
        };
        Some((ratio, is_met))
    }

    /// A target, and what came of it.
    fn target(&self, who: Option<&str>, target: f64) -> String {
        let sign = match self.metric.better {
            Better::More => "≥",
            Better::Less => "≤",
        };
        let outcome = self.outcome(who, target);
        let mark = outcome.map_or("", |(_, is_met)| if is_met { " ✓" } else { " ✗" });
        match (who, outcome) {
            (Some(who), Some((ratio, _))) => {
                format!("{sign} {target} of {who}: {ratio:.2}{mark}")
            }
            (Some(who), None) => format!("{sign} {target} of {who}"),
            (None, _) => format!("{sign} {target}{mark}"),
        }
    }

    fn line(&self) -> String {
        let Metric { name, unit, .. } = &self.metric;
        let ours = self.get(OURS).map_or_else(|| "–".into(), shown);
        let peer = self.best_peer();
        let best = peer.map_or_else(|| "–".into(), |peer| format!("{} {}", peer.who, shown(peer)));
        let ratio = peer.and_then(|peer| self.ratio(peer));
        let times =
            |[middle, least, most]: [f64; 3]| format!("**{middle:.2}** ({least:.2}–{most:.2})");
        let targets = self.metric.targets.iter();
        let targets: Vec<String> = targets.map(|&(who, target)| self.target(who, target)).collect();
        let targets = if targets.is_empty() { "–".into() } else { targets.join(", ") };
        let marks = MARKS.into_iter().filter_map(|mark| {
            let series = self.get(mark)?;
            let [middle, ..] = self.ratio(series)?;
            Some(format!("{middle:.2} of {mark} {}", shown(series)))
        });
        let marks = marks.collect::<Vec<_>>().join(", ");
        let ratio = ratio.map_or_else(|| "–".into(), times);
        format!("| {name} ({unit}) | {ours} | {best} | {ratio} | {targets} | {marks} |")
    }
}

impl Report {
    /// Adds a metric, and says its line at once: a long run is watched.
    pub fn add(&mut self, row: Row) {
        eprintln!("{}", row.line());
        self.rows.push(row);
    }

    /// The comparison, then all numbers.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "{}\n\nMedians, in brackets the least and the greatest; ratios to the best peer, in \
             brackets those of single rounds. CPU time is the program's (of both ends, where there are \
             two) for one unit: a GiB of bulk, a message, a connection, a datagram. Where one \
             thing is waited for after the other the processors are kept from sleeping; latency, and \
             UDP echo, with the load on one processor and the program on the others.\n\n\
             | scenario | sockctl | best peer | ratio | targets | limits |\n|---|---|---|---|---|---|\n",
            machine()
        );
        for row in &self.rows {
            text.push_str(&row.line());
            text.push('\n');
        }
        text.push_str(
            "\n| scenario | who | median (least–greatest) | CPU µs | peak MiB |\n|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            for series in &row.series {
                let number = |value: Option<f64>, scale: f64| {
                    value.map_or_else(|| "–".into(), |value| format!("{:.2}", value / scale))
                };
                let result = match &series.failure {
                    Some(failure) => failure.clone(),
                    None => shown(series),
                };
                let cpu = number(series.median_of(|sample| sample.cpu), 1.0);
                let memory = number(series.median_of(|sample| sample.memory), 1_048_576.0);
                let (name, who) = (&row.metric.name, &series.who);
                // Writing to a String does not fail.
                let _ = writeln!(text, "| {name} | {who} | {result} | {cpu} | {memory} |");
            }
        }
        text
    }

    /// Everything, for programs.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let series = row.series.iter().map(|series| {
                json!({
                    "who": series.who,
                    "values": series.values(),
                    "median": median(&series.values()),
                    "cpu_microseconds": series.median_of(|sample| sample.cpu),
                    "peak_bytes": series.median_of(|sample| sample.memory),
                    "failure": series.failure,
                })
            });
            let peer = row.best_peer();
            let ratio = peer.and_then(|peer| row.ratio(peer)).map(|[middle, ..]| middle);
            let targets = row.metric.targets.iter().map(|&(who, target)| {
                let outcome = row.outcome(who, target);
                json!({
                    "beside": who,
                    "target": target,
                    "ratio": outcome.map(|(ratio, _)| ratio),
                    "met": outcome.map(|(_, is_met)| is_met),
                })
            });
            json!({
                "scenario": row.metric.name,
                "unit": row.metric.unit,
                "more_is_better": row.metric.better == Better::More,
                "series": series.collect::<Vec<_>>(),
                "best_peer": peer.map(|peer| &peer.who),
                "ratio": ratio,
                "targets": targets.collect::<Vec<_>>(),
            })
        });
        json!({ "machine": machine(), "rows": rows.collect::<Vec<_>>() })
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some(f64::midpoint(sorted[low], sorted[high]))
}

/// The value that this many of a hundred do not exceed.
pub fn percentile(values: &[f64], percent: usize) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    sorted(values).get(last * percent / 100).copied()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

fn ends(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    let most = values.iter().copied().max_by(f64::total_cmp)?;
    Some((least, most))
}

fn shown(series: &Series) -> String {
    let values = series.values();
    match (median(&values), ends(&values)) {
        (Some(middle), Some((least, most))) => {
            format!("{} ({}–{})", round(middle), round(least), round(most))
        }
        _ => "–".into(),
    }
}

/// Three digits and a unit.
fn round(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e9 => (value / 1e9, " G"),
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e4 => (value / 1e3, " k"),
        value => (value, ""),
    };
    match value {
        value if value >= 100.0 => format!("{value:.0}{unit}"),
        value if value >= 10.0 => format!("{value:.1}{unit}"),
        value => format!("{value:.2}{unit}"),
    }
}

/// The machine, in one line.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |line| line.trim_start_matches(['\t', ':', ' ']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}, load {load}", kernel.trim())
}
