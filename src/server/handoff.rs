//! A connection whose socket a program has: as under tcpserver it can do with it what it likes, which a
//! relay would not allow. Here it is only watched for whether the client is gone; what went over it is
//! known from the kernel's counts.
//!
//! | epoll reports | the client | what follows |
//! |---------------|------------|--------------|
//! | nothing       | talks, or has ended its side: the program's end of input | |
//! | ERR and HUP, or HUP without an end | reset the connection | it is gone at once |
//! | ERR alone     | talks: the error (an ICMP error with `IP_RECVERR`) is the program's to read | |
//! | HUP           | has ended, and so has our side; has closed a UNIX socket | it is gone [`EXIT_GRACE`] after the program has read everything |
//!
//! In the client's role the last is no reason to end the program, which has its own work to finish.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};

use super::phase::{HandOff, Phase};
use super::table::{Entry, Table};
use crate::console::event::Reason;
use crate::net::poller::{Interest, Ready};
use crate::net::role::Role;
use crate::net::tcpinfo::TcpInfo;
use crate::session::Id;
use crate::session::program::EXIT_GRACE;

impl Table {
    /// Gives out a duplicate of the socket, in blocking mode.
    pub(super) fn hand_off_socket(&mut self, client: Id) -> io::Result<OwnedFd> {
        let token = client.slot as u64;
        let entry = self.open_entry(client).ok_or(io::ErrorKind::NotConnected)?;
        let socket = entry.conn.socket.as_fd().try_clone_to_owned()?;
        entry.interest = Interest::default();
        // Both descriptors share the mode; ours is neither read nor written meanwhile.
        entry.conn.socket.set_nonblocking(false)?;
        let before = counts(entry);
        self.poller.change(&self.entries[client.slot].conn, token, Interest::default())?;
        let hand_off = HandOff { before, ended: None, gone: None };
        self.set_phase(client.slot, Phase::HandedOff(Box::new(hand_off)));
        Ok(socket)
    }

    /// epoll reports an error or a hang-up on a socket that a program has.
    pub(super) fn hung_up_handed_off(&mut self, slot: usize, event: &Ready) {
        let now = self.now;
        let Some(entry) = self.get(slot) else {
            return;
        };
        if event.failed && event.hung_up || is_reset(entry) {
            self.hang_up(slot, Reason::Reset);
        } else if let Phase::HandedOff(hand_off) = &mut entry.phase
            && event.hung_up
            && hand_off.ended.is_none()
            && entry.role == Role::Server
        {
            hand_off.ended = Some(now + EXIT_GRACE);
            self.pending.push(slot);
        }
    }

    /// The timer of a connection whose socket a program has.
    pub(super) fn check_handed_off(&mut self, slot: usize) {
        let now = self.now;
        let entry = self.entries.get_mut(slot);
        let Some(Entry { conn, phase: Phase::HandedOff(hand_off), .. }) = entry else {
            return;
        };
        if hand_off.ended.is_some() {
            return match conn.socket.unread() {
                Ok(1..) => hand_off.ended = Some(now + EXIT_GRACE),
                _ => self.hang_up(slot, Reason::Eof),
            };
        }
        let quiet = TcpInfo::read(&*conn).ok().and_then(|info| info.quiet());
        if let Some(last) = quiet.and_then(|quiet| now.checked_sub(quiet)) {
            conn.active = conn.active.max(last);
        }
        if now - conn.active >= self.bounds.idle {
            self.hang_up(slot, Reason::Idle);
        }
    }

    /// The client is gone, or is to be: the program sees the end of its input, and the handler ends it.
    pub(super) fn hang_up(&mut self, slot: usize, reason: Reason) {
        let entry = self.entries.get_mut(slot);
        let Some(Entry { number, conn, phase: Phase::HandedOff(hand_off), .. }) = entry else {
            return;
        };
        if hand_off.gone.replace(reason).is_some() {
            return;
        }
        // Only the reading side where the client gets no FIN but a reset, once the program, which may take
        // seconds to react to its signal, has ended.
        let is_over = matches!(reason, Reason::Eof | Reason::Reset);
        let _ = conn.socket.shutdown(if is_over { Shutdown::Both } else { Shutdown::Read });
        self.left.push(Id { number: *number, slot });
    }

    /// Takes the socket back and ends the connection, unless the client is gone; whether it was.
    pub(super) fn reclaim_socket(&mut self, client: Id, reason: Reason) -> bool {
        let now = self.now;
        let found = self.entries.get_mut(client.slot);
        let Some(entry) = found.filter(|entry| entry.number == client.number) else {
            return true;
        };
        let (after, reset) = (counts(entry), is_reset(entry));
        let Phase::HandedOff(hand_off) = &entry.phase else {
            return false;
        };
        let (before, gone) = (hand_off.before, hand_off.gone.or(reset.then_some(Reason::Reset)));
        entry.has_counts = false;
        if let (Some(before), Some(after)) = (before, after) {
            entry.conn.received = after.0.saturating_sub(before.0);
            entry.conn.sent = after.1.saturating_sub(before.1);
            entry.has_counts = true;
        }
        // A program that was killed as the run stopped may have had more to say.
        match gone.filter(|&gone| gone != Reason::Shutdown).unwrap_or(reason) {
            Reason::Reset => self.remove(client.slot, Reason::Reset),
            reason => {
                self.with(client.slot, |entry, _, _| entry.conn.active = now);
                self.end_in(client.slot, reason);
            }
        }
        gone.is_some()
    }
}

/// Whether the client reset the connection, also if the program has read that error already.
fn is_reset(entry: &Entry) -> bool {
    TcpInfo::read(&entry.conn).is_ok_and(|info| info.is_reset(entry.role == Role::Client))
}

/// Payload bytes read and written by the program, as the kernel counts them.
fn counts(entry: &Entry) -> Option<(u64, u64)> {
    let info = TcpInfo::read(&entry.conn).ok()?;
    let unread = entry.conn.socket.unread().unwrap_or_default();
    Some((info.received(entry.role == Role::Client)?.saturating_sub(unread), info.sent()?))
}
