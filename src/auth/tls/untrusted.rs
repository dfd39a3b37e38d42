//! Why a certificate is not trusted, in words that say what to do.

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, ServerName};

use super::certificate;
use crate::net::tlsinfo::{CertificateInfo, TlsInfo, listed};

/// The shortest RSA key that ring takes.
const RSA_BITS: usize = 2048;

/// The reason that `error` stands for, as a code (`CERT_EXPIRED`) and as a line; `shown` is the peer's
/// certificate, which `info` describes. With `can_pin` the line says how to trust it all the same.
/// Over 50 lines: a reason an arm.
pub fn of(
    error: &CertificateError,
    shown: Option<&CertificateDer<'_>>,
    info: &TlsInfo,
    can_pin: bool,
) -> (&'static str, String) {
    let certificate = info.certificate.as_ref();
    let pin = if can_pin { pin(certificate) } else { String::new() };
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
            ("CERT_WRONG_NAME", wrong_name(certificate, info.name.as_deref()))
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
            let way = match pin.as_str() {
                "" => String::new(),
                pin => format!("{pin}, or --tls-ca FILE with its issuer"),
            };
            let cause = format!("its issuer is not known, or an intermediate is missing{way}");
            ("CERT_UNKNOWN_ISSUER", cause)
        }
        CertificateError::ApplicationVerificationFailure => {
            let cause = match certificate {
                Some(it) => format!("it is not the one that --tls-pin names, but {}", it.pin),
                None => "it is not the one that --tls-pin names".into(),
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

fn wrong_name(certificate: Option<&CertificateInfo>, wanted: Option<&str>) -> String {
    let names = certificate.map_or(&[][..], |it| &it.names);
    let wanted = wanted.unwrap_or_default();
    let Some(first) = names.first() else {
        return format!("it has no names, so it is not for {wanted}");
    };
    // RFC 9525, section 2: names count in the subjectAltName only.
    if names == [wanted] {
        let pin = pin(certificate);
        return format!("it has {wanted} as its common name alone, which does not count{pin}");
    }
    // What is pasted into a shell is a host name, or nothing.
    let way = match ServerName::try_from(first.as_str()) {
        Ok(_) => format!("; if that is meant: --tls-name {first}"),
        Err(_) => String::new(),
    };
    format!("it is for {}, not for {wanted}{way}", listed(names, ", "))
}

/// How to trust it all the same.
fn pin(certificate: Option<&CertificateInfo>) -> String {
    certificate.map_or_else(String::new, |it| format!("; to trust it: --tls-pin {}", it.pin))
}
