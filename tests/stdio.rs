//! What happens to stdin, stdout and stderr: closed, full, gone, empty, or not a terminal.

use std::fs;
use std::io::Write;

use crate::run::{
    DEADLINE, Folder, Running, apart, ask, connect, flood, hold, peer, port_in, read_all, shell,
    sockctl,
};

const FULL: &str = "sockctl: write stdout: no space left on device (ENOSPC 28)\n";

/// What a peer may send to take over a terminal: title, clipboard, colours, C1, bidi, CR, BEL.
const WILD: &[u8] =
    b"\x1b]0;title\x07\x1b]52;c;aGk=\x07\x1b[31mred\x1b[0m\xc2\x9b1m\r\xe2\x80\xae\x7f\0\xff\x80\n";

#[test]
fn row_36_a_reader_that_has_gone_is_141_in_silence() {
    for words in ["", "--hex /dev/null", "--recv-only", "-C"] {
        for pipe in ["", "trap '' PIPE; "] {
            let client = format!(r#""$0" connect $1 {words}; echo "status $?" >&2"#);
            let line = format!("{pipe}{{ {client}; }} | head -n 1");
            shell(&line, peer(flood).to_string()).run().is(0, "y\n", "status 141\n");
        }
    }
}

#[test]
fn row_36_a_reader_that_goes_while_nothing_comes_is_noticed() {
    for reader in ["true", "sleep 0.3"] {
        // stdin stays open, and the peer is silent.
        let line = format!(r#"{{ "$0" connect $1; echo "status $?" >&2; }} | {reader}"#);
        let mut client = shell(&line, peer(hold).to_string()).start();
        client.stderr_has("status 141\n");
        client.close();
        client.finish().is(0, "", "status 141\n");
    }
}

#[test]
#[ignore = "needs unshare, ip and root"]
fn row_36_a_list_of_ports_ends_with_its_reader() {
    // In a network of its own: a scan would take the place of the clients of other tests.
    let line = r#"{ "$0" connect -z -v 127.0.0.1:1-65535 || echo "status $?" >&2; } | head -n 1"#;
    apart(line, "").run().is(0, "127.0.0.1:1 ECONNREFUSED (111)\n", "status 141\n");
}

#[test]
fn row_36_a_server_whose_reader_has_gone_ends_too() {
    for once in ["", "--once"] {
        let line =
            format!(r#"{{ "$0" serve {once} 127.0.0.1:0; echo "status $?" >&2; }} | head -n 1"#);
        let server = shell(&line, "").start();
        flood(server.connect());
        let said = server.stderr_has("status");
        assert_eq!(said.lines().last(), Some("status 141"), "{said}");
        assert!(!said.contains("sockctl:"), "{said}");
        assert_eq!(server.finish().stdout, b"y\n");
    }
}

#[test]
fn row_37_a_full_disk_is_12_even_at_the_last_flush() {
    for words in ["", "-C", "--hex /dev/null", "--recv-only"] {
        for size in [1, 100_000, 3_000_000] {
            let peer = peer(move |mut stream| _ = stream.write_all(&vec![b'x'; size]));
            let line = format!(r#"exec "$0" connect $1 {words} >/dev/full"#);
            shell(&line, peer.to_string()).run().is(12, "", FULL);
        }
    }
    let line = r#"exec "$0" connect -z $1 >/dev/full"#;
    shell(line, peer(drop).to_string()).run().is(12, "", FULL);
    for words in
        ["--help", "--version", "connect --help", "--generate man", "opts", "opts SO_RCVBUF"]
    {
        shell(&format!(r#"exec "$0" {words} >/dev/full"#), "").run().is(12, "", FULL);
    }
}

#[test]
fn row_37_a_server_on_a_full_disk_is_12() {
    for once in ["", "--once"] {
        let line = format!(r#"exec "$0" serve -q {once} 127.0.0.1:0 --port-file $1 >/dev/full"#);
        let folder = Folder::new();
        let file = folder.at("port");
        let server = shell(&line, [&file]).start();
        let mut client = connect(port_in(&file));
        client.write_all(b"x").unwrap();
        hold(client);
        server.finish().is(12, "", FULL);
    }
}

#[test]
#[ignore = "needs unshare, ip, mount and root"]
fn row_37_a_disk_that_fills_up_keeps_what_went_onto_it() {
    let line = r#"
        mkdir disk && mount -t tmpfs -o size=64k tmpfs disk
        python3 -c '
import socket
listener = socket.create_server(("127.0.0.1", 8520))
print("up", flush=True)
stream, _ = listener.accept()
try:
    stream.sendall(b"x" * 3_000_000)
    stream.recv(1)
except OSError:
    pass' | {
            read up
            "$0" connect $1 8520 >disk/file || echo "status $?" >&2
            wc -c <disk/file
        }"#;
    for words in ["", "--hex /dev/null", "-C"] {
        let folder = Folder::new();
        apart(line, [words]).within(&folder).run().is(0, "65536\n", format!("{FULL}status 12\n"));
    }
}

/// All the ways to close some of the three, as a shell writes them.
fn closings() -> [&'static str; 8] {
    ["", " <&-", " >&-", " <&- >&-", " 2>&-", " <&- 2>&-", " >&- 2>&-", " <&- >&- 2>&-"]
}

/// Descriptors 0–2 of a running process, none of which may be a socket.
fn has_no_socket_as_stdio(running: &Running, how: &str) {
    for fd in 0..3 {
        let link = fs::read_link(format!("/proc/{}/fd/{fd}", running.id())).unwrap();
        let link = link.to_string_lossy().into_owned();
        assert!(!link.starts_with("socket:"), "{how}: {fd} is {link}");
    }
}

#[test]
fn row_38_closed_descriptors_never_become_the_socket() {
    for how in closings() {
        let (go, wait) = std::sync::mpsc::channel();
        let peer = peer(move |mut stream| {
            go.send(()).unwrap();
            read_all(&stream);
            stream.write_all(b"answer").unwrap();
        });
        let line = format!(r#"exec "$0" connect --trace --hex - $1{how}"#);
        let running = shell(&line, format!("{}", peer.port)).start();
        wait.recv_timeout(DEADLINE).unwrap();
        if !how.contains('<') {
            // Its stdin is open still, and so it has not ended.
            has_no_socket_as_stdio(&running, how);
        }
        let finished = running.finish();
        let wanted: &[u8] = if how.contains(" >&-") { b"" } else { b"answer" };
        let said = finished.gives(0, wanted);
        assert_eq!(said.is_empty(), how.contains("2>&-"), "{how}");
        peer.done();
    }
}

#[test]
fn row_38_a_server_with_closed_descriptors_serves() {
    for how in closings() {
        let folder = Folder::new();
        let file = folder.at("port");
        let line = format!(r#"exec "$0" serve --echo --trace 127.0.0.1:0 --port-file "$1"{how}"#);
        let server = shell(&line, [&file]).start();
        let port = port_in(&file);
        has_no_socket_as_stdio(&server, how);
        for _ in 0..2 {
            assert_eq!(ask(&connect(port), b"echo"), b"echo", "{how}");
        }
        server.signal("TERM");
        assert_eq!(server.finish().code, 0, "{how}");
    }
}

#[test]
fn row_38_a_full_stderr_does_not_stop_the_data() {
    let server = sockctl("serve --echo 127.0.0.1:0").start();
    let line = r#"exec "$0" connect --trace --json --hex - $1 2>/dev/full"#;
    let data = b"data\n".repeat(100_000);
    let finished = shell(line, server.address()).input(data.clone()).run();
    finished.is(0, data, "");
}

#[test]
fn row_39_an_empty_stdin_is_a_half_close_at_once() {
    let peer = peer(|mut stream| {
        assert_eq!(read_all(&stream), b"");
        stream.write_all(b"the answer\n").unwrap();
    });
    let line = r#"exec "$0" connect $1 </dev/null"#;
    shell(line, format!("{}", peer.port)).run().is(0, "the answer\n", "");
    peer.done();
}

#[test]
fn row_40_a_daemon_serves_on() {
    let mut server = shell(r#"exec "$0" serve 127.0.0.1:0 </dev/null"#, "").start();
    for text in ["one\n", "two\n", "three\n"] {
        let mut client = server.connect();
        // Later clients see the end of our stdin at once, and are heard all the same.
        assert_eq!(read_all(&client), b"");
        client.write_all(text.as_bytes()).unwrap();
        drop(client);
        server.stdout_has(text);
    }
    server.rests();
    assert!(server.is_running());
    server.signal("TERM");
    server.finish().gives(0, "one\ntwo\nthree\n");
}

#[test]
fn row_44_a_pipe_has_no_prompt_and_no_escapes() {
    let dumb = [("TERM", "dumb"), ("TERM", "xterm-256color"), ("NO_COLOR", "1")];
    for (name, value) in dumb.into_iter().chain([("CLICOLOR_FORCE", "1"), ("FORCE_COLOR", "1")]) {
        let server = sockctl("serve --echo 127.0.0.1:0").env(name, value).start();
        sockctl(format!("connect {server}")).env(name, value).input("hello\nq\n/quit\n").run().is(
            0,
            "hello\nq\n/quit\n",
            "",
        );
        for words in ["--help", "connect --help", "opts"] {
            let shown = sockctl(words).env(name, value).run();
            assert!(!shown.stdout.contains(&0x1b), "{name}={value}");
        }
        let refused = sockctl("connect 65536").env(name, value).run();
        assert!(!refused.stderr.contains('\x1b'), "{name}={value}");
    }
}

#[test]
fn row_46_wild_bytes_are_exact_in_a_pipe() {
    let sender = || peer(|mut stream| stream.write_all(WILD).unwrap());
    for words in ["", "--raw", "--hex /dev/null"] {
        let peer = sender();
        sockctl(format!("connect {}", peer.port)).args(words).run().is(0, WILD, "");
        peer.done();
    }
    for once in ["", "--once"] {
        let folder = Folder::new();
        let file = folder.text("port");
        let words = format!("serve -q 127.0.0.1:0 --port-file {file} {once}");
        let server = sockctl(words).start();
        connect(port_in(&file)).write_all(WILD).unwrap();
        assert_eq!(server.stdout_bytes(WILD.len()), WILD);
        server.signal("TERM");
        server.finish().is(0, WILD, "");
    }
}
