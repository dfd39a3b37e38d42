//! `-- PROGRAM ARGS…`, `--sh COMMAND`: how a program meets its client.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::run::{
    Folder, RESET, Running, ask, connect, datagram, datagrams_to, events, is_alive, pattern,
    port_in, read_all, read_to_either, read_to_reset, reset, shell, sockctl, take, until,
    until_refused,
};

mod client;
mod faults;

/// What a Python program sees: its descriptors, modes, groups and signals.
const SELF: &str = r"
import os, fcntl, stat
print('socket', stat.S_ISSOCK(os.fstat(0).st_mode), os.fstat(0).st_ino == os.fstat(1).st_ino)
print('blocking', all(not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK for fd in (0, 1)))
print('group', os.getpgrp() == os.getpid())
for line in open('/proc/self/status'):
    if line.startswith('SigBlk'): print(line.strip())
";

/// What the server answers to a request, read to its end.
#[track_caller]
fn answer(server: &Running, request: &str) -> String {
    String::from_utf8(ask(&server.connect(), request)).unwrap()
}

#[test]
fn the_socket_itself_is_the_programs_stdin_and_stdout() {
    let server = sockctl("serve 0 -- python3 -c").arg(SELF).start();
    let wanted = "socket True True\nblocking True\ngroup True\nSigBlk:\t0000000000000000\n";
    assert_eq!(answer(&server, ""), wanted);
    // Python ignores SIGPIPE by itself; others see what they were given. INT and QUIT may be
    // ignored by the shell that started us, and two real-time signals are glibc's own business.
    let server = sockctl("serve 0 --sh 'grep SigIgn /proc/self/status'").start();
    let ignored = answer(&server, "");
    let ignored = u64::from_str_radix(ignored["SigIgn:".len()..].trim(), 16).unwrap();
    assert_eq!(ignored & 0x7fff_ffff & !0b110, 0);
}

#[test]
fn the_environment_is_that_of_ucspi() {
    let show = "env | grep -E 'TCP|UDP|UNIX|PROTO|SOCKCTL|LISTEN' | sort";
    let server = sockctl(["serve", "0", "--sh", show])
        .env("SOCKCTL_KEY", "secret")
        .env("SOCKCTL_PROXY_PASSWORD", "secret")
        .env("TCPREMOTEHOST", "of.another.connection")
        .env("LISTEN_FDS", "1")
        .start();
    let client = server.connect();
    let (local, remote) = (server.port(), client.local_addr().unwrap().port());
    let wanted = format!(
        "PROTO=TCP\nTCPCONNNUM=1\nTCPLOCALIP=127.0.0.1\nTCPLOCALPORT={local}\n\
         TCPREMOTEIP=127.0.0.1\nTCPREMOTEPORT={remote}\n"
    );
    assert_eq!(String::from_utf8(read_all(&client)).unwrap(), wanted);
}

#[test]
fn the_connections_of_an_address_are_counted() {
    let server = sockctl("serve 0 --sh 'echo $TCPCONNNUM; cat'").start();
    let mut held = Vec::new();
    for number in 1..=3 {
        let client = server.connect();
        assert_eq!(take(&client, 2), [b'0' + number, b'\n']);
        held.push(client);
    }
}

#[test]
fn an_ipv6_client_is_told_without_brackets() {
    let server = sockctl("serve [::1]:0 --sh 'echo $PROTO $TCPLOCALIP $TCPREMOTEIP'").start();
    let client = TcpStream::connect(server.address()).unwrap();
    assert_eq!(read_all(&client), b"TCP ::1 ::1\n");
}

#[test]
fn a_unix_client_is_told_by_its_credentials() {
    let folder = Folder::new();
    let path = folder.text("s");
    let show = "echo $PROTO $UNIXLOCALPATH $UNIXREMOTEPID; cat";
    let server = sockctl(format!("serve unix:{path} -v --sh '{show}'")).start();
    server.address();
    let seen = ask(&UnixStream::connect(&path).unwrap(), "hello");
    let wanted = format!("UNIX {path} {}\nhello", std::process::id());
    assert_eq!(String::from_utf8(seen).unwrap(), wanted);
    // The kernel counts no bytes of a UNIX socket: none are told.
    server.stderr_has("closed (eof; 0.");
}

