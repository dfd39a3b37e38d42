//! What members are greeted with and can do: `@NAME`, `/reply`, `/ignore`, `/quiet`, and the operator's
//! `/ban`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use super::{Member, greeting, members, proved, room};
use crate::auth::key_file;
use crate::run::{DEADLINE, Folder, connect_from, is_like, python, sockctl};

/// A member gets the name, and all others hear of it.
#[track_caller]
fn named(members: &mut [Member], which: usize, old: &str, name: &str) {
    members[which].says(format!("/nick {name}\n"));
    for member in members {
        member.hears(&format!("-- {old} is now {name}\n"));
    }
}

/// The next line of each is this one.
#[track_caller]
fn all_hear<'a>(members: impl IntoIterator<Item = &'a mut Member>, line: &str) {
    for member in members {
        member.hears(line);
    }
}

#[test]
fn a_newcomer_learns_its_name_and_who_is_here() {
    let room = room("");
    let mut all: [Member; 2] = members(&room);
    named(&mut all, 0, "guest1", "Änne");
    let script = "import socket, sys\n\
        with socket.create_connection(('127.0.0.1', int(sys.argv[1]))) as sk:\n\
        \x20   print(sk.makefile(encoding='utf-8').readline(), end='')\n";
    let python = python(script, room.port().to_string()).run();
    python.is(0, greeting("guest3", "server, Änne, guest2"), "");
    all_hear(&mut all, "-- guest3 joined\n-- guest3 left\n");
    let mut more: Vec<Member> =
        (4..12).map(|n| Member::join(&room, &format!("guest{n}"))).collect();
    let mut last = Member::over(room.connect());
    let ten =
        "server, Änne, guest2, guest4, guest5, guest6, guest7, guest8, guest9, guest10 and 1 more";
    last.hears(&greeting("guest12", ten));
    last.says("/help\n");
    last.hears("-- guest12 joined\n");
    let help: Vec<String> = (0..9).map(|_| last.line()).collect();
    for command in
        ["/nick", "/who", "@NAME", "/reply", "/me", "/ignore", "/quiet", "/quit", "//TEXT"]
    {
        assert!(help.iter().any(|line| line.starts_with(&format!("-- {command}"))), "{help:?}");
    }
    assert!(!help.concat().contains("/kick"), "{help:?}");
    more[0].says("/msg guest12 hi\n");
    last.hears("[guest4] hi\n");
}

#[test]
fn a_line_to_a_name_that_is_not_here_goes_to_no_member() {
    let folder = Folder::new();
    let log = folder.text("log");
    let mut room = room(format!("--recall 100 --log {log} -v"));
    let [mut ann, mut bob] = members(&room);
    for (line, answer) in [
        ("@eve a secret", "! no 'eve' here; /who lists all\n"),
        ("@guest2, a secret", "! no 'guest2,' here; /who lists all\n"),
        ("@guest22 a secret", "! no 'guest22' here; /who lists all\n"),
        ("@\u{a0}guest2 a secret", "! no '…guest2' here; /who lists all\n"),
        ("/MSG eve a secret", "! no 'eve' here; /who lists all\n"),
        ("/reply a secret", "! no private message has come to reply to\n"),
        ("/whisper guest2 a secret", "! no command 'whisper'; /help lists them\n"),
    ] {
        ann.says(format!("{line}\n"));
        let got = ann.line();
        assert!(is_like(answer, &got), "{line}: {got}");
    }
    ann.says("@GUEST2 psst\n@guest1 to myself\n@ all\nhello\n");
    ann.hears("[guest1] to myself\n");
    bob.hears("[guest1] psst\n<guest1> @ all\n<guest1> hello\n");
    room.stdout_has("<guest1> hello\n");
    // The operator's, too.
    room.send("@eve a secret\n@guest2 only you\n");
    room.stdout_has("! no 'eve' here; /who lists all\n");
    bob.hears("[server] only you\n");
    let mut carl = Member::over(room.connect());
    carl.is_greeted("guest3");
    let recalled = [carl.line(), carl.line()].concat();
    assert!(is_like("-- … <guest1> @ all\n-- … <guest1> hello\n", &recalled), "{recalled}");
    carl.hears("-- guest3 joined\n");
    drop((ann, bob, carl));
    room.signal("TERM");
    let finished = room.finish();
    let logged = fs::read_to_string(&log).unwrap();
    for text in [&String::from_utf8(finished.stdout).unwrap(), &finished.stderr, &logged] {
        assert!(!text.contains("secret") && !text.contains("psst"), "{text}");
    }
}

