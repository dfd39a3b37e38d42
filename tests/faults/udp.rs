//! Rows 72 to 76: datagrams.

use std::net::UdpSocket;

use crate::run::{DEADLINE, python, sockctl};
use crate::udp_serve::ASK;

#[test]
fn row_72_an_empty_datagram_is_a_message_and_none_forges_a_record() {
    let server = sockctl(["udp-serve", "127.0.0.1:0", "--count", "4"]).start();
    let port = server.port();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
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
        &format!("listening on 127.0.0.1:{port}\n"),
    );
}

#[test]
fn row_72_the_largest_datagrams_arrive_whole_and_one_more_is_refused() {
    for (host, largest) in [("127.0.0.1", 65_507), ("[::1]", 65_527)] {
        let server = sockctl(["udp-serve", &format!("{host}:0"), "--echo"]).start();
        let address = format!("{host}:{}", server.port());
        let bytes: Vec<u8> = (1..=251).cycle().take(largest).collect();
        let whole =
            |bytes: &[u8]| sockctl(["udp-send", &address, "--whole", "--reply"]).input(bytes).run();
        whole(&bytes).is(0, &bytes, "");
        let refused = format!(
            "sockctl: a datagram of {} bytes to {address}: the limit is {largest}; use --chunk\n",
            largest + 1
        );
        whole(&[&bytes[..], b"x"].concat()).is(2, "", &refused);
        // As a line: what came before it is sent, it is not.
        let line = vec![b'x'; largest + 1];
        let lines = [b"first\n", &line[..], b"\nlast\n"].concat();
        sockctl(["udp-send", &address, "--reply"]).input(lines).run().is(2, "first", &refused);
        // As a TEXT: nothing is sent.
        let text = "x".repeat(largest + 1);
        sockctl(["udp-send", &address, "--reply", "first", &text]).run().is(2, "", &refused);
        sockctl(["udp-send", &address, "--chunk", &(largest + 1).to_string()])
            .run()
            .is(2, "", &refused);
    }
}

#[test]
fn row_73_a_closed_port_is_3_and_no_server_minds() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = format!("sockctl: send to {closed}: connection refused (ECONNREFUSED 111)\n");
    let address = closed.to_string();
    for words in [&["hi"][..], &["hi", "--reply"], &["hi", "--expect", "x"]] {
        sockctl(["udp-send", &address]).args(words).run().is(3, "", &refused);
    }
    let server = sockctl(["udp-serve", "127.0.0.1:0", "--echo"]).start();
    let port = server.port().to_string();
    // These are gone before their answers come.
    for _ in 0..20 {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
        gone.send_to(b"hi", format!("127.0.0.1:{port}")).unwrap();
    }
    python(ASK, ["127.0.0.1", &port, "68"]).run().is(0, "68 127.0.0.1 True\n", "");
}

#[test]
fn row_74_each_peer_gets_its_own_answer() {
    let server = sockctl(["udp-serve", "127.0.0.1:0", "--echo"]).start();
    let peers: Vec<UdpSocket> = (0..20)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(DEADLINE)).unwrap();
            socket.connect(("127.0.0.1", server.port())).unwrap();
            socket
        })
        .collect();
    for (number, peer) in (0_u8..).zip(&peers) {
        peer.send(&[number]).unwrap();
    }
    for (number, peer) in (0_u8..).zip(&peers) {
        let mut buffer = [0; 2];
        assert_eq!(peer.recv(&mut buffer).unwrap(), 1);
        assert_eq!(buffer[0], number);
    }
}

#[test]
fn row_75_broadcast_is_11_with_the_hint() {
    let address = "127.255.255.255:9";
    sockctl(["udp-send", address, "hi"]).run().is(
        11,
        "",
        &format!("sockctl: send to {address}: permission denied (EACCES 13); add --broadcast\n"),
    );
    let server = UdpSocket::bind("0.0.0.0:0").unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    let port = server.local_addr().unwrap().port();
    sockctl(["udp-send", "--broadcast", &format!("127.255.255.255:{port}"), "hi"])
        .run()
        .is(0, "", "");
    let mut buffer = [0; 3];
    assert_eq!(server.recv(&mut buffer).unwrap(), 2);
}

#[test]
fn row_76_without_reply_it_ends_as_soon_as_it_has_sent() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    // Longer than any test may take: waiting would be seen.
    sockctl(["udp-send", &address, "hi", "-w", "1h"]).run().is(0, "", "");
    let mut open = sockctl(["udp-send", &address]).start();
    open.send("one\n");
    silent.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut buffer = [0; 4];
    assert_eq!(silent.recv(&mut buffer).unwrap(), 2);
    assert_eq!(silent.recv(&mut buffer).unwrap(), 3, "a line is not held back");
    open.finish().is(0, "", "");
}
