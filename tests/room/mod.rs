//! `serve --room` and `auth-serve --room`: every program that can send a line can chat.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::json;

use crate::auth::{answer, challenged, key_file, key_line};
use crate::run::{
    Running, Words, events_of, is_like, program, python, read_to_reset, shell, sockctl, until,
};

mod bridge;
mod commands;
mod faults;
mod memory;

/// A room on a free port.
pub fn room(words: impl Words) -> Running {
    sockctl("serve --room 127.0.0.1:0").args(words).start()
}

/// A member of a room, over nothing but a socket.
pub struct Member {
    reader: BufReader<TcpStream>,
}

impl Member {
    /// Joins; returns once the room has said so.
    #[track_caller]
    pub fn join(room: &Running, name: &str) -> Self {
        let mut member = Self::over(room.connect());
        member.is_greeted(name);
        member.hears(&format!("-- {name} joined\n"));
        member
    }

    /// Waits for the greeting.
    #[track_caller]
    pub fn is_greeted(&mut self, name: &str) {
        assert!(is_like(&greeting(name, "server…"), &self.line()), "{name}");
    }

    /// Speaks and listens on this connection.
    pub fn over(stream: TcpStream) -> Self {
        let reader = BufReader::new(stream);
        Self { reader }
    }

    /// The address it comes from.
    pub fn address(&self) -> String {
        self.stream().local_addr().unwrap().to_string()
    }

    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Sends bytes.
    #[track_caller]
    pub fn says(&mut self, text: impl AsRef<[u8]>) {
        self.stream().write_all(text.as_ref()).unwrap();
    }

    /// The next line.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).unwrap();
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Waits for exactly these lines.
    #[track_caller]
    pub fn hears(&mut self, wanted: &str) {
        let got: String = wanted.lines().map(|_| self.line()).collect();
        assert_eq!(got, wanted);
    }

    /// Waits for the end of what the room has to say to it.
    #[track_caller]
    pub fn ends(&mut self) {
        assert_eq!(self.line(), "");
    }

    /// Waits until the room cuts it off, with nothing more to say.
    #[track_caller]
    pub fn is_cut(&mut self) {
        assert_eq!(read_to_reset(&mut self.reader), b"");
    }
}

/// The first line that a member of this name gets where these are here.
pub fn greeting(name: &str, here: &str) -> String {
    format!("-- you are {name}; here: {here}; /help lists the commands\n")
}

/// So many members, guest1 and on, each of which has read that the others joined.
#[track_caller]
pub fn members<const N: usize>(room: &Running) -> [Member; N] {
    let mut all: Vec<Member> = Vec::new();
    for number in 1..=N {
        let new = Member::join(room, &format!("guest{number}"));
        for member in &mut all {
            member.hears(&format!("-- guest{number} joined\n"));
        }
        all.push(new);
    }
    all.try_into().ok().unwrap()
}

#[test]
fn three_members_and_the_operator_talk() {
    let mut room = room("");
    let [mut ann, mut bob, mut carl] = members(&room);
    let addresses = [&ann, &bob, &carl].map(Member::address);

    ann.says("/nick Ann\r\nhello\r\n");
    ann.hears("-- guest1 is now Ann\n");
    for other in [&mut bob, &mut carl] {
        other.hears("-- guest1 is now Ann\n<Ann> hello\n");
    }
    bob.says("/msg ann psst\n/me waves\n/who\n");
    ann.hears("[guest2] psst\n* guest2 waves\n");
    carl.hears("* guest2 waves\n");
    bob.hears("-- 4 here: server Ann guest2 guest3\n");
    room.stdout_has("* guest2 waves\n");
    room.send("good morning\n/kick GUEST3\n");
    ann.hears("<server> good morning\n-- guest3 left\n");
    carl.hears("<server> good morning\n! kicked\n");
    carl.ends();
    bob.says("/quit\nnot said any more\n");
    bob.hears("<server> good morning\n-- guest3 left\n");
    bob.ends();
    ann.hears("-- guest2 left\n");
    room.send("/quit\n");
    ann.ends();

    let [a, b, c] = addresses;
    let log = format!(
        "[1] {a} joined\n[2] {b} joined\n[3] {c} joined\n[3] {c} left (kicked)\n[2] {b} left\n\
         [1] {a} left (shutdown)\n"
    );
    let address = room.address();
    room.finish().is(
        0,
        "-- guest1 joined\n-- guest2 joined\n-- guest3 joined\n-- guest1 is now Ann\n<Ann> hello\n\
         * guest2 waves\n-- guest3 left\n-- guest2 left\n-- Ann left\n",
        format!("listening on {address}\n{log}"),
    );
}

