//! `-- PROGRAM ARGS…`, `--sh COMMAND`: how a program meets its client.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::run::{DEADLINE, Running, connect, is_alive, read_all, reset, sockctl, until};

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
fn ask(server: &Running, request: &str) -> String {
    let mut client = server.connect();
    client.write_all(request.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    String::from_utf8(read_all(&client)).unwrap()
}

/// The command that ends a list of options with a Python program.
fn python(script: &str) -> [&str; 4] {
    ["--", "python3", "-c", script]
}

#[test]
fn the_socket_itself_is_the_programs_stdin_and_stdout() {
    let server = sockctl(["serve", "0"]).args(python(SELF)).start();
    let wanted = "socket True True\nblocking True\ngroup True\n\
                  SigBlk:\t0000000000000000\n";
    let seen = ask(&server, "");
    assert_eq!(seen, wanted);
    // Python ignores SIGPIPE by itself; others see what they were given. INT and QUIT may be
    // ignored by the shell that started us, and two real-time signals are glibc's own business.
    let server = sockctl(["serve", "0", "--sh", "grep SigIgn /proc/self/status"]).start();
    let ignored = ask(&server, "");
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
    let mut client = server.connect();
    let (local, remote) = (client.peer_addr().unwrap(), client.local_addr().unwrap());
    let mut seen = String::new();
    client.read_to_string(&mut seen).unwrap();
    let wanted = format!(
        "PROTO=TCP\nTCPCONNNUM=1\nTCPLOCALIP=127.0.0.1\nTCPLOCALPORT={}\n\
         TCPREMOTEIP=127.0.0.1\nTCPREMOTEPORT={}\n",
        local.port(),
        remote.port()
    );
    assert_eq!(seen, wanted);
}

#[test]
fn the_connections_of_an_address_are_counted() {
    let server = sockctl(["serve", "0", "--sh", "echo $TCPCONNNUM; cat"]).start();
    let mut held = Vec::new();
    for number in 1..=3 {
        let mut client = server.connect();
        let mut line = [0; 2];
        client.read_exact(&mut line).unwrap();
        assert_eq!(line, [b'0' + number, b'\n']);
        held.push(client);
    }
}

#[test]
fn an_ipv6_client_is_told_without_brackets() {
    let show = "echo $PROTO $TCPLOCALIP $TCPREMOTEIP";
    let server = sockctl(["serve", "[::1]:0", "--sh", show]).start();
    let mut client = TcpStream::connect(server.address()).unwrap();
    let mut seen = String::new();
    client.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "TCP ::1 ::1\n");
}

#[test]
fn a_unix_client_is_told_by_its_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let address = format!("unix:{}", path.display());
    let show = "echo $PROTO $UNIXLOCALPATH $UNIXREMOTEPID; cat";
    let server = sockctl(["serve", &address, "--sh", show, "-v"]).start();
    server.address();
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"hello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut seen = String::new();
    client.read_to_string(&mut seen).unwrap();
    let (path, id) = (path.display(), std::process::id());
    assert_eq!(seen, format!("UNIX {path} {id}\nhello"));
    // The kernel counts no bytes of a UNIX socket: none are told.
    server.stderr_has("closed (eof; 0.");
}

#[test]
fn bytes_that_a_program_moves_are_counted() {
    let server = sockctl(["serve", "0", "-v", "--sh", "cat; echo done"]).start();
    assert_eq!(ask(&server, "hello\n"), "hello\ndone\n");
    server.stderr_has("[1] process ");
    server.stderr_has(" ended: exit status 0\n");
    server.stderr_has("closed (eof; received 6, sent 11 bytes");
}

#[test]
fn ten_megabytes_go_through_a_program_both_ways() {
    let data: Vec<u8> = (0..10_u32 << 18).flat_map(u32::to_le_bytes).collect();
    for words in [&[][..], &["--hex", "/dev/null"]] {
        let server = sockctl(["serve", "0"]).args(words).args(["--", "cat"]).start();
        let finished = sockctl(["connect", &server.port().to_string()]).input(data.clone()).run();
        finished.is(0, &data, "");
    }
}

