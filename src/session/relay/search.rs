//! The search for a target that answers: in the order given, and again from the first while `--wait` lasts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::console::event::{Event, Level, Reason};
use crate::console::log_limit::LogLimit;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::retry::Retry;
use crate::session::{Clients, Id};

/// The targets, and the clients that wait for one.
pub(super) struct Targets {
    talk: Talk,
    log_limit: LogLimit,
    /// As people write them; each is the run's route of the same place.
    names: Vec<String>,
    /// `--wait`: how long all are tried again.
    wait: Option<Duration>,
    deadline: Deadline,
    /// By the number of the connection that is dialled.
    dialling: BTreeMap<u64, Search>,
    /// Those that begin again at a time.
    pausing: Vec<(Instant, Search)>,
}

/// A client's search.
struct Search {
    client: Id,
    /// The place of the target that is tried.
    target: usize,
    attempts: u32,
    retry: Option<Retry>,
    /// Why those before did not answer, in this round.
    failures: Vec<Failure>,
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
            dialling: BTreeMap::new(),
            pausing: Vec::new(),
        }
    }

    /// A client is to get a target.
    pub(super) fn find_for(&mut self, client: Id, clients: &mut dyn Clients) {
        let mut retry = self.wait.map(|wait| Retry::new(wait, self.deadline));
        retry.as_mut().map(Retry::attempt);
        let search = Search { client, target: 0, attempts: 0, retry, failures: Vec::new() };
        self.dial(search, clients);
    }

    /// Tries the search's target.
    fn dial(&mut self, mut search: Search, clients: &mut dyn Clients) {
        search.attempts += 1;
        let until = search.retry.as_ref().map_or(Deadline::NEVER, Retry::end);
        self.dialling.insert(clients.dial(search.target, Some(search.client), until), search);
    }

    /// A connection was admitted: if it is a target, the client that it was dialled for.
    pub(super) fn found(&mut self, target: Id, clients: &mut dyn Clients) -> Option<Id> {
        let search = self.dialling.remove(&target.number)?;
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
        let mut search = self.dialling.remove(&number)?;
        let client = search.client;
        let peer = clients.peer(client)?; // else it has gone
        search.failures.push(failure);
        search.target += 1;
        if search.target < self.names.len() {
            self.dial(search, clients);
            return None;
        }
        let may_pass = |it: &Failure| Retry::may_pass(it.exit, it.code);
        if let Some(retry) = &mut search.retry
            && !retry.is_over()
            && search.failures.iter().any(may_pass)
        {
            let at = retry.pause(Instant::now());
            self.pausing.push((at, search));
            return None;
        }
        let exit = search.failures.last().map_or(Exit::Other, |last| last.exit);
        let causes: Vec<String> = search.failures.iter().map(ToString::to_string).collect();
        let cause = format!("no target: {}", causes.join("; "));
        let failure = Failure::new("relay", peer, cause, exit);
        let failure = match search.retry {
            Some(retry) if retry.is_over() => retry.run_out(failure),
            _ => failure,
        };
        self.log_limit.failure(&failure, Instant::now());
        clients.close(client, Reason::Error);
        Some(failure.exit)
    }

    /// A client has gone.
    pub(super) fn give_up(&mut self, client: Id, clients: &mut dyn Clients) {
        self.pausing.retain(|(_, search)| search.client != client);
        let mut dialling = self.dialling.iter();
        let number = dialling.find(|(_, search)| search.client == client).map(|(it, _)| *it);
        if let Some(number) = number {
            self.dialling.remove(&number);
            clients.cancel_dial(number);
        }
    }

    /// When a pause is over.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pausing.iter().map(|(at, _)| *at).min()
    }

    /// Begins again with those whose pause is over.
    pub(super) fn try_again(&mut self, clients: &mut dyn Clients) {
        let now = Instant::now();
        let due: Vec<_> = self.pausing.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, search) in due {
            let mut next = Search { target: 0, failures: Vec::new(), ..search };
            next.retry.as_mut().map(Retry::attempt);
            self.dial(next, clients);
        }
    }
}
