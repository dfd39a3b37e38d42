//! `connect` in a pipe and `connect --check`; its prompt is in `terminal.rs`.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::run::{DEADLINE, Finished, Peer, apart, peer, python, read_all, shell, sockctl};

/// Ten MiB that no line, no zero and no pattern of a chunk's size makes easy.
fn ten_mib() -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let next = |_| {
        // xorshift32
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..10 << 20).map(next).collect()
}

/// Sends `argv[1]` while it reads to the end; says the SHA-256 of what came.
const EXCHANGE: &str = r#"
import hashlib, socket, sys, threading
listener = socket.create_server(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], file=sys.stderr, flush=True)
conn, _ = listener.accept()
def send():
    with open(sys.argv[1], "rb") as file:
        conn.sendall(file.read())
    conn.shutdown(socket.SHUT_WR)
thread = threading.Thread(target=send)
thread.start()
digest = hashlib.sha256()
while data := conn.recv(65536):
    digest.update(data)
thread.join()
print(digest.hexdigest())
"#;

/// Its SHA-256, as sha256sum(1) says.
fn sha256(bytes: &[u8]) -> String {
    let script = "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())";
    let digest = python(script, [""; 0]).input(bytes).run();
    String::from_utf8(digest.stdout).unwrap()
}

#[test]
fn ten_mib_both_ways_are_equal_over_every_kind_of_stdio() {
    let folder = tempfile::tempdir().unwrap();
    let (up, down, out) =
        (folder.path().join("up"), folder.path().join("down"), folder.path().join("out"));
    let bytes = ten_mib();
    let mut reversed = bytes.clone();
    reversed.reverse();
    fs::write(&up, &bytes).unwrap();
    fs::write(&down, &reversed).unwrap();
    let digest = sha256(&bytes);

    // How stdin and stdout are made in a shell: `$1` port, `$2` input, `$3` output.
    let ways = [
        ("pipe to pipe", r#"cat "$2" | "$0" connect $1 $4 | cat >"$3""#),
        ("file to file", r#""$0" connect $1 $4 <"$2" >"$3""#),
        ("file to appended file", r#""$0" connect $1 $4 <"$2" >>"$3""#),
        ("pipe to file", r#"cat "$2" | "$0" connect $1 $4 >"$3""#),
        ("file to pipe", r#""$0" connect $1 $4 <"$2" | cat >"$3""#),
        (
            "socket to socket",
            r#"exec python3 -c '
import shutil, socket, subprocess, sys, threading
ours, theirs = socket.socketpair()
child = subprocess.Popen(sys.argv[3:], stdin=theirs, stdout=theirs)
theirs.close()
def send():
    with open(sys.argv[1], "rb") as file:
        ours.sendall(file.read())
    ours.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
with open(sys.argv[2], "wb") as out:
    while data := ours.recv(65536):
        out.write(data)
sys.exit(child.wait())' "$2" "$3" "$0" connect $1 $4"#,
        ),
    ];
    for (index, (way, line)) in ways.into_iter().enumerate() {
        // A dump is a way of its own, and a slow one: once is enough.
        let dumps: &[_] = if index == 0 { &["", "--hex=/dev/null"] } else { &[""] };
        for &extra in dumps {
            let _ = fs::remove_file(&out);
            let peer = python(EXCHANGE, [&down]).start();
            let port = peer.port().to_string();
            let words = [port.as_ref(), up.as_os_str(), out.as_os_str(), extra.as_ref()];
            shell(line, words).run().is(0, "", "");
            let said = peer.finish();
            assert_eq!(String::from_utf8_lossy(&said.stdout), digest, "{way} {extra}: sent");
            assert!(fs::read(&out).unwrap() == reversed, "{way} {extra}: received");
        }
    }
}

#[test]
fn our_end_first_is_passed_on_and_the_answer_read() {
    let peer = peer(|mut stream| {
        assert_eq!(read_all(&stream), b"request");
        // The answer takes longer than any patience a pump might have with a silent peer.
        std::thread::sleep(Duration::from_millis(1500));
        stream.write_all(b"answer").unwrap();
    });
    sockctl(["connect", &peer.word()]).input("request").run().is(0, "answer", "");
    peer.done();
}

#[test]
fn the_peers_end_first_still_lets_all_of_stdin_out() {
    let bytes = ten_mib();
    let wanted = bytes.clone();
    let peer = peer(move |mut stream| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(read_all(&stream) == wanted);
    });
    sockctl(["connect", &peer.word()]).input(bytes).run().is(0, "bye", "");
    peer.done();
}

#[test]
fn the_little_behind_much_is_not_kept_waiting() {
    const MUCH: usize = 8 << 20;
    // As it is, and where bytes are looked at on their way.
    for words in [&[][..], &["--hex", "/dev/null"]] {
        let (go, wait) = std::sync::mpsc::channel();
        let peer = peer(move |mut stream| {
            stream.write_all(&vec![b'm'; MUCH]).unwrap();
            for _ in 0..3 {
                stream.write_all(b"little").unwrap();
                let () = wait.recv_timeout(DEADLINE).unwrap();
            }
        });
        let talk = sockctl([&["connect", &peer.word(), "--recv-only"], words].concat()).start();
        for count in 1..=3 {
            let all = talk.stdout_bytes(MUCH + count * 6);
            assert!(all.ends_with(b"little"));
            go.send(()).unwrap();
        }
        let all = [vec![b'm'; MUCH], b"littlelittlelittle".to_vec()].concat();
        talk.finish().is(0, all, "");
        peer.done();
    }
}

#[test]
fn a_stdin_that_is_never_quiet_for_500_ms_is_sent_on() {
    let peer = peer(|stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&stream), b"12345");
    });
    let line = r#"for i in 1 2 3 4 5; do printf $i; sleep 0.2; done | "$0" connect $1"#;
    shell(line, [peer.word()]).run().is(0, "", "");
    peer.done();
}

#[test]
fn a_stdin_quiet_for_500_ms_after_the_peers_end_ends_it() {
    let peer = peer(|mut stream| stream.write_all(b"all there is").unwrap());
    let began = Instant::now();
    let mut running = sockctl(["connect", &peer.word()]).start();
    running.stdout_has("all there is");
    crate::run::until("its end", || !running.is_running());
    assert!(began.elapsed() >= Duration::from_millis(500));
    running.finish().is(0, "all there is", "");
    peer.done();
}

#[test]
fn a_reset_is_7_and_what_came_before_is_written() {
    let peer = peer(|mut stream| {
        stream.write_all(b"before").unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).unwrap();
        // Closed with bytes unread: the kernel sends a reset.
    });
    let address = format!("127.0.0.1:{}", peer.port);
    let mut running = sockctl(["connect", &address]).start();
    running.stdout_has("before");
    running.send("12");
    crate::run::until("its end", || !running.is_running());
    running.finish().is(
        7,
        "before",
        &format!("sockctl: connection to {address}: connection reset by peer (ECONNRESET 104)\n"),
    );
    peer.done();
}

