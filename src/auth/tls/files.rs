//! Certificates and private keys in files (PEM).

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::exit::Failure;
use crate::net::deadline::Deadline;

/// The certificates in a file, the server's or client's own first.
pub fn load_chain(path: &Path, _until: Deadline) -> Result<Vec<CertificateDer<'static>>, Failure> {
    Err(Failure::usage(path.display().to_string()))
}

/// The private key in a file that only its owner can read.
pub fn load_key(path: &Path, _until: Deadline) -> Result<PrivateKeyDer<'static>, Failure> {
    Err(Failure::usage(path.display().to_string()))
}

/// The roots in a file, and what they were made from.
pub fn load_roots(
    path: &Path,
    _until: Deadline,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Failure> {
    Err(Failure::usage(path.display().to_string()))
}

/// The roots that the system trusts.
pub fn system_roots() -> Result<Arc<RootCertStore>, Failure> {
    Ok(Arc::new(RootCertStore::empty()))
}
