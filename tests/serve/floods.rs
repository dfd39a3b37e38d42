//! Peers that read slowly or not at all, floods of connections, and a process that was stopped: memory,
//! descriptors and time stay bounded at every moment, and honest peers are served (rows 104 to 118).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::{is_served, serve};
use crate::auth::key_file;
use crate::run::{
    DEADLINE, Folder, Running, accept, ask, connect, connect_from, datagrams_to, echoes, listener,
    pattern, read_all, shell, sockctl, take, until,
};

/// The most memory that it has had, above what it had before.
fn growth(server: &Running, before: usize) -> usize {
    server.vitals().peak.saturating_sub(before)
}

/// A connection whose kernel keeps next to nothing for it.
fn narrow(port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
    socket.into()
}

/// Reads at this many bytes a second for so long; then all that is left.
fn reads_slowly(mut stream: impl Read, rate: usize, time: Duration) -> Vec<u8> {
    let (mut got, began) = (Vec::new(), Instant::now());
    let mut piece = vec![0; rate / 50];
    while began.elapsed() < time {
        let count = stream.read(&mut piece).unwrap();
        got.extend_from_slice(&piece[..count]);
        thread::sleep(Duration::from_millis(20)); // the rate
    }
    stream.read_to_end(&mut got).unwrap();
    got
}

// ---- slow readers --------------------------------------------------------------------------

#[test]
fn row_104_a_slow_but_steady_reader_gets_everything() {
    // The kernel takes more only once a third of a send buffer of megabytes is free.
    let folder = Folder::new();
    let text = pattern(9 << 20);
    let file = folder.file("text", &text);
    let key = key_file("the key of this test");
    let key = key.path().display();
    let cases = [
        (format!("serve 0 --reply @{file}"), 12),
        (format!("serve 0 -i 2s --hex /dev/null -- cat {file}"), 5),
        (format!("auth-serve 0 --key-file {key} --reply @{file}"), 12),
    ];
    thread::scope(|scope| {
        for (words, seconds) in &cases {
            let (text, key) = (&text, &key);
            scope.spawn(move || {
                let server = sockctl(words).start();
                let time = Duration::from_secs(*seconds);
                let got = if words.starts_with("auth") {
                    let client = format!("auth-connect {server} --key-file {key} --recv-only");
                    let mut client = sockctl(client).into_command();
                    let mut client = client.stdout(Stdio::piped()).spawn().unwrap();
                    let got = reads_slowly(client.stdout.take().unwrap(), 100_000, time);
                    assert_eq!(client.wait().unwrap().code(), Some(0));
                    got
                } else {
                    reads_slowly(server.connect(), 100_000, time)
                };
                assert!(got == *text, "{words}: {} bytes", got.len());
            });
        }
        // A pipe cuts off who takes nothing while another waits: this one takes.
        scope.spawn(|| {
            let mut server = serve("-w 2s");
            let (fast, slow) = (server.connect(), server.connect());
            server.stderr_has("[2] ");
            server.feed(text.clone());
            let fast = thread::spawn(move || read_all(fast));
            assert!(reads_slowly(slow, 100_000, Duration::from_secs(6)) == text);
            assert!(fast.join().unwrap() == text);
        });
        // The time of a step is over when the peer takes nothing for so long.
        scope.spawn(|| {
            let (listener, address) = listener();
            let client = format!("connect {address} -w 2s --send @{file} --expect done");
            let client = sockctl(client).start();
            let stream = accept(&listener);
            let mut got = vec![0; 3000];
            let (mut count, began) = (0, Instant::now());
            while count < text.len() {
                let slowly = began.elapsed() < Duration::from_secs(5);
                count += (&stream).read(&mut got).unwrap();
                if slowly {
                    thread::sleep(Duration::from_millis(20)); // the rate
                } else {
                    got.resize(1 << 20, 0);
                }
            }
            (&stream).write_all(b"done").unwrap();
            client.finish().is(0, "done", "");
        });
    });
}

