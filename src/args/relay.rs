//! The flags of a relay: its targets, and what secures the connections to them.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueHint};
use socket2::Type;

use super::tls::warn_of_key_log;
use super::{Bytes, SocketArgs, count, text_parser};
use crate::auth::key::load;
use crate::auth::noise;
use crate::auth::proof::Proof;
use crate::auth::security::ClientSecurity;
use crate::auth::tls::client::{Client, ClientOptions};
use crate::auth::tls::pin::Pin;
use crate::auth::tls::verifier::{Trust, TrustFlags};
use crate::console::talk::Talk;
use crate::exit::{Failure, quoted};
use crate::net::address::{Address, Family, Host, Port};
use crate::net::deadline::Deadline;
use crate::net::dial::{Dial, OWN};
use crate::net::endpoint::Endpoint;
use crate::net::proxy_header::Version;
use crate::net::quantity;
use crate::net::resolve::Source;
use crate::server::Route;
use crate::session::relay::network::Network;

/// Where clients are relayed to.
#[derive(Args, Debug, Clone)]
pub struct RelayArgs {
    /// Relay each client to TARGET: an ADDRESS, tls:HOST:PORT or auth:HOST:PORT; repeatable: tried in order
    /// until one accepts
    #[arg(long, value_name = "TARGET", value_parser = target_parser(),
        group = "handler", help_heading = "Handlers")]
    pub to: Vec<Target>,
    /// With --to: connect to the target from this address
    #[arg(short, long, value_name = "ADDR[:PORT]", value_parser = super::source, help_heading = "Relay")]
    pub source: Option<SocketAddr>,
    /// With --to: try the targets again for this long, while the client waits
    #[arg(long, value_name = "DUR", value_parser = quantity::duration, help_heading = "Relay")]
    pub wait: Option<Duration>,
    /// With --to: announce the client to the target with a PROXY header
    #[arg(long, value_name = "VERSION", num_args = 0..=1, require_equals = true, default_missing_value = "1",
        value_parser = count::<u8>(1, 2), help_heading = "Relay")]
    pub send_proxy: Option<u8>,
    /// With --to tls:…: trust the certificates (PEM) in FILE, and what they have signed
    #[arg(long, value_name = "FILE", group = "to-trust", value_hint = ValueHint::FilePath, help_heading = "Relay")]
    pub to_tls_ca: Option<PathBuf>,
    /// With --to tls:…: trust this key alone
    #[arg(long, value_name = "PIN", value_parser = Pin::parse, group = "to-trust", help_heading = "Relay")]
    pub to_tls_pin: Option<Pin>,
    /// With --to auth:…: read the key from FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Relay")]
    pub to_key_file: Option<PathBuf>,
    /// With --to auth:…: bind the encrypted session to TEXT
    #[arg(long, value_name = "TEXT", value_parser = text_parser(), requires = "to_key_file", help_heading = "Relay")]
    pub to_context: Option<Bytes>,
    /// With --to: add this much latency in each direction (data, FIN and RST); --rate limits the bandwidth
    #[arg(long, value_name = "DUR", value_parser = quantity::duration, help_heading = "Relay")]
    pub delay: Option<Duration>,
    /// With --to: reset both connections after SIZE bytes from the target
    #[arg(long, value_name = "SIZE", value_parser = quantity::size, help_heading = "Relay")]
    pub cut: Option<u64>,
}

/// Kinds of targets as socat and others write them, and how they are written here.
const KINDS: [(&str, &str); 6] = [
    ("openssl", "tls:HOST:PORT"),
    ("ssl", "tls:HOST:PORT"),
    ("https", "tls:HOST:443"),
    ("http", "HOST:80"),
    ("unix-connect", "unix:PATH"),
    ("udp", "HOST:PORT; datagrams are relayed by sockctl udp-serve"),
];

