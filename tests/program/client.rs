//! `connect ADDRESS -- PROGRAM ARGS…`: a program talks to the server, in our place.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::SELF;
use crate::run::{
    BINARY, Folder, Program, REFUSED, RESET, accept, ask, events, flood, free_port, hold, is_alive,
    listen, listener, pattern, peer, program, read_all, read_to_either, read_to_reset, reset,
    shell, sockctl, take, until,
};

/// The two ways in which a program gets the bytes: the socket itself, and a relay.
const WAYS: [&str; 2] = ["", "--hex /dev/null"];

/// A client of this address whose program is a shell's command.
fn with_command(address: impl std::fmt::Display, words: &str, command: &str) -> Program {
    sockctl(format!("connect {address} {words}")).args(["--", "sh", "-c", command])
}

#[test]
fn the_socket_itself_is_the_programs_stdin_and_stdout() {
    let server = peer(|stream| String::from_utf8(read_all(stream)).unwrap());
    sockctl(format!("connect {server} -- python3 -c")).arg(SELF).run().is(0, "", "");
    let wanted = "socket True True\nblocking True\ngroup True\nSigBlk:\t0000000000000000\n";
    assert_eq!(server.done(), wanted);
}

#[test]
fn the_environment_is_that_of_ucspi() {
    let show = "env | grep -E 'TCP|UNIX|PROTO|SOCKCTL' | sort";
    let (listener, address) = listener();
    let (_, port) = address.rsplit_once(':').unwrap();
    for (given, name) in [(&*address, ""), (&*format!("localhost:{port}"), "localhost")] {
        let client = with_command(given, "-4", show)
            .env("SOCKCTL_KEY", "secret")
            .env("TCPCONNNUM", "5")
            .env("TCPREMOTEHOST", "of.another.connection")
            .start();
        let stream = accept(&listener);
        let local = stream.peer_addr().unwrap().port();
        let host = if name.is_empty() { "" } else { "TCPREMOTEHOST=localhost\n" };
        let wanted = format!(
            "PROTO=TCP\nTCPLOCALIP=127.0.0.1\nTCPLOCALPORT={local}\n{host}\
             TCPREMOTEIP=127.0.0.1\nTCPREMOTEPORT={port}\n"
        );
        assert_eq!(String::from_utf8(read_all(stream)).unwrap(), wanted);
        client.finish().is(0, "", "");
    }
}

#[test]
fn a_unix_server_is_told_by_its_path_and_credentials() {
    let folder = Folder::new();
    let path = folder.text("s");
    let listener = UnixListener::bind(&path).unwrap();
    let show = "echo $PROTO $UNIXLOCALPATH $UNIXREMOTEPATH $UNIXREMOTEPID; cat";
    let client = with_command(format!("unix:{path}"), "", show).start();
    let (stream, _) = listener.accept().unwrap();
    let wanted = format!("UNIX {path} {}\nhello", std::process::id());
    assert_eq!(String::from_utf8(ask(&stream, "hello")).unwrap(), wanted);
    client.finish().is(0, "", "");
}

#[test]
fn ten_megabytes_go_through_a_program_both_ways() {
    let data = pattern(10 << 20);
    for words in WAYS {
        let (sent, data) = (data.clone(), &data);
        let server = peer(move |stream| ask(&stream, sent));
        sockctl(format!("connect {server} {words} -- cat")).run().is(0, "", "");
        assert!(server.done() == *data);
    }
}

#[test]
fn the_peers_end_is_the_programs_end_of_input() {
    for words in WAYS {
        let server = peer(|stream| ask(&stream, "request\n"));
        let command = "cat; sleep 0.5; echo and after the end";
        with_command(&server, words, command).run().is(0, "", "");
        assert_eq!(server.done(), b"request\nand after the end\n");
    }
}

