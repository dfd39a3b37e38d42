//! `udp-serve --to`: each client has a socket of its own at the target, and gets the answers to it.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::run::{
    DEADLINE, Folder, REFUSED, Running, TIMED_OUT, apart, datagram, datagrams, datagrams_to,
    events_of, free_port, listening, python, refused, shell, sockctl, until,
};

/// A Python server of datagrams: each is answered with its sender's port and itself. Says where it is.
const TARGET: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
s.bind((sys.argv[1], 0))
print("listening on %s:%d" % (("[::1]" if ":" in sys.argv[1] else sys.argv[1]), s.getsockname()[1]), file=sys.stderr, flush=True)
while True:
    data, peer = s.recvfrom(70000)
    s.sendto(b"%d " % peer[1] + data if data else b"", peer)
"#;

/// A thousand clients, each with datagrams of its own: every answer is to its own, and each client has one
/// port at the target that no other has.
const CLIENTS: &str = r#"
import select, socket, sys
count, port = int(sys.argv[1]), int(sys.argv[2])
clients = []
for n in range(count):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("127.0.0.1", port))
    clients.append(s)
ports = [set() for _ in clients]
for turn in range(3):
    waiting = {}
    for n, s in enumerate(clients):
        waiting[s] = b"%d of %d" % (turn, n)
        s.send(waiting[s])
    numbers = {s: n for n, s in enumerate(clients)}
    tries = 0
    while waiting:
        p = select.poll()
        for s in waiting: p.register(s, select.POLLIN)
        ready = {fd for fd, _ in p.poll(1000)}
        if not ready: # a full buffer drops some
            tries += 1
            assert tries < 20, len(waiting)
            for s, text in waiting.items(): s.send(text)
        for s in list(waiting):
            if s.fileno() in ready:
                at, text = s.recv(70000).split(b" ", 1)
                assert text.endswith(b" of %d" % numbers[s]), (numbers[s], text)
                ports[numbers[s]].add(at)
                if text == waiting[s]: del waiting[s]
assert all(len(p) == 1 for p in ports), ports
print(len(set.union(*ports)))
"#;

/// A relay to this address.
fn relay(target: impl std::fmt::Display, words: &str) -> Running {
    sockctl(format!("udp-serve 127.0.0.1:0 --to {target} {words}")).start()
}

/// What a target on this socket hears next, and from where.
fn heard(target: &UdpSocket) -> (Vec<u8>, std::net::SocketAddr) {
    let mut buffer = vec![0; 70_000];
    let (length, from) = target.recv_from(&mut buffer).unwrap();
    buffer.truncate(length);
    (buffer, from)
}

/// A question of a client to this server, and the target's answer to it: the port that the target sees.
fn exchange(server: &Running, client: &UdpSocket, target: &UdpSocket) -> u16 {
    client.send_to(b"question", server.address()).unwrap();
    let (question, from) = heard(target);
    assert_eq!(question, b"question");
    target.send_to(b"answer", from).unwrap();
    assert_eq!(datagram(client), b"answer");
    from.port()
}

/// Whether a datagram waits in the socket of this port of 127.0.0.1, as proc(5) has it.
fn has_unread(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let local = format!("0100007F:{port:04X}");
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.any(|row| row[1] == local && !row[4].ends_with(":00000000"))
}

#[test]
fn a_thousand_clients_at_once_get_their_own_answers() {
    let (_target, to) = listening(TARGET, "127.0.0.1");
    let server = relay(to, "");
    let words = format!("1000 {}", server.port());
    python(CLIENTS, words).run().is(0, "1000\n", "");
    server.rests();
    server.stops("", "");
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    let target = datagrams();
    let server =
        sockctl("udp-serve *:0 --to").arg(target.local_addr().unwrap().to_string()).start();
    let client = UdpSocket::bind("0.0.0.0:0").unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut ports = Vec::new();
    for host in ["127.0.0.7", "127.0.0.1", "127.0.0.7"] {
        let asked = (host, server.port());
        client.send_to(b"question", asked).unwrap();
        let (_, from) = heard(&target);
        target.send_to(b"answer", from).unwrap();
        let mut buffer = [0; 10];
        let (_, peer) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(peer.to_string(), format!("{host}:{}", server.port()));
        ports.push(from.port());
    }
    // Each address of ours that it asks makes it another client.
    assert_eq!(ports[0], ports[2]);
    assert_ne!(ports[0], ports[1]);
    server.stops("", "");
}

