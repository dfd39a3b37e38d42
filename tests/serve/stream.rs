//! A peer on a stream may end, reset, flood, stall or vanish: every other peer gets all its bytes,
//! and the reason of each end is reported (rows 22 to 35).

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::serve;
use crate::run::{
    Folder, RESET, Running, TIMED_OUT, apart, ask, conversation, echoes, events_of, injected,
    listener, pattern, peer, python, read_all, reset, shell, take, until,
};

/// A new client is served, and nothing spins.
fn serves_on(server: &Running) {
    assert_eq!(ask(&server.connect(), b"on"), b"on");
    server.rests();
}

#[test]
fn row_23_a_peer_that_ends_first_gets_everything_that_is_still_to_be_sent() {
    let text = pattern(10 << 20);
    let mut server = serve("--once");
    let (client, address) = (server.connect(), server.address());
    client.shutdown(Shutdown::Write).unwrap();
    server.feed(text.clone());
    assert!(read_all(&client) == text);
    let said = conversation(&address, client.local_addr().unwrap(), "");
    drop(client);
    server.finish().is(0, "", &said);

    // The same from a server for many: a client that ended first still gets stdin to its end.
    let mut server = serve("");
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
        let mut server = serve("--once");
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
    let server = serve("--echo -v");
    let other = server.connect();
    echoes(&other, b"before");
    let client = server.connect();
    (&client).write_all(&pattern(1 << 20)).unwrap();
    (&client).read_exact(&mut [0; 1000]).unwrap();
    let peer = client.local_addr().unwrap();
    reset(client);
    server.stderr_has(&format!("[2] {peer} closed (reset; received "));
    echoes(&other, b"after");
    serves_on(&server);
}

#[test]
fn row_25_what_came_before_a_reset_is_written() {
    let server = serve("--once -v");
    let client = server.connect();
    let peer = client.local_addr().unwrap();
    (&client).write_all(b"the last words\n").unwrap();
    server.stdout_has("the last words\n");
    reset(client);
    let said = server.finish().gives(7, "the last words\n");
    let last = format!("sockctl: connection from {peer}: {RESET}\n");
    assert!(said.ends_with(&last), "{}", said);

    // Bytes and reset together, to a server that was not looking. No more than the window takes at
    // once: what is still unsent is lost with a reset.
    let server = serve("");
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
        let mut server = serve("--json");
        let client = server.connect();
        server.stderr_has("accepted");
        server.feed(pattern(16 << 20));
        (&client).read_exact(&mut [0; 1000]).unwrap();
        if ends_first {
            client.shutdown(Shutdown::Write).unwrap();
        }
        server.rests();
        reset(client);
        let said = server.stderr_has("closed");
        let closed = &events_of(&said, "closed")[0];
        assert_eq!((&closed["reason"], &closed["received"]), (&"reset".into(), &0.into()));
        let sent = closed["sent"].as_u64().unwrap();
        assert!((1000..16 << 20).contains(&sent), "{said}");
        server.rests();
    }
}

#[test]
fn row_25_a_reset_after_the_end_is_noticed_while_stdin_is_idle() {
    let server = serve("");
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
    // The peer is gone when the result of connect(2) or the peer's address is asked for.
    for calls in ["getsockopt:delay_enter=300000", "getpeername:delay_enter=300000"] {
        for (flag, stdout) in
            [("-n", "all it says"), ("--send-only", ""), ("--hex=-", "all it says")]
        {
            let peer = peer(|stream| {
                (&stream).write_all(b"all it says").unwrap();
                reset(stream);
            });
            let done = injected(calls, format!("connect {peer} {flag}")).run();
            let why = format!("sockctl: connection to {peer}: {RESET}");
            peer.done();
            assert_eq!(done.stderr.lines().last(), Some(&*why), "{calls} {flag}");
            assert_eq!((done.code, &*String::from_utf8_lossy(&done.stdout)), (7, stdout));
        }
    }
}

