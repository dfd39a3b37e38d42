//! Who is in the room, and what they are called: no I/O, what follows goes to an [`Output`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::bridge::Record;
use super::commands::{BANNED, HELP, error};
use super::recall::Recall;
use crate::console::event::Reason;
use crate::exit::quoted;
use crate::sanitize::names::{self, NameError};
use crate::session::Id;

#[cfg(test)]
mod tests;

/// The member who runs sockctl.
pub const OPERATOR: Id = Id { number: 0, slot: usize::MAX };

/// Its name.
pub const OPERATOR_NAME: &str = "server";

/// The greatest id.
const LAST: Id = Id { number: u64::MAX, slot: usize::MAX };

/// Where the room's lines go. Lines have their newline.
pub trait Output {
    /// A line for all but these.
    fn broadcast(&mut self, line: &[u8], except: &[Id]);
    /// The same for a line that may wait a little: a member joined or left.
    fn broadcast_later(&mut self, line: &[u8], except: &[Id]);
    /// Lines for one member.
    fn send(&mut self, to: Id, lines: &[u8]);
    /// Lines that several members get, who share them while they wait.
    fn send_shared(&mut self, to: Id, lines: &Arc<[u8]>);
    /// The member of this name has said this text to all, as this line; `from` is known where it is one of
    /// this server.
    fn said(&mut self, from: Option<Id>, name: &str, text: &[u8], line: &[u8]);
    /// Whether the member reads too slowly to get private messages.
    fn is_slow(&self, member: Id) -> bool;
    /// What a ban of the member holds for.
    fn identity(&self, member: Id) -> Option<Identity>;
    /// The member is to go.
    fn close(&mut self, member: Id, reason: Reason);
    /// The operator ends the room.
    fn stop(&mut self);

    /// Other servers are to know this.
    fn publish(&mut self, record: &Record);
    /// Another server is to know this; false where it is out of reach.
    fn tell_server(&mut self, server: &str, record: Record) -> bool;
    /// Takes a name on all servers for a member, which is called so already or wishes to be. Returns whether the
    /// wish is to be waited for: [`Members::claimed`] follows.
    fn claim(&mut self, member: Id, name: &str, is_wish: bool) -> bool;
    /// Other servers are to know that a member has left.
    fn member_left(&mut self, member: Id);
    /// A number for a guest, where other servers number guests, too.
    fn guest(&mut self) -> Option<u64>;
}

/// Members of other servers have numbers from here on, which no connection has.
const REMOTE: u64 = 1 << 63;

/// Whether it is a member of another server.
pub(super) fn is_remote(id: Id) -> bool {
    id.number >= REMOTE
}

/// What a ban holds for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// The name of the key that was proved.
    Key(Rc<str>),
    /// The address, or the network that counts as one.
    Address(IpAddr),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name) => write!(f, "the key {name}"),
            Self::Address(ip) if ip.is_ipv6() => write!(f, "{ip}/64"),
            Self::Address(ip) => write!(f, "{ip}"),
        }
    }
}

/// The members of the room.
pub struct Members {
    /// In the order they joined.
    all: BTreeMap<Id, Member>,
    /// Which member has a name, by each of its [`names::skeletons`].
    owners: BTreeMap<String, Id>,
    /// The names of authentication keys by theirs, whether or not their holders are here.
    reserved: BTreeMap<String, String>,
    /// The members of other servers, by server and number there, and since when their names are known.
    pub(super) remotes: BTreeMap<(Rc<str>, u64), (Id, Instant)>,
    /// They are out of reach.
    pub(super) is_alone: bool,
    /// How many there have been.
    remote_count: u64,
    /// Those who hide joins and leaves.
    pub(super) quiet: Vec<Id>,
    pub(super) bans: BTreeSet<Identity>,
    /// The answer to `/who`, until it changes: thousands may wait for it.
    pub(super) list: Option<Arc<[u8]>>,
    pub(super) help: Arc<[u8]>,
    pub(super) recall: Recall,
    /// Text is not sanitized.
    pub(super) raw: bool,
}

