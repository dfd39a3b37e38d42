//! Why a certificate is not trusted, in words that say what to do.

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, ServerName};

use super::certificate;
use super::verifier::TrustFlags;
use crate::net::tlsinfo::{CertificateInfo, TlsInfo, listed};

/// The shortest RSA key that ring takes.
const RSA_BITS: usize = 2048;

/// The reason that `error` stands for, as a code (`CERT_EXPIRED`) and as a line; `shown` is the peer's
/// certificate, which `info` describes. With `flags` the line says how to trust it all the same.
/// Over 50 lines: a reason an arm.
pub fn of(
    error: &CertificateError,
    shown: Option<&CertificateDer<'_>>,
    info: &TlsInfo,
    flags: Option<TrustFlags>,
) -> (&'static str, String) {
    let certificate = info.certificate.as_ref();
    let pin = flags.map_or_else(String::new, |flags| pin(certificate, flags));
    let rsa_bits = shown.and_then(certificate::rsa_bits).unwrap_or(RSA_BITS);
    match error {
        // Whatever else is wrong: not even a pin helps, as nothing that it has signed is verified.
        _ if rsa_bits < RSA_BITS => {
            let cause = format!("its RSA key has {rsa_bits} bits, fewer than {RSA_BITS}");
            ("CERT_WEAK", cause)
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("CERT_EXPIRED", expired(certificate))
        }
        CertificateError::NotValidYet => ("CERT_NOT_YET_VALID", "it is not valid yet".into()),
        CertificateError::NotValidYetContext { not_before, .. } => {
            let from = certificate::shown_time(*not_before);
            ("CERT_NOT_YET_VALID", format!("it is not valid before {from}"))
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ("CERT_WRONG_NAME", wrong_name(certificate, info.name.as_deref(), &pin, flags))
        }
        // One with a root's name: its signature is not the root's, or not even of that key's kind. Debian
        // has a self-signed certificate for localhost among its roots.
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
            if shown.is_some_and(certificate::is_self_signed) =>
        {
            ("CERT_SELF_SIGNED", format!("it is self-signed{pin}"))
        }
        CertificateError::UnknownIssuer => {
            let way = flags.map_or_else(String::new, |flags| {
                format!("{pin}, or {} FILE with its issuer", flags.ca)
            });
            let cause = format!("its issuer is not known, or an intermediate is missing{way}");
            ("CERT_UNKNOWN_ISSUER", cause)
        }
        CertificateError::ApplicationVerificationFailure => {
            let named = flags.map_or("the pin", |flags| flags.pin);
            let cause = match certificate {
                Some(it) => format!("it is not the one that {named} names, but {}", it.pin),
                None => format!("it is not the one that {named} names"),
            };
            ("CERT_WRONG_PIN", cause)
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            ("CERT_WRONG_PURPOSE", "it is for another purpose".into())
        }
        CertificateError::Revoked => ("CERT_REVOKED", "it is revoked".into()),
        CertificateError::BadSignature => ("CERT_BAD_SIGNATURE", "its signature is invalid".into()),
        CertificateError::BadEncoding => ("CERT_BAD_ENCODING", "it cannot be read".into()),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            ("CERT_WEAK", "its signature or key is of a kind that is not accepted".into())
        }
        CertificateError::Other(other) if format!("{other}").contains("CaUsedAsEndEntity") => {
            ("CERT_SELF_SIGNED", format!("it is a CA's own{pin}"))
        }
        CertificateError::Other(other) if format!("{other}").contains("NameConstraint") => {
            ("CERT_NAME_CONSTRAINT", "its issuer may not sign for its names".into())
        }
        CertificateError::Other(other) if format!("{other}").contains("MaximumPath") => {
            ("CERT_INVALID", "its chain has too many intermediates".into())
        }
        other => ("CERT_INVALID", other.to_string()),
    }
}

fn expired(certificate: Option<&CertificateInfo>) -> String {
    certificate
        .map_or_else(|| "it has expired".into(), |it| format!("it expired on {}", it.not_after))
}

fn wrong_name(
    certificate: Option<&CertificateInfo>,
    wanted: Option<&str>,
    pin: &str,
    flags: Option<TrustFlags>,
) -> String {
    let names = certificate.map_or(&[][..], |it| &it.names);
    let wanted = wanted.unwrap_or_default();
    let Some(first) = names.first() else {
        return format!("it has no names, so it is not for {wanted}");
    };
    // RFC 9525, section 2: names count in the subjectAltName only.
    if names == [wanted] {
        return format!("it has {wanted} as its common name alone, which does not count{pin}");
    }
    // What is pasted into a shell is a host name, or nothing.
    let way = match (ServerName::try_from(first.as_str()), flags.map(|flags| flags.name)) {
        (Ok(_), Some(Some(flag))) => format!("; if that is meant: {flag} {first}"),
        (Ok(_), Some(None)) => pin.into(),
        _ => String::new(),
    };
    format!("it is for {}, not for {wanted}{way}", listed(names, ", "))
}

/// How to trust it all the same.
fn pin(certificate: Option<&CertificateInfo>, flags: TrustFlags) -> String {
    certificate.map_or_else(String::new, |it| format!("; to trust it: {} {}", flags.pin, it.pin))
}
