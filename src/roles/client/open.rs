//! How a client gets its connection: straight or through a proxy, again and again while there is
//! time (`--wait`), and with a word of whose it is in front (`--send-proxy`).

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use socket2::SockAddr;

use super::ClientArgs;
use super::login::login;
use crate::exit::{Exit, Failure};
use crate::net::address::{Address, Family, Host, Port};
use crate::net::deadline::Deadline;
use crate::net::dial::{Dial, dial, resolve};
use crate::net::endpoint::Endpoint;
use crate::net::proxy::{Login, Place, Proxy};
use crate::net::proxy_header::{Version, header};
use crate::net::quantity;
use crate::net::socket::Socket;

/// The pause after a first failure; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_millis(500);

/// The time that `--wait` gives, and how it is spent.
pub struct Patience {
    limit: Duration,
    deadline: Deadline,
    until: Deadline,
    pause: Duration,
    attempts: u32,
}

impl Patience {
    /// `limit` from now, or until `deadline` if that is earlier.
    pub fn new(limit: Duration, deadline: Deadline) -> Self {
        // Zero is at once here, where it means "no limit" elsewhere.
        let end = Instant::now().checked_add(limit).map_or(Deadline::NEVER, Deadline::at);
        Self { limit, deadline, until: end.min(deadline), pause: FIRST, attempts: 0 }
    }

    /// Begins an attempt; when that must end. The first one is made even if there is no time.
    pub fn attempt(&mut self) -> Deadline {
        self.attempts += 1;
        if self.limit.is_zero() { self.deadline } else { self.until }
    }

    /// Pauses before the next attempt; false if there is no time for one. Signals end the process
    /// meanwhile, as anywhere before the talk.
    pub fn pause(&mut self) -> bool {
        if self.until.passed() {
            return false;
        }
        let pause = self.until.left().map_or(self.pause, |left| left.min(self.pause));
        std::thread::sleep(pause);
        self.pause = (self.pause * 2).min(LONGEST);
        !self.until.passed()
    }

    /// The last failure, when time has run out.
    fn run_out(&self, last: Failure) -> Failure {
        let times = match self.attempts {
            1 => "1 attempt".into(),
            more => format!("{more} attempts"),
        };
        last.hint(&format!("still so after {}, {times} (--wait)", quantity::shown(self.limit)))
            .exit(Exit::TimedOut)
    }
}

/// Whether a failure may pass by itself: nobody listens yet, no route yet, no name yet, no answer
/// yet.
pub fn may_pass(failure: &Failure) -> bool {
    // A UNIX socket that is not bound yet has no file.
    failure.code == Some(Errno::ENOENT as i32)
        || matches!(
            failure.exit,
            Exit::Refused | Exit::Unreachable | Exit::Unresolved | Exit::TimedOut
        )
}

/// Opens connections the way the command line says: straight or through a proxy.
pub struct Opener<'a> {
    args: &'a ClientArgs,
    proxy: Option<(Proxy, Option<Login>)>,
}

impl<'a> Opener<'a> {
    /// One for these flags; reads the proxy's password.
    pub fn new(args: &'a ClientArgs) -> Result<Self, Failure> {
        let mut proxy = None;
        if let Some(text) = &args.proxy {
            let parsed = Proxy::parse(text)?;
            parsed.address.check_family(args.socket.family.family())?;
            let login = login(&parsed, args.proxy_password_file.as_deref())?;
            proxy = Some((parsed, login));
        }
        Ok(Self { args, proxy })
    }

    /// Whether there is a proxy.
    pub fn is_proxied(&self) -> bool {
        self.proxy.is_some()
    }

    /// One connection before `until`, in one attempt; the socket, and who is at its other end.
    pub fn connect(
        &self,
        address: &Address,
        until: Deadline,
    ) -> Result<(Socket, Endpoint), Failure> {
        let until = Deadline::after(self.args.socket.timeout).min(until);
        let how = self.args.dial();
        let Some((proxy, login)) = &self.proxy else {
            let socket = dial(address, &how, until)?;
            let peer = socket.peer();
            let peer = peer.map_err(|e| Failure::system("connect to", address, &e))?;
            return Ok((socket, peer));
        };
        let (place, port) = place(address, &how, until)?;
        let socket = dial(&proxy.address, &how, until).map_err(|mut failure| {
            if failure.exit != Exit::Usage {
                failure.target = format!("{proxy} for {address}");
            }
            failure
        })?;
        proxy.tunnel(&socket, login.as_ref(), (&place, port), address, until)?;
        Ok((socket, Endpoint::Beyond(address.to_string())))
    }

    /// The connection to talk over: tries again as long as `--wait` says, and announces whose it
    /// is (`--send-proxy`).
    pub fn open(
        &self,
        address: &Address,
        deadline: Deadline,
    ) -> Result<(Socket, Endpoint), Failure> {
        let (socket, peer) = match self.args.wait {
            None => self.connect(address, deadline)?,
            Some(limit) => self.insist(address, Patience::new(limit, deadline))?,
        };
        if let Some(version) = self.args.send_proxy {
            let version = match version {
                1 => Version::One,
                _ => Version::Two,
            };
            let until = Deadline::after(self.args.socket.timeout).min(deadline);
            let sent = socket
                .local()
                .and_then(|local| header(version, &local, &peer))
                .and_then(|header| socket.send_all(&header, until));
            sent.map_err(|e| Failure::system("send the PROXY header to", &peer, &e))?;
        }
        Ok((socket, peer))
    }

    fn insist(
        &self,
        address: &Address,
        mut patience: Patience,
    ) -> Result<(Socket, Endpoint), Failure> {
        let mut last: Option<Failure> = None;
        loop {
            match self.connect(address, patience.attempt()) {
                Err(failure) if may_pass(&failure) => {
                    // An attempt that our own end cut short says less than the one before it.
                    let cut_short = failure.exit == Exit::TimedOut && patience.until.passed();
                    last = match last {
                        Some(before) if cut_short => Some(before),
                        _ => Some(failure),
                    };
                }
                result => return result,
            }
            if !patience.pause()
                && let Some(last) = last.take()
            {
                return Err(patience.run_out(last));
            }
        }
    }
}

/// The target as a proxy is told it: a name is not looked up here, a service is.
fn place(address: &Address, how: &Dial<'_>, until: Deadline) -> Result<(Place, u16), Failure> {
    let refuse = |why: &str| Err(Failure::usage(format!("--proxy: {address}: {why}")));
    let Address::Inet { host, port } = address else {
        return refuse("a proxy cannot reach a UNIX socket of this machine");
    };
    let place = match host {
        Host::Name(name) if name.len() > 255 => return refuse("a name of over 255 bytes"),
        Host::Name(name) => Place::Name(name.clone()),
        Host::Ip(ip) => Place::Ip(*ip),
        Host::Loopback | Host::Wildcard => Place::Ip(Ipv4Addr::LOCALHOST.into()),
        Host::Scoped(..) => return refuse("a zone of this machine means nothing to a proxy"),
    };
    let port = match port {
        Port::Number(port) => *port,
        Port::Service(_) => {
            let local =
                Address::Inet { host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port: port.clone() };
            let how = Dial { source: None, family: Family::Any, ..*how };
            let found = resolve(&local, &how, until)?;
            let found = found.first().and_then(SockAddr::as_socket);
            found.map_or(0, |inet| inet.port())
        }
    };
    Ok((place, port))
}
