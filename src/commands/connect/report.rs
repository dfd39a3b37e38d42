//! The results of `connect --check`: a line or an object each, and the exit status.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::console::json;
use crate::exit::{Exit, Failure, errno_name};
use crate::net::deadline::Deadline;
use crate::net::retry::Retry;
use crate::net::scan::Checked;
use crate::net::stdio::{Stdio, Waiting};

/// Results on stdout, in the order written, as soon as that order allows.
pub struct Report {
    json: bool,
    verbose: bool,
    out: BufWriter<Waiting>,
    lines: Vec<Line>,
    next: usize,
    failure: Option<io::Error>,
}

struct Line {
    address: String,
    /// The entry of the list this port's range is.
    range: Option<usize>,
    result: Option<(i32, f64)>,
}

/// One result in JSON.
#[derive(Serialize)]
struct Row<'a> {
    address: &'a str,
    result: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<String>,
    ms: f64,
}

impl Report {
    /// None yet.
    pub fn new(json: bool, verbose: bool) -> Self {
        let out = BufWriter::new(Stdio::output().waiting(Deadline::of_run()));
        Self { json, verbose, out, lines: Vec::new(), next: 0, failure: None }
    }

    /// One more result is expected, after those before.
    pub fn expect(&mut self, address: String, range: Option<usize>) {
        self.lines.push(Line { address, range, result: None });
    }

    /// The result at this place of the order.
    pub fn tell(&mut self, index: usize, checked: &Checked) {
        self.lines[index].result = Some((checked.code, checked.took.as_secs_f64() * 1e3));
        while let Some(line) = self.lines.get(self.next)
            && let Some((code, ms)) = line.result
        {
            self.next += 1;
            if line.range.is_none() || code == 0 || self.verbose {
                let written = self.write(self.next - 1, code, ms);
                self.failure = self.failure.take().or(written.err());
            }
        }
    }

    fn write(&mut self, index: usize, code: i32, ms: f64) -> io::Result<()> {
        let address = &self.lines[index].address;
        if self.json {
            let ms = (ms * 1e3).round() / 1e3;
            let errno = (code != 0).then(|| errno_name(code));
            let result = Row { address, result: code, errno, ms };
            writeln!(self.out, "{}", json::line(&result)?)?;
        } else if code == 0 {
            writeln!(self.out, "{address} open")?;
        } else {
            writeln!(self.out, "{address} {} ({code})", errno_name(code))?;
        }
        // The next result is still pending: this one is shown now.
        if self.lines.get(self.next).is_some_and(|next| next.result.is_none()) {
            self.out.flush()?;
        }
        Ok(())
    }

    /// Whether `--wait` is done once all but these are open: each single port is, and one port of
    /// each range.
    pub fn is_met_without(&self, failed: &[(usize, Checked)]) -> bool {
        failed.iter().all(|(index, _)| {
            let range = self.lines[*index].range;
            let open = |line: &Line| matches!(line.result, Some((0, _)));
            range.is_some() && self.lines.iter().any(|line| line.range == range && open(line))
        })
    }

    /// The status of the first failure; a range has failed if none of its ports is open.
    pub fn finish(mut self) -> Result<(), Failure> {
        if let Some(e) = self.failure.take().or_else(|| self.out.flush().err()) {
            return Err(Failure::output(e));
        }
        let is_open = |line: &&Line| matches!(line.result, Some((0, _)));
        let open = self.lines.iter().filter(is_open);
        let open: BTreeSet<usize> = open.filter_map(|line| line.range).collect();
        for line in &self.lines {
            let failed = match (line.range, line.result) {
                (None, Some((code, _))) if code != 0 => Some(status(code)),
                (Some(entry), _) if !open.contains(&entry) => Some(Exit::Refused),
                _ => None,
            };
            if let Some(exit) = failed {
                return Err(Failure::silent(exit));
            }
        }
        Ok(())
    }
}

/// Whether a failure may pass by itself: `--wait` waits for it.
pub fn may_pass(code: i32) -> bool {
    Retry::may_pass(status(code), Some(code))
}

fn status(code: i32) -> Exit {
    if code < 0 { Exit::Unresolved } else { Exit::of(&io::Error::from_raw_os_error(code)) }
}
