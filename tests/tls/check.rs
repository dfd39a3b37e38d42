//! `connect --check --tls`: whether a certificate is trusted, and why it is not.

use std::io::Write;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    NameConstraints,
};
use serde_json::{Value, json};

use super::certificates::{Authority, DAY, params, self_signed, valid};
use crate::connect::proxy::SOCKS;
use crate::run::{
    Finished, Folder, Running, free_port, is_like, listener, listening, peer, refused, sockctl,
    take,
};

const LOCAL: &[&str] = &["127.0.0.1"];

/// A server that shows what this file has.
fn server(folder: &Folder, pem: &str) -> Running {
    let file = folder.file(&format!("{}.pem", free_port()), pem);
    sockctl(format!("serve --tls --tls-cert {file} --echo --json 127.0.0.1:0")).start()
}

/// A root, its file, and a server with a good certificate of it.
fn trusted(folder: &Folder) -> (Authority, String, Running) {
    let root = Authority::root("root", |_| {});
    let file = root.file(folder);
    let server = server(folder, &root.sign(&params(LOCAL)));
    (root, file, server)
}

fn check(words: impl AsRef<str>) -> Finished {
    sockctl(format!("connect -z --tls {}", words.as_ref())).run()
}

/// `connect -z --tls` with these words; `…` stands for anything in what it prints.
#[track_caller]
fn prints(words: impl AsRef<str>, code: i32, shown: impl AsRef<str>) {
    let done = check(words);
    assert_eq!((done.code, done.stderr.as_str()), (code, ""));
    let (shown, text) = (shown.as_ref(), done.text());
    assert!(is_like(shown, &text), "   got: {text}\nwanted: {shown}");
}

/// What is shown of a server with this certificate.
#[track_caller]
fn shows(folder: &Folder, pem: &str, words: &str, code: i32, shown: &str) {
    let server = server(folder, pem);
    prints(format!("{server} {words}"), code, format!("{server} {shown}\n"));
}

/// These parameters, changed like this.
fn changed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = params(names);
    change(&mut params);
    params
}

#[test]
fn a_certificate_that_is_trusted_is_described_in_a_line() {
    let folder = Folder::new();
    let root = Authority::root("root", |_| {});
    let ca = format!("--tls-ca {}", root.file(&folder));
    let open = |names: &str| format!("open TLSv1.3 {names}, 57 days left, sha256//…=");
    shows(&folder, &root.sign(&params(LOCAL)), &ca, 0, &open("127.0.0.1"));
    let intermediate = root.intermediate("intermediate");
    let chain = intermediate.sign(&params(LOCAL)) + &intermediate.pem;
    shows(&folder, &chain, &ca, 0, &open("127.0.0.1"));
    let many = params(&["127.0.0.1", "a.test", "b.test", "c.test", "d.test", "e.test"]);
    let names = "127.0.0.1 a.test b.test c.test and 2 more";
    shows(&folder, &root.sign(&many), &ca, 0, &open(names));
    let wildcard = root.sign(&params(&["*.example.org"]));
    let words = format!("{ca} --tls-name a.example.org");
    shows(&folder, &wildcard, &words, 0, &open("*.example.org"));
    let words = format!("{ca} --tls-name a.b.example.org");
    let other = "open CERT_WRONG_NAME (it is for *.example.org, not for a.b.example.org)";
    shows(&folder, &wildcard, &words, 9, other);
}

