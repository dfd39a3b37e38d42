//! The room as a handler: cuts received bytes into lines, and delivers what the members send.
//!
//! Over 300 lines: the members' bytes, the operator's and their limits.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bridge::{self, Bridge, Record};
use super::commands::READ;
use super::log::Log;
use super::members::{Identity, Members, OPERATOR, OPERATOR_NAME, Output};
use super::operator::Operator;
use super::recall::Recall;
use crate::console::event::{Event, Reason};
use crate::console::prompt::Typed;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::line::{Lines, Overlong};
use crate::session::seat::Input;
use crate::session::{Clients, Handler, Id, StreamEnd};

/// Bytes that may wait for a member who does not read; over it, the member is cut off.
pub const QUEUE_LIMIT: usize = 1 << 20;
/// A member with this many bytes queued gets no private messages: one alone must not cut it off.
const PRIVATE_LIMIT: usize = QUEUE_LIMIT / 4;
/// A message without newline counts as a line after this much quiet.
const QUIET: Duration = Duration::from_millis(200);
/// Bytes delivered for one member in one turn; the rest of what it sent waits for the next.
const TURN_LIMIT: usize = 256 << 10;
/// A byte for one member counts as so many of a broadcast, which is sent with others.
const ANSWER_COST: usize = 4;
/// A line that is kept from a member other than its sender counts as so many bytes more.
const SKIP_COST: usize = 64;
/// How often stdin is looked at again while slow readers are waited for.
const STDIN_POLL: Duration = Duration::from_millis(20);
/// What the other servers get at most to take what is queued for them.
const BRIDGE_FLUSH: Duration = Duration::from_secs(1);
/// What the reader of our stdout gets at least, however short the grace.
const MIN_FLUSH: Duration = Duration::from_millis(100);

/// The room: its members, the operator among them.
pub struct Room {
    members: Members,
    operator: Operator,
    talk: Talk,
    log: Option<Log>,
    bridge: Option<Bridge>,
    /// What has come from each member and is no whole line yet.
    incoming: BTreeMap<Id, Incoming>,
    /// Who has an unfinished line, and when to look at it.
    unfinished: VecDeque<(Instant, Id)>,
    /// stdin waits, and this is when to look again.
    waits: Option<Instant>,
    /// The end of the grace, once the run is to stop.
    stopping: Deadline,
}

struct Incoming {
    lines: Lines,
    /// It is in `unfinished`.
    is_watched: bool,
}

impl Room {
    /// A room with the operator in it. With `raw` text is passed on as it came.
    pub fn new(
        operator: Operator,
        raw: bool,
        recall: Recall,
        log: Option<Log>,
        bridge: Option<Bridge>,
        talk: Talk,
    ) -> Self {
        if let Some(bridge) = &bridge {
            bridge.claim(OPERATOR.number, OPERATOR_NAME, false);
        }
        Self {
            members: Members::new(raw, recall),
            operator,
            talk,
            log,
            bridge,
            incoming: BTreeMap::from([(OPERATOR, Incoming::new())]),
            unfinished: VecDeque::new(),
            waits: Some(Instant::now()),
            stopping: Deadline::NEVER,
        }
    }

    /// Gives terminal or stdout back. A stdout that is not read has what is left of the grace.
    pub fn finish(self, grace: Duration) -> Result<(), Failure> {
        let limit = self.stopping.remaining().unwrap_or(grace).max(MIN_FLUSH);
        if let Some(bridge) = self.bridge {
            bridge.left(OPERATOR.number);
            bridge.finish(Deadline::after(limit.min(BRIDGE_FLUSH)).min(Deadline::of_run()));
        }
        let shown = self.operator.finish(Deadline::after(limit).min(Deadline::of_run()));
        shown.and(self.log.map_or(Ok(()), Log::finish))
    }

    /// Delivers what a member sent, as far as one turn goes; the bytes that were taken, all of the
    /// operator's.
    fn take_turn(&mut self, id: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        let Some(incoming) = self.incoming.get_mut(&id) else {
            return bytes.len();
        };
        let (operator, talk, log) = (&mut self.operator, &self.talk, self.log.as_ref());
        let bridge = self.bridge.as_mut();
        let mut delivery = Delivery { operator, talk, log, bridge, clients, delivered: 0 };
        let mut rest = bytes;
        while (delivery.delivered < TURN_LIMIT || id == OPERATOR)
            && let Some(line) = incoming.lines.next(&mut rest)
        {
            self.members.receive(id, &line, &mut delivery);
        }
        if let Some(due) = incoming.lines.due(QUIET)
            && !incoming.is_watched
        {
            incoming.is_watched = true;
            self.unfinished.push_back((due, id));
        }
        bytes.len() - rest.len()
    }

