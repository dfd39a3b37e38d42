//! Both sides against vectors of Python, and every way an answer or a challenge can be wrong.

use proptest::prelude::*;

use super::*;
use crate::auth::key::Key;
use crate::net::handshake::Driver;
use crate::net::handshake::tests::{begun, feed};

const CHALLENGE: [u8; 32] = *b"\x00\x01\xfe\xff0123456789abcdef0123456789ab";

/// Python's `hmac.new(b'wangwang', CHALLENGE, digest).hexdigest()`.
const PYTHONS: [&str; 3] = [
    "022c670ee184ec921993651bd0167af2",
    "b5d3d62088a610c6b2040e3dcc7f7c25c692a672fd0ef516183296b590813162",
    "3da70349dcfd75fdd33644a1e12e4cd69f2788c0d9f8fa1d239218e5a0a5a6e86b1f9f248012830a13f6678b664a25993420a5373997037b8c0a0640a4169e28",
];

fn one(key: &[u8]) -> Rc<Keyring> {
    Rc::new(Key::parse(key).unwrap().into())
}

fn server(digest: Digest) -> Driver {
    begun(Server::new(digest, one(b"wangwang"), CHALLENGE))
}

fn client(digest: Digest, key: &[u8]) -> Driver {
    let (driver, greeting) = Driver::start(Box::new(Client::new(digest, one(key))));
    assert!(greeting.is_empty());
    driver
}

/// The answer that the holder of `key` gives.
fn answer(digest: Digest, key: &[u8]) -> Vec<u8> {
    let run = feed(&mut client(digest, key), &CHALLENGE, &[]);
    assert_eq!((run.read, run.result.unwrap().unwrap().key), (32, None));
    run.sent
}

fn refusal(digest: Digest, bytes: &[u8]) -> Refusal {
    let run = feed(&mut server(digest), bytes, &[]);
    assert!(run.sent.is_empty());
    let refusal = run.refusal();
    assert_eq!((refusal.exit, refusal.farewell), (Exit::NotAuthenticated, &b""[..]));
    refusal
}

#[test]
fn both_sides_compute_what_python_does() {
    for (digest, expected) in Digest::ALL.into_iter().zip(PYTHONS) {
        assert_eq!(answer(digest, b"wangwang"), expected.as_bytes());
        let server = Server::new(digest, one(b"wangwang"), CHALLENGE);
        let (mut server, greeting) = Driver::start(Box::new(server));
        assert_eq!(greeting, CHALLENGE);
        assert_eq!(server.wanted(), expected.len());
        assert_eq!(feed(&mut server, expected.as_bytes(), &[]).outcome().key, None);
    }
}

#[test]
fn any_key_of_the_ring_is_accepted_and_named() {
    let lines: Vec<String> = (0..64).map(|i| format!("n{i}:key {i}")).collect();
    let ring = Rc::new(Keyring::parse(lines.join("\n").as_bytes()).unwrap());
    let run = |key: &str| {
        let mut server = begun(Server::new(Digest::Sha256, Rc::clone(&ring), CHALLENGE));
        feed(&mut server, &answer(Digest::Sha256, key.as_bytes()), &[])
    };
    for i in 0..64 {
        assert_eq!(run(&format!("key {i}")).outcome().key, Some(format!("n{i}")));
    }
    assert!(run("key 64").refusal().wrong_proof);
}

#[test]
fn row_56_capitals_and_junk_stop_at_once_and_are_no_wrong_proof() {
    let capitals = answer(Digest::Md5, b"wangwang").to_ascii_uppercase();
    let junk = vec![b'z'; 10 << 20];
    for (bytes, line) in [
        (&capitals[..], "byte 4 of the answer is a capital; hex digits must be lowercase"),
        (b"0123456789abcdefg", "byte 17 of the answer is not a hex digit"),
        (&junk, "the client does not answer the challenge; does it use auth-connect --digest?"),
        (b"0\n", "byte 2 of the answer is not a hex digit"),
    ] {
        let refusal = refusal(Digest::Md5, bytes);
        assert_eq!((refusal.reason.as_str(), refusal.wrong_proof), (line, false));
    }
    assert_eq!(feed(&mut server(Digest::Md5), &junk, &[]).read, 32);
}

