//! The search for a target that answers: in the order given, and again from the first while `--wait` lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::console::event::{Event, Level, Reason};
use crate::console::log_limit::LogLimit;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::retry::Retry;
use crate::session::{Clients, Id};

/// A pause lasts at least this long for each client that pauses: however many there are, one begins again in
/// this time. 4,000 clients took a fifth of a core when each began again twice a second.
const INTERVAL: Duration = Duration::from_millis(5);
/// How many others begin again at once when a target has answered one: it answers them, and soon all.
const FOLLOWERS: usize = 2;

/// The targets, and the clients that wait for one.
pub(super) struct Targets {
    talk: Talk,
    log_limit: LogLimit,
    /// As people write them; each is the run's route of the same place.
    names: Vec<String>,
    /// `--wait`: how long all are tried again.
    wait: Option<Duration>,
    deadline: Deadline,
    /// By the number of the client.
    searches: BTreeMap<u64, Search>,
    /// The client that each connection is dialled for, by their numbers.
    dialling: BTreeMap<u64, u64>,
    /// The clients whose searches begin again at a time.
    pausing: BTreeSet<(Instant, u64)>,
}

/// A client's search.
struct Search {
    client: Id,
    phase: Phase,
    /// The place of the target that is tried.
    target: usize,
    /// How many connections were dialled.
    attempts: u32,
    retry: Option<Retry>,
    /// Why each target did not answer when it was tried last.
    failures: Vec<Failure>,
}

/// What a search waits for.
enum Phase {
    /// The connection with this number.
    Dialling(u64),
    Pausing(Instant),
}

impl Targets {
    /// No client waits yet.
    pub(super) fn new(
        names: Vec<String>,
        wait: Option<Duration>,
        deadline: Deadline,
        talk: Talk,
    ) -> Self {
        Self {
            log_limit: LogLimit::for_peers(talk.clone()),
            talk,
            names,
            wait,
            deadline,
            searches: BTreeMap::new(),
            dialling: BTreeMap::new(),
            pausing: BTreeSet::new(),
        }
    }

    /// A client is to get a target.
    pub(super) fn find_for(&mut self, client: Id, clients: &mut dyn Clients) {
        let retry = self.wait.map(|wait| Retry::new(wait, self.deadline));
        let phase = Phase::Pausing(Instant::now());
        let (target, attempts, failures) = (0, 0, Vec::new());
        self.dial(Search { client, phase, target, attempts, retry, failures }, clients);
    }

    /// Tries the search's target.
    fn dial(&mut self, mut search: Search, clients: &mut dyn Clients) {
        search.attempts += 1;
        let until = search.retry.as_mut().map_or(Deadline::NEVER, Retry::attempt);
        let number = clients.dial(search.target, Some(search.client), until);
        search.phase = Phase::Dialling(number);
        self.dialling.insert(number, search.client.number);
        self.searches.insert(search.client.number, search);
    }

    /// The search that this connection was dialled for.
    fn take_dialled(&mut self, number: u64) -> Option<Search> {
        self.searches.remove(&self.dialling.remove(&number)?)
    }

    /// The search whose pause is over first.
    fn take_pausing(&mut self) -> Option<Search> {
        let (_, number) = self.pausing.pop_first()?;
        self.searches.remove(&number)
    }

    /// A connection was admitted: if it is a target, the client that it was dialled for.
    pub(super) fn found(&mut self, target: Id, clients: &mut dyn Clients) -> Option<Id> {
        let search = self.take_dialled(target.number)?;
        for _ in 0..FOLLOWERS {
            if let Some(next) = self.take_pausing() {
                self.dial(Search { target: 0, ..next }, clients);
            }
        }
        if self.talk.says(Level::Verbose)
            && clients.peer(search.client).is_some()
            && let Some(local) = clients.about(target).and_then(|about| about.local)
        {
            self.talk.say(&Event::Relay {
                id: search.client.number,
                target: &self.names[search.target],
                local: &local,
                attempts: search.attempts,
            });
        }
        Some(search.client)
    }

    /// A target has not answered: the next is tried, or all are once more after a pause, or the client is
    /// closed, which has failed with the status of the last.
    pub(super) fn unreached(
        &mut self,
        number: u64,
        failure: Failure,
        clients: &mut dyn Clients,
    ) -> Option<Exit> {
        let mut search = self.take_dialled(number)?;
        let is_over = search.retry.as_ref().is_some_and(Retry::is_over);
        match search.failures.get_mut(search.target) {
            // An attempt that its own end cut short says less than the one before it.
            Some(_) if is_over && failure.exit == Exit::TimedOut => {}
            Some(before) => *before = failure,
            None => search.failures.push(failure),
        }
        search.target += 1;
        if search.target < self.names.len() {
            self.dial(search, clients);
            return None;
        }
        let may_pass = |it: &Failure| Retry::may_pass(it.exit, it.code);
        if let Some(retry) = &mut search.retry
            && !is_over
            && search.failures.iter().any(may_pass)
        {
            let now = Instant::now();
            let others = u32::try_from(self.pausing.len()).unwrap_or(u32::MAX);
            let at = retry.pause(now).max(now + INTERVAL.saturating_mul(others));
            let at = Deadline::at(at).min(retry.end()).instant().unwrap_or(at);
            self.pause(search, at);
            return None;
        }
        self.fail(search, clients)
    }

    /// Has a search begin again at this time.
    fn pause(&mut self, mut search: Search, at: Instant) {
        let number = search.client.number;
        search.phase = Phase::Pausing(at);
        self.pausing.insert((at, number));
        self.searches.insert(number, search);
    }

    /// No target has answered: the client is closed.
    fn fail(&mut self, search: Search, clients: &mut dyn Clients) -> Option<Exit> {
        let peer = clients.peer(search.client)?; // else it has gone
        let exit = search.failures.last().map_or(Exit::Other, |last| last.exit);
        let causes: Vec<String> = search.failures.iter().map(ToString::to_string).collect();
        let cause = format!("no target: {}", causes.join("; "));
        let failure = Failure::new("relay", peer, cause, exit);
        let failure = match search.retry {
            Some(retry) if retry.is_over() => retry.run_out(failure),
            _ => failure,
        };
        self.log_limit.failure(&failure, Instant::now());
        clients.close(search.client, Reason::Error);
        Some(failure.exit)
    }

    /// A client has gone.
    pub(super) fn give_up(&mut self, client: Id, clients: &mut dyn Clients) {
        match self.searches.remove(&client.number).map(|search| search.phase) {
            Some(Phase::Dialling(number)) => {
                self.dialling.remove(&number);
                clients.cancel_dial(number);
            }
            Some(Phase::Pausing(at)) => {
                self.pausing.remove(&(at, client.number));
                // The one that would pause longest takes its place.
                if let Some((longest, number)) = self.pausing.pop_last()
                    && let Some(search) = self.searches.remove(&number)
                {
                    self.pause(search, at.min(longest));
                }
            }
            None => {}
        }
    }

    /// When a pause is over.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pausing.first().map(|(at, _)| *at)
    }

    /// Begins again with those whose pause is over. The status of a client whose time is over, too.
    pub(super) fn try_again(&mut self, clients: &mut dyn Clients) -> Option<Exit> {
        let (now, mut exit) = (Instant::now(), None);
        while self.due().is_some_and(|at| at <= now)
            && let Some(search) = self.take_pausing()
        {
            if search.retry.as_ref().is_some_and(Retry::is_over) {
                exit = exit.or(self.fail(search, clients));
            } else {
                self.dial(Search { target: 0, ..search }, clients);
            }
        }
        exit
    }
}