/// A target, and how the connection to it is secured.
#[derive(Debug, Clone)]
pub struct Target {
    /// As it was written.
    pub shown: String,
    address: Address,
    secured: Secured,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secured {
    No,
    Tls,
    Auth,
}

/// Reads a target.
pub fn target_parser() -> impl TypedValueParser<Value = Target> {
    OsStringValueParser::new().try_map(|word| Target::parse(&word))
}

impl Target {
    fn parse(word: &OsStr) -> Result<Self, Failure> {
        let text = word.to_str().unwrap_or_default();
        let (kind, rest) = text.split_once(':').unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        if let Some((_, ours)) = KINDS.iter().find(|(it, _)| *it == kind) {
            return Err(Failure::usage(format!("{}: write {ours}", quoted(text))));
        }
        if text.contains(',') && !text.contains('/') {
            return Err(Failure::usage(format!("{}: repeat --to for each target", quoted(text))));
        }
        let rest = OsString::from(rest.strip_prefix("//").unwrap_or(rest));
        let (secured, rest) = match kind.as_str() {
            "tls" => (Secured::Tls, rest),
            "auth" => (Secured::Auth, rest),
            _ => (Secured::No, word.to_owned()),
        };
        let address = super::address(&[rest], Family::Any, "")?;
        address.check_dial()?;
        let prefix = match secured {
            Secured::No => "",
            Secured::Tls => "tls:",
            Secured::Auth => "auth:",
        };
        Ok(Self { shown: format!("{prefix}{address}"), address, secured })
    }
}

/// Where an address is, as far as that is known before DNS.
fn known(address: &Address) -> Vec<Endpoint> {
    match address {
        Address::Unix(name) => vec![Endpoint::Unix(name.as_bytes().into())],
        Address::Inet { host, port: Port::Number(port) } => {
            let ips: Vec<IpAddr> = match host {
                Host::Ip(ip) => vec![*ip],
                Host::Name(name) if name.eq_ignore_ascii_case("localhost") => {
                    vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
                }
                _ => Vec::new(),
            };
            ips.into_iter().map(|ip| SocketAddr::from((ip, *port)).into()).collect()
        }
        Address::Inet { .. } => Vec::new(),
    }
}

impl Target {
    /// Refuses a target that is `own`, as far as that is known before DNS; its address.
    fn check(&self, own: &[Endpoint], family: Family) -> Result<Address, Failure> {
        self.address.check_family(family)?;
        let address = self.address.clone().resolve_default(family);
        let is_own = |at: &Endpoint| own.iter().any(|own| own.is_reached_at(at));
        if known(&address).iter().any(is_own) {
            return Err(Failure::usage(format!("--to {}: {OWN}", self.shown)));
        }
        Ok(address)
    }

    /// The address of a target of datagrams, for a socket that is bound at `own`.
    pub fn datagrams(&self, own: &Endpoint, family: Family) -> Result<Address, Failure> {
        if self.secured != Secured::No {
            let why = "datagrams are passed on as they are; a stream has it with serve --to";
            return Err(Failure::usage(format!("--to {}: {why}", self.shown)));
        }
        self.check(std::slice::from_ref(own), family)
    }
}

/// Refuses `-s` where it is meant as the address to listen on, as with nc.
pub fn check_source(is_given: bool, to: &[Target]) -> Result<(), Failure> {
    if is_given && to.is_empty() {
        let why = "-s is for --to TARGET; write the address to listen on as HOST:PORT";
        return Err(Failure::usage(why));
    }
    Ok(())
}

impl RelayArgs {
    /// Refuses what is for a relay where there is none.
    pub fn check(&self) -> Result<(), Failure> {
        if !self.to.is_empty() {
            return Ok(());
        }
        check_source(self.source.is_some(), &self.to)?;
        let given = [
            ("--wait", self.wait.is_some()),
            ("--send-proxy", self.send_proxy.is_some()),
            ("--to-tls-ca", self.to_tls_ca.is_some()),
            ("--to-tls-pin", self.to_tls_pin.is_some()),
            ("--to-key-file", self.to_key_file.is_some()),
            ("--delay", self.delay.is_some()),
            ("--cut", self.cut.is_some()),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => Err(Failure::usage(format!("{flag} is for --to TARGET"))),
            None => Ok(()),
        }
    }

