//! Signals end a server in good order, restarts bind at once, and long runs leave nothing behind
//! (rows 47 to 51, 89).

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::run::{
    BINARY, Folder, Program, Words, ask, connect, datagram, datagrams_to, echoes, program,
    read_all, reset, shell, sockctl, until, until_refused,
};

#[test]
fn row_47_sigterm_ends_the_idle_at_once_and_lets_transfers_drain() {
    let mut server = sockctl("serve 0 --echo --grace 20s").start();
    let (port, address) = (server.port(), server.address());
    let idle: Vec<TcpStream> = (0..10).map(|_| connect(port)).collect();
    for client in &idle {
        echoes(client, b"x");
    }
    // Three clients that have not read yet: their echo is queued in the server.
    let busy: Vec<TcpStream> = (0..3).map(|_| connect(port)).collect();
    let size = 16 << 20;
    for client in &busy {
        { client }.write_all(&vec![b'e'; size]).unwrap();
    }
    let began = Instant::now();
    server.signal("TERM");
    for client in &idle {
        assert_eq!(read_all(client), b"");
    }
    assert!(began.elapsed() < Duration::from_secs(3));
    until_refused(port);
    assert!(server.is_running());
    for client in &busy {
        assert_eq!(read_all(client).len(), size);
    }
    drop((idle, busy));
    server.finish().is(0, "", format!("listening on {address}\n"));
    assert!(began.elapsed() < Duration::from_secs(15), "it did not wait for --grace");
}

#[test]
fn row_47_the_second_signal_ends_it_at_once() {
    let (folder, size) = (Folder::new(), 24 << 20);
    let file = folder.file("text", vec![0; size]);
    let mut server = sockctl(format!("serve 0 --reply @{file} --grace 60s")).start();
    let address = server.address();
    let client = server.connect();
    // Its buffer must not grow until it holds everything.
    socket2::SockRef::from(&client).set_recv_buffer_size(64 << 10).unwrap();
    (&client).read_exact(&mut [0]).unwrap();
    let port = server.port();
    server.signal("TERM");
    until_refused(port);
    assert!(server.is_running());
    let began = Instant::now();
    server.signal("INT");
    server.finish().is(0, "", format!("listening on {address}\n"));
    assert!(began.elapsed() < Duration::from_secs(10));
    let mut rest = Vec::new();
    let _ = (&client).read_to_end(&mut rest);
    assert!(rest.len() < size - 1);
}

#[test]
fn row_47_what_stdin_gave_is_delivered_and_what_clients_say_is_written() {
    let mut server = sockctl("serve 0 --grace 20s").start();
    let client = server.connect();
    server.stderr_has("joined");
    let text = vec![b's'; 4 << 20];
    server.send(&text);
    let (mut writer, sent) = (client.try_clone().unwrap(), text.clone());
    let speaks = std::thread::spawn(move || writer.write_all(&sent));
    server.stdout_bytes(1 << 20);
    server.signal("TERM");
    assert!(read_all(&client) == text);
    speaks.join().unwrap().unwrap();
    drop(client);
    let said = server.finish();
    assert_eq!((said.code, said.stdout.len()), (0, text.len()));
}

/// sockctl in a session of its own without a terminal, as a service manager starts it.
fn daemon(words: impl Words) -> Program {
    program("setsid", [BINARY]).args(words)
}

