//! `--to`: each client is joined to a connection of its own, to the first target that answers.
//!
//! | what one side does            | what the other side gets                                    |
//! |-------------------------------|-------------------------------------------------------------|
//! | sends bytes                   | the same, in the kernel where both are plain                 |
//! | reads nothing                 | its bytes are not read any more                              |
//! | ends its direction            | FIN behind all bytes; the other direction goes on            |
//! | is reset, fails, reaches `-i` | a reset behind what came before, which it has 5 s to take   |
//!
//! A client is paused until a target answers ([`search`]): its bytes stay in its socket.
//!
//! On a bad network ([`network`]) what comes from a side is copied to the link of the other, which schedules when it
//! leaves.
//!
//! Over 300 lines: both ways of passing bytes on, and each end on either, follow one table.

pub mod network;
mod search;
mod sides;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::closed::Closed;
use super::{Clients, Handler, Id, StreamEnd};
use crate::console::event::Reason;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::flow::HIGH_WATER;
use crate::net::role::Role;
use crate::net::splice::{Moved, Splice};
use network::{Departure, End, Link, Network};
use search::Targets;
use sides::{Side, Sides};

/// How long a side that is to be reset may take nothing of what came from the other side before.
const RESET_TIMEOUT: Duration = Duration::from_secs(5);

/// Pipes that are kept for the next bytes: a turn needs one, and as many more as sides are full.
const SPARE_PIPES: usize = 4;

/// Relays clients to targets.
pub struct Relay {
    targets: Targets,
    /// Both sides of each pair.
    sides: Sides,
    spare: Vec<Splice>,
    network: Option<Network>,
    /// When something leaves the link to which side.
    departures: BTreeSet<(Instant, Id)>,
    /// The first failure of a connection: the status with `--once`.
    failure: Option<Failure>,
}

impl Relay {
    /// A relay to these targets, over a bad network if there is one.
    pub fn new(
        targets: Vec<String>,
        wait: Option<Duration>,
        network: Option<Network>,
        deadline: Deadline,
        talk: Talk,
    ) -> Self {
        Self {
            targets: Targets::new(targets, wait, deadline, talk),
            sides: Sides::default(),
            spare: Vec::new(),
            network,
            departures: BTreeSet::new(),
            failure: None,
        }
    }

    /// The failure of `--once`.
    pub fn into_failure(self) -> Option<Failure> {
        self.failure
    }

    /// A target has answered.
    fn join(&mut self, client: Id, target: Id, clients: &mut dyn Clients) {
        if clients.peer(client).is_none() {
            return clients.close(target, Reason::Reset); // it has gone
        }
        for (here, partner) in [(client, target), (target, client)] {
            let link = self.network.map(|mut network| {
                network.cut = network.cut.filter(|_| here == client);
                Link::new(network, Instant::now()).into()
            });
            let side = Side {
                partner,
                awaits_answer: false,
                pipe: None,
                has_ended: false,
                is_gone: false,
                link,
            };
            self.sides.insert(here, side);
        }
        clients.pause(client, false);
        self.deliver(client, clients); // `--cut 0`
    }

    /// Bytes have come from a side.
    fn heard(&mut self, from: Id) {
        let Some(side) = self.sides.get_mut(from) else {
            return;
        };
        let partner = side.partner;
        // The client was accepted before its target was dialled.
        side.awaits_answer = from.number < partner.number;
        if !side.awaits_answer
            && let Some(client) = self.sides.get_mut(partner)
        {
            client.awaits_answer = false;
        }
    }

    /// Whether an end of both sides of the pair would cut something off: what is in a pipe or a link, an answer,
    /// or what the other direction goes on with behind a half-close. So it is while there is no pair.
    fn is_unfinished(&self, side: Id) -> bool {
        let Some(here) = self.sides.get(side) else {
            return true;
        };
        let Some(there) = self.sides.get(here.partner) else {
            return here.is_awaiting();
        };
        let is_held =
            |side: &&Side| side.awaits_answer || side.pipe.is_some() || side.is_awaiting();
        here.has_ended != there.has_ended || [here, there].iter().any(is_held)
    }

    /// Moves what came from a client into its partner inside the kernel; false where it is to be copied.
    fn splice(&mut self, client: Id, clients: &mut dyn Clients) -> bool {
        let Some(Side { partner, pipe, .. }) = self.sides.get_mut(client) else {
            return false;
        };
        let partner = *partner;
        let mut splice = match pipe.take().or_else(|| self.spare.pop()) {
            Some(splice) => splice,
            None => match Splice::through() {
                Ok(splice) => splice,
                Err(_) => return false, // no more descriptors
            },
        };
        let moved = clients.splice_between(client, partner, &mut splice);
        if matches!(moved, Moved::Bytes(_)) || splice.inside() > 0 {
            self.heard(client);
        }
        if splice.inside() > 0 && !matches!(moved, Moved::Unsupported | Moved::SinkFailed(_)) {
            if let Some(side) = self.sides.get_mut(client) {
                side.pipe = Some(splice);
            }
            clients.pause(client, true);
            return true;
        }
        if splice.inside() == 0 && self.spare.len() < SPARE_PIPES {
            self.spare.push(splice);
        }
        match moved {
            Moved::Unsupported | Moved::CopyOnce => return false,
            Moved::SinkFull => clients.pause(client, true),
            _ => {}
        }
        true
    }

