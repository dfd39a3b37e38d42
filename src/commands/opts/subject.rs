//! The sockets that `opts` looks at: fresh ones in a state of their life, or a live one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::ValueEnum;
use nix::errno::Errno;
use socket2::{Domain, SockAddr, Type};

use super::answer::Entry;
use crate::exit::{Failure, errno_name};
use crate::net::options::{self, Level, Row, Sockets};
use crate::net::socket::Socket;
use crate::net::sockopt::{self, Effect, Setting, Value};

/// What is counted, not set: different on every socket, and no news.
const COUNTED: &[&str] = &[
    "SO_COOKIE",
    "SO_MEMINFO",
    "SO_INCOMING_CPU",
    "SO_INCOMING_NAPI_ID",
    "SO_NETNS_COOKIE",
    "TCP_CC_INFO",
    "TCP_INFO",
    "TCP_TIMESTAMP",
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

type Opened = (Domain, Type, Result<Socket, i32>);

/// What is looked at. Fresh sockets are opened when an option asks for one; several words share a
/// socket, so that one option's effect on another can be seen.
pub(super) struct Subject {
    asked: Option<Sockets>,
    family: Option<Domain>,
    state: State,
    live: Option<(Domain, Type, Socket)>,
    open: Vec<Opened>,
    /// Unbound sockets to compare with.
    fresh: Vec<Opened>,
    /// Peers of connected ones.
    others: Vec<Socket>,
}

impl Subject {
    /// Fresh sockets: of this kind and family, where one was asked for.
    pub(super) fn fresh(asked: Option<Sockets>, family: Option<Domain>, state: State) -> Self {
        Self {
            asked,
            family,
            state,
            live: None,
            open: Vec::new(),
            fresh: Vec::new(),
            others: Vec::new(),
        }
    }

    /// A live socket.
    pub(super) fn live(socket: Socket) -> io::Result<Self> {
        let (domain, kind) = (socket.options().domain()?, socket.options().r#type()?);
        let asked = sockopt::kind_of(&socket);
        Ok(Self {
            live: Some((domain, kind, socket)),
            ..Self::fresh(Some(asked), Some(domain), State::Unbound)
        })
    }

    /// Whether there is a fresh socket to compare with.
    pub(super) fn compares(&self) -> bool {
        self.live.is_some() || self.state != State::Unbound
    }

    /// Every option of the socket.
    pub(super) fn listed(&self) -> Vec<Row> {
        let kind = self.asked.unwrap_or(Sockets::TCP);
        options::rows()
            .filter(|row| row.on.contains(kind))
            .filter(|row| row.level != Level::Ipv6 || self.family != Some(Domain::IPV4))
            .filter(|row| row.level == Level::Socket || kind != Sockets::UNIX)
            .cloned()
            .collect()
    }

    /// The kind of socket that has this option: as asked for; else TCP where it applies, else
    /// UDP, else UNIX, and IPv6 for options of that level.
    fn kind(&self, row: &Row) -> (Domain, Type) {
        if let Some((domain, kind, _)) = self.live {
            return (domain, kind);
        }
        let kind = self.asked.unwrap_or_else(|| {
            [Sockets::TCP, Sockets::UDP, Sockets::UNIX]
                .into_iter()
                .find(|kind| row.on.contains(*kind))
                .unwrap_or(Sockets::TCP)
        });
        let domain = match (kind, self.family, row.level) {
            (Sockets::UNIX, ..) => Domain::UNIX,
            (_, Some(family), _) => family,
            (_, None, Level::Ipv6) => Domain::IPV6,
            _ => Domain::IPV4,
        };
        let kind = if kind == Sockets::UDP { Type::DGRAM } else { Type::STREAM };
        (domain, kind)
    }

    /// The socket that is looked at for this option.
    fn of(&mut self, row: &Row) -> io::Result<&Socket> {
        let (domain, kind) = self.kind(row);
        if let Some((_, _, socket)) = &self.live {
            return Ok(socket);
        }
        let (state, others) = (self.state, &mut self.others);
        opened(&mut self.open, domain, kind, || in_state(domain, kind, state, others))
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
        if !row.access.readable() {
            entry.why = Some("set only".into());
            return entry;
        }
        if self.compares() {
            entry.default = self.default(row);
        }
        let socket = match self.of(row) {
            Ok(socket) => socket,
            Err(error) => {
                entry.errno = error.raw_os_error().map(errno_name);
                return entry;
            }
        };
        match sockopt::read(socket, row) {
            Ok(reading) => {
                entry.raw = Some(hex::encode(&reading.raw));
                entry.differs = !COUNTED.contains(&&*row.name)
                    && entry.default.as_ref().is_some_and(|default| *default != reading.value);
                entry.value = Some(reading.value);
            }
            Err(error) => {
                entry.why = sockopt::reason(socket, row, &error);
                entry.errno = error.raw_os_error().map(errno_name);
            }
        }
        entry
    }

    /// Sets an option and reads it back.
    pub(super) fn set(&mut self, setting: &Setting) -> Result<Effect, Failure> {
        let socket = self
            .of(setting.row())
            .map_err(|error| Failure::system("open a socket for", setting, &error))?;
        Ok(sockopt::set(socket, setting))
    }
}

/// The socket of this kind among those that are open, or a new one.
fn opened(
    open: &mut Vec<Opened>,
    domain: Domain,
    kind: Type,
    make: impl FnOnce() -> io::Result<Socket>,
) -> io::Result<&Socket> {
    let known = |(d, t, _): &Opened| (*d, *t) == (domain, kind);
    let at = open.iter().position(known).unwrap_or_else(|| {
        let socket = make().map_err(|e| e.raw_os_error().unwrap_or_default());
        open.push((domain, kind, socket));
        open.len() - 1
    });
    open[at].2.as_ref().map_err(|code| io::Error::from_raw_os_error(*code))
}

/// A fresh socket, brought into a state on loopback; the peers it needs are added to `others`.
fn in_state(
    domain: Domain,
    kind: Type,
    state: State,
    others: &mut Vec<Socket>,
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
                others.push(peer.accept()?.0);
            }
            others.push(peer);
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