#[test]
fn row_104_one_that_takes_nothing_is_still_cut_off() {
    let mut server = serve("-w 1s");
    let (fast, stuck) = (server.connect(), narrow(server.port()));
    server.stderr_has("[2] ");
    server.feed(pattern(16 << 20));
    let began = Instant::now();
    assert_eq!(read_all(fast).len(), 16 << 20);
    let took = began.elapsed().as_secs_f64();
    assert!((1.0..8.0).contains(&took), "{took}");
    server.stderr_has(&format!("[2] {} left (slow)\n", stuck.local_addr().unwrap()));
}

#[test]
fn row_116_a_reply_arrives_whole_though_the_client_pauses_and_speaks_in_between() {
    let folder = Folder::new();
    let text = pattern(300_000);
    let server = serve(format!("--reply @{}", folder.file("text", &text)));
    let client = narrow(server.port());
    thread::sleep(Duration::from_millis(2500)); // longer than a server waits that has sent all
    for _ in 0..2 {
        (&client).write_all(b"still here").unwrap();
        thread::sleep(Duration::from_millis(100)); // it may answer by a reset
    }
    assert!(read_all(&client) == text);
}

// ---- memory --------------------------------------------------------------------------------

#[test]
fn row_105_answers_that_are_not_read_cost_next_to_nothing() {
    let unknown = format!("/{}\n", "x".repeat(60));
    for (question, count) in [("/who\n", 500), ("/help\n", 6000), (&*unknown, 12_000)] {
        let room = serve("--room -o SO_SNDBUF=4608");
        let port = room.port();
        let askers: Vec<TcpStream> = (0..300).map(|_| narrow(port)).collect();
        for (number, mut asker) in askers.iter().enumerate() {
            asker.write_all(format!("/nick {number:04}{}\n", "a".repeat(28)).as_bytes()).unwrap();
        }
        room.stderr_has("[300] ");
        room.rests();
        let before = room.vitals().peak;
        let questions = question.repeat(count);
        for asker in &askers {
            asker.set_nonblocking(true).unwrap();
            // What the kernel does not take is no matter.
            let _ = { asker }.write(questions.as_bytes());
        }
        room.rests();
        // What all get is kept once.
        let most = if question == unknown { 400 } else { 64 };
        let cost = growth(&room, before) >> 20;
        assert!(cost < most, "{question:?}: {cost} MiB");
        let mut newcomer = room.connect();
        newcomer.write_all(b"/msg server here\n").unwrap();
        let seen = room.stdout_has("here\n");
        assert!(seen.contains("guest301"));
    }
}

#[test]
fn row_110_a_reply_is_kept_once() {
    let folder = Folder::new();
    let text = pattern(20 << 20);
    let file = folder.file("text", &text);
    let server = serve(format!("--reply @{file}"));
    let before = server.vitals().peak;
    let silent: Vec<TcpStream> = (0..100).map(|_| narrow(server.port())).collect();
    assert!(read_all(server.connect()) == text);
    let cost = growth(&server, before) >> 20;
    assert!(cost < 16, "{cost} MiB");
    drop(silent);

    // Encrypted, it is so only as far as it is sent.
    let key = key_file("the key of this test");
    let key = key.path().display();
    let server = sockctl(format!("auth-serve 0 --key-file {key} --reply @{file}")).start();
    server.address();
    let before = server.vitals().peak;
    let client = || {
        let client = sockctl(format!("auth-connect {server} --key-file {key} --recv-only")).start();
        client.stdout_bytes(1);
        client.signal("STOP");
        client
    };
    let silent: Vec<Running> = (0..10).map(|_| client()).collect();
    let client = sockctl(format!("auth-connect {server} --key-file {key} --recv-only"));
    client.run().is(0, &text, "");
    let cost = growth(&server, before) >> 20;
    assert!(cost < 24, "{cost} MiB");
    for client in &silent {
        client.signal("CONT");
    }
}

