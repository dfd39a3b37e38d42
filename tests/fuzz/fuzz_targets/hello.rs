//! Both sides of the encrypted handshake, fed anything, in pieces of any size.
#![no_main]

use std::rc::Rc;

use sockctl::auth::handshake::{Guest, Host, Verdict};
use sockctl::auth::key::{Key, Keyring};
use sockctl::auth::noise::{Client, Identity, Server, derive};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static IDENTITY: Rc<Identity> = {
        let line = b"sockctl-key-1 alice AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let keyring = Keyring::from(Key::parse(line).unwrap());
        Identity::new(derive(&keyring, b"").unwrap().0, b"").unwrap()
    };
}

fuzz_target!(|data: (u8, &[u8])| {
    let (step, bytes) = (usize::from(data.0).max(1), data.1);
    let identity = IDENTITY.with(Rc::clone);
    let (mut server, mut rest) = (Server::new(Rc::clone(&identity)), bytes);
    let mut reply = Vec::new();
    while !rest.is_empty() && server.wanted() > 0 {
        let (some, more) = rest.split_at(step.min(server.wanted()).min(rest.len()));
        match server.feed(some, &mut reply) {
            Verdict::More => {}
            Verdict::Refused(_) => break,
            Verdict::Proved(_) => panic!("a stranger was let in"),
        }
        rest = more;
    }
    let (mut client, mut rest) = (Client::new(&identity).unwrap(), bytes);
    while !rest.is_empty() && client.wanted() > 0 {
        let (some, more) = rest.split_at(step.min(client.wanted()).min(rest.len()));
        match client.feed(some, &mut reply) {
            Verdict::More => {}
            Verdict::Refused(_) => break,
            Verdict::Proved(_) => panic!("a stranger was believed"),
        }
        rest = more;
    }
});
