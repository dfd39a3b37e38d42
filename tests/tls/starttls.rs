//! `--starttls`: TLS begins at a place of a plain conversation, in both roles.

use std::fmt::Display;
use std::io::{Read, Write};

use serde_json::Value;

use crate::interop::services::postgres;
use crate::run::{
    Folder, Program, Running, free_port, listening, program, python, refused, sockctl,
};

/// A server that has a certificate in the file `argv[1]`, speaks the plain beginning `argv[2]`
/// and then TLS: lines `< bytes` are read, `> bytes` sent, `tls` begins it,
/// `end` ends its side, `wait` waits for the client's end. Prints the version of TLS.
const SERVER: &str = r#"
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
listener = socket.create_server(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], file=sys.stderr, flush=True)
peer, _ = listener.accept()
try:
    for step in sys.argv[2].split("|"):
        what, _, text = step.partition(" ")
        data = text.encode().decode("unicode_escape").encode("latin-1")
        if what == "<":
            got = b""
            while len(got) < len(data):
                more = peer.recv(len(data) - len(got))
                if not more:
                    break
                got += more
            assert got == data, (got, data)
        elif what == ">":
            peer.sendall(data)
        elif what == "tls":
            peer = context.wrap_socket(peer, server_side=True)
            print(peer.version())
        elif what == "end":
            peer.shutdown(socket.SHUT_WR)
        elif what == "wait":
            while peer.recv(1000):
                pass
    if isinstance(peer, ssl.SSLSocket):
        peer = peer.unwrap()
except (ssl.SSLError, OSError) as error:
    print(type(error).__name__)
peer.close()
"#;

/// A certificate for localhost in a file, and what follows `connect` to trust it.
struct Site {
    _folder: Folder,
    pem: String,
}

impl Site {
    fn new() -> Self {
        let folder = Folder::new();
        let pem = folder.path().join("site.pem").display().to_string();
        let create = "serve --create-cert=localhost,127.0.0.1 -q --tls-cert";
        sockctl(create).arg(&pem).run().is(0, "", "");
        Self { _folder: folder, pem }
    }

    /// `connect` with these steps to a Python server that does its own.
    #[track_caller]
    fn connect(&self, plain: &str, steps: &str) -> (Running, Program, String) {
        let (server, address) = listening(SERVER, [self.pem.as_str(), plain]);
        let client = sockctl(format!("connect {address} --tls-ca {} {steps}", self.pem));
        (server, client, address)
    }

    /// `serve` with these steps.
    fn serve(&self, steps: &str) -> Running {
        sockctl(format!("serve 127.0.0.1:0 --tls-cert {} {steps}", self.pem)).start()
    }

    /// A failure of such a client.
    #[track_caller]
    fn fails(&self, plain: &str, steps: &str, code: i32, stdout: &str, why: &str) {
        let (_server, client, address) = self.connect(plain, steps);
        let line = format!("sockctl: {}\n", why.replace("ADDRESS", &address));
        client.run().is(code, stdout, &line);
    }
}

/// A server's SMTP up to TLS, and a client's.
const SMTP: &str =
    r"> 220 mail\r\n|< EHLO me\r\n|> 250-mail\r\n250 STARTTLS\r\n|< STARTTLS\r\n|> 220 go\r\n";
const SMTP_STEPS: &str = r"--expect '^220 .*\n' --send 'EHLO me\r\n' --expect '^250 .*\n' --send 'STARTTLS\r\n' --expect '^220 .*\n' --starttls";
const SMTP_SAID: &str = "220 mail\r\n250-mail\r\n250 STARTTLS\r\n220 go\r\n";

/// An SMTP server's steps.
const MAIL: &str = r"--send '220 mail\r\n' --expect '(?i)^EHLO .*\n' --send '250-mail\r\n250 STARTTLS\r\n' --expect '(?i)^STARTTLS\r\n' --send '220 go\r\n' --starttls --expect '(?i)^EHLO .*\n' --send '250 secret\r\n' --expect '(?i)^QUIT\r\n' --send '221 bye\r\n'";