    /// What came without a newline is a line.
    fn finish_line(&mut self, id: Id, clients: &mut dyn Clients) {
        let incoming = self.incoming.get_mut(&id);
        if let Some(line) = incoming.and_then(|incoming| incoming.lines.take_partial()) {
            self.change(clients, |members, out| members.receive(id, &line, out));
        }
    }

    /// Unfinished lines that have waited long enough are lines.
    fn finish_lines(&mut self, clients: &mut dyn Clients) {
        let now = Instant::now();
        while let Some(&(due, id)) = self.unfinished.front()
            && due <= now
        {
            self.unfinished.pop_front();
            let Some(incoming) = self.incoming.get_mut(&id) else {
                continue;
            };
            // Bytes that we have not read yet are no silence.
            let has_more =
                if id == OPERATOR { self.waits.is_some() } else { clients.has_unread(id) };
            match incoming.lines.due(QUIET) {
                Some(due) if due > now || has_more => self.unfinished.push_back((now + QUIET, id)),
                due => {
                    incoming.is_watched = false;
                    if due.is_some() {
                        self.finish_line(id, clients);
                    }
                }
            }
        }
    }

    /// Does something with the members, and delivers what follows: so many bytes.
    fn change(
        &mut self,
        clients: &mut dyn Clients,
        act: impl FnOnce(&mut Members, &mut Delivery<'_>),
    ) -> usize {
        let (operator, talk, log) = (&mut self.operator, &self.talk, self.log.as_ref());
        let bridge = self.bridge.as_mut();
        let mut delivery = Delivery { operator, talk, log, bridge, clients, delivered: 0 };
        act(&mut self.members, &mut delivery);
        delivery.delivered
    }

    /// Delivers what has come from other servers, as far as one turn goes.
    fn cross(&mut self, clients: &mut dyn Clients) {
        if let Some(bridge) = &mut self.bridge {
            bridge.looked_at();
        }
        let mut delivered = 0;
        while delivered < TURN_LIMIT {
            let Some(bridge) = &mut self.bridge else {
                return;
            };
            // Members here are slow. What waits for Redis is no reason: the threads must not wait for each other.
            let rests = clients.is_paused() && !bridge.is_full();
            let Some(incoming) = bridge.take(rests) else {
                return;
            };
            if let bridge::Incoming::Down(why) = &incoming {
                self.talk.warn(why); // not for strangers
            }
            delivered += self.change(clients, |members, out| members.cross(incoming, out));
        }
        if let Some(bridge) = &self.bridge {
            bridge.wake();
        }
    }

    /// Ends every call of the handler: the operator sees what happened, and is asked for input
    /// unless slow readers are waited for.
    fn update(&mut self, clients: &mut dyn Clients) {
        self.operator.show();
        let waits = self.operator.waits() | self.bridge.as_mut().is_some_and(Bridge::waits);
        clients.pause_all(waits);
        if self.waits.is_some() {
            if clients.is_paused() {
                self.waits = Some(Instant::now() + STDIN_POLL);
            } else {
                self.waits = None;
                self.operator.ask();
            }
        }
    }
}

impl Incoming {
    fn new() -> Self {
        Self { lines: Lines::new(READ, Overlong::Cut), is_watched: false }
    }
}

/// Delivers lines to the members; those of the operator go to its seat.
struct Delivery<'a> {
    operator: &'a mut Operator,
    talk: &'a Talk,
    log: Option<&'a Log>,
    bridge: Option<&'a mut Bridge>,
    clients: &'a mut dyn Clients,
    /// Bytes delivered.
    delivered: usize,
}

