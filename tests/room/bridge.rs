//! `--bridge`: one room on several servers, which tell each other through a real Redis what happens. Each line of
//! a failure run is numbered and counted.

#![allow(clippy::print_stdout, reason = "the counts of a run")]

use std::collections::BTreeSet;
use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Member, room};
use crate::run::{DEADLINE, Folder, Running, free_port, program, refused, shell, sockctl, until};

mod failures;

/// A Redis on a port of its own.
pub struct Redis {
    running: Option<Running>,
    folder: Folder,
    pub port: u16,
    words: &'static str,
}

impl Redis {
    /// Starts it with these words, without its data on the disk unless they say otherwise.
    #[track_caller]
    pub fn start(words: &'static str) -> Self {
        let mut redis = Self { running: None, folder: Folder::new(), port: free_port(), words };
        redis.resume();
        redis
    }

    /// Starts it again.
    #[track_caller]
    pub fn resume(&mut self) {
        let line = format!("--port {} --bind 127.0.0.1 --save '' {}", self.port, self.words);
        let running = program("redis-server", line).within(&self.folder).start();
        running.stdout_has("Ready to accept connections");
        self.running = Some(running);
    }

    pub fn signal(&self, name: &str) {
        self.running.as_ref().unwrap().signal(name);
    }

    /// Kills it.
    #[track_caller]
    pub fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.signal("KILL");
        running.finish();
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What it answers to a command.
    #[track_caller]
    pub fn asked(&self, command: &str) -> String {
        let line = format!("-p {} {command}", self.port);
        program("redis-cli", line).run().output().trim_end().to_owned()
    }

    /// A room that is bridged over it, once it is.
    #[track_caller]
    pub fn room(&self, words: &str) -> Running {
        let before = self.servers();
        let room = room(format!("--bridge {} {words}", self.url()));
        until("the room is bridged", || self.servers() > before);
        room
    }

    /// Rooms that know each other.
    #[track_caller]
    pub fn rooms<const N: usize>(&self, words: &str) -> [Running; N] {
        let rooms = [(); N].map(|()| self.room(words));
        for number in 2..=N {
            rooms[0].stdout_has(&format!("-- server~{number} joined\n"));
        }
        rooms
    }

    /// How many servers have taken their operators' names.
    fn servers(&self) -> usize {
        let names = self.asked("HVALS sockctl:{main}:names");
        let is_server =
            |line: &&str| line.split(' ').nth(2).is_some_and(|it| it.starts_with("server"));
        names.lines().filter(is_server).count()
    }
}

impl Member {
    /// Joins a room of several servers; returns once it has said so.
    #[track_caller]
    pub fn enters(room: &Running, nick: &str) -> Self {
        let mut member = Self::over(room.connect());
        let greeting = member.line();
        let name = greeting.strip_prefix("-- you are ").unwrap().split(';').next().unwrap();
        member.waits_for(&format!("-- {name} joined\n"));
        member.says(format!("/nick {nick}\n"));
        member.waits_for(&format!("-- {name} is now {nick}\n"));
        member
    }

    /// Reads until this line has come; what came before it.
    #[track_caller]
    pub fn waits_for(&mut self, wanted: &str) -> String {
        let mut before = String::new();
        loop {
            let line = self.line();
            assert_ne!(line, "", "no {wanted:?} behind {before:?}");
            if line == wanted {
                return before;
            }
            before += &line;
        }
    }

