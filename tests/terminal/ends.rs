//! However it ends, the terminal is as it was.

use std::io::{BufRead, BufReader};

use super::conversation::connected;
use super::pty::terminal;
use crate::run::{
    connect, is_alive, read_all, read_to_either, read_to_reset, sockctl, until_refused,
};

#[test]
fn a_signal_ends_a_client_and_restores_the_terminal() {
    for (signal, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
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
    for (signal, code) in [("TERM", 0), ("INT", 0), ("HUP", 129)] {
        let mut server = terminal("serve 127.0.0.1:0");
        let client = connect(server.port());
        server.shows("joined");
        server.press("half").awaits(">>> half");
        server.signal(signal);
        let text = server.ends(code);
        assert!(text.ends_with("not sent: half"), "{signal}: {text}");
        assert_eq!(read_all(&client), b"");
        until_refused(client.peer_addr().unwrap().port());
    }
}

#[test]
fn row_48_row_89_at_a_terminal_sighup_ends_a_server_and_its_programs_with_129() {
    let mut server = terminal("serve 127.0.0.1:0 --grace 0.2 --sh 'echo $$; exec sleep 1000'");
    let client = connect(server.announced_port());
    let mut id = String::new();
    BufReader::new(&client).read_line(&mut id).unwrap();
    server.signal("HUP");
    assert_eq!(read_to_reset(&client), b"");
    server.ends(129);
    assert!(!is_alive(id.trim()));
    let mut server = terminal("udp-serve 127.0.0.1:0 --echo");
    server.shows("listening on");
    server.signal("HUP");
    server.ends(129);
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
    client.shows("connection closed by");
    client.press("\r");
    let text = client.ends(0);
    assert!(text.contains("not sent: half"), "{text}");
}

#[test]
fn a_closed_window_ends_it() {
    let (mut client, peer) = connected("");
    client.press("half").awaits(">>> half");
    client.close();
    let code = client.wait();
    assert!([0, 129].contains(&code), "{code}");
    assert_eq!(read_to_either(&peer), (Vec::new(), code == 0));
}

#[test]
fn a_failure_before_the_prompt_leaves_it_alone() {
    let mut client = terminal("connect 127.0.0.1:1");
    let text = client.ends(3);
    assert_eq!(text, "sockctl: connect to 127.0.0.1:1: connection refused (ECONNREFUSED 111)");
}
