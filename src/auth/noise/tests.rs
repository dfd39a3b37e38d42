//! The handshake and the records, at every split and under every change.

use std::rc::Rc;

use proptest::prelude::*;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};

use super::*;
use crate::auth::key::Key;
use crate::codec::noise::{DATA_MAX, Record};
use crate::net::codec::Codec;
use crate::net::handshake::tests::{begun, feed};
use crate::net::handshake::{Driver, Outcome, Stop};

fn line(name: &str, byte: u8) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([byte; 32]);
    format!("sockctl-key-1 {name} {text}")
}

fn identity(keys: &[&str], context: &[u8]) -> Rc<Identity> {
    let keyring = match keys {
        [one] => Keyring::from(Key::parse(one.as_bytes()).unwrap()),
        many => Keyring::parse(many.join("\n").as_bytes()).unwrap(),
    };
    Identity::derive(&keyring, context, None).unwrap().0
}

fn alice() -> Rc<Identity> {
    identity(&[&line("alice", 1)], b"")
}

fn server(identity: &Rc<Identity>) -> Driver {
    begun(Server::new(Rc::clone(identity)))
}

/// A client, and its hello.
fn client(identity: &Identity) -> (Driver, Vec<u8>) {
    Driver::start(Box::new(Client::new(identity).unwrap()))
}

/// Both ends of a session: the client's before its WELCOME, and the server's.
fn pair() -> (Box<Records>, Box<dyn Codec>) {
    let identity = alice();
    let mut server = server(&identity);
    let mut state = identity.builder(&identity.keys[0]).unwrap().build_initiator().unwrap();
    let hello = [&PREFACE[..], &write_message(&mut state).unwrap()].concat();
    let answer = feed(&mut server, &hello, &[]).sent;
    let mut client = read_message(state, &answer[2..]).and_then(records).unwrap();
    let mut ready = Vec::new();
    client.write(Record::Ready, &[], &mut ready).unwrap();
    (client, feed(&mut server, &ready, &[]).outcome().codec.unwrap())
}

#[test]
fn a_key_that_was_derived_before_is_not_derived_again() {
    let derive = |keys: &str, context, before| {
        Identity::derive(&Keyring::parse(keys.as_bytes()).unwrap(), context, before).unwrap()
    };
    // Deriving a short passphrase gives a warning.
    let (first, warnings) = derive("ann:wangwang\nbob:another key", b"", None);
    assert_eq!(warnings.len(), 2);
    let (second, warnings) = derive("eve:wangwang\nbob:sixteen letters!", b"", Some(&*first));
    assert!(warnings.is_empty());
    assert_eq!(second.key_names(), ["eve", "bob"]);
    assert_eq!(*second.keys[0].bytes, *first.keys[0].bytes);
    assert_ne!(*second.keys[1].bytes, *first.keys[1].bytes);
    let (third, warnings) = derive("ann:wangwang", b"elsewhere", Some(&*first));
    assert_eq!(warnings.len(), 1);
    assert_ne!(*third.keys[0].bytes, *first.keys[0].bytes);
}

#[test]
fn each_message_has_its_length_and_the_key_its_name() {
    let keys = [line("alice", 1), line("bob", 2), line("carol", 3)];
    let mut server = server(&identity(&[&keys[0], &keys[1], &keys[2]], b"here"));
    let (mut client, hello) = client(&identity(&[&keys[1]], b"here"));
    assert_eq!(server.wanted(), 58);
    let answer = feed(&mut server, &hello, &[]).sent;
    assert_eq!((answer.len(), server.wanted(), server.shows_key()), (50, 19, true));
    let ready = feed(&mut client, &answer, &[]).sent;
    assert_eq!(ready.len(), 19);
    let Outcome { key, codec, .. } = feed(&mut server, &ready, &[]).outcome();
    assert_eq!(key.as_deref(), Some("bob"));
    let mut welcome = Vec::new();
    codec.unwrap().accept(&mut welcome);
    assert!(feed(&mut client, &welcome, &[]).outcome().codec.is_some());
}

#[test]
fn every_bit_of_the_hello_counts() {
    let identity = alice();
    let (_, hello) = client(&identity);
    assert_eq!(hello.len(), 58);
    for bit in 0..58 * 8 {
        let mut changed = hello.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let run = feed(&mut server(&identity), &changed, &[1]);
        assert!(run.sent.is_empty(), "bit {bit}");
        let why = run.refusal();
        // Only a well-formed hello is answered, and only it is a guess.
        assert_eq!(why.farewell, if bit < 80 { &[][..] } else { &[0, 0] });
        assert_eq!(why.wrong_proof, bit >= 80);
    }
}

