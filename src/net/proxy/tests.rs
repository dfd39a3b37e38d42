//! What each proxy is sent and may answer; every split of that is tested in `auth::tests`.

use super::*;
use crate::net::handshake::Driver;
use crate::net::handshake::tests::feed;

fn login() -> Arc<Login> {
    Arc::new(Login { user: "me".into(), password: Zeroizing::new(b"pass".to_vec()) })
}

fn name(name: &str) -> Host {
    Host::Name(name.into())
}

/// What a client sends while a proxy says this, greeting included; how it ends, and how many bytes
/// it has read.
fn played(
    scheme: &str,
    login: Option<Arc<Login>>,
    host: &Host,
    said: &[u8],
) -> (Vec<u8>, Option<Result<(), Refusal>>, usize) {
    let proxy = Proxy::parse(&format!("{scheme}://proxy:1")).unwrap();
    let authorization = Authorization::default();
    let (mut driver, mut sent) = Driver::start(proxy.handshake(login, host, 80, &authorization));
    let run = feed(&mut driver, said, &[]);
    sent.extend(run.sent);
    (sent, run.result.map(|result| result.map(|_| ())), run.read)
}

fn socks(
    login: Option<Arc<Login>>,
    host: &Host,
    said: &[u8],
) -> (Vec<u8>, Option<Result<(), Refusal>>) {
    let (sent, result, _) = played("socks5", login, host, said);
    (sent, result)
}

fn refusal(result: Option<Result<(), Refusal>>) -> (String, Exit) {
    let refusal = result.unwrap().unwrap_err();
    (refusal.reason, refusal.exit)
}

#[test]
fn socks_without_a_login() {
    let four = Host::Ip("192.0.2.7".parse().unwrap());
    let (sent, result) = socks(None, &four, b"\x05\0\x05\0\0\x01\0\0\0\0\0\0");
    assert_eq!(sent, b"\x05\x01\0\x05\x01\0\x01\xc0\0\x02\x07\0\x50");
    assert_eq!(result, Some(Ok(())));
    let six = Host::Ip("2001:db8::1".parse().unwrap());
    let reply = [b"\x05\0\x05\0\0\x04".as_slice(), &[0; 18]].concat();
    let (sent, result) = socks(None, &six, &reply);
    assert_eq!(sent[3..8], *b"\x05\x01\0\x04\x20");
    assert_eq!((sent.len(), result), (3 + 22, Some(Ok(()))));
}

#[test]
fn socks_with_a_login_and_a_name() {
    let said = b"\x05\x02\x01\0\x05\0\0\x03\x02ab\0\x50";
    let (sent, result) = socks(Some(login()), &name("db.test"), said);
    assert_eq!(sent, b"\x05\x02\0\x02\x01\x02me\x04pass\x05\x01\0\x03\x07db.test\0\x50");
    assert_eq!(result, Some(Ok(())));
    let (sent, result) = socks(Some(login()), &name("x"), b"\x05\0");
    assert_eq!(sent[4..], *b"\x05\x01\0\x03\x01x\0\x50", "a proxy that wants no login");
    assert_eq!(result, None);
}

#[test]
fn each_socks_refusal_has_its_status() {
    let reply = |code: u8| refusal(socks(None, &name("x"), &[5, 0, 5, code]).1);
    assert_eq!(reply(5), ("connection refused (SOCKS reply 5)".into(), Exit::Refused));
    let exits: Vec<Exit> = (1..=9).map(|code| reply(code).1).collect();
    assert_eq!(
        exits,
        [
            Exit::Other,
            Exit::Permission,
            Exit::Unreachable,
            Exit::Unreachable,
            Exit::Refused,
            Exit::TimedOut,
            Exit::Other,
            Exit::Other,
            Exit::Other
        ]
    );
    for (login, said, exit) in [
        (None, &b"\x05\xff"[..], Exit::NotAuthenticated),
        (None, b"\x05\x02", Exit::NotAuthenticated),
        (Some(login()), b"\x05\xff", Exit::NotAuthenticated),
        (Some(login()), b"\x05\x02\x01\x01", Exit::NotAuthenticated),
        (None, b"HTTP/1.1", Exit::Broken),
        (None, b"\x05\0\x05\0\0\x09\0\0", Exit::Broken),
    ] {
        let (_, result) = socks(login, &name("x"), said);
        assert_eq!(refusal(result).1, exit, "{said:?}");
    }
}

fn http(
    login: Option<Arc<Login>>,
    host: &Host,
    said: &str,
) -> (String, Option<Result<(), Refusal>>, usize) {
    let (sent, result, read) = played("http", login, host, said.as_bytes());
    (String::from_utf8(sent).unwrap(), result, read)
}

