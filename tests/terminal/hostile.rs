//! What peers send, files hold and people type comes to a terminal as visible notation (row 46), and
//! a terminal that takes no output keeps no run from its end (row 109).

use std::io::Write;

use super::conversation::{connected, ends, quits, reads};
use super::pty::{Terminal, anything_there, terminal};
use crate::auth::key_line;
use crate::run::{BINARY, Folder, Running, Words, connect, datagrams, sockctl, until};

/// A title, the clipboard, colours, cursor movement, C1, bidi, a carriage return, broken UTF-8.
const HOSTILE: &[u8] =
    b"\x1b]0;owned\x07\x1b]52;c;aGk=\x07\x1b[2J\x1b[31m\xc2\x9b2J\xe2\x80\xaetxt\rover\xff\x00\x7f.\n";
const VISIBLE: &str =
    r"\x1b]0;owned\x07\x1b]52;c;aGk=\x07\x1b[2J\x1b[31m\u{9b}2J\u{202e}txt\rover\xff\x00\x7f.";

#[test]
fn row_46_hostile_text_is_visible_notation_at_every_prompt() {
    let (client, mut peer) = connected("");
    client.press("half");
    peer.write_all(HOSTILE).unwrap();
    client.until(VISIBLE, |text| text.replace('\n', "").ends_with(&format!("{VISIBLE}>>> half")));

    let server = terminal("serve 127.0.0.1:0");
    let mut peer = connect(server.port());
    peer.write_all(HOSTILE).unwrap();
    let wanted = format!("[1] {VISIBLE}>>>");
    server.until(&wanted, |text| text.replace('\n', "").ends_with(&wanted));

    let server = terminal("udp-serve 127.0.0.1:0");
    let socket = datagrams();
    socket.send_to(HOSTILE, ("127.0.0.1", server.port())).unwrap();
    let wanted = format!("{} {VISIBLE}>>>", socket.local_addr().unwrap());
    server.until(&wanted, |text| text.replace('\n', "").ends_with(&wanted));
}

#[test]
fn row_46_raw_lets_it_through() {
    let (client, mut peer) = connected("--raw");
    peer.write_all(b"\x1b[31mred\n").unwrap();
    client.ends_in(&["<<< red", ">>>"]);
    assert_eq!(client.color_of("red"), vt100::Color::Idx(1));
}

/// sockctl with these words and this as its stdin: no prompt, though stdout is a terminal.
#[track_caller]
fn without_prompt(stdin: &str, words: impl Words) -> Terminal {
    let line = r#"stdin=$1; shift; exec "$0" "$@" <>"$stdin""#;
    let program = anything_there(["sh", "-c", line, BINARY, stdin]).args(words);
    Terminal::start(program.env("SOCKCTL_KEY", key_line("ann", [1; 32])), 80)
}

/// The other end of a server: a socket, or `auth-connect`.
#[track_caller]
fn guest(command: &str, port: u16) -> Running {
    let client = sockctl(format!("{command} {port}"));
    client.env("SOCKCTL_KEY", key_line("ann", [1; 32])).start()
}

#[test]
fn row_46_a_server_without_prompt_shows_each_client_escaped_and_its_characters_whole() {
    let folder = Folder::new();
    let (silent, _open) = (folder.text("silent"), folder.fifo("silent"));
    for (serve, connect) in [("serve", "connect"), ("auth-serve", "auth-connect")] {
        let server = without_prompt(&silent, format!("{serve} --color never 127.0.0.1:0"));
        let port = server.announced_port();
        let mut one = guest(connect, port);
        server.shows("[1] ");
        let mut other = guest(connect, port);
        server.shows("[2] ");
        one.send("1\u{20ac}".as_bytes().split_last().unwrap().1);
        server.shows("\n1");
        other.send("2\u{1f680}".as_bytes().split_last().unwrap().1);
        server.shows("\n12");
        one.send("\u{20ac}\n".as_bytes().split_at(2).1);
        server.shows("\n12€");
        other.send("\u{1f680}\n".as_bytes().split_at(3).1);
        server.shows("\n12€\n🚀");
        one.send(HOSTILE);
        server.until(VISIBLE, |text| text.replace('\n', "").contains(VISIBLE));
        assert!(!server.raw().contains(&0x1b), "{serve}");

        let server =
            without_prompt("/dev/null", format!("{serve} --once --color never 127.0.0.1:0"));
        let mut only = guest(connect, server.announced_port());
        only.feed(HOSTILE.into());
        server.until(VISIBLE, |text| text.replace('\n', "").contains(VISIBLE));
        assert!(!server.raw().contains(&0x1b), "{serve} --once");
    }
    let server = without_prompt("/dev/null", "serve --raw 127.0.0.1:0");
    connect(server.announced_port()).write_all(b"\x1b[31mred\n").unwrap();
    assert_eq!(server.color_of("red"), vt100::Color::Idx(1));
}

