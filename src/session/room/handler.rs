//! The room as a handler: cuts received bytes into lines, and carries out what follows from them.
//!
//! Over 300 lines: turns, unfinished lines and delivery work on the same members.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::operator::Operator;
use super::state::{Effect, LINE, OPERATOR, State};
use crate::console::event::{Event, Reason};
use crate::console::prompt::Typed;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::line::{Lines, Overlong};
use crate::session::seat::Input;
use crate::session::{Clients, Handler, Id, StreamEnd};

/// Bytes that may wait for a member who does not read; over it, the member is cut off.
const QUEUE: usize = 1 << 20;
/// A member with this many bytes queued gets no private messages: one alone must not cut it off.
const PRIVATE: usize = QUEUE / 4;
/// A message without newline counts as a line after this much quiet.
const QUIET: Duration = Duration::from_millis(200);
/// Bytes delivered for one member in one turn; the rest of what it sent waits for the next.
const TURN: usize = 256 << 10;
/// Bytes received between two checks of that: a line of one byte is many with its name.
const STEP: usize = 2 << 10;
/// How often senders that wait for slow readers look again.
const RETRY: Duration = Duration::from_millis(20);
/// What the reader of our stdout gets at least, however short the grace.
const LAST_WRITE: Duration = Duration::from_millis(100);

/// The room: its members, the operator among them.
pub struct Room {
    state: State,
    operator: Operator,
    talk: Talk,
    incoming: HashMap<u64, Incoming>,
    /// Unfinished lines, and when to look at them.
    unfinished: VecDeque<(Instant, u64)>,
    /// stdin waits, and this is when to look again.
    waits: Option<Instant>,
    /// The end of the grace, once the run is to stop.
    stopping: Deadline,
}

/// What has come from one member and is no whole line yet.
struct Incoming {
    id: Id,
    lines: Lines,
    last: Instant,
    /// It is in `unfinished`.
    is_watched: bool,
}

impl Room {
    /// A room with the operator in it. `reserved` are the names of keys; with `raw` text is
    /// passed on as it came.
    pub fn new<'a>(
        operator: Operator,
        reserved: impl IntoIterator<Item = &'a str>,
        raw: bool,
        talk: Talk,
    ) -> Self {
        let mut room = Self {
            state: State::new(reserved, raw),
            operator,
            talk,
            incoming: HashMap::new(),
            unfinished: VecDeque::new(),
            waits: Some(Instant::now()),
            stopping: Deadline::NEVER,
        };
        room.incoming.insert(OPERATOR.number, Incoming::new(OPERATOR));
        room
    }

    /// Gives terminal or stdout back. A stdout that is not read has what is left of the grace.
    pub fn finish(self, grace: Duration) -> Result<(), Failure> {
        let limit = self.stopping.left().unwrap_or(grace).max(LAST_WRITE);
        self.operator.finish(Deadline::after(limit))
    }

    /// A member's turn: delivers what it sent, as far as one turn goes; the bytes that were taken,
    /// all of the operator's.
    fn take_turn(&mut self, number: u64, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        let Some(member) = self.incoming.get_mut(&number) else {
            return bytes.len();
        };
        let id = member.id;
        let mut delivery = Delivery::new(&mut self.operator, &self.talk, clients);
        member.last = Instant::now();
        let mut taken = 0;
        for step in bytes.chunks(STEP) {
            if delivery.delivered >= TURN && id != OPERATOR {
                break;
            }
            taken += step.len();
            let state = &mut self.state;
            member.lines.feed(step, |line| {
                state.receive(id, line, &mut |effect| delivery.apply(&effect));
            });
        }
        if !member.lines.partial().is_empty() && !member.is_watched {
            member.is_watched = true;
            self.unfinished.push_back((member.last + QUIET, number));
        }
        taken
    }

    /// What came without a newline is a line.
    fn finish_line(&mut self, number: u64, clients: &mut dyn Clients) {
        if let Some(member) = self.incoming.get_mut(&number)
            && let Some(line) = member.lines.take_partial()
        {
            let id = member.id;
            self.receive(id, &line, clients);
        }
    }

    /// Unfinished lines that have waited long enough are lines.
    fn finish_lines(&mut self, clients: &mut dyn Clients) {
        let now = Instant::now();
        while let Some(&(due, number)) = self.unfinished.front()
            && due <= now
        {
            self.unfinished.pop_front();
            let Some(member) = self.incoming.get_mut(&number) else {
                continue;
            };
            // Bytes that we have not read yet are no silence.
            let has_more = match member.id {
                OPERATOR => self.waits.is_some(),
                id => clients.has_unread(id),
            };
            if member.lines.partial().is_empty() {
                member.is_watched = false;
            } else if member.last + QUIET > now || has_more {
                self.unfinished.push_back((now.max(member.last) + QUIET, number));
            } else {
                member.is_watched = false;
                self.finish_line(number, clients);
            }
        }
    }

    fn receive(&mut self, from: Id, line: &[u8], clients: &mut dyn Clients) {
        let mut delivery = Delivery::new(&mut self.operator, &self.talk, clients);
        self.state.receive(from, line, &mut |effect| delivery.apply(&effect));
    }

    /// Ends every call of the handler: the operator sees what happened, and is asked for input
    /// unless slow readers are waited for.
    fn update(&mut self, clients: &mut dyn Clients) {
        self.operator.show();
        let waits = self.operator.waits();
        clients.pause_all(waits);
        if self.waits.is_some() {
            if clients.is_paused() {
                self.waits = Some(Instant::now() + RETRY);
            } else {
                self.waits = None;
                self.operator.ask();
            }
        }
    }
}