#[test]
fn row_111_others_that_write_before_they_read_go_on_beside_one_that_never_reads() {
    let server = serve("--echo");
    let port = server.port();
    let hog = narrow(port);
    hog.set_nonblocking(true).unwrap();
    let block = vec![b'x'; 1 << 20];
    let (mut written, mut last) = (0, Instant::now());
    while written < 200_000_000 && last.elapsed() < Duration::from_secs(1) {
        match (&hog).write(&block) {
            Ok(count) => (written, last) = (written + count, Instant::now()),
            Err(_) => thread::sleep(Duration::from_millis(1)), // a poll
        }
    }
    assert!(written > 64 << 20, "{written}");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let text = pattern(12 << 20);
                let client = connect(port);
                (&client).write_all(&text).unwrap();
                assert!(take(&client, text.len()) == text);
            });
        }
    });
    let peak = server.vitals().peak >> 20;
    assert!(peak < 400, "{peak} MiB");
}

#[test]
fn row_111_a_queue_of_single_bytes_costs_as_much_as_they_are() {
    let server = serve("--echo");
    let before = server.vitals().peak;
    let client = narrow(server.port());
    client.set_nodelay(true).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut written = 0_usize;
    let began = Instant::now();
    while written < 1_000_000 && began.elapsed() < DEADLINE {
        written += (&client).write(b"x").unwrap_or(0);
    }
    assert!(growth(&server, before) < 40 << 20);
}

#[test]
fn row_115_nothing_is_kept_of_connections_that_are_gone() {
    let server = serve("--echo -i 1h -m 100000");
    let port = server.port();
    let come_and_go = |count: usize| {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..count {
                        let client = connect(port);
                        echoes(&client, "x");
                        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
                    }
                });
            }
        });
        until("all are gone", || server.vitals().descriptors < 20);
    };
    come_and_go(2_000);
    let before = server.vitals().memory;
    come_and_go(8_000);
    let after = server.vitals().memory;
    assert!(after < before + (700 << 10), "{before}, then {after}");
}

// ---- connections ---------------------------------------------------------------------------

