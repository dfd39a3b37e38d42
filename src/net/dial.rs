//! Opening a connection: resolve the name, try every address (RFC 8305), all under one deadline.

use std::ffi::OsStr;
use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use dns_lookup::{AddrInfoHints, LookupErrorKind};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use socket2::{Domain, SockAddr, Type};

use super::address::{Address, Family, Host, Port, UnixName};
use super::deadline::Deadline;
use super::endpoint::Endpoint;
use super::socket::Socket;
use super::sockopt::{self, Setting, Stage};
use crate::exit::{Exit, Failure};

/// RFC 8305 §5: how long one address has before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);

/// How to open a connection.
pub struct Dial<'a> {
    /// `-4`, `-6`.
    pub family: Family,
    /// `-n`: names are refused, not looked up.
    pub numeric: bool,
    /// `-s`: the local address (port 0: any).
    pub source: Option<SocketAddr>,
    /// `-o`, set before connect.
    pub settings: &'a [Setting],
    /// `SOCK_STREAM` or `SOCK_DGRAM`.
    pub kind: Type,
}

/// Opens a connection to `address`. A failure names each address tried and its cause; its status
/// is that of the last one, or "timed out" where the deadline struck.
pub fn dial(address: &Address, how: &Dial<'_>, until: Deadline) -> Result<Socket, Failure> {
    let addresses = resolve(address, how, until)?;
    let mut race = Race { how, until, running: Vec::new(), failed: Vec::new(), timed_out: false };
    match race.run(&addresses)? {
        Some(socket) => Ok(socket),
        None => Err(race.failure(address)),
    }
}

/// The addresses a name stands for, IPv6 and IPv4 in turn; a literal is itself.
pub fn resolve(
    address: &Address,
    how: &Dial<'_>,
    until: Deadline,
) -> Result<Vec<SockAddr>, Failure> {
    let address = address.clone().resolve_default(how.family);
    if let Some(source) = how.source {
        address.check_source(source.ip(), how.family)?;
    }
    let (host, port) = match &address {
        Address::Unix(name) => return Ok(vec![unix(name)?]),
        Address::Inet { host, port } => (host, port),
    };
    let literal = match host {
        Host::Ip(ip) => Some(*ip),
        Host::Wildcard | Host::Loopback | Host::Scoped(..) | Host::Name(_) => None,
    };
    let mut found: Vec<SocketAddr> = match (literal, host, port) {
        (Some(ip), _, Port::Number(port)) => return Ok(vec![SocketAddr::new(ip, *port).into()]),
        (Some(ip), _, Port::Service(service)) => look_up(&ip.to_string(), service, how, until)?,
        (None, Host::Scoped(ip, _), Port::Number(port)) => {
            vec![SocketAddrV6::new(*ip, *port, 0, address.scope_id()?).into()]
        }
        (None, Host::Scoped(ip, zone), Port::Service(service)) => {
            look_up(&format!("{ip}%{zone}"), service, how, until)?
        }
        (None, host, port) => look_up(&host.to_string(), &port.to_string(), how, until)?,
    };
    if let Some(source) = how.source {
        found.retain(|a| a.is_ipv4() == source.is_ipv4());
        if found.is_empty() {
            let cause = format!("no address of the family of the source {}", source.ip());
            return Err(Failure::new("connect to", address, cause, Exit::Unresolved));
        }
    }
    Ok(interleave(found).into_iter().map(SockAddr::from).collect())
}

/// The system address of a UNIX name.
pub fn unix(name: &UnixName) -> Result<SockAddr, Failure> {
    let address = match name {
        UnixName::Path(path) => SockAddr::unix(path),
        // unix(7): a name that begins with a zero byte is abstract.
        UnixName::Abstract(name) => SockAddr::unix(OsStr::from_bytes(&[b"\0", &name[..]].concat())),
    };
    address.map_err(|e| {
        Failure::system("use the UNIX name", Address::Unix(name.clone()), &e).exit(Exit::Usage)
    })
}

/// getaddrinfo(3) in a thread of its own: a resolver that does not answer is abandoned at the
/// deadline (the thread ends with the process).
fn look_up(
    host: &str,
    service: &str,
    how: &Dial<'_>,
    until: Deadline,
) -> Result<Vec<SocketAddr>, Failure> {
    let hints = AddrInfoHints {
        socktype: how.kind.into(),
        address: match how.family {
            Family::Any => 0,
            Family::V4 => Domain::IPV4.into(),
            Family::V6 => Domain::IPV6.into(),
        },
        flags: if how.numeric { libc::AI_NUMERICHOST } else { 0 },
        protocol: 0,
    };
    let (sender, receiver) = mpsc::channel();
    let (name, wanted) = (host.to_string(), service.to_string());
    let thread = std::thread::Builder::new().name("resolver".into()).spawn(move || {
        let result = dns_lookup::getaddrinfo(Some(&name), Some(&wanted), Some(hints))
            .map(|found| found.flatten().map(|info| info.sockaddr).collect::<Vec<_>>());
        // Nobody listens any more once the deadline has passed.
        let _ = sender.send(result);
    });
    thread.map_err(|e| Failure::system("start the resolver for", host, &e))?;
    let answer = match until.left() {
        None => receiver.recv().ok(),
        Some(left) => receiver.recv_timeout(left).ok(),
    };
    match answer {
        None => Err(timed_out("resolve", host)),
        Some(Ok(mut found)) if !found.is_empty() => {
            found.dedup();
            Ok(found)
        }
        Some(Ok(_)) => Err(Failure::new("resolve", host, "no address", Exit::Unresolved)),
        Some(Err(e)) => {
            let code = e.error_num();
            let what = match e.kind() {
                LookupErrorKind::Service => format!("{host}:{service}"),
                _ => host.to_string(),
            };
            Err(Failure::resolver(&what, code))
        }
    }
}

