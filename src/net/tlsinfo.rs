//! What is known of a TLS session: plain data, for the event `tls`, for `connect -z --tls`, and for
//! the environment of programs.

use std::fmt::{self, Display};

use serde::Serialize;

/// A TLS session, or one that failed: then what was known by that time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TlsInfo {
    /// `TLSv1.2` or `TLSv1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<&'static str>,
    /// The cipher suite, as IANA names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The protocol that ALPN agreed on (RFC 7301).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// The server's name as the client asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The peer's certificate, if it has shown one.
    #[serde(flatten)]
    pub certificate: Option<CertificateInfo>,
    /// Whether the peer's certificate was checked, and is trusted.
    pub verified: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same in a word: `CERT_EXPIRED`.
    #[serde(skip)]
    pub code: Option<&'static str>,
}

/// A certificate as people look at it. Texts are escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateInfo {
    /// The names that it is for, IP addresses among them; without any its common name.
    pub names: Vec<String>,
    /// Its last second, in UTC: `2026-12-31T23:59:59Z`.
    pub not_after: String,
    /// Whole days from now until then; below zero once it has expired.
    pub days_left: i64,
    /// `sha256//BASE64` of the public key.
    pub pin: String,
    /// SHA-256 of the certificate, in hex.
    pub fingerprint: String,
    /// Its subject, as RFC 4514 writes it.
    #[serde(skip)]
    pub subject: String,
}

impl Display for TlsInfo {
    /// `TLSv1.3 example.org, 57 days left, sha256//…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.version.unwrap_or("TLS"))?;
        if let Some(certificate) = &self.certificate {
            write!(f, " {certificate}")?;
        }
        Ok(())
    }
}

impl Display for CertificateInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { names, days_left, pin, .. } = self;
        let days = if days_left.abs() == 1 { "day" } else { "days" };
        write!(f, "{}, {days_left} {days} left, {pin}", names.join(" "))
    }
}
