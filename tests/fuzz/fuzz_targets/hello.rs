//! Both sides of the encrypted handshake, fed any bytes, in pieces of any size.
#![no_main]

use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use sockctl::auth::key::{Key, Keyring};
use sockctl::auth::noise::{Client, Identity, Server};
use sockctl::net::handshake::{Driver, Handshake};

thread_local! {
    static IDENTITY: Rc<Identity> = {
        let line = b"sockctl-key-1 alice AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let keyring = Keyring::from(Key::parse(line).unwrap());
        Identity::derive(&keyring, b"").unwrap().0
    };
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

fuzz_target!(|data: (u8, &[u8])| {
    let (step, bytes) = (usize::from(data.0).max(1), data.1);
    let identity = IDENTITY.with(Rc::clone);
    feed(Client::new(&identity).unwrap(), bytes, step);
    feed(Server::new(identity), bytes, step);
});