#[test]
fn bytes_that_a_program_moves_are_counted() {
    let server = sockctl("serve 0 -v --sh 'cat; echo done'").start();
    assert_eq!(answer(&server, "hello\n"), "hello\ndone\n");
    server.stderr_has("[1] process ");
    server.stderr_has(" ended: exit status 0\n");
    server.stderr_has("closed (eof; received 6, sent 11 bytes");
}

#[test]
fn ten_megabytes_go_through_a_program_both_ways() {
    let data = pattern(10 << 20);
    for words in ["", "--hex /dev/null"] {
        let server = sockctl(format!("serve 0 {words} -- cat")).start();
        sockctl(format!("connect {server}")).input(&data[..]).run().is(0, &data, "");
    }
}

#[test]
fn with_hex_the_bytes_are_pumped_and_shown() {
    let folder = Folder::new();
    let dump = folder.text("dump");
    let words = format!("serve 0 -v --hex {dump} --sh 'read line; echo \"<$line>\"'");
    let mut server = sockctl(words).start();
    let mut client = server.connect();
    client.write_all(b"ping\nnever read").unwrap();
    assert_eq!(read_all(&client), b"<ping>\n");
    server.stderr_has("closed (eof; received 15, sent 7 bytes");
    assert!(server.is_running());
    let shown = fs::read_to_string(&dump).unwrap();
    assert!(shown.contains("|ping.nev|") && shown.contains("|er read|"), "{shown}");
    assert!(shown.contains("|<ping>.|"), "{shown}");
}

#[test]
fn a_pumped_program_that_does_not_read_holds_only_its_client_up() {
    let server = sockctl("serve 0 --hex /dev/null --sh 'exec sleep 1000'").start();
    let stuck = server.connect();
    // The pump, the kernel's buffers on both sides, and no more.
    stuff(&stuck);
    let vitals = server.vitals();
    assert!(vitals.memory < 64 << 20, "{vitals:?}");
}

/// Writes until nothing has gone for half a second.
fn stuff(mut client: &TcpStream) {
    client.set_nonblocking(true).unwrap();
    let (chunk, mut sent, mut quiet) = (vec![0; 64 << 10], 0, Instant::now());
    while quiet.elapsed() < Duration::from_millis(500) {
        match client.write(&chunk) {
            Ok(count) => (sent, quiet) = (sent + count, Instant::now()),
            Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock),
        }
        assert!(sent < 64 << 20, "nothing holds the client up");
        std::thread::sleep(Duration::from_millis(1)); // a poll, not a guess
    }
}

#[test]
fn a_reset_is_one_also_where_the_program_saw_it_first() {
    for _ in 0..20 {
        let server = sockctl("serve 0 --once --sh 'echo; cat; exit 0'").start();
        let mut client = server.connect();
        client.read_exact(&mut [0]).unwrap();
        reset(client);
        assert_eq!(server.finish().code, 7);
    }
}

#[test]
fn a_reset_of_a_client_that_its_program_does_not_read_is_seen() {
    let server = sockctl("serve 0 -v --hex /dev/null --sh 'exec sleep 1000'").start();
    let client = server.connect();
    stuff(&client);
    reset(client);
    server.stderr_has("killed by SIGHUP");
    server.rests();
}

#[test]
fn once_with_a_reset_is_7() {
    let folder = Folder::new();
    let file = folder.text("port");
    let server = sockctl(format!("serve 0 --once -q --port-file {file} -- sleep 1000")).start();
    let client = connect(port_in(&file));
    let name = client.local_addr().unwrap();
    reset(client);
    server.finish().fails(7, format!("connection from {name}: {RESET}"));
}

