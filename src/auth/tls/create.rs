//! New certificates, signed by themselves.

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::exit::Failure;
use crate::net::tlsinfo::CertificateInfo;

/// Writes a new key and its certificate for these names into a new file.
pub fn create_certificate(path: &Path, _names: &[String]) -> Result<CertificateInfo, Failure> {
    Err(Failure::usage(path.display().to_string()))
}

/// A certificate for one run of a server, and its key.
pub fn self_signed() -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), Failure> {
    Err(Failure::usage(""))
}
