//! What goes through an encrypted connection of `connect`: pipes, scripts, the prompt, dumps, proxies; and
//! what is agreed on with the server: version, protocol, our own certificate.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::certificates::{Authority, Chain, client as client_params};
use super::peers::{client, python_server, server};
use crate::connect::proxy::{HTTP, SOCKS};
use crate::run::{
    Folder, accept, events, events_of, free_port, listen, listening, pattern, reset, sockctl,
};
use crate::terminal::pty::{Terminal, sockctl_there};

/// Payload that is no text, and no multiple of a record's length.
fn payload() -> Vec<u8> {
    pattern(3_000_017)
}

/// What Python's `hash` prints of it.
fn hashed(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    format!("{} {} <eof>\n", bytes.len(), hex::encode(Sha256::digest(bytes)))
}

#[test]
fn bytes_go_both_ways_and_so_do_ends() {
    let chain = Chain::new();
    let echo = server(&chain.cert, "--echo");
    client(&echo, &chain.ca, "").input(payload()).run().is(0, payload(), "");
    for version in ["1.2", "1.3"] {
        let (_server, address) = python_server(&chain.cert, format!("version={version} echo"));
        client(&address, &chain.ca, "").input(payload()).run().is(0, payload(), "");
        // One direction alone.
        let (server, address) = python_server(&chain.cert, format!("version={version} hash close"));
        client(&address, &chain.ca, "").input(payload()).run().is(0, "", "");
        assert_eq!(server.finish().text(), hashed(&payload()));
        let (_server, address) =
            python_server(&chain.cert, format!("version={version} send*3000000:x close read"));
        client(&address, &chain.ca, "").run().is(0, "x".repeat(3_000_000), "");
    }
}

#[test]
fn the_answer_may_come_long_after_our_end() {
    let chain = Chain::new();
    for version in ["1.2", "1.3"] {
        let ops = format!("version={version} read pause:700 send:late close");
        let (server, address) = python_server(&chain.cert, ops);
        client(&address, &chain.ca, "").input("early").run().is(0, "late", "");
        assert_eq!(server.finish().stdout, b"early<eof>\n");
    }
}

