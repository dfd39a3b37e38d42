//! `--reconnect` in a pipe: another connection after each end, reset and failure; `--nick` on each. The prompt
//! is in `terminal/reconnect.rs`.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::proxy::SOCKS;
use crate::run::{
    Folder, REFUSED, RESET, accept, events_of, free_port, listen, listener, listening, read_all,
    refused, reset, sockctl, take, until,
};

/// A short pause, to come back at once.
const SOON: &str = "--reconnect=50ms";

#[test]
fn row_123_it_comes_back_after_an_end_a_reset_and_a_refusal_while_stdin_waits() {
    let (listener, address) = listener();
    let port = listener.local_addr().unwrap().port();
    let mut client = sockctl(format!("connect {address} {SOON} --nick Ann")).start();
    let mut peer = accept(&listener);
    client.send("one\n");
    assert_eq!(take(&peer, 14), b"/nick Ann\none\n");
    peer.write_all(b"first\n").unwrap();
    client.stdout_has("first\n");
    drop(peer);
    let peer = accept(&listener);
    assert_eq!(take(&peer, 10), b"/nick Ann\n");
    drop(listener);
    reset(peer);
    let lost_bytes = "sockctl: warning: 10 bytes were sent on the lost connection; 0 for it were not \
                      acknowledged and are not sent again\n";
    client.stderr_has(lost_bytes);
    client.stderr_has(&format!("connect to {address}: {REFUSED}; trying again in 50ms"));
    // The listener does not accept it, and nothing of it is read.
    client.send("two\n");
    let listener = listen(port);
    let mut peer = accept(&listener);
    assert_eq!(take(&peer, 14), b"/nick Ann\ntwo\n");
    client.close();
    assert_eq!(read_all(&peer), b"");
    peer.write_all(b"last\n").unwrap();
    drop(peer);
    let said = client.finish().gives(0, "first\nlast\n");
    let lost = |why| format!("connection lost: {why}; reconnecting in 50ms\n");
    let again = format!("reconnected to {address}\n");
    let refused = format!("connect to {address}: {REFUSED}; trying again in 50ms\n");
    let wanted = [
        lost("the peer closed the connection"),
        again.clone(),
        lost_bytes.into(),
        lost(RESET),
        refused,
        again,
    ];
    assert_eq!(said, wanted.concat());
}

#[test]
fn row_123_the_bytes_of_a_connection_that_broke_are_told_and_not_sent_again() {
    let total = 8_000_000;
    let (listener, address) = listener();
    let mut client = sockctl(format!("connect {address} {SOON}")).start();
    client.feed(vec![b'x'; total]);
    let peer = accept(&listener);
    take(&peer, 1000);
    reset(peer);
    let peer = accept(&listener);
    let rest = read_all(&peer).len();
    drop(peer);
    let said = client.finish().gives(0, "");
    let line = said.lines().next().unwrap();
    let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let (sent, lost) = (numbers[0], numbers[1]);
    let wanted = format!(
        "sockctl: warning: {sent} bytes were sent on the lost connection; {lost} for it were not acknowledged \
         and are not sent again"
    );
    assert_eq!(line, wanted);
    assert!(sent >= 1000 && lost <= sent, "{said}");
    assert_eq!(sent + rest, total, "every byte is accounted for");
}

#[test]
fn the_first_connection_is_waited_for_and_wait_bounds_each_absence() {
    let port = free_port();
    let client = sockctl(format!("connect {port} {SOON} --wait 500ms -v")).start();
    client.stderr_has("trying again in ");
    let listener = listen(port);
    let peer = accept(&listener);
    drop(listener);
    std::thread::sleep(Duration::from_millis(600)); // longer than --wait
    let began = Instant::now();
    drop(peer);
    let said = client.finish().gives(4, "");
    assert!(began.elapsed() >= Duration::from_millis(450), "{said}");
    assert!(said.contains("still so after 500ms"), "{said}");
    assert!(said.lines().last().unwrap().starts_with("sockctl: connect to "), "{said}");
}