#[test]
fn the_programs_end_is_ours_and_what_still_comes_is_no_reset() {
    for words in WAYS {
        let server = peer(|mut stream| {
            assert_eq!(read_all(&stream), b"hello\n");
            // More than the program's socket holds, for a program that has gone.
            stream.write_all(&pattern(1 << 20)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            read_to_either(stream)
        });
        with_command(&server, words, "echo hello").run().is(0, "", "");
        assert_eq!(server.done(), (Vec::new(), true), "{words}");
    }
}

#[test]
fn a_peer_that_does_not_end_is_waited_for_a_while() {
    for words in WAYS {
        let time = |linger: &str| {
            let (held, released) = channel::<()>();
            let server = peer(move |stream| {
                read_all(&stream);
                let _ = released.recv();
            });
            let began = Instant::now();
            with_command(&server, &format!("{words} {linger}"), "echo x").run().is(0, "", "");
            let took = began.elapsed();
            drop(held);
            server.done();
            took
        };
        let second = Duration::from_secs(1);
        assert!((second..8 * second).contains(&time("")));
        assert!((2 * second..9 * second).contains(&time("--linger 2")));
        until("no time is spent on it", || time("--linger 0") < second);
    }
}

#[test]
fn a_peer_that_floods_does_not_hold_up_the_end() {
    for words in WAYS {
        let server = peer(flood);
        with_command(&server, &format!("{words} --linger 0.3"), "head -c 5 >/dev/null; exit 3")
            .run()
            .fails(1, "program 'sh': exited with status 3");
        server.done();
    }
}

#[test]
fn it_fails_with_its_program() {
    for words in WAYS {
        for (command, cause) in [
            ("exit 1", "exited with status 1"),
            ("echo out; cat; exit 200", "exited with status 200"),
            ("kill -SEGV $$", "killed by SIGSEGV"),
        ] {
            let server = peer(|stream| {
                stream.shutdown(Shutdown::Write).unwrap();
                read_to_either(stream)
            });
            let done = with_command(&server, words, command).run();
            done.fails(1, format!("program 'sh': {cause}"));
            let wanted = if command.starts_with("echo") { "out\n" } else { "" };
            assert_eq!(server.done(), (wanted.into(), command.contains("exit")), "{command}");
        }
    }
}

#[test]
fn a_program_that_is_not_there_is_2_before_connecting() {
    let none = "no such file or directory (ENOENT 2)";
    for command in ["connect", "auth-connect"] {
        sockctl(format!("{command} 1 --trace -- ./no/such"))
            .env("SOCKCTL_KEY", "a passphrase that is long")
            .run()
            .fails(2, format!("run './no/such': {none}"));
    }
    let folder = Folder::new();
    let program = folder.file("program", "no program at all\n");
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    for words in WAYS {
        let server = peer(read_to_reset);
        sockctl(format!("connect {server} {words} -- {program}"))
            .run()
            .fails(1, format!("run '{program}': exec format error (ENOEXEC 8)"));
        assert_eq!(server.done(), b"");
    }
}

#[test]
fn row_69_a_reset_hangs_up_on_the_program() {
    for words in WAYS {
        for command in ["echo $$; exec sleep 1000", "echo $$; cat 2>/dev/null; exec sleep 1000"] {
            let (listener, address) = listener();
            let client = with_command(&address, words, command).start();
            let stream = accept(&listener);
            let id = line(&stream);
            reset(stream);
            client.finish().fails(7, format!("connection to {address}: {RESET}"));
            assert!(!is_alive(&id), "{words}: {command}");
        }
    }
}

/// A line without its newline.
fn line(mut stream: impl Read) -> String {
    let mut line = String::new();
    loop {
        match char::from(take(&mut stream, 1)[0]) {
            '\n' => return line,
            c => line.push(c),
        }
    }
}

#[test]
fn a_reset_is_one_also_where_the_program_saw_it_first() {
    for _ in 0..20 {
        let (listener, address) = listener();
        let client = with_command(&address, "", "echo; cat 2>/dev/null; exit 1").start();
        let stream = accept(&listener);
        take(&stream, 1);
        reset(stream);
        client.finish().fails(7, format!("connection to {address}: {RESET}"));
    }
}

#[test]
fn a_silent_connection_ends_with_its_program() {
    for words in WAYS {
        let server = peer(read_to_reset);
        with_command(&server, &format!("{words} -i 0.3"), "exec sleep 1000")
            .run()
            .fails(4, format!("connection to {server}: idle timeout: no data for 300ms (-i)"));
        assert_eq!(server.done(), b"");
        let server = peer(read_to_reset);
        let done = with_command(&server, &format!("{words} --deadline 0.3"), "exec sleep 1000");
        assert_eq!(done.run().code, 4);
        assert_eq!(server.done(), b"");
    }
}

/// Says its process id, and when it is hung up on; then it exits with the status in its arguments, if
/// there is one.
const HEEDS: &str = r"
import os, signal, sys
def hung_up(*_):
    print('hung up', file=sys.stderr, flush=True)
    if sys.argv[1:]: sys.exit(int(sys.argv[1]))
signal.signal(signal.SIGHUP, hung_up)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
while True: signal.pause()
";

#[test]
fn a_signal_reaches_the_program() {
    for words in WAYS {
        for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
            let (listener, address) = listener();
            let client = sockctl(format!("connect {address} {words} -- python3 -c"));
            let client = client.args([HEEDS, "5"]).start();
            let stream = accept(&listener);
            let id = line(&stream);
            client.signal(signal);
            client.finish().is(code, "", "hung up\n");
            assert!(!is_alive(&id));
            assert_eq!(read_to_reset(&stream), b"");
        }
    }
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    for words in WAYS {
        let (listener, address) = listener();
        let client = sockctl(format!("connect {address} {words} -- python3 -c"));
        let client = client.arg(HEEDS).start();
        let stream = accept(&listener);
        let id = line(&stream);
        client.signal("INT");
        client.stderr_has("hung up\n");
        client.signal("INT");
        client.finish().is(130, "", "hung up\n");
        until("the program has ended", || !is_alive(&id));
    }
}

