//! `serve` and `connect` with people at them.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::pty::{Terminal, sockctl_there, terminal};
use crate::run::{Program, RESET, accept, connect, listener, read_all, reset, take};

/// `connect` at a terminal, and the other end of its connection.
#[track_caller]
pub fn connected(flags: &str) -> (Terminal, TcpStream) {
    let (terminal, peer) = connected_as(flags, 80, |program| program);
    let connected = format!("connected to {}", peer.local_addr().unwrap());
    terminal.ends_in(&[&connected, "q or Ctrl-D leaves", ">>>"]);
    (terminal, peer)
}

/// The same in a window of this width, the program changed before it starts.
#[track_caller]
pub fn connected_as(
    flags: &str,
    columns: u16,
    change: impl FnOnce(Program) -> Program,
) -> (Terminal, TcpStream) {
    let (listener, address) = listener();
    let program = change(sockctl_there(format!("connect {address} {flags}")));
    let terminal = Terminal::start(program, columns);
    let peer = accept(&listener);
    terminal.came(">>> ");
    (terminal, peer)
}

/// The peer ends its side and reads what is left; the client ends, in good order. (A peer that
/// leaves something unread would reset the connection.)
#[track_caller]
pub fn ends(client: &mut Terminal, peer: &TcpStream) -> String {
    let _ = peer.shutdown(Shutdown::Write);
    read_all(peer);
    client.ends(0)
}

/// The same once `/quit` is entered.
#[track_caller]
pub fn quits(client: &mut Terminal, peer: &TcpStream) -> String {
    client.enter("/quit");
    ends(client, peer)
}

/// Reads exactly this.
#[track_caller]
pub fn reads(peer: &TcpStream, wanted: &str) {
    assert_eq!(String::from_utf8_lossy(&take(peer, wanted.len())), wanted);
}

/// Sends `message 0.`, `message 1.` and so on, fifty a second, while a person types.
pub fn among_messages(mut talker: &TcpStream, types: impl FnOnce()) {
    let is_typing = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if !is_typing.load(Ordering::SeqCst) {
                    return;
                }
                talker.write_all(format!("message {n}.\n").as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(20)); // the rate
            }
        });
        types();
        is_typing.store(false, Ordering::SeqCst);
    });
}

/// A client that has joined a server at a terminal.
#[track_caller]
fn joins(server: &Terminal, id: u64) -> TcpStream {
    let client = connect(server.port());
    let address = client.local_addr().unwrap();
    server.ends_in(&[&format!("[{id}] {address} joined"), ">>>"]);
    client
}

#[test]
fn two_terminals_chat_while_a_third_client_joins_and_leaves() {
    let mut server = terminal("serve 127.0.0.1:0");
    let address = server.address();
    let mut client = terminal(format!("connect {address}"));
    client.ends_in(&[&format!("connected to {address}"), "q or Ctrl-D leaves", ">>>"]);
    server.shows(" joined");
    client.enter("hello from the client");
    server.ends_in(&["[1] hello from the client", ">>>"]);
    server.enter("hello from the server");
    client.ends_in(&[">>> hello from the client", "<<< hello from the server", ">>>"]);

    let mut third = joins(&server, 2);
    let third_address = third.local_addr().unwrap();
    third.write_all(b"hi all\n").unwrap();
    server.ends_in(&["[2] hi all", ">>>"]);
    server.enter("this is for all");
    client.ends_in(&["<<< this is for all", ">>>"]);
    reads(&third, "this is for all\n");
    drop(third);
    server.ends_in(&[&format!("[2] {third_address} left"), ">>>"]);

    client.enter("q");
    client.ends(0);
    server.shows("[1] q");
    server.until("[1] … left", |text| {
        let mut lines = text.lines();
        lines.any(|line| line.starts_with("[1]") && line.ends_with(" left"))
    });
    server.quits();
}

#[test]
fn at_id_speaks_to_one_client_and_an_unknown_id_to_none() {
    let mut server = terminal("serve 127.0.0.1:0");
    let first = joins(&server, 1);
    let second = joins(&server, 2);
    server.enter("@2 for the second");
    for id in ["@3", "@x", "@", "@22"] {
        server.enter(&format!("{id} lost"));
        server.ends_in(&[&format!("! no client {id}: not sent (/who lists them)"), ">>>"]);
    }
    server.enter(" @3 as text");
    server.enter("for all");
    server.quits();
    assert_eq!(read_all(&first), b"@3 as text\nfor all\n");
    assert_eq!(read_all(&second), b"for the second\n@3 as text\nfor all\n");
}

#[test]
fn who_lists_kick_throws_out_and_quit_ends_the_server() {
    let mut server = terminal("serve 127.0.0.1:0");
    server.address();
    server.enter("/who").ends_in(&[">>> /who", "no client is connected", ">>>"]);
    server.enter("lost").ends_in(&["! no client is connected: not sent", ">>>"]);
    let first = joins(&server, 1);
    let second = joins(&server, 2);
    let addresses = [&first, &second].map(|client| client.local_addr().unwrap());
    server.enter("/who").ends_in(&[
        &format!("[1] {}", addresses[0]),
        &format!("[2] {}", addresses[1]),
        ">>>",
    ]);
    server.enter("/kick 3").ends_in(&["! no client '3' to kick (/who lists them)", ">>>"]);
    server.enter("/kick 1").ends_in(&[&format!("[1] {} left (kicked)", addresses[0]), ">>>"]);
    assert_eq!(read_all(&first), b"");
    server.enter("/other").ends_in(&["! no command 'other'; /help lists them", ">>>"]);
    server.enter(" /other is sent");
    reads(&second, "/other is sent\n");
    server.quits();
    assert_eq!(read_all(&second), b"");
}

