//! What is added to lines: time, colour, bell; names that Tab completes; the width of tables.

use std::io::Write;

use super::conversation::{connected, connected_as, ends, quits, reads};
use super::pty::{Terminal, sockctl_there, terminal};
use crate::room::greeting;
use crate::run::{connect, until, untimed};

const TIME: &str = "99:99:99";

#[test]
fn timestamps_stand_before_every_line() {
    let (mut client, mut peer) = connected("--timestamps");
    peer.write_all(b"hi\n").unwrap();
    let text = client.shows("hi");
    let line = text.lines().find(|line| line.ends_with("hi")).unwrap();
    assert_eq!(untimed(line, TIME), "<<< hi");
    let text = ends(&mut client, &peer);
    let line = text.lines().find(|line| line.contains("closed")).unwrap();
    let peer = peer.local_addr().unwrap();
    assert_eq!(untimed(line, TIME), format!("connection closed by {peer}"));

    let server = terminal("serve --timestamps 127.0.0.1:0");
    let peer = connect(server.port());
    let joined = format!("[1] {} joined", peer.local_addr().unwrap());
    let text = server.shows(&joined);
    let line = text.lines().find(|line| line.ends_with("joined")).unwrap();
    assert_eq!(untimed(line, TIME), joined);
}

#[test]
fn timestamps_stand_before_the_lines_that_were_typed() {
    // In a window of 20 columns some have several rows, before and after.
    let (mut client, mut peer) = connected_as("--timestamps", 20, |program| program);
    let mut wanted = String::new();
    for (keys, lines) in [
        ("mine", &["mine"][..]),
        ("seventeen letters", &["seventeen letters"]),
        ("sixteen letters!", &["sixteen letters!"]),
        ("a line that has more than two rows", &["a line that has more than two rows"]),
        ("\x1b[200~of a\rblock\x1b[201~", &["of a", "block"]),
        ("", &[""]),
    ] {
        client.press(keys).press("\r");
        reads(&peer, &format!("{}\n", lines.join("\n")));
        wanted.extend(
            lines.iter().map(|line| format!("{TIME} >>> {line}").trim_end().to_owned() + "\n"),
        );
        let is_digit = |c: char| c.is_ascii_digit();
        client
            .until(&wanted, |text| text.replace(is_digit, "9").ends_with(&format!("{wanted}>>>")));
    }
    peer.write_all(b"theirs\n").unwrap();
    client.shows("<<< theirs");
    quits(&mut client, &peer);
}

#[test]
fn the_bell_rings_in_a_talk_of_two_and_not_unasked() {
    for (flags, rings) in [("--bell", true), ("", false)] {
        let (client, mut peer) = connected(flags);
        peer.write_all(b"hi\n").unwrap();
        client.ends_in(&["<<< hi", ">>>"]);
        until("the bell", || (client.bells() > 0) == rings);
    }
}

#[test]
fn in_a_room_the_bell_rings_for_our_name_and_names_are_completed() {
    let (client, mut peer) = connected("--bell");
    peer.write_all(greeting("guest7", "server, zoe").as_bytes()).unwrap();
    peer.write_all(b"-- guest7 joined\n<ann> hello all\n-- bob joined\n").unwrap();
    client.ends_in(&["-- bob joined", ">>>"]);
    assert_eq!(client.bells(), 0);
    peer.write_all(b"<ann> guest7: hello\n").unwrap();
    client.ends_in(&["<ann> guest7: hello", ">>>"]);
    until("the bell", || client.bells() == 1);
    client.press("/msg a\tb\tz\thi\r");
    reads(&peer, "/msg ann bob zoe hi\n");
}

#[test]
fn each_client_of_a_server_has_its_colour() {
    let server = terminal("serve 127.0.0.1:0");
    let mut peer = connect(server.port());
    peer.write_all(b"hi\n").unwrap();
    server.ends_in(&["[1] hi", ">>>"]);
    assert_ne!(server.color_of("1] hi"), vt100::Color::Default);
    assert_eq!(server.color_of("hi"), vt100::Color::Default);
}

#[test]
fn a_table_of_options_is_as_wide_as_the_window() {
    for columns in [1, 40, 80, 200] {
        let mut opts = Terminal::start(sockctl_there("opts").env("NO_COLOR", "1"), columns);
        opts.ends(0);
        let text = String::from_utf8(opts.raw()).unwrap();
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(columns == 1 || widest <= columns.into(), "{text}");
    }
}
