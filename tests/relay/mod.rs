//! `serve --to`: each client is joined to a target.

use std::fmt::Display;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, recvmsg, sendmsg};
use serde_json::json;

use crate::run::{
    Folder, NOT_THERE, REFUSED, Running, Words, accept, ask, echoes, events_of, free_port,
    listener, pattern, read_all, read_to_reset, refused, reset, sockctl, take, until,
    until_refused, untimed,
};
use crate::serve::limits::{activated, inherited};

mod ends;
mod faults;
mod network;
mod secured;

/// A client is reset, perhaps before its connect(2) has returned.
fn resets_a_client(server: &Running) {
    match TcpStream::connect(("127.0.0.1", server.port())) {
        Ok(client) => assert_eq!(read_to_reset(client), b""),
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset),
    }
}

/// A relay on a free port, to this target.
#[track_caller]
pub fn relay(target: impl Display, words: impl Words) -> Running {
    let server = sockctl(format!("serve 0 --to {target}")).args(words).start();
    server.address();
    server
}

/// A client of the relay and what the target gets for it.
#[track_caller]
fn pair(relay: &Running, target: &TcpListener) -> (TcpStream, TcpStream) {
    let client = relay.connect();
    (client, accept(target))
}

// ---- targets -------------------------------------------------------------------------------

#[test]
fn tcp_and_unix_sockets_are_paired_in_any_way() {
    let folder = Folder::new();
    let path = folder.text("target");
    let tcp = sockctl("serve 0 --echo").start();
    let unix = sockctl(format!("serve unix:{path} --echo")).start();
    unix.address();
    let text = pattern(300_000);
    for target in [tcp.address(), format!("unix:{path}")] {
        assert!(ask(&relay(&target, "").connect(), &text) == text, "{target}");
        let path = folder.text("relay");
        let server = sockctl(format!("serve unix:{path} --to {target}")).start();
        server.address();
        assert!(ask(&UnixStream::connect(&path).unwrap(), &text) == text, "{target}");
        server.stops("", "");
    }
}

#[test]
fn the_first_target_that_answers_is_taken() {
    let (target, address) = listener();
    let server =
        relay("127.0.0.1:1", format!("--to unix:/nonexistent --to {address} --to 127.0.0.1:2"));
    let (client, end) = pair(&server, &target);
    (&end).write_all(b"here").unwrap();
    assert_eq!(take(&client, 4), b"here");
    server.stops("", "");
}

#[test]
fn where_none_answers_each_is_named_with_its_cause() {
    let server = relay("127.0.0.1:1", "--to unix:/nonexistent --to nosuch.invalid:80");
    let client = server.connect();
    let peer = client.local_addr().unwrap();
    assert_eq!(read_to_reset(&client), b"");
    server.stops(
        "",
        &format!(
            "sockctl: relay {peer}: no target: connect to 127.0.0.1:1: {REFUSED}; \
             connect to unix:/nonexistent: {NOT_THERE}; resolve nosuch.invalid: …\n"
        ),
    );
}

#[test]
fn a_target_that_is_no_address_is_refused_at_the_start() {
    refused(&[
        ("serve 0 --to 0", "--to '0': port 0 is for listening only; to dial, write one of 1–65535"),
        (
            "serve 0 --to tls:unix:x",
            "--to tls:unix:x: TLS over a UNIX socket has no name to check; add --to-tls-pin",
        ),
        ("serve 0 --to OPENSSL:x:443", "--to: 'OPENSSL:x:443': write tls:HOST:PORT"),
        ("serve 0 --to UNIX-CONNECT:/x", "--to: 'UNIX-CONNECT:/x': write unix:PATH"),
        ("serve 0 --to a:1,b:2", "--to: 'a:1,b:2': repeat --to for each target"),
        (
            "serve 0 --to udp:x:53",
            "--to: 'udp:x:53': write HOST:PORT; datagrams are relayed by sockctl udp-serve",
        ),
        ("serve 0 --to TLS://x", "--to 'TLS://x': address 'x': a port is missing; write x:PORT"),
        ("serve 0 --to tls:x", "--to 'tls:x': address 'x': a port is missing; write x:PORT"),
        ("serve 0 --to auth:127.0.0.1:1", "--to auth:HOST:PORT needs --to-key-file FILE"),
        ("serve 0 --to 1 --to-tls-ca x", "--to-tls-ca needs --to tls:HOST:PORT"),
        ("serve 0 --to 1 --to-key-file x", "--to-key-file needs --to auth:HOST:PORT"),
    ]);
}

