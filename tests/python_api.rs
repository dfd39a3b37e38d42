//! README's table of Python's socket API against real Python: functions of a socket object, and a
//! chat whose one side is Python's `socketserver` or a plain Python client. The same chat at our
//! prompt is in `terminal/`, Python's `hmac` examples are in `auth/`, whole traces in `talk.rs`.

use crate::run::{Running, Words, python, sockctl};

// ---- the functions of a socket object ----------------------------------------------------------

#[test]
fn connect_ex_returns_the_code_that_python_returns() {
    let script = r#"
import errno, socket, sys
for port in sys.argv[1:]:
    with socket.socket() as s:
        code = s.connect_ex(("127.0.0.1", int(port)))
    print("127.0.0.1:%s %s" % (port, "open" if code == 0 else "%s (%d)" % (errno.errorcode[code], code)))
"#;
    let server = sockctl("serve --echo 127.0.0.1:0").start();
    let open = server.port().to_string();
    let theirs = python(script, format!("{open} 1")).run().output();
    sockctl(format!("connect --check 127.0.0.1:{open},1")).run().is(3, theirs, "");
}

#[test]
fn getsockopt_and_setsockopt_read_and_set_as_python_does() {
    let script = "
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10000)
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
";
    let effective = python(script, "").run().output();
    let shown = format!("SO_RCVBUF=10000 -> {}: doubled by the kernel\n", effective.trim());
    let said = sockctl("opts --trace SO_RCVBUF=10000").run().gives(0, shown);
    for call in
        ["setsockopt(SOL_SOCKET, SO_RCVBUF, 10000)\n", "getsockopt(SOL_SOCKET, SO_RCVBUF) -> "]
    {
        assert!(said.contains(call), "{said}");
    }
}

#[test]
fn makefile_reads_and_writes_line_by_line() {
    let script = r#"
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s, s.makefile("rw") as file:
    for n in range(3):
        file.write("line %d\n" % n)
        file.flush()
        print(file.readline(), end="")
"#;
    let server = sockctl("serve --echo 127.0.0.1:0").start();
    python(script, server.port().to_string()).run().is(0, "line 0\nline 1\nline 2\n", "");

    // And ours at the other end: each line is sent as it is given, each answer shown as it comes.
    let script = r#"
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], file=sys.stderr, flush=True)
conn, _ = listener.accept()
with conn, conn.makefile("rw") as file:
    for line in file:
        file.write(line.upper())
        file.flush()
"#;
    let server = python(script, "").start();
    let mut client = sockctl(format!("connect {server}")).start();
    for n in 0..3 {
        client.send(format!("line {n}\n"));
        client.stdout_has(&format!("LINE {n}\n"));
    }
    client.finish().is(0, "LINE 0\nLINE 1\nLINE 2\n", "");
    assert_eq!(server.finish().code, 0);
}

// ---- a chat with socketserver ------------------------------------------------------------------

/// A `ThreadingTCPServer`, whose handler asks for a line at `>>>`, sends it without a newline,
/// receives one chunk and prints it.
pub const SERVER: &str = r#"
import socketserver, sys

class MyServer(socketserver.BaseRequestHandler):
    def handle(self):
        conn = self.request
        while True:
            msg = input(">>>")
            conn.send(msg.encode("utf-8"))
            reply = conn.recv(1024)
            print(reply.decode("utf-8"), flush=True)
            if reply in (b"q", b""):
                break

socketserver.TCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), MyServer)
print("listening on 127.0.0.1:%d" % server.server_address[1], file=sys.stderr, flush=True)
server.handle_request()
server.server_close()
"#;

/// A client: receives one chunk, prints it, asks for a line at `>>>`, sends it without a
/// newline; `q` is sent and then ends it.
pub const CLIENT: &str = r#"
import socket, sys
client = socket.socket()
client.connect(("127.0.0.1", int(sys.argv[1])))
while True:
    msg = client.recv(1024).decode("utf-8")
    print(msg, flush=True)
    reply = input(">>>")
    client.send(reply.encode("utf-8"))
    if reply == "q":
        break
client.close()
"#;

/// Python's server, and our `connect` to it.
fn chat_with_their_server(words: impl Words) -> (Running, Running) {
    let server = python(SERVER, "").start();
    let client = sockctl(format!("connect {server}")).args(words).start();
    (server, client)
}

#[test]
fn our_connect_chats_with_socketserver_without_newlines() {
    let (mut server, mut client) = chat_with_their_server("");
    for (question, answer) in [("你好", "hello"), ("and now?", "再见")] {
        server.send(format!("{question}\n"));
        client.stdout_has(question);
        client.send(answer);
        server.stdout_has(&format!("{answer}\n"));
    }
    server.send("last\n");
    client.stdout_has("last");
    client.send("q");
    let theirs = server.finish();
    assert_eq!(String::from_utf8_lossy(&theirs.stdout), ">>>hello\n>>>再见\n>>>q\n");
    assert_eq!(theirs.code, 0, "{}", theirs.stderr);
    client.finish().is(0, "你好and now?last", "");
}

#[test]
fn our_connect_chats_with_socketserver_in_lines() {
    let (mut server, mut client) = chat_with_their_server("-v");
    server.send("question\n");
    client.stdout_has("question");
    client.send("an answer\n");
    // Their print adds a newline to ours.
    server.stdout_has("an answer\n\n");
    // They leave first: what we had is written, and we end without an Enter.
    server.send("bye\n");
    client.stdout_has("bye");
    client.close();
    let theirs = server.finish();
    assert_eq!(theirs.code, 0, "{}", theirs.stderr);
    let said = "[1] connected to …\n[1] … closed (eof; received 11, sent 10 bytes in … s)\n";
    client.finish().is(0, "questionbye", said);
}

#[test]
fn our_serve_chats_with_a_python_client() {
    for once in ["", "--once"] {
        let mut server = sockctl("serve 127.0.0.1:0").args(once).start();
        let mut client = python(CLIENT, server.port().to_string()).start();
        for (question, answer) in [("你好", "hello"), ("second", "再见")] {
            server.send(question);
            client.stdout_has(question);
            client.send(format!("{answer}\n"));
            server.stdout_has(answer);
        }
        server.send("last");
        client.stdout_has("last");
        client.send("q\n");
        let theirs = client.finish();
        theirs.is(0, "你好\n>>>second\n>>>last\n>>>", "");
        server.stdout_has("q");
        if once.is_empty() {
            assert!(server.is_running());
            server.signal("TERM");
        }
        let ours = server.finish();
        assert_eq!(String::from_utf8_lossy(&ours.stdout), "hello再见q");
        assert_eq!(ours.code, 0, "{}", ours.stderr);
    }
}

#[test]
fn our_serve_chats_with_many_python_clients_at_once() {
    let mut server = sockctl("serve -v 127.0.0.1:0").start();
    let port = server.port().to_string();
    let mut clients: Vec<Running> = (1..=3)
        .map(|n| {
            let client = python(CLIENT, port.clone()).start();
            // One after the other, so that their numbers are known.
            server.stderr_has(&format!("[{n}] "));
            client
        })
        .collect();
    server.send("to all");
    for client in &clients {
        client.stdout_has("to all");
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(format!("from {n}.\n"));
        server.stdout_has(&format!("from {n}."));
    }
    server.send("done");
    for mut client in clients {
        client.stdout_has("done");
        client.send("q\n");
        client.finish().is(0, "to all\n>>>done\n>>>", "");
    }
    server.signal("TERM");
    assert_eq!(server.finish().stdout, b"from 0.from 1.from 2.qqq");
}