#[test]
fn once_fails_with_its_program() {
    for words in ["", "--hex /dev/null"] {
        for (command, cause) in [
            ("exit 1", "exited with status 1"),
            ("echo out; cat; exit 255", "exited with status 255"),
            ("kill -TERM $$", "killed by SIGTERM"),
        ] {
            let server = sockctl("serve 0 --once").args(words).args(["--sh", command]).start();
            let address = server.address();
            let (got, is_end) = read_to_either(ended(server.connect()));
            let wanted = if command.starts_with("echo") { "out\n" } else { "" };
            assert_eq!((got, is_end), (wanted.into(), command.contains("exit")), "{command}");
            let told = format!("listening on {address}\nsockctl: program '/bin/sh': {cause}\n");
            server.finish().is(1, "", &told);
        }
        let server = sockctl("serve 0 --once").args(words).args("-- cat").start();
        assert_eq!(answer(&server, "hello"), "hello");
        server.finish().gives(0, "");
    }
}

/// A client that has ended its side.
fn ended(stream: TcpStream) -> TcpStream {
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream
}

#[test]
fn once_behind_auth_fails_with_its_program() {
    for auth in ["", "--digest sha256", "--python"] {
        let with_key =
            |words: String| sockctl(words).env("SOCKCTL_KEY", "a passphrase that is long");
        let server = with_key(format!("auth-serve 0 --once {auth} --sh 'cat; exit 3'")).start();
        let client = with_key(format!("auth-connect {server} {auth}")).input("hello\n");
        client.run().is(0, "hello\n", "");
        let told = server.finish().gives(1, "");
        assert!(told.ends_with("\nsockctl: program '/bin/sh': exited with status 3\n"), "{told}");
    }
}

#[test]
fn a_program_that_cannot_be_started_fails_once() {
    let folder = Folder::new();
    let program = folder.file("program", "no program at all\n");
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    for words in ["", "--hex /dev/null"] {
        let server = sockctl(format!("serve 0 --once {words} -- {program}")).start();
        let address = server.address();
        assert_eq!(read_to_reset(&server.connect()), b"");
        let told = format!(
            "listening on {address}\nsockctl: run '{program}': exec format error (ENOEXEC 8)\n"
        );
        server.finish().is(1, "", &told);
    }
}

/// What ended the connection first is how the run ends: the signals that follow kill the program.
#[test]
fn once_ends_as_the_connection_where_that_was_first() {
    for words in ["", "--hex /dev/null"] {
        let start = |words: &str| {
            sockctl(format!("serve 0 --once {words} --sh 'echo; exec sleep 1000'")).start()
        };
        let server = start(words);
        let client = server.connect();
        take(&client, 1);
        reset(client);
        assert_eq!(server.finish().code, 7, "{words}: reset");
        let server = start(&format!("{words} -i 0.3"));
        assert_eq!(read_to_reset(&server.connect()), b"\n");
        assert_eq!(server.finish().code, 4, "{words}: idle");
        let server = start(&format!("{words} --grace 0.2"));
        let client = server.connect();
        take(&client, 1);
        server.signal("TERM");
        assert_eq!(server.finish().code, 0, "{words}: stopped");
        let server = start(&format!("{words} --deadline 0.5"));
        assert_eq!(read_to_reset(&server.connect()), b"\n");
        assert_eq!(server.finish().code, 4, "{words}: the deadline");
    }
}

#[test]
fn a_pumped_program_that_has_ended_its_side_reads_the_rest() {
    let script = "import socket, sys, time\n\
                  s = socket.socket(fileno=0)\n\
                  s.shutdown(socket.SHUT_WR)\n\
                  time.sleep(0.3)\n\
                  sys.stderr.write('got ' + s.makefile().read())";
    for words in ["", "--hex /dev/null"] {
        let words = format!("serve 0 --once {words} -- python3 -c");
        let server = sockctl(words).arg(script).start();
        let client = server.connect();
        assert_eq!(read_all(&client), b"");
        { &client }.write_all(b"the rest\n").unwrap();
        drop(client);
        let told = server.finish().gives(0, "");
        assert!(told.ends_with("\ngot the rest\n"), "{told}");
    }
}

