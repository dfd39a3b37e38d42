//! Rows 22–35: a peer on a stream.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::run::{
    Program, Running, apart, connect, conversation, peer, program, python, read_all, reset, shell,
    sockctl, until,
};

/// A server on a free port with these words.
fn serve(words: &[&str]) -> Running {
    let server = sockctl(["serve", "0"]).args(words).start();
    server.stderr_has("listening");
    server
}

/// Sends these bytes, ends the write side, reads the answer to its end.
fn ask(mut stream: &TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    read_all(stream)
}

/// Bytes in which every shift shows.
fn pattern(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(count);
    bytes
}

/// A new client is served, and nothing spins.
fn serves_on(server: &Running) {
    assert_eq!(ask(&server.connect(), b"on"), b"on");
    server.rests();
}

#[test]
fn row_22_an_answer_that_comes_after_the_half_close_is_delivered() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let answers = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert_eq!(read_all(&stream), b"request");
        std::thread::sleep(Duration::from_secs(3)); // the case itself
        stream.write_all(b"answer").unwrap();
    });
    let finished = sockctl(["connect", &port]).input("request").run();
    finished.is(0, "answer", "");
    answers.join().unwrap();
}

#[test]
fn row_23_a_peer_that_ends_first_gets_everything_that_is_still_to_be_sent() {
    let text = pattern(10 << 20);
    let mut server = serve(&["--once"]);
    let (client, address) = (server.connect(), server.address());
    client.shutdown(Shutdown::Write).unwrap();
    server.feed(text.clone());
    assert!(read_all(&client) == text);
    let said = conversation(&address, client.local_addr().unwrap(), "");
    drop(client);
    server.finish().is(0, "", &said);

    // The same from a server for many: whoever ended first hears stdin to its end.
    let mut server = serve(&[]);
    let client = server.connect();
    server.stderr_has("joined");
    server.feed(text.clone());
    client.shutdown(Shutdown::Write).unwrap();
    assert!(read_all(&client) == text);
    server.rests();
}

#[test]
fn row_24_both_end_at_once() {
    for _ in 0..20 {
        let mut server = serve(&["--once"]);
        let (client, address) = (server.connect(), server.address());
        server.close();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&client), b"");
        let said = conversation(&address, client.local_addr().unwrap(), "");
        server.finish().is(0, "", &said);
    }
}

#[test]
fn row_25_a_reset_in_mid_stream_is_that_clients_alone() {
    let server = serve(&["--echo", "-v"]);
    let other = server.connect();
    (&other).write_all(b"before").unwrap();
    (&other).read_exact(&mut [0; 6]).unwrap();
    let client = server.connect();
    (&client).write_all(&pattern(1 << 20)).unwrap();
    (&client).read_exact(&mut [0; 1000]).unwrap();
    let peer = client.local_addr().unwrap();
    reset(client);
    server.stderr_has(&format!("[2] {peer} closed (reset; received "));
    (&other).write_all(b"after").unwrap();
    (&other).read_exact(&mut [0; 5]).unwrap();
    serves_on(&server);
}

#[test]
fn row_25_what_came_before_a_reset_is_written() {
    let server = serve(&["--once", "-v"]);
    let client = server.connect();
    let peer = client.local_addr().unwrap();
    (&client).write_all(b"the last words\n").unwrap();
    server.stdout_has("the last words\n");
    reset(client);
    let said = server.finish();
    assert_eq!((said.code, said.stdout.as_slice()), (7, &b"the last words\n"[..]));
    let last =
        format!("sockctl: connection from {peer}: connection reset by peer (ECONNRESET 104)\n");
    assert!(said.stderr.ends_with(&last), "{}", said.stderr);

    // Bytes and reset together, to a server that was not looking. No more than the window takes at
    // once: what is still unsent is lost with a reset.
    let server = serve(&[]);
    let client = server.connect();
    server.stderr_has("joined");
    server.signal("STOP");
    (&client).write_all(&pattern(50_000)).unwrap();
    reset(client);
    server.signal("CONT");
    server.stderr_has("left (reset)\n");
    assert!(server.stdout_bytes(50_000) == pattern(50_000));
    server.rests();
}

