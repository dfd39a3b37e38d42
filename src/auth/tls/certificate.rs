//! A certificate as people look at it (RFC 5280): names, dates, pin, fingerprint. rustls checks
//! certificates and shows none of that.
//!
//! All texts of a certificate are a stranger's: they are escaped, and cut.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{DateTime, Decode, Encode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;

use crate::exit::cut;
use crate::net::tlsinfo::CertificateInfo;
use crate::sanitize::{self, names};

/// How many names of a certificate are shown.
const NAMES: usize = 100;
/// How much of a name is shown, in characters; no name of the DNS is longer.
const NAME: usize = 255;
/// How much of a subject is shown, in characters.
const SUBJECT: usize = 1024;
/// `rsaEncryption`.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// How many seconds a day has.
const DAY: i64 = 24 * 60 * 60;

// The choices of GeneralName by their tags (RFC 5280, section 4.2.1.6).
const EMAIL: u32 = 1;
const DNS: u32 = 2;
const URI: u32 = 6;
const IP: u32 = 7;

/// What a certificate says, with the days that are left from `now` on; an error if it is none.
pub fn describe(der: &CertificateDer<'_>, now: SystemTime) -> Result<CertificateInfo, String> {
    let certificate = parse(der)?;
    let tbs = certificate.tbs_certificate();
    let mut names: Vec<_> =
        alternative_names(&certificate).filter_map(shown_name).take(NAMES).collect();
    if names.is_empty() {
        names.extend(
            common_name(&certificate).map(|name| cut(&sanitize::line(name.as_bytes()), NAME)),
        );
    }
    let key = tbs.subject_public_key_info().to_der().map_err(|error| error.to_string())?;
    let not_after = tbs.validity().not_after.to_date_time();
    let seconds_left = seconds_until(not_after, now);
    Ok(CertificateInfo {
        names,
        not_after: not_after.to_string(),
        days_left: seconds_left.div_euclid(DAY),
        seconds_left,
        pin: shown_pin(sha256(&key)),
        fingerprint: hex::encode(sha256(der)),
        subject: cut(&sanitize::line(tbs.subject().to_string().as_bytes()), SUBJECT),
    })
}

/// Whether its issuer is its subject.
pub fn is_self_signed(der: &CertificateDer<'_>) -> bool {
    parse(der).is_ok_and(|it| it.tbs_certificate().issuer() == it.tbs_certificate().subject())
}

/// How long its key is in bits, if it is one of RSA (RFC 8017, appendix A.1.1).
pub fn rsa_bits(der: &CertificateDer<'_>) -> Option<usize> {
    let certificate = parse(der).ok()?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    let numbers = Vec::<UintRef<'_>>::from_der(key.subject_public_key.raw_bytes()).ok()?;
    let modulus = numbers.first().filter(|_| key.algorithm.oid == RSA)?.as_bytes();
    Some(modulus.len() * 8 - modulus.first()?.leading_zeros() as usize)
}

/// The name of a client's certificate, as a member of a room has it: its common name, else its first
/// email address, else its first DNS name.
pub fn member_name(der: &CertificateDer<'_>) -> Option<String> {
    let certificate = parse(der).ok()?;
    let first = |wanted: u32| {
        let mut all = alternative_names(&certificate);
        all.find_map(|(kind, name)| {
            (kind == wanted).then(|| String::from_utf8_lossy(name).into_owned())
        })
    };
    [common_name(&certificate), first(EMAIL), first(DNS)]
        .into_iter()
        .flatten()
        .find_map(|name| names::nearest(&name))
}

/// An error if it is not valid yet at this time, or not any more.
pub fn check_dates(der: &CertificateDer<'_>, time: UnixTime) -> Result<(), rustls::Error> {
    let certificate = parse(der).map_err(|_| CertificateError::BadEncoding)?;
    let validity = certificate.tbs_certificate().validity();
    let not_before = UnixTime::since_unix_epoch(validity.not_before.to_unix_duration());
    let not_after = UnixTime::since_unix_epoch(validity.not_after.to_unix_duration());
    if time < not_before {
        return Err(CertificateError::NotValidYetContext { time, not_before }.into());
    }
    if time > not_after {
        return Err(CertificateError::ExpiredContext { time, not_after }.into());
    }
    Ok(())
}

/// A time in UTC: `2026-12-31T23:59:59Z`.
pub fn shown_time(time: UnixTime) -> String {
    let time = DateTime::from_unix_duration(Duration::from_secs(time.as_secs()));
    time.map_or_else(|_| "a time after the year 9999".into(), |time| time.to_string())
}

/// A pin of a public key as curl writes it.
pub(super) fn shown_pin(key: [u8; 32]) -> String {
    format!("sha256//{}", STANDARD.encode(key))
}

/// SHA-256 of these bytes.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn parse(der: &CertificateDer<'_>) -> Result<Certificate, String> {
    Certificate::from_der(der).map_err(|error| format!("it is no certificate: {error}"))
}

/// Its subject's common name.
fn common_name(certificate: &Certificate) -> Option<String> {
    let name = certificate.tbs_certificate().subject().common_name().ok()??;
    Some(name.value().into_owned()).filter(|name| !name.is_empty())
}

/// The names that it is for, each with its kind; none of those whose list cannot be read.
fn alternative_names(certificate: &Certificate) -> impl Iterator<Item = (u32, &[u8])> {
    let extensions = certificate.tbs_certificate().extensions().into_iter().flatten();
    extensions
        .filter(|extension| extension.extn_id == SubjectAltName::OID)
        .flat_map(|extension| {
            // One by one: a name that breaks its rules does not hide the others.
            Vec::<AnyRef<'_>>::from_der(extension.extn_value.as_bytes()).unwrap_or_default()
        })
        .filter_map(|name| match name.tag() {
            Tag::ContextSpecific { number, .. } => Some((number.value(), name.value())),
            _ => None,
        })
}

/// A name as people write it. A blank in it is escaped: lines have blanks between names.
fn shown_name((kind, name): (u32, &[u8])) -> Option<String> {
    let text = match kind {
        EMAIL | DNS | URI => sanitize::line(name).replace(' ', r"\x20"),
        IP => ip(name)?.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then(|| cut(&text, NAME))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Whole seconds from then on; of the past below zero. A certificate is valid in all of its last second.
fn seconds_until(time: DateTime, now: SystemTime) -> i64 {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    seconds(time.unix_duration()).saturating_sub(seconds(since_epoch(now)))
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
