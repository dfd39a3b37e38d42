//! Clients of Python's library against servers of a line: `smtplib` and `http.client`.

use super::serve;
use crate::run::{Running, is_like, python};

/// What a Python program that gets the address of the server says of it.
fn told(server: &Running, script: &str) -> String {
    python(script, server.address().rsplit(':').next().unwrap()).run().output()
}

/// The steps of a server that takes one mail, up to its end.
const MAIL: &str = r"--send '220 test ESMTP\r\n' --expect '(?i)^ehlo .*\n' --send '250-test\r\n250 8BITMIME\r\n' --expect '(?i)^mail from:<a@x>.*\n' --send '250 ok\r\n' --expect '(?i)^rcpt to:<b@y>.*\n'";

/// Sends a mail.
const SENDER: &str = r#"
import smtplib, sys
try:
    with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=20) as s:
        print(s.sendmail("a@x", ["b@y"], "Subject: hello\r\n\r\nBye\r\n.a line with a dot\r\n"))
except Exception as e: print(type(e).__name__, e)
"#;

#[test]
fn smtplib_delivers_a_mail() {
    let rest = r"--send '250 ok\r\n' --expect '(?i)^data\r\n' --send '354 go on\r\n' --expect '^Subject: hello\r\n\r\nBye\r\n\.\.a line with a dot\r\n\.\r\n' --send '250 queued\r\n' --expect '(?i)^quit\r\n' --send '221 bye\r\n'";
    let server = serve(format!("--once {MAIL} {rest}"));
    assert_eq!(told(&server, SENDER), "{}\n");
    let address = server.address();
    server.finish().is(0, "", format!("listening on {address}\n"));
}

#[test]
fn smtplib_tells_what_the_server_does_to_it() {
    for (rest, result) in [
        // An unknown recipient; smtplib then resets and quits.
        (
            r"--send '550 who?\r\n' --expect '(?i)^rset\r\n' --send '250 ok\r\n' --expect '(?i)^quit\r\n' --send '221 bye\r\n'",
            "SMTPRecipientsRefused {'b@y': (550, b'who?')}\n",
        ),
        (r"--send '250 ok\r\n' --expect '(?i)^data\r\n'", "SMTPServerDisconnected …\n"),
        (r"--send '250 ok\r\n' --expect '(?i)^data\r\n' --reset", "SMTPServerDisconnected …\n"),
        (
            r"--send '250 ok\r\n' --expect '(?i)^data\r\n' --send '354 go on\r\n' --expect '^\.\r\n' --send '451 no room\r\n' --expect '(?i)^rset\r\n' --send '250 ok\r\n' --expect '(?i)^quit\r\n' --send '221 bye\r\n'",
            "SMTPDataError (451, b'no room')\n",
        ),
    ] {
        let server = serve(format!("{MAIL} {rest}"));
        let said = told(&server, SENDER);
        assert!(is_like(result, &said), "{rest}: {said}");
        server.stops("", "");
    }
}

/// Asks for a page.
const READER: &str = r#"
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=2)
try:
    c.request("GET", "/")
    r = c.getresponse()
    print(r.status, r.read())
except Exception as e: print(type(e).__name__, e)
"#;

#[test]
fn http_client_tells_what_the_server_does_to_it() {
    const OK: &str = r"--expect '\r\n\r\n' --send 'HTTP/1.1 200 OK\r\n";
    for (steps, result) in [
        (format!(r"{OK}Content-Length: 4\r\n\r\nfull'"), "200 b'full'\n"),
        (format!(r"{OK}\r\nto the end'"), "200 b'to the end'\n"),
        // It breaks in mid-body.
        (
            format!(r"{OK}Content-Length: 100\r\n\r\nhalf'"),
            "IncompleteRead IncompleteRead(4 bytes read, 96 more expected)\n",
        ),
        (
            format!(r"{OK}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n4\r\nha'"),
            "IncompleteRead IncompleteRead(4 bytes read)\n",
        ),
        (
            format!(r"{OK}Content-Length: 100\r\n\r\nhalf' --pause .3 --reset"),
            "ConnectionResetError …\n",
        ),
        // Byte by byte.
        (format!(r"--rate 40 {OK}Content-Length: 4\r\n\r\nslow'"), "200 b'slow'\n"),
        // No answer, or none that is one.
        (r"--expect '\r\n\r\n' --pause 1h".into(), "TimeoutError timed out\n"),
        (r"--expect '\r\n\r\n'".into(), "RemoteDisconnected …\n"),
        (r"--expect '\r\n\r\n' --reset".into(), "ConnectionResetError …\n"),
        ("--reset".into(), "ConnectionResetError …\n"),
        (r"--send-hex '15 03 01 00 02'".into(), "BadStatusLine …\n"),
    ] {
        let server = serve(&steps);
        let said = told(&server, READER);
        assert!(is_like(result, &said), "{steps}: {said}");
        server.stops("", "");
    }
}
