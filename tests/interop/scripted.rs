//! redis's own client against servers of a line, and scripts against redis, memcached and nginx.

use std::fmt::Display;

use crate::run::{Folder, Running, free_port, is_like, program, sockctl};

/// Starts a server on a free port, and waits until it is open.
#[track_caller]
fn started(start: impl FnOnce(u16) -> Running) -> (Running, u16) {
    let port = free_port();
    let server = start(port);
    let done = sockctl(format!("connect -z {port} --wait 30")).run();
    done.is(0, format!("127.0.0.1:{port} open\n"), "");
    (server, port)
}

/// The whole of a script against a server of 127.0.0.1 ends well; what came.
#[track_caller]
fn plays(port: u16, steps: impl Display) -> String {
    sockctl(format!("connect {port} {steps}")).run().output()
}

/// So many conversations of these steps, in parallel: none fails.
#[track_caller]
fn bears(port: u16, steps: &str) {
    let shown = plays(port, format!("{steps} --count 2000 --parallel 16"));
    assert!(shown.contains("\n0 failed\n"), "{shown}");
}

fn redis(folder: &Folder) -> (Running, u16) {
    started(|port| {
        let words = format!("--port {port} --bind 127.0.0.1 --save ''");
        program("redis-server", words).args("--dir").arg(folder.path()).start()
    })
}

/// What redis-cli says to a server with these words.
fn redis_cli(words: &str, asked: &str) -> (i32, String) {
    let server = sockctl(format!("serve 0 {words}")).start();
    let done = program("redis-cli", format!("-p {} {asked}", server.port())).run();
    server.stops("", "");
    (done.code, format!("{}{}", String::from_utf8_lossy(&done.stdout), done.stderr))
}

#[test]
#[ignore = "needs redis-server"]
fn redis_cli_talks_to_a_redis_of_a_line() {
    // Its own protocol: arrays of strings.
    let rules = r"--when '^\*1\r\n\$4\r\nPING\r\n' '+PONG\r\n' --when '^\*2\r\n\$3\r\nGET\r\n\$\d+\r\n.*\r\n' '$5\r\nhello\r\n' --when '^\*\d+\r\n\$\d+\r\n.*\r\n(?:\$\d+\r\n.*\r\n)*' '-ERR no such command\r\n'";
    for (asked, answer) in
        [("PING", "PONG\n"), ("GET key", "hello\n"), ("SET a b", "ERR no such command\n\n")]
    {
        assert_eq!(redis_cli(rules, asked).1, answer, "{asked}");
    }
    // Many on one connection, one after the other.
    let server = sockctl(format!("serve 0 {rules}")).start();
    let cli = program("redis-cli", format!("-p {}", server.port()));
    cli.input("PING\nGET x\n".repeat(500)).run().is(0, "PONG\nhello\n".repeat(500), "");
}

#[test]
#[ignore = "needs redis-server"]
fn redis_cli_tells_what_a_broken_redis_does_to_it() {
    for (steps, code, said) in [
        (r"--expect PING --send '+PO' --reset", 1, "Error: Connection reset by peer\n"),
        (r"--expect PING --send '+PO'", 1, "Error: Server closed the connection\n"),
        ("--expect PING", 1, "Error: Server closed the connection\n"),
        (r"--expect PING --rate 20 --send '+PONG\r\n'", 0, "PONG\n"),
        (r"--expect PING --pause .3 --send '+PONG\r\n'", 0, "PONG\n"),
        (r"--expect PING --send '-LOADING wait\r\n'", 1, "LOADING wait\n"),
        (r"--expect PING --send '!garbage\r\n'", 1, "Error: Protocol error, got \"!\" as …\n"),
    ] {
        let (status, text) = redis_cli(steps, "-e PING");
        assert!((status, is_like(said, &text)) == (code, true), "{steps}: {status} {text:?}");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn redis_is_a_target_of_scripts() {
    let folder = Folder::new();
    let (_server, port) = redis(&folder);
    bears(port, r"--send 'PING\r\n' --expect '^\+PONG\r\n'");
    // Byte by byte, with pauses, and several questions at once.
    plays(
        port,
        r"--rate 100 --send 'PING\r\n' --pause .1 --send 'PING\r\n' --expect '(\+PONG\r\n){2}'",
    );
    // Those who vanish, with a question under way too, harm no other.
    for _ in 0..20 {
        plays(port, r"--send 'SET k v\r\nGET ' --reset");
    }
    let got = plays(port, r"--send 'GET k\r\nQUIT\r\n' --expect '^v\r\n' --expect-eof");
    assert_eq!(got, "$1\r\nv\r\n+OK\r\n");
}

#[test]
#[ignore = "needs memcached"]
fn memcached_is_a_target_of_scripts() {
    let (_server, port) = started(|port| {
        program("memcached", format!("-l 127.0.0.1 -U 0 -u root -p {port}")).start()
    });
    bears(port, r"--send 'version\r\n' --expect '^VERSION .*\r\n'");
    // Its binary protocol: a noop, and the answer with its opaque value.
    let noop = "80 0a 00 00 00 00 00 00 00 00 00 00 12 34 56 78 00 00 00 00 00 00 00 00";
    let answer = r"^\x81\x0a\x00{6}\x00{4}\x12\x34\x56\x78\x00{8}";
    let done = sockctl(format!("connect {port} --send-hex '{noop}' --expect '{answer}'")).run();
    assert_eq!((done.code, done.stdout.len(), done.stderr.as_str()), (0, 24, ""));
    // A value that is late in coming.
    let late = r"--send 'set k 0 0 5\r\nhe' --pause .3 --send 'llo\r\n' --expect '^STORED\r\n'";
    assert_eq!(plays(port, late), "STORED\r\n");
}

#[test]
#[ignore = "needs nginx-light"]
fn nginx_is_a_target_of_scripts() {
    let folder = Folder::new();
    let place = folder.path().display();
    let (_server, port) = started(|port| {
        let text = format!(
            "daemon off; master_process off; pid {place}/pid; error_log stderr; events {{}}\n\
             http {{ access_log off; client_body_temp_path {place}/b; proxy_temp_path {place}/p;\n\
             fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n\
             client_header_timeout 1s;\n\
             server {{ listen 127.0.0.1:{port}; location = /hello {{ return 200 hello; }} }} }}"
        );
        program("nginx", format!("-c {} -p {place}", folder.file("conf", text))).start()
    });
    let get = |path: &str| format!(r"'GET {path} HTTP/1.1\r\nHost: x\r\n\r\n'");
    bears(port, &format!(r"--send {} --expect '^HTTP/1.1 200 OK\r\n'", get("/hello")));
    // Two requests on one connection, and the bytes behind the first match are the second's.
    let both = plays(
        port,
        format!(
            r"--send {} --expect '\r\n\r\nhello' --send {} --expect '^HTTP/1.1 404 .*\r\n' --expect '</html>'",
            get("/hello"),
            get("/none")
        ),
    );
    assert!(both.starts_with("HTTP/1.1 200 OK\r\n"), "{both}");
    // Byte by byte.
    plays(port, format!(r"--rate 100 --send {} --expect '\r\n\r\nhello$'", get("/hello")));
    // Half a request, and then nothing: nginx hangs up.
    assert_eq!(plays(port, r"--send 'GET /hel' --expect-eof"), "");
    // Something that is no HTTP.
    let got =
        plays(port, r"--send-hex '16 03 01 00 05 01' --send 'hello\r\n\r\n' --expect ' 400 '");
    assert!(got.contains("400 Bad Request"), "{got}");
}