#[test]
fn ipv6_and_ipv4_are_relayed_to_each_other() {
    for (listen, target) in [("[::1]:0", "127.0.0.1"), ("127.0.0.1:0", "::1"), ("*:0", "::1")] {
        let (_target, to) = listening(TARGET, target);
        let to = to.replace("127.0.0.1", "localhost");
        let server = sockctl(format!("udp-serve {listen} --to {to}")).start();
        let address = server.address().replace('*', "127.0.0.1");
        let done = sockctl(format!("udp-send {address} hello --reply")).run();
        let said = done.text();
        assert!(said.ends_with(" hello"), "{listen} {said}");
    }
}

#[test]
fn datagrams_of_every_size_pass_unchanged() {
    let target = datagrams();
    let server = relay(target.local_addr().unwrap(), "");
    let client = datagrams_to(server.port());
    for size in [0, 1, 1472, 9000, 65_507, 0] {
        let bytes: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
        client.send(&bytes).unwrap();
        let (got, from) = heard(&target);
        assert_eq!(got, bytes);
        target.send_to(&bytes, from).unwrap();
        assert_eq!(datagram(&client), bytes);
    }
    // Many small ones both ways, as one message where the kernel merges them.
    for n in 0..200_u32 {
        client.send(&n.to_be_bytes()).unwrap();
    }
    for n in 0..200_u32 {
        let (got, from) = heard(&target);
        assert_eq!(got, n.to_be_bytes());
        target.send_to(&got, from).unwrap();
    }
    for n in 0..200_u32 {
        assert_eq!(datagram(&client), n.to_be_bytes());
    }
    server.stops("", "");
}

#[test]
fn unix_sockets_are_both_ends() {
    let folder = Folder::new();
    let (log, inner) = (folder.text("log"), folder.text("inner"));
    let target = UnixDatagram::bind(&log).unwrap();
    target.set_read_timeout(Some(DEADLINE)).unwrap();
    let server = relay(format!("unix:{log}"), "");
    let client = datagrams_to(server.port());
    // More than the queue of a UNIX socket holds: they wait, in order.
    for n in 0..100_u8 {
        client.send(&[n]).unwrap();
    }
    for n in 0..100_u8 {
        let mut buffer = [0; 10];
        let (length, from) = target.recv_from(&mut buffer).unwrap();
        assert_eq!(buffer[..length], [n]);
        if n == 99 {
            target.send_to_addr(b"answer", &from).unwrap();
        }
    }
    assert_eq!(datagram(&client), b"answer");
    server.stops("", "");

    let target = datagrams();
    let to = target.local_addr().unwrap();
    let server = sockctl(format!("udp-serve unix:{inner} --to {to}")).start();
    server.stderr_has("listening on");
    let client = UnixDatagram::bind(folder.text("client")).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.send_to(b"question", &inner).unwrap();
    let (_, from) = heard(&target);
    target.send_to(b"answer", from).unwrap();
    assert_eq!(datagram(&client), b"answer");
    server.stops("", "");
}

#[test]
fn a_unix_target_that_takes_nothing_costs_datagrams_and_a_line() {
    let folder = Folder::new();
    let stuck = folder.text("stuck");
    let target = UnixDatagram::bind(&stuck).unwrap();
    let server = relay(format!("unix:{stuck}"), "");
    let client = datagrams_to(server.port());
    client.send(b"first").unwrap();
    target.set_read_timeout(Some(DEADLINE)).unwrap();
    target.recv(&mut [0; 10]).unwrap();
    let before = server.vitals().memory;
    let bytes = vec![0; 60_000];
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        client.send(&bytes).unwrap();
    }
    server.stderr_has("connection timed out (ETIMEDOUT 110); it takes no more datagrams\n");
    server.rests();
    let grown = server.vitals().memory.saturating_sub(before);
    assert!(grown < 4 << 20, "{grown}");
    // It takes some again.
    until("the target hears a new one", || {
        client.send(b"again").unwrap();
        datagram(&target).len() == 5
    });
}

