//! What a room remembers of what was said to all: `--recall` for those who come later, `--log` for the
//! operator. Private lines are in neither.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;

use super::{Member, greeting, members, proved, room};
use crate::auth::key_file;
use crate::run::{Folder, Running, events_of, refused, sockctl, until, untimed};

/// What a newcomer of this name recalls, without the times, which are of today.
#[track_caller]
fn recalled(room: &Running, name: &str) -> (Member, String) {
    let mut member = Member::over(room.connect());
    member.is_greeted(name);
    let (mut lines, joined) = (String::new(), format!("-- {name} joined\n"));
    loop {
        let line = member.line();
        if line == joined {
            return (member, lines);
        }
        lines += &untimed(line.strip_prefix("-- ").unwrap(), "99:99:99");
    }
}

#[test]
fn newcomers_recall_the_last_lines_that_were_said_to_all() {
    let mut room = room("--recall 4");
    let (mut ann, nothing) = recalled(&room, "guest1");
    assert_eq!(nothing, "");
    let mut bob = Member::join(&room, "guest2");
    ann.hears("-- guest2 joined\n");
    ann.says("one\n@guest2 a secret\ntwo\n/nick Ann\n/me waves\x1b[m\n//nick\n");
    bob.hears(
        "<guest1> one\n[guest1] a secret\n<guest1> two\n-- guest1 is now Ann\n\
         * Ann waves\\x1b[m\n<Ann> /nick\n",
    );
    room.send("last\n/who\n");
    bob.hears("<server> last\n");
    let lines = "<guest1> two\n* Ann waves\\x1b[m\n<Ann> /nick\n<server> last\n";
    assert_eq!(recalled(&room, "guest3").1, lines);
    assert_eq!(recalled(&room, "guest4").1, lines, "the second gets the same");
    bob.says("more\n");
    room.stdout_has("<guest2> more\n");
    let lines = lines.split_once('\n').unwrap().1.to_string() + "<guest2> more\n";
    assert_eq!(recalled(&room, "guest5").1, lines);
    refused(&[
        ("serve --recall 5 0", "--recall is for --room"),
        ("serve --echo --recall 5 0", "--recall is for --room"),
    ]);
}

#[test]
fn recalled_lines_are_a_mebibyte_at_most_and_cut_no_slow_newcomer_off() {
    let room = room("--recall 1000000");
    let mut ann = Member::join(&room, "guest1");
    for number in 0..3_000 {
        ann.says(format!("{number:05} {}\n", "x".repeat(1000)));
    }
    ann.says("@guest1 done\n");
    ann.hears("[guest1] done\n");
    for name in ["guest2", "guest3"] {
        // Its kernel takes little, so that nearly all is queued; then it reads.
        let stream = room.connect();
        socket2::SockRef::from(&stream).set_recv_buffer_size(16 << 10).unwrap();
        ann.hears(&format!("-- {name} joined\n"));
        ann.says("on\n@guest1 done\n");
        ann.hears("[guest1] done\n");
        let mut member = Member::over(stream);
        member.is_greeted(name);
        let mut bytes = 0;
        let mut number = None;
        loop {
            let line = member.line();
            let Some((_, text)) = line.split_once(" <guest1> ") else {
                assert_eq!(line, format!("-- {name} joined\n"));
                break;
            };
            bytes += line.len();
            if let Ok(n) = text[..5.min(text.len())].trim().parse::<usize>() {
                assert!(number.is_none_or(|before| before + 1 == n), "{number:?} {n}");
                number = Some(n);
            }
        }
        assert_eq!(number, Some(2_999));
        assert!((1 << 20) - 8_000 < bytes && bytes <= 1 << 20, "{bytes}");
        member.hears("<guest1> on\n");
        drop(member);
        ann.hears(&format!("-- {name} left\n"));
    }
    let peak = room.vitals().peak >> 20;
    assert!(peak < 40, "{peak} MiB");
}

