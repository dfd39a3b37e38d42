//! Certificates of all kinds are described, and none does harm; files say what is wrong with them.

use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PKCS_ED25519, SanType, date_time_ymd,
};
use rustls::CertificateError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tempfile::TempDir;

use super::certificate::{check_dates, describe, is_self_signed, member_name, shown_time};
use super::create::{create_certificate, self_signed};
use super::files::{load_chain, load_identity, load_key, load_roots};
use super::pin::Pin;
use super::verifier::{Trust, Verifier};
use super::{certified, provider};
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;

/// A certificate with these changes to an empty one.
fn made(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut about = CertificateParams::default();
    about.distinguished_name = DistinguishedName::new();
    change(&mut about);
    about.self_signed(&KeyPair::generate().unwrap()).unwrap().into()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn ia5(text: &str) -> Ia5String {
    text.try_into().unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn unix(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

#[test]
fn a_certificate_is_described() {
    let der = made(|it| {
        it.subject_alt_names = vec![
            dns("example.org"),
            dns("*.example.org"),
            SanType::IpAddress(IpAddr::from([127, 0, 0, 1])),
            SanType::IpAddress("::1".parse().unwrap()),
            SanType::Rfc822Name(ia5("ann@example.org")),
            SanType::URI(ia5("spiffe://example.org/a")),
        ];
        it.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
        it.distinguished_name.push(DnType::CommonName, "not shown");
        it.not_after = date_time_ymd(2031, 1, 1);
    });
    let end = 1_924_992_000;
    let info = describe(&der, at(end)).unwrap();
    assert_eq!(
        info.names,
        [
            "example.org",
            "*.example.org",
            "127.0.0.1",
            "::1",
            "ann@example.org",
            "spiffe://example.org/a"
        ]
    );
    assert_eq!(info.not_after, "2031-01-01T00:00:00Z");
    assert_eq!(info.subject, r"CN=not shown,O=Example\, Inc.");
    assert_eq!(info.fingerprint.len(), 64);
    for (now, days) in [
        (end - 86_400 * 57 - 1, 57),
        (end - 86_400, 1),
        (end - 86_399, 0),
        (end, 0),
        (end + 1, -1),
        (end + 86_400, -1),
        (end + 86_401, -2),
    ] {
        assert_eq!(describe(&der, at(now)).unwrap().days_left, days, "{now}");
    }
    assert!(Pin::parse(&info.pin).unwrap().matches(&der));
    assert!(Pin::parse(&info.fingerprint).unwrap().matches(&der));
    let other = made(|_| ());
    assert!(!Pin::parse(&info.pin).unwrap().matches(&other));
    assert!(!Pin::parse(&info.fingerprint).unwrap().matches(&other));
}

#[test]
fn without_other_names_the_common_name_is_shown() {
    let der = made(|it| it.distinguished_name.push(DnType::CommonName, "My CA"));
    assert_eq!(describe(&der, at(0)).unwrap().names, ["My CA"]);
    let der = made(|_| ());
    let info = describe(&der, at(0)).unwrap();
    assert_eq!((info.names, info.subject), (vec![], String::new()));
    assert!(is_self_signed(&der));
}

#[test]
fn texts_of_a_hostile_certificate_are_escaped_and_cut() {
    let der = made(|it| {
        it.subject_alt_names = (0..1000).map(|n| dns(&format!("{n}.example.org"))).collect();
    });
    let info = describe(&der, at(0)).unwrap();
    assert_eq!(info.names.len(), 100);
    assert_eq!(info.names[99], "99.example.org");

    let der = made(|it| {
        it.subject_alt_names =
            vec![dns("a\x1b[2J\nb\0, 99 days left"), dns(&"x".repeat(30_000)), dns("")];
        it.distinguished_name.push(DnType::CommonName, "\u{202e}cn\r\n\x07".repeat(1000));
    });
    let info = describe(&der, at(0)).unwrap();
    assert_eq!(info.names[0], r"a\x1b[2J\nb\x00,\x2099\x20days\x20left");
    assert_eq!(info.names[1].chars().count(), 255);
    assert_eq!(info.names.len(), 2);
    assert!(info.subject.starts_with(r"CN=\u{202e}cn\0d\0a\07"), "{}", info.subject);
    assert_eq!(info.subject.chars().count(), 1024);

    // Names that are no text, an address of three bytes, a list that is none.
    for (san, names) in [
        (&b"\x30\x0c\x82\x02\xff\x9b\x87\x03\x7f\x00\x01\x82\x01a"[..], &[r"\xff\x9b", "a"][..]),
        (b"\x30\x02\x82\x05", &[]),
        (b"\x04\x00", &[]),
    ] {
        let der = made(|it| {
            let names = CustomExtension::from_oid_content(&[2, 5, 29, 17], san.to_vec());
            it.custom_extensions.push(names);
        });
        assert_eq!(describe(&der, at(0)).unwrap().names, names);
    }
}

#[test]
fn dates_far_away_are_no_harm() {
    let der = made(|it| it.not_after = date_time_ymd(9999, 12, 31) + Duration::from_secs(86_399));
    let info = describe(&der, SystemTime::now()).unwrap();
    assert_eq!(info.not_after, "9999-12-31T23:59:59Z");
    assert!(info.days_left > 2_800_000);
    assert!(check_dates(&der, UnixTime::now()).is_ok());
    assert_eq!(shown_time(unix(253_402_300_799)), "9999-12-31T23:59:59Z");
    assert_eq!(shown_time(unix(u64::MAX)), "a time after the year 9999");

    // x509-cert and rustls begin at 1970: such a certificate is none to them.
    let der = made(|it| it.not_before = date_time_ymd(1950, 1, 1));
    assert!(describe(&der, at(0)).unwrap_err().starts_with("it is no certificate: "));
    assert!(check_dates(&der, unix(0)).is_err());
    assert!(!is_self_signed(&der));
}

#[test]
fn dates_are_checked_to_the_second() {
    let der = made(|it| {
        it.not_before = date_time_ymd(2020, 1, 1);
        it.not_after = date_time_ymd(2021, 1, 1);
    });
    let (begin, end) = (1_577_836_800, 1_609_459_200);
    let checked = |now| check_dates(&der, unix(now)).map_err(|error| error.to_string());
    assert_eq!(checked(begin), Ok(()));
    assert_eq!(checked(end), Ok(()));
    assert!(checked(begin - 1).unwrap_err().contains("not valid yet"));
    assert!(checked(end + 1).unwrap_err().contains("expired"));
}

#[test]
fn a_certificate_of_another_is_not_self_signed() {
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "ca");
    let issuer = Issuer::new(ca, KeyPair::generate().unwrap());
    let about = CertificateParams::new(["a".to_owned()]).unwrap();
    let der = about.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().into();
    assert!(!is_self_signed(&der));
}

#[test]
fn a_member_is_called_by_its_certificate() {
    let named = |common: &str, names: &[SanType]| {
        member_name(&made(|it| {
            it.subject_alt_names = names.to_vec();
            if !common.is_empty() {
                it.distinguished_name.push(DnType::CommonName, common);
            }
        }))
    };
    let email = SanType::Rfc822Name(ia5("ann@example.org"));
    let both = [dns("laptop.lan"), email];
    assert_eq!(named("Ann Smith", &both).as_deref(), Some("Ann_Smith"));
    assert_eq!(named("", &both).as_deref(), Some("ann_example.org"));
    assert_eq!(named("\x1b\u{202e} ", &both).as_deref(), Some("ann_example.org"));
    assert_eq!(named("", &both[..1]).as_deref(), Some("laptop.lan"));
    assert_eq!(named(&"é".repeat(500), &[]), Some("é".repeat(32)));
    assert_eq!(named("", &[SanType::IpAddress([127, 0, 0, 1].into())]), None);
    assert_eq!(member_name(&CertificateDer::from(&b"garbage"[..])), None);
}

proptest! {
    #[test]
    fn garbage_is_no_certificate(garbage: Vec<u8>, at_byte: prop::sample::Index, byte: u8) {
        let now = SystemTime::now();
        prop_assert!(describe(&CertificateDer::from(garbage), now).is_err());
        let mut der = made(|it| it.subject_alt_names = vec![dns("a"), dns("b")]).to_vec();
        let at_byte = at_byte.index(der.len());
        der[at_byte] = byte;
        let der = CertificateDer::from(der);
        let _ = (describe(&der, now), is_self_signed(&der), check_dates(&der, UnixTime::now()));
        let pin = Pin::Key([0; 32]);
        prop_assert!(!pin.matches(&der));
        if let Some(name) = member_name(&der) {
            prop_assert_eq!(crate::sanitize::names::name(&name), Ok(name.clone()));
        }
    }
}

#[test]
fn pins_have_two_forms() {
    let zeros = [0; 32];
    let digits = "00".repeat(32);
    let colons = ["AB"; 32].join(":");
    let key = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (text, pin) in [
        (key, Pin::Key(zeros)),
        (key.trim_end_matches('='), Pin::Key(zeros)),
        (&digits, Pin::Certificate(zeros)),
        (&colons, Pin::Certificate([0xab; 32])),
        (&colons.to_lowercase(), Pin::Certificate([0xab; 32])),
        (&format!("sha256 Fingerprint={colons}\n"), Pin::Certificate([0xab; 32])),
        (&format!("SHA256 Fingerprint={colons}"), Pin::Certificate([0xab; 32])),
    ] {
        assert_eq!(Pin::parse(text), Ok(pin.clone()), "{text}");
        assert_eq!(Pin::parse(&pin.to_string()), Ok(pin));
    }
    assert_eq!(Pin::Key(zeros).to_string(), key);
    assert_eq!(Pin::Certificate(zeros).to_string(), digits);
    let sha1 = format!("SHA1 Fingerprint={}", ["AB"; 20].join(":"));
    assert!(Pin::parse(&sha1).unwrap_err().contains("-sha256"));
    for bad in ["", "sha256//", "sha256//AAAA", "sha256/AAAA", &digits[1..], "example.org", "=é"] {
        assert!(Pin::parse(bad).unwrap_err().contains("sha256//BASE64"), "{bad}");
    }
}

/// A file of this mode in a folder.
fn file(folder: &TempDir, name: &str, mode: u32, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

/// The line of a failure with status 2; the folder's name is left out.
fn refused<T>(result: Result<T, Failure>, folder: &TempDir) -> String {
    let failure = result.err().unwrap();
    assert_eq!(failure.exit, Exit::Usage, "{failure}");
    failure.to_string().replace(&format!("{}/", folder.path().display()), "")
}

/// A key and its certificate, as PEM.
fn pem() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let about = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (key.serialize_pem(), about.self_signed(&key).unwrap().pem())
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

#[test]
fn certificates_and_keys_are_read_from_one_file_or_two() {
    let folder = TempDir::new().unwrap();
    let (key, certificate) = pem();
    let (_, other) = pem();
    let chain = file(&folder, "chain", 0o644, format!("words\n{certificate}{other}"));
    let key_file = file(&folder, "key", 0o600, key.replace('\n', "\r\n"));
    assert_eq!(load_chain(&chain, soon()).unwrap().len(), 2);
    assert!(matches!(load_key(&key_file, soon()).unwrap(), PrivateKeyDer::Pkcs8(_)));
    assert_eq!(load_identity(&chain, Some(&key_file), soon()).unwrap().0.len(), 2);
    let both = file(&folder, "both", 0o600, format!("{key}{certificate}"));
    let (chain, key) = load_identity(&both, None, soon()).unwrap();
    certified(chain, key, &both).unwrap();
    let (chain, _) = load_identity(&both, Some(&both), soon()).unwrap();
    let (other, _) = pem();
    let other = load_key(&file(&folder, "other", 0o600, other), soon()).unwrap();
    let line = refused(certified(chain, other, &both), &folder);
    assert_eq!(line, "use private key both: it is not the key of the certificate");
    let (roots, ders) = load_roots(&both, soon()).unwrap();
    assert_eq!((roots.len(), ders.len()), (1, 1));
}

#[test]
fn a_file_that_is_no_good_says_why() {
    let folder = TempDir::new().unwrap();
    let (key, certificate) = pem();
    let new = |name: &str, content: &[u8]| file(&folder, name, 0o600, content);
    let chain = |path: &Path| refused(load_chain(path, soon()), &folder);
    let key_of = |path: &Path| refused(load_key(path, soon()), &folder);
    let identity = |path: &Path| refused(load_identity(path, None, soon()), &folder);

    let path = folder.path().join("none");
    assert_eq!(chain(&path), "read certificate from none: no such file or directory (ENOENT 2)");
    let path = new("empty", b"");
    assert_eq!(chain(&path), "read certificate from empty: it is empty");
    assert_eq!(key_of(&path), "read private key from empty: it is empty");
    let path = new("words", b"certificate");
    assert_eq!(
        chain(&path),
        "read certificate from words: it has no certificate that TLS can use (PEM)"
    );
    assert_eq!(
        key_of(&path),
        "read private key from words: it has no private key that TLS can use (PEM)"
    );
    let path =
        new("ssh", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----");
    assert!(key_of(&path).ends_with("ssh: it has no private key that TLS can use (PEM)"));
    let path = new("big", &vec![b'x'; 2 << 20]);
    assert_eq!(chain(&path), "read certificate from big: file too large");
    let path = new("key", key.as_bytes());
    assert_eq!(chain(&path), "read certificate from key: it has a private key, but no certificate");
    let path = file(&folder, "cert", 0o644, &certificate);
    let none = "read private key from cert: it has a certificate, but no private key";
    assert_eq!(identity(&path), format!("{none}; name its file: --tls-key FILE"));
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(key_of(&path), none);
    assert_eq!(identity(&path), format!("{none}; name its file: --tls-key FILE"));
    let open = "read private key from open: others can read it (mode 0644); chmod 600 ";
    let path = file(&folder, "open", 0o644, format!("{key}{certificate}"));
    assert!(key_of(&path).starts_with(open));
    assert!(identity(&path).starts_with(open));

    let der = made(|_| ());
    let path = new("der", &der);
    assert!(chain(&path).contains("der: it is DER; convert it: openssl x509 -inform der -in "));
    assert!(key_of(&path).contains("der: it is DER; convert it: openssl pkey -inform der -in "));
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert!(identity(&path).contains("der: it is DER; convert it: openssl x509 -inform der -in "));
    let path = new("p12", b"\x30\x82\x09\x9a\x02\x01\x03\x30");
    assert!(chain(&path).contains("p12: it is PKCS #12; convert it: openssl pkcs12 -in "));

    for encrypted in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n\
         AAAA\n-----END RSA PRIVATE KEY-----\n",
    ] {
        let hint = "the key is encrypted; decrypt it: openssl pkey -in ";
        assert!(key_of(&new("enc", encrypted.as_bytes())).contains(hint));
        let both = format!("{certificate}{encrypted}");
        assert!(identity(&new("enc", both.as_bytes())).contains(hint));
    }
    let half = &certificate[..certificate.len() / 2];
    let cut = "read certificate from half: a section has no -----END line; is the file whole?";
    assert_eq!(chain(&new("half", half.as_bytes())), cut);
    let path = new("bad", certificate.replace("MII", "M*I").as_bytes());
    assert!(chain(&path).ends_with("bad: a section is not base64; is the file whole?"));
    let path = new("bad", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let damaged = "read certificate from bad: certificate 1 in it cannot be used: it is damaged";
    assert_eq!(chain(&path), damaged);
    assert_eq!(refused(load_roots(&path, soon()), &folder), damaged);
    assert!(refused(load_roots(&new("empty", b""), soon()), &folder).ends_with("it is empty"));
}

#[test]
fn created_certificates_are_accepted_as_they_are() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new.pem");
    let info = create_certificate(&path, &[]).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode(), 0o100_600);
    assert_eq!(info.names[..3], ["localhost", "127.0.0.1", "::1"]);
    assert_eq!(info.subject, "CN=localhost");
    assert_eq!(info.days_left, 823);
    let (chain, key) = load_identity(&path, None, soon()).unwrap();
    assert!(Pin::parse(&info.pin).unwrap().matches(&chain[0]));
    assert!(is_self_signed(&chain[0]));
    certified(chain.clone(), key, &path).unwrap();

    // The file is a root of itself.
    let (roots, _) = load_roots(&path, soon()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
    let verifier = verifier.build().unwrap();
    for (name, good) in [("localhost", true), ("127.0.0.1", true), ("example.org", false)] {
        let name = ServerName::try_from(name).unwrap();
        let checked = verifier.verify_server_cert(&chain[0], &[], &name, b"", UnixTime::now());
        assert_eq!(checked.is_ok(), good, "{name:?} {checked:?}");
    }

    let line = refused(create_certificate(&path, &[]), &folder);
    let never = "create certificate new.pem: file exists (EEXIST 17); a key is never overwritten";
    assert!(line.starts_with(never), "{line}");
    assert_eq!(load_chain(&path, soon()).unwrap(), chain);

    let (der, key) = self_signed().unwrap();
    assert_eq!(describe(&der, SystemTime::now()).unwrap().days_left, 364);
    certified(vec![der], key, Path::new("")).unwrap();
}

#[test]
fn a_root_of_the_same_name_is_another_issuer() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ours");
    create_certificate(&path, &[]).unwrap();
    let (roots, given) = load_roots(&path, soon()).unwrap();
    let trust = Trust::in_roots(roots.into(), given).unwrap();
    let verifier = Verifier::new(trust, provider().signature_verification_algorithms);
    let (theirs, _) = self_signed().unwrap();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut about = CertificateParams::new(["localhost".to_owned()]).unwrap();
    about.distinguished_name = DistinguishedName::new();
    about.distinguished_name.push(DnType::CommonName, "localhost");
    for der in [theirs, about.self_signed(&key).unwrap().into()] {
        let name = ServerName::try_from("localhost").unwrap();
        let error = verifier.verify_server_cert(&der, &[], &name, b"", UnixTime::now());
        assert_eq!(error.unwrap_err(), CertificateError::UnknownIssuer.into());
    }
}

#[test]
fn a_certificate_is_created_for_names_that_it_can_have() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("named");
    let long = format!("{}.{}.org", "a".repeat(40), "b".repeat(40));
    let names = [&long, "*.example.org", "10.0.0.1", "ann"].map(str::to_owned);
    let info = create_certificate(&path, &names).unwrap();
    assert_eq!((info.names, info.subject), (names.to_vec(), "CN=*.example.org".into()));
    let info = create_certificate(&folder.path().join("long"), &[long]).unwrap();
    assert_eq!(info.subject, "CN=sockctl");
    for bad in ["", "a b", "*", "a.*", "müller.de", "a\nb", "example.org.", "127.1", "[::1]"] {
        let path = folder.path().join("unmade");
        let line = refused(create_certificate(&path, &[bad.to_owned()]), &folder);
        assert!(line.contains("use a host name, *.NAME, or an IP address"), "{bad}: {line}");
        assert!(!path.exists());
    }
}

#[test]
fn a_ca_is_described_like_any_other() {
    let der = made(|it| it.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    assert!(describe(&der, at(0)).is_ok());
}
