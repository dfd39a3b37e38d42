//! `connect` through proxies, against ones in Python, and as one (`--send-proxy`).

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use crate::run::{
    Folder, Program, Running, accept, events, free_port, listen, listener, listening, pattern,
    sockctl, take,
};

/// A SOCKS5 proxy for `sys.argv[1]` connections. `argv[2]` is `open`, `me:secret` (it wants that
/// login) or the number it replies with; `argv[3]`, if any, is the only name it knows, for
/// 127.0.0.1. It sends its replies byte by byte, the last byte of the handshake together with the
/// first of the target's, and prints what it is asked for.
pub const SOCKS: &str = r"
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
    # One that resets is not the end of the proxy.
    try:
        while data := a.recv(65536): b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError: b.close()
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
        # A client may have gone behind the first two bytes.
        try: say(s, b'\x05' + bytes([int(mode)]) + b'\x00\x01' + bytes(6))
        except OSError: pass
        s.close(); continue
    if len(sys.argv) > 3 and host == sys.argv[3]: host = '127.0.0.1'
    target = socket.create_connection((host, port))
    say(s, b'\x05\x00\x00\x03\x03abc\x00')
    first = b'' if len(sys.argv) < 5 else target.recv(1)
    s.sendall(b'\x00' + first)
    back = threading.Thread(target=pump, args=(target, s)); back.start()
    pump(s, target); back.join(); s.close()
";

/// An HTTP proxy for one connection, which answers with `sys.argv[1]` and prints the request.
pub const HTTP: &str = r"
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
first = b'' if len(sys.argv) > 2 else target.recv(100)
s.sendall((sys.argv[1] + '\r\nX: y\r\n\r\n').encode() + first)
def pump(a, b):
    while data := a.recv(65536): b.sendall(data)
    b.shutdown(socket.SHUT_WR)
back = threading.Thread(target=pump, args=(target, s)); back.start()
pump(s, target); back.join()
";

/// An HTTP proxy that asks each client for a proof by the challenges in `argv[1]`, checks the one it
/// gets for `me` and `secret`, and prints its scheme. `argv[2]` is what else the 407 says.
const CHALLENGES: &str = r"
import base64, hashlib, re, socket, sys, threading
server = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % server.getsockname()[1], file=sys.stderr)
def right(scheme, rest):
    if scheme == 'Basic': return base64.b64decode(rest) == b'me:secret'
    at = {name: a or b for name, a, b in re.findall(r'(\w+)=(?:\x22([^\x22]*)\x22|([^, ]+))', rest)}
    new = hashlib.sha256 if at['algorithm'] == 'SHA-256' else hashlib.md5
    h = lambda text: new(text.encode()).hexdigest()
    ends = h('me:%s:secret' % at['realm']), h('CONNECT:' + at['uri'])
    wanted = [ends[0], at['nonce'], at['nc'], at['cnonce'], at['qop'], ends[1]]
    return at['username'] == 'me' and at['response'] == h(':'.join(wanted))
def pump(a, b):
    while data := a.recv(65536): b.sendall(data)
    b.shutdown(socket.SHUT_WR)
while True:
    s, _ = server.accept()
    count, good = 0, False
    while not good:
        request = b''
        while not request.endswith(b'\r\n\r\n') and (byte := s.recv(1)): request += byte
        if not request: break
        count += 1
        for proof in re.findall(r'Proxy-Authorization: (\w+) (.*)\r', request.decode()):
            good = right(*proof)
            print(count, proof[0], 'right' if good else 'wrong')
        if good: break
        answer = ('HTTP/1.1 407 Who?|' + sys.argv[1] + sys.argv[2]).replace('|', '\r\n')
        s.sendall((answer + 'Content-Length: 3\r\n\r\nno\n').encode())
        if 'gone' in sys.argv[2]: s.recv(1)
        if sys.argv[2]: break
    sys.argv[2] = sys.argv[2].replace('X: gone', 'Connection: close')
    if not good: s.close(); continue
    host, port = request.split()[1].decode().rsplit(':', 1)
    target = socket.create_connection((host, int(port)))
    s.sendall(b'HTTP/1.1 200 OK\r\n\r\n' + target.recv(100))
    back = threading.Thread(target=pump, args=(target, s)); back.start()
    pump(s, target); back.join()
";

/// A server that sends this to its first client.
fn greeter(text: &str) -> (Running, String) {
    let server = sockctl(format!("serve 127.0.0.1:0 --once --reply '{text}'")).start();
    let address = server.address();
    (server, address)
}

