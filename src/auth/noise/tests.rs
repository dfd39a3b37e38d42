//! The handshake and the records, at every split and under every change.

use std::rc::Rc;

use proptest::prelude::*;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};

use super::record::{DATA_MAX, Kind};
use super::*;
use crate::auth::handshake::{Guest, Host, Proved, Refusal, Session, Verdict};
use crate::auth::key::{Key, Keyring};
use crate::layer::{Away, Layer};

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
    Identity::new(derive(&keyring, context).unwrap().0, context).unwrap()
}

fn alice() -> Rc<Identity> {
    identity(&[&line("alice", 1)], b"")
}

/// Both sides of a handshake that is fed whole; what each came to.
fn shake(client: &mut Client, server: &mut Server) -> (Records, Box<dyn Layer>) {
    let mut reply = Vec::new();
    assert!(matches!(server.feed(client.greeting(), &mut reply), Verdict::More));
    let mut ready = Vec::new();
    let verdict = feed_guest(client, &reply, &mut ready);
    assert!(verdict.is_none());
    let proved = match server.feed(&ready, &mut Vec::new()) {
        Verdict::Proved(Proved { session, .. }) => session.unwrap(),
        _ => panic!("not proved"),
    };
    let Stage::Verdict(records) = std::mem::replace(&mut client.stage, Stage::Over) else {
        panic!("the client waits for something else");
    };
    (*records, proved)
}

use super::client::Stage;

/// Feeds as many bytes at a time as are wanted; the verdict, if one was reached.
fn feed_guest(
    guest: &mut Client,
    mut bytes: &[u8],
    reply: &mut Vec<u8>,
) -> Option<Result<Session, Refusal>> {
    while !bytes.is_empty() {
        let count = guest.wanted().min(bytes.len());
        assert!(count > 0, "bytes are left over");
        match guest.feed(&bytes[..count], reply) {
            Verdict::More => {}
            Verdict::Proved(session) => return Some(Ok(session)),
            Verdict::Refused(why) => return Some(Err(why)),
        }
        bytes = &bytes[count..];
    }
    None
}

fn pair() -> (Records, Box<dyn Layer>) {
    let identity = alice();
    shake(&mut Client::new(&identity).unwrap(), &mut Server::new(identity))
}

fn feed_host(host: &mut Server, bytes: &[u8], reply: &mut Vec<u8>) -> Verdict<Proved> {
    let mut last = Verdict::More;
    for byte in bytes {
        last = host.feed(&[*byte], reply);
        if !matches!(last, Verdict::More) {
            break;
        }
    }
    last
}

#[test]
fn byte_by_byte_is_as_good_as_whole_and_nothing_beyond_is_wanted() {
    let keys = [line("alice", 1), line("bob", 2), line("carol", 3)];
    let ring = identity(&[&keys[0], &keys[1], &keys[2]], b"here");
    let mut server = Server::new(ring);
    let mut client = Client::new(&identity(&[&keys[1]], b"here")).unwrap();
    let mut reply = Vec::new();
    assert_eq!(server.wanted(), 58);
    assert!(matches!(feed_host(&mut server, client.greeting(), &mut reply), Verdict::More));
    assert_eq!((reply.len(), server.wanted()), (50, 19));
    let mut ready = Vec::new();
    for byte in &reply {
        assert!(client.wanted() > 0);
        assert!(matches!(client.feed(&[*byte], &mut ready), Verdict::More));
    }
    assert_eq!(ready.len(), 19);
    let Verdict::Proved(Proved { key, session }) = feed_host(&mut server, &ready, &mut Vec::new())
    else {
        panic!("not proved");
    };
    assert_eq!((key.as_deref(), server.wanted()), (Some("bob"), 0));
    let mut welcome = Vec::new();
    session.unwrap().welcome(&mut welcome);
    let session = feed_guest(&mut client, &welcome, &mut Vec::new());
    assert!(matches!(session, Some(Ok(Some(_)))));
    assert_eq!(client.wanted(), 0);
}

