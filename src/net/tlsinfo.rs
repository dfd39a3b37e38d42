//! What is known of a TLS session: plain data, for the event `tls`, for `connect -z --tls`, and for
//! the environment of programs.

use std::fmt::{self, Display};

use serde::Serialize;

/// The [`TlsInfo::code`] of a peer that ended the connection in the handshake.
pub const TLS_CLOSED: &str = "TLS_CLOSED";

/// That of a server that does not accept our certificate, or that we have none.
pub const CLIENT_CERT_REJECTED: &str = "CLIENT_CERT_REJECTED";

/// How many names of a certificate a line shows.
const LISTED: usize = 4;

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
    /// The failure in a word: `CERT_EXPIRED`, `NO_TLS`.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    /// The same in seconds.
    #[serde(skip)]
    pub seconds_left: i64,
    /// `sha256//BASE64` of the public key.
    pub pin: String,
    /// SHA-256 of the certificate, in hex.
    pub fingerprint: String,
    /// Its subject, as RFC 4514 writes it.
    #[serde(skip)]
    pub subject: String,
}

impl TlsInfo {
    /// Why it failed, if it did: ` CERT_EXPIRED (it expired on 2026-12-31T23:59:59Z)`.
    pub fn failure(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or_default();
        self.code.map_or_else(String::new, |code| format!(" {code} ({reason})"))
    }

    /// The session, unless it failed; with `detail` also of one that failed, and all that is known:
    /// ` TLSv1.3 … (TLS_AES_128_GCM_SHA256, h2, until 2026-12-31T23:59:59Z, 3f6c…)`.
    pub fn session(&self, detail: bool) -> String {
        let Some(certificate) = self.certificate.as_ref().filter(|_| detail) else {
            return if self.code.is_none() { format!(" {self}") } else { String::new() };
        };
        let mut all: Vec<_> = self.cipher.iter().chain(&self.alpn).cloned().collect();
        all.push(format!("until {}", certificate.not_after));
        all.push(certificate.fingerprint.clone());
        format!(" {self} ({})", all.join(", "))
    }
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
        let Self { names, pin, .. } = self;
        write!(f, "{}, {}, {pin}", listed(names, " "), self.time_left())
    }
}

impl CertificateInfo {
    /// `57 days left`.
    pub fn time_left(&self) -> String {
        let count = self.days_left.abs();
        let days = if count == 1 { "day" } else { "days" };
        if self.days_left < 0 {
            format!("expired {count} {days} ago")
        } else {
            format!("{count} {days} left")
        }
    }
}

/// The first names of a certificate: some have a hundred.
pub fn listed(names: &[String], separator: &str) -> String {
    let shown = &names[..names.len().min(LISTED)];
    match names.len() - shown.len() {
        _ if names.is_empty() => "no name".into(),
        0 => shown.join(separator),
        more => format!("{} and {more} more", shown.join(separator)),
    }
}