#[test]
fn the_notes_client_needs_no_newline() {
    let room = room("");
    let mut other = Member::join(&room, "guest1");
    // One message at a time, without newline; the answer is read before the next.
    let script = "import socket, sys\n\
        sk = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n\
        lines = sk.makefile(encoding='utf-8')\n\
        print(lines.readline() + lines.readline(), end='')\n\
        sk.send('你好'.encode())\n\
        print(sk.recv(1024).decode(), end='')\n\
        sk.send(b'q')\n\
        sk.close()\n";
    let client = python(script, room.port().to_string()).start();
    other.hears("-- guest2 joined\n<guest2> 你好\n");
    other.says("hello to you\n");
    other.hears("<guest2> q\n-- guest2 left\n");
    let heard = greeting("guest2", "server, guest1") + "-- guest2 joined\n<guest1> hello to you\n";
    client.finish().is(0, heard, "");
}

#[test]
fn the_last_line_before_a_half_close_is_delivered() {
    let room = room("");
    let mut other = Member::join(&room, "guest1");
    let mut short = Member::over(room.connect());
    short.says("first\nlast");
    short.stream().shutdown(Shutdown::Write).unwrap();
    short.is_greeted("guest2");
    short.hears("-- guest2 joined\n");
    short.ends();
    other.hears("-- guest2 joined\n<guest2> first\n<guest2> last\n-- guest2 left\n");
}

#[test]
fn sockctl_connect_is_a_member_in_a_pipe() {
    let room = room("");
    let mut other = Member::join(&room, "guest1");
    let port = room.port().to_string();
    let mut client = sockctl(format!("connect {port}")).start();
    client.stdout_has("-- guest2 joined\n");
    client.send("/nick Zoë\nhi\n");
    other.hears("-- guest2 joined\n-- guest2 is now Zoë\n<Zoë> hi\n");
    other.says("hi Zoë\n");
    client.stdout_has("<guest1> hi Zoë\n");
    let heard = greeting("guest2", "server, guest1")
        + "-- guest2 joined\n-- guest2 is now Zoë\n<guest1> hi Zoë\n";
    client.finish().is(0, heard, "");
    other.hears("-- Zoë left\n");
}

#[test]
fn the_end_of_stdin_only_silences_the_operator() {
    let mut room = room("");
    let mut ann = Member::join(&room, "guest1");
    room.send("last words").close();
    ann.hears("<server> last words\n");
    let mut bob = Member::join(&room, "guest2");
    ann.hears("-- guest2 joined\n");
    bob.says("still here?\n");
    ann.hears("<guest2> still here?\n");
    room.stdout_has("<guest2> still here?\n");
    room.signal("TERM");
    let finished = room.finish();
    assert_eq!(finished.code, 0);
}

#[test]
fn a_member_that_is_killed_leaves_and_the_others_talk_on() {
    let room = room("");
    let [mut ann, mut bob] = members(&room);
    let port = room.port().to_string();
    for number in 3..6 {
        let client = sockctl(format!("connect {port}")).start();
        client.stdout_has(&format!("-- guest{number} joined\n"));
        for other in [&mut ann, &mut bob] {
            other.hears(&format!("-- guest{number} joined\n"));
        }
        // Dead with something unread, so that its kernel sends a reset.
        client.signal("STOP");
        bob.says("you will not read this\n");
        ann.hears("<guest2> you will not read this\n");
        client.signal("KILL");
        drop(client);
        for other in [&mut ann, &mut bob] {
            other.hears(&format!("-- guest{number} left\n"));
        }
    }
    bob.says("and on\n");
    ann.hears("<guest2> and on\n");
}