impl Incoming {
    fn new(id: Id) -> Self {
        Self { id, lines: Lines::new(LINE, Overlong::Cut), last: Instant::now(), is_watched: false }
    }
}

/// Carries out effects.
struct Delivery<'a> {
    operator: &'a mut Operator,
    talk: &'a Talk,
    clients: &'a mut dyn Clients,
    /// Bytes delivered.
    delivered: usize,
}

impl<'a> Delivery<'a> {
    fn new(operator: &'a mut Operator, talk: &'a Talk, clients: &'a mut dyn Clients) -> Self {
        Self { operator, talk, clients, delivered: 0 }
    }

    fn apply(&mut self, effect: &Effect<'_>) {
        match *effect {
            Effect::Message { from, name, line, text } => {
                if self.talk.is_json() {
                    self.talk.say(&Event::line_from(from.number, Some(name), text));
                }
                self.broadcast(line, Some(from));
            }
            Effect::Broadcast { line } => self.broadcast(line, None),
            Effect::Notice { line } => {
                self.delivered += line.len();
                self.clients.broadcast_later(line);
                self.operator.deliver(line);
            }
            Effect::Reply { to, lines } => self.send(to, lines),
            Effect::Private { from, to, name, line } => {
                if to != OPERATOR && self.clients.queued(to).0 >= PRIVATE {
                    let error = format!("! {name} does not keep up: not sent\n");
                    return self.send(from, error.as_bytes());
                }
                self.send(to, line);
            }
            Effect::Close { member, reason } => self.clients.close(member, reason),
            Effect::Stop => self.clients.stop(),
        }
    }

    fn broadcast(&mut self, line: &[u8], except: Option<Id>) {
        self.delivered += line.len();
        self.clients.broadcast(line, except);
        if except != Some(OPERATOR) {
            self.operator.deliver(line);
        }
    }

    fn send(&mut self, to: Id, lines: &[u8]) {
        self.delivered += lines.len();
        if to == OPERATOR {
            self.operator.deliver(lines);
        } else {
            self.clients.send(to, lines);
        }
    }
}

impl Handler for Room {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        self.incoming.insert(client.number, Incoming::new(client));
        let key = clients.key(client);
        let mut delivery = Delivery::new(&mut self.operator, &self.talk, clients);
        let key = key.as_deref();
        self.state.join(client, key, &mut |effect| delivery.apply(&effect));
        self.update(clients);
    }

    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        let taken = self.take_turn(client.number, bytes, clients);
        self.update(clients);
        taken
    }

    fn ended(&mut self, client: Id, _end: StreamEnd, clients: &mut dyn Clients) {
        self.finish_line(client.number, clients);
        clients.close(client, Reason::Eof);
        self.update(clients);
    }

    fn left(&mut self, client: Id, clients: &mut dyn Clients) {
        self.finish_line(client.number, clients);
        self.incoming.remove(&client.number);
        let mut delivery = Delivery::new(&mut self.operator, &self.talk, clients);
        self.state.leave(client, &mut |effect| delivery.apply(&effect));
        self.update(clients);
    }

    fn input(&mut self, input: Input, clients: &mut dyn Clients) {
        self.operator.came(&input);
        match input {
            Input::Typed(Typed::Lines(lines)) => {
                for line in lines {
                    self.receive(OPERATOR, line.as_bytes(), clients);
                }
            }
            Input::Typed(Typed::Interrupt | Typed::End) => return clients.stop(),
            Input::Chunk(bytes) => {
                self.take_turn(OPERATOR.number, &bytes, clients);
            }
            Input::End => self.finish_line(OPERATOR.number, clients),
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
        due.map_or(Deadline::NEVER, Deadline::at).min(self.operator.deadline())
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        if let Some(failure) = self.operator.failure() {
            return clients.quit(Err(failure));
        }
        self.finish_lines(clients);
        self.update(clients);
    }

    fn stopping(&mut self, until: Deadline, _clients: &mut dyn Clients) {
        self.stopping = until;
        self.operator.stop_reading();
    }

    fn is_social(&self) -> bool {
        true
    }

    fn queue_limit(&self) -> usize {
        QUEUE
    }
}
