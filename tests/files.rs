//! Files that options name: read (`@FILE`, keys), written (`--hex`, `--log`, `--port-file`), FIFOs and links
//! among them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Instant;

use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};

use crate::run::{
    DEADLINE, Folder, IN_USE, NOT_THERE, Peer, ask, connect, echoes, listener, peer, port_in,
    read_all, read_to_reset, shell, sockctl, until,
};

const DUMPED: &str = "> 0.… 00000000  68 65 6c 6c 6f           |hello|\n";

/// Answers with what it got, after its end.
fn echo() -> Peer {
    peer(|mut stream| {
        let got = read_all(&stream);
        stream.write_all(&got).unwrap();
    })
}

/// A FIFO that no process has open.
fn unopened(folder: &Folder) -> String {
    mkfifo(&folder.at("fifo"), Mode::S_IRWXU).unwrap();
    folder.text("fifo")
}

#[test]
fn row_92_a_fifo_without_its_other_end_waits_until_the_deadline() {
    let folder = Folder::new();
    let fifo = unopened(&folder);
    for (words, op) in [
        ("connect 8520 --send @F", "read 'F'"),
        ("udp-send 8520 @F", "read 'F'"),
        ("serve 127.0.0.1:0 --reply @F", "read 'F'"),
        ("udp-serve 127.0.0.1:0 --reply=@F", "read 'F'"),
        ("serve 127.0.0.1:0 --allow @F", "read 'F'"),
        ("auth-connect 8520 --key-file F", "read key from F"),
        ("auth-serve 127.0.0.1:0 --keys F", "read key from F"),
        (
            "connect 8520 --proxy socks5://me@127.0.0.1:1 --proxy-password-file F",
            "read the proxy's password from F",
        ),
    ] {
        let began = Instant::now();
        let done = sockctl(words.replace('F', &fifo)).args("--deadline 0.3").run();
        done.fails(4, format!("{}: the deadline has passed (--deadline)", op.replace('F', &fifo)));
        assert!(began.elapsed() < DEADLINE / 3, "{words}");
    }
    for (words, op) in [
        ("connect --hex F", "write the hex dump"),
        ("connect --hex +F", "write the hex dump"),
        ("connect --log F", "write the log"),
    ] {
        let words = words.replace('F', &fifo);
        let done = sockctl(format!("{words} {} --deadline 0.3", echo())).input("hello").run();
        let failure = format!("{op} {fifo}: the deadline has passed (--deadline)");
        done.is(4, "hello", format!("sockctl: {failure}\n"));
    }
}

#[test]
fn row_92_the_other_end_of_a_fifo_may_come_late() {
    let folder = Folder::new();
    let fifo = unopened(&folder);
    let server = sockctl(format!("serve --deadline 30 127.0.0.1:0 --reply @{fifo}")).start();
    fs::write(&fifo, "from a fifo").unwrap();
    assert_eq!(read_all(server.connect()), b"from a fifo");

    let client = sockctl(format!("connect --hex {fifo} {}", echo()));
    let client = std::thread::spawn(move || client.input("hello").run());
    let dumped = fs::read_to_string(&fifo).unwrap();
    assert!(
        crate::run::is_like(&format!("{DUMPED}{}", DUMPED.replace('>', "<")), &dumped),
        "{dumped}"
    );
    client.join().unwrap().is(0, "hello", "");
}

#[test]
fn row_100_a_dump_is_opened_once_the_connection_stands() {
    let folder = Folder::new();
    let notes = folder.file("notes.txt", "mine");
    let (_, gone) = listener();
    for words in ["connect --hex", "auth-connect --hex", "connect --log"] {
        let done = sockctl(format!("{words} {notes} {gone} --wait 0.1"))
            .env("SOCKCTL_KEY", "a long enough key")
            .run();
        assert_eq!(done.code, 4, "{}", done.stderr);
        assert_eq!(fs::read(&notes).unwrap(), b"mine");
    }
    let server = sockctl(format!("serve --echo --hex {notes} 127.0.0.1:0")).start();
    server.address();
    assert_eq!(fs::read(&notes).unwrap(), b"mine");
    echoes(&server.connect(), "hello");
    until("it is dumped", || fs::read_to_string(&notes).unwrap().contains("[1] < 0."));
}

