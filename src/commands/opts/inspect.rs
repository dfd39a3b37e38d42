//! The sockets that `opts` inspects: fresh ones in a state of their life, or a live one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::ValueEnum;
use socket2::{Domain, SockAddr, Type};

use super::listing::Listed;
use crate::exit::{During, Failure, errno_name};
use crate::net::options::{self, Calls, SocketOption, Sockets};
use crate::net::socket::Socket;
use crate::net::sockopt::{self, Effect, Setting};

/// Counters and identifiers, which differ on every socket: no change.
#[rustfmt::skip]
const COUNTED: &[&str] = &[
    "SO_COOKIE", "SO_MEMINFO", "SO_INCOMING_CPU", "SO_INCOMING_NAPI_ID", "SO_NETNS_COOKIE",
    "TCP_CC_INFO", "TCP_INFO", "TCP_TIMESTAMP",
];

/// How far a socket is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum SocketState {
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
/// option needs them.
pub(super) struct Inspected {
    asked: Option<Sockets>,
    family: Option<Domain>,
    state: SocketState,
    live: Option<(Domain, Type, Socket)>,
    /// Fresh ones, each followed by its peers. Several options share one, so that the effect of one
    /// option on another is seen.
    fresh: Vec<(Domain, Type, SocketState, Vec<Socket>)>,
}

impl Inspected {
    /// Fresh sockets: of this kind and family, where one was asked for.
    pub(super) fn fresh(
        asked: Option<Sockets>,
        family: Option<Domain>,
        state: SocketState,
    ) -> Self {
        Self { asked, family, state, live: None, fresh: Vec::new() }
    }

    /// A live socket.
    pub(super) fn live(socket: Socket) -> io::Result<Self> {
        let (domain, kind) = (socket.options().domain()?, socket.options().r#type()?);
        let asked = Some(sockopt::kind_of(&socket));
        let fresh = Self::fresh(asked, Some(domain), SocketState::Unbound);
        Ok(Self { live: Some((domain, kind, socket)), ..fresh })
    }

    /// Whether there is a fresh socket to compare with.
    pub(super) fn compares(&self) -> bool {
        self.live.is_some() || self.state != SocketState::Unbound
    }

    /// Every option of the socket.
    pub(super) fn options(&self) -> impl Iterator<Item = &'static SocketOption> + use<> {
        let (kind, family) = (self.asked.unwrap_or(Sockets::TCP), self.family);
        options::all().filter(move |option| {
            option.on.contains(kind)
                && (option.level != libc::IPPROTO_IPV6 || family != Some(Domain::IPV4))
                && (option.level == libc::SOL_SOCKET || kind != Sockets::UNIX)
        })
    }

    /// The kind of socket that has this option: as asked for; else TCP where it applies, else
    /// UDP, else UNIX, and IPv6 for options of that level.
    fn kind(&self, option: &SocketOption) -> (Domain, Type) {
        if let Some((domain, kind, _)) = self.live {
            return (domain, kind);
        }
        let mut kinds = [Sockets::TCP, Sockets::UDP, Sockets::UNIX].into_iter();
        let kind = self.asked.or_else(|| kinds.find(|kind| option.on.contains(*kind)));
        let domain = match (kind, self.family) {
            (Some(Sockets::UNIX), _) => Domain::UNIX,
            (_, Some(family)) => family,
            (_, None) if option.level == libc::IPPROTO_IPV6 => Domain::IPV6,
            _ => Domain::IPV4,
        };
        (domain, if kind == Some(Sockets::UDP) { Type::DGRAM } else { Type::STREAM })
    }

    /// The fresh socket in a state that has this option.
    fn fresh_for(&mut self, option: &SocketOption, state: SocketState) -> io::Result<&Socket> {
        let (domain, kind) = self.kind(option);
        let found = |(d, k, s, _): &_| (*d, *k, *s) == (domain, kind, state);
        let at = self.fresh.iter().position(found).unwrap_or(self.fresh.len());
        if at == self.fresh.len() {
            self.fresh.push((domain, kind, state, in_state(domain, kind, state)?));
        }
        Ok(&self.fresh[at].3[0])
    }

    /// The socket that has this option.
    fn socket(&mut self, option: &SocketOption) -> io::Result<&Socket> {
        if let Some((.., ref socket)) = self.live {
            return Ok(socket);
        }
        self.fresh_for(option, self.state)
    }

    /// Reads an option, and what it is on a fresh socket where that is worth comparing.
    pub(super) fn show(&mut self, option: &SocketOption) -> Listed {
        let mut entry = Listed::of(option);
        if option.calls == Calls::Set {
            entry.why = Some("set only".into());
            return entry;
        }
        if self.compares() {
            let fresh = self.fresh_for(option, SocketState::Unbound);
            let default = fresh.and_then(|fresh| sockopt::read(fresh, option));
            entry.default = default.ok().map(|reading| reading.value);
        }
        let reading = self.socket(option).and_then(|socket| {
            let reading = sockopt::read(socket, option);
            let reason = |error| sockopt::reason(socket, option, error);
            entry.why = reading.as_ref().err().and_then(reason);
            reading
        });
        match reading {
            Ok(reading) => {
                entry.raw = Some(hex::encode(&reading.raw));
                entry.differs = !COUNTED.contains(&&*option.name)
                    && entry.default.as_ref().is_some_and(|default| *default != reading.value);
                entry.value = Some(reading.value);
            }
            Err(error) => entry.errno = error.raw_os_error().map(errno_name),
        }
        entry
    }

    /// Sets an option and reads it back.
    pub(super) fn set<'a>(&mut self, setting: &'a Setting) -> Result<Effect<'a>, Failure> {
        let socket = self.socket(setting.option()).during("open a socket for", setting)?;
        Ok(sockopt::set(socket, setting))
    }
}

/// A fresh socket, brought into a state on loopback, and the peers that keep it there.
fn in_state(domain: Domain, kind: Type, state: SocketState) -> io::Result<Vec<Socket>> {
    let socket = Socket::new(domain, kind)?;
    if matches!(state, SocketState::Bound | SocketState::Listening) {
        socket.bind(&loopback(domain)?)?;
    }
    if state == SocketState::Listening {
        socket.listen(1)?;
    }
    let mut sockets = vec![socket];
    if state == SocketState::Connected {
        let is_stream = kind == Type::STREAM;
        let wanted = if is_stream { SocketState::Listening } else { SocketState::Bound };
        sockets.extend(in_state(domain, kind, wanted)?);
        sockets[0].start_connect(&sockets[1].options().local_addr()?)?;
        if is_stream {
            let (accepted, _) = sockets[1].accept()?;
            sockets.push(accepted);
        }
    }
    Ok(sockets)
}

/// An address of this machine, any free port; an abstract name of the kernel's choice.
fn loopback(domain: Domain) -> io::Result<SockAddr> {
    Ok(match domain {
        Domain::UNIX => SockAddr::unix("")?,
        Domain::IPV6 => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)).into(),
        _ => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into(),
    })
}
