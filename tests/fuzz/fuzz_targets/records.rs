//! The decoder of an encrypted session: valid records, with any bytes behind or in between.
#![no_main]

use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use sockctl::auth::key::{Key, Keyring};
use sockctl::auth::noise::{Client, Identity, Server};
use sockctl::net::codec::Codec;
use sockctl::net::handshake::Driver;

thread_local! {
    static IDENTITY: Rc<Identity> = {
        let line = b"sockctl-key-1 alice AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let keyring = Keyring::from(Key::parse(line).unwrap());
        Identity::derive(&keyring, b"", None).unwrap().0
    };
}

/// An open session: the client's end, and the server's.
fn session() -> (Box<dyn Codec>, Box<dyn Codec>) {
    let identity = IDENTITY.with(Rc::clone);
    let (mut client, hello) = Driver::start(Box::new(Client::new(&identity).unwrap()));
    let (mut server, _) = Driver::start(Box::new(Server::new(identity)));
    let (mut answer, mut ready, mut welcome) = (Vec::new(), Vec::new(), Vec::new());
    feed(&mut server, &hello, &mut answer);
    feed(&mut client, &answer, &mut ready);
    let mut server = feed(&mut server, &ready, &mut Vec::new()).unwrap();
    server.accept(&mut welcome);
    (feed(&mut client, &welcome, &mut Vec::new()).unwrap(), server)
}

fn feed(driver: &mut Driver, mut bytes: &[u8], reply: &mut Vec<u8>) -> Option<Box<dyn Codec>> {
    while !bytes.is_empty() {
        let (some, more) = bytes.split_at(driver.wanted().min(bytes.len()));
        match driver.feed(some, reply) {
            Ok(Some(outcome)) => return outcome.codec,
            Ok(None) => bytes = more,
            Err(why) => panic!("{}", why.reason),
        }
    }
    None
}

fuzz_target!(|data: (u8, &[u8], usize, &[u8])| {
    let (step, payload, at, junk) = data;
    let (mut client, mut server) = session();
    let (mut wire, mut got) = (Vec::new(), Vec::new());
    client.encode(payload, &mut wire).unwrap();
    let at = at % (wire.len() + 1);
    wire.splice(at..at, junk.iter().copied());
    for piece in wire.chunks(usize::from(step).max(1)) {
        if server.decode(&mut piece.to_vec(), &mut got, &mut Vec::new()).is_err() {
            break;
        }
    }
    assert!(payload.starts_with(&got), "something that was not sent was delivered");
});