#[test]
fn connect_starts_tls_in_each_protocol() {
    let site = Site::new();
    let cases = [
        (
            format!(r"{SMTP}|tls|< EHLO me\r\n|> 250 secret\r\n|< QUIT\r\n|> 221 bye\r\n"),
            format!(
                r"{SMTP_STEPS} --send 'EHLO me\r\n' --expect '^250 .*\n' --send 'QUIT\r\n'"
            ),
            format!("{SMTP_SAID}250 secret\r\n221 bye\r\n"),
        ),
        (
            r"> * OK ready\r\n|< a STARTTLS\r\n|> a OK begin\r\n|tls|< b LOGOUT\r\n|> * BYE\r\nb OK\r\n".into(),
            r"--expect '^\* OK.*\n' --send 'a STARTTLS\r\n' --expect '^a OK .*\n' --starttls --send 'b LOGOUT\r\n' --expect '^b OK'".into(),
            "* OK ready\r\na OK begin\r\n* BYE\r\nb OK\r\n".into(),
        ),
        (
            r"> +OK ready\r\n|< STLS\r\n|> +OK begin\r\n|tls|< QUIT\r\n|> +OK bye\r\n".into(),
            r"--expect '^\+OK.*\n' --send 'STLS\r\n' --expect '^\+OK.*\n' --starttls --send 'QUIT\r\n' --expect '^\+OK'".into(),
            "+OK ready\r\n+OK begin\r\n+OK bye\r\n".into(),
        ),
        (
            r"< \x00\x00\x00\x08\x04\xd2\x16\x2f|> S|tls|< query|> answer".into(),
            "--send-hex 0000000804d2162f --expect '^S' --starttls --send query".into(),
            "Sanswer".into(),
        ),
    ];
    for (plain, steps, said) in cases {
        let (server, client, _) = site.connect(&plain, &steps);
        client.run().is(0, said, "");
        server.finish().gives(0, "TLSv1.3\n");
    }
}

#[test]
fn the_rest_is_encrypted_and_shown() {
    let site = Site::new();
    let plain = format!(r"{SMTP}|tls|< hello\n|> done\n");
    let steps = format!(r"{SMTP_STEPS} --send 'hello\n' --json");
    let (_server, client, _) = site.connect(&plain, &steps);
    let done = client.run();
    assert_eq!(
        (done.code, String::from_utf8_lossy(&done.stdout).as_ref()),
        (0, &*format!("{SMTP_SAID}done\n"))
    );
    let events: Vec<Value> =
        done.stderr.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let tls = events.iter().find(|event| event["event"] == "tls").unwrap();
    assert_eq!((&tls["version"], &tls["verified"]), (&"TLSv1.3".into(), &true.into()));
}

#[test]
fn serve_starts_tls_for_the_clients_of_python() {
    let site = Site::new();
    let server = site.serve(MAIL);
    let script = r#"
import smtplib, ssl, sys
client = smtplib.SMTP("127.0.0.1", int(sys.argv[1]))
client.starttls(context=ssl.create_default_context(cafile=sys.argv[2]))
print(client.ehlo(), client.quit())
"#;
    let port = server.port().to_string();
    let done = python(script, [port.as_str(), &site.pem]).run();
    done.is(0, "(250, b'secret') (221, b'bye')\n", "");
    let script = r#"
import imaplib, ssl, sys
imaplib.Int2AP = lambda _: b"TAG"
client = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]))
client.starttls(ssl.create_default_context(cafile=sys.argv[2]))
print(client.noop())
"#;
    // Its tags would begin with four random letters.
    let steps = "--send '* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\\r\\n' --expect 'CAPABILITY\\r\\n' --send '* CAPABILITY IMAP4rev1 STARTTLS\\r\\nTAG0 OK done\\r\\n' --expect 'STARTTLS\\r\\n' --send 'TAG1 OK done\\r\\n' --starttls --expect 'CAPABILITY\\r\\n' --send '* CAPABILITY IMAP4rev1\\r\\nTAG2 OK done\\r\\n' --expect 'NOOP\\r\\n' --send 'TAG3 OK fine\\r\\n'";
    let server = site.serve(steps);
    let port = server.port().to_string();
    python(script, [port.as_str(), &site.pem]).run().is(0, "('OK', [b'fine'])\n", "");
}

#[test]
fn both_roles_start_tls_with_each_other_again_and_again() {
    let site = Site::new();
    let server = site.serve(&format!("{MAIL} --json"));
    let steps =
        format!(r"{SMTP_STEPS} --send 'EHLO me\r\n' --expect '^250 .*\n' --send 'QUIT\r\n'");
    let trust = format!("--tls-ca {}", site.pem);
    let port = server.port();
    let client =
        |more: &str| sockctl(format!("connect localhost:{port} {trust} {steps} {more}")).run();
    client("").is(0, format!("{SMTP_SAID}250 secret\r\n221 bye\r\n"), "");
    let done = client("--count 20 --parallel 4");
    assert!(done.stdout.starts_with(b"20 conversations in "), "{:?}", done.stdout);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let done = client("--count 3 --tls-name example.test");
    assert_eq!(done.code, 9, "{}", done.stderr);
    assert!(done.stderr.contains("start TLS with "), "{}", done.stderr);
}

