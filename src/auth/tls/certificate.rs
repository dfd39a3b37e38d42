//! A certificate as people look at it: names, dates, pin.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;

use crate::net::tlsinfo::CertificateInfo;

/// What a certificate says, at this time.
pub fn describe(_der: &CertificateDer<'_>, _now: SystemTime) -> Result<CertificateInfo, String> {
    Err("not read yet".into())
}

/// Whether its issuer is its subject.
pub fn is_self_signed(_der: &CertificateDer<'_>) -> bool {
    false
}

/// The name of a client's certificate, as a member of a room has it.
pub fn member_name(_der: &CertificateDer<'_>) -> Option<String> {
    None
}

/// An error if it is not valid yet, or not any more.
pub fn check_dates(_der: &CertificateDer<'_>, _now: SystemTime) -> Result<(), rustls::Error> {
    Ok(())
}

/// A time in UTC: `2026-12-31T23:59:59Z`.
pub fn shown_time(_time: SystemTime) -> String {
    String::new()
}
