//! The results of `connect --check --count`: a line or an object for each try, and a summary of each
//! address.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use serde::Serialize;

use super::verdict::event;
use crate::args::TalkArgs;
use crate::console::json;
use crate::console::timings::{Timings, millis};
use crate::exit::{Exit, Failure};
use crate::net::scan::Checked;
use crate::net::stdio::BlockingStdio;

/// The results, written as they come.
pub struct Tries {
    json: bool,
    /// `-q`: no line for a try that succeeds.
    quiet: bool,
    out: BufWriter<BlockingStdio>,
    addresses: Vec<Tried>,
    failure: Option<io::Error>,
}

/// The tries of one address.
struct Tried {
    address: String,
    /// How long those took that found it open.
    timings: Timings,
    failures: u64,
    /// The status of the first that failed.
    failed: Option<Exit>,
}

/// A summary in JSON.
#[derive(Serialize)]
struct Summary<'a> {
    event: &'static str,
    address: &'a str,
    tries: u64,
    failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<&'a Timings>,
}

impl Tries {
    /// None yet; they go to `out`, as `args` say.
    pub fn new(args: &TalkArgs, addresses: Vec<String>, out: BufWriter<BlockingStdio>) -> Self {
        let addresses = addresses.into_iter().map(|address| Tried {
            address,
            timings: Timings::default(),
            failures: 0,
            failed: None,
        });
        let (json, quiet) = (args.json, args.quiet);
        Self { json, quiet, out, addresses: addresses.collect(), failure: None }
    }

    /// One more try of the address of this place in the order.
    pub fn record(&mut self, index: usize, checked: &Checked) {
        let tried = &mut self.addresses[index];
        match checked.exit {
            None => tried.timings.record(checked.took),
            Some(exit) => {
                tried.failures += 1;
                tried.failed.get_or_insert(exit);
            }
        }
        if self.quiet && checked.exit.is_none() && !self.json {
            return;
        }
        let event = event(&tried.address, checked, checked.exit.is_none());
        let line = if self.json {
            json::line(&event).map_err(io::Error::from)
        } else {
            Ok(format!("{} {:.2} ms", event.line(false), millis(checked.took)))
        };
        let written = line.and_then(|line| {
            writeln!(self.out, "{line}")?;
            self.out.flush()
        });
        self.failure = self.failure.take().or(written.err());
    }

    /// Whether results cannot be written any more.
    pub fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// The end: writes the summaries. The status is that of an interruption, else of the first address that
    /// failed, at its first failure.
    pub fn finish(&mut self, interrupted: Option<Failure>) -> Result<(), Failure> {
        let written = self.summarize().and_then(|()| self.out.flush());
        if let Some(e) = self.failure.take().or(written.err()) {
            return Err(Failure::output(e));
        }
        let failed = self.addresses.iter().find_map(|tried| tried.failed);
        interrupted.or(failed.map(Failure::silent)).map_or(Ok(()), Err)
    }

    fn summarize(&mut self) -> io::Result<()> {
        for Tried { address, timings, failures, .. } in &self.addresses {
            let (failures, tries) = (*failures, timings.count() + failures);
            let times = (timings.count() > 0).then_some(timings);
            if self.json {
                let summary = Summary { event: "summary", address, tries, failures, ms: times };
                writeln!(self.out, "{}", json::line(&summary)?)?;
                continue;
            }
            let tries = if tries == 1 { "1 try".into() } else { format!("{tries} tries") };
            let noun = if failures == 1 { "failure" } else { "failures" };
            write!(self.out, "{address}: {tries}, {failures} {noun}")?;
            if let Some(times) = times {
                let all = [times.min(), times.avg(), times.p50(), times.p99(), times.max()];
                let all = all.map(|time: Duration| format!("{:.2}", millis(time))).join("/");
                write!(self.out, ", min/avg/p50/p99/max {all} ms")?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }
}