#[test]
fn row_46_datagrams_are_escaped_without_a_prompt_too() {
    let peer = datagrams();
    let address = peer.local_addr().unwrap();
    let asks = |flag: &str| {
        let client = without_prompt("/dev/null", format!("udp-send {address} hi --reply {flag}"));
        let (_, from) = peer.recv_from(&mut [0; 8]).unwrap();
        peer.send_to(if flag.is_empty() { HOSTILE } else { b"\x1b[31mred" }, from).unwrap();
        client
    };
    let mut client = asks("");
    let text = client.ends(0).replace('\n', "");
    assert_eq!(text, VISIBLE);
    let mut client = asks("--raw");
    client.ends(0);
    assert_eq!(client.color_of("red"), vt100::Color::Idx(1));

    let server = without_prompt("/dev/null", "udp-serve 127.0.0.1:0");
    peer.send_to(HOSTILE, ("127.0.0.1", server.announced_port())).unwrap();
    server.shows("over\\xff");
    assert!(server.raw().iter().all(|&byte| byte == b'\n' || byte == b'\r' || byte >= b' '));
    assert!(server.raw().is_ascii());
}

#[test]
fn row_46_what_was_typed_is_escaped_where_it_is_repeated() {
    let hidden = "\u{202e}\u{ad}x";
    let server = terminal("serve 127.0.0.1:0");
    server.address();
    server.enter(&format!("@{hidden} hi"));
    server.shows(r"! no client @\u{202e}\u{ad}x: not sent");
    server.enter(&format!("/kick {hidden}"));
    server.shows(r"! no client '\u{202e}\u{ad}x' to kick");

    let (mut client, peer) = connected("");
    client.press(format!("\x1b[200~/quit\r{hidden}\x1b[201~\r"));
    client.shows(r"not sent: \u{202e}\u{ad}x");
    ends(&mut client, &peer);
}

#[test]
fn row_46_lines_of_a_history_that_cannot_be_shown_as_they_are_are_left_out() {
    let folder = Folder::new();
    let kept = "#V2\nfirst\n\x1b]0;owned\x07\n\u{9b}2J\nsec\tond\n\u{202e}txt\n";
    let path = folder.file("history", kept);
    let (mut client, peer) = connected(&format!("--history {path}"));
    client.press("\x1b[A").awaits(">>> sec ond");
    client.press("\x1b[A").awaits(">>> first");
    client.press("\x1b[A").awaits(">>> first");
    client.press("\x1b[B\x1b[B").awaits(">>>");
    client.enter("third");
    reads(&peer, "third\n");
    client.awaits(">>>");
    quits(&mut client, &peer);
    assert!(!String::from_utf8_lossy(&client.raw()).contains("owned"));
    // The file has what it had, and what was entered.
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{kept}third\n/quit\n"));
}

#[test]
fn row_109_a_terminal_that_takes_no_output_keeps_no_server() {
    for (command, has_prompt) in [
        ("serve --grace 500ms", true),
        ("serve --grace 500ms --room", true),
        ("udp-serve", true),
        ("serve --grace 500ms", false),
        ("serve --grace 500ms --room", false),
        ("udp-serve", false),
    ] {
        let words = format!("{command} 127.0.0.1:0");
        let mut server =
            if has_prompt { terminal(words) } else { without_prompt("/dev/null", words) };
        let port = if has_prompt { server.port() } else { server.announced_port() };
        server.freeze();
        if command.starts_with("udp") {
            let socket = datagrams();
            for _ in 0..2000 {
                socket.send_to(&[b'x'; 1000], ("127.0.0.1", port)).unwrap();
            }
        } else {
            let mut client = connect(port);
            client.set_nonblocking(true).unwrap();
            let lines = [[b'x'; 99].as_slice(), b"\n"].concat().repeat(1000);
            let (mut sent, mut full) = (0, 0);
            // A conversation is not read once its queue is full; a room is, and leaves lines out.
            until("the server is full", || {
                match client.write(&lines) {
                    Ok(count) => (sent, full) = (sent + count, 0),
                    Err(_) => full += 1,
                }
                full > 50 || sent > 16 << 20
            });
            std::mem::forget(client);
        }
        server.signal("TERM");
        assert_eq!(server.wait(), 0, "{command} {has_prompt}");
        assert!(server.is_cooked(), "{command} {has_prompt}");
    }
}
