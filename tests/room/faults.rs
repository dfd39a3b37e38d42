//! A member that floods, stalls, falls silent or sends terminal escapes harms no other member of the
//! room (rows 27, 28, 34, 46 and 95).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{Member, greeting, members, room};
use crate::auth::key_line;
use crate::run::{Folder, Running, ask, read_all, reset, shell, sockctl, unread, until};

/// The most memory a process has had, in KiB.
fn peak(running: &Running) -> usize {
    running.vitals().peak >> 10
}

/// The lines of a flood, each with its number in it.
fn flood(count: usize) -> Vec<u8> {
    let line = |n: usize| format!("{n:08} {}\n", "x".repeat(1014));
    (0..count).flat_map(|n| line(n).into_bytes()).collect()
}

#[test]
fn row_27_a_member_that_stops_reading_is_cut_off_and_the_others_lose_no_line() {
    const LINES: usize = 40_000; // of 1 KiB: far more than the kernel keeps for a connection
    let room = room("");
    let port = room.port().to_string();
    let mut sender = Member::join(&room, "guest1");
    let mut readers = Vec::new();
    for number in 2..4 {
        let client = sockctl(format!("connect {port}")).start();
        client.stdout_has(&format!("-- guest{number} joined\n"));
        readers.push(client);
    }
    let stopped = sockctl(format!("connect {port}")).start();
    stopped.stdout_has("-- guest4 joined\n");
    stopped.signal("STOP");

    sender.says(flood(LINES));
    sender.says("/msg guest2 done\n/msg guest3 done\n");
    let wanted: Vec<u8> = flood(LINES)
        .split_inclusive(|&byte| byte == b'\n')
        .flat_map(|line| [b"<guest1> ", line].concat())
        .collect();
    room.stderr_has(" left (slow)\n");
    for reader in readers {
        reader.stdout_has("[guest1] done\n");
        let got = reader.finish();
        let said: Vec<u8> = got
            .stdout
            .split_inclusive(|&byte| byte == b'\n')
            .filter(|line| line.starts_with(b"<"))
            .flatten()
            .copied()
            .collect();
        assert!(said == wanted, "{} of {} bytes", said.len(), wanted.len());
    }
    assert!(peak(&room) < 100 << 10, "{} KiB", peak(&room));
    assert_eq!(room.stderr_has("left").matches("(slow)").count(), 1);
    // It finds out once it reads again: what it got is a beginning of what was said.
    stopped.signal("CONT");
    let got = stopped.finish();
    let before = greeting("guest4", "server, guest1, guest2, guest3") + "-- guest4 joined\n";
    let said = got.stdout.strip_prefix(before.as_bytes()).unwrap();
    assert!(!said.is_empty() && wanted.starts_with(said));
}

/// Joins and reads nothing.
fn silent(room: &Running) -> TcpStream {
    let stream = room.connect();
    // It must not grow until it holds everything.
    SockRef::from(&stream).set_recv_buffer_size(64 << 10).unwrap();
    stream
}

/// A room with one member that has read everything, and this many that read nothing and have about
/// 512 KiB queued; and how many lines that is.
fn crowd(count: usize) -> (Running, Member, Vec<TcpStream>, usize) {
    // The kernel must hold the same for each: it grows buffers as it sees fit, by megabytes.
    let room = room("-o SO_SNDBUF=200k");
    let mut listener = Member::join(&room, "guest1");
    let mut talker = Member::join(&room, "guest2");
    // One has as much waiting for it alone, so that it is cut off when all others have that.
    let canary = silent(&room);
    let others: Vec<_> = (0..count).map(|_| silent(&room)).collect();
    for number in 2..count + 4 {
        listener.hears(&format!("-- guest{number} joined\n"));
    }
    let text = "x".repeat(1023 - "/msg guest3 ".len());
    talker.says(format!("/msg guest3 {text}\n").repeat(512));
    let (mut said, mut is_full) = (0, false);
    while !is_full {
        let lines = 16;
        talker.says(flood(lines));
        said += lines;
        let mut heard = 0;
        while heard < lines {
            let is_said = listener.line().starts_with('<');
            heard += usize::from(is_said);
            is_full |= !is_said; // the canary has left
        }
    }
    drop((canary, talker));
    listener.hears("-- guest2 left\n");
    (room, listener, others, said)
}

