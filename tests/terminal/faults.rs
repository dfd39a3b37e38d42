//! Whatever a peer sends or a person types, the line being typed and the terminal survive (rows 41
//! to 46).

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use super::conversation::{among_messages, connected, connected_as, ends, quits, reads};
use super::proof::asks;
use super::pty::{Terminal, anything_there, signal};
use super::tmux::Tmux;
use crate::run::{BINARY, DEADLINE, Folder, Program, accept, listener, read_all, read_to_reset};

#[test]
fn row_41_the_end_of_the_peer_is_told_without_enter_and_nothing_typed_is_lost() {
    let (mut client, mut peer) = connected("");
    let address = peer.local_addr().unwrap();
    client.press("half a li").awaits(">>> half a li");
    peer.write_all(b"bye").unwrap();
    drop(peer);
    let told = format!(
        "bye\nconnection closed by {address}\nthe line being typed is not sent; Enter leaves\n"
    );
    client.shows(&format!("{told}>>> half a li"));
    client.enter("ne");
    let text = client.ends(0);
    let wanted = format!("{told}>>> half a line\nnot sent: half a line");
    assert!(text.ends_with(&wanted), "{text}");

    let (mut client, peer) = connected("");
    let address = peer.local_addr().unwrap();
    drop(peer);
    let wanted =
        format!("connected to {address}\nq or Ctrl-D leaves\nconnection closed by {address}");
    assert_eq!(client.ends(0), wanted, "an empty prompt is taken back");
}

#[test]
fn row_42_fifty_messages_a_second_leave_a_slowly_typed_line_intact() {
    let (mut client, peer) = connected("");
    let text = "this line is typed slowly, key by key, äöü 漢字";
    among_messages(&peer, || {
        for (n, key) in text.char_indices() {
            client.press(key.to_string());
            let so_far = format!(">>> {}", &text[..n + key.len_utf8()]);
            client.awaits(&so_far);
            std::thread::sleep(Duration::from_millis(40)); // how fast a person types
        }
    });
    client.press("\r");
    reads(&peer, &format!("{text}\n"));
    quits(&mut client, &peer);
    // Every message came out whole, once, in order.
    let numbers = client.numbers("message ");
    assert!(numbers.len() > 50, "{} messages", numbers.len());
    assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
}

#[test]
fn row_42_a_flood_is_shown_in_order_while_lines_are_entered() {
    let (mut client, peer) = connected("");
    let lines = 5000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..lines {
                (&peer).write_all(format!("flood {n}.\n").as_bytes()).unwrap();
            }
        });
        for n in 0..50 {
            client.enter(&format!("typed {n}"));
        }
        let typed: String = (0..50).fold(String::new(), |all, n| all + &format!("typed {n}\n"));
        reads(&peer, &typed);
    });
    client.came("flood 4999.");
    quits(&mut client, &peer);
    let numbers = client.numbers("flood ");
    assert_eq!(numbers, (0..lines).collect::<Vec<_>>());
}

#[test]
fn row_43_ctrl_c_clears_the_line_and_leaves_an_empty_one() {
    let (mut client, peer) = connected("");
    client.press("half a line").awaits(">>> half a line");
    client.press("\x03").awaits(">>>");
    client.enter("whole");
    reads(&peer, "whole\n");
    client.press("\x03");
    client.ends(130);
    assert_eq!(read_all(&peer), b"");
}

#[test]
fn row_43_ctrl_d_ends_only_an_empty_line() {
    let (mut client, peer) = connected("");
    client.press("abc\x1b[D\x1b[D\x04\r"); // deletes under the cursor
    reads(&peer, "ac\n");
    client.press("\x04");
    assert_eq!(read_all(&peer), b"");
    ends(&mut client, &peer);
}

