//! A socket whose every call can be traced: the one place where socket calls are made.
//!
//! No call here blocks, whatever the descriptor's mode: waiting is done with poll or epoll,
//! under a deadline. EINTR is retried.
//!
//! Over 300 lines: one method a call, each with its trace.

use std::cell::{Cell, OnceCell};
use std::fmt::{self, Display};
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{MsgFlags, UnixCredentials, getsockopt};
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

use super::deadline::{Deadline, wait};
use super::endpoint::Endpoint;
use super::errno::{is_reset, retry, would_block};
use super::options::{self, DOMAINS, SocketOption, TYPES, ValueFormat, name_of};
use super::raw;
use super::trace::{self, CallResult};

/// The most messages of an error queue that are discarded before others have their turn.
const ERRORS_AT_ONCE: usize = 1024;

/// An open socket. Closed (and the close traced) on drop. Non-blocking only where a caller asks.
#[derive(Debug)]
pub struct Socket {
    inner: socket2::Socket,
    /// The peer that we connected it to; boxed, as servers have thousands of sockets without one.
    dialled: OnceCell<Box<Endpoint>>,
    /// The connection was reset before connect(2) was seen to be done. Reading `SO_ERROR` cleared the
    /// error; recv(2) must still report it, after the data that arrived.
    reset: Cell<bool>,
    /// Whether `O_NONBLOCK` is on, once that is known.
    is_nonblocking: Cell<Option<bool>>,
}