    /// The direction to a side has ended: it gets that over its link.
    fn end_link(&mut self, sink: Id, end: End, clients: &mut dyn Clients) {
        if let Some(link) = self.sides.get_mut(sink).and_then(|side| side.link.as_mut()) {
            link.end(end, Instant::now());
        }
        self.deliver(sink, clients);
    }

    /// A side gets what leaves its link now, as far as it has room; its partner is read while the link has.
    fn deliver(&mut self, sink: Id, clients: &mut dyn Clients) {
        let Some(Side { partner, link: Some(link), .. }) = self.sides.get_mut(sink) else {
            return;
        };
        let (partner, now) = (*partner, Instant::now());
        let next = loop {
            if clients.queued(sink) >= HIGH_WATER && !link.is_reset(now) {
                break link.block();
            }
            match link.next(now) {
                Departure::Bytes(bytes) => clients.send(sink, &bytes),
                Departure::End(End::Fin) => clients.finish(sink),
                Departure::End(End::Reset) => clients.close(sink, Reason::Reset),
                Departure::Cut => return self.cut(sink, clients),
                Departure::Later(at) => break at,
            }
        };
        self.departures.extend(next.map(|at| (at, sink)));
        if let Some(before) =
            std::mem::replace(&mut link.armed, next).filter(|&at| next != Some(at))
        {
            self.departures.remove(&(before, sink));
        }
        if !link.is_full() {
            clients.pause(partner, false);
        }
    }

    /// The bytes of `--cut` have left for a client: both sides are reset.
    fn cut(&mut self, client: Id, clients: &mut dyn Clients) {
        if let Some(partner) = self.sides.get(client).map(|side| side.partner) {
            self.forget(partner); // its reset is no failure
            clients.close(partner, Reason::Reset);
            clients.close(client, Reason::Limit);
        }
    }

    /// A side is over.
    fn forget(&mut self, client: Id) -> Option<Side> {
        let side = self.sides.remove(client)?;
        if let Some(at) = side.link.as_ref().and_then(|link| link.armed) {
            self.departures.remove(&(at, client));
        }
        Some(side)
    }

    /// Delivers all that is due.
    fn depart(&mut self, clients: &mut dyn Clients) {
        let now = Instant::now();
        while let Some(&(at, sink)) = self.departures.first()
            && at <= now
        {
            self.departures.pop_first();
            if let Some(link) = self.sides.get_mut(sink).and_then(|side| side.link.as_mut()) {
                link.armed = None;
            }
            self.deliver(sink, clients);
        }
    }

    /// A side has room again: it gets what waits for it, then the end, or more is read.
    fn resume(&mut self, partner: Id, clients: &mut dyn Clients) {
        let Some(client) = self.sides.get(partner).map(|side| side.partner) else {
            return;
        };
        if self.network.is_some() {
            return self.deliver(partner, clients);
        }
        if self.sides.get(client).is_some_and(|side| side.pipe.is_some()) {
            self.splice(client, clients);
        }
        let Some(side) = self.sides.get(client) else {
            return;
        };
        if side.pipe.is_none() {
            if side.has_ended {
                clients.finish(partner);
            }
            clients.pause(client, false);
        }
    }
}

/// Queues what a pipe holds for a side, which is reset where that fails.
fn queue_pipe(pipe: Option<Splice>, to: Id, clients: &mut dyn Clients) {
    match pipe.map(|mut splice| splice.take_inside()) {
        Some(Ok(bytes)) => clients.send(to, &bytes),
        Some(Err(_)) => clients.close(to, Reason::Reset),
        None => {}
    }
}

