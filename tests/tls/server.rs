//! `serve --tls`: its certificate, those of its clients, every handler, and its limits.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::certificates::{
    Authority, Chain, DAY, client as client_params, fingerprint, params, pin, self_signed, valid,
};
use super::peers::{VERSIONS, client, python_client, server as serve};
use crate::room::greeting;
use crate::run::{
    BINARY, Folder, Program, Running, events_of, is_like, pattern, port_in, program, sockctl, until,
};

/// The pin that a server says in its first line.
fn announced(server: &Running) -> String {
    let said = server.stderr_has("\n");
    let (_, pin) = said.lines().next().unwrap().split_once(" (--tls-pin ").unwrap();
    pin.strip_suffix(')').unwrap().into()
}

/// A client that trusts this pin alone.
fn pinned(server: &Running, pin: &str) -> Program {
    sockctl(format!("connect {server} --tls --tls-pin {pin}"))
}

#[test]
fn a_certificate_for_the_run_is_trusted_by_the_pin_that_is_said() {
    let server = sockctl("serve 127.0.0.1:0 --tls --echo").start();
    let pin = announced(&server);
    pinned(&server, &pin).input("hi").run().is(0, "hi", "");
    let chain = Chain::new();
    let done = client(&server, &chain.ca, "").input("hi").run();
    let why = format!("it is self-signed; to trust it: --tls-pin {pin}");
    let head = format!("start TLS with {server}: the server's certificate is not trusted");
    done.fails(9, format!("{head}: {why}"));
    // Another run, another key; an event has it, too, and it is for this machine.
    let other = sockctl("serve 127.0.0.1:0 --tls --echo --json").start();
    let said = other.stderr_has("\n");
    let event = &events_of(&said, "listening")[0];
    let new = event["tls_pin"].as_str().unwrap();
    assert!(new.starts_with("sha256//") && new != pin, "{new} {pin}");
    let said = pinned(&other, new).args("--json").input("hi").run().gives(0, "hi");
    let names = events_of(&said, "tls")[0]["names"].clone();
    let names: Vec<_> = names.as_array().unwrap().iter().filter_map(|it| it.as_str()).collect();
    assert!(["localhost", "127.0.0.1", "::1"].iter().all(|name| names.contains(name)), "{names:?}");
    // Of files as well.
    let server = serve(&chain.cert, "--echo");
    assert_eq!(announced(&server), chain.pin);
    let quiet =
        sockctl("serve 127.0.0.1:0 --tls -q --echo --port-file").arg(chain.folder.at("port"));
    let quiet = quiet.start();
    port_in(chain.folder.at("port"));
    quiet.signal("TERM");
    quiet.finish().is(0, "", "");
}

#[test]
fn a_certificate_for_keeps_is_written_once() {
    let folder = Folder::new();
    let path = folder.text("kept.pem");
    let create = ["serve", "--create-cert=localhost,127.0.0.1,*.example.test", "--tls-cert", &path];
    let done = sockctl(create).run();
    assert_eq!((done.code, done.stdout.len()), (0, 0), "{}", done.stderr);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let pem = fs::read_to_string(&path).unwrap();
    assert!(done.stderr.contains(&format!("--tls-pin {}", pin(&pem))), "{}", done.stderr);
    let again = sockctl(create).run();
    assert_eq!(again.code, 2, "{}", again.stderr);
    assert!(again.stderr.contains("a key is never overwritten"), "{}", again.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), pem);
    // It is its own root.
    let server = serve(&path, "--echo");
    let port = server.port();
    client(format!("localhost:{port}"), &path, "").input("hi").run().is(0, "hi", "");
    client(&server, &path, "--tls-name a.example.test").input("hi").run().is(0, "hi", "");
    let done = client(&server, &path, "--tls-name other.test").input("hi").run();
    assert_eq!(done.code, 9, "{}", done.stderr);
    // OpenSSL takes it for one, too.
    let said = python_client(port, format!("ca={path} what close read")).run();
    assert!(said.text().starts_with("TLSv1.3 "));
}