#[test]
fn a_peer_that_is_gone_while_we_still_send_is_a_reset_too() {
    for words in [&[][..], &["-C"]] {
        let peer = peer(|mut stream| {
            stream.write_all(b"bye").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            stream.read_exact(&mut [0; 1]).unwrap();
            // Closed with bytes unread: a reset comes behind the end.
        });
        let address = format!("127.0.0.1:{}", peer.port);
        let mut running = sockctl(["connect", &address]).args(words).start();
        running.feed(vec![b'x'; 10 << 20]);
        peer.done();
        running.finish().is(
            7,
            "bye",
            &format!(
                "sockctl: connection to {address}: connection reset by peer (ECONNRESET 104)\n"
            ),
        );
    }
}

#[test]
fn send_only_drops_what_comes() {
    let peer = peer(|mut stream| {
        stream.write_all(b"unwanted").unwrap();
        assert_eq!(read_all(&stream), b"sent");
    });
    sockctl(["connect", "--send-only", &peer.word()]).input("sent").run().is(0, "", "");
    peer.done();
}

#[test]
fn recv_only_does_not_read_stdin() {
    let peer = peer(|mut stream| {
        stream.write_all(b"wanted").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&stream), b"");
    });
    // The next program in the shell gets what was not read.
    shell(r#""$0" connect --recv-only $1; cat"#, [peer.word()]).input(" stdin").run().is(
        0,
        "wanted stdin",
        "",
    );
    peer.done();
}