#[test]
fn the_events_name_what_was_agreed_on() {
    let chain = Chain::new();
    for (version, offers, cipher, alpn) in [
        ("1.2", "alpn=h2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Some("h2")),
        ("1.3", "alpn=x,http/1.1", "TLS_AES_256_GCM_SHA384", Some("http/1.1")),
        ("1.3", "alpn=x", "TLS_AES_256_GCM_SHA384", None),
    ] {
        let ops = format!("version={version} {offers} what echo");
        let (server, address) = python_server(&chain.cert, ops);
        let port = address.rsplit(':').next().unwrap();
        let words = "--tls-alpn http/1.1 --tls-alpn h2 --json";
        let said = client(format!("localhost:{port}"), &chain.ca, words).input("hi").run();
        let said = said.gives(0, "hi");
        let names: Vec<_> = events(&said).iter().map(|event| event["event"].clone()).collect();
        assert_eq!(names, ["connected", "tls", "closed"]);
        let mut event = events_of(&said, "tls").remove(0);
        for known in ["not_after", "fingerprint"] {
            assert!(event.as_object_mut().unwrap().remove(known).is_some_and(|it| it.is_string()));
        }
        let mut wanted = json!({
            "event": "tls", "id": 1, "peer": address, "version": format!("TLSv{version}"),
            "cipher": cipher, "name": "localhost", "names": ["localhost", "127.0.0.1", "::1"],
            "days_left": 57, "pin": chain.pin, "verified": true,
        });
        if let Some(alpn) = alpn {
            wanted["alpn"] = alpn.into();
        }
        assert_eq!(event, wanted);
        let seen = format!("alpn={}", alpn.unwrap_or("None"));
        assert!(server.finish().text().contains(&seen));
        // In words, with -v.
        let (_server, address) = python_server(&chain.cert, format!("version={version} echo"));
        let said = client(&address, &chain.ca, "-v").input("hi").run().gives(0, "hi");
        assert!(said.contains(&format!("TLSv{version} ")), "{said}");
        assert!(said.contains(&chain.pin), "{said}");
    }
}

#[test]
fn our_own_certificate_is_shown_to_a_server_that_asks() {
    let chain = Chain::new();
    let ours = chain.client("ann.pem", "Ann of Test", "");
    let pem = fs::read_to_string(&ours).unwrap();
    let (certificate, key) = pem.split_at(pem.find("-----BEGIN PRIVATE KEY").unwrap());
    let key_end = key.find("-----BEGIN CERTIFICATE").unwrap_or(key.len());
    let alone = chain.folder.file("cert.pem", format!("{certificate}{}", chain.intermediate.pem));
    let key = chain.folder.file("key.pem", &key[..key_end]);
    let two = format!("--tls-cert {alone} --tls-key {key}");
    let one = format!("--tls-cert {ours}");
    let ask = |version: &str, words: &str| {
        let ops = format!("version={version} ca={} what echo", chain.ca);
        let (server, address) = python_server(&chain.cert, ops);
        let done = client(&address, &chain.ca, words).input("hi").run();
        (done, server.finish().text(), address)
    };
    let stranger = Authority::root("Stranger", |_| ()).sign(&client_params("Eve", ""));
    let stranger = chain.folder.file("eve.pem", stranger);
    for version in ["1.2", "1.3"] {
        for words in [&one, &two] {
            let (done, said, _) = ask(version, words);
            done.is(0, "hi", "");
            assert!(said.ends_with("peer=Ann of Test\n"), "{said}");
        }
        let missing = match version {
            "1.2" => "asks for a certificate (alert handshake_failure); add --tls-cert",
            _ => "certificate_required",
        };
        for (words, alert) in
            [(String::new(), missing), (format!("--tls-cert {stranger}"), "unknown_ca")]
        {
            let (done, said, address) = ask(version, &words);
            assert_eq!(
                (done.code, &done.stdout[..]),
                (9, &b""[..]),
                "{version} {words} {}",
                done.stderr
            );
            assert!(done.stderr.contains(alert), "{version} {address} {}", done.stderr);
            assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
            assert!(said.starts_with("handshake: "), "{said}");
        }
    }
}

#[test]
fn private_keys_that_others_can_read_are_refused() {
    let chain = Chain::new();
    let ours = chain.client("ann.pem", "Ann", "");
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o640)).unwrap();
    let why =
        format!("read private key from {ours}: others can read it (mode 0640); chmod 600 {ours}");
    let address = "127.0.0.1:1";
    client(address, &chain.ca, ["--tls-cert", &ours]).run().fails(2, &why);
    sockctl(["serve", "0", "--tls", "--tls-cert", &ours]).run().fails(2, &why);
    sockctl(["serve", "0", "--tls", "--tls-cert", &chain.cert, "--tls-key", &ours])
        .run()
        .fails(2, &why);
    let missing = chain.folder.text("missing.pem");
    let done = sockctl(["serve", "0", "--tls", "--tls-cert", &missing]).run();
    assert_eq!(done.code, 2, "{}", done.stderr);
    // A key of another certificate.
    let other = chain.server("other.pem", &["a.test"]);
    let done =
        sockctl(["serve", "0", "--tls", "--tls-cert", &chain.cert, "--tls-key", &other]).run();
    done.fails(2, format!("use private key {other}: it is not the key of the certificate"));
}