#[test]
fn a_dump_is_added_to_a_file_or_is_one_for_each_connection() {
    let folder = Folder::new();
    let file = folder.file("dump", "before\n");
    sockctl(format!("connect --hex +{file} {}", echo())).input("hello").run().is(0, "hello", "");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("before\n> 0.") && text.lines().count() == 3, "{text}");
    sockctl(format!("connect --hex {file} {}", echo())).input("hello").run().is(0, "hello", "");
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);

    let each = folder.text("dump-%i.hex");
    let server = sockctl(format!("serve --echo --hex {each} 127.0.0.1:0")).start();
    for number in 1..=3 {
        echoes(&server.connect(), "hello");
        let dump = folder.at(&format!("dump-{number}.hex"));
        let text = || fs::read_to_string(&dump).unwrap_or_default();
        until("it is dumped", || text().lines().count() == 2);
        assert!(text().lines().all(|line| line.starts_with(&format!("[{number}] "))));
    }
    // The end waits for the reader of each, not only of the last.
    let each = folder.text("fifo");
    let line = r#"mkfifo $1-1 $1-2; "$0" connect $2 --send x --expect x --count 2 --log $1-%i >/dev/null &
        head -n 2 $1-2 $1-1; wait $!"#;
    let done = shell(line, [each, server.to_string()]).run();
    assert_eq!(done.code, 0, "{}", done.stderr);
    let lines = String::from_utf8(done.stdout).unwrap();
    assert!(lines.contains("[1] > x\n") && lines.contains("[2] > x\n"), "{lines}");
}

#[test]
fn row_77_a_dump_of_its_own_that_cannot_be_opened_ends_that_client_alone() {
    let folder = Folder::new();
    let (dumps, away) = (folder.text("dumps"), folder.text("away"));
    fs::create_dir(&dumps).unwrap();
    let server = sockctl(format!("serve --echo --hex {dumps}/%i 127.0.0.1:0")).start();
    let first = server.connect();
    echoes(&first, "hello");
    fs::rename(&dumps, &away).unwrap();
    // A connect with a timeout would fail where the reset comes before its poll(2).
    let refused = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    assert_eq!(read_to_reset(refused), b"");
    echoes(&first, "on");
    fs::rename(&away, &dumps).unwrap();
    echoes(&server.connect(), "hello");
    drop(first);
    assert_eq!(fs::read_dir(&dumps).unwrap().count(), 2);
    server.stops("", &format!("sockctl: write the hex dump {dumps}/2: {NOT_THERE}\n"));
}

#[test]
fn row_114_the_dump_of_an_encrypted_session_is_its_owners_alone() {
    let folder = Folder::new();
    let (dump, log) = (folder.text("dump"), folder.text("log"));
    let old = folder.file("old", "old");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o644)).unwrap();
    let server = sockctl(format!("auth-serve --echo 127.0.0.1:0 --hex {old}"));
    let server = server.env("SOCKCTL_KEY", "a long enough key").start();
    let client = sockctl(format!("auth-connect {server} --hex {dump} --log {log}"));
    let done = client.env("SOCKCTL_KEY", "a long enough key").input("hello").run();
    assert_eq!((done.code, &done.stdout[..]), (0, &b"hello"[..]), "{}", done.stderr);
    for file in [dump, log, old] {
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600, "{file}");
    }
}

#[test]
fn row_114_a_link_in_the_place_of_a_port_file_is_not_followed() {
    for command in ["serve --echo", "udp-serve --echo"] {
        let folder = Folder::new();
        let (victim, port) = (folder.file("victim", "precious"), folder.text("port"));
        symlink(&victim, &port).unwrap();
        let server = sockctl(format!("{command} 127.0.0.1:0 --port-file {port}")).start();
        assert_eq!(server.port(), port_in(&port));
        assert!(fs::symlink_metadata(&port).unwrap().is_file());
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(folder.count(), 2);
        server.stops("", "");
        assert_eq!(folder.count(), 1);
    }
}

#[test]
fn row_114_what_holds_a_key_cannot_be_looked_into() {
    let owner = |command: &str| {
        let server = sockctl(format!("{command} --echo 127.0.0.1:0"));
        let server = server.env("SOCKCTL_KEY", "a long enough key").with(|command| {
            if geteuid().is_root() {
                std::os::unix::process::CommandExt::uid(command, 65534);
            }
        });
        let server = server.start();
        server.address();
        fs::metadata(format!("/proc/{}/mem", server.id())).unwrap().uid()
    };
    let own = if geteuid().is_root() { 65534 } else { geteuid().as_raw() };
    assert_eq!((owner("serve"), owner("auth-serve")), (own, 0));
}

#[test]
fn row_98_a_port_file_is_there_exactly_while_the_port_is_open() {
    for command in ["serve --echo", "udp-serve --echo", "serve --once --room"] {
        let folder = Folder::new();
        let port = folder.file("port", "1\n");
        let (_taken, address) = listener();
        if command.starts_with("serve") {
            let done = sockctl(format!("{command} {address} --port-file {port}")).run();
            done.fails(10, format!("listen on {address}: {IN_USE}…"));
            assert_eq!(folder.count(), 0);
        }
        let server = sockctl(format!("{command} 127.0.0.1:0 --port-file {port}")).start();
        let other = sockctl(format!("{command} 127.0.0.1:0 --port-file {port}.2")).start();
        let number = server.port();
        assert_eq!(port_in(&port), number);
        assert_eq!(port_in(format!("{port}.2")), other.port());
        // One that another server has put there stays.
        fs::rename(&port, folder.at("moved")).unwrap();
        fs::write(&port, "2\n").unwrap();
        for server in [server, other] {
            server.stops("", "");
        }
        assert_eq!(fs::read(&port).unwrap(), b"2\n");
        assert_eq!(fs::read_to_string(folder.at("moved")).unwrap(), format!("{number}\n"));
        assert_eq!(folder.count(), 2);
    }
}