#[test]
fn a_server_that_lets_nobody_in_is_asked_less_and_less_often() {
    let (listener, address) = listener();
    let client = sockctl(format!("connect {address} --reconnect")).start();
    for pause in ["1s", "2s"] {
        accept(&listener).write_all(b"! banned\n").unwrap();
        client.stderr_has(&format!("reconnecting in {pause}"));
    }
    // One that stands makes the pauses short again.
    let peer = accept(&listener);
    std::thread::sleep(Duration::from_millis(4100)); // longer than the next pause
    drop(peer);
    until("a short pause", || {
        client.stderr_has("reconnecting in ").matches("reconnecting in 1s").count() == 2
    });
    client.signal("TERM");
    client.finish().gives(143, "! banned\n! banned\n");
}

#[test]
fn the_deadline_and_signals_end_it() {
    let port = free_port();
    let began = Instant::now();
    let finished = sockctl(format!("connect {port} {SOON} --deadline 400ms")).input("x").run();
    let said = finished.gives(4, "");
    assert!(began.elapsed() >= Duration::from_millis(400), "{said}");
    assert!(said.contains("deadline"), "{said}");
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let client = sockctl(format!("connect {port} --reconnect")).start();
        client.stderr_has("trying again in 1s");
        client.rests();
        client.signal(signal);
        client.finish().gives(status, "");
    }
}

#[test]
fn what_only_comes_is_collected_over_all_connections() {
    let (listener, address) = listener();
    let client = sockctl(format!("connect {address} {SOON} --recv-only -q")).start();
    for n in 0..3 {
        let mut peer = accept(&listener);
        writeln!(peer, "part {n}").unwrap();
    }
    client.stdout_has("part 2\n");
    client.signal("TERM");
    client.finish().gives(143, "part 0\npart 1\npart 2\n");
}

#[test]
fn a_stdin_that_has_ended_is_the_end() {
    let (listener, address) = listener();
    let mut client = sockctl(format!("connect {address} {SOON}")).start();
    client.send("all\n").close();
    let peer = accept(&listener);
    assert_eq!(read_all(&peer), b"all\n");
    drop(peer);
    client.finish().is(0, "", "");
    // Also where it breaks then.
    let mut client = sockctl(format!("connect {address} {SOON}")).start();
    client.close();
    let peer = accept(&listener);
    assert_eq!(read_all(&peer), b"");
    reset(peer);
    client.finish().fails(7, format!("connection to {address}: {RESET}"));
}

#[test]
fn a_peer_whose_end_means_nothing_is_left_only_when_it_breaks() {
    let (listener, address) = listener();
    let mut client = sockctl(format!("connect {address} {SOON} --send-only -q")).start();
    let peer = accept(&listener);
    peer.shutdown(Shutdown::Write).unwrap();
    client.send("one\n");
    assert_eq!(take(&peer, 4), b"one\n");
    reset(peer);
    let peer = accept(&listener);
    client.send("two\n").close();
    assert_eq!(read_all(&peer), b"two\n");
    drop(peer);
    client.finish().is(0, "", "");
}

#[test]
fn a_secured_connection_comes_back_too() {
    let folder = Folder::new();
    let key = folder.file("key", "a key of some length\n");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for (server, client) in [
        (
            format!("auth-serve PORT --key-file {key} --echo"),
            format!("auth-connect PORT --key-file {key}"),
        ),
        ("serve PORT --tls --echo".into(), "connect PORT --tls --tls-insecure".into()),
    ] {
        let port = free_port().to_string();
        let start = || sockctl(server.replace("PORT", &port)).start();
        let echo = start();
        echo.address();
        let mut client = sockctl(format!("{} {SOON}", client.replace("PORT", &port))).start();
        client.send("one\n").stdout_has("one\n");
        echo.signal("KILL");
        drop(echo.ends());
        client.stderr_has("connection lost: ");
        let echo = start();
        client.send("two\n").stdout_has("two\n");
        client.close();
        client.finish().gives(0, "one\ntwo\n");
        echo.signal("TERM");
    }
}