#[test]
fn linger_bounds_the_wait_for_the_peers_end_and_is_no_failure() {
    let (done, wait) = std::sync::mpsc::channel();
    let peer = peer(move |mut stream| {
        assert_eq!(read_all(&stream), b"data");
        stream.write_all(b"some").unwrap();
        // Open until the other side has left.
        wait.recv_timeout(DEADLINE).unwrap();
    });
    let began = Instant::now();
    sockctl(["connect", "--linger", "300ms", &peer.word()]).input("data").run().is(0, "some", "");
    assert!(began.elapsed() >= Duration::from_millis(300));
    done.send(()).unwrap();
    peer.done();

    let peer = self::peer(|stream| assert_eq!(read_all(&stream), b"data"));
    sockctl(["connect", "--linger", "0", &peer.word()]).input("data").run().is(0, "", "");
    peer.done();
}

#[test]
fn no_half_close_keeps_our_side_open() {
    let peer = peer(|mut stream| {
        let mut got = [0; 4];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"data");
        // No end comes while we are open.
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert_eq!(stream.read(&mut got).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        stream.write_all(b"answer").unwrap();
    });
    sockctl(["connect", "--no-half-close", &peer.word()]).input("data").run().is(0, "answer", "");
    peer.done();
}

#[test]
fn source_is_where_it_comes_from() {
    let seen = |words: &[&str]| {
        let (tell, told) = std::sync::mpsc::channel();
        let peer = peer(move |stream| tell.send(stream.peer_addr().unwrap()).unwrap());
        sockctl(["connect", &peer.word()]).args(words).run().is(0, "", "");
        peer.done();
        told.recv().unwrap()
    };
    assert_eq!(seen(&["-s", "127.0.0.9"]).ip().to_string(), "127.0.0.9");
    let free = {
        let listener = std::net::TcpListener::bind("127.0.0.8:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    assert_eq!(seen(&["--source", &free]).to_string(), free);
}

#[test]
fn crlf_adds_the_cr_where_it_is_missing_across_packets_too() {
    let peer = peer(|stream| {
        assert_eq!(read_all(&stream), b"one\r\ntwo\r\n\r\nthree\r\n\r\nlone\rend");
    });
    let (tell, heard) = (peer, "one\n|two\r|\n\n|three\r\n|\r|\nlone|\rend");
    let mut running = sockctl(["connect", "-C", "--hex", "-", &tell.word()]).start();
    for (before, piece) in heard.split('|').enumerate() {
        running.send(piece);
        // Each piece has gone out by itself before the next is given.
        let gone = |text: &str| text.lines().filter(|line| line.starts_with("> ")).count() > before;
        crate::run::until("the piece", || gone(&running.stderr_has("")));
    }
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    tell.done();
}

#[test]
fn hex_shows_both_directions_with_offset_and_time() {
    let peer = peer(|mut stream| {
        let got = read_all(&stream);
        stream.write_all(b"0123456789abcdef").unwrap();
        stream.write_all(&got).unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    sockctl(["connect", &peer.word(), "-x"]).args([&file]).input("hi\n\0\u{ff}").run().is(
        0,
        "0123456789abcdefhi\n\0\u{ff}",
        "",
    );
    peer.done();
    let dump = fs::read_to_string(&file).unwrap();
    let untimed: Vec<String> = dump
        .lines()
        .map(|line| {
            let (arrow, rest) = line.split_at(2);
            let (time, rest) = rest.split_once(' ').unwrap();
            assert!(time.parse::<f64>().unwrap() >= 0.0 && time.contains('.'));
            format!("{arrow}{rest}")
        })
        .collect();
    let sent = "> 00000000  68 69 0a 00 c3 bf                                 |hi....|";
    assert_eq!(untimed[0], sent);
    let received: Vec<&str> = untimed[1..].iter().map(String::as_str).collect();
    assert_eq!(
        received[0],
        "< 00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|"
    );
    assert!(received[1].starts_with("< 00000010  68 69 0a 00 c3 bf"), "{dump}");
    assert_eq!(received.len(), 2, "{dump}");
}

/// A peer that says nothing until we have ended.
fn silent() -> Peer {
    peer(|mut stream| {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    })
}

#[test]
fn idle_timeout_and_deadline_are_4() {
    for (words, hint) in [
        (["--idle-timeout", "0.3"], "nothing was said for too long"),
        (["--deadline", "300ms"], "the deadline has passed"),
    ] {
        let peer = silent();
        let address = format!("127.0.0.1:{}", peer.port);
        let began = Instant::now();
        let mut running = sockctl(["connect", &address]).args(words).start();
        crate::run::until("its end", || !running.is_running());
        assert!(began.elapsed() >= Duration::from_millis(300));
        running.finish().is(
            4,
            "",
            &format!(
                "sockctl: connection to {address}: connection timed out (ETIMEDOUT 110); {hint}\n"
            ),
        );
        peer.done();
    }
}

#[test]
fn both_directions_reset_the_idle_timeout() {
    let peer = peer(|mut stream| {
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(250));
            stream.write_all(b".").unwrap();
        }
    });
    sockctl(["connect", "-i", "1", "--recv-only", &peer.word()]).run().is(0, "......", "");
    peer.done();
}

#[test]
fn a_unix_socket_by_path_and_by_abstract_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("unix:{}/socket", folder.path().display());
    let name = format!("unix:@sockctl-test-{}", std::process::id());
    for address in [path, name] {
        let server = sockctl(["serve", "--echo", &address]).start();
        assert_eq!(server.address(), address);
        sockctl(["connect", &address]).input("over it").run().is(0, "over it", "");
        sockctl(["connect", "-z", &address]).run().is(0, format!("{address} open\n"), "");
        server.signal("TERM");
        assert_eq!(server.finish().code, 0);
        let gone = sockctl(["connect", &address]).run();
        let cause = if address.contains('@') {
            (3, "connection refused (ECONNREFUSED 111)")
        } else {
            (1, "no such file or directory (ENOENT 2)")
        };
        gone.is(cause.0, "", &format!("sockctl: connect to {address}: {}\n", cause.1));
    }
}

#[test]
fn a_refused_connection_is_3_and_names_the_address() {
    let line = "sockctl: connect to 127.0.0.1:1: connection refused (ECONNREFUSED 111)\n";
    for words in [&["127.0.0.1:1"][..], &["1"], &["127.0.0.1", "1"], &["-q", "1"], &["-v", "1"]] {
        sockctl(["connect"]).args(words).run().is(3, "", line);
    }
    sockctl(["connect", "-6", "1"]).run().is(
        3,
        "",
        "sockctl: connect to [::1]:1: connection refused (ECONNREFUSED 111)\n",
    );
}

// ---- --check ---------------------------------------------------------------------------------

/// A port that is open, and one that was free a moment ago and is not given out again soon.
fn open_and_closed() -> (std::net::TcpListener, u16, u16) {
    let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = open.local_addr().unwrap().port();
    (open, port, 1)
}

#[test]
fn check_reports_each_port_in_the_order_written() {
    let (_open, open, closed) = open_and_closed();
    sockctl(["connect", "-z", &open.to_string()]).run().is(
        0,
        format!("127.0.0.1:{open} open\n"),
        "",
    );
    sockctl(["connect", "--check", "127.0.0.1", &closed.to_string()]).run().is(
        3,
        format!("127.0.0.1:{closed} ECONNREFUSED (111)\n"),
        "",
    );
    sockctl(["connect", "-z", &format!("127.0.0.1:{closed},{open},{closed},{open}")]).run().is(
        3,
        format!(
            "127.0.0.1:{closed} ECONNREFUSED (111)\n127.0.0.1:{open} open\n\
             127.0.0.1:{closed} ECONNREFUSED (111)\n127.0.0.1:{open} open\n"
        ),
        "",
    );
}

#[test]
fn check_takes_a_range_that_succeeds_by_one_open_port() {
    // An address of its own: the neighbour of the port may be another test's on 127.0.0.1.
    let listener = std::net::TcpListener::bind("127.0.0.77:0").unwrap();
    let high = listener.local_addr().unwrap().port();
    sockctl(["connect", "-z", &format!("127.0.0.77:{}-{high}", high - 1)]).run().is(
        0,
        format!("127.0.0.77:{high} open\n"),
        "",
    );
    let (_open, open, _) = open_and_closed();
    // 1–3 are tcpmux, compressnet: nobody listens.
    sockctl(["connect", "-z", "127.0.0.1:1-3"]).run().is(3, "", "");
    sockctl(["connect", "-zv", "127.0.0.1:1-2"]).run().is(
        3,
        "127.0.0.1:1 ECONNREFUSED (111)\n127.0.0.1:2 ECONNREFUSED (111)\n",
        "",
    );
    // The first failure decides, whatever comes after it.
    sockctl(["connect", "-z", &format!("127.0.0.1:1-3,{open}")]).run().is(
        3,
        format!("127.0.0.1:{open} open\n"),
        "",
    );
    sockctl(["connect", "-z", &format!("127.0.0.1:{open},nosuchservice,1")]).run().is(
        6,
        format!(
            "127.0.0.1:{open} open\n127.0.0.1:nosuchservice EAI_SERVICE (-8)\n\
             127.0.0.1:1 ECONNREFUSED (111)\n"
        ),
        "",
    );
}

#[test]
fn check_in_json() {
    let (_open, open, closed) = open_and_closed();
    let words = ["connect", "-z", "--json", &format!("localhost:{open},{closed},nosuchservice")];
    let finished = sockctl(words).run();
    let script = r"
import json, sys
for line in sys.stdin:
    result = json.loads(line)
    assert 0 <= result.pop('ms') < 10000, line
    print(json.dumps(result, sort_keys=True))";
    let read = python(script, [""; 0]).input(finished.stdout).run();
    read.is(
        0,
        format!(
            "{{\"address\": \"localhost:{open}\", \"result\": 0}}\n\
             {{\"address\": \"localhost:{closed}\", \"errno\": \"ECONNREFUSED\", \"result\": 111}}\n\
             {{\"address\": \"localhost:nosuchservice\", \"errno\": \"EAI_SERVICE\", \
             \"result\": -8}}\n"
        ),
        "",
    );
    assert_eq!((finished.code, finished.stderr.as_str()), (3, ""));
}

#[test]
fn check_knows_names_and_services() {
    let server = sockctl(["serve", "--echo", "localhost:0"]).start();
    let port = server.port();
    sockctl(["connect", "-z", "localhost", &port.to_string()]).run().is(
        0,
        format!("localhost:{port} open\n"),
        "",
    );
    sockctl(["connect", "-z", "localhost:tcpmux"]).run().is(
        3,
        "localhost:tcpmux ECONNREFUSED (111)\n",
        "",
    );
}

#[test]
fn a_port_that_would_connect_to_itself_is_refused() {
    for check in [false, true] {
        let free = {
            let listener = std::net::TcpListener::bind("127.0.0.7:0").unwrap();
            listener.local_addr().unwrap().to_string()
        };
        let line = format!("sockctl: connect to {free}: connection refused (ECONNREFUSED 111)\n");
        let (option, stdout, stderr) = if check {
            (&["-z"][..], format!("{free} ECONNREFUSED (111)\n"), "")
        } else {
            (&[][..], String::new(), line.as_str())
        };
        sockctl(["connect", "-s", &free, &free]).args(option).run().is(3, stdout, stderr);
    }
}

#[test]
#[ignore = "needs unshare, ip and root"]
fn check_scans_all_ports() {
    let line = r#"
        "$0" serve --echo 127.0.0.1:22 2>/dev/null & one=$!
        "$0" serve --echo 127.0.0.1:65535 2>/dev/null & other=$!
        until "$0" connect -z 127.0.0.1:22,65535 >/dev/null; do :; done
        "$0" connect -z 127.0.0.1:1-65535
        "$0" connect -zv 127.0.0.1:1-65535 | grep -c ECONNREFUSED
        kill $one $other"#;
    apart(line, [""; 0]).run().is(0, "127.0.0.1:22 open\n127.0.0.1:65535 open\n65533\n", "");
}

/// Takes the only place in the queue of a listener on `argv[1]` `argv[2]`, so that whoever comes
/// next hears nothing, as behind a filter; then runs `argv[3:]`.
const FILTERED: &str = r#"
import socket, subprocess, sys
address = (sys.argv[1], int(sys.argv[2]))
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(address)
listener.listen(0)
taken = socket.create_connection(listener.getsockname())
port = str(listener.getsockname()[1])
words = [word.replace("PORT", port) for word in sys.argv[3:]]
sys.exit(subprocess.call(words, stdin=subprocess.DEVNULL))
"#;

#[test]
fn a_filtered_port_times_out() {
    let run = |words: &[&str]| {
        let sockctl = env!("CARGO_BIN_EXE_sockctl");
        python(FILTERED, ["127.0.0.1", "0", sockctl, "connect"]).args(words).run()
    };
    let timed_out = |words: &[&str], shown: &str| {
        let finished = run(words);
        let stdout = String::from_utf8_lossy(&finished.stdout).into_owned();
        let stderr = finished.stderr.clone();
        let text = format!("{stdout}{stderr}");
        let port: String = text
            .split_once("127.0.0.1:")
            .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect())
            .unwrap_or_default();
        assert_eq!(text, shown.replace("PORT", &port), "{words:?}");
        finished.is(4, stdout, &stderr);
    };
    timed_out(
        &["-z", "127.0.0.1:PORT,1", "-w", "0.3"],
        "127.0.0.1:PORT ETIMEDOUT (110)\n127.0.0.1:1 ECONNREFUSED (111)\n",
    );
    timed_out(&["-z", "PORT", "-w", "0", "--deadline", "0.3"], "127.0.0.1:PORT ETIMEDOUT (110)\n");
    let line = "sockctl: connect to 127.0.0.1:PORT: connection timed out (ETIMEDOUT 110)\n";
    timed_out(&["PORT", "-w", "300ms"], line);
    timed_out(&["PORT", "-w", "0", "--deadline", "0.3"], line);
    // None of a range is open.
    run(&["-z", "127.0.0.1:PORT-PORT", "-w", "0.3"]).is(3, "", "");
}

