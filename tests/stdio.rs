//! What happens to stdin, stdout and stderr: closed, full, gone, empty, or not a terminal.

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, Read, Write, pipe};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::run::{
    DEADLINE, Folder, Program, Running, accept, apart, ask, connect, datagram, datagrams, flood,
    hold, listener, peer, port_in, read_all, read_to_reset, shell, sockctl, until, untimed,
};
use std::net::Shutdown;

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
fn timestamps_stand_before_each_line_and_change_nothing_else() {
    const LINES: &str = "one\ntwo\n\r\n\nthree";
    let speaks = |mut stream: std::net::TcpStream| {
        let (first, second) = LINES.split_at(6);
        stream.write_all(first.as_bytes()).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 1);
        stream.write_all(second.as_bytes()).unwrap();
        hold(stream);
    };
    for words in ["", "-C --hex /dev/null", "--raw"] {
        let peer = peer(speaks);
        let mut client = sockctl(format!("connect --timestamps {words} {peer}")).start();
        client.stdout_has("tw");
        client.send("x").stdout_has("three");
        let stdout = client.finish().text();
        assert_eq!(untimed(&stdout, "99:99:99"), LINES, "{words}");
        peer.done();
    }
    // A script, a conversation in a pipe, and a room.
    let peer = peer(speaks);
    let words = format!("connect --timestamps {peer} --expect tw --send x --expect three");
    assert_eq!(untimed(&sockctl(words).run().output(), "99:99:99"), LINES);
    let server = sockctl("serve --timestamps --once 127.0.0.1:0").start();
    let client = server.connect();
    for part in ["one\nt", "wo\n"] {
        { &client }.write_all(part.as_bytes()).unwrap();
        server.stdout_has(&part[part.len() - 1..]);
    }
    drop(client);
    assert_eq!(untimed(&server.finish().text(), "99:99:99"), "one\ntwo\n");
    let server = sockctl("serve --timestamps --room 127.0.0.1:0").start();
    let mut client = server.connect();
    client.write_all(b"hello\n").unwrap();
    let text = server.stdout_has("hello\n");
    assert_eq!(untimed(&text, "99:99:99"), "-- guest1 joined\n<guest1> hello\n");
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
        let (code, wanted) =
            if how.contains(" >&-") { (12, &b""[..]) } else { (0, &b"answer"[..]) };
        let said = finished.gives(code, wanted);
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
        client.write_all(text.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        // There is no stdin of ours whose end could come first.
        assert_eq!(read_all(&client), b"");
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

/// Runs a program whose stdout is a non-blocking pipe that is read late, as is its stdin, which is
/// written late: its status, and what it wrote.
fn non_blocking(program: Program, input: &[u8]) -> (i32, Vec<u8>, String) {
    let ((stdin, mut writer), (mut reader, stdout)) = (pipe().unwrap(), pipe().unwrap());
    fcntl(&stdin, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    fcntl(&stdout, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut command = program.into_command();
    let mut child = command.stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    std::thread::sleep(Duration::from_millis(200)); // what is tried: it finds no byte and no room
    let _ = writer.write_all(input); // not all read it
    drop(writer);
    let mut got = Vec::new();
    reader.read_to_end(&mut got).unwrap();
    let said = String::from_utf8(read_all(child.stderr.take().unwrap())).unwrap();
    (child.wait().unwrap().code().unwrap(), got, said)
}

#[test]
fn row_88_streams_that_are_non_blocking_lose_nothing() {
    for words in ["--generate complete-bash", "--generate man", "connect --help"] {
        let all = sockctl(words).run().output().into_bytes();
        assert_eq!(non_blocking(sockctl(words), b""), (0, all, String::new()), "{words}");
    }
    let (status, got, said) = non_blocking(sockctl("connect -z -v 127.0.0.1:1-4000"), b"");
    let lines = String::from_utf8(got).unwrap().lines().count();
    assert!(status != 12 && (lines, &said[..]) == (4000, ""), "{status}, {lines} lines: {said}");
    for words in ["", "-C", "--hex /dev/null", "--recv-only", "--send-only", "--expect-eof"] {
        let peer = peer(|mut stream| {
            stream.write_all(&vec![b'x'; 300_000]).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            read_all(stream)
        });
        let (status, got, said) = non_blocking(sockctl(format!("connect {peer} {words}")), b"late");
        assert_eq!((status, &said[..]), (0, ""), "{words}");
        assert_eq!(got.len(), if words == "--send-only" { 0 } else { 300_000 }, "{words}");
        let sent: &[u8] =
            if ["--recv-only", "--expect-eof"].contains(&words) { b"" } else { b"late" };
        assert_eq!(peer.done(), sent, "{words}");
    }
}

#[test]
fn row_88_lines_that_come_late_to_a_non_blocking_stdin_are_sent() {
    let receiver = datagrams();
    let to = receiver.local_addr().unwrap();
    for words in ["", "--whole", "--chunk 100"] {
        let done = non_blocking(sockctl(format!("udp-send {to} {words}")), b"late");
        assert_eq!(done, (0, Vec::new(), String::new()), "{words}");
        assert_eq!(datagram(&receiver), b"late", "{words}");
    }
    let folder = Folder::new();
    let file = folder.text("port");
    let server = sockctl(format!("serve --room -q --deadline 3 127.0.0.1:0 --port-file {file}"));
    let room = std::thread::spawn(move || non_blocking(server, b"late\n"));
    let member = connect(port_in(&file));
    let heard = String::from_utf8(read_to_reset(&member)).unwrap();
    assert!(heard.contains("<server> late\n"), "{heard}");
    let (status, _, said) = room.join().unwrap();
    assert!(status == 4 && !said.contains("EAGAIN"), "{status} {said}");
}

#[test]
fn row_93_a_limit_on_file_sizes_is_a_full_disk() {
    let too_large = "file too large (EFBIG 27)";
    let folder = Folder::new();
    let limited = |words: &str| {
        let line = format!(r#"ulimit -f 8; exec "$0" {words}"#);
        shell(&line, "").within(&folder).input("x").run()
    };
    for words in ["--generate man", "opts", "connect -z -v 127.0.0.1:1-1000"] {
        limited(&format!("{words} >file")).fails(12, format!("write stdout: {too_large}"));
    }
    for words in ["", "-C", "--hex /dev/null", "--expect-eof", "--hex dump --send-only"] {
        let peer = peer(|mut stream| {
            let _ = stream.write_all(&vec![b'x'; 300_000]);
            hold(stream);
        });
        let done = limited(&format!("connect {peer} {words} >file"));
        let failure = match words.split_once("--send-only") {
            Some(_) => format!("write the hex dump dump: {too_large}; received … bytes until then"),
            None => format!("write stdout: {too_large}"),
        };
        done.fails(12, failure);
    }
    // Programs get it as it was.
    let server = shell(r#"ulimit -f 8; exec "$0" serve -v 127.0.0.1:0 --sh 'exec yes >file'"#, "");
    let server = server.within(&folder).start();
    assert_eq!(read_to_reset(server.connect()), b"");
    server.stderr_has("killed by SIGXFSZ");
}

#[test]
fn row_109_a_stdout_that_is_stuck_for_good_ends_at_a_signal() {
    for (words, grace) in [
        ("connect", 0),
        ("connect -C", 0),
        ("connect --expect never", 0),
        ("serve --grace 1", 1),
        ("serve --grace 1 --hex /dev/null", 1),
        ("serve --grace 1 --once", 1),
        ("serve --room --grace 1", 1),
        ("serve --grace 1h", 2),
        ("serve --room --grace 1h", 2),
    ] {
        let (kept, stuck) = pipe().unwrap();
        let (listener, address) = listener();
        let to = if words.starts_with("connect") { &address[..] } else { "127.0.0.1:0" };
        let mut command = sockctl(format!("{words} {to}")).into_command();
        let child = command.stdin(Stdio::piped()).stdout(stuck).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let stream = if words.starts_with("connect") {
            accept(&listener)
        } else {
            let mut said = BufReader::new(child.stderr.take().unwrap());
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            let port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
            std::thread::spawn(move || drop(said.read_to_end(&mut Vec::new())));
            connect(port)
        };
        let peer = std::thread::spawn(move || flood(stream));
        let mut filled = (0, Instant::now());
        until("stdout is full", || {
            if fills(&kept) != filled.0 {
                filled = (fills(&kept), Instant::now());
            }
            filled.0 > 0 && filled.1.elapsed() > Duration::from_millis(200)
        });
        let kill = || {
            let id = child.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        };
        let began = Instant::now();
        kill();
        if grace == 2 {
            std::thread::sleep(Duration::from_millis(300)); // the second is one of its own
            kill();
        }
        until("it ends", || child.try_wait().unwrap().is_some());
        assert!(began.elapsed() < Duration::from_secs(6), "{words}: {:?}", began.elapsed());
        let wanted = if words.starts_with("connect") { 143 } else { 0 };
        assert_eq!(child.wait().unwrap().code(), Some(wanted), "{words}");
        peer.join().unwrap();
        drop(kept);
    }
}

/// The bytes that wait in a pipe.
fn fills(pipe: &PipeReader) -> u64 {
    rustix::io::ioctl_fionread(pipe).unwrap()
}

#[test]
fn row_120_a_stdout_that_is_closed_is_no_place_for_payload_or_results() {
    let closed = "write stdout: bad file descriptor (EBADF 9)";
    let run = |words: &str| shell(&format!(r#"exec "$0" {words} >&-"#), "").input("x").run();
    for words in ["--generate man", "--help", "opts", "connect -z 127.0.0.1:1"] {
        run(words).fails(12, closed);
    }
    for words in ["", "-C", "--hex /dev/null", "--send x --expect x"] {
        let server = sockctl("serve --echo 127.0.0.1:0").start();
        run(&format!("connect {server} {words}")).fails(12, closed);
        run(&format!("connect {server} --send-only")).is(0, "", "");
    }
    // One that was given is as good as any.
    let server = sockctl("serve --echo 127.0.0.1:0").start();
    let line = r#"exec "$0" connect $1 1<>/dev/null"#;
    shell(line, server.address()).input("x").run().is(0, "", "");
}
