//! A client that proves no key gets no data and costs next to nothing (rows 52 to 64).

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use socket2::{Domain, Socket, Type};
use tempfile::NamedTempFile;

use super::challenge::{client, closed_without_a_word, proved, server};
use super::{
    answer, challenge, challenged, crowd, key_file, nowhere, one_line_each, refused, said,
};
use crate::run::{
    DEADLINE, Program, Running, ask, connect, echoes, events_of, injected, peer, python, read_all,
    read_to_either, sockctl, until,
};

#[test]
fn row_53_wrong_key_is_9_one_line_and_no_reset() {
    let server = server("md5", "--reply secret").start();
    let port = server.port();
    // So much unread payload that a plain close would be a reset.
    let wrong = client("md5", port, "").env("SOCKCTL_KEY", "wrong").input(vec![b'x'; 1 << 20]);
    wrong.run().fails(9, closed_without_a_word(port));
    let (mut stream, challenge) = challenged(&server);
    stream.write_all(&answer("md5", "wrong", &challenge)).unwrap();
    // Nothing behind the answer is taken: there is no verdict that a reset could destroy.
    let _ = stream.write_all(&vec![b'x'; 100_000]);
    assert_eq!(read_to_either(&stream).0, b"");
    drop(stream);
    one_line_each(&server, "wrong key, or a longer digest than md5 on the client");
}

#[test]
fn row_54_empty_keys_are_refused_and_one_newline_is_no_part_of_a_key() {
    for empty in ["", "\n", "\r\n"] {
        let file = key_file(empty);
        let why = "the key is empty; write one, or make one with --create-key";
        key_run(&file).run().fails(2, unread(&file, why));
    }
    // What the file holds, and what the key is.
    let same: [(&[u8], &str); 5] = [
        (b"key\n", "6b6579"),
        (b"key\r\n", "6b6579"),
        (b"key\n\n", "6b65790a"),
        (b" key\xff\0\x01 ", "206b6579ff000120"),
        (b"\xef\xbb\xbfkey", "efbbbf6b6579"),
    ];
    for (content, key) in same {
        let file = key_file(content);
        let server = key_run(&file).args("--echo").start();
        let (mut stream, challenge) = challenged(&server);
        let script = "import hmac, sys\n\
            print(hmac.new(bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2]), 'md5').hexdigest(), end='')";
        let proof = python(script, [key, &hex::encode(challenge)]).run();
        stream.write_all(&proof.stdout).unwrap();
        echoes(&stream, b"in");
    }
}

const AUTH_SERVE: &str = "auth-serve --digest md5 127.0.0.1:0";

fn key_run(file: &NamedTempFile) -> Program {
    sockctl(AUTH_SERVE).args("--key-file").arg(file.path())
}

/// What it says of a file that holds no key.
fn unread(file: &NamedTempFile, why: &str) -> String {
    format!("read key from {}: {why}", file.path().display())
}

#[test]
fn row_55_key_files_that_are_none_are_refused_with_the_fix() {
    let file = key_file("wangwang");
    let name = file.path().display().to_string();
    for (mode, verb) in [(0o644, "read"), (0o640, "read"), (0o604, "read"), (0o620, "write")] {
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let cause = format!("others can {verb} it (mode {mode:04o}); chmod 600 {name}");
        key_run(&file).run().fails(2, unread(&file, &cause));
    }
    let long = key_file(vec![b'k'; 4097]);
    let cause = "the key is over 4 KiB; use a shorter one, or make one with --create-key";
    key_run(&long).run().fails(2, unread(&long, cause));
    let limit = key_file([vec![b'k'; 4096], b"\r\n".to_vec()].concat());
    let mut fits = key_run(&limit).start();
    fits.address();
    assert!(fits.is_running());

    let with_keys =
        |keys: &NamedTempFile| sockctl(AUTH_SERVE).args("--keys").arg(keys.path()).run();
    let keys = key_file("k:v\n".repeat(17 << 10));
    with_keys(&keys).fails(2, unread(&keys, "over 64 KiB; is this the right file?"));
    let none = "no such file or directory (ENOENT 2); --create-key --key-file FILE makes a new one";
    for (path, cause) in [
        ("/nonexistent/key", none),
        ("/tmp", "it is a directory; name a file in it"),
        ("/dev/null", "it is neither a file nor a pipe"),
        ("/dev/zero", "it is neither a file nor a pipe"),
    ] {
        let done = sockctl(format!("{AUTH_SERVE} --key-file {path}")).run();
        done.fails(2, format!("read key from {path}: {cause}"));
    }
    let empty = key_file("\n");
    with_keys(&empty).fails(2, unread(&empty, "no key in it; write one NAME:KEY a line"));
    // The variable is judged like a file.
    let why = "SOCKCTL_KEY: the key is empty; write one, or make one with --create-key";
    let variable = sockctl(AUTH_SERVE).env("SOCKCTL_KEY", "").run();
    variable.fails(2, format!("read key from {why}"));
    let why = "read key from descriptor 99: it is not open; add a redirection like 3<FILE";
    sockctl(format!("{AUTH_SERVE} --key-fd 99")).run().fails(2, why);
}