#[test]
fn clients_show_certificates_where_they_are_asked_for_them() {
    let chain = Chain::new();
    let ann = chain.client("ann.pem", "Ann", "");
    let expired = |params: &mut rcgen::CertificateParams| {
        valid(params, -30, DAY);
        params.not_after -= DAY * 3;
    };
    let mut late = client_params("Late", "");
    expired(&mut late);
    let late = chain.intermediate.sign(&late) + &chain.intermediate.pem;
    let late = chain.folder.file("late.pem", late);
    let eve = Authority::root("Other", |_| ()).sign(&client_params("Eve", ""));
    let eve = chain.folder.file("eve.pem", eve);
    // With the name of the authority, and a key of its own.
    let twin = chain.folder.file("twin.pem", self_signed(&client_params("Test Root", "")));
    let server = serve(&chain.cert, format!("--reply secret -v --tls-ca {}", chain.ca));
    let ours = |words: &str| client(&server, &chain.ca, words).run();
    ours(&format!("--tls-cert {ann}")).is(0, "secret", "");
    let mut number = 1;
    for (words, alert, why) in [
        (String::new(), "certificate_required", "the client showed no certificate"),
        (
            format!("--tls-cert {late}"),
            "certificate_expired",
            "the client's certificate is not trusted: it …expired…",
        ),
        (
            format!("--tls-cert {eve}"),
            "unknown_ca",
            "the client's certificate is not trusted: its issuer is not known…",
        ),
        (
            format!("--tls-cert {twin}"),
            "unknown_ca",
            "the client's certificate is not trusted: it is self-signed",
        ),
    ] {
        let done = ours(&words);
        assert_eq!((done.code, done.stdout.len()), (9, 0), "{words}: {}", done.stderr);
        let said = &done.stderr;
        assert!(said.contains(alert) && said.lines().count() == 1, "{alert}: {said}");
        number += 1;
        let said = server.stderr_has(&format!("[{number}] "));
        let line = said.lines().find(|line| line.starts_with(&format!("[{number}] "))).unwrap();
        let wanted = format!("[{number}] 127.0.0.1:… refused: {why}");
        assert!(is_like(&wanted, line), "{wanted}: {line}");
    }
    // Python's client, with both versions.
    for version in VERSIONS {
        let ops = format!("version={version} cert={ann} read");
        python_client(server.port(), ops).run().is(0, "secret<eof>\n", "");
        let ops = format!("version={version} cert={eve} read");
        let said = python_client(server.port(), ops).run().text();
        assert!(said.contains("UNKNOWN_CA"), "{said}");
        let said = python_client(server.port(), format!("version={version} read")).run().text();
        assert!(said.contains("ALERT") && !said.contains("secret"), "{said}");
    }
}

#[test]
fn a_room_calls_members_by_their_certificates() {
    let chain = Chain::new();
    let room = sockctl("serve 127.0.0.1:0 --room --tls --tls-cert").arg(&chain.cert);
    let room = room.args("--tls-ca").arg(&chain.ca).start();
    let join = |cert: &str| {
        let mut member = client(&room, &chain.ca, format!("--tls-cert {cert}")).start();
        member.stdout_has(" joined\n");
        member.send("hello\n");
        member
    };
    let ann = join(&chain.client("ann.pem", "Ann", ""));
    ann.stdout_has("-- Ann joined\n");
    for (file, name, email, shown) in [
        ("words.pem", "Bob of Test", "", "Bob_of_Test"),
        ("mail.pem", "", "carl@example.test", "carl_example.test"),
        ("again.pem", "Ann", "", "Ann~2"),
        ("strange.pem", "D\u{202e}an\x1b[31m", "", "D_an__31m"),
        ("nameless.pem", "", "", "guest6"),
    ] {
        let member = join(&chain.client(file, name, email));
        ann.stdout_has(&format!("-- {shown} joined\n<{shown}> hello\n"));
        let heard = greeting(shown, "server, Ann") + &format!("-- {shown} joined\n");
        member.finish().gives(0, heard);
        ann.stdout_has(&format!("-- {shown} left\n"));
    }
}

