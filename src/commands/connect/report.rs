//! The results of `connect --check`: a line or an object each, whether the check has succeeded, and
//! the exit status.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use nix::errno::Errno;

use super::verdict::{CheckOptions, Verdict, event};
use crate::console::json;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::scan::Checked;
use crate::net::stdio::BlockingStdio;

/// The most targets that the notice of what is waited for names.
const NAMED: usize = 8;

/// The results, written in the order of the command line, as soon as that order allows.
pub struct Report {
    options: CheckOptions,
    out: Output,
    lines: Vec<Line>,
    targets: Vec<CheckedPorts>,
    /// How many targets are as they should be.
    met: usize,
    /// How many will not be, however long they are waited for.
    hopeless: usize,
    /// How many lines have no result yet.
    missing: usize,
    next: usize,
    failure: Option<io::Error>,
}

/// Where results go.
pub enum Output {
    /// stdout.
    Stdout(BufWriter<BlockingStdio>),
    /// stderr, where stdout belongs to a program.
    Talk(Talk),
}

/// An address with one port.
struct Line {
    address: String,
    target: usize,
    /// The last check.
    result: Option<Checked>,
    verdict: Verdict,
}

/// One port, or a range of them, which counts as open if one of them is.
struct CheckedPorts {
    first: usize,
    is_range: bool,
    /// How many ports there are; how many are as they should be, or will not be.
    count: usize,
    met: usize,
    hopeless: usize,
}

impl CheckedPorts {
    fn is_met(&self, options: CheckOptions) -> bool {
        if self.takes_one(options) { self.met > 0 } else { self.met == self.count }
    }

    fn is_hopeless(&self, options: CheckOptions) -> bool {
        if self.takes_one(options) { self.hopeless == self.count } else { self.hopeless > 0 }
    }

    /// Whether one of its ports decides.
    fn takes_one(&self, options: CheckOptions) -> bool {
        self.is_range && !options.closed
    }
}

impl Report {
    /// None yet; they go to `out`.
    pub fn new(options: CheckOptions, out: Output) -> Self {
        Self {
            options,
            out,
            lines: Vec::new(),
            targets: Vec::new(),
            met: 0,
            hopeless: 0,
            missing: 0,
            next: 0,
            failure: None,
        }
    }

    /// A result is expected for each of these addresses, behind those before: of a port, or of the
    /// ports of a range. The place of the first.
    pub fn expect(&mut self, addresses: Vec<String>, is_range: bool) -> usize {
        let (first, count) = (self.lines.len(), addresses.len());
        let target = self.targets.len();
        self.missing += count;
        self.targets.push(CheckedPorts { first, is_range, count, met: 0, hopeless: 0 });
        let verdict = Verdict::MayPass;
        self.lines.extend(addresses.into_iter().map(|address| Line {
            address,
            target,
            result: None,
            verdict,
        }));
        first
    }

    /// A result for the address of this place in the order. One whose time the end of `--wait` has cut
    /// short says less than the one before it.
    pub fn record(&mut self, index: usize, checked: Checked, is_cut_short: bool) {
        let (options, line) = (self.options, &mut self.lines[index]);
        if is_cut_short && line.result.is_some() {
            return;
        }
        self.missing -= usize::from(line.result.is_none());
        line.verdict = options.verdict(&checked);
        line.result = Some(checked);
        let target = &mut self.targets[line.target];
        let before = (target.is_met(options), target.is_hopeless(options));
        match line.verdict {
            Verdict::Met => target.met += 1,
            Verdict::MayPass => {}
            Verdict::Hopeless => target.hopeless += 1,
        }
        self.met += usize::from(!before.0 && target.is_met(options));
        self.hopeless += usize::from(!before.1 && target.is_hopeless(options));
        let is_settled =
            |line: &Line| line.verdict == Verdict::Met || !options.waits && line.result.is_some();
        while self.lines.get(self.next).is_some_and(is_settled) {
            self.write_next();
        }
        // What is written is shown now if a result is still pending.
        if self.next < self.lines.len() {
            let flushed = self.flush();
            self.failure = self.failure.take().or(flushed.err());
        }
    }

    /// Whether another check of this address may help.
    pub fn needs(&self, index: usize) -> bool {
        let line = &self.lines[index];
        let target = &self.targets[line.target];
        let is_over = target.is_met(self.options) || target.is_hopeless(self.options);
        line.verdict == Verdict::MayPass && !is_over
    }

    /// Whether the answer is known though results are missing, or none can be written.
    pub fn is_decided(&self) -> bool {
        let most = if self.options.any { self.targets.len() } else { 1 };
        self.failure.is_some()
            || self.options.any && self.has_succeeded()
            || self.options.waits && self.hopeless >= most
    }