/// CVE-2011-0411: commands in front of TLS would be taken for the client's.
#[test]
fn bytes_before_tls_that_were_not_asked_for_are_an_error() {
    let site = Site::new();
    let server = site.serve(&format!("{MAIL} --once"));
    let mut client = server.connect();
    let mut said = [0; 6];
    client.read_exact(&mut said).unwrap();
    client.write_all(b"EHLO x\r\nSTARTTLS\r\nRSET\r\n").unwrap();
    let peer = client.local_addr().unwrap();
    let why = format!(
        "sockctl: start TLS with {peer}: the client sent 6 bytes before TLS that no step has read: 'RSET\\r\\n'\n"
    );
    let done = server.finish();
    assert_eq!(done.code, 7);
    assert!(done.stderr.ends_with(&why), "{}", done.stderr);

    let injected = SMTP.replace(r"220 go\r\n", r"220 go\r\n250 SIZE\r\n");
    let why = r"start TLS with ADDRESS: the server sent 10 bytes before TLS that no step has read: '250 SIZE\r\n'";
    let said = format!("{SMTP_SAID}250 SIZE\r\n");
    site.fails(&format!("{injected}|wait"), SMTP_STEPS, 7, &said, why);
    // The rest of a line, too: who means it says so.
    let steps = SMTP_STEPS.replace(r"'^220 .*\n' --starttls", "'^220' --starttls");
    let why = r"start TLS with ADDRESS: the server sent 5 bytes before TLS that no step has read: ' go\r\n'; an --expect of a whole line ends in .*\n";
    site.fails(&format!("{SMTP}|wait"), &steps, 7, SMTP_SAID, why);
    // Without any step that reads, and before it has come.
    let why = "start TLS with ADDRESS: the server does not speak TLS: it sent '220 mail'";
    site.fails(r"< a|> 220 mail\r\n|wait", "--send a --starttls", 7, "", why);
}

#[test]
fn what_fails_is_told_as_with_tls() {
    let site = Site::new();
    let smtp = |rest: &str| format!("{SMTP}|{rest}");
    let said = SMTP_SAID;
    let steps = format!(r"{SMTP_STEPS} --send 'EHLO me\r\n' --expect '^250 '");
    let closed =
        "start TLS with ADDRESS: the server closed without its TLS handshake; it may not speak TLS";
    site.fails(&smtp("end|wait"), &steps, 7, said, closed);
    let cut = "start TLS with ADDRESS: the server closed after 3 bytes of its TLS handshake";
    site.fails(&smtp(r"< \x16\x03\x01|> \x16\x03\x03|end|wait"), &steps, 7, said, cut);
    let late = "start TLS with ADDRESS: no TLS handshake in time; it may not speak TLS";
    site.fails(&smtp("wait"), &format!("{steps} -w 1"), 4, said, late);
    let idle = "connection to ADDRESS: idle timeout: no data for 1s (-i)";
    site.fails(&smtp("wait"), &format!("{steps} -i 1"), 4, said, idle);
    let refused = r"> 220 mail\r\n|< EHLO me\r\n|> 250-mail\r\n250 STARTTLS\r\n|< STARTTLS\r\n|> 454 no\r\n|wait";
    let (_server, client, address) = site.connect(refused, &format!("{steps} -w 1"));
    let why = format!(
        "sockctl: expect '^220 .*\\n' from {address}: not within 1s (-w); received 8 bytes: '454 no\\r\\n'\n"
    );
    client.run().is(8, said.replace("220 go", "454 no"), &why);
    // 9: a certificate of another server's, and one without a known issuer.
    let (_server, client, address) =
        site.connect(&smtp("tls"), &format!("{steps} --tls-name example.test"));
    let done = client.run();
    assert_eq!(done.code, 9);
    let begin = format!(
        "sockctl: start TLS with {address}: the server's certificate is not trusted: it is for localhost"
    );
    assert!(done.stderr.starts_with(&begin), "{}", done.stderr);
}

