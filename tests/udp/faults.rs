//! Datagrams of every size arrive whole and alone, and errors of one peer are its own (rows 72 to 76).

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use nix::poll::{PollFd, PollFlags, poll};

use super::serve::ASK;
use crate::run::{
    DEADLINE, Folder, REFUSED, datagram, datagrams, datagrams_to, free_port, python, shell,
    sockctl, until,
};

#[test]
fn row_72_an_empty_datagram_is_a_message_and_none_forges_a_record() {
    let server = sockctl("udp-serve 127.0.0.1:0 --count 4").start();
    let port = server.port();
    let socket = datagrams();
    let from = socket.local_addr().unwrap();
    for bytes in
        [&b""[..], b"one\n", b"x\n127.0.0.1:1 forged\r\n\\n\x1b[2J\xff\n", "né\u{202e}".as_bytes()]
    {
        socket.send_to(bytes, ("127.0.0.1", port)).unwrap();
    }
    server.finish().is(
        0,
        format!(
            "{from} \n{from} one\n\
             {from} x\\n127.0.0.1:1 forged\\r\\n\\\\n\\x1b[2J\\xff\n\
             {from} né\\xe2\\x80\\xae\n"
        ),
        format!("listening on 127.0.0.1:{port}\n"),
    );
}

#[test]
fn row_72_the_largest_datagrams_arrive_whole_and_one_more_is_refused() {
    for (host, largest) in [("127.0.0.1", 65_507), ("[::1]", 65_527)] {
        let server = sockctl(format!("udp-serve {host}:0 --echo")).start();
        let address = format!("{host}:{}", server.port());
        let bytes: Vec<u8> = (1..=251).cycle().take(largest).collect();
        let whole = |bytes: &[u8]| {
            sockctl(format!("udp-send {address} --whole --reply")).input(bytes).run()
        };
        whole(&bytes).is(0, &bytes, "");
        let more = largest + 1;
        let limit = format!("the limit is {largest}; use --chunk");
        let refused = format!("sockctl: a datagram of {more} bytes to {address}: {limit}\n");
        whole(&[&bytes[..], b"x"].concat()).is(2, "", &refused);
        // As a line: what came before it is sent, it is not.
        let line = vec![b'x'; more];
        let lines = [b"first\n", &line[..], b"\nlast\n"].concat();
        sockctl(format!("udp-send {address} --reply")).input(lines).run().is(2, "first", &refused);
        // As a TEXT: nothing is sent.
        let text = "x".repeat(more);
        sockctl(["udp-send", &address, "--reply", "first", &text]).run().is(2, "", &refused);
        let done = sockctl(format!("udp-send {address} --chunk {more}")).run();
        done.is(2, "", &refused);
    }
}

#[test]
fn row_73_a_closed_port_is_3_and_no_server_minds() {
    let closed = format!("127.0.0.1:{}", free_port());
    for words in ["hi", "hi --reply", "hi --expect x"] {
        let done = sockctl(format!("udp-send {closed} {words}")).run();
        done.fails(3, format!("send to {closed}: {REFUSED}"));
    }
    let server = sockctl("udp-serve 127.0.0.1:0 --echo").start();
    let port = server.port();
    // These are gone before their answers come.
    for _ in 0..20 {
        datagrams().send_to(b"hi", ("127.0.0.1", port)).unwrap();
    }
    python(ASK, format!("127.0.0.1 {port} 68")).run().is(0, "68 127.0.0.1 True\n", "");
}

#[test]
fn row_74_each_peer_gets_its_own_answer() {
    let server = sockctl("udp-serve 127.0.0.1:0 --echo").start();
    let peers: Vec<UdpSocket> = (0..20).map(|_| datagrams_to(server.port())).collect();
    for (number, peer) in (0_u8..).zip(&peers) {
        peer.send(&[number]).unwrap();
    }
    for (number, peer) in (0_u8..).zip(&peers) {
        assert_eq!(datagram(peer), [number]);
    }
}