#[test]
fn every_bit_of_the_hello_counts() {
    let identity = alice();
    let hello = Client::new(&identity).unwrap().greeting().to_vec();
    assert_eq!(hello.len(), 58);
    for bit in 0..58 * 8 {
        let mut changed = hello.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let (mut server, mut reply) = (Server::new(Rc::clone(&identity)), Vec::new());
        let Verdict::Refused(why) = feed_host(&mut server, &changed, &mut reply) else {
            panic!("bit {bit} does not count");
        };
        assert!(reply.is_empty());
        // Only a well-formed hello is answered, and only it is a guess.
        assert_eq!(why.farewell, if bit < 80 { &[][..] } else { &[0, 0] });
        assert_eq!(why.wrong_proof, bit >= 80);
    }
}

#[test]
fn every_bit_of_the_answer_counts() {
    let identity = alice();
    for bit in 0..50 * 8 {
        let mut client = Client::new(&identity).unwrap();
        let (mut server, mut answer) = (Server::new(Rc::clone(&identity)), Vec::new());
        feed_host(&mut server, client.greeting(), &mut answer);
        answer[bit / 8] ^= 1 << (bit % 8);
        let mut reply = Vec::new();
        let verdict = feed_guest(&mut client, &answer, &mut reply);
        assert!(matches!(verdict, Some(Err(_)) | None), "bit {bit}");
        assert!(reply.is_empty(), "bit {bit} does not count");
    }
}

#[test]
fn row_59_a_replayed_hello_proves_nothing() {
    let identity = alice();
    let mut client = Client::new(&identity).unwrap();
    let (mut first, mut answer) = (Server::new(Rc::clone(&identity)), Vec::new());
    feed_host(&mut first, client.greeting(), &mut answer);
    let mut ready = Vec::new();
    feed_guest(&mut client, &answer, &mut ready);
    // The same again: the server answers, but what was READY then is not READY now.
    let (mut second, mut other) = (Server::new(identity), Vec::new());
    assert!(matches!(feed_host(&mut second, client.greeting(), &mut other), Verdict::More));
    assert_ne!(answer, other);
    let Verdict::Refused(why) = feed_host(&mut second, &ready, &mut Vec::new()) else {
        panic!("a replay was let in");
    };
    assert!(why.wrong_proof && why.farewell.is_empty());
}

#[test]
fn row_60_our_own_bytes_prove_nothing_to_us() {
    let identity = alice();
    let mut client = Client::new(&identity).unwrap();
    let hello = client.greeting().to_vec();
    let verdict = feed_guest(&mut client, &hello, &mut Vec::new());
    let Some(Err(why)) = verdict else {
        panic!("a reflection was let in");
    };
    assert!(why.reason.contains("sends back"), "{}", why.reason);
    // The message without the preface, as a server would frame it.
    let mut client = Client::new(&identity).unwrap();
    let message = client.greeting()[8..].to_vec();
    let verdict = feed_guest(&mut client, &message, &mut Vec::new());
    assert!(matches!(verdict, Some(Err(_))));

    let (mut records, _) = pair();
    let mut wire = Vec::new();
    records.seal(b"said", &mut wire).unwrap();
    assert!(records.open(&wire, &mut Vec::new()).is_err());
}

#[test]
fn row_62_other_protocols_get_a_hint() {
    let identity = alice();
    for (first, hint) in [
        (&b"GET / HTTP/1.1\r\n"[..], "use auth-connect"),
        (b"\x16\x03\x01\x02\x00", "use auth-connect"),
        (b"SKCTL\0\x02\x01", "another version"),
        (b"SKCTL\0\x01\x02", "another version"),
        (b"SKCTL\0\x01\x01\0\x31", "another length"),
    ] {
        let mut server = Server::new(Rc::clone(&identity));
        let Verdict::Refused(why) = feed_host(&mut server, first, &mut Vec::new()) else {
            panic!("{first:?}");
        };
        assert!(why.reason.contains(hint), "{}", why.reason);
        assert!(!why.wrong_proof && why.farewell.is_empty());
    }
    let python = [&[0, 0, 0, 59][..], b"#CHALLENGE#{sha256}"].concat();
    for (first, hint) in [
        (&python[..15], "use --python"),
        (b"SSH-2.0-OpenSSH", "use auth-serve --digest"),
        (b"\0\x31", "use auth-serve --digest"),
        (b"\0\0\0\0\0", "use auth-serve --digest"),
    ] {
        let mut client = Client::new(&identity).unwrap();
        let Some(Err(why)) =
            feed_guest(&mut client, &first[..first.len().min(15)], &mut Vec::new())
        else {
            panic!("{first:?}");
        };
        assert!(why.reason.contains(hint), "{}", why.reason);
    }
}

