//! TLS with other programs in both roles: OpenSSL's own, curl, socat, ncat, nginx, redis, stunnel and
//! haproxy. 10 MiB go both ways, byte for byte, and both sides end as they should.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::run::{
    Folder, Program, Running, free_port, is_like, is_taken, pattern, program, sockctl, until,
};
use crate::tls::certificates::{Authority, Chain, params};
use crate::tls::peers::{client, server};

const LOCAL: &[&str] = &["localhost", "127.0.0.1"];

/// 10 MiB.
fn payload() -> Vec<u8> {
    pattern(10 << 20)
}

/// The same as a file.
fn payload_file(folder: &Folder) -> String {
    folder.file("payload", payload())
}

/// A program of which something listens at this port of 127.0.0.1 soon.
#[track_caller]
pub fn listens(program: Program, port: u16) -> Running {
    let mut running = program.start();
    until("it listens", || {
        assert!(running.is_running(), "{}", running.stderr_has(""));
        is_taken(port)
    });
    running
}

/// A certificate and its key, by OpenSSL, in one file.
fn by_openssl(folder: &Folder, kind: &str) -> String {
    let path = folder.text("by-openssl.pem");
    let words = format!(
        "req -x509 -nodes -days 30 -subj /CN=localhost -newkey {kind} -keyout {path} -out {path}.crt \
         -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=CA:FALSE"
    );
    assert_eq!(program("openssl", words).run().code, 0);
    let both =
        fs::read_to_string(format!("{path}.crt")).unwrap() + &fs::read_to_string(&path).unwrap();
    fs::write(&path, both).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Certificates of all kinds of keys: each with what a client trusts.
fn kinds(chain: &Chain) -> Vec<(&'static str, String, String)> {
    let rsa = by_openssl(&chain.folder, "rsa:2048");
    let ed25519 =
        chain.intermediate.sign_key(&rcgen::PKCS_ED25519, &params(LOCAL)) + &chain.intermediate.pem;
    let ed25519 = chain.folder.file("ed25519.pem", ed25519);
    vec![
        ("ECDSA", chain.cert.clone(), chain.ca.clone()),
        ("Ed25519", ed25519, chain.ca.clone()),
        ("RSA", rsa.clone(), rsa),
    ]
}

#[test]
#[ignore = "needs openssl"]
fn openssl_s_client_talks_to_our_server() {
    let chain = Chain::new();
    for (kind, cert, ca) in kinds(&chain) {
        for version in ["tls1_2", "tls1_3"] {
            let mut server = server(&cert, "--once");
            let port = server.port();
            let mut talk = program(
                "openssl",
                format!(
                    "s_client -connect 127.0.0.1:{port} -{version} -CAfile {ca} -verify_return_error \
                     -verify_hostname localhost -servername localhost -quiet"
                ),
            )
            .start();
            let (mut there, mut here) = (talk.take_stdin(), server.take_stdin());
            std::thread::scope(|scope| {
                use std::io::Write;
                scope.spawn(|| there.write_all(&payload()).unwrap());
                scope.spawn(|| here.write_all(&payload()).unwrap());
                let count = payload().len();
                assert!(server.stdout_bytes(count) == payload(), "{kind} {version}");
                assert!(talk.stdout_bytes(count) == payload(), "{kind} {version}");
            });
            // Our close_notify ends it.
            drop(here);
            let done = talk.ends();
            assert_eq!((done.code, done.stdout.len()), (0, payload().len()), "{}", done.stderr);
            drop(there);
            let end = server.ends();
            assert_eq!(end.code, 0, "{kind} {version}: {}", end.stderr);
        }
    }
}

#[test]
#[ignore = "needs openssl"]
fn openssl_s_server_talks_to_our_client() {
    let chain = Chain::new();
    for (kind, cert, ca) in kinds(&chain) {
        for version in ["tls1_2", "tls1_3"] {
            let port = free_port();
            let words = format!(
                "s_server -accept 127.0.0.1:{port} -{version} -cert {cert} -cert_chain {cert} -quiet -naccept 1"
            );
            let mut talk = listens(program("openssl", words), port);
            let mut ours = client(format!("localhost:{port}"), &ca, "").start();
            let (mut there, mut here) = (talk.take_stdin(), ours.take_stdin());
            std::thread::scope(|scope| {
                use std::io::Write;
                scope.spawn(|| there.write_all(&payload()).unwrap());
                scope.spawn(|| here.write_all(&payload()).unwrap());
                let count = payload().len();
                assert!(ours.stdout_bytes(count) == payload(), "{kind} {version}");
                assert!(talk.stdout_bytes(count) == payload(), "{kind} {version}");
            });
            // Its end is our close_notify, which it answers.
            drop(here);
            ours.ends().is(0, payload(), "");
            let done = talk.ends();
            assert_eq!((done.code, done.stdout.len()), (0, payload().len()), "{}", done.stderr);
            drop(there);
        }
    }
}

#[test]
#[ignore = "needs openssl"]
fn openssl_checks_and_shows_client_certificates() {
    let chain = Chain::new();
    let ann = chain.client("ann.pem", "Ann", "");
    let eve = Authority::root("Other", |_| ()).sign(&crate::tls::certificates::client("Eve", ""));
    let eve = chain.folder.file("eve.pem", eve);
    for version in ["tls1_2", "tls1_3"] {
        // s_client's, at our server.
        let server = server(&chain.cert, format!("--reply hello --tls-ca {}", chain.ca));
        let ask = |more: &str| {
            let words = format!(
                "s_client -connect {server} -{version} -CAfile {} -verify_return_error -quiet {more}",
                chain.ca
            );
            program("openssl", words).run()
        };
        let done = ask(&format!("-cert {ann} -key {ann} -cert_chain {ann}"));
        assert_eq!((done.code, done.stdout.as_slice()), (0, &b"hello"[..]), "{}", done.stderr);
        for more in [String::new(), format!("-cert {eve} -key {eve}")] {
            let done = ask(&more);
            assert_eq!((done.code, done.stdout.len()), (1, 0), "{more} {}", done.stderr);
        }
        // Ours, at s_server.
        for (cert, code) in [(Some(&ann), 0), (Some(&eve), 9), (None, 9)] {
            let port = free_port();
            let words = format!(
                "s_server -accept 127.0.0.1:{port} -{version} -cert {0} -cert_chain {0} -CAfile {1} \
                 -Verify 3 -verify_return_error -quiet -rev",
                chain.cert, chain.ca
            );
            let talk = listens(program("openssl", words), port);
            let words = cert.map_or(String::new(), |cert| format!("--tls-cert {cert}"));
            let words = format!("{words} --send 'abc\\n' --expect '^cba$'");
            let done = client(format!("localhost:{port}"), &chain.ca, words).run();
            assert_eq!(done.code, code, "{version} {cert:?} {}", done.stderr);
            drop(talk);
        }
    }
}

#[test]
#[ignore = "needs openssl"]
fn openssl_agrees_on_protocols_and_resumes_sessions() {
    let chain = Chain::new();
    let server = server(&chain.cert, "--reply hello --tls-alpn h2 --tls-alpn http/1.1");
    let session = chain.folder.text("session");
    for version in ["tls1_2", "tls1_3"] {
        for (use_session, is_reused) in [("-sess_out", "New, "), ("-sess_in", "Reused, ")] {
            let words = format!(
                "s_client -connect {server} -{version} -CAfile {} -alpn x,http/1.1 {use_session} {session}",
                chain.ca
            );
            // It reads until the server's end, and so the tickets of TLS 1.3.
            let mut talk = program("openssl", words).start();
            let said = talk.stdout_has("closed\n");
            talk.close();
            assert!(said.contains("ALPN protocol: http/1.1\n"), "{said}");
            assert!(said.contains(is_reused), "{version} {use_session}: {said}");
        }
    }
    let port = free_port();
    let words = format!(
        "s_server -accept 127.0.0.1:{port} -cert {0} -cert_chain {0} -alpn http/1.1,h2 -quiet -rev",
        chain.cert
    );
    let _talk = listens(program("openssl", words), port);
    let words = "--tls-alpn h2 --tls-alpn http/1.1 --json --send 'abc\\n' --expect '^cba$'";
    let done = client(format!("localhost:{port}"), &chain.ca, words).run();
    let said = done.gives(0, "cba\n");
    assert!(said.contains(r#""alpn":"http/1.1""#), "{said}");
}

#[test]
#[ignore = "needs openssl"]
fn keys_are_updated_on_either_sides_wish() {
    let chain = Chain::new();
    // K asks for the other side's update, too, k does not.
    let server = server(&chain.cert, "--echo");
    let words = format!("s_client -connect {server} -tls1_3 -CAfile {} -brief", chain.ca);
    let mut talk = program("openssl", words).start();
    talk.stderr_has("CONNECTION ESTABLISHED");
    let mut sent = String::new();
    for command in ["K\n", "k\n", "K\n"] {
        talk.send(command);
        let count = sent.matches('\n').count();
        until("it is done", || talk.stderr_has("").matches("KEYUPDATE").count() > count);
        let line = format!("after {count}\n");
        talk.send(&line);
        sent += &line;
        talk.stdout_has(&sent);
    }
    let done = talk.finish();
    assert_eq!((done.code, done.stdout.as_slice()), (0, sent.as_bytes()), "{}", done.stderr);
    let port = free_port();
    let words = format!(
        "-o0 openssl s_server -accept 127.0.0.1:{port} -tls1_3 -cert {0} -cert_chain {0} -naccept 1",
        chain.cert
    );
    let mut talk = listens(program("stdbuf", words), port);
    let mut ours = client(format!("localhost:{port}"), &chain.ca, "").start();
    ours.send("hello\n");
    talk.stdout_has("hello\n");
    let mut sent = String::new();
    for (number, command) in ["K\n", "k\n", "K\n"].into_iter().enumerate() {
        talk.send(command);
        // As s_server says of each.
        let is_done = || talk.stdout_has("").matches("SSL_do_handshake -> ").count() > number;
        until("it is done", is_done);
        let line = format!("after {number}\n");
        talk.send(&line);
        sent += &line;
        ours.stdout_has(&sent);
        ours.send(&line);
        talk.stdout_has(&line);
    }
    ours.close();
    ours.ends().is(0, sent, "");
}

#[test]
#[ignore = "needs openssl"]
fn a_renegotiation_is_refused_and_ends_that_connection_alone() {
    let chain = Chain::new();
    let server = server(&chain.cert, "--echo");
    let words = format!("s_client -connect {server} -tls1_2 -CAfile {} -brief", chain.ca);
    let mut talk = program("openssl", words).start();
    talk.send("before\n").stdout_has("before\n");
    talk.send("R\n");
    talk.stderr_has("no renegotiation");
    talk.finish();
    let said = server.stderr_has("sockctl: ");
    let line = said.lines().last().unwrap();
    let wanted =
        "sockctl: connection from 127.0.0.1:…: the peer ended TLS with the alert handshake_failure";
    assert!(is_like(wanted, line), "{line}");
    client(&server, &chain.ca, "").input("hi").run().is(0, "hi", "");
    let port = free_port();
    let words = format!(
        "s_server -accept 127.0.0.1:{port} -tls1_2 -cert {0} -cert_chain {0} -naccept 1",
        chain.cert
    );
    let mut talk = listens(program("openssl", words), port);
    let mut ours = client(format!("localhost:{port}"), &chain.ca, "").start();
    ours.send("hello\n");
    talk.stdout_has("hello\n");
    talk.send("r\n");
    let why = "the peer ended TLS with the alert handshake_failure";
    ours.ends().is(7, "", format!("sockctl: connection to 127.0.0.1:{port}: {why}\n"));
}

#[test]
#[ignore = "needs openssl"]
fn certificates_of_openssl_are_judged_as_openssl_does() {
    let folder = Folder::new();
    for (kind, code, why) in [
        ("rsa:1024", 9, "its RSA key has 1024 bits, fewer than 2048"),
        ("rsa:3072", 0, ""),
        ("ec -pkeyopt ec_paramgen_curve:P-384", 0, ""),
        ("ec -pkeyopt ec_paramgen_curve:secp256k1", 9, "…"),
    ] {
        let cert = by_openssl(&folder, kind);
        let port = free_port();
        let words = format!(
            "s_server -accept 127.0.0.1:{port} -cert {cert} -cipher ALL:@SECLEVEL=0 -quiet -rev"
        );
        let _talk = listens(program("openssl", words), port);
        let words = "--send 'abc\\n' --expect '^cba$'";
        let done = client(format!("localhost:{port}"), &cert, words).run();
        if code == 0 {
            done.is(0, "cba\n", "");
        } else {
            assert!([7, code].contains(&done.code), "{kind}: {} {}", done.code, done.stderr);
            assert!(is_like(&format!("…{why}\n"), &done.stderr), "{kind}: {}", done.stderr);
        }
    }
}

#[test]
#[ignore = "needs curl"]
fn curl_gets_a_reply() {
    let chain = Chain::new();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", 10 << 20);
    let reply = chain.folder.file("reply", [head.as_bytes(), &payload()].concat());
    for (_, cert, ca) in kinds(&chain) {
        let server = server(&cert, format!("--reply @{reply}"));
        let url = format!("https://localhost:{}/", server.port());
        let pin = server.stderr_has("\n");
        let pin = pin.split("--tls-pin ").nth(1).unwrap().split(')').next().unwrap();
        for words in [
            format!("--cacert {ca}"),
            format!("--cacert {ca} --tls-max 1.2"),
            format!("-k --pinnedpubkey {pin}"),
        ] {
            program("curl", format!("-sS {url} {words}")).run().is(0, payload(), "");
        }
        for (words, code) in [(String::new(), 60), (format!("-k --pinnedpubkey {}", chain.pin), 90)]
        {
            if code == 90 && pin == chain.pin {
                continue;
            }
            let done = program("curl", format!("-sS {url} {words}")).run();
            assert_eq!((done.code, done.stdout.len()), (code, 0), "{}", done.stderr);
        }
    }
}

#[test]
#[ignore = "needs socat"]
fn socat_talks_both_ways_in_both_roles() {
    let chain = Chain::new();
    let echo = server(&chain.cert, "--echo");
    let words = format!(
        "-t30 - OPENSSL:127.0.0.1:{},cafile={},commonname=localhost",
        echo.port(),
        chain.ca
    );
    program("socat", words).input(payload()).run().is(0, payload(), "");
    let port = free_port();
    let words =
        format!("-t30 OPENSSL-LISTEN:{port},bind=127.0.0.1,cert={},verify=0 EXEC:cat", chain.cert);
    let talk = listens(program("socat", words), port);
    client(format!("localhost:{port}"), &chain.ca, "").input(payload()).run().is(0, payload(), "");
    assert_eq!(talk.finish().code, 0);
    // With certificates on both sides.
    let ann = chain.client("ann.pem", "Ann", "");
    let port = free_port();
    let words = format!(
        "-t30 OPENSSL-LISTEN:{port},bind=127.0.0.1,cert={},cafile={},verify=1 EXEC:cat",
        chain.cert, chain.ca
    );
    let _talk = listens(program("socat", words), port);
    let done =
        client(format!("localhost:{port}"), &chain.ca, ["--tls-cert", &ann]).input("hi").run();
    done.is(0, "hi", "");
    let asking = server(&chain.cert, format!("--echo --tls-ca {}", chain.ca));
    let address =
        format!("OPENSSL:127.0.0.1:{},cafile={},commonname=localhost", asking.port(), chain.ca);
    program("socat", format!("-t30 - {address},cert={ann}")).input("hi").run().is(0, "hi", "");
}

#[test]
#[ignore = "needs ncat"]
fn ncat_talks_both_ways_in_both_roles() {
    let chain = Chain::new();
    let echo = server(&chain.cert, "--echo");
    let words =
        format!("--ssl --ssl-verify --ssl-trustfile {} localhost {}", chain.ca, echo.port());
    let done = program("ncat", words).input(payload()).run();
    done.is(0, payload(), "");
    // It sends no close_notify, ever.
    let said = echo.stderr_has("sockctl: ");
    let line = said.lines().last().unwrap();
    let wanted = format!(
        "sockctl: connection from 127.0.0.1:…: truncated after {} bytes: the peer's close_notify did not come",
        10 << 20
    );
    assert!(is_like(&wanted, line), "{line}");
    let port = free_port();
    let words = format!("--ssl --ssl-cert {0} --ssl-key {0} -l 127.0.0.1 {port}", chain.cert);
    let mut talk = listens(program("ncat", words), port);
    let leaf = chain.folder.file("leaf.pem", fs::read(&chain.cert).unwrap());
    let mut ours = client(format!("localhost:{port}"), &leaf, "").start();
    ours.send("first\n");
    talk.stdout_has("first\n");
    talk.send("second\n");
    ours.stdout_has("second\n");
    let mut here = ours.take_stdin();
    std::thread::scope(|scope| {
        use std::io::Write;
        scope.spawn(|| here.write_all(&payload()).unwrap());
        assert!(talk.stdout_bytes(6 + (10 << 20))[6..] == payload());
    });
    let mut there = talk.take_stdin();
    std::thread::scope(|scope| {
        use std::io::Write;
        scope.spawn(|| there.write_all(&payload()).unwrap());
        assert!(ours.stdout_bytes(7 + (10 << 20))[7..] == payload());
    });
    // Its end without close_notify is a truncation.
    talk.signal("TERM");
    let end = ours.ends();
    assert_eq!(end.code, 7, "{}", end.stderr);
    assert!(end.stderr.contains("truncated after 10485767 bytes"), "{}", end.stderr);
    drop((here, there));
}

/// nginx with this in its `server` block; the port is one that it listens on.
pub fn nginx(folder: &Folder, port: u16, site: &str) -> Running {
    let place = folder.path().display();
    let text = format!(
        "daemon off; master_process off; pid {place}/pid; error_log stderr; user root; events {{}}\n\
         http {{ access_log off; client_body_temp_path {place}/b; proxy_temp_path {place}/p;\n\
         fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n\
         server {{ root {place}; {site} }} }}"
    );
    fs::write(folder.at("conf"), text).unwrap();
    listens(program("nginx", format!("-c {place}/conf -p {place}")), port)
}

#[test]
#[ignore = "needs nginx-light"]
fn nginx_serves_a_file_and_asks_for_certificates() {
    let chain = Chain::new();
    payload_file(&chain.folder);
    let ann = chain.client("ann.pem", "Ann", "");
    for (_, cert, ca) in kinds(&chain) {
        for version in ["TLSv1.2", "TLSv1.3"] {
            let port = free_port();
            let site = format!(
                "listen 127.0.0.1:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {cert}; ssl_protocols {version}; \
                 ssl_client_certificate {}; ssl_verify_depth 3; ssl_verify_client optional; \
                 location /who {{ return 200 $ssl_protocol,$ssl_client_s_dn; }}",
                chain.ca
            );
            let _nginx = nginx(&chain.folder, port, &site);
            let get = |path: &str, words: &str| {
                // nginx takes our close_notify for the end of the whole connection.
                let words =
                    format!("{words} --no-half-close --send 'GET {path} HTTP/1.0\\r\\n\\r\\n'");
                let done = client(format!("localhost:{port}"), &ca, words).run();
                assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{version} {path}");
                let body = done.stdout.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
                done.stdout[body + 4..].to_vec()
            };
            assert!(get("/payload", "") == payload());
            assert_eq!(get("/who", ""), format!("{version},").as_bytes());
            let who = get("/who", &format!("--tls-cert {ann} --tls-alpn http/1.1"));
            assert_eq!(who, format!("{version},CN=Ann").as_bytes());
        }
    }
}

#[test]
#[ignore = "needs redis-server"]
fn redis_keeps_megabytes() {
    let chain = Chain::new();
    let port = free_port();
    let words = format!(
        "--port 0 --tls-port {port} --bind 127.0.0.1 --save '' --tls-cert-file {0} --tls-key-file {0} \
         --tls-ca-cert-file {1}",
        chain.cert, chain.ca
    );
    let _redis =
        listens(program("redis-server", words).args("--dir").arg(chain.folder.path()), port);
    let ann = chain.client("ann.pem", "Ann", "");
    let address = format!("localhost:{port}");
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", 10 << 20);
    let input = [set.as_bytes(), &payload(), b"\r\nGET k\r\nQUIT\r\n"].concat();
    // It takes our close_notify for the end of the whole connection.
    let words = format!("--no-half-close --tls-cert {ann}");
    let done = client(&address, &chain.ca, words).input(input).run();
    let head = format!("+OK\r\n${}\r\n", 10 << 20);
    let answer = [head.as_bytes(), &payload(), b"\r\n+OK\r\n"].concat();
    done.is(0, answer, "");
    // It wants a certificate.
    let done = client(&address, &chain.ca, "--send PING\\r\\n --expect PONG").run();
    assert_eq!((done.code, done.stdout.len()), (9, 0), "{}", done.stderr);
    client(
        &address,
        &chain.ca,
        ["--tls-cert", &ann, "--send", "PING\\r\\n", "--expect", "\\+PONG"],
    )
    .run()
    .is(0, "+PONG\r\n", "");
}

#[test]
#[ignore = "needs stunnel4"]
fn stunnel_stands_on_either_side() {
    let chain = Chain::new();
    let plain = sockctl("serve 127.0.0.1:0 --echo").start();
    let encrypted = server(&chain.cert, "--echo");
    let (in_front, behind) = (free_port(), free_port());
    let conf = format!(
        "foreground = yes\npid =\nsyslog = no\n\
         [server]\naccept = 127.0.0.1:{in_front}\nconnect = {plain}\ncert = {}\n\
         [client]\nclient = yes\naccept = 127.0.0.1:{behind}\nconnect = {encrypted}\nCAfile = {}\n\
         verifyChain = yes\ncheckHost = localhost\nsni = localhost\n",
        chain.cert, chain.ca
    );
    let conf = chain.folder.file("stunnel.conf", conf);
    let _stunnel = listens(program("stunnel4", [&conf]), behind);
    until("it listens", || is_taken(in_front));
    // It takes our close_notify for the end of the whole connection.
    let whole = format!("--no-half-close --max-bytes {}", 10 << 20);
    client(format!("localhost:{in_front}"), &chain.ca, whole).input(payload()).run().is(
        0,
        payload(),
        "",
    );
    sockctl(format!("connect {behind}")).input(payload()).run().is(0, payload(), "");
}

#[test]
#[ignore = "needs haproxy"]
fn haproxy_stands_on_either_side() {
    let chain = Chain::new();
    let plain = sockctl("serve 127.0.0.1:0 --echo").start();
    let encrypted = server(&chain.cert, "--echo");
    let (in_front, behind) = (free_port(), free_port());
    let conf = format!(
        "defaults\n mode tcp\n timeout client 1m\n timeout server 1m\n timeout connect 5s\n\
         frontend f\n bind 127.0.0.1:{in_front} ssl crt {}\n default_backend b\n\
         backend b\n server s {plain}\n\
         frontend g\n bind 127.0.0.1:{behind}\n default_backend c\n\
         backend c\n server s {encrypted} ssl verify required ca-file {} verifyhost localhost sni str(localhost)\n",
        chain.cert, chain.ca
    );
    let conf = chain.folder.file("haproxy.conf", conf);
    let _haproxy = listens(program("haproxy", ["-db", "-f", &conf]), behind);
    until("it listens", || is_taken(in_front));
    client(format!("localhost:{in_front}"), &chain.ca, "").input(payload()).run().is(
        0,
        payload(),
        "",
    );
    sockctl(format!("connect {behind}")).input(payload()).run().is(0, payload(), "");
}

#[test]
#[ignore = "needs postfix"]
fn postfix_starts_tls() {
    let chain = Chain::new();
    let (port, place) = (free_port(), chain.folder.path().display().to_string());
    let key = fs::read_to_string(&chain.cert).unwrap();
    // It wants the key first.
    let (certificate, rest) = key.split_at(key.find("-----BEGIN PRIVATE").unwrap());
    let (key, issuers) = rest.split_at(rest.find("-----BEGIN CERT").unwrap());
    let pem = chain.folder.file("postfix.pem", [key, certificate, issuers].concat());
    for name in ["queue", "data", "conf"] {
        fs::create_dir(chain.folder.at(name)).unwrap();
    }
    // Its parts run as a user of its own.
    fs::set_permissions(chain.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(program("chown", ["postfix", &chain.folder.text("data")]).run().code, 0);
    let conf = format!(
        "compatibility_level = 3.6\nqueue_directory = {place}/queue\ndata_directory = {place}/data\n\
         maillog_file = /dev/stdout\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
         alias_maps =\nmyhostname = mail.example.test\nsmtpd_tls_security_level = may\n\
         smtpd_tls_chain_files = {pem}\nsmtpd_relay_restrictions = reject\n"
    );
    fs::write(chain.folder.at("conf/main.cf"), conf).unwrap();
    let services = format!(
        "127.0.0.1:{port} inet n - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd\n\
         rewrite unix - - n - - trivial-rewrite\nanvil unix - - n - 1 anvil\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\nproxymap unix - - n - - proxymap\n"
    );
    fs::write(chain.folder.at("conf/master.cf"), services).unwrap();
    // It makes the folders of its queue.
    let check = program("/usr/sbin/postfix", format!("-c {place}/conf check")).run();
    assert_eq!(check.code, 0, "{}", check.stderr);
    let words = format!("-c {place}/conf -d -e 60");
    let postfix = listens(program("/usr/lib/postfix/sbin/master", words), port);
    let steps = r"--expect '^220 .*\n' --send 'EHLO me\r\n' --expect '^250-STARTTLS(?s:.)*^250 .*\n' --send 'STARTTLS\r\n' --expect '^220 .*\n' --starttls --send 'EHLO me\r\n' --expect '^250 .*\n' --send 'QUIT\r\n' --expect '^221 .*\n' --expect-eof";
    let words = format!("connect localhost:{port} --tls-ca {} {steps}", chain.ca);
    let done = sockctl(words).run();
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{}", postfix.stdout_has(""));
    assert!(done.text().ends_with("221 2.0.0 Bye\r\n"));
    postfix.signal("TERM");
    postfix.finish();
}