impl Socket {
    /// socket(2), close-on-exec.
    pub fn new(domain: Domain, kind: Type) -> io::Result<Self> {
        let protocol = (domain != Domain::UNIX)
            .then(|| if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP });
        let socket = socket2::Socket::new(domain, kind, protocol);
        let args: [&dyn Display; 2] = [&domain_name(domain), &kind_name(kind)];
        let opened = |socket: &socket2::Socket| CallResult::Descriptor(socket.as_raw_fd());
        Ok(trace::result("socket", &args, socket, opened)?.into())
    }

    /// bind(2).
    pub fn bind(&self, address: &SockAddr) -> io::Result<()> {
        trace::done("bind", &[&Endpoint::of(address)], self.inner.bind(address))
    }

    /// listen(2). The kernel cuts `backlog` to `net.core.somaxconn`.
    pub fn listen(&self, backlog: i32) -> io::Result<()> {
        trace::done("listen", &[&backlog], self.inner.listen(backlog))
    }

    /// accept4(2), close-on-exec: the new socket and the peer. Never blocks: the listener is
    /// non-blocking. The new socket is in blocking mode, as a program it is handed to expects.
    pub fn accept(&self) -> io::Result<(Self, Endpoint)> {
        let accepted = match self.inner.accept() {
            Err(e) if would_block(&e) => return Err(e),
            accepted => accepted.map(|(inner, peer)| (Self::from(inner), Endpoint::of(&peer))),
        };
        trace::result("accept", &[], accepted, |(socket, peer)| {
            CallResult::Accepted(socket.as_raw_fd(), peer.to_string())
        })
    }

    /// Starts a connect(2) on this (non-blocking) socket: whether it is connected. While it is not,
    /// [`Socket::finish_connect`] returns and traces the result.
    pub fn start_connect(&self, address: &SockAddr) -> io::Result<bool> {
        let result = self.inner.connect(address).and_then(|()| self.not_to_itself());
        match &result {
            Err(e) if e.raw_os_error() == Some(Errno::EINPROGRESS as i32) => Ok(false),
            _ => self.connected(address, result).map(|()| true),
        }
    }

    /// Ends a connect to `address` that was under way: its result, traced. A peer that has reset
    /// the connection since then was connected, and may have sent something.
    pub fn finish_connect(&self, address: &SockAddr) -> io::Result<()> {
        let result = match self.take_error() {
            Ok(None) => self.not_to_itself(),
            Ok(Some(e)) | Err(e) => Err(e),
        };
        self.reset.set(matches!(&result, Err(e) if is_reset(e)));
        self.connected(address, unless_reset(result))
    }

    /// The same where nothing is to be read: `None` while the connect is under way. connect(2),
    /// called again, returns the result, and a socket that was refused can then try another address,
    /// which reading `SO_ERROR` would not allow.
    pub fn conclude_connect(&self, address: &SockAddr) -> Option<io::Result<()>> {
        let result = self.inner.connect(address).and_then(|()| self.not_to_itself());
        // EAGAIN: the backlog of a UNIX listener is full.
        let codes = [Errno::EALREADY as i32, Errno::EAGAIN as i32].map(Some);
        let waits = matches!(&result, Err(e) if codes.contains(&e.raw_os_error()));
        (!waits).then(|| traced_connect(address, unless_reset(result)))
    }

    /// Gives up a connect to `address` that was under way: a timeout, traced.
    pub fn abandon_connect(&self, address: &SockAddr) -> io::Result<()> {
        traced_connect(address, Err(Errno::ETIMEDOUT.into()))
    }

    fn connected(&self, address: &SockAddr, result: io::Result<()>) -> io::Result<()> {
        if result.is_ok() {
            self.dialled.get_or_init(|| Endpoint::of(address).into());
        }
        traced_connect(address, result)
    }

    /// Refuses a connection to itself. The kernel may choose the very port that we connect to as
    /// ours; TCP then connects to itself (simultaneous open), where really no server listens.
    fn not_to_itself(&self) -> io::Result<()> {
        let ends = (self.inner.local_addr(), self.inner.peer_addr());
        let ours = matches!(&ends, (Ok(local), Ok(peer)) if !local.is_unix() && local == peer);
        if ours && self.inner.r#type()? == Type::STREAM {
            return Err(Errno::ECONNREFUSED.into());
        }
        Ok(())
    }

    /// The pending error of the socket (`SO_ERROR`), which reading clears.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }

    /// Reads and discards the error queue: ICMP errors asked for with `IP_RECVERR` and send
    /// timestamps. epoll(7) reports `EPOLLERR` until it is empty. Reading an ICMP error from the
    /// queue clears `SO_ERROR`, which has to be read before.
    pub fn drain_error_queue(&self) {
        while self.discard_error() {}
    }

    /// Discards a message of the error queue (`MSG_ERRQUEUE`); false where there is none. UNIX
    /// sockets have no such queue, and would give data.
    fn discard_error(&self) -> bool {
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        matches!(self.inner.domain(), Ok(Domain::IPV4 | Domain::IPV6))
            && retry(|| nix::sys::socket::recv(self.as_raw_fd(), &mut [0], flags)).is_ok()
    }

    /// Whether `EPOLLERR` means that the stream has failed: not where it reported messages in the
    /// error queue, which are discarded. `SO_ERROR` is left to who reads next: TCP queues no ICMP
    /// error after connect(2) (ip(7)), so that discarding clears none.
    ///
    /// Polled before each message: an error without a message is no message's, even where new ones
    /// are queued all the time.
    pub fn has_failed(&self) -> bool {
        for _ in 0..ERRORS_AT_ONCE {
            let polled = wait([(self.as_fd(), PollFlags::empty())], Deadline::now());
            if polled.is_ok_and(|[flags]| !flags.contains(PollFlags::POLLERR)) {
                return false;
            }
            if !self.discard_error() {
                return true;
            }
        }
        false // epoll reports what is left
    }

    /// recv(2). 0 is the peer's end.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let result =
            retry(|| nix::sys::socket::recv(self.as_raw_fd(), buf, MsgFlags::MSG_DONTWAIT));
        trace::counted("recv", buf.len(), self.or_reset(result))
    }

    /// What was read, unless it is an end that was none.
    fn or_reset(&self, read: io::Result<usize>) -> io::Result<usize> {
        match read {
            Ok(0) if self.reset.get() => Err(Errno::ECONNRESET.into()),
            read => read,
        }
    }

    /// recv(2) with `MSG_PEEK`: what could be read now stays to be read. Not traced: nothing moves.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
        self.or_reset(retry(|| nix::sys::socket::recv(self.as_raw_fd(), buf, flags)))
    }

    /// send(2). The count may be short.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let result =
            or_again(|| nix::sys::socket::send(self.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT));
        trace::counted("sendall", bytes.len(), result)
    }

    /// sendmsg(2): several pieces in one call. The count may be short.
    pub fn send_vectored(&self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let result = or_again(|| {
            nix::sys::socket::sendmsg::<()>(
                self.as_raw_fd(),
                pieces,
                &[],
                MsgFlags::MSG_DONTWAIT,
                None,
            )
        });
        trace::counted("sendall", pieces.iter().map(|piece| piece.len()).sum(), result)
    }

    /// shutdown(2), for all processes that have this socket: of the write side, so that the peer
    /// sees our end, or of both, so that a program that reads sees one too. A connection that is
    /// gone already (ENOTCONN) has ended as well as it can.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let name = match how {
            Shutdown::Read => "SHUT_RD",
            Shutdown::Write => "SHUT_WR",
            Shutdown::Both => "SHUT_RDWR",
        };
        match trace::done("shutdown", &[&name], self.inner.shutdown(how)) {
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    /// What every TCP connection of ours has: a short message leaves at once (`TCP_NODELAY`), and
    /// a peer that died silently is noticed in the end (`SO_KEEPALIVE`). `-o` comes after and wins.
    pub fn set_defaults(&self) -> io::Result<()> {
        self.set_int("TCP_NODELAY", 1)?;
        self.set_int("SO_KEEPALIVE", 1)
    }

    /// For a peer that has ended its side, while ours stays open: keepalive after 30 s of silence, every
    /// 10 s, instead of after two hours. The kernel of a peer that has really closed answers with a reset
    /// once its `tcp_fin_timeout`, a minute as a rule, is over. Shorter times (`-o`) stay.
    pub fn probe_half_closed(&self) {
        let options = self.options();
        for (option, seconds, now) in [
            ("TCP_KEEPIDLE", 30, options.tcp_keepalive_time()),
            ("TCP_KEEPINTVL", 10, options.tcp_keepalive_interval()),
        ] {
            // UNIX sockets have neither.
            if now.is_ok_and(|now| now > Duration::from_secs(seconds)) {
                let _ = self.set_int(option, i32::try_from(seconds).unwrap_or(i32::MAX));
            }
        }
    }

    /// The bytes that could be read now (`SIOCINQ`).
    pub fn unread(&self) -> io::Result<u64> {
        raw::unread(self.as_fd())
    }

    /// The bytes that the peer's kernel has not acknowledged (`SIOCOUTQ`), our FIN among them; none
    /// where that is unknown.
    pub fn unacknowledged(&self) -> u64 {
        raw::unacknowledged(self.as_fd()).unwrap_or(0)
    }

    /// From now on close(2) resets the connection, and drops what is not acknowledged.
    pub fn reset_on_close(&self) {
        // One that is gone needs no reset; a UNIX socket has none.
        let _ = options::named("SO_LINGER")
            .and_then(|option| self.set_option(option, &[1_i32, 0].map(i32::to_ne_bytes).concat()));
    }

    /// The process at the other end of a UNIX socket (`SO_PEERCRED`).
    pub fn credentials(&self) -> Option<UnixCredentials> {
        getsockopt(self, PeerCredentials).ok()
    }

    /// setsockopt(2) of an int by the option's name in the table: the one door for the options
    /// that we set ourselves.
    pub fn set_int(&self, option: &str, value: i32) -> io::Result<()> {
        self.set_option(options::named(option)?, &value.to_ne_bytes())
    }

    /// Sets how many bytes must have come before the socket counts as readable (`SO_RCVLOWAT`);
    /// false where the user has set that, or the system refuses.
    pub fn set_low_water(&self, bytes: i32) -> bool {
        let is_free = || {
            let now = options::named("SO_RCVLOWAT").and_then(|option| self.get_option(option));
            now.is_ok_and(|now| now == 1_i32.to_ne_bytes())
        };
        (bytes == 1 || is_free()) && self.set_int("SO_RCVLOWAT", bytes).is_ok()
    }

    /// `O_NONBLOCK` on or off. A relay asks for it before each read.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        if self.is_nonblocking.get() != Some(on) {
            self.inner.set_nonblocking(on)?;
            self.is_nonblocking.set(Some(on));
        }
        Ok(())
    }

    /// getsockname(2).
    pub fn local(&self) -> io::Result<Endpoint> {
        let local = Endpoint::of(&self.inner.local_addr()?);
        trace::result("getsockname", &[], Ok(local), |local| CallResult::Value(local.to_string()))
    }

    /// getpeername(2). For a connection that is gone already, the address that was dialled.
    pub fn peer(&self) -> io::Result<Endpoint> {
        let peer = match (self.inner.peer_addr(), self.dialled.get()) {
            (Ok(address), _) => Endpoint::of(&address),
            (Err(_), Some(dialled)) => (**dialled).clone(),
            (Err(e), None) => return Err(e),
        };
        trace::result("getpeername", &[], Ok(peer), |peer| CallResult::Value(peer.to_string()))
    }

    /// setsockopt(2) with the bytes of a value.
    pub fn set_option(&self, option: &SocketOption, value: &[u8]) -> io::Result<()> {
        let result = raw::setsockopt(self.as_fd(), option.level, option.number, value);
        let (level, name) = option.level_and_name();
        trace::done("setsockopt", &[&level, &name, &Plain(value)], result)
    }

    /// getsockopt(2): the bytes of the value.
    pub fn get_option(&self, option: &SocketOption) -> io::Result<Vec<u8>> {
        let room = match option.format {
            // SO_PEERNAME refuses more room than the peer's address takes.
            ValueFormat::Address => self.inner.peer_addr().ok().map(|peer| peer.len() as usize),
            _ => None,
        };
        let room = room.unwrap_or_else(|| option.format.room());
        let value = raw::getsockopt(self.as_fd(), option.level, option.number, room);
        let (level, name) = option.level_and_name();
        trace::result("getsockopt", &[&level, &name], value, |value| {
            CallResult::Value(Plain(value).to_string())
        })
    }

    /// The typed getters of socket2, untraced. Nothing is set through them: see
    /// [`Socket::set_int`].
    pub fn options(&self) -> SockRef<'_> {
        SockRef::from(&self.inner)
    }
}

