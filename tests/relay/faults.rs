//! Faults of one side, and what they cost the others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{pair, relay, resets_a_client};
use crate::run::{
    accept, echoes, flood, hold, listener, read_all, read_to_reset, reset, shell, sockctl, take,
    until, until_refused,
};

#[test]
fn a_flood_for_a_stuck_target_is_bounded_and_does_not_block_other_pairs() {
    let (target, address) = listener();
    for words in ["", "--hex /dev/null"] {
        let server = relay(&address, words);
        let (client, stuck) = pair(&server, &target);
        let (other, end) = pair(&server, &target);
        let before = server.vitals().memory;
        std::thread::scope(|scope| {
            scope.spawn(|| flood(client));
            let echo = std::thread::spawn({
                let mut end = end.try_clone().unwrap();
                move || std::io::copy(&mut end.try_clone().unwrap(), &mut end)
            });
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(2) {
                echoes(&other, b"ping");
                std::thread::sleep(Duration::from_millis(10)); // while it floods
            }
            server.rests();
            let grown = server.vitals().memory.saturating_sub(before);
            assert!(grown < 8 << 20, "{grown}");
            reset(stuck);
            drop(other);
            let _ = echo.join();
        });
    }
}

#[test]
fn a_target_that_is_silent_is_timed_out_by_w() {
    // Its backlog is full: it does not accept.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _held = std::net::TcpStream::connect(address).unwrap();
    let server = relay(address, "-w 500ms --once");
    resets_a_client(&server);
    let done = server.finish();
    assert_eq!(done.code, 4, "{}", done.stderr);
}

#[test]
fn a_client_that_leaves_while_its_target_is_dialled_is_let_go() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _held = std::net::TcpStream::connect(address).unwrap();
    for words in ["-w 60s --once", "-w 60s --wait 60s --once"] {
        let server = relay(address, words);
        let client = server.connect();
        until_refused(server.port());
        reset(client);
        server.finish().gives(7, "");
    }
    let server = relay("127.0.0.1:1", "--wait 60s --once");
    let client = server.connect();
    until_refused(server.port());
    reset(client);
    server.finish().gives(7, "");
}

#[test]
fn a_target_that_is_silent_in_its_handshake_costs_no_more_than_the_wait() {
    let (target, address) = listener();
    let pin = format!("sha256//{}=", "A".repeat(43));
    let words = format!("-w 60s --to-tls-pin {pin} --once");
    let server = relay(format!("tls:{address}"), format!("{words} --wait 500ms"));
    let began = Instant::now();
    resets_a_client(&server);
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(server.finish().code, 4);
    let _accepted = accept(&target);

    // A client that leaves takes it along.
    let server = relay(format!("tls:{address}"), words);
    let client = server.connect();
    let mut end = accept(&target);
    reset(client);
    let mut hello = Vec::new();
    let _ = end.read_to_end(&mut hello);
    server.finish().gives(7, "");
}

#[test]
fn a_lack_of_descriptors_costs_those_clients_alone() {
    let (target, address) = listener();
    let server =
        shell(&format!(r#"ulimit -n 40; exec "$0" serve 127.0.0.1:0 --to {address}"#), "").start();
    let (first, end) = pair(&server, &target);
    // A client may be reset before its connect(2) has returned.
    let connect = || TcpStream::connect(("127.0.0.1", server.port()));
    let clients: Vec<_> = (0..40).filter_map(|_| connect().ok()).collect();
    server.stderr_has("EMFILE");
    (&first).write_all(b"still here").unwrap();
    assert_eq!(take(&end, 10), b"still here");
    drop(clients);
    until("later ones are served", || {
        // Those that have got a target meanwhile go first.
        target.set_nonblocking(true).unwrap();
        while target.accept().is_ok() {}
        target.set_nonblocking(false).unwrap();
        let Ok(client) = connect() else {
            return false;
        };
        client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let end = accept(&target);
        (&end).write_all(b"x").is_ok() && (&client).read_exact(&mut [0]).is_ok()
    });
    (&end).write_all(b"and here").unwrap();
    assert_eq!(take(&first, 8), b"and here");
    server.rests();
}

#[test]
fn a_target_that_leaves_at_once_is_passed_on() {
    let (target, address) = listener();
    let server = relay(&address, "");
    let (client, end) = pair(&server, &target);
    reset(end);
    assert_eq!(read_to_reset(&client), b"");
    let (client, end) = pair(&server, &target);
    drop(end);
    assert_eq!(read_all(&client), b"");
    let (client, end) = pair(&server, &target);
    std::thread::scope(|scope| {
        scope.spawn(|| hold(client));
        reset(end);
    });
    let echo = sockctl(format!("connect {server}")).start();
    drop((accept(&target), echo));
    server.stops("", "");
}
