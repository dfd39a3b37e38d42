//! The addresses that an ADDRESS stands for: a literal is itself, a name is looked up.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dns_lookup::{AddrInfoHints, LookupErrorKind};
use socket2::{Domain, SockAddr, Type};

use super::address::{Address, Family, Host, Port};
use super::deadline::Deadline;
use super::poller::Waker;
use crate::exit::{During, Exit, Failure};

/// What is asked for besides a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// `-4`, `-6`.
    pub family: Family,
    /// `-n`: names are refused, not looked up.
    pub numeric: bool,
    /// `-s`, `-p`: where a connection is from.
    pub source: Source,
    /// `SOCK_STREAM` or `SOCK_DGRAM`.
    pub kind: Type,
}

/// The local end of what is dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The address, whose family a peer must have.
    pub ip: Option<IpAddr>,
    /// The port; 0: any.
    pub port: u16,
}

impl Source {
    /// What a socket that is to reach `peer` is bound to, if to anything.
    pub fn toward(self, peer: &SockAddr) -> Option<SocketAddr> {
        let any: IpAddr = match peer.domain() {
            Domain::IPV6 => Ipv6Addr::UNSPECIFIED.into(),
            _ => Ipv4Addr::UNSPECIFIED.into(),
        };
        let is_given = self.ip.is_some() || self.port != 0;
        is_given.then(|| SocketAddr::new(self.ip.unwrap_or(any), self.port))
    }
}

/// What a name stands for, in the order in which the addresses are tried.
type Found = Result<Vec<SockAddr>, Failure>;

/// How old a lookup may be that another one for the same joins. One that takes longer may have asked a
/// server that is down, and would fail with it.
const JOIN_WITHIN: Duration = Duration::from_secs(1);

/// The calls of getaddrinfo(3) under way. A relay dials the same name for many clients at once.
static CALLS: Mutex<Vec<Call>> = Mutex::new(Vec::new());

/// A call of getaddrinfo(3), and the lookups that wait for it.
struct Call {
    id: u64,
    address: Address,
    query: Query,
    began: Instant,
    waiting: Vec<(Sender<Found>, Option<Waker>)>,
}

impl Call {
    fn all() -> MutexGuard<'static, Vec<Self>> {
        CALLS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports the result to those that wait; some may have given up at their deadline.
    fn finish(id: u64, found: &Found) {
        let mut calls = Self::all();
        let Some(at) = calls.iter().position(|call| call.id == id) else {
            return;
        };
        for (sender, waker) in calls.remove(at).waiting {
            let _ = sender.send(found.clone());
            waker.iter().for_each(Waker::wake);
        }
    }
}

/// A lookup under way. getaddrinfo(3) has no timeout: it runs in a thread of its own, which is
/// abandoned at the deadline and ends with the process. Lookups for the same share a thread.
pub struct Lookup {
    name: String,
    found: Receiver<Found>,
}

impl Lookup {
    /// Starts the resolver, which wakes what `waker` makes when it is done. A literal needs none: it
    /// is found at once.
    pub fn start(
        address: &Address,
        query: Query,
        waker: impl FnOnce() -> Result<Option<Waker>, Failure>,
    ) -> Result<Self, Failure> {
        let address = address.clone().resolve_default(query.family);
        match (query.source, &address) {
            (Source { ip: Some(ip), .. }, _) => address.check_source(ip, query.family)?,
            (Source { port: 1.., .. }, Address::Unix(_)) => {
                return Err(Failure::usage(format!("{address} has no source port")));
            }
            _ => {}
        }
        let name = match &address {
            // getaddrinfo(3) wants no brackets.
            Address::Inet { host, .. } => host.to_string().replace(['[', ']'], ""),
            Address::Unix(_) => address.to_string(),
        };
        let (sender, found) = mpsc::channel();
        let lookup = Self { name: name.clone(), found };
        if let Some(literal) = literal(&address)? {
            let _ = sender.send(Ok(vec![literal]));
            return Ok(lookup);
        }
        let waiting = (sender, waker()?);
        let mut calls = Call::all();
        if let Some(call) = calls.iter_mut().find(|call| {
            call.address == address && call.query == query && call.began.elapsed() < JOIN_WITHIN
        }) {
            call.waiting.push(waiting);
            return Ok(lookup);
        }
        let id = calls.last().map_or(0, |call| call.id + 1);
        let asked = address.clone();
        let thread = std::thread::Builder::new()
            .name("resolver".into())
            .spawn(move || Call::finish(id, &look_up(&name, &asked, query)));
        thread.during("start the resolver for", &lookup.name)?;
        calls.push(Call { id, address, query, began: Instant::now(), waiting: vec![waiting] });
        Ok(lookup)
    }