#[test]
#[ignore = "needs unshare, ip and root"]
fn an_unreachable_network_is_5() {
    let line = "network is unreachable (ENETUNREACH 101)";
    apart(r#"exec "$0" connect 203.0.113.1:22"#, [""; 0]).run().is(
        5,
        "",
        &format!("sockctl: connect to 203.0.113.1:22: {line}\n"),
    );
    apart(r#"exec "$0" connect -z 203.0.113.1:22"#, [""; 0]).run().is(
        5,
        "203.0.113.1:22 ENETUNREACH (101)\n",
        "",
    );
}

/// Runs in a network where `many` is `::1`, 127.0.0.2 and 127.0.0.1, and 127.0.0.2:8520 is silent.
fn with_many(line: &str) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let hosts = "::1 many two\n127.0.0.2 many\n127.0.0.1 many two\n";
    fs::write(folder.path().join("hosts"), hosts).unwrap();
    let line = format!(
        r#"mount --bind hosts /etc/hosts
        exec python3 -c "$1" 127.0.0.2 8520 sh -c '{line}' "$0""#
    );
    apart(&line, [FILTERED])
        .with(|command| {
            command.current_dir(folder.path());
        })
        .run()
}

#[test]
#[ignore = "needs unshare, ip, python3 and root"]
fn a_name_with_several_addresses_is_tried_in_turn_and_a_failure_names_each() {
    let refused = "connection refused (ECONNREFUSED 111)";
    with_many(r#"exec "$0" connect two 1"#).is(
        3,
        "",
        &format!("sockctl: connect to two:1: [::1]:1: {refused}, 127.0.0.1:1: {refused}\n"),
    );
    with_many(r#"exec "$0" connect -4 two 1"#).is(
        3,
        "",
        &format!("sockctl: connect to 127.0.0.1:1: {refused}\n"),
    );
    let many = with_many(r#"exec "$0" connect many 8520 -w 0.8"#);
    let line = many.stderr.clone();
    assert!(
        line.starts_with("sockctl: connect to many:8520: ")
            && line.contains(&format!("[::1]:8520: {refused}"))
            && line.contains(&format!("127.0.0.1:8520: {refused}"))
            && line.contains("127.0.0.2:8520: connection timed out (ETIMEDOUT 110)"),
        "{line}"
    );
    many.is(4, "", &line);

    // The one that answers wins, and the silent one costs 250 ms.
    let serve = r#""$0" serve --reply found --once 127.0.0.1:8520 --port-file port & server=$!
        until [ -s port ]; do :; done
        "$0" connect many 8520 -v
        wait $server"#;
    let found = with_many(serve);
    assert_eq!(found.stdout, b"found", "{}", found.stderr);
    assert!(found.stderr.contains("connected to 127.0.0.1:8520 from 127.0.0.1:"));
    with_many(r#""$0" connect -z two 1"#).is(3, "two:1 ECONNREFUSED (111)\n", "");
}

#[test]
fn trace_tells_of_bulk_before_the_wait_for_more() {
    let peer = peer(|mut stream| {
        stream.write_all(&vec![b'.'; 4 << 20]).unwrap();
        stream.write_all(b"end").unwrap();
        assert_eq!(read_all(&stream), b"");
    });
    let mut client = sockctl(["connect", "--trace", &peer.word()]).start();
    client.stdout_bytes((4 << 20) + 3); // and the peer goes on
    client.close();
    let said = client.finish().stderr;
    let (before, after) = said
        .split_once("\nsetsockopt(SOL_SOCKET, SO_RCVLOWAT, 131072)\n")
        .unwrap_or_else(|| panic!("{said}"));
    let mut before = before.lines().rev();
    let asked = before.next().unwrap_or_default();
    assert_eq!(asked, "getsockopt(SOL_SOCKET, SO_RCVLOWAT) -> 1", "{said}");
    let what_it_follows_from = before.next().unwrap_or_default();
    assert!(what_it_follows_from.starts_with("recv("), "{said}");
    assert!(after.contains("\nsetsockopt(SOL_SOCKET, SO_RCVLOWAT, 1)\n"), "{said}");
    peer.done();
}
