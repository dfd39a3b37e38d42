//! However it ends, the terminal is as it was.

use std::io::Write;
use std::time::Duration;

use super::conversation::connected;
use super::pty::terminal;
use crate::run::{connect, program, read_all, until};

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
        server.address();
        server.press("half").awaits(">>> half");
        server.signal(signal);
        let text = server.ends(0);
        assert!(text.ends_with("not sent: half"), "{signal}: {text}");
    }
}

#[test]
fn the_second_signal_restores_it_at_once() {
    let mut server = terminal("serve --grace 60s 127.0.0.1:0");
    let mut client = connect(server.port());
    server.shows("joined");
    // Something arrives all the time: the server would wait for it.
    let busy = std::thread::spawn(move || {
        while client.write_all(b"more\n").is_ok() {
            std::thread::sleep(Duration::from_millis(50)); // the rate
        }
    });
    server.shows("more");
    server.signal("TERM");
    until("it no longer listens", || {
        std::net::TcpStream::connect(("127.0.0.1", server.port())).is_err()
    });
    server.signal("TERM");
    server.ends(0);
    busy.join().unwrap();
}

#[test]
fn the_death_of_the_peer_restores_it() {
    let listening = program("python3", ["-u", "-c", PEER]).start();
    let port = listening.stdout_has("\n").trim().to_string();
    let mut client = terminal(format!("connect 127.0.0.1:{port}"));
    client.awaits(">>>");
    client.enter("hi");
    listening.stdout_has("hi");
    client.press("half");
    listening.signal("KILL");
    let text = client.ends(0);
    assert!(text.contains("not sent: half"), "{text}");
}

/// Accepts one client and shows what it says.
const PEER: &str = "
import socket
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1])
peer, _ = server.accept()
while True:
    print(peer.recv(1024))
";

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