#[test]
fn row_98_a_port_file_is_gone_as_soon_as_the_port_is_closed() {
    let folder = Folder::new();
    let file = folder.at("port");
    let words = format!("--echo 127.0.0.1:0 --port-file {}", folder.text("port"));
    let mut server = sockctl(format!("serve --grace 20s {words}")).start();
    let client = connect(port_in(&file));
    let data = vec![b'x'; 16 << 20];
    (&client).write_all(&data).unwrap();
    server.signal("TERM");
    until("the port file is gone", || !file.exists());
    assert!(server.is_running());
    assert!(crate::run::take(&client, data.len()) == data);
    drop(client);
    assert_eq!(server.ends().code, 0);

    let mut server = sockctl(format!("serve --once {words}")).start();
    let client = connect(port_in(&file));
    echoes(&client, "hello");
    assert!(!file.exists() && server.is_running());
}

#[test]
fn row_98_a_command_line_that_is_refused_leaves_the_port_file_of_a_server_that_runs() {
    let folder = Folder::new();
    let file = folder.text("port");
    for (command, wrong) in [
        ("serve", "--mode 0600"),
        ("serve", "--hex /nonexistent/file"),
        ("serve", "-o TCP_CONGESTION=nosuch"),
        ("serve", "--deny nosuch.invalid"),
        ("serve", "-- /nonexistent/program"),
        ("udp-serve", "--hex /nonexistent/file"),
        ("udp-serve", "-- /nonexistent/program"),
    ] {
        let words = format!("{command} 127.0.0.1:0 --port-file {file}");
        let server = sockctl(format!("{words} --discard")).start();
        let port = port_in(&file);
        let done = sockctl(format!("{words} {wrong}")).run();
        assert_ne!(done.code, 0, "{wrong}");
        assert_eq!(port_in(&file), port, "{command} {wrong}");
        server.stops("", "");
    }
}

#[test]
fn row_109_a_fifo_that_nobody_reads_holds_up_neither_service_nor_end() {
    let folder = Folder::new();
    let fifo = unopened(&folder);
    for words in [
        "serve --echo --hex F",
        "serve --echo --port-file F",
        "auth-serve --echo --digest md5 --hex F",
        "serve --sh cat --hex F",
        "serve --room --hex F",
        "serve --room --log F",
        "serve --echo --log F",
    ] {
        let words = words.replace('F', &fifo);
        let server =
            sockctl(format!("{words} 127.0.0.1:0 --grace 1")).env("SOCKCTL_KEY", "k").start();
        let client = server.connect();
        if !words.contains("auth") && !words.contains("room") {
            echoes(&client, "hello");
        }
        drop(client);
        let began = Instant::now();
        server.signal("TERM");
        assert_eq!(server.ends().code, 0, "{words}");
        assert!(began.elapsed() < DEADLINE / 6, "{words}");
    }
    let mut server = sockctl(format!("udp-serve --echo 127.0.0.1:0 --hex {fifo}")).start();
    let client = crate::run::datagrams_to(server.port());
    client.send(b"hello").unwrap();
    assert_eq!(crate::run::datagram(&client), b"hello");
    assert!(server.is_running());
    server.signal("TERM");
    assert_eq!(server.ends().code, 0);
}

#[test]
fn row_109_a_dump_that_is_not_read_any_more_loses_records_and_says_so() {
    let folder = Folder::new();
    let mut fifo = folder.fifo("fifo");
    let name = folder.text("fifo");
    let server = sockctl(format!("serve --echo --hex {name} 127.0.0.1:0")).start();
    let data = vec![b'x'; 1 << 20]; // some 15 MiB of dump
    assert_eq!(ask(&server.connect(), &data), data);
    let mut dumped = Vec::new();
    let mut block = vec![0; 64 << 10];
    let mut client = server.connect();
    until("records are reported as dropped", || {
        let count = fifo.read(&mut block).unwrap();
        dumped.extend_from_slice(&block[..count]);
        if dumped.len() > 1 << 20 {
            client.write_all(b"more").unwrap();
        }
        let text = String::from_utf8_lossy(&dumped);
        text.contains(" records dropped: they were not read\n")
    });
}

#[test]
fn row_109_a_port_file_that_is_a_stream_is_written_not_replaced() {
    let folder = Folder::new();
    let fifo = unopened(&folder);
    let server = sockctl(format!("serve --echo 127.0.0.1:0 --port-file {fifo}")).start();
    let port: u16 = fs::read_to_string(&fifo).unwrap().trim().parse().unwrap();
    assert_eq!(port, server.port());
    echoes(&connect(port), "hello");
    drop(server);
    let server = sockctl("serve --echo -q 127.0.0.1:0 --port-file /dev/stdout").start();
    let port = String::from_utf8(server.stdout_bytes(2)).unwrap();
    assert!(port.trim().parse::<u16>().is_ok(), "{port}");
}