#[test]
fn row_27_a_crowd_that_leaves_at_once_without_reading_costs_nothing() {
    let (room, mut listener, silent, said) = crowd(50);
    let before = peak(&room);
    for stream in &silent {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    for _ in &silent {
        assert!(listener.line().ends_with(" left\n"));
    }
    let cost = peak(&room) - before;
    assert!(cost < 4 << 10, "{cost} KiB");
    // What waits is still for them.
    let got = String::from_utf8(read_all(&silent[0])).unwrap();
    assert_eq!(got.matches("<guest2> ").count(), said);
}

#[test]
fn row_27_a_member_that_leaves_and_reads_on_gets_what_is_queued_for_it() {
    let (room, mut listener, mut silent, said) = crowd(1);
    let silent = silent.remove(0);
    silent.shutdown(Shutdown::Write).unwrap();
    listener.hears("-- guest4 left\n");
    // More than may be queued for one member.
    let mut talker = Member::join(&room, "guest5");
    listener.hears("-- guest5 joined\n");
    let lines = 2000;
    let talking = thread::spawn(move || {
        talker.says(flood(lines));
        talker
    });
    for _ in 0..lines {
        assert!(listener.line().starts_with("<guest5> "));
    }
    let got = String::from_utf8(read_all(&silent)).unwrap();
    assert_eq!(got.matches("<guest2> ").count(), said);
    drop(talking.join().unwrap());
}

#[test]
fn row_27_a_member_that_talks_without_reading_costs_no_memory() {
    let (room, mut listener, silent, _) = crowd(1);
    let before = peak(&room);
    let lines = 50_000;
    let hearing = thread::spawn(move || {
        for _ in 0..lines {
            assert!(listener.line().starts_with("<guest4> "));
        }
    });
    (&silent[0]).write_all(&flood(lines)).unwrap();
    hearing.join().unwrap();
    let cost = peak(&room) - before;
    assert!(cost < 8 << 10, "{cost} KiB");
}

#[test]
fn row_27_a_member_that_asks_without_reading_the_answers_is_cut_off() {
    let room = room("");
    let asker = silent(&room);
    let _ = (&asker).write_all("/help\n".repeat(1 << 20).as_bytes());
    let address = asker.local_addr().unwrap();
    room.stderr_has(&format!("[1] {address} left (slow)\n"));
    assert!(peak(&room) < 20 << 10, "{} KiB", peak(&room));
}

#[test]
fn row_27_private_messages_to_a_member_that_does_not_read_are_refused_and_cut_no_member_off() {
    let room = room("");
    let mut whisperer = Member::join(&room, "guest1");
    let deaf = Member::over(silent(&room));
    whisperer.hears("-- guest2 joined\n");
    let text = "x".repeat(1011);
    let mut whispers = 0;
    let refused = loop {
        whisperer.says(format!("/msg guest2 {text}\n").repeat(100));
        whisperer.says("/me whispers\n/msg guest1 done\n");
        whispers += 100;
        let refused =
            std::iter::from_fn(|| Some(whisperer.line()).filter(|l| l != "[guest1] done\n"));
        let refused: Vec<_> = refused.collect();
        if !refused.is_empty() {
            break refused;
        }
    };
    assert_eq!(refused, vec!["! guest2 does not keep up: not sent\n"; refused.len()]);
    assert!(peak(&room) < 20 << 10, "{} KiB", peak(&room));
    // It has all others.
    let mut deaf = deaf;
    deaf.is_greeted("guest2");
    deaf.hears("-- guest2 joined\n");
    let mut got = 0;
    while got < whispers - refused.len() {
        got += usize::from(deaf.line().starts_with("[guest1] x"));
    }
    deaf.says("/msg guest1 here I am\n");
    whisperer.hears("[guest2] here I am\n");
}

#[test]
fn row_27_a_flooder_waits_for_slow_readers() {
    const LINES: usize = 20_000;
    let room = room("");
    let [mut reader, mut sender] = members(&room);
    let writer = thread::spawn(move || {
        sender.says(flood(LINES));
        sender
    });
    // A line at a time, and with pauses: slower than the flood, but never silent for long.
    for number in 0..LINES {
        if number % 1000 == 0 {
            thread::sleep(std::time::Duration::from_millis(5)); // slowness itself, no guess
        }
        let line = reader.line();
        assert_eq!(line.get(..18), Some(&*format!("<guest2> {number:08} ")));
    }
    drop(writer.join().unwrap());
    reader.hears("-- guest2 left\n");
    assert!(peak(&room) < 100 << 10, "{} KiB", peak(&room));
}

#[test]
fn row_27_a_flood_that_many_ignore_reaches_the_others_alone() {
    const LINES: usize = 20_000;
    let room = room("");
    let [mut reader, mut flooder] = members(&room);
    let mut ignoring: Vec<Member> = (0..200).map(|_| Member::over(room.connect())).collect();
    for member in &mut ignoring {
        member.says("/quiet\n/ignore guest2\n");
        while member.line() != "-- what guest2 says is hidden; /ignore guest2 shows it again\n" {}
    }
    let writer = thread::spawn(move || {
        flooder.says("x\n".repeat(LINES));
        flooder
    });
    // They talk meanwhile, and the flood waits its turn.
    for number in 0..20 {
        let text = format!("<guest{}> {number}\n", 3 + number);
        ignoring[number].says(format!("{number}\n"));
        for (_, member) in ignoring.iter_mut().enumerate().filter(|(other, _)| *other != number) {
            member.hears(&text);
        }
    }
    let mut heard = 0;
    while heard < LINES {
        heard += usize::from(reader.line() == "<guest2> x\n");
    }
    assert!(peak(&room) < 60 << 10, "{} KiB", peak(&room));
    let flooder = writer.join().unwrap();
    // A member that leaves is no longer skipped, and the lists of the others stay.
    drop(ignoring.split_off(100));
    drop(flooder);
    ignoring[0].says("bye\n");
    ignoring[99].hears("<guest3> bye\n");
}

#[test]
fn row_28_a_line_of_100_mb_costs_64_kib() {
    let room = room("");
    let mut other = Member::join(&room, "guest1");
    let mut sender = Member::join(&room, "guest2");
    let mut third = Member::join(&room, "guest3");
    other.hears("-- guest2 joined\n-- guest3 joined\n");
    let block = vec![b'x'; 1 << 20];
    for number in 0..100 {
        sender.says(&block);
        if number == 50 {
            // The others are not held up by it.
            third.says("meanwhile\n");
        }
    }
    sender.says("\nand on\n");
    sender.hears("-- guest3 joined\n! line cut at 64 KiB\n<guest3> meanwhile\n");
    let mut got = [other.line(), other.line()];
    got.sort_unstable_by_key(String::len);
    assert_eq!(got[0], "<guest3> meanwhile\n");
    assert_eq!(got[1], format!("<guest2> {}\n", "x".repeat(64 << 10)));
    other.hears("<guest2> and on\n");
    assert!(peak(&room) < 50 << 10, "{} KiB", peak(&room));
}

#[test]
fn row_28_lines_of_nothing_are_no_weapon() {
    // Each byte is a line that is a dozen for each other member.
    let room = room("");
    let [mut reader, mut sender] = members(&room);
    sender.says("\n".repeat(1 << 20));
    sender.says("done\n");
    let mut count = 0;
    while reader.line() == "<guest2> \n" {
        count += 1;
    }
    assert_eq!(count, 1 << 20);
    assert!(peak(&room) < 50 << 10, "{} KiB", peak(&room));
}

#[test]
fn row_34_a_silent_member_is_ended_and_the_others_do_not_wait() {
    let room = room("-i 1s");
    let [mut silent, mut other] = members(&room);
    let mut answers = 0;
    loop {
        other.says("/msg guest2 still here\n");
        match other.line().as_str() {
            "[guest2] still here\n" => answers += 1,
            line => {
                assert_eq!(line, "-- guest1 left\n");
                break;
            }
        }
    }
    assert!(answers > 0);
    silent.is_cut();
    room.stderr_has(" left (idle)\n");
}

#[test]
fn row_46_what_acts_on_a_terminal_is_written_out_for_all() {
    let room = room("");
    let [mut other, mut bad] = members(&room);
    let title = "\x1b]0;owned\x07\u{9b}2J\u{202e}txt\rback\tTAB";
    let shown = "\\x1b]0;owned\\x07\\u{9b}2J\\u{202e}txt\\rback\tTAB";
    bad.says(format!("{title}\n/me {title}\n/msg guest1 {title}\n/nick {title}\n/{title}\n"));
    bad.says(b"\xff\xfe\n");
    other.hears(&format!(
        "<guest2> {shown}\n* guest2 {shown}\n[guest2] {shown}\n<guest2> \\xff\\xfe\n"
    ));
    let line = bad.line();
    assert_eq!(
        line,
        "! '\\x1b]0;owned\\x07\\u{9b}2J\\u{202e}txt\\rback\\tTAB': letters, digits, _ - . only\n"
    );
    let line = bad.line();
    assert!(line.starts_with("! no command '\\x1b]0;owned\\x07"), "{line}");
    // A name cannot be made to look like the operator's or a notice.
    for name in ["SERVER", "ｓｅｒｖｅｒ", "ser\u{200b}ver", "server\u{301}", "--", "\u{3164}"]
    {
        bad.says(format!("/nick {name}\n"));
        let answer = bad.line();
        assert!(answer.starts_with("! ") || name == "--" || name == "server\u{301}", "{answer}");
    }
    let log = room.stderr_has("joined");
    assert!(!log.contains('\x1b'), "{log:?}");
}

#[test]
fn row_97_a_health_check_is_no_guest() {
    let room = room("");
    let mut ann = Member::join(&room, "guest1");
    for number in 0..20 {
        match number % 3 {
            0 => drop(room.connect()),
            1 => reset(room.connect()),
            // One that ends its side alone.
            _ => assert_eq!(ask(&room.connect(), ""), b""),
        }
    }
    let bob = Member::join(&room, "guest22");
    ann.hears("-- guest22 joined\n");
    drop(bob);
    ann.hears("-- guest22 left\n");
    // One that speaks has joined at once.
    let mut carl = Member::over(room.connect());
    carl.says("hi\n");
    ann.hears("-- guest23 joined\n<guest23> hi\n");
    carl.is_greeted("guest23");
    carl.hears("-- guest23 joined\n");
    let said = room.stderr_has("[23] ");
    assert!(!said.contains("[2] ") && !said.contains("[21] "), "{said}");
    let room = super::room("-v");
    drop(room.connect());
    room.stderr_has(" closed (eof; received 0, sent 0 bytes in ");
}

#[test]
fn row_119_a_name_that_can_be_mistaken_for_another_is_refused() {
    let folder = Folder::new();
    let keys = folder.file("keys", "lucy:one secret\nIucy:another\n");
    sockctl(format!("auth-serve 0 --keys {keys}")).run().fails(
        2,
        format!("read key from {keys}: line 2: its name can be mistaken for that of line 1"),
    );
    let room = room("");
    let [mut ann, mut bad] = members(&room);
    ann.says("/nick Olga\n");
    ann.hears("-- guest1 is now Olga\n");
    bad.hears("-- guest1 is now Olga\n");
    for (name, other) in [
        ("s\u{435}rver", "server"),
        ("\u{405}\u{415}RV\u{415}R", "server"),
        ("\u{41e}lga", "Olga"),
        ("0lga", "Olga"),
        ("O\u{325}l\u{30a}ga", "Olga"),
    ] {
        bad.says(format!("/nick {name}\n"));
        bad.hears(&format!("! {name} can be mistaken for {other}\n"));
    }
    let marks = format!("a{}", "\u{316}".repeat(30));
    bad.says(format!("/nick {marks}\n"));
    bad.hears(&format!("! '{marks}': at most 4 marks on a letter\n"));
    // No line goes to a name that is only mistaken for the one who is here.
    bad.says("/msg 0lga psst\n");
    bad.hears("! no '0lga' here; /who lists all\n");
    bad.says("/nick Ольга\n");
    bad.hears("-- guest2 is now Ольга\n");
}

#[test]
fn row_46_a_character_split_over_two_packets_is_whole() {
    let room = room("");
    let [mut other, sender] = members(&room);
    for byte in "é😀\n".bytes() {
        sender.stream().write_all(&[byte]).unwrap();
    }
    other.hears("<guest2> é😀\n");
    let mut stream = sender.stream();
    stream.write_all(b"/quit\n").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
}

#[test]
fn row_46_what_the_operator_misses_is_counted_and_told() {
    // The output of the room is not read until a line comes.
    let line =
        r#"exec 3<&0; "$0" serve --room --once 127.0.0.1:0 </dev/null | { read -r go <&3; cat; }"#;
    for leaves in [false, true] {
        let mut room = shell(line, "").start();
        let mut member = Member::join(&room, "guest1");
        member.says(flood(4000));
        member.says("/msg guest1 done\n");
        member.hears("[guest1] done\n");
        let member = (!leaves).then_some(member);
        if leaves {
            room.stderr_has(" left\n");
        }
        room.send("go\n");
        let seen = room.stdout_has(" lines skipped: the output was not read\n");
        drop(member);
        let told = seen.lines().find_map(|line| line.strip_prefix("! "));
        let missed = told.unwrap().split(' ').next().unwrap();
        let missed: usize = missed.parse().unwrap();
        let finished = room.finish();
        let said = finished.stdout.split(|&byte| byte == b'\n');
        let said = said.filter(|line| line.starts_with(b"<guest1> ")).count();
        assert!(missed > 0 && (4000..4002).contains(&(said + missed)), "{said} + {missed}");
    }
}

#[test]
fn row_95_nothing_is_lost_of_60_000_lines_of_an_encrypted_member_that_then_ends() {
    // A long name makes many turns of a read that is mostly newlines.
    let name = "a".repeat(30);
    let with_key = |words: String| sockctl(words).env("SOCKCTL_KEY", key_line(&name, [1; 32]));
    let room = with_key("auth-serve --room 127.0.0.1:0".into()).start();
    let member = || with_key(format!("auth-connect {room}"));
    let mut listener = member().start();
    listener.stdout_has(&format!("-- {name} joined\n"));
    let mut sender = member().start();
    for one in [&listener, &sender] {
        one.stdout_has(&format!("-- {name}~2 joined\n"));
    }
    // So short that they and the end behind them are one read, as soon as the room goes on.
    room.signal("STOP");
    sender.send("\n".repeat(60_000)).close();
    until("all has arrived", || unread(room.port(), false) > 60_000 + 5 * 18);
    room.signal("CONT");
    assert_eq!(sender.finish().code, 0);
    let left = format!("-- {name}~2 left\n");
    listener.stdout_has(&left);
    listener.close();
    let said = format!("<{name}~2> \n").repeat(60_000);
    let joined = greeting(&name, "server") + &format!("-- {name} joined\n-- {name}~2 joined\n");
    listener.finish().is(0, joined + &said + &left, "");
}

#[test]
fn row_109_the_grace_is_for_members_and_stdout_together() {
    let folder = Folder::new();
    let _unread = folder.fifo("out");
    let line = r#"exec "$0" serve --room 127.0.0.1:0 --grace 3s > "$1""#;
    let room = shell(line, [folder.at("out")]).start();
    let mut member = Member::join(&room, "guest1");
    member.says(flood(200));
    // Something arrives all the time: the room waits for it.
    let talk = thread::spawn(move || {
        while member.stream().write_all(b"more\n").is_ok() {
            thread::sleep(Duration::from_millis(50)); // the rate
        }
    });
    let began = Instant::now();
    room.signal("TERM");
    assert_eq!(room.ends().code, 0);
    let took = began.elapsed().as_secs_f64();
    assert!((3.0..5.5).contains(&took), "{took}");
    talk.join().unwrap();
}
