//! What keys do at the prompt.

use std::io::Write;
use std::time::Duration;

use super::conversation::{connected, ends, quits, reads};
use super::pty::terminal;
use crate::run::{connect, read_all, until};

#[test]
fn ctrl_c_at_a_server_stops_it_in_good_order() {
    let mut server = terminal("serve 127.0.0.1:0");
    server.address();
    server.press("half").awaits(">>> half");
    server.press("\x03").awaits(">>>");
    server.press("\x03");
    server.ends(0);
}

#[test]
fn keys_pressed_in_one_burst_are_all_heard() {
    let (mut client, peer) = connected("");
    client.press("one\rtwo\rdropped\x03three\rfour\x7f\x7fx\r");
    reads(&peer, "one\ntwo\nthree\nfox\n");
    client.press("last\r\x04");
    assert_eq!(read_all(&peer), b"last\n");
    ends(&mut client, &peer);
}

#[test]
fn history_is_walked_and_searched() {
    let (mut client, peer) = connected("");
    client.enter("first line").enter("second line");
    reads(&peer, "first line\nsecond line\n");
    client.press("\x1b[A").awaits(">>> second line");
    client.press("\x1b[A").awaits(">>> first line");
    client.press("\x1b[B").awaits(">>> second line");
    client.press("\x1b[B").awaits(">>>");
    client.press("\x12fir").shows("(reverse-i-search)`fir': first line");
    client.press("\r").awaits(">>>");
    reads(&peer, "first line\n");
    client.press("\x12sec").shows("`sec': second line");
    client.press("\x07").awaits(">>>"); // Ctrl-G gives up
    client.enter("/quit");
    assert_eq!(read_all(&peer), b"");
    ends(&mut client, &peer);
}

#[test]
fn a_search_holds_messages_back_only_until_the_next_key() {
    let (mut client, mut peer) = connected("");
    client.enter("needle");
    reads(&peer, "needle\n");
    client.press("\x12n").shows("`n': needle");
    for n in 0..20 {
        peer.write_all(format!("while searching {n}\n").as_bytes()).unwrap();
    }
    client.press("e").shows("`ne': needle");
    client.press("\r");
    reads(&peer, "needle\n");
    client.came("while searching 19");
    client.awaits(">>>");
    // If the peer ends in the middle of a search, what is held back is not lost.
    client.press("\x12n").shows("`n': needle");
    peer.write_all(b"last words\n").unwrap();
    drop(peer);
    std::thread::sleep(Duration::from_millis(300)); // nothing shows that the end has come
    client.press("\r");
    let text = client.ends(0);
    assert!(text.contains("last words\n"), "{text}");
    assert!(text.ends_with("not sent: needle"), "{text}");
}

#[test]
fn a_lone_escape_holds_nothing_up() {
    let (mut client, mut peer) = connected("");
    client.press("text\x1b");
    peer.write_all(b"comes all the same\n").unwrap();
    client.ends_in(&["<<< comes all the same", ">>> text"]);
    client.press("\r");
    reads(&peer, "text\n");
    client.press("\x04");
    ends(&mut client, &peer);
}

#[test]
fn a_pasted_block_enters_the_line_and_enter_sends_every_line() {
    let (mut client, peer) = connected("");
    client.press("\x1b[200~one\r\ntwo\rthree\x1b[201~").ends_in(&[">>> one", "two", "three"]);
    client.press("!\r");
    reads(&peer, "one\ntwo\nthree!\n");
    client.press("\x1b[200~a\nb\n\x1b[201~\r");
    reads(&peer, "a\nb\n"); // not a third, empty one
    quits(&mut client, &peer);
}

#[test]
fn lines_pasted_without_brackets_are_entered_one_by_one() {
    let (mut client, peer) = connected("");
    let lines: String = (0..1000).fold(String::new(), |all, n| all + &format!("line number {n}\n"));
    client.press_all(lines.replace('\n', "\r"));
    reads(&peer, &lines);
    quits(&mut client, &peer);
}

#[test]
fn a_byte_that_is_no_text_leaves_the_line_as_it_is() {
    let (mut client, peer) = connected("");
    client.press("caf").awaits(">>> caf");
    client.press(b"\xff").ends_in(&[">>> caf", ">>> caf"]);
    client.press("e\r");
    reads(&peer, "cafe\n");
    quits(&mut client, &peer);
}

#[test]
fn tab_completes_commands_and_names() {
    let server = terminal("serve 127.0.0.1:0");
    let client = connect(server.port());
    server.shows("[1]");
    server.press("/k\t1\r").shows("[1] ");
    assert_eq!(read_all(&client), b"");
    server.press("/w\t").awaits(">>> /who");
    server.press("\r").ends_in(&["no client is connected", ">>>"]);
    let client = connect(server.port());
    server.shows("[2]");
    server.press("@\thi\r");
    reads(&client, "hi\n");
    server.press("/\t").shows("/kick");
    server.awaits(">>> /");
}

#[test]
fn wide_and_combining_characters_take_the_room_they_need() {
    let (mut client, mut peer) = connected("");
    client.press("漢字e\u{301}x").awaits(">>> 漢字e\u{301}x");
    until("the cursor is behind", || client.cursor().1 == 4 + 4 + 1 + 1);
    client.press("\x7f\x7f").awaits(">>> 漢字");
    until("the cursor moved back", || client.cursor().1 == 8);
    client.press("\x7f").awaits(">>> 漢");
    client.press("\x1b[D文"); // before it
    client.awaits(">>> 文漢");
    peer.write_all("広い\n".as_bytes()).unwrap();
    client.ends_in(&["<<< 広い", ">>> 文漢"]);
    until("the cursor is between", || client.cursor().1 == 6);
    client.press("\r");
    reads(&peer, "文漢\n");
    quits(&mut client, &peer);
}
