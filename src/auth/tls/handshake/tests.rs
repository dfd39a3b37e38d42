//! Sessions between our own two sides: ends, truncation, key updates, and records in any split.

use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use crate::auth::tls::client::{Client, ClientOptions};
use crate::auth::tls::server::{Server, ServerOptions};
use crate::auth::tls::verifier::{Trust, TrustFlags};
use crate::auth::tls::{certified, provider};
use crate::exit::Exit;
use crate::net::codec::Codec;
use crate::net::handshake::tests::{connect, feed};
use crate::net::handshake::{Driver, Handshake, Outcome, Stop};

const FLAGS: TrustFlags = TrustFlags { pin: "--pin", ca: "--ca", name: None };

/// A certificate for these names, signed by itself.
fn identity(name: &str) -> Arc<CertifiedKey> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key).unwrap();
    let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    certified(vec![certificate.der().clone()], der, "".as_ref()).unwrap()
}

fn roots(identity: &CertifiedKey) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(identity.cert[0].clone()).unwrap();
    roots
}

/// Both sides; whether the client trusts the server, and whether it must show a certificate, too.
pub(crate) fn pair(is_trusted: bool, asks_client: bool) -> [Box<dyn Handshake>; 2] {
    let [ours, theirs, other] = ["server.test", "client.test", "other.test"].map(identity);
    let trusted = if is_trusted { &ours } else { &other };
    let trust = Trust::Roots(
        WebPkiServerVerifier::builder_with_provider(roots(trusted).into(), provider())
            .build()
            .unwrap(),
        trusted.cert.clone().into(),
    );
    let options = ClientOptions {
        trust,
        flags: FLAGS,
        name: None,
        identity: Some(Arc::clone(&theirs)),
        alpn: vec![b"a".to_vec(), b"b".to_vec()],
    };
    let client = Rc::new(Client::new(&options, Some("server.test")).unwrap());
    let options = ServerOptions {
        identity: ours,
        client_roots: asks_client.then(|| roots(&theirs).into()),
        alpn: vec![b"b".to_vec()],
    };
    let server = Rc::new(Server::new(options).unwrap());
    [client.handshake().unwrap(), server.handshake().unwrap()]
}

/// One side, in its handshake or behind it.
enum End {
    Handshake(Driver),
    Session(Box<dyn Codec>),
}

impl End {
    /// Takes what has come, as much as is wanted at a time; appends its answers. Returns the payload.
    fn take(&mut self, mut bytes: &[u8], answer: &mut Vec<u8>) -> Vec<u8> {
        let mut payload = Vec::new();
        while !bytes.is_empty() {
            match self {
                Self::Handshake(driver) => {
                    let (now, rest) = bytes.split_at(driver.wanted().min(bytes.len()));
                    bytes = rest;
                    if let Some(outcome) = driver.feed(now, answer).unwrap() {
                        *self = Self::Session(outcome.codec.unwrap());
                    }
                }
                Self::Session(codec) => {
                    codec.decode(&mut bytes.to_vec(), &mut payload, answer).unwrap();
                    return payload;
                }
            }
        }
        payload
    }
}

/// The codecs of two sides that have met.
fn session() -> [Box<dyn Codec>; 2] {
    let [(client, mut to_server), (server, _)] = pair(true, false).map(Driver::start);
    let mut ends = [client, server].map(End::Handshake);
    while !to_server.is_empty() {
        let (mut to_client, mut answer) = (Vec::new(), Vec::new());
        ends[1].take(&to_server, &mut to_client);
        ends[0].take(&to_client, &mut answer);
        to_server = answer;
    }
    ends.map(|end| match end {
        End::Session(codec) => codec,
        End::Handshake(_) => panic!("it is not over"),
    })
}

/// The wire form of a payload.
fn encoded(codec: &mut dyn Codec, payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    codec.encode(payload, &mut wire).unwrap();
    wire
}

