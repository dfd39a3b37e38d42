//! TLS as a client: the trusted certificates, the server's name, and its own certificate.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::{ResolvesClientCert, UnbufferedClientConnection};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use super::handshake::{Party, TlsHandshake};
use super::verifier::{Trust, TrustFlags, Verifier};
use super::{key_log, negotiated, provider, setup_failed};
use crate::exit::{Failure, quoted};
use crate::net::handshake::Handshake;
use crate::net::tlsinfo::TlsInfo;

/// What a client's connections have in common, whatever the server.
#[derive(Clone)]
pub struct ClientOptions {
    /// Which certificates are trusted.
    pub trust: Trust,
    /// The flags that say so.
    pub flags: TrustFlags,
    /// `--tls-name`, instead of the address's host.
    pub name: Option<ServerName<'static>>,
    /// `--tls-cert`, `--tls-key`.
    pub identity: Option<Arc<CertifiedKey>>,
    /// `--tls-alpn`.
    pub alpn: Vec<Vec<u8>>,
}

/// TLS with one server.
pub struct Client {
    config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
    identity: Arc<Identity>,
    name: ServerName<'static>,
    flags: TrustFlags,
}

/// Our certificate, if we have one, and whether the server has ever asked for it: all connections of a
/// [`Client`] are to one server.
#[derive(Debug)]
struct Identity {
    certified: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.certified.clone()
    }

    fn has_certs(&self) -> bool {
        self.certified.is_some()
    }
}

impl Client {
    /// TLS with the server of this host; without a host a name must be given, or matter to nothing.
    pub fn new(options: &ClientOptions, host: Option<&str>) -> Result<Self, Failure> {
        let ClientOptions { trust, flags, name, identity, alpn } = options;
        let is_named = name.is_some() || host.is_some();
        let name = match (name, host) {
            (Some(name), _) => name.clone(),
            (None, Some(host)) => server_name(host)?,
            (None, None) if matches!(trust, Trust::Roots(..)) => {
                let ways = match flags.name {
                    Some(name) => format!("{name} or {}", flags.pin),
                    None => flags.pin.into(),
                };
                let why = format!("TLS over a UNIX socket has no name to check; add {ways}");
                return Err(Failure::usage(why));
            }
            (None, None) => server_name("localhost")?,
        };
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Arc::new(Verifier::new(trust.clone(), algorithms));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(setup_failed)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
        let identity = Arc::new(Identity { certified: identity.clone(), asked: false.into() });
        let mut config = builder.with_client_cert_resolver(Arc::clone(&identity) as _);
        config.alpn_protocols.clone_from(alpn);
        config.enable_sni = is_named;
        config.key_log = key_log();
        Ok(Self { config: Arc::new(config), verifier, identity, name, flags: *flags })
    }

    /// The client's side of one handshake.
    pub fn handshake(self: &Rc<Self>) -> Result<Box<dyn Handshake>, Failure> {
        let side = UnbufferedClientConnection::new(Arc::clone(&self.config), self.name.clone());
        Ok(Box::new(TlsHandshake::new(self, side.map_err(setup_failed)?)))
    }
}

/// The name of a server, for SNI and for its certificate.
pub fn server_name(host: &str) -> Result<ServerName<'static>, Failure> {
    ServerName::try_from(host.to_owned()).map_err(|_| {
        Failure::usage(format!("{} is not a host name or an IP address", quoted(host)))
    })
}

impl Party for Client {
    type Side = UnbufferedClientConnection;
    const PEER: &'static str = "the server";

    fn info(&self, side: &Self::Side) -> TlsInfo {
        let is_checked = !matches!(self.verifier.trust(), Trust::Any);
        TlsInfo {
            verified: is_checked && !side.is_handshaking(),
            reason: (!is_checked).then(|| "not checked (--tls-insecure)".into()),
            ..negotiated(side)
        }
    }

    fn trust_flags(&self) -> Option<TrustFlags> {
        Some(self.flags)
    }

    fn take_server_name(&self) -> Option<String> {
        self.config.enable_sni.then(|| self.name.to_str().into_owned())
    }

    fn proved_name(&self, _side: &Self::Side) -> Option<String> {
        None
    }

    fn lacks_certificate(&self) -> bool {
        self.identity.certified.is_none() && self.identity.asked.load(Ordering::Relaxed)
    }

    fn take_rejected(&self) -> Option<CertificateDer<'static>> {
        self.verifier.last.take()
    }
}