#[test]
fn a_refusing_target_is_reported_and_its_client_is_kept() {
    let closed = datagrams();
    let to = closed.local_addr().unwrap();
    drop(closed);
    let server = relay(to, "--json -i 60s");
    let client = datagrams_to(server.port());
    client.send(b"lost").unwrap();
    let text = server.stderr_has("ECONNREFUSED");
    let error = &events_of(&text, "error")[0];
    assert_eq!((&error["op"], &error["target"]), (&json!("send"), &json!(to.to_string())));
    // It is there now: the same client, the same socket.
    let target = UdpSocket::bind(to).unwrap();
    target.set_read_timeout(Some(DEADLINE)).unwrap();
    let port = exchange(&server, &client, &target);
    assert_eq!(exchange(&server, &client, &target), port);
    server.signal("TERM");
    let done = server.finish();
    assert_eq!(events_of(&done.stderr, "accepted").len(), 1, "{}", done.stderr);
    assert_eq!(done.code, 0);
}

#[test]
fn an_idle_client_is_let_go_and_comes_back_from_another_port() {
    let target = datagrams();
    let server = relay(target.local_addr().unwrap(), "-i 3s -v");
    let client = datagrams();
    let first = exchange(&server, &client, &target);
    // It is kept while it talks.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(3500) {
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(exchange(&server, &client, &target), first);
    }
    let text = server.stderr_has(" s)\n");
    let peer = client.local_addr().unwrap();
    let address = server.address();
    let to = target.local_addr().unwrap();
    assert!(text.contains(&format!("[1] {peer} accepted on {address}\n")), "{text}");
    assert!(text.contains(&format!("[1] relayed to {to} from 127.0.0.1:{first}\n")), "{text}");
    assert!(text.contains(&format!("[1] {peer} closed (idle; received ")), "{text}");
    let descriptors = server.vitals().descriptors;
    let _ = exchange(&server, &client, &target);
    until("its socket is closed", || server.vitals().descriptors == descriptors);
    server.rests();
}

#[test]
fn max_conns_bounds_clients_and_an_end_makes_room() {
    let target = datagrams();
    let server = relay(target.local_addr().unwrap(), "-m 2 -i 500ms");
    let clients = [datagrams(), datagrams(), datagrams()];
    let _ = exchange(&server, &clients[0], &target);
    let _ = exchange(&server, &clients[1], &target);
    clients[2].send_to(b"dropped", server.address()).unwrap();
    let who = clients[2].local_addr().unwrap();
    let dropped = format!("sockctl: relay {who}: too many clients (-m 2): datagram dropped\n");
    server.stderr_has(&dropped);
    target.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    until("there is room", || {
        clients[2].send_to(b"question", server.address()).unwrap();
        target.recv_from(&mut [0; 10]).is_ok()
    });
}

#[test]
fn loops_are_refused() {
    let own = "it is this server's own address: a loop";
    for (listen, to) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("*", "127.0.0.9"),
        ("*", "[::1]"),
        ("[::]", "[::1]"),
        ("0.0.0.0", "localhost"),
    ] {
        let port = free_port();
        let line = format!("udp-serve {listen}:{port} --to {to}:{port}");
        sockctl(line).run().refuses(format!("--to {to}:{port}: {own}"));
    }
    let folder = Folder::new();
    let path = folder.text("own");
    sockctl(format!("udp-serve unix:{path} --to unix:{path}"))
        .run()
        .refuses(format!("--to unix:{path}: {own}"));
    // Two relays that are each other's target: it ends where one is full.
    let (one, other) = (free_port(), free_port());
    let start = |from, to| sockctl(format!("udp-serve {from} --to {to} -m 20")).start();
    let servers = [start(one, other), start(other, one)];
    let _ = servers.each_ref().map(|server| server.stderr_has("listening"));
    datagrams_to(one).send(b"round").unwrap();
    servers[0].stderr_has("too many clients (-m 20): datagram dropped");
    servers.iter().for_each(Running::rests);
}