#[test]
fn a_crowd_comes_and_goes_and_all_hear_of_it_in_order() {
    const CROWD: usize = 200;
    let mut room = room("");
    let mut first = Member::join(&room, "guest1");
    let mut crowd: Vec<Member> = (0..CROWD).map(|_| Member::over(room.connect())).collect();
    let joined = |numbers: std::ops::Range<usize>| -> String {
        let lines = numbers.map(|number| format!("-- guest{number} joined\n"));
        lines.collect()
    };
    let last = CROWD + 2;
    first.hears(&joined(2..last));
    // Whatever is said next is behind all that.
    first.says("hello\n");
    for (number, member) in (2..).zip(&mut crowd) {
        member.is_greeted(&format!("guest{number}"));
        member.hears(&(joined(number..last) + "<guest1> hello\n"));
    }
    let mut stay = crowd.split_off(CROWD / 2);
    drop(crowd);
    let left: Vec<String> = (0..CROWD / 2).map(|_| first.line()).collect();
    let mut names: Vec<String> =
        (2..CROWD / 2 + 2).map(|number| format!("-- guest{number} left\n")).collect();
    stay[0].says("bye\n");
    first.hears(&format!("<guest{}> bye\n", CROWD / 2 + 2));
    for member in &mut stay[1..] {
        member.hears(&left.concat());
        member.hears(&format!("<guest{}> bye\n", CROWD / 2 + 2));
    }
    let mut sorted = left;
    sorted.sort();
    names.sort();
    assert_eq!(sorted, names);
    room.send("/quit\n");
    for member in [&mut first].into_iter().chain(&mut stay[1..]) {
        member.ends();
    }
    assert_eq!(room.finish().code, 0);
}

#[test]
fn raw_passes_on_what_came() {
    let room = room("--raw");
    let mut ann = Member::join(&room, "guest1");
    let mut bob = Member::join(&room, "guest2");
    bob.says(b"\x1b[1mbold\x1b[m \xff\r\n");
    ann.hears("-- guest2 joined\n");
    let mut line = Vec::new();
    ann.reader.read_until(b'\n', &mut line).unwrap();
    assert_eq!(line, b"<guest2> \x1b[1mbold\x1b[m \xff\n");
}

#[test]
fn messages_are_events() {
    let mut room = room("--json -q");
    let mut ann = Member::join(&room, "guest1");
    ann.says("/nick Ann\nhello\n/me \u{9b}waves\n/msg server unheard\n");
    room.stdout_has("[Ann] unheard\n");
    room.send("hi\n/quit\n");
    let said = events_of(&room.finish().stderr, "message");
    let message = |id: u64, name: &str, text: &str| json!({"event": "message", "id": id, "name": name, "text": text});
    assert_eq!(
        said,
        [message(1, "Ann", "hello"), message(1, "Ann", "\\u{9b}waves"), message(0, "server", "hi"),]
    );
}

#[test]
fn the_reader_of_stdout_may_go() {
    let line = r#"{ "$0" serve --room 127.0.0.1:0; echo "status $?" >&2; } | head -1"#;
    let room = shell(line, "").start();
    let first = Member::join(&room, "guest1");
    room.stdout_has("-- guest1 joined\n");
    // head has read its line and ended: what the room writes next has no reader.
    let mut crowd = Vec::new();
    until("the room ends", || {
        TcpStream::connect(("127.0.0.1", room.port())).map(|stream| crowd.push(stream)).is_err()
    });
    let log = room.stderr_has("status ");
    assert!(log.ends_with("status 141\n"), "{log}");
    assert!(!log.contains("sockctl:"), "{log}");
    drop(first);
}

/// A member that has proved the key.
fn proved(room: &Running, key: &str) -> Member {
    let (stream, challenge) = challenged(room);
    let answer = answer("sha256", key, &challenge);
    let mut member = Member::over(stream);
    member.says(answer);
    member
}