#[test]
fn row_25_a_reset_while_bytes_are_queued_for_the_peer_is_told_as_one() {
    // Whether it had ended its side before or not.
    for ends_first in [false, true] {
        let mut server = serve(&["--json"]);
        let said = server.stderr_has("\n");
        let port = said.split("127.0.0.1:").nth(1).unwrap();
        let port = port.split('"').next().unwrap().parse().unwrap();
        let client = connect(port);
        server.stderr_has("accepted");
        server.feed(pattern(16 << 20));
        (&client).read_exact(&mut [0; 1000]).unwrap();
        if ends_first {
            client.shutdown(Shutdown::Write).unwrap();
        }
        server.rests();
        reset(client);
        let said = server.stderr_has("closed");
        let closed: serde_json::Value =
            serde_json::from_str(said.lines().find(|line| line.contains("closed")).unwrap())
                .unwrap();
        assert_eq!((&closed["reason"], &closed["received"]), (&"reset".into(), &0.into()));
        let sent = closed["sent"].as_u64().unwrap();
        assert!((1000..16 << 20).contains(&sent), "{said}");
        server.rests();
    }
}

#[test]
fn row_25_a_reset_after_the_end_is_noticed_while_stdin_is_idle() {
    let server = serve(&[]);
    let client = server.connect();
    server.stderr_has("joined");
    client.shutdown(Shutdown::Write).unwrap();
    reset(client);
    server.stderr_has("left");
    server.rests();
    assert_eq!(ask(&server.connect(), b"on"), b"");
    server.stdout_has("on");
}

#[test]
#[ignore = "needs strace"]
fn row_25_a_reset_right_behind_the_connect_costs_nothing_that_came() {
    let line = r#"exec "$0" connect $1 $2 </dev/null"#;
    // The peer is gone when we look whether we are connected, or with whom.
    for calls in ["getsockopt:delay_enter=300000", "getpeername:delay_enter=300000"] {
        for (flag, stdout) in
            [("-n", "all it says"), ("--send-only", ""), ("--hex=-", "all it says")]
        {
            let peer = peer(|stream| {
                (&stream).write_all(b"all it says").unwrap();
                reset(stream);
            });
            let port = peer.word();
            let done = injected(calls, line, &[&port, flag]).run();
            peer.done();
            let why = format!(
                "sockctl: connection to 127.0.0.1:{port}: connection reset by peer (ECONNRESET 104)"
            );
            assert_eq!(done.stderr.lines().last(), Some(&*why), "{calls} {flag}");
            assert_eq!((done.code, &*String::from_utf8_lossy(&done.stdout)), (7, stdout));
        }
    }
}

#[test]
fn row_26_a_peer_that_closes_is_let_go_within_a_moment_though_stdin_is_open() {
    let mut server = serve(&["--once"]);
    let (client, address) = (server.connect(), server.address());
    let began = Instant::now();
    let said = conversation(&address, client.local_addr().unwrap(), "");
    drop(client);
    until("it ends by itself", || !server.is_running());
    assert!(began.elapsed() < Duration::from_secs(5));
    server.finish().is(0, "", &said);
}

#[test]
fn row_28_a_line_without_an_end_is_exact_and_memory_stays_flat() {
    let server = serve(&["--discard"]);
    let before = server.vitals().peak;
    assert_eq!(ask(&server.connect(), &vec![b'x'; 100 << 20]), b"");
    assert!(server.vitals().peak < before + (4 << 20));

    // Through echo, read while it is written.
    let server = serve(&["--echo"]);
    let before = server.vitals().peak;
    let client = server.connect();
    let text = pattern(100 << 20);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&client).write_all(&text).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        assert!(read_all(&client) == text);
    });
    assert!(server.vitals().peak < before + (64 << 20));
}

#[test]
fn row_29_every_byte_passes_as_it_is() {
    let mut hostile: Vec<u8> = (0..=255).collect();
    hostile.extend(b"\r\x00\xff\xfe\xc3\x28\x1b]0;title\x07\x1b[2J\r\r\n\xe2\x80");
    let server = serve(&["--echo"]);
    assert_eq!(ask(&server.connect(), &hostile), hostile);
    let mut server = serve(&["--once"]);
    let (client, address) = (server.connect(), server.address());
    server.send(&hostile).close();
    assert_eq!(ask(&client, &hostile), hostile);
    let said = conversation(&address, client.local_addr().unwrap(), "");
    server.finish().is(0, &hostile, &said);
}

