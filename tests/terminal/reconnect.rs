//! `connect --reconnect` at the prompt: the line being typed, the history and the name stay.

use std::io::Write;
use std::net::TcpListener;

use super::conversation::reads;
use super::pty::{Terminal, terminal};
use crate::run::{REFUSED, RESET, accept, listen, listener, read_all, reset, until_refused};

fn client(flags: &str) -> (Terminal, TcpListener, String) {
    let (listener, address) = listener();
    (terminal(format!("connect {address} {flags}")), listener, address)
}

#[test]
fn the_line_the_history_and_the_name_stay() {
    let (mut client, listener, address) = client("--reconnect=200ms --nick ann");
    let port = listener.local_addr().unwrap().port();
    let peer = accept(&listener);
    client.awaits(">>>");
    client.enter("before").press("half a li").awaits(">>> half a li");
    reads(&peer, "/nick ann\nbefore\n");
    drop(listener);
    reset(peer);
    client.shows(&format!("connection lost: {RESET}; reconnecting in 200ms"));
    client.shows(&format!("connect to {address}: {REFUSED}; trying again in 200ms"));
    client.press("ne").awaits(">>> half a line");
    let listener = listen(port);
    let mut peer = accept(&listener);
    client.shows(&format!("reconnected to {address}"));
    peer.write_all(b"hello again\n").unwrap();
    client.ends_in(&["<<< hello again", ">>> half a line"]);
    client.press("\r\x1b[A\x1b[A\r");
    reads(&peer, "/nick ann\nhalf a line\nbefore\n");
    client.enter("/quit");
    assert_eq!(read_all(&peer), b"");
    drop(peer);
    client.ends(0);
}

#[test]
fn a_name_that_was_typed_stays_in_a_room_too() {
    let mut server = terminal("serve --room 127.0.0.1:0");
    let (address, port) = (server.address(), server.port());
    let mut client = terminal(format!("connect {address} --reconnect=100ms --nick ann"));
    client.shows("-- guest1 is now ann");
    client.enter("/nick Anna").shows("-- ann is now Anna");
    client.press("half").awaits(">>> half");
    server.quits();
    client.shows("reconnecting in 100ms");
    let mut server = terminal(format!("serve --room {port}"));
    client.shows("-- guest1 is now Anna");
    server.ends_in(&["-- guest1 is now Anna", ">>>"]);
    client.press(" a line\r");
    server.ends_in(&["<Anna> half a line", ">>>"]);
    server.enter("hello Anna").ends_in(&[">>> hello Anna", ">>>"]);
    client.shows("<server> hello Anna");
    client.quits();
    server.quits();
}

#[test]
fn a_name_that_is_taken_is_asked_for_again_once_it_is_free() {
    let mut server = terminal("serve --room 127.0.0.1:0");
    let address = server.address();
    let mut other = terminal(format!("connect {address} --nick ann"));
    other.shows("-- guest1 is now ann");
    let mut client = terminal(format!("connect {address} --nick ann"));
    client.shows("! ann is taken");
    client.enter("/nick bob").shows("-- guest2 is now bob");
    client.enter("/nick ANN").shows("! ANN is taken");
    other.quits();
    client.shows("-- ann left");
    client.enter("/me stays bob").awaits(">>>");
    server.shows("* bob stays bob");
    client.quits();

    let mut other = terminal(format!("connect {address} --nick ann"));
    other.shows("-- guest3 is now ann");
    let mut client = terminal(format!("connect {address} --nick ann"));
    client.shows("! ann is taken");
    other.quits();
    client.shows("-- guest4 is now ann");
    client.quits();
    server.quits();
}

#[test]
fn what_is_entered_meanwhile_is_told_and_one_can_leave() {
    for (keys, status) in [("/quit\r", 0), ("q\r", 0), ("\x04", 0), ("\x03", 130)] {
        let (mut client, listener, address) = client("--reconnect=1h");
        let port = listener.local_addr().unwrap().port();
        let peer = accept(&listener);
        client.awaits(">>>");
        drop(listener);
        until_refused(port);
        drop(peer);
        client.shows("connection lost: the peer closed the connection; reconnecting in 1s");
        client.shows(&format!("connect to {address}: {REFUSED}; trying again in 2s"));
        client.enter("lost?").ends_in(&["not sent: lost?", ">>>"]);
        client.press("half\x03").awaits(">>>"); // Ctrl-C clears it, as before
        client.press(keys);
        client.ends(status);
    }
}

#[test]
fn a_wait_that_has_run_out_keeps_the_line() {
    let (mut client, listener, _) = client("--reconnect=200ms --wait 500ms");
    let peer = accept(&listener);
    client.awaits(">>>");
    client.press("half").awaits(">>> half");
    drop(listener);
    drop(peer);
    client.shows("still so after 500ms");
    client.shows("Enter leaves");
    client.press("\r");
    assert!(client.ends(4).ends_with("not sent: half"));
}