#[test]
fn an_end_tells_how_far_it_was() {
    let identity = alice();
    let mut client = Client::new(&identity).unwrap();
    assert_eq!(client.ended().exit, Exit::Broken);
    assert_eq!(client.timed_out().exit, Exit::TimedOut);
    feed_guest(&mut client, &[0, 0], &mut Vec::new());
    for why in [client.ended(), client.timed_out()] {
        assert_eq!(why.exit, Exit::NotAuthenticated);
        assert!(why.reason.contains("wrong key or --context"));
    }
    let mut client = Client::new(&identity).unwrap();
    feed_guest(&mut client, &[0, 48, 7], &mut Vec::new());
    assert!(client.ended().reason.contains("after 3 of 50 bytes"));
    let mut server = Server::new(Rc::clone(&identity));
    feed_host(&mut server, b"SKC", &mut Vec::new());
    assert!(server.ended().reason.contains("after 3 of 58 bytes"));
    assert!(server.timed_out().reason.contains("after 3 of 58 bytes"));
}

#[test]
fn another_key_or_context_opens_nothing() {
    for (key, context) in [(2, &b""[..]), (1, b"x")] {
        let theirs = identity(&[&line("alice", key)], context);
        let client = Client::new(&theirs).unwrap();
        let mut server = Server::new(alice());
        let verdict = feed_host(&mut server, client.greeting(), &mut Vec::new());
        let Verdict::Refused(why) = verdict else {
            panic!("it was let in");
        };
        assert_eq!((why.farewell, why.wrong_proof), (&[0, 0][..], true));
    }
}

#[test]
fn who_is_turned_away_is_told_why() {
    for (why, exit) in [
        (Away::Auth, Exit::NotAuthenticated),
        (Away::Full, Exit::Refused),
        (Away::Access, Exit::Refused),
        (Away::Shutdown, Exit::Refused),
    ] {
        let identity = alice();
        let mut client = Client::new(&identity).unwrap();
        let (mut server, mut answer, mut ready) = (Server::new(identity), Vec::new(), Vec::new());
        feed_host(&mut server, client.greeting(), &mut answer);
        feed_guest(&mut client, &answer, &mut ready);
        let Verdict::Proved(proved) = feed_host(&mut server, &ready, &mut Vec::new()) else {
            panic!("not proved");
        };
        let mut wire = Vec::new();
        proved.session.unwrap().turn_away(why, &mut wire);
        let Some(Err(refusal)) = feed_guest(&mut client, &wire, &mut Vec::new()) else {
            panic!("it was let in");
        };
        assert_eq!(refusal.exit, exit, "{}", refusal.reason);
    }
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
        assert!(records.open(bad, &mut payload).is_err(), "{bad:?}");
        assert!(payload.is_empty());
    }
    for kind in [Kind::Ready, Kind::Welcome, Kind::Refused] {
        let (mut client, mut server) = pair();
        let mut wire = Vec::new();
        client.write(kind, &[], &mut wire).unwrap();
        let flaw = server.open(&wire, &mut Vec::new()).unwrap_err();
        assert!(flaw.0.contains("out of place"), "{flaw}");
    }
    let (mut client, mut server) = pair();
    let mut wire = Vec::new();
    client.write(Kind::Eof, b"x", &mut wire).unwrap();
    assert!(server.open(&wire, &mut Vec::new()).is_err());
}