#[test]
fn row_112_refused_connections_hold_few_descriptors_and_another_address_gets_in() {
    for words in [
        "--per-ip 4",
        "--deny 127.0.0.1",
        "--accept-proxy 127.0.0.1 -w 1h",
        "-m 8 --on-full reject --per-ip 4",
    ] {
        let line = format!(r#"ulimit -n 256; exec "$0" serve 0 --echo {words}"#);
        let server = shell(&line, "").start();
        let port = server.port();
        // They neither read nor close.
        let flood: Vec<TcpStream> = (0..600).map(|_| connect(port)).collect();
        assert!(is_served(&connect_from("127.0.0.2", port)), "{words}");
        let descriptors = server.vitals().descriptors;
        assert!(descriptors < 120, "{words}: {descriptors}");
        if words.starts_with("--accept-proxy") {
            let client = connect(port);
            (&client).write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n").unwrap();
            assert!(is_served(&client), "{words}");
        }
        drop(flood);
    }
}

#[test]
fn row_112_headers_that_are_awaited_hold_no_place() {
    let server = serve("--echo -m 2 --accept-proxy 127.0.0.1 -w 1h");
    let silent: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
    let client = server.connect();
    (&client).write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n").unwrap();
    assert!(is_served(&client));
    drop(silent);
}

#[test]
fn row_118_refused_headers_fill_no_log() {
    let server = serve("--echo --accept-proxy 127.0.0.1");
    for _ in 0..1000 {
        let client = server.connect();
        (&client).write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let _ = (&client).read(&mut [0]);
    }
    let client = server.connect();
    (&client).write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n").unwrap();
    assert!(is_served(&client));
    server.signal("TERM");
    let said = server.finish().gives(0, "");
    let lines = said.matches("no PROXY header").count();
    assert!((1..=200).contains(&lines), "{lines}");
}

#[test]
fn row_118_refused_connections_fill_no_log() {
    let server = serve("--echo -v --deny 127.0.0.1");
    for _ in 0..300 {
        assert!(!is_served(&server.connect()));
    }
    assert!(is_served(&connect_from("127.0.0.2", server.port())));
    server.stderr_has(" accepted");
    server.signal("TERM");
    let said = server.finish().gives(0, "");
    let lines = said.matches(" refused: 127.0.0.1 is not allowed").count();
    assert!(
        (100..=200).contains(&lines) && said.contains(" similar messages suppressed\n"),
        "{said}"
    );
}

#[test]
fn row_118_an_echo_answers_at_once_beside_floods_that_are_dumped() {
    let server = serve("--echo --hex /dev/null");
    let port = server.port();
    let floods: Vec<_> = (0..40)
        .map(|_| {
            thread::spawn(move || {
                let client = connect(port);
                client.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                let (block, began) = (vec![b'x'; 256 << 10], Instant::now());
                let mut room = vec![0; 1 << 20];
                while began.elapsed() < Duration::from_secs(4) {
                    let _ = (&client).write(&block);
                    let _ = (&client).read(&mut room);
                }
            })
        })
        .collect();
    let client = connect(port);
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            thread::sleep(Duration::from_millis(100)); // between two
            let began = Instant::now();
            echoes(&client, "x");
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    // Forty other threads want this processor, too.
    assert!(times[10] < Duration::from_millis(500), "{times:?}");
    for flood in floods {
        flood.join().unwrap();
    }
}

// ---- a process that was stopped --------------------------------------------------------------

/// Stops it for 1.5 s, and does this meanwhile.
fn asleep<T>(running: &Running, act: impl FnOnce() -> T) -> T {
    running.signal("STOP");
    let began = Instant::now();
    let result = act();
    thread::sleep(Duration::from_millis(1500).saturating_sub(began.elapsed())); // its sleep
    running.signal("CONT");
    result
}

#[test]
fn row_108_what_came_while_a_client_was_stopped_comes_before_its_limits() {
    // More than one read.
    let text = pattern(400_000);
    for flags in ["-i 1s", "-w 1s", "--linger 1s", "--deadline 1s", "-i 1s --hex /dev/null"] {
        let (listener, address) = listener();
        let client = sockctl(format!("connect {address} {flags}")).start();
        let stream = accept(&listener);
        SockRef::from(&stream).set_send_buffer_size(4 << 20).unwrap();
        let mut client = client;
        client.close();
        assert_eq!(read_all(&stream), b"");
        asleep(&client, || {
            (&stream).write_all(&text).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let done = client.finish();
        assert_eq!((done.code, done.stdout.len()), (0, text.len()), "{flags}: {}", done.stderr);
    }
}

#[test]
fn row_108_what_came_while_others_were_stopped_comes_before_their_limits() {
    // A step, and a datagram with its answer.
    let (listener, address) = listener();
    let client = sockctl(format!("connect {address} -w 1s --expect done --deadline 1s")).start();
    let stream = accept(&listener);
    asleep(&client, || (&stream).write_all(b"all done").unwrap());
    client.finish().is(0, "all done", "");

    for flags in ["-i 1s --count 3", "--deadline 1s --count 3"] {
        let server = sockctl(format!("udp-serve 0 --raw {flags}")).start();
        let socket = datagrams_to(server.port());
        asleep(&server, || ["a", "b", "c"].map(|text| socket.send(text.as_bytes()).unwrap()));
        assert_eq!(server.finish().gives(0, "abc").lines().count(), 1, "{flags}");
    }

    // A server: its client has spoken, and has room again.
    let server = serve("--echo -i 1s");
    let client = server.connect();
    echoes(&client, "before");
    asleep(&server, || (&client).write_all(b"meanwhile").unwrap());
    assert_eq!(take(&client, 9), b"meanwhile");
    let mut server = serve("-w 1s");
    let (fast, slow) = (server.connect(), server.connect());
    server.stderr_has("[2] ");
    let text = pattern(24 << 20);
    server.feed(text.clone());
    let fast = thread::spawn(move || read_all(fast));
    until("it waits", || server.vitals().memory > 0);
    let slow = asleep(&server, || thread::spawn(move || read_all(slow)));
    assert!(slow.join().unwrap() == text && fast.join().unwrap() == text);

    // A handshake under way.
    let server = serve("--echo --accept-proxy 127.0.0.1 -w 1s");
    let client = server.connect();
    (&client).write_all(b"PROXY TCP4 192.0.2.7 ").unwrap();
    asleep(&server, || (&client).write_all(b"198.51.100.1 4711 80\r\n").unwrap());
    assert!(is_served(&client));
    assert_eq!(ask(&server.connect(), "PROXY UNKNOWN\r\non"), b"on");
}