#[test]
fn dates_names_and_purposes_that_do_not_fit_are_told_apart() {
    let folder = Folder::new();
    let root = Authority::root("root", |_| {});
    let ca = format!("--tls-ca {}", root.file(&folder));
    let bad = |params, shown| shows(&folder, &root.sign(&params), &ca, 9, shown);
    let past = changed(LOCAL, |params| {
        valid(params, -30, Duration::ZERO);
        params.not_after -= DAY * 2;
    });
    bad(past, "open CERT_EXPIRED (it expired on 20…Z)");
    bad(
        changed(LOCAL, |params| valid(params, 3, DAY * 9)),
        "open CERT_NOT_YET_VALID (it is not valid before 20…Z)",
    );
    bad(
        params(&["example.org"]),
        "open CERT_WRONG_NAME (it is for example.org, not for 127.0.0.1; if that is meant: \
         --tls-name example.org)",
    );
    bad(params(&["127.0.0.2"]), "open CERT_WRONG_NAME (it is for 127.0.0.2, not for 127.0.0.1; …)");
    let for_clients = changed(LOCAL, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    bad(for_clients, "open CERT_WRONG_PURPOSE (it is for another purpose)");
}

#[test]
fn issuers_that_are_not_trusted_are_told_apart() {
    let folder = Folder::new();
    let root = Authority::root("root", |_| {});
    let ca = format!("--tls-ca {}", root.file(&folder));
    let pin = "; to trust it: --tls-pin sha256//…=";
    let alone = format!("open CERT_SELF_SIGNED (it is self-signed{pin})");
    shows(&folder, &self_signed(&params(LOCAL)), &ca, 9, &alone);
    // Also where the system trusts another one of that name, as Debian does for localhost.
    let local = changed(&["localhost"], |params| {
        params.distinguished_name.push(DnType::CommonName, "localhost");
    });
    shows(&folder, &self_signed(&local), "", 9, &alone);
    let of_ca = changed(LOCAL, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let shown = format!("open CERT_SELF_SIGNED (it is …{pin})");
    shows(&folder, &self_signed(&of_ca), &ca, 9, &shown);

    let unknown = format!("open CERT_UNKNOWN_ISSUER (…{pin}, or --tls-ca FILE with its issuer)");
    let stranger = Authority::root("stranger", |_| {});
    shows(&folder, &stranger.sign(&params(LOCAL)), &ca, 9, &unknown);
    let without_chain = root.intermediate("intermediate").sign(&params(LOCAL));
    shows(&folder, &without_chain, &ca, 9, &unknown);
    // The system's roots.
    shows(&folder, &root.sign(&params(LOCAL)), "", 9, &unknown);

    let constrained = Authority::root("root", |params| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("example.org".into())];
        params.name_constraints =
            Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    });
    let file = folder.file("constrained.pem", &constrained.pem);
    shows(
        &folder,
        &constrained.sign(&params(&["example.com"])),
        &format!("--tls-ca {file} --tls-name example.com"),
        9,
        "open CERT_NAME_CONSTRAINT (its issuer may not sign for its names)",
    );
}

/// A TLS server in Python, for one client, that shows the file `argv[1]`. With `argv[2]` it asks for a
/// certificate signed by that, and speaks the version `argv[3]` at most.
const TLS_SERVER: &str = "import socket, ssl, sys, time
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.set_ciphers('DEFAULT:@SECLEVEL=0')
context.load_cert_chain(sys.argv[1])
if len(sys.argv) > 2:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(sys.argv[2])
    context.maximum_version = getattr(ssl.TLSVersion, sys.argv[3])
server = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % server.getsockname()[1], file=sys.stderr)
try: stream = context.wrap_socket(server.accept()[0], server_side=True); print(stream.recv(10))
except Exception as e: print(e)
time.sleep(60)";

#[test]
fn a_key_that_is_too_short_is_told_even_where_it_is_trusted() {
    let folder = Folder::new();
    // openssl req -x509 -newkey rsa:1024, valid for a hundred years; neither rcgen nor ring have such keys.
    let pem = include_str!("weak.pem");
    let file = folder.file("weak.pem", pem);
    for trust in [format!("--tls-ca {file} --tls-name weak.test"), "--tls-name weak.test".into()] {
        let (_server, at) = listening(TLS_SERVER, [&file]);
        let weak = "open CERT_WEAK (its RSA key has 1024 bits, fewer than 2048)";
        prints(format!("{at} {trust}"), 9, format!("{at} {weak}\n"));
    }
}

