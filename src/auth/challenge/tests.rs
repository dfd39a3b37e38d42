#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;
use crate::auth::key::Key;

const CHALLENGE: [u8; 32] = *b"\x00\x01\xfe\xff0123456789abcdef0123456789ab";

/// What Python's `hmac.new(b'wangwang', CHALLENGE, digest).hexdigest()` gives.
const PYTHONS: [&str; 3] = [
    "022c670ee184ec921993651bd0167af2",
    "b5d3d62088a610c6b2040e3dcc7f7c25c692a672fd0ef516183296b590813162",
    "3da70349dcfd75fdd33644a1e12e4cd69f2788c0d9f8fa1d239218e5a0a5a6e86b1f9f248012830a13f6678b664a25993420a5373997037b8c0a0640a4169e28",
];

fn one(key: &[u8]) -> Rc<Keyring> {
    Rc::new(Key::parse(key).unwrap().into())
}

fn server(digest: Digest) -> Server {
    Server::new(digest, one(b"wangwang"), CHALLENGE)
}

/// The answer that the holder of `key` gives.
fn answer(digest: Digest, key: &[u8]) -> Vec<u8> {
    match Client::new(digest, one(key)).feed(&CHALLENGE) {
        Step::Answer(answer) => answer.into_bytes(),
        step => panic!("{step:?}"),
    }
}

/// Feeds as a driver reads: what there is, but never more than is wanted. Gives the first
/// verdict, and how many bytes were read for it.
fn drive(server: &mut Server, pieces: &[&[u8]]) -> (Progress, usize) {
    let mut read = 0;
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(server.wanted()));
            rest = later;
            read += now.len();
            match server.feed(now) {
                Progress::More => {}
                verdict => return (verdict, read),
            }
        }
    }
    (Progress::More, read)
}

fn refusal(digest: Digest, bytes: &[u8]) -> Reason {
    match drive(&mut server(digest), &[bytes]).0 {
        Progress::Refused(reason) => reason,
        progress => panic!("{progress:?}"),
    }
}

#[test]
fn a_client_answers_as_python_does() {
    for (digest, expected) in Digest::ALL.into_iter().zip(PYTHONS) {
        let mut client = Client::new(digest, one(b"wangwang"));
        assert_eq!(client.wanted(), 32);
        assert_eq!(client.feed(&CHALLENGE), Step::Answer(expected.into()));
        assert_eq!(client.wanted(), 0);
    }
}

#[test]
fn a_server_lets_in_who_answers_as_python_does() {
    for (digest, answer) in Digest::ALL.into_iter().zip(PYTHONS) {
        let mut server = server(digest);
        assert_eq!(server.challenge(), &CHALLENGE);
        assert_eq!(server.wanted(), answer.len());
        assert_eq!(server.feed(answer.as_bytes()), Progress::Proved(None));
        assert_eq!(server.wanted(), 0);
    }
}

#[test]
fn any_key_of_the_ring_opens_and_is_named() {
    let lines: Vec<String> = (0..64).map(|i| format!("n{i}:key {i}")).collect();
    let ring = Rc::new(Keyring::parse(lines.join("\n").as_bytes()).unwrap());
    for i in 0..64 {
        let mut server = Server::new(Digest::Sha256, ring.clone(), CHALLENGE);
        let answer = answer(Digest::Sha256, format!("key {i}").as_bytes());
        assert_eq!(server.feed(&answer), Progress::Proved(Some(format!("n{i}"))));
    }
    let mut server = Server::new(Digest::Sha256, ring, CHALLENGE);
    let verdict = server.feed(&answer(Digest::Sha256, b"key 64"));
    assert_eq!(verdict, Progress::Refused(Reason::WrongKey(Digest::Sha256)));
}

#[test]
fn row_53_a_wrong_key_is_a_wrong_proof() {
    for digest in Digest::ALL {
        let reason = refusal(digest, &answer(digest, b"wangwan"));
        assert_eq!(reason, Reason::WrongKey(digest));
        assert!(reason.is_wrong_proof());
        assert!(reason.to_string().starts_with("wrong key"));
    }
}

#[test]
fn row_56_capitals_and_junk_stop_at_once_and_are_no_wrong_proof() {
    let digest = Digest::Md5;
    let capitals = answer(digest, b"wangwang").to_ascii_uppercase();
    let junk = vec![b'z'; 10 << 20];
    for (bytes, reason, line) in [
        (
            &capitals[..],
            Reason::Capital(4),
            "byte 4 of the answer is a capital; hex digits must be lowercase",
        ),
        (b"0123456789abcdefg", Reason::Malformed(17), "byte 17 of the answer is no hex digit"),
        (
            &junk,
            Reason::Malformed(1),
            "the client does not answer the challenge; does it use auth-connect --digest?",
        ),
        (b"0\n", Reason::Malformed(2), "byte 2 of the answer is no hex digit"),
    ] {
        let found = refusal(digest, bytes);
        assert_eq!(found, reason);
        assert_eq!(found.to_string(), line);
        assert!(!found.is_wrong_proof());
    }
    let mut server = server(digest);
    assert_eq!(drive(&mut server, &[&junk]).1, 32);
    assert_eq!(server.wanted(), 0);
}