#[test]
fn events_tell_start_and_end() {
    let server = sockctl("serve 0 --once --json --sh 'exit 3'").start();
    assert_eq!(read_all(&server.connect()), b"");
    let events = events(&server.finish().gives(1, ""));
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["listening", "accepted", "exec", "exec", "closed", "error"]);
    let error = &events[5];
    assert_eq!((&error["op"], &error["target"]), (&"program".into(), &"'/bin/sh'".into()));
    assert_eq!((&error["reason"], &error["exit"]), (&"exited with status 3".into(), &1.into()));
    assert_eq!(events[2]["pid"], events[3]["pid"]);
    assert_eq!((&events[2]["status"], &events[3]["status"]), (&().into(), &3.into()));
    assert_eq!((&events[4]["reason"], &events[4]["received"]), (&"eof".into(), &0.into()));
}

#[test]
fn a_silent_client_ends_with_its_program() {
    let folder = Folder::new();
    let path = folder.text("s");
    let unix = format!("unix:{path}");
    for words in ["0", "0 -x /dev/null", &unix] {
        let line = format!("serve {words} -v -i 0.5 --sh 'cat; sleep 1000'");
        let server = sockctl(line).start();
        server.address();
        let (began, seen) = if words == unix {
            says_x(UnixStream::connect(&path).unwrap())
        } else {
            says_x(server.connect())
        };
        assert_eq!(seen, b"x");
        assert!(began.elapsed() >= Duration::from_millis(490), "{:?}", began.elapsed());
        server.stderr_has("ended: killed by SIGHUP");
        server.stderr_has("closed (idle;");
    }
}

/// When it has said x, and all that comes back.
fn says_x(mut stream: impl Read + Write) -> (Instant, Vec<u8>) {
    stream.write_all(b"x").unwrap();
    (Instant::now(), read_to_either(&mut stream).0)
}

#[test]
fn talk_keeps_a_program_from_being_idle() {
    let server = sockctl("serve 0 -v -i 1 -- cat").start();
    let mut client = server.connect();
    let began = Instant::now();
    let mut byte = [0];
    while began.elapsed() < Duration::from_millis(2500) {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut byte).unwrap();
        std::thread::sleep(Duration::from_millis(50)); // the pace of the talk
    }
    assert_eq!(read_to_reset(&client), b"");
    server.stderr_has("closed (idle;");
}

#[test]
fn a_stopping_server_lets_programs_finish() {
    for words in ["", "--hex /dev/null"] {
        let server = sockctl("serve 0 --grace 30")
            .args(words)
            .args("--sh 'echo ready; read go; sleep 1; echo done'")
            .start();
        let mut client = server.connect();
        let mut line = [0; 6];
        client.read_exact(&mut line).unwrap();
        server.signal("TERM");
        until_refused(server.port());
        client.write_all(b"go\n").unwrap();
        assert_eq!(read_all(&client), b"done\n", "{words:?}");
        assert_eq!(server.finish().code, 0);
    }
}

#[test]
fn at_the_end_of_grace_programs_are_ended() {
    for words in ["", "--hex /dev/null"] {
        let server = sockctl("serve 0 -v --grace 0.2")
            .args(words)
            .args(["--sh", "trap '' HUP TERM; echo ready; while :; do sleep 1; done"])
            .start();
        let mut client = server.connect();
        let mut line = [0; 6];
        client.read_exact(&mut line).unwrap();
        server.signal("TERM");
        // The program may have had more to say: no end, but a reset.
        assert_eq!(read_to_reset(&client), b"");
        let finished = server.finish();
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        assert!(finished.stderr.contains("killed by SIGKILL"), "{}", finished.stderr);
        assert!(finished.stderr.contains("closed (shutdown;"), "{}", finished.stderr);
    }
}

#[test]
fn a_second_signal_ends_programs_at_once() {
    let server = sockctl("serve 0 --grace 1000")
        .args(["--sh", "trap '' HUP TERM; echo $$; while :; do sleep 1; done"])
        .start();
    let client = server.connect();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(&client), &mut line).unwrap();
    server.signal("TERM");
    until_refused(server.port());
    server.signal("TERM");
    assert_eq!(server.finish().code, 0);
    until("the program has ended", || !is_alive(line.trim()));
}

