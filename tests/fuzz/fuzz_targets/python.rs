//! Both sides of Python's handshake, and its frames, fed anything, in pieces of any size.
#![no_main]

use std::rc::Rc;

use sockctl::auth::handshake::{Guest, Host, Verdict};
use sockctl::auth::key::{Key, Keyring};
use sockctl::auth::python::{Client, Frames, Listener, Secrets, Unit};
use sockctl::layer::Layer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (u8, bool, &[u8])| {
    let (step, md5, bytes) = (usize::from(data.0).max(1), data.1, data.2);
    let keyring = Rc::new(Keyring::from(Key::parse(b"wangwang").unwrap()));
    let unit = Unit::Line;
    let secrets = Rc::new(Secrets { keyring, md5, unit });
    let mut reply = Vec::new();
    let (mut listener, mut rest) = (Listener::new(Rc::clone(&secrets), [7; 40]), bytes);
    while !rest.is_empty() && listener.wanted() > 0 {
        let (some, more) = rest.split_at(step.min(listener.wanted()).min(rest.len()));
        match listener.feed(some, &mut reply) {
            Verdict::More => {}
            Verdict::Refused(_) => break,
            Verdict::Proved(_) => panic!("a stranger was let in"),
        }
        rest = more;
    }
    let (mut client, mut rest) = (Client::new(secrets, [8; 40]), bytes);
    while !rest.is_empty() && client.wanted() > 0 {
        let (some, more) = rest.split_at(step.min(client.wanted()).min(rest.len()));
        match client.feed(some, &mut reply) {
            Verdict::More => {}
            Verdict::Refused(_) => break,
            Verdict::Proved(_) => panic!("a stranger was believed"),
        }
        rest = more;
    }
    let (mut frames, mut payload) = (Frames::new(unit), Vec::new());
    for piece in bytes.chunks(step) {
        if frames.open(piece, &mut payload).is_err() {
            break;
        }
    }
    assert!(payload.len() <= 2 * bytes.len());
});