impl Handler for Relay {
    fn begin(&mut self, _clients: &mut dyn Clients) {}

    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        if let Some(waiting) = self.targets.found(client, clients) {
            return self.join(waiting, client, clients);
        }
        clients.pause(client, true);
        self.targets.find_for(client, clients);
    }

    fn unreached(&mut self, number: u64, failure: Failure, clients: &mut dyn Clients) {
        let exit = self.targets.unreached(number, failure, clients);
        self.failure = self.failure.take().or(exit.map(Failure::silent));
    }

    fn readable(&mut self, client: Id, clients: &mut dyn Clients) -> bool {
        let Some(&Side { partner, is_gone, .. }) = self.sides.get(client) else {
            return false;
        };
        if self.network.is_some()
            || is_gone
            || !clients.can_splice(client)
            || !clients.can_splice(partner)
        {
            return false;
        }
        if clients.queued(partner) > 0 {
            clients.pause(client, true); // what was copied comes first
            return true;
        }
        self.splice(client, clients)
    }

    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        let Some(side) = self.sides.get(client) else {
            return 0;
        };
        let (partner, is_gone) = (side.partner, side.is_gone);
        if side.pipe.is_some() {
            return 0;
        }
        if self.network.is_some() {
            self.heard(client);
            if let Some(link) = self.sides.get_mut(partner).and_then(|side| side.link.as_mut()) {
                link.push(bytes, Instant::now());
                clients.pause(client, link.is_full() && !is_gone);
                self.deliver(partner, clients);
            } else {
                self.end_link(client, End::Reset, clients); // the partner is gone
            }
            self.depart(clients);
            return bytes.len();
        }
        if self.sides.get(partner).is_none() {
            clients.close(client, Reason::Reset); // the partner is gone
            return bytes.len();
        }
        clients.send(partner, bytes);
        if clients.queued(partner) >= HIGH_WATER && !is_gone {
            clients.pause(client, true);
        }
        self.heard(client);
        bytes.len()
    }

    fn ended(&mut self, client: Id, _end: StreamEnd, clients: &mut dyn Clients) {
        let Some(side) = self.sides.get_mut(client) else {
            return;
        };
        side.has_ended = true;
        let partner = side.partner;
        if self.network.is_some() {
            self.end_link(partner, End::Fin, clients);
        } else if side.pipe.is_none() {
            clients.finish(partner);
        }
    }

    fn gone(&mut self, client: Id, has_failed: bool, clients: &mut dyn Clients) {
        let Some(side) = self.sides.get_mut(client) else {
            if has_failed {
                clients.close(client, Reason::Reset); // no target has answered yet
            }
            return;
        };
        side.is_gone = true;
        let (partner, pipe) = (side.partner, side.pipe.take());
        queue_pipe(pipe, partner, clients);
        clients.pause(client, false);
    }

    fn drained(&mut self, client: Id, clients: &mut dyn Clients) {
        self.resume(client, clients);
    }

    fn closed(&mut self, client: Id, closed: &Closed, clients: &mut dyn Clients) -> bool {
        let side = self.forget(client);
        if let Err(failure) = closed.result()
            && (side.is_some() || closed.role == Role::Server)
        {
            self.failure.get_or_insert(failure);
        }
        let Some(Side { partner, pipe, has_ended, link, .. }) = side else {
            self.targets.give_up(client, clients);
            return false;
        };
        if let Some(link) = link {
            clients.pause(partner, false);
            match closed.reason {
                Reason::Shutdown if !self.sides.get(partner).is_some_and(Side::is_awaiting) => {
                    clients.close(partner, Reason::Eof);
                }
                Reason::Eof | Reason::Shutdown if has_ended && link.is_empty() => {}
                _ => self.end_link(partner, End::Reset, clients),
            }
            return false;
        }
        queue_pipe(pipe, partner, clients);
        // What the partner has sent that has not left.
        let is_lost = self.sides.get(partner).is_some_and(|side| side.pipe.is_some());
        match closed.reason {
            Reason::Eof if has_ended && !is_lost => {
                clients.finish(partner);
                clients.pause(partner, false);
            }
            Reason::Shutdown => clients.close(partner, Reason::Eof),
            _ => clients.close(partner, Reason::Reset),
        }
        false
    }

    fn stopping(&mut self, until: Deadline, clients: &mut dyn Clients) {
        // One that was not answered in as long as the grace takes is not waited for.
        let grace = until.remaining().unwrap_or(Duration::MAX);
        for side in self.sides.all_mut() {
            side.awaits_answer &= clients.silence(side.partner) < grace;
        }
    }

    fn is_idle(&self, client: Id, limit: Duration, clients: &dyn Clients) -> bool {
        let Some(side) = self.sides.get(client) else {
            return true;
        };
        let sides = [client, side.partner];
        sides.iter().all(|&side| clients.silence(side) >= limit)
            && !sides.iter().any(|&side| self.sides.get(side).is_some_and(Side::is_passing))
    }

    fn reset_timeout(&self) -> Duration {
        RESET_TIMEOUT
    }

    fn deadline(&self) -> Deadline {
        let departure = self.departures.first().map(|(at, _)| *at);
        Deadline::from(self.targets.due().into_iter().chain(departure).min())
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        self.depart(clients);
        let exit = self.targets.try_again(clients);
        self.failure = self.failure.take().or(exit.map(Failure::silent));
    }

    fn is_incomplete(&mut self, client: Id) -> bool {
        self.is_unfinished(client)
    }

    fn is_in_transit(&self, client: Id, clients: &dyn Clients) -> bool {
        self.sides.get(client).is_some_and(|side| {
            self.is_unfinished(client)
                || clients.queued(client) > 0
                || clients.queued(side.partner) > 0
        })
    }
}