#[test]
fn it_comes_back_through_a_proxy_and_to_a_unix_socket() {
    let (listener, address) = listener();
    let (_proxy, at) = listening(SOCKS, "2 open");
    let words = format!("connect {address} {SOON} --proxy socks5://{at} --send-proxy -q");
    let mut client = sockctl(words).start();
    for part in ["one", "two"] {
        let peer = accept(&listener);
        client.send(part);
        let wanted = format!("PROXY UNKNOWN\r\n{part}");
        assert_eq!(take(&peer, wanted.len()), wanted.as_bytes());
        if part == "two" {
            client.close();
            read_all(&peer);
        }
    }
    client.finish().is(0, "", "");

    let folder = Folder::new();
    let path = folder.at("s");
    let mut client = sockctl(format!("connect unix:{} {SOON} -q", path.display())).start();
    for part in ["one", "two"] {
        let listener = UnixListener::bind(&path).unwrap();
        let (peer, _) = listener.accept().unwrap();
        std::fs::remove_file(&path).unwrap();
        client.send(part);
        assert_eq!(take(&peer, 3), part.as_bytes());
    }
    client.signal("TERM");
    client.finish().gives(143, "");
}

#[test]
fn row_123_a_rejected_key_is_final() {
    let folder = Folder::new();
    let (ours, theirs) =
        (folder.file("a", "one key of many\n"), folder.file("b", "another key of many\n"));
    for path in [&ours, &theirs] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
    }
    let server = sockctl(format!("auth-serve 0 --key-file {theirs}")).start();
    let words = format!("auth-connect {} --key-file {ours} --reconnect", server.address());
    let said = sockctl(words).run().gives(9, "");
    assert!(!said.contains("reconnecting") && !said.contains("trying again"), "{said}");
}

#[test]
fn each_connection_has_a_number_and_a_dump_of_its_own() {
    let folder = Folder::new();
    let (listener, address) = listener();
    let log = folder.text("log-%i");
    let words = format!("connect {address} {SOON} --recv-only --json --log {log}");
    let client = sockctl(words).start();
    for n in 1..=2 {
        let mut peer = accept(&listener);
        writeln!(peer, "part {n}").unwrap();
    }
    client.stdout_has("part 2\n");
    client.signal("TERM");
    let said = client.finish().gives(143, "part 1\npart 2\n");
    let ids: Vec<_> = events_of(&said, "connected").iter().map(|it| it["id"].as_u64()).collect();
    assert_eq!(ids[..2], [Some(1), Some(2)]);
    for n in 1..=2 {
        let text = std::fs::read_to_string(folder.at(&format!("log-{n}"))).unwrap();
        assert!(text.ends_with(&format!("[{n}] < part {n}\n")), "{text}");
    }
}

#[test]
fn a_name_is_said_before_anything_else() {
    for (words, wanted) in [
        ("--nick Ann -C --send hi", "/nick Ann\r\nhi"),
        ("--nick 王小明 --send hi", "/nick 王小明\nhi"),
    ] {
        let (listener, address) = listener();
        let client = sockctl(format!("connect {address} {words}")).start();
        let peer = accept(&listener);
        assert_eq!(String::from_utf8(read_all(&peer)).unwrap(), wanted);
        drop(peer);
        client.finish().is(0, "", "");
    }
}

#[test]
fn what_it_says_nothing_to_is_refused() {
    let talk = "--reconnect is for a prompt or a pipe; --count repeats steps";
    let check =
        "--reconnect and --nick are for a conversation: -z says nothing; --wait DUR tries again";
    let said = "--nick is for a conversation: with --count or a program, send it there";
    let name = |text| {
        format!("--nick '{text}': a name has 1 to 32 letters and digits of any script, _, - and .")
    };
    refused(&[
        ("connect 1 --reconnect --send x", talk),
        ("connect 1 --reconnect --send x --count 2", talk),
        ("connect 1 --reconnect -- cat", talk),
        ("connect 1 -z --reconnect", check),
        ("connect 1 -z --nick ann", check),
        ("connect 1 --nick ann --count 2 --send x", said),
        ("connect 1 --nick ann -- cat", said),
        ("connect 1 --nick a/b", &name("a/b")),
        ("connect 1 --nick=", &name("")),
    ]);
}