/// Its work does not end with the connection.
#[test]
fn a_program_goes_on_after_both_ends() {
    let script = "import socket, sys, time\n\
                  s = socket.socket(fileno=0)\n\
                  s.sendall(b'question')\n\
                  s.shutdown(socket.SHUT_WR)\n\
                  answer = s.makefile().read()\n\
                  time.sleep(1.5)\n\
                  sys.exit(f'got {answer}')";
    for words in WAYS {
        let server = peer(|mut stream| {
            assert_eq!(read_all(&stream), b"question");
            stream.write_all(b"answer").unwrap();
        });
        let client = sockctl(format!("connect {server} {words} -- python3 -c")).arg(script);
        client.run().is(1, "", "got answer\nsockctl: program 'python3': exited with status 1\n");
        server.done();
    }
    // A UNIX peer that closes shows a hang-up, too.
    let folder = Folder::new();
    let path = folder.text("s");
    let listener = UnixListener::bind(&path).unwrap();
    let client = with_command(format!("unix:{path}"), "", "cat; sleep 1.5; exit 3").start();
    drop(listener.accept().unwrap());
    client.finish().fails(1, "program 'sh': exited with status 3");
}

#[test]
fn a_signal_reaches_a_program_whose_connection_is_over() {
    let script = "import socket, sys, time\n\
                  s = socket.socket(fileno=0)\n\
                  s.shutdown(socket.SHUT_WR)\n\
                  s.makefile().read()\n\
                  print('over', file=sys.stderr)\n\
                  time.sleep(1000)";
    for words in WAYS {
        let server = peer(|stream| drop(read_all(stream)));
        let client = sockctl(format!("connect {server} {words} -- python3 -u -c")).arg(script);
        let client = client.start();
        server.done();
        client.stderr_has("over\n");
        client.signal("INT");
        client.finish().is(130, "", "over\n");
    }
}

#[test]
fn stdin_stays_as_it_is() {
    for words in WAYS {
        let server = peer(|stream| drop(read_all(stream)));
        let line = format!("\"$0\" connect {server} {words} -- echo && cat");
        shell(&line, "").input("for the next").run().is(0, "for the next", "");
        server.done();
    }
}

#[test]
fn row_70_a_program_inherits_0_1_and_2_only() {
    let folder = Folder::new();
    let file = folder.file("file", "");
    for words in WAYS {
        let server = peer(|stream| String::from_utf8(read_all(stream)).unwrap());
        let line = format!(
            "exec \"$0\" connect {server} {words} -- sh -c 'ls /proc/$$/fd' 5<{file} 7</tmp 9>&2"
        );
        shell(&line, "").run().is(0, "", "");
        assert_eq!(server.done(), "0\n1\n2\n");
    }
}

