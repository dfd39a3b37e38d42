//! Certificates made on the spot: good ones, and of each kind that is not to be trusted.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use crate::run::Folder;

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// One who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

/// A certificate for these names that is about to be signed: valid from yesterday on, for 57 days and some
/// hours more.
pub fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    valid(&mut params, -1, DAY * 57 + DAY / 2);
    params
}

/// Makes it valid from so many days from now on, until this time from now.
pub fn valid(params: &mut CertificateParams, from_day: i64, until: Duration) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_after = epoch + now + until;
    let from = now.as_secs().checked_add_signed(from_day * 86_400).unwrap();
    params.not_before = epoch + Duration::from_secs(from);
}

impl Authority {
    /// A root, changed like this.
    pub fn root(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (params, key) = Self::of(name, change);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// One whose own certificate this one has signed.
    pub fn intermediate(&self, name: &str) -> Self {
        let (params, key) = Self::of(name, |_| {});
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn of(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (CertificateParams, KeyPair) {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        (params, KeyPair::generate().unwrap())
    }

    /// A certificate that it has signed, and its key.
    pub fn sign(&self, params: &CertificateParams) -> String {
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.issuer).unwrap().pem() + &key.serialize_pem()
    }

    /// The file with its own certificate.
    pub fn file(&self, folder: &Folder) -> String {
        folder.file("ca.pem", &self.pem)
    }
}

/// A certificate that has signed itself, and its key.
pub fn self_signed(params: &CertificateParams) -> String {
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().pem() + &key.serialize_pem()
}