#[test]
fn row_43_ctrl_z_gives_the_shell_its_terminal_and_fg_comes_back_to_the_line() {
    let (listener, address) = listener();
    let words = ["bash", "--norc", "--noprofile", "-i"];
    let shell = anything_there(words).env("PS1", "shell$ ").env("HISTFILE", "");
    let mut shell = Terminal::start(shell, 80);
    shell.awaits("shell$");
    shell.enter(&format!("{BINARY} connect {address}"));
    let mut peer = accept(&listener);
    shell.awaits(">>>");
    for _ in 0..2 {
        shell.press("half").awaits(">>> half");
        shell.press("\x1a").awaits("shell$");
        shell.shows("Stopped");
        peer.write_all(b"meanwhile\n").unwrap();
        shell
            .enter("stty -a | grep -o ' echo \\| icanon'")
            .ends_in(&[" icanon", " echo", "shell$"]);
        shell.enter("fg").until("the line again", |text| text.ends_with("meanwhile\n>>> half"));
        shell.press(" of it\r");
        reads(&peer, "half of it\n");
    }
    // Stopped from elsewhere, it finds its modes again too.
    let id: u32 = {
        shell.press("\x1a").awaits("shell$");
        let text = shell.enter("jobs -p").until("its id", |text| {
            let mut lines = text.lines().rev();
            lines.next() == Some("shell$")
                && lines.next().is_some_and(|id| id.parse::<u32>().is_ok())
        });
        text.lines().rev().nth(1).unwrap().parse().unwrap()
    };
    shell.enter("fg").awaits(">>>");
    signal(id, "STOP");
    shell.awaits("shell$");
    shell.enter("fg").awaits(">>>");
    shell.press("abc\x7f\r");
    reads(&peer, "ab\n");
    // In the background it goes on, leaves the shell its terminal, and ends when told to.
    shell.press("\x1a").awaits("shell$");
    shell.enter("bg").awaits("shell$");
    signal(id, "TERM");
    assert_eq!(read_to_reset(&peer), b"");
    shell.enter("wait %1; exit $?");
    shell.ends(143);
}

#[test]
fn row_43_a_line_longer_than_the_window_survives_messages_and_resizing() {
    // The tests' own terminal cuts rows off, as xterm does.
    let xterm = |program: Program| program.env("XTERM_VERSION", "XTerm(379)");
    let (mut client, mut peer) = connected_as("", 80, xterm);
    client.awaits(">>>");
    let long = "0123456789".repeat(20);
    let shows = |client: &Terminal, before: &str| {
        let wanted = format!("{before}>>> {long}");
        client.until(&wanted, |text| text.replace('\n', "").ends_with(&wanted));
    };
    client.press(&long);
    shows(&client, "");
    peer.write_all(b"above it\n").unwrap();
    shows(&client, "above it");
    client.resize(50);
    peer.write_all(b"and again\n").unwrap();
    shows(&client, "and again");
    client.press("!\r");
    reads(&peer, &format!("{long}!\n"));
    quits(&mut client, &peer);
}

#[test]
#[ignore = "needs tmux"]
fn row_43_a_terminal_that_lays_long_lines_out_anew_shows_everything_once() {
    let (listener, address) = listener();
    let mut tmux = Tmux::start(40, &format!("{BINARY} connect {address}"));
    let mut peer = accept(&listener);
    let mut lines = vec!["q or Ctrl-D leaves".into(), ">>> ".into()];
    let mut say = |lines: &mut Vec<String>| {
        let text = format!("message {} that is of some length", lines.len() - 1);
        peer.write_all(format!("{text}\n").as_bytes()).unwrap();
        lines.insert(lines.len() - 1, format!("<<< {text}"));
    };
    for _ in 0..5 {
        say(&mut lines);
    }
    tmux.shows(&lines);
    // As long as three rows of 40, with the prompt; then a bit longer, and with the cursor inside.
    for (typed, key) in
        [("0123456789".repeat(11) + "012345", "C-e"), ("6".into(), "C-e"), ("78".into(), "M-b")]
    {
        tmux.run(["send-keys", "-l", &typed]);
        lines.last_mut().unwrap().push_str(&typed);
        tmux.shows(&lines);
        tmux.run(format!("send-keys {key}"));
        for width in [20, 40, 39, 24, 120, 30, 200, 40] {
            tmux.resize(width);
            tmux.shows(&lines);
            say(&mut lines);
            tmux.shows(&lines);
        }
    }
    tmux.run("send-keys Enter");
    let line = lines.last().unwrap().strip_prefix(">>> ").unwrap();
    reads(&peer, &format!("{line}\n"));
}

#[test]
#[ignore = "needs tmux"]
fn row_43_after_ctrl_z_the_line_is_drawn_once_whatever_the_width_is_then() {
    let (listener, address) = listener();
    // A short name for the shell to show.
    let place = Folder::new();
    let short = place.at("s");
    symlink(BINARY, &short).unwrap();
    let command = format!("{} connect -q {address}", short.display());
    let mut tmux = Tmux::start(40, "env 'PS1=shell$ ' bash --norc");
    tmux.shows(&["shell$ ".into()]);
    tmux.run(["send-keys", &command, "Enter"]);
    let mut peer = accept(&listener);
    let long = "0123456789".repeat(10);
    let mut line = ">>> ".to_string();
    for (typed, key, widths) in
        [("hi there", "C-e", [40, 10, 40]), (&long, "C-e", [40, 25, 60]), ("", "C-a", [60, 16, 40])]
    {
        tmux.shows(&[line.clone()]);
        tmux.run(["send-keys", "-l", typed]);
        line.push_str(typed);
        tmux.shows(&[line.clone()]);
        tmux.run(format!("send-keys {key}"));
        for width in widths {
            tmux.run("send-keys C-z");
            tmux.shows(&["shell$ ".into()]);
            tmux.resize(width);
            tmux.run("send-keys fg Enter");
            let mut lines = vec!["shell$ fg".into(), command.clone(), line.clone()];
            tmux.shows(&lines);
            peer.write_all(b"hello\n").unwrap();
            lines.insert(2, "<<< hello".into());
            tmux.shows(&lines);
        }
    }
    tmux.run("send-keys Enter");
    reads(&peer, &format!("{}\n", line.strip_prefix(">>> ").unwrap()));
}

