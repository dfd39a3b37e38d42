//! TLS as a server: its certificate, and whether clients must show one, too.

use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::server::{
    ClientHello, ResolvesServerCert, UnbufferedServerConnection, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use super::handshake::{Party, TlsHandshake};
use super::verifier::ClientVerifier;
use super::{Last, certificate, key_log, negotiated, provider, setup_failed};
use crate::exit::Failure;
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

/// Its certificate, and the server name (SNI) in the last hello.
#[derive(Debug)]
struct Identity {
    certified: Arc<CertifiedKey>,
    asked: Last<String>,
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.asked.set(hello.server_name().map(str::to_owned));
        Some(Arc::clone(&self.certified))
    }
}

impl Server {
    /// A server with these options.
    pub fn new(options: ServerOptions) -> Result<Self, Failure> {
        let ServerOptions { identity, client_roots, alpn } = options;
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(setup_failed)?;
        let verifier = client_roots
            .map(|roots| WebPkiClientVerifier::builder_with_provider(roots, provider).build())
            .transpose()
            .map_err(setup_failed)?
            .map(|roots| Arc::new(ClientVerifier::new(roots)));
        let builder = match &verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier) as _),
        };
        let identity = Arc::new(Identity { certified: identity, asked: Last::new() });
        let mut config = builder.with_cert_resolver(Arc::clone(&identity) as _);
        // Stateless: a client that comes back costs no memory. It has no signature to check; the server
        // saves nothing with an ECDSA certificate, whose signature costs 4 of 130 µs.
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(setup_failed)?;
        config.alpn_protocols = alpn;
        config.key_log = key_log();
        Ok(Self { config: Arc::new(config), identity, verifier })
    }

    /// The server's side of one handshake.
    pub fn handshake(self: &Rc<Self>) -> Result<Box<dyn Handshake>, Failure> {
        let side = UnbufferedServerConnection::new(Arc::clone(&self.config));
        Ok(Box::new(TlsHandshake::new(self, side.map_err(setup_failed)?)))
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
        TlsInfo { verified: self.verifier.is_some() && !side.is_handshaking(), ..negotiated(side) }
    }

    fn take_server_name(&self) -> Option<String> {
        self.identity.asked.take()
    }

    fn proved_name(&self, side: &Self::Side) -> Option<String> {
        certificate::member_name(side.peer_certificates()?.first()?)
    }

    fn take_rejected(&self) -> Option<CertificateDer<'static>> {
        self.verifier.as_ref()?.last.take()
    }
}