#[test]
fn connect_over_http() {
    let said = "HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n";
    let (sent, result, read) = http(None, &name("db"), &format!("{said}+OK"));
    assert_eq!(sent, "CONNECT db:80 HTTP/1.1\r\nHost: db:80\r\n\r\n");
    assert_eq!((result, read), (Some(Ok(())), said.len()));
    let six = Host::Ip("::1".parse().unwrap());
    let (sent, result, read) = http(Some(login()), &six, "HTTP/1.1 204 x\n\n\n");
    assert_eq!(sent, "CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    assert_eq!((result, read), (Some(Ok(())), 16));
}

const BASIC: &str = "Proxy-Authenticate: Basic realm=\"x\"\r\n";
const DIGEST: &str = "proxy-authenticate: Digest realm=\"x\", nonce=\"n\", qop=\"auth\"\r\n";

/// A 407 with these headers and a body of three bytes, which keeps the connection.
fn challenge(headers: &str) -> String {
    format!("HTTP/1.1 407 Who?\r\n{headers}Content-Length: 3\r\n\r\nno\n")
}

#[test]
fn a_challenge_is_answered_on_the_same_connection_digest_before_basic() {
    for (offers, authorization) in [
        (BASIC.to_owned(), "Basic bWU6cGFzcw==\r\n\r\n"),
        (format!("{BASIC}{DIGEST}"), "Digest username=\"me\", realm=\"x\", uri=\"db:80\""),
        (format!("Proxy-Authenticate: Negotiate\r\n{BASIC}"), "Basic bWU6cGFzcw==\r\n\r\n"),
        (format!("Proxy-Authenticate: Digest algorithm=x\r\n{BASIC}"), "Basic "),
    ] {
        let said = format!("{}HTTP/1.1 200 OK\r\n\r\n", challenge(&offers));
        let (sent, result, read) = http(Some(login()), &name("db"), &format!("{said}+OK"));
        let request = "CONNECT db:80 HTTP/1.1\r\nHost: db:80\r\n";
        let wanted = format!("{request}\r\n{request}Proxy-Authorization: {authorization}");
        assert!(sent.starts_with(&wanted), "{sent}");
        assert_eq!((result, read), (Some(Ok(())), said.len()));
    }
    let unknown = challenge("Proxy-Authenticate: Negotiate\r\n");
    let (reason, exit) = refusal(http(Some(login()), &name("db"), &unknown).1);
    assert!(reason.starts_with("it offers no authentication that we have"), "{reason}");
    assert_eq!(exit, Exit::NotAuthenticated);
    let twice = challenge(BASIC).repeat(2);
    assert_eq!(
        refusal(http(Some(login()), &name("db"), &twice).1),
        ("it does not accept the user and the password".into(), Exit::NotAuthenticated)
    );
}

#[test]
fn the_authorization_goes_to_another_connection_only_if_the_proxy_closes() {
    let proxy = Proxy::parse("http://proxy:1").unwrap();
    let first = |said: &str, has_authorization| {
        let authorization = Authorization::default();
        let (mut driver, _) =
            Driver::start(proxy.handshake(Some(login()), &name("db"), 80, &authorization));
        feed(&mut driver, said.as_bytes(), &[]);
        assert_eq!(authorization.borrow().is_some(), has_authorization, "{said}");
        authorization
    };
    for headers in
        ["Connection: close\r\n", "Proxy-Connection: Close\r\n", "Transfer-Encoding: chunked\r\n"]
    {
        first(&challenge(&format!("{BASIC}{headers}")), true);
    }
    first(&challenge(BASIC).replace("1.1", "1.0"), true);
    first(&challenge(BASIC).replace("Content-Length: 3\r\n", ""), true);
    first(&challenge(BASIC).replace(": 3", ": 65537"), true);
    // One that closes although it has said that it stays.
    let authorization = first(&challenge(BASIC), true);
    first(&format!("{}H", challenge(BASIC)), false);
    let (_, greeting) =
        Driver::start(proxy.handshake(Some(login()), &name("db"), 80, &authorization));
    assert!(greeting.ends_with(b"\r\nProxy-Authorization: Basic bWU6cGFzcw==\r\n\r\n"));
    assert_eq!(*authorization.borrow(), None, "it is used once");
}

#[test]
fn each_http_refusal_has_its_status() {
    let answer = |line: &str| refusal(http(None, &name("x"), &format!("{line}\r\n\r\n")).1);
    assert_eq!(
        answer("HTTP/1.1 403 Filtered \x1b[1m"),
        ("it answered '403 Filtered \\x1b[1m'".into(), Exit::Permission)
    );
    for (line, exit) in [
        ("HTTP/1.1 407", Exit::NotAuthenticated),
        ("HTTP/1.1 401", Exit::NotAuthenticated),
        ("HTTP/1.1 500 Unable to connect", Exit::Unreachable),
        ("HTTP/1.1 502 Bad Gateway", Exit::Unreachable),
        ("HTTP/1.1 504 Gateway Timeout", Exit::TimedOut),
        ("HTTP/1.1 400 Bad Request", Exit::Other),
        ("HTTP/1.1", Exit::Other),
        ("SSH-2.0-OpenSSH", Exit::Broken),
    ] {
        assert_eq!(answer(line).1, exit, "{line}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "x".repeat(20_000));
    assert_eq!(refusal(http(None, &name("x"), &endless).1).1, Exit::Broken);
}

#[test]
fn a_proxy_is_written_as_an_url_without_its_password() {
    let proxy = Proxy::parse("socks5://me@proxy.test:1080").unwrap();
    assert_eq!(
        (proxy.scheme, proxy.user.as_deref(), proxy.to_string()),
        (Scheme::Socks5, Some("me"), "the socks5 proxy proxy.test:1080".into())
    );
    let proxy = Proxy::parse("http://a@b@[::1]:3128/").unwrap();
    assert_eq!(
        (proxy.user.as_deref(), proxy.to_string()),
        (Some("a@b"), "the http proxy [::1]:3128".into())
    );
    let refused = |text: &str| Proxy::parse(text).unwrap_err().to_string();
    for text in ["socks4://h:1", "h:1", "http://", "http://h", "socks5://h:0", "http://@h:1"] {
        assert!(
            refused(text).contains(if text == "socks5://h:0" { "port 0" } else { "--proxy: " }),
            "{text}: {}",
            refused(text)
        );
    }
    let refusal = refused("http://me:hunter2@h:1");
    assert!(
        refusal.contains("SOCKCTL_PROXY_PASSWORD") && !refusal.contains("hunter2"),
        "{refusal}"
    );
}