fn connect(words: &str) -> Program {
    sockctl(format!("connect {words}"))
}

#[test]
fn a_socks_proxy_looks_the_name_up() {
    let (_target, address) = greeter("hello");
    let (proxy, at) = listening(SOCKS, "1 open db.test glued");
    let port = address.rsplit(':').next().unwrap();
    let url = format!("socks5://{at}");
    connect(&format!("db.test {port} --proxy {url}")).run().is(0, "hello", "");
    assert_eq!(proxy.finish().stdout, b"3 db.test\n");
}

#[test]
fn a_megabyte_goes_through_a_socks_proxy_both_ways() {
    let echo = sockctl("serve 127.0.0.1:0 --echo").start();
    let (_proxy, at) = listening(SOCKS, "1 open");
    let bytes = pattern(1 << 20);
    let talk = connect(&format!("{echo} --proxy socks5://{at}")).input(&bytes[..]).run();
    talk.is(0, bytes, "");
}

#[test]
fn a_socks_password_comes_from_the_environment_or_a_file() {
    let (proxy, at) = listening(SOCKS, "5 me:secret");
    let folder = Folder::new();
    let path = folder.file("password", "secret\n");
    let url = format!("socks5://me@{at}");
    let with = |address: &str, password: &str, more: &str| {
        let client = connect(&format!("{address} --proxy {url} {more}"));
        client.env("SOCKCTL_PROXY_PASSWORD", password).run()
    };
    let from_file = |address: &str| {
        connect(&format!("{address} --proxy {url} --proxy-password-file {path}")).run()
    };
    let (_target, address) = greeter("1");
    with(&address, "secret", "").is(0, "1", "");
    let (_target, address) = greeter("2");
    from_file(&address).is(0, "2", "");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let cause = format!("others can read it (mode 0644); chmod 600 {path}");
    from_file(&address).fails(2, format!("read the proxy's password from {path}: {cause}"));
    let head = format!("connect to 127.0.0.1:1 through the socks5 proxy {at}: it");
    let why = format!("{head} does not accept the user and the password");
    with("127.0.0.1:1", "guess", "").fails(9, why);
    let done = connect(&format!("127.0.0.1:1 --proxy socks5://{at}")).run();
    done.fails(9, format!("{head} requires a user and a password (socks5://USER@…)"));
    connect(&format!("1 --proxy {url}")).run().refuses(
        "--proxy: no password for its user; set SOCKCTL_PROXY_PASSWORD or add \
         --proxy-password-file FILE",
    );
    // The password is shown nowhere.
    let (_target, address) = greeter("3");
    let said = with(&address, "secret", "--trace --json -v").gives(0, "3");
    assert!(!said.contains("secret"), "{said}");
    assert_eq!(proxy.finish().stdout, b"1 127.0.0.1\n".repeat(3));
}

#[test]
fn what_the_proxy_says_decides_the_status() {
    for (reply, code, cause) in
        [("2", 11, "not allowed by the proxy's rules"), ("5", 3, "connection refused")]
    {
        let (_proxy, at) = listening(SOCKS, format!("1 {reply}"));
        let head = format!("connect to db:5432 through the socks5 proxy {at}");
        let done = connect(&format!("db 5432 --proxy socks5://{at}")).run();
        done.fails(code, format!("{head}: {cause} (SOCKS reply {reply})"));
    }
    for (answer, code, cause) in [
        ("407 Who?", 9, "it requires a user and a password (http://USER@…)"),
        ("502 Bad Gateway", 5, "it answered '502 Bad Gateway'"),
    ] {
        let (_proxy, at) = listening(HTTP, [format!("HTTP/1.1 {answer}")]);
        let head = format!("connect to db:5432 through the http proxy {at}");
        let done = connect(&format!("db 5432 --proxy http://{at}")).run();
        done.fails(code, format!("{head}: {cause}"));
    }
}

#[test]
fn an_http_proxy_that_asks_for_nothing_gets_no_password() {
    let (_target, address) = greeter("hello");
    let (proxy, at) = listening(HTTP, "'HTTP/1.1 200 Connection established'");
    let client = connect(&format!("{address} --proxy http://me@{at} --expect hello"));
    client.env("SOCKCTL_PROXY_PASSWORD", "pass").run().is(0, "hello", "");
    let request = format!("CONNECT {address} HTTP/1.1|Host: {address}||\n");
    assert_eq!(proxy.finish().text(), request);
}

