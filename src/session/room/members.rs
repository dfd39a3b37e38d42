//! Who is in the room, what they are called, and who gets what: lines in, [`Output`] out, no I/O.
//!
//! Over 300 lines: each command of a room is a function.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::console::event::Reason;
use crate::exit::quoted;
use crate::sanitize;
use crate::sanitize::names::{self, NameError};
use crate::session::Id;

#[cfg(test)]
mod tests;

/// The longest message, in bytes of text.
pub const LINE: usize = 64 << 10;
/// The longest line that is read: a message behind a command and a name. What is cut off a longer one is
/// more than any message has.
pub const READ: usize = LINE + 512;
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

/// Where the room's lines go. Lines have their newline.
pub trait Output {
    /// A line for all, except the one it is from.
    fn broadcast(&mut self, line: &[u8], except: Option<Id>);
    /// A line for all that may wait a little: a member joined or left.
    fn broadcast_later(&mut self, line: &[u8]);
    /// Lines for one member.
    fn send(&mut self, to: Id, lines: &[u8]);
    /// Lines that several members get, who share them while they wait.
    fn send_shared(&mut self, to: Id, lines: &Arc<[u8]>);
    /// The member of this name said this text.
    fn log(&mut self, from: Id, name: &str, text: &[u8]);
    /// Whether the member reads too slowly to get private messages.
    fn is_slow(&self, member: Id) -> bool;
    /// The member is to go.
    fn close(&mut self, member: Id, reason: Reason);
    /// The operator ends the room.
    fn stop(&mut self);
}

/// The members of the room.
pub struct Members {
    /// In the order they joined.
    all: BTreeMap<Id, Member>,
    /// Which member has a name, by each of its [`names::skeletons`].
    owners: BTreeMap<String, Id>,
    /// The names of authentication keys by theirs, whether or not their holders are here.
    reserved: BTreeMap<String, String>,
    /// The answer to `/who`, until it changes: thousands may wait for it.
    list: Option<Arc<[u8]>>,
    help: Arc<[u8]>,
    /// Text is not sanitized.
    raw: bool,
}

struct Member {
    name: String,
    /// It is the name of the key that the member proved.
    is_fixed: bool,
    /// It is to go: what it still sends is ignored.
    is_leaving: bool,
}

impl Members {
    /// A room with the operator in it.
    pub fn new(raw: bool) -> Self {
        let (all, owners, reserved) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (list, help) = (None, HELP.as_bytes().into());
        let mut members = Self { all, owners, reserved, list, help, raw };
        members.enter(OPERATOR, "server".into(), true);
        members
    }

    /// Reserves the names of authentication keys, and no others any more.
    pub fn reserve(&mut self, keys: &[impl AsRef<str>]) {
        let skeletons =
            |name: &str| names::skeletons(name).map(|skeleton| (skeleton, name.to_owned()));
        self.reserved = keys.iter().flat_map(|name| skeletons(name.as_ref())).collect();
    }

    /// A member joins, with the name of the key it proved if it has one.
    pub fn join(&mut self, id: Id, key: Option<&str>, out: &mut dyn Output) {
        let name = match key {
            Some(key) => self.free_name(key, true),
            None => self.free_name(&format!("guest{}", id.number), false),
        };
        out.broadcast_later(format!("-- {name} joined\n").as_bytes());
        self.enter(id, name, key.is_some());
    }

    /// A member left.
    pub fn leave(&mut self, id: Id, out: &mut dyn Output) {
        if let Some(Member { name, .. }) = self.all.remove(&id) {
            self.unregister(&name);
            self.list = None;
            out.broadcast_later(format!("-- {name} left\n").as_bytes());
        }
    }

    /// A member sent a line, here without its line end: a command or a message.
    pub fn receive(&mut self, id: Id, line: &[u8], out: &mut dyn Output) {
        if self.all.get(&id).is_none_or(|member| member.is_leaving) {
            return;
        }
        match line {
            [b'/', text @ ..] if !text.starts_with(b"/") => self.command(id, text, out),
            [b'/', text @ ..] | text => self.message(id, ["<", "> "], text, out),
        }
    }

