//! Opening a connection: every address of the target is tried (RFC 8305), under one deadline.
//!
//! A [`Dialer`] is driven by readiness, so that an event loop can dial while it serves; [`dial`]
//! waits for one.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use socket2::{SockAddr, Type};

use super::address::Address;
use super::deadline::{Deadline, wait};
use super::endpoint::Endpoint;
use super::errno::would_block;
use super::options::Stage;
use super::poller::{Interest, Poller, Waker};
use super::resolve::{Lookup, Query};
use super::socket::Socket;
use super::sockopt::{self, Setting};
use crate::exit::{During, Exit, Failure, cause};

/// RFC 8305 §5: how long one address has before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);
/// A UNIX listener whose backlog is full gives no event when there is room again: connect(2) is
/// repeated so often.
pub(super) const FULL_BACKLOG: Duration = Duration::from_millis(5);

/// What woke a dialer is seen by a look at all it waits for, which is little.
const ANY: u64 = 0;

/// Why a connection to our own listener is not begun.
pub const OWN: &str = "it is this server's own address: a loop";

/// How to open a connection.
#[derive(Clone)]
pub struct Dial {
    /// The addresses that are tried, and the socket for them.
    pub query: Query,
    /// `-o`, set before connect.
    pub settings: Vec<Setting>,
    /// Where our own listener is: connecting to it would be a loop.
    pub avoid: Arc<[Endpoint]>,
}

impl Dial {
    /// Whether connecting to this address would be a loop.
    pub(super) fn avoids(&self, target: &Endpoint) -> bool {
        self.avoid.iter().any(|own| own.is_reached_at(target))
    }
}

/// Opens a connection to `address`, in blocking mode, and waits for it. A failure names each address
/// tried and its cause; its status is that of the last one, or "timed out" where the deadline struck.
pub fn dial(address: &Address, how: &Dial, until: Deadline) -> Result<Socket, Failure> {
    let mut dialer = Dialer::new(address, how.clone(), until)?;
    loop {
        if let Some(result) = dialer.step() {
            let socket = result?;
            socket.set_nonblocking(false).during("connect to", address)?;
            return Ok(socket);
        }
        let until = dialer.deadline();
        let ready = dialer.poller().and_then(|it| wait([(it.as_fd(), PollFlags::POLLIN)], until));
        ready.during("connect to", address)?;
    }
}

/// The attempts of one dial: those under way, and those that failed with their causes.
pub struct Dialer {
    target: Address,
    how: Dial,
    until: Deadline,
    /// Made once something is waited for: a connection on this machine is there at once.
    poller: Option<Poller>,
    waker: Option<Waker>,
    lookup: Option<Lookup>,
    /// Addresses not tried yet.
    next: VecDeque<SockAddr>,
    /// When the next of them is due.
    next_at: Instant,
    running: Vec<(Socket, SockAddr)>,
    failed: Vec<(Endpoint, io::Error)>,
}

impl Dialer {
    /// Begins to dial. An error that every address would have is returned at once.
    pub fn new(target: &Address, how: Dial, until: Deadline) -> Result<Self, Failure> {
        let (mut poller, mut waker) = (None, None);
        let watch = || {
            let (watching, watched) = watched_waker().during("connect to", target)?;
            (poller, waker) = (Some(watching), Some(watched.clone()));
            Ok(Some(watched))
        };
        let lookup = Some(Lookup::start(target, how.query, watch)?);
        Ok(Self {
            target: target.clone(),
            how,
            until,
            poller,
            waker,
            lookup,
            next: VecDeque::new(),
            next_at: Instant::now(),
            running: Vec::new(),
            failed: Vec::new(),
        })
    }

    /// When [`Dialer::step`] is due though its descriptor is not readable.
    pub fn deadline(&self) -> Deadline {
        if self.next.is_empty() { self.until } else { self.until.min(Deadline::at(self.next_at)) }
    }

    /// What is readable when [`Dialer::step`], which has returned `None`, has something to do.
    pub fn poller(&mut self) -> io::Result<&Poller> {
        let poller = if let Some(poller) = self.poller.take() {
            poller
        } else {
            let poller = Poller::new()?;
            self.running.iter().try_for_each(|(socket, _)| watch(&poller, socket))?;
            poller
        };
        Ok(self.poller.insert(poller))
    }

