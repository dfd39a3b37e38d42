//! The handshake at every split, and frames of all kinds.

use std::rc::Rc;

use proptest::prelude::*;

use super::frames::frame;
use super::side::{CHALLENGE, FAREWELL, PREFIX};
use super::*;
use crate::auth::handshake::{Guest, Host, Verdict};
use crate::auth::key::Key;
use crate::layer::Layer;

fn secrets(keys: &[&str], md5: bool) -> Rc<Secrets> {
    let keyring = match keys {
        [one] => Keyring::from(Key::parse(one.as_bytes()).unwrap()),
        many => Keyring::parse(many.join("\n").as_bytes()).unwrap(),
    };
    Rc::new(Secrets { keyring: Rc::new(keyring), md5, unit: Unit::Line })
}

fn listener(secrets: &Rc<Secrets>) -> Listener {
    Listener::new(Rc::clone(secrets), [7; 40])
}

fn client(secrets: &Rc<Secrets>) -> Client {
    Client::new(Rc::clone(secrets), [8; 40])
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    frame(message, &mut wire);
    wire
}

/// Feeds byte by byte; what was answered, and the refusal if there was one.
fn feed_listener(host: &mut Listener, bytes: &[u8]) -> (Vec<u8>, Option<Refusal>) {
    let mut reply = Vec::new();
    for byte in bytes {
        if let Verdict::Refused(why) = host.feed(&[*byte], &mut reply) {
            return (reply, Some(why));
        }
    }
    (reply, None)
}

fn feed_client(guest: &mut Client, bytes: &[u8]) -> (Vec<u8>, Option<Refusal>) {
    let mut reply = Vec::new();
    for byte in bytes {
        if let Verdict::Refused(why) = guest.feed(&[*byte], &mut reply) {
            return (reply, Some(why));
        }
    }
    (reply, None)
}

#[test]
fn both_sides_prove_themselves_byte_by_byte() {
    let keys = secrets(&["alice:first", "bob:second"], false);
    let (mut host, mut guest) = (listener(&keys), client(&secrets(&["second"], false)));
    let (mut to_guest, mut rounds) = (host.greeting().to_vec(), 0);
    let key = loop {
        let (to_host, why) = feed_client(&mut guest, &to_guest);
        assert_eq!(why, None);
        rounds += 1;
        let (mut reply, mut proved) = (Vec::new(), None);
        for byte in &to_host {
            assert!(host.wanted() > 0);
            match host.feed(&[*byte], &mut reply) {
                Verdict::More => {}
                Verdict::Proved(done) => proved = Some(done.key),
                Verdict::Refused(why) => panic!("{}", why.reason),
            }
        }
        if let Some(key) = proved {
            break key;
        }
        to_guest = reply;
    };
    assert_eq!((key.as_deref(), rounds), (Some("bob"), 3));
    assert_eq!((host.wanted(), guest.wanted()), (0, 0));
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
        let (reply, why) = feed_listener(&mut listener(&keys), &framed(&answer));
        let why = why.unwrap();
        assert!(reply.is_empty());
        assert_eq!((why.wrong_proof, why.farewell), (wrong, FAREWELL));
    }
    // MD5 that is not allowed is no guess.
    let strict = secrets(&["wangwang"], false);
    let (_, why) = feed_listener(&mut listener(&strict), &framed(&[1; 16]));
    let why = why.unwrap();
    assert!(!why.wrong_proof && why.reason.contains("--digest md5"));
}

#[test]
fn row_60_our_own_challenge_is_not_answered() {
    let keys = secrets(&["wangwang"], true);
    let own = [CHALLENGE, PREFIX, &[8; 40]].concat();
    let (reply, why) = feed_client(&mut client(&keys), &framed(&own));
    assert!(reply.is_empty());
    assert!(why.unwrap().reason.contains("our own challenge"));
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
        let (reply, why) = feed_client(&mut client(&keys), &framed(message));
        assert!(why.is_some() && reply.is_empty(), "{message:?}");
    }
}

/// The payload of a wire that comes in pieces of these sizes.
fn opened(wire: &[u8], cuts: &[usize], unit: Unit) -> (Vec<u8>, Frames) {
    let (mut frames, mut payload, mut rest) = (Frames::new(unit), Vec::new(), wire);
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let (some, more) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
        frames.open(some, &mut payload).unwrap();
        rest = more;
    }
    (payload, frames)
}

#[test]
fn long_lengths_and_bad_ones() {
    let long = [&[0xff; 4][..], &5u64.to_be_bytes(), b"hello"].concat();
    assert_eq!(opened(&long, &[1], Unit::Line).0, b"hello\n");
    let mut frames = Frames::new(Unit::Line);
    assert!(frames.open(&(-2i32).to_be_bytes(), &mut Vec::new()).is_err());
    for cut in 1..long.len() {
        let (_, mut frames) = opened(&long[..cut], &[1], Unit::Line);
        assert!(frames.wire_ended().is_err(), "at {cut}");
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
            frames.seal(some, &mut wire).unwrap();
            rest = more;
        }
        frames.seal_end(&mut wire).unwrap();
        let wanted: Vec<u8> = text.lines().flat_map(|line| framed(line.as_bytes())).collect();
        prop_assert_eq!(&wire, &wanted);
        let (payload, mut frames) = opened(&wire, &cuts, Unit::Line);
        let lines: Vec<u8> = text.lines().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        prop_assert_eq!(payload, lines);
        prop_assert!(frames.wire_ended().is_ok());
    }

    #[test]
    fn chunks_are_messages_and_are_joined(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        cuts in prop::collection::vec(1usize..30, 1..8),
    ) {
        let (mut frames, mut wire) = (Frames::new(Unit::Chunk), Vec::new());
        for chunk in &chunks {
            let before = wire.len();
            frames.seal(chunk, &mut wire).unwrap();
            let one = if chunk.is_empty() { Vec::new() } else { framed(chunk) };
            prop_assert_eq!(&wire[before..], &one);
        }
        prop_assert_eq!(opened(&wire, &cuts, Unit::Chunk).0, chunks.concat());
    }

    #[test]
    fn anything_at_all_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let keys = secrets(&["wangwang"], true);
        feed_listener(&mut listener(&keys), &bytes);
        feed_client(&mut client(&keys), &bytes);
        let _ = Frames::new(Unit::Line).open(&bytes, &mut Vec::new());
    }
}