impl Output for Delivery<'_> {
    fn broadcast(&mut self, line: &[u8], except: &[Id]) {
        self.delivered += line.len() + except.len().saturating_sub(1) * SKIP_COST;
        self.clients.broadcast(line, except);
        if !except.contains(&OPERATOR) {
            self.operator.deliver(line);
        }
    }

    fn broadcast_later(&mut self, line: &[u8], except: &[Id]) {
        self.delivered += line.len();
        self.clients.broadcast_later(line, except);
        if !except.contains(&OPERATOR) {
            self.operator.deliver(line);
        }
    }

    fn send(&mut self, to: Id, lines: &[u8]) {
        self.delivered += lines.len() * ANSWER_COST;
        if to == OPERATOR {
            self.operator.deliver(lines);
        } else {
            self.clients.send(to, lines);
        }
    }

    fn send_shared(&mut self, to: Id, lines: &Arc<[u8]>) {
        self.delivered += lines.len() * ANSWER_COST;
        if to == OPERATOR {
            self.operator.deliver(lines);
        } else {
            self.clients.send_shared(to, lines);
        }
    }

    fn said(&mut self, from: Option<Id>, name: &str, text: &[u8], line: &[u8]) {
        if self.talk.is_json() {
            self.talk.say(&Event::line_from(from.map(|from| from.number), Some(name), text));
        }
        if let Some(log) = self.log
            && let Err(failure) = log.write(line)
        {
            self.clients.quit(Err(failure));
        }
    }

    fn is_slow(&self, member: Id) -> bool {
        member != OPERATOR && self.clients.queued(member) >= PRIVATE_LIMIT
    }

    fn identity(&self, member: Id) -> Option<Identity> {
        let address = || self.clients.peer(member)?.network().map(Identity::Address);
        self.clients.key(member).map(Identity::Key).or_else(address)
    }

    fn close(&mut self, member: Id, reason: Reason) {
        self.clients.close(member, reason);
    }

    fn stop(&mut self) {
        self.clients.stop();
    }

    fn publish(&mut self, record: &Record) {
        if let Some(bridge) = &self.bridge {
            bridge.publish(record);
        }
    }

    fn tell_server(&mut self, server: &str, record: Record) -> bool {
        self.bridge.as_deref().is_some_and(|bridge| bridge.tell(server, record))
    }

    fn claim(&mut self, member: Id, name: &str, is_wish: bool) -> bool {
        let bridge = self.bridge.as_deref();
        bridge.is_some_and(|bridge| bridge.claim(member.number, name, is_wish))
    }

    fn member_left(&mut self, member: Id) {
        if let Some(bridge) = &self.bridge {
            bridge.left(member.number);
        }
    }

    fn guest(&mut self) -> Option<u64> {
        self.bridge.as_mut()?.guest()
    }
}

impl Handler for Room {
    fn reserve(&mut self, keys: &[String]) {
        self.members.reserve(keys);
    }

    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        self.incoming.insert(client, Incoming::new());
        let key = clients.key(client);
        self.change(clients, |members, out| members.join(client, key.as_deref(), out));
        self.update(clients);
    }

    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        let taken = self.take_turn(client, bytes, clients);
        self.update(clients);
        taken
    }

    fn ended(&mut self, client: Id, _end: StreamEnd, clients: &mut dyn Clients) {
        self.finish_line(client, clients);
        clients.close(client, Reason::Eof);
        self.update(clients);
    }

    fn left(&mut self, client: Id, clients: &mut dyn Clients) {
        self.finish_line(client, clients);
        self.incoming.remove(&client);
        self.change(clients, |members, out| members.leave(client, out));
        self.update(clients);
    }

    fn input(&mut self, input: Input, clients: &mut dyn Clients) {
        self.operator.came(&input);
        match input {
            Input::Typed(Typed::Lines(lines)) => {
                for line in lines {
                    self.change(clients, |members, out| {
                        members.receive(OPERATOR, line.as_bytes(), out);
                    });
                }
            }
            Input::Typed(Typed::Interrupt | Typed::End) => return clients.stop(),
            Input::Chunk(bytes) => {
                self.take_turn(OPERATOR, &bytes, clients);
            }
            Input::End => self.finish_line(OPERATOR, clients),
            Input::Failed(e) => {
                return clients.quit(Err(Failure::system("read", "stdin", &e)));
            }
        }
        self.waits.get_or_insert_with(Instant::now);
        self.update(clients);
    }

    fn deadline(&self) -> Deadline {
        let line = self.unfinished.front().map(|(due, _)| *due);
        let due = [line, self.waits].into_iter().flatten().min();
        let bridge = self.bridge.as_ref().map_or(Deadline::NEVER, Bridge::deadline);
        Deadline::from(due).min(self.operator.deadline()).min(bridge)
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        if let Some(failure) = self.operator.failure() {
            return clients.quit(Err(failure));
        }
        self.finish_lines(clients);
        self.cross(clients);
        self.update(clients);
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        self.bridge.as_ref().map(Bridge::source)
    }

    fn stopping(&mut self, until: Deadline, _clients: &mut dyn Clients) {
        self.stopping = until;
        self.operator.stop_reading();
    }

    fn is_social(&self) -> bool {
        true
    }

    fn joins_late(&self) -> bool {
        true
    }

    /// What a newcomer recalls must not cut it off.
    fn queue_limit(&self) -> usize {
        QUEUE_LIMIT + self.members.recall.limit()
    }
}