    /// The bad network between the sides of a pair, if there is one; `rate` is that of `--rate`.
    pub fn network(&self, rate: Option<u64>) -> Option<Network> {
        let is_bad = self.delay.is_some() || rate.is_some() || self.cut.is_some();
        is_bad.then(|| Network { delay: self.delay.unwrap_or_default(), rate, cut: self.cut })
    }

    /// How the targets are dialled, in their order; `own` is where clients connect.
    pub fn routes(
        &self,
        own: &[Endpoint],
        socket: &SocketArgs,
        until: Deadline,
        talk: &Talk,
    ) -> Result<Vec<Route>, Failure> {
        let wants = |secured| self.to.iter().any(|target| target.secured == secured);
        let tls = wants(Secured::Tls).then(|| self.tls(until, talk)).transpose()?;
        let proof = wants(Secured::Auth).then(|| self.proof(talk)).transpose()?;
        let unused = [
            (tls.is_none() && self.to_tls_ca.is_some(), "--to-tls-ca needs --to tls:HOST:PORT"),
            (tls.is_none() && self.to_tls_pin.is_some(), "--to-tls-pin needs --to tls:HOST:PORT"),
            (
                proof.is_none() && self.to_key_file.is_some(),
                "--to-key-file needs --to auth:HOST:PORT",
            ),
        ];
        if let Some((_, why)) = unused.into_iter().find(|(is_so, _)| *is_so) {
            return Err(Failure::usage(why));
        }
        let header = self.send_proxy.map(Version::numbered);
        let source = self.source.map_or_else(Source::default, |source| Source {
            ip: Some(source.ip()),
            port: source.port(),
        });
        let family = socket.family.family();
        let route = |target: &Target| {
            let address = target.check(own, family)?;
            let security = match (target.secured, &tls, &proof) {
                (Secured::Tls, Some(options), _) => {
                    let client =
                        Client::new(options, address.host().as_deref()).map_err(|failure| {
                            Failure::usage(format!("--to {}: {}", target.shown, failure.cause))
                        })?;
                    Some(ClientSecurity::Tls(client.into()))
                }
                (Secured::Auth, _, Some(proof)) => Some(ClientSecurity::Key(proof.clone())),
                _ => None,
            };
            let query = socket.family.query(Type::STREAM, source);
            Ok(Route {
                address,
                dial: Dial { query, settings: socket.opt.clone(), avoid: own.into() },
                tunnel: None,
                header,
                wait: None,
                timeout: socket.timeout,
                security,
                starttls: false,
                greet: false,
                redials: false,
                reconnect: None,
            })
        };
        self.to.iter().map(route).collect()
    }

    fn tls(&self, until: Deadline, talk: &Talk) -> Result<ClientOptions, Failure> {
        let flags = TrustFlags { pin: "--to-tls-pin", ca: "--to-tls-ca", name: None };
        let (pin, ca) = (self.to_tls_pin.as_ref(), self.to_tls_ca.as_deref());
        let trust = Trust::load(pin, ca, flags, until)?;
        warn_of_key_log(talk);
        Ok(ClientOptions { trust, flags, name: None, identity: None, alpn: Vec::new() })
    }

    fn proof(&self, talk: &Talk) -> Result<Proof, Failure> {
        let Some(path) = &self.to_key_file else {
            return Err(Failure::usage("--to auth:HOST:PORT needs --to-key-file FILE"));
        };
        let keyring = load(Some(path), None, None)?;
        let context = self.to_context.as_ref().map_or(&[][..], |Bytes(text)| text);
        let (identity, warnings) = noise::Identity::derive(&keyring, context, None)?;
        for warning in warnings {
            talk.warn(&warning);
        }
        Ok(Proof::Noise(identity))
    }
}
