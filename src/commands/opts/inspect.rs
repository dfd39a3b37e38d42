//! The sockets that `opts` inspects: fresh ones in a state of their life, or a live one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::ValueEnum;
use nix::errno::Errno;
use socket2::{Domain, SockAddr, Type};

use super::report::Entry;
use crate::exit::{During, Failure, errno_name};
use crate::net::options::{self, Access, Level, Row, Sockets};
use crate::net::socket::Socket;
use crate::net::sockopt::{self, Effect, Setting, Value};

/// Counters and identifiers, which differ on every socket: no change.
#[rustfmt::skip]
const COUNTED: &[&str] = &[
    "SO_COOKIE", "SO_MEMINFO", "SO_INCOMING_CPU", "SO_INCOMING_NAPI_ID", "SO_NETNS_COOKIE",
    "TCP_CC_INFO", "TCP_INFO", "TCP_TIMESTAMP",
];

/// How far a socket is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    /// As socket(2) makes it
    #[default]
    Unbound,
    /// After bind(2)
    Bound,
    /// After listen(2)
    Listening,
    /// After connect(2)
    Connected,
}

/// The socket whose options are shown or set: a live one, or fresh ones, which are opened when an
/// option needs them. Several words share a socket, so that one option's effect on another is seen.
pub(super) struct Inspected {
    asked: Option<Sockets>,
    family: Option<Domain>,
    state: State,
    /// What a live socket is; it is then the only one open.
    live: Option<(Domain, Type)>,
    open: Vec<(Domain, Type, Socket)>,
    /// Unbound sockets to compare with.
    fresh: Vec<(Domain, Type, Socket)>,
    /// Peers of connected ones.
    peers: Vec<Socket>,
}

impl Inspected {
    /// Fresh sockets: of this kind and family, where one was asked for.
    pub(super) fn fresh(asked: Option<Sockets>, family: Option<Domain>, state: State) -> Self {
        let (open, fresh, peers) = (Vec::new(), Vec::new(), Vec::new());
        Self { asked, family, state, live: None, open, fresh, peers }
    }

    /// A live socket.
    pub(super) fn live(socket: Socket) -> io::Result<Self> {
        let (domain, kind) = (socket.options().domain()?, socket.options().r#type()?);
        let asked = sockopt::kind_of(&socket);
        Ok(Self {
            live: Some((domain, kind)),
            open: vec![(domain, kind, socket)],
            ..Self::fresh(Some(asked), Some(domain), State::Unbound)
        })
    }

    /// Whether there is a fresh socket to compare with.
    pub(super) fn compares(&self) -> bool {
        self.live.is_some() || self.state != State::Unbound
    }

    /// Every option of the socket.
    pub(super) fn rows(&self) -> impl Iterator<Item = &'static Row> + use<> {
        let (kind, family) = (self.asked.unwrap_or(Sockets::TCP), self.family);
        options::rows()
            .filter(move |row| row.on.contains(kind))
            .filter(move |row| row.level != Level::Ipv6 || family != Some(Domain::IPV4))
            .filter(move |row| row.level == Level::Socket || kind != Sockets::UNIX)
    }

    /// The kind of socket that has this option: as asked for; else TCP where it applies, else
    /// UDP, else UNIX, and IPv6 for options of that level.
    fn kind(&self, row: &Row) -> (Domain, Type) {
        if let Some(live) = self.live {
            return live;
        }
        let mut kinds = [Sockets::TCP, Sockets::UDP, Sockets::UNIX].into_iter();
        let kind = self.asked.or_else(|| kinds.find(|kind| row.on.contains(*kind)));
        let domain = match (kind, self.family, row.level) {
            (Some(Sockets::UNIX), ..) => Domain::UNIX,
            (_, Some(family), _) => family,
            (_, None, Level::Ipv6) => Domain::IPV6,
            _ => Domain::IPV4,
        };
        (domain, if kind == Some(Sockets::UDP) { Type::DGRAM } else { Type::STREAM })
    }

    /// The socket that has this option.
    fn socket(&mut self, row: &Row) -> io::Result<&Socket> {
        let (domain, kind) = self.kind(row);
        let (state, peers) = (self.state, &mut self.peers);
        opened(&mut self.open, domain, kind, || in_state(domain, kind, state, peers))
    }

    /// The value of an option on a fresh socket of the same kind.
    fn default(&mut self, row: &Row) -> Option<Value> {
        let (domain, kind) = self.kind(row);
        let fresh = opened(&mut self.fresh, domain, kind, || Socket::new(domain, kind)).ok()?;
        sockopt::read(fresh, row).ok().map(|reading| reading.value)
    }

    /// Reads an option, and what it is on a fresh socket where that is worth comparing.
    pub(super) fn show(&mut self, row: &Row) -> Entry {
        let mut entry = Entry::of(row);
        if row.access == Access::Set {
            entry.why = Some("set only".into());
            return entry;
        }
        if self.compares() {
            entry.default = self.default(row);
        }
        let reading = self.socket(row).and_then(|socket| {
            let reading = sockopt::read(socket, row);
            entry.why =
                reading.as_ref().err().and_then(|error| sockopt::reason(socket, row, error));
            reading
        });
        match reading {
            Ok(reading) => {
                entry.raw = Some(hex::encode(&reading.raw));
                entry.differs = !COUNTED.contains(&&*row.name)
                    && entry.default.as_ref().is_some_and(|default| *default != reading.value);
                entry.value = Some(reading.value);
            }
            Err(error) => entry.errno = error.raw_os_error().map(errno_name),
        }
        entry
    }

    /// Sets an option and reads it back.
    pub(super) fn set(&mut self, setting: &Setting) -> Result<Effect, Failure> {
        let socket = self.socket(setting.row()).during("open a socket for", setting)?;
        Ok(sockopt::set(socket, setting))
    }
}

/// The socket of this kind among those that are open, or a new one.
fn opened(
    open: &mut Vec<(Domain, Type, Socket)>,
    domain: Domain,
    kind: Type,
    make: impl FnOnce() -> io::Result<Socket>,
) -> io::Result<&Socket> {
    let known = open.iter().position(|(d, t, _)| (*d, *t) == (domain, kind));
    let at = known.unwrap_or(open.len());
    if known.is_none() {
        open.push((domain, kind, make()?));
    }
    Ok(&open[at].2)
}

/// A fresh socket, brought into a state on loopback; with the `peers` it needs.
fn in_state(
    domain: Domain,
    kind: Type,
    state: State,
    peers: &mut Vec<Socket>,
) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind)?;
    match (state, kind) {
        (State::Unbound, _) => {}
        (State::Bound, _) => socket.bind(&loopback(domain)?)?,
        (State::Listening, Type::STREAM) => {
            socket.bind(&loopback(domain)?)?;
            socket.listen(1)?;
        }
        // Datagram sockets do not listen.
        (State::Listening, _) => return Err(Errno::EOPNOTSUPP.into()),
        (State::Connected, _) => {
            let peer = Socket::new(domain, kind)?;
            peer.bind(&loopback(domain)?)?;
            if kind == Type::STREAM {
                peer.listen(1)?;
            }
            socket.start_connect(&peer.options().local_addr()?)?;
            if kind == Type::STREAM {
                peers.push(peer.accept()?.0);
            }
            peers.push(peer);
        }
    }
    Ok(socket)
}

/// An address of this machine, any free port; an abstract name of the kernel's choice.
fn loopback(domain: Domain) -> io::Result<SockAddr> {
    Ok(match domain {
        Domain::UNIX => SockAddr::unix("")?,
        Domain::IPV6 => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)).into(),
        _ => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into(),
    })
}
