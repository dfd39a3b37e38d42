//! `connect --count`: a script again and again, each time on a connection of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::handler::Scripted;
use crate::console::event::Reason;
use crate::console::timings::Timings;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::session::closed::Closed;
use crate::session::{Clients, Handler, Id, StreamEnd};

/// How often, and how many at a time.
#[derive(Clone, Copy)]
pub struct Schedule {
    /// `--count`: conversations in all.
    pub count: u64,
    /// `--parallel`: conversations at a time.
    pub parallel: usize,
    /// `--interval`: the time from the begin of one to that of the next.
    pub interval: Duration,
}

/// The handler: dials, and hands each connection to the script.
pub struct Repeated {
    scripted: Scripted,
    schedule: Schedule,
    /// Conversations that were begun.
    begun: u64,
    /// When the next one may begin.
    next_at: Instant,
    /// When each that is under way began, by the number of its connection.
    running: BTreeMap<u64, Instant>,
    summary: Summary,
}

/// The results of all conversations; its size does not depend on their number.
pub struct Summary {
    since: Instant,
    conversations: u64,
    /// By exit status: how many, and the first.
    failures: BTreeMap<u8, (u64, Failure)>,
    /// Until the connection was there, its handshakes included.
    connecting: Timings,
    /// Until it was closed.
    whole: Timings,
}

impl Repeated {
    /// Nothing is dialled yet.
    pub fn new(scripted: Scripted, schedule: Schedule) -> Self {
        let now = Instant::now();
        let summary = Summary {
            since: now,
            conversations: 0,
            failures: BTreeMap::new(),
            connecting: Timings::default(),
            whole: Timings::default(),
        };
        Self { scripted, schedule, begun: 0, next_at: now, running: BTreeMap::new(), summary }
    }

    /// What has come of the conversations that are over.
    pub fn into_summary(self) -> Summary {
        self.summary
    }

    fn has_more(&self) -> bool {
        self.begun < self.schedule.count
    }

    /// Begins as many conversations as may run now.
    fn start(&mut self, clients: &mut dyn Clients) {
        let now = Instant::now();
        while self.has_more() && self.running.len() < self.schedule.parallel && self.next_at <= now
        {
            self.running.insert(clients.dial(0, None, Deadline::NEVER), now);
            self.begun += 1;
            self.next_at = (self.next_at + self.schedule.interval).max(now);
        }
    }

    /// A conversation is over.
    fn finish(&mut self, number: u64, result: Result<(), Failure>, clients: &mut dyn Clients) {
        if let Some(began) = self.running.remove(&number) {
            self.summary.add(began.elapsed(), result);
        }
        self.start(clients);
    }
}

impl Handler for Repeated {
    fn begin(&mut self, clients: &mut dyn Clients) {
        self.start(clients);
    }

    fn unreached(&mut self, number: u64, failure: Failure, clients: &mut dyn Clients) {
        self.finish(number, Err(failure), clients);
    }

    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        if let Some(began) = self.running.get(&client.number) {
            self.summary.connecting.record(began.elapsed());
        }
        self.scripted.joined(client, clients);
    }

    fn tls_started(&mut self, client: Id, clients: &mut dyn Clients) {
        self.scripted.tls_started(client, clients);
    }

    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        self.scripted.received(client, bytes, clients)
    }

    fn ended(&mut self, client: Id, end: StreamEnd, clients: &mut dyn Clients) {
        self.scripted.ended(client, end, clients);
    }

    fn drained(&mut self, client: Id, clients: &mut dyn Clients) {
        self.scripted.drained(client, clients);
    }

    fn closed(&mut self, client: Id, closed: &Closed, clients: &mut dyn Clients) -> bool {
        let is_redialled = self.scripted.closed(client, closed, clients);
        if !is_redialled && closed.reason != Reason::Shutdown {
            let result = self.scripted.verdict().unwrap_or_else(|| closed.result());
            self.finish(client.number, result, clients);
        }
        is_redialled
    }

    fn deadline(&self) -> Deadline {
        let may_start = self.has_more() && self.running.len() < self.schedule.parallel;
        let next = Deadline::from(may_start.then_some(self.next_at));
        next.min(self.scripted.deadline())
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        self.scripted.tick(clients);
        self.start(clients);
    }

    fn stopping(&mut self, until: Deadline, clients: &mut dyn Clients) {
        self.begun = self.schedule.count;
        self.scripted.stopping(until, clients);
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        self.scripted.source()
    }

    fn is_busy(&self) -> bool {
        self.has_more() || self.scripted.is_busy()
    }
}

impl Summary {
    fn add(&mut self, time: Duration, result: Result<(), Failure>) {
        self.conversations += 1;
        self.whole.record(time);
        if let Err(failure) = result {
            self.failures.entry(failure.exit as u8).or_insert((0, failure)).0 += 1;
        }
    }

    fn failed(&self) -> u64 {
        self.failures.values().map(|(count, _)| count).sum()
    }

    /// Conversations a second.
    fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
        let count = self.conversations as f64;
        count / self.since.elapsed().as_secs_f64().max(1e-9)
    }

    /// The most frequent failure, with what happened first; success if there was none.
    pub fn result(self) -> Result<(), Failure> {
        let (failed, all) = (self.failed(), self.conversations);
        let most = self.failures.into_values().max_by_key(|(count, _)| *count);
        most.map_or(Ok(()), |(count, failure)| {
            let how = if count == failed { "" } else { ", most like this" };
            Err(failure.hint(&format!("{failed} of {all} conversations failed{how}")))
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.since.elapsed().as_secs_f64();
        let (all, rate) = (self.conversations, self.rate());
        writeln!(f, "{all} conversations in {seconds:.3} s, {rate:.0} a second")?;
        write!(f, "{} failed", self.failed())?;
        for (exit, (count, _)) in &self.failures {
            write!(f, ", {count} with status {exit}")?;
        }
        writeln!(
            f,
            "\n{:15}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "ms", "min", "p50", "p90", "p99", "max"
        )?;
        for (name, times) in [("connecting", &self.connecting), ("conversation", &self.whole)] {
            write!(f, "{name:15}")?;
            for time in [times.min(), times.p50(), times.p90(), times.p99(), times.max()] {
                write!(f, "{:10.3}", time.as_secs_f64() * 1e3)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let failures: BTreeMap<u8, u64> =
            self.failures.iter().map(|(exit, (count, _))| (*exit, *count)).collect();
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("event", "summary")?;
        map.serialize_entry("conversations", &self.conversations)?;
        map.serialize_entry("failed", &self.failed())?;
        map.serialize_entry("failures", &failures)?;
        map.serialize_entry("seconds", &self.since.elapsed().as_secs_f64())?;
        map.serialize_entry("rate", &self.rate())?;
        map.serialize_entry("connecting", &self.connecting)?;
        map.serialize_entry("conversation", &self.whole)?;
        map.end()
    }
}