#[test]
fn a_program_gets_the_limit_on_open_files_that_we_were_given() {
    let line = r#"ulimit -Sn 50; exec "$0" serve 0 -m 200 --sh 'ulimit -n'"#;
    let server = shell(line, "").start();
    let held: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    for client in held {
        assert_eq!(read_all(&client), b"50\n");
    }
}

#[test]
fn those_who_come_together_each_have_a_program_of_their_own() {
    let server = sockctl("serve 0 -v --sh 'echo $TCPREMOTEPORT; cat'").start();
    // While it is stopped they come, and some go.
    server.port();
    server.signal("STOP");
    let clients: Vec<TcpStream> = (0..24).map(|_| server.connect()).collect();
    let (leaving, staying): (Vec<_>, Vec<_>) =
        clients.into_iter().enumerate().partition(|(number, _)| number % 3 == 0);
    for (_, client) in leaving {
        reset(client);
    }
    server.signal("CONT");
    for (number, client) in staying {
        let seen = ask(&client, number.to_string());
        let wanted = format!("{}\n{number}", client.local_addr().unwrap().port());
        assert_eq!(String::from_utf8(seen).unwrap(), wanted);
    }
    until("all are told to be closed", || {
        server.stderr_has("closed").matches(" closed (").count() == 24
    });
    until("no child is left", || server.children() == 0);
}

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    let server = sockctl("serve 0 -m 64 -v -- cat").start();
    assert_eq!(answer(&server, "warm up"), "warm up");
    server.stderr_has("[1] 127.0.0.1");
    server.stderr_has("closed (eof;");
    let count = || (server.vitals().descriptors, server.vitals().threads);
    let before = count();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..250).for_each(|_| assert_eq!(answer(&server, "x"), "x")));
        }
    });
    until("descriptors, threads and children are as before", || {
        count().0 <= before.0 && count().1 <= before.1 && server.children() == 0
    });
}

#[test]
fn a_program_of_auth_serve_knows_the_key_by_name_and_gets_every_byte() {
    let folder = Folder::new();
    let keys = folder.file("keys", "alice:wangwang\nbob:other\n");
    let show = "echo $SOCKCTL_KEY_NAME; env | grep -c -e wangwang -e SOCKCTL_KEY=; cat";
    let words = format!("auth-serve 0 --digest sha256 --keys {keys} -v --sh '{show}'");
    let server = sockctl(words).start();
    sockctl(format!("auth-connect {server} --digest sha256"))
        .env("SOCKCTL_KEY", "wangwang")
        .input("payload")
        .run()
        .is(0, "alice\n0\npayload", "");
    server.stderr_has("closed (eof; received 7, sent 15 bytes");
}

#[test]
fn an_encrypted_session_is_pumped_and_ends_in_good_order() {
    let data = pattern(1 << 20);
    let with_key = |words: &str| sockctl(words).env("SOCKCTL_KEY", "a passphrase that is long");
    let server = with_key("auth-serve 0 -v --sh 'cat; exit 3'").start();
    let client = with_key(&format!("auth-connect {server}"));
    client.input(&data[..]).run().is(0, data, "");
    server.stderr_has("ended: exit status 3\n");
    server.stderr_has("closed (eof; received 1048576, sent 1048576 bytes");
}

#[test]
fn a_unix_client_that_closes_is_still_heard() {
    let folder = Folder::new();
    let (path, file) = (folder.text("s"), folder.text("log"));
    let log = format!("sleep 0.5; cat >>{file}; exec sleep 1000");
    let server = sockctl(format!("serve unix:{path} -v --sh '{log}'")).start();
    server.address();
    UnixStream::connect(&path).unwrap().write_all(b"a line\n").unwrap();
    // It is gone once the program has read what it sent, and had a moment for it.
    server.stderr_has("killed by SIGHUP");
    assert_eq!(fs::read_to_string(&file).unwrap(), "a line\n");
}

/// Sends a datagram and waits for the answer.
fn ask_datagram(port: u16, request: &[u8]) -> Vec<u8> {
    let socket = datagrams_to(port);
    socket.send(request).unwrap();
    datagram(&socket)
}

