//! What members can say and do: a line in, what follows out.
//!
//! Over 300 lines: each command of a room is a function.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::bridge::Record;
use super::members::{Member, Members, OPERATOR, Output, is_remote};
use crate::console::event::Reason;
use crate::exit::quoted;
use crate::sanitize;
use crate::session::Id;

/// What stands before and behind the name of a member that says something, and does something (`/me`).
pub(super) const SAID: [&str; 2] = ["<", "> "];
pub(super) const ACTION: [&str; 2] = ["* ", " "];

/// The longest message, in bytes of text.
pub const LINE: usize = 64 << 10;
/// The longest line that is read: a message behind a command and a name. What is cut off a longer one is
/// more than any message has.
pub const READ: usize = LINE + 512;
/// A list of names is broken into lines of about this length.
pub(super) const LIST: usize = 1000;
/// A greeting names so many members.
const GREETED: usize = 10;
/// A member ignores so many at most.
const IGNORED: usize = 100;

/// Why a private line does not come to a member.
pub(super) const SLOW: &str = "does not keep up";
pub(super) const GONE: &str = "has left";

pub(super) const HELP: &str = "\
-- /nick NAME       change your name
-- /who             list who is here
-- @NAME TEXT       send TEXT to NAME alone (or /msg NAME TEXT)
-- /reply TEXT      the same to the last who wrote to you alone
-- /me TEXT         say what you do
-- /ignore NAME     hide what NAME says, or show it again
-- /quiet           hide joins and leaves, or show them again
-- /quit            leave
-- //TEXT           say /TEXT
";
pub(super) const OPERATOR_HELP: &str = "\
-- /kick NAME       disconnect NAME
-- /ban NAME        the same, and refuse its key, else its address
";

