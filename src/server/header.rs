//! `--accept-proxy`: a connection from a proxy begins with a header that says whose it is. Until
//! that is read nobody knows whom to let in.

use std::time::Duration;

use super::table::{Phase, Table};
use crate::console::event::Reason;
use crate::exit::Failure;
use crate::net::access::Networks;
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::handshake::{Handshake, Progress, Refusal};
use crate::net::proxy_header::Reader;
use crate::net::socket::would_block;

/// The proxies that are believed.
#[derive(Debug)]
pub struct Proxies {
    believed: Networks,
    /// `-w`: how long a header may take; zero: no limit.
    timeout: Duration,
}

/// A header on its way.
pub(super) struct Announcement {
    pub(super) header: Reader,
    /// When it must be there.
    pub(super) until: Deadline,
}

impl Proxies {
    /// The proxies in these networks; each header must come within `timeout` (zero: no limit).
    pub fn new(believed: Networks, timeout: Duration) -> Self {
        Self { believed, timeout }
    }

    /// What a connection from this peer must begin with, if it is one of them.
    pub(super) fn announcement(&self, peer: &Endpoint) -> Option<Box<Announcement>> {
        let is_proxy = peer.ip().is_some_and(|ip| self.believed.contain(ip));
        is_proxy.then(|| {
            Box::new(Announcement {
                header: Reader::default(),
                until: Deadline::after(self.timeout),
            })
        })
    }
}

/// Reads what came of a header, and nothing behind it. Whether it is whole: then the connection
/// has the address of its client.
pub(super) fn hear(table: &mut Table, slot: usize, buffer: &mut [u8]) -> bool {
    let Some(conn) = table.get(slot) else {
        return false;
    };
    let Phase::Announcing(announcement) = &mut conn.phase else {
        return false;
    };
    loop {
        let wanted = announcement.header.wanted().min(buffer.len());
        let progress = match conn.socket.recv(&mut buffer[..wanted]) {
            Err(e) if would_block(&e) => return false,
            Err(_) | Ok(0) => Progress::Refused(announcement.header.on_eof()),
            Ok(count) => announcement.header.feed(&buffer[..count], &mut Vec::new()),
        };
        match progress {
            Progress::More => {}
            Progress::Refused(why) => {
                refuse(table, slot, why);
                return false;
            }
            Progress::Done(outcome) => {
                if let Some(source) = outcome.source {
                    conn.peer = source.into();
                }
                table.set_phase(slot, Phase::Waiting);
                return true;
            }
        }
    }
}

/// Closes a connection whose header did not come or is none.
pub(super) fn refuse(table: &mut Table, slot: usize, why: Refusal) {
    if let Some(conn) = table.get(slot) {
        let failure = Failure::new("read the PROXY header of", &conn.peer, why.reason, why.exit);
        table.talk.failure(&failure);
        table.remove(slot, Reason::Error);
    }
}
