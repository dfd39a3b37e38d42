//! All handshakes of both roles, those with proxies included: at every split, through pipes of 8
//! bytes, with payload behind their end.

use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::key::{Key, Keyring};
use super::python::Secrets;
use super::{challenge, digest::Digest, noise, python, tls};
use crate::codec::python::Unit;
use crate::net::address::Host;
use crate::net::handshake::tests::{Script, connect, feed};
use crate::net::handshake::{Driver, Handshake, Outcome, Refusal, Stop};
use crate::net::proxy::{Authorization, Login, Proxy};
use crate::net::proxy_header;

type Machine = Box<dyn Handshake>;

const BOB: &str = "sockctl-key-1 bob AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn ring(lines: &[&str]) -> Keyring {
    Keyring::parse(lines.join("\n").as_bytes()).unwrap()
}

/// Both sides of each way to prove a key; whether they hold the same one.
fn pair(which: usize, same: bool) -> [Machine; 2] {
    let carol = BOB.replace("bob", "carol").replace('A', "B");
    let server = ring(&["alice:0123456789abcdef", if same { BOB } else { &carol }]);
    let client = Keyring::from(Key::parse(BOB.as_bytes()).unwrap());
    match which {
        0..3 => {
            let digest = Digest::ALL[which];
            [
                Box::new(challenge::Client::new(digest, Rc::new(client))),
                Box::new(challenge::Server::new(digest, Rc::new(server), [7; 32])),
            ]
        }
        3 => {
            let secrets =
                |ring| Rc::new(Secrets { keyring: Rc::new(ring), md5: false, unit: Unit::Chunk });
            [
                Box::new(python::Side::client(secrets(client), [8; 40])),
                Box::new(python::Side::listener(secrets(server), [9; 40])),
            ]
        }
        4 => tls::handshake::tests::pair(same, false),
        5 => tls::handshake::tests::pair(same, true),
        _ => {
            // A passphrase takes long to derive.
            let server = ring(&[
                &BOB.replace("bob", "alice").replace('A', "C"),
                if same { BOB } else { &carol },
            ]);
            let identity = |ring| noise::Identity::derive(&ring, b"here", None).unwrap().0;
            [
                Box::new(noise::Client::new(&identity(client)).unwrap()),
                Box::new(noise::Server::new(identity(server))),
            ]
        }
    }
}