#[test]
fn a_target_is_waited_for_while_it_starts() {
    let port = free_port();
    let server = relay(port, "--wait 20s --json");
    let client = server.connect();
    (&client).write_all(b"early").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    std::thread::sleep(Duration::from_millis(300)); // some tries
    let target = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let end = accept(&target);
    assert_eq!(read_all(&end), b"early");
    (&end).write_all(b"late").unwrap();
    drop(end);
    assert_eq!(read_all(&client), b"late");
    server.signal("TERM");
    let said = server.finish().gives(0, "");
    let relayed = events_of(&said, "relay");
    assert!(relayed[0]["attempts"].as_u64().unwrap() > 2, "{relayed:?}");
}

#[test]
fn a_target_is_not_waited_for_for_ever() {
    let server = relay("127.0.0.1:1", "--to 127.0.0.1:2 --wait 300ms --once");
    let began = Instant::now();
    resets_a_client(&server);
    assert!(began.elapsed() >= Duration::from_millis(300));
    let done = server.finish();
    assert_eq!(done.code, 4, "{}", done.stderr);
    // The causes are those of the last attempts, not that the time is over; each dial is an attempt.
    let causes =
        format!("connect to 127.0.0.1:1: {REFUSED}; connect to 127.0.0.1:2: {REFUSED}; still so ");
    let (_, tail) = done.stderr.split_once(&causes).unwrap_or_else(|| panic!("{}", done.stderr));
    let attempts = tail.strip_prefix("after 300ms, ").unwrap().split_once(' ').unwrap().0;
    let attempts: u32 = attempts.parse().unwrap();
    assert!(attempts >= 4 && attempts.is_multiple_of(2), "{}", done.stderr);
}

#[test]
fn many_clients_that_wait_cost_little_and_all_get_their_target() {
    let port = free_port();
    let server = relay(format!("localhost:{port} -4"), "--wait 60s");
    let before = server.vitals().descriptors;
    let clients: Vec<TcpStream> = (0..300).map(|_| server.connect()).collect();
    until("all are accepted", || server.vitals().descriptors >= before + clients.len());
    // They share a lookup: no thread is one of theirs alone.
    let threads = (0..50).map(|_| {
        std::thread::sleep(Duration::from_millis(5)); // what is measured
        server.vitals().threads
    });
    let most = threads.max().unwrap();
    assert!(most < 10, "{most} threads");
    let target = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let began = Instant::now();
    let ends: Vec<TcpStream> = clients.iter().map(|_| accept(&target)).collect();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    clients.into_iter().for_each(reset);
    drop(ends);
    // The pipes that a relay keeps are left.
    until("all are gone", || server.vitals().descriptors < before + 20);
    server.rests();
}

// ---- what a client is to the target --------------------------------------------------------

#[test]
fn a_relay_has_a_source_and_options() {
    let (target, address) = listener();
    let server = relay(&address, "-s 127.0.0.7 -o SO_KEEPALIVE=0 --trace");
    let (client, end) = pair(&server, &target);
    assert_eq!(end.peer_addr().unwrap().ip().to_string(), "127.0.0.7");
    drop((client, end));
    let wanted = "setsockopt(SOL_SOCKET, SO_KEEPALIVE, 0)";
    // The check at the start, the client's, the target's.
    until("both sides have it", || server.stderr_has(wanted).matches(wanted).count() == 3);
}

