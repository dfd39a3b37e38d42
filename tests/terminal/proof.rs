//! Keys that are typed, and the prompts of `auth-serve` and `auth-connect` behind them.

use super::pty::{Terminal, terminal};
use crate::run::Words;

/// A terminal where a key was asked for and typed.
#[track_caller]
pub fn asks(words: impl Words, key: &str) -> Terminal {
    let terminal = terminal(words);
    terminal.shows("key:");
    terminal.press(key).press("\r");
    terminal
}

#[test]
fn two_terminals_prove_a_typed_key_and_chat() {
    for digest in ["md5", "sha256", "sha512"] {
        let mut server = asks(format!("auth-serve --digest {digest} 127.0.0.1:0"), "wang wang");
        let address = server.address();
        let mut client = asks(format!("auth-connect --digest {digest} {address}"), "wang wang");
        client.awaits(">>>");
        client.enter("upload");
        server.ends_in(&["[1] upload", ">>>"]);
        server.enter("done");
        client.ends_in(&["<<< done", ">>>"]);
        client.enter("q");
        client.ends(0);
        server.shows(" left");
        server.press("\x03");
        server.ends(0);
        for seen in [client.raw(), server.raw()] {
            assert!(!String::from_utf8_lossy(&seen).contains("wang wang"), "{digest}");
        }
    }
}

#[test]
fn a_wrong_key_is_told_at_both_ends() {
    let server = asks("auth-serve --digest md5 127.0.0.1:0", "right");
    let address = server.address();
    let mut client = asks(format!("auth-connect --digest md5 {address}"), "wrong");
    let text = client.ends(9);
    assert!(
        text.contains("the server closed without a reply (it may have rejected the key)"),
        "{text}"
    );
    server.shows(" refused: ");
    server.awaits(">>>");
}

#[test]
fn ctrl_c_at_the_key_restores_the_echo() {
    let mut client = terminal("auth-connect --digest md5 127.0.0.1:1");
    client.shows("key:");
    client.press("secret\x03");
    let text = client.ends(130);
    assert!(!text.contains("secret"), "{text}");
}