    fn command(&mut self, id: Id, command: &[u8], out: &mut dyn Output) {
        let (word, rest) = first_word(command);
        let is_operator = id == OPERATOR;
        match word.to_ascii_lowercase().as_slice() {
            b"nick" => self.rename(id, rest, out),
            b"who" => out.send_shared(id, &self.who()),
            b"msg" => self.private_message(id, rest, out),
            b"me" if rest.is_empty() => error(id, "/me TEXT", out),
            b"me" => self.message(id, ["* ", " "], rest, out),
            b"help" if is_operator => out.send(id, [HELP, OPERATOR_HELP].concat().as_bytes()),
            b"help" => out.send_shared(id, &self.help),
            b"quit" if is_operator => out.stop(),
            b"quit" => self.close(id, Reason::Eof, out),
            b"kick" if is_operator => self.kick(rest, out),
            b"kick" => error(id, "only the server can kick", out),
            _ => {
                let word = quoted(OsStr::from_bytes(word));
                error(id, &format!("no command {word}; /help lists them"), out);
            }
        }
    }

    // ---- lines -------------------------------------------------------------------------------

    /// Relays a text to all others, with the sender's name between `before` and `after`.
    fn message(&self, from: Id, [before, after]: [&str; 2], text: &[u8], out: &mut dyn Output) {
        if let Some(Member { name, .. }) = self.all.get(&from) {
            let line = self.line([before, name, after], text, from, out);
            let start = before.len() + name.len() + after.len();
            out.log(from, name, &line[start..line.len() - 1]);
            out.broadcast(&line, Some(from));
        }
    }

    fn private_message(&self, from: Id, rest: &[u8], out: &mut dyn Output) {
        let (name, text) = first_word(rest);
        if name.is_empty() || text.is_empty() {
            return error(from, "/msg NAME TEXT", out);
        }
        let Some((to, name)) = self.find(name) else {
            return unknown(from, name, out);
        };
        if out.is_slow(to) {
            return error(from, &format!("{name} does not keep up: not sent"), out);
        }
        if let Some(sender) = self.all.get(&from) {
            let line = self.line(["[", &sender.name, "] "], text, from, out);
            out.send(to, &line);
        }
    }

    /// A line: `before`, then the text, sanitized and cut. The sender gets an error if it was cut.
    fn line(&self, before: [&str; 3], text: &[u8], from: Id, out: &mut dyn Output) -> Vec<u8> {
        let (sanitized, whole);
        // Most text is plain ASCII. Without an early end the compiler compares many bytes at a time: 7 ns
        // instead of 45, of the 80 that a line of 64 bytes costs in a room of two.
        let is_plain = text.iter().fold(true, |plain, byte| plain & (b' '..=b'~').contains(byte));
        let text = if self.raw || is_plain {
            whole = text.len();
            &text[..whole.min(LINE)]
        } else {
            sanitized = sanitize::text(text);
            whole = sanitized.len();
            let mut ends = (0..=sanitized.len().min(LINE)).rev();
            let end = ends.find(|&end| sanitized.is_char_boundary(end));
            &sanitized.as_bytes()[..end.unwrap_or(0)]
        };
        if text.len() < whole {
            error(from, "line cut at 64 KiB", out);
        }
        let [open, name, close] = before.map(str::as_bytes);
        [open, name, close, text, b"\n"].concat()
    }

    fn who(&mut self) -> Arc<[u8]> {
        if let Some(list) = &self.list {
            return Arc::clone(list);
        }
        let mut list = format!("-- {} here:", self.all.len());
        let mut start = 0;
        for Member { name, .. } in self.all.values() {
            if list.len() - start > LIST {
                start = list.len() + 1;
                list.push_str("\n--");
            }
            list.push(' ');
            list.push_str(name);
        }
        list.push('\n');
        Arc::clone(self.list.insert(list.into_bytes().into()))
    }

    fn close(&mut self, id: Id, reason: Reason, out: &mut dyn Output) {
        if let Some(member) = self.all.get_mut(&id) {
            member.is_leaving = true;
            out.close(id, reason);
        }
    }

    fn kick(&mut self, name: &[u8], out: &mut dyn Output) {
        let name = name.trim_ascii();
        if name.is_empty() {
            return error(OPERATOR, "/kick NAME", out);
        }
        match self.find(name) {
            Some((OPERATOR, _)) => error(OPERATOR, "that is you; /quit ends the room", out),
            Some((member, _)) => {
                error(member, "kicked", out);
                self.close(member, Reason::Kicked, out);
            }
            None => unknown(OPERATOR, name, out),
        }
    }

