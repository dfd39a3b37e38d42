//! Bytes into lines, and what follows from them into what is sent.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::operator::Operator;
use super::state::{LINE, OPERATOR, Out, State};
use crate::console::event::{Event, Reason};
use crate::console::prompt::Typed;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::line::{Lines, Overlong};
use crate::session::seat::Input;
use crate::session::{Clients, Handler, Id};

/// What may wait for a member who does not read.
const QUEUE: usize = 1 << 20;
/// With this much of it full, nobody can whisper to the member: a whisper must not cut it off.
const WHISPERS: usize = QUEUE / 4;
/// A message without newline counts as a line after this much quiet.
const QUIET: Duration = Duration::from_millis(200);
/// What may follow from one member in one turn; the rest of what it sent waits for the next one.
const TURN: usize = 256 << 10;
/// How much is looked at before that is checked: a line of one byte is many with its name.
const STEP: usize = 2 << 10;
/// How often those who wait for slower members look again.
const PATIENCE: Duration = Duration::from_millis(20);

/// The room, with everybody in it.
pub struct Room {
    state: State,
    operator: Operator,
    talk: Talk,
    speakers: HashMap<u64, Speaker>,
    /// Unfinished lines, and when to look at them.
    unfinished: VecDeque<(Instant, u64)>,
    /// Who has had its turn and more to say, and when they have the next.
    more: VecDeque<u64>,
    next_turn: Instant,
    /// stdin waits, and this is when to look again.
    waits: Option<Instant>,
}

/// What has come from one member and is not said yet.
struct Speaker {
    id: Id,
    lines: Lines,
    heard: Instant,
    /// It is in `unfinished`.
    is_watched: bool,
    /// Bytes that wait for its next turn.
    rest: Vec<u8>,
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
            speakers: HashMap::new(),
            unfinished: VecDeque::new(),
            more: VecDeque::new(),
            next_turn: Instant::now(),
            waits: Some(Instant::now()),
        };
        room.speakers.insert(OPERATOR.number, Speaker::new(OPERATOR));
        room
    }

    /// Gives terminal or stdout back.
    pub fn finish(self) -> Result<(), Failure> {
        self.operator.finish()
    }

    /// A member's turn: what it sent is said, as far as one turn goes.
    fn hear(&mut self, number: u64, bytes: &[u8], clients: &mut dyn Clients) {
        let Some(speaker) = self.speakers.get_mut(&number) else {
            return;
        };
        let id = speaker.id;
        let mut mouth = Mouth::new(&mut self.operator, &self.talk, clients);
        speaker.heard = Instant::now();
        let mut taken = 0;
        for step in bytes.chunks(STEP) {
            if mouth.spent >= TURN {
                break;
            }
            taken += step.len();
            let state = &mut self.state;
            speaker.lines.feed(step, |line| {
                state.say(id, line, &mut |out| mouth.say(&out));
            });
        }
        speaker.rest = bytes[taken..].to_vec();
        if speaker.rest.is_empty() {
            clients.pause(id, false);
        } else {
            clients.pause(id, true);
            self.more.push_back(number);
            self.next_turn = speaker.heard;
        }
        if !speaker.lines.partial().is_empty() && !speaker.is_watched {
            speaker.is_watched = true;
            self.unfinished.push_back((speaker.heard + QUIET, number));
        }
    }

    /// What came without a newline is a line.
    fn finish_line(&mut self, number: u64, clients: &mut dyn Clients) {
        if let Some(speaker) = self.speakers.get_mut(&number)
            && let Some(line) = speaker.lines.take_partial()
        {
            let id = speaker.id;
            self.say(id, &line, clients);
        }
    }

    /// Unfinished lines that have waited long enough are lines.
    fn finish_lines(&mut self, clients: &mut dyn Clients) {
        let now = Instant::now();
        while let Some(&(due, number)) = self.unfinished.front()
            && due <= now
        {
            self.unfinished.pop_front();
            let Some(speaker) = self.speakers.get_mut(&number) else {
                continue;
            };
            // It is not quiet if it is us who do not listen.
            let has_more = match speaker.id {
                OPERATOR => self.waits.is_some(),
                id => !speaker.rest.is_empty() || clients.has_unread(id),
            };
            if speaker.lines.partial().is_empty() {
                speaker.is_watched = false;
            } else if speaker.heard + QUIET > now || has_more {
                self.unfinished.push_back((now.max(speaker.heard) + QUIET, number));
            } else {
                speaker.is_watched = false;
                self.finish_line(number, clients);
            }
        }
    }

    fn say(&mut self, from: Id, line: &[u8], clients: &mut dyn Clients) {
        let mut mouth = Mouth::new(&mut self.operator, &self.talk, clients);
        self.state.say(from, line, &mut |out| mouth.say(&out));
    }

    /// The end of everything that happens: the operator sees it, and may be asked for more.
    fn settle(&mut self, clients: &mut dyn Clients) {
        self.operator.show();
        let waits = self.operator.waits();
        clients.hold(waits);
        if self.waits.is_some() {
            let busy = self.speakers.get(&OPERATOR.number).is_some_and(|s| !s.rest.is_empty());
            if busy || clients.is_held() {
                self.waits = Some(Instant::now() + PATIENCE);
            } else {
                self.waits = None;
                self.operator.ask();
            }
        }
    }
}