#[test]
fn a_hex_dump_shows_what_the_program_says_and_hears() {
    let server = peer(|stream| ask(&stream, "ping\n"));
    let done = with_command(&server, "--hex - --tcp-info", "read line; echo \"<$line>\"").run();
    let told = done.gives(0, "");
    assert!(told.contains("|ping.|") && told.contains("|<ping>.|"), "{told}");
    assert!(told.contains("\ntcp: "), "{told}");
    assert_eq!(server.done(), b"<ping>\n");
}

#[test]
fn events_tell_start_and_end() {
    let server = peer(|stream| ask(&stream, "hello"));
    let done = sockctl(format!("connect {server} --json -- cat")).run();
    let events = events(&done.gives(0, ""));
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["connected", "exec", "exec", "closed"]);
    let closed = &events[3];
    assert_eq!((&closed["received"], &closed["sent"]), (&5.into(), &5.into()));
    server.done();
}

#[test]
fn wait_waits_for_the_server() {
    let port = free_port();
    sockctl(format!("connect {port} -- echo hello"))
        .run()
        .fails(3, format!("connect to 127.0.0.1:{port}: {REFUSED}"));
    let client = sockctl(format!("connect {port} --wait 20 -v -- echo hello")).start();
    client.stderr_has("waiting up to 20s for 127.0.0.1");
    assert_eq!(read_all(accept(&listen(port))), b"hello\n");
    assert_eq!(client.finish().code, 0);
}

/// A SOCKS5 proxy that agrees to everything and is the target itself, whose first bytes are in one
/// segment with its own last: what it was told, and what followed.
fn proxy(listener: &TcpListener) -> Vec<u8> {
    let mut stream = accept(listener);
    let greeting = take(&stream, 2);
    take(&stream, greeting[1].into());
    stream.write_all(&[5, 0]).unwrap();
    let mut said = take(&stream, 5 + 10 + 2);
    stream.write_all(b"\x05\0\0\x01\x7f\0\0\x01\x15\x38early").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    said.extend(read_all(stream));
    said
}

#[test]
fn a_proxy_is_gone_through_first() {
    let show = "cat; echo \" $TCPREMOTEHOST $TCPREMOTEIP $TCPREMOTEPORT\"";
    for words in WAYS {
        let (listener, address) = listener();
        let words = format!("{words} --proxy socks5://{address}");
        let client = with_command("db.example:5432", &words, show).start();
        let wanted = b"\x05\x01\x00\x03\x0adb.example\x15\x38early db.example  5432\n";
        let said = proxy(&listener);
        assert_eq!(said.escape_ascii().to_string(), wanted.escape_ascii().to_string());
        client.finish().is(0, "", "");
    }
}

#[test]
fn a_proxy_header_comes_before_the_program() {
    let server = peer(|stream| String::from_utf8(read_all(stream)).unwrap());
    sockctl(format!("connect {server} --send-proxy -- echo hello")).run().is(0, "", "");
    let said = server.done();
    assert!(said.starts_with("PROXY TCP4 127.0.0.1 ") && said.ends_with("\r\nhello\n"), "{said}");
}

#[test]
fn behind_auth_connect_it_knows_the_key_by_name() {
    let folder = Folder::new();
    let key = folder.text("key");
    sockctl(format!("auth-serve --create-key=alice --key-file {key}")).run().is(0, "", "");
    let data = pattern(1 << 20);
    let server = sockctl(format!("auth-serve 0 -v --key-file {key} --once --echo")).start();
    let file = folder.file("data", &data);
    let command = format!(
        "echo $SOCKCTL_KEY_NAME >&2; env | grep SOCKCTL_KEY= >&2; cat {file} & cmp -n {} - {file}",
        data.len()
    );
    let client = sockctl(format!("auth-connect {server} --key-file {key} --linger 5"));
    client.args(["--", "sh", "-c", &command]).run().is(0, "", "alice\n");
    server.finish().gives(0, "");
}

