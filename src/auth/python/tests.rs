//! Wrong answers and challenges, and frames of all kinds.

use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::net::codec::Codec;
use crate::net::handshake::harness::feed;

fn secrets(keys: &[&str], md5: bool) -> Rc<Secrets> {
    let keyring = match keys {
        [one] => Keyring::from(Key::parse(one.as_bytes()).unwrap()),
        many => Keyring::parse(many.join("\n").as_bytes()).unwrap(),
    };
    Rc::new(Secrets { keyring: Rc::new(keyring), md5, unit: Unit::Line })
}

fn listener(secrets: &Rc<Secrets>) -> Side {
    Side::listener(Rc::clone(secrets), [7; 40])
}

fn client(secrets: &Rc<Secrets>) -> Side {
    Side::client(Rc::clone(secrets), [8; 40])
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    frame(message, &mut wire);
    wire
}

#[test]
fn a_wrong_answer_is_told_and_counts() {
    let keys = secrets(&["wangwang"], true);
    for (answer, wrong) in [
        (vec![b'x'; 16], true),
        (b"{sha256}0123456789abcdef0123456789abcdef".to_vec(), true),
        (b"{sha1}0123456789abcdef0123".to_vec(), true),
        (Vec::new(), true),
    ] {
        let run = feed(&mut listener(&keys), &framed(&answer), &[]);
        assert!(run.sent.is_empty());
        let why = run.refusal();
        assert_eq!((why.wrong_proof, why.farewell), (wrong, FAREWELL));
    }
    // MD5 that is not allowed is no guess.
    let strict = secrets(&["wangwang"], false);
    let why = feed(&mut listener(&strict), &framed(&[1; 16]), &[]).refusal();
    assert!(!why.wrong_proof && why.reason.contains("--digest md5"));
}

#[test]
fn row_60_our_own_challenge_is_not_answered() {
    let keys = secrets(&["wangwang"], true);
    let own = [PYTHON_CHALLENGE, PREFIX, &[8; 40]].concat();
    let run = feed(&mut client(&keys), &framed(&own), &[]);
    assert!(run.sent.is_empty());
    assert!(run.refusal().reason.contains("our own challenge"));
}

#[test]
fn challenges_of_an_unknown_form_are_not_answered() {
    let keys = secrets(&["wangwang"], true);
    for message in [
        &b""[..],
        b"#WELCOME#",
        b"#CHALLENGE#",
        b"#CHALLENGE#nineteen bytes long",
        b"#CHALLENGE#one more than the twenty",
        b"#CHALLENGE#{sha1}0123456789012345678901234567890123456789",
        b"#CHALLENGE#{sha256 without an end, however long it may be}",
    ] {
        let run = feed(&mut client(&keys), &framed(message), &[]);
        assert!(run.sent.is_empty(), "{message:?}");
        run.refusal();
    }
}

/// The payload of a wire that comes in pieces of these sizes.
fn opened(wire: &[u8], cuts: &[usize], unit: Unit) -> (Vec<u8>, Frames) {
    let (mut frames, mut payload, mut rest) = (Frames::new(unit), Vec::new(), wire);
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let (some, more) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
        frames.decode(some, &mut payload).unwrap();
        rest = more;
    }
    (payload, frames)
}

#[test]
fn long_lengths_and_bad_ones() {
    let long = [&[0xff; 4][..], &5u64.to_be_bytes(), b"hello"].concat();
    assert_eq!(opened(&long, &[1], Unit::Line).0, b"hello\n");
    let mut frames = Frames::new(Unit::Line);
    assert!(frames.decode(&(-2i32).to_be_bytes(), &mut Vec::new()).is_err());
    for cut in 1..long.len() {
        let (_, mut frames) = opened(&long[..cut], &[1], Unit::Line);
        assert!(frames.at_wire_eof().is_err(), "at {cut}");
    }
}

proptest! {
    #[test]
    fn lines_are_messages_however_they_come(
        lines in prop::collection::vec("[a-c]{0,5}", 0..8),
        whole in any::<bool>(),
        cuts in prop::collection::vec(1usize..7, 1..8),
    ) {
        let mut text = lines.join("\n");
        if whole && !lines.is_empty() {
            text.push('\n');
        }
        let (mut frames, mut wire, mut rest) = (Frames::new(Unit::Line), Vec::new(), text.as_bytes());
        let mut sizes = cuts.iter().cycle();
        while !rest.is_empty() {
            let (some, more) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            frames.encode(some, &mut wire).unwrap();
            rest = more;
        }
        frames.encode_eof(&mut wire);
        let wanted: Vec<u8> = text.lines().flat_map(|line| framed(line.as_bytes())).collect();
        prop_assert_eq!(&wire, &wanted);
        let (payload, mut frames) = opened(&wire, &cuts, Unit::Line);
        let lines: Vec<u8> = text.lines().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        prop_assert_eq!(payload, lines);
        prop_assert!(frames.at_wire_eof().is_ok());
    }

    #[test]
    fn chunks_are_messages_and_are_joined(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        cuts in prop::collection::vec(1usize..30, 1..8),
    ) {
        let (mut frames, mut wire) = (Frames::new(Unit::Chunk), Vec::new());
        for chunk in &chunks {
            let before = wire.len();
            frames.encode(chunk, &mut wire).unwrap();
            let one = if chunk.is_empty() { Vec::new() } else { framed(chunk) };
            prop_assert_eq!(&wire[before..], &one);
        }
        prop_assert_eq!(opened(&wire, &cuts, Unit::Chunk).0, chunks.concat());
    }

    #[test]
    fn anything_at_all_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Frames::new(Unit::Line).decode(&bytes, &mut Vec::new());
    }
}