#[test]
fn with_hex_the_bytes_are_pumped_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump");
    let mut server = sockctl(["serve", "0", "-v", "--hex"])
        .args([&dump])
        .args(["--sh", "read line; echo \"<$line>\""])
        .start();
    let mut client = server.connect();
    client.write_all(b"ping\nnever read").unwrap();
    assert_eq!(read_all(&client), b"<ping>\n");
    server.stderr_has("closed (eof; received 15, sent 7 bytes");
    assert!(server.is_running());
    let shown = fs::read_to_string(&dump).unwrap();
    assert!(shown.contains("|ping.never read|"), "{shown}");
    assert!(shown.contains("|<ping>.|"), "{shown}");
}

#[test]
fn a_pumped_program_that_does_not_read_holds_only_its_client_up() {
    let server = sockctl(["serve", "0", "--hex", "/dev/null", "--sh", "exec sleep 1000"]).start();
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
fn once_serves_one_client_and_ends_with_it() {
    let server = sockctl(["serve", "0", "--once", "--", "cat"]).start();
    let address = server.address();
    assert_eq!(ask(&server, "only"), "only");
    server.finish().is(0, "", &format!("listening on {address}\n"));
}

#[test]
fn a_reset_is_one_also_where_the_program_saw_it_first() {
    for _ in 0..20 {
        let server = sockctl(["serve", "0", "--once", "--sh", "echo; cat; exit 0"]).start();
        let mut client = server.connect();
        client.read_exact(&mut [0]).unwrap();
        reset(client);
        assert_eq!(server.finish().code, 7);
    }
}

#[test]
fn a_reset_of_a_client_that_its_program_does_not_read_is_seen() {
    let words = ["serve", "0", "-v", "--hex", "/dev/null", "--sh", "exec sleep 1000"];
    let server = sockctl(words).start();
    let client = server.connect();
    stuff(&client);
    reset(client);
    server.stderr_has("killed by SIGHUP");
    server.rests();
}

#[test]
fn once_with_a_reset_is_7() {
    let server = sockctl(["serve", "0", "--once", "-q", "--port-file"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("port");
    let server = server.args([&file]).args(["--", "sleep", "1000"]).start();
    until("the port file", || file.exists());
    let client = connect(fs::read_to_string(&file).unwrap().trim().parse().unwrap());
    let name = client.local_addr().unwrap();
    reset(client);
    let cause = "connection reset by peer (ECONNRESET 104)";
    server.finish().is(7, "", &format!("sockctl: connection from {name}: {cause}\n"));
}

#[test]
fn events_tell_start_and_end() {
    let server = sockctl(["serve", "0", "--once", "--json", "--sh", "exit 3"]).start();
    let listening = server.stderr_has("\n");
    let port = serde_json::from_str::<serde_json::Value>(&listening).unwrap()["local"].clone();
    let port = port.as_str().unwrap().rsplit(':').next().unwrap().parse();
    assert_eq!(read_all(&connect(port.unwrap())), b"");
    let finished = server.finish();
    let events: Vec<serde_json::Value> =
        finished.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["listening", "accepted", "exec", "exec", "closed"]);
    assert_eq!(events[2]["pid"], events[3]["pid"]);
    assert_eq!((&events[2]["status"], &events[3]["status"]), (&().into(), &3.into()));
    assert_eq!((&events[4]["reason"], &events[4]["received"]), (&"eof".into(), &0.into()));
    assert_eq!(finished.code, 0);
}

#[test]
fn a_silent_client_ends_with_its_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let unix = format!("unix:{}", path.display());
    for (address, words) in
        [("127.0.0.1:0", &[][..]), ("127.0.0.1:0", &["-x", "/dev/null"]), (&unix, &[])]
    {
        let server = sockctl(["serve", address, "-v", "-i", "0.5"])
            .args(words)
            .args(["--sh", "cat; sleep 1000"])
            .start();
        let began;
        if address == unix {
            server.address();
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(b"x").unwrap();
            began = Instant::now();
            let mut seen = Vec::new();
            client.read_to_end(&mut seen).unwrap();
            assert_eq!(seen, b"x");
        } else {
            let mut client = server.connect();
            client.write_all(b"x").unwrap();
            began = Instant::now();
            assert_eq!(read_all(&client), b"x");
        }
        assert!(began.elapsed() >= Duration::from_millis(490), "{:?}", began.elapsed());
        server.stderr_has("ended: killed by SIGHUP");
        server.stderr_has("closed (idle;");
    }
}

#[test]
fn talk_keeps_a_program_from_being_idle() {
    let server = sockctl(["serve", "0", "-v", "-i", "1", "--", "cat"]).start();
    let mut client = server.connect();
    let began = Instant::now();
    let mut byte = [0];
    while began.elapsed() < Duration::from_millis(2500) {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut byte).unwrap();
        std::thread::sleep(Duration::from_millis(50)); // the pace of the talk
    }
    assert_eq!(read_all(&client), b"");
    server.stderr_has("closed (idle;");
}

