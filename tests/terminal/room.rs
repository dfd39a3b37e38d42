//! `serve --room` with the operator and members at terminals.

use std::collections::BTreeMap;
use std::time::Duration;

use super::conversation::among_messages;
use super::pty::{Terminal, terminal};
use crate::run::{connect, until};

/// A member at a terminal, under this name.
#[track_caller]
fn member(address: &str, id: u64, name: &str) -> Terminal {
    let member = terminal(format!("connect --bell {address}"));
    member.ends_in(&[&format!("-- guest{id} joined"), ">>>"]);
    member.enter(&format!("/nick {name}"));
    member.ends_in(&[&format!("-- guest{id} is now {name}"), ">>>"]);
    member
}

#[test]
fn three_terminals_talk_with_names_colours_and_a_bell() {
    let mut server = terminal("serve --room --bell 127.0.0.1:0");
    let address = server.address();
    let mut ann = member(&address, 1, "ann");
    let mut bob = member(&address, 2, "Bob");
    server.ends_in(&["-- guest2 is now Bob", ">>>"]);
    ann.enter("hello all");
    for other in [&server, &bob] {
        other.ends_in(&["<ann> hello all", ">>>"]);
    }
    server.enter("welcome");
    for other in [&ann, &bob] {
        other.ends_in(&["<server> welcome", ">>>"]);
    }
    // A name has one colour on every screen.
    assert_ne!(bob.color_of("ann> hello"), vt100::Color::Default);
    assert_eq!(bob.color_of("ann> hello"), server.color_of("ann> hello"));
    let silent = [ann.bells(), bob.bells(), server.bells()];
    assert_eq!(silent, [0, 0, 0]);

    // Commands, and the names of members, are completed.
    bob.press("/ms\tan\tpsst\r");
    ann.ends_in(&["[Bob] psst", ">>>"]);
    until("the bell for a private word", || ann.bells() == 1);
    ann.press("S\tare you there?").awaits(">>> server are you there?");
    ann.press("\r");
    server.ends_in(&["<ann> server are you there?", ">>>"]);
    until("the bell for a name", || server.bells() == 1);
    assert_eq!(bob.bells(), 0);
    ann.enter("/me waves");
    bob.ends_in(&["* ann waves", ">>>"]);

    server.press("/k\tb\t\r");
    let text = bob.ends(0);
    assert!(text.contains("! kicked"), "{text}");
    ann.ends_in(&["-- Bob left", ">>>"]);
    ann.press("half").awaits(">>> half");
    server.quits();
    ann.shows("connection closed by");
    ann.press("\x04");
    let text = ann.ends(0);
    assert!(text.ends_with("not sent: half"), "{text}");
}

#[test]
fn a_line_typed_slowly_among_fifty_messages_a_second_is_intact_on_every_screen() {
    let server = terminal("serve --room 127.0.0.1:0");
    let address = server.address();
    let (ann, bob) = (member(&address, 1, "ann"), member(&address, 2, "bob"));
    let talker = connect(server.port());
    server.shows("-- guest3 joined");
    among_messages(&talker, || {
        let mut typed = String::new();
        for key in "slowly typed, 漢字 and all".chars() {
            typed.push(key);
            for terminal in [&server, &ann, &bob] {
                terminal.press(key.to_string());
            }
            for terminal in [&server, &ann, &bob] {
                terminal.awaits(&format!(">>> {typed}"));
            }
            std::thread::sleep(Duration::from_millis(40)); // how fast a person types
        }
    });
    for (terminal, name) in [(&server, "server"), (&ann, "ann"), (&bob, "bob")] {
        terminal.press("\r");
        for other in [&server, &ann, &bob] {
            if !std::ptr::eq(other, terminal) {
                other.shows(&format!("<{name}> slowly typed, 漢字 and all"));
            }
        }
    }
    // Each terminal shows every message, once and in order.
    let mut counts = BTreeMap::new();
    for (terminal, name) in [(&server, "server"), (&ann, "ann"), (&bob, "bob")] {
        let numbers = terminal.numbers("message ");
        assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>(), "{name}");
        counts.insert(name, numbers.len());
    }
    assert!(counts["ann"] > 20, "{counts:?}");
    assert!(counts["server"] == counts["ann"] && counts["bob"] == counts["ann"], "{counts:?}");
}
