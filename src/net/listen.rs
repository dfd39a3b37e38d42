//! Opening a listening socket: TCP on one address or both families, UNIX paths that clean up
//! after themselves, abstract names.
//!
//! Over 300 lines: how a path is taken over from a server that is gone is a third of it.

use std::cell::Cell;
use std::fs::{self, File, Permissions};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use listenfd::ListenFd;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use socket2::{Domain, SockAddr, Type};

use super::address::{Address, Family, Host};
use super::deadline::Deadline;
use super::endpoint::Endpoint;
use super::errno::would_block;
use super::options::Stage;
use super::poller::{Interest, Poller};
use super::resolve::{self, Query};
use super::signal;
use super::socket::Socket;
use super::sockopt::{self, Setting};
use crate::exit::{During, Exit, Failure};

/// How long a server waits for others that start in the same folder, and how often it tries.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(10);

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

/// Listening sockets, non-blocking: one of ours, or all of a service manager's. A UNIX path it made
/// is removed on drop, before the socket is closed: until then no other server takes it for stale.
pub struct Listener {
    #[expect(dead_code, reason = "held for its drop")]
    path: Option<OwnFile>,
    sockets: Vec<Socket>,
    locals: Vec<Endpoint>,
    /// Watches them, where there are several.
    poller: Option<Poller>,
    /// Whose turn it is to be asked first.
    next: Cell<usize>,
}

impl Listener {
    /// socket, bind, listen.
    pub fn open(address: &Address, how: &Listen<'_>) -> Result<Self, Failure> {
        let (socket, local, path) = bind(address, how, |socket| {
            socket.listen(how.backlog)?;
            socket.set_nonblocking(true)
        })?;
        Ok(Self::new(path, vec![(socket, local)], None))
    }

    fn new(path: Option<OwnFile>, all: Vec<(Socket, Endpoint)>, poller: Option<Poller>) -> Self {
        let (sockets, locals) = all.into_iter().unzip();
        Self { path, sockets, locals, poller, next: Cell::new(0) }
    }

    /// All listening sockets that a service manager handed over (`sd_listen_fds(3)`).
    pub fn inherited(settings: &[Setting]) -> Result<Self, Failure> {
        const TARGET: &str = "the sockets of the service manager";
        let none = |cause: String| Failure::new("take", TARGET, cause, Exit::Usage);
        let mut handed = ListenFd::from_env();
        let mut all = Vec::with_capacity(handed.len());
        for index in 0..handed.len() {
            let nth = index + 1;
            let socket = match (handed.take_tcp_listener(index), handed.take_unix_listener(index)) {
                (Ok(Some(tcp)), _) => Socket::from(OwnedFd::from(tcp)),
                (_, Ok(Some(unix))) => Socket::from(OwnedFd::from(unix)),
                _ => return Err(none(format!("number {nth} is not a stream socket"))),
            };
            if !socket.options().is_listener().unwrap_or(false) {
                return Err(none(format!("number {nth} does not listen")));
            }
            let start = || {
                socket.set_nonblocking(true)?;
                let local = local(&socket, !socket.options().only_v6().unwrap_or(true))?;
                if !matches!(local, Endpoint::Unix(_)) {
                    socket.set_defaults()?;
                }
                io::Result::Ok(local)
            };
            let local = start().during("listen on", TARGET)?;
            sockopt::apply(settings, &socket, Stage::Listener)?;
            all.push((socket, local));
        }
        let poller = match &all[..] {
            [] => return Err(none("LISTEN_FDS names none".into())),
            [_] => None,
            several => {
                let poller = Poller::new().during("listen on", TARGET)?;
                for (socket, _) in several {
                    poller.add(socket, 0, Interest::READ).during("listen on", TARGET)?;
                }
                Some(poller)
            }
        };
        Ok(Self::new(None, all, poller))
    }

    /// Where it listens, with the real port: the first of all places.
    pub fn local(&self) -> &Endpoint {
        &self.locals[0]
    }

    /// All places where it listens.
    pub fn locals(&self) -> &[Endpoint] {
        &self.locals
    }

