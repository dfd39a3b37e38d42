//! New certificates, which sign themselves: `--create-cert`, and those of a server without one.
//!
//! They name a server or a client, and are no CA: rustls and browsers take none of a CA for a
//! server's own. A client trusts one by its pin, or by the file as a root.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::unistd::gethostname;
use rcgen::{
    Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::certificate;
use crate::auth::secret::{create, keep_private};
use crate::exit::{Exit, Failure, quoted};
use crate::net::tlsinfo::CertificateInfo;

/// The beginning of an error line.
const OP: &str = "create certificate";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a certificate is valid that is kept: 825 days is the most that Apple's systems take of one
/// that a user trusts; curl, OpenSSL, rustls and other browsers have no limit for those.
const KEPT: Duration = DAY.saturating_mul(825);
/// How long one for a run is: longer than most.
const FOR_RUN: Duration = DAY.saturating_mul(366);
/// The longest common name (RFC 5280, `ub-common-name`).
const COMMON_NAME: usize = 64;

/// Writes a new key and its certificate into a new file that only its owner can read. The names are
/// host names and IP addresses; without any, those of this machine.
pub fn create_certificate(path: &Path, names: &[String]) -> Result<CertificateInfo, Failure> {
    keep_private();
    let (certificate, key) = make(names, KEPT)?;
    let pem = Zeroizing::new(key.serialize_pem() + &certificate.pem());
    create(OP, path, pem.as_bytes())?;
    certificate::describe(certificate.der(), SystemTime::now())
        .map_err(|why| Failure::new(OP, "", why, Exit::Other))
}

/// A certificate of this machine for one run of a server, and its key.
pub fn self_signed() -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), Failure> {
    keep_private();
    let (certificate, key) = make(&[], FOR_RUN)?;
    Ok((certificate.into(), PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
}

/// A new key and its certificate: ECDSA with P-256, which all of TLS 1.2 and 1.3 speaks.
fn make(names: &[String], valid: Duration) -> Result<(Certificate, Zeroizing<KeyPair>), Failure> {
    let names = if names.is_empty() { &own_names() } else { names };
    let failed = |error: rcgen::Error| match error {
        // A key that was made just now is rejected for no other reason.
        rcgen::Error::RingUnspecified | rcgen::Error::RingKeyRejected(_) => no_random_numbers(),
        error => Failure::new(OP, "", error.to_string(), Exit::Other),
    };
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    // Not by rcgen's own function, which panics where random numbers end halfway.
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new());
    let key = key.map_err(|_| no_random_numbers())?;
    let key = PrivatePkcs8KeyDer::from(key.as_ref());
    let key =
        KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let key = Zeroizing::new(key);

    let mut about = CertificateParams::default();
    about.subject_alt_names =
        names.iter().map(|name| alternative_name(name)).collect::<Result<_, _>>()?;
    about.distinguished_name = DistinguishedName::new();
    // Verifiers look at the names above; lists of certificates show this one.
    let common_name = names.iter().find(|name| name.len() <= COMMON_NAME);
    about.distinguished_name.push(DnType::CommonName, common_name.map_or("sockctl", |name| name));
    about.is_ca = IsCa::ExplicitNoCa;
    about.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    // From a day ago: clocks differ.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    about.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(DAY);
    // The last second counts, too.
    about.not_after = about.not_before + valid.saturating_sub(Duration::from_secs(1));
    Ok((about.self_signed(&*key).map_err(failed)?, key))
}

/// The names of this machine: those of the loopback interface, and its host name.
fn own_names() -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let host = gethostname().ok().and_then(|name| name.into_string().ok());
    names.extend(host.filter(|name| name != "localhost" && alternative_name(name).is_ok()));
    names
}

fn alternative_name(name: &str) -> Result<SanType, Failure> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    let host = DnsName::try_from(host).ok().filter(|_| !host.ends_with('.'));
    host.and_then(|_| name.try_into().ok()).map(SanType::DnsName).ok_or_else(|| {
        let name = quoted(name);
        let forms = "a host name, *.NAME, or an IP address";
        Failure::usage(format!("no certificate can have the name {name}; use {forms}"))
    })
}

fn no_random_numbers() -> Failure {
    Failure::new("read", "the system's random numbers", "there are none", Exit::Other)
}