#[test]
fn a_datagram_is_a_programs_stdin_and_its_stdout_the_answer() {
    let show =
        "echo $PROTO $UDPLOCALIP $UDPLOCALPORT $UDPREMOTEIP $UDPREMOTEPORT $TCPREMOTEIP; cat";
    let server = sockctl(format!("udp-serve 0 -v --sh '{show}'")).start();
    let socket = datagrams_to(server.port());
    socket.send(b"hello").unwrap();
    let (ours, port) = (socket.local_addr().unwrap().port(), server.port());
    let wanted = format!("UDP 127.0.0.1 {port} 127.0.0.1 {ours}\nhello");
    assert_eq!(String::from_utf8(datagram(&socket)).unwrap(), wanted);
    server.stderr_has(" ended: exit status 0\n");
    server.stops("", "[1] started process …\n[1] process … ended: exit status 0\n");
}

#[test]
fn the_largest_datagram_goes_through_a_program() {
    let server = sockctl("udp-serve 0 -- cat").start();
    let data = pattern(65_507);
    assert!(ask_datagram(server.port(), &data) == data);
    // A program that does not read it answers as well.
    let server = sockctl("udp-serve 0 -- echo 'two words' x").start();
    assert_eq!(ask_datagram(server.port(), &data), b"two words x\n");
}

#[test]
fn programs_for_datagrams_run_side_by_side_up_to_a_limit() {
    let folder = Folder::new();
    // Each says how many there are; none ends before all of its kind have begun.
    let command = format!(
        "cd {}; : >$$; until [ -e go ] || [ $(ls | wc -l) -ge 2 ]; do sleep 0.05; done; \
         : >go; ls | wc -l; sleep 0.3; rm $$",
        folder.path().display()
    );
    let server = sockctl(["udp-serve", "0", "-m", "2", "--sh", &command]).start();
    let sockets: Vec<UdpSocket> = (0..4).map(|_| datagrams_to(server.port())).collect();
    for socket in &sockets {
        socket.send(b"x").unwrap();
    }
    for socket in &sockets {
        let most: usize = String::from_utf8(datagram(socket)).unwrap().trim().parse().unwrap();
        assert!(most <= 3, "{most} files for 2 programs");
    }
}

#[test]
fn count_waits_for_the_last_answer() {
    let server = sockctl("udp-serve 0 --count 1 --sh 'sleep 0.5; echo late'").start();
    assert_eq!(ask_datagram(server.port(), b"x"), b"late\n");
    assert_eq!(server.finish().code, 0);
}

#[test]
fn a_datagrams_program_that_takes_too_long_or_says_too_much_is_ended() {
    for (command, cause) in [
        ("trap '' HUP; exec sleep 1000", "the program did not end within 500ms (-w)"),
        ("exec yes", "the answer is longer than 65507 bytes"),
    ] {
        let server = sockctl("udp-serve 0 -v -w 0.5 --sh").arg(command).start();
        let socket = datagrams_to(server.port());
        socket.send(b"x").unwrap();
        let peer = socket.local_addr().unwrap();
        server.stderr_has(&format!("sockctl: answer {peer}: {cause}\n"));
        server.stderr_has(" ended: killed by SIG");
    }
}

#[test]
fn a_datagrams_program_that_fails_costs_its_peer_only() {
    let server = sockctl("udp-serve 0 -v --sh 'read x; [ $x = ok ] && echo $x'").start();
    let bad = datagrams_to(server.port());
    bad.send(b"bad\n").unwrap();
    server.stderr_has(" ended: exit status 1\n");
    assert_eq!(ask_datagram(server.port(), b"ok\n"), b"ok\n");
}

#[test]
fn a_thousand_datagrams_leave_nothing_behind() {
    let server = sockctl("udp-serve 0 -m 16 -- cat").start();
    assert_eq!(ask_datagram(server.port(), b"warm up"), b"warm up");
    let before = server.vitals();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..250).for_each(|_| assert_eq!(ask_datagram(server.port(), b"x"), b"x"));
            });
        }
    });
    until("descriptors and threads are as before", || {
        let now = server.vitals();
        now.descriptors <= before.descriptors && now.threads <= before.threads
    });
}
