//! In the encrypted session a client that proves no key gets no data, and a change of any byte on the
//! way is noticed (rows 53 to 64).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::noise::{ALICE, Way, between, client, python_client, python_server, server};
use super::{crowd, key_file, nowhere, one_line_each, random_key, refused, said};
use crate::run::{Folder, injected, peer, read_all, sockctl};

const NO_KEY: &str = "the server rejected our key: wrong key, or another --context";

#[test]
fn row_53_encrypted_wrong_key_is_9_one_line_and_no_reset() {
    let server = server("--reply secret");
    let port = server.port();
    let wrong = random_key("alice", [2; 32]);
    sockctl(format!("auth-connect {port} --key-file"))
        .arg(wrong.path())
        .input(vec![b'x'; 1 << 20])
        .run()
        .fails(9, refused(port, NO_KEY));
    // Unread bytes behind a hello that no key opens: the verdict still arrives.
    let mut stream = server.connect();
    stream.write_all(&hello([7; 48])).unwrap();
    stream.write_all(&vec![b'x'; 100_000]).unwrap();
    assert_eq!(read_all(&stream), [0, 0], "a verdict, not a reset");
    drop(stream);
    one_line_each(&server, "wrong key, or another --context");
}

/// A well-formed hello with this message.
fn hello(message: [u8; 48]) -> Vec<u8> {
    [&b"SKCTL\0\x01\x01\0\x30"[..], &message].concat()
}

#[test]
fn row_56_encrypted_no_hello_but_a_right_one_is_answered() {
    let server = server("--reply secret --no-penalty -w 5");
    let strange = "not an auth-connect client";
    let cases: [(Vec<u8>, &[u8], &str); 7] = [
        (vec![b'\xfe'; 10 << 20], b"", strange),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), b"", strange),
        (b"SKCTL".to_vec(), b"", "the client closed after 5 bytes of its hello"),
        (hello([0; 48])[..57].to_vec(), b"", "the client closed after 57 bytes of its hello"),
        (
            b"SKCTL\0\x02\x01".to_vec(),
            b"",
            "the client uses another version of the encrypted protocol",
        ),
        (b"SKCTL\0\x01\x01\xff\xff".to_vec(), b"", "its hello has another length"),
        (hello([0xff; 48]), &[0, 0], "wrong key, or another --context"),
    ];
    for (number, (bytes, answer, why)) in (1..).zip(cases) {
        let mut stream = server.connect();
        // A server that refuses need not read it all.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        assert_eq!(read_all(&stream), answer, "{why}");
        let lines = said(&server, &format!("[{number}] "));
        let line = &lines[number - 1];
        assert!(line.ends_with(&format!(" refused: {why}")), "{line:?}");
        assert_eq!(lines.len(), number, "one line each");
    }
    client(server.port(), "").run().is(0, "secret", "");
}

#[test]
fn row_57_encrypted_the_silent_are_evicted_and_block_no_other_client() {
    let server = server("--echo -w 3");
    let mut silent: Vec<TcpStream> = (0..64).map(|_| server.connect()).collect();
    for (number, stream) in (0..).zip(&mut silent) {
        // Some say a part of a hello, and leave it at that.
        let _ = stream.write_all(&hello([0; 48])[..number % 58]);
    }
    let began = Instant::now();
    client(server.port(), "").input("in").run().is(0, "in", "");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?} beside 64 mute ones");
    for stream in &mut silent {
        let end = stream.read(&mut [0]);
        assert!(end.as_ref().map_or(true, |n| *n == 0), "{end:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn row_57_encrypted_ever_new_neighbours_do_not_keep_a_key_out() {
    let server = server("--echo");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| crowd(server.port(), b"", 32, &over));
        let told: Vec<_> = (0..20).map(|_| client(server.port(), "").input("in").run()).collect();
        over.store(true, Ordering::Relaxed);
        for done in told {
            done.is(0, "in", "");
        }
    });
}