#[test]
fn a_pin_is_shown_and_can_be_pasted() {
    let folder = Folder::new();
    let server = server(&folder, &self_signed(&params(&["a.test"])));
    let text = check(server.address()).text();
    let pin = text.split_once("--tls-pin ").unwrap().1.trim_end_matches(")\n");
    let open = format!("{server} open TLSv1.3 a.test, 57 days left, {pin}\n");
    prints(format!("{server} --tls-pin {pin}"), 0, &open);
    let other = format!("sha256//{}", "A".repeat(43) + "=");
    prints(
        format!("{server} --tls-pin {other}"),
        9,
        format!(
            "{server} open CERT_WRONG_PIN (it is not the one that --tls-pin names, but {pin})\n"
        ),
    );
    let done = check(format!("{server} --tls-insecure"));
    done.is(0, &open, "sockctl: warning: --tls-insecure: …\n");
    // By a fingerprint, which -v shows.
    let text = check(format!("-v {server} --tls-pin {pin}")).text();
    let detail = text.rsplit_once(" (").unwrap().1.trim_end_matches(")\n");
    let detail: Vec<&str> = detail.split(", ").collect();
    let &[cipher, until, fingerprint] = detail.as_slice() else { panic!("{text}") };
    assert!(cipher.starts_with("TLS_") && until.starts_with("until 20"), "{text}");
    prints(format!("{server} --tls-pin {fingerprint}"), 0, &open);
    // Also of one that is not trusted.
    let text = check(format!("-v {server}")).text();
    assert!(is_like(&format!("{server} open CERT_SELF_SIGNED (…) TLSv1.3 a.test, …)\n"), &text));
}

#[test]
fn one_json_object_has_it_all() {
    let folder = Folder::new();
    let (root, ca, good) = trusted(&folder);
    let bad = server(&folder, &root.sign(&params(&["a.test"])));
    let done = check(format!("--json {good} {bad} 127.0.0.1:1 --tls-ca {ca} --tls-alpn h2"));
    assert_eq!((done.code, done.stderr.as_str()), (9, ""));
    let text = done.text();
    let objects: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, second, third] = objects.as_slice() else { panic!("{text}") };
    let wanted = json!({
        "event": "check", "address": good.address(), "state": "open", "result": 0,
        "ms": first["ms"], "version": "TLSv1.3", "cipher": first["cipher"], "name": "127.0.0.1",
        "names": ["127.0.0.1"], "not_after": first["not_after"], "days_left": 57,
        "pin": first["pin"], "fingerprint": first["fingerprint"], "verified": true,
    });
    assert_eq!(*first, wanted);
    assert!(first["ms"].as_f64().unwrap() > 0.0);
    assert_eq!(first["fingerprint"].as_str().unwrap().len(), 64);
    let wanted = ["CERT_WRONG_NAME", "a.test", "open"];
    assert_eq!([&second["code"], &second["names"][0], &second["state"]], wanted);
    assert_eq!((&second["verified"], &second["result"]), (&json!(false), &json!(0)));
    assert!(second["reason"].as_str().unwrap().starts_with("it is for a.test, not for 127.0.0.1"));
    let wanted = json!({"event": "check", "address": "127.0.0.1:1", "state": "closed",
        "result": 111, "errno": "ECONNREFUSED", "ms": third["ms"]});
    assert_eq!(*third, wanted);
}

