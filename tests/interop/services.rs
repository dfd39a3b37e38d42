//! Servers and managers from Debian packages, each on a free port with its own configuration.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::run::{BINARY, Folder, Running, free_port, pattern, program, sockctl, until};

/// Waits until a port is open.
#[track_caller]
fn is_up(port: u16) {
    until("the server is up", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// git with these words in a folder, dialling by `sockctl connect`; what it prints.
fn git(folder: &Path, words: &str) -> String {
    let line =
        format!("-c user.name=t -c user.email=t@localhost -c init.defaultBranch=main {words}");
    program("git", line).env("GIT_PROXY_COMMAND", proxy(folder)).within(folder).run().output()
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
    git(folder, "init -q served");
    let served = folder.join("served");
    let bytes = pattern(3_000_000);
    std::fs::write(served.join("big"), &bytes).unwrap();
    git(&served, "add big");
    git(&served, "commit -qm big");
    let port = free_port();
    // The program itself: `git daemon` would only start it, and be ended in its place.
    let place = git(folder, "--exec-path");
    let daemon = program(
        &format!("{}/git-daemon", place.trim()),
        "--reuseaddr --export-all --listen=127.0.0.1",
    )
    .args(format!("--port={port} --base-path={}", folder.display()))
    .start();
    is_up(port);
    git(folder, &format!("clone -q git://127.0.0.1:{port}/served cloned"));
    assert_eq!(std::fs::read(folder.join("cloned/big")).unwrap(), bytes);
    drop(daemon);
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

#[test]
#[ignore = "needs dnsmasq-base"]
fn a_name_server_answers_a_datagram() {
    let port = free_port();
    let server = program("dnsmasq", "--no-daemon --no-resolv --no-hosts --conf-file=/dev/null")
        .args("--listen-address=127.0.0.1 --bind-interfaces --user=root --pid-file=")
        .args([format!("--port={port}"), "--address=/sockctl.test/192.0.2.42".to_owned()])
        .start();
    server.stderr_has("started");
    // RFC 1035, section 4.1: a query for the A record of sockctl.test.
    let query = "4711 0100 0001 0000 0000 0000 07 736f636b63746c 04 74657374 00 0001 0001";
    let done = sockctl(["udp-send", &format!("127.0.0.1:{port}"), "--data-hex", query])
        .args("--reply --retries 3")
        .run();
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert_eq!(&done.stdout[..2], b"\x47\x11");
    assert!(done.stdout.ends_with(&[192, 0, 2, 42]), "{:?}", done.stdout);
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
    let place = folder.path().display();
    let text = format!(
        "daemon off; master_process off; pid {place}/pid; error_log stderr; events {{}}\n\
         http {{ access_log off; client_body_temp_path {place}/b; proxy_temp_path {place}/p;\n\
         fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n\
         server {{ listen 127.0.0.1:{port} so_keepalive=on rcvbuf=20000; }} }}"
    );
    std::fs::write(folder.at("conf"), text).unwrap();
    let server = program("nginx", format!("-c {place}/conf -p {place}")).start();
    is_up(port);
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
fn haproxy(server: &str) -> (Running, Folder, u16) {
    let port = free_port();
    let folder = Folder::new();
    let path = folder.at("conf");
    let text = format!(
        "defaults\n mode tcp\n timeout client 1m\n timeout server 1m\n timeout connect 5s\n\
         frontend f\n bind 127.0.0.1:{port}\n default_backend b\nbackend b\n server s {server}\n"
    );
    std::fs::write(&path, text).unwrap();
    let proxy = program("haproxy", ["-db", "-f", &path.display().to_string()]).start();
    is_up(port);
    (proxy, folder, port)
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