#[test]
fn row_42_what_comes_waits_for_a_line_as_high_as_the_window() {
    let (mut client, mut peer) = connected_as("", 18, |program| program);
    let long = (0..150).fold(String::new(), |all, n| all + &format!("{n:03}"));
    client.press(&long);
    client.until("the end of it", |text| text.replace('\n', "").ends_with("148149"));
    let before = client.text();
    for n in 0..3 {
        writeln!(peer, "message {n}").unwrap();
    }
    client.press("!");
    client.until("the key", |text| text.ends_with('!'));
    assert_eq!(client.text().trim_end_matches('!'), before);
    client.press("\x15");
    client.ends_in(&["<<< message 0", "<<< message 1", "<<< message 2", ">>>"]);
    client.press(&long).press("\r");
    reads(&peer, &format!("{long}\n"));
    client.awaits(">>>");
    // The end of the conversation is reported all the same.
    client.press(&long);
    client.until("the end of it", |text| text.replace('\n', "").ends_with("148149"));
    drop(peer);
    client.came("connection closed by");
    client.came("Enter leaves");
    client.press("\r");
    client.ends(0);
}

#[test]
#[ignore = "needs tmux"]
fn row_42_wide_characters_and_emoji_of_several_leave_narrow_rows_whole() {
    let (listener, address) = listener();
    let tmux = Tmux::start(18, &format!("{BINARY} connect -q {address}"));
    let mut peer = accept(&listener);
    let shown = || tmux.run("capture-pane -p -S -").replace("\u{1f467}\u{200d}", "\u{1f467}");
    let mut all: Vec<String> = Vec::new();
    for (typed, rows) in [
        ("漢字漢字漢字漢字漢字", &["漢字漢字漢字漢", "字漢字"][..]),
        (
            "\u{1f469}\u{200d}\u{1f467} and more of it",
            &["\u{1f469}\u{200d}\u{1f467} and more of", " it"],
        ),
        (
            "\u{1f1e9}\u{1f1ea}\u{1f1eb}\u{1f1f7} flags, two",
            &["\u{1f1e9}\u{1f1ea}\u{1f1eb}\u{1f1f7} flags, tw", "o"],
        ),
        ("e\u{301}e\u{301} accents", &["e\u{301}e\u{301} accents"]),
    ] {
        tmux.run(["send-keys", "-l", typed]);
        peer.write_all(b"meanwhile\n").unwrap();
        tmux.run("send-keys Left Left Left Right Right Right");
        peer.write_all(b"and again\n").unwrap();
        all.extend(["<<< meanwhile".into(), "<<< and again".into()]);
        all.push(format!(">>> {}", rows[0]));
        all.extend(rows[1..].iter().map(ToString::to_string));
        let began = Instant::now();
        while !shown().trim().ends_with(&all.join("\n")) {
            assert!(began.elapsed() < DEADLINE, "{}\n\ninstead of\n\n{}", shown(), all.join("\n"));
        }
        tmux.run("send-keys Enter");
        reads(&peer, &format!("{typed}\n"));
    }
}

#[test]
fn row_43_a_window_of_one_column_still_works() {
    let (mut client, mut peer) = connected_as("", 1, |program| program);
    peer.write_all("hello 漢\n".as_bytes()).unwrap();
    client.came("hello 漢");
    client.press("hi 漢\r");
    reads(&peer, "hi 漢\n");
    client.resize(2);
    client.press("\x1b[A\r");
    reads(&peer, "hi 漢\n");
    client.press("\x04");
    ends(&mut client, &peer);
}

#[test]
fn row_43_ten_thousand_pasted_lines_are_sent_in_order() {
    let (mut client, mut peer) = connected("");
    let lines: String =
        (0..10_000).fold(String::new(), |all, n| all + &format!("pasted line {n}\n"));
    client.press_all(format!("\x1b[200~{}\x1b[201~", lines.trim_end().replace('\n', "\r")));
    client.shows("pasted line 9999");
    peer.write_all(b"meanwhile\n").unwrap();
    client.press("\r");
    reads(&peer, &lines);
    client.ends_in(&["<<< meanwhile", ">>>"]);
    client.enter("/quit");
    assert_eq!(read_all(&peer), b"");
    ends(&mut client, &peer);
}