/// An answer made of a challenge.
type Forge<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

#[test]
fn row_56_no_answer_but_the_right_one_is_taken() {
    let server = server("md5", "--reply secret --no-penalty -w 2").start();
    let right = |challenge: &[u8]| answer("md5", "wangwang", challenge);
    let capital = "of the answer is a capital; hex digits must be lowercase";
    let longer = "wrong key, or a longer digest than md5 on the client";
    let no_answer = "the client does not answer the challenge; does it use auth-connect --digest?";
    let cases: [(Forge<'_>, &str); 6] = [
        (&|c| right(c).to_ascii_uppercase(), capital),
        (&|c| right(c)[..31].to_vec(), "the client closed after 31 bytes of its answer"),
        (&|c| answer("sha256", "wangwang", c), longer),
        (&|c| right(c)[..16].to_vec(), "the client closed after 16 bytes of its answer"),
        (&|_| vec![b'\xfe'; 10 << 20], no_answer),
        (&|_| b"GET / HTTP/1.1\r\n\r\n".to_vec(), no_answer),
    ];
    for (number, (forge, why)) in (1..).zip(cases) {
        let (mut stream, challenge) = challenged(&server);
        // A server that refuses need not read it all.
        let _ = stream.write_all(&forge(&challenge));
        let _ = stream.shutdown(Shutdown::Write);
        assert_eq!(read_to_either(&stream).0, b"", "{why}");
        let lines = said(&server, &format!("[{number}] "));
        let line = &lines[number - 1];
        assert!(line.contains(" refused: ") && line.ends_with(why), "{line:?} for {why:?}");
        assert_eq!(lines.len(), number, "one line each");
    }
    let resident = server.vitals().memory;
    assert!(resident < 64 << 20, "{resident} bytes after 10 MB of junk");
    client("md5", server.port(), "").run().is(0, "secret", "");
}

/// A connection from this loopback address.
fn from(source: [u8; 4], port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)).into(), DEADLINE).unwrap();
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn row_57_the_silent_are_evicted_and_block_no_other_client() {
    let server = server("md5", "--echo -w 60 --json").start();
    let port = server.port();
    // 64 in all, 8 from each of 8 addresses: the limits are reached.
    let mut silent = Vec::new();
    for last in 1..=8 {
        for _ in 0..8 {
            let stream = from([127, 0, 0, last], port);
            challenge(&stream);
            silent.push(stream);
        }
    }
    let still = |stream: &mut TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let result = stream.read(&mut [0]);
        stream.set_nonblocking(false).unwrap();
        matches!(result, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
    };
    assert!(silent.iter_mut().all(still), "64 are kept");
    // A client with the key, from an address that holds eight: admitted, and no other is evicted.
    let came = Instant::now();
    let mut honest = connect(port);
    let bytes = challenge(&honest);
    honest.write_all(&at_once(&bytes)).unwrap();
    echoes(&honest, b"in");
    let took = came.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?} beside 64 silent ones");
    let is_heard = took < Duration::from_millis(200);
    assert!(silent.iter_mut().all(still) || !is_heard, "64 are still kept");
    // A silent one: the longest silent of its address is evicted.
    let ninth = from([127, 0, 0, 1], port);
    challenge(&ninth);
    assert!(is_closed(&mut silent[0]), "the longest silent is closed");
    assert!(silent[1..].iter_mut().all(still), "and no other connection");
    // One from a new address: the longest silent of all is evicted; those that sent something stay.
    silent[1].write_all(b"0").unwrap();
    let newcomer = from([127, 0, 0, 99], port);
    challenge(&newcomer);
    assert!(is_closed(&mut silent[2]), "the longest silent of all");
    assert!(silent[3..].iter_mut().all(still), "and no other connection");
    until("both are evicted", || events_of(&server.stderr_has("evicted"), "auth").len() == 3);
}

/// Whether the server closes a connection before long.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[test]
fn row_57_ever_new_neighbours_do_not_keep_a_key_out() {
    let server = server("md5", "--echo -w 60").start();
    // Silent ones, and ones with a wrong proof, whose address comes under a penalty.
    for says in [&b""[..], &[b'0'; 32]] {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| crowd(server.port(), says, 32, &over));
            let told: Vec<_> =
                (0..20).map(|_| client("md5", server.port(), "").input("in").run()).collect();
            over.store(true, Ordering::Relaxed);
            for done in told {
                done.is(0, "in", "");
            }
        });
    }
}

