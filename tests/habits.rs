//! Habits from nc, ncat, socat, tcpserver and wait-for-it. The README's table: every line of its right
//! column is run, against a peer that shows that it does what the left column was used for. And what
//! those programs take: each form does the same here, or is refused with the way it is done here.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::room::greeting;
use crate::run::{
    BINARY, DEADLINE, Finished, Folder, IN_USE, Program, Running, accept, ask, connect, datagram,
    datagrams, echoes, free_port, is_like, listen, listener, program, read_all, read_to_reset,
    sockctl, take, with_ports,
};
use crate::serve::limits::{activated, inherited};

const README: &str = include_str!("../README.md");

/// The commands of the table's right column.
fn table() -> Vec<&'static str> {
    let rows = README
        .lines()
        .skip_while(|line| *line != "| you used to write | now write |")
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let (_, command) = row.rsplit_once("| `").unwrap_or_else(|| panic!("{row}"));
        command.strip_suffix("` |").unwrap_or_else(|| panic!("{row}"))
    })
    .collect()
}

/// A folder in which a command of the table is run, with a free port in place of its 8520.
struct Place {
    folder: Folder,
    port: u16,
}

impl Place {
    fn new() -> Self {
        Self { folder: Folder::new(), port: free_port() }
    }

    /// The command in a shell, with stdin at its end unless it is started by hand.
    fn command(&self, command: &str) -> Program {
        assert!(table().contains(&command), "not in the table: {command}");
        // `|` is written `\|` inside a table.
        let command = with_ports(command, |known| self.port + (known - 8520)).replace("\\|", "|");
        let binary = Path::new(BINARY).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        program("bash", ["-c", &format!("exec {command}")])
            .env("PATH", format!("{}:{path}", binary.display()))
            .within(&self.folder)
    }

    fn run(&self, command: &str) -> Finished {
        self.command(command).run()
    }

    /// A server of the table, listening.
    fn serve(&self, command: &str) -> Running {
        let server = self.command(command).start();
        server.stderr_has("listening on ");
        server
    }

    /// A certificate in this file, with its key: its path.
    fn certificate(&self, name: &str) -> String {
        let file = self.folder.text(name);
        let create = format!("serve --create-cert=127.0.0.1,localhost --tls-cert {file}");
        let created = sockctl(create).run();
        assert_eq!(created.code, 0, "{}", created.stderr);
        file
    }

    /// A TLS server on the port, whose certificate is in `ca.pem`: it answers `seen`.
    fn tls_server(&self) -> Running {
        let file = self.certificate("ca.pem");
        let serve = format!("serve --tls --tls-cert {file} --reply seen\\n {}", self.port);
        let server = sockctl(serve).start();
        server.stderr_has("listening on ");
        server
    }

    /// The command sends this, and prints what the peer answers.
    fn sends(&self, command: &str, wanted: &str) {
        let peer = self.peer("", "seen\n");
        self.run(command).is(0, "seen\n", "");
        assert_eq!(peer.join().unwrap(), wanted);
    }

    /// A datagram socket on the port.
    fn datagrams(&self) -> UdpSocket {
        let socket = UdpSocket::bind(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    }

    /// A peer on the port that answers one connection: reads what `until` is the end of, sends
    /// `answer`, ends. Gives what it read.
    fn peer(&self, end: &'static str, answer: &'static str) -> JoinHandle<String> {
        let listener = listen(self.port);
        std::thread::spawn(move || {
            let mut stream = accept(&listener);
            let mut got = String::new();
            let mut byte = [0];
            while (end.is_empty() || !got.ends_with(end)) && stream.read(&mut byte).unwrap() == 1 {
                got.push(char::from(byte[0]));
            }
            stream.write_all(answer.as_bytes()).unwrap();
            got
        })
    }
}

impl Place {
    /// The relay that the command is reaches a server with these words, also from this client.
    fn relays(&self, command: &str, server: &str, client: impl FnOnce(&Self) -> Program) {
        let server = sockctl(server).start();
        server.stderr_has("listening on ");
        let _relay = self.serve(command);
        client(self).run().is(0, "seen\n", "");
    }

    /// A plain client.
    fn client(&self) -> Program {
        sockctl(format!("connect {}", self.port))
    }

    /// A key in the file `key`: its path.
    fn key(&self) -> String {
        let file = self.folder.text("key");
        let created = sockctl(format!("auth-serve --create-key --key-file {file}")).run();
        assert_eq!(created.code, 0, "{}", created.stderr);
        file
    }

