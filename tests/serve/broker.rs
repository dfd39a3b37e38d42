//! `--broker`: what a client sends goes to all others, bytes as they are (rows 27, 29 and 95).

use std::fs;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;

use socket2::SockRef;

use super::serve;
use crate::auth::{key_file, key_line};
use crate::run::{
    Folder, Running, ask, pattern, read_all, read_to_reset, refused, sockctl, take, unread, until,
};

/// So many clients, which the broker knows.
fn clients<const N: usize>(broker: &Running) -> [TcpStream; N] {
    let clients = std::array::from_fn(|_| broker.connect());
    broker.stderr_has(&format!("[{N}] "));
    clients
}

#[test]
fn row_29_bytes_of_any_kind_go_to_all_others_and_not_back() {
    let broker = serve("--broker");
    let [ann, bob, carl] = clients(&broker);
    let bytes = &pattern(300_000);
    thread::scope(|scope| {
        scope.spawn(|| { &ann }.write_all(bytes).unwrap());
        for other in [&bob, &carl] {
            scope.spawn(move || assert!(take(other, bytes.len()) == *bytes));
        }
    });
    // A prompt without a newline, and a NUL: each goes on as it is.
    for part in ["> ", "\0", "\r"] {
        { &bob }.write_all(part.as_bytes()).unwrap();
        assert_eq!([take(&ann, part.len()), take(&carl, part.len())], [part.as_bytes(); 2]);
    }
    drop(carl);
    broker.stderr_has(" left\n");
    { &ann }.write_all(b"on").unwrap();
    assert_eq!(take(&bob, 2), b"on");
    // stdin is not read, and a client that is alone speaks to none.
    drop(bob);
    assert_eq!(ask(&ann, "alone"), b"");
    broker.rests();
}

#[test]
fn row_95_a_client_that_ends_its_side_is_closed_behind_what_is_queued_for_it() {
    let broker = serve("--broker");
    let [ann, bob] = clients(&broker);
    let bytes = pattern(400_000);
    { &bob }.write_all(&bytes).unwrap();
    until("the broker has it all", || unread(broker.port(), false) == 0);
    // Its last bytes and its end are one read.
    { &ann }.write_all(b"bye").unwrap();
    ann.shutdown(Shutdown::Write).unwrap();
    assert_eq!(take(&bob, 3), b"bye");
    assert!(read_all(&ann) == bytes);
    broker.stderr_has("[1] ");
    let carl = broker.connect();
    broker.stderr_has("[3] ");
    { &carl }.write_all(b"and on").unwrap();
    assert_eq!(take(&bob, 6), b"and on");
    broker.signal("TERM");
    assert_eq!([read_all(&bob), read_all(&carl)], [b"", b""]);
    assert_eq!(broker.finish().code, 0);
}

#[test]
fn row_27_a_client_that_stops_reading_is_cut_off_and_costs_the_others_nothing() {
    const SIZE: usize = 64 << 20; // far more than the kernel keeps for a connection
    let broker = serve("--broker");
    let stuck = broker.connect();
    SockRef::from(&stuck).set_recv_buffer_size(64 << 10).unwrap();
    broker.stderr_has("[1] ");
    let [ann, bob, carl] = clients(&broker);
    broker.stderr_has("[4] ");
    let bytes = &pattern(SIZE);
    thread::scope(|scope| {
        scope.spawn(|| { &ann }.write_all(bytes).unwrap());
        for reader in [&bob, &carl] {
            scope.spawn(move || assert!(take(reader, SIZE) == *bytes));
        }
    });
    let address = stuck.local_addr().unwrap();
    let said = broker.stderr_has(&format!("[1] {address} left (slow)\n"));
    assert_eq!(said.matches(" left").count(), 1, "{said}");
    let got = read_to_reset(&stuck);
    assert!(!got.is_empty() && bytes.starts_with(&got));
    let peak = broker.vitals().peak >> 20;
    assert!(peak < 100, "{peak} MiB");
    broker.rests();
}

#[test]
fn holders_of_the_key_are_joined_encrypted() {
    let key = key_file(key_line("team", [7; 32]));
    let broker = sockctl("auth-serve 127.0.0.1:0 --broker --key-file").arg(key.path()).start();
    let client = || sockctl(format!("auth-connect {broker} --key-file")).arg(key.path()).start();
    let [mut ann, mut bob] = [client(), client()];
    broker.stderr_has("[2] ");
    until("both are joined", || broker.stderr_has("[2] ").matches(" joined").count() == 2);
    let bytes = pattern(1 << 20);
    ann.send(&bytes);
    bob.stdout_bytes(bytes.len());
    bob.send("seen\0");
    ann.stdout_has("seen\0");
    ann.finish().is(0, "seen\0", "");
    bob.finish().is(0, bytes, "");
}

#[test]
fn the_dump_shows_what_each_client_sent_and_got() {
    let folder = Folder::new();
    let (hex, log) = (folder.text("hex"), folder.text("log"));
    let broker = serve(format!("--broker --hex {hex} --log {log}"));
    let [ann, bob] = clients(&broker);
    { &ann }.write_all(b"hi\n").unwrap();
    assert_eq!(take(&bob, 3), b"hi\n");
    let lines = |file: &str, wanted: [&str; 2]| {
        let has = |line: &str| wanted.iter().any(|part| line.contains(part));
        until(file, || {
            let text = fs::read_to_string(file).unwrap_or_default();
            text.lines().filter(|line| has(line)).count() == 2
        });
    };
    lines(&hex, ["[1] < ", "[2] > "]);
    lines(&log, ["[1] < hi", "[2] > hi"]);
}

#[test]
fn it_is_a_handler_as_others_are() {
    refused(&[
        ("serve --broker --room 0", "--broker cannot be used with --room"),
        ("serve --broker --recall 5 0", "--recall is for --room"),
    ]);
}
