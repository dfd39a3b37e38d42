//! `udp-serve` and `udp-send` with people at them.

use std::net::UdpSocket;

use super::pty::terminal;
use crate::run::{datagram, datagrams};

#[track_caller]
fn receives(socket: &UdpSocket, wanted: &str) {
    assert_eq!(String::from_utf8_lossy(&datagram(socket)), wanted);
}

#[test]
fn a_server_answers_the_last_peer_or_a_given_one() {
    let mut server = terminal("udp-serve 127.0.0.1:0");
    let port = server.port();
    server.enter("lost").ends_in(&["! no datagram received yet: not sent", ">>>"]);
    let (first, second) = (datagrams(), datagrams());
    let addresses = [&first, &second].map(|socket| socket.local_addr().unwrap());
    first.send_to(b"one\n", ("127.0.0.1", port)).unwrap();
    server.ends_in(&[&format!("{} one", addresses[0]), ">>>"]);
    server.enter("to the first");
    receives(&first, "to the first");
    server.press("half").awaits(">>> half");
    second.send_to(b"two", ("127.0.0.1", port)).unwrap();
    server.ends_in(&[&format!("{} two", addresses[1]), ">>> half"]);
    server.press(" for the second\r");
    receives(&second, "half for the second");
    server.enter(&format!("@{} back to you", addresses[0]));
    receives(&first, "back to you");
    server.enter("@none lost");
    server.ends_in(&["! not an address: not sent (@192.0.2.1:5000 text)", ">>>"]);
    server.press("\x1b[200~a\nb\x1b[201~\r");
    receives(&second, "a");
    receives(&second, "b");
    server.enter("/help").ends_in(&["-- a leading space sends such a line as text", ">>>"]);
    server.enter("/who").ends_in(&["! no command 'who'; /help lists them", ">>>"]);
    server.enter(" /who");
    receives(&second, "/who");
    server.press("typed").awaits(">>> typed");
    server.signal("TERM");
    assert!(server.ends(0).ends_with("not sent: typed"));
}

#[test]
fn every_way_to_leave_a_datagram_prompt() {
    for (keys, serve, send) in [("/quit\r", 0, 0), ("\x04", 0, 0), ("\x03", 0, 130)] {
        for talk in ["", "--talk"] {
            let mut server = terminal(format!("udp-serve 127.0.0.1:0 {talk}"));
            let address = server.address();
            let mut client = terminal(format!("udp-send {address} {talk}"));
            client.awaits(">>>");
            client.press(keys);
            client.ends(send);
            server.press(keys);
            server.ends(serve);
        }
    }
}

#[test]
fn a_prompt_that_was_left_shows_what_comes_for_the_linger_time() {
    let peer = datagrams();
    let mut client =
        terminal(format!("udp-send {} --talk --linger 1s", peer.local_addr().unwrap()));
    client.awaits(">>>");
    client.enter("hello");
    let (_, from) = peer.recv_from(&mut [0; 64]).unwrap();
    client.press("\x04");
    peer.send_to(b"late", from).unwrap();
    client.shows("late");
    client.ends(0);
}

#[test]
fn each_line_is_a_datagram_and_answers_appear_above_the_next() {
    let peer = datagrams();
    let address = peer.local_addr().unwrap().to_string();
    let mut client = terminal(format!("udp-send {address}"));
    client.awaits(">>>");
    client.enter("hello");
    let mut buffer = [0; 64];
    let (count, from) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"hello");
    client.press("next").awaits(">>> next");
    peer.send_to(b"answer", from).unwrap();
    client.ends_in(&[&format!("{address} answer"), ">>> next"]);
    client.press("\r");
    receives(&peer, "next");
    client.enter("");
    receives(&peer, "");
    // A closed port is an error line, and the prompt goes on.
    drop(peer);
    // What another test has forked holds it until it is executed.
    let probe = datagrams();
    probe.connect(&address).unwrap();
    while probe.send(b"").is_ok() {}
    client.enter("into the void").shows("connection refused (ECONNREFUSED 111)");
    client.awaits(">>>");
    client.press("half").awaits(">>> half");
    client.signal("TERM");
    assert!(client.ends(143).ends_with("not sent: half"));
}
