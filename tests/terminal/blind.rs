//! What is typed while the peer ends: nothing of it is lost, and nothing reaches the shell.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::conversation::reads;
use super::pty::{Terminal, anything_there, terminal};
use crate::run::{BINARY, accept, connect, listener, read_all, reset};

/// A shell in which sockctl is connected, and the other end of its connection.
fn connected(flags: &str) -> (Terminal, TcpStream) {
    let (listener, address) = listener();
    let words = ["bash", "--norc", "--noprofile", "-i"];
    let shell = anything_there(words).env("PS1", "shell$ ").env("HISTFILE", "");
    let shell = Terminal::start(shell, 80);
    shell.awaits("shell$");
    shell.enter(&format!("{BINARY} connect -q {address} {flags}; echo status $?"));
    let peer = accept(&listener);
    shell.awaits(">>>");
    (shell, peer)
}

/// The shell is back, and has got nothing but what is entered now.
fn back(shell: &mut Terminal, status: i32) -> String {
    shell.ends_in(&[&format!("status {status}"), "shell$"]);
    let text = shell.enter("exit 5").until("its end", |text| text.ends_with("exit"));
    assert_eq!(shell.wait(), 5);
    let (before, after) = text.rsplit_once(&format!("status {status}\n")).unwrap();
    assert_eq!(after, "shell$ exit 5\nexit");
    before.split_once('\n').unwrap().1.trim_end().into()
}

#[test]
fn a_word_that_is_being_typed_as_the_peer_ends_is_told_and_is_no_command() {
    let (mut shell, peer) = connected("");
    // The rate of a person who looks elsewhere; the peer ends after the fourth key.
    for (n, key) in "exit 1".char_indices() {
        if n == 4 {
            peer.shutdown(Shutdown::Write).unwrap();
            shell.shows("connection closed by");
        }
        shell.press(key.to_string());
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(700)); // longer than an empty prompt stays
    shell.press("\r");
    let text = back(&mut shell, 0);
    assert!(text.ends_with(">>> exit 1\nnot sent: exit 1"), "{text}");
}

#[test]
fn a_word_begun_just_after_the_peer_has_ended_is_told_too() {
    let (mut shell, peer) = connected("");
    drop(peer);
    shell.shows("connection closed by");
    shell.press("exit 1\rexit 2\r");
    let text = back(&mut shell, 0);
    for told in ["not sent: exit 1", "not sent: exit 2"] {
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn a_good_bye_as_the_peer_ends_does_not_log_out() {
    for keys in
        ["\x04", "\x04\x04\x04", "\x03", "bye\r\x04", "q\rexit 1\r", "\x15/quit\r\x04exit 1\r"]
    {
        let (mut shell, peer) = connected("");
        peer.shutdown(Shutdown::Write).unwrap();
        shell.shows("connection closed by");
        shell.press(keys);
        back(&mut shell, 0);
        assert_eq!(read_all(&peer), b"");
    }
}

#[test]
fn another_good_bye_behind_the_first_does_not_log_out_either() {
    let (mut shell, peer) = connected("");
    shell.press("half").awaits(">>> half");
    peer.shutdown(Shutdown::Write).unwrap();
    shell.shows("connection closed by");
    shell.press("\x04").shows("not sent: half");
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(150));
        shell.press("\x04");
    }
    back(&mut shell, 0);
}

#[test]
fn a_reset_is_told_at_once_and_nothing_reaches_the_shell() {
    let (mut shell, peer) = connected("");
    shell.press("exit").awaits(">>> exit");
    reset(peer);
    shell.shows("connection reset by peer");
    shell.shows("Enter leaves");
    shell.press(" 1\x04");
    let text = back(&mut shell, 7);
    assert!(text.ends_with(">>> exit 1\nnot sent: exit 1"), "{text}");
    assert_eq!(text.matches("sockctl: ").count(), 1, "{text}");
}

#[test]
fn what_is_typed_after_leaving_is_for_the_shell() {
    let (mut shell, peer) = connected("");
    shell.enter("/quit");
    reads(&peer, "");
    assert_eq!(read_all(&peer), b"");
    shell.press("echo typed ahead\r");
    drop(peer);
    shell.ends_in(&["typed ahead", "shell$"]);
    shell.press("exit 0\r");
    assert_eq!(shell.wait(), 0);
}

#[test]
fn a_server_of_one_client_keeps_the_line_too() {
    let mut server = terminal("serve --once 127.0.0.1:0");
    let mut client = connect(server.port());
    client.write_all(b"hi\n").unwrap();
    server.ends_in(&["[1] hi", ">>>"]);
    server.press("half").awaits(">>> half");
    drop(client);
    server.shows(" left");
    std::thread::sleep(Duration::from_millis(700)); // longer than an empty prompt stays
    server.press(" a line\r");
    let text = server.ends(0);
    assert!(text.ends_with(">>> half a line\n! no client is connected: not sent"), "{text}");
}

#[test]
fn a_signal_or_a_closed_window_ends_a_prompt_that_keeps_a_line() {
    for signal in ["TERM", "INT"] {
        let (listener, address) = listener();
        let mut client = terminal(format!("connect {address}"));
        let peer = accept(&listener);
        client.awaits(">>>");
        client.press("half").awaits(">>> half");
        drop(peer);
        client.shows("Enter leaves");
        client.signal(signal);
        let text = client.ends(if signal == "TERM" { 143 } else { 130 });
        assert!(text.ends_with("not sent: half"), "{text}");
    }
}