#[test]
fn row_61_nothing_comes_after_the_end() {
    for split in [false, true] {
        let (mut client, mut server) = pair();
        let (mut wire, mut payload) = (Vec::new(), Vec::new());
        client.seal(b"all", &mut wire).unwrap();
        client.seal_end(&mut wire).unwrap();
        client.seal_end(&mut wire).unwrap(); // told once
        let end = wire.len();
        client.write(Kind::Data, b"more", &mut wire).unwrap();
        if split {
            server.open(&wire[..end], &mut payload).unwrap();
            assert!(server.has_ended());
            assert!(server.wire_ended().is_ok());
            assert!(server.open(&wire[end..=end], &mut payload).is_err());
        } else {
            assert!(server.open(&wire, &mut payload).is_err());
        }
        assert_eq!(payload, b"all");
    }
}

#[test]
fn row_61_an_end_without_its_record_is_a_truncation() {
    let (mut client, mut server) = pair();
    let (mut wire, mut payload) = (Vec::new(), Vec::new());
    client.seal(b"hello", &mut wire).unwrap();
    server.open(&wire, &mut payload).unwrap();
    let flaw = server.wire_ended().unwrap_err();
    assert!(flaw.0.contains("truncated after 5 bytes"), "{flaw}");
}

#[test]
fn every_bit_of_a_record_counts() {
    let (mut client, _) = pair();
    let mut wire = Vec::new();
    client.seal(b"payload", &mut wire).unwrap();
    for bit in 0..wire.len() * 8 {
        let (mut client, mut server) = pair();
        let (mut wire, mut payload) = (Vec::new(), Vec::new());
        client.seal(b"payload", &mut wire).unwrap();
        wire[bit / 8] ^= 1 << (bit % 8);
        // A longer length waits for more, which then does not open.
        wire.resize(wire.len() + DATA_MAX + 19, 0);
        assert!(server.open(&wire, &mut payload).is_err(), "bit {bit}");
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
                client.seal(text, &mut wire).unwrap();
                wire
            })
            .collect();
        let wire: Vec<u8> = order.iter().flat_map(|index| records[*index].clone()).collect();
        let mut payload = Vec::new();
        assert!(server.open(&wire, &mut payload).is_err(), "{order:?}");
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
        client.seal(&[1], &mut wire).unwrap();
        server.open(&wire, &mut payload).unwrap();
        assert_eq!(payload, [1], "record {number}");
        payload.clear();
    }
    // Not by chance: a server that has missed one record is out of step.
    client.seal(&[1], &mut Vec::new()).unwrap();
    wire.clear();
    client.seal(&[1], &mut wire).unwrap();
    assert!(server.open(&wire, &mut payload).is_err());
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
        .psk(0, &identity.keys.first().bytes)
        .unwrap()
        .build_initiator()
        .unwrap();
    let hello = [&PREFACE[..], &framed(&mut state).unwrap()].concat();
    let mut reply = Vec::new();
    match Server::new(identity).feed(&hello, &mut reply) {
        Verdict::Refused(why) => {
            assert_eq!(why.reason, "its hello makes no secret: a key of low order");
            assert!(!why.wrong_proof);
        }
        _ => panic!("a session that others can read"),
    }
    assert!(reply.is_empty());
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
            client.seal(piece, &mut wire).unwrap();
        }
        client.seal_end(&mut wire).unwrap();
        let (mut rest, mut cuts) = (&wire[..], cuts.into_iter().cycle());
        while !rest.is_empty() {
            prop_assert!(!server.has_ended());
            let (some, more) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            server.open(some, &mut payload).unwrap();
            rest = more;
        }
        prop_assert!(server.has_ended());
        prop_assert_eq!(payload, pieces.concat());
    }

    #[test]
    fn anything_at_all_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let identity = alice();
        let mut server = Server::new(Rc::clone(&identity));
        feed_host(&mut server, &bytes, &mut Vec::new());
        let mut client = Client::new(&identity).unwrap();
        for byte in &bytes {
            if client.wanted() == 0 || !matches!(client.feed(&[*byte], &mut Vec::new()), Verdict::More) {
                break;
            }
        }
        let (mut records, _) = pair();
        let _ = records.open(&bytes, &mut Vec::new());
    }
}
