//! A script of `--send` and `--expect` among the faults of peers and of our own side.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

use crate::run::{DEADLINE, shell, sockctl};

/// A peer for one connection, on a port of its own.
fn peer(talk: impl FnOnce(TcpStream) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        talk(stream);
    });
    (address, thread)
}

#[test]
fn row_22_the_answer_to_the_last_send_comes_3_s_after_our_end() {
    let (address, peer) = peer(|mut stream| {
        let mut request = Vec::new();
        stream.read_to_end(&mut request).unwrap();
        std::thread::sleep(Duration::from_secs(3)); // what the row is about
        stream.write_all(&request).unwrap();
    });
    sockctl(["connect", &address, "--send", "late"]).run().is(0, "late", "");
    peer.join().unwrap();
}

#[test]
fn row_24_a_peer_that_ended_first_still_gets_what_is_to_be_sent() {
    let (address, peer) = peer(|mut stream| {
        stream.write_all(b"hello").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"onetwo");
    });
    sockctl(["connect", &address, "--expect-eof", "--send", "one", "--send", "two"])
        .run()
        .is(0, "hello", "");
    peer.join().unwrap();
}

#[test]
fn row_25_what_came_before_a_reset_is_written_and_counts() {
    for (wanted, code, message) in [
        ("bc", 0, ""),
        (
            "bcd",
            8,
            "sockctl: expect 'bcd' from ADDRESS: connection reset by peer (ECONNRESET 104); \
             2 bytes came: 'bc'\n",
        ),
    ] {
        let (address, peer) = peer(|mut stream| {
            stream.write_all(b"abc").unwrap();
            let linger = Some(Duration::ZERO);
            SockRef::from(&stream).set_linger(linger).unwrap();
            // The client has read what came; then the reset.
            stream.read_exact(&mut [0]).unwrap();
        });
        sockctl(["connect", &address, "--expect", "a", "--send", "x", "--expect", wanted])
            .run()
            .is(code, "abc", &message.replace("ADDRESS", &address));
        peer.join().unwrap();
    }
}

#[test]
fn row_29_every_byte_passes_as_it_is() {
    let server = sockctl(["serve", "127.0.0.1:0", "--echo"]).start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all");
    let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    std::fs::write(&path, &all).unwrap();
    let send = format!("@{}", path.display());
    sockctl(["connect", &server.address(), "--send", &send]).run().is(0, all, "");
}

#[test]
fn row_31_short_writes_of_a_script_go_on_at_the_right_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big");
    let big: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&path, &big).unwrap();
    let (address, peer) = peer(move |mut stream| {
        SockRef::from(&stream).set_recv_buffer_size(2304).unwrap();
        let mut got = Vec::new();
        let mut piece = [0; 777];
        while let count @ 1.. = stream.read(&mut piece).unwrap() {
            got.extend_from_slice(&piece[..count]);
        }
        assert!(got == big);
        stream.write_all(b"thanks").unwrap();
    });
    let send = format!("@{}", path.display());
    sockctl(["connect", &address, "-o", "SO_SNDBUF=4608", "--send", &send])
        .run()
        .is(0, "thanks", "");
    peer.join().unwrap();
}

#[test]
fn row_36_a_reader_that_has_gone_is_141_in_silence() {
    let (address, peer) = peer(|mut stream| {
        let chunk = vec![b'y'; 64 << 10];
        while stream.write_all(&chunk).is_ok() {}
    });
    shell("(\"$0\" connect \"$1\" --send x --expect never; echo $? >&2) | head -c 1", [&address])
        .run()
        .is(0, "y", "141\n");
    peer.join().unwrap();
}

#[test]
fn row_37_a_full_disk_is_12_though_the_expectation_is_met() {
    let server = sockctl(["serve", "127.0.0.1:0", "--echo"]).start();
    shell("\"$0\" connect \"$1\" --send x --expect x >/dev/full", [server.address()]).run().is(
        12,
        "",
        "sockctl: write stdout: no space left on device (ENOSPC 28)\n",
    );
}

#[test]
fn row_38_a_script_needs_no_descriptors_of_ours() {
    let server = sockctl(["serve", "127.0.0.1:0", "--echo"]).start();
    shell("\"$0\" connect \"$1\" --send x --expect x <&- >&- 2>&-; echo $?", [server.address()])
        .run()
        .is(0, "0\n", "");
}

#[test]
fn row_35_a_peer_that_takes_nothing_is_a_timeout_not_a_hang() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big");
    std::fs::write(&path, vec![0; 32 << 20]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).set_recv_buffer_size(2304).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let send = format!("@{}", path.display());
    let talk = sockctl([
        "connect",
        &address,
        "-w",
        "300ms",
        "-o",
        "SO_SNDBUF=4608",
        "--send",
        &send,
        "--expect",
        "x",
    ])
    .run();
    assert_eq!((talk.code, &talk.stdout[..]), (4, &b""[..]));
    let head = format!(
        "sockctl: send to {address}: connection timed out (ETIMEDOUT 110); \
         nothing more was taken within 300ms (-w), after "
    );
    assert!(talk.stderr.starts_with(&head), "{}", talk.stderr);
    drop(listener);
}

#[test]
fn row_53_a_wrong_key_is_9_whatever_is_expected() {
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str| folder.path().join(name).display().to_string();
    for name in ["right", "wrong"] {
        sockctl(["auth-connect", "--create-key", "--key-file", &key(name)]).run().is(0, "", "");
    }
    let server = sockctl(["auth-serve", "127.0.0.1:0", "--digest", "sha256", "--echo"])
        .args(["--key-file", &key("right")])
        .start();
    let address = server.address();
    sockctl(["auth-connect", &address, "--digest", "sha256"])
        .args(["--key-file", &key("wrong"), "--send", "x", "--expect", "x"])
        .run()
        .is(
            9,
            "",
            &format!("sockctl: authenticate to {address}: closed without a word: wrong key?\n"),
        );
}

#[test]
fn row_106_bytes_before_the_end_are_counted_for_the_step_that_consumed_them() {
    const MIB: usize = 1 << 20;
    for count in [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB] {
        for (words, came) in
            [(["--expect-eof", "--expect", "foo"], 0), (["--expect", "foo", "--expect-eof"], count)]
        {
            let (address, peer) =
                peer(move |mut stream| stream.write_all(&vec![b'.'; count]).unwrap());
            let done = sockctl(["connect", &address]).args(words).run();
            let cause = match came {
                0 => "nothing came".to_owned(),
                1 => "1 byte came: '.'".to_owned(),
                _ => format!("{came} bytes came: '"),
            };
            let wanted = format!(
                "sockctl: expect 'foo' from {address}: the peer closed the connection; {cause}"
            );
            assert!(done.stderr.starts_with(&wanted), "{count}: {}", done.stderr);
            assert_eq!((done.code, done.stdout.len()), (8, count));
            peer.join().unwrap();
        }
    }
}
