//! The TALK loop: what a connection talks to. `server/` accepts or dials, and admits; from then on a
//! [`Handler`] gets the received data. It has no socket: it answers through [`Clients`].
//!
//! [What a handler is in `socketserver`](crate#two-loops); [how to add one](crate#how-to-add).

pub mod broker;
pub mod closed;
pub mod datagrams;
pub mod discard;
pub mod echo;
pub mod pattern;
pub mod pipe;
pub mod program;
pub mod prompt;
pub mod relay;
pub mod reply;
pub mod room;
pub mod script;
pub mod seat;
mod stdio;
pub mod when;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::UnixCredentials;

use crate::console::event::Reason;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::splice::{Moved, Splice};
use crate::net::tlsinfo::TlsInfo;
use closed::Closed;
use seat::Input;

/// A client: its number as people see it, and its place in the table of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Counts up from 1; never used again.
    pub number: u64,
    /// The slot in the table, used again after the client has left.
    pub slot: usize,
}

/// How the peer's side of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The peer ended it.
    Eof,
    /// `--max-bytes` have come.
    Limit,
}

/// What connections talk to. One handler serves all of them.
///
/// For each client the order is: `joined`, then `received` as often as bytes come, `ended` at most
/// once and only after all bytes are taken, `left`.
pub trait Handler {
    /// The run has a target: connections to it are dialled with [`Clients::dial`], one by default.
    fn begin(&mut self, clients: &mut dyn Clients) {
        clients.dial(0, None, Deadline::NEVER);
    }

    /// The handshake that secures a dialled connection has succeeded or failed; with TLS, what is known of
    /// the session. `joined`, `tls_started`, `closed` or `unreached` follows.
    fn handshake_over(&mut self, _tls: Option<&TlsInfo>) {}

    /// The connection with this number, which was dialled, has failed before it was admitted.
    fn unreached(&mut self, _number: u64, failure: Failure, clients: &mut dyn Clients) {
        clients.quit(Err(failure));
    }

    /// A client was admitted.
    fn joined(&mut self, _client: Id, _clients: &mut dyn Clients) {}

    /// TLS has begun on a client's connection, after [`Clients::start_tls`].
    fn tls_started(&mut self, _client: Id, _clients: &mut dyn Clients) {}

    /// Bytes came from a client; the number that was taken. The rest is offered again, before
    /// anything that comes later, in the next turn of the loop in which the client is not paused.
    fn received(&mut self, _client: Id, bytes: &[u8], _clients: &mut dyn Clients) -> usize {
        bytes.len()
    }

    /// A client's socket is readable. A handler that moves the bytes inside the kernel
    /// ([`Clients::splice_to`]) does so and returns true; else they are read for `received`.
    fn readable(&mut self, _client: Id, _clients: &mut dyn Clients) -> bool {
        false
    }

    /// The client ended its side. What is queued for it is still delivered.
    fn ended(&mut self, client: Id, end: StreamEnd, clients: &mut dyn Clients) {
        match end {
            StreamEnd::Eof => clients.finish(client),
            StreamEnd::Limit => clients.close(client, Reason::Limit),
        }
    }

    /// The client does not take part any more: it is gone, or is being closed.
    fn left(&mut self, _client: Id, _clients: &mut dyn Clients) {}

    /// The client's connection is over. This comes last, after [`Handler::left`]. Returns whether it is
    /// dialled again: with `--wait` as one that was not there yet, with `--reconnect` as another one.
    fn closed(&mut self, _client: Id, _closed: &Closed, _clients: &mut dyn Clients) -> bool {
        false
    }

    /// A client that is paused has gone: by a failure, or a UNIX peer that has closed. What it has sent before can
    /// still be read.
    fn gone(&mut self, _client: Id, _has_failed: bool, _clients: &mut dyn Clients) {}

    /// The client's send queue is empty again, or its socket has room again.
    fn drained(&mut self, _client: Id, _clients: &mut dyn Clients) {}

