//! How a client gets its connection, in the words of the command line: straight or through a proxy.

use std::sync::Arc;
use std::time::Duration;

use super::ClientArgs;
use super::login::login;
use crate::auth::proof::Proof;
use crate::auth::security::ClientSecurity;
use crate::auth::tls::client::{Client, ClientOptions};
use crate::console::event::{Level, Reason};
use crate::console::talk::Talk;
use crate::exit::{During, Failure};
use crate::net::address::Address;
use crate::net::deadline::Deadline;
use crate::net::dial::Dial;
use crate::net::proxy::{Login, Proxy, Tunnel};
use crate::net::proxy_header::Version;
use crate::server::{Route, Run, RunEnd};
use crate::session::seat::Inbox;
use crate::session::{Clients, Handler, Id};

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

    /// Whether there is a proxy.
    pub fn is_proxied(&self) -> bool {
        self.proxy.is_some()
    }

    /// How connections are opened without one, and `-w`.
    pub fn dial(&self) -> (Dial, Duration) {
        (self.args.dial(), self.args.socket.timeout)
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
        let security = match (proof, &self.tls) {
            (Some(proof), _) => Some(ClientSecurity::Key(proof)),
            (None, Some(options)) => {
                let client = Client::new(options, address.host().as_deref())?;
                Some(ClientSecurity::Tls(client.into()))
            }
            (None, None) => None,
        };
        let header = self.args.send_proxy.map(|version| match version {
            1 => Version::One,
            _ => Version::Two,
        });
        Ok(Route {
            address,
            dial,
            tunnel,
            header,
            wait,
            timeout,
            security,
            starttls: false,
            greet,
            redials: false,
        })
    }

    /// Connects once and closes: `connect --check` through a proxy. Nothing is reported.
    pub fn check(&self, address: Address, deadline: Deadline) -> Result<(), Failure> {
        let mut route = self.route(address, None, None, false, deadline)?;
        route.header = None;
        let inbox = Inbox::new().during("start", "the event loop")?;
        let talk = Talk::new(Level::Quiet, false);
        let run = Run {
            listener: None,
            route: Some(route),
            inbox: &inbox,
            signals: None,
            config: self.args.config(false, deadline, Vec::new(), &talk),
            talk,
        };
        let mut check = Check { is_open: false };
        match run.serve(&mut check)? {
            (RunEnd::Expired(failure), _) if !check.is_open => Err(failure),
            _ => Ok(()),
        }
    }
}

/// The end of the run as soon as the connection is there.
struct Check {
    is_open: bool,
}

impl Handler for Check {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        self.is_open = true;
        clients.close(client, Reason::Eof);
    }
}
