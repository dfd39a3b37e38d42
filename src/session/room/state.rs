//! Who is in the room, what they are called, and who gets what: lines in, effects out, no I/O.
//!
//! Over 300 lines: every command of a room, with its effects.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::names::{self, NameError};
use crate::console::event::Reason;
use crate::exit::quoted;
use crate::sanitize;
use crate::session::Id;

#[cfg(test)]
mod tests;

/// The longest message, in bytes of text.
pub const LINE: usize = 64 << 10;
/// The answer to `/who` is broken into lines of about this length.
const LIST: usize = 1000;

/// The member who runs sockctl.
pub const OPERATOR: Id = Id { number: 0, slot: usize::MAX };

const HELP: &str = "\
-- /nick NAME       be called NAME
-- /who             who is here
-- /msg NAME TEXT   say it to NAME alone
-- /me TEXT         say what you do
-- /quit            leave
-- //TEXT           say /TEXT
";
const OPERATOR_HELP: &str = "-- /kick NAME       throw NAME out\n";

/// What follows from what a member did. Lines have their newline.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// A message for all but its sender: the line, and its text alone.
    Message { from: Id, name: &'a str, line: &'a [u8], text: &'a [u8] },
    /// A line for all.
    Broadcast { line: &'a [u8] },
    /// A line for all that a member joined or left.
    Notice { line: &'a [u8] },
    /// Lines for the member who asked for them, or made an error.
    Reply { to: Id, lines: &'a [u8] },
    /// A private message to the member of this name.
    Private { from: Id, to: Id, name: &'a str, line: &'a [u8] },
    /// The member is to go.
    Close { member: Id, reason: Reason },
    /// The operator ends the room.
    Stop,
}

/// The members of the room.
pub struct State {
    /// By their numbers, which is the order they joined in. A small tree is faster than hashing.
    members: BTreeMap<u64, Member>,
    /// The member who has a name, by the key of [`names::key`].
    owners: HashMap<String, u64>,
    /// The folded names of authentication keys, whether or not their holders are here.
    reserved: HashSet<String>,
    /// For a name that several have: the first number that may be free.
    numbers: HashMap<String, u32>,
    /// Text is not sanitized.
    raw: bool,
    line: Vec<u8>,
}

struct Member {
    id: Id,
    name: String,
    /// It is the name of the key that the member proved.
    is_fixed: bool,
    /// It is to go: what it still sends is ignored.
    is_leaving: bool,
}

impl State {
    /// A room with the operator in it. `reserved` are the names of authentication keys.
    pub fn new<'a>(reserved: impl IntoIterator<Item = &'a str>, raw: bool) -> Self {
        let mut state = Self {
            members: BTreeMap::new(),
            owners: HashMap::new(),
            reserved: reserved.into_iter().map(names::key).collect(),
            numbers: HashMap::new(),
            raw,
            line: Vec::new(),
        };
        state.enter(OPERATOR, "server".into(), true);
        state
    }

    /// A member joins, with the name of the key it proved if it has one.
    pub fn join(&mut self, id: Id, key: Option<&str>, out: &mut dyn FnMut(Effect<'_>)) {
        let wanted = key.map_or_else(|| format!("guest{}", id.number), Into::into);
        let name = self.free(wanted, key.is_some());
        let line = format!("-- {name} joined\n");
        self.enter(id, name, key.is_some());
        out(Effect::Notice { line: line.as_bytes() });
    }

    /// A member left.
    pub fn leave(&mut self, id: Id, out: &mut dyn FnMut(Effect<'_>)) {
        let Some(member) = self.members.remove(&id.number) else {
            return;
        };
        self.owners.remove(&names::key(&member.name));
        if let Some((name, number)) = member.name.split_once('~')
            && let Ok(number) = number.parse::<u32>()
            && let Some(first) = self.numbers.get_mut(name)
        {
            *first = number.min(*first);
        }
        let line = format!("-- {} left\n", member.name);
        out(Effect::Notice { line: line.as_bytes() });
    }

    /// A member sent a line, here without its line end: a command or a message.
    pub fn receive(&mut self, id: Id, line: &[u8], out: &mut dyn FnMut(Effect<'_>)) {
        let (text, is_command) = match line {
            [b'/', text @ ..] => (text, !text.starts_with(b"/")),
            text => (text, false),
        };
        let Some(member) = self.members.get(&id.number).filter(|m| !m.is_leaving) else {
            return;
        };
        if is_command {
            self.command(id, text, out);
        } else {
            relay(&mut self.line, member, ["<", "> "], (text, self.raw), out);
        }
    }

    fn command(&mut self, id: Id, command: &[u8], out: &mut dyn FnMut(Effect<'_>)) {
        let (word, rest) = halves(command);
        let is_operator = id == OPERATOR;
        match word.to_ascii_lowercase().as_slice() {
            b"nick" => self.rename(id, rest, out),
            b"who" => out(Effect::Reply { to: id, lines: self.who().as_bytes() }),
            b"msg" => self.private_message(id, rest, out),
            b"me" => self.action(id, rest, out),
            b"help" => {
                let more = if is_operator { OPERATOR_HELP } else { "" };
                let lines = [HELP, more].concat();
                out(Effect::Reply { to: id, lines: lines.as_bytes() });
            }
            b"quit" if is_operator => out(Effect::Stop),
            b"quit" => self.close(id, Reason::Eof, out),
            b"kick" if is_operator => self.kick(rest, out),
            b"kick" => error(id, "only the server can kick", out),
            _ => {
                let word = quoted(OsStr::from_bytes(word));
                error(id, &format!("no command {word}; /help lists them"), out);
            }
        }
    }

    /// The names of all members, in the order they came; for completion.
    pub fn names(&self) -> Vec<&str> {
        let all = self.members.values();
        all.map(|member| &*member.name).collect()
    }

    // ---- lines -------------------------------------------------------------------------------

    fn action(&mut self, from: Id, text: &[u8], out: &mut dyn FnMut(Effect<'_>)) {
        if text.is_empty() {
            return error(from, "/me TEXT", out);
        }
        if let Some(member) = self.members.get(&from.number) {
            relay(&mut self.line, member, ["* ", " "], (text, self.raw), out);
        }
    }

    fn private_message(&mut self, from: Id, rest: &[u8], out: &mut dyn FnMut(Effect<'_>)) {
        let (name, text) = halves(rest);
        if name.is_empty() || text.is_empty() {
            return error(from, "/msg NAME TEXT", out);
        }
        let Some(to) = self.find(name).and_then(|id| self.members.get(&id.number)) else {
            return unknown(from, name, out);
        };
        if let Some(member) = self.members.get(&from.number) {
            write(&mut self.line, ["[", &member.name, "] "], text, self.raw);
            out(Effect::Private { from, to: to.id, name: &to.name, line: &self.line });
        }
    }

    fn who(&self) -> String {
        let names = self.names();
        let mut list = format!("-- {} here:", names.len());
        let mut start = 0;
        for name in names {
            if list.len() - start > LIST {
                start = list.len() + 1;
                list.push_str("\n--");
            }
            list.push(' ');
            list.push_str(name);
        }
        list.push('\n');
        list
    }

    fn close(&mut self, id: Id, reason: Reason, out: &mut dyn FnMut(Effect<'_>)) {
        if let Some(member) = self.members.get_mut(&id.number) {
            member.is_leaving = true;
            out(Effect::Close { member: id, reason });
        }
    }

    fn kick(&mut self, name: &[u8], out: &mut dyn FnMut(Effect<'_>)) {
        let name = name.trim_ascii();
        if name.is_empty() {
            return error(OPERATOR, "/kick NAME", out);
        }
        match self.find(name) {
            Some(OPERATOR) => error(OPERATOR, "that is you; /quit ends the room", out),
            Some(member) => {
                error(member, "kicked", out);
                self.close(member, Reason::Kicked, out);
            }
            None => unknown(OPERATOR, name, out),
        }
    }

    // ---- names -------------------------------------------------------------------------------

    fn rename(&mut self, id: Id, name: &[u8], out: &mut dyn FnMut(Effect<'_>)) {
        let Some(member) = self.members.get(&id.number) else {
            return;
        };
        let old = member.name.clone();
        if member.is_fixed {
            return error(id, &format!("you stay {old}"), out);
        }
        let shown = String::from_utf8_lossy(name.trim_ascii());
        let new = match names::name(&shown) {
            Ok(new) => new,
            Err(NameError::Length) => return error(id, "/nick NAME: 1 to 32 characters", out),
            Err(NameError::Character(_)) => {
                let shown = quoted(OsStr::from_bytes(name.trim_ascii()));
                return error(id, &format!("{shown}: letters, digits, _ - . only"), out);
            }
        };
        let (old_key, key) = (names::key(&old), names::key(&new));
        let is_other = self.owners.get(&key).is_some_and(|&owner| owner != id.number);
        if is_other || self.reserved.contains(&key) {
            return error(id, &format!("{new} is taken"), out);
        }
        if new == old {
            return error(id, &format!("you are {new}"), out);
        }
        self.owners.remove(&old_key);
        let line = format!("-- {old} is now {new}\n");
        self.enter(id, new, false);
        out(Effect::Broadcast { line: line.as_bytes() });
    }

    fn enter(&mut self, id: Id, name: String, is_fixed: bool) {
        self.owners.insert(names::key(&name), id.number);
        let member = Member { id, name, is_fixed, is_leaving: false };
        self.members.insert(id.number, member);
    }

    /// The name, or with the first number behind it that makes it free. No member can choose a
    /// name with `~`.
    fn free(&mut self, wanted: String, holds_key: bool) -> String {
        let key = names::key(&wanted);
        if !self.owners.contains_key(&key) && (holds_key || !self.reserved.contains(&key)) {
            return wanted;
        }
        let is_free = |number: &u32| {
            let name = format!("{wanted}~{number}");
            !self.owners.contains_key(&names::key(&name))
        };
        let first = self.numbers.get(&wanted).copied().unwrap_or(2);
        let number = (first..u32::MAX).find(is_free).unwrap_or(u32::MAX);
        let name = format!("{wanted}~{number}");
        if holds_key {
            self.numbers.insert(wanted, number.saturating_add(1));
        }
        name
    }

    fn find(&self, name: &[u8]) -> Option<Id> {
        let name = std::str::from_utf8(name).ok()?;
        let number = self.owners.get(&names::key(name))?;
        self.members.get(number).map(|member| member.id)
    }
}

/// A message of this member; `raw` is whether its text stays as it came.
fn relay(
    line: &mut Vec<u8>,
    member: &Member,
    [before, after]: [&str; 2],
    (text, raw): (&[u8], bool),
    out: &mut dyn FnMut(Effect<'_>),
) {
    let (from, name) = (member.id, &*member.name);
    write(line, [before, name, after], text, raw);
    let text = &line[before.len() + name.len() + after.len()..line.len() - 1];
    out(Effect::Message { from, name, line, text });
}

/// Makes `line` the text with what stands before it and a newline behind it.
fn write(line: &mut Vec<u8>, before: [&str; 3], text: &[u8], raw: bool) {
    line.clear();
    for part in before {
        line.extend_from_slice(part.as_bytes());
    }
    // No early end: the compiler looks at many bytes at a time.
    let is_plain = text.iter().fold(true, |plain, byte| plain & (b' '..=b'~').contains(byte));
    if raw || is_plain {
        line.extend_from_slice(&text[..text.len().min(LINE)]);
    } else {
        let text = sanitize::text(text);
        let mut ends = (0..=text.len().min(LINE)).rev();
        let end = ends.find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        line.extend_from_slice(&text.as_bytes()[..end]);
    }
    line.push(b'\n');
}

fn error(to: Id, what: &str, out: &mut dyn FnMut(Effect<'_>)) {
    let line = format!("! {what}\n");
    out(Effect::Reply { to, lines: line.as_bytes() });
}

fn unknown(to: Id, name: &[u8], out: &mut dyn FnMut(Effect<'_>)) {
    let name = quoted(OsStr::from_bytes(name));
    error(to, &format!("no {name} here; /who lists all"), out);
}

/// The first word, and what stands behind it.
fn halves(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = text.iter().position(u8::is_ascii_whitespace);
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (word, rest.trim_ascii_start())
}