#[test]
fn row_26_a_peer_that_closes_is_let_go_within_a_moment_though_stdin_is_open() {
    let server = serve("--once");
    let (client, address) = (server.connect(), server.address());
    let began = Instant::now();
    let said = conversation(&address, client.local_addr().unwrap(), "");
    drop(client);
    server.ends().is(0, "", &said);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn row_28_a_line_without_an_end_is_exact_and_memory_stays_flat() {
    let server = serve("--discard");
    let before = server.vitals().peak;
    assert_eq!(ask(&server.connect(), vec![b'x'; 100 << 20]), b"");
    assert!(server.vitals().peak < before + (4 << 20));

    // Through echo, read while it is written.
    let server = serve("--echo");
    let before = server.vitals().peak;
    let client = server.connect();
    let text = pattern(100 << 20);
    assert!(ask(&client, &text) == text);
    assert!(server.vitals().peak < before + (64 << 20));
}

#[test]
fn row_29_every_byte_passes_as_it_is() {
    let mut hostile: Vec<u8> = (0..=255).collect();
    hostile.extend(b"\r\x00\xff\xfe\xc3\x28\x1b]0;title\x07\x1b[2J\r\r\n\xe2\x80");
    let server = serve("--echo");
    assert_eq!(ask(&server.connect(), &hostile), hostile);
    let mut server = serve("--once");
    let (client, address) = (server.connect(), server.address());
    server.send(&hostile).close();
    assert_eq!(ask(&client, &hostile), hostile);
    let said = conversation(&address, client.local_addr().unwrap(), "");
    server.finish().is(0, &hostile, &said);
}

#[test]
fn row_30_scanners_and_other_protocols_cost_a_line_at_most() {
    let server = serve("--echo");
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
    let hint = "sockctl: warning: connection from 127.0.0.1:…: the client speaks TLS; add --tls\n";
    server.stops("", &hint.repeat(2));
}

#[test]
fn row_31_short_writes_go_on_at_the_right_byte() {
    let server = serve("--echo -o SO_SNDBUF=4608 -o SO_RCVBUF=2304");
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
    let server = serve("--echo");
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
#[ignore = "needs strace"]
fn row_32_interrupted_calls_are_tried_again() {
    let text = pattern(3 << 20);
    let calls = "accept4,connect,recvfrom,sendto,sendmsg,splice,sendfile,write,poll,ppoll,\
                 epoll_wait,epoll_pwait:error=EINTR:when=2+2";
    for serve in ["--echo", "--once"] {
        let mut server = injected(calls, format!("serve 0 {serve}")).start();
        let client = server.connect();
        if serve == "--once" {
            server.feed(text.clone());
            client.shutdown(Shutdown::Write).unwrap();
            assert!(read_all(&client) == text);
        } else {
            assert!(ask(&client, &text) == text);
        }
    }
    let server = serve("--echo");
    let client = injected(calls, format!("connect {server}"));
    client.input(text.clone()).run().is(0, &text, "");
}

#[test]
#[ignore = "needs strace"]
fn row_32_an_interruption_does_not_restart_a_deadline() {
    let (_silent, address) = listener();
    let calls = "poll,ppoll,epoll_wait,epoll_pwait:error=EINTR:when=1+2";
    for (flag, code) in [("--deadline=1s", 4), ("-i1s", 4), ("--linger=1s", 0)] {
        let began = Instant::now();
        let client = injected(calls, format!("connect {address} {flag}"));
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
            let server = injected(calls, format!("serve 0 --echo {flags}")).start();
            let client = server.connect();
            echoes(&client, b"still");
            assert!(!server.stderr_has("").contains("panicked"));
            reset(client);
        }
    }
    let server = serve("--echo");
    for calls in ["shutdown:error=ENOTCONN", "getpeername,getsockname:error=ENOTCONN"] {
        let done = injected(calls, format!("connect {server} --linger 500ms")).input("hi").run();
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
        assert!(done.stderr.lines().count() <= 1, "{}", done.stderr);
    }
}

#[test]
#[ignore = "needs strace"]
fn a_send_that_finds_no_memory_is_tried_again() {
    for error in ["ENOBUFS", "ENOMEM"] {
        let calls = format!("sendto,sendmsg:error={error}:when=2+3");
        let server = injected(&calls, "serve 0 --echo").start();
        let client = server.connect();
        let text = pattern(1 << 20);
        assert!(ask(&client, &text) == text);
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
    let folder = Folder::new();
    let why = format!("sockctl: connection to 127.0.0.1:8520: {TIMED_OUT}\n");
    apart(line, "").within(&folder).run().is(0, "status 4\nreset\n", why);
}

#[test]
fn urgent_data_is_passed_over_and_is_no_end() {
    let folder = Folder::new();
    let to_file = r#"exec "$0" connect $1 >"$2" </dev/null"#;
    for line in [r#"exec "$0" connect $1 </dev/null"#, to_file] {
        let peer = peer(|stream| {
            assert_eq!(read_all(&stream), b"");
            (&stream).write_all(b"before ").unwrap();
            SockRef::from(&stream).send_out_of_band(b"!").unwrap();
            (&stream).write_all(b"after").unwrap();
        });
        let done = shell(line, [peer.to_string(), folder.text("got")]).run();
        peer.done();
        let file = std::fs::read(folder.at("got")).unwrap_or_default();
        done.is(0, if line == to_file { "" } else { "before after" }, "");
        assert_eq!(file, if line == to_file { &b"before after"[..] } else { b"" });
    }
}

#[test]
fn row_96_messages_in_the_error_queue_are_no_reset_and_nothing_spins() {
    // A message for each send; and for TCP none at all (ip(7)).
    for option in ["SO_TIMESTAMPING=tx_software|tx_ack|software", "IP_RECVERR=1"] {
        for handler in ["--echo", "-- cat", "--hex /dev/null -- cat"] {
            let server = serve(format!("-v -o {option} {handler}"));
            let client = server.connect();
            echoes(&client, "first");
            server.rests();
            // Many small sends: while some messages are discarded, more are queued.
            let text = pattern(8 << 20);
            let got = std::thread::scope(|scope| {
                scope.spawn(|| {
                    text.chunks(80).for_each(|piece| (&client).write_all(piece).unwrap());
                    client.shutdown(Shutdown::Write).unwrap();
                });
                read_all(&client)
            });
            assert!(got == text, "{option} {handler}");
            server.stderr_has(&format!("closed (eof; received {0}, sent {0} ", text.len() + 5));
            serves_on(&server);
        }
    }
}

#[test]
fn row_34_keepalive_is_on() {
    let server = serve("--echo --trace");
    server.stderr_has("setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)");
}

#[test]
fn row_34_a_client_that_has_ended_is_probed_while_our_side_is_open() {
    // After two hours as a rule; what -o has set is short enough.
    for (flags, probed) in [("", true), ("-o TCP_KEEPIDLE=20 -o TCP_KEEPINTVL=5", false)] {
        let mut server = serve(format!("--trace {flags}"));
        let client = server.connect();
        server.stderr_has("joined\n");
        server.send("one\n");
        assert_eq!(take(&client, 4), b"one\n");
        client.shutdown(Shutdown::Write).unwrap();
        server.stderr_has("recv(262144) -> 0\n");
        server.send("two\n");
        assert_eq!(take(&client, 4), b"two\n");
        until("all is traced", || server.stderr_has("").matches("sendall(4)\n").count() == 2);
        let said = server.stderr_has("");
        for option in ["TCP_KEEPIDLE, 30)", "TCP_KEEPINTVL, 10)"] {
            assert_eq!(said.contains(option), probed, "{said}");
        }
    }
}

#[test]
fn row_35_a_client_that_writes_everything_before_it_reads_gets_it_all() {
    let server = serve("--echo");
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