#[test]
fn programs_know_the_session() {
    let chain = Chain::new();
    let ann = chain.client("ann.pem", "Ann of Test", "");
    let script = "cat >/dev/null; env | grep -E ^SSL_ | sort; env | grep -c PRIVATE";
    for version in VERSIONS {
        let server = serve(&chain.cert, ["--tls-ca", &chain.ca, "--sh", script]);
        let ops = format!("version={version} cert={ann} name=localhost close read");
        let said = python_client(server.port(), ops).run().text();
        let cipher = match version {
            "1.2" => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            _ => "TLS_AES_256_GCM_SHA384",
        };
        let pem = fs::read_to_string(&ann).unwrap();
        let hash = fingerprint(&pem);
        let wanted = format!(
            "SSL_CIPHER={cipher}\nSSL_PEER_CERT_HASH=SHA256:{hash}\nSSL_PEER_CERT_SUBJECT=CN=Ann of Test\n\
             SSL_PROTOCOL=TLSv{version}\nSSL_TLS_SNI_SERVERNAME=localhost\n0\n<eof>\n"
        );
        assert_eq!(said, wanted);
    }
    // Without a certificate, and of a client that asks for no name; nothing of what we have inherited.
    let server =
        sockctl(["serve", "127.0.0.1:0", "--tls", "--tls-cert", &chain.cert, "--sh", script]);
    let server = server.env("SSL_PEER_CERT_SUBJECT", "CN=forged").start();
    client(&server, &chain.ca, "").run().is(
        0,
        "SSL_CIPHER=TLS_AES_256_GCM_SHA384\nSSL_PROTOCOL=TLSv1.3\n0\n",
        "",
    );
}

#[test]
fn every_handler_serves_it() {
    let chain = Chain::new();
    let with = |words: &str| serve(&chain.cert, words);
    let ask =
        |server: &Running, input: &str| client(server, &chain.ca, "").input(input.as_bytes()).run();
    let bytes = pattern(3_000_017);
    for words in ["--echo", "-- cat", "--sh cat", "--sh 'exec tee /dev/null'"] {
        let server = with(words);
        client(&server, &chain.ca, "").input(&bytes[..]).run().is(0, &bytes, "");
    }
    ask(&with("--discard"), "x").is(0, "", "");
    ask(&with("--reply 'bye\\n'"), "").is(0, "bye\n", "");
    ask(&with("--when '^PING$' 'PONG\\n' --when x y"), "PING\nx\n").is(0, "PONG\ny", "");
    ask(&with("--send 'who? ' --expect '^(.*)$' --send ok"), "me\n").is(0, "who? ok", "");
    // A program that fails, and one that writes nothing more once its input has ended.
    let server = with("--sh 'cat; exit 3'");
    ask(&server, "x").is(0, "x", "");
    ask(&with("--sh 'echo early; cat >/dev/null; sleep 0.3; echo late'"), "x").is(
        0,
        "early\nlate\n",
        "",
    );
    // The conversation in a pipe, both ways.
    let mut server = with("--once");
    server.feed(bytes.clone());
    let address = server.address();
    client(&address, &chain.ca, "").input("to the server").run().is(0, &bytes, "");
    server.finish().gives(0, "to the server");
    // Two clients of one conversation.
    let mut server = with("");
    let clients: Vec<_> = (1..=2)
        .map(|number| {
            let client = client(&server, &chain.ca, "").start();
            server.stderr_has(&format!("[{number}] 127.0.0.1"));
            client
        })
        .collect();
    server.send("to all\n");
    for mut client in clients {
        client.stdout_has("to all\n");
        client.send("back\n").close();
        server.close();
        client.ends().is(0, "to all\n", "");
    }
    assert_eq!(server.stdout_bytes(10), b"back\nback\n");
    // Two clients of a broker.
    let broker = with("--broker");
    let [mut one, two] = [(); 2].map(|()| client(&broker, &chain.ca, "").start());
    until("both are in", || broker.stderr_has(" joined\n").matches(" joined\n").count() == 2);
    one.send(&bytes[..100_000]);
    two.stdout_bytes(100_000);
    one.finish().is(0, "", "");
    two.finish().is(0, &bytes[..100_000], "");
}

