//! However it ends, the terminal is as it was.

use super::conversation::connected;
use super::pty::terminal;
use crate::run::{connect, read_all, sockctl, until_refused};

#[test]
fn a_signal_ends_a_client_and_restores_the_terminal() {
    for (signal, code) in [("TERM", 143), ("INT", 130), ("HUP", 143)] {
        let (mut client, peer) = connected("");
        client.press("half").awaits(">>> half");
        assert!(!client.is_as_before(), "a prompt is raw");
        client.signal(signal);
        let text = client.ends(code);
        assert!(text.ends_with(">>> half\nnot sent: half"), "{signal}: {text}");
        drop(peer);
    }
}

#[test]
fn a_signal_ends_a_server_and_restores_the_terminal() {
    for signal in ["TERM", "INT", "HUP"] {
        let mut server = terminal("serve 127.0.0.1:0");
        let client = connect(server.port());
        server.shows("joined");
        server.press("half").awaits(">>> half");
        server.signal(signal);
        let text = server.ends(0);
        assert!(text.ends_with("not sent: half"), "{signal}: {text}");
        assert_eq!(read_all(&client), b"");
        until_refused(client.peer_addr().unwrap().port());
    }
}

#[test]
fn the_death_of_the_peer_restores_it() {
    let server = sockctl("serve 0").start();
    let mut client = terminal(format!("connect {server}"));
    client.awaits(">>>");
    client.enter("hi");
    server.stdout_has("hi");
    client.press("half");
    server.signal("KILL");
    let text = client.ends(0);
    assert!(text.contains("not sent: half"), "{text}");
}

#[test]
fn a_closed_window_ends_it() {
    let (mut client, peer) = connected("");
    client.press("half").awaits(">>> half");
    client.close();
    let code = client.wait();
    assert!([0, 143].contains(&code), "{code}");
    assert_eq!(read_all(&peer), b"");
}

#[test]
fn a_failure_before_the_prompt_leaves_it_alone() {
    let mut client = terminal("connect 127.0.0.1:1");
    let text = client.ends(3);
    assert_eq!(text, "sockctl: connect to 127.0.0.1:1: connection refused (ECONNREFUSED 111)");
}
