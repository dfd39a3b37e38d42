//! `--tls-pin`: the key or the certificate that is trusted, with any issuer.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

use super::certificate::{sha256, shown_pin};

/// Base64, also of those who drop the `=` at its end when they copy it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// How curl's form begins.
const KEY: &str = "sha256//";

const FORMS: &str = "sha256//BASE64 of a public key, as connect -z --tls shows it, or the 64 hex \
                     digits of openssl x509 -noout -fingerprint -sha256";
const SHA1: &str = "a SHA-1 fingerprint is not secure any more; use the 64 hex digits of \
                    openssl x509 -noout -fingerprint -sha256";

/// What a certificate must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// SHA-256 of its public key (SubjectPublicKeyInfo): a renewed certificate can have the same.
    Key([u8; 32]),
    /// SHA-256 of all of it.
    Certificate([u8; 32]),
}

impl Pin {
    /// `sha256//BASE64`, as curl has it, or a fingerprint of the certificate in hex, with or without
    /// colons, also with the words that openssl writes before it. An error names these forms.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(key) = text.strip_prefix(KEY) {
            let key = BASE64.decode(key).ok().and_then(|key| key.try_into().ok());
            return key.map(Self::Key).ok_or_else(|| FORMS.into());
        }
        let digits = match text.split_once('=') {
            Some((label, digits)) if label.to_ascii_lowercase().ends_with("fingerprint") => digits,
            _ => text,
        };
        let bytes = hex::decode(digits.replace([':', ' '], "")).unwrap_or_default();
        match <[u8; 32]>::try_from(bytes) {
            Ok(fingerprint) => Ok(Self::Certificate(fingerprint)),
            Err(bytes) if bytes.len() == 20 => Err(SHA1.into()),
            Err(_) => Err(FORMS.into()),
        }
    }

    /// Whether a certificate has it. The key is the one that rustls checks signatures with.
    pub fn matches(&self, der: &CertificateDer<'_>) -> bool {
        match self {
            Self::Key(key) => ParsedCertificate::try_from(der)
                .is_ok_and(|certificate| sha256(&certificate.subject_public_key_info()) == *key),
            Self::Certificate(fingerprint) => sha256(der) == *fingerprint,
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(&shown_pin(*key)),
            Self::Certificate(fingerprint) => f.write_str(&hex::encode(fingerprint)),
        }
    }
}