#[test]
fn it_goes_through_proxies_and_behind_a_proxy_header() {
    let chain = Chain::new();
    let echo = server(&chain.cert, "--echo");
    let port = echo.port();
    let (proxy, at) = listening(SOCKS, "2 open localhost");
    let url = format!("--proxy socks5://{at}");
    // The name goes to the proxy, and is checked all the same.
    client(format!("localhost:{port}"), &chain.ca, &url).input(payload()).run().is(
        0,
        payload(),
        "",
    );
    let named =
        client(format!("localhost:{port}"), &chain.ca, format!("{url} --tls-name other.test"));
    let done = named.input("hi").run();
    assert_eq!(done.code, 9, "{}", done.stderr);
    assert!(done.stderr.contains("not for other.test"), "{}", done.stderr);
    assert_eq!(proxy.finish().stdout, b"3 localhost\n3 localhost\n");
    let (proxy, at) = listening(HTTP, ["HTTP/1.1 200 OK", "silent"]);
    let done = client(&echo, &chain.ca, format!("--proxy http://{at}")).input(payload()).run();
    done.is(0, payload(), "");
    let request = format!("CONNECT {echo} HTTP/1.1|Host: {echo}||\n");
    assert_eq!(proxy.finish().text(), request);
    for flag in ["--send-proxy", "--send-proxy=2"] {
        let server = server(&chain.cert, "--echo -v --accept-proxy 127.0.0.1");
        client(&server, &chain.ca, flag).input("hi").run().is(0, "hi", "");
        server.stderr_has(" accepted on 127.0.0.1:");
        // Encrypted, the header is none.
        client(&server, &chain.ca, "").input("hi").run().gives(7, "");
    }
}

#[test]
fn scripts_and_repetitions_are_encrypted() {
    let chain = Chain::new();
    let echo = server(&chain.cert, "--echo");
    let script =
        "--send one\\n --expect ^one$ --send-hex 00ff --expect \\xff --pause 10ms --send two";
    client(&echo, &chain.ca, script).run().is(0, b"one\n\0\xfftwo", "");
    let done = client(&echo, &chain.ca, "--send a --expect b -w 300ms").run();
    done.is(
        8,
        "a",
        format!("sockctl: expect 'b' from {echo}: not within 300ms (-w); received 1 byte: 'a'\n"),
    );
    client(&echo, &chain.ca, "--send a --expect a --reset").run().is(0, "a", "");
    let done = client(&echo, &chain.ca, "--count 20 --parallel 4 --send hi --expect hi").run();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{text}");
    assert!(text.starts_with("20 conversations in ") && text.contains("\n0 failed\n"), "{text}");
    let flawed =
        client(&echo, &chain.ca, "--tls-name other.test --count 3 --send hi --expect hi").run();
    let text = String::from_utf8_lossy(&flawed.stdout).into_owned();
    assert_eq!(flawed.code, 9, "{text} {}", flawed.stderr);
    assert!(text.contains("\n3 failed"), "{text}");
}