    /// accept(2): the next connection and its peer. Several sockets take turns. Never blocks.
    pub fn accept(&self) -> io::Result<(Socket, Endpoint)> {
        for turn in 1..=self.sockets.len() {
            let at = self.next.get() % self.sockets.len();
            self.next.set(at + 1);
            match self.sockets[at].accept() {
                Err(e) if would_block(&e) && turn < self.sockets.len() => {}
                // A UNIX client has no name: it is shown by the listener's.
                Ok((socket, Endpoint::Unix(_))) => return Ok((socket, self.locals[at].clone())),
                result => return result,
            }
        }
        Err(Errno::EAGAIN.into())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_ref().map_or_else(|| self.sockets[0].as_fd(), AsFd::as_fd)
    }
}

/// A bound socket that `start` has made ready, the address it announces, and the UNIX path it made.
pub fn bind(
    address: &Address,
    how: &Listen<'_>,
    start: impl FnOnce(&Socket) -> io::Result<()>,
) -> Result<(Socket, Endpoint, Option<OwnFile>), Failure> {
    let target = target(address, how)?;
    let kind = how.query.kind;
    // Held until the socket is ready: before that another server would take its path for stale.
    let _lock = match address.unix_path() {
        Some(path) => {
            let lock = signal::fatal_during(|| lock_folder(path, how.until));
            clear_stale(path, &target, kind)?;
            lock
        }
        None => None,
    };
    let both = how.query.family == Family::Any
        && matches!(address, Address::Inet { host: Host::Wildcard, .. });
    let (socket, target) =
        unbound(target, both, how.reuse_port, kind).during("listen on", address)?;
    let stage = if kind == Type::STREAM { Stage::Listener } else { Stage::Any };
    sockopt::apply(how.settings, &socket, stage)?;
    let bound = || {
        socket.bind(&target)?;
        let path = address.unix_path().map(OwnFile::of).transpose()?;
        if let (Some(path), Some(mode)) = (&path, how.mode) {
            // Before it listens, and so before a client can connect.
            fs::set_permissions(&path.path, Permissions::from_mode(mode))?;
        }
        let local = local(&socket, both)?;
        start(&socket)?;
        io::Result::Ok((local, path))
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

fn in_use(path: &Path, why: &str) -> Failure {
    let shown = format!("unix:{}", path.display());
    let mut failure = Failure::system("listen on", shown, &Errno::EADDRINUSE.into());
    failure.cause = format!("{why}: {}", failure.cause);
    failure
}

/// Servers that start at a path of the same folder do so one after another, by a lock on the folder:
/// from the look at what is there to listen(2), which makes the path a live one. Without a lock (a
/// folder that cannot be read or that another program keeps locked, a file system without locks) the
/// kernel decides who binds.
fn lock_folder(path: &Path, until: Deadline) -> Option<Flock<File>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut folder = File::open(folder.unwrap_or(Path::new("."))).ok()?;
    let until = until.min(Deadline::after(LOCK_TIMEOUT));
    loop {
        folder = match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((folder, Errno::EWOULDBLOCK | Errno::EINTR)) if !until.passed() => folder,
            Err(_) => return None,
        };
        sleep(LOCK_POLL);
    }
}

/// Removes a UNIX path that no socket is bound to any more; anything else is never touched.
fn clear_stale(path: &Path, target: &SockAddr, kind: Type) -> Result<(), Failure> {
    let shown = format!("unix:{}", path.display());
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()), // nothing there, or bind will say what is wrong
        Ok(found) if !found.file_type().is_socket() => {
            return Err(in_use(path, "the path is not a socket"));
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
        _ => Err(in_use(path, "another server listens there")),
    }
}

/// A file that this process has made, the path of a UNIX socket or a port file: removed on drop, if
/// it is still the same.
pub struct OwnFile {
    path: PathBuf,
    file: (u64, u64),
}

impl OwnFile {
    /// The file that was made just now.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { path: std::path::absolute(path)?, file: (found.dev(), found.ino()) })
    }

    /// The same file, which has another name now.
    pub fn renamed(mut self, path: &Path) -> io::Result<Self> {
        self.path = std::path::absolute(path)?;
        Ok(self)
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.file) {
            // An error at the end of the run has no effect.
            let _ = fs::remove_file(&self.path);
        }
    }
}
