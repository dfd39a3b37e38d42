//! Certificates made on the spot: good ones, and of each kind that is not to be trusted.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PublicKeyData, SanType, SignatureAlgorithm, date_time_ymd,
};
use sha2::{Digest, Sha256};

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
        self.sign_key(&rcgen::PKCS_ECDSA_P256_SHA256, params)
    }

    /// The same with a key of this kind.
    pub fn sign_key(
        &self,
        kind: &'static SignatureAlgorithm,
        params: &CertificateParams,
    ) -> String {
        let key = KeyPair::generate_for(kind).unwrap();
        params.signed_by(&key, &self.issuer).unwrap().pem() + &private_key(&key)
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

/// A root, an intermediate, and the certificate of a server that this has signed, in files.
pub struct Chain {
    pub folder: Folder,
    pub root: Authority,
    pub intermediate: Authority,
    /// The file with the root.
    pub ca: String,
    /// The file with the server's certificate, for `localhost`, 127.0.0.1 and `::1`, and its key.
    pub cert: String,
    /// `sha256//BASE64` of its public key.
    pub pin: String,
}

impl Chain {
    /// A new one.
    pub fn new() -> Self {
        let folder = Folder::new();
        let root = Authority::root("Test Root", |_| ());
        let intermediate = root.intermediate("Test Intermediate");
        let server = intermediate.sign(&params(&["localhost", "127.0.0.1", "::1"]));
        let ca = root.file(&folder);
        let cert = folder.file("server.pem", server.clone() + &intermediate.pem);
        Self { folder, root, intermediate, ca, cert, pin: pin(&server) }
    }

    /// The file of a certificate for these names that the intermediate has signed; its path.
    pub fn server(&self, file: &str, names: &[&str]) -> String {
        let pem = self.intermediate.sign(&params(names));
        self.folder.file(file, pem + &self.intermediate.pem)
    }

    /// The same for a client with this common name, and this address of email, either empty if it has none.
    pub fn client(&self, file: &str, name: &str, email: &str) -> String {
        let pem = self.intermediate.sign(&client(name, email));
        self.folder.file(file, pem + &self.intermediate.pem)
    }
}

/// A certificate for a client that is about to be signed.
pub fn client(name: &str, email: &str) -> CertificateParams {
    let mut params = params(&[]);
    if !name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    if !email.is_empty() {
        params.subject_alt_names = vec![SanType::Rfc822Name(email.try_into().unwrap())];
    }
    params
}

/// `sha256//BASE64` of the public key that belongs to the private one in this text.
pub fn pin(pem: &str) -> String {
    let start = pem.find("-----BEGIN PRIVATE KEY-----").unwrap();
    let key = KeyPair::from_pem(&pem[start..]).unwrap();
    format!("sha256//{}", STANDARD.encode(Sha256::digest(key.subject_public_key_info())))
}

/// SHA-256 of the first certificate in this text, in hex.
pub fn fingerprint(pem: &str) -> String {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----").unwrap();
    let (base64, _) = rest.split_once("-----END").unwrap();
    let base64: String = base64.split_whitespace().collect();
    hex::encode(Sha256::digest(STANDARD.decode(base64).unwrap()))
}

/// PKCS #8 in its first version, for Ed25519, too: OpenSSL 3.0 reads no other.
fn private_key(key: &KeyPair) -> String {
    let Some(seed) = key
        .serialized_der()
        .strip_prefix(b"\x30\x51\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20")
    else {
        return key.serialize_pem();
    };
    let first =
        [&b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..], &seed[..32]]
            .concat();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(first))
}