#[test]
fn a_reply_finds_who_wrote_last_by_any_name_until_it_leaves() {
    let room = room("");
    let mut all: [Member; 3] = members(&room);
    all[0].says("@guest3 one\n");
    all[2].hears("[guest1] one\n");
    all[1].says("/msg guest3 two\n");
    all[2].hears("[guest2] two\n");
    named(&mut all, 1, "guest2", "Bob");
    all[2].says("/reply I heard\n/REPLY  again\n");
    all[1].hears("[guest3] I heard\n[guest3] again\n");
    // What was sent is no reason to be replied to by oneself.
    all[0].says("/reply to whom?\n");
    all[0].hears("! no private message has come to reply to\n");
    all[1].says("/quit\n");
    all[1].ends();
    all[2].hears("-- Bob left\n");
    // Its name is another's now.
    all[0].hears("-- Bob left\n");
    all[0].says("/nick Bob\n");
    all[2].hears("-- guest1 is now Bob\n");
    all[2].says("/reply still there?\n");
    all[2].hears("! guest2 has left: not sent\n");
}

#[test]
fn who_is_ignored_is_silent_for_that_member_through_all_its_names() {
    let mut room = room("");
    let mut all: [Member; 3] = members(&room);
    all[0].says("/ignore guest2\n");
    all[0].hears("-- what guest2 says is hidden; /ignore guest2 shows it again\n");
    all[1].says("spam\n/me spams\n@guest1 spam\n");
    all[1].hears("! guest1 ignores you: not sent\n");
    all[2].hears("<guest2> spam\n* guest2 spams\n");
    named(&mut all, 1, "guest2", "Nice");
    named(&mut all, 0, "guest1", "Ann");
    all[1].says("spam again\n");
    all[2].hears("<Nice> spam again\n");
    all[0].says("/ignore\n/ignore server\n/ignore\n/ignore guest9\n/ignore Ann\n");
    all[0].hears(
        "-- you ignore Nice\n-- what server says is hidden; /ignore server shows it again\n\
         -- you ignore Nice server\n! no 'guest9' here; /who lists all\n! that is you\n",
    );
    room.send("order!\n");
    all[1].hears("<server> order!\n");
    all[2].hears("<server> order!\n");
    all[0].says("/ignore nice\nwelcome back\n");
    all[0].hears("-- what Nice says is shown again\n");
    all[1].hears("<Ann> welcome back\n");
    all[2].hears("<Ann> welcome back\n");
    all[1].says("thanks\n@ann really\n");
    all[0].hears("<Nice> thanks\n[Nice] really\n");
    all[2].hears("<Nice> thanks\n");
    // Ignoring ends with who is ignored: the next of that name is another.
    all[0].says("/ignore nice\n");
    all[0].hears("-- what Nice says is hidden; /ignore Nice shows it again\n");
    all[1].says("/quit\n");
    all[1].ends();
    all[0].hears("-- Nice left\n");
    all[2].hears("-- Nice left\n");
    all[2].says("/nick Nice\nhello\n");
    all[0].hears("-- guest3 is now Nice\n<Nice> hello\n");
}

#[test]
fn a_quiet_member_hears_of_no_joins_and_leaves() {
    let room = room("");
    let [mut ann, mut bob] = members(&room);
    ann.says("/quiet\n");
    ann.hears("-- joins and leaves are hidden; /quiet shows them again\n");
    let mut carl = Member::join(&room, "guest3");
    carl.says("/nick Carl\nhello\n/quit\n");
    carl.hears("-- guest3 is now Carl\n");
    carl.ends();
    bob.hears("-- guest3 joined\n-- guest3 is now Carl\n<Carl> hello\n-- Carl left\n");
    bob.says("gone\n");
    ann.hears("-- guest3 is now Carl\n<Carl> hello\n<guest2> gone\n");
    ann.says("/quiet\n");
    ann.hears("-- joins and leaves are shown again\n");
    let _dora = Member::join(&room, "guest4");
    ann.hears("-- guest4 joined\n");
}

