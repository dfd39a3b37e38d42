//! nc, ncat and socat as the other end, in both roles: 10 MiB both ways at once, byte for byte,
//! and both sides end by themselves.

use crate::run::{
    Folder, Running, conversation, free_port, is_taken, pattern, program, sockctl, until,
};

/// A program's words as a client and as a server; `@` stands for the port or the path.
struct Netcat {
    name: &'static str,
    tcp: [&'static str; 2],
    unix: [&'static str; 2],
    udp: [&'static str; 2],
}

const NETCATS: [Netcat; 3] = [
    Netcat {
        name: "nc.openbsd",
        tcp: ["-N 127.0.0.1 @", "-N -l 127.0.0.1 @"],
        unix: ["-N -U @", "-N -l -U @"],
        udp: ["-u 127.0.0.1 @", "-u -l 127.0.0.1 @"],
    },
    Netcat {
        name: "ncat",
        tcp: ["127.0.0.1 @", "-l 127.0.0.1 @"],
        unix: ["-U @", "-l -U @"],
        udp: ["-u 127.0.0.1 @", "-u -l 127.0.0.1 @"],
    },
    Netcat {
        name: "socat",
        tcp: ["-t30 - TCP:127.0.0.1:@", "-t30 - TCP-LISTEN:@,bind=127.0.0.1"],
        unix: ["-t30 - UNIX-CONNECT:@", "-t30 - UNIX-LISTEN:@"],
        udp: ["- UDP:127.0.0.1:@", "- UDP-LISTEN:@,bind=127.0.0.1"],
    },
];

/// Starts a program with such words.
#[track_caller]
fn start(name: &str, words: &str, place: &impl ToString) -> Running {
    program(name, words.replace('@', &place.to_string())).start()
}

/// Both send everything and end; each has what the other sent.
///
/// With `ours_last` our end is the last: nc and ncat leave at a peer's end whatever they have not
/// sent yet, where they listen and on UNIX sockets (a plain Python peer loses as much).
#[track_caller]
fn exchange(mut ours: Running, mut theirs: Running, said: &str, ours_last: bool) {
    let up = pattern(10 << 20);
    let down: Vec<u8> = up.iter().rev().copied().collect();
    theirs.feed(down.clone());
    if ours_last {
        ours.send(&up);
        ours.stdout_bytes(down.len());
    } else {
        ours.feed(up.clone());
    }
    ours.finish().is(0, down, said);
    theirs.finish().is(0, up, "");
}

#[test]
#[ignore = "needs netcat-openbsd, ncat and socat"]
fn each_is_a_client_of_serve() {
    for netcat in NETCATS {
        let ours = sockctl("serve 127.0.0.1:0 --once").start();
        let address = ours.address();
        let theirs = start(netcat.name, netcat.tcp[0], &ours.port());
        let said = conversation(&address, ours.guest(), "");
        exchange(ours, theirs, &said, false);
    }
}

#[test]
#[ignore = "needs netcat-openbsd, ncat and socat"]
fn each_is_a_server_for_connect() {
    for netcat in NETCATS {
        let port = free_port();
        let theirs = start(netcat.name, netcat.tcp[1], &port);
        until("it listens", || is_taken(port));
        let ours = sockctl(format!("connect {port}")).start();
        exchange(ours, theirs, "", true);
    }
}

#[test]
#[ignore = "needs netcat-openbsd, ncat and socat"]
fn each_speaks_over_unix_sockets_in_both_roles() {
    for netcat in NETCATS {
        let folder = Folder::new();
        let path = folder.text("ours");
        let address = format!("unix:{path}");
        let ours = sockctl(format!("serve {address} --once")).start();
        ours.address();
        let theirs = start(netcat.name, netcat.unix[0], &path);
        let said = conversation(&address, ours.guest(), "");
        exchange(ours, theirs, &said, true);

        let path = folder.text("theirs");
        let theirs = start(netcat.name, netcat.unix[1], &path);
        until("it listens", || {
            let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
            sockets.lines().any(|line| line.contains(" 00010000 ") && line.ends_with(&path))
        });
        let ours = sockctl(format!("connect unix:{path}")).start();
        exchange(ours, theirs, "", true);
    }
}

#[test]
#[ignore = "needs netcat-openbsd, ncat and socat"]
fn each_asks_and_answers_over_udp() {
    for netcat in NETCATS {
        let ours = sockctl("udp-serve 127.0.0.1:0 --reply answer\\n").start();
        let mut theirs = start(netcat.name, netcat.udp[0], &ours.port());
        theirs.send("question\n");
        theirs.stdout_has("answer\n");

        let port = free_port();
        let mut theirs = start(netcat.name, netcat.udp[1], &port);
        until("it listens", || is_taken(port));
        let ours = sockctl(format!("udp-send {port} question\\n --reply")).start();
        theirs.stdout_has("question\n");
        theirs.send("answer\n");
        ours.finish().is(0, "answer\n", "");
    }
}

#[test]
#[ignore = "needs netcat-openbsd, ncat and socat"]
fn each_talks_over_udp_both_ways_at_once() {
    for netcat in NETCATS {
        // What stdin gives waits for the peer; both speak by turns and unasked.
        let mut ours = sockctl("udp-serve 127.0.0.1:0 --talk --raw").start();
        ours.send("who is it?\n");
        let mut theirs = start(netcat.name, netcat.udp[0], &ours.port());
        theirs.send("hello\nyou\n");
        theirs.stdout_has("who is it?\n");
        ours.send("and now?\n");
        theirs.stdout_has("who is it?\nand now?\n");
        theirs.send("bye\n");
        ours.stdout_has("hello\nyou\nbye\n");
        ours.stops("hello\nyou\nbye\n", "");

        let port = free_port();
        let mut theirs = start(netcat.name, netcat.udp[1], &port);
        until("it listens", || is_taken(port));
        let mut ours = sockctl(format!("udp-send {port} --talk --raw")).start();
        ours.send("hello\nyou\n");
        theirs.stdout_has("hello\nyou\n");
        theirs.send("who is it?\n").send("and now?\n");
        ours.stdout_has("who is it?\nand now?\n");
        ours.send("bye\n");
        theirs.stdout_has("hello\nyou\nbye\n");
        ours.finish().is(0, "who is it?\nand now?\n", "");
    }
}

#[test]
#[ignore = "needs ncat and netcat-openbsd"]
fn a_broker_passes_on_what_that_of_ncat_does() {
    let port = free_port();
    let theirs = program("ncat", format!("-v --broker -l 127.0.0.1 {port}")).start();
    until("it listens", || is_taken(port));
    let ours = sockctl("serve 127.0.0.1:0 --broker").start();
    let our_port = ours.port();
    for (broker, port, sign) in [(theirs, port, "from 127.0.0.1:"), (ours, our_port, " joined\n")] {
        let mut clients = [
            program("ncat", format!("127.0.0.1 {port}")).start(),
            sockctl(format!("connect {port}")).start(),
            program("nc.openbsd", format!("-N 127.0.0.1 {port}")).start(),
        ];
        until("all are in", || broker.stderr_has(sign).matches(sign).count() == clients.len());
        let mut heard = [0; 3];
        for speaker in 0..clients.len() {
            let bytes = pattern(30_000 + speaker);
            clients[speaker].send(&bytes);
            for (client, heard) in clients
                .iter()
                .zip(&mut heard)
                .enumerate()
                .filter_map(|(number, pair)| (number != speaker).then_some(pair))
            {
                *heard += bytes.len();
                assert!(client.stdout_bytes(*heard).ends_with(&bytes));
            }
        }
        // The end of one is no end of the others.
        for (number, client) in clients.into_iter().enumerate() {
            let finished = client.finish();
            assert_eq!((finished.code, finished.stdout.len()), (0, heard[number]), "{number}");
        }
    }
}
