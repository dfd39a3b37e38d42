//! Members of other servers: they have an [`Id`] like those of this one, and differ by their
//! server.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::bridge::{Incoming, Others, Record};
use super::commands::{ACTION, GONE, SAID, SLOW, error};
use super::members::{Members, Output, is_remote, taken};
use crate::sanitize;
use crate::session::Id;

/// A list of members may be older than this.
const RECENT: Duration = Duration::from_secs(5);
/// What a member learns whose private line may not have come to another server.
const NOT_SENT: &str = "the other servers are out of reach";

impl Members {
    /// Takes what has come over the bridge.
    pub fn cross(&mut self, incoming: Incoming, out: &mut dyn Output) {
        match incoming {
            Incoming::Up(there) => {
                if std::mem::take(&mut self.is_alone) {
                    out.broadcast(b"-- the other servers are there again\n", &[]);
                }
                for (server, number, name) in there {
                    if self.remote(&server, number).is_none() {
                        self.remote_named(&server, number, &name, out);
                    }
                }
            }
            Incoming::Members(there) => self.members_are(&there, out),
            Incoming::Down(_) => {
                self.is_alone = true;
                let line = b"-- the other servers are out of reach: this room goes on by itself\n";
                out.broadcast(line, &[]);
            }
            Incoming::Recalled(said) => self.recall_others(said),
            Incoming::Records(server, records) => {
                for record in records {
                    self.apply(&server, record, out);
                }
            }
            Incoming::Claimed { member, name, held } => {
                self.claimed(member, &name, held.as_deref(), out);
            }
            Incoming::Living(servers) => self.servers_are(&servers, out),
            Incoming::Missed(count) => {
                let line = format!("! {count} lines of other servers did not get here\n");
                out.broadcast(line.as_bytes(), &[]);
            }
            Incoming::Dropped(count) => {
                let line =
                    format!("! {count} lines do not get to the other servers: too many waited\n");
                out.broadcast(line.as_bytes(), &[]);
            }
            Incoming::NotSent(record) => self.not_sent(&record, out),
            Incoming::Guests(_) => {}
        }
    }

    /// What was said on other servers before this one was there.
    fn recall_others(&mut self, said: Vec<(u64, Record)>) {
        for (time, record) in said {
            if let Record::Said { name, text, is_action, .. } = record {
                let [before, after] = if is_action { ACTION } else { SAID };
                let (line, _) = self.composed([before, &name, after], &text);
                self.recall.record_at(time, &line);
            }
        }
    }

    /// These are all members of other servers: records that were missed said who joined, left and changed its
    /// name.
    fn members_are(&mut self, there: &Others, out: &mut dyn Output) {
        let all: BTreeSet<_> =
            there.iter().map(|(server, number, _)| (server.as_str(), *number)).collect();
        self.keep(out, |server, number| all.contains(&(server, number)));
        for (server, number, name) in there {
            let known = self.remotes.get(&(server.as_str().into(), *number));
            let is_right = known.is_some_and(|&(id, since)| {
                let has = |name: &String| there.contains(&(server.clone(), *number, name.clone()));
                since.elapsed() <= RECENT || self.get(id).is_some_and(|member| has(&member.name))
            });
            if !is_right {
                self.remote_named(server, *number, name, out);
            }
        }
    }

    /// Only these servers are there: the members of the others have left.
    fn servers_are(&mut self, living: &[String], out: &mut dyn Output) {
        self.keep(out, |server, _| living.iter().any(|it| it == server));
    }

    /// Members of other servers that are not there have left, except for those who came in the last moments.
    fn keep(&mut self, out: &mut dyn Output, is_there: impl Fn(&str, u64) -> bool) {
        let is_gone = |((server, number), (_, since)): &(&(Rc<str>, u64), &(Id, Instant))| {
            !is_there(server, *number) && since.elapsed() > RECENT
        };
        let gone = self.remotes.iter().filter(is_gone).map(|(key, _)| key.clone());
        for (server, number) in gone.collect::<Vec<_>>() {
            self.remote_left(&server, number, out);
        }
    }