#[test]
fn clients_at_the_same_time_keep_their_names() {
    let options =
        ServerOptions { identity: identity("server.test"), client_roots: None, alpn: Vec::new() };
    let server = Rc::new(Server::new(options).unwrap());
    let options = ClientOptions {
        trust: Trust::Any,
        flags: FLAGS,
        name: None,
        identity: None,
        alpn: Vec::new(),
    };
    let mut sides = ["a.test", "b.test", "127.0.0.1"].map(|name| {
        let client = Rc::new(Client::new(&options, Some(name)).unwrap());
        let [client, server] = [client.handshake(), server.handshake()].map(Result::unwrap);
        let (client, hello) = Driver::start(client);
        (client, Driver::start(server).0, hello)
    });
    let feed_all = |driver: &mut Driver, mut bytes: &[u8]| {
        let (mut answer, mut outcome) = (Vec::new(), None);
        while !bytes.is_empty() && outcome.is_none() {
            let (now, rest) = bytes.split_at(driver.wanted().min(bytes.len()));
            outcome = driver.feed(now, &mut answer).unwrap();
            bytes = rest;
        }
        (outcome, answer)
    };
    // All hellos are processed before any handshake is over.
    let answers = sides.each_mut().map(|(_, server, hello)| feed_all(server, hello).1);
    let mut names = Vec::new();
    for ((client, server, _), answer) in sides.iter_mut().zip(answers) {
        let finished = feed_all(client, &answer).1;
        names.push(feed_all(server, &finished).0.unwrap().tls.unwrap().name.clone());
    }
    assert_eq!(names, [Some("a.test".into()), Some("b.test".into()), None]);
}

#[test]
fn payload_comes_before_the_end_and_nothing_counts_behind_it() {
    let [mut client, mut server] = session();
    let mut wire = encoded(&mut *client, b"all of it");
    client.encode_eof(&mut wire);
    client.encode_eof(&mut wire);
    wire.extend_from_slice(b"not TLS");
    let mut payload = Vec::new();
    server.decode(&mut wire, &mut payload, &mut Vec::new()).unwrap();
    assert_eq!((payload.as_slice(), server.peer_ended()), (&b"all of it"[..], true));
    server.decode(&mut b"more".to_vec(), &mut payload, &mut Vec::new()).unwrap();
    server.at_wire_eof().unwrap();
    // The other direction is open still (RFC 8446, 6.1).
    let mut wire = encoded(&mut *server, b"an answer");
    payload.clear();
    client.decode(&mut wire, &mut payload, &mut Vec::new()).unwrap();
    assert_eq!(payload, b"an answer");
}

#[test]
fn an_end_without_close_notify_is_a_truncation() {
    let [mut client, mut server] = session();
    let mut wire = encoded(&mut *client, b"12345");
    server.decode(&mut wire, &mut Vec::new(), &mut Vec::new()).unwrap();
    let error = server.at_wire_eof().unwrap_err();
    assert_eq!(
        (error.cause.as_str(), error.exit),
        ("truncated after 5 bytes: the peer's close_notify did not come", Exit::Broken)
    );
}

#[test]
fn what_is_changed_on_its_way_is_an_alert_for_the_peer() {
    let [mut client, mut server] = session();
    let good = encoded(&mut *client, b"good");
    let mut bad = encoded(&mut *client, b"bad");
    *bad.last_mut().unwrap() ^= 1;
    let (mut payload, mut answer) = (Vec::new(), Vec::new());
    let mut wire = [good, bad].concat();
    let error = server.decode(&mut wire, &mut payload, &mut answer).unwrap_err();
    assert_eq!((payload.as_slice(), error.exit), (&b"good"[..], Exit::Broken));
    let error = client.decode(&mut answer, &mut payload, &mut Vec::new()).unwrap_err();
    assert_eq!(error.cause, "the peer ended TLS with the alert bad_record_mac");
}