#[test]
fn a_certificate_that_ends_soon_is_a_failure() {
    let folder = Folder::new();
    let root = Authority::root("root", |_| {});
    let ca = root.file(&folder);
    let mut soon = params(LOCAL);
    // A minute behind the edge.
    valid(&mut soon, -1, DAY * 14 + Duration::from_secs(60));
    let server = server(&folder, &root.sign(&soon));
    let words = format!("{server} --tls-ca {ca} --expires-within");
    let open = format!("{server} open TLSv1.3 127.0.0.1, 14 days left, sha256//…=\n");
    for within in ["14d", "336h", "0", "20160m"] {
        prints(format!("{words} {within}"), 0, &open);
    }
    let expiring = format!("{server} open CERT_EXPIRES_SOON (it ends on 20…Z, 14 days left)\n");
    for within in ["14.01d", "15d", "337h", "20162m", "90d"] {
        prints(format!("{words} {within}"), 9, &expiring);
    }
    // A line of cron: nothing is printed while all is well.
    prints(format!("{words} 14d -q"), 0, "");
    prints(format!("{words} 15d -q"), 9, &expiring);
    let text = check(format!("{words} 15d --json -q")).text();
    let object: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        [&object["verified"], &object["code"], &object["days_left"]],
        [&json!(true), &json!("CERT_EXPIRES_SOON"), &json!(14)]
    );
    // An untrusted one is untrusted first; one that a pin trusts can have expired.
    prints(
        format!("{server} --tls-ca {ca} --tls-name a.test --expires-within 15d"),
        9,
        format!("{server} open CERT_WRONG_NAME (…)\n"),
    );
    let mut past = params(LOCAL);
    valid(&mut past, -9, Duration::ZERO);
    past.not_after -= DAY + DAY / 2;
    let expired = self::server(&folder, &self_signed(&past));
    let text = check(format!("{expired} --tls-insecure -q --json")).text();
    let object: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["days_left"], -2);
    let pin = object["pin"].as_str().unwrap();
    let open = format!("{expired} open TLSv1.3 127.0.0.1, expired 2 days ago, {pin}\n");
    prints(format!("{expired} --tls-pin {pin}"), 0, open);
    let over = format!("{expired} open CERT_EXPIRED (it expired on 20…Z)\n");
    prints(format!("{expired} --tls-pin {pin} --expires-within 0"), 9, over);
}

#[test]
fn a_peer_that_speaks_no_tls_stalls_or_goes_is_told_apart() {
    let talk = |said: &'static [u8]| {
        peer(move |mut stream| {
            take(&stream, 100);
            stream.write_all(said).unwrap();
            stream
        })
    };
    let ssh = talk(b"SSH-2.0-x\r\n");
    prints(
        ssh.to_string(),
        7,
        format!("{ssh} open NO_TLS (the server does not speak TLS: it sent 'SSH-2.0-x')\n"),
    );
    let old = talk(b"\x15\x03\x03\0\x02\x02\x46");
    prints(
        old.to_string(),
        7,
        format!(
            "{old} open TLS_FAILED (the server ended the handshake with the alert protocol_version)\n"
        ),
    );
    let gone = peer(|stream| drop(take(&stream, 100)));
    prints(gone.to_string(), 7, format!("{gone} open ECONNRESET (104)\n"));
    let (_silent, at) = listener();
    prints(format!("{at} -w 0.2"), 4, format!("{at} open ETIMEDOUT (110)\n"));
    prints(format!("{at} --deadline 0.2"), 4, format!("{at}…ETIMEDOUT (110)\n"));
    prints("1", 3, "127.0.0.1:1 ECONNREFUSED (111)\n");
    prints("nosuch.invalid:1", 6, "nosuch.invalid:1 EAI_NONAME (-2)\n");
    let text = check(format!("{at} -w 0.2 --json")).text();
    let object: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&object["state"], &object["errno"]), (&json!("open"), &json!("ETIMEDOUT")));
}

