//! Opening a listening socket: TCP on one address or both families, UNIX paths that clean up
//! after themselves, abstract names.

use std::fs::{self, Permissions};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use nix::errno::Errno;
use socket2::{Domain, SockAddr, Type};

use super::address::{Address, Family, Host};
use super::deadline::Deadline;
use super::endpoint::Endpoint;
use super::options::Stage;
use super::resolve::{self, Query};
use super::signal;
use super::socket::Socket;
use super::sockopt::{self, Setting};
use crate::exit::{During, Exit, Failure};

/// How to open a listener.
pub struct Listen<'a> {
    /// The address, and the socket for it.
    pub query: Query,
    /// Bound on looking a name up.
    pub until: Deadline,
    /// `-o`, set before bind.
    pub settings: &'a [Setting],
    /// Connections the kernel queues before we accept them; it cuts this to
    /// `net.core.somaxconn`.
    pub backlog: i32,
    /// `SO_REUSEPORT`: several servers share the port.
    pub reuse_port: bool,
    /// `--mode`: who may use a UNIX path; `None` leaves that to the umask.
    pub mode: Option<u32>,
}

/// A listening socket, non-blocking. A UNIX path it made is removed on drop.
pub struct Listener {
    socket: Socket,
    local: Endpoint,
    #[expect(dead_code, reason = "held for its drop")]
    path: Option<OwnPath>,
}

impl Listener {
    /// socket, bind, listen.
    pub fn open(address: &Address, how: &Listen<'_>) -> Result<Self, Failure> {
        let (socket, local, path) = bind(address, how)?;
        let started = socket.listen(how.backlog).and_then(|()| socket.set_nonblocking(true));
        started.during("listen on", address)?;
        Ok(Self { socket, local, path })
    }

    /// The first listening socket that a service manager handed over (`sd_listen_fds(3)`).
    pub fn inherited(settings: &[Setting]) -> Result<Self, Failure> {
        let none = |cause: &str| {
            Failure::new("take", "the socket of the service manager", cause, Exit::Usage)
        };
        let mut handed = ListenFd::from_env();
        let socket = match (handed.take_tcp_listener(0), handed.take_unix_listener(0)) {
            (Ok(Some(tcp)), _) => Socket::from(OwnedFd::from(tcp)),
            (_, Ok(Some(unix))) => Socket::from(OwnedFd::from(unix)),
            (Ok(None), _) => return Err(none("LISTEN_FDS names none")),
            (Err(_), _) => return Err(none("it is not a stream socket")),
        };
        if !socket.options().is_listener().unwrap_or(false) {
            return Err(none("it does not listen"));
        }
        let start = || {
            socket.set_nonblocking(true)?;
            let local = local(&socket, !socket.options().only_v6().unwrap_or(true))?;
            if !matches!(local, Endpoint::Unix(_)) {
                socket.set_defaults()?;
            }
            io::Result::Ok(local)
        };
        let local = start().during("listen on", "the socket of the service manager")?;
        sockopt::apply(settings, &socket, Stage::Listener)?;
        Ok(Self { socket, local, path: None })
    }

    /// Where it listens, with the real port.
    pub fn local(&self) -> &Endpoint {
        &self.local
    }