#[test]
fn an_http_proxy_that_asks_gets_digest_before_basic() {
    let basic = r#"Proxy-Authenticate: Basic realm="a proxy"|"#;
    let digest = r#"Proxy-Authenticate: Digest realm="a", nonce="b", qop="auth", algorithm="#;
    let (md5, sha) = (format!("{digest}MD5|"), format!("{digest}SHA-256|"));
    for (offers, ends, seen) in [
        (basic.to_owned(), "", "2 Basic"),
        (basic.to_owned(), "Connection: close|", "1 Basic"),
        (format!("{basic}{md5}"), "", "2 Digest"),
        (format!("{sha}{basic}"), "Connection: close|", "1 Digest"),
        // It says that it stays, and goes.
        (format!("{sha}{basic}"), "X: gone|", "1 Digest"),
    ] {
        let (proxy, at) = listening(CHALLENGES, [offers.as_str(), ends]);
        let ask = |password: &str, address: &str| {
            connect(&format!("{address} --proxy http://me@{at} --expect hello"))
                .env("SOCKCTL_PROXY_PASSWORD", password)
                .run()
        };
        let (_target, address) = greeter("hello");
        ask("secret", &address).is(0, "hello", "");
        proxy.stdout_has(&format!("{seen} right\n"));
        let refused = "it does not accept the user and the password";
        let why = format!("connect to 127.0.0.1:1 through the http proxy {at}: {refused}");
        ask("guess", "127.0.0.1:1").fails(9, why);
    }
    // Its offers are none of ours, or it has none.
    for (offers, why) in
        [("Proxy-Authenticate: Negotiate|", "Unsupported scheme"), ("", "no challenges given")]
    {
        let (_proxy, at) = listening(CHALLENGES, [offers, ""]);
        let client = connect(&format!("db:1 --proxy http://me@{at}"));
        let head = format!("connect to db:1 through the http proxy {at}");
        client
            .env("SOCKCTL_PROXY_PASSWORD", "secret")
            .run()
            .fails(9, format!("{head}: it offers no authentication that we have: '{why}…'"));
    }
}

#[test]
fn names_and_passwords_that_socks_cannot_carry_are_refused_before_connecting() {
    let (listener, at) = listener();
    let long = "x".repeat(256);
    let ask = |scheme: &str, user: &str, password: &str| {
        let client = connect(&format!("db:1 -w 0.1 --proxy {scheme}://{user}@{at}"));
        client.env("SOCKCTL_PROXY_PASSWORD", password).run()
    };
    ask("socks5", &long, "x").refuses("--proxy: a user has 1 to 255 bytes, this one has 256");
    ask("socks5", "me", &long).refuses("the proxy's password has over 255 bytes");
    let folder = Folder::new();
    let path = folder.file("password", &long);
    let client = connect(&format!("db:1 --proxy socks5://me@{at} --proxy-password-file {path}"));
    client.run().refuses("the proxy's password has over 255 bytes");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "no connection was made");
    // HTTP can.
    assert_eq!(ask("http", &long, &long).code, 4);
}

#[test]
fn a_proxy_that_is_not_there_or_says_nothing() {
    let gone = format!("127.0.0.1:{}", free_port());
    let (_silent, silent) = listener();
    let (_greeter, greeter) = greeter("SSH-2.0-x\\r\\n");
    let refused = "connection refused (ECONNREFUSED 111)";
    let timed_out = "no answer in time";
    for (url, code, why) in [
        (format!("socks5://{gone}"), 3, format!("the socks5 proxy {gone} for db:5432: {refused}")),
        (
            format!("http://{silent}"),
            4,
            format!("db:5432 through the http proxy {silent}: {timed_out}"),
        ),
        (
            format!("socks5://{greeter}"),
            7,
            format!("db:5432 through the socks5 proxy {greeter}: its answer is not SOCKS5"),
        ),
    ] {
        let wait = if code == 4 { "-w 0.2" } else { "" };
        let done = connect(&format!("db 5432 {wait} --proxy {url}")).run();
        done.fails(code, format!("connect to {why}"));
    }
}