#[test]
fn ends_are_passed_on_and_what_is_cut_off_is_no_end() {
    let chain = Chain::new();
    for version in VERSIONS {
        let talk = |words: &str, ops: &str| {
            let server = serve(&chain.cert, words);
            python_client(server.port(), format!("version={version} {ops}")).run().text()
        };
        // A program that ends: all it wrote, and its end.
        assert_eq!(talk("--sh 'echo bye'", "read"), "bye\n<eof>\n");
        // One that is killed, an idle timeout, a reset: no close_notify.
        for (words, sent) in [
            ("--sh 'echo bye; kill -9 $$'", "bye\n"),
            ("--send bye --pause 60s -i 300ms", "bye"),
            ("--send bye --pause 300ms --reset", "bye"),
        ] {
            let said = talk(words, "read");
            assert!(said.starts_with(sent), "{words}: {said}");
            assert!(said.ends_with("<reset>\n"), "{words}: {said}");
        }
        // A server that stops with nothing to send.
        let server = serve(&chain.cert, "--echo");
        let ops = format!("version={version} send:hi take:2 read");
        let client = python_client(server.port(), ops).start();
        client.stdout_has("hi\n");
        server.signal("TERM");
        assert_eq!(client.finish().text(), "hi\n<eof>\n");
        assert_eq!(server.finish().code, 0);
    }
}

#[test]
fn a_session_is_resumed_by_its_ticket() {
    let chain = Chain::new();
    for version in VERSIONS {
        let server = serve(&chain.cert, "--echo --json");
        let ops = format!("version={version} count=3 send:hi take:2 what close read");
        let said = python_client(server.port(), ops).run().text();
        let resumed: Vec<_> = said.lines().filter(|line| line.contains("resumed=")).collect();
        assert_eq!(resumed.len(), 3, "{said}");
        assert!(resumed[0].contains("resumed=False"), "{said}");
        assert!(resumed[1..].iter().all(|line| line.contains("resumed=True")), "{said}");
    }
}

#[test]
fn the_server_prefers_among_the_protocols() {
    let chain = Chain::new();
    let server = serve(&chain.cert, "--echo --tls-alpn h2 --tls-alpn http/1.1");
    for (offers, agreed) in [
        ("alpn=http/1.1,h2", "alpn=h2 "),
        ("alpn=x,http/1.1", "alpn=http/1.1 "),
        ("", "alpn=None "),
    ] {
        let said = python_client(server.port(), format!("{offers} what close read")).run().text();
        assert!(said.contains(agreed), "{said}");
    }
    let said = python_client(server.port(), "alpn=x what").run().text();
    assert!(said.starts_with("handshake: "), "{said}");
    server.stderr_has(" refused: ");
    let done = client(&server, &chain.ca, "--tls-alpn x").run();
    assert_eq!(done.code, 7, "{}", done.stderr);
    assert!(done.stderr.contains("no_application_protocol"), "{}", done.stderr);
}

#[test]
fn the_files_are_read_again_at_sighup() {
    let chain = Chain::new();
    let words = ["serve", "127.0.0.1:0", "--tls", "--echo", "--tls-cert", &chain.cert];
    let server = program("setsid", ["-w", BINARY]).args(words).start();
    let address = server.address();
    let hang_up = || {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.id()));
        let children = children.unwrap();
        let id = children.split_whitespace().next().unwrap_or_default().to_owned();
        let id = if id.is_empty() { server.id().to_string() } else { id };
        assert_eq!(program("kill", ["-HUP", &id]).run().code, 0);
    };
    let mut old = client(&address, &chain.ca, "").start();
    old.send("one\n").stdout_has("one\n");
    let new = chain.intermediate.sign(&params(&["127.0.0.1"]));
    let new_pin = pin(&new);
    let good = fs::read(&chain.cert).unwrap();
    fs::write(&chain.cert, new + &chain.intermediate.pem).unwrap();
    hang_up();
    until("the new one is shown", || {
        let done =
            sockctl(format!("connect --tls {address} --tls-pin {new_pin} --send x --expect x"));
        done.run().code == 0
    });
    // Who is there stays.
    old.send("two\n").stdout_has("two\n");
    old.finish().is(0, "one\ntwo\n", "");
    // A bad file is a warning, and the one before holds.
    fs::write(&chain.cert, "no certificate").unwrap();
    hang_up();
    server.stderr_has("sockctl: warning: ");
    client(&address, &chain.ca, "").input("hi").run().is(0, "hi", "");
    fs::write(&chain.cert, good).unwrap();
    hang_up();
    until("the old one is back", || {
        let pin = &chain.pin;
        let done = sockctl(format!("connect --tls {address} --tls-pin {pin} --send x --expect x"));
        done.run().code == 0
    });
    let said = server.stderr_has("warning");
    assert_eq!(said.matches("warning: ").count(), 1, "{said}");
}

