//! How connections end: FIN says that all was sent; whatever else ends one is a reset, or an encrypted
//! session without its end. In every role, handler and codec.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{ChildStdin, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proptest::prelude::*;
use socket2::SockRef;
use tempfile::NamedTempFile;

use crate::auth::random_key;
use crate::run::{
    DEADLINE, Finished, Folder, Program, RESET, Running, accept, listener, pattern, peer, read_all,
    read_to_either, shell, sockctl, take, until,
};

/// A pause that is longer than a stdin may be silent behind a peer that has ended its side.
const LONG: Duration = Duration::from_millis(800);

/// The two commands of a protocol.
struct Protocol {
    name: &'static str,
    serve: String,
    connect: String,
    _key: NamedTempFile,
}

/// Plain, and the three that prove a key: unencrypted, encrypted, in Python's frames.
fn protocols() -> Vec<Protocol> {
    ["", "--digest sha256", "", "--python"]
        .into_iter()
        .zip(["plain", "digest", "noise", "python"])
        .map(|(flags, name)| {
            let key = random_key("me", [7; 32]);
            let auth = if name == "plain" { "" } else { "auth-" };
            let flags = match name {
                "plain" => String::new(),
                _ => format!("{flags} --key-file {}", key.path().display()),
            };
            let serve = format!("{auth}serve 127.0.0.1:0 {flags}");
            Protocol { name, serve, connect: format!("{auth}connect {flags}"), _key: key }
        })
        .collect()
}

impl Protocol {
    fn serve(&self, words: &str) -> Program {
        sockctl(format!("{} {words}", self.serve))
    }

