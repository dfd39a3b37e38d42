//! Keys and TLS on either side of a relay, and on both.

use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use super::relay;
use crate::auth::random_key;
use crate::run::{Folder, Running, accept, ask, listener, pattern, read_to_reset, sockctl};

/// How relays are chained: what is between a plain client and a plain target.
pub const KINDS: [&str; 6] = ["plain", "dumped", "auth", "tls", "both", "slow"];

/// What is wrong with each of the two relays of a slow one.
const SLOW: &str = "--delay 50ms --rate 2000000";

/// Relays between a plain client and a plain target.
pub struct Chain {
    target: Mutex<TcpListener>,
    /// The client's first.
    relays: Vec<Running>,
    _folder: Folder,
}

impl Chain {
    /// Relays that are secured like this.
    pub fn new(kind: &str) -> Self {
        let folder = Folder::new();
        let (target, mut address) = listener();
        let key = folder.file("key", std::fs::read(random_key("me", [7; 32])).unwrap());
        let mut relays = Vec::new();
        let layers: &[&str] = match kind {
            "both" => &["tls", "auth"],
            kind => &[kind],
        };
        for layer in layers.iter().rev() {
            match *layer {
                "auth" | "slow" => {
                    let words = if *layer == "slow" { SLOW } else { "" };
                    let far = format!("auth-serve 0 --key-file {key} --to {address} {words}");
                    let far = sockctl(far).start();
                    let near = relay(format!("auth:{far}"), format!("--to-key-file {key} {words}"));
                    address = near.address();
                    relays.splice(0..0, [near, far]);
                }
                "tls" => {
                    let far = sockctl(format!("serve 0 --tls --to {address}")).start();
                    let near =
                        relay(format!("tls:{far}"), format!("--to-tls-pin {}", far.tls_pin()));
                    address = near.address();
                    relays.splice(0..0, [near, far]);
                }
                layer => {
                    let words = if layer == "dumped" { "--hex /dev/null" } else { "" };
                    let near = relay(&address, words);
                    address = near.address();
                    relays.insert(0, near);
                }
            }
        }
        Self { target: Mutex::new(target), relays, _folder: folder }
    }

    /// A client, and what the target gets for it.
    #[track_caller]
    pub fn pair(&self) -> (TcpStream, TcpStream) {
        let target = self.target.lock().unwrap();
        let client = self.relays[0].connect();
        (client, accept(&target))
    }
}

#[test]
fn any_mix_passes_bytes_and_ends_on() {
    let text = pattern(3 << 20);
    for kind in KINDS {
        let chain = Chain::new(kind);
        let (client, target) = chain.pair();
        let answers = std::thread::scope(|scope| {
            let far = scope.spawn(|| ask(&target, &text));
            (ask(&client, &text), far.join().unwrap())
        });
        assert!(answers.0 == text && answers.1 == text, "{kind}");
    }
}

#[test]
fn a_target_that_is_not_trusted_is_named_with_the_reason() {
    let far = sockctl("serve 0 --tls --echo").start();
    let near = relay(format!("tls:{far}"), "--once");
    assert_eq!(read_to_reset(near.connect()), b"");
    let done = near.finish();
    assert_eq!(done.code, 9, "{}", done.stderr);
    let said = &done.stderr;
    assert!(said.contains("no target: start TLS with 127.0.0.1:"), "{said}");
    let way = format!("it is self-signed; to trust it: --to-tls-pin {}", far.tls_pin());
    assert!(said.contains(&way), "{said}");
}

#[test]
fn a_target_with_another_key_is_named_with_the_reason() {
    let (ours, theirs) = (random_key("a", [1; 32]), random_key("b", [2; 32]));
    let far =
        sockctl(format!("auth-serve 0 --echo --key-file {}", theirs.path().display())).start();
    let words = format!("--once --to-key-file {}", ours.path().display());
    let near = relay(format!("auth:{far}"), words);
    assert_eq!(read_to_reset(near.connect()), b"");
    let done = near.finish();
    assert_eq!(done.code, 9, "{}", done.stderr);
    assert!(done.stderr.contains("no target: authenticate to "), "{}", done.stderr);
}

#[test]
fn contexts_and_plaintext_dumps_hold_on_the_way() {
    let folder = Folder::new();
    let key = random_key("me", [7; 32]);
    let key = key.path().display();
    let echo = sockctl("serve 0 --echo").start();
    let words = format!("auth-serve 0 --key-file {key} --context here --to {echo}");
    let far = sockctl(format!("{words} --log {}", folder.text("log"))).start();
    let near = relay(format!("auth:{far}"), format!("--to-key-file {key} --to-context here"));
    let address = far.address();
    assert_eq!(ask(&near.connect(), b"hello\n"), b"hello\n");
    let other = relay(format!("auth:{address}"), format!("--once --to-key-file {key}"));
    assert_eq!(read_to_reset(other.connect()), b"");
    assert_eq!(other.finish().code, 9);
    far.signal("TERM");
    far.finish();
    let log = std::fs::read_to_string(folder.at("log")).unwrap();
    assert!(log.contains("[1] < hello\n") && log.contains("[1] > hello\n"), "{log}");
}
