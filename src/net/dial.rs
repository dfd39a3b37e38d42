//! Opening a connection: resolve the name, try every address (RFC 8305), all under one deadline.
//!
//! A [`Dialer`] is driven by readiness, so that an event loop can dial while it serves; [`dial`]
//! waits for one.
//!
//! Over 300 lines: resolving, the attempts that race and the failure that names them all share one
//! state.

use std::ffi::OsStr;
use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind};
use nix::errno::Errno;
use nix::poll::PollFlags;
use socket2::{Domain, SockAddr, Type};

use super::address::{Address, Family, Host, Port, UnixName};
use super::deadline::{Deadline, wait};
use super::endpoint::Endpoint;
use super::options::Stage;
use super::poller::{Interest, Poller, Waker};
use super::socket::{Socket, would_block};
use super::sockopt::{self, Setting};
use crate::exit::{During, Exit, Failure, cause};

/// RFC 8305 §5: how long one address has before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);
/// A UNIX listener whose backlog is full gives no event when there is room again: connect(2) is
/// repeated so often.
const FULL_BACKLOG: Duration = Duration::from_millis(5);

/// The token of the resolver; an attempt's is its index.
const RESOLVER: u64 = u64::MAX;

/// How to open a connection.
#[derive(Clone)]
pub struct Dial {
    /// `-4`, `-6`.
    pub family: Family,
    /// `-n`: names are refused, not looked up.
    pub numeric: bool,
    /// `-s`: the local address (port 0: any).
    pub source: Option<SocketAddr>,
    /// `-o`, set before connect.
    pub settings: Vec<Setting>,
    /// `SOCK_STREAM` or `SOCK_DGRAM`.
    pub kind: Type,
}

/// Opens a connection to `address` and waits for it. A failure names each address tried and its
/// cause; its status is that of the last one, or "timed out" where the deadline struck.
pub fn dial(address: &Address, how: &Dial, until: Deadline) -> Result<Socket, Failure> {
    let mut dialer = Dialer::new(address, how.clone(), until)?;
    loop {
        if let Some(result) = dialer.step() {
            return result;
        }
        wait([(dialer.as_fd(), PollFlags::POLLIN)], dialer.deadline())
            .during("connect to", address)?;
    }
}

/// The addresses a name stands for; a literal is itself. Waits for the resolver.
pub fn resolve(address: &Address, how: &Dial, until: Deadline) -> Result<Vec<SockAddr>, Failure> {
    match Lookup::start(address, how, None)? {
        Lookup::Known(found) => Ok(found),
        Lookup::Asked(question) => {
            let answer = match until.left() {
                None => question.answer.recv().ok(),
                Some(left) => question.answer.recv_timeout(left).ok(),
            };
            question.addresses(answer, how)
        }
    }
}

/// The system address of a UNIX name.
fn unix(name: &UnixName) -> io::Result<SockAddr> {
    match name {
        UnixName::Path(path) => SockAddr::unix(path),
        // unix(7): a name that begins with a zero byte is abstract.
        UnixName::Abstract(name) => SockAddr::unix(OsStr::from_bytes(&[b"\0", &name[..]].concat())),
    }
}

/// The addresses of a name, or the question for them.
enum Lookup {
    Known(Vec<SockAddr>),
    Asked(Question),
}

/// What getaddrinfo(3) returned.
type Answer = Result<Vec<SocketAddr>, LookupError>;

/// getaddrinfo(3) in a thread of its own: a resolver that does not answer is abandoned at the
/// deadline; the thread ends with the process.
struct Question {
    address: Address,
    host: String,
    service: String,
    answer: Receiver<Answer>,
}

impl Lookup {
    /// Starts the resolver where there is a name; `waker` is woken when it has answered.
    fn start(address: &Address, how: &Dial, waker: Option<Waker>) -> Result<Self, Failure> {
        let address = address.clone().resolve_default(how.family);
        if let Some(source) = how.source {
            address.check_source(source.ip(), how.family)?;
        }
        let (host, port) = match &address {
            Address::Unix(name) => {
                let known = unix(name).during("use the UNIX name", &address);
                return Ok(Self::Known(vec![known.map_err(|e| e.exit(Exit::Usage))?]));
            }
            Address::Inet { host, port } => (host, port),
        };
        let name = match (host, port) {
            (Host::Ip(ip), Port::Number(port)) => {
                return Ok(Self::Known(vec![SocketAddr::new(*ip, *port).into()]));
            }
            (Host::Scoped(ip, _), Port::Number(port)) => {
                let scoped = SocketAddrV6::new(*ip, *port, 0, host.scope_id()?);
                return Ok(Self::Known(vec![scoped.into()]));
            }
            (Host::Ip(ip), _) => ip.to_string(),
            (Host::Scoped(ip, zone), _) => format!("{ip}%{zone}"),
            (host, _) => host.to_string(),
        };
        Question::ask(&address, name, port.to_string(), how, waker).map(Self::Asked)
    }
}