    /// What was found; `None` while the resolver is at work and the deadline has not passed.
    pub fn poll(&self, until: Deadline) -> Option<Found> {
        match self.found.try_recv() {
            Ok(found) => Some(found),
            Err(TryRecvError::Empty) if !until.passed() => None,
            Err(_) => Some(Err(self.timed_out())),
        }
    }

    fn timed_out(&self) -> Failure {
        Failure::timed_out("resolve", &self.name)
    }
}

/// The addresses that `address` stands for. Waits for the resolver.
pub fn resolve(address: &Address, query: Query, until: Deadline) -> Found {
    let lookup = Lookup::start(address, query, || Ok(None))?;
    let found = match until.remaining() {
        None => lookup.found.recv().ok(),
        Some(left) => lookup.found.recv_timeout(left).ok(),
    };
    found.unwrap_or_else(|| Err(lookup.timed_out()))
}

/// The number of a port, which may be the name of a service.
pub fn port(port: &Port, query: Query, until: Deadline) -> Result<u16, Failure> {
    let host = Host::Ip(Ipv4Addr::LOCALHOST.into());
    let query = Query { source: Source::default(), family: Family::Any, ..query };
    let found = resolve(&Address::Inet { host, port: port.clone() }, query, until)?;
    Ok(found.first().and_then(SockAddr::as_socket).map_or(0, |inet| inet.port()))
}

/// The system address of an ADDRESS without a name.
fn literal(address: &Address) -> Result<Option<SockAddr>, Failure> {
    Ok(match address {
        Address::Inet { host: Host::Ip(ip), port: Port::Number(port) } => {
            Some(SocketAddr::new(*ip, *port).into())
        }
        Address::Inet { host: host @ Host::Scoped(ip, _), port: Port::Number(port) } => {
            Some(SocketAddrV6::new(*ip, *port, 0, host.scope_id()?).into())
        }
        Address::Inet { .. } => None,
        Address::Unix(name) => {
            let system = match name.as_bytes().strip_prefix(b"@") {
                // unix(7): a name that begins with a zero byte is abstract.
                Some(name) => SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat())),
                None => SockAddr::unix(name),
            };
            let system = system.during("use the UNIX name", address);
            Some(system.map_err(|failure| failure.exit(Exit::Usage))?)
        }
    })
}

/// Asks getaddrinfo(3).
fn look_up(name: &str, address: &Address, query: Query) -> Found {
    let service = match address {
        Address::Inet { port, .. } => port.to_string(),
        Address::Unix(_) => String::new(),
    };
    let hints = AddrInfoHints {
        socktype: query.kind.into(),
        address: match query.family {
            Family::Any => 0,
            Family::V4 => Domain::IPV4.into(),
            Family::V6 => Domain::IPV6.into(),
        },
        flags: if query.numeric { libc::AI_NUMERICHOST } else { 0 },
        protocol: 0,
    };
    let found = dns_lookup::getaddrinfo(Some(name), Some(&service), Some(hints)).map_err(|e| {
        match e.kind() {
            LookupErrorKind::Service => {
                Failure::resolver(&format!("{name}:{service}"), e.error_num())
            }
            _ => Failure::resolver(name, e.error_num()),
        }
    })?;
    let mut found: Vec<SocketAddr> = found.flatten().map(|info| info.sockaddr).collect();
    found.dedup();
    if found.is_empty() {
        return Err(Failure::new("resolve", name, "no address", Exit::Unresolved));
    }
    if let Some(source) = query.source.ip {
        found.retain(|address| address.is_ipv4() == source.is_ipv4());
        if found.is_empty() {
            let cause = format!("no address of the family of the source {source}");
            return Err(Failure::new("connect to", address, cause, Exit::Unresolved));
        }
    }
    Ok(interleave(found).into_iter().map(SockAddr::from).collect())
}

/// The resolver's order (RFC 6724), with the families in turn (RFC 8305 §4): that of its first
/// address begins.
fn interleave(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = found.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| it.is_ipv6() == first);
    let mut mixed = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            return mixed;
        }
        mixed.extend(pair.into_iter().flatten());
    }
}