    /// The same with these redirections.
    fn serve_with(&self, words: &str, redirected: &str) -> Program {
        shell(&format!(r#"exec "$0" {} {words} {redirected}"#, self.serve), "")
    }

    fn connect(&self, server: &Running, words: &str) -> Program {
        sockctl(format!("{} 127.0.0.1:{} {words}", self.connect, server.port()))
    }

    fn connect_with(&self, server: &Running, words: &str, redirected: &str) -> Program {
        let command = format!("{} 127.0.0.1:{} {words}", self.connect, server.port());
        shell(&format!(r#"exec "$0" {command} {redirected}"#), "")
    }

    /// It ended with 7: the other side was cut off. Where nothing came a challenge may have failed.
    #[track_caller]
    fn is_cut(&self, done: &Finished) {
        let may_be_rejected = self.name == "digest" && done.stdout.is_empty();
        let is_cut = done.code == 7 || may_be_rejected && done.code == 9;
        assert!(is_cut, "{}: {} {:?}", self.name, done.code, done.stderr);
    }
}

// ---- the end of stdin ----------------------------------------------------------------------

#[test]
fn row_81_every_part_arrives_where_a_server_has_no_stdin() {
    for protocol in protocols() {
        // A stdin that is at its end is one: the client sees the end at once.
        for (redirected, flags) in [
            ("</dev/null", ""),
            ("<&-", ""),
            ("</dev/null", "--send-only"),
            ("", "--send-only"),
            ("", "--no-half-close"),
        ] {
            let mut server = protocol.serve_with("--once", redirected).start();
            server.close();
            let mut client = protocol.connect(&server, flags).start();
            for part in ["", "part1\n", "part2\n"] {
                client.send(part);
                std::thread::sleep(LONG); // longer than any clock of theirs
            }
            client.finish().gives(0, "");
            server.finish().gives(0, "part1\npart2\n");
        }
    }
}

#[test]
fn row_81_what_a_server_says_after_pauses_arrives() {
    for protocol in protocols() {
        for once in ["", "--once"] {
            let mut server = protocol.serve(once).start();
            server.send("one\n"); // read once a client is there
            let client = protocol.connect_with(&server, "", "</dev/null").start();
            client.stdout_has("one\n");
            for part in ["two\n", "three\n"] {
                std::thread::sleep(LONG);
                server.send(part);
            }
            server.close();
            client.finish().is(0, "one\ntwo\nthree\n", "");
        }
    }
}

#[test]
fn row_81_without_an_end_of_ours_the_peer_is_sent_all_that_stdin_gives() {
    for flag in ["--send-only", "--no-half-close"] {
        let peer = peer(|stream| {
            stream.shutdown(Shutdown::Write).unwrap();
            read_all(stream)
        });
        let mut client = sockctl(format!("connect {peer} {flag}")).start();
        for part in ["one", "two"] {
            std::thread::sleep(LONG);
            client.send(part);
        }
        client.finish().is(0, "", "");
        assert_eq!(peer.done(), b"onetwo");
    }
}

#[test]
fn row_81_a_stdin_that_is_silent_behind_the_peers_end_is_cut_off_there() {
    let peer = peer(|stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        read_to_either(stream)
    });
    let mut client = sockctl(format!("connect {peer}")).start();
    client.send("begun");
    client.ends().is(0, "", "");
    assert_eq!(peer.done(), (b"begun".into(), false));
}

#[test]
fn row_103_a_half_closed_client_that_pauses_gets_all_of_a_file() {
    let (folder, text) = (Folder::new(), pattern(60 << 20));
    let file = folder.file("file", &text);
    for hex in ["", "--hex /dev/null"] {
        let line = format!(r#"exec "$0" serve 127.0.0.1:0 {hex} <{file}"#);
        let server = shell(&line, "").start();
        let client = server.connect();
        client.shutdown(Shutdown::Write).unwrap();
        std::thread::sleep(2 * LONG); // what was lost
        assert!(read_all(&client) == text);
    }
}

// ---- what is not graceful ------------------------------------------------------------------

#[test]
fn row_82_a_receiver_whose_output_fails_cuts_its_sender_off() {
    for protocol in protocols() {
        let server = protocol.serve_with("--once", ">/dev/full").start();
        let mut client = protocol.connect(&server, "").start();
        client.send("lost\n");
        assert_eq!(server.finish().code, 12);
        protocol.is_cut(&client.finish());

        let mut server = protocol.serve("--once").start();
        let client = protocol.connect_with(&server, "", "</dev/null >/dev/full").start();
        server.stderr_has("[1] ");
        server.send("lost\n");
        assert_eq!(client.finish().code, 12);
        protocol.is_cut(&server.finish());
    }
}

#[test]
fn row_82_silence_and_deadlines_cut_off() {
    for protocol in protocols() {
        for limit in ["-i 1", "--deadline 2"] {
            let server = protocol.serve(&format!("--once {limit}")).start();
            let mut client = protocol.connect(&server, "").start();
            client.send("some\n");
            let client = client.ends();
            assert_eq!(server.finish().code, 4);
            protocol.is_cut(&client);

            let server = protocol.serve("--once").start();
            let mut client = protocol.connect(&server, limit).start();
            client.send("some\n");
            assert_eq!(client.ends().code, 4);
            protocol.is_cut(&server.finish());
        }
    }
}

#[test]
fn row_82_a_client_that_a_signal_ends_cuts_off() {
    for protocol in protocols() {
        for (signal, code) in [("INT", 130), ("TERM", 143)] {
            let server = protocol.serve("--once").start();
            let mut client = protocol.connect(&server, "").start();
            client.send("some\n");
            server.stdout_has("some\n");
            client.signal(signal);
            assert_eq!(client.ends().code, code);
            let server = server.finish();
            assert_eq!(server.stdout, b"some\n");
            protocol.is_cut(&server);
        }
    }
}

#[test]
fn row_82_a_stdin_that_cannot_be_read_cuts_off() {
    for protocol in protocols() {
        let server = protocol.serve("--once").start();
        let client = protocol.connect_with(&server, "", "</").start();
        assert_eq!(client.finish().code, 1);
        protocol.is_cut(&server.finish());
    }
}

#[test]
fn row_82_a_program_that_is_killed_is_no_end() {
    for protocol in protocols() {
        for relayed in ["", "--hex /dev/null"] {
            let server =
                protocol.serve(&format!("--once {relayed} --sh 'echo out; kill -9 $$'")).start();
            let client = protocol.connect(&server, "").start().ends();
            assert_eq!(client.stdout, b"out\n", "{}", client.stderr);
            protocol.is_cut(&client);
            assert_eq!(server.finish().code, 1);
            // Its exit status is none of this.
            let server = protocol.serve(&format!("{relayed} --sh 'echo out; exit 3'")).start();
            protocol.connect(&server, "").run().is(0, "out\n", "");
        }
    }
}

#[test]
fn row_82_a_program_that_cannot_be_started_is_no_end() {
    let folder = Folder::new();
    for protocol in protocols() {
        let file = folder.file("program", "#!/bin/sh\necho hello\n");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&file, mode).unwrap();
        let server = protocol.serve(&format!("-- {file}")).start();
        until("it is not busy", || protocol.connect(&server, "").run().code == 0);
        std::fs::remove_file(&file).unwrap();
        protocol.is_cut(&protocol.connect(&server, "").run());
    }
}

#[test]
fn row_82_the_end_of_grace_with_bytes_queued_is_a_reset() {
    for protocol in protocols() {
        let mut server = protocol.serve("--grace 300ms").start();
        let client = protocol.connect_with(&server, "", "</dev/null | { sleep 2; cat; }").start();
        server.stderr_has("[1] ");
        server.feed(pattern(40 << 20));
        std::thread::sleep(LONG); // until all is full
        server.signal("TERM");
        assert_eq!(server.finish().code, 0);
        drop(client);
    }
    let mut server = sockctl("serve 127.0.0.1:0 --grace 300ms").start();
    let (client, idle) = (server.connect(), server.connect());
    server.stderr_has("[2] ");
    server.feed(pattern(40 << 20));
    let reader = std::thread::spawn(move || read_to_either(idle));
    std::thread::sleep(LONG);
    server.signal("TERM");
    server.finish().gives(0, "");
    assert!(!read_to_either(client).1);
    reader.join().unwrap();
}

#[test]
fn row_82_a_server_that_stops_with_nothing_queued_ends_in_good_order() {
    for protocol in protocols() {
        let mut server = protocol.serve("").start();
        let client = protocol.connect(&server, "--recv-only").start();
        server.stderr_has("[1] ");
        server.send("all\n");
        client.stdout_has("all\n");
        server.signal("TERM");
        server.finish().gives(0, "");
        client.ends().is(0, "all\n", "");
    }
}

#[test]
fn row_82_a_server_that_stops_before_the_end_of_its_stdin_cuts_its_clients_off() {
    let (folder, size) = (Folder::new(), 60 << 20); // more than the kernel keeps for a connection
    let file = folder.file("file", pattern(size));
    for protocol in protocols() {
        for once in ["--once", ""] {
            let words = format!("{once} --grace 20s");
            let server = protocol.serve_with(&words, &format!("<{file}")).start();
            let command = format!("{} 127.0.0.1:{}", protocol.connect, server.port());
            let line = format!(
                r#"{{ "$0" {command} </dev/null; echo $? >&2; }} | {{ read go <&3; wc -c; }}"#
            );
            let client = shell(&format!("exec 3<&0; {line}"), "").start();
            server.stderr_has("[1] ");
            std::thread::sleep(LONG / 4); // until all is full
            server.signal("TERM");
            std::thread::sleep(LONG / 2); // longer than silence that ends a connection
            let client = client.finish();
            assert!(client.stderr.ends_with("\n7\n"), "{}: {}", protocol.name, client.stderr);
            assert!(client.text().trim().parse::<usize>().unwrap() < size);
            server.finish().gives(0, "");
        }
    }
    // One that has ended is no reason for that.
    let small = folder.file("small", "all\n");
    let server =
        shell(&format!(r#"exec "$0" serve 127.0.0.1:0 --no-half-close <{small}"#), "").start();
    let client = sockctl(format!("connect {server}")).start();
    client.stdout_has("all\n");
    server.signal("TERM");
    server.ends().gives(0, "");
    client.ends().is(0, "all\n", "");
}

#[test]
fn row_82_a_script_that_is_stopped_before_its_last_bytes_is_no_end() {
    for protocol in protocols() {
        for (more, is_cut) in [("--pause 60s --send two", true), ("--expect x --send two", false)] {
            let server = protocol.serve(&format!("--send one {more}")).start();
            let client = protocol.connect(&server, "").start();
            client.stdout_has("one");
            server.signal("TERM");
            server.finish().gives(0, "");
            let client = client.ends();
            if is_cut {
                protocol.is_cut(&client);
            } else {
                assert_eq!(client.code, 0, "{}: {}", protocol.name, client.stderr);
            }
        }
    }
}

#[test]
fn row_82_a_server_whose_reader_has_gone_cuts_its_clients_off() {
    for protocol in protocols() {
        let line = format!(r#"{{ "$0" {}; echo $? >&2; }} | head -1"#, protocol.serve);
        let server = shell(&line, "").start();
        let mut client = protocol.connect(&server, "").start();
        client.send("line\n");
        protocol.is_cut(&client.ends());
        assert!(server.finish().stderr.ends_with("141\n"));
    }
}

#[test]
fn row_82_max_bytes_with_more_to_say_is_a_reset() {
    let peer = peer(|mut stream| {
        stream.write_all(b"abc").unwrap();
        read_to_either(stream)
    });
    sockctl(format!("connect {peer} --max-bytes 3")).start().ends().is(0, "abc", "");
    assert_eq!(peer.done(), (Vec::new(), false));
}

// ---- stdout --------------------------------------------------------------------------------

#[test]
fn row_82_a_peer_that_ends_and_stops_reading_is_not_waited_for_without_a_limit() {
    let folder = Folder::new();
    let text = folder.file("text", pattern(100_000));
    for (words, code) in [(format!("--send @{text} --expect x"), 8), ("--linger 1s".into(), 0)] {
        let (listener, address) = listener();
        SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
        // The socket takes it all, and the peer's next to nothing.
        let mut client = sockctl(format!("connect {address} -o SO_SNDBUF=212992 {words}")).start();
        if code == 0 {
            client.send(pattern(100_000));
        }
        let stream = accept(&listener);
        stream.shutdown(Shutdown::Write).unwrap();
        let done = client.ends();
        assert_eq!(done.code, code, "{words}: {}", done.stderr);
        let (got, is_end) = read_to_either(&stream);
        assert!(!is_end && got.len() < 100_000, "{words}: {}", got.len());
    }
}

#[test]
fn row_83_the_peers_end_reaches_stdout_while_stdin_goes_on() {
    for protocol in protocols() {
        for hex in ["", "--hex /dev/null"] {
            let server = protocol.serve("--once --reply 'hi\\n'").start();
            let command = format!("{} 127.0.0.1:{} {hex}", protocol.connect, server.port());
            // The end comes while the other end of stdin is open, in the hands of what reads stdout.
            let line =
                format!(r#"sleep 60 | "$0" {command} --no-half-close | {{ cat; echo end >&2; }}"#);
            let client = shell(&line, "").start();
            client.stderr_has("end\n");
            client.stdout_has("hi\n");
        }
    }
}

#[test]
fn row_83_the_end_of_the_only_client_reaches_a_servers_stdout() {
    let line = r#"sleep 60 | "$0" serve 127.0.0.1:0 --once | { cat; echo end >&2; }"#;
    let server = shell(line, "").start();
    let mut client = server.connect();
    client.write_all(b"said").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    server.stderr_has("end\n");
    server.stdout_has("said");
}

#[test]
fn row_84_a_reader_that_goes_away_ends_it_at_once() {
    for protocol in protocols() {
        for words in ["--recv-only", "", "--expect never", "--hex /dev/null"] {
            let mut server = protocol.serve("--once").start();
            server.send("line\n");
            let command = format!("{} 127.0.0.1:{} {words}", protocol.connect, server.port());
            let line = format!(r#"{{ "$0" {command}; echo $? >&2; }} | head -c 4"#);
            let began = Instant::now();
            let client = shell(&line, "").start();
            client.stderr_has("141\n");
            assert!(began.elapsed() < Duration::from_secs(5), "{words}");
            protocol.is_cut(&server.finish());
        }
    }
}

#[test]
fn row_84_a_socket_as_stdout_that_is_closed_ends_it_too() {
    let (held, address) = listener();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = sockctl(format!("connect {address} --recv-only")).into_command();
    let mut client = command.stdin(Stdio::null()).stdout(OwnedFd::from(theirs)).spawn().unwrap();
    drop(command);
    let stream = accept(&held);
    drop(ours);
    assert_eq!(client.wait().unwrap().code(), Some(141));
    assert!(!read_to_either(stream).1);
}

// ---- the peer's acknowledgement --------------------------------------------------------------

#[test]
fn row_107_bytes_for_a_peer_that_has_closed_are_no_success() {
    for hex in ["", "--hex /dev/null"] {
        let peer = peer(drop::<TcpStream>);
        let address = peer.to_string();
        let mut client = sockctl(format!("connect {address} {hex}")).start();
        peer.done();
        std::thread::sleep(LONG / 4);
        client.send("late").close();
        client.finish().fails(7, format!("connection to {address}: {RESET}"));
    }
}

#[test]
fn row_107_a_server_whose_only_client_closed_does_not_succeed_with_late_bytes() {
    let mut server = sockctl("serve 127.0.0.1:0 --once").start();
    server.send("early");
    let client = server.connect();
    assert_eq!(take(&client, 5), b"early");
    drop(client);
    std::thread::sleep(LONG);
    server.send("late").close();
    let done = server.finish();
    assert_eq!(done.code, 7, "{}", done.stderr);
}

#[test]
fn row_116_a_reply_arrives_whole_at_a_client_that_pauses_and_speaks() {
    let (folder, text) = (Folder::new(), pattern(300_000));
    let server =
        sockctl(format!("serve 127.0.0.1:0 --reply @{}", folder.file("text", &text))).start();
    let small = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    small.set_recv_buffer_size(4096).unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], server.port()));
    small.connect(&address.into()).unwrap();
    let mut client = TcpStream::from(small);
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut got = take(&client, 1000);
    std::thread::sleep(Duration::from_millis(2500)); // what was too long
    client.write_all(b"something").unwrap();
    got.extend(read_all(&client));
    assert!(got == text);
}

#[test]
fn row_116_every_handlers_last_bytes_arrive_at_a_client_that_pauses() {
    let text = pattern(300_000);
    let (folder, size) = (Folder::new(), text.len());
    let file = folder.file("text", &text);
    for handler in [format!("--sh 'cat {file}'"), format!("--hex /dev/null --sh 'cat {file}'")] {
        let server = sockctl(format!("serve 127.0.0.1:0 {handler}")).start();
        let client = server.connect();
        let mut got = take(&client, 1000);
        std::thread::sleep(Duration::from_millis(2500));
        let _ = (&client).write_all(b"something");
        got.extend(take(&client, size - 1000));
        assert!(got == text);
    }
}

// ---- any schedule --------------------------------------------------------------------------

/// What one side does.
#[derive(Clone, Debug)]
struct Side {
    /// Pauses in milliseconds, each with so many bytes behind it.
    pieces: Vec<(u64, usize)>,
    /// stdin ends behind them.
    ends: bool,
    /// stdin is a file, which gives all at once.
    is_file: bool,
    /// stdout is a full disk.
    is_full: bool,
    limit: &'static str,
    /// Sent after so many milliseconds.
    signal: Option<(u64, Signal)>,
}

#[derive(Clone, Debug)]
struct Schedule {
    protocol: usize,
    server: Side,
    client: Side,
    client_flag: &'static str,
}

fn side() -> impl Strategy<Value = Side> {
    let size = prop_oneof![3 => 1_usize..2000, 1 => 100_000_usize..1_000_000];
    let pause = prop_oneof![3 => 0_u64..150, 1 => 550_u64..800];
    let limits = prop_oneof![
        6 => Just(""), 1 => Just("-i 400ms"), 1 => Just("--deadline 600ms"),
        1 => Just("--deadline 1200ms"),
    ];
    let signal = prop_oneof![Just(Signal::SIGTERM), Just(Signal::SIGINT), Just(Signal::SIGKILL)];
    (
        prop::collection::vec((pause, size), 0..4),
        prop::bool::weighted(0.85),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
        limits,
        prop::option::weighted(0.15, (0_u64..1200, signal)),
    )
        .prop_map(|(pieces, ends, is_file, is_full, limit, signal)| Side {
            pieces,
            ends,
            is_file,
            is_full,
            limit,
            signal,
        })
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let flags = prop_oneof![
        5 => Just(""), 1 => Just("--no-half-close"), 1 => Just("--recv-only"),
        1 => Just("--send-only"), 1 => Just("--linger 300ms"), 1 => Just("--max-bytes 1000"),
    ];
    (0_usize..4, side(), side(), flags).prop_map(|(protocol, server, client, client_flag)| {
        Schedule { protocol, server, client, client_flag }
    })
}

impl Side {
    /// All that stdin gives, in lines: a message each for Python.
    fn text(&self) -> Vec<u8> {
        let total = self.pieces.iter().map(|(_, count)| count).sum();
        let mut text: Vec<u8> = pattern(total).iter().map(|byte| b'a' + byte % 26).collect();
        let mut at = 0;
        for (_, count) in &self.pieces {
            at += count;
            text[at - 1] = b'\n';
        }
        text
    }

    /// Runs its part: writes to stdin, and sends the signal.
    fn play(&self, mut stdin: ChildStdin, id: u32) -> Option<ChildStdin> {
        let (text, began) = (self.text(), Instant::now());
        let id = Pid::from_raw(id.cast_signed());
        std::thread::scope(|scope| {
            if let Some((after, signal)) = self.signal {
                scope.spawn(move || {
                    std::thread::sleep(
                        Duration::from_millis(after).saturating_sub(began.elapsed()),
                    );
                    let _ = kill(id, signal); // it may have ended
                });
            }
            let mut rest = &text[..];
            for &(pause, count) in &self.pieces {
                std::thread::sleep(Duration::from_millis(pause));
                let (piece, more) = rest.split_at(count);
                rest = more;
                if stdin.write_all(piece).is_err() {
                    break;
                }
            }
        });
        (!self.ends).then_some(stdin)
    }
}

/// Plays a schedule; what is wrong with how it went.
fn played(schedule: &Schedule) -> Result<(), String> {
    let protocol = &protocols()[schedule.protocol];
    let (server_side, client_side) = (&schedule.server, &schedule.client);
    let folder = Folder::new();
    let redirected = |side: &Side, name| {
        let out = if side.is_full { ">/dev/full" } else { "" };
        let file = side.is_file.then(|| format!("<{}", folder.file(name, side.text())));
        format!("{out} {}", file.unwrap_or_default())
    };
    // What has no end of its own has one in time.
    let limit = |side: &Side| match side.limit {
        "" => "--deadline 3",
        limit => limit,
    };
    let words = format!("--once {}", limit(server_side));
    let mut server = protocol.serve_with(&words, &redirected(server_side, "server")).start();
    let words = format!("{} {}", limit(client_side), schedule.client_flag);
    let mut client =
        protocol.connect_with(&server, &words, &redirected(client_side, "client")).start();
    let (server_id, client_id) = (server.id(), client.id());
    let [stdin, other] = [&mut server, &mut client].map(Running::take_stdin);
    let (server, client) = std::thread::scope(|scope| {
        let held = scope.spawn(move || server_side.play(stdin, server_id));
        let more = scope.spawn(move || client_side.play(other, client_id));
        let done = (server.ends(), client.ends());
        drop((held.join(), more.join()));
        done
    });
    let flag = schedule.client_flag;
    let told = || {
        format!(
            "server {} got {} of {} ({:?}), client {} got {} of {} ({:?})",
            server.code,
            server.stdout.len(),
            client_side.text().len(),
            server.stderr,
            client.code,
            client.stdout.len(),
            server_side.text().len(),
            client.stderr,
        )
    };
    let sent = if flag == "--recv-only" { Vec::new() } else { client_side.text() };
    let server_lacks = server.stdout != sent;
    // A client that half-closes before a server's stdin says anything need not wait for it, and a
    // server that was asked to stop may stop, where nothing is there to be read.
    let may_lack = flag == "--send-only"
        || client.stdout.is_empty()
        || server_side.signal.is_some() && server.code == 0 && !server_side.is_file;
    let client_lacks = client.stdout != server_side.text() && !may_lack;
    let is_stopped = server_side.signal.is_some();
    // The kernel ends what a killed process leaves; only an encrypted session shows that.
    let is_killed =
        |side: &Side| protocol.name != "noise" && matches!(side.signal, Some((_, Signal::SIGKILL)));
    if is_killed(server_side) || is_killed(client_side) {
        return Ok(());
    }
    let bounded = matches!(flag, "--linger 300ms" | "--max-bytes 1000");
    if server.code == 0 && server_lacks && !is_stopped {
        return Err(format!("a clean end of the client lacks bytes: {}", told()));
    }
    if client.code == 0 && client_lacks && !bounded {
        return Err(format!("a clean end of the server lacks bytes: {}", told()));
    }
    // Its kernel may have acknowledged all before the client closes at its limit.
    let client_lacks = client_lacks && flag != "--max-bytes 1000";
    if server.code == 0 && client.code == 0 && (server_lacks && !is_stopped || client_lacks) {
        return Err(format!("0 on both sides: {}", told()));
    }
    Ok(())
}

/// Schedules at a time: nearly all of each is waiting.
const TOGETHER: usize = 16;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("SOCKCTL_SCHEDULES").map_or(4, |n| n.parse().unwrap()),
        max_shrink_iters: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// `SOCKCTL_SCHEDULES=N` plays N times 16 of them.
    #[test]
    fn row_82_no_schedule_ends_cleanly_with_bytes_missing(
        schedules in prop::collection::vec(schedule(), TOGETHER),
    ) {
        let results: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> =
                schedules.iter().map(|one| scope.spawn(move || (one, played(one)))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for (schedule, result) in results {
            prop_assert!(result.is_ok(), "{schedule:#?}\n{}", result.unwrap_err());
        }
    }
}