#[test]
fn every_bit_of_the_answer_counts() {
    let identity = alice();
    for bit in 0..50 * 8 {
        let (mut client, hello) = client(&identity);
        let mut answer = feed(&mut server(&identity), &hello, &[]).sent;
        answer[bit / 8] ^= 1 << (bit % 8);
        let run = feed(&mut client, &answer, &[]);
        assert!(matches!(run.result, Some(Err(_)) | None), "bit {bit}");
        assert!(run.sent.is_empty(), "bit {bit} does not count");
    }
}

#[test]
fn row_59_a_replayed_hello_proves_nothing() {
    let identity = alice();
    let (mut client, hello) = client(&identity);
    let answer = feed(&mut server(&identity), &hello, &[]).sent;
    let ready = feed(&mut client, &answer, &[]).sent;
    // The same again: the server answers, but what was READY then is not READY now.
    let mut second = server(&identity);
    let run = feed(&mut second, &hello, &[]);
    assert!(run.result.is_none() && answer != run.sent);
    let why = feed(&mut second, &ready, &[]).refusal();
    assert!(why.wrong_proof && why.farewell.is_empty());
}

#[test]
fn row_60_our_own_bytes_prove_nothing_to_us() {
    let identity = alice();
    let (mut ours, hello) = client(&identity);
    let why = feed(&mut ours, &hello, &[]).refusal();
    assert!(why.reason.contains("sends back"), "{}", why.reason);
    // The message without the preface, as a server would frame it.
    let (mut ours, hello) = client(&identity);
    feed(&mut ours, &hello[8..], &[]).refusal();

    let (mut records, _) = pair();
    let mut wire = Vec::new();
    records.encode(b"said", &mut wire).unwrap();
    assert!(records.decode(&mut wire.clone(), &mut Vec::new(), &mut Vec::new()).is_err());
}

#[test]
fn row_62_other_protocols_get_a_hint() {
    let identity = alice();
    for (first, hint) in [
        (&b"GET / HTTP/1.1\r\n"[..], "not an auth-connect client"),
        (b"\x16\x03\x01\x02\x00", "not an auth-connect client"),
        (b"SKCTL\0\x02\x01", "another version"),
        (b"SKCTL\0\x01\x02", "another version"),
        (b"SKCTL\0\x01\x01\0\x31", "another length"),
    ] {
        let why = feed(&mut server(&identity), first, &[1]).refusal();
        assert!(why.reason.contains(hint), "{}", why.reason);
        assert!(!why.wrong_proof && why.farewell.is_empty());
    }
    for (first, hint) in [
        (&b"\0\0\0\x3b#CHALLENGE#{sha256}"[..], "use --python"),
        (b"SSH-2.0-OpenSSH", "use auth-serve --digest"),
        (b"\0\x31", "use auth-serve --digest"),
        (b"\0\0\0\0\0", "use auth-serve --digest"),
    ] {
        let why = feed(&mut client(&identity).0, first, &[]).refusal();
        assert!(why.reason.contains(hint), "{}", why.reason);
    }
}

#[test]
fn an_end_tells_how_far_it_was() {
    let identity = alice();
    let (mut ours, _) = client(&identity);
    assert_eq!(ours.stopped(Stop::Closed).exit, Exit::Broken);
    assert_eq!(ours.stopped(Stop::TimedOut).exit, Exit::TimedOut);
    feed(&mut ours, &[0, 0], &[]);
    for why in [Stop::Closed, Stop::TimedOut].map(|stop| ours.stopped(stop)) {
        assert_eq!(why.exit, Exit::NotAuthenticated);
        assert!(why.reason.contains("wrong key, or another --context"));
    }
    let (mut ours, _) = client(&identity);
    feed(&mut ours, &[0, 48, 7], &[]);
    assert!(ours.stopped(Stop::Closed).reason.contains("after 3 bytes of its answer"));
    let mut theirs = server(&identity);
    feed(&mut theirs, b"SKC", &[]);
    assert!(theirs.stopped(Stop::Closed).reason.contains("after 3 bytes of its hello"));
    assert!(theirs.stopped(Stop::TimedOut).reason.contains("after 3 bytes of the hello"));
}

