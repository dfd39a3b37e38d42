use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::console::event::{Level, Reason};
use crate::console::talk::Talk;
use crate::net::codec::{Codec, ProtocolError};
use crate::net::connection::Connection;
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::role::Role;
use crate::server::{Bounds, Config, EventLoop, Limits, Run};
use crate::session::discard::Discard;
use crate::session::seat::Inbox;
use crate::session::{Clients, Handler, Id};

/// Sends payload as it is; all that comes is an error.
struct Broken;

impl Codec for Broken {
    fn encode(&mut self, payload: &[u8], wire: &mut Vec<u8>) -> Result<(), ProtocolError> {
        wire.extend_from_slice(payload);
        Ok(())
    }

    fn encode_eof(&mut self, _wire: &mut Vec<u8>) {}

    fn decode(
        &mut self,
        _wire: &mut [u8],
        _payload: &mut Vec<u8>,
        _answer: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        Err(ProtocolError::new("no record"))
    }

    fn at_wire_eof(&mut self) -> Result<(), ProtocolError> {
        Ok(())
    }

    fn peer_ended(&self) -> bool {
        false
    }
}

fn config() -> Config {
    Config {
        once: false,
        bounds: Bounds {
            idle: Duration::ZERO,
            linger: None,
            max_bytes: u64::MAX,
            half_close: true,
            proves: false,
            tcp_info: false,
        },
        limits: Limits::default(),
        proxies: None,
        grace: Duration::ZERO,
        deadline: Deadline::NEVER,
        settings: Vec::new(),
        dumps: Vec::new(),
        labels: true,
        security: None,
        meter: None,
        port_file: None,
    }
}

fn run(inbox: &Inbox) -> Run<'_> {
    Run {
        listener: None,
        routes: Vec::new(),
        inbox,
        signals: None,
        config: config(),
        talk: Talk::new(Level::Quiet, false, false),
    }
}

/// An admitted connection, and its peer.
fn admitted(events: &mut EventLoop<'_>, codec: Option<Box<dyn Codec>>) -> (Id, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let peer = Endpoint::Unix(Vec::new());
    let mut conn = Connection::new(OwnedFd::from(ours).into(), peer, Instant::now());
    conn.establish(codec);
    let id = events.table.insert(1, Role::Server, conn).unwrap();
    events.admit(id.slot);
    (id, theirs)
}

/// An admitted connection whose peer, also returned, has not read what is queued for it.
fn full(events: &mut EventLoop<'_>) -> (Id, UnixStream) {
    let (id, theirs) = admitted(events, Some(Box::new(Broken)));
    events.table.send(id, &vec![0; 8 << 20]);
    events.process();
    assert!(events.table.queued > 4 << 20);
    (id, theirs)
}

/// Hands each client's socket off, and counts those that leave.
#[derive(Default)]
struct Programs(Vec<Id>);

impl Handler for Programs {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        clients.hand_off(client).unwrap();
    }

    fn left(&mut self, client: Id, _clients: &mut dyn Clients) {
        self.0.push(client);
    }
}

/// Whether its program ends first, or its client goes.
#[test]
fn a_client_whose_socket_a_program_has_leaves_once() {
    for gone in [None, Some(Reason::Idle), Some(Reason::Eof), Some(Reason::Reset)] {
        let (inbox, mut handler) = (Inbox::new().unwrap(), Programs::default());
        let mut events = EventLoop::new(run(&inbox), &mut handler).unwrap();
        let (id, peer) = admitted(&mut events, None);
        if let Some(reason) = gone {
            events.table.hang_up(id.slot, reason);
            events.process();
        }
        events.table.reclaim(id, Reason::Eof);
        events.process();
        drop(peer);
        while !events.table.entries.is_empty() {
            events.table.remove(id.slot, Reason::Reset);
            events.process();
        }
        assert_eq!(handler.0, [id], "{gone:?}");
    }
}

/// What breaks a connection empties its queue, which is counted with all the others.
#[test]
fn nothing_is_queued_for_a_broken_connection() {
    let (inbox, mut handler) = (Inbox::new().unwrap(), Discard);
    let mut events = EventLoop::new(run(&inbox), &mut handler).unwrap();
    for is_reset in [false, true] {
        let (id, mut peer) = full(&mut events);
        if is_reset {
            drop(peer); // what it has not read makes recv(2) fail
        } else {
            peer.write_all(b"no record").unwrap();
        }
        events.receive(id.slot);
        events.process();
        assert_eq!((events.table.queued, events.table.entries.len()), (0, 0), "{is_reset}");
    }
}