#[test]
fn row_56_a_short_answer_is_no_wrong_proof() {
    for (got, closed, timed_out) in [
        (0, "the client closed without its answer", "no answer in time"),
        (
            31,
            "the client closed after 31 bytes of its answer",
            "timed out after 31 bytes of the answer",
        ),
        (
            32,
            "the client closed after 32 bytes of its answer; does the client use --digest md5?",
            "timed out after 32 bytes of the answer; does the client use --digest md5?",
        ),
    ] {
        let mut server = server(Digest::Sha256);
        assert!(feed(&mut server, &vec![b'0'; got], &[]).result.is_none());
        assert_eq!(server.wanted(), 64 - got);
        assert_eq!(server.stopped(Stop::Closed), Refusal::new(closed, Exit::Broken));
        assert_eq!(server.stopped(Stop::TimedOut), Refusal::new(timed_out, Exit::TimedOut));
    }
}

#[test]
fn row_62_other_modes_are_recognised() {
    let hello = b"SKCTL\0\x01\x01\x00\x30 and forty-eight bytes of noise";
    let frame = b"\0\0\0\x09\x80\x04\x95\x05\0\0\0";
    for digest in Digest::ALL {
        assert_eq!(
            refusal(digest, hello).reason,
            "the client uses the encrypted protocol; drop --digest here or add it there"
        );
        assert!(refusal(digest, frame).reason.contains("use --python"));
        assert!(refusal(digest, b"S").reason.contains("does not answer the challenge"));
    }
    let mut client = client(Digest::Md5, b"wangwang");
    let listener = b"\0\0\0\x1f#CHALLENGE#0123456789abcdefghij";
    let refusal = feed(&mut client, &listener[..32], &[]).refusal();
    assert!(refusal.reason.contains("use --python"));
}

#[test]
fn row_62_another_digest_is_refused_with_a_hint() {
    // A longer digest's answer is cut off where ours would end.
    let refusal = refusal(Digest::Md5, &answer(Digest::Sha256, b"wangwang"));
    assert_eq!(refusal.reason, "wrong key, or a longer digest than md5 on the client");
    let mut server = server(Digest::Sha512);
    feed(&mut server, &answer(Digest::Sha256, b"wangwang"), &[]);
    assert!(
        server.stopped(Stop::TimedOut).reason.ends_with("does the client use --digest sha256?")
    );
}

#[test]
fn row_60_a_reflected_challenge_is_refused() {
    for digest in Digest::ALL {
        assert!(!refusal(digest, &CHALLENGE).wrong_proof);
        let mut hex = hex::encode(CHALLENGE).into_bytes();
        hex.resize(digest.hex_len(), b'0');
        assert!(refusal(digest, &hex).wrong_proof);
    }
}

fn digests() -> impl Strategy<Value = Digest> {
    prop::sample::select(&Digest::ALL[..])
}

proptest! {
    #[test]
    fn any_other_character_anywhere_is_refused(digest in digests(), at in 0..128_usize, to in any::<u8>()) {
        let mut bytes = answer(digest, b"wangwang");
        let at = at % bytes.len();
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        prop_assert_eq!(refusal(digest, &bytes).wrong_proof, is_digit(to));
    }

    #[test]
    fn any_bytes_end_in_one_line(digest in digests(), bytes in prop::collection::vec(any::<u8>(), 128)) {
        let line = refusal(digest, &bytes).reason;
        prop_assert!(!line.contains('\n') && line.len() < 100);
    }
}

#[test]
fn every_flipped_bit_of_an_answer_is_refused() {
    for digest in Digest::ALL {
        let answer = answer(digest, b"wangwang");
        for bit in 0..answer.len() * 8 {
            let mut flipped = answer.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            refusal(digest, &flipped);
        }
    }
}