    /// Whether every address has been checked once.
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    fn has_succeeded(&self) -> bool {
        self.met >= if self.options.any { 1 } else { self.targets.len() }
    }

    /// What is waited for, each target with its last cause.
    pub fn pending(&self) -> String {
        let unmet = self.targets.iter().filter(|target| !target.is_met(self.options));
        let named = unmet.clone().take(NAMED).map(|target| self.named(target));
        let mut text = named.collect::<Vec<_>>().join(", ");
        match unmet.count().saturating_sub(NAMED) {
            0 => {}
            others => text = format!("{text}, and {others} more"),
        }
        if self.options.any { format!("any of {text}") } else { text }
    }

    /// The ranges that have no open port, of which no line says so.
    pub fn empty_ranges(&self) -> Vec<String> {
        if self.options.closed || self.options.verbose || self.options.json {
            return Vec::new();
        }
        let empty = self.targets.iter().filter(|target| target.is_range && target.met == 0);
        empty.map(|target| self.named(target)).collect()
    }

    fn named(&self, target: &CheckedPorts) -> String {
        let line = &self.lines[target.first];
        if target.is_range {
            let last = &self.lines[target.first + target.count - 1].address;
            let (_, last) = last.rsplit_once(':').unwrap_or_default();
            let state = match self.options {
                CheckOptions { closed: true, .. } => "closed",
                CheckOptions { tls: true, .. } => "trusted",
                _ => "open",
            };
            return format!("{}-{last}: {} of {} {state}", line.address, target.met, target.count);
        }
        match &line.result {
            None => line.address.clone(),
            Some(it) => {
                let word = it.word().unwrap_or_else(|| "still open".into());
                format!("{}: {word}", line.address)
            }
        }
    }

    /// Writes one line. Ports of a range that are not open would be most of its lines.
    fn write_next(&mut self) {
        let (options, line) = (self.options, &self.lines[self.next]);
        self.next += 1;
        // A connect that is under way: the answer was known without it.
        let under_way = Checked::new(Errno::EINPROGRESS as i32, Duration::ZERO);
        let checked = line.result.as_ref().unwrap_or(&under_way);
        let target = &self.targets[line.target];
        let is_met = target.is_met(options);
        let is_noise =
            target.is_range && !checked.is_open() && !options.verbose || options.quiet && is_met;
        if is_noise && !options.json {
            return;
        }
        let event = event(&line.address, checked, is_met);
        let written = match &mut self.out {
            Output::Talk(talk) => {
                talk.say(&event);
                return;
            }
            Output::Stdout(out) if options.json => {
                json::line(&event).map_err(io::Error::from).and_then(|line| writeln!(out, "{line}"))
            }
            Output::Stdout(out) => writeln!(out, "{}", event.line(options.verbose)),
        };
        self.failure = self.failure.take().or(written.err());
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Output::Stdout(out) => out.flush(),
            Output::Talk(_) => Ok(()),
        }
    }

    /// The end: writes the lines that are left. The status is that of the first target that failed;
    /// with `--wait` it is "timed out" where time has run out.
    pub fn finish(&mut self) -> Result<(), Failure> {
        while self.next < self.lines.len() {
            self.write_next();
        }
        if let Some(e) = self.failure.take().or_else(|| self.flush().err()) {
            return Err(Failure::output(e));
        }
        if self.has_succeeded() {
            return Ok(());
        }
        if self.options.waits && !self.is_decided() {
            return Err(Failure::silent(Exit::TimedOut));
        }
        let has_failed = |target: &&CheckedPorts| {
            if self.options.waits {
                target.is_hopeless(self.options)
            } else {
                !target.is_met(self.options)
            }
        };
        let failed = self.targets.iter().find(has_failed);
        Err(Failure::silent(failed.map_or(Exit::Other, |target| self.status(target))))
    }

    /// The status of a target that failed. A range without an open port is refused.
    fn status(&self, target: &CheckedPorts) -> Exit {
        let lines = &self.lines[target.first..target.first + target.count];
        let failed = lines.iter().filter(|line| line.verdict != Verdict::Met);
        let mut results = failed.map(|line| line.result.as_ref());
        if target.takes_one(self.options) {
            let open = results.flatten().find(|it| it.is_open());
            return open.and_then(|it| it.exit).unwrap_or(Exit::Refused);
        }
        let result = results.next().flatten();
        result.map_or(Exit::TimedOut, |it| it.exit.unwrap_or(Exit::Expectation))
    }
}