/// The answer to a challenge: Python may take longer for it than the client has.
fn at_once(challenge: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Md5>::new_from_slice(b"wangwang").unwrap();
    mac.update(challenge);
    hex::encode(mac.finalize().into_bytes()).into()
}

#[test]
fn row_57_the_deadline_is_for_the_whole_handshake() {
    let server = server("md5", "--echo -w 1500ms").start();
    let (silent, _) = challenged(&server);
    let (mut slow, proof) = challenged(&server);
    let began = Instant::now();
    let proof = at_once(&proof);
    // A right digit every 100 ms: each is heard, and none prolongs the time.
    let mut writer = slow.try_clone().unwrap();
    writer.set_nodelay(true).unwrap();
    let slowly = std::thread::spawn(move || {
        for digit in proof {
            if writer.write_all(&[digit]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100)); // the slow peer itself
        }
    });
    assert_eq!(read_all(&silent), b"");
    let mut rest = Vec::new();
    let end = slow.read_to_end(&mut rest);
    let took = began.elapsed();
    assert!(end.is_ok() && rest.is_empty(), "{end:?}, {rest:?}");
    assert!(
        (Duration::from_millis(1400)..Duration::from_millis(3200)).contains(&took),
        "{took:?}: 32 digits would have taken 3.2 s"
    );
    slow.shutdown(Shutdown::Both).unwrap();
    slowly.join().unwrap();
    let lines = said(&server, "[2]");
    assert!(lines[0].ends_with("refused: no answer in time"), "{lines:?}");
    assert!(lines[1].contains("refused: timed out after "), "{lines:?}");
}

/// A wrong proof, and how long its verdict took.
fn guess(server: &Running) -> Duration {
    let (mut stream, _) = challenged(server);
    stream.write_all(&[b'0'; 32]).unwrap();
    let began = Instant::now();
    assert_eq!(read_all(&stream), b"");
    began.elapsed()
}

#[test]
fn row_57_wrong_proofs_bring_a_penalty_and_the_right_key_is_let_in() {
    let server = server("md5", "--echo -w 60").start();
    // Silence and ends are no guesses.
    for _ in 0..6 {
        let (stream, _) = challenged(&server);
        drop(stream);
    }
    for _ in 0..5 {
        guess(&server);
    }
    for _ in 0..2 {
        let late = guess(&server);
        assert!(late >= Duration::from_secs(1), "{late:?}");
    }
    // One unproved connection at a time.
    let (mut first, _) = challenged(&server);
    let (second, _) = challenged(&server);
    assert!(is_closed(&mut first), "the first is evicted");
    drop(second);
    client("md5", server.port(), "").input("honest").run().is(0, "honest", "");
}

#[test]
fn row_57_no_penalty_turns_it_off() {
    let server = server("md5", "--echo --no-penalty").start();
    let took: Duration = (0..30).map(|_| guess(&server)).sum();
    assert!(took < Duration::from_secs(20), "25 would have taken a second each: {took:?}");
}

#[test]
fn row_58_servers_that_do_not_challenge() {
    let cases: [(&[u8], i32, &str); 2] = [
        (&[7; 31], 7, "the server closed after 31 bytes of its challenge"),
        (
            b"",
            7,
            "the server closed without its challenge; does the server use auth-serve --digest?",
        ),
    ];
    for (bytes, code, why) in cases {
        let peer = peer(move |mut stream| {
            stream.write_all(bytes).unwrap();
        });
        client("md5", peer.port, "").input("payload").run().fails(code, refused(peer.port, why));
        peer.done();
    }
    for (bytes, why) in [
        (&b""[..], "no challenge in time; does the server use auth-serve --digest?"),
        (&[7; 31], "timed out after 31 bytes of the challenge"),
    ] {
        let peer = peer(move |mut stream| {
            stream.write_all(bytes).unwrap();
            assert_eq!(read_all(&stream), b"", "nothing is said to a server without challenge");
        });
        let done = client("md5", peer.port, "-w 300ms").input("payload").run();
        done.fails(4, refused(peer.port, why));
        peer.done();
    }
}

#[test]
fn row_59_a_recorded_answer_opens_nothing() {
    let server = server("md5", "--reply secret").start();
    let (stream, challenge) = challenged(&server);
    let recorded = answer("md5", "wangwang", &challenge);
    assert_eq!(ask(&stream, &recorded), b"secret");
    let (mut stream, _) = challenged(&server);
    stream.write_all(&recorded).unwrap();
    assert_eq!(read_all(&stream), b"");
}

