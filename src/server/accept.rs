//! The accept loop and admission: accepts connections, and admits each, has it wait or refuses it.

use std::io;
use std::time::Duration;

use super::phase::{Phase, Purpose};
use super::security::Security;
use super::{EventLoop, LISTENER};
use crate::console::event::{Level, Reason};
use crate::exit::{Exit, Failure};
use crate::net::access::{AccessList, Networks};
use crate::net::connection::Connection;
use crate::net::deadline::Deadline;
use crate::net::dump::Dump;
use crate::net::endpoint::Endpoint;
use crate::net::errno::would_block;
use crate::net::options::Stage;
use crate::net::poller::Interest;
use crate::net::proxy_header;
use crate::net::role::Role;
use crate::net::socket::Socket;
use crate::net::sockopt;
use crate::session::Clients;

/// Connections accepted before those that are there have their turn again: a flood of new ones does not
/// hold them up.
const BATCH: usize = 64;
/// A client that says nothing is admitted after this time; a health check has left before.
const SILENCE: Duration = Duration::from_millis(100);
/// The pause after a failed accept(2): a lack of descriptors or memory makes it fail at once again.
const PAUSE: Duration = Duration::from_millis(50);

/// Who may connect, and how many.
#[derive(Debug)]
pub struct Limits {
    /// `-m`: connections at a time.
    pub max: usize,
    /// `--on-full reject`: a connection too many is closed; otherwise it waits.
    pub reject: bool,
    /// `--per-ip`: connections from one address at a time.
    pub per_ip: Option<usize>,
    /// `--allow`, `--deny`.
    pub access: AccessList,
}

impl Default for Limits {
    /// No limits.
    fn default() -> Self {
        Self { max: usize::MAX, reject: false, per_ip: None, access: AccessList::default() }
    }
}

/// `--accept-proxy`: the proxies whose PROXY headers are trusted.
#[derive(Debug)]
pub struct Proxies {
    /// Their networks.
    pub trusted: Networks,
    /// `-w`: how long a header may take; zero: no limit.
    pub timeout: Duration,
}