#[test]
fn q_is_sent_and_leaves_and_what_still_comes_is_shown() {
    let (mut client, mut peer) = connected("");
    client.enter("q");
    assert_eq!(read_all(&peer), b"q\n");
    peer.write_all(b"good bye\n").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert!(client.ends(0).ends_with(">>> q\n<<< good bye"));
}

#[test]
fn quit_and_the_end_of_input_leave_without_a_word() {
    for keys in ["/quit\r", "\x04"] {
        let (mut client, peer) = connected("");
        client.enter("text").press(keys);
        assert_eq!(read_all(&peer), b"text\n", "{keys:?}");
        ends(&mut client, &peer);
    }
}

#[test]
fn leaving_waits_for_a_silent_peer_as_long_as_linger_says() {
    let (mut client, peer) = connected("--linger 300ms");
    client.enter("q");
    let began = Instant::now();
    client.ends(0);
    assert!(began.elapsed().as_millis() >= 250);
    reads(&peer, "q\n");
}

#[test]
fn a_leading_space_makes_text_of_a_command_and_other_slashes_are_text() {
    let (mut client, peer) = connected("");
    for line in [" q", " /quit", "/who", "/kick 1", "@1 hi", "", "  two"] {
        client.enter(line);
    }
    client.enter("/quit");
    assert_eq!(read_all(&peer), b"q\n/quit\n/who\n/kick 1\n@1 hi\n\n  two\n");
    ends(&mut client, &peer);
}

#[test]
fn lines_end_as_asked() {
    for (flag, sent) in
        [("--crlf", "one\r\ntwo\r\n"), ("-C", "one\r\ntwo\r\n"), ("--no-newline", "onetwo")]
    {
        let (mut client, peer) = connected(flag);
        client.enter("one").enter("two").press("\x04");
        assert_eq!(String::from_utf8(read_all(&peer)).unwrap(), sent, "{flag}");
        ends(&mut client, &peer);
    }
}

#[test]
fn a_peer_without_newlines_is_shown_after_a_moment_of_quiet() {
    let (mut client, mut peer) = connected("");
    peer.write_all(b"no newline").unwrap();
    client.ends_in(&["<<< no newline", ">>>"]);
    peer.write_all(b"next").unwrap();
    client.ends_in(&["<<< no newline", "<<< next", ">>>"]);
    // The end of a line that was shown already adds no empty one.
    peer.write_all(b"\nmore\n").unwrap();
    client.ends_in(&["<<< next", "<<< more", ">>>"]);
    peer.write_all("split 漢".as_bytes()).unwrap();
    client.ends_in(&["<<< split 漢", ">>>"]);
    ends(&mut client, &peer);
}

#[test]
fn a_reset_is_told_and_is_a_failure() {
    let (mut client, peer) = connected("");
    let address = peer.local_addr().unwrap();
    client.press("half a li").awaits(">>> half a li");
    reset(peer);
    let error = format!("sockctl: connection to {address}: {RESET}");
    client.shows("Enter leaves");
    client.press("\x03");
    let text = client.ends(7);
    assert!(text.ends_with(">>> half a li\nnot sent: half a li"), "{text}");
    assert_eq!(text.matches(&error).count(), 1, "{text}");
}

#[test]
fn once_ends_with_its_only_client() {
    let mut server = terminal("serve --once 127.0.0.1:0");
    let mut client = joins(&server, 1);
    client.write_all(b"hi\n").unwrap();
    server.ends_in(&["[1] hi", ">>>"]);
    server.enter("hello");
    reads(&client, "hello\n");
    drop(client);
    server.ends(0);
}

#[test]
fn json_goes_to_the_terminal_without_disturbing_it() {
    let (mut client, mut peer) = connected_as("--json", 80, |program| program);
    client.press("half").awaits(">>> half");
    peer.write_all(b"hi\n").unwrap();
    client.ends_in(&["<<< hi", ">>> half"]);
    let text = client.text();
    assert!(text.contains(r#"{"event":"message","id":1,"text":"hi","t":"#), "{text}");
    client.press("\r\x04");
    ends(&mut client, &peer);
}

#[test]
fn a_deadline_and_silence_end_it_in_good_order() {
    for (flags, cause, keys) in [
        ("--deadline 500ms", "the deadline has passed", ""),
        ("--idle-timeout 500ms", "idle timeout: no data for 500ms (-i)", "\x04"),
        ("--idle-timeout 200ms --deadline 1s", "idle timeout: no data for 200ms (-i)", ""),
    ] {
        let (mut client, peer) = connected(flags);
        client.press("half");
        client.shows(cause);
        client.press(keys);
        let text = client.ends(4);
        assert!(text.contains(cause) && text.contains("not sent: half"), "{text}");
        drop(peer);
    }
}