#[test]
fn row_75_broadcast_is_11_with_the_hint() {
    let address = "127.255.255.255:9";
    let done = sockctl(format!("udp-send {address} hi")).run();
    done.fails(11, format!("send to {address}: permission denied (EACCES 13); add --broadcast"));
    let server = UdpSocket::bind("0.0.0.0:0").unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    let port = server.local_addr().unwrap().port();
    sockctl(format!("udp-send --broadcast 127.255.255.255:{port} hi")).run().is(0, "", "");
    assert_eq!(datagram(&server), b"hi");
}

#[test]
fn row_76_without_reply_it_ends_as_soon_as_it_has_sent() {
    let silent = datagrams();
    let address = silent.local_addr().unwrap();
    // Longer than any test may take: waiting would be seen.
    sockctl(format!("udp-send {address} hi -w 1h")).run().is(0, "", "");
    let mut open = sockctl(format!("udp-send {address}")).start();
    open.send("one\n");
    assert_eq!(datagram(&silent), b"hi");
    assert_eq!(datagram(&silent), b"one", "a line is not held back");
    open.finish().is(0, "", "");
}

#[test]
fn row_109_a_stdout_that_is_not_read_keeps_no_server() {
    for (is_signalled, words) in [(true, ""), (false, "--deadline 2"), (true, "--count 100")] {
        let folder = Folder::new();
        let reader = folder.fifo("out");
        let line = format!(r#"exec "$0" udp-serve 127.0.0.1:0 {words} > "$1""#);
        let server = shell(&line, [folder.at("out")]).start();
        let socket = datagrams_to(server.port());
        let mut room = [PollFd::new(reader.as_fd(), PollFlags::POLLOUT)];
        until("stdout is full", || {
            // A port that is closed by now has had enough.
            let _ = socket.send(&[b'x'; 1000]);
            poll(&mut room, 0_u8) == Ok(0)
        });
        (0..100).for_each(|_| _ = socket.send(&[b'x'; 1000]));
        if words.contains("--count") {
            until("it only writes", || socket.send(&[b'x'; 1000]).is_err());
        }
        if is_signalled {
            server.signal("TERM");
        }
        let code = server.ends().code;
        // Once it only writes, a signal ends it as it ends any filter.
        let wanted = if words.contains("--count") { 143 } else { 4 * i32::from(!is_signalled) };
        assert_eq!(code, wanted, "{words}");
    }
}

#[test]
fn answers_wait_for_a_reader_of_stdout_and_end_with_it() {
    let folder = Folder::new();
    let reader = folder.fifo("out");
    // It would end if answers were taken that cannot be shown.
    let mut echo = sockctl("udp-serve 127.0.0.1:0 --echo --count 5000").start();
    let line = format!(r#"exec "$0" udp-send {echo} --reply > "$1""#);
    let mut client = shell(&line, [folder.at("out")]).start();
    client.feed([[b'x'; 999].as_slice(), b"\n"].concat().repeat(30_000));
    let mut room = [PollFd::new(reader.as_fd(), PollFlags::POLLOUT)];
    until("stdout is full", || poll(&mut room, 0_u8) == Ok(0));
    client.rests();
    assert!(echo.is_running());
    client.signal("TERM");
    assert_eq!(client.ends().code, 143);

    let echo = sockctl("udp-serve 127.0.0.1:0 --echo").start();
    let line = format!(r#"{{ "$0" udp-send {echo} --reply; echo "status $?" >&2; }} | head -c 3"#);
    let mut client = shell(&line, "").start();
    client.feed(b"one\n".repeat(1_000_000));
    client.stderr_has("status 141\n");
}

#[test]
fn what_strangers_do_does_not_fill_the_log() {
    let folder = Folder::new();
    let path = folder.text("s");
    let server = sockctl(format!("udp-serve unix:{path} --echo --count 103")).start();
    server.address();
    let stranger = UnixDatagram::unbound().unwrap();
    for _ in 0..103 {
        stranger.send_to(b"x", &path).unwrap();
    }
    let said = server.ends().gives(0, "");
    let line = "sockctl: answer a UNIX sender: the sender is not bound to a name";
    assert_eq!(said.matches(line).count(), 100, "{said}");
    assert!(said.ends_with("sockctl: warning: 3 similar messages suppressed\n"), "{said}");
}
