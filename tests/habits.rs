//! The README's table of habits: every line of its right column is run, against a peer that shows
//! that it does what the left column was used for.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::thread::JoinHandle;

use crate::run::{
    BINARY, DEADLINE, Finished, Folder, Program, Running, accept, ask, connect, datagram,
    datagrams, echoes, free_port, listen, program, read_all, take, with_ports,
};

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

    /// The command sends this, and prints what the peer answers.
    fn sends(&self, command: &str, wanted: &str) {
        let peer = self.peer("", "seen\n");
        self.run(command).is(0, "seen\n", "");
        assert_eq!(peer.join().unwrap(), wanted);
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
    ("sockctl connect -z --wait 30s 127.0.0.1:8520", |place, command| {
        let waiting = place.command(command).start();
        let _listener = listen(place.port);
        waiting.finish().is(0, format!("127.0.0.1:{} open\n", place.port), "");
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
        let peer = UdpSocket::bind(("127.0.0.1", place.port)).unwrap();
        peer.set_read_timeout(Some(DEADLINE)).unwrap();
        place.run(command).is(0, "", "");
        assert_eq!(datagram(&peer), b"hello");
    }),
    ("sockctl udp-serve 8520", |place, command| {
        let server = place.serve(command);
        let peer = datagrams();
        peer.send_to(b"hello", ("127.0.0.1", place.port)).unwrap();
        server.stdout_has(&format!("{} hello\n", peer.local_addr().unwrap()));
    }),
    ("sockctl udp-send unix:log hello", |place, command| {
        let log = UnixDatagram::bind(place.folder.at("log")).unwrap();
        log.set_read_timeout(Some(DEADLINE)).unwrap();
        place.run(command).is(0, "", "");
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
        let joined = "-- guest1 joined\n-- guest2 joined\n";
        assert_eq!(take(&members[0], joined.len()), joined.as_bytes());
        members[1].write_all(b"hello\n").unwrap();
        assert_eq!(take(&members[0], 15), b"<guest2> hello\n");
    }),
    ("sockctl serve 8520 -- cat", returns),
    ("sockctl serve 8520 --sh 'echo hello; cat'", |place, command| {
        let _server = place.serve(command);
        assert_eq!(ask(&connect(place.port), "and more"), b"hello\nand more");
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
];

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
