//! What the rest of the system may lack: room on a disk, a home, a locale, a reader of our
//! stderr, /proc, newer system calls.

use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;

use crate::run::{
    Folder, NOT_THERE, Peer, Program, Words, apart, ask, connect, injected, peer, port_in,
    read_all, shell, sockctl, until,
};

/// Answers with what it got, after its end.
fn echo() -> Peer {
    peer(|mut stream| {
        let got = read_all(&stream);
        stream.write_all(&got).unwrap();
    })
}

#[test]
fn row_77_a_full_hex_file_is_12_with_the_bytes_moved() {
    let peer = peer(|mut stream| {
        let mut rest = Vec::new();
        let _ = stream.write_all(b"hello");
        let _ = stream.read_to_end(&mut rest);
    });
    sockctl(format!("connect --recv-only --hex /dev/full {peer}")).run().fails(
        12,
        "write the hex dump /dev/full: no space left on device (ENOSPC 28); \
             received 5, sent 0 bytes until then",
    );
    peer.done();
    // Without a newline it is written when the connection is over.
    for (text, until_then) in [("hello\n", "; received 6, sent 0 bytes until then"), ("hello", "")]
    {
        let peer = self::peer(|mut stream| _ = stream.write_all(text.as_bytes()));
        let full = "no space left on device (ENOSPC 28)";
        let done = sockctl(format!("connect --recv-only --log /dev/full {peer}")).run();
        assert_eq!(done.code, 12);
        assert_eq!(done.stderr, format!("sockctl: write the log /dev/full: {full}{until_then}\n"));
        peer.done();
    }
}

#[test]
fn row_77_an_unwritable_hex_file_is_2_before_anything_is_sent() {
    let folder = Folder::new();
    let folder = folder.path().to_str().unwrap();
    for (file, cause) in [
        (format!("{folder}/none/x"), "no such file or directory (ENOENT 2)"),
        (folder.to_string(), "is a directory (EISDIR 21)"),
    ] {
        let message = format!("sockctl: write the hex dump {file}: {cause}\n");
        // The port is closed: the error comes before connect(2).
        sockctl(format!("connect --hex {file} 127.0.0.1:1")).run().is(2, "", &message);
        sockctl(format!("serve --hex {file} 127.0.0.1:0")).run().is(2, "", &message);
    }
}

#[test]
fn row_77_an_unwritable_port_file_is_2_and_a_full_one_12() {
    let folder = Folder::new();
    let folder = folder.path().to_str().unwrap();
    for command in ["serve", "udp-serve"] {
        let none = format!("{folder}/none/port");
        let done = sockctl([command, "127.0.0.1:0", "--port-file", &none]).run();
        done.fails(2, format!("write the port file {none}: {NOT_THERE}"));
        let done = sockctl([command, "127.0.0.1:0", "--port-file", "/dev/full"]).run();
        done.fails(12, "write the port file /dev/full: no space left on device (ENOSPC 28)");
    }
    // Nothing half-written is left behind.
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
}

#[test]
fn row_77_the_port_file_is_whole_or_not_there() {
    let folder = Folder::new();
    let old = "what was there before";
    let file = folder.file("port", old);
    let server = sockctl(format!("serve --echo -q 127.0.0.1:0 --port-file {file}")).start();
    let mut text = String::new();
    until("the port is written", || {
        text = fs::read_to_string(&file).unwrap_or_default();
        !text.is_empty() && text != old
    });
    let port = text.strip_suffix('\n').unwrap().parse().unwrap();
    assert_eq!(ask(&connect(port), "x"), b"x");
    assert_eq!(folder.count(), 1);
    server.signal("TERM");
    server.finish().is(0, "", "");
}