#[test]
fn a_banned_key_stays_out_from_every_address_and_the_others_stay() {
    let keys = key_file("ann:open sesame\nbob:wangwang\n");
    let room = sockctl("auth-serve --room --digest sha256 127.0.0.1:0 --keys");
    let mut room = room.arg(keys.path()).start();
    let mut ann = proved(&room, "open sesame");
    ann.hears(&(greeting("ann", "server") + "-- ann joined\n"));
    let mut bob = proved(&room, "wangwang");
    let mut again = proved(&room, "wangwang");
    bob.hears(&(greeting("bob", "server, ann") + "-- bob joined\n-- bob~2 joined\n"));
    again.hears(&(greeting("bob~2", "server, ann, bob") + "-- bob~2 joined\n"));
    ann.hears("-- bob joined\n-- bob~2 joined\n");
    ann.says("/ban bob\n");
    ann.hears("! only the server can ban\n");
    room.send("/ban bob~2\n");
    room.stdout_has("-- the key bob is banned until the server ends\n");
    for banned in [&mut bob, &mut again] {
        banned.hears("! you are banned\n");
        banned.ends();
    }
    let mut left = [ann.line(), ann.line()];
    left.sort();
    assert_eq!(left, ["-- bob left\n", "-- bob~2 left\n"]);
    let mut back = proved(&room, "wangwang");
    back.says("let me in\n");
    back.hears("! you are banned\n");
    back.ends();
    // The other key has the same address, and the room goes on.
    let mut other = proved(&room, "open sesame");
    other.hears(&(greeting("ann~2", "server, ann") + "-- ann~2 joined\n"));
    ann.hears("-- ann~2 joined\n");
    room.stderr_has(" left (kicked)\n");
}

#[test]
fn a_banned_address_stays_out_and_its_neighbour_does_not() {
    let mut room = room("");
    let [mut ann] = members(&room);
    let mut bad = Member::over(connect_from("127.0.0.7", room.port()));
    bad.is_greeted("guest2");
    let mut neighbour = Member::over(connect_from("127.0.0.8", room.port()));
    neighbour.is_greeted("guest3");
    ann.hears("-- guest2 joined\n-- guest3 joined\n");
    bad.says("/nick Mallory\n");
    ann.hears("-- guest2 is now Mallory\n");
    room.send("/ban mallory\n");
    room.stdout_has("-- 127.0.0.7 is banned until the server ends\n");
    bad.hears("-- guest2 joined\n-- guest3 joined\n-- guest2 is now Mallory\n! you are banned\n");
    bad.ends();
    ann.hears("-- Mallory left\n");
    for _ in 0..3 {
        let mut back = Member::over(connect_from("127.0.0.7", room.port()));
        back.says("hello?\n");
        back.hears("! you are banned\n");
        back.ends();
    }
    neighbour.says("not me\n");
    ann.hears("<guest3> not me\n");
    let mut new = Member::over(connect_from("127.0.0.8", room.port()));
    new.is_greeted("guest7");
    ann.hears("-- guest7 joined\n");
    room.send("/ban server\n/ban nobody\n/ban\n");
    room.stdout_has(
        "! that is you; /quit ends the room\n! no 'nobody' here; /who lists all\n! /ban NAME\n",
    );
}

#[test]
fn a_unix_room_has_nothing_to_ban_by() {
    let folder = Folder::new();
    let path = folder.at("room");
    let mut room = sockctl("serve --room").arg(format!("unix:{}", path.display())).start();
    room.stderr_has("listening on");
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"hi\n").unwrap();
    room.stdout_has("<guest1> hi\n");
    room.send("/ban guest1\n");
    room.stdout_has("! guest1 has no key and no address to ban\n");
    room.send("/kick guest1\n");
    let lines: Result<Vec<String>, _> = BufReader::new(stream).lines().collect();
    assert_eq!(lines.unwrap().last().unwrap(), "! kicked");
}