    /// Input of the operator: typed lines, or a piece of stdin.
    fn input(&mut self, _input: Input, _clients: &mut dyn Clients) {}

    /// When [`Handler::tick`] is due.
    fn deadline(&self) -> Deadline {
        Deadline::NEVER
    }

    /// The deadline passed, [`Handler::source`] is readable, or another thread has woken the loop.
    fn tick(&mut self, _clients: &mut dyn Clients) {}

    /// The run is to stop: no more input is read, and what is left has until then.
    fn stopping(&mut self, _until: Deadline, _clients: &mut dyn Clients) {}

    /// Whether there is more to send to the client than was sent. A connection that a run closes as it stops
    /// is then reset: FIN would tell the client that it has all.
    fn is_incomplete(&mut self, _client: Id) -> bool {
        false
    }

    /// Whether bytes from or for the client are under way that the table does not see: silence does not end it then
    /// while the run is stopping.
    fn is_in_transit(&self, _client: Id, _clients: &dyn Clients) -> bool {
        false
    }

    /// Whether silence for that long (`-i`) ends the client's connection.
    fn is_idle(&self, _client: Id, _limit: Duration, _clients: &dyn Clients) -> bool {
        true
    }

    /// A descriptor of its own: [`Handler::tick`] is called whenever it is readable.
    fn source(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether it has something to end before the run is over, clients or none.
    fn is_busy(&self) -> bool {
        false
    }

    /// The names of the keys that clients prove, read again.
    fn reserve(&mut self, _names: &[String]) {}

    /// How long a peer that is to be reset may take nothing of what was sent before.
    fn reset_timeout(&self) -> Duration {
        Duration::from_millis(500)
    }

    /// Whether people take part: joins and leaves are reported without `-v`.
    fn is_social(&self) -> bool {
        false
    }

    /// Whether a client joins with its first byte, or after a moment of silence. A health check, which
    /// leaves without one, has not been there for anyone.
    fn joins_late(&self) -> bool {
        false
    }

    /// The bytes that may wait for a client before it is cut off as slow. Without a limit of its own
    /// a handler sends what it reads, and reading stops at the [marks](crate::net::flow).
    fn queue_limit(&self) -> usize {
        usize::MAX
    }
}

/// What is known about a client; a program gets it in its environment.
pub struct About {
    /// It sent a datagram, and has no connection.
    pub is_datagram: bool,
    /// We connected to it: it is the server.
    pub is_dialled: bool,
    /// Our end of the connection, where it has one.
    pub local: Option<Endpoint>,
    /// The client's end.
    pub peer: Endpoint,
    /// Clients with the same address, this one included.
    pub neighbours: usize,
    /// The process that connected, for UNIX sockets.
    pub credentials: Option<UnixCredentials>,
    /// The name of the key that it proved.
    pub key: Option<Rc<str>>,
    /// Its TLS session.
    pub tls: Option<Rc<TlsInfo>>,
    /// Whether a codec stands between the wire and the payload: then the socket is of no use to a
    /// program.
    pub has_codec: bool,
}

/// What a handler can do to the clients. Nothing here blocks.
pub trait Clients {
    /// Queues bytes for one client.
    fn send(&mut self, client: Id, bytes: &[u8]);

    /// Queues bytes that several clients get: they are kept once.
    fn send_shared(&mut self, client: Id, bytes: &Arc<[u8]>);

    /// Queues the same bytes for every client but these.
    fn broadcast(&mut self, bytes: &[u8], except: &[Id]);

    /// The same for bytes that may wait a little: they are sent with the next broadcast, or when
    /// the flush schedule says so.
    fn broadcast_later(&mut self, bytes: &[u8], except: &[Id]);

    /// Half-close: ends our side once everything queued is sent; the client may go on.
    fn finish(&mut self, client: Id);

    /// Begins TLS on the connection once everything queued is sent (STARTTLS), as the run is set up for it;
    /// the handler must have taken all that has come. [`Handler::tls_started`] reports that it is
    /// encrypted; where that fails the connection ends with the failure as its [`Closed::error`].
    fn start_tls(&mut self, client: Id);