#[test]
fn row_78_without_home_and_in_locale_c_it_works() {
    for set in [
        "unset HOME",
        "export HOME=/nonexistent",
        "export HOME=/proc",
        "export LC_ALL=C",
        "export LC_ALL=xx_YY",
    ] {
        let peer = echo();
        let line = format!(r#"{set}; cd /proc; exec "$0" connect $1"#);
        shell(&line, peer.to_string()).input("grüße\n").run().is(0, "grüße\n", "");
        peer.done();
    }
    // Messages are UTF-8 whatever the locale.
    let done = sockctl("connect ü:65536").env("LC_ALL", "C").run();
    done.refuses("port '65536': a port is a number 0–65535, or a service name behind a host");
    let bare = sockctl("--version").with(|command| _ = command.env_clear());
    assert_eq!(bare.run().code, 0);
}

#[test]
fn row_79_a_blocked_stderr_never_holds_up_the_data() {
    // This pipe is not read, and the trace of 10 MiB in small pieces is far more than it holds.
    let (kept, blocked) = std::io::pipe().unwrap();
    let size = 10 << 20;
    let peer = peer(move |mut stream| {
        let mut reader = stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            for _ in 0..size / 1000 {
                stream.write_all(&[b'x'; 1000]).unwrap();
            }
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        writer.join().unwrap();
        assert_eq!(got.len(), size);
    });
    let mut child = sockctl(format!("connect --trace --json --hex - {peer}"))
        .into_command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(blocked)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&vec![b'y'; size]).unwrap());
    let mut got = 0;
    let mut stdout = child.stdout.take().unwrap();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stdout.read(&mut buffer).unwrap() {
            0 => break,
            n => got += n,
        }
    }
    writer.join().unwrap();
    assert_eq!(got, size / 1000 * 1000);
    // What it still has to say it gives up on after a while.
    until("its end", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(kept);
    peer.done();
}

#[test]
fn row_79_a_server_with_a_blocked_stderr_serves() {
    let folder = Folder::new();
    let file = folder.at("port");
    let (kept, blocked) = std::io::pipe().unwrap();
    let mut child = sockctl("serve --echo -v --trace --json --hex - 127.0.0.1:0 --port-file")
        .arg(&file)
        .into_command()
        .stdin(Stdio::null())
        .stderr(blocked)
        .spawn()
        .unwrap();
    let port = port_in(&file);
    let text = vec![b'z'; 100_000];
    for _ in 0..20 {
        assert_eq!(ask(&connect(port), &text), text);
    }
    drop(kept);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
#[ignore = "needs unshare, mount and root"]
fn row_80_without_proc_it_works() {
    let line = r#"
        mkdir empty && mount --bind empty /proc && [ ! -e /proc/self ]
        "$0" serve --echo 127.0.0.1:8520 --port-file port & server=$!
        until [ -s port ]; do :; done
        echo over it | "$0" connect 8520
        "$0" connect -z 8520
        kill $server; wait $server"#;
    let folder = Folder::new();
    let done = apart(line, "").within(&folder).run();
    done.is(0, "over it\n127.0.0.1:8520 open\n", "listening on 127.0.0.1:8520\n");
}

/// A kernel that lacks these calls, as strace(1) pretends.
fn lacking(calls: &str, words: impl Words) -> Program {
    injected(&format!("{calls}:error=ENOSYS"), words)
}

#[test]
#[ignore = "needs strace"]
fn row_80_without_newer_calls_a_buffer_does() {
    let data = b"0123456789\n".repeat(50_000);
    for calls in ["splice", "sendfile", "splice,sendfile", "prlimit64"] {
        let peer = echo();
        lacking(calls, format!("connect {peer}")).input(data.clone()).run().is(0, &data, "");
        peer.done();
    }
    let folder = Folder::new();
    let (from, to) = (folder.at("from"), folder.at("to"));
    fs::write(&from, &data).unwrap();
    for calls in ["splice,sendfile", "pipe2"] {
        let peer = echo();
        let line = format!(
            r#"exec strace -f -qq -o /dev/null -e inject={calls}:error=ENOSYS "$0" connect $1 <$2 >$3"#
        );
        let words = [peer.to_string(), folder.text("from"), folder.text("to")];
        shell(&line, words).run().is(0, "", "");
        assert!(fs::read(&to).unwrap() == data, "{calls}");
        peer.done();
    }
    for calls in ["eventfd2", "epoll_create1", "accept4"] {
        let finished = lacking(calls, "serve --once --echo 127.0.0.1:0 --deadline 1").run();
        let last = finished.stderr.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("sockctl: ") && matches!(finished.code, 1 | 4),
            "{calls}: {} {}",
            finished.code,
            finished.stderr
        );
    }
}

#[test]
fn too_few_descriptors_to_begin_with_are_a_failure_like_any_other() {
    for command in ["serve 0", "connect 1", "udp-send 1 x"] {
        let line = format!(r#"ulimit -n 4; exec "$0" {command}"#);
        let cause = "too many open files (EMFILE 24)";
        shell(&line, "").run().fails(1, format!("install signal handlers: {cause}"));
    }
}