#[test]
fn row_56_a_short_answer_is_no_wrong_proof() {
    for (got, ended, timed_out) in [
        (0, "the client ended without an answer", "no answer in time"),
        (
            31,
            "the client ended after 31 of 64 answer digits",
            "timed out after 31 of 64 answer digits",
        ),
        (
            32,
            "the client ended after 32 of 64 answer digits; does the client use --digest md5?",
            "timed out after 32 of 64 answer digits; does the client use --digest md5?",
        ),
    ] {
        let mut server = server(Digest::Sha256);
        assert_eq!(server.feed(&vec![b'0'; got]), Progress::More);
        assert_eq!(server.wanted(), 64 - got);
        for (reason, line) in [(server.ended(), ended), (server.timed_out(), timed_out)] {
            assert_eq!(reason.to_string(), line);
            assert!(!reason.is_wrong_proof());
        }
    }
}

#[test]
fn row_62_other_modes_are_recognised() {
    let hello = b"SKCTL\0\x01\x01\x00\x30 and forty-eight bytes of noise";
    let frame = b"\0\0\0\x09\x80\x04\x95\x05\0\0\0";
    for digest in Digest::ALL {
        assert_eq!(refusal(digest, hello), Reason::Encrypted);
        assert_eq!(refusal(digest, frame), Reason::Python);
        assert_eq!(refusal(digest, b"S"), Reason::Malformed(1));
    }
    assert_eq!(
        Reason::Encrypted.to_string(),
        "the client speaks the encrypted protocol; drop --digest here or add it there"
    );
    let mut client = Client::new(Digest::Md5, one(b"wangwang"));
    let listener = b"\0\0\0\x1f#CHALLENGE#0123456789abcdefghij";
    assert_eq!(client.feed(&listener[..32]), Step::Refused(NoChallenge::Python));
    assert_eq!(client.wanted(), 0);
}

#[test]
fn row_62_another_digest_is_refused_with_a_hint() {
    // A longer digest's answer is cut off where ours would end.
    let reason = refusal(Digest::Md5, &answer(Digest::Sha256, b"wangwang"));
    assert_eq!(reason.to_string(), "wrong key, or a longer digest than md5 on the client");
    let mut server = server(Digest::Sha512);
    server.feed(&answer(Digest::Sha256, b"wangwang"));
    assert!(server.timed_out().to_string().ends_with("does the client use --digest sha256?"));
}

#[test]
fn row_59_a_replayed_answer_is_refused() {
    for digest in Digest::ALL {
        let recorded = answer(digest, b"wangwang");
        let mut server = Server::new(digest, one(b"wangwang"), [7; 32]);
        let verdict = server.feed(&recorded);
        assert_eq!(verdict, Progress::Refused(Reason::WrongKey(digest)));
    }
}

#[test]
fn row_60_a_reflected_challenge_is_refused() {
    for digest in Digest::ALL {
        assert!(!refusal(digest, &CHALLENGE).is_wrong_proof());
        let mut hex = hex::encode(CHALLENGE).into_bytes();
        hex.resize(digest.hex_len(), b'0');
        assert!(refusal(digest, &hex).is_wrong_proof());
    }
}

#[test]
fn row_58_a_short_challenge_has_a_precise_message() {
    for (got, ended, timed_out) in [
        (
            0,
            "the server closed without a challenge; does it use auth-serve --digest?",
            "no challenge in time; does the server use auth-serve --digest?",
        ),
        (
            31,
            "the server closed after 31 of 32 challenge bytes",
            "timed out after 31 of 32 challenge bytes",
        ),
    ] {
        let mut client = Client::new(Digest::Md5, one(b"wangwang"));
        assert_eq!(client.feed(&CHALLENGE[..got]), Step::More);
        assert_eq!(client.ended().to_string(), ended);
        assert_eq!(client.timed_out().to_string(), timed_out);
    }
}

fn digests() -> impl Strategy<Value = Digest> {
    prop::sample::select(&Digest::ALL[..])
}

proptest! {
    #[test]
    fn row_52_any_split_proves_and_leaves_the_payload(
        digest in digests(),
        payload in any::<Vec<u8>>(),
        cuts in prop::collection::vec(0..400_usize, 0..8),
    ) {
        let mut stream = answer(digest, b"wangwang");
        stream.extend(&payload);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        let (verdict, read) = drive(&mut server(digest), &pieces);
        prop_assert_eq!(verdict, Progress::Proved(None));
        prop_assert_eq!(&stream[read..], &payload[..]);
    }

    #[test]
    fn any_split_of_the_challenge_gives_the_same_answer(
        digest in digests(),
        cuts in prop::collection::vec(0..32_usize, 0..8),
    ) {
        let mut cuts = cuts;
        cuts.extend([0, 32]);
        cuts.sort_unstable();
        let mut client = Client::new(digest, one(b"wangwang"));
        let mut last = Step::More;
        for cut in cuts.windows(2) {
            prop_assert_eq!(&last, &Step::More);
            prop_assert_eq!(client.wanted(), 32 - cut[0]);
            last = client.feed(&CHALLENGE[cut[0]..cut[1]]);
        }
        let expected = String::from_utf8(answer(digest, b"wangwang")).unwrap();
        prop_assert_eq!(last, Step::Answer(expected));
        prop_assert_eq!(client.wanted(), 0);
    }

    #[test]
    fn any_other_character_anywhere_is_refused(digest in digests(), at in 0..128_usize, to in any::<u8>()) {
        let mut bytes = answer(digest, b"wangwang");
        let at = at % bytes.len();
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        let wrong_proof = refusal(digest, &bytes).is_wrong_proof();
        prop_assert_eq!(wrong_proof, is_digit(to));
    }

    #[test]
    fn any_bytes_end_in_one_line(digest in digests(), bytes in prop::collection::vec(any::<u8>(), 128)) {
        let line = refusal(digest, &bytes).to_string();
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