    /// Closes the connection once everything queued is sent. The reason decides how: in good order, with
    /// received data drained, or by a reset.
    fn close(&mut self, client: Id, reason: Reason);

    /// All open connections, oldest first.
    fn all(&self) -> Vec<Id>;

    /// The address of a client.
    fn peer(&self, client: Id) -> Option<Endpoint>;

    /// Bytes queued for a client.
    fn queued(&self, client: Id) -> usize;

    /// For how long a client has taken nothing, or nothing was there to take; what it can take now is
    /// sent first.
    fn stalled(&mut self, client: Id) -> Duration;

    /// For how long no bytes have moved on a connection, in either direction.
    fn silence(&self, client: Id) -> Duration;

    /// What is known about a client, if it is here.
    fn about(&self, client: Id) -> Option<About>;

    /// The name of the key that a client proved.
    fn key(&self, client: Id) -> Option<Rc<str>>;

    /// Back-pressure on a client: pauses reading from it, or resumes.
    fn pause(&mut self, client: Id, on: bool);

    /// The same for all clients.
    fn pause_all(&mut self, on: bool);

    /// Whether reading is paused now: by the handler, or while a reader is over the high-water mark.
    fn is_paused(&self) -> bool;

    /// A program runs for this client: silence does not end it while the run is stopping.
    fn occupy(&mut self, client: Id);

    /// Hands the client's socket to a program, in blocking mode: from now on nothing is read from
    /// it or sent to it here. [`Handler::left`] reports that the client is gone; it stays until the
    /// socket is reclaimed.
    fn hand_off(&mut self, client: Id) -> io::Result<OwnedFd>;

    /// The program is done with the client's socket: the connection is ended in good order, if the
    /// client is not gone. Whether it was gone, or cut off, before.
    fn reclaim(&mut self, client: Id, reason: Reason) -> bool;

    /// Whether bytes have come from the client that the handler has not taken.
    fn has_unread(&mut self, client: Id) -> bool;

    /// Whether bytes can be moved inside the kernel: neither a codec nor a dump has to see them.
    /// Puts the socket into non-blocking mode for that.
    fn can_splice(&mut self, client: Id) -> bool;

    /// Moves bytes from the client to a descriptor inside the kernel. The end is reported by
    /// [`Handler::ended`].
    fn splice_to(&mut self, client: Id, splice: &mut Splice, to: BorrowedFd<'_>) -> Moved;

    /// Moves bytes from a descriptor to the client inside the kernel. Where the socket has no room
    /// [`Handler::drained`] reports when it has again.
    fn splice_from(&mut self, client: Id, splice: &mut Splice, from: BorrowedFd<'_>) -> Moved;

    /// Moves bytes from one client to another inside the kernel, or what a splice holds of them. The end
    /// of the first is reported by [`Handler::ended`], the failure of either by [`Handler::closed`]. Where
    /// the second has no room [`Handler::drained`] reports when it has again.
    fn splice_between(&mut self, from: Id, to: Id, splice: &mut Splice) -> Moved;

    /// Dials another connection, by the route at this place in the run's, and has its handshake over until
    /// then; returns the number that it will have. A PROXY header of the route names the client that it is
    /// for, or else ourselves.
    fn dial(&mut self, route: usize, client: Option<Id>, until: Deadline) -> u64;

    /// Gives up a connection that is still dialled, or in its handshake.
    fn cancel_dial(&mut self, number: u64);

    /// Sets how many bytes a client's socket must have before it counts as readable
    /// (`SO_RCVLOWAT`); false where the user has set that, or the system refuses.
    fn set_low_water(&mut self, client: Id, bytes: i32) -> bool;

    /// Graceful shutdown, as on SIGTERM.
    fn stop(&mut self);

    /// Ends the run at once: with success, or with this failure.
    fn quit(&mut self, result: Result<(), Failure>);
}