/// A member.
pub struct Member {
    pub(super) name: String,
    /// It is the name of the key that the member proved.
    is_fixed: bool,
    /// The name that it has asked for and Redis has not answered about.
    pub(super) wish: Option<String>,
    /// It is to go: what it still sends is ignored.
    pub(super) is_leaving: bool,
    /// The last who wrote to it alone, and how it was called then.
    pub(super) correspondent: Option<(Id, String)>,
    /// Those whose lines it hides.
    pub(super) ignored: Vec<Id>,
    /// Who does not get its lines: itself, and those who ignore it.
    pub(super) hidden_from: Vec<Id>,
    /// The server that it is a member of, if not of this one, and its number there.
    pub(super) home: Option<(Rc<str>, u64)>,
}

impl Members {
    /// A room with the operator in it; newcomers get the last lines.
    pub fn new(raw: bool, recall: Recall) -> Self {
        let mut members = Self {
            all: BTreeMap::new(),
            owners: BTreeMap::new(),
            reserved: BTreeMap::new(),
            remotes: BTreeMap::new(),
            is_alone: false,
            remote_count: 0,
            quiet: Vec::new(),
            bans: BTreeSet::new(),
            list: None,
            help: HELP.as_bytes().into(),
            recall,
            raw,
        };
        members.enter(OPERATOR, OPERATOR_NAME.into(), true);
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
        if out.identity(id).is_some_and(|identity| self.bans.contains(&identity)) {
            error(id, BANNED, out);
            return out.close(id, Reason::Kicked);
        }
        let name = if let Some(key) = key {
            self.free_name(key, true)
        } else {
            let number = out.guest().unwrap_or(id.number);
            self.free_name(&format!("guest{number}"), false)
        };
        out.send(id, self.greeting(&name).as_bytes());
        self.recall.show(id, out);
        out.broadcast_later(format!("-- {name} joined\n").as_bytes(), &self.quiet);
        out.claim(id, &name, false);
        self.enter(id, name, key.is_some());
    }

    /// A member left.
    pub fn leave(&mut self, id: Id, out: &mut dyn Output) {
        if let Some(Member { name, ignored, hidden_from, .. }) = self.all.remove(&id) {
            self.unregister(&name);
            self.list = None;
            self.quiet.retain(|&other| other != id);
            for other in ignored {
                self.hide(other, id, false);
            }
            for other in hidden_from {
                self.hide(id, other, false);
            }
            out.broadcast_later(format!("-- {name} left\n").as_bytes(), &self.quiet);
            if !is_remote(id) {
                out.member_left(id);
            }
        }
    }

    pub(super) fn get(&self, id: Id) -> Option<&Member> {
        self.all.get(&id)
    }

    /// What a member is called.
    pub(super) fn name(&self, id: Id) -> &str {
        self.get(id).map_or("", |member| &member.name)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Member> {
        self.all.get_mut(&id)
    }

    /// How many are here.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// All who are here, in the order they joined.
    pub(super) fn ids(&self) -> Vec<Id> {
        self.all.keys().copied().collect()
    }

    /// Their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.values().map(|member| &*member.name)
    }

    /// Hides what `of` says from `by`, or shows it again; who is not here is left out.
    pub(super) fn hide(&mut self, of: Id, by: Id, hidden: bool) {
        let set = |list: &mut Vec<Id>, id: Id| {
            list.retain(|&other| other != id);
            list.extend(hidden.then_some(id));
        };
        if let Some(member) = self.all.get_mut(&by) {
            set(&mut member.ignored, of);
        }
        if let Some(member) = self.all.get_mut(&of) {
            set(&mut member.hidden_from, by);
        }
    }