#[test]
fn row_60_the_challenge_itself_is_no_answer() {
    let server = server("md5", "--reply secret").start();
    let (mut stream, challenge) = challenged(&server);
    let _ = stream.write_all(&challenge);
    assert_eq!(read_to_either(&stream).0, b"");
    let (mut stream, challenge) = challenged(&server);
    let _ = stream.write_all(hex::encode(&challenge[..16]).as_bytes());
    assert_eq!(read_to_either(&stream).0, b"");
}

#[test]
fn row_62_mismatched_sides_end_with_a_hint() {
    let digests = [("md5", 32), ("sha256", 64), ("sha512", 128)];
    for (ours, len) in digests {
        let server = server(ours, "--reply secret -w 3 --no-penalty").start();
        let port = server.port();
        let mut number = 0;
        for (theirs, digits) in digests.into_iter().filter(|(theirs, _)| *theirs != ours) {
            number += 1;
            let done = client(theirs, port, "").input("payload").run();
            done.fails(9, closed_without_a_word(port));
            let why = if digits > len {
                format!("wrong key, or a longer digest than {ours} on the client")
            } else {
                format!("of the answer is not a hex digit; does the client use --digest {theirs}?")
            };
            let line = said(&server, &format!("[{number}] ")).pop().unwrap();
            assert!(line.ends_with(&why), "{line}, not {why}");
        }
        // A plain client gets the challenge and no payload, and its own is not taken; one that waits
        // gets an end.
        number += 1;
        let plain = sockctl(format!("connect {port}")).input("payload").run();
        assert_eq!((plain.code, plain.stdout.len()), (7, 32), "{}", plain.stderr);
        let line = said(&server, &format!("[{number}] ")).pop().unwrap();
        assert!(line.ends_with("does it use auth-connect --digest?"), "{line}");
        let silent = sockctl(format!("connect {port}")).start();
        assert_eq!(silent.stdout_bytes(32).len(), 32);
        silent.stderr_has("");
        server.stderr_has("no answer in time");
        let silent = silent.finish();
        assert_eq!((silent.code, silent.stdout.len()), (0, 32));
    }
    let plain = sockctl("serve 127.0.0.1:0 --echo").start();
    let port = plain.port();
    let done = client("md5", port, "-w 500ms").input("payload").run();
    done.fails(4, refused(port, "no challenge in time; does the server use auth-serve --digest?"));
}

#[test]
#[ignore = "needs strace"]
fn row_63_without_randomness_it_refuses_to_serve() {
    injected("getrandom:error=EIO", "auth-serve --digest md5 127.0.0.1:0 --echo")
        .env("SOCKCTL_KEY", "wangwang")
        .run()
        .fails(1, "read the system's random numbers: input/output error (EIO 5)");
}

#[test]
fn row_64_the_key_is_nowhere() {
    let key = "wangwang-row-64";
    let server = sockctl("auth-serve --digest sha256 127.0.0.1:0 --echo -v --trace --hex -")
        .env("SOCKCTL_KEY", key)
        .start();
    let port = server.port();
    let mut secrets = vec![key.to_string(), hex::encode(key)];
    for known in [key, "wrong-key"] {
        let mut stream = connect(port);
        let challenge = challenge(&stream);
        let proof = answer("sha256", known, &challenge);
        secrets.push(hex::encode(challenge));
        secrets.push(String::from_utf8(proof.clone()).unwrap());
        stream.write_all(&proof).unwrap();
        let _ = stream.write_all(b"payload");
        let _ = stream.shutdown(Shutdown::Write);
        read_to_either(&stream);
    }
    for talk in ["-v --trace --hex -", "--json --trace"] {
        let one = client("sha256", port, talk)
            .env("SOCKCTL_KEY", key)
            .input("payload")
            .run()
            .gives(0, "payload");
        assert!(one.contains("recv"), "{one}");
        nowhere(&secrets, &one);
    }
    let proc = |name: &str| {
        let bytes = std::fs::read(format!("/proc/{}/{name}", server.id())).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    nowhere(&secrets, &proc("cmdline"));
    nowhere(&secrets, &proc("comm"));
    server.signal("TERM");
    let done = server.finish();
    assert_eq!(done.code, 0);
    assert!(done.stderr.contains("refused"), "{}", done.stderr);
    nowhere(&secrets, &done.stderr);
}

#[test]
fn a_flood_of_wrong_answers_leaves_no_descriptors_behind() {
    let server = server("md5", "--echo --no-penalty").start();
    // Each is refused, goes on sending and never ends.
    let mut clients = Vec::new();
    for _ in 0..200 {
        let (mut stream, _) = challenged(&server);
        stream.write_all(b"junk").unwrap();
        clients.push(stream);
    }
    let held = || std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count();
    // Fewer are logged: the log has its limit, too.
    server.stderr_has("[100] ");
    until("no more than 64 are waited for", || held() < 64 + 40);
    let honest = proved(&server, "md5");
    echoes(&honest, b"in");
}