#[test]
fn a_stopping_server_lets_programs_finish() {
    for words in [&[][..], &["--hex", "/dev/null"]] {
        let server = sockctl(["serve", "0", "--grace", "30"])
            .args(words)
            .args(["--sh", "echo ready; read go; sleep 1; echo done"])
            .start();
        let mut client = server.connect();
        let mut line = [0; 6];
        client.read_exact(&mut line).unwrap();
        server.signal("TERM");
        until("it does not listen any more", || {
            TcpStream::connect(client.peer_addr().unwrap()).is_err()
        });
        client.write_all(b"go\n").unwrap();
        assert_eq!(read_all(&client), b"done\n", "{words:?}");
        assert_eq!(server.finish().code, 0);
    }
}

#[test]
fn at_the_end_of_grace_programs_are_ended() {
    for words in [&[][..], &["--hex", "/dev/null"]] {
        let server = sockctl(["serve", "0", "-v", "--grace", "0.2"])
            .args(words)
            .args(["--sh", "trap '' HUP TERM; echo ready; while :; do sleep 1; done"])
            .start();
        let mut client = server.connect();
        let mut line = [0; 6];
        client.read_exact(&mut line).unwrap();
        server.signal("TERM");
        // The client is let go at once, the program when it has had its chance.
        assert_eq!(read_all(&client), b"");
        let finished = server.finish();
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        assert!(finished.stderr.contains("killed by SIGKILL"), "{}", finished.stderr);
        assert!(finished.stderr.contains("closed (shutdown;"), "{}", finished.stderr);
    }
}

#[test]
fn a_second_signal_ends_programs_at_once() {
    let server = sockctl(["serve", "0", "--grace", "1000"])
        .args(["--sh", "trap '' HUP TERM; echo $$; while :; do sleep 1; done"])
        .start();
    let client = server.connect();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(&client), &mut line).unwrap();
    server.signal("TERM");
    until("it does not listen any more", || {
        TcpStream::connect(client.peer_addr().unwrap()).is_err()
    });
    server.signal("TERM");
    assert_eq!(server.finish().code, 0);
    until("the program has ended", || !is_alive(line.trim()));
}

#[test]
fn a_program_gets_the_limit_on_open_files_that_we_were_given() {
    let line = r#"ulimit -Sn 50; exec "$0" serve 0 -m 200 --sh 'ulimit -n'"#;
    let server = crate::run::shell(line, [""; 0]).start();
    let held: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    for client in held {
        assert_eq!(read_all(&client), b"50\n");
    }
}

