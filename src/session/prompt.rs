//! The conversation at a terminal: `>>>`, what arrives above the line being typed.
//!
//! With one peer (`connect`) a line is sent to it; with many (`serve`) to all of them, or with
//! `@id text` to one.
//!
//! Over 300 lines: one conversation has one peer or many, and its commands are here with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::auth::asks_for_key;
use crate::console::completion::Words;
use crate::console::decoration::{NOT_SENT, Style};
use crate::console::event::{Event, Level, Reason};
use crate::console::prompt::{BLIND, Options, Typed};
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure, quoted};
use crate::net::deadline::Deadline;
use crate::net::line::{Lines, Overlong};
use crate::sanitize;
use crate::session::closed::Closed;
use crate::session::seat::{Inbox, Input, Leave, Seat};
use crate::session::{Clients, Handler, Id, StreamEnd};

/// A longer line is shown in pieces.
const LINE: usize = 64 << 10;
/// What arrives without a newline is shown after this much quiet: a Python peer that sends the result
/// of `input()` sends none.
const QUIET: Duration = Duration::from_millis(50);

/// The answer to `/help`, where there are many.
const HELP: &str = "\
-- @ID TEXT    send TEXT to client ID alone
-- /who        list the clients
-- /kick ID    disconnect client ID
-- /quit       stop the server
-- a leading space sends such a line as text";

/// How many peers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// `connect`: one; its end is the end of the run.
    One,
    /// `serve`: any number.
    Many,
}

/// How lines are written and shown.
#[derive(Clone, Copy, Debug)]
pub struct LineFormat {
    /// What is sent after a line: `\n`, `\r\n` (`-C`) or nothing (`--no-newline`).
    pub newline: &'static str,
    /// `--raw`: received text is not escaped.
    pub raw: bool,
    /// What is added to a line.
    pub style: Style,
}

/// A person at a prompt.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Conversation<'a> {
    inbox: &'a Inbox,
    options: Option<Options>,
    /// The terminal: with one peer from when that is there.
    seat: Option<Seat>,
    words: Words,
    talk: Talk,
    peers: Peers,
    format: LineFormat,
    /// What has come from each client and is not shown yet.
    incoming: BTreeMap<Id, Lines>,
    /// With one peer: whether another connection follows one that ends (`--reconnect`).
    reconnects: bool,
    /// The name to have in a room: said on each connection (`/nick`), and again once it is free.
    nick: Option<String>,
    /// The peer may be a server that asks for a key, which nothing shows so far.
    may_ask_for_key: bool,
    /// A line was sent to the only peer.
    has_sent: bool,
    /// We left; what still comes is shown.
    leaving: Option<Leave>,
    /// The run is stopping.
    stops: bool,
    /// The last connection is over: when the prompt ends, unless a line is being typed.
    ends_at: Option<Instant>,
    /// How it failed, which was reported at once.
    failed: Option<Exit>,
}

impl<'a> Conversation<'a> {
    /// Takes over the terminal, at once or when the one peer is there.
    pub fn start(
        inbox: &'a Inbox,
        peers: Peers,
        format: LineFormat,
        history: Option<PathBuf>,
        talk: Talk,
    ) -> Result<Self, Failure> {
        let style = Style { numbers: peers == Peers::Many, ..format.style };
        let commands: &[&str] = match peers {
            Peers::One => &["/quit"],
            Peers::Many => &["/help", "/kick", "/quit", "/who"],
        };
        let words = Words::new(commands.iter().copied());
        let options = Options { history, words: words.clone(), style, name: None };
        let mut conversation = Self {
            inbox,
            options: Some(options),
            seat: None,
            words,
            talk,
            peers,
            format,
            incoming: BTreeMap::new(),
            reconnects: false,
            nick: None,
            may_ask_for_key: false,
            has_sent: false,
            leaving: None,
            stops: false,
            ends_at: None,
            failed: None,
        };
        if peers == Peers::Many {
            conversation.open()?;
        }
        Ok(conversation)
    }

    /// Tells the user of a server that asks for a key, which we do not prove.
    #[must_use]
    pub fn hinting_at_keys(mut self) -> Self {
        self.may_ask_for_key = true;
        self
    }