    /// Reads until there is nothing for a while.
    fn all(&mut self) -> String {
        let quiet = Some(Duration::from_millis(300));
        self.stream().set_read_timeout(quiet).unwrap();
        let mut bytes = Vec::new();
        let _ = self.reader.read_to_end(&mut bytes);
        self.stream().set_read_timeout(Some(DEADLINE)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[test]
fn what_is_no_bridge_is_refused() {
    let forms = "accepted: redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss://… or unix:PATH, \
                 each with ?room=NAME";
    refused(&[
        ("serve --bridge redis://localhost", "--bridge is for --room"),
        ("serve --echo --bridge redis://localhost", "--bridge is for --room"),
        (
            "serve --room --bridge localhost",
            &format!("--bridge 'localhost': Redis URL did not parse; {forms}"),
        ),
        (
            "serve --room --bridge redis://me:secret@host:70000",
            &format!("--bridge 'redis://…@host:70000': Redis URL did not parse; {forms}"),
        ),
        (
            "serve --room --bridge 'redis://localhost?room=a b'",
            "--bridge 'redis://localhost?room=a b': room=NAME: letters, digits, _ - . only",
        ),
        (
            "serve --room --bridge redis://localhost?rom=a",
            "--bridge 'redis://localhost?rom=a': ?rom=a: expected ?room=NAME",
        ),
    ]);
}

#[test]
fn without_redis_the_room_goes_on() {
    let room = room(format!("--bridge redis://127.0.0.1:{}", free_port()));
    room.stdout_has("-- the other servers are out of reach: this room goes on by itself\n");
    let mut ann = Member::join(&room, "guest1");
    let mut bob = Member::join(&room, "guest2");
    ann.says("/nick Ann\nhello\n@guest2 psst\n");
    bob.waits_for("-- guest1 is now Ann\n");
    bob.hears("<Ann> hello\n[Ann] psst\n");
    let warned = room.stderr_has("connection refused (ECONNREFUSED 111)\n");
    assert_eq!(warned.matches("sockctl: warning: --bridge 127.0.0.1:").count(), 1, "{warned}");
}

#[test]
#[ignore = "needs redis-server"]
fn members_of_three_servers_talk() {
    let redis = Redis::start("");
    let rooms = redis.rooms::<3>("");
    let mut ann = Member::enters(&rooms[0], "Ann");
    let mut bob = Member::enters(&rooms[1], "Bob");
    let mut carl = Member::over(rooms[2].connect());
    carl.waits_for("-- guest2001 joined\n");
    for other in [&mut ann, &mut bob] {
        other.waits_for("-- guest2001 joined\n");
    }
    carl.says("/nick bOb\n/nick Carl\n");
    carl.hears("! bOb is taken\n-- guest2001 is now Carl\n");
    for other in [&mut ann, &mut bob] {
        other.hears("-- guest2001 is now Carl\n");
    }
    ann.says("hello\n");
    bob.hears("<Ann> hello\n");
    carl.hears("<Ann> hello\n");
    bob.says("/me waves\n");
    ann.hears("* Bob waves\n");
    carl.hears("* Bob waves\n");
    carl.says("@ann psst\n/msg BOB and you\n@nobody secret\n");
    carl.hears("! no 'nobody' here; /who lists all\n");
    ann.hears("[Carl] psst\n");
    bob.hears("[Carl] and you\n");
    ann.says("/reply yes?\n");
    carl.hears("[Ann] yes?\n");
    bob.says("/who\n");
    let who = bob.line();
    assert!(who.starts_with("-- 6 here: server~2 "), "{who}");
    for name in [" server ", " server~3", " Ann", " Bob", " Carl"] {
        assert!(who.contains(name), "{who}");
    }
    ann.says("/ignore carl\n");
    ann.hears("-- what Carl says is hidden; /ignore Carl shows it again\n");
    carl.says("unheard\n@ann unheard\n/quit\n");
    bob.hears("<Carl> unheard\n-- Carl left\n");
    ann.hears("-- Carl left\n");
    rooms[0].signal("TERM");
    bob.hears("-- Ann left\n-- server left\n");
    let seen = rooms[1].stdout_has("-- server left\n");
    assert!(seen.contains("<Ann> hello\n* Bob waves\n<Carl> unheard\n"), "{seen}");
    assert!(!seen.contains("psst"), "{seen}");
}

#[test]
#[ignore = "needs redis-server"]
fn row_124_a_name_that_two_want_at_once_is_one_members() {
    const TIMES: usize = 50;
    let redis = Redis::start("");
    let rooms: [Running; 2] = redis.rooms("");
    let mut ann = Member::enters(&rooms[0], "Ann");
    let mut bob = Member::enters(&rooms[1], "Bob");
    ann.waits_for("-- guest1001 is now Bob\n");
    let mut won = [0; 2];
    for time in 0..TIMES {
        let before = if time == 0 {
            ["Ann".into(), "Bob".into()]
        } else {
            ["a", "b"].map(|it| format!("{it}{time}"))
        };
        let name = format!("Zoë{time}");
        // The same in other letters.
        ann.says(format!("/nick {name}\n"));
        bob.says(format!("/nick {}\n", name.to_uppercase()));
        let names = [name.clone(), name.to_uppercase()];
        let mut got = [false; 2];
        for (who, member) in [&mut ann, &mut bob].into_iter().enumerate() {
            loop {
                let line = member.line();
                if line == format!("-- {} is now {}\n", before[who], names[who]) {
                    got[who] = true;
                    break;
                } else if line == format!("! {} is taken\n", names[who]) {
                    break;
                }
            }
        }
        assert_eq!(got.iter().filter(|&&got| got).count(), 1, "{time}: {got:?}");
        won[usize::from(got[1])] += 1;
        for (who, member) in [&mut ann, &mut bob].into_iter().enumerate() {
            let next = format!("{}{}", ["a", "b"][who], time + 1);
            member.says(format!("/nick {next}\n"));
        }
        for member in [&mut ann, &mut bob] {
            let mut missing =
                vec![format!(" is now a{}\n", time + 1), format!(" is now b{}\n", time + 1)];
            while !missing.is_empty() {
                let line = member.line();
                missing.retain(|end| !line.ends_with(end));
            }
        }
    }
    println!("{TIMES} names: {won:?} times each of the two got one");
    until("names that were given back are free", || {
        let held = redis.asked("HVALS sockctl:{main}:names");
        let held: BTreeSet<&str> = held.lines().filter_map(|line| line.split(' ').nth(2)).collect();
        held == BTreeSet::from(["server", "server~2", "a50", "b50"])
    });
}

#[test]
#[ignore = "needs redis-server"]
fn names_of_keys_are_numbered_across_servers() {
    let redis = Redis::start("");
    let folder = Folder::new();
    let keys = folder.file("keys", "ann:open sesame\n");
    let start = || {
        let line =
            format!("auth-serve 127.0.0.1:0 --room --digest sha256 --bridge {}", redis.url());
        sockctl(line).args(["--keys", &keys]).start()
    };
    let first = start();
    let mut ann = super::proved(&first, "open sesame");
    ann.waits_for("-- ann joined\n");
    let second = start();
    second.stdout_has("-- ann joined\n");
    let mut again = super::proved(&second, "open sesame");
    again.is_greeted("ann~2");
    ann.waits_for("-- ann~2 joined\n");
    ann.says("hello\n@ann~2 psst\n");
    again.waits_for("<ann> hello\n"); // no private line overtakes others
    again.hears("[ann] psst\n");
}

#[test]
#[ignore = "needs redis-server"]
fn who_comes_later_recalls_what_was_said_and_the_log_has_it() {
    let redis = Redis::start("");
    let folder = Folder::new();
    let log = folder.text("log");
    let rooms = [redis.room(""), redis.room(&format!("--log {log}"))];
    rooms[0].stdout_has("-- server~2 joined\n");
    let mut ann = Member::enters(&rooms[0], "Ann");
    let mut bob = Member::enters(&rooms[1], "Bob");
    ann.waits_for("-- guest1001 is now Bob\n");
    ann.says("one\ntwo\n/me waves\n@bob secret\n");
    bob.waits_for("[Ann] secret\n");
    bob.says("three\n");
    ann.waits_for("<Bob> three\n");
    let later = redis.room("--recall 3");
    let mut carl = Member::over(later.connect());
    carl.line();
    let recalled: Vec<String> = (0..3).map(|_| carl.line()).collect();
    let texts: Vec<&str> = recalled.iter().map(|line| &line["-- 12:03:44 ".len()..]).collect();
    assert_eq!(texts, ["<Ann> two\n", "* Ann waves\n", "<Bob> three\n"], "{recalled:?}");
    rooms[1].signal("TERM");
    let [_, with_log] = rooms;
    with_log.finish();
    let log = std::fs::read_to_string(log).unwrap();
    let texts: Vec<&str> = log.lines().map(|line| &line["2026-11-28 12:03:44 ".len()..]).collect();
    assert_eq!(texts, ["<Ann> one", "<Ann> two", "* Ann waves", "<Bob> three"], "{log}");
    let stream = redis.asked("XRANGE sockctl:{main}:lines - +");
    assert!(stream.contains(" Ann two") && !stream.contains("secret"), "{stream}");
}

#[test]
#[ignore = "needs redis-server"]
fn a_socket_file_and_a_password() {
    let redis = Redis::start("--unixsocket socket --requirepass hunter2");
    let socket = redis.folder.text("socket");
    let start = |url: &str, password: &str| {
        sockctl(["serve", "--room", "127.0.0.1:0", "--bridge", url])
            .env("REDISCLI_AUTH", password)
            .start()
    };
    let ann = start(&format!("unix:{socket}?room=den"), "hunter2");
    let bob = start(&format!("redis://:hunter2@127.0.0.1:{}?room=den", redis.port), "");
    let others = start(&redis.url(), "hunter2");
    let mut bob_here = Member::over(bob.connect());
    bob.stdout_has(" joined\n");
    ann.stdout_has(" joined\n");
    bob_here.says("hello\n");
    ann.stdout_has("> hello\n");
    let wrong = start(&redis.url(), "hunter3");
    wrong.stderr_has("Password authentication failed");
    let mut carl = Member::join(&wrong, "guest1");
    thread::sleep(Duration::from_secs(2)); // more attempts
    carl.says("/who\n");
    carl.hears("-- 2 here: server guest1\n");
    for room in [others, wrong] {
        room.signal("TERM");
        let done = room.finish();
        let said = done.stderr.clone();
        let seen = done.text();
        assert!(!seen.contains("hello"), "{seen}");
        assert!(said.matches("warning").count() <= 1 && !said.contains("hunter"), "{said}");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_bridge_that_may_not_read_says_so() {
    let redis = Redis::start("");
    redis.asked("ACL SETUSER default -xread");
    let room = room(format!("--bridge {}", redis.url()));
    room.stderr_has("'xread'");
    room.stdout_has("-- the other servers are out of reach: this room goes on by itself\n");
    redis.asked("ACL SETUSER default +xread");
    room.stdout_has("-- the other servers are there again\n");
}

#[test]
#[ignore = "needs redis-server and openssl"]
fn the_way_to_redis_is_tls() {
    let folder = Folder::new();
    let script = "set -e
        key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
        openssl req -x509 $key -keyout ca.key -out ca.pem -subj /CN=ca -days 2
        openssl req $key -keyout key.pem -out request -subj /CN=localhost
        echo subjectAltName=DNS:localhost >names
        openssl x509 -req -in request -CA ca.pem -CAkey ca.key -days 2 -extfile names -out cert.pem";
    let done = shell(script, "").within(&folder).run();
    assert_eq!(done.code, 0, "{}", done.stderr);
    let port = free_port();
    let line = format!(
        "--port 0 --tls-port {port} --tls-cert-file cert.pem --tls-key-file key.pem --tls-ca-cert-file ca.pem \
         --tls-auth-clients no --save ''"
    );
    let redis = program("redis-server", line).within(&folder).start();
    redis.stdout_has("Ready to accept connections");
    let start = |trusted: &str| {
        let url = format!("rediss://localhost:{port}");
        let words = ["serve", "--room", "127.0.0.1:0", "--bridge", &url];
        sockctl(words).env("SSL_CERT_FILE", folder.text(trusted)).start()
    };
    let first = start("ca.pem");
    let second = start("ca.pem");
    for room in [&first, &second] {
        room.stdout_has(" joined\n");
    }
    let stranger = start("cert.pem");
    stranger.stderr_has(&format!(
        "sockctl: warning: --bridge localhost:{port}: invalid peer certificate"
    ));
}

#[test]
#[ignore = "needs redis-server"]
fn three_thousand_members_are_on_three_servers() {
    const EACH: usize = 1000;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let redis = Redis::start("");
    let rooms = redis.rooms::<3>("");
    let start = Instant::now();
    let mut members: Vec<Member> =
        (0..3 * EACH).map(|at| Member::over(rooms[at % 3].connect())).collect();
    for member in &mut members {
        member.says("/quiet\n");
        member.waits_for("-- joins and leaves are hidden; /quiet shows them again\n");
    }
    for (at, room) in rooms.iter().enumerate() {
        let mut asking = Member::over(room.connect());
        asking.says("/quiet\n");
        until("all know all", || {
            asking.says("/who\n");
            let mut line = asking.line();
            while !line.contains(" here: ") || !line.starts_with("-- 3") {
                line = asking.line();
            }
            line.starts_with(&format!("-- {} here: ", 3 * EACH + 4 + at))
        });
        members.push(asking);
    }
    let joined = start.elapsed();
    let start = Instant::now();
    let [first, others @ ..] = &mut members[..] else { unreachable!() };
    first.says("hello\n");
    for other in others {
        while !other.line().ends_with("> hello\n") {}
    }
    println!(
        "{} members on three servers, there in {joined:?}, hello to all in {:?}",
        3 * EACH,
        start.elapsed()
    );
}