impl Members {
    /// A member sent a line, here without its line end: a command or a message.
    pub fn receive(&mut self, id: Id, line: &[u8], out: &mut dyn Output) {
        if self.get(id).is_none_or(|member| member.is_leaving) {
            return;
        }
        match line {
            [b'/', text @ ..] if !text.starts_with(b"/") => self.command(id, text, out),
            [b'@', rest @ ..] if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) => {
                self.private_message(id, rest, out);
            }
            [b'/', text @ ..] | text => self.message(id, SAID, text, out),
        }
    }

    fn command(&mut self, id: Id, command: &[u8], out: &mut dyn Output) {
        let (word, rest) = first_word(command);
        let is_operator = id == OPERATOR;
        match word.to_ascii_lowercase().as_slice() {
            b"nick" => self.rename(id, rest, out),
            b"who" => out.send_shared(id, &self.who()),
            b"msg" => self.private_message(id, rest, out),
            b"reply" => self.reply(id, rest, out),
            b"me" if rest.is_empty() => error(id, "/me TEXT", out),
            b"me" => self.message(id, ACTION, rest, out),
            b"ignore" => self.ignore(id, rest, out),
            b"quiet" => self.quiet(id, out),
            b"help" if is_operator => out.send(id, [HELP, OPERATOR_HELP].concat().as_bytes()),
            b"help" => out.send_shared(id, &self.help),
            b"quit" if is_operator => out.stop(),
            b"quit" => self.close(id, Reason::Eof, out),
            b"kick" if is_operator => self.kick(rest, out),
            b"ban" if is_operator => self.ban(rest, out),
            b"kick" => error(id, "only the server can kick", out),
            b"ban" => error(id, "only the server can ban", out),
            _ => {
                let word = quoted(OsStr::from_bytes(word));
                error(id, &format!("no command {word}; /help lists them"), out);
            }
        }
    }

    // ---- lines -------------------------------------------------------------------------------

    /// Passes a text on to all others here and on other servers, with the sender's name in this shape.
    fn message(&mut self, from: Id, shape: [&str; 2], text: &[u8], out: &mut dyn Output) {
        let Some(name) = self.get(from).map(|member| member.name.clone()) else {
            return;
        };
        let text = self.pass_on(Some(from), &name, shape, text, out);
        let member = from.number;
        out.publish(&Record::Said { member, name, text, is_action: shape == ACTION });
    }

    /// Passes a text on to all others here. Returns it as it was said.
    pub(super) fn pass_on(
        &mut self,
        from: Option<Id>,
        name: &str,
        [before, after]: [&str; 2],
        text: &[u8],
        out: &mut dyn Output,
    ) -> Vec<u8> {
        let line = self.line([before, name, after], text, from, out);
        let text = &line[before.len() + name.len() + after.len()..line.len() - 1];
        out.said(from.filter(|&from| !is_remote(from)), name, text, &line);
        self.recall.record(&line);
        let sender = from.and_then(|from| self.get(from));
        out.broadcast(&line, sender.map_or(&[], |sender| &sender.hidden_from));
        text.into()
    }

    fn private_message(&mut self, from: Id, rest: &[u8], out: &mut dyn Output) {
        let (name, text) = first_word(rest);
        if name.is_empty() || text.is_empty() {
            return error(from, "@NAME TEXT, or /msg NAME TEXT", out);
        }
        let Some(to) = self.find(name) else {
            return unknown(from, name, out);
        };
        self.tell(from, to, text, out);
    }

    fn reply(&mut self, from: Id, text: &[u8], out: &mut dyn Output) {
        if text.is_empty() {
            return error(from, "/reply TEXT", out);
        }
        match self.get(from).and_then(|member| member.correspondent.as_ref()) {
            Some((to, _)) if self.get(*to).is_some() => self.tell(from, *to, text, out),
            Some((_, name)) => error(from, &format!("{name} {GONE}: not sent"), out),
            None => error(from, "no private message has come to reply to", out),
        }
    }

    /// Sends a text to one member.
    fn tell(&mut self, from: Id, to: Id, text: &[u8], out: &mut dyn Output) {
        let (Some(sender), Some(target)) = (self.get(from), self.get(to)) else {
            return;
        };
        let name = &target.name;
        if let Some((server, number)) = &target.home {
            let text = self.line([""; 3], text, Some(from), out);
            let text = text.strip_suffix(b"\n").unwrap_or(&text).to_vec();
            let (member, name, to_name) = (from.number, sender.name.clone(), name.clone());
            let record = Record::Private { member, name, to: *number, to_name, text };
            if !out.tell_server(server, record) {
                let name = &target.name;
                let why = format!("{name} is on a server that is out of reach: not sent");
                error(from, &why, out);
            }
            return;
        }
        if out.is_slow(to) {
            return error(from, &format!("{name} {SLOW}: not sent"), out);
        }
        if to != from && sender.hidden_from.contains(&to) {
            return error(from, &format!("{name} ignores you: not sent"), out);
        }
        let sender = sender.name.clone();
        self.tell_local(Some(from), &sender, to, text, out);
    }

    /// Sends a text to one member of this server, unless that does not want it.
    pub(super) fn tell_local(
        &mut self,
        from: Option<Id>,
        name: &str,
        to: Id,
        text: &[u8],
        out: &mut dyn Output,
    ) {
        let sender = from.and_then(|from| self.get(from));
        if sender.is_some_and(|it| from != Some(to) && it.hidden_from.contains(&to)) {
            return;
        }
        let line = self.line(["[", name, "] "], text, from, out);
        out.send(to, &line);
        if let Some(member) = self.get_mut(to) {
            member.correspondent = from.map(|from| (from, name.into()));
        }
    }

    /// A line: `before`, then the text, sanitized and cut. A sender of this server gets an error if it was cut.
    fn line(
        &self,
        before: [&str; 3],
        text: &[u8],
        from: Option<Id>,
        out: &mut dyn Output,
    ) -> Vec<u8> {
        let (line, is_whole) = self.composed(before, text);
        if let Some(from) = from.filter(|&from| !is_whole && !is_remote(from)) {
            error(from, "line cut at 64 KiB", out);
        }
        line
    }

    /// A line, and whether the whole text is in it.
    pub(super) fn composed(&self, before: [&str; 3], text: &[u8]) -> (Vec<u8>, bool) {
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
        let [open, name, close] = before.map(str::as_bytes);
        ([open, name, close, text, b"\n"].concat(), text.len() == whole)
    }

    // ---- who is here -------------------------------------------------------------------------

    /// The first line of a newcomer, who is not counted among the others.
    pub(super) fn greeting(&self, name: &str) -> String {
        let here: Vec<&str> = self.names().take(GREETED).collect();
        let more = match self.len() - here.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("-- you are {name}; here: {}{more}; /help lists the commands\n", here.join(", "))
    }

    fn who(&mut self) -> Arc<[u8]> {
        if let Some(list) = &self.list {
            return Arc::clone(list);
        }
        let list = list(&format!("{} here:", self.len()), self.names());
        Arc::clone(self.list.insert(list.into_bytes().into()))
    }

    /// Hides what a member says, or shows it again; without a name lists those who are ignored.
    fn ignore(&mut self, id: Id, name: &[u8], out: &mut dyn Output) {
        let Some(Member { ignored, .. }) = self.get(id) else {
            return;
        };
        let name = name.trim_ascii();
        if name.is_empty() {
            let names = ignored.iter().filter_map(|&of| Some(&*self.get(of)?.name));
            return match ignored.len() {
                0 => error(id, "/ignore NAME; you ignore no member", out),
                _ => out.send(id, list("you ignore", names).as_bytes()),
            };
        }
        let Some(of) = self.find(name) else {
            return unknown(id, name, out);
        };
        let (hides, count) = (!ignored.contains(&of), ignored.len());
        let name = self.name(of);
        if of == id {
            return error(id, "that is you", out);
        } else if !hides {
            notice(id, &format!("what {name} says is shown again"), out);
        } else if count >= IGNORED {
            return error(id, &format!("you ignore {IGNORED} members already"), out);
        } else {
            notice(id, &format!("what {name} says is hidden; /ignore {name} shows it again"), out);
        }
        self.hide(of, id, hides);
    }

    /// Hides joins and leaves, or shows them again.
    fn quiet(&mut self, id: Id, out: &mut dyn Output) {
        let before = self.quiet.len();
        self.quiet.retain(|&other| other != id);
        if self.quiet.len() < before {
            return notice(id, "joins and leaves are shown again", out);
        }
        self.quiet.push(id);
        notice(id, "joins and leaves are hidden; /quiet shows them again", out);
    }

    // ---- the operator ------------------------------------------------------------------------

    fn close(&mut self, id: Id, reason: Reason, out: &mut dyn Output) {
        if let Some(member) = self.get_mut(id) {
            member.is_leaving = true;
            out.close(id, reason);
        }
    }

    /// The member that the operator names, other than itself.
    fn named(&self, name: &[u8], usage: &str, out: &mut dyn Output) -> Option<Id> {
        let name = name.trim_ascii();
        if name.is_empty() {
            error(OPERATOR, usage, out);
            return None;
        }
        match self.find(name) {
            Some(OPERATOR) => error(OPERATOR, "that is you; /quit ends the room", out),
            Some(member) if is_remote(member) => {
                let (name, verb) =
                    (self.name(member), usage.split_once(' ').map_or("", |it| &it.0[1..]));
                let why =
                    format!("{name} is on another server: only its operator can {verb} {name}");
                error(OPERATOR, &why, out);
            }
            Some(member) => return Some(member),
            None => unknown(OPERATOR, name, out),
        }
        None
    }

    fn kick(&mut self, name: &[u8], out: &mut dyn Output) {
        if let Some(member) = self.named(name, "/kick NAME", out) {
            error(member, "kicked", out);
            self.close(member, Reason::Kicked, out);
        }
    }

    fn ban(&mut self, name: &[u8], out: &mut dyn Output) {
        let Some(member) = self.named(name, "/ban NAME", out) else {
            return;
        };
        let Some(identity) = out.identity(member) else {
            let why = format!("{} has no key and no address to ban", self.name(member));
            return error(OPERATOR, &why, out);
        };
        notice(OPERATOR, &format!("{identity} is banned until the server ends"), out);
        self.bans.insert(identity.clone());
        for member in self.ids() {
            if out.identity(member).as_ref() == Some(&identity) {
                error(member, BANNED, out);
                self.close(member, Reason::Kicked, out);
            }
        }
    }
}

/// What a member gets that is banned.
pub(super) const BANNED: &str = "you are banned";

/// The answer that lists names.
fn list<'a>(head: &str, names: impl Iterator<Item = &'a str>) -> String {
    let mut list = format!("-- {head}");
    let mut start = 0;
    for name in names {
        if list.len() - start > LIST {
            start = list.len() + 1;
            list.push_str("\n--");
        }
        list.push(' ');
        list.push_str(name);
    }
    list + "\n"
}

pub(super) fn notice(to: Id, what: &str, out: &mut dyn Output) {
    out.send(to, format!("-- {what}\n").as_bytes());
}

pub(super) fn error(to: Id, what: &str, out: &mut dyn Output) {
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