#[test]
fn row_58_encrypted_servers_that_do_not_answer() {
    let half = [&[0, 48][..], &[7; 29]].concat();
    let python = [&[0, 0, 0, 59][..], b"#CHALLENGE#{sha256}", &[7; 40]].concat();
    let cases: [(&[u8], i32, &str); 6] = [
        (b"", 7, "the server closed without its answer; is it an auth-serve without --digest?"),
        (&half, 7, "the server closed after 31 bytes of its answer"),
        (&[0, 0], 9, NO_KEY),
        (
            b"220 mail.example\r\n",
            9,
            "the server does not use the encrypted protocol; does it use auth-serve --digest?",
        ),
        (&python, 9, "the server uses Python's multiprocessing protocol; use --python here"),
        (
            &[&[0, 48][..], &[7; 48]].concat(),
            9,
            "the server does not have our key, or the connection is tampered with",
        ),
    ];
    for (bytes, code, why) in cases {
        let bytes = bytes.to_vec();
        let peer = peer(move |mut stream| {
            let mut hello = [0; 58];
            stream.read_exact(&mut hello).unwrap();
            stream.write_all(&bytes).unwrap();
        });
        client(peer.port, "").input("payload").run().fails(code, refused(peer.port, why));
        peer.done();
    }
    for (bytes, code, why) in [
        (&b""[..], 4, "no answer in time; is it an auth-serve without --digest?"),
        (&half, 4, "timed out after 31 bytes of the answer"),
        (&[0, 0], 9, NO_KEY),
    ] {
        let bytes = bytes.to_vec();
        let peer = peer(move |mut stream| {
            stream.write_all(&bytes).unwrap();
            assert_eq!(read_all(&stream).len(), 58, "a hello, and no payload");
        });
        client(peer.port, "-w 300ms").input("payload").run().fails(code, refused(peer.port, why));
        peer.done();
    }
}

#[test]
fn row_59_encrypted_a_recorded_session_opens_nothing() {
    let server = server("--reply secret --no-penalty");
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let tape = Arc::clone(&recorded);
    let between = between(server.port(), move |way, _, bytes| {
        if way == Way::Up {
            tape.lock().unwrap().extend_from_slice(&bytes);
        }
        bytes
    });
    client(between.port, "").input("payload").run().is(0, "secret", "");
    between.done();
    let recorded = recorded.lock().unwrap().clone();
    assert!(recorded.len() > 58 + 19, "hello, READY, data");
    for length in [58, 58 + 19, recorded.len()] {
        let mut stream = server.connect();
        stream.write_all(&recorded[..length]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&stream).len(), 50, "message 2, and nothing more");
    }
    server.stderr_has("refused: its hello was a replay, or was changed on its way\n");
}

#[test]
fn row_60_encrypted_what_is_ours_proves_nothing_to_us() {
    let echo = sockctl("serve 127.0.0.1:0 --echo").start();
    let port = echo.port();
    let done = client(port, "").input("payload").run();
    done.fails(9, refused(port, "the server sends back what it gets: it is not an auth-serve"));
    // Behind the handshake: the client's own record comes back instead of the server's.
    let server = server("--echo");
    let held: Arc<Mutex<Vec<u8>>> = Arc::default();
    let between = between(server.port(), move |way, at, bytes| {
        let mut held = held.lock().unwrap();
        if way == Way::Up && at >= 58 + 19 {
            held.extend_from_slice(&bytes);
        }
        if way == Way::Down && at >= 50 + 19 {
            return std::mem::take(&mut held);
        }
        bytes
    });
    let done = client(between.port, "").input("payload").run();
    done.fails(7, format!("connection to {between}: a record was changed on its way"));
    between.done();
}

#[test]
fn row_61_encrypted_records_that_are_none_end_it_on_the_client() {
    let cases = [
        ("raw:0000", "", "a record of 0 bytes"),
        ("raw:0010", "", "a record of 16 bytes"),
        ("raw:4012", "", "a record of 16402 bytes"),
        ("data:good flip:bad", "good", "a record was changed on its way"),
        ("data:good type:9:x", "good", "an unknown record"),
        ("data:good type:4:", "good", "a record out of place"),
        ("hold data:good eof data:more", "good", "data after the end"),
        ("data:good data:bytes shut", "goodbytes", "truncated after 9 bytes: NO_END"),
        ("data:good truncate:lost shut", "good", "truncated after 4 bytes: NO_END"),
    ];
    for (ops, received, why) in cases {
        let why = why.replace("NO_END", "the peer's end did not come");
        let (peer, port) = python_server("", format!("record welcome {ops} read"));
        let told = format!("sockctl: connection to 127.0.0.1:{port}: {why}\n");
        // Our stdin is open: it is the flaw that ends it.
        client(port, "").start().ends().is(7, received, told);
        drop(peer);
    }
}