#[test]
fn a_header_names_the_client() {
    let (target, address) = listener();
    let server = relay(&address, "--send-proxy");
    let (client, end) = pair(&server, &target);
    let (from, to) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let header = format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
    (&client).write_all(b"x").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(String::from_utf8(read_all(&end)).unwrap(), header + "x");
}

#[test]
fn a_header_in_front_is_passed_on() {
    let (target, address) = listener();
    let server = relay(&address, "--accept-proxy 127.0.0.1 --send-proxy");
    let client = server.connect();
    (&client).write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\nx").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let got = String::from_utf8(read_all(accept(&target))).unwrap();
    assert!(got.starts_with("PROXY TCP4 192.0.2.1 ") && got.ends_with("\r\nx"), "{got}");
}

/// Urgent data and descriptors: the kernel drops what is not asked for.
#[test]
fn only_bytes_are_passed_on() {
    let folder = Folder::new();
    let (path, ours) = (folder.text("target"), folder.text("relay"));
    for words in ["", "--hex /dev/null"] {
        let (target, address) = listener();
        let server = relay(&address, words);
        let (client, end) = pair(&server, &target);
        (&client).write_all(b"before").unwrap();
        socket2::SockRef::from(&client).send_out_of_band(b"!").unwrap();
        (&client).write_all(b"after").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&end), b"beforeafter");

        let _ = std::fs::remove_file(&path);
        let target = UnixListener::bind(&path).unwrap();
        let server = sockctl(format!("serve unix:{ours} --to unix:{path} {words}")).start();
        server.address();
        let client = UnixStream::connect(&ours).unwrap();
        let (end, _) = target.accept().unwrap();
        sends_a_descriptor(&client, &end);
        let before = server.vitals().descriptors;
        for _ in 0..10 {
            sends_a_descriptor(&client, &end);
        }
        assert_eq!(server.vitals().descriptors, before);
    }
}

/// A descriptor that is sent with a byte: the byte arrives alone.
#[track_caller]
fn sends_a_descriptor(client: &UnixStream, end: &UnixStream) {
    let (fds, byte) = ([client.as_raw_fd()], [IoSlice::new(b"x")]);
    let beside = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(client.as_raw_fd(), &byte, &beside, MsgFlags::empty(), None).unwrap();
    let (mut space, mut byte) = (nix::cmsg_space!([std::os::fd::RawFd; 4]), [0]);
    let mut into = [IoSliceMut::new(&mut byte)];
    let fd = end.as_raw_fd();
    let got = recvmsg::<()>(fd, &mut into, Some(&mut space), MsgFlags::empty()).unwrap();
    assert_eq!((got.bytes, got.cmsgs().unwrap().count()), (1, 0));
}

// ---- limits --------------------------------------------------------------------------------

#[test]
fn targets_take_no_place() {
    let echo = sockctl("serve 0 --echo").start();
    let server = relay(&echo, "-m 2 --on-full reject --per-ip 2");
    let clients = [server.connect(), server.connect()];
    for client in &clients {
        echoes(client, b"x");
    }
    assert_eq!(read_all(server.connect()), b"");
    drop(clients);
    until("there is room", || ask_one(&server));
}

/// Whether a client's byte comes back.
fn ask_one(server: &Running) -> bool {
    let mut client = server.connect();
    client.write_all(b"x").is_ok() && client.read_exact(&mut [0]).is_ok()
}

#[test]
fn access_rules_hold_in_front() {
    let (target, address) = listener();
    let server = relay(&address, "--deny 127.0.0.1");
    assert!(!ask_one(&server));
    target.set_nonblocking(true).unwrap();
    assert!(target.accept().is_err(), "nothing was dialled");
}

#[test]
fn a_silent_pair_is_ended() {
    let (target, address) = listener();
    let server = relay(&address, "-i 400ms");
    let (client, end) = pair(&server, &target);
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(200)); // less than the limit
        (&end).write_all(b"x").unwrap();
        take(&client, 1);
    }
    assert_eq!(read_to_reset(&client), b"");
    assert_eq!(read_to_reset(&end), b"");
    server.stops("", "");
}