#[test]
fn members_by_the_thousand_recall_the_same_and_cost_little() {
    const CROWD: usize = 3_000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let room = room("--recall 100 -m 10000");
    let mut ann = Member::join(&room, "guest1");
    ann.says("/quiet\n");
    ann.hears("-- joins and leaves are hidden; /quiet shows them again\n");
    ann.says(format!("{}\n", "x".repeat(200)).repeat(200));
    ann.says("@guest1 done\n");
    ann.hears("[guest1] done\n");
    let before = room.vitals().peak;
    let mut crowd: Vec<Member> = Vec::new();
    for number in 2..CROWD + 2 {
        let mut member = Member::over(room.connect());
        // Now and then a line changes what the next ones recall.
        member.says(if number % 100 == 0 { "/quiet\nhello\n" } else { "/quiet\n" });
        crowd.push(member);
    }
    for (number, member) in (2..).zip(&mut crowd) {
        member.is_greeted(&format!("guest{number}"));
        let is_recalled = |line: &String| !line.ends_with(" joined\n");
        let lines = std::iter::from_fn(|| Some(member.line()).filter(is_recalled));
        let lines: Vec<String> = lines.collect();
        assert_eq!(lines.len(), 100, "guest{number}");
        assert!(lines.iter().all(|line| line.contains("> ")), "guest{number}");
    }
    let cost = (room.vitals().peak - before) >> 20;
    assert!(cost < 20, "{cost} MiB");
}

/// What a room's log has, without the times.
#[track_caller]
fn log(file: &str) -> String {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.split_inclusive('\n').map(|line| {
        let (date, rest) = line.split_once(' ').unwrap();
        assert_eq!(untimed(&format!("{date} "), "9999-99-99"), "");
        untimed(rest, "99:99:99")
    });
    lines.collect()
}

#[test]
fn the_log_has_what_was_said_to_all_with_its_time() {
    let folder = Folder::new();
    let file = folder.text("log");
    let said = "<guest1> hello\n* guest1 waves\\x1b[m\n<server> hi\n";
    for (flag, before) in [(file.clone(), ""), (format!("+{file}"), said), (file.clone(), "")] {
        let mut room = room(format!("--json --log {flag}"));
        let [mut ann, bob] = members(&room);
        ann.says("hello\n/me waves\x1b[m\n@guest2 a secret\n/nick Ann\n/who\n/nosuch\n");
        room.stdout_has("-- guest1 is now Ann\n");
        room.send("hi\n/msg ann a secret\n");
        ann.hears("-- guest1 is now Ann\n-- 3 here: server Ann guest2\n");
        ann.hears("! no command 'nosuch'; /help lists them\n<server> hi\n[server] a secret\n");
        drop((ann, bob));
        room.signal("TERM");
        let finished = room.finish();
        assert_eq!((finished.code, log(&file)), (0, before.to_string() + said));
        let messages = events_of(&finished.stderr, "message");
        assert_eq!(messages.len(), 3);
        let first = json!({"event": "message", "id": 1, "name": "guest1", "text": "hello"});
        assert_eq!(messages[0], first);
    }
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7, 0o4);
    refused(&[(
        "serve --room --log talk-%i 0",
        "a room has one log: %i in --log FILE numbers connections",
    )]);
}

#[test]
fn lines_are_logged_as_they_are_said_also_beside_a_dump_and_to_stderr() {
    let folder = Folder::new();
    let (file, hex) = (folder.text("log"), folder.text("hex"));
    let keys = key_file("ann:open sesame\n");
    let line =
        format!("auth-serve --room --digest sha256 127.0.0.1:0 --log {file} --hex {hex} --keys");
    let room = sockctl(line).arg(keys.path()).start();
    let mut ann = proved(&room, "open sesame");
    ann.hears(&(greeting("ann", "server") + "-- ann joined\n"));
    ann.says("hello\n");
    until("it is logged", || fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    assert_eq!(log(&file), "<ann> hello\n");
    assert!(fs::read_to_string(&hex).unwrap().contains("[1] < "));
    // What was said to those who proved a key is not for others.
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let room = super::room("--log -");
    let mut ann = Member::join(&room, "guest1");
    ann.says("hello\n");
    room.stderr_has(" <guest1> hello\n");
}

#[test]
fn row_77_a_log_on_a_full_disk_ends_the_room_with_12() {
    let room = room("--log /dev/full");
    let mut ann = Member::join(&room, "guest1");
    ann.says("@guest1 not for the log\n");
    ann.hears("[guest1] not for the log\n");
    ann.says("hello\n");
    let finished = room.ends();
    let why = "sockctl: write the log /dev/full: no space left on device (ENOSPC 28)\n";
    assert_eq!((finished.code, finished.stderr.ends_with(why)), (12, true), "{}", finished.stderr);
    let there = sockctl("serve --room --log /nosuch/log 0").run();
    there.fails(2, "write the log /nosuch/log: no such file or directory (ENOENT 2)");
}
