//! A connection whose socket somebody else has: a program. Here it is only seen whether the client
//! is gone; what went over it is known from the kernel's counts.
//!
//! | epoll says | the client | what follows |
//! |------------|------------|--------------|
//! | nothing    | talks, or has ended its side: the program's end of input | |
//! | ERR, or HUP and it was no end | reset the connection | gone at once |
//! | HUP        | has ended, and so has our side; has closed a UNIX socket | gone once the program has read what came, after [`PATIENCE`] |

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::{Conn, Fin, Phase, Table};
use crate::console::event::Reason;
use crate::net::deadline::Deadline;
use crate::net::poller::{Interest, Ready};
use crate::net::tcpinfo::TcpInfo;
use crate::session::Id;

/// A program whose connection has ended in both directions may have something to do still.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is remembered of a connection while it is lent.
pub struct Lent {
    /// Bytes received and sent before, as the kernel counts them.
    before: Option<(u64, u64)>,
    /// Both directions have ended: when to look at it again.
    ended: Option<Instant>,
    /// The client is gone, for this reason.
    gone: Option<Reason>,
}

impl Lent {
    /// When the clock must look at it next.
    pub(super) fn due(&self, active: Instant, idle: Duration) -> Deadline {
        match (self.gone, self.ended) {
            (Some(_), _) => Deadline::NEVER,
            (None, Some(at)) => Deadline::at(at),
            (None, None) if idle.is_zero() => Deadline::NEVER,
            (None, None) => Deadline::at(active + idle),
        }
    }
}

impl Table {
    /// Hands a socket out: a second descriptor for it, in blocking mode.
    pub(super) fn lend_socket(&mut self, client: Id) -> io::Result<OwnedFd> {
        let found = self.conns.get_mut(client.slot);
        let conn = found
            .filter(|conn| conn.number == client.number && matches!(conn.phase, Phase::Open))
            .ok_or(io::ErrorKind::NotConnected)?;
        let socket = conn.socket.duplicate()?;
        conn.interest = Interest::default();
        let token = client.slot as u64;
        self.poller.change(&conn.socket, token, conn.interest)?;
        // The mode belongs to both descriptors; ours is never waited on.
        conn.socket.set_nonblocking(false)?;
        conn.phase = Phase::Lent(Box::new(Lent { before: counts(conn), ended: None, gone: None }));
        conn.shared = true;
        self.dirty.push(client.slot);
        Ok(socket)
    }

    /// epoll has something to say about a lent connection.
    pub(in crate::server) fn hang_up(&mut self, slot: usize, event: &Ready) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        if event.failed || is_reset(conn) {
            self.gone(slot, Reason::Reset);
        } else if let Phase::Lent(lent) = &mut conn.phase
            && event.gone
            && lent.ended.is_none()
        {
            lent.ended = Some(self.now + PATIENCE);
            self.dirty.push(slot);
        }
    }

    /// The clock of a lent connection.
    pub(super) fn look_at_lent(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        let Phase::Lent(lent) = &mut conn.phase else {
            return;
        };
        if lent.ended.is_some() {
            match conn.socket.unread() {
                Ok(1..) => lent.ended = Some(self.now + PATIENCE),
                _ => self.gone(slot, Reason::Eof),
            }
            return;
        }
        if let Some(last) =
            TcpInfo::read(&conn.socket).ok().and_then(|info| self.now.checked_sub(info.quiet()?))
        {
            conn.active = conn.active.max(last);
        }
        if self.now - conn.active >= self.idle {
            self.gone(slot, Reason::Idle);
        }
    }

    /// The client of a lent connection is gone, or is to be: whoever has the socket is told.
    pub(in crate::server) fn gone(&mut self, slot: usize, reason: Reason) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        let Phase::Lent(lent) = &mut conn.phase else {
            return;
        };
        if lent.gone.replace(reason).is_some() {
            return;
        }
        // The client need not wait until the program has taken the hint.
        let _ = conn.socket.shutdown_both();
        self.left.push(Id { number: conn.number, slot });
    }

    /// Takes a lent socket back and ends the connection: in good order, unless the client is gone.
    pub(super) fn take_socket_back(&mut self, client: Id, reason: Reason) {
        let found = self.conns.get_mut(client.slot);
        let Some(conn) = found.filter(|conn| conn.number == client.number) else {
            return;
        };
        let (after, reset) = (counts(conn), is_reset(conn));
        let Phase::Lent(lent) = &mut conn.phase else {
            return;
        };
        conn.moved = match (lent.before, after) {
            (Some(before), Some(after)) => {
                conn.received = after.0.saturating_sub(before.0);
                conn.sent = after.1.saturating_sub(before.1);
                true
            }
            _ => false,
        };
        if let Some(reason) = lent.gone.or(reset.then_some(Reason::Reset)) {
            return self.remove(client.slot, reason);
        }
        conn.phase = Phase::Closing(reason);
        conn.fin = Fin::Wanted;
        conn.active = self.now;
        conn.progress = self.now;
        self.dirty.push(client.slot);
    }
}

/// Whether the client reset the connection, also if the program has read that error already.
fn is_reset(conn: &Conn) -> bool {
    TcpInfo::read(&conn.socket).is_ok_and(|info| info.is_reset())
}

/// Payload bytes read and written by whoever has the socket, as far as the kernel tells.
fn counts(conn: &Conn) -> Option<(u64, u64)> {
    let info = TcpInfo::read(&conn.socket).ok()?;
    let unread = conn.socket.unread().unwrap_or_default();
    Some((info.received()?.saturating_sub(unread), info.sent()?))
}
