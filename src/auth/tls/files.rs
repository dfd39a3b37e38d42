//! Certificates and private keys in files (PEM, RFC 7468), and the roots of the system.

use std::path::Path;
use std::sync::Arc;
use std::{env, fs};

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::{Error, RootCertStore};
use rustls_native_certs::ErrorKind;

use super::verifier::TrustFlags;
use crate::auth::secret::{SecretFile, keep_private, shown};
use crate::exit::{Exit, Failure, cause};
use crate::net::deadline::Deadline;
use crate::net::file;
use crate::sanitize;

/// The largest file, in bytes: all roots of a system are a quarter of it.
const MAX: usize = 1 << 20;

/// The beginnings of error lines.
const CERTIFICATE: &str = "read certificate from";
const KEY: &str = "read private key from";

/// What is looked for in a file.
struct Wanted {
    name: &'static str,
    /// What the first lines of all its kinds of sections have in common.
    label: &'static str,
    /// The command of openssl that reads it.
    command: &'static str,
}

const WANTED_CERTIFICATE: Wanted =
    Wanted { name: "certificate", label: "-----BEGIN CERTIFICATE-----", command: "x509" };
const WANTED_KEY: Wanted =
    Wanted { name: "private key", label: "PRIVATE KEY-----", command: "pkey" };

/// The certificates of a file, our own first; a private key in it is left alone. Waits for a FIFO
/// until then.
pub(super) fn load_chain(
    path: &Path,
    until: Deadline,
) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = read(path, until)?;
    chain(&pem, path).map_err(|why| Failure::new(CERTIFICATE, shown(path), why, Exit::Usage))
}

/// The private key of a file that only its owner can read: PKCS #8, PKCS #1 or SEC 1. Waits for a
/// FIFO until then.
pub(super) fn load_key(path: &Path, until: Deadline) -> Result<PrivateKeyDer<'static>, Failure> {
    keep_private();
    let file = SecretFile::open(KEY, path, until)?;
    let pem = file.read(MAX)?;
    private_key(&pem, path).map_err(|why| file.refused(why))
}

/// Our certificates and their private key: from two files, or both from one, which is read once, as it
/// may be a FIFO.
pub fn load_identity(
    certificate: &Path,
    key: Option<&Path>,
    until: Deadline,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Failure> {
    if let Some(key) = key {
        return Ok((load_chain(certificate, until)?, load_key(key, until)?));
    }
    keep_private();
    let refused = |op, why| Failure::new(op, shown(certificate), why, Exit::Usage);
    let lacks_key = |pem: &[u8]| {
        let failure = refused(KEY, missing(pem, certificate, &WANTED_KEY));
        failure.hint("name its file: --tls-key FILE")
    };
    let file = SecretFile::open(KEY, certificate, until).map_err(|failure| {
        // Others may read a file of certificates alone.
        match certificate.is_file().then(|| read(certificate, until)) {
            Some(Ok(pem)) if !has(&pem, WANTED_KEY.label) => match chain(&pem, certificate) {
                Ok(_) => lacks_key(&pem),
                Err(why) => refused(CERTIFICATE, why),
            },
            _ => failure,
        }
    })?;
    let pem = file.read(MAX)?;
    let chain = chain(&pem, certificate).map_err(|why| refused(CERTIFICATE, why))?;
    if !has(&pem, WANTED_KEY.label) {
        return Err(lacks_key(&pem));
    }
    Ok((chain, private_key(&pem, certificate).map_err(|why| refused(KEY, why))?))
}

/// The roots in a file, and the certificates that they were made from. Waits for a FIFO until then.
pub fn load_roots(
    path: &Path,
    until: Deadline,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Failure> {
    let refused = |why| Failure::new(CERTIFICATE, shown(path), why, Exit::Usage);
    let certificates = certificates(&read(path, until)?, path).map_err(refused)?;
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(&certificates) {
        let added = roots.add(certificate.clone());
        added.map_err(|error| refused(unusable(number, &error)))?;
    }
    Ok((roots, certificates))
}

/// The roots that the system trusts, or those in `SSL_CERT_FILE` and `SSL_CERT_DIR`. Those that rustls
/// cannot use are left out.
pub(super) fn system_roots(flags: TrustFlags) -> Result<Arc<RootCertStore>, Failure> {
    let refused = |why: String| {
        let failure = Failure::new("read", "the system's root certificates", why, Exit::Usage);
        Err(failure.hint(&format!(
            "install ca-certificates, or use {} FILE or {} PIN",
            flags.ca, flags.pin
        )))
    };
    // The crate passes over a file that is missing where a folder has roots, too.
    if let Some(file) = env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty())
        && let Err(e) = fs::metadata(&file)
    {
        return refused(format!("{}: {}", shown(file.as_ref()), cause(&e)));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(Arc::new(roots));
    }
    refused(match found.errors.first() {
        None => "there are none".into(),
        Some(error) => match &error.kind {
            ErrorKind::Io { inner, path } => format!("{}: {}", shown(path), cause(inner)),
            _ => sanitize::line(error.to_string().as_bytes()),
        },
    })
}

/// A file that is no secret.
fn read(path: &Path, until: Deadline) -> Result<Vec<u8>, Failure> {
    file::read(path.as_os_str(), MAX as u64, until).map_err(|failure| Failure {
        op: CERTIFICATE,
        target: shown(path),
        ..failure
    })
}

/// All certificates, of which the first can be used by TLS.
fn chain(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = certificates(pem, path)?;
    let Some(first) = chain.first() else {
        return Err(missing(pem, path, &WANTED_CERTIFICATE));
    };
    ParsedCertificate::try_from(first).map_err(|error| unusable(1, &error))?;
    Ok(chain)
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(missing(pem, path, &WANTED_CERTIFICATE)),
        Ok(all) => Ok(all),
        Err(error) => Err(damaged(pem, path, &error)),
    }
}