#[test]
fn those_who_come_together_each_have_a_program_of_their_own() {
    let line = ["serve", "0", "-v", "--sh", "echo $TCPREMOTEPORT; cat"];
    let server = sockctl(line).start();
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
    for (number, mut client) in staying {
        write!(client, "{number}").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let wanted = format!("{}\n{number}", client.local_addr().unwrap().port());
        assert_eq!(String::from_utf8(read_all(&client)).unwrap(), wanted);
    }
    until("all are told to be closed", || {
        server.stderr_has("closed").matches(" closed (").count() == 24
    });
    let children = format!("/proc/{0}/task/{0}/children", server.id());
    until("no child is left", || fs::read_to_string(&children).unwrap().is_empty());
}

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    let server = sockctl(["serve", "0", "-m", "64", "-v", "--", "cat"]).start();
    assert_eq!(ask(&server, "warm up"), "warm up");
    server.stderr_has("[1] 127.0.0.1");
    server.stderr_has("closed (eof;");
    let count = |what: &str| {
        let folder = format!("/proc/{}/{what}", server.id());
        fs::read_dir(folder).unwrap().count()
    };
    let children = || {
        let path = format!("/proc/{0}/task/{0}/children", server.id());
        fs::read_to_string(path).unwrap().split_whitespace().count()
    };
    let before = (count("fd"), count("task"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..250).for_each(|_| assert_eq!(ask(&server, "x"), "x")));
        }
    });
    until("descriptors, threads and children are as before", || {
        count("fd") <= before.0 && count("task") <= before.1 && children() == 0
    });
}

#[test]
fn a_program_of_auth_serve_knows_the_key_by_name_and_gets_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    fs::write(&keys, "alice:wangwang\nbob:other\n").unwrap();
    fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let server = sockctl(["auth-serve", "0", "--digest", "sha256", "--keys"])
        .args([&keys])
        .args([
            "-v",
            "--sh",
            "echo $SOCKCTL_KEY_NAME; env | grep -c -e wangwang -e SOCKCTL_KEY=; cat",
        ])
        .start();
    sockctl(["auth-connect", &server.port().to_string(), "--digest", "sha256"])
        .env("SOCKCTL_KEY", "wangwang")
        .input("payload")
        .run()
        .is(0, "alice\n0\npayload", "");
    server.stderr_has("closed (eof; received 7, sent 15 bytes");
}

#[test]
fn an_encrypted_session_is_pumped_and_ends_in_good_order() {
    let data: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let server = sockctl(["auth-serve", "0", "-v", "--sh", "cat; exit 3"])
        .env("SOCKCTL_KEY", "a passphrase that is long enough")
        .start();
    let finished = sockctl(["auth-connect", &server.port().to_string()])
        .env("SOCKCTL_KEY", "a passphrase that is long enough")
        .input(data.clone())
        .run();
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    assert!(finished.stdout == data, "{} bytes", finished.stdout.len());
    server.stderr_has("ended: exit status 3\n");
    server.stderr_has("closed (eof; received 1048576, sent 1048576 bytes");
}

#[test]
fn a_unix_client_that_closes_is_still_heard() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (folder.path().join("s"), folder.path().join("log"));
    let address = format!("unix:{}", path.display());
    let log = format!("sleep 0.5; cat >>{}; exec sleep 1000", file.display());
    let server = sockctl(["serve", &address, "-v", "--sh", &log]).start();
    server.address();
    UnixStream::connect(&path).unwrap().write_all(b"a line\n").unwrap();
    // It is gone once the program has read what it sent, and had a moment for it.
    server.stderr_has("killed by SIGHUP");
    assert_eq!(fs::read_to_string(&file).unwrap(), "a line\n");
}

/// Sends a datagram and waits for the answer.
fn ask_datagram(port: u16, request: &[u8]) -> Vec<u8> {
    let socket = client(port);
    socket.send(request).unwrap();
    let mut answer = vec![0; 70_000];
    let count = socket.recv(&mut answer).unwrap();
    answer.truncate(count);
    answer
}