#[test]
fn what_a_relay_of_datagrams_cannot_do_is_refused() {
    refused(&[
        (
            "udp-serve 0 --to 1 --to 2",
            "--to may be given once: datagrams have no connection to tell which target is up",
        ),
        (
            "udp-serve 0 --to tls:localhost:1",
            "--to tls:localhost:1: datagrams are passed on as they are; a stream has it with serve --to",
        ),
        ("udp-serve 0 -4 --to [::1]:1", "-4 excludes the IPv6 address [::1]"),
        (
            "udp-serve 0 --to 127.0.0.1:0",
            "--to '127.0.0.1:0': port 0 is for listening only; to dial, write one of 1–65535",
        ),
    ]);
}

#[test]
fn a_name_that_is_not_found_costs_its_datagrams_alone() {
    let server = relay("nosuch.invalid:53", "-w 30s");
    let client = datagrams_to(server.port());
    client.send(b"lost").unwrap();
    server.stderr_has("sockctl: resolve nosuch.invalid: ");
    server.rests();
    server.signal("TERM");
    assert_eq!(server.finish().code, 0);
}

/// A relay to a target that is looked up.
fn looked_up(target: &UdpSocket, words: &str) -> Running {
    relay(format!("localhost:{} -4", target.local_addr().unwrap().port()), words)
}

#[test]
fn datagrams_that_come_while_the_target_is_looked_up_stay_in_order() {
    // Far fewer than a socket has room for: none is dropped where the target is read late.
    const COUNT: u8 = 100;
    let target = datagrams();
    let server = looked_up(&target, "");
    for _ in 0..10 {
        // They are in the socket when the lookup begins, and are read while it ends.
        let client = datagrams_to(server.port());
        server.signal("STOP");
        for n in 0..COUNT {
            client.send(&[n]).unwrap();
        }
        server.signal("CONT");
        let bytes: Vec<u8> = (0..COUNT).map(|_| heard(&target).0[0]).collect();
        assert_eq!(bytes, (0..COUNT).collect::<Vec<u8>>());
    }
    server.stops("", "");
}

#[test]
fn max_conns_bounds_clients_that_wait_for_a_lookup() {
    let target = datagrams();
    let server = looked_up(&target, "-m 2 -v");
    let clients: Vec<UdpSocket> = (0..20).map(|_| datagrams_to(server.port())).collect();
    server.signal("STOP");
    for client in &clients {
        client.send(b"question").unwrap();
    }
    server.signal("CONT");
    let text = server.stderr_has("too many clients (-m 2): datagram dropped\n");
    assert_eq!(text.matches(" relayed to ").count(), 2, "{text}");
    server.rests();
    server.signal("TERM");
    let done = server.finish();
    assert_eq!(done.stderr.matches(" relayed to ").count(), 2, "{}", done.stderr);
}

/// Runs the relay `argv[1:]` to `target.example` where the resolver answers each question once for each of
/// two addresses, and then no more: the first client gets the one, the second the other, the third none,
/// and meanwhile the first is served.
const RESOLVER: &str = r#"
import socket, subprocess, sys, threading
resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
resolver.bind(("127.0.0.1", 53))
with open("resolv.conf", "w") as conf:
    conf.write("nameserver 127.0.0.1\n")
subprocess.check_call(["mount", "--bind", "resolv.conf", "/etc/resolv.conf"])
addresses = [b"\x7f\0\0\x01", b"\x7f\0\0\x02"]
asked = threading.Semaphore(0)
def resolve():
    while True:
        query, peer = resolver.recvfrom(512)
        name = query[12:query.index(b"\0", 12) + 5]
        is_a = name[-4:-2] == b"\0\x01"
        if not addresses:
            asked.release()
            continue
        answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04" + addresses[0] if is_a else b""
        head = query[:2] + b"\x81\x80\0\x01" + (b"\0\x01" if is_a else b"\0\0") + b"\0\0\0\0"
        resolver.sendto(head + name + answer, peer)
threading.Thread(target=resolve, daemon=True).start()
targets = []
for address in "127.0.0.1", "127.0.0.2":
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 9))
    s.settimeout(20)
    targets.append(s)
