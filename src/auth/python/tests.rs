//! Wrong answers and challenges; every split of right ones is tested in `auth::tests`.

use std::rc::Rc;

use super::*;
use crate::net::handshake::Driver;
use crate::net::handshake::tests::{begun, feed};

fn secrets(md5: bool) -> Rc<Secrets> {
    let keyring = Rc::new(Keyring::from(Key::parse(b"wangwang").unwrap()));
    Rc::new(Secrets { keyring, md5, unit: Unit::Line })
}

fn listener(secrets: &Rc<Secrets>) -> Driver {
    begun(Side::listener(Rc::clone(secrets), [7; 40]))
}

fn client(secrets: &Rc<Secrets>) -> Driver {
    begun(Side::client(Rc::clone(secrets), [8; 40]))
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    frame(message, &mut wire);
    wire
}

#[test]
fn a_wrong_answer_gets_a_failure_and_counts() {
    let keys = secrets(true);
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
    let strict = secrets(false);
    let why = feed(&mut listener(&strict), &framed(&[1; 16]), &[]).refusal();
    assert!(!why.wrong_proof && why.reason.contains("--digest md5"));
}

#[test]
fn python_3_11_and_older_prove_it_with_bare_md5() {
    let mut client = client(&secrets(true));
    let challenge = [PYTHON_CHALLENGE, &[5; 20]].concat();
    let answer = feed(&mut client, &framed(&challenge), &[]).sent;
    assert_eq!(answer, framed(&Digest::Md5.mac(b"wangwang", &[5; 20])));
    let ours = feed(&mut client, &framed(WELCOME), &[]).sent;
    let mac = Digest::Md5.mac(b"wangwang", &ours[4 + PYTHON_CHALLENGE.len()..]);
    let run = feed(&mut client, &framed(&mac), &[]);
    assert_eq!(run.sent, framed(WELCOME));
    run.outcome();
}

#[test]
fn row_60_our_own_challenge_is_not_answered() {
    let keys = secrets(true);
    let own = [PYTHON_CHALLENGE, PREFIX, &[8; 40]].concat();
    let run = feed(&mut client(&keys), &framed(&own), &[]);
    assert!(run.sent.is_empty());
    assert!(run.refusal().reason.contains("our own challenge"));
}

#[test]
fn challenges_of_an_unknown_form_are_not_answered() {
    let keys = secrets(true);
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