fn client(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

#[test]
fn a_datagram_is_a_programs_stdin_and_its_stdout_the_answer() {
    let show =
        "echo $PROTO $UDPLOCALIP $UDPLOCALPORT $UDPREMOTEIP $UDPREMOTEPORT $TCPREMOTEIP; cat";
    let server = sockctl(["udp-serve", "0", "-v", "--sh", show]).start();
    let socket = client(server.port());
    socket.send(b"hello").unwrap();
    let mut answer = [0; 200];
    let count = socket.recv(&mut answer).unwrap();
    let (ours, port) = (socket.local_addr().unwrap().port(), server.port());
    let wanted = format!("UDP 127.0.0.1 {port} 127.0.0.1 {ours}\nhello");
    assert_eq!(String::from_utf8_lossy(&answer[..count]), wanted);
    server.stderr_has("[1] started process ");
    server.stderr_has(" ended: exit status 0\n");
    server.signal("TERM");
    assert_eq!(server.finish().code, 0);
}

#[test]
fn the_largest_datagram_goes_through_a_program() {
    let server = sockctl(["udp-serve", "0", "--", "cat"]).start();
    let data: Vec<u8> = (0..65_507_u32).map(|n| n.to_le_bytes()[0]).collect();
    assert!(ask_datagram(server.port(), &data) == data);
    // One that does not read it is no trouble either.
    let server = sockctl(["udp-serve", "0", "--", "echo", "two words", "x"]).start();
    assert_eq!(ask_datagram(server.port(), &data), b"two words x\n");
}

#[test]
fn programs_for_datagrams_run_side_by_side_up_to_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    // Each says how many there are; none ends before all of its kind have begun.
    let command = format!(
        "cd {}; : >$$; until [ -e go ] || [ $(ls | wc -l) -ge 2 ]; do sleep 0.05; done; \
         : >go; ls | wc -l; sleep 0.3; rm $$",
        folder.path().display()
    );
    let server = sockctl(["udp-serve", "0", "-m", "2", "--sh", &command]).start();
    let sockets: Vec<UdpSocket> = (0..4).map(|_| client(server.port())).collect();
    for socket in &sockets {
        socket.send(b"x").unwrap();
    }
    for socket in &sockets {
        let mut answer = [0; 16];
        let count = socket.recv(&mut answer).unwrap();
        let most: usize = std::str::from_utf8(&answer[..count]).unwrap().trim().parse().unwrap();
        assert!(most <= 3, "{most} files for 2 programs");
    }
}

#[test]
fn count_waits_for_the_last_answer() {
    let server =
        sockctl(["udp-serve", "0", "--count", "1", "--sh", "sleep 0.5; echo late"]).start();
    assert_eq!(ask_datagram(server.port(), b"x"), b"late\n");
    assert_eq!(server.finish().code, 0);
}

#[test]
fn a_datagrams_program_that_takes_too_long_or_says_too_much_is_ended() {
    for (command, cause) in [
        ("trap '' HUP; exec sleep 1000", "the program did not end in time"),
        ("exec yes", "the answer is longer than 65507 bytes"),
    ] {
        let server = sockctl(["udp-serve", "0", "-v", "-w", "0.5", "--sh", command]).start();
        let socket = client(server.port());
        socket.send(b"x").unwrap();
        let peer = socket.local_addr().unwrap();
        server.stderr_has(&format!("sockctl: answer {peer}: {cause}\n"));
        server.stderr_has(" ended: killed by SIG");
    }
}

#[test]
fn a_datagrams_program_that_fails_costs_its_peer_only() {
    let server =
        sockctl(["udp-serve", "0", "-v", "--sh", "read x; [ $x = ok ] && echo $x"]).start();
    let bad = client(server.port());
    bad.send(b"bad\n").unwrap();
    server.stderr_has(" ended: exit status 1\n");
    assert_eq!(ask_datagram(server.port(), b"ok\n"), b"ok\n");
}

#[test]
fn a_thousand_datagrams_leave_nothing_behind() {
    let server = sockctl(["udp-serve", "0", "-m", "16", "--", "cat"]).start();
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