#[test]
fn row_30_scanners_and_other_protocols_cost_a_line_at_most() {
    let server = serve(&["--echo"]);
    let address = server.address();
    for hello in [
        &b""[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        assert_eq!(ask(&server.connect(), hello), hello);
        let client = server.connect();
        (&client).write_all(hello).unwrap();
        reset(client);
    }
    serves_on(&server);
    server.signal("TERM");
    server.finish().is(0, "", &format!("listening on {address}\n"));
}

#[test]
fn row_31_short_writes_go_on_at_the_right_byte() {
    let server = serve(&["--echo", "-o", "SO_SNDBUF=4608", "-o", "SO_RCVBUF=2304"]);
    let text = pattern(1 << 20);
    let client = server.connect();
    SockRef::from(&client).set_recv_buffer_size(2304).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&client).write_all(&text).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = Vec::new();
        while (&client).take(777).read_to_end(&mut got).unwrap() > 0 {}
        assert!(got == text);
    });
}

#[test]
fn row_31_a_million_tiny_writes_come_back_in_order() {
    const TINY: &str = r"
import socket, sys, threading
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
count = 1_000_000
def write():
    for n in range(count):
        s.send(bytes([n % 251]))
    s.shutdown(socket.SHUT_WR)
t = threading.Thread(target=write)
if sys.argv[2] == 'together': t.start()
else: write()
got = bytearray()
while piece := s.recv(65536): got += piece
assert got == bytes(n % 251 for n in range(count)), len(got)
print('exact')
";
    let server = serve(&["--echo"]);
    let before = server.vitals().peak;
    let port = server.port().to_string();
    for order in ["together", "write first"] {
        python(TINY, [&port, order]).run().is(0, "exact\n", "");
    }
    server.rests();
    let after = server.vitals().peak;
    assert!(after < before + (160 << 20), "{before}, then {after}");
}

#[test]
fn row_34_a_silent_peer_is_ended_by_the_idle_timeout_and_nobody_waits_for_it() {
    let server = serve(&["--echo", "-i", "1s", "-v"]);
    let silent = server.connect();
    let peer = silent.local_addr().unwrap();
    (&silent).write_all(b"x").unwrap();
    (&silent).read_exact(&mut [0]).unwrap();
    assert_eq!(ask(&server.connect(), b"quick"), b"quick");
    server.stderr_has(&format!("[1] {peer} closed (idle; received 1, sent 1 bytes"));
    assert_eq!(read_all(&silent), b"");
    server.rests();
}

/// strace(1) of a line of the shell in which `"$0"` is sockctl, where these calls fail. The shell
/// is what is started (`-D`): whoever ends it ends sockctl.
fn injected(calls: &str, line: &str, words: &[&str]) -> Program {
    let inject = format!("inject={calls}");
    let strace = ["-D", "-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", &inject];
    let shell = ["sh", "-c", line, env!("CARGO_BIN_EXE_sockctl")];
    program("strace", strace).args(shell).args(words)
}

#[test]
#[ignore = "needs strace"]
fn row_32_interrupted_calls_are_tried_again() {
    let text = pattern(3 << 20);
    let calls = "accept4,connect,recvfrom,sendto,sendmsg,splice,sendfile,write,poll,ppoll,\
                 epoll_wait,epoll_pwait:error=EINTR:when=2+2";
    for serve in ["--echo", "--once"] {
        let line = format!(r#"exec "$0" serve 0 {serve}"#);
        let mut server = injected(calls, &line, &[]).start();
        let client = server.connect();
        if serve == "--once" {
            server.feed(text.clone());
            client.shutdown(Shutdown::Write).unwrap();
            assert!(read_all(&client) == text);
        } else {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    (&client).write_all(&text).unwrap();
                    client.shutdown(Shutdown::Write).unwrap();
                });
                assert!(read_all(&client) == text);
            });
        }
    }
    let server = serve(&["--echo"]);
    let port = server.port().to_string();
    let client = injected(calls, r#"exec "$0" connect $1"#, &[&port]);
    client.input(text.clone()).run().is(0, &text, "");
}

#[test]
#[ignore = "needs strace"]
fn row_32_an_interruption_does_not_restart_a_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let calls = "poll,ppoll,epoll_wait,epoll_pwait:error=EINTR:when=1+2";
    for (flag, code) in [("--deadline=1s", 4), ("-i1s", 4), ("--linger=1s", 0)] {
        let began = Instant::now();
        let client = injected(calls, r#"exec "$0" connect $1 $2 </dev/null"#, &[&port, flag]);
        assert_eq!(client.run().code, code, "{flag}");
        let took = began.elapsed();
        assert!((1..10).contains(&took.as_secs()), "{flag}: {took:?}");
    }
}