#[test]
fn a_pair_is_silent_where_neither_side_and_nothing_between_moves() {
    let (target, address) = listener();
    let server = relay(&address, "-i 500ms --delay 800ms");
    let (client, end) = pair(&server, &target);
    (&client).write_all(b"question").unwrap();
    assert_eq!(take(&end, 8), b"question");
    (&end).write_all(b"answer").unwrap();
    end.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&client), b"answer");
    assert_eq!(read_to_reset(&end), b"");
    server.stops("", "");

    let server = relay(&address, "-i 500ms --rate 10");
    let (client, end) = pair(&server, &target);
    (&end).write_all(b"fifteen bytes..").unwrap();
    drop(end);
    assert_eq!(read_all(&client), b"fifteen bytes..");
    server.stops("", "");
}

#[test]
fn once_ends_with_the_only_pair() {
    let (target, address) = listener();
    let server = relay(&address, "--once");
    let (client, end) = pair(&server, &target);
    until_refused(server.port());
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&end), b"");
    drop(end);
    assert_eq!(read_all(&client), b"");
    server.finish().gives(0, "");

    let server = relay("127.0.0.1:1", "--once");
    resets_a_client(&server);
    let said = server.finish().gives(3, "");
    assert!(said.contains("no target: "), "{said}");

    let server = relay(&address, "--once");
    let (client, end) = pair(&server, &target);
    reset(end);
    read_to_reset(&client);
    server.finish().gives(7, "");
}

#[test]
fn a_relay_that_stops_lets_pairs_drain() {
    let (target, address) = listener();
    let server = relay(&address, "--grace 20s");
    let (client, end) = pair(&server, &target);
    let (idle, idle_end) = pair(&server, &target);
    let text = pattern(20 << 20);
    std::thread::scope(|scope| {
        let sends = scope.spawn(|| {
            (&client).write_all(&text).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        let some = take(&end, 1 << 20);
        server.signal("TERM");
        assert!([some, read_all(&end)].concat() == text);
        sends.join().unwrap();
    });
    drop(end);
    assert_eq!(read_all(&client), b"");
    assert_eq!((read_all(&idle), read_all(&idle_end)), (Vec::new(), Vec::new()));
    server.finish().gives(0, "");
}

#[test]
fn a_relay_that_stops_waits_for_answers_and_for_the_other_direction() {
    let (target, address) = listener();
    let server = relay(&address, "--grace 20s");
    let (client, end) = pair(&server, &target);
    let (half, half_end) = pair(&server, &target);
    let (answered, answered_end) = pair(&server, &target);
    echo_through(&answered, &answered_end);
    (&client).write_all(b"question").unwrap();
    assert_eq!(take(&end, 8), b"question");
    half_end.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&half), b"");
    server.signal("TERM");
    assert_eq!((read_all(&answered), read_all(&answered_end)), (Vec::new(), Vec::new()));
    std::thread::sleep(Duration::from_millis(500)); // more than ends a silent connection
    (&end).write_all(b"answer").unwrap();
    assert_eq!(read_all(&client), b"answer");
    (&half).write_all(b"more").unwrap();
    drop(half);
    assert_eq!(read_all(&half_end), b"more");
    server.finish().gives(0, "");

    let server = relay(&address, "--grace 300ms");
    let (client, end) = pair(&server, &target);
    (&client).write_all(b"question").unwrap();
    assert_eq!(take(&end, 8), b"question");
    server.signal("TERM");
    // Its answer has not come: an end would say that there is none.
    assert_eq!((read_to_reset(&client), read_to_reset(&end)), (Vec::new(), Vec::new()));
    server.finish().gives(0, "");
}

#[test]
fn sockets_of_a_service_manager_are_relayed() {
    let echo = sockctl("serve 0 --echo").start();
    let socket = inherited(TcpListener::bind("127.0.0.1:0").unwrap());
    let server = activated(&[&socket], &format!("serve --systemd --to {echo}"));
    echoes(&server.connect(), b"hello");
    let address = socket.local_addr().unwrap();
    let server = activated(&[&socket], &format!("serve --systemd --to {address}"));
    let done = server.finish();
    done.refuses(format!("--to {address}: it is this server's own address: a loop"));
}