relay = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE, text=True)
relay.stderr.readline()
def client():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("127.0.0.1", 8))
    s.settimeout(20)
    return s
def exchange(s, target):
    s.send(b"ping")
    target.sendto(b"pong", target.recvfrom(100)[1])
    assert s.recv(100) == b"pong"
first, second, third = client(), client(), client()
exchange(first, targets[0])
addresses.pop(0)
exchange(second, targets[1])
addresses.pop(0)
third.send(b"lost")
asked.acquire()
for _ in range(10):
    exchange(first, targets[0])
    exchange(second, targets[1])
print(relay.stderr.readline(), end="")
exchange(first, targets[0])
relay.terminate()
print(relay.wait(20), relay.stderr.read())
"#;

#[test]
#[ignore = "needs unshare, mount, iproute2 and root"]
fn a_name_is_looked_up_for_each_new_client_and_holds_up_no_other() {
    let folder = Folder::new();
    let relay = r#""$0" udp-serve 127.0.0.1:8 --to target.example:9 -w 1"#;
    let line = format!(r#"ip link set lo up; exec python3 -c "$1" {relay}"#);
    let done = apart(&line, [RESOLVER]).within(&folder).run();
    done.is(0, format!("sockctl: resolve target.example: {TIMED_OUT}\n0 \n"), "");
}

#[test]
#[ignore = "needs unshare, mount, iproute2 and root"]
fn an_address_of_a_name_that_refuses_makes_way_for_the_next() {
    let folder = Folder::new();
    let line = r#"printf '::1 both\n127.0.0.1 both\n' >hosts; mount --bind hosts /etc/hosts
        "$0" udp-serve 127.0.0.1:9 --reply pong --port-file target 2>/dev/null & target=$!
        "$0" udp-serve 127.0.0.1:8 --to both:9 -v --port-file relay & relay=$!
        until [ -s relay ] && [ -s target ]; do sleep 0.02; done
        "$0" udp-send 127.0.0.1:8 ping --reply
        kill $target; wait $target
        "$0" udp-send 127.0.0.1:8 ping
        sleep 0.3
        kill $relay; wait $relay"#;
    let done = apart(line, "").within(&folder).run();
    assert_eq!((done.code, &done.stdout[..]), (0, &b"pong"[..]), "{}", done.stderr);
    assert!(done.stderr.contains("[1] relayed to both:9 from [::1]:"), "{}", done.stderr);
    assert!(done.stderr.contains("[1] relayed to both:9 from 127.0.0.1:"), "{}", done.stderr);
    let failure = format!("sockctl: send to both:9: [::1]:9: {REFUSED}, 127.0.0.1:9: {REFUSED}\n");
    assert!(done.stderr.contains(&failure), "{}", done.stderr);
}

#[test]
fn a_lack_of_descriptors_costs_new_clients_alone() {
    let target = datagrams();
    let to = target.local_addr().unwrap();
    let line = format!(r#"ulimit -n 20; exec "$0" udp-serve 127.0.0.1:0 --to {to} -i 1s"#);
    let server = shell(&line, "").start();
    let first = datagrams();
    let port = exchange(&server, &first, &target);
    let others: Vec<UdpSocket> = (0..20).map(|_| datagrams_to(server.port())).collect();
    for other in &others {
        other.send(b"x").unwrap();
    }
    server.stderr_has("(EMFILE 24)\n");
    let mut buffer = [0; 10];
    target.set_nonblocking(true).unwrap();
    while target.recv_from(&mut buffer).is_ok() {}
    target.set_nonblocking(false).unwrap();
    assert_eq!(exchange(&server, &first, &target), port);
    server.rests();
    // Those that got one are let go after a while.
    target.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let late = datagrams();
    until("there is room", || {
        late.send_to(b"late", server.address()).unwrap();
        target.recv_from(&mut buffer).is_ok()
    });
}

#[test]
fn what_is_under_way_at_a_stop_is_answered() {
    for (words, signals) in [("", true), ("--count 1", false)] {
        let target = datagrams();
        let server = relay(target.local_addr().unwrap(), words);
        let client = datagrams_to(server.port());
        client.send(b"question").unwrap();
        let (_, from) = heard(&target);
        if signals {
            server.signal("TERM");
            until("it reads no more", || {
                client.send(b"late").unwrap();
                has_unread(server.port())
            });
        }
        target.send_to(b"answer", from).unwrap();
        assert_eq!(datagram(&client), b"answer");
        assert_eq!(server.finish().code, 0);
    }
    // None is under way: it ends at once; else a second signal ends it.
    let target = datagrams();
    let to = target.local_addr().unwrap();
    let server = relay(to, "");
    let client = datagrams();
    for _ in 0..3 {
        client.send_to(b"unanswered", server.address()).unwrap();
        let _ = heard(&target);
    }
    let _ = exchange(&server, &client, &target);
    let began = Instant::now();
    server.stops("", "");
    assert!(began.elapsed() < Duration::from_secs(3));
    let server = relay(to, "");
    client.send_to(b"question", server.address()).unwrap();
    let _ = heard(&target);
    server.signal("TERM");
    server.signal("TERM");
    assert_eq!(server.finish().code, 0);
}

#[test]
fn events_dumps_and_limits_are_those_of_a_relay() {
    let folder = Folder::new();
    let target = datagrams();
    let to = target.local_addr().unwrap();
    let (log, hex) = (folder.text("log-%i"), folder.text("hex"));
    let words = format!("--json --log {log} --hex {hex} --deny 127.0.0.2 -s 127.0.0.3");
    let server = relay(to, &words);
    let clients = [datagrams(), datagrams()];
    let ports = clients.each_ref().map(|client| exchange(&server, client, &target));
    let denied = UdpSocket::bind("127.0.0.2:0").unwrap();
    denied.send_to(b"denied", server.address()).unwrap();
    let text = server.stderr_has("access");
    let relays = events_of(&text, "relay");
    for (n, port) in ports.iter().enumerate() {
        assert_eq!(relays[n]["id"], n + 1);
        assert_eq!(relays[n]["target"], to.to_string());
        assert_eq!(relays[n]["local"], format!("127.0.0.3:{port}"));
        assert_eq!(relays[n]["attempts"], 1);
    }
    let address = server.address();
    server.signal("TERM");
    let done = server.finish();
    let closed = events_of(&done.stderr, "closed");
    for (n, client) in clients.iter().enumerate() {
        let end = closed.iter().find(|end| end["id"] == n + 1).unwrap();
        assert_eq!(end["peer"], client.local_addr().unwrap().to_string());
        assert_eq!((&end["received"], &end["sent"]), (&json!(8), &json!(6)));
        assert_eq!(end["reason"], "shutdown");
        let log = std::fs::read_to_string(folder.at(&format!("log-{}", n + 1))).unwrap();
        let lines: Vec<&str> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(lines, [format!("[{}] < question", n + 1), format!("[{}] > answer", n + 1)]);
    }
    let accepted = events_of(&done.stderr, "accepted");
    assert_eq!(accepted[0]["local"], address);
    let hex = std::fs::read_to_string(hex).unwrap();
    assert!(hex.contains("[1] < 0.") && hex.contains("[2] > 0."), "{hex}");
}

#[test]
fn ten_thousand_clients_take_little_memory() {
    let target = datagrams();
    socket2::SockRef::from(&target).set_recv_buffer_size(64 << 20).unwrap();
    let server = relay(target.local_addr().unwrap(), "-m 10000");
    let port = server.port();
    let most = server.vitals();
    let before = most.memory;
    let room =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap().1;
    let count = usize::try_from(room.saturating_sub(200)).unwrap().min(10_000);
    // One client at a time is enough: the relay keeps it.
    for n in 0..count {
        let client = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        client.send_to(b"x", ("127.0.0.1", port)).unwrap();
        if n % 50 == 49 {
            for _ in 0..50 {
                let _ = heard(&target);
            }
        }
    }
    let grown = server.vitals().memory.saturating_sub(before);
    let each = grown / count;
    assert!(each < 2048, "{each} bytes each");
    server.rests();
}