#[test]
fn row_61_encrypted_records_that_are_none_end_it_on_the_server() {
    let server = server("--echo -v");
    let cases = [
        ("raw:0000", "a record of 0 bytes"),
        ("raw:ffff", "a record of 65535 bytes"),
        ("flip:bad", "a record was changed on its way"),
        ("type:0:x", "an unknown record"),
        ("type:3:", "a record out of place"),
        ("hold data:good eof data:more", "data after the end"),
        ("data:good shut", "truncated after 4 bytes: the peer's end did not come"),
    ];
    for (number, (ops, why)) in (1..).zip(cases) {
        let said = python_client(server.port(), "", format!("ready record {ops} read"));
        let said = said.run().text();
        assert!(said.starts_with("welcome\n"), "{said}");
        // Never the end of a stream that is whole.
        assert!(!said.contains("<eof>"), "{said}");
        let text = server.stderr_has(&format!("[{number}] 127.0.0.1"));
        assert!(text.contains("authenticated"), "{text}");
        server.stderr_has(&format!(": {why}\n"));
    }
    // On with it, and `--once` exits with it.
    client(server.port(), "").input("in").run().is(0, "in", "");
    let once = self::server("--once --echo");
    let port = once.port();
    python_client(port, "", "ready record data:four shut read").run();
    once.finish().is(7, "", "listening on …\nsockctl: …: truncated after 4 bytes: …\n");
}

#[test]
fn row_61_encrypted_nothing_comes_after_the_end_however_late() {
    for late in ["data:late", "eof", "raw:00"] {
        // The program's word shows that the end has come through.
        let server = server("--once --sh 'cat; echo; exec sleep 60'");
        let ops = format!("ready record eof record {late} read");
        let said = python_client(server.port(), "", ops).run().text();
        assert!(said.starts_with("welcome\ndata 10\n"), "{said}");
        assert!(!said.contains("<eof>"), "{said}");
        let why = "sockctl: connection from 127.0.0.1:…: data after the end\n";
        server.finish().is(7, "", format!("listening on …\n{why}"));

        // Our client, which has more to say than the peer takes, in a pipe and by a script.
        let much = vec![b'x'; 64 << 20];
        let folder = Folder::new();
        let send = format!("--send @{}", folder.file("much", &much));
        for words in ["", &send] {
            let ops = format!("record welcome eof pause:300 {late} read");
            let (peer, port) = python_server("", ops);
            let client = client(port, words);
            let client = if words.is_empty() { client.input(much.clone()) } else { client };
            client.run().fails(7, format!("connection to 127.0.0.1:{port}: data after the end"));
            drop(peer);
        }
    }
}

#[test]
fn row_61_encrypted_a_fin_after_the_end_is_none() {
    let server = server("--once --sh 'cat; echo; read line || echo more'");
    let done = python_client(server.port(), "", "ready record eof shut read").run();
    done.is(0, "welcome\n\nmore\n<eof>", "");
    assert_eq!(server.finish().code, 0);
}

#[test]
fn row_61_encrypted_a_change_on_the_way_is_noticed() {
    // Where in the client's bytes one is changed: in the hello, READY, and the first record.
    let places = [
        (3, 7, "the server closed without its answer; is it an auth-serve without --digest?"),
        (20, 9, NO_KEY),
        (60, 7, "the server closed without its verdict"),
        (70, 7, "the server closed without its verdict"),
    ];
    let server = server("--echo --no-penalty");
    for (place, code, why) in places {
        let between = between(server.port(), flip(Way::Up, place));
        client(between.port, "").input("payload").run().fails(code, refused(between.port, why));
        between.done();
    }
    let places = [
        (1, 9, "the server does not use the encrypted protocol; does it use auth-serve --digest?"),
        (30, 9, "the server does not have our key, or the connection is tampered with"),
        (52, 7, "the server's verdict was changed on its way"),
    ];
    for (place, code, why) in places {
        let between = between(server.port(), flip(Way::Down, place));
        client(between.port, "").input("payload").run().fails(code, refused(between.port, why));
        between.done();
    }
    for place in [71, 75] {
        let between = between(server.port(), flip(Way::Down, place));
        let done = client(between.port, "").input("payload").run();
        done.fails(7, format!("connection to {between}: a record was changed on its way"));
        between.done();
    }
}

/// Changes one bit of the byte at `place`.
fn flip(way: Way, place: usize) -> impl Fn(Way, usize, Vec<u8>) -> Vec<u8> + Send + Sync + Clone {
    move |went, at, mut bytes| {
        if went == way && (at..at + bytes.len()).contains(&place) {
            bytes[place - at] ^= 1;
        }
        bytes
    }
}