    /// Words of a server that answers `seen`, on the next port.
    fn seen(&self, before: &str) -> String {
        format!("{before} {} --reply seen\\n", self.port + 1)
    }
}

type Habit = (&'static str, fn(&Place, &str));

/// Each command of the table, and what must come of it.
const HABITS: &[Habit] = &[
    ("sockctl connect -z 127.0.0.1:8520", |place, command| {
        let open = format!("127.0.0.1:{} open\n", place.port);
        let closed = format!("127.0.0.1:{} ECONNREFUSED (111)\n", place.port);
        place.run(command).is(3, closed, "");
        let _listener = listen(place.port);
        place.run(command).is(0, open, "");
    }),
    ("sockctl connect -z 127.0.0.1:1,8520-8521", |place, command| {
        let _listener = listen(place.port);
        let done = place.run(command);
        let shown = String::from_utf8_lossy(&done.stdout).into_owned();
        let wanted = format!("127.0.0.1:1 ECONNREFUSED (111)\n127.0.0.1:{} open\n", place.port);
        assert!(shown.starts_with(&wanted), "{shown}");
        assert_eq!((done.code, done.stderr.as_str()), (3, ""));
    }),
    ("sockctl connect 8520 --recv-only --reconnect=1s >all", |place, command| {
        let client = place.command(command).start();
        let listener = listen(place.port);
        for part in ["one\n", "two\n"] {
            accept(&listener).write_all(part.as_bytes()).unwrap();
        }
        let _third = accept(&listener);
        assert_eq!(std::fs::read_to_string(place.folder.at("all")).unwrap(), "one\ntwo\n");
        client.signal("TERM");
        assert_eq!(client.finish().code, 143);
    }),
    ("sockctl connect 8520 --send-only --reconnect=1s <file", |place, command| {
        place.folder.file("file", "all of it\n");
        let client = place.command(command).start();
        client.stderr_has("trying again in 1s");
        let peer = accept(&listen(place.port));
        assert_eq!(read_all(&peer), b"all of it\n");
        drop(peer);
        assert_eq!(client.finish().code, 0);
    }),
    ("sockctl connect 8520 -C", |place, command| {
        let peer = place.peer("", "seen\n");
        place.command(command).input("hello\n").run().is(0, "seen\n", "");
        assert_eq!(peer.join().unwrap(), "hello\r\n");
    }),
    ("sockctl connect -z --wait 30s 127.0.0.1:8520", |place, command| {
        let waiting = place.command(command).start();
        let _listener = listen(place.port);
        waiting.finish().is(0, format!("127.0.0.1:{} open\n", place.port), "");
    }),
    ("sockctl connect -qz --wait 30s 127.0.0.1:8520 -- echo ready", |place, command| {
        let waiting = place.command(command).start();
        let _listener = listen(place.port);
        waiting.finish().is(0, "ready\n", "");
    }),
    ("sockctl connect -z --wait 30s 127.0.0.1:8520 127.0.0.1:8521", |place, command| {
        let waiting = place.command(command).start();
        let ports = [place.port, place.port + 1];
        let _listeners = ports.map(listen);
        let open = ports.map(|port| format!("127.0.0.1:{port} open\n")).concat();
        waiting.finish().is(0, open, "");
    }),
    ("sockctl connect --tls 127.0.0.1:8520 --tls-ca ca.pem", |place, command| {
        let _server = place.tls_server();
        place.run(command).is(0, "seen\n", "");
    }),
    ("sockctl connect --tls --tls-ca ca.pem localhost:8520", |place, command| {
        let _server = place.tls_server();
        place.run(command).is(0, "seen\n", "");
    }),
    ("sockctl serve 8520 --tls -- cat", |place, command| {
        let server = place.serve(command);
        let pin = server.tls_pin();
        let client = sockctl(format!("connect --tls --tls-pin {pin} {}", place.port));
        client.input("hello\n").run().is(0, "hello\n", "");
    }),
    ("sockctl serve 8520 --tls --tls-cert own.pem --echo", |place, command| {
        let file = place.certificate("own.pem");
        let _server = place.serve(command);
        let client = sockctl(format!("connect --tls --tls-ca {file} localhost:{}", place.port));
        client.input("hello\n").run().is(0, "hello\n", "");
    }),
    ("sockctl serve 8520 --to 127.0.0.1:8521", |place, command| {
        place.relays(command, &place.seen("serve"), Place::client);
    }),
    ("sockctl serve 8520 --to localhost:8521 --wait 30s", |place, command| {
        place.relays(command, &place.seen("serve"), Place::client);
    }),
    (
        "sockctl serve 8520 --to auth:127.0.0.1:8521 --to-key-file key --wait 30s",
        |place, command| {
            let server = place.seen(&format!("auth-serve --key-file {}", place.key()));
            // It is there before its server is.
            let _relay = place.serve(command);
            let client = place.client().start();
            let server = sockctl(server).start();
            server.stderr_has("listening on ");
            client.finish().is(0, "seen\n", "");
        },
    ),
    ("sockctl serve unix:socket --to 127.0.0.1:8521", |place, command| {
        let path = place.folder.text("socket");
        place.relays(command, &place.seen("serve"), |_| sockctl(format!("connect unix:{path}")));
    }),
    ("sockctl serve --systemd --to 127.0.0.1:8521", |place, command| {
        let socket = inherited(listen(place.port));
        let server = sockctl(place.seen("serve")).start();
        server.stderr_has("listening on ");
        let command = with_ports(command, |known| place.port + (known - 8520));
        let _relay = activated(&[&socket], command.strip_prefix("sockctl ").unwrap());
        place.client().run().is(0, "seen\n", "");
    }),
    ("sockctl serve 8520 --to 127.0.0.1:8521 --send-proxy", |place, command| {
        let server = sockctl(place.seen("serve --accept-proxy 127.0.0.1 -v")).start();
        server.stderr_has("listening on ");
        let _relay = place.serve(command);
        let from = "127.0.0.9";
        place.client().args(["-s", from]).run().is(0, "seen\n", "");
        server.stderr_has(&format!("{from}:"));
    }),
    ("sockctl serve 8520 --to 127.0.0.1:8521 --delay 100ms", |place, command| {
        let began = Instant::now();
        place.relays(command, &place.seen("serve"), Place::client);
        assert!(began.elapsed() >= Duration::from_millis(100));
    }),
    ("sockctl serve 8520 --to 127.0.0.1:8521 --rate 100000", |place, command| {
        let began = Instant::now();
        let server = format!("serve {} --reply {}", place.port + 1, "x".repeat(50_000));
        let server = sockctl(server).start();
        server.stderr_has("listening on ");
        let _relay = place.serve(command);
        assert_eq!(read_all(connect(place.port)).len(), 50_000);
        assert!(began.elapsed() >= Duration::from_millis(500));
    }),
    ("sockctl serve 8520 --to 127.0.0.1:8521 --cut 3", |place, command| {
        let server = sockctl(place.seen("serve")).start();
        server.stderr_has("listening on ");
        let _relay = place.serve(command);
        assert_eq!(read_to_reset(connect(place.port)), b"see");
    }),
    ("sockctl serve 8520 --to unix:socket", |place, command| {
        let path = place.folder.text("socket");
        let server = format!("serve unix:{path} --reply seen\\n");
        place.relays(command, &server, Place::client);
    }),
    ("sockctl serve 8520 --tls --tls-cert own.pem --to 8521", |place, command| {
        let file = place.certificate("own.pem");
        place.relays(command, &place.seen("serve"), |place| {
            sockctl(format!("connect --tls --tls-ca {file} localhost:{}", place.port))
        });
    }),
    ("sockctl serve --tls 8520 --tls-cert own.pem --to 127.0.0.1:8521", |place, command| {
        let file = place.certificate("own.pem");
        place.relays(command, &place.seen("serve"), |place| {
            sockctl(format!("connect --tls --tls-ca {file} localhost:{}", place.port))
        });
    }),
    ("sockctl serve 8520 --to tls:localhost:8521 --to-tls-ca ca.pem", |place, command| {
        let file = place.certificate("ca.pem");
        let server = place.seen(&format!("serve --tls --tls-cert {file}"));
        place.relays(command, &server, Place::client);
    }),
    ("sockctl auth-serve 8520 --key-file key --to 8521", |place, command| {
        let key = place.key();
        place.relays(command, &place.seen("serve"), |place| {
            sockctl(format!("auth-connect {} --key-file {key}", place.port))
        });
    }),
    ("sockctl serve 8520 --to auth:127.0.0.1:8521 --to-key-file key", |place, command| {
        let server = place.seen(&format!("auth-serve --key-file {}", place.key()));
        place.relays(command, &server, Place::client);
    }),
    ("sockctl connect -zv --tls 127.0.0.1:8520", |place, command| {
        let server = sockctl(format!("serve --tls {}", place.port)).start();
        server.stderr_has("listening on ");
        let done = place.run(command);
        let wanted = format!(
            "127.0.0.1:{} open CERT_SELF_SIGNED (…) TLSv1.3 localhost 127.0.0.1 …, until 20…Z, …)\n",
            place.port
        );
        assert_eq!((done.code, done.stderr.as_str()), (9, ""));
        let text = done.text();
        assert!(is_like(&wanted, &text), "{text}");
    }),
    (
        "sockctl connect -z --tls --tls-ca ca.pem --expires-within 14d 127.0.0.1:8520",
        |place, command| {
            let _server = place.tls_server();
            let done = place.run(command);
            let open = format!("127.0.0.1:{} open TLSv1.3 127.0.0.1 localhost, 8", place.port);
            assert!(done.code == 0 && done.text().starts_with(&open));
        },
    ),
    ("sockctl connect -z --closed --wait 30s 127.0.0.1:8520", |place, command| {
        let listener = listen(place.port);
        let waiting = place.command(command).start();
        accept(&listener);
        drop(listener);
        let closed = format!("127.0.0.1:{} ECONNREFUSED (111)\n", place.port);
        waiting.finish().is(0, closed, "");
    }),
    ("sockctl connect -z tcp://127.0.0.1:8520 --wait 30s -- echo ready", |place, command| {
        let waiting = place.command(command).start();
        let _listener = listen(place.port);
        let open = format!("127.0.0.1:{} open\n", place.port);
        waiting.finish().is(0, "ready\n", open);
    }),
    ("sockctl connect -z 127.0.0.1:8520 --count 3", |place, command| {
        let _listener = listen(place.port);
        let done = place.run(command);
        let shown = String::from_utf8_lossy(&done.stdout).into_owned();
        let end = format!("127.0.0.1:{}: 3 tries, 0 failures, min/avg/p50/p99/max ", place.port);
        assert!(done.code == 0 && shown.lines().last().unwrap().starts_with(&end), "{shown}");
    }),
    ("sockctl serve 8520 --expect . --pause 500ms --send half --reset", |place, command| {
        let _server = place.serve(command);
        let mut client = connect(place.port);
        client.write_all(b"hello\n").unwrap();
        assert_eq!(read_to_reset(&client), b"half");
    }),
    (r"sockctl connect 8520 --wait 30s --send 'PING\r\n' --expect '\+PONG'", |place, command| {
        let waiting = place.command(command).start();
        let peer = place.peer("PING\r\n", "+PONG\r\n");
        waiting.finish().is(0, "+PONG\r\n", "");
        assert_eq!(peer.join().unwrap(), "PING\r\n");
    }),
    (r"sockctl connect 8520 --send 'hello\n'", |place, command| place.sends(command, "hello\n")),
    ("sockctl connect 8520 <file", |place, command| {
        place.folder.file("file", "all of it");
        place.sends(command, "all of it");
    }),
    ("sockctl serve 8520 --once >file", |place, command| {
        let server = place.serve(command);
        connect(place.port).write_all(b"all of it").unwrap();
        server.finish().gives(0, "");
        assert_eq!(std::fs::read(place.folder.at("file")).unwrap(), b"all of it");
    }),
    ("sockctl serve 8520 --once <file", |place, command| {
        place.folder.file("file", "all of it");
        let server = place.serve(command);
        assert_eq!(read_all(&connect(place.port)), b"all of it");
        assert_eq!(server.finish().code, 0);
    }),
    ("sockctl connect 8520 --recv-only", |place, command| {
        let listener = listen(place.port);
        // Its stdin is not read.
        let client = place.command(command).start();
        let mut stream = accept(&listener);
        stream.write_all(b"news\n").unwrap();
        drop(stream);
        client.finish().is(0, "news\n", "");
    }),
    ("sockctl connect 8520 -C <file", |place, command| {
        place.folder.file("file", "a\nb\r\n");
        place.sends(command, "a\r\nb\r\n");
    }),
    ("sockctl connect 8520 -s 127.0.0.2", |place, command| {
        let listener = listen(place.port);
        let client = place.command(command).start();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip().to_string(), "127.0.0.2");
        client.finish().is(0, "", "");
    }),
    ("sockctl connect 8520 -w 1 -i 1", |place, command| {
        let listener = listen(place.port);
        let client = place.command(command).start();
        let _silent = listener.accept().unwrap();
        client.finish().gives(4, "");
    }),
    ("sockctl connect unix:socket", |place, command| {
        let listener = UnixListener::bind(place.folder.at("socket")).unwrap();
        socket2::SockRef::from(&listener).set_read_timeout(Some(DEADLINE)).unwrap();
        let client = place.command(command).start();
        listener.accept().unwrap().0.write_all(b"hello").unwrap();
        client.finish().is(0, "hello", "");
    }),
    ("sockctl serve unix:socket --echo", |place, command| {
        let _server = place.serve(command);
        let stream = std::os::unix::net::UnixStream::connect(place.folder.at("socket")).unwrap();
        echoes(&stream, b"ping");
    }),
    ("sockctl udp-send 8520 hello", |place, command| {
        let peer = place.datagrams();
        place.run(command).is(0, "", "");
        assert_eq!(datagram(&peer), b"hello");
    }),
    ("sockctl udp-serve 8520", |place, command| {
        let server = place.serve(command);
        let peer = datagrams();
        peer.send_to(b"hello", ("127.0.0.1", place.port)).unwrap();
        server.stdout_has(&format!("{} hello\n", peer.local_addr().unwrap()));
    }),
    ("sockctl udp-send 8520 --talk --raw", |place, command| {
        let peer = place.datagrams();
        let mut client = place.command(command).start();
        client.send("hello\n");
        let mut buffer = [0; 100];
        let (count, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"hello\n");
        peer.send_to(b"who is it?\n", from).unwrap();
        client.stdout_has("who is it?\n");
        client.finish().is(0, "who is it?\n", "");
    }),
    ("sockctl udp-serve 8520 --talk --raw", |place, command| {
        let mut server = place.serve(command);
        server.send("welcome\n");
        let peer = datagrams();
        peer.send_to(b"hello\n", ("127.0.0.1", place.port)).unwrap();
        assert_eq!(datagram(&peer), b"welcome\n");
        server.stdout_has("hello\n");
    }),
    ("sockctl udp-send 8520 ping --wait 30s --expect pong", |place, command| {
        let waiting = place.command(command).start();
        let peer = place.datagrams();
        let (_, from) = peer.recv_from(&mut [0; 100]).unwrap();
        peer.send_to(b"loading", from).unwrap();
        peer.send_to(b"pong\n", from).unwrap();
        waiting.finish().is(0, "pong\n", "");
    }),
    ("sockctl udp-send unix:log hello", |place, command| {
        let log = UnixDatagram::bind(place.folder.at("log")).unwrap();
        log.set_read_timeout(Some(DEADLINE)).unwrap();
        place.run(command).is(0, "", "");
        assert_eq!(datagram(&log), b"hello");
    }),
    ("sockctl udp-serve 8520 --to 127.0.0.1:8521", relays_datagrams),
    ("sockctl udp-serve 8520 --to 127.0.0.1:8521 -i 10m", relays_datagrams),
    ("sockctl udp-serve 8520 --to unix:log", |place, command| {
        let log = UnixDatagram::bind(place.folder.at("log")).unwrap();
        log.set_read_timeout(Some(DEADLINE)).unwrap();
        let _relay = place.serve(command);
        datagrams().send_to(b"hello", ("127.0.0.1", place.port)).unwrap();
        assert_eq!(datagram(&log), b"hello");
    }),
    ("sockctl connect --proxy socks5://127.0.0.1:8520 db.example:5432", |place, command| {
        // RFC 1928: the proxy resolves the name.
        let listener = listen(place.port);
        let client = place.command(command).start();
        let mut stream = accept(&listener);
        let greeting = take(&stream, 2);
        assert_eq!(greeting[0], 5);
        take(&stream, greeting[1].into());
        stream.write_all(&[5, 0]).unwrap();
        assert_eq!(take(&stream, 5 + 10 + 2), b"\x05\x01\x00\x03\x0adb.example\x15\x38");
        stream.write_all(b"\x05\0\0\x01\x7f\0\0\x01\x15\x38from the db").unwrap();
        drop(stream);
        client.finish().is(0, "from the db", "");
    }),
    ("sockctl serve 8520 --room", |place, command| {
        let _server = place.serve(command);
        let mut members: Vec<_> = (0..2).map(|_| connect(place.port)).collect();
        let joined = greeting("guest1", "server") + "-- guest1 joined\n-- guest2 joined\n";
        assert_eq!(take(&members[0], joined.len()), joined.as_bytes());
        members[1].write_all(b"hello\n").unwrap();
        assert_eq!(take(&members[0], 15), b"<guest2> hello\n");
    }),
    ("sockctl serve 8520 --broker", |place, command| {
        let server = place.serve(command);
        let [mut one, two] = [(); 2].map(|()| connect(place.port));
        server.stderr_has("[2] ");
        one.write_all(b"to all\0").unwrap();
        assert_eq!(take(&two, 7), b"to all\0");
    }),
    ("sockctl serve 8520 -- cat", returns),
    ("sockctl serve 8520 --sh 'echo hello; cat'", |place, command| {
        let _server = place.serve(command);
        assert_eq!(ask(&connect(place.port), "and more"), b"hello\nand more");
    }),
    ("sockctl connect 8520 -- cat", |place, command| {
        let listener = listen(place.port);
        let client = place.command(command).start();
        assert_eq!(ask(&accept(&listener), "ping"), b"ping");
        client.finish().is(0, "", "");
    }),
    ("sockctl connect 8520 -- sh -c 'echo hello; cat >got'", |place, command| {
        let peer = place.peer("hello\n", "answer");
        place.run(command).is(0, "", "");
        assert_eq!(peer.join().unwrap(), "hello\n");
        assert_eq!(std::fs::read_to_string(place.folder.at("got")).unwrap(), "answer");
    }),
    ("sockctl connect 8520 -- sh -c 'read line; echo hello'", |place, command| {
        let listener = listen(place.port);
        let client = place.command(command).start();
        assert_eq!(ask(&accept(&listener), "ping\n"), b"hello\n");
        client.finish().is(0, "", "");
    }),
    ("sockctl serve 8520 --echo", returns),
    (r"sockctl serve 8520 --reply 'ok\n'", |place, command| {
        let _server = place.serve(command);
        for _ in 0..3 {
            assert_eq!(read_all(&connect(place.port)), b"ok\n");
        }
    }),
    ("sockctl serve 8520 -m 40 -- cat", returns),
    ("sockctl serve 8520 --echo --allow 127.0.0.2", |place, command| {
        let _server = place.serve(command);
        assert_eq!(read_all(&connect(place.port)), b"");
    }),
    ("sockctl connect 8520 --hex -", |place, command| {
        let peer = place.peer("", "ok\n");
        place.run(command).is(0, "ok\n", "< … 00000000  6f 6b 0a … |ok.|\n");
        peer.join().unwrap();
    }),
    ("sockctl connect 8520 --log -", |place, command| {
        let peer = place.peer("", "ok\n");
        place.run(command).is(0, "ok\n", "…:…:….… < ok\n");
        peer.join().unwrap();
    }),
];

/// A relay of the table passes datagrams of several clients on, and the answers back.
fn relays_datagrams(place: &Place, command: &str) {
    let target = UdpSocket::bind(("127.0.0.1", place.port + 1)).unwrap();
    target.set_read_timeout(Some(DEADLINE)).unwrap();
    let _relay = place.serve(command);
    let clients: Vec<_> = (0..3).map(|_| datagrams()).collect();
    for client in &clients {
        client.send_to(b"ping", ("127.0.0.1", place.port)).unwrap();
        let (_, from) = target.recv_from(&mut [0; 100]).unwrap();
        target.send_to(from.to_string().as_bytes(), from).unwrap();
    }
    let answers = clients.iter().map(datagram).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(answers.len(), 3, "each has a port of its own");
}

/// A server of the table returns what it gets, to several at a time, and its end too.
fn returns(place: &Place, command: &str) {
    let _server = place.serve(command);
    let mut clients: Vec<_> = (0..3).map(|_| connect(place.port)).collect();
    for client in &mut clients {
        client.write_all(b"ping").unwrap();
    }
    for client in &clients {
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(read_all(client), b"ping");
    }
}

#[test]
fn every_line_of_the_table_does_what_it_is_for() {
    let mut tried: Vec<&str> = HABITS.iter().map(|(command, _)| *command).collect();
    let mut rows = table();
    tried.sort_unstable();
    rows.sort_unstable();
    assert_eq!(tried, rows, "the README's table and the habits that are tried");
    for (command, holds) in HABITS {
        holds(&Place::new(), command);
    }
}

/// What the other programs take and sockctl does not, and how the refusal says that it is done.
const REFUSED: &[(&str, &str)] = &[
    // nc, of OpenBSD.
    ("-l 8520", "no option '-l'; use sockctl serve"),
    ("-lvp 8520", "no option '-l'; use sockctl serve"),
    ("-vlp 8520", "no command before '-vlp'; use sockctl serve"),
    ("-vul 8520", "no command before '-vul'; use sockctl udp-serve"),
    ("-zv host 80", "no option '-z'; use sockctl connect -z"),
    ("-vz host 80", "no command before '-vz'; use sockctl connect -z"),
    ("-v host 80", "no command before '-v'; use sockctl connect or sockctl serve"),
    ("-u host 53", "no option '-u'; use sockctl udp-send --talk or sockctl udp-serve --talk"),
    ("-w3 host 80", "no command before '-w3'; use sockctl connect or sockctl serve"),
    ("-N host 80", "no option '-N'; it is the default: the end of stdin is passed on"),
    ("connect -l 1", "no option '-l'; use sockctl serve"),
    ("connect -lk 1", "no option '-l'; use sockctl serve"),
    ("serve -l 1", "no option '-l'; it listens by itself"),
    ("serve -lvp 1", "no option '-l'; it listens by itself"),
    ("udp-send -l 1", "no option '-l'; use sockctl udp-serve"),
    ("connect -u 1", "no option '-u'; use sockctl udp-send --talk or sockctl udp-serve --talk"),
    ("udp-serve -u 1", "no option '-u'; it is UDP already"),
    ("serve -k 1", "no option '-k'; it keeps going by itself"),
    ("connect -k 1", "no option '-k'; sockctl serve keeps going by itself"),
    ("connect -N 1", "no option '-N'; it is the default: the end of stdin is passed on"),
    ("connect -q1 1", "no option '-q1'; -q is --quiet here, use --linger DUR"),
    ("connect -q0 host 80", "no option '-q0'; -q is --quiet here, use --linger DUR"),
    ("connect -q4 1", "no option '-q4'; -q is --quiet here, use --linger DUR"),
    ("connect -vq-1 1", "no option '-vq-1'; -q is --quiet here, use --linger DUR"),
    ("connect -q 1 host 80", "unexpected word 'host'; -q is --quiet here, use --linger DUR"),
    ("connect host 80 -q 0", "unexpected word '0'; -q is --quiet here, use --linger DUR"),
    (
        "udp-send -q 1 host 53 text",
        "-q is --quiet here, and takes no '1'; a port is written 127.0.0.1:PORT",
    ),
    ("connect -U /run/x", "no option '-U'; write unix:PATH as the address"),
    ("serve -lU /run/x", "no option '-l'; it listens by itself"),
    ("connect -X connect -x 127.0.0.1:3128 host 80", PROXIES_OF_X),
    ("connect --proxy-type socks5 host 80", PROXIES_OF_TYPE),
    (
        "connect -P me host 80",
        "no option '-P'; use --proxy http://USER@HOST:PORT and SOCKCTL_PROXY_PASSWORD",
    ),
    ("udp-send -X 5 host 80", "no option '-X'; datagrams go through no proxy"),
    (
        "connect -d 1",
        "no option '-d'; to leave stdin alone use --recv-only; to be told more use -v",
    ),
    ("connect -D 1", "no option '-D'; use -o SO_DEBUG; to send without delay use -o TCP_NODELAY"),
    ("udp-send -b 1", "no option '-b'; use --broadcast"),
    ("connect -r 1", "no option '-r'; the system chooses ports; a dump is --hex FILE"),
    ("connect -I 1000 1", "no option '-I'; use -o SO_RCVBUF=SIZE"),
    ("connect -O 1000 1", "no option '-O'; use -o SO_SNDBUF=SIZE"),
    ("connect -M 3 1", "no option '-M'; use -o IP_TTL=N, or -o IPV6_UNICAST_HOPS=N"),
    ("udp-send -M 3 1", "no option '-M'; use --ttl N"),
    ("connect -m 3 1", "no option '-m'; use -o IP_MINTTL=N"),
    ("connect -T lowdelay 1", "no option '-T'; use -o IP_TOS=N; an idle timeout is -i DUR"),
    ("connect -t 1", "no option '-t'; to retry use --wait DUR, to await the rest --linger DUR"),
    ("connect -S 1", "no option '-S'; TCP MD5 signatures are not available"),
    ("connect -F 1", "no option '-F'; passing a socket on is not available"),
    (
        "connect -V 1 1",
        "no option '-V'; write sockctl --version; to choose a route use -o SO_MARK=N",
    ),
    ("udp-serve -W 1 1", "no option '-W'; use --count N"),
    ("connect -Z 1", "no option '-Z'; TCP, UDP and UNIX sockets are all that is spoken"),
    (
        "serve -s 127.0.0.2 -p 1",
        "-s is for --to TARGET; write the address to listen on as HOST:PORT",
    ),
    (
        "udp-send -z host 53",
        "no option '-z'; only an answer shows that a UDP port is open: use --reply or --wait DUR",
    ),
    (
        "connect -z host 80 443",
        "unexpected word '443'; several ports are a list: -z HOST:PORT,PORT",
    ),
    // The proxy of nc is no dump, and the rules of tcpserver are none.
    ("connect -x 127.0.0.1:1080 127.0.0.1 1", ""),
    ("connect -x proxy:1080 127.0.0.1 1", ""),
    ("connect -x [::1]:1080 127.0.0.1 1", ""),
    ("connect -x 127.0.0.1 127.0.0.1 1", ""),
    ("auth-connect -x 127.0.0.1:1080 --key-file key 1", ""),
    ("udp-send -x127.0.0.1:1080 1 x", ""),
    ("serve --hex=unix:x 0", ""),
    ("connect -x TCP-LISTEN:1 -", ""),
    ("serve -x rules.cdb 0", "--hex 'rules.cdb': tcpserver's rules are --allow and --deny here"),
    // nc, traditional and GNU's; ncat.
    ("serve 1 -e /bin/cat", "no option '-e'; write -- PROGRAM ARGS behind the address"),
    ("connect 1 -e /bin/cat", "no option '-e'; write -- PROGRAM ARGS behind the address"),
    (
        "udp-send 1 -e /bin/cat",
        "no option '-e'; programs are run by sockctl serve ADDRESS -- PROGRAM ARGS",
    ),
    ("serve 1 -c cat", "no option '-c'; use --sh COMMAND; the limit of connections is -m N"),
    ("auth-connect 1 -c cat", "no option '-c'; write -- sh -c COMMAND behind the address"),
    ("connect 1 --sh-exec cat", "no option '--sh-exec'; write -- sh -c COMMAND behind the address"),
    (
        "udp-send 1 --sh-exec cat",
        "no option '--sh-exec'; commands are run by sockctl serve ADDRESS --sh COMMAND",
    ),
    ("serve 1 --exec cat", "no option '--exec'; write -- PROGRAM ARGS behind the address"),
    (
        "serve 1 --lua-exec x",
        "no option '--lua-exec'; scripts are run by sockctl serve ADDRESS -- PROGRAM ARGS",
    ),
    ("serve 1 --chat", "no option '--chat'; use --room"),
    ("connect 1 --chat", "no option '--chat'; use sockctl serve --room"),
    ("serve 1 --ssl", "no option '--ssl'; use --tls"),
    ("connect 1 --ssl-verify", "no option '--ssl-verify'; it is the default with --tls"),
    ("serve --listen 1", "no option '--listen'; it listens by itself"),
    (
        "connect --udp 1",
        "no option '--udp'; use sockctl udp-send --talk or sockctl udp-serve --talk",
    ),
    ("serve --keep-open 1", "no option '--keep-open'; it keeps going by itself"),
    ("connect --nodns 1", "no option '--nodns'; use -n"),
    ("connect --no-shutdown 1", "no option '--no-shutdown'; use --no-half-close"),
    ("serve --source-port 1", "no option '--source-port'; use -p PORT"),
    ("connect --output f 1", "no option '--output'; use --log FILE, or --hex FILE"),
    ("connect --append-output 1", "no option '--append-output'; use --log +FILE, or --hex +FILE"),
    ("connect -o dump.txt 1", "--opt 'dump.txt': "),
    ("serve --allowfile f 1", "no option '--allowfile'; use --allow @FILE"),
    ("connect --sctp 1", "no option '--sctp'; TCP, UDP and UNIX sockets are all that is spoken"),
    ("connect -g 127.0.0.1 1", "no option '-g'; source routes are not available"),
    (
        "connect --proxy 127.0.0.1:1080 1",
        "--proxy: expected socks5://[USER@]HOST:PORT or http://[USER@]HOST:PORT",
    ),
    (
        "connect --proxy-auth me:x 1",
        "no option '--proxy-auth'; use --proxy http://USER@HOST:PORT and SOCKCTL_PROXY_PASSWORD",
    ),
    ("connect --telnet 1", "no option '--telnet'; Telnet is not spoken"),
    (
        "connect --forever 1",
        "no option '--forever'; use --wait DUR, or --reconnect to come back each time",
    ),
    (
        "connect -L 1:2 1",
        "no option '-L'; a relay is sockctl serve ADDRESS --to TARGET; for a lock use flock(1)",
    ),
    (
        "serve 80 --tunnel db:5432",
        "no option '--tunnel'; use --to TARGET, and -s ADDR for its source",
    ),
    (
        "TCP-LISTEN:80,fork TCP:db:80",
        "no command 'TCP-LISTEN:80,fork'; a relay is sockctl serve ADDRESS --to TARGET",
    ),
    (
        "serve TCP-LISTEN:80,fork TCP:db:80",
        "address 'TCP-LISTEN:80,fork': a relay is sockctl serve ADDRESS --to TARGET",
    ),
    (
        "UDP-LISTEN:53,fork UDP:db:53",
        "no command 'UDP-LISTEN:53,fork'; a relay of datagrams is sockctl udp-serve ADDRESS --to TARGET",
    ),
    (
        "udp-serve UDP-RECVFROM:514 UNIX-SENDTO:/dev/log",
        "address 'UDP-RECVFROM:514': a relay of datagrams is sockctl udp-serve ADDRESS --to TARGET",
    ),
    (
        "udp-serve -s 127.0.0.2 -p 1",
        "-s is for --to TARGET; write the address to listen on as HOST:PORT",
    ),
    ("relay 80 81", "no command 'relay'; a relay is sockctl serve ADDRESS --to TARGET"),
    ("spiped -d -s 80 -t 81", "no command 'spiped'; a relay is sockctl serve ADDRESS --to TARGET"),
    ("stunnel own.conf", "no command 'stunnel'; a relay is sockctl serve ADDRESS --to TARGET"),
    ("serve 80 --target 81", "no option '--target'; use --to TARGET"),
    ("serve 80 -t 81", "no option '-t'; to relay use --to TARGET; Telnet is not spoken"),
    ("nc -l 1", "no command 'nc'; use sockctl connect, or sockctl serve to listen"),
    // socat.
    ("TCP-LISTEN:80,fork -", "no command 'TCP-LISTEN:80,fork'; use sockctl serve '*:PORT'"),
    ("- TCP:host:80", "no command '-'; "),
    ("connect - TCP:host:80", "address '-': stdin and stdout are used by themselves"),
    ("connect TCP:host:80 STDIO", "address 'STDIO': stdin and stdout are used by themselves"),
    ("connect TCP4:host:80", "address 'TCP4:host:80': use sockctl connect HOST:PORT"),
    (
        "serve TCP-LISTEN:80,fork EXEC:cat",
        "address 'TCP-LISTEN:80,fork': use sockctl serve '*:PORT'",
    ),
    ("serve tcp-l:80", "address 'tcp-l:80': use sockctl serve '*:PORT'"),
    (
        "serve 80 EXEC:cat",
        "address 'EXEC:cat': use sockctl serve ADDRESS -- PROGRAM, or sockctl connect ADDRESS -- \
         PROGRAM",
    ),
    ("connect UDP:host:53", "address 'UDP:host:53': use sockctl udp-send --talk HOST:PORT"),
    ("connect udp://host:53", "address 'udp://host:53': use sockctl udp-send --talk HOST:PORT"),
    ("udp-send tcp:host:53 x", "address 'tcp:host:53': use sockctl connect or sockctl serve"),
    ("udp-serve UDP-RECV:53", "address 'UDP-RECV:53': use sockctl udp-serve '*:PORT'"),
    ("connect UNIX-CONNECT:x", "address 'UNIX-CONNECT:x': use sockctl connect unix:PATH"),
    ("connect OPENSSL:host:443", "address 'OPENSSL:host:443': use sockctl connect --tls HOST:PORT"),
    (
        "connect SOCKS4:p:host:80",
        "address 'SOCKS4:p:host:80': sockctl connect has --proxy socks5://HOST:PORT and --proxy http://HOST:PORT",
    ),
    ("connect -b 1000 1", "no option '-b'; sockctl udp-send has --broadcast"),
    // tcpserver.
    ("serve 0 80 cat", "unexpected word '80'; every address of this machine is written '*:PORT'"),
    ("serve 127.0.0.1 80 cat", "unexpected word 'cat'; a program stands behind --"),
    ("serve 80 cat", "unexpected word 'cat'; a program stands behind --"),
    ("tcpserver 0 80 cat", "no command 'tcpserver'; use sockctl serve"),
    ("tcpclient host 80 cat", "no command 'tcpclient'; use sockctl connect HOST:PORT -- PROGRAM"),
    ("serve -1 127.0.0.1 80", "no option '-1'; use --port-file FILE"),
    ("serve -b 5 80", "no option '-b'; use --backlog N"),
    ("serve -c 5 80", "no option '-c'; use --sh COMMAND; the limit of connections is -m N"),
    ("serve -B hi 80", "no option '-B'; use sockctl serve --sh 'printf BANNER; exec PROGRAM'"),
    ("serve -H -R 80", "no option '-H'; it is the default"),
    ("serve -g 5 80", "no option '-g'; to run as another group use setpriv(1)"),
    // wait-for-it.
    (
        "wait-for-it host:80",
        "no command 'wait-for-it'; use sockctl connect -z ADDRESS --wait DUR -- COMMAND",
    ),
    (
        "dockerize -wait tcp://db:1 true",
        "no command 'dockerize'; use sockctl connect -z ADDRESS --wait DUR -- COMMAND",
    ),
    (
        "connect -wait tcp://db:1 -timeout 9s",
        "no option '-wait'; use sockctl connect -z ADDRESS --wait DUR",
    ),
    (
        "connect -z tcp://db:1 -timeout 9s",
        "no option '-t'; to retry use --wait DUR, to await the rest --linger DUR",
    ),
    (
        "wait4x tcp db:1",
        "no command 'wait4x'; use sockctl connect -z ADDRESS --wait DUR -- COMMAND",
    ),
    (
        "connect -z db:1 --invert-check",
        "no option '--invert-check'; use sockctl connect -z --closed",
    ),
    ("udp 1", "no command 'udp'; use sockctl udp-send or sockctl udp-serve"),
    (
        "s_client -connect host:443",
        "no command 's_client'; use sockctl connect --tls HOST:PORT; with -z it shows the certificate",
    ),
    (
        "connect -z host:443 --checkend 0",
        "no option '--checkend'; use -z --tls --expires-within DUR",
    ),
    ("tcping host 80", "no command 'tcping'; use sockctl connect -z ADDRESS --count N"),
    (
        "connect -z -c 5 host:80",
        "no option '-c'; to check N times use -z --count N; a command is -- sh -c COMMAND",
    ),
    (
        "connect host:80 -t 30 -- true",
        "no option '-t'; to retry use --wait DUR, to await the rest --linger DUR",
    ),
    ("connect -h host -p 80", "-h is --help here; write the address as HOST:PORT"),
    ("connect -p 80 -h host", "-h is --help here; write the address as HOST:PORT"),
    ("connect --host=host --port=80", "no option '--host'; write the address as HOST:PORT"),
    (
        "connect --strict 1",
        "no option '--strict'; it is the default: sockctl connect -z ADDRESS -- COMMAND",
    ),
    // No command, and options of other commands.
    ("listen 1", "no command 'listen'; use sockctl serve"),
    ("client 1", "no command 'client'; use sockctl connect, or sockctl serve to listen"),
    (
        "host 80",
        "no command 'host'; write sockctl connect or sockctl serve in front of the address",
    ),
    ("serv 80", "no command 'serv'; did you mean serve?"),
    ("8520", "no command '8520'; write sockctl connect or sockctl serve in front of the address"),
    (
        "tcp://host:80",
        "no command 'tcp://host:80'; write sockctl connect or sockctl serve in front of the address",
    ),
    ("help listen", "no command 'listen'; use sockctl serve"),
    ("connect --room 1", "no option '--room'; it is an option of serve, auth-serve"),
    ("connect --broker 1", "no option '--broker'; it is an option of serve, auth-serve"),
    (
        "connect --key-file key 1",
        "no option '--key-file'; it is an option of auth-serve, auth-connect",
    ),
];

const PROXIES_OF_X: &str =
    "no option '-X'; sockctl connect has --proxy socks5://HOST:PORT and --proxy http://HOST:PORT";
const PROXIES_OF_TYPE: &str = "no option '--proxy-type'; sockctl connect has --proxy \
     socks5://HOST:PORT and --proxy http://HOST:PORT";

#[test]
fn row_100_what_other_programs_take_is_refused_with_the_way_it_is_done_here() {
    let folder = Folder::new();
    for (line, wanted) in REFUSED {
        let done = sockctl(*line).within(&folder).run();
        let told = done.stderr.lines().next().unwrap_or_default();
        // `""`: an address as a dump.
        let reads = |told: &str| told.contains("nc's -x is --proxy socks5://HOST:PORT here");
        let is_wanted = match *wanted {
            "" => reads(told),
            wanted if wanted.ends_with([' ', '…']) => told.contains(wanted.trim_end()),
            wanted => told == format!("sockctl: {wanted}"),
        };
        assert!(done.code == 2 && is_wanted, "{line}: {}\n{}", done.code, done.stderr);
        done.refuses(told.strip_prefix("sockctl: ").unwrap());
    }
    assert_eq!(folder.count(), 0, "nothing was made");
}

#[test]
fn what_other_programs_take_does_the_same() {
    let folder = Folder::new();
    let server = sockctl("serve --echo -vv -p 0").start();
    let (address, port) = (server.address(), server.port());
    for line in [
        format!("connect -vv -w3 {address}"),
        format!("connect tcp://{address}"),
        format!("connect tcp:{address}"),
        format!("connect TCP:localhost:{port}"),
        format!("connect -n 127.0.0.1 {port} -C"),
    ] {
        sockctl(line.as_str()).input("hi\r\n").run().gives(0, "hi\r\n");
    }
    let open = format!("127.0.0.1:{port} open\n");
    sockctl(format!("connect -zvw3 127.0.0.1 {port}")).run().is(0, open, "");
    sockctl(format!("serve localhost -p {port}")).run().fails(10, format!("… {IN_USE}"));
    sockctl(format!("serve {address} -p {port}"))
        .run()
        .refuses(format!("unexpected word '{port}' after the address {address}"));
    let source = free_port();
    let (listener, at) = listener();
    let client = sockctl(format!("connect -p {source} {at}")).start();
    assert_eq!(listener.accept().unwrap().1.port(), source);
    client.finish().is(0, "", "");
    let peer = datagrams();
    let to = peer.local_addr().unwrap();
    let source = free_port();
    sockctl(format!("udp-send -p {source} {to} hi")).run().is(0, "", "");
    let mut buffer = [0; 8];
    assert_eq!(peer.recv_from(&mut buffer).unwrap().1.port(), source);
    sockctl("connect -p 1 unix:x").run().refuses("unix:x has no source port");
    // Words of its own for a value are none of these.
    let echo = sockctl(format!("connect {address} --send -q4 --send -h --send -x")).run();
    echo.is(0, "-q4-h-x", "");
    sockctl("connect -x ./127.0.0.1:1 127.0.0.1 1").within(&folder).run().fails(3, "…");
}

#[test]
fn help_and_version_are_commands_too() {
    let output = |words: &str| sockctl(words).run().output();
    assert_eq!(output("help"), output("--help"));
    assert_eq!(output("help connect"), output("connect --help"));
    assert_eq!(output("version"), output("--version"));
}