#[test]
fn row_61_what_is_no_record_is_refused() {
    for bad in [
        &[0, 0][..],
        &[0, 16],
        &[0x40, 0x12],
        &[0xff, 0xff],
        &[0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let (mut records, _) = pair();
        let mut payload = Vec::new();
        assert!(
            records.decode(&mut bad.to_vec(), &mut payload, &mut Vec::new()).is_err(),
            "{bad:?}"
        );
        assert!(payload.is_empty());
    }
    for kind in [Record::Ready, Record::Welcome, Record::Refused] {
        let (mut client, mut server) = pair();
        let mut wire = Vec::new();
        client.write(kind, &[], &mut wire).unwrap();
        let error = server.decode(&mut wire.clone(), &mut Vec::new(), &mut Vec::new()).unwrap_err();
        assert!(error.cause.contains("out of place"), "{error}");
    }
    let (mut client, mut server) = pair();
    let mut wire = Vec::new();
    client.write(Record::Eof, b"x", &mut wire).unwrap();
    assert!(server.decode(&mut wire.clone(), &mut Vec::new(), &mut Vec::new()).is_err());
}

#[test]
fn row_61_nothing_comes_after_the_end() {
    for split in [false, true] {
        let (mut client, mut server) = pair();
        let (mut wire, mut payload) = (Vec::new(), Vec::new());
        client.encode(b"all", &mut wire).unwrap();
        client.encode_eof(&mut wire);
        client.encode_eof(&mut wire); // told once
        let end = wire.len();
        client.write(Record::Data, b"more", &mut wire).unwrap();
        if split {
            server.decode(&mut wire[..end].to_vec(), &mut payload, &mut Vec::new()).unwrap();
            assert!(server.peer_ended());
            assert!(server.at_wire_eof().is_ok());
            assert!(
                server
                    .decode(&mut wire[end..=end].to_vec(), &mut payload, &mut Vec::new())
                    .is_err()
            );
        } else {
            assert!(server.decode(&mut wire.clone(), &mut payload, &mut Vec::new()).is_err());
        }
        assert_eq!(payload, b"all");
    }
}

#[test]
fn row_61_an_end_without_its_record_is_a_truncation() {
    let (mut client, mut server) = pair();
    let (mut wire, mut payload) = (Vec::new(), Vec::new());
    client.encode(b"hello", &mut wire).unwrap();
    server.decode(&mut wire.clone(), &mut payload, &mut Vec::new()).unwrap();
    let error = server.at_wire_eof().unwrap_err();
    assert!(error.cause.contains("truncated after 5 bytes"), "{error}");
}

#[test]
fn every_bit_of_a_record_counts() {
    let (mut client, _) = pair();
    let mut wire = Vec::new();
    client.encode(b"payload", &mut wire).unwrap();
    for bit in 0..wire.len() * 8 {
        let (mut client, mut server) = pair();
        let (mut wire, mut payload) = (Vec::new(), Vec::new());
        client.encode(b"payload", &mut wire).unwrap();
        wire[bit / 8] ^= 1 << (bit % 8);
        // A longer length waits for more, which then does not open.
        wire.resize(wire.len() + DATA_MAX + 19, 0);
        assert!(
            server.decode(&mut wire.clone(), &mut payload, &mut Vec::new()).is_err(),
            "bit {bit}"
        );
        assert!(payload.is_empty(), "bit {bit}");
    }
}

#[test]
fn dropped_repeated_and_swapped_records_are_refused() {
    for order in [&[1][..], &[0, 0], &[1, 0], &[0, 2]] {
        let (mut client, mut server) = pair();
        let records: Vec<Vec<u8>> = [&b"one"[..], b"two", b"three"]
            .iter()
            .map(|text| {
                let mut wire = Vec::new();
                client.encode(text, &mut wire).unwrap();
                wire
            })
            .collect();
        let wire: Vec<u8> = order.iter().flat_map(|index| records[*index].clone()).collect();
        let mut payload = Vec::new();
        assert!(
            server.decode(&mut wire.clone(), &mut payload, &mut Vec::new()).is_err(),
            "{order:?}"
        );
        assert_eq!(payload, if order[0] == 0 { &b"one"[..] } else { b"" });
    }
}

#[test]
fn both_directions_rekey() {
    let (mut client, mut server) = pair();
    let (mut wire, mut payload) = (Vec::new(), Vec::new());
    // READY was the first one.
    for number in 0..(1u32 << 20) + 2 {
        wire.clear();
        client.encode(&[1], &mut wire).unwrap();
        server.decode(&mut wire.clone(), &mut payload, &mut Vec::new()).unwrap();
        assert_eq!(payload, [1], "record {number}");
        payload.clear();
    }
    // Not by chance: a server that has missed one record is out of step.
    client.encode(&[1], &mut Vec::new()).unwrap();
    wire.clear();
    client.encode(&[1], &mut wire).unwrap();
    assert!(server.decode(&mut wire.clone(), &mut payload, &mut Vec::new()).is_err());
}

/// A key pair of ours.
fn fresh() -> Box<dyn Dh> {
    let mut key = Primitives.resolve_dh(&DHChoice::Curve25519).unwrap();
    key.generate(&mut *Primitives.resolve_rng().unwrap()).unwrap();
    key
}

#[test]
fn two_sides_agree_once() {
    let (ours, theirs) = (fresh(), fresh());
    let (mut here, mut there) = ([0; 32], [0; 32]);
    ours.dh(theirs.pubkey(), &mut here).unwrap();
    theirs.dh(ours.pubkey(), &mut there).unwrap();
    assert_eq!(here, there);
    assert_ne!(here, [0; 32]);
    assert!(ours.dh(theirs.pubkey(), &mut here).is_err());
}

/// The points of low order, and what is congruent to some of them (cr.yp.to/ecdh.html).
#[test]
fn keys_of_low_order_agree_on_nothing() {
    let points = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for point in points {
        let public = hex::decode(point).unwrap();
        let agreed = fresh().dh(&public, &mut [0; 32]);
        assert!(matches!(agreed, Err(snow::Error::Dh)), "{point}");
    }
}

/// One who holds the key, but makes a hello from which no secret can come.
#[test]
fn a_key_of_low_order_makes_no_session() {
    struct LowOrder;
    impl Dh for LowOrder {
        fn name(&self) -> &'static str {
            "25519"
        }
        fn pub_len(&self) -> usize {
            32
        }
        fn priv_len(&self) -> usize {
            32
        }
        fn set(&mut self, _: &[u8]) {}
        fn generate(&mut self, _: &mut dyn Random) -> Result<(), snow::Error> {
            Ok(())
        }
        fn pubkey(&self) -> &[u8] {
            &[0; 32]
        }
        fn privkey(&self) -> &[u8] {
            &[]
        }
        fn dh(&self, _: &[u8], _: &mut [u8]) -> Result<(), snow::Error> {
            Ok(())
        }
    }
    struct Weak;
    impl CryptoResolver for Weak {
        fn resolve_rng(&self) -> Option<Box<dyn Random>> {
            Primitives.resolve_rng()
        }
        fn resolve_dh(&self, _: &DHChoice) -> Option<Box<dyn Dh>> {
            Some(Box::new(LowOrder))
        }
        fn resolve_hash(&self, c: &HashChoice) -> Option<Box<dyn Hash>> {
            Primitives.resolve_hash(c)
        }
        fn resolve_cipher(&self, c: &CipherChoice) -> Option<Box<dyn Cipher>> {
            Primitives.resolve_cipher(c)
        }
    }
    let identity = alice();
    let mut state = Builder::with_resolver(PROTOCOL.parse().unwrap(), Box::new(Weak))
        .prologue(&PREFACE)
        .unwrap()
        .psk(0, &identity.keys[0].bytes)
        .unwrap()
        .build_initiator()
        .unwrap();
    let hello = [&PREFACE[..], &write_message(&mut state).unwrap()].concat();
    let run = feed(&mut server(&identity), &hello, &[]);
    assert!(run.sent.is_empty());
    let why = run.refusal();
    assert_eq!(why.reason, "its hello makes no secret: a key of low order");
    assert!(!why.wrong_proof);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_of_the_wire_gives_the_same_payload(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40_000), 0..4),
        cuts in prop::collection::vec(1usize..20_000, 1..20),
    ) {
        let (mut client, mut server) = pair();
        let (mut wire, mut payload) = (Vec::new(), Vec::new());
        for piece in &pieces {
            client.encode(piece, &mut wire).unwrap();
        }
        client.encode_eof(&mut wire);
        let (mut rest, mut cuts) = (&wire[..], cuts.into_iter().cycle());
        while !rest.is_empty() {
            prop_assert!(!server.peer_ended());
            let (some, more) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            server.decode(&mut some.to_vec(), &mut payload, &mut Vec::new()).unwrap();
            rest = more;
        }
        prop_assert!(server.peer_ended());
        prop_assert_eq!(payload, pieces.concat());
    }

    #[test]
    fn anything_at_all_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (mut records, _) = pair();
        let _ = records.decode(&mut bytes.clone(), &mut Vec::new(), &mut Vec::new());
    }
}