// ---- what is shown -------------------------------------------------------------------------

#[test]
fn the_talk_names_the_target() {
    let (target, address) = listener();
    let server = relay(&address, "-v");
    let (client, end) = pair(&server, &target);
    let said = server.stderr_has("] relayed to ");
    let local = end.peer_addr().unwrap();
    assert!(said.contains(&format!("[1] relayed to {address} from {local}\n")), "{said}");
    drop((client, end));

    let server = relay(&address, "--json");
    let (client, end) = pair(&server, &target);
    echo_through(&client, &end);
    let local = end.peer_addr().unwrap().to_string();
    drop((client, end));
    until("both are closed", || events_of(&server.stderr_has(""), "closed").len() == 2);
    let said = server.stderr_has("");
    let wanted =
        json!({"event": "relay", "id": 1, "target": address, "local": local, "attempts": 1});
    assert_eq!(events_of(&said, "relay"), [wanted]);
    for event in events_of(&said, "closed") {
        assert_eq!((&event["received"], &event["sent"]), (&json!(5), &json!(5)), "{event}");
    }
}

/// Five bytes each way.
fn echo_through(client: &TcpStream, end: &TcpStream) {
    for (mut from, to) in [(client, end), (end, client)] {
        from.write_all(b"12345").unwrap();
        assert_eq!(take(to, 5), b"12345");
    }
}

#[test]
fn dumps_show_the_clients_side() {
    let folder = Folder::new();
    let (target, address) = listener();
    let server = relay(&address, format!("--log {0}-%i --hex {0}", folder.text("dump")));
    let (client, end) = pair(&server, &target);
    (&client).write_all(b"ask\n").unwrap();
    take(&end, 4);
    (&end).write_all(b"answer\n").unwrap();
    take(&client, 7);
    drop((client, end));
    server.stops("", "");
    let log = std::fs::read_to_string(folder.at("dump-1")).unwrap();
    let log = untimed(&log, "99:99:99.999");
    assert_eq!(log, "[1] < ask\n[1] > answer\n");
    assert_eq!(folder.count(), 2);
    let hex = std::fs::read_to_string(folder.at("dump")).unwrap();
    assert_eq!(hex.lines().count(), 2, "{hex}");
}

#[test]
fn what_is_encrypted_already_gets_no_hint() {
    let (target, address) = listener();
    let server = relay(&address, "");
    let (client, end) = pair(&server, &target);
    let hello = hex::decode("16030100050100000100").unwrap();
    (&client).write_all(&hello).unwrap();
    assert_eq!(take(&end, 10), hello);
    (&end).write_all(&hello).unwrap();
    assert_eq!(take(&client, 10), hello);
    drop((client, end));
    server.stops("", "");
}

// ---- our own address -----------------------------------------------------------------------

#[test]
fn row_122_a_target_that_is_our_own_listener_is_refused() {
    let folder = Folder::new();
    let (path, port) = (folder.text("s"), free_port());
    let link = folder.text("link");
    std::os::unix::fs::symlink(folder.text("."), &link).unwrap();
    for (ours, target) in [
        (port.to_string(), port.to_string()),
        (format!("*:{port}"), format!("localhost:{port}")),
        (format!("0.0.0.0:{port}"), format!("127.0.0.9:{port}")),
        (format!("unix:{path}"), format!("unix:{path}")),
        (format!("unix:{path}"), format!("unix:{}", folder.text("./s"))),
        (format!("unix:{path}"), format!("unix:{link}/s")),
    ] {
        let done = sockctl(format!("serve {ours} --to {target}")).run();
        let target = if target == ours && !ours.contains(':') {
            format!("127.0.0.1:{port}")
        } else {
            target
        };
        done.refuses(format!("--to {target}: it is this server's own address: a loop"));
    }
}