/// The failure of a wait that we ended ourselves, told like the system's own.
pub fn timed_out(op: &'static str, target: impl std::fmt::Display) -> Failure {
    Failure::system(op, target, &Errno::ETIMEDOUT.into())
}

/// IPv6 first, then the families in turn (RFC 8305 §4), each in the resolver's order.
fn interleave(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (six, four): (Vec<_>, Vec<_>) = found.into_iter().partition(SocketAddr::is_ipv6);
    let mut mixed = Vec::with_capacity(six.len() + four.len());
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    loop {
        let pair = [six.next(), four.next()];
        if pair == [None, None] {
            return mixed;
        }
        mixed.extend(pair.into_iter().flatten());
    }
}

/// The attempts of one dial: those under way, and those that failed with their causes.
struct Race<'a> {
    how: &'a Dial<'a>,
    until: Deadline,
    running: Vec<(Socket, &'a SockAddr)>,
    failed: Vec<(Endpoint, io::Error)>,
    timed_out: bool,
}

impl<'a> Race<'a> {
    /// The first socket that is connected; `None` when all attempts failed. What would fail for
    /// every address alike (an option, the source) ends it at once.
    fn run(&mut self, addresses: &'a [SockAddr]) -> Result<Option<Socket>, Failure> {
        let mut next = addresses.iter();
        let mut start_at = Some(Instant::now());
        loop {
            if start_at.is_some_and(|at| at <= Instant::now()) || self.running.is_empty() {
                match next.next() {
                    Some(address) => match self.start(open(address, self.how)?, address) {
                        Ok(Some(socket)) => return Ok(Some(socket)),
                        Ok(None) => start_at = Some(Instant::now() + STAGGER),
                        Err(e) => {
                            self.failed.push((Endpoint::of(address), e));
                            start_at = Some(Instant::now());
                            continue;
                        }
                    },
                    None if self.running.is_empty() => return Ok(None),
                    None => start_at = None,
                }
            }
            let wake = start_at.map_or(Deadline::NEVER, Deadline::at).min(self.until);
            if let Some(socket) = self.step(wake) {
                return Ok(Some(socket));
            }
            if self.until.passed() {
                self.timed_out = true;
                for (socket, address) in self.running.drain(..) {
                    if let Err(e) = socket.abandon_connect(address) {
                        self.failed.push((Endpoint::of(address), e));
                    }
                }
                return Ok(None);
            }
        }
    }

    /// Starts one attempt: `Some` if it is connected at once, `None` if it is under way.
    fn start(&mut self, socket: Socket, address: &'a SockAddr) -> io::Result<Option<Socket>> {
        loop {
            match socket.start_connect(address) {
                Ok(()) => return ready(socket).map(Some),
                Err(e) if e.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {
                    self.running.push((socket, address));
                    return Ok(None);
                }
                // A UNIX listener whose backlog is full: there is nothing to poll for.
                Err(e) if e.raw_os_error() == Some(Errno::EAGAIN as i32) && address.is_unix() => {
                    if self.until.passed() {
                        return Err(Errno::ETIMEDOUT.into());
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Waits for an attempt to end, at the latest until `wake`; the socket of one that succeeded.
    fn step(&mut self, wake: Deadline) -> Option<Socket> {
        let mut polled: Vec<PollFd<'_>> = self
            .running
            .iter()
            .map(|(socket, _)| PollFd::new(socket.as_fd(), PollFlags::POLLOUT))
            .collect();
        if nix::poll::poll(&mut polled, wake.timeout()).unwrap_or(0) <= 0 {
            return None;
        }
        let ended: Vec<bool> = polled.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        for index in (0..ended.len()).rev().filter(|&index| ended[index]) {
            let (socket, address) = self.running.remove(index);
            match socket.finish_connect(address).and_then(|()| ready(socket)) {
                Ok(socket) => return Some(socket),
                Err(e) => self.failed.push((Endpoint::of(address), e)),
            }
        }
        None
    }

    fn failure(mut self, target: &Address) -> Failure {
        let Some((last_address, last)) = self.failed.pop() else {
            return timed_out("connect to", target);
        };
        let mut failure = Failure::system("connect to", &last_address, &last);
        if !self.failed.is_empty() {
            self.failed.push((last_address, last));
            let causes: Vec<String> = self
                .failed
                .iter()
                .map(|(address, e)| format!("{address}: {}", crate::exit::cause(e)))
                .collect();
            failure.target = target.to_string();
            failure.cause = causes.join(", ");
        }
        if self.timed_out { failure.exit(Exit::TimedOut) } else { failure }
    }
}

/// A socket for `address` with its options set and its source bound, ready to connect without
/// blocking.
pub fn open(address: &SockAddr, how: &Dial<'_>) -> Result<Socket, Failure> {
    let system = |e| Failure::system("open a socket for", Endpoint::of(address), &e);
    let socket = Socket::new(address.domain(), how.kind).map_err(system)?;
    if how.kind == Type::STREAM && !address.is_unix() {
        socket.set_defaults().map_err(system)?;
    }
    sockopt::apply(how.settings, &socket, Stage::Dialled)?;
    if let Some(source) = how.source {
        socket.bind(&source.into()).map_err(|e| Failure::system("bind", source, &e))?;
    }
    socket.set_nonblocking(true).map_err(system)?;
    Ok(socket)
}

/// A connected socket in the mode everything else expects: blocking, for whom it is handed to.
fn ready(socket: Socket) -> io::Result<Socket> {
    socket.set_nonblocking(false)?;
    Ok(socket)
}
