//! Both sides of the encrypted handshake and of Python's, and Python's frames, fed any bytes in pieces
//! of any size.
#![no_main]

use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use sockctl::auth::key::{Key, Keyring};
use sockctl::auth::noise::{Client, Identity, Server};
use sockctl::auth::python::{Secrets, Side};
use sockctl::codec::python::{Frames, Unit};
use sockctl::net::codec::Codec;
use sockctl::net::handshake::{Driver, Handshake};

thread_local! {
    static KEYRING: Rc<Keyring> = {
        let line = b"sockctl-key-1 alice AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        Rc::new(Keyring::from(Key::parse(line).unwrap()))
    };
    static IDENTITY: Rc<Identity> = KEYRING.with(|ring| Identity::derive(ring, b"", None).unwrap().0);
}

/// Feeds these bytes in pieces of `step` at most.
fn feed(handshake: impl Handshake + 'static, mut rest: &[u8], step: usize) {
    let (mut driver, _) = Driver::start(Box::new(handshake));
    let mut reply = Vec::new();
    while !rest.is_empty() && driver.wanted() > 0 {
        let (some, more) = rest.split_at(step.min(driver.wanted()).min(rest.len()));
        match driver.feed(some, &mut reply) {
            Ok(None) => rest = more,
            Err(_) => return,
            Ok(Some(_)) => panic!("a peer without the key was accepted"),
        }
    }
}

fuzz_target!(|data: (u8, bool, &[u8])| {
    let (step, md5, bytes) = (usize::from(data.0).max(1), data.1, data.2);
    let (identity, keyring) = (IDENTITY.with(Rc::clone), KEYRING.with(Rc::clone));
    feed(Client::new(&identity).unwrap(), bytes, step);
    feed(Server::new(identity), bytes, step);
    let unit = Unit::Line;
    let secrets = Rc::new(Secrets { keyring, md5, unit });
    feed(Side::listener(Rc::clone(&secrets), [7; 40]), bytes, step);
    feed(Side::client(secrets, [8; 40]), bytes, step);
    let (mut frames, mut payload) = (Frames::new(unit), Vec::new());
    for piece in bytes.chunks(step) {
        if frames.decode(&mut piece.to_vec(), &mut payload, &mut Vec::new()).is_err() {
            break;
        }
    }
    assert!(payload.len() <= 2 * bytes.len());
});