#[test]
fn dumps_show_the_plaintext() {
    let chain = Chain::new();
    let echo = server(&chain.cert, "--echo");
    let (hex, log) = (chain.folder.text("hex"), chain.folder.text("log"));
    let words = format!("--hex {hex} --log {log}");
    client(&echo, &chain.ca, words).input("plain text\n").run().is(0, "plain text\n", "");
    let hex = fs::read_to_string(hex).unwrap();
    assert_eq!(hex.matches("|plain te|").count(), 2, "{hex}");
    assert!(hex.lines().all(|line| line.len() <= 78), "{hex}");
    let log_text = fs::read_to_string(&log).unwrap();
    assert_eq!(log_text.matches("plain text").count(), 2, "{log_text}");
    assert_eq!(log_text.lines().count(), 2, "{log_text}");
    assert_eq!(fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn at_the_prompt_it_is_said_that_the_line_is_encrypted() {
    let chain = Chain::new();
    let echo = server(&chain.cert, "--echo");
    let words = format!("connect {echo} --tls --tls-ca {}", chain.ca);
    let mut terminal = Terminal::start(sockctl_there(&words), 120);
    terminal.awaits(">>>");
    terminal.shows(&format!("connected to {echo}"));
    terminal.shows("encrypted with TLSv1.3 localhost 127.0.0.1 ::1, 57 days left, sha256//");
    terminal.enter("hello");
    terminal.ends_in(&["<<< hello", ">>>"]);
    terminal.enter("q");
    terminal.ends(0);
    // Of the server, too.
    let server = Terminal::start(sockctl_there("serve --tls 0"), 160);
    let screen = server.shows("--tls-pin sha256//");
    let pin = screen.split_once("--tls-pin ").unwrap().1.split_once(')').unwrap().0;
    let words = format!("connect --tls {} --tls-pin {pin}", server.port());
    let client = sockctl(words).start();
    server.shows("[1] encrypted with TLSv1.3\n");
    drop((client, server));
    // One that is not trusted.
    let words = format!("connect {echo} --tls --tls-ca {} --tls-name other.test", chain.ca);
    let mut terminal = Terminal::start(sockctl_there(&words), 120);
    let text = terminal.ends(9);
    assert!(text.contains("not trusted"), "{text}");
}

#[test]
fn a_wait_is_for_a_server_that_speaks_tls() {
    let chain = Chain::new();
    let port = free_port();
    let mut waiting = client(port, &chain.ca, "--wait 30 --send hi --expect hi").start();
    waiting.close();
    let gone = listen(port);
    reset(accept(&gone));
    drop(gone);
    let echo = sockctl(format!("serve {port} --echo --tls --tls-cert")).arg(&chain.cert).start();
    echo.address();
    waiting.ends().is(0, "hi", "");
}

#[test]
fn a_unix_path_has_no_name_and_needs_one() {
    let chain = Chain::new();
    let folder = Folder::new();
    let path = format!("unix:{}", folder.text("s"));
    let server = sockctl(["serve", &path, "--echo", "--tls", "--tls-cert", &chain.cert]).start();
    server.address();
    client(&path, &chain.ca, "--tls-name localhost").input("hi").run().is(0, "hi", "");
    sockctl(["connect", &path, "--tls", "--tls-pin", &chain.pin]).input("hi").run().is(0, "hi", "");
    client(&path, &chain.ca, "")
        .run()
        .refuses("TLS over a UNIX socket has no name to check; add --tls-name or --tls-pin");
}

#[test]
fn flags_that_say_nothing_are_refused() {
    let chain = Chain::new();
    let (ca, cert) = (&chain.ca, &chain.cert);
    let long = "x".repeat(256);
    for (words, message) in [
        (format!("connect 1 --tls-ca {ca}"), "--tls-ca needs --tls, or --starttls"),
        ("connect 1 --tls-name a".into(), "--tls-name needs --tls, or --starttls"),
        ("connect 1 --tls-insecure".into(), "--tls-insecure needs --tls, or --starttls"),
        (format!("connect 1 --tls-cert {cert}"), "--tls-cert needs --tls, or --starttls"),
        ("connect 1 --tls-alpn h2".into(), "--tls-alpn needs --tls, or --starttls"),
        (format!("serve 0 --tls-cert {cert}"), "--tls-cert needs --tls, or --starttls"),
        (format!("serve 0 --tls-ca {ca}"), "--tls-ca needs --tls, or --starttls"),
        (
            "connect 1 --tls --tls-alpn ''".into(),
            "--tls-alpn '': expected the name of a protocol, of 1 to 255 bytes: h2, http/1.1",
        ),
    ] {
        sockctl(words).run().refuses(message);
    }
    for words in [
        format!("connect 1 --tls --tls-alpn {long}"),
        format!("connect 1 --tls --tls-key {cert}"),
        format!("connect 1 --tls --tls-ca {ca} --tls-insecure"),
        format!("connect 1 --tls --tls-ca {ca} --tls-pin {}", chain.pin),
        format!("connect 1 --tls --tls-insecure --tls-pin {}", chain.pin),
    ] {
        let done = sockctl(&words).run();
        assert_eq!((done.code, done.stdout.len()), (2, 0), "{words}: {}", done.stderr);
        assert!(done.stderr.starts_with("sockctl: "), "{}", done.stderr);
    }
    for (name, content) in [("empty", ""), ("text", "no certificate\n")] {
        let file = chain.folder.file(name, content);
        let done = client(1, &file, "").run();
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(done.stderr.starts_with(&format!("sockctl: read certificate from {file}: ")));
    }
}