fn private_key(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) if pem.len() <= MAX => Ok(key),
        Ok(_) => Err("it is over 1 MiB; is this the right file?".into()),
        Err(PemError::NoItemsFound) => Err(missing(pem, path, &WANTED_KEY)),
        Err(error) => Err(damaged(pem, path, &error)),
    }
}

/// Why there is nothing of the kind in a file.
fn missing(pem: &[u8], path: &Path, wanted: &Wanted) -> String {
    let Wanted { name, command, .. } = wanted;
    let file = shown(path);
    let others = [WANTED_CERTIFICATE, WANTED_KEY].into_iter().filter(|it| it.label != wanted.label);
    let there = others.into_iter().find(|it| has(pem, it.label));
    match (pem, there) {
        _ if is_encrypted(pem) => encrypted(&file),
        (_, Some(there)) => format!("it has a {}, but no {name}", there.name),
        ([], _) => "it is empty".into(),
        // PKCS #12: a sequence that begins with version 3 (RFC 7292, section 4).
        ([0x30, 0x82, _, _, 2, 1, 3, ..], _) => {
            format!("it is PKCS #12; convert it: openssl pkcs12 -in {file} -out {file}.pem -nodes")
        }
        ([0x30, ..], _) => {
            format!(
                "it is DER; convert it: openssl {command} -inform der -in {file} -out {file}.pem"
            )
        }
        _ => format!("it has no {name} that TLS can use (PEM)"),
    }
}

/// Why a file of PEM cannot be read.
fn damaged(pem: &[u8], path: &Path, error: &PemError) -> String {
    let why = match error {
        _ if is_encrypted(pem) => return encrypted(&shown(path)),
        PemError::MissingSectionEnd { .. } => "a section has no -----END line",
        PemError::IllegalSectionStart { .. } => "a -----BEGIN line is damaged",
        _ => "a section is not base64",
    };
    format!("{why}; is the file whole?")
}

/// Whether a key is encrypted, by PKCS #8 or as openssl did before (RFC 1421, section 4.6.1.1).
fn is_encrypted(pem: &[u8]) -> bool {
    has(pem, "-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(pem, "Proc-Type: 4,ENCRYPTED")
}

fn encrypted(file: &str) -> String {
    format!("the key is encrypted; decrypt it: openssl pkey -in {file} -out NEW, and use NEW")
}

fn has(pem: &[u8], text: &str) -> bool {
    memchr::memmem::find(pem, text.as_bytes()).is_some()
}

/// Why a certificate cannot be used.
fn unusable(number: usize, error: &Error) -> String {
    let why = match error {
        Error::InvalidCertificate(why) => format!("{why:?}"),
        error => error.to_string(),
    };
    let why = match why {
        why if why.contains("UnsupportedCertVersion") => "it is of X.509 version 1, not 3".into(),
        why if why.contains("BadEncoding") => "it is damaged".into(),
        why => sanitize::line(why.as_bytes()),
    };
    format!("certificate {number} in it cannot be used: {why}")
}