    /// Makes progress without blocking: `None` while attempts are under way.
    pub fn step(&mut self) -> Option<Result<Socket, Failure>> {
        let out_of_time = self.until.passed(); // before what is ready is looked at
        if let Some(lookup) = &self.lookup {
            match lookup.poll(self.until)? {
                Ok(found) => self.next = found.into(),
                Err(failure) => return Some(Err(failure)),
            }
            self.lookup = None;
            self.waker.iter().for_each(Waker::quiet);
        }
        if let Some(socket) = self.finish_attempts() {
            return Some(Ok(socket));
        }
        while self.next_at <= Instant::now()
            && !out_of_time
            && let Some(address) = self.next.pop_front()
        {
            if let Some(result) = self.attempt(address).transpose() {
                return Some(result);
            }
        }
        if out_of_time {
            for (socket, address) in self.running.drain(..) {
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
        let at = Endpoint::of(&address);
        if self.how.avoids(&at) {
            self.failed.push((at, io::Error::other(OWN)));
            return Ok(None);
        }
        let socket = match open(&address, &self.how) {
            Ok(socket) => socket,
            Err(failure) => {
                let error = lacks_family(&failure).ok_or(failure)?;
                self.failed.push((Endpoint::of(&address), error));
                return Ok(None);
            }
        };
        match socket.start_connect(&address) {
            Ok(true) => return Ok(Some(socket)),
            Ok(false) => {
                if let Some(poller) = &self.poller {
                    watch(poller, &socket).during("connect to", &self.target)?;
                }
                self.running.push((socket, address));
                self.next_at = Instant::now() + STAGGER;
                return Ok(self.finish_attempts()); // on this machine it is over already
            }
            Err(e) if would_block(&e) && address.is_unix() => {
                self.next.push_front(address);
                self.next_at = Instant::now() + FULL_BACKLOG;
            }
            Err(e) => self.failed.push((Endpoint::of(&address), e)),
        }
        Ok(None)
    }

    /// The socket of an attempt that has succeeded; attempts that failed are noted.
    fn finish_attempts(&mut self) -> Option<Socket> {
        let has_ended = |(socket, _): &(Socket, SockAddr)| {
            let polled = wait([(socket.as_fd(), PollFlags::POLLOUT)], Deadline::now());
            polled.is_ok_and(|[flags]| !flags.is_empty())
        };
        while let Some(at) = self.running.iter().position(has_ended) {
            let (socket, address) = self.running.remove(at);
            let result = socket.finish_connect(&address);
            if let Some(poller) = &self.poller {
                // The caller's event loop watches it from now on.
                let _ = poller.remove(&socket);
            }
            match result {
                Ok(()) => return Some(socket),
                Err(e) => self.failed.push((Endpoint::of(&address), e)),
            }
            if self.running.is_empty() {
                self.next_at = Instant::now();
            }
        }
        None
    }

    fn failure(&self, timed_out_now: bool) -> Failure {
        let failure = failure("connect to", &self.target, &self.failed);
        if timed_out_now { failure.exit(Exit::TimedOut) } else { failure }
    }
}

/// The failure of all addresses of a target: names each with its cause, and has the status of the
/// last that could be tried, with a family and an address of ours for it.
pub(super) fn failure(
    op: &'static str,
    target: &Address,
    failed: &[(Endpoint, io::Error)],
) -> Failure {
    let is_tried = |(_, error): &&(Endpoint, io::Error)| {
        let codes = [Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL].map(|code| Some(code as i32));
        !codes.contains(&error.raw_os_error())
    };
    let last = failed.iter().rev().find(is_tried).or(failed.last());
    let Some((last_address, last)) = last else {
        return Failure::timed_out(op, target);
    };
    let mut failure = Failure::system(op, last_address, last);
    if failed.len() > 1 {
        let causes = failed.iter().map(|(at, e)| format!("{at}: {}", cause(e)));
        failure.cause = causes.collect::<Vec<_>>().join(", ");
        failure.target = target.to_string();
    }
    failure
}

/// The error of [`open`] where this system lacks the family of the address: another may do.
pub(super) fn lacks_family(failure: &Failure) -> Option<io::Error> {
    let code = failure.code.filter(|&code| code == Errno::EAFNOSUPPORT as i32)?;
    Some(io::Error::from_raw_os_error(code))
}

/// A socket for `address` with its options set and its source bound, ready to connect without
/// blocking.
pub fn open(address: &SockAddr, how: &Dial) -> Result<Socket, Failure> {
    let new = || {
        let socket = Socket::new(address.domain(), how.query.kind)?;
        if how.query.kind == Type::STREAM && !address.is_unix() {
            socket.set_defaults()?;
        }
        socket.set_nonblocking(true)?;
        io::Result::Ok(socket)
    };
    let socket = new().during("open a socket for", Endpoint::of(address))?;
    sockopt::apply(&how.settings, &socket, Stage::Any)?;
    if let Some(source) = how.query.source.toward(address) {
        socket.bind(&source.into()).during("bind", source)?;
    }
    Ok(socket)
}

fn watch(poller: &Poller, socket: &Socket) -> io::Result<()> {
    poller.add(socket, ANY, Interest { read: false, write: true })
}

/// A poller that watches a waker, for the resolver.
fn watched_waker() -> io::Result<(Poller, Waker)> {
    let (poller, waker) = (Poller::new()?, Waker::new()?);
    poller.add(&waker, ANY, Interest { read: true, write: false })?;
    Ok((poller, waker))
}
