//! `connect` through proxies, against ones in Python, and as one (`--send-proxy`).

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::run::{Running, python, shell, sockctl};

/// A SOCKS5 proxy for `sys.argv[1]` connections. `argv[2]` is `open`, `me:secret` (it wants that
/// login) or the number it replies with; `argv[3]`, if any, is the only name it knows, for
/// 127.0.0.1. It sends its replies byte by byte, the last byte of the handshake together with the
/// first of the target's, and prints what it is asked for.
const SOCKS: &str = r"
import socket, sys, threading
count, mode = int(sys.argv[1]), sys.argv[2]
server = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % server.getsockname()[1], file=sys.stderr)
def exactly(s, n):
    data = b''
    while len(data) < n:
        piece = s.recv(n - len(data))
        if not piece: sys.exit('ended early')
        data += piece
    return data
def say(s, data):
    for byte in data: s.sendall(bytes([byte]))
def pump(a, b):
    while data := a.recv(65536): b.sendall(data)
    b.shutdown(socket.SHUT_WR)
for _ in range(count):
    s, _ = server.accept()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    version, n = exactly(s, 2)
    methods = exactly(s, n)
    if ':' in mode:
        if 2 not in methods:
            say(s, b'\x05\xff'); s.close(); continue
        say(s, b'\x05\x02')
        exactly(s, 1); user = exactly(s, exactly(s, 1)[0]); password = exactly(s, exactly(s, 1)[0])
        good = (user + b':' + password).decode() == mode
        say(s, b'\x01\x00' if good else b'\x01\x01')
        if not good: s.close(); continue
    else:
        say(s, b'\x05\x00')
    kind = exactly(s, 4)[3]
    if kind == 1: host = socket.inet_ntop(socket.AF_INET, exactly(s, 4))
    elif kind == 4: host = socket.inet_ntop(socket.AF_INET6, exactly(s, 16))
    else: host = exactly(s, exactly(s, 1)[0]).decode()
    port = int.from_bytes(exactly(s, 2), 'big')
    print(kind, host)
    if mode.isdigit():
        say(s, b'\x05' + bytes([int(mode)]) + b'\x00\x01' + bytes(6)); s.close(); continue
    if len(sys.argv) > 3 and host == sys.argv[3]: host = '127.0.0.1'
    target = socket.create_connection((host, port))
    say(s, b'\x05\x00\x00\x03\x03abc\x00')
    first = b'' if len(sys.argv) < 5 else target.recv(1)
    s.sendall(b'\x00' + first)
    back = threading.Thread(target=pump, args=(target, s)); back.start()
    pump(s, target); back.join(); s.close()
";

/// An HTTP proxy for one connection, which answers with `sys.argv[1]` and prints the request.
const HTTP: &str = r"
import socket, sys, threading
server = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % server.getsockname()[1], file=sys.stderr)
s, _ = server.accept()
request = b''
while not request.endswith(b'\r\n\r\n'): request += s.recv(1)
print(request.decode().replace('\r\n', '|'))
if ' 200 ' not in sys.argv[1]:
    s.sendall((sys.argv[1] + '\r\nContent-Length: 3\r\n\r\nno\n').encode()); s.close(); sys.exit()
host, port = request.split()[1].decode().rsplit(':', 1)
target = socket.create_connection((host, int(port)))
first = target.recv(100)
s.sendall((sys.argv[1] + '\r\nX: y\r\n\r\n').encode() + first)
def pump(a, b):
    while data := a.recv(65536): b.sendall(data)
    b.shutdown(socket.SHUT_WR)
back = threading.Thread(target=pump, args=(target, s)); back.start()
pump(s, target); back.join()
";

fn listening(script: &str, words: &[&str]) -> (Running, String) {
    let server = python(script, words).start();
    let address = server.address();
    (server, address)
}

/// A server that says this to the first who comes.
fn greeter(text: &str) -> (Running, String) {
    let server = sockctl(["serve", "127.0.0.1:0", "--once", "--reply", text]).start();
    let address = server.address();
    (server, address)
}

fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_socks_proxy_looks_the_name_up() {
    let (_target, address) = greeter("hello");
    let (proxy, at) = listening(SOCKS, &["1", "open", "db.test", "glued"]);
    let port = address.rsplit(':').next().unwrap();
    let url = format!("socks5://{at}");
    sockctl(["connect", "db.test", port, "--proxy", &url]).run().is(0, "hello", "");
    assert_eq!(proxy.finish().stdout, b"3 db.test\n");
}

#[test]
fn a_megabyte_goes_through_a_socks_proxy_both_ways() {
    let echo = sockctl(["serve", "127.0.0.1:0", "--echo"]).start();
    let (_proxy, at) = listening(SOCKS, &["1", "open"]);
    let bytes: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 253) as u8).collect();
    let talk = sockctl(["connect", &echo.address(), "--proxy", &format!("socks5://{at}")])
        .input(bytes.clone())
        .run();
    assert_eq!((talk.code, talk.stderr.as_str()), (0, ""));
    assert!(talk.stdout == bytes);
}

#[test]
fn a_socks_password_comes_from_the_environment_or_a_file() {
    let (proxy, at) = listening(SOCKS, &["5", "me:secret"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    let path = file.to_str().unwrap();
    let url = format!("socks5://me@{at}");
    let (_target, address) = greeter("1");
    sockctl(["connect", &address, "--proxy", &url])
        .env("SOCKCTL_PROXY_PASSWORD", "secret")
        .run()
        .is(0, "1", "");
    let from_file = |address: &str| {
        sockctl(["connect", address, "--proxy", &url, "--proxy-password-file", path]).run()
    };
    from_file(&address).is(
        2,
        "",
        &format!(
            "sockctl: read the proxy's password from {path}: others can read it (mode 0644); \
             chmod 600 {path}\n"
        ),
    );
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (_target, address) = greeter("2");
    from_file(&address).is(0, "2", "");
    sockctl(["connect", "127.0.0.1:1", "--proxy", &url])
        .env("SOCKCTL_PROXY_PASSWORD", "guess")
        .run()
        .is(
            9,
            "",
            &format!(
                "sockctl: connect to 127.0.0.1:1 through the socks5 proxy {at}: \
                 it does not accept the user and the password\n"
            ),
        );
    sockctl(["connect", "127.0.0.1:1", "--proxy", &format!("socks5://{at}")]).run().is(
        9,
        "",
        &format!(
            "sockctl: connect to 127.0.0.1:1 through the socks5 proxy {at}: \
                 it requires a user and a password (socks5://USER@…)\n"
        ),
    );
    sockctl(["connect", "1", "--proxy", &url]).run().refuses(
        "--proxy: no password for its user; set SOCKCTL_PROXY_PASSWORD or add \
         --proxy-password-file FILE",
    );
    // Neither the password nor what is in its place on the command line is shown anywhere.
    let talk = sockctl(["connect", "1", "--proxy", &format!("socks5://me:secret@{at}")]).run();
    assert_eq!(talk.code, 2);
    assert!(!talk.stderr.contains("secret@"), "{}", talk.stderr);
    let (_target, address) = greeter("3");
    let talk = sockctl(["connect", &address, "--proxy", &url, "--trace", "--json", "-v"])
        .env("SOCKCTL_PROXY_PASSWORD", "secret")
        .run();
    assert_eq!((talk.code, &talk.stdout[..]), (0, &b"3"[..]));
    assert!(!talk.stderr.contains("secret"), "{}", talk.stderr);
    let said = proxy.finish();
    assert_eq!(said.stdout, b"1 127.0.0.1\n".repeat(3));
}

#[test]
fn what_the_proxy_says_decides_the_status() {
    for (reply, code, cause) in [
        ("1", 1, "general failure of the proxy"),
        ("2", 11, "not allowed by the proxy's rules"),
        ("4", 5, "host unreachable"),
        ("5", 3, "connection refused"),
        ("6", 4, "TTL expired"),
    ] {
        let (_proxy, at) = listening(SOCKS, &["1", reply]);
        sockctl(["connect", "db", "5432", "--proxy", &format!("socks5://{at}")]).run().is(
            code,
            "",
            &format!(
                "sockctl: connect to db:5432 through the socks5 proxy {at}: \
                     {cause} (SOCKS reply {reply})\n"
            ),
        );
    }
    for (answer, code) in [
        ("HTTP/1.1 403 Filtered", 11),
        ("HTTP/1.0 407 Proxy Authentication Required", 9),
        ("HTTP/1.1 502 Bad Gateway", 5),
        ("HTTP/1.1 504 Gateway Timeout", 4),
    ] {
        let (_proxy, at) = listening(HTTP, &[answer]);
        let line = answer.split_once(' ').unwrap().1;
        sockctl(["connect", "db", "5432", "--proxy", &format!("http://{at}")]).run().is(
            code,
            "",
            &format!(
                "sockctl: connect to db:5432 through the http proxy {at}: it answered '{line}'\n"
            ),
        );
    }
}

#[test]
fn an_http_proxy_gets_connect_and_a_login() {
    let (_target, address) = greeter("hello");
    let (proxy, at) = listening(HTTP, &["HTTP/1.1 200 Connection established"]);
    sockctl(["connect", &address, "--proxy", &format!("http://me@{at}"), "--expect", "hello"])
        .env("SOCKCTL_PROXY_PASSWORD", "pass")
        .run()
        .is(0, "hello", "");
    let request = format!(
        "CONNECT {address} HTTP/1.1|Host: {address}|Proxy-Authorization: Basic bWU6cGFzcw==||\n"
    );
    assert_eq!(String::from_utf8(proxy.finish().stdout).unwrap(), request);
}

#[test]
fn a_proxy_that_is_not_there_or_says_nothing() {
    let port = closed_port();
    sockctl(["connect", "db", "5432", "--proxy", &format!("socks5://127.0.0.1:{port}")]).run().is(
        3,
        "",
        &format!(
            "sockctl: connect to the socks5 proxy 127.0.0.1:{port} for db:5432: \
                 connection refused (ECONNREFUSED 111)\n"
        ),
    );
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    sockctl(["connect", "db", "5432", "-w", "0.2", "--proxy", &format!("http://{at}")]).run().is(
        4,
        "",
        &format!(
            "sockctl: connect to db:5432 through the http proxy {at}: \
                 connection timed out (ETIMEDOUT 110); the proxy is silent\n"
        ),
    );
    let (_server, at) = greeter("SSH-2.0-x\\r\\n");
    sockctl(["connect", "db", "5432", "--proxy", &format!("socks5://{at}")]).run().is(
        7,
        "",
        &format!(
            "sockctl: connect to db:5432 through the socks5 proxy {at}: it does not speak SOCKS5\n"
        ),
    );
}

#[test]
fn wait_and_check_go_through_the_proxy() {
    let (_proxy, at) = listening(SOCKS, &["1", "5"]);
    let url = format!("socks5://{at}");
    sockctl(["connect", "-z", "db:5432", "--proxy", &url]).run().is(
        3,
        "db:5432 ECONNREFUSED (111)\n",
        "",
    );
    let (_target, address) = greeter("");
    let (_proxy, at) = listening(SOCKS, &["1", "open"]);
    sockctl(["connect", "-z", &address, "--proxy", &format!("socks5://{at}")]).run().is(
        0,
        format!("{address} open\n"),
        "",
    );
    let port = closed_port();
    let url = format!("socks5://127.0.0.1:{port}");
    let mut client =
        sockctl(["connect", "127.0.0.1:1", "--proxy", &url, "--wait", "30", "--trace"]).start();
    client.close();
    client.stderr_has("ECONNREFUSED");
    let proxy = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (mut stream, _) = proxy.accept().unwrap();
    std::io::Write::write_all(&mut stream, b"\x05\xff").unwrap();
    assert_eq!(client.finish().code, 9);
}

#[test]
fn what_no_proxy_can_reach_is_refused() {
    sockctl(["connect", "unix:/x", "--proxy", "socks5://127.0.0.1:1"])
        .run()
        .refuses("--proxy: unix:/x: a proxy cannot reach a UNIX socket of this machine");
    sockctl(["connect", "1", "--proxy", "socks4://127.0.0.1:1"])
        .run()
        .refuses("--proxy: expected socks5://[USER@]HOST:PORT or http://[USER@]HOST:PORT");
    sockctl(["connect", "1", "--send-proxy=3"])
        .run()
        .refuses("--send-proxy '3': 3 is not in 1..=2");
}

#[test]
fn send_proxy_announces_our_address_before_anything_else() {
    for (flag, head) in [
        ("--send-proxy", &b"PROXY TCP4 127.0.0.1 127.0.0.1 "[..]),
        ("--send-proxy=1", b"PROXY TCP4 127.0.0.1 127.0.0.1 "),
        ("--send-proxy=2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01"),
    ] {
        let server = sockctl(["serve", "127.0.0.1:0", "--echo", "--once"]).start();
        let talk = sockctl(["connect", &server.address(), flag, "--send", "hi"]).run();
        assert_eq!(talk.code, 0, "{}", talk.stderr);
        assert!(talk.stdout.starts_with(head), "{}", talk.stdout.escape_ascii());
        assert!(talk.stdout.ends_with(b"hi"));
    }
}

#[test]
fn accept_proxy_believes_what_send_proxy_says() {
    for flag in ["--send-proxy", "--send-proxy=2"] {
        let server =
            sockctl(["serve", "127.0.0.1:0", "--accept-proxy", "127.0.0.1", "--json", "--echo"])
                .start();
        let text = server.stderr_has("\n");
        let event: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let address = event["local"].as_str().unwrap();
        let talk = sockctl(["connect", address, flag, "--json", "--send", "hi"]).run();
        assert_eq!((talk.code, &talk.stdout[..]), (0, &b"hi"[..]));
        let event: serde_json::Value =
            serde_json::from_str(talk.stderr.lines().next().unwrap()).unwrap();
        let wanted = format!("\"peer\":{}", event["local"]);
        server.stderr_has(&wanted);
    }
}

#[test]
fn send_proxy_over_a_unix_socket_says_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let path = format!("unix:{}", dir.path().join("s").display());
    let server = sockctl(["serve", &path, "--echo"]).start();
    server.address();
    sockctl(["connect", &path, "--send-proxy", "--send", "hi"]).run().is(
        0,
        "PROXY UNKNOWN\r\nhi",
        "",
    );
}

#[test]
fn an_authenticated_client_goes_through_a_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    let key = key.to_str().unwrap();
    let auth = ["--digest", "sha256", "--key-file", key];
    sockctl(["auth-connect", "--create-key", "--key-file", key]).run().is(0, "", "");
    let server = sockctl([&["auth-serve", "127.0.0.1:0", "--echo"], &auth[..]].concat()).start();
    let (_proxy, at) = listening(SOCKS, &["1", "open", "", "glued"]);
    let (address, url) = (server.address(), format!("socks5://{at}"));
    let words = [&["auth-connect", &address, "--proxy", &url], &auth[..]].concat();
    sockctl(words).args(["--send", "ping", "--expect", "ping"]).run().is(0, "ping", "");
}

#[test]
fn the_source_is_that_of_the_connection_to_the_proxy() {
    let (_target, address) = greeter("hello");
    let (_proxy, at) = listening(SOCKS, &["1", "open"]);
    let talk = shell(
        "exec \"$0\" connect \"$1\" --proxy \"$2\" -s 127.0.0.9 --trace --expect hello 2>&1 </dev/null",
        [address.as_str(), &format!("socks5://{at}")],
    )
    .run();
    let text = String::from_utf8_lossy(&talk.stdout);
    assert_eq!(talk.code, 0, "{text}");
    assert!(
        text.contains("bind(127.0.0.9:0)") && text.contains(&format!("connect({at})")),
        "{text}"
    );
}
