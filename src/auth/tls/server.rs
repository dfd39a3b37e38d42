//! TLS as a server: its certificate, and whether clients must show one, too.

use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::server::{
    ClientHello, ResolvesServerCert, UnbufferedServerConnection, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore, ServerConfig};

use super::handshake::{Party, TlsHandshake};
use super::untrusted::{self, Untrusted};
use super::verifier::ClientVerifier;
use super::{certificate, key_log, negotiated, provider};
use crate::exit::{Exit, Failure};
use crate::net::handshake::Handshake;
use crate::net::tlsinfo::TlsInfo;

/// What a server of TLS is set up with.
pub struct ServerOptions {
    /// Its certificate and key.
    pub identity: Arc<CertifiedKey>,
    /// `--tls-ca`: clients must show a certificate that these have signed.
    pub client_roots: Option<Arc<RootCertStore>>,
    /// `--tls-alpn`, the best first.
    pub alpn: Vec<Vec<u8>>,
}

/// TLS with all clients of a run.
pub struct Server {
    config: Arc<ServerConfig>,
    identity: Arc<Identity>,
    /// With `--tls-ca`.
    verifier: Option<Arc<ClientVerifier>>,
}

/// Its certificate, and the name by which it was asked for last: rustls shows that here alone.
struct Identity {
    certified: Arc<CertifiedKey>,
    asked: Mutex<Option<String>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) =
            hello.server_name().map(str::to_owned);
        Some(Arc::clone(&self.certified))
    }
}

impl Server {
    /// A server with these options.
    pub fn new(options: ServerOptions) -> Result<Self, Failure> {
        let ServerOptions { identity, client_roots, alpn } = options;
        let failed = |cause: String| Failure::new("set up", "TLS", cause, Exit::Other);
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?;
        let verifier = client_roots
            .map(|roots| WebPkiClientVerifier::builder_with_provider(roots, provider).build())
            .transpose()
            .map_err(|error| failed(error.to_string()))?
            .map(|roots| Arc::new(ClientVerifier::new(roots)));
        let builder = match &verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier) as _),
        };
        let identity = Arc::new(Identity { certified: identity, asked: Mutex::new(None) });
        let mut config = builder.with_cert_resolver(Arc::clone(&identity) as _);
        // Stateless: a client that comes back costs no memory. It has no signature to check; the server
        // saves nothing with an ECDSA certificate, whose signature costs 4 of 130 µs.
        config.ticketer =
            rustls::crypto::ring::Ticketer::new().map_err(|error| failed(error.to_string()))?;
        config.alpn_protocols = alpn;
        config.key_log = key_log();
        Ok(Self { config: Arc::new(config), identity, verifier })
    }

    /// The server's side of one handshake.
    pub fn handshake(self: &Rc<Self>) -> Result<Box<dyn Handshake>, Failure> {
        let side = UnbufferedServerConnection::new(Arc::clone(&self.config));
        let side =
            side.map_err(|error| Failure::new("set up", "TLS", error.to_string(), Exit::Other))?;
        Ok(Box::new(TlsHandshake::new(self, side)))
    }

    /// Its certificate and key.
    pub fn identity(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.identity.certified)
    }

    /// The pin of its certificate.
    pub fn pin(&self) -> Option<String> {
        let shown = self.identity.certified.cert.first()?;
        certificate::describe(shown, SystemTime::now()).ok().map(|it| it.pin)
    }
}

impl Party for Server {
    type Side = UnbufferedServerConnection;
    const PEER: &'static str = "the client";

    fn info(&self, side: &Self::Side) -> TlsInfo {
        let asked = self.identity.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        TlsInfo {
            name: asked,
            verified: self.verifier.is_some() && !side.is_handshaking(),
            ..negotiated(side)
        }
    }

    fn proved_name(&self, side: &Self::Side) -> Option<String> {
        certificate::member_name(side.peer_certificates()?.first()?)
    }

    fn untrusted(&self, error: &Error, info: &mut TlsInfo) -> Option<String> {
        let Error::InvalidCertificate(why) = error else {
            return None;
        };
        let shown = self.verifier.as_ref().and_then(|verifier| verifier.last());
        info.certificate =
            shown.as_ref().and_then(|it| certificate::describe(it, SystemTime::now()).ok());
        let Untrusted { code, cause } = untrusted::of(why, shown.as_ref(), info, false);
        (info.code, info.reason) = (Some(code), Some(cause.clone()));
        Some(cause)
    }
}