impl Speaker {
    fn new(id: Id) -> Self {
        Self {
            id,
            lines: Lines::new(LINE, Overlong::Cut),
            heard: Instant::now(),
            is_watched: false,
            rest: Vec::new(),
        }
    }
}

/// Carries out what the state says.
struct Mouth<'a> {
    operator: &'a mut Operator,
    talk: &'a Talk,
    clients: &'a mut dyn Clients,
    /// Bytes said.
    spent: usize,
}

impl<'a> Mouth<'a> {
    fn new(operator: &'a mut Operator, talk: &'a Talk, clients: &'a mut dyn Clients) -> Self {
        Self { operator, talk, clients, spent: 0 }
    }

    fn say(&mut self, out: &Out<'_>) {
        match *out {
            Out::All { line, except } => {
                self.spent += line.len();
                self.clients.send_all(line, except);
                if except != Some(OPERATOR) {
                    self.operator.hear(line);
                }
            }
            Out::Notice { line } => {
                self.spent += line.len();
                self.clients.notify_all(line);
                self.operator.hear(line);
            }
            Out::One { to, lines } => {
                self.spent += lines.len();
                if to == OPERATOR {
                    self.operator.hear(lines);
                } else {
                    self.clients.send(to, lines);
                }
            }
            Out::Whisper { from, to, name, line } => {
                if to != OPERATOR && self.clients.queued(to).0 >= WHISPERS {
                    let flaw = format!("! {name} does not keep up: not sent\n");
                    let lines = flaw.as_bytes();
                    return self.say(&Out::One { to: from, lines });
                }
                self.say(&Out::One { to, lines: line });
            }
            Out::Said { from, name, text } => {
                if self.talk.is_json() {
                    self.talk.say(&Event::line_from(from.number, Some(name), text));
                }
            }
            Out::Close { member, reason } => self.clients.close(member, reason),
            Out::Stop => self.clients.stop(),
        }
    }
}

impl Handler for Room {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        self.speakers.insert(client.number, Speaker::new(client));
        let key = clients.key(client);
        let mut mouth = Mouth::new(&mut self.operator, &self.talk, clients);
        let key = key.as_deref();
        self.state.join(client, key, &mut |out| mouth.say(&out));
        self.settle(clients);
    }

    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) {
        self.hear(client.number, bytes, clients);
        self.settle(clients);
    }

    fn ended(&mut self, client: Id, clients: &mut dyn Clients) {
        self.finish_line(client.number, clients);
        clients.close(client, Reason::Eof);
        self.settle(clients);
    }

    fn left(&mut self, client: Id, clients: &mut dyn Clients) {
        self.finish_line(client.number, clients);
        self.speakers.remove(&client.number);
        let mut mouth = Mouth::new(&mut self.operator, &self.talk, clients);
        self.state.leave(client, &mut |out| mouth.say(&out));
        self.settle(clients);
    }

    fn input(&mut self, input: Input, clients: &mut dyn Clients) {
        self.operator.came(&input);
        match input {
            Input::Typed(Typed::Lines(lines)) => {
                for line in lines {
                    self.say(OPERATOR, line.as_bytes(), clients);
                }
            }
            Input::Typed(Typed::Interrupt | Typed::End) => return clients.stop(),
            Input::Chunk(bytes) => self.hear(OPERATOR.number, &bytes, clients),
            Input::End => self.finish_line(OPERATOR.number, clients),
            Input::Failed(e) => {
                return clients.quit(Err(Failure::system("read", "stdin", &e)));
            }
        }
        self.waits.get_or_insert_with(Instant::now);
        self.settle(clients);
    }

    fn deadline(&self) -> Deadline {
        let turn = (!self.more.is_empty()).then_some(self.next_turn);
        let line = self.unfinished.front().map(|(due, _)| *due);
        let due = [turn, line, self.waits].into_iter().flatten().min();
        due.map_or(Deadline::NEVER, Deadline::at).min(self.operator.deadline())
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        if let Some(failure) = self.operator.failure() {
            return clients.quit(Err(failure));
        }
        for _ in 0..self.more.len() {
            if clients.is_held() {
                self.next_turn = Instant::now() + PATIENCE;
                break;
            }
            let Some(number) = self.more.pop_front() else {
                break;
            };
            if let Some(speaker) = self.speakers.get_mut(&number) {
                let rest = std::mem::take(&mut speaker.rest);
                self.hear(number, &rest, clients);
            }
        }
        self.finish_lines(clients);
        self.settle(clients);
    }

    fn is_social(&self) -> bool {
        true
    }

    fn queue_limit(&self) -> usize {
        QUEUE
    }
}
