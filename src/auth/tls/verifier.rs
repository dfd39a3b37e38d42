//! Whether a client trusts the server's certificate (signed by a root, or the one that is pinned), and a
//! server its client's.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::pin::Pin;
use super::{Last, certificate, files, provider};
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;

/// Which certificates of a server are trusted.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those signed by a root, for the server's name. A root may also be the server's certificate itself.
    Roots(Arc<WebPkiServerVerifier>, Arc<[CertificateDer<'static>]>),
    /// `--tls-pin`: those with this key, and this one; neither name nor dates matter.
    Pin(Pin),
    /// `--tls-insecure`: all of them.
    Any,
}

/// The flags that change what is trusted, as the command has them: error lines name them.
#[derive(Clone, Copy, Debug)]
pub struct TrustFlags {
    /// Takes a pin.
    pub pin: &'static str,
    /// Takes a file of roots.
    pub ca: &'static str,
    /// Takes a name, instead of the address's host.
    pub name: Option<&'static str>,
}

impl Trust {
    /// The trust in a pin, in the roots in a file, or in those of the system. Waits for a FIFO until then.
    pub fn load(
        pin: Option<&Pin>,
        ca: Option<&Path>,
        flags: TrustFlags,
        until: Deadline,
    ) -> Result<Self, Failure> {
        match (pin, ca) {
            (Some(pin), _) => Ok(Self::Pin(pin.clone())),
            (None, Some(path)) => {
                let (roots, given) = files::load_roots(path, until)?;
                Self::in_roots(Arc::new(roots), given)
            }
            (None, None) => Self::in_roots(files::system_roots(flags)?, Vec::new()),
        }
    }

    /// The trust in what these roots have signed; `given` are their certificates, where they are not the
    /// system's.
    pub fn in_roots(
        roots: Arc<RootCertStore>,
        given: Vec<CertificateDer<'static>>,
    ) -> Result<Self, Failure> {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
        let verifier = verifier
            .map_err(|error| Failure::new("trust", "the roots", error.to_string(), Exit::Usage))?;
        Ok(Self::Roots(verifier, given.into()))
    }
}

/// Checks certificates of servers.
#[derive(Debug)]
pub struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    /// What was checked last: rustls shows no certificate that is not trusted.
    pub(super) last: Last<CertificateDer<'static>>,
}

impl Verifier {
    /// One for this trust.
    pub fn new(trust: Trust, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust, algorithms, last: Last::new() }
    }

    /// What is trusted.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.last.set(Some(end_entity.clone().into_owned()));
        match &self.trust {
            Trust::Roots(verifier, roots) => {
                match verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
                    // `openssl req -x509` makes one that is a CA's and the server's at once.
                    Err(_) if roots.iter().any(|root| root == end_entity) => {
                        verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                        certificate::check_dates(end_entity, now)?;
                        Ok(ServerCertVerified::assertion())
                    }
                    result => result.map_err(|error| with_issuer(error, end_entity)),
                }
            }
            Trust::Pin(pin) if pin.matches(end_entity) => Ok(ServerCertVerified::assertion()),
            Trust::Pin(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Trust::Any => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The error of a self-signed certificate that has a root's name and another key, as of one whose issuer is
/// not known: many are called localhost, or were made anew. Its alert is then about the certificate.
fn with_issuer(error: Error, end_entity: &CertificateDer<'_>) -> Error {
    match error {
        Error::InvalidCertificate(
            CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) if certificate::is_self_signed(end_entity) => CertificateError::UnknownIssuer.into(),
        error => error,
    }
}

/// Checks certificates of clients.
#[derive(Debug)]
pub struct ClientVerifier {
    roots: Arc<dyn ClientCertVerifier>,
    /// As in [`Verifier`].
    pub(super) last: Last<CertificateDer<'static>>,
}

impl ClientVerifier {
    /// One that checks them as `roots` does.
    pub fn new(roots: Arc<dyn ClientCertVerifier>) -> Self {
        Self { roots, last: Last::new() }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.roots.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.last.set(Some(end_entity.clone().into_owned()));
        let result = self.roots.verify_client_cert(end_entity, intermediates, now);
        result.map_err(|error| with_issuer(error, end_entity))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.supported_verify_schemes()
    }
}
