use super::*;
use proptest::prelude::*;

fn login() -> Login {
    Login { user: "me".into(), password: Zeroizing::new(b"pass".to_vec()) }
}

fn name(name: &str) -> Place {
    Place::Name(name.into())
}

/// What a client sends, message by message, while these parts can be seen; how it ends, and how
/// many bytes it has read.
fn played(
    (mut handshake, first): (Box<dyn Handshake>, Zeroizing<Vec<u8>>),
    parts: &[&[u8]],
) -> (Vec<Vec<u8>>, Result<bool, Refused>, usize) {
    let mut sent = vec![first.to_vec()];
    let mut read = 0;
    let mut unread: Vec<u8> = Vec::new();
    for part in parts {
        unread.extend_from_slice(part);
        while !unread.is_empty() {
            let step = match handshake.feed(&unread) {
                Err(refused) => return (sent, Err(refused), read),
                Ok((used, step)) => {
                    assert!(used <= unread.len());
                    unread.drain(..used);
                    read += used;
                    step
                }
            };
            match step {
                Step::Done => return (sent, Ok(true), read),
                Step::More => assert!(unread.is_empty(), "asks for more than it takes"),
                Step::Send(bytes) => sent.push(bytes.to_vec()),
            }
        }
    }
    (sent, Ok(false), read)
}

fn socks(
    login: Option<&Login>,
    place: &Place,
    said: &[&[u8]],
) -> (Vec<Vec<u8>>, Result<bool, Refused>) {
    let (sent, result, _) = played(socks5::begin(login, place, 80), said);
    (sent, result)
}

fn refusal(result: Result<bool, Refused>) -> (String, Exit) {
    let refused = result.unwrap_err();
    (refused.cause, refused.exit)
}

#[test]
fn socks_without_a_login() {
    let four = Place::Ip("192.0.2.7".parse().unwrap());
    let (sent, result) = socks(None, &four, &[b"\x05\x00", b"\x05\0\0\x01\0\0\0\0\0\0"]);
    assert_eq!(sent, [&b"\x05\x01\0"[..], b"\x05\x01\0\x01\xc0\0\x02\x07\0\x50"]);
    assert_eq!(result, Ok(true));
    let six = Place::Ip("2001:db8::1".parse().unwrap());
    let reply = [b"\x05\0\0\x04".as_slice(), &[0; 18]].concat();
    let (sent, result) = socks(None, &six, &[b"\x05\x00", &reply]);
    assert_eq!(sent[1][..5], *b"\x05\x01\0\x04\x20");
    assert_eq!((sent[1].len(), result), (22, Ok(true)));
}

#[test]
fn socks_with_a_login_and_a_name() {
    let login = login();
    let said: [&[u8]; 3] = [b"\x05\x02", b"\x01\0", b"\x05\0\0\x03\x02ab\0\x50"];
    let (sent, result) = socks(Some(&login), &name("db.test"), &said);
    assert_eq!(
        sent,
        [&b"\x05\x02\0\x02"[..], b"\x01\x02me\x04pass", b"\x05\x01\0\x03\x07db.test\0\x50"]
    );
    assert_eq!(result, Ok(true));
    let (sent, _) = socks(Some(&login), &name("x"), &[b"\x05\0"]);
    assert_eq!(sent[1], b"\x05\x01\0\x03\x01x\0\x50", "a proxy that wants no login");
}

#[test]
fn each_socks_refusal_has_its_status() {
    let reply = |code: u8| refusal(socks(None, &name("x"), &[b"\x05\0", &[5, code]]).1);
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
    let login = login();
    for (login, said, exit) in [
        (None, &[&b"\x05\xff"[..]][..], Exit::NotAuthenticated),
        (None, &[b"\x05\x02"], Exit::NotAuthenticated),
        (Some(&login), &[b"\x05\xff"], Exit::NotAuthenticated),
        (Some(&login), &[b"\x05\x02", b"\x01\x01"], Exit::NotAuthenticated),
        (None, &[b"HTTP/1.1"], Exit::Broken),
        (None, &[b"\x05\0", b"\x05\0\0\x09\0\0"], Exit::Broken),
    ] {
        let (_, result) = socks(login, &name("x"), said);
        assert_eq!(refusal(result).1, exit, "{said:?}");
    }
}

fn http(
    login: Option<&Login>,
    place: &Place,
    said: &str,
) -> (String, Result<bool, Refused>, usize) {
    let (sent, result, read) = played(http::begin(login, place, 443), &[said.as_bytes()]);
    (String::from_utf8(sent.concat()).unwrap(), result, read)
}

#[test]
fn connect_over_http() {
    let said = "HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n";
    let (sent, result, read) = http(None, &name("db"), &format!("{said}+OK"));
    assert_eq!(sent, "CONNECT db:443 HTTP/1.1\r\nHost: db:443\r\n\r\n");
    assert_eq!((result, read), (Ok(true), said.len()));
    let six = Place::Ip("::1".parse().unwrap());
    let (sent, result, read) = http(Some(&login()), &six, "HTTP/1.1 204 x\n\n\n");
    assert_eq!(
        sent,
        "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\
         Proxy-Authorization: Basic bWU6cGFzcw==\r\n\r\n"
    );
    assert_eq!((result, read), (Ok(true), 16));
}

#[test]
fn each_http_refusal_has_its_status() {
    let answer = |line: &str| refusal(http(None, &name("x"), &format!("{line}\r\n\r\n")).1);
    assert_eq!(
        answer("HTTP/1.1 403 Filtered \x1b[1m"),
        ("it answered '403 Filtered \\x1b[1m'".into(), Exit::Permission)
    );
    for (line, exit) in [
        ("HTTP/1.1 407 Proxy Authentication Required", Exit::NotAuthenticated),
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
        (proxy.kind, proxy.user.as_deref(), proxy.to_string()),
        (Kind::Socks5, Some("me"), "the socks5 proxy proxy.test:1080".into())
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

proptest! {
    #[test]
    fn any_split_gives_the_same_and_nothing_behind_it_is_read(
        which in 0usize..4, tail: Vec<u8>, cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5)
    ) {
        let login = login();
        let said: &[u8] = match which {
            0 => b"\x05\0\x05\0\0\x01\0\0\0\0\0\0",
            1 => b"\x05\x02\x01\0\x05\0\0\x03\x03abc\0\0",
            2 => b"\x05\0\x05\x05",
            _ => b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
        };
        let begin = || if which == 3 {
            http::begin(Some(&login), &name("h"), 1)
        } else {
            socks5::begin(Some(&login), &name("h"), 1)
        };
        let bytes = [said, &tail].concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let whole = played(begin(), &[&bytes]);
        prop_assert_eq!(whole.1.is_ok(), which != 2);
        if whole.1.is_ok() {
            prop_assert_eq!(whole.2, said.len());
            prop_assert_eq!(&played(begin(), &parts), &whole);
        } else {
            let (sent, result, _) = played(begin(), &parts);
            prop_assert_eq!((&sent, &result), (&whole.0, &whole.1));
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        let (sent, result, _) = played(begin(), &single);
        prop_assert_eq!((sent, result), (whole.0, whole.1));
    }

    #[test]
    fn nothing_panics(bytes: Vec<u8>, http: bool) {
        let begin = if http {
            http::begin(None, &name("h"), 1)
        } else {
            socks5::begin(None, &name("h"), 1)
        };
        let prefix: &[u8] = if http { b"HTTP/1." } else { b"\x05\0\x05\0\0" };
        let (_, _, read) = played(begin, &[prefix, &bytes]);
        prop_assert!(read <= prefix.len() + bytes.len());
    }
}