    /// Has another connection follow one that ends; asks for `nick` first on each.
    #[must_use]
    pub fn connecting(self, reconnects: bool, nick: Option<String>) -> Self {
        Self { reconnects, nick, ..self }
    }

    /// The last connection is over, or there was none: the prompt ends in a moment, or once the line that is
    /// being typed is entered.
    fn end(&mut self, result: Result<(), Failure>) {
        if let Err(failure) = result {
            self.talk.failure(&failure);
            self.failed = Some(failure.exit);
        }
        if let Some(seat) = self.seat.as_ref().filter(|_| self.peers == Peers::One) {
            seat.disconnect();
            if seat.is_typing() {
                seat.note("the line being typed is not sent; Enter leaves");
            }
        }
        self.ends_at = Some(Instant::now() + BLIND);
    }

    fn open(&mut self) -> Result<(), Failure> {
        if let Some(options) = self.options.take() {
            if self.peers == Peers::One {
                self.talk.notice(Level::Never, "q or Ctrl-D leaves");
            }
            self.seat = Some(Seat::at_prompt(self.inbox, options, self.talk.clone())?);
        }
        Ok(())
    }

    /// Gives the terminal back; a line that was typed but not entered is reported.
    pub fn finish(self) -> Result<(), Failure> {
        self.seat.map_or(Ok(()), |seat| seat.finish(Deadline::NEVER))
    }

    /// How the conversation ends, where we left it, or where its failure has been reported.
    pub fn result(&self) -> Option<Result<(), Failure>> {
        let left = self.leaving.map(Leave::result);
        left.or(self.failed.map(|exit| Err(Failure::silent(exit))))
    }

    fn stop_reading(&self) {
        if let Some(seat) = &self.seat {
            seat.stop_reading();
        }
    }

    fn is_full(&self) -> bool {
        self.seat.as_ref().is_some_and(Seat::is_full)
    }

    fn print(&self, line: &str) {
        if let Some(seat) = &self.seat {
            seat.note(line);
        }
    }

    fn show(&mut self, client: Id, line: &[u8]) {
        if self.talk.is_json() {
            self.talk.say(&Event::line_from(Some(client.number), None, line));
        }
        let mut whole = match self.peers {
            Peers::One => Vec::new(),
            Peers::Many => format!("[{}] ", client.number).into_bytes(),
        };
        if self.format.raw {
            whole.extend_from_slice(line);
        } else {
            whole.extend_from_slice(sanitize::text(line).as_bytes());
        }
        let mut shown = Vec::with_capacity(whole.len() + 32);
        if let Some(seat) = &mut self.seat {
            seat.decorate(&whole, &mut shown);
            seat.show(&shown);
        }
    }

    fn ask_for_nick(&self, client: Id, clients: &mut dyn Clients) {
        if let Some(nick) = &self.nick {
            self.send(client, &format!("/nick {nick}"), clients);
        }
    }

    /// Follows a change of our name, and asks again for one that has become free: another connection may have
    /// held it, such as our own before a cut.
    fn keep_nick(&mut self, client: Id, line: &[u8], clients: &mut dyn Clients) {
        let Some(line) = line.strip_prefix(b"-- ").and_then(|line| str::from_utf8(line).ok())
        else {
            return;
        };
        let me = self.seat.as_ref().and_then(Seat::me).map(str::to_owned);
        if let [_, "is", "now", new] = line.split(' ').collect::<Vec<_>>()[..]
            && me.as_deref() == Some(new)
            && (self.reconnects || self.nick.is_some())
        {
            self.nick = me;
        } else if line.strip_suffix(" left").is_some_and(|left| self.nick.as_deref() == Some(left))
            && me != self.nick
        {
            self.ask_for_nick(client, clients);
        }
    }

    /// Shows what came without a newline.
    fn show_rest(&mut self, client: Id) {
        if let Some(rest) = self.incoming.get_mut(&client).and_then(Lines::take_partial) {
            self.show(client, &rest);
        }
    }

    fn typed(&mut self, line: &str, clients: &mut dyn Clients) {
        match self.peers {
            Peers::One => self.typed_to_one(line, clients),
            Peers::Many => self.typed_to_many(line, clients),
        }
    }