#[test]
fn row_48_nohup_goes_on() {
    for handler in ["--echo", "-- cat"] {
        let line = format!(r#"trap "" HUP; exec "$0" serve 0 {handler}"#);
        let server = shell(&line, "").start();
        server.address();
        server.signal("HUP");
        assert_eq!(ask(&server.connect(), b"on"), b"on");
        server.stops("", "");
    }
}

#[test]
fn row_89_what_came_ignored_stays_so_for_us_and_for_programs() {
    let line =
        r#"trap "" INT TERM QUIT HUP; exec "$0" serve 0 --sh 'grep SigIgn /proc/self/status'"#;
    let server = shell(line, "").start();
    server.address();
    for signal in ["INT", "TERM", "QUIT", "HUP"] {
        server.signal(signal);
    }
    let ignored = String::from_utf8(ask(&server.connect(), "")).unwrap();
    let mask = u64::from_str_radix(ignored.trim().rsplit('\t').next().unwrap(), 16).unwrap();
    // HUP 1, INT 2, QUIT 3, TERM 15.
    assert_eq!(mask & 0x4007, 0x4007, "{ignored}");

    for words in ["connect 127.0.0.1:$1", "udp-serve 127.0.0.1:0"] {
        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = format!(r#"trap "" INT TERM; exec "$0" {words}"#);
        let mut running = shell(&line, [peer.local_addr().unwrap().port().to_string()]).start();
        let client = words.starts_with("connect").then(|| peer.accept().unwrap());
        running.rests();
        running.signal("INT").signal("TERM");
        running.rests();
        assert!(running.is_running(), "{words}");
        drop(client);
    }
}

#[test]
fn row_89_without_a_terminal_sighup_reads_the_lists_again() {
    let folder = Folder::new();
    let list = folder.file("list", "127.0.0.0/8\n");
    let server = daemon(format!("serve 127.0.0.1:0 --reply hi --deny @{list} -v")).start();
    let port = server.port();
    let is_served = || read_all(connect(port)) == b"hi";
    assert!(!is_served());
    // A bad file: the old list holds.
    folder.file("list", "nonsense\n");
    server.signal("HUP");
    server.stderr_has("; the old list holds\n");
    assert!(!is_served());
    folder.file("list", "192.0.2.0/24\n");
    server.signal("HUP");
    until("the list is read", is_served);
    server.signal("TERM");
    assert_eq!(server.finish().code, 0);

    let server = daemon(format!("udp-serve 127.0.0.1:0 --echo --allow @{list} -v")).start();
    let port = server.port();
    folder.file("list", "127.0.0.1\n");
    server.signal("HUP");
    server.stderr_has("read again\n");
    let client = datagrams_to(port);
    client.send(b"x").unwrap();
    assert_eq!(datagram(&client), b"x");
}

#[test]
fn row_89_a_sighup_that_comes_while_lists_are_read_has_them_read_once_more() {
    for command in ["serve", "udp-serve"] {
        let folder = Folder::new();
        mkfifo(&folder.at("list"), Mode::S_IRWXU).unwrap();
        let file = folder.at("list");
        // open(2) waits until the server reads.
        let write = move |rules: &str, meanwhile: &dyn Fn()| {
            let mut list = None;
            until("the list is being read", || {
                let open = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(&file);
                list = open.ok();
                list.is_some()
            });
            meanwhile();
            list.unwrap().write_all(rules.as_bytes()).unwrap();
        };
        let words = format!("{command} 127.0.0.1:0 --echo --allow @{} -v", folder.text("list"));
        let server = daemon(words).start();
        write("127.0.0.0/8\n", &|| {});
        server.address();
        server.signal("HUP");
        write("192.0.2.0/24\n", &|| _ = server.signal("HUP"));
        server.stderr_has("read again\n");
        write("127.0.0.1\n", &|| {});
        until("the list is read twice", || {
            server.stderr_has("").matches("read again\n").count() == 2
        });
        // A list that does not come is no deadline of the run, and is not reported as read.
        server.signal("HUP");
        let why = format!("read '{}': nothing to read in time", folder.text("list"));
        server.stderr_has(&format!("sockctl: warning: {why}; the old list holds\n"));
        server.signal("TERM");
        assert_eq!(server.finish().stderr.matches("read again\n").count(), 2);
    }
}

#[test]
fn row_89_without_a_terminal_sighup_reads_the_keys_again() {
    let folder = Folder::new();
    let keys = folder.file("keys", "ann:the first key of all\n");
    let (old, new) =
        (folder.file("old", "the first key of all"), folder.file("new", "another key"));
    for protocol in ["--digest sha256", "--python"] {
        folder.file("keys", "ann:the first key of all\n");
        let words = format!("auth-serve 127.0.0.1:0 --keys {keys} --echo {protocol}");
        let server = daemon(words).start();
        let port = server.port();
        let enters = |key: &str| {
            let words = format!("auth-connect 127.0.0.1:{port} --key-file {key} {protocol}");
            sockctl(words).input("x\n").run().code == 0
        };
        assert!(enters(&old) && !enters(&new));
        folder.file("keys", "no keys\n");
        server.signal("HUP");
        server.stderr_has("; the old keys hold\n");
        assert!(enters(&old));
        folder.file("keys", "bob:another key\n");
        server.signal("HUP");
        until("the keys are read", || enters(&new));
        assert!(!enters(&old));
    }
}

#[test]
fn row_89_keys_that_do_not_come_hold_the_server_up_for_a_second_at_most() {
    let folder = Folder::new();
    mkfifo(&folder.at("keys"), Mode::S_IRWXU).unwrap();
    let (keys, key) = (folder.text("keys"), folder.file("key", "the first key of all"));
    let words = format!("auth-serve 127.0.0.1:0 --keys {keys} --echo --digest sha256");
    let server = daemon(words).start();
    std::fs::write(&keys, "ann:the first key of all\n").unwrap();
    let port = server.port();
    server.signal("HUP");
    server.stderr_has(": nothing to read in time; the old keys hold\n");
    let words = format!("auth-connect 127.0.0.1:{port} --key-file {key} --digest sha256");
    sockctl(words).input("x\n").run().is(0, "x\n", "");
}

#[test]
fn row_49_sigpipe_ignored_or_not_makes_no_difference() {
    for before in ["trap '' PIPE;", "trap - PIPE;"] {
        // A client that is gone while we send, and a reader of stdout that is gone.
        let line = format!(r#"{before} exec "$0" serve 0 --echo"#);
        let server = shell(&line, "").start();
        let client = server.connect();
        let mut writer = client.try_clone().unwrap();
        let flood =
            std::thread::spawn(move || while writer.write_all(&vec![b'x'; 65536]).is_ok() {});
        (&client).read_exact(&mut [0; 1000]).unwrap();
        client.shutdown(Shutdown::Both).unwrap();
        flood.join().unwrap();
        drop(client);
        assert_eq!(ask(&server.connect(), b"on"), b"on");

        let line = format!(r#"{before} "$0" serve 0 2>"$1" | :; echo "$PIPESTATUS""#);
        let folder = Folder::new();
        let log = folder.file("log", "");
        let server = program("bash", ["-c", &line, BINARY, &log]).start();
        let mut said = String::new();
        until("it listens", || {
            said = std::fs::read_to_string(&log).unwrap();
            said.ends_with('\n')
        });
        let port: u16 = said.trim().rsplit(':').next().unwrap().parse().unwrap();
        // The reader may still be on its way to its end when the first line comes.
        until("it ends", || {
            let client = TcpStream::connect(("127.0.0.1", port));
            client.and_then(|mut client| client.write_all(b"this is not read\n")).is_err()
        });
        assert_eq!(server.finish().stdout, b"141\n", "{before}");
        let log = std::fs::read_to_string(&log).unwrap();
        assert!(!log.contains("sockctl:"), "{log}");
    }
}

#[test]
fn row_50_after_kill_9_it_starts_again_at_once() {
    let server = sockctl("serve 0 --echo").start();
    let address = server.address();
    let client = server.connect();
    echoes(&client, b"x");
    server.signal("KILL");
    assert_eq!(server.finish().code, 1009);
    let again = sockctl(format!("serve {address} --echo")).start();
    assert_eq!(again.address(), address);

    let folder = Folder::new();
    let address = format!("unix:{}", folder.text("s"));
    let server = sockctl(format!("serve {address} --reply=1")).start();
    server.address();
    server.signal("KILL");
    assert_eq!(server.finish().code, 1009);
    assert_eq!(folder.count(), 1);
    let again = sockctl(format!("serve {address} --reply=2")).start();
    assert_eq!(again.address(), address);
    assert_eq!(read_all(UnixStream::connect(folder.at("s")).unwrap()), b"2");
}

/// Serves so many clients, a few at a time, and says what that left behind.
fn is_at_the_baseline_after(count: usize) {
    let server = sockctl("serve 0 --echo -i 60s").start();
    let port = server.port();
    let serve = |count: usize| {
        for n in 0..count {
            let client = connect(port);
            echoes(&client, b"hello");
            // A reset leaves no TIME_WAIT behind, of which there is a limited number.
            if n % 10 == 0 {
                client.shutdown(Shutdown::Write).unwrap();
                assert_eq!(read_all(&client), b"");
            } else {
                reset(client);
            }
        }
    };
    serve(200);
    server.rests();
    let before = server.vitals();
    let crowds = 4;
    std::thread::scope(|scope| {
        for _ in 0..crowds {
            scope.spawn(|| serve(count / crowds));
        }
    });
    until("descriptors are back", || server.vitals().descriptors == before.descriptors);
    let after = server.vitals();
    assert_eq!(after.threads, before.threads);
    assert!(after.memory < before.memory + (4 << 20), "{before:?}, then {after:?}");
    server.rests();
}

#[test]
fn row_51_after_thousands_of_connections_all_is_at_the_baseline() {
    is_at_the_baseline_after(4_000);
}

#[test]
#[ignore = "needs a minute"]
fn row_51_after_100_000_connections_all_is_at_the_baseline() {
    is_at_the_baseline_after(100_000);
}