#[test]
fn several_are_checked_at_the_same_time_and_told_in_the_order_written() {
    let folder = Folder::new();
    let (root, ca, good) = trusted(&folder);
    let (other, name) = (server(&folder, &root.sign(&params(&["a.test"]))), "--tls-name 127.0.0.1");
    let silent: Vec<_> = (0..12).map(|_| listener()).collect();
    let stalled: Vec<_> = silent.iter().map(|(_, at)| at.clone()).collect();
    let began = Instant::now();
    let ports: Vec<&str> = stalled.iter().map(|at| at.rsplit(':').next().unwrap()).collect();
    let lines = stalled.join(" open ETIMEDOUT (110)\n");
    prints(
        format!("{good} {} {other} 127.0.0.1:1 --tls-ca {ca} -w 1", ports.join(",")),
        4,
        format!(
            "{good} open TLSv1.3 …\n{lines} open ETIMEDOUT (110)\n{other} open CERT_WRONG_NAME (…)\n\
             127.0.0.1:1 ECONNREFUSED (111)\n"
        ),
    );
    assert!(began.elapsed() < Duration::from_secs(10), "one after the other");
    prints(format!("{other} {good} --tls-ca {ca} {name} -q"), 9, format!("{other} open CERT_…\n"));
    prints(
        format!("--any {good} {} --tls-ca {ca}", stalled[0]),
        0,
        format!("{good} open TLSv1.3 …\n{} EINPROGRESS (115)\n", stalled[0]),
    );
    // A range needs one that is trusted.
    let port = good.port();
    prints(format!("127.0.0.1:{port}-{port} --tls-ca {ca}"), 0, format!("{good} open TLSv1.3 …\n"));
    let port = other.port();
    let done = check(format!("127.0.0.1:{port}-{port} --tls-ca {ca}"));
    assert_eq!((done.code, done.stderr), (9, format!("{other}-{port}: 0 of 1 trusted\n")));
    // A program starts only if all are.
    let done = check(format!("{good} --tls-ca {ca} -- echo started"));
    assert_eq!((done.code, done.stdout.as_slice()), (0, &b"started\n"[..]));
    assert!(done.stderr.starts_with(&format!("{good} open TLSv1.3 ")), "{}", done.stderr);
    let done = check(format!("{good} {other} --tls-ca {ca} -- echo started"));
    assert_eq!((done.code, done.stdout.as_slice()), (9, &b""[..]));
}