/// A machine whose peer sends the same whatever it gets; and that.
fn scripted(which: usize) -> (Machine, Vec<u8>) {
    let password = Zeroizing::new(b"pass".to_vec());
    let login = Arc::new(Login { user: "me".into(), password });
    let host = Host::Name("db.test".into());
    let proxy = |url: &str| {
        let proxy = Proxy::parse(url).unwrap();
        proxy.handshake(Some(Arc::clone(&login)), &host, 80, &Authorization::default())
    };
    let socks = || proxy("socks5://proxy:1");
    let http = || proxy("http://proxy:1");
    let header = || Box::new(proxy_header::Reader);
    let keys = || Rc::new(ring(&[BOB]));
    let (machine, script): (Machine, &[u8]) = match which {
        0 => (socks(), b"\x05\0\x05\0\0\x01\0\0\0\0\0\0"),
        1 => (socks(), b"\x05\x02\x01\0\x05\0\0\x03\x03abc\0\0"),
        2 => (socks(), b"\x05\0\x05\0\0\x03\0\0\0"),
        3 => (socks(), b"\x05\0\x05\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        4 => (http(), b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"),
        5 => (http(), b"HTTP/1.1 200\n\n"),
        6 => (
            http(),
            b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=x\r\n\
              Content-Length: 3\r\n\r\nno\nHTTP/1.1 200 OK\r\n\n",
        ),
        7 => (http(), b"HTTP/1.0 200 \r\r\n\r\r\n\r\n"),
        8 => (header(), b"PROXY TCP4 192.0.2.1 198.51.100.7 8080 80\r\n"),
        9 => (header(), b"PROXY TCP6 :: :: 1 2\r\n"),
        10 => (header(), b"PROXY UNKNOWN\r\n"),
        11 => (
            header(),
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\x1f\x90\0\x50",
        ),
        12 => (header(), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
        13 => (
            Box::new(challenge::Client::new(Digest::Md5, keys())),
            b"0123456789abcdef0123456789abcdef",
        ),
        // From here on those that are refused.
        14 => (socks(), b"\x05\0\x05\x05"),
        15 => (socks(), b"\x05\x02\x01\x01"),
        16 => (http(), b"HTTP/1.1 403 Filtered\r\n"),
        17 => (header(), b"PROXY \r\n"),
        18 => (header(), b"GET "),
        19 => (Box::new(challenge::Server::new(Digest::Md5, keys(), [1; 32])), b"0123z"),
        20 => (
            Box::new(noise::Server::new(
                noise::Identity::derive(&ring(&[BOB]), b"", None).unwrap().0,
            )),
            b"SSH-2",
        ),
        _ => {
            let secrets = Secrets { keyring: keys(), md5: true, unit: Unit::Line };
            (
                Box::new(python::Side::listener(Rc::new(secrets), [1; 40])),
                b"\0\0\0\x10................",
            )
        }
    };
    (machine, script.to_vec())
}

const SCRIPTS: usize = 22;
const REFUSED: usize = 14;

/// What a result says, so that two can be compared.
fn shown(result: Option<Result<Outcome, Refusal>>) -> String {
    match result {
        None => "more".into(),
        Some(Ok(outcome)) => {
            format!("{:?} {} {:?}", outcome.key, outcome.codec.is_some(), outcome.source)
        }
        Some(Err(why)) => format!("{why:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_split_gives_the_same_and_nothing_behind_the_end_is_read(
        which in 0..SCRIPTS,
        payload: Vec<u8>,
        sizes in prop::collection::vec(1usize..20, 1..8),
    ) {
        let (machine, script) = scripted(which);
        let (mut driver, greeting) = Driver::start(machine);
        let bytes = [&script[..], &payload].concat();
        let whole = feed(&mut driver, &bytes, &[]);
        let (mut driver, again) = Driver::start(scripted(which).0);
        prop_assert_eq!(again, greeting);
        let run = feed(&mut driver, &bytes, &sizes);
        prop_assert_eq!(&run.sent, &whole.sent);
        let succeeds = which < REFUSED;
        prop_assert_eq!(matches!(run.result, Some(Ok(_))), succeeds);
        prop_assert_eq!(run.result.is_some(), true);
        prop_assert_eq!(shown(run.result), shown(whole.result));
        if succeeds {
            prop_assert_eq!((run.read, whole.read), (script.len(), script.len()));
        }
    }

    #[test]
    fn payload_behind_a_script_is_left_in_a_pipe(
        which in 0..REFUSED,
        payload: Vec<u8>,
        sizes in prop::collection::vec(1usize..9, 0..8),
    ) {
        let (machine, script) = scripted(which);
        let script = Script([&script[..], &payload].concat());
        let [here, _] = connect([machine, Box::new(script)], &sizes, b"");
        prop_assert!(matches!(here.0, Some(Ok(_))));
        prop_assert_eq!(here.1, payload);
    }

    #[test]
    fn both_sides_meet_through_pipes_of_8_bytes(
        which in 0usize..7,
        same: bool,
        payload: Vec<u8>,
        sizes in prop::collection::vec(1usize..9, 0..8),
    ) {
        let [client, server] = connect(pair(which, same), &sizes, &payload);
        if same {
            let proved = server.0.unwrap().unwrap().key;
            prop_assert!(matches!(which, 4 | 5) || proved.as_deref() == Some("bob"));
            prop_assert!(matches!(client.0, Some(Ok(_))));
            prop_assert_eq!((&client.1, &server.1), (&payload, &payload));
        } else {
            let refusal = server.0.unwrap().err().unwrap();
            prop_assert_eq!(refusal.wrong_proof, !matches!(which, 4 | 5));
            prop_assert!(which < 3 || !matches!(client.0, Some(Ok(_))));
        }
    }

    #[test]
    fn any_bytes_leave_a_machine_sane(
        which in 0..SCRIPTS,
        cut: prop::sample::Index,
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        sizes in prop::collection::vec(1usize..20, 0..8),
    ) {
        let (machine, script) = scripted(which);
        let stream = [&script[..cut.index(script.len())], &bytes].concat();
        let (mut driver, _) = Driver::start(machine);
        let run = feed(&mut driver, &stream, &sizes);
        prop_assert!(run.read <= stream.len());
        for refusal in [Stop::Closed, Stop::TimedOut].map(|stop| driver.stopped(stop)) {
            prop_assert!(!refusal.reason.is_empty() && !refusal.wrong_proof);
        }
    }
}
