//! Members of other servers: they have an [`Id`] like those of this one, and are told from them by their
//! server.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::bridge::{Incoming, Record};
use super::commands::{ACTION, SAID, error};
use super::members::{Members, Output, is_remote};
use crate::sanitize::names;
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
                for (server, name) in there {
                    self.remote_joined(&server, &name, out);
                }
            }
            Incoming::Members(there) => self.members_are(&there, out),
            Incoming::Down(why) => {
                self.is_alone = true;
                let line = format!(
                    "-- the other servers are out of reach ({why}): this room goes on by itself\n"
                );
                out.broadcast(line.as_bytes(), &[]);
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
                let line = format!(
                    "! {count} lines of other servers are lost: they came faster than this one reads\n"
                );
                out.broadcast(line.as_bytes(), &[]);
            }
            Incoming::Dropped(count) => {
                let line = format!(
                    "! {count} lines do not reach the other servers, which were out of reach for too long\n"
                );
                out.broadcast(line.as_bytes(), &[]);
            }
            Incoming::NotSent(record) => self.not_sent(&record, out),
            Incoming::Guests(_) => {}
        }
    }

    /// What was said on other servers before this one was there.
    fn recall_others(&mut self, said: Vec<(u64, Record)>) {
        for (time, record) in said {
            if let Record::Said { name, text, is_action } = record {
                let [before, after] = if is_action { ACTION } else { SAID };
                let (line, _) = self.composed([before, &name, after], &text);
                self.recall.record_at(time, &line);
            }
        }
    }

    /// These are all members of other servers. Who has joined in the last moments may be missing.
    fn members_are(&mut self, there: &[(String, String)], out: &mut dyn Output) {
        let there: BTreeSet<(&str, &str)> =
            there.iter().map(|(server, name)| (&**server, &**name)).collect();
        let is_gone = |(key, (_, since)): &(&(Rc<str>, String), &(Id, Instant))| {
            since.elapsed() > RECENT && !there.contains(&(&*key.0, &*key.1))
        };
        let gone: Vec<_> =
            self.remotes.iter().filter(is_gone).map(|(key, _)| key.clone()).collect();
        for (server, name) in gone {
            self.remote_left(&server, &name, out);
        }
    }

    /// Only these servers are there: the members of the others have left.
    fn servers_are(&mut self, living: &[String], out: &mut dyn Output) {
        let mut gone: Vec<Rc<str>> =
            self.remotes.keys().map(|(server, _)| Rc::clone(server)).collect();
        gone.dedup();
        gone.retain(|server| !living.iter().any(|it| **it == **server));
        for server in gone {
            let members = self.remotes.keys().filter(|(it, _)| *it == server);
            for (_, name) in members.cloned().collect::<Vec<_>>() {
                self.remote_left(&server, &name, out);
            }
        }
    }

    /// Something happened on another server.
    pub(super) fn apply(&mut self, server: &str, record: Record, out: &mut dyn Output) {
        match record {
            Record::Said { name, text, is_action } => {
                let id = self.remote(server, &name);
                let shape = if is_action { ACTION } else { SAID };
                self.pass_on(id, &name, shape, &text, out);
            }
            Record::Joined(name) => self.remote_joined(server, &name, out),
            Record::Left(name) => self.remote_left(server, &name, out),
            Record::Renamed { old, new } => {
                if let Some(id) = self.remote(server, &old)
                    && self.make_room(&new, Some(id), out)
                {
                    self.remotes.remove(&(server.into(), old));
                    self.remotes.insert((server.into(), new.clone()), (id, Instant::now()));
                    self.set_name(id, &new, out);
                }
            }
            Record::Private { from, to, text } => {
                let to = self.find(to.as_bytes()).filter(|&to| !is_remote(to));
                if let (Some(to), from_id) = (to, self.remote(server, &from)) {
                    self.tell_local(from_id, &from, to, &text, out);
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
        let is_wanted = self.get(id).is_some_and(|member| member.wanted.as_deref() == Some(name));
        if is_wanted && let Some(member) = self.get_mut(id) {
            member.wanted = None;
        }
        match held {
            None if is_wanted => self.set_own_name(id, name, out),
            Some(held) if is_wanted => {
                let why = if names::caseless(held) == names::caseless(name) {
                    format!("{name} is taken")
                } else {
                    format!("{name} can be mistaken for {held}")
                };
                error(id, &why, out);
            }
            // It has the name on this server alone.
            Some(_) if self.get(id).is_some_and(|member| member.name == name) => {
                self.number_name(id, out);
            }
            _ => {}
        }
    }

    /// A private line has perhaps not reached another server.
    fn not_sent(&self, record: &Record, out: &mut dyn Output) {
        if let Record::Private { from, to, .. } = record
            && let Some(from) = self.find(from.as_bytes())
        {
            error(from, &format!("{to} may not have got your line: {NOT_SENT}"), out);
        }
    }

    fn remote(&self, server: &str, name: &str) -> Option<Id> {
        self.remotes.get(&(server.into(), name.into())).map(|(id, _)| *id)
    }

    fn remote_joined(&mut self, server: &str, name: &str, out: &mut dyn Output) {
        if self.remote(server, name).is_none() && self.make_room(name, None, out) {
            self.enter_remote(server, name);
            out.broadcast_later(format!("-- {name} joined\n").as_bytes(), &self.quiet);
        }
    }

    fn remote_left(&mut self, server: &str, name: &str, out: &mut dyn Output) {
        if let Some((id, _)) = self.remotes.remove(&(server.into(), name.into())) {
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
                    let key = self.remotes.iter().find(|(_, (id, _))| *id == holder);
                    if let Some((server, name)) = key.map(|(key, _)| key.clone()) {
                        self.remote_left(&server, &name, out);
                    }
                }
                Some(holder) => self.number_name(holder, out),
            }
        }
        self.holder(name).is_none()
    }
}