#[test]
fn a_wait_ends_with_trust_or_at_once_without() {
    let folder = Folder::new();
    let root = Authority::root("root", |_| {});
    let ca = root.file(&folder);
    let port = free_port();
    let waiting =
        sockctl(format!("connect -z --tls 127.0.0.1:{port} --tls-ca {ca} --wait 30s")).start();
    // A proxy is there before its service.
    let early = sockctl(format!("serve {port} --sh 'exit' --once")).start();
    early.address();
    early.ends();
    let file = folder.file("good.pem", root.sign(&params(LOCAL)));
    let _server = sockctl(format!("serve --tls --tls-cert {file} --echo 127.0.0.1:{port}")).start();
    let done = waiting.finish();
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let bad = server(&folder, &self_signed(&params(LOCAL)));
    let began = Instant::now();
    prints(
        format!("{bad} --tls-ca {ca} --wait 30s"),
        9,
        format!("{bad} open CERT_SELF_SIGNED (…)\n"),
    );
    let (_silent, at) = listener();
    prints(format!("{at} --wait 0.3"), 4, format!("{at}…ETIMEDOUT (110)\n"));
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn count_times_the_handshake() {
    let folder = Folder::new();
    let (_root, ca, good) = trusted(&folder);
    let done = check(format!("{good} --tls-ca {ca} --count 3 --interval 10ms"));
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let line = format!("{good} open TLSv1.3 127.0.0.1, 57 days left, sha256//…= … ms\n");
    let wanted = line.repeat(3) + &format!("{good}: 3 tries, 0 failures, min/…/max …/… ms\n");
    let text = done.text();
    assert!(is_like(&wanted, &text), "{text}");
    let done = check(format!("{good} --tls-ca {ca} --tls-name a.test --count 2 --interval 0"));
    assert_eq!(done.code, 9);
    assert!(done.text().ends_with(&format!("{good}: 2 tries, 2 failures\n")));
}

#[test]
fn the_server_gets_a_good_end_and_has_its_say() {
    let folder = Folder::new();
    let (root, ca, good) = trusted(&folder);
    let words = format!("{good} --tls-ca {ca} --count 20 --interval 0");
    assert_eq!(check(words).code, 0);
    let said = good.stderr_has(r#""id":20,"peer":"127.0.0.1:"#);
    assert!(!said.contains(r#""reason":"reset""#), "{said}");
    // It does not end: that is not waited for.
    let file = folder.file("good.pem", root.sign(&params(LOCAL)));
    let (silent, at) = listening(TLS_SERVER, [&file]);
    let began = Instant::now();
    prints(format!("{at} --tls-ca {ca}"), 0, format!("{at} open TLSv1.3 …\n"));
    assert!(began.elapsed() < Duration::from_secs(10));
    silent.stdout_has("b''");
    // One that wants a certificate of ours says so behind the handshake, with TLS 1.2 within it.
    for (version, why) in [
        ("TLSv1_3", "the peer ended TLS with the alert certificate_required"),
        ("TLSv1_2", "the server asks for a certificate (alert handshake_failure); add --tls-cert"),
    ] {
        let (_server, at) = listening(TLS_SERVER, [&file, &ca, version]);
        let rejected = format!("{at} open CLIENT_CERT_REJECTED ({why})\n");
        prints(format!("{at} --tls-ca {ca}"), 9, rejected);
    }
    let ours = folder.file("ours.pem", root.sign(&params(LOCAL)));
    let (server, at) = listening(TLS_SERVER, [&file, &ca, "TLSv1_3"]);
    prints(format!("{at} --tls-ca {ca} --tls-cert {ours}"), 0, format!("{at} open TLSv1.3 …\n"));
    server.stdout_has("b''");
}

#[test]
fn it_goes_through_a_proxy_and_over_unix_sockets() {
    let folder = Folder::new();
    let (root, ca, good) = trusted(&folder);
    let (_proxy, at) = listening(SOCKS, "1 open");
    prints(
        format!("{good} --tls-ca {ca} --proxy socks5://{at}"),
        0,
        format!("{good} open TLSv1.3 127.0.0.1, …\n"),
    );
    let (_proxy, at) = listening(SOCKS, "1 5");
    prints(
        format!("{good} --tls-ca {ca} --proxy socks5://{at}"),
        3,
        format!("{good} ECONNREFUSED (111)\n"),
    );
    let name = "--tls-name a.test";
    let file = folder.file("unix.pem", root.sign(&params(&["a.test"])));
    let path = format!("unix:{}", folder.text("s"));
    let server = sockctl(format!("serve --tls --tls-cert {file} --echo {path}")).start();
    server.address();
    prints(format!("{path} --tls-ca {ca} {name}"), 0, format!("{path} open TLSv1.3 …\n"));
    check(format!("{path} --tls-ca {ca}"))
        .refuses("TLS over a UNIX socket has no name to check; add --tls-name or --tls-pin");
    // The PROXY header comes before TLS.
    let file = folder.file("header.pem", root.sign(&params(LOCAL)));
    let words =
        format!("serve --tls --tls-cert {file} --accept-proxy 127.0.0.1 --json 127.0.0.1:0 --echo");
    let server = sockctl(words).start();
    prints(format!("{server} --tls-ca {ca} --send-proxy"), 0, format!("{server} open TLSv1.3 …\n"));
}

#[test]
fn what_says_nothing_together_is_refused() {
    refused(&[
        (
            "connect -z --tls --closed 1",
            "--closed cannot be used with --tls: what is closed speaks no TLS",
        ),
        (
            "connect -z --expires-within 14d 1",
            "--expires-within needs --tls, which shows the certificate",
        ),
        (
            "connect --tls --expires-within 14d 1",
            "--expires-within needs -z, which checks addresses",
        ),
        (
            "connect -z --tls --expires-within -1d 1",
            "--expires-within '-1d': a duration is 500ms, 1.5s, 2m, 1h, 14d or a bare number of seconds",
        ),
        ("connect -z --tls-name a.test 1", "--tls-name needs --tls, or --starttls"),
    ]);
}
