//! The record reader of an open session: valid records, with anything behind or in between.
#![no_main]

use std::rc::Rc;

use sockctl::auth::handshake::{Guest, Host, Verdict};
use sockctl::auth::key::{Key, Keyring};
use sockctl::auth::noise::{Client, Identity, Server, derive};
use sockctl::layer::Layer;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static IDENTITY: Rc<Identity> = {
        let line = b"sockctl-key-1 alice AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let keyring = Keyring::from(Key::parse(line).unwrap());
        Identity::new(derive(&keyring, b"").unwrap().0, b"").unwrap()
    };
}

/// An open session: the client's end, and the server's.
fn session() -> (Box<dyn Layer>, Box<dyn Layer>) {
    let identity = IDENTITY.with(Rc::clone);
    let (mut client, mut server) = (Client::new(&identity).unwrap(), Server::new(identity));
    let (mut answer, mut ready, mut welcome) = (Vec::new(), Vec::new(), Vec::new());
    server.feed(client.greeting(), &mut answer);
    let feed = |client: &mut Client, mut bytes: &[u8], reply: &mut Vec<u8>| loop {
        let (some, more) = bytes.split_at(client.wanted().min(bytes.len()));
        match client.feed(some, reply) {
            Verdict::Proved(session) => return session,
            Verdict::More if more.is_empty() => return None,
            Verdict::More => bytes = more,
            Verdict::Refused(why) => panic!("{}", why.reason),
        }
    };
    feed(&mut client, &answer, &mut ready);
    let Verdict::Proved(proved) = server.feed(&ready, &mut Vec::new()) else {
        panic!("not proved");
    };
    let mut server = proved.session.unwrap();
    server.welcome(&mut welcome);
    (
        feed(&mut client, &welcome, &mut Vec::new()).unwrap(),
        server,
    )
}

fuzz_target!(|data: (u8, &[u8], usize, &[u8])| {
    let (step, payload, at, junk) = data;
    let (mut client, mut server) = session();
    let (mut wire, mut got) = (Vec::new(), Vec::new());
    client.seal(payload, &mut wire).unwrap();
    let at = at % (wire.len() + 1);
    wire.splice(at..at, junk.iter().copied());
    for piece in wire.chunks(usize::from(step).max(1)) {
        if server.open(piece, &mut got).is_err() {
            break;
        }
    }
    assert!(
        payload.starts_with(&got),
        "something that was not sent was delivered"
    );
});