    // ---- names -------------------------------------------------------------------------------

    fn rename(&mut self, id: Id, name: &[u8], out: &mut dyn Output) {
        let Some(Member { name: old, is_fixed, .. }) = self.all.get(&id) else {
            return;
        };
        if *is_fixed {
            return error(id, &format!("you stay {old}"), out);
        }
        let shown = String::from_utf8_lossy(name.trim_ascii());
        let new = match names::name(&shown) {
            Ok(new) => new,
            Err(NameError::Length) => return error(id, "/nick NAME: 1 to 32 characters", out),
            Err(why) => {
                let shown = quoted(OsStr::from_bytes(name.trim_ascii()));
                let rule = match why {
                    NameError::Marks => "at most 4 marks on a letter",
                    _ => "letters, digits, _ - . only",
                };
                return error(id, &format!("{shown}: {rule}"), out);
            }
        };
        match self.conflicting_name(&new, Some(id), false) {
            Some(other) if names::caseless(other) == names::caseless(&new) => {
                return error(id, &format!("{new} is taken"), out);
            }
            Some(other) => {
                return error(id, &format!("{new} can be mistaken for {other}"), out);
            }
            None if new == *old => return error(id, &format!("you are {new}"), out),
            None => {}
        }
        out.broadcast(format!("-- {old} is now {new}\n").as_bytes(), None);
        self.list = None;
        let old = old.clone();
        self.unregister(&old);
        self.register(&new, id);
        if let Some(member) = self.all.get_mut(&id) {
            member.name = new;
        }
    }

    /// The name, here or reserved, that one could be mistaken for. Those of keys are no obstacle to
    /// who `holds_key`.
    fn conflicting_name(&self, name: &str, own: Option<Id>, holds_key: bool) -> Option<&str> {
        names::skeletons(name).iter().find_map(|skeleton| {
            let owner = self.owners.get(skeleton).filter(|&&owner| Some(owner) != own);
            let owner = owner.and_then(|owner| self.all.get(owner)).map(|member| &member.name);
            owner.or_else(|| self.reserved.get(skeleton).filter(|_| !holds_key)).map(String::as_str)
        })
    }

    fn register(&mut self, name: &str, id: Id) {
        self.owners.extend(names::skeletons(name).map(|skeleton| (skeleton, id)));
    }

    fn unregister(&mut self, name: &str) {
        for skeleton in names::skeletons(name) {
            self.owners.remove(&skeleton);
        }
    }

    fn enter(&mut self, id: Id, name: String, is_fixed: bool) {
        self.register(&name, id);
        self.all.insert(id, Member { name, is_fixed, is_leaving: false });
        self.list = None;
    }

    /// The name, or with the first number behind it that makes it free. No member can choose a
    /// name with `~`.
    fn free_name(&self, wanted: &str, holds_key: bool) -> String {
        let numbered = (2_u64..).map(|number| format!("{wanted}~{number}"));
        let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
        names
            .find(|name| self.conflicting_name(name, None, holds_key).is_none())
            .unwrap_or_default()
    }

    /// The member of this name, and the name as it is shown.
    fn find(&self, name: &[u8]) -> Option<(Id, &str)> {
        let name = std::str::from_utf8(name).ok()?;
        if !names::may_be_name(name) {
            return None;
        }
        let [skeleton, _] = names::skeletons(name);
        let id = *self.owners.get(&skeleton)?;
        // Private messages go to no one who is only mistaken for the name.
        let member = self
            .all
            .get(&id)
            .filter(|member| names::caseless(&member.name) == names::caseless(name));
        member.map(|member| (id, &*member.name))
    }
}

fn error(to: Id, what: &str, out: &mut dyn Output) {
    out.send(to, format!("! {what}\n").as_bytes());
}

fn unknown(to: Id, name: &[u8], out: &mut dyn Output) {
    let name = quoted(OsStr::from_bytes(name));
    error(to, &format!("no {name} here; /who lists all"), out);
}

/// The first word, and what stands behind it.
fn first_word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = text.iter().position(u8::is_ascii_whitespace);
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (word, rest.trim_ascii_start())
}
