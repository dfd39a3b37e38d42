//! README's table of Python's socket API, row by row, against real Python: the functions of a socket
//! object, and a chat whose one side is Python's `socketserver` or a plain Python client. The same chat
//! at our prompt is in `terminal/`, Python's `hmac` examples are in `auth/`.

use std::io::Write;

use crate::run::{Finished, Running, Words, hold, peer, python, read_all, sockctl};

// ---- the functions of a socket object ----------------------------------------------------------

/// Runs `connect --trace` against a peer that reads to the end and answers.
fn traced() -> Finished {
    let peer = peer(|mut stream| {
        assert_eq!(read_all(&stream), b"data");
        stream.write_all(b"reply").unwrap();
    });
    let finished = sockctl(format!("connect --trace {peer}")).input("data").run();
    peer.done();
    assert_eq!((finished.code, finished.stdout.as_slice()), (0, &b"reply"[..]));
    finished
}

#[test]
fn bind_is_serve_and_source() {
    let server = sockctl("serve --trace --echo 127.0.0.1:0").start();
    let said = server.stderr_has("listening on ");
    assert!(said.contains("bind(127.0.0.1:0)\n"), "{said}");
    let datagrams = sockctl("udp-serve --trace --echo 127.0.0.1:0").start();
    let said = datagrams.stderr_has("listening on ");
    assert!(said.contains("bind(127.0.0.1:0)\n"), "{said}");
    let bound = sockctl("connect --trace -s 127.0.0.4 127.0.0.1:1").run();
    assert!(bound.stderr.contains("bind(127.0.0.4:0)\n"), "{}", bound.stderr);
}

#[test]
fn listen_is_serve_and_backlog() {
    let server = sockctl("serve --trace --echo 127.0.0.1:0 --backlog 5").start();
    let said = server.stderr_has("listening on ");
    assert!(said.contains("listen(5)\n"), "{said}");
}

#[test]
fn accept_waits_for_each_client() {
    let server = sockctl("serve --trace --reply hi 127.0.0.1:0").start();
    for _ in 0..3 {
        let client = server.connect();
        let from = client.local_addr().unwrap();
        assert_eq!(read_all(&client), b"hi");
        let said = server.stderr_has(&format!(" from {from}\n"));
        assert!(said.contains("accept() -> fd "), "{said}");
    }
}

#[test]
fn connect_opens_a_connection() {
    assert!(traced().stderr.contains("\nconnect(127.0.0.1:"));
}

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
    let theirs = python(script, format!("{open} 1")).run();
    assert_eq!(theirs.code, 0, "{}", theirs.stderr);
    sockctl(format!("connect --check 127.0.0.1:{open},1")).run().is(3, &theirs.stdout, "");
}

#[test]
fn recv_send_and_sendall_move_the_data() {
    let said = traced().stderr;
    assert!(said.contains("\nsendall(4)\n"), "{said}");
    assert!(said.contains(") -> 5\n") && said.contains("\nrecv("), "{said}");
    assert!(said.contains(") -> 0\n"), "{said}");
}

#[test]
fn recvfrom_and_sendto_carry_the_peers_address() {
    let server = sockctl("udp-serve --trace --echo 127.0.0.1:0").start();
    let port = server.port();
    let sent = sockctl(format!("udp-send --trace --reply 127.0.0.1:{port} hello")).run();
    assert_eq!((sent.code, sent.stdout.as_slice()), (0, &b"hello"[..]), "{}", sent.stderr);
    let said = server.stderr_has("sendto(5, 127.0.0.1:");
    assert!(said.contains(") -> 5 from 127.0.0.1:") && said.contains("recvfrom("), "{said}");
}

#[test]
fn getpeername_and_getsockname_are_the_two_addresses() {
    let said = traced().stderr;
    assert!(said.contains("\ngetpeername() -> 127.0.0.1:"), "{said}");
    assert!(said.contains("\ngetsockname() -> 127.0.0.1:"), "{said}");
    let shown = live();
    assert!(shown.contains("\ngetpeername ") && shown.starts_with("getsockname "), "{shown}");
}