impl From<socket2::Socket> for Socket {
    fn from(inner: socket2::Socket) -> Self {
        Self {
            inner,
            dialled: OnceCell::new(),
            reset: Cell::new(false),
            is_nonblocking: Cell::new(None),
        }
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        socket2::Socket::from(fd).into()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if trace::on() {
            let descriptor = format!("fd {}", self.inner.as_raw_fd());
            trace::call("close", &[&descriptor], CallResult::Done);
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

/// The bytes of an option as Python takes and gives them: an int, or a bytes literal.
struct Plain<'a>(&'a [u8]);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.try_into() {
            Ok(int) => write!(f, "{}", i32::from_ne_bytes(int)),
            Err(_) => write!(f, "b'{}'", self.0.escape_ascii()),
        }
    }
}

fn traced_connect(address: &SockAddr, result: io::Result<()>) -> io::Result<()> {
    trace::done("connect", &[&Endpoint::of(address)], result)
}

/// The result of a connect: a connection that was reset had been established.
fn unless_reset(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|e| if is_reset(&e) { Ok(()) } else { Err(e) })
}

/// A call that sends. ENOBUFS and ENOMEM become EAGAIN: the socket is unharmed. No
/// event reports that memory is free again, so a pause keeps the caller from spinning.
pub(super) fn or_again<T>(call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    retry(call).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOBUFS | libc::ENOMEM) => {
            std::thread::sleep(Duration::from_millis(1));
            Errno::EAGAIN.into()
        }
        _ => error,
    })
}

/// `AF_INET`, `AF_INET6`, `AF_UNIX`, and what else a process may have open.
pub fn domain_name(domain: Domain) -> &'static str {
    name_of(DOMAINS, domain.into()).unwrap_or("AF_?")
}

/// `SOCK_STREAM`, `SOCK_DGRAM`, …
pub fn kind_name(kind: Type) -> &'static str {
    name_of(TYPES, kind.into()).unwrap_or("SOCK_?")
}