#[test]
fn row_62_encrypted_mismatched_sides_end_with_a_hint() {
    // Other clients at our server.
    let server = server("--reply secret -w 700ms");
    let port = server.port();
    for other in ["--digest md5", "--digest sha256", "--python"] {
        let done = sockctl(format!("auth-connect {port} -w 300ms"))
            .args(other)
            .env("SOCKCTL_KEY", "wangwang")
            .input("payload")
            .run();
        done.fails(4, "… in time; does the …");
    }
    let plain = sockctl(format!("connect {port}")).input("payload").run();
    plain.is(0, "", "");
    let silent = sockctl(format!("connect {port}")).start();
    server.stderr_has(
        "refused: no hello in time; is the client an auth-connect without --digest and --python?\n",
    );
    silent.finish().is(0, "", "");
    server.stderr_has("not an auth-connect client");
    // Our client at other servers.
    for (other, code, hint) in [
        ("--digest md5", 9, "does it use auth-serve --digest?"),
        ("--digest sha256", 9, "does it use auth-serve --digest?"),
        ("--python", 9, "use --python here"),
    ] {
        let server = sockctl("auth-serve 127.0.0.1:0 --reply secret")
            .args(other)
            .env("SOCKCTL_KEY", "wangwang")
            .start();
        client(server.port(), "").input("payload").run().fails(code, format!("…{hint}"));
        let option = other.split(' ').next().unwrap();
        server.stderr_has(&format!("the client uses the encrypted protocol; drop {option} here"));
    }
    let plain = sockctl("serve 127.0.0.1:0").start();
    let port = plain.port();
    let done = client(port, "-w 300ms").input("payload").run();
    done.fails(4, refused(port, "no answer in time; is it an auth-serve without --digest?"));
}

#[test]
#[ignore = "needs strace"]
fn row_63_encrypted_without_randomness_it_refuses() {
    let without = |words: String| injected("getrandom:error=EIO", words);
    let key = random_key("alice", ALICE);
    let key = key.path().display();
    let done = without(format!("auth-serve 127.0.0.1:0 --key-file {key}")).run();
    done.fails(1, "read the system's random numbers: input/output error (EIO 5)");
    let server = server("--echo");
    let client = without(format!("auth-connect {server} --key-file {key}"));
    client.input("payload").run().fails(1, "begin the encrypted session: …");
}

#[test]
fn row_64_encrypted_the_key_is_nowhere() {
    let line = {
        let file = random_key("alice", [0x5a; 32]);
        std::fs::read_to_string(file.path()).unwrap()
    };
    let secrets = [
        line.split(' ').next_back().unwrap().trim().to_string(),
        "5a".repeat(32),
        "passphrase-row-64-encrypted".into(),
        hex::encode("passphrase-row-64-encrypted"),
    ];
    for key in [line.trim(), "passphrase-row-64-encrypted"] {
        let file = key_file(key);
        for talk in ["-v --trace --hex -", "--json --trace"] {
            let server = sockctl("auth-serve 127.0.0.1:0 --echo -v --trace --hex - --key-file")
                .arg(file.path())
                .start();
            for known in [key, "another-passphrase-64"] {
                let done = sockctl(format!("auth-connect {server} {talk}"))
                    .env("SOCKCTL_KEY", known)
                    .input("payload")
                    .run();
                assert_eq!(done.code, if known == key { 0 } else { 9 }, "{}", done.stderr);
                nowhere(&secrets, &done.stderr);
            }
            let cmdline = std::fs::read(format!("/proc/{}/cmdline", server.id())).unwrap();
            nowhere(&secrets, &String::from_utf8_lossy(&cmdline));
            server.signal("TERM");
            let done = server.finish();
            assert!(done.stderr.contains("refused"), "{}", done.stderr);
            nowhere(&secrets, &done.stderr);
        }
    }
}

#[test]
fn row_57_encrypted_a_flood_of_refusals_does_not_fill_the_log() {
    let server = server("--echo --no-penalty");
    for _ in 0..300 {
        let mut stream = server.connect();
        let _ = stream.write_all(b"GET /");
        assert_eq!(read_all(&stream), b"");
    }
    client(server.port(), "").input("in").run().is(0, "in", "");
    server.signal("TERM");
    let said = server.finish().stderr;
    let lines = said.lines().filter(|line| line.contains(" refused: "));
    // A hundred in ten seconds; on a slow machine there may be another ten.
    assert!((100..300).contains(&lines.count()), "{said}");
}