#[test]
fn row_44_a_dumb_terminal_gets_plain_lines() {
    let (mut client, mut peer) = connected_as("", 80, |program| program.env("TERM", "dumb"));
    let address = peer.local_addr().unwrap();
    client.ends_in(&[&format!("connected to {address}"), "q or Ctrl-D leaves", ">>>"]);
    client.enter("hi").awaits(">>>");
    reads(&peer, "hi\n");
    peer.write_all(b"<ann> hello\x1b[31m\n").unwrap();
    client.ends_in(&["<<< <ann> hello\\x1b[31m", ">>>"]);
    client.press("\x04");
    assert_eq!(read_all(&peer), b"");
    ends(&mut client, &peer);
    assert!(!client.raw().contains(&0x1b));
}

#[test]
fn row_44_no_color_at_a_terminal() {
    for (flags, no_color, colored) in [
        ("", "", true),
        ("", "1", false),
        ("--color always", "1", true),
        ("--color never", "", false),
    ] {
        let (client, mut peer) = connected_as(flags, 80, |it| it.env("NO_COLOR", no_color));
        peer.write_all(b"<ann> hi\n").unwrap();
        client.ends_in(&["<<< <ann> hi", ">>>"]);
        let color = client.color_of("ann> hi");
        assert_eq!(color != vt100::Color::Default, colored, "{flags:?} {no_color:?}");
        assert_eq!(client.color_of("hi"), vt100::Color::Default);
    }
}

#[test]
fn row_45_history_is_kept_for_its_owner_alone_and_never_holds_a_key() {
    let folder = Folder::new();
    let path = folder.text("history");
    let (mut client, peer) = connected(&format!("--history {path}"));
    client.enter("first \\ line").enter("second");
    client.enter("/quit");
    assert_eq!(read_all(&peer), b"first \\ line\nsecond\n");
    ends(&mut client, &peer);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (mut client, peer) = connected(&format!("--history {path}"));
    client.press("\x1b[A\x1b[A\x1b[A").awaits(">>> first \\ line");
    client.press("\x03\x04");
    ends(&mut client, &peer);

    let words = format!("--digest md5 --history {path}");
    let mut server = asks(format!("auth-serve 127.0.0.1:0 {words}"), "wangwang");
    let mut client = asks(format!("auth-connect {} {words}", server.address()), "wangwang");
    client.awaits(">>>");
    client.enter("proved");
    server.ends_in(&["[1] proved", ">>>"]);
    client.quits();
    server.quits();
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept.contains("proved") && !kept.contains("wangwang"), "{kept}");
    for seen in [client.raw(), server.raw()] {
        assert!(!String::from_utf8_lossy(&seen).contains("wangwang"));
    }
}

#[test]
fn row_45_a_history_that_cannot_be_used_is_one_warning() {
    let folder = Folder::new();
    let corrupt = folder.at("corrupt");
    std::fs::write(&corrupt, b"#V2\nfine\n\xff\xfe\n").unwrap();
    let _open = folder.fifo("fifo");
    for (path, cause) in [
        (folder.path().to_path_buf(), "is a directory (EISDIR 21)"),
        (folder.at("no/such"), "no such file or directory (ENOENT 2)"),
        (corrupt.clone(), "it is not text"),
        (folder.at("fifo"), "not a regular file"),
    ] {
        let (mut client, peer) =
            connected_as(&format!("--history {}", path.display()), 80, |program| program);
        let warning = format!("sockctl: read the history {}: {cause}", path.display());
        let seen = |text: String| text.replace('\n', "").matches(&warning).count();
        client.until(&warning, |text| seen(text.into()) == 1);
        client.enter("one").enter("two");
        reads(&peer, "one\ntwo\n");
        client.press("\x1b[A").awaits(">>> two");
        client.press("\r\x04");
        assert_eq!(seen(ends(&mut client, &peer)), 1, "{warning}");
    }
    assert_eq!(std::fs::read(&corrupt).unwrap(), b"#V2\nfine\n\xff\xfe\n");
}

#[test]
fn row_45_history_that_cannot_be_written_any_more_is_one_warning() {
    let folder = Folder::new();
    let path = folder.text("history");
    let (mut client, peer) = connected(&format!("--history {path}"));
    client.enter("kept");
    reads(&peer, "kept\n");
    client.awaits(">>>");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    client.enter("one").enter("two");
    reads(&peer, "one\ntwo\n");
    client.shows("sockctl: write the history");
    client.press("\x04");
    let text = ends(&mut client, &peer);
    assert_eq!(text.matches("write the history").count(), 1, "{text}");
}
