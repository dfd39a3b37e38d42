//! The TALK loop: what one connection talks to. Where `server/` ends, a connection is let in;
//! here it talks. A handler is pure as far as sockets go: it is told what happened and answers
//! through [`Clients`].

pub mod conversation;
pub mod datagrams;
pub mod discard;
pub mod echo;
pub mod handshake;
pub mod program;
pub mod reply;
pub mod room;
pub mod script;
pub mod seat;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use crate::console::event::Reason;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::socket::Credentials;
use seat::Input;

/// A client: its number as people see it, and where the server keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    /// Counts up from 1; never used again.
    pub number: u64,
    /// The server's place for it, used again after it left.
    pub slot: usize,
}

/// What a connection talks to. One handler serves all clients.
pub trait Handler {
    /// A client was let in.
    fn joined(&mut self, _client: Id, _clients: &mut dyn Clients) {}

    /// Bytes came from a client.
    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients);

    /// The client ended its side. What is queued for it is still delivered.
    fn ended(&mut self, client: Id, clients: &mut dyn Clients) {
        clients.finish(client);
    }

    /// The client is gone, for whatever reason.
    fn left(&mut self, _client: Id, _clients: &mut dyn Clients) {}

    /// What waited for a client was delivered.
    fn drained(&mut self, _client: Id, _clients: &mut dyn Clients) {}

    /// The operator typed something, or stdin delivered.
    fn input(&mut self, _input: Input, _clients: &mut dyn Clients) {}

    /// When [`Handler::tick`] is due.
    fn deadline(&self) -> Deadline {
        Deadline::NEVER
    }

    /// The deadline passed, or another thread has news.
    fn tick(&mut self, _clients: &mut dyn Clients) {}

    /// A descriptor of its own: [`Handler::tick`] is called whenever it is readable.
    fn source(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether it has something to end before the run is over, clients or none.
    fn is_busy(&self) -> bool {
        false
    }

    /// Whether it asks how many clients have the same address.
    fn counts_neighbours(&self) -> bool {
        false
    }

    /// Whether people take part: who joins and who leaves is said.
    fn is_social(&self) -> bool {
        false
    }

    /// The bytes that may wait for a client before it is cut off as slow.
    fn queue_limit(&self) -> usize {
        usize::MAX
    }
}

/// What is known about a client.
pub struct About {
    /// Our end of the connection, where it has one.
    pub local: Option<Endpoint>,
    /// The client's end.
    pub peer: Endpoint,
    /// Clients with the same address, this one included.
    pub neighbours: usize,
    /// The process that connected, for UNIX sockets.
    pub credentials: Option<Credentials>,
    /// What goes over the wire is not the payload: its socket is of no use to others.
    pub wrapped: bool,
}

/// What a handler can do to the clients. Nothing here blocks.
pub trait Clients {
    /// Queues bytes for one client.
    fn send(&mut self, client: Id, bytes: &[u8]);

    /// Queues the same bytes for every client, except the one they are from.
    fn send_all(&mut self, bytes: &[u8], except: Option<Id>);

    /// Queues for every client what may wait a little where much of it comes at once: the first
    /// that somebody says is sent behind it.
    fn notify_all(&mut self, bytes: &[u8]);

    /// Ends our side once everything queued is sent; the client may go on.
    fn finish(&mut self, client: Id);

    /// Ends the connection once everything queued is sent, whatever the client does.
    fn close(&mut self, client: Id, reason: Reason);

    /// Everybody who is in, in the order they came.
    fn all(&self) -> Vec<Id>;

    /// Where a client is.
    fn peer(&self, client: Id) -> Option<Endpoint>;

    /// Bytes queued for a client, and for how long it has taken none of them.
    fn queued(&self, client: Id) -> (usize, Duration);

    /// What is known about a client, if it is here.
    fn about(&self, client: Id) -> Option<About>;

    /// The name of the key that a client proved.
    fn key(&self, client: Id) -> Option<Rc<str>>;

    /// Whether reading from a client waits.
    fn pause(&mut self, client: Id, on: bool);

    /// From now on silence does not end a client when the run is to stop: something works for it.
    fn occupy(&mut self, client: Id);

    /// Hands the client's socket out, in blocking mode: from now on nothing is read from it or
    /// sent to it here. [`Handler::left`] tells that the client is gone; it stays until it is
    /// taken back.
    fn lend(&mut self, client: Id) -> io::Result<OwnedFd>;

    /// Whoever had the client's socket is done: the connection is ended in good order, if the
    /// client is not gone.
    fn take_back(&mut self, client: Id, reason: Reason);

    /// Whether reading from every client waits.
    fn hold(&mut self, on: bool);

    /// Whether it waits now, for the handler's sake or for clients that fall behind.
    fn is_held(&self) -> bool;

    /// Whether something has come from the client that was not read yet.
    fn has_unread(&mut self, client: Id) -> bool;

    /// Ends the run in good order, as SIGTERM does.
    fn stop(&mut self);

    /// Ends the run at once: with success, or with this failure.
    fn quit(&mut self, result: Result<(), Failure>);
}
