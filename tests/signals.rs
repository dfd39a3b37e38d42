//! Signals end a server in good order, restarts bind at once, and long runs leave nothing behind
//! (rows 47 to 51).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::run::{
    BINARY, Folder, ask, connect, echoes, program, read_all, reset, shell, sockctl, until,
    until_refused,
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

#[test]
fn row_48_a_terminal_that_goes_away_ends_it_in_good_order_and_nohup_does_not() {
    let server = sockctl("serve 0 --echo").start();
    let address = server.address();
    let client = server.connect();
    echoes(&client, "it is accepted");
    server.signal("HUP");
    assert_eq!(read_all(&client), b"");
    drop(client);
    server.finish().is(0, "", format!("listening on {address}\n"));

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