    /// accept(2): the next connection and its peer. Never blocks.
    pub fn accept(&self) -> io::Result<(Socket, Endpoint)> {
        let (socket, peer) = self.socket.accept()?;
        // A UNIX client has no name: it is shown by the listener's.
        Ok((socket, if matches!(peer, Endpoint::Unix(_)) { self.local.clone() } else { peer }))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A bound socket, the address it announces, and the UNIX path it made.
pub fn bind(
    address: &Address,
    how: &Listen<'_>,
) -> Result<(Socket, Endpoint, Option<OwnPath>), Failure> {
    let target = target(address, how)?;
    let kind = how.query.kind;
    if let Some(path) = address.unix_path() {
        clear_stale(path, &target, kind)?;
    }
    let both = how.query.family == Family::Any
        && matches!(address, Address::Inet { host: Host::Wildcard, .. });
    let (socket, target) =
        unbound(target, both, how.reuse_port, kind).during("listen on", address)?;
    let stage = if kind == Type::STREAM { Stage::Listener } else { Stage::Any };
    sockopt::apply(how.settings, &socket, stage)?;
    let bound = || {
        socket.bind(&target)?;
        let path = address.unix_path().map(|path| OwnPath::of(path, how.mode)).transpose()?;
        io::Result::Ok((local(&socket, both)?, path))
    };
    let (local, path) = bound().during("listen on", address)?;
    Ok((socket, local, path))
}

/// A socket to bind to `target`, or to the IPv4 half of it in a kernel without IPv6.
fn unbound(
    target: SockAddr,
    both: bool,
    reuse_port: bool,
    kind: Type,
) -> io::Result<(Socket, SockAddr)> {
    let (socket, target) = match Socket::new(target.domain(), kind) {
        Err(e) if both && e.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32) => {
            let port = target.as_socket().map_or(0, |a| a.port());
            let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            (Socket::new(Domain::IPV4, kind)?, four.into())
        }
        result => (result?, target),
    };
    if target.is_ipv6() {
        socket.set_int("IPV6_V6ONLY", (!both).into())?;
    }
    if kind == Type::STREAM && !target.is_unix() {
        // A restarted server can bind beside connections in TIME_WAIT; on Linux two listeners
        // never share a port by this option.
        socket.set_int("SO_REUSEADDR", 1)?;
        // Accepted connections inherit these.
        socket.set_defaults()?;
    }
    if reuse_port {
        socket.set_int("SO_REUSEPORT", 1)?;
    }
    Ok((socket, target))
}

/// The address a bound socket announces: the real port, and `*` for both families.
fn local(socket: &Socket, both: bool) -> io::Result<Endpoint> {
    Ok(match socket.local()? {
        Endpoint::Inet(inet) if both && inet.ip().is_unspecified() => Endpoint::Any(inet.port()),
        local => local,
    })
}

/// The system address to bind. A name binds its first IPv4 address, else its first IPv6.
fn target(address: &Address, how: &Listen<'_>) -> Result<SockAddr, Failure> {
    if let Address::Inet { host: Host::Wildcard, port } = address {
        let port = resolve::port(port, how.query, how.until)?;
        return Ok(match how.query.family {
            Family::V4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            Family::Any | Family::V6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        }
        .into());
    }
    let found = signal::fatal_during(|| resolve::resolve(address, how.query, how.until))?;
    let first_v4 = found.iter().find(|a| a.is_ipv4());
    first_v4
        .or(found.first())
        .cloned()
        .ok_or_else(|| Failure::new("listen on", address, "no address", Exit::Unresolved))
}

/// Removes a UNIX path that no socket is bound to any more; anything else is never touched.
fn clear_stale(path: &Path, target: &SockAddr, kind: Type) -> Result<(), Failure> {
    let shown = format!("unix:{}", path.display());
    let in_use = |why: &str| {
        let mut failure = Failure::system("listen on", &shown, &Errno::EADDRINUSE.into());
        failure.cause = format!("{why}: {}", failure.cause);
        Err(failure)
    };
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()), // nothing there, or bind will say what is wrong
        Ok(found) if !found.file_type().is_socket() => {
            return in_use("the path is not a socket");
        }
        Ok(_) => {}
    }
    let probe = Socket::new(Domain::UNIX, kind).during("listen on", &shown)?;
    probe.set_nonblocking(true).during("listen on", &shown)?;
    match probe.start_connect(target) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).during("listen on", &shown),
            _ => Ok(()),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => in_use("another server listens there"),
    }
}

/// A UNIX path that this process bound: removed on drop, if it is still the same file.
pub struct OwnPath {
    path: PathBuf,
    file: (u64, u64),
}

impl OwnPath {
    /// The path that was bound just now. Its mode is set before the socket listens, and so before
    /// a client can connect.
    fn of(path: &Path, mode: Option<u32>) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        let own = Self { path: std::path::absolute(path)?, file: (found.dev(), found.ino()) };
        if let Some(mode) = mode {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        Ok(own)
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.file) {
            // An error at the end of the run has no effect.
            let _ = fs::remove_file(&self.path);
        }
    }
}