#[test]
fn behind_every_proof_both_ends_are_passed_on() {
    let folder = Folder::new();
    let key = folder.file("key", "a passphrase that is long");
    for auth in ["", "--digest sha256", "--python"] {
        let words = format!("auth-serve 0 {auth} --key-file {key} --once --sh 'cat; echo end'");
        let server = sockctl(words).start();
        let address = server.address();
        let command = "echo hello; exec 3>&0; exec python3 -c 'import socket, sys\n\
                       s = socket.socket(fileno=3)\n\
                       s.shutdown(socket.SHUT_WR)\n\
                       sys.stderr.write(s.makefile().read())'";
        let client = sockctl(format!("auth-connect {address} {auth} --key-file {key}"));
        client.args(["--", "sh", "-c", command]).run().is(0, "", "hello\nend\n");
        server.finish().is(0, "", format!("listening on {address}\n"));
        // One that fails, and the right key.
        let words = format!("auth-serve 0 {auth} --key-file {key} --once --reply 'hello\\n'");
        let server = sockctl(words).start();
        let client = sockctl(format!("auth-connect {server} {auth} --key-file {key} -- false"));
        client.run().fails(1, "program 'false': exited with status 1");
        server.finish().gives(0, "");
    }
}

#[test]
fn a_wrong_key_starts_no_program() {
    let folder = Folder::new();
    let (key, wrong) =
        (folder.file("key", "a passphrase that is long"), folder.file("w", "another one, long"));
    let server = sockctl(format!("auth-serve 0 --key-file {key} --echo")).start();
    let client =
        sockctl(format!("auth-connect {server} --key-file {wrong} -- sh -c 'echo started >&2'"));
    let told = client.run().gives(9, "");
    assert!(told.contains("the server rejected our key") && !told.contains("started"), "{told}");
    // No verdict on this wire: the server closes, which the program sees.
    let server = sockctl(format!("auth-serve 0 --digest md5 --key-file {key} --echo")).start();
    let client = sockctl(format!("auth-connect {server} --digest md5 --key-file {wrong} -- cat"));
    client.run().fails(
        9,
        format!(
            "authenticate to {server}: the server closed without a reply (it may have rejected the key)"
        ),
    );
}

#[test]
fn no_child_and_no_descriptor_is_left_while_it_lingers() {
    let (listener, address) = listener();
    let client = with_command(&address, "--linger 20", "sleep 0 & echo x").start();
    let stream = accept(&listener);
    assert_eq!(read_all(&stream), b"x\n");
    until("no child is left", || client.children() == 0);
    // stdin, stdout, stderr, the socket, and what the loop itself has.
    let sockets = |id: u32| {
        let links = fs::read_dir(format!("/proc/{id}/fd")).unwrap();
        let links = links.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let inode = |line: &str| line.split_whitespace().nth(9).map(|it| format!("socket:[{it}]"));
        let tcp: Vec<_> =
            fs::read_to_string("/proc/net/tcp").unwrap().lines().filter_map(inode).collect();
        links.filter(|link| tcp.iter().any(|it| link.as_os_str() == it.as_str())).count()
    };
    assert_eq!(sockets(client.id()), 1);
    hold(stream);
    client.finish().is(0, "", "");
}

/// What tcpclient's program reads and writes is what ours does, on descriptors 6 and 7 there. Each reads
/// everything: what is left unread is a reset there.
#[test]
#[ignore = "needs tcpclient"]
fn it_says_what_tcpclients_program_says() {
    let said = |client: fn(&str, u16) -> Program, command: &str| {
        let server = peer(|stream| ask(&stream, "a request\n"));
        let done = client(command, server.port).run();
        let text = String::from_utf8(server.done()).unwrap();
        let ours = |line: &str| {
            !["TCPLOCALPORT", "TCPREMOTEPORT", "TCPLOCALHOST", "TCPREMOTEINFO", "TCPREMOTEHOST"]
                .iter()
                .any(|name| line.starts_with(name))
        };
        let text: Vec<String> = text.lines().filter(|line| ours(line)).map(String::from).collect();
        (done.code, done.stderr, text)
    };
    let theirs = |command: &str, port: u16| {
        let command = format!("exec 0<&6 1>&7; {command}");
        program("tcpclient", format!("-RHl0 127.0.0.1 {port}")).args(["sh", "-c", &command])
    };
    let ours = |command: &str, port: u16| {
        program(BINARY, format!("connect {port}")).args(["--", "sh", "-c", command])
    };
    for command in [
        "cat; echo end",
        "cat >&2; env | grep -E '^(TCP|PROTO)' | sort",
        "read line; echo $line >&2",
    ] {
        assert_eq!(said(ours, command), said(theirs, command), "{command}");
    }
}