    /// Something happened on another server.
    pub(super) fn apply(&mut self, server: &str, record: Record, out: &mut dyn Output) {
        match record {
            Record::Said { member, name, text, is_action } => {
                let id = self.remote(server, member);
                let shape = if is_action { ACTION } else { SAID };
                self.pass_on(id, &name, shape, &text, out);
            }
            Record::Named { member, name } => self.remote_named(server, member, &name, out),
            Record::Left { member, .. } => self.remote_left(server, member, out),
            Record::Private { member, name, to, to_name, text } => {
                let here = self.by_number(to);
                let here = here.filter(|&id| self.get(id).is_some_and(|it| !it.is_leaving));
                let why = match here {
                    Some(to) if !out.is_slow(to) => {
                        let from = self.remote(server, member);
                        return self.tell_local(from, &name, to, &text, out);
                    }
                    Some(_) => SLOW,
                    None => GONE,
                };
                let refused = Record::Refused { member, name: to_name, why: why.into() };
                out.tell_server(server, refused); // as far as it can be told
            }
            Record::Refused { member, name, why } => {
                if let Some(member) = self.by_number(member) {
                    let why = sanitize::text(&why);
                    error(member, &format!("{name} {why}: not sent"), out);
                }
            }
        }
    }

    /// Redis has answered whether the member has the name.
    pub(super) fn claimed(
        &mut self,
        number: u64,
        name: &str,
        held: Option<&str>,
        out: &mut dyn Output,
    ) {
        let Some(id) = self.by_number(number) else {
            return;
        };
        if let Some(member) = self.get_mut(id) {
            member.wish.take_if(|wish| wish == name);
        }
        let (Some(member), here) = (self.get(id), self.conflicting_name(name, Some(id), false))
        else {
            return;
        };
        match held.or(here) {
            Some(_) if member.name == name => self.number_name(id, out),
            None if member.name == name => {}
            None => self.set_name(id, name, out),
            Some(other) => {
                taken(id, name, other, out);
                if held.is_none() {
                    // A member here has it by now: this one stays what it is, on all servers.
                    out.claim(id, &member.name.clone(), false);
                }
            }
        }
    }

    /// A private line has perhaps not reached another server.
    fn not_sent(&self, record: &Record, out: &mut dyn Output) {
        if let Record::Private { member, to_name, .. } = record
            && let Some(from) = self.by_number(*member)
        {
            error(from, &format!("{to_name} may not have got your line: {NOT_SENT}"), out);
        }
    }

    fn remote(&self, server: &str, number: u64) -> Option<Id> {
        self.remotes.get(&(server.into(), number)).map(|(id, _)| *id)
    }

    /// A member of another server is called so: it has joined if it is not known.
    fn remote_named(&mut self, server: &str, number: u64, name: &str, out: &mut dyn Output) {
        let known = self.remote(server, number);
        let is_news = known.and_then(|id| self.get(id)).is_none_or(|member| member.name != name);
        if !is_news || !self.make_room(name, known, out) {
            return;
        }
        if let Some(id) = known {
            self.remotes.insert((server.into(), number), (id, Instant::now()));
            self.set_name(id, name, out);
        } else {
            self.enter_remote(server, number, name);
            out.broadcast_later(format!("-- {name} joined\n").as_bytes(), &self.quiet);
        }
    }

    fn remote_left(&mut self, server: &str, number: u64, out: &mut dyn Output) {
        if let Some((id, _)) = self.remotes.remove(&(server.into(), number)) {
            self.leave(id, out);
        }
    }

    /// Makes a name free for a member of another server, which holds it: one of this server that has it is
    /// called by another. Whether it is free then.
    fn make_room(&mut self, name: &str, own: Option<Id>, out: &mut dyn Output) -> bool {
        for _ in 0..2 {
            match self.holder(name).filter(|&holder| Some(holder) != own) {
                None => return true,
                Some(holder) if is_remote(holder) => {
                    // Its server has not said yet that it has gone.
                    let home = self.get(holder).and_then(|member| member.home.clone());
                    if let Some((server, number)) = home {
                        self.remote_left(&server, number, out);
                    }
                }
                Some(holder) => self.number_name(holder, out),
            }
        }
        self.holder(name).is_none()
    }
}