    fn typed_to_one(&mut self, line: &str, clients: &mut dyn Clients) {
        let peer = clients.all().first().copied();
        self.has_sent |= line != "/quit";
        match (line, peer) {
            ("/quit", _) => self.leave(Leave::Quit, clients),
            ("q", Some(peer)) => {
                self.send(peer, "q", clients);
                self.leave(Leave::Quit, clients);
            }
            (_, Some(peer)) => {
                self.send(peer, unescaped(line), clients);
            }
            (_, None) => {
                self.print(&format!("{NOT_SENT}{line}"));
                if line == "q" {
                    self.leave(Leave::Quit, clients);
                }
            }
        }
    }

    fn typed_to_many(&mut self, line: &str, clients: &mut dyn Clients) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(number) = word.strip_prefix('@') {
            match find(number, clients) {
                Some(id) => self.send(id, rest, clients),
                None => self.print(&format!("! no client {word}: not sent (/who lists them)")),
            }
            return;
        }
        match word {
            "/help" => HELP.lines().for_each(|line| self.print(line)),
            "/quit" => self.leave(Leave::Quit, clients),
            "/who" => self.who(clients),
            "/kick" => match find(rest.trim(), clients) {
                Some(id) => clients.close(id, Reason::Kicked),
                None => self.print(&format!(
                    "! no client {} to kick (/who lists them)",
                    quoted(rest.trim())
                )),
            },
            _ if word.starts_with('/') => {
                self.print(&format!("! no command {}; /help lists them", quoted(&word[1..])));
            }
            _ if clients.all().is_empty() => self.print("! no client is connected: not sent"),
            _ => {
                let text = [unescaped(line).as_bytes(), self.format.newline.as_bytes()].concat();
                clients.broadcast(&text, &[]);
            }
        }
    }

    fn who(&self, clients: &dyn Clients) {
        let all = clients.all();
        if all.is_empty() {
            self.print("no client is connected");
        }
        for id in all {
            let peer = clients.peer(id).map_or_else(String::new, |peer| peer.to_string());
            self.print(&format!("[{}] {peer}", id.number));
        }
    }

    fn send(&self, client: Id, text: &str, clients: &mut dyn Clients) {
        clients.send(client, &[text.as_bytes(), self.format.newline.as_bytes()].concat());
    }

    /// Ends the conversation: what is queued is sent, and received text is shown for the linger time.
    fn leave(&mut self, how: Leave, clients: &mut dyn Clients) {
        if self.leaving.is_some() {
            return;
        }
        if self.ends_at.take().is_some() && self.peers == Peers::One {
            return; // the connection has ended before
        }
        self.leaving = Some(how);
        self.stop_reading();
        match self.peers {
            // Another one may be on its way.
            Peers::One if self.reconnects && clients.all().is_empty() => clients.stop(),
            Peers::One => clients.all().into_iter().for_each(|id| clients.finish(id)),
            Peers::Many => clients.stop(),
        }
    }
}

/// A leading space sends what would be a command as text.
fn unescaped(line: &str) -> &str {
    match line.strip_prefix(' ') {
        Some(rest) if rest.trim_start() == "q" || rest.trim_start().starts_with(['/', '@']) => rest,
        _ => line,
    }
}

fn find(number: &str, clients: &dyn Clients) -> Option<Id> {
    let number: u64 = number.parse().ok()?;
    clients.all().into_iter().find(|id| id.number == number)
}