    /// Changes the member's name.
    pub(super) fn rename(&mut self, id: Id, name: &[u8], out: &mut dyn Output) {
        let Some(Member { name: old, is_fixed, wish, .. }) = self.all.get(&id) else {
            return;
        };
        if *is_fixed {
            return error(id, &format!("{old} is the name of your key: it cannot be changed"), out);
        }
        // One at a time, so that they cannot fill the memory.
        if let Some(wish) = wish {
            return error(id, &format!("wait for the answer to /nick {wish}"), out);
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
            Some(other) => return taken(id, &new, other, out),
            None if new == *old => return error(id, &format!("you are {new}"), out),
            None => {}
        }
        if !out.claim(id, &new, true) {
            self.set_name(id, &new, out);
        } else if let Some(member) = self.all.get_mut(&id) {
            member.wish = Some(new);
        }
    }

    /// A member is called by another name.
    pub(super) fn set_name(&mut self, id: Id, new: &str, out: &mut dyn Output) {
        let Some(member) = self.all.get_mut(&id) else {
            return;
        };
        let old = std::mem::replace(&mut member.name, new.into());
        out.broadcast(format!("-- {old} is now {new}\n").as_bytes(), &[]);
        self.list = None;
        self.unregister(&old);
        self.register(new, id);
    }

    /// Another server has the name of a member, which gets the next number behind it that makes it free.
    pub(super) fn number_name(&mut self, id: Id, out: &mut dyn Output) {
        let Some(Member { name, .. }) = self.all.get(&id) else {
            return;
        };
        let (chosen, number) = name.split_once('~').unwrap_or((name, "1"));
        let next = number.parse::<u64>().unwrap_or(1).saturating_add(1);
        let mut names = (next..).map(|number| format!("{chosen}~{number}"));
        let is_free = |name: &String| self.conflicting_name(name, Some(id), true).is_none();
        let new = names.find(is_free).unwrap_or_default();
        self.set_name(id, &new, out);
        out.claim(id, &new, false);
    }

    /// The member of this server with this number.
    pub(super) fn by_number(&self, number: u64) -> Option<Id> {
        let range = Id { number, slot: 0 }..=Id { number, ..LAST };
        self.all.range(range).next().map(|(id, _)| *id)
    }

    /// Who has a name, or one that it can be mistaken for.
    pub(super) fn holder(&self, name: &str) -> Option<Id> {
        names::skeletons(name).iter().find_map(|skeleton| self.owners.get(skeleton)).copied()
    }

    /// A member of another server is here, too.
    pub(super) fn enter_remote(&mut self, server: &str, number: u64, name: &str) {
        self.remote_count += 1;
        let id = Id { number: REMOTE + self.remote_count, ..LAST };
        let home = (Rc::from(server), number);
        self.remotes.insert(home.clone(), (id, Instant::now()));
        self.enter(id, name.into(), true);
        if let Some(member) = self.all.get_mut(&id) {
            member.home = Some(home);
        }
    }

    /// The name, here or reserved, that one could be mistaken for. Those of keys are no obstacle to
    /// who `holds_key`.
    pub(super) fn conflicting_name(
        &self,
        name: &str,
        own: Option<Id>,
        holds_key: bool,
    ) -> Option<&str> {
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
        let member = Member {
            name,
            is_fixed,
            wish: None,
            is_leaving: false,
            correspondent: None,
            ignored: Vec::new(),
            hidden_from: vec![id],
            home: None,
        };
        self.all.insert(id, member);
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

    /// The member of this name.
    pub(super) fn find(&self, name: &[u8]) -> Option<Id> {
        let name = std::str::from_utf8(name).ok()?;
        if !names::may_be_name(name) {
            return None;
        }
        let [skeleton, _] = names::skeletons(name);
        let id = *self.owners.get(&skeleton)?;
        // Private messages go to no one who is only mistaken for the name.
        let member = self.all.get(&id)?;
        (names::caseless(&member.name) == names::caseless(name)).then_some(id)
    }
}

/// The member does not get a name, as another has it or one that looks like it.
pub(super) fn taken(id: Id, name: &str, other: &str, out: &mut dyn Output) {
    let why = if names::caseless(other) == names::caseless(name) {
        format!("{name} is taken")
    } else {
        format!("{name} can be mistaken for {other}")
    };
    error(id, &why, out);
}