#[test]
fn unproved_clients_take_no_place() {
    let chain = Chain::new();
    let server = serve(&chain.cert, "--echo -m 1 --on-full reject -v");
    let silent: Vec<_> = (0..4).map(|_| server.connect()).collect();
    let mut first = client(&server, &chain.ca, "").start();
    first.send("hi\n").stdout_has("hi\n");
    let second = client(&server, &chain.ca, "").input("hi").run();
    assert_ne!(second.code, 0, "{}", second.stderr);
    assert!(second.stdout.is_empty());
    first.finish().is(0, "hi\n", "");
    drop(silent);
    // --once is for the first that has shaken hands.
    let once = serve(&chain.cert, "--once --echo");
    let silent = once.connect();
    client(&once, &chain.ca, "").input("hi").run().is(0, "hi", "");
    assert_eq!(once.finish().code, 0);
    drop(silent);
}

#[test]
fn private_keys_are_nowhere() {
    let chain = Chain::new();
    let ann = chain.client("ann.pem", "Ann", "");
    let script = "cat >/dev/null; cat /proc/self/environ /proc/self/cmdline; ls -l /proc/self/fd";
    let talk = "-v --trace --hex -";
    let words = format!("{talk} --tls-ca {} --sh '{script}'", chain.ca);
    let server = serve(&chain.cert, words);
    let words = format!("--tls-cert {ann} {talk}");
    let done = client(&server, &chain.ca, words).input("payload").run();
    assert_eq!(done.code, 0, "{}", done.stderr);
    let json =
        client(&server, &chain.ca, format!("--tls-cert {ann} --json --trace")).input("x").run();
    assert_eq!(json.code, 0, "{}", json.stderr);
    server.signal("TERM");
    let said = [
        server.finish().stderr,
        done.stderr,
        json.stderr,
        String::from_utf8_lossy(&done.stdout).into(),
    ];
    for file in [&chain.cert, &ann] {
        let pem = fs::read_to_string(file).unwrap();
        let (_, key) = pem.split_once("-----BEGIN PRIVATE KEY-----\n").unwrap();
        let base64: String = key.split("-----END").next().unwrap().split_whitespace().collect();
        for text in &said {
            let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            // Behind what all keys of the kind begin with.
            assert!(!squeezed.contains(&base64[60..80]), "{text}");
            assert!(!text.contains("PRIVATE KEY"), "{text}");
            assert!(
                !text.contains(file.rsplit('/').next().unwrap()) || text.contains("--tls-cert"),
                "{text}"
            );
        }
    }
}

#[test]
fn the_key_log_is_written_with_a_warning() {
    let chain = Chain::new();
    let path = chain.folder.text("keys.log");
    let words = ["serve", "127.0.0.1:0", "--tls", "--echo", "--tls-cert", &chain.cert];
    let server = sockctl(words).env("SSLKEYLOGFILE", &path).start();
    let warning = format!(
        "sockctl: warning: SSLKEYLOGFILE: anyone who can read {path} can decrypt these sessions\n"
    );
    client(&server, &chain.ca, "").input("hi").run().is(0, "hi", "");
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("CLIENT_TRAFFIC_SECRET_0 ") && text.contains("SERVER_TRAFFIC_SECRET_0 "),
        "{text}"
    );
    client(&server, &chain.ca, "")
        .env("SSLKEYLOGFILE", &path)
        .input("hi")
        .run()
        .is(0, "hi", &warning);
    server.signal("TERM");
    let said = server.finish().stderr;
    assert_eq!(said.matches(&warning).count(), 1, "{said}");
}