impl Handler for Conversation<'_> {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        self.ends_at = None;
        if let Err(failure) = self.open() {
            return clients.quit(Err(failure));
        }
        self.ask_for_nick(client, clients);
        self.incoming.insert(client, Lines::new(LINE, Overlong::Split));
        if self.peers == Peers::Many {
            // For `@1 text`, and for `/kick 1`.
            self.words.add(format!("@{}", client.number));
            self.words.add(client.number.to_string());
        }
    }

    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        if std::mem::take(&mut self.may_ask_for_key)
            && let Some(command) = asks_for_key(bytes)
        {
            self.print(&format!("the server seems to ask for a key: use sockctl {command}"));
        }
        let mut rest = bytes;
        while let Some(line) =
            self.incoming.get_mut(&client).and_then(|lines| lines.next(&mut rest))
        {
            self.show(client, &line);
            self.keep_nick(client, &line, clients);
        }
        clients.pause_all(self.is_full());
        bytes.len()
    }

    fn ended(&mut self, client: Id, end: StreamEnd, clients: &mut dyn Clients) {
        self.show_rest(client);
        if end == StreamEnd::Limit {
            return clients.close(client, Reason::Limit);
        }
        if self.peers == Peers::One && self.leaving.is_none() && !self.reconnects {
            let peer = clients.peer(client).map_or_else(String::new, |peer| format!(" by {peer}"));
            let hint = if self.may_ask_for_key && self.has_sent {
                " without a reply; if it asks for a key, use sockctl auth-connect"
            } else {
                ""
            };
            self.print(&format!("connection closed{peer}{hint}"));
        }
        clients.close(client, Reason::Eof);
    }

    fn left(&mut self, client: Id, _clients: &mut dyn Clients) {
        self.show_rest(client);
        self.incoming.remove(&client);
        self.words.remove(&format!("@{}", client.number));
        self.words.remove(&client.number.to_string());
    }

    fn closed(&mut self, _client: Id, closed: &Closed, clients: &mut dyn Clients) -> bool {
        if self.leaving.is_some() || self.stops || !clients.all().is_empty() {
            return false;
        }
        let again = self.reconnects && closed.may_be_repeated();
        match self.peers {
            _ if again => {}
            Peers::One => self.end(closed.result()),
            Peers::Many => self.end(Ok(())), // how it ended was said as it left
        }
        again
    }

    fn unreached(&mut self, _number: u64, failure: Failure, clients: &mut dyn Clients) {
        match self.seat {
            Some(_) => self.end(Err(failure)),
            None => clients.quit(Err(failure)),
        }
    }

    fn input(&mut self, input: Input, clients: &mut dyn Clients) {
        if let Some(seat) = &mut self.seat {
            seat.came(&input);
        }
        let Input::Typed(typed) = input else { return };
        match typed {
            Typed::Lines(lines) => {
                for line in lines {
                    if self.leaving.is_some() {
                        self.print(&format!("{NOT_SENT}{line}"));
                    } else {
                        self.typed(&line, clients);
                    }
                }
            }
            Typed::Interrupt => self.leave(Leave::Interrupted, clients),
            Typed::End => self.leave(Leave::Quit, clients),
        }
        if let Some(at) = &mut self.ends_at {
            *at = Instant::now() + BLIND;
        }
        if let (None, Some(seat)) = (self.leaving, &mut self.seat) {
            seat.ask();
        }
    }

    fn stopping(&mut self, _until: Deadline, _clients: &mut dyn Clients) {
        (self.stops, self.ends_at) = (true, None);
        self.stop_reading();
    }

    fn is_busy(&self) -> bool {
        self.ends_at.is_some()
    }

    fn deadline(&self) -> Deadline {
        let due = self.incoming.values().filter_map(|lines| lines.due(QUIET)).min();
        let end =
            self.ends_at.map_or(Deadline::NEVER, |at| Deadline::at(at).min(Deadline::of_run()));
        end.min(due.into())
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        let now = Instant::now();
        let is_due = |lines: &Lines| lines.due(QUIET).is_some_and(|due| due <= now);
        let due = self.incoming.iter().filter(|(_, lines)| is_due(lines)).map(|(id, _)| *id);
        for client in due.collect::<Vec<_>>() {
            self.show_rest(client);
        }
        clients.pause_all(self.is_full());
        let is_over = Deadline::of_run().passed();
        if self.ends_at.is_some_and(|at| at <= now || is_over) {
            let is_typing = self.seat.as_ref().is_some_and(Seat::is_typing);
            self.ends_at = (is_typing && !is_over).then(|| now + BLIND);
        }
    }

    fn is_social(&self) -> bool {
        self.peers == Peers::Many
    }

    fn joins_late(&self) -> bool {
        self.peers == Peers::Many
    }
}