#[test]
#[ignore = "needs strace"]
fn row_33_a_connection_that_is_gone_at_shutdown_or_has_no_address_is_no_panic() {
    for calls in [
        "shutdown:error=ENOTCONN",
        "getpeername:error=ENOTCONN",
        "getsockname:error=ENOTCONN:when=2+",
        "shutdown:error=EINVAL",
    ] {
        for flags in ["", "-v", "--json", "--trace"] {
            let line = format!(r#"exec "$0" serve 127.0.0.1:0 --echo {flags}"#);
            let server = injected(calls, &line, &[]).start();
            let said = server.stderr_has("127.0.0.1:");
            until("the whole line", || server.stderr_has("listening").ends_with('\n'));
            let said = server.stderr_has(said.trim());
            let port: String = said
                .rsplit("127.0.0.1:")
                .next()
                .unwrap()
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            let client = connect(port.parse().unwrap());
            (&client).write_all(b"still").unwrap();
            let mut got = [0; 5];
            (&client).read_exact(&mut got).unwrap();
            assert_eq!(&got, b"still");
            assert!(!server.stderr_has("").contains("panicked"));
            reset(client);
        }
    }
    let server = serve(&["--echo"]);
    let port = server.port().to_string();
    for calls in ["shutdown:error=ENOTCONN", "getpeername,getsockname:error=ENOTCONN"] {
        let line = r#"exec "$0" connect $1 --linger 500ms"#;
        let done = injected(calls, line, &[&port]).input("hi").run();
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
        assert!(done.stderr.lines().count() <= 1, "{}", done.stderr);
    }
}

#[test]
#[ignore = "needs strace"]
fn a_send_that_finds_no_memory_is_tried_again() {
    for error in ["ENOBUFS", "ENOMEM"] {
        let calls = format!("sendto,sendmsg:error={error}:when=2+3");
        let server = injected(&calls, r#"exec "$0" serve 0 --echo"#, &[]).start();
        let client = server.connect();
        let text = pattern(1 << 20);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (&client).write_all(&text).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            });
            assert!(read_all(&client) == text);
        });
    }
}

#[test]
#[ignore = "needs unshare, ip and root"]
fn row_34_a_link_that_goes_down_ends_both_sides_in_the_end() {
    let line = r#"
        keep="-o TCP_KEEPIDLE=1 -o TCP_KEEPINTVL=1 -o TCP_KEEPCNT=2"
        "$0" serve 8520 --echo -v $keep 2>log & server=$!
        mkfifo in
        "$0" connect 8520 --wait 10s $keep <in >out & client=$!
        exec 3>in
        echo first >&3
        until [ -s out ]; do :; done
        ip link set lo down
        wait $client || echo "status $?"
        until grep -q closed log; do :; done
        kill $server
        wait $server
        sed -n 's/.*closed (\([a-z]*\).*/\1/p' log
    "#;
    let folder = tempfile::tempdir().unwrap();
    let done = apart(line, [""; 0]).with(|command| _ = command.current_dir(folder.path())).run();
    let why = "sockctl: connection to 127.0.0.1:8520: connection timed out (ETIMEDOUT 110)\n";
    done.is(0, "status 4\nreset\n", why);
}

#[test]
fn urgent_data_is_passed_over_and_is_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("got");
    let to_file = r#"exec "$0" connect $1 >"$2" </dev/null"#;
    for line in [r#"exec "$0" connect $1 </dev/null"#, to_file] {
        let peer = peer(|stream| {
            assert_eq!(read_all(&stream), b"");
            (&stream).write_all(b"before ").unwrap();
            SockRef::from(&stream).send_out_of_band(b"!").unwrap();
            (&stream).write_all(b"after").unwrap();
        });
        let done = shell(line, [&peer.word(), file.to_str().unwrap()]).run();
        peer.done();
        let got = if line == to_file { std::fs::read(&file).unwrap() } else { done.stdout };
        assert_eq!((done.code, &*done.stderr), (0, ""));
        assert_eq!(got.escape_ascii().to_string(), "before after");
    }
}

#[test]
fn row_34_keepalive_is_on() {
    let server = serve(&["--echo", "--trace"]);
    server.stderr_has("setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)");
}

#[test]
fn row_35_a_client_that_writes_everything_before_it_reads_gets_it_all() {
    let server = serve(&["--echo"]);
    let before = server.vitals().peak;
    let text = pattern(64 << 20);
    let client = server.connect();
    (&client).write_all(&text).unwrap();
    // Meanwhile the others are served, and nothing spins.
    serves_on(&server);
    client.shutdown(Shutdown::Write).unwrap();
    assert!(read_all(&client) == text);
    let after = server.vitals();
    assert!(after.peak < before + (160 << 20), "{before}, then {after:?}");
    serves_on(&server);
}
