//! TLS 1.2 and 1.3 by rustls: certificates, how they are checked, and the handshake.
//!
//! | file             | has                                                             |
//! |------------------|-----------------------------------------------------------------|
//! | `handshake.rs`   | the handshake, in both roles, as [`crate::net::handshake`] has it |
//! | `client.rs`      | a client: what it trusts, the server's name, its certificate    |
//! | `server.rs`      | a server: its certificate, whether clients show one             |
//! | `verifier.rs`    | whether a server's certificate is trusted                       |
//! | `untrusted.rs`   | why one is not, in words                                        |
//! | `certificate.rs` | names, dates, pin and fingerprint of a certificate              |
//! | `pin.rs`         | `--tls-pin`                                                     |
//! | `files.rs`       | certificates, keys and roots in files, and the system's roots   |
//! | `create.rs`      | new certificates: `--create-cert`, and for one run              |
//!
//! What follows the handshake is [`crate::codec::tls`].

pub mod certificate;
pub mod client;
pub mod create;
pub mod files;
pub mod handshake;
pub mod pin;
pub mod server;
#[cfg(test)]
mod tests;
mod untrusted;
pub mod verifier;

use std::env;
use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{CommonState, Error, InconsistentKeys, KeyLog, KeyLogFile, NoKeyLog, ProtocolVersion};

use zeroize::Zeroizing;

use super::secret::shown;
use crate::exit::{Exit, Failure};
use crate::net::tlsinfo::TlsInfo;
use crate::sanitize;

/// Names the file that the secrets of sessions are written to, for those who look into them with
/// Wireshark.
pub const KEY_LOG: &str = "SSLKEYLOGFILE";

/// The cryptography of TLS: that of ring.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What rustls shows to a callback alone, until it is taken. All connections of a run share the callbacks:
/// it is of the one that was processed last.
#[derive(Debug)]
struct Last<T>(Mutex<Option<T>>);

impl<T> Last<T> {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn set(&self, value: Option<T>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The failure to prepare TLS, before anything is sent.
fn setup_failed(error: impl Display) -> Failure {
    Failure::new("set up", "TLS", error.to_string(), Exit::Other)
}

/// A certificate with its key, which `path` names in errors.
pub fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    path: &Path,
) -> Result<Arc<CertifiedKey>, Failure> {
    let failed = |cause: String| Failure::new("use private key", shown(path), cause, Exit::Usage);
    // ring keeps its own copy.
    let key = Zeroizing::new(key);
    let key = any_supported_type(&key).map_err(|error| failed(error.to_string()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified.into()),
        Err(Error::InconsistentKeys(_)) => {
            Err(failed("it is not the key of the certificate".into()))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Where the secrets of sessions are written to.
fn key_log() -> Arc<dyn KeyLog> {
    if env::var_os(KEY_LOG).is_some_and(|path| !path.is_empty()) {
        Arc::new(KeyLogFile::new())
    } else {
        Arc::new(NoKeyLog)
    }
}

/// What both sides have agreed on, and the certificate of the other.
fn negotiated(state: &CommonState) -> TlsInfo {
    let version = match state.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => Some("TLSv1.2"),
        Some(ProtocolVersion::TLSv1_3) => Some("TLSv1.3"),
        _ => None,
    };
    let cipher = state.negotiated_cipher_suite();
    // rustls writes TLS13_AES_256_GCM_SHA384, and IANA TLS_AES_256_GCM_SHA384.
    let cipher = cipher.and_then(|it| it.suite().as_str().map(|it| it.replace("TLS13_", "TLS_")));
    let shown = state.peer_certificates().and_then(|chain| chain.first());
    let described = shown.map(|it| certificate::describe(it, SystemTime::now()));
    TlsInfo {
        version,
        cipher,
        alpn: state.alpn_protocol().map(sanitize::line),
        certificate: described.and_then(Result::ok),
        ..TlsInfo::default()
    }
}
