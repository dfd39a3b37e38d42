//! Servers and managers from Debian packages, each on a free port with its own configuration.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::tls::{listens, nginx};
use crate::run::{
    BINARY, Folder, Program, Running, events_of, free_port, pattern, program, python, shell,
    sockctl, until,
};

/// Waits until a port is open.
#[track_caller]
fn is_up(port: u16) {
    until("the server is up", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// git with these words in a folder.
pub fn git(folder: &Path, words: &str) -> Program {
    let line =
        format!("-c user.name=t -c user.email=t@localhost -c init.defaultBranch=main {words}");
    program("git", line).within(folder)
}

/// git's daemon, which serves the repository `served` of a folder, and its port. In it is the file
/// `big` with these bytes. It may be pushed to.
pub fn git_daemon(folder: &Path, bytes: &[u8]) -> (Running, u16) {
    let served = folder.join("served");
    git(folder, "init -q served").run().is(0, "", "");
    std::fs::write(served.join("big"), bytes).unwrap();
    git(&served, "add big").run().is(0, "", "");
    git(&served, "commit -qm big").run().is(0, "", "");
    let port = free_port();
    // The program itself: `git daemon` would only start it, and be ended in its place.
    let place = git(folder, "--exec-path").run().output();
    let words = "--reuseaddr --export-all --enable=receive-pack --listen=127.0.0.1";
    let daemon = program(&format!("{}/git-daemon", place.trim()), words)
        .args(format!("--port={port} --base-path={}", folder.display()));
    (listens(daemon, port), port)
}

/// A `PostgreSQL` with these words more, on this port and on `.s.PGSQL.PORT` in its folder; all in that
/// folder becomes its user's, as which it runs.
pub fn postgres(folder: &Folder, port: u16, words: &str) -> Running {
    let line = r#"
set -e
as() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
if [ "$(id -u)" = 0 ]; then chmod 755 "$1"; chown -R postgres "$1"; fi
as "$bin/initdb" -D "$1/db" -U postgres -A trust -N >"$1/log"
folder=$1 port=$2
shift 2
set -- "$bin/postgres" -D "$folder/db" -p "$port" -k "$folder" -c listen_addresses=127.0.0.1 "$@"
[ "$(id -u)" != 0 ] || set -- setpriv --reuid=postgres --clear-groups "$@"
exec "$@"
"#;
    let server = shell(line, [&folder.text(""), &port.to_string()]).args(words).start();
    server.stderr_has("ready to accept connections");
    server
}

/// `sockctl connect` as a program that takes a host and a port.
fn proxy(folder: &Path) -> PathBuf {
    let path = folder.join("proxy");
    if !path.exists() {
        let script = format!("#!/bin/sh\nexec {BINARY} connect \"$@\"\n");
        // Written by another process: no child of ours holds it open when it is started.
        let cat = program("bash", "-c 'cat >proxy && chmod +x proxy'").input(script);
        cat.within(folder).run().is(0, "", "");
    }
    path
}

#[test]
#[ignore = "needs git"]
fn git_fetches_from_its_daemon_through_connect() {
    let folder = Folder::new();
    let folder = folder.path();
    let bytes = pattern(3_000_000);
    let (_daemon, port) = git_daemon(folder, &bytes);
    let clone = git(folder, &format!("clone -q git://127.0.0.1:{port}/served cloned"));
    clone.env("GIT_PROXY_COMMAND", proxy(folder)).run().is(0, "", "");
    assert_eq!(std::fs::read(folder.join("cloned/big")).unwrap(), bytes);
}

#[test]
#[ignore = "needs systemd"]
fn systemd_hands_its_socket_over() {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let manager = program("systemd-socket-activate", format!("-l {address}"))
        .args([BINARY, "serve", "--systemd", "--echo"])
        .start();
    // The manager listens; the first connection starts the server.
    manager.stderr_has("Listening on");
    let ask = || sockctl(format!("connect {address}")).input("hello").run();
    ask().is(0, "hello", "");
    manager.stderr_has(&format!("listening on {address}\n"));
    ask().is(0, "hello", "");
    manager.signal("TERM");
    assert_eq!(manager.finish().code, 0);
}

/// dnsmasq on a free port, which knows that sockctl.test is 192.0.2.42, and clientN.test is, for N up to
/// 1,000, 10.0.N/256.N%256.
fn dnsmasq(folder: &Folder) -> (Running, u16) {
    let port = free_port();
    let hosts = (0..1000).map(|n| format!("10.0.{}.{} client{n}.test\n", n / 256, n % 256));
    let hosts = folder.file("hosts", hosts.collect::<String>());
    let server = program("dnsmasq", "--no-daemon --no-resolv --no-hosts --conf-file=/dev/null")
        .args("--listen-address=127.0.0.1 --bind-interfaces --user=root --pid-file=")
        .args([format!("--port={port}"), "--address=/sockctl.test/192.0.2.42".to_owned()])
        .arg(format!("--addn-hosts={hosts}"))
        .start();
    server.stderr_has("started");
    (server, port)
}

#[test]
#[ignore = "needs dnsmasq-base"]
fn a_name_server_answers_a_datagram() {
    let folder = Folder::new();
    let (_server, port) = dnsmasq(&folder);
    let relay = sockctl(format!("udp-serve 127.0.0.1:0 --to {port}")).start();
    // RFC 1035, section 4.1: a query for the A record of sockctl.test.
    let query = "4711 0100 0001 0000 0000 0000 07 736f636b63746c 04 74657374 00 0001 0001";
    for port in [port, relay.port()] {
        let done = sockctl(["udp-send", &format!("127.0.0.1:{port}"), "--data-hex", query])
            .args("--reply --retries 3")
            .run();
        assert_eq!((done.code, done.stderr.as_str()), (0, ""));
        assert_eq!(&done.stdout[..2], b"\x47\x11");
        assert!(done.stdout.ends_with(&[192, 0, 2, 42]), "{:?}", done.stdout);
    }
}

/// A thousand clients at once, each of which asks for a name of its own, again until it has its answer.
const RESOLVE: &str = r#"
import select, socket, struct, sys
port = int(sys.argv[1])
waiting = {}
for n in range(1000):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("127.0.0.1", port))
    name = b"client%d" % n
    query = struct.pack(">6H", n, 0x0100, 1, 0, 0, 0) + bytes([len(name)]) + name + b"\x04test\0\0\x01\0\x01"
    waiting[s] = (n, query)
for turn in range(60):
    for s, (n, query) in waiting.items(): s.send(query)
    while waiting:
        p = select.poll()
        for s in waiting: p.register(s, select.POLLIN)
        ready = {fd for fd, _ in p.poll(500)}
        if not ready: break
        for s in [s for s in waiting if s.fileno() in ready]:
            n, _ = waiting.pop(s)
            answer = s.recv(512)
            assert struct.unpack(">H", answer[:2])[0] == n, (n, answer)
            assert answer[-4:] == bytes([10, 0, n // 256, n % 256]), (n, answer)
print(len(waiting))
"#;

#[test]
#[ignore = "needs dnsmasq-base"]
fn a_thousand_clients_ask_a_name_server_behind_a_relay() {
    let folder = Folder::new();
    let (_server, port) = dnsmasq(&folder);
    let relay = sockctl(format!("udp-serve 127.0.0.1:0 --to 127.0.0.1:{port} --json")).start();
    python(RESOLVE, relay.port().to_string()).run().is(0, "0\n", "");
    relay.signal("TERM");
    let done = relay.finish();
    assert_eq!(done.code, 0);
    assert_eq!(events_of(&done.stderr, "error"), [] as [serde_json::Value; 0]);
    let closed = events_of(&done.stderr, "closed");
    assert_eq!(closed.len(), 1000);
    assert!(
        closed
            .iter()
            .all(|end| end["received"].as_u64() > Some(0) && end["sent"].as_u64() > Some(0))
    );
}

#[test]
#[ignore = "needs ucspi-tcp"]
fn tcpserver_is_talked_to() {
    let port = free_port();
    let _server = program("tcpserver", format!("-q -H -R -l0 127.0.0.1 {port} cat")).start();
    is_up(port);
    let bytes = pattern(10 << 20);
    sockctl(format!("connect {port}")).input(&bytes[..]).run().is(0, bytes, "");
}

/// The options that differ from a fresh socket's on what listens at a port.
fn changed(port: impl Display) -> String {
    sockctl(format!("opts --port {port} --changed")).run().output()
}

/// What `opts` finds of a server at this port.
fn is_seen(server: &Running, command: &str, port: u16) {
    let shown = changed(port);
    assert!(shown.contains(&format!("  {command}  ")), "{shown}");
    for option in ["SO_REUSEADDR ", "SO_ACCEPTCONN "] {
        let is_there = shown.lines().any(|line| line.starts_with(option));
        assert!(is_there, "{option}: {shown}");
    }
    let listed = sockctl(format!("opts --pid {}", server.id())).run().output();
    let local = format!("127.0.0.1:{port}");
    let is_there = |line: &str| line.contains(" LISTEN ") && line.contains(&local);
    assert!(listed.lines().any(is_there), "{listed}");
}

#[test]
#[ignore = "needs redis-server"]
fn opts_sees_what_redis_set() {
    let port = free_port();
    let folder = Folder::new();
    let server = program("redis-server", format!("--port {port} --bind 127.0.0.1 --save ''"))
        .args(["--dir", &folder.path().display().to_string()])
        .start();
    is_up(port);
    is_seen(&server, "redis-server", port);
    // A client's connection: redis turns Nagle's algorithm off.
    let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    until("redis has accepted", || {
        let all = sockctl(format!("opts --pid {} --changed", server.id())).run().output();
        all.contains("ESTABLISHED") && all.lines().any(|line| line.starts_with("TCP_NODELAY "))
    });
    drop(client);
}

#[test]
#[ignore = "needs nginx-light"]
fn opts_sees_what_nginx_set() {
    let port = free_port();
    let folder = Folder::new();
    let site = format!("listen 127.0.0.1:{port} so_keepalive=on rcvbuf=20000;");
    let server = nginx(&folder, port, &site);
    is_seen(&server, "nginx", port);
    let shown = changed(port);
    assert!(
        shown.lines().any(|line| line.starts_with("SO_KEEPALIVE ") && line.contains(" 1 ")),
        "{shown}"
    );
    assert!(
        shown.lines().any(|line| line.starts_with("SO_RCVBUF ") && line.contains(" 40000 ")),
        "{shown}"
    );
}

/// haproxy on a free port, in front of a server that this `server` line of its configuration names.
pub fn haproxy(server: &str) -> (Running, Folder, u16) {
    let rest = format!("default_backend b\nbackend b\n server s {server}");
    haproxy_with("tcp", "", &rest)
}

/// haproxy on a free port, that answers HTTP with its client's address, which a PROXY header names.
pub fn haproxy_that_names_clients() -> (Running, Folder, u16) {
    let rest = "http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port]\\n\"";
    haproxy_with("http", "accept-proxy", rest)
}

fn haproxy_with(mode: &str, bind: &str, rest: &str) -> (Running, Folder, u16) {
    let (port, folder) = (free_port(), Folder::new());
    let text = format!(
        "defaults\n mode {mode}\n timeout client 1m\n timeout server 1m\n timeout connect 5s\n\
         frontend f\n bind 127.0.0.1:{port} {bind}\n {rest}\n"
    );
    let proxy = program("haproxy", ["-db", "-f", &folder.file("conf", text)]);
    (listens(proxy, port), folder, port)
}

#[test]
#[ignore = "needs haproxy"]
fn haproxy_in_front_passes_the_address_of_its_client() {
    for version in ["send-proxy", "send-proxy-v2"] {
        let server = sockctl("serve 0 --echo -v --accept-proxy 127.0.0.1").start();
        let (_proxy, _folder, port) = haproxy(&format!("127.0.0.1:{} {version}", server.port()));
        let client = ["connect", &port.to_string(), "-s", "127.0.0.3", "--tcp-info", "-v"];
        let done = sockctl(client).input("through the proxy").run().gives(0, "through the proxy");
        let (_, from) = done.split_once(" from ").unwrap();
        let from = from.lines().next().unwrap();
        assert!(from.starts_with("127.0.0.3:"), "{}", done);
        server.stderr_has(&format!("{from} accepted on "));
    }
}

#[test]
#[ignore = "needs haproxy"]
fn opts_sees_what_haproxy_set() {
    let (server, _folder, port) = haproxy("127.0.0.1:1");
    is_seen(&server, "haproxy", port);
}