#[test]
fn getsockopt_and_setsockopt_read_and_set_as_python_does() {
    let script = "
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10000)
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
";
    let python = python(script, "").run();
    let effective = python.text();
    let shown = sockctl("opts --trace SO_RCVBUF=10000").run();
    let text = String::from_utf8_lossy(&shown.stdout);
    let wanted = format!("SO_RCVBUF=10000 -> {}", effective.trim());
    assert!(text.starts_with(&wanted), "{text}");
    assert!(
        shown.stderr.contains("setsockopt(SOL_SOCKET, SO_RCVBUF, 10000)\n"),
        "{}",
        shown.stderr
    );
    assert!(shown.stderr.contains("getsockopt(SOL_SOCKET, SO_RCVBUF) -> "), "{}", shown.stderr);
}

#[test]
fn close_is_a_clean_end() {
    let said = traced().stderr;
    assert!(said.contains("\nshutdown(SHUT_WR)\n"), "{said}");
    assert!(said.lines().last().unwrap().starts_with("close(fd "), "{said}");
}

/// What `opts --connect` shows of a live connection, before its options.
fn live() -> String {
    let server = sockctl("serve --echo 127.0.0.1:0").start();
    let shown = sockctl(format!("opts --connect {}", server.port())).run();
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    shown.text()
}

#[test]
fn setblocking_is_shown_of_a_live_connection() {
    let shown = live();
    assert!(shown.contains("\nblocking "), "{shown}");
}

#[test]
fn settimeout_and_gettimeout_bound_what_blocks() {
    let shown = live();
    assert!(shown.contains("\nreceive timeout ") && shown.contains("\nsend timeout "), "{shown}");
    assert!(shown.contains("SO_RCVTIMEO") && shown.contains("SO_SNDTIMEO"), "{shown}");
    for (limit, cause) in [
        ("--idle-timeout", "idle timeout: no data for 200ms (-i)"),
        ("--deadline", "connection timed out (ETIMEDOUT 110); the deadline has passed"),
    ] {
        let peer = peer(hold);
        let said = sockctl(format!("connect {limit} 0.2 {peer}")).start().ends().gives(4, "");
        assert_eq!(said, format!("sockctl: connection to {peer}: {cause}\n"));
        peer.done();
    }
}

#[test]
fn fileno_is_the_descriptors_number() {
    let said = traced().stderr;
    assert!(said.contains(" -> fd ") && said.contains("close(fd "), "{said}");
    let shown = live();
    assert!(shown.contains("\nfileno "), "{shown}");
    let server = sockctl("serve --echo 127.0.0.1:0").start();
    let address = server.address();
    let listed = sockctl(format!("opts --pid {}", server.id())).run();
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let row = text.lines().find(|line| line.contains(&address)).unwrap();
    assert!(row.contains("LISTEN"), "{text}");
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

#[test]
fn ports_range_over_0_to_65535() {
    let script = "
import socket
try:
    socket.socket().connect(('127.0.0.1', 65536))
except OverflowError as e:
    print(e)";
    // Python's words, and ours.
    python(script, "").run().is(0, "connect(): port must be 0-65535.\n", "");
    let done = sockctl("connect 127.0.0.1:65536").run();
    done.refuses("port '65536': a port is a number 0–65535, or a service name behind a host");
    assert_ne!(sockctl("serve --echo 127.0.0.1:0").start().port(), 0);
    let highest = sockctl("connect -z 127.0.0.19:65535").run();
    highest.is(3, "127.0.0.19:65535 ECONNREFUSED (111)\n", "");
}

// ---- a chat with socketserver ------------------------------------------------------------------

/// A `ThreadingTCPServer`, whose handler asks for a line at `>>>`, sends it
/// without a newline, receives one chunk and prints it.
const SERVER: &str = r#"
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
const CLIENT: &str = r#"
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
    let ours = client.finish().gives(0, "questionbye");
    assert!(ours.contains("closed (eof; received 11, sent 10 bytes"), "{}", ours);
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

#[test]
fn our_programs_chat_with_each_other() {
    let mut server = sockctl("serve --once 127.0.0.1:0").start();
    let mut client = sockctl(format!("connect {server}")).start();
    for n in 0..3 {
        client.send(format!("from the client {n}\n"));
        server.stdout_has(&format!("from the client {n}\n"));
        server.send(format!("from the server {n}\n"));
        client.stdout_has(&format!("from the server {n}\n"));
    }
    client.close();
    let lines =
        |who: &str| (0..3).map(|n| format!("from the {who} {n}\n")).collect::<Vec<_>>().concat();
    let ours = server.finish();
    assert_eq!((ours.code, ours.text()), (0, lines("client")));
    client.finish().is(0, lines("server"), "");
}