#[test]
fn a_server_goes_on_after_clients_that_fail() {
    let site = Site::new();
    let server = site.serve(&format!("{MAIL} -w 1"));
    let port = server.port();
    let begin = || {
        let mut client = crate::run::connect(port);
        client.write_all(b"EHLO x\r\nSTARTTLS\r\n").unwrap();
        let mut said = vec![0; 10 + 26 + 8 - 2];
        client.read_exact(&mut said).unwrap();
        client
    };
    let mut garbage = begin();
    garbage.write_all(b"HELP\r\n").unwrap();
    server.stderr_has("refused: the client does not speak TLS: it sent 'HELP'\n");
    drop(begin());
    server
        .stderr_has("refused: the client closed without its TLS handshake; it may not speak TLS\n");
    let stalled = begin();
    server.stderr_has("refused: no TLS handshake in time; it may not speak TLS\n");
    drop((garbage, stalled));
    let steps =
        format!(r"{SMTP_STEPS} --send 'EHLO me\r\n' --expect '^250 .*\n' --send 'QUIT\r\n'");
    sockctl(format!("connect localhost:{port} --tls-ca {} {steps}", site.pem)).run().is(
        0,
        format!("{SMTP_SAID}250 secret\r\n221 bye\r\n"),
        "",
    );
    let _stalled = begin();
    server.signal("TERM");
    assert_eq!(server.finish().code, 0);
}

/// In TLS 1.3 the client's handshake is over before the server has seen its certificate.
#[test]
fn a_rejected_client_certificate_is_9_also_while_something_is_expected() {
    let site = Site::new();
    for (tls, steps) in [("", "--send go --starttls"), ("--tls", "")] {
        let server = site.serve(&format!("{tls} --tls-ca {} {steps} --send x", site.pem));
        let port = server.port();
        let begin = if tls.is_empty() { "--expect go --starttls" } else { "--tls" };
        let words = format!("connect localhost:{port} --tls-ca {} {begin} --expect x", site.pem);
        let done = sockctl(words).run();
        let why = "the peer ended TLS with the alert certificate_required\n";
        assert!(done.code == 9 && done.stderr.ends_with(why), "{} {}", done.code, done.stderr);
    }
}

#[test]
fn starttls_is_refused_where_it_cannot_be() {
    let keyed =
        "--starttls: the key secures the connection from its start; TLS is for connect and serve";
    let once = "--starttls can be given once: what follows it is encrypted already";
    let at_place =
        "--tls encrypts from the start, --starttls from its place among the steps; give one";
    let how = r"the steps before --starttls say which protocol it is: --expect '^220 .*\n' --send 'STARTTLS\r\n' --expect '^220 .*\n' --starttls";
    refused(&[
        ("auth-connect 1 --starttls", keyed),
        ("auth-serve 0 --starttls", keyed),
        ("connect 1 --starttls --starttls --tls-insecure -q", once),
        ("serve 0 --starttls --send a --starttls", once),
        ("connect 1 --tls --starttls", at_place),
        ("serve 0 --tls --starttls", at_place),
        ("connect 1 -starttls smtp", how),
        ("connect mail:25 --starttls smtp", how),
        ("connect mail:25 --starttls=imap", how),
        ("connect 1 --tls-insecure", "--tls-insecure needs --tls, or --starttls"),
    ]);
}

/// openssl's client against our server.
#[test]
#[ignore = "needs openssl"]
fn openssl_starts_tls_with_our_server() {
    let site = Site::new();
    let server = site.serve(MAIL);
    let port: &dyn Display = &server.port();
    let words = format!(
        "s_client -starttls smtp -connect 127.0.0.1:{port} -CAfile {} -verify_return_error -quiet -name me",
        site.pem
    );
    let done = program("openssl", words).input("EHLO me\r\nQUIT\r\n").run();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("250 secret\r\n221 bye\r\n"), "{said} {}", done.stderr);
}

/// Its request for TLS, then a start-up message and its answer. (At the end of the session it closes with
/// our `close_notify` unread, which is a reset.)
#[test]
#[ignore = "needs postgresql"]
fn postgresql_starts_tls() {
    let site = Site::new();
    let (folder, port) = (Folder::new(), free_port());
    // The server wants the key to be its own.
    let pem = folder.file("own.pem", std::fs::read(&site.pem).unwrap());
    let words = format!("-c ssl=on -c ssl_cert_file={pem} -c ssl_key_file={pem}");
    let server = postgres(&folder, port, &words);
    let steps = "--send-hex 0000000804d2162f --expect '^S' --starttls \
        --send-hex '00000017 00030000 75736572 00 706f737467726573 00 00' \
        --expect server_encoding";
    let client = sockctl(format!("connect localhost:{port} --tls-ca {} {steps}", site.pem));
    let done = client.run();
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    server.signal("INT");
    server.finish();
}
