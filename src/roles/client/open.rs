//! How a client gets its connection, in the words of the command line: straight or through a proxy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ClientArgs;
use super::login::login;
use crate::auth::proof::Proof;
use crate::auth::security::ClientSecurity;
use crate::auth::tls::client::{Client, ClientOptions};
use crate::console::event::{Level, Reason};
use crate::console::talk::Talk;
use crate::exit::{During, Exit, Failure};
use crate::net::address::Address;
use crate::net::deadline::Deadline;
use crate::net::dial::Dial;
use crate::net::proxy::{Login, Proxy, Tunnel};
use crate::net::proxy_header::Version;
use crate::net::scan::Checked;
use crate::net::tlsinfo::{CLIENT_CERT_REJECTED, TlsInfo};
use crate::server::{Route, Run, RunEnd};
use crate::session::closed::Closed;
use crate::session::seat::Inbox;
use crate::session::{Clients, Handler, Id};

/// How long a check waits for the server's end, beside the time that its handshake has taken.
const FAREWELL: Duration = Duration::from_millis(250);

/// Opens connections the way the command line says.
pub struct Opener {
    args: ClientArgs,
    proxy: Option<(Proxy, Option<Arc<Login>>)>,
    tls: Option<ClientOptions>,
}

impl Opener {
    /// One for these flags, and TLS or none; reads the proxy's password.
    pub fn new(args: &ClientArgs, tls: Option<ClientOptions>) -> Result<Self, Failure> {
        let mut proxy = None;
        if let Some(text) = &args.proxy {
            let parsed = Proxy::parse(text)?;
            parsed.address.check_family(args.socket.family.family())?;
            let login = login(&parsed, args.proxy_password_file.as_deref())?;
            proxy = Some((parsed, login.map(Arc::new)));
        }
        Ok(Self { args: args.clone(), proxy, tls })
    }

    /// Whether there is more to a connection than connecting: a proxy, or TLS.
    pub fn has_handshakes(&self) -> bool {
        self.proxy.is_some() || self.tls.is_some()
    }

    /// How connections are opened without one, and `-w`.
    pub fn dial(&self) -> (Dial, Duration) {
        (self.args.dial(), self.args.socket.timeout)
    }

    /// TLS with this address, if it is spoken; an error if there is no name to check.
    pub fn tls(&self, address: &Address) -> Result<Option<Client>, Failure> {
        let client = |options| Client::new(options, address.host().as_deref());
        self.tls.as_ref().map(client).transpose()
    }

    /// The way to an address.
    pub fn route(
        &self,
        address: Address,
        wait: Option<Duration>,
        proof: Option<Proof>,
        greet: bool,
        deadline: Deadline,
    ) -> Result<Route, Failure> {
        let timeout = self.args.socket.timeout;
        let dial = self.args.dial();
        let tunnel = match self.proxy.clone() {
            None => None,
            Some((proxy, login)) => {
                let until = Deadline::after(timeout).min(deadline);
                Some(Tunnel::new(proxy, login, address.clone(), dial.query, until)?)
            }
        };
        let security = match proof {
            Some(proof) => Some(ClientSecurity::Key(proof)),
            None => self.tls(&address)?.map(|client| ClientSecurity::Tls(client.into())),
        };
        let header = self.args.send_proxy.map(Version::numbered);
        Ok(Route {
            address,
            dial,
            tunnel,
            header,
            wait,
            timeout,
            security,
            starttls: self.args.steps.starttls(),
            greet,
            redials: false,
            reconnect: None,
        })
    }

    /// Connects once and closes: `connect --check` through a proxy, or with TLS. Nothing is reported;
    /// only usage errors and those of our own system are failures.
    pub fn check(&self, address: &Address, deadline: Deadline) -> Result<Checked, Failure> {
        let mut route = self.route(address.clone(), None, None, false, deadline)?;
        if route.security.is_none() {
            route.header = None;
        }
        let inbox = Inbox::new().during("start", "the event loop")?;
        let talk = Talk::new(Level::Quiet, false, false);
        let run = Run {
            listener: None,
            routes: vec![route],
            inbox: &inbox,
            signals: None,
            config: self.args.config(false, deadline, Vec::new(), &talk),
            talk,
        };
        let began = Instant::now();
        let mut check = Check { began, took: None, tls: None, closing: None, rejected: None };
        let end = run.serve(&mut check);
        let failure = match (check.rejected, check.took, end) {
            (Some(rejected), ..) => rejected,
            (None, Some(took), _) => {
                return Ok(Checked { tls: check.tls, ..Checked::new(0, took) });
            }
            (None, None, Err(failure) | Ok((RunEnd::Expired(failure), _))) => failure,
            (None, None, Ok(_)) => Failure::timed_out("connect to", address),
        };
        let code = match (failure.code, failure.exit, &check.tls) {
            (_, Exit::Usage, _) => return Err(failure),
            (Some(code), ..) => code,
            (None, Exit::TimedOut, _) => libc::ETIMEDOUT,
            (None, _, Some(_)) => 0,
            // A proxy has no number for each reason.
            (None, _, None) => libc::EPROTO,
        };
        let mut checked = Checked::new(code, began.elapsed());
        if check.tls.is_some() {
            checked.exit = Some(failure.exit);
        }
        Ok(Checked { tls: check.tls, ..checked })
    }
}

/// The end of the run as soon as the connection is there. With TLS the server's end is waited for a moment:
/// it may reject our certificate behind the handshake (RFC 8446, 4.4.2.4), and a socket that is closed
/// before its session tickets are read would reset the connection.
struct Check {
    began: Instant,
    /// How long it took until the connection could be used.
    took: Option<Duration>,
    /// What came of TLS.
    tls: Option<TlsInfo>,
    /// What is closed then, whether the server has ended or not.
    closing: Option<(Id, Deadline)>,
    rejected: Option<Failure>,
}

impl Handler for Check {
    fn handshake_over(&mut self, tls: Option<&TlsInfo>) {
        self.tls = tls.cloned();
    }

    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        let took = self.began.elapsed();
        self.took = Some(took);
        if self.tls.is_none() {
            return clients.close(client, Reason::Eof);
        }
        clients.finish(client);
        // The handshake has taken two round trips or more, and the end takes one.
        self.closing = Some((client, Deadline::after(took + FAREWELL)));
    }

    fn deadline(&self) -> Deadline {
        self.closing.map_or(Deadline::NEVER, |(_, until)| until)
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        if let Some((client, _)) = self.closing.take_if(|(_, until)| until.passed()) {
            clients.close(client, Reason::Eof);
        }
    }

    fn closed(&mut self, _client: Id, closed: &Closed, _clients: &mut dyn Clients) -> bool {
        let failure = closed.result().err();
        self.rejected = failure.filter(|it| it.exit == Exit::NotAuthenticated);
        if let (Some(tls), Some(rejected)) = (&mut self.tls, &self.rejected) {
            tls.reason = Some(rejected.cause.clone());
            tls.code = Some(CLIENT_CERT_REJECTED);
        }
        self.closing = None;
        false
    }
}