impl Question {
    fn ask(
        address: &Address,
        host: String,
        service: String,
        how: &Dial,
        waker: Option<Waker>,
    ) -> Result<Self, Failure> {
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
        let (sender, answer) = mpsc::channel();
        let (name, wanted) = (host.clone(), service.clone());
        let thread = std::thread::Builder::new().name("resolver".into()).spawn(move || {
            let result = dns_lookup::getaddrinfo(Some(&name), Some(&wanted), Some(hints))
                .map(|found| found.flatten().map(|info| info.sockaddr).collect());
            // After the deadline the receiver is gone.
            let _ = sender.send(result);
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        thread.during("start the resolver for", &host)?;
        Ok(Self { address: address.clone(), host, service, answer })
    }

    /// The addresses, IPv6 and IPv4 in turn; no answer is one that did not come in time.
    fn addresses(&self, answer: Option<Answer>, how: &Dial) -> Result<Vec<SockAddr>, Failure> {
        let mut found = match answer {
            None => return Err(timed_out("resolve", &self.host)),
            Some(Ok(found)) => found,
            Some(Err(e)) => {
                let code = e.error_num();
                let what = match e.kind() {
                    LookupErrorKind::Service => format!("{}:{}", self.host, self.service),
                    _ => self.host.clone(),
                };
                return Err(Failure::resolver(&what, code));
            }
        };
        found.dedup();
        if found.is_empty() {
            return Err(Failure::new("resolve", &self.host, "no address", Exit::Unresolved));
        }
        if let Some(source) = how.source {
            found.retain(|address| address.is_ipv4() == source.is_ipv4());
            if found.is_empty() {
                let cause = format!("no address of the family of the source {}", source.ip());
                return Err(Failure::new("connect to", &self.address, cause, Exit::Unresolved));
            }
        }
        Ok(interleave(found).into_iter().map(SockAddr::from).collect())
    }
}

/// The failure of a wait at our own deadline, reported as ETIMEDOUT.
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
pub struct Dialer {
    target: Address,
    how: Dial,
    until: Deadline,
    poller: Poller,
    waker: Waker,
    question: Option<Question>,
    /// Addresses not tried yet, the next one last.
    next: Vec<SockAddr>,
    /// When the next attempt begins, whatever the others do; never while none is left.
    start_at: Option<Instant>,
    running: Vec<(u64, Socket, SockAddr)>,
    started: u64,
    failed: Vec<(Endpoint, io::Error)>,
}

impl Dialer {
    /// Begins to dial. An error that every address would have is returned at once.
    pub fn new(target: &Address, how: Dial, until: Deadline) -> Result<Self, Failure> {
        let (poller, waker) = watched_waker().during("connect to", target)?;
        let (question, mut next) = match Lookup::start(target, &how, Some(waker.clone()))? {
            Lookup::Known(found) => (None, found),
            Lookup::Asked(question) => (Some(question), Vec::new()),
        };
        next.reverse();
        Ok(Self {
            target: target.clone(),
            how,
            until,
            poller,
            waker,
            question,
            next,
            start_at: Some(Instant::now()),
            running: Vec::new(),
            started: 0,
            failed: Vec::new(),
        })
    }

    /// When [`Dialer::step`] is due though its descriptor is not readable.
    pub fn deadline(&self) -> Deadline {
        match self.start_at.filter(|_| self.question.is_none()) {
            Some(at) => self.until.min(Deadline::at(at)),
            None => self.until,
        }
    }

    /// Makes progress without blocking: `None` while attempts are under way.
    pub fn step(&mut self) -> Option<Result<Socket, Failure>> {
        if let Some(question) = &self.question {
            let answer = match question.answer.try_recv() {
                Ok(answer) => Some(answer),
                Err(TryRecvError::Empty) if !self.until.passed() => return None,
                Err(_) => None,
            };
            self.waker.quiet();
            match question.addresses(answer, &self.how) {
                Ok(found) => self.next = found.into_iter().rev().collect(),
                Err(failure) => return Some(Err(failure)),
            }
            self.question = None;
        }
        loop {
            if let Some(socket) = self.finish_attempts() {
                return Some(Ok(socket));
            }
            let is_due = self.start_at.is_some_and(|at| at <= Instant::now());
            if !is_due && !self.running.is_empty() || self.until.passed() {
                break;
            }
            let Some(address) = self.next.pop() else {
                self.start_at = None;
                break;
            };
            // A UNIX listener whose backlog was full.
            let is_repeated = address.is_unix() && self.started > 0;
            if !is_due && self.start_at.is_some() && is_repeated {
                self.next.push(address);
                break;
            }
            if let Some(result) = self.attempt(address).transpose() {
                return Some(result);
            }
        }
        let out_of_time = self.until.passed();
        if out_of_time {
            for (_, socket, address) in self.running.drain(..) {
                if let Err(e) = socket.abandon_connect(&address) {
                    self.failed.push((Endpoint::of(&address), e));
                }
            }
        }
        let is_over = out_of_time || self.running.is_empty() && self.next.is_empty();
        is_over.then(|| Err(self.failure(out_of_time)))
    }

    /// Begins one attempt: the socket, if it is connected at once. What would fail for every
    /// address alike (an option, the source) is the failure of all.
    fn attempt(&mut self, address: SockAddr) -> Result<Option<Socket>, Failure> {
        let socket = open(&address, &self.how)?;
        self.started += 1;
        let now = Instant::now();
        match socket.start_connect(&address) {
            Ok(true) => return ready(socket).during("connect to", &self.target).map(Some),
            Ok(false) => {
                let write = Interest { read: false, write: true };
                let watched = self.poller.add(&socket, self.started, write);
                watched.during("connect to", &self.target)?;
                self.running.push((self.started, socket, address));
                self.start_at = Some(now + STAGGER);
            }
            Err(e) if would_block(&e) && address.is_unix() => {
                self.next.push(address);
                self.start_at = Some(now + FULL_BACKLOG);
            }
            Err(e) => {
                self.failed.push((Endpoint::of(&address), e));
                self.start_at = Some(now);
            }
        }
        Ok(None)
    }

    /// The socket of an attempt that has succeeded; attempts that failed are noted.
    fn finish_attempts(&mut self) -> Option<Socket> {
        if self.running.is_empty() {
            return None;
        }
        let mut ended = Vec::new();
        self.poller.wait(&mut ended, Deadline::now()).ok()?;
        for event in ended {
            let Some(at) = self.running.iter().position(|(token, ..)| *token == event.token) else {
                continue;
            };
            let (_, socket, address) = self.running.remove(at);
            let result = socket.finish_connect(&address);
            // The caller's event loop watches it from now on.
            let _ = self.poller.remove(&socket);
            match result.and_then(|()| ready(socket)) {
                Ok(socket) => return Some(socket),
                Err(e) => self.failed.push((Endpoint::of(&address), e)),
            }
        }
        None
    }

    fn failure(&mut self, timed_out_now: bool) -> Failure {
        let Some((last_address, last)) = self.failed.pop() else {
            return timed_out("connect to", &self.target);
        };
        let mut failure = Failure::system("connect to", &last_address, &last);
        if !self.failed.is_empty() {
            self.failed.push((last_address, last));
            let causes = self.failed.iter().map(|(at, e)| format!("{at}: {}", cause(e)));
            failure.cause = causes.collect::<Vec<_>>().join(", ");
            failure.target = self.target.to_string();
        }
        if timed_out_now { failure.exit(Exit::TimedOut) } else { failure }
    }
}

impl AsFd for Dialer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

/// A socket for `address` with its options set and its source bound, ready to connect without
/// blocking.
pub fn open(address: &SockAddr, how: &Dial) -> Result<Socket, Failure> {
    let new = || {
        let socket = Socket::new(address.domain(), how.kind)?;
        if how.kind == Type::STREAM && !address.is_unix() {
            socket.set_defaults()?;
        }
        socket.set_nonblocking(true)?;
        io::Result::Ok(socket)
    };
    let socket = new().during("open a socket for", Endpoint::of(address))?;
    sockopt::apply(&how.settings, &socket, Stage::Any)?;
    if let Some(source) = how.source {
        socket.bind(&source.into()).during("bind", source)?;
    }
    Ok(socket)
}

/// A poller that watches a waker, for the resolver.
fn watched_waker() -> io::Result<(Poller, Waker)> {
    let (poller, waker) = (Poller::new()?, Waker::new()?);
    poller.add(&waker, RESOLVER, Interest { read: true, write: false })?;
    Ok((poller, waker))
}

/// A connected socket in blocking mode, as a program expects it.
fn ready(socket: Socket) -> io::Result<Socket> {
    socket.set_nonblocking(false)?;
    Ok(socket)
}