#[test]
fn a_peer_that_stops_is_told_by_how_far_it_came() {
    let (client, _) = Driver::start(pair(true, false).into_iter().next().unwrap());
    assert_eq!(
        client.stopped(Stop::Closed).reason,
        "the server closed without its TLS handshake; it may not speak TLS"
    );
    let [(_, hello), (mut server, _)] = pair(true, false).map(Driver::start);
    feed(&mut server, &hello[..100], &[]);
    assert_eq!(
        server.stopped(Stop::TimedOut).reason,
        "timed out after 100 bytes of the TLS handshake"
    );
}

#[test]
fn what_is_no_tls_is_shown() {
    for (first, expected) in [
        (&b"220 mail ESMTP\r\n"[..], "the server does not speak TLS: it sent '220 mail ESMTP'"),
        (b"\x80\x2e\x01\0\x02", "the server speaks SSLv2, which is not secure any more"),
        (b"\x16\x03\0\0\x40", "the server speaks SSLv3, which is not secure any more"),
        (b"\r\n\r\n\0", r"the server does not speak TLS: it sent '\r\n\r\n\x00'"),
        (b"\x1b[31m", "the server does not speak TLS: it sent '\\x1b[31m'"),
    ] {
        let (mut client, _) = Driver::start(pair(true, false).into_iter().next().unwrap());
        let refusal = feed(&mut client, first, &[]).refusal();
        assert_eq!((refusal.reason.as_str(), refusal.exit), (expected, Exit::Broken));
    }
}

#[test]
fn a_server_that_is_not_trusted_is_refused_on_both_sides() {
    let [client, server] = connect(pair(false, false), &[], b"secret");
    let refusal = client.0.unwrap().err().unwrap();
    assert_eq!(refusal.exit, Exit::NotAuthenticated);
    assert!(refusal.reason.starts_with("the server's certificate is not trusted: "), "{refusal:?}");
    assert_eq!(
        server.0.unwrap().err().unwrap().reason,
        "the client does not accept our certificate (alert unknown_ca)"
    );
    assert_eq!((client.1, server.1), (Vec::new(), Vec::new()));
}

#[test]
fn both_sides_agree_on_the_protocol_that_the_server_prefers() {
    let [client, server] = connect(pair(true, true), &[], b"");
    for (outcome, shows_certificate) in [(client.0, true), (server.0, true)] {
        let Outcome { tls, .. } = outcome.unwrap().unwrap();
        let info = tls.unwrap();
        assert_eq!((info.version, info.alpn.as_deref()), (Some("TLSv1.3"), Some("b")));
        assert_eq!(info.certificate.is_some(), shows_certificate);
        assert!(info.verified);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn records_come_in_any_split(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40_000), 1..4),
        sizes in prop::collection::vec(1usize..20_000, 1..8),
    ) {
        let [mut client, mut server] = session();
        let mut wire: Vec<u8> =
            payloads.iter().flat_map(|payload| encoded(&mut *client, payload)).collect();
        client.encode_eof(&mut wire);
        let (mut received, mut rest) = (Vec::new(), &mut wire[..]);
        let mut sizes = sizes.iter().cycle();
        while !rest.is_empty() {
            let count = sizes.next().map_or(1, |size| *size).min(rest.len());
            let (now, later) = rest.split_at_mut(count);
            server.decode(now, &mut received, &mut Vec::new()).unwrap();
            rest = later;
        }
        prop_assert_eq!(received, payloads.concat());
        prop_assert!(server.peer_ended());
    }

    #[test]
    fn any_bytes_leave_a_session_sane(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        sizes in prop::collection::vec(1usize..40, 0..8),
        which in 0usize..2,
        is_session: bool,
    ) {
        if is_session {
            let mut codecs = session();
            let mut answer = Vec::new();
            let result = codecs[which].decode(&mut bytes.clone(), &mut Vec::new(), &mut answer);
            prop_assert!(result.is_ok() || !answer.is_empty());
        } else {
            let (mut driver, _) = Driver::start(pair(true, true).into_iter().nth(which).unwrap());
            feed(&mut driver, &bytes, &sizes);
            prop_assert!(!driver.stopped(Stop::Closed).reason.is_empty());
        }
    }
}