#[test]
fn with_keys_the_names_are_the_keys() {
    let keys = key_file("ann:open sesame\nBob:wangwang\n");
    let room = sockctl("auth-serve --room --digest sha256 127.0.0.1:0 --keys");
    let room = room.arg(keys.path()).start();
    let mut ann = proved(&room, "open sesame");
    ann.hears(&(greeting("ann", "server") + "-- ann joined\n"));
    let mut again = proved(&room, "open sesame");
    again.is_greeted("ann~2");
    again.hears("-- ann~2 joined\n");
    ann.hears("-- ann~2 joined\n");
    ann.says("/nick other\nhello\n");
    ann.hears("! ann is the name of your key: it cannot be changed\n");
    again.hears("<ann> hello\n");
    let bob = proved(&room, "wangwang");
    ann.hears("-- Bob joined\n");
    drop(bob);
    ann.hears("-- Bob left\n");
    // A client without the key is not let in, and the members do not hear of it.
    let mut wrong = proved(&room, "guess");
    wrong.ends();
    again.says("psst\n");
    ann.hears("<ann~2> psst\n");
}

#[test]
fn members_with_keys_talk_encrypted_under_their_names() {
    let (ann_key, bob_key) = (key_line("ann", [1; 32]), key_line("Bob", [2; 32]));
    let keys = key_file(format!("{ann_key}{bob_key}"));
    let room = sockctl("auth-serve 127.0.0.1:0 --room --keys").arg(keys.path()).start();
    let member =
        |key: &str| sockctl(format!("auth-connect {room}")).env("SOCKCTL_KEY", key).start();
    let mut ann = member(&ann_key);
    ann.stdout_has("-- ann joined\n");
    let mut bob = member(&bob_key);
    ann.stdout_has("-- Bob joined\n");
    bob.stdout_has("-- Bob joined\n");
    ann.send("hello\n/msg bob psst\n/nick other\n");
    ann.stdout_has("! ann is the name of your key: it cannot be changed\n");
    bob.stdout_has("<ann> hello\n[ann] psst\n");
    bob.send("/me waves\n/msg ANN heard\n");
    ann.stdout_has("* Bob waves\n[Bob] heard\n");
    let again = member(&ann_key);
    for one in [&ann, &bob, &again] {
        one.stdout_has("-- ann~2 joined\n");
    }
    bob.signal("KILL");
    let heard = greeting("Bob", "server, ann")
        + "-- Bob joined\n<ann> hello\n[ann] psst\n-- ann~2 joined\n";
    bob.finish().is(1009, heard, "");
    ann.stdout_has("-- Bob left\n");
    let heard = greeting("ann~2", "server, ann, Bob") + "-- ann~2 joined\n-- Bob left\n";
    again.finish().is(0, heard, "");
    ann.stdout_has("-- ann~2 left\n");
    let heard = greeting("ann", "server")
        + "-- ann joined\n-- Bob joined\n! ann is the name of your key: it cannot be changed\n* Bob waves\n[Bob] heard\n\
           -- ann~2 joined\n-- Bob left\n-- ann~2 left\n";
    ann.finish().is(0, heard, "");
    room.stdout_has("-- ann left\n");
    room.signal("TERM");
    let seen = "-- ann joined\n-- Bob joined\n<ann> hello\n* Bob waves\n-- ann~2 joined\n\
                -- Bob left\n-- ann~2 left\n-- ann left\n";
    let said = room.finish().gives(0, seen);
    assert!(said.contains("] 127"), "{said}");
}

#[test]
#[ignore = "needs ncat and nc"]
fn the_other_netcats_are_members() {
    let room = room("");
    let mut ann = Member::join(&room, "guest1");
    for (number, name) in [(2, "ncat"), (3, "nc")] {
        let mut peer = program(name, format!("127.0.0.1 {}", room.port())).start();
        let joined = format!("-- guest{number} joined\n");
        peer.stdout_has(&joined);
        peer.send(format!("/me uses {name}\n"));
        ann.hears(&format!("{joined}* guest{number} uses {name}\n"));
        ann.says("welcome\n");
        peer.stdout_has("<guest1> welcome\n");
        peer.signal("TERM");
        ann.hears(&format!("-- guest{number} left\n"));
    }
}
