//! `--log`: what goes over connections as text, a time and a direction before each line.

use std::fs;
use std::io::Write;

use crate::run::{
    Folder, ask, datagram, datagrams_to, echoes, is_like, peer, read_all, sockctl, take, until,
    untimed,
};

/// The log in this file, without the times before its lines.
#[track_caller]
fn log(file: &str) -> String {
    untimed(&fs::read_to_string(file).unwrap(), "99:99:99.999")
}

/// Waits until the log in this file is this.
#[track_caller]
fn logs(file: &str, wanted: &str) {
    let lines = wanted.lines().count();
    let text = || fs::read_to_string(file).unwrap_or_default();
    until("it is logged", || text().lines().count() >= lines);
    assert_eq!(log(file), wanted);
}

#[test]
fn a_line_has_a_time_and_a_direction() {
    let folder = Folder::new();
    let file = folder.text("log");
    let peer = peer(|mut stream| {
        stream.write_all(b"220 rea").unwrap();
        take(&stream, 6);
        stream.write_all(b"dy\r\nlogin: ").unwrap();
        assert_eq!(read_all(&stream), "änna\n\x1b[2J".as_bytes());
    });
    let mut client = sockctl(format!("connect {peer} --log {file}")).start();
    client.stdout_has("220 rea");
    client.send("HELO\r\n").stdout_has("login: ");
    client.send("änna\n\x1b[2J");
    client.finish().is(0, "220 ready\r\nlogin: ", "");
    peer.done();
    assert_eq!(log(&file), "< 220 rea\n> HELO\\r\n< dy\\r\n< login: \n> änna\n> \\x1b[2J\n");
}

#[test]
fn clients_of_a_server_share_a_file_and_their_lines_do_not_mix() {
    let folder = Folder::new();
    let file = folder.text("log");
    let server = sockctl(format!("serve --discard --log {file} 127.0.0.1:0 -v")).start();
    let [mut one, mut two] = [(); 2].map(|()| server.connect());
    one.write_all(b"from o").unwrap();
    two.write_all(b"from two\nand").unwrap();
    logs(&file, "[2] < from two\n");
    one.write_all(b"ne\n").unwrap();
    logs(&file, "[2] < from two\n[1] < from one\n");
    drop(two);
    logs(&file, "[2] < from two\n[1] < from one\n[2] < and\n");
    drop(one);
    server.stderr_has("[1] 127.0.0.1:");
}

#[test]
fn it_stands_beside_a_hex_dump_and_both_may_go_into_one_file() {
    let folder = Folder::new();
    let file = folder.file("both", "old\n");
    let server = sockctl("serve --echo 127.0.0.1:0").start();
    let words = format!("connect {server} --hex {file} --log {file}");
    sockctl(words).input("hello\n").run().is(0, "hello\n", "");
    let both = fs::read_to_string(&file).unwrap();
    let wanted = "> 0.… |hello.|\n…:… > hello\n< 0.… |hello.|\n…:… < hello\n";
    assert!(is_like(wanted, &both), "{both}");
    let done = sockctl(format!("connect {server} --hex - --log -")).input("hello\n").run();
    assert!(is_like(wanted, &done.stderr), "{}", done.stderr);

    let file = folder.file("log", "");
    for more in ["one", "two"] {
        sockctl(format!("connect {server} --log +{file}")).input(more).run().is(0, more, "");
    }
    assert_eq!(log(&file), "> one\n< one\n> two\n< two\n");
    let each = folder.text("log-%i");
    let server = sockctl(format!("serve --echo 127.0.0.1:0 --log {each}")).start();
    for number in 1..=2 {
        echoes(&server.connect(), "hello\n");
        let wanted = format!("[{number}] < hello\n[{number}] > hello\n");
        logs(&folder.text(&format!("log-{number}")), &wanted);
    }
}

#[test]
fn every_handler_is_logged_in_plaintext() {
    let folder = Folder::new();
    let file = folder.text("log");
    for handler in ["serve --echo", "serve --sh cat", "auth-serve --echo", "auth-serve --sh cat"] {
        let words = format!("{handler} --once 127.0.0.1:0 --log {file}");
        let server = sockctl(words).env("SOCKCTL_KEY", "a long enough key").start();
        let client = handler.replace("serve", "connect");
        let client = client.split(' ').next().unwrap().replace("connect", "connect --log -");
        let client = sockctl(format!("{client} {server}"));
        let done = client.env("SOCKCTL_KEY", "a long enough key").input("secret\n").run();
        assert_eq!(untimed(&done.stderr, "99:99:99.999"), "> secret\n< secret\n", "{handler}");
        assert_eq!(server.ends().code, 0);
        assert_eq!(log(&file), "[1] < secret\n[1] > secret\n", "{handler}");
    }
    let server = sockctl(format!("serve --broker 127.0.0.1:0 --log {file}")).start();
    let [one, two] = [(); 2].map(|()| server.connect());
    until("both are there", || server.stderr_has("").matches(" joined\n").count() == 2);
    (&one).write_all(b"hi\n").unwrap();
    assert_eq!(take(&two, 3), b"hi\n");
    until("it is passed on", || log(&file).ends_with("[1] < hi\n[2] > hi\n"));
    drop((one, two, server));
    // A script, and the conversation in a pipe.
    let server = sockctl(format!("serve --once 127.0.0.1:0 --log {file}")).start();
    let done = sockctl(format!("connect {server} --send 'PING\\n' --expect PI --log -"));
    let done = done.start();
    until("it is there", || fs::read_to_string(&file).is_ok_and(|it| it.contains("PING")));
    drop(server);
    let said = done.ends().stderr;
    assert_eq!(untimed(said.lines().next().unwrap(), "99:99:99.999"), "> PING");
}

#[test]
fn a_datagram_is_one_line() {
    let folder = Folder::new();
    let (theirs, ours) = (folder.text("theirs"), folder.text("ours"));
    let server = sockctl(format!("udp-serve --echo 127.0.0.1:0 --log {theirs}")).start();
    let words = format!("udp-send {server} --log {ours} --reply");
    sockctl(words).args(["two\\nlines\\n", "\\xff", ""]).run().is(0, b"two\nlines\n\xff", "");
    assert_eq!(log(&ours), "> two\\nlines\n< two\\nlines\n> \\xff\n< \\xff\n> \n< \n");
    logs(&theirs, &log(&ours).replace('>', "^").replace('<', ">").replace('^', "<"));
    let client = datagrams_to(server.port());
    client.send(b"more").unwrap();
    assert_eq!(datagram(&client), b"more");
}

#[test]
fn an_endless_line_is_written_in_pieces() {
    let folder = Folder::new();
    let file = folder.text("log");
    let server = sockctl(format!("serve --echo --once --log {file} 127.0.0.1:0")).start();
    let line = vec![b'x'; 100_000];
    assert_eq!(ask(&server.connect(), &line), line);
    assert_eq!(server.ends().code, 0);
    let log = log(&file);
    for head in ["[1] < ", "[1] > "] {
        let pieces: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix(head)).collect();
        assert!(pieces.iter().all(|piece| piece.len() <= 4096));
        assert_eq!(pieces.concat().as_bytes(), line);
    }
}