impl EventLoop<'_> {
    /// Accepts what waits, a batch at a time. socketserver: `get_request`.
    pub(super) fn accept(&mut self) {
        for _ in 0..BATCH {
            if self.must_wait() {
                return self.watch_listener();
            }
            let Some(listener) = &self.listener else {
                return;
            };
            match listener.accept() {
                Ok((socket, peer)) => {
                    self.receive_accepted(socket, peer);
                    self.evict();
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) => return self.pause_accept(&e),
            }
        }
    }

    /// An accepted connection: a trusted proxy first sends the client's address.
    fn receive_accepted(&mut self, socket: Socket, peer: Endpoint) {
        self.table.count += 1;
        if let Err(failure) = sockopt::apply(&self.config.settings, &socket, Stage::Accepted) {
            // Of that client only.
            return self.table.log_limit.failure(&failure, self.table.now);
        }
        let until = match &self.config.proxies {
            Some(proxies) if peer.ip().is_some_and(|ip| proxies.trusted.contain(ip)) => {
                Some(Deadline::after(proxies.timeout))
            }
            _ => None,
        };
        let conn = Connection::new(socket, peer, self.table.now);
        let Ok(id) = self.table.insert(self.table.count, Role::Server, conn) else {
            return; // what epoll cannot watch is closed
        };
        match until {
            None => self.receive_newcomer(id.slot),
            Some(until) => {
                let header = Box::new(proxy_header::Reader);
                self.preauth.add(id, None, self.table.now);
                self.begin_handshake(id.slot, header, Purpose::ProxyHeader, until);
            }
        }
    }

    /// A connection whose address is known: refused, asked for its key, or admitted.
    pub(super) fn receive_newcomer(&mut self, slot: usize) {
        let (Some(id), Some(entry)) = (self.table.id(slot), self.table.get(slot)) else {
            return;
        };
        let from = entry.conn.peer.ip();
        let security = self.config.security.as_ref().filter(|it| it.is_immediate());
        let denial = self.config.limits.access.denial(from);
        if let Some(rule) =
            denial.filter(|_| !security.is_some_and(|it| it.would_explain(&self.preauth)))
        {
            entry.denied_by = Some(rule);
            self.table.remove(slot, Reason::Access);
        } else if security.is_some() {
            self.authenticate(id, from);
        } else if self.handler.joins_late()
            && self.table.admitted + self.table.silent < self.config.limits.max
        {
            self.table.set_phase(slot, Phase::Silent(self.table.now + SILENCE));
        } else {
            self.admit(slot);
        }
    }

    /// A connection that was silent so far has a byte, or has ended.
    pub(super) fn end_silence(&mut self, slot: usize) {
        match self.table.get(slot).map(|entry| entry.conn.socket.peek(&mut [0])) {
            Some(Ok(0)) => self.table.remove(slot, Reason::Eof),
            Some(Ok(_)) => self.admit(slot),
            Some(Err(e)) if !would_block(&e) => self.table.remove(slot, Reason::Reset),
            _ => {}
        }
    }

    /// Admits a connection if there is room; else it waits or is refused. socketserver:
    /// `process_request`.
    pub(super) fn admit(&mut self, slot: usize) {
        let is_dialled = self.table.entries.get(slot).is_none_or(|it| it.role == Role::Client);
        if !is_dialled && !self.has_room(slot) {
            return;
        }
        if let Err(failure) = self.start_dumps(slot) {
            return self.dump_failed(slot, failure);
        }
        self.table.open(slot);
        // A second client is refused instead of waiting in the backlog.
        if self.config.once && self.listener.is_some() && !is_dialled {
            self.stop_listening();
            for other in self.table.slots().into_iter().filter(|&other| other != slot) {
                self.table.remove(other, Reason::Once);
            }
        }
        if let Some(id) = self.table.id(slot) {
            self.handler.joined(id, &mut self.table);
            // Broadcasts about this connection: the others may get them later.
            self.table.flush_entry(slot);
        }
    }

    /// Whether an accepted connection may be admitted now; else it waits or is refused.
    fn has_room(&mut self, slot: usize) -> bool {
        if let Some(max) = self.config.limits.per_ip
            && self.table.neighbours(slot) >= max
        {
            self.table.close(slot, Reason::PerAddress);
        } else if self.is_full() {
            if self.config.limits.reject {
                self.table.close(slot, Reason::Full);
            } else {
                self.table.set_phase(slot, Phase::Waiting);
            }
        } else {
            return true;
        }
        false
    }

    /// `--hex`, `--log`: has a connection dumped.
    fn start_dumps(&mut self, slot: usize) -> Result<(), Failure> {
        let Some(entry) = self.table.entries.get_mut(slot) else {
            return Ok(());
        };
        if entry.is_target {
            return Ok(()); // the client's dump has it all
        }
        let dumps = self.config.dumps.iter();
        let recorders = dumps.map(|dump| dump.recorder(entry.number, self.config.labels));
        entry.conn.dump_to(recorders.collect::<Result<_, _>>()?);
        Ok(())
    }

    /// A dump could not be opened. If each client has files of its own, that ends this one alone.
    fn dump_failed(&mut self, slot: usize, failure: Failure) {
        let is_shared = !self.config.dumps.iter().all(Dump::is_numbered);
        let is_dialled = self.table.entries.get(slot).is_none_or(|it| it.role == Role::Client);
        if is_shared || self.config.once || is_dialled {
            return self.table.quit(Err(failure.exit(Exit::Output)));
        }
        self.table.log_limit.failure(&failure, self.table.now);
        if let Some(entry) = self.table.get(slot) {
            entry.conn.reset_on_close();
        }
        self.table.remove(slot, Reason::Error);
    }

    /// Admits connections that wait, now that there may be room; whether there was for any.
    pub(super) fn admit_waiting(&mut self) -> bool {
        let mut any = false;
        while self.table.stopping.is_none()
            && self.table.result.is_none()
            && !self.is_full()
            && let Some(slot) = self.table.first_waiting()
        {
            self.admit(slot);
            any = true;
        }
        any
    }

    fn is_full(&self) -> bool {
        self.table.admitted >= self.config.limits.max
    }

    /// Whether new connections are secured before they count.
    fn secures_newcomers(&self) -> bool {
        self.config.security.as_ref().is_some_and(Security::is_immediate)
    }

    /// Whether connections stay in the backlog until there is room.
    fn must_wait(&self) -> bool {
        self.is_full() && !self.config.limits.reject && !self.secures_newcomers()
    }

    /// Watches the listener exactly while a connection could be accepted.
    pub(super) fn watch_listener(&mut self) {
        let read = self.resume.is_none() && !self.must_wait();
        let Some(listener) = &self.listener else {
            return;
        };
        if read != self.accepting {
            self.accepting = read;
            if !read && self.resume.is_none() && self.accept_log.allows(self.table.now) {
                let max = self.config.limits.max;
                let notice = format!("{max} connections are open (-m): further clients wait");
                self.talk.notice(Level::Verbose, &notice);
            }
            // epoll_ctl(2) fails here only for a descriptor that is closed.
            let interest = Interest { read, write: false };
            let _ = self.table.poller.change(listener, LISTENER, interest);
        }
    }

    /// accept(2) failed: logs that, and pauses. Running out of descriptors or memory passes; nothing
    /// here ends the server.
    fn pause_accept(&mut self, error: &io::Error) {
        let now = self.table.now;
        if let Some(listener) = &self.listener
            && error.kind() != io::ErrorKind::Interrupted
            && self.accept_log.allows(now)
        {
            self.talk.failure(&Failure::system("accept on", listener.local(), error));
        }
        self.resume = Some(now + PAUSE);
        self.watch_listener();
    }
}