#[test]
fn wait_and_check_go_through_the_proxy() {
    let (_proxy, at) = listening(SOCKS, "1 5");
    let done = connect(&format!("-z db:5432 --proxy socks5://{at}")).run();
    done.is(3, "db:5432 ECONNREFUSED (111)\n", "");
    let (_target, address) = greeter("");
    let (_proxy, at) = listening(SOCKS, "1 open");
    let done = connect(&format!("-z {address} --proxy socks5://{at}")).run();
    done.is(0, format!("{address} open\n"), "");
    // Several, and a program.
    let (_proxy, at) = listening(SOCKS, "2 5");
    let done = connect(&format!("-z db:1 db:2 --proxy socks5://{at}")).run();
    done.is(3, "db:1 ECONNREFUSED (111)\ndb:2 ECONNREFUSED (111)\n", "");
    let (_target, address) = greeter("");
    let (_proxy, at) = listening(SOCKS, "1 open");
    let done =
        connect(&format!("-z --any {address} --wait 30s --proxy socks5://{at} -- echo through"));
    done.run().is(0, "through\n", format!("{address} open\n"));
    let port = free_port();
    let words = format!("127.0.0.1:1 --proxy socks5://127.0.0.1:{port} --wait 30 --trace");
    let mut client = connect(&words).start();
    client.close();
    client.stderr_has("ECONNREFUSED");
    accept(&listen(port)).write_all(b"\x05\xff").unwrap();
    assert_eq!(client.finish().code, 9);
}

#[test]
fn send_proxy_announces_our_address_before_anything_else() {
    for (flag, head) in [
        ("--send-proxy", &b"PROXY TCP4 127.0.0.1 127.0.0.1 "[..]),
        ("--send-proxy=1", b"PROXY TCP4 127.0.0.1 127.0.0.1 "),
        ("--send-proxy=2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01"),
    ] {
        let server = sockctl("serve 127.0.0.1:0 --echo --once").start();
        let talk = connect(&format!("{server} {flag} --send hi")).run();
        assert_eq!(talk.code, 0, "{}", talk.stderr);
        assert!(talk.stdout.starts_with(head), "{}", talk.stdout.escape_ascii());
        assert!(talk.stdout.ends_with(b"hi"));
    }
}

#[test]
fn accept_proxy_believes_what_send_proxy_says() {
    for flag in ["--send-proxy", "--send-proxy=2"] {
        let server = sockctl("serve 127.0.0.1:0 --accept-proxy 127.0.0.1 --json --echo").start();
        let talk = connect(&format!("{server} {flag} --json --send hi")).run().gives(0, "hi");
        server.stderr_has(&format!("\"peer\":{}", events(&talk)[0]["local"]));
    }
}

#[test]
fn send_proxy_over_a_unix_socket_says_unknown() {
    let folder = Folder::new();
    let path = format!("unix:{}", folder.text("s"));
    let server = sockctl(format!("serve {path} --echo")).start();
    server.address();
    let done = connect(&format!("{path} --send-proxy --send hi")).run();
    done.is(0, "PROXY UNKNOWN\r\nhi", "");
}

#[test]
fn row_26_a_proxy_on_a_unix_path_that_closes_is_no_reset() {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.at("proxy")).unwrap();
    let url = format!("socks5://unix:{}", folder.text("proxy"));
    let client = connect(&format!("192.0.2.1:80 --send-only --proxy {url}")).start();
    let (mut stream, _) = listener.accept().unwrap();
    assert_eq!(take(&stream, 3), b"\x05\x01\0");
    stream.write_all(b"\x05\0").unwrap();
    take(&stream, 10);
    stream.write_all(b"\x05\0\0\x01\0\0\0\0\0\0").unwrap();
    drop(stream);
    client.ends().is(0, "", "");
}

#[test]
fn an_authenticated_client_goes_through_a_proxy() {
    let folder = Folder::new();
    let auth = format!("--digest sha256 --key-file {}", folder.file("key", "wangwang"));
    let server = sockctl(format!("auth-serve 127.0.0.1:0 --echo {auth}")).start();
    let (_proxy, at) = listening(SOCKS, "1 open '' glued");
    sockctl(format!(
        "auth-connect {server} --proxy socks5://{at} {auth} --send ping --expect ping"
    ))
    .run()
    .is(0, "ping", "");
}

#[test]
fn the_source_is_that_of_the_connection_to_the_proxy() {
    let (_target, address) = greeter("hello");
    let (_proxy, at) = listening(SOCKS, "1 open");
    let words = format!("{address} --proxy socks5://{at} -s 127.0.0.9 --trace --expect hello");
    let said = connect(&words).run().gives(0, "hello");
    let dials = format!("connect({at})");
    assert!(said.contains("bind(127.0.0.9:0)") && said.contains(&dials), "{said}");
}
