//! `sockctl udp-serve` against Python peers: one datagram is one record, and everyone is answered.

use serde_json::json;

use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

use crate::run::{
    DEADLINE, Folder, datagram, datagrams, datagrams_to, events_of, python, refused, sockctl, until,
};

/// Sends each hex argument to HOST:PORT and prints what is answered, and from where.
pub const ASK: &str = r#"
import socket, sys
host, port, texts = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(30)
for text in texts:
    s.sendto(bytes.fromhex(text), (host, port))
    data, addr = s.recvfrom(70000)
    print(data.hex(), addr[0], addr[1] == port)
"#;

#[test]
fn echo_and_reply_answer_python() {
    let server = sockctl("udp-serve 127.0.0.1:0 --echo --count 3").start();
    let port = server.port().to_string();
    let done = python(ASK, format!("127.0.0.1 {port} 00ff0a '' 68")).run();
    done.is(0, "00ff0a 127.0.0.1 True\n 127.0.0.1 True\n68 127.0.0.1 True\n", "");
    server.finish().is(0, "", format!("listening on 127.0.0.1:{port}\n"));

    let server = sockctl("udp-serve [::1]:0 --reply a\\0\\n --count 1").start();
    let port = server.port().to_string();
    python(ASK, format!("::1 {port} 68")).run().is(0, "61000a ::1 True\n", "");
    server.finish().is(0, "", format!("listening on [::1]:{port}\n"));
}

#[test]
fn control_messages_that_options_ask_for_do_not_disturb_answers() {
    let options = "-o IP_RECVTTL=1 -o IP_RECVTOS=1 -o SO_TIMESTAMP=1 -o SO_RXQ_OVFL=1";
    for more in ["", "--count 1"] {
        let server = sockctl(format!("udp-serve 127.0.0.1:0 --echo {options} {more}")).start();
        let words = format!("127.0.0.1 {} 68", server.port());
        python(ASK, words).run().is(0, "68 127.0.0.1 True\n", "");
    }
}

#[test]
fn icmp_errors_that_an_option_asks_for_are_reported_once() {
    for (host, option) in [("127.0.0.1", "IP_RECVERR=1"), ("[::1]", "IPV6_RECVERR=1")] {
        let folder = Folder::new();
        let go = folder.text("go");
        let answer = format!("until [ -e {go} ]; do sleep 0.05; done; echo pong");
        let any = format!("{host}:0");
        let server = sockctl(format!("udp-serve {any} --sh '{answer}' -o {option}")).start();
        let client = || {
            let socket = UdpSocket::bind(&any).unwrap();
            socket.set_read_timeout(Some(DEADLINE)).unwrap();
            socket.connect(server.address()).unwrap();
            socket.send(b"ping").unwrap();
            socket
        };
        let port = format!(":{:04X} ", client().local_addr().unwrap().port());
        // A child of another test may hold it for a moment, between fork(2) and exec(2).
        until("the client's socket is closed everywhere", || {
            let sockets = |name| std::fs::read_to_string(format!("/proc/net/{name}")).unwrap();
            !(sockets("udp") + &sockets("udp6")).contains(&port)
        });
        std::fs::write(&go, "").unwrap();
        server.stderr_has("connection refused (ECONNREFUSED 111)\n");
        server.rests();
        assert_eq!(datagram(&client()), b"pong\n");
        server.signal("TERM");
        assert_eq!(server.finish().code, 0);
    }
}

#[test]
fn everyone_in_a_burst_gets_their_own() {
    let server = sockctl("udp-serve 0.0.0.0:0 --echo").start();
    // A connected socket receives from the server alone.
    let sockets = ["127.0.0.1", "127.0.0.2"].map(|host| {
        let socket = datagrams();
        socket.connect((host, server.port())).unwrap();
        socket
    });
    let text = |who: usize, turn: usize| vec![b'a' + u8::try_from(who).unwrap(); turn / 10];
    for turn in 0..60 {
        // Some by turns, some in a row.
        for (who, socket) in sockets.iter().enumerate() {
            for _ in 0..=turn % 2 {
                socket.send(&text(who, turn)).unwrap();
            }
        }
    }
    for (who, socket) in sockets.iter().enumerate() {
        for turn in 0..60 {
            for _ in 0..=turn % 2 {
                let mut buffer = [0; 100];
                let length = socket.recv(&mut buffer).unwrap();
                assert_eq!(buffer[..length], text(who, turn), "{who} {turn}");
            }
        }
    }
}

/// Sends a datagram, and then one buffer that the kernel cuts into datagrams of 100 bytes, the last
/// of them shorter; prints so many answers besides the first.
const CUT: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(30)
s.connect((sys.argv[1], int(sys.argv[2])))
count = int(sys.argv[3])
s.send(b"alone\n")
if count:
    print(len(s.recv(70000)))
s.setsockopt(socket.IPPROTO_UDP, 103, 100) # UDP_SEGMENT
s.send(b"".join(b"%02d%s" % (n, b"x" * 97 + b"\n") for n in range(10)) + b"end")
for _ in range(count):
    data = s.recv(70000)
    print(len(data), data[:3].decode())
"#;

#[test]
fn datagrams_that_come_as_one_message_are_told_apart() {
    let answers = (0..10).fold(String::new(), |all, n| all + &format!("100 {n:02}x\n"));
    let answers = format!("6\n{answers}3 end\n");
    for host in ["127.0.0.1", "127.0.0.2"] {
        let server = sockctl("udp-serve 0.0.0.0:0 --echo").start();
        let port = server.port().to_string();
        python(CUT, [host, &port, "11"]).run().is(0, &answers, "");
    }
    let first: String = answers.split_inclusive('\n').take(5).collect();
    // Asked to merge them by hand, it still counts each.
    for merge in ["UDP_GRO=0", "UDP_GRO=1"] {
        let line = ["udp-serve", "127.0.0.1:0", "--echo", "--count", "5", "-o"];
        let server = sockctl(line).arg(merge).start();
        let port = server.port().to_string();
        python(CUT, format!("127.0.0.1 {port} 4")).run().is(0, &first, "");
        assert_eq!(server.finish().code, 0, "{merge}");
    }
    let server = sockctl("udp-serve 127.0.0.1:0 --raw").start();
    let port = server.port().to_string();
    python(CUT, format!("127.0.0.1 {port} 0")).run().is(0, "", "");
    server.stdout_has("end");
    server.signal("TERM");
    let raw = server.finish().stdout;
    assert_eq!(raw.len(), 1009);
    assert!(raw.starts_with(b"alone\n00x") && raw.ends_with(b"x\nend"));
}

#[test]
fn replies_leave_from_the_address_that_was_asked() {
    for listen in ["0.0.0.0:0", "*:0"] {
        let server = sockctl(["udp-serve", listen, "--echo", "-4"]).start();
        let port = server.port().to_string();
        python(ASK, format!("127.0.0.2 {port} 68")).run().is(0, "68 127.0.0.2 True\n", "");
    }
    let both = sockctl("udp-serve *:0 --echo").start();
    let port = both.port().to_string();
    for host in ["127.0.0.2", "::1"] {
        python(ASK, [host, &port, "68"]).run().is(0, format!("68 {host} True\n"), "");
    }
}

#[test]
fn json_messages_have_their_peer_their_size_and_their_bytes() {
    let server = sockctl("udp-serve 127.0.0.1:0 --discard --json --count 2").start();
    let text = server.stderr_has("\n");
    let local = events_of(&text, "listening")[0]["local"].as_str().unwrap().to_string();
    let socket = datagrams();
    socket.send_to("né\n".as_bytes(), &local).unwrap();
    socket.send_to(b"\xff", &local).unwrap();
    let done = server.finish().gives(0, "");
    let peer = socket.local_addr().unwrap().to_string();
    assert_eq!(
        events_of(&done, "message"),
        [
            json!({"event": "message", "peer": peer, "bytes": 4, "text": "né\n"}),
            json!({"event": "message", "peer": peer, "bytes": 1, "base64": "/w=="}),
        ]
    );
}

#[test]
fn raw_writes_the_bytes_and_nothing_else() {
    let server = sockctl("udp-serve 127.0.0.1:0 --raw --count 3").start();
    let socket = datagrams();
    for bytes in [&b"a\n\0"[..], b"", b"\xff"] {
        socket.send_to(bytes, ("127.0.0.1", server.port())).unwrap();
    }
    server.finish().gives(0, b"a\n\0\xff");
}

#[test]
fn a_group_is_joined_on_the_interface_that_is_named() {
    let server = sockctl("udp-serve *:0 --count 1 --join 239.1.2.3%lo --join ff02::1:3%lo").start();
    let port = server.port().to_string();
    let member = std::fs::read_to_string("/proc/net/igmp6").unwrap();
    assert!(
        member
            .lines()
            .any(|line| line.contains("lo") && line.contains("ff020000000000000000000000010003")),
        "{member}"
    );
    let send = "import socket, sys\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.bind(('127.0.0.1', 0))\n\
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton('127.0.0.1'))\n\
        s.sendto(b'to all', ('239.1.2.3', int(sys.argv[1])))\n\
        print(s.getsockname()[1], end='')";
    let sender = python(send, port.clone()).run();
    let from = sender.text();
    server.finish().is(0, format!("127.0.0.1:{from} to all\n"), format!("listening on *:{port}\n"));
    let done = sockctl("udp-serve --join 239.1.2.3%lo 0").run();
    done.fails(2, "--join 239.1.2.3%lo: 127.0.0.1:0 does not hear a group; listen on *:0");
}

#[test]
fn unix_datagrams_are_answered_where_the_sender_has_a_name() {
    let folder = Folder::new();
    let path = folder.at("s");
    let address = format!("unix:{}", path.display());
    let server = sockctl(format!("udp-serve {address} --echo --count 3")).start();
    assert_eq!(server.address(), address);
    sockctl(format!("udp-send {address} hello --reply")).run().is(0, "hello", "");
    let ask = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
        s.settimeout(30)\n\
        nameless = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
        nameless.sendto(b'nameless', sys.argv[1])\n\
        s.bind(sys.argv[1] + '.peer')\n\
        s.sendto(b'named', sys.argv[1])\n\
        data, addr = s.recvfrom(100)\n\
        print(data, addr == sys.argv[1])";
    python(ask, [path.to_str().unwrap()]).run().is(0, "b'named' True\n", "");
    server.finish().is(
        0,
        "",
        format!(
            "listening on {address}\n\
             sockctl: answer a UNIX sender: the sender is not bound to a name, so it cannot be answered\n"
        ),
    );
    assert!(!path.exists(), "the path is removed");
}

#[test]
fn descriptors_that_a_unix_peer_sends_are_closed() {
    let folder = Folder::new();
    let server = sockctl(format!("udp-serve unix:{} --echo", folder.text("s"))).start();
    server.address();
    let peer = UnixDatagram::bind(folder.at("peer")).unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    let to = UnixAddr::new(&folder.at("s")).unwrap();
    let echo = |control: &[ControlMessage<'_>]| {
        let (fd, bytes) = (peer.as_raw_fd(), [IoSlice::new(b"x")]);
        sendmsg(fd, &bytes, control, MsgFlags::empty(), Some(&to)).unwrap();
        assert_eq!(datagram(&peer), b"x");
        server.vitals().descriptors
    };
    // An answer shows that its event loop is there, descriptors and all.
    let before = echo(&[]);
    for _ in 0..10 {
        assert_eq!(echo(&[ControlMessage::ScmRights(&[peer.as_raw_fd(); 60])]), before);
    }
}

#[test]
fn a_unix_path_of_108_bytes_counts_as_no_name() {
    let folder = Folder::new();
    let address = format!("unix:{}", folder.text("s"));
    let server = sockctl(format!("udp-serve {address} --echo --count 1")).start();
    server.address();
    // Python's own bind refuses such a path.
    let send = "import ctypes, socket, sys\n\
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
        name = bytes([socket.AF_UNIX, 0]) + b'p' * 108\n\
        print(ctypes.CDLL(None).bind(s.fileno(), name, len(name)))\n\
        s.sendto(b'hello', 's')";
    python(send, "").within(&folder).run().is(0, "0\n", "");
    server.finish().is(
        0,
        "",
        format!(
            "listening on {address}\n\
             sockctl: answer a UNIX sender: the sender is not bound to a name, so it cannot be answered\n"
        ),
    );
}

#[test]
fn a_unix_peer_that_does_not_read_costs_the_others_little_time() {
    let folder = Folder::new();
    let server = sockctl(format!("udp-serve unix:{} --echo", folder.text("s"))).start();
    server.address();
    let client = |name: &str| {
        let socket = UnixDatagram::bind(folder.at(name)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    };
    // Unconnected: the queue of a connected socket has no such limit for its peer.
    let (stuck, other) = (client("stuck"), client("other"));
    let room = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap();
    for _ in 0..room.trim().parse::<u32>().unwrap() + 100 {
        stuck.send_to(b"x", folder.at("s")).unwrap();
    }
    other.send_to(b"y", folder.at("s")).unwrap();
    assert_eq!(datagram(&other), b"y");
    let address = folder.text("stuck");
    server.stderr_has(&format!("sockctl: send to unix:{address}: connection timed out (ETIMEDOUT 110); it takes no more datagrams\n"));
    server.rests();
}

#[test]
fn each_match_in_a_datagram_is_answered_in_order() {
    let rules = r"--when '(?i)^get (\w+)' 'VALUE\n' --when ET '' --when 'a+' @FILE";
    let folder = Folder::new();
    let file = folder.file("text", b"\xff\0@");
    let rules = rules.replace("FILE", &file);
    let server = sockctl(format!("udp-serve 127.0.0.1:0 {rules} --hex {}", folder.text("dump")));
    let server = server.start();
    let client = datagrams_to(server.port());
    for (asked, answers) in [
        (&b"aaa GET"[..], &[&b"\xff\0@"[..], b""][..]),
        (b"GET a aa\nget a", &[b"VALUE\n", b"\xff\0@", b"VALUE\n"]),
        (b"none", &[]),
        (b"", &[]),
        (b"a", &[b"\xff\0@"]),
    ] {
        client.send(asked).unwrap();
        for answer in answers {
            assert_eq!(datagram(&client), *answer, "{}", asked.escape_ascii());
        }
    }
    server.stops("", "");
    let dump = std::fs::read_to_string(folder.at("dump")).unwrap();
    assert!(dump.contains("56 41 4c 55 45 0a"), "{dump}");
    // A datagram is answered 1,024 times at most.
    let server = sockctl("udp-serve 127.0.0.1:0 --when nothing x --when a b").start();
    let client = datagrams_to(server.port());
    client.send(&vec![b'a'; 65_507]).unwrap();
    assert_eq!(datagram(&client), b"b");
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut count = 1;
    while client.recv(&mut [0; 9]).is_ok() {
        count += 1;
    }
    assert!(count <= 1024, "{count}");
    // Nor with more than fits into 64 KiB.
    let long = folder.file("long", vec![b'x'; 30_000]);
    let server = sockctl(format!("udp-serve 127.0.0.1:0 --when end '' --when a @{long}")).start();
    let client = datagrams_to(server.port());
    client.send(b"aaaaaaaaend").unwrap();
    client.send(b"end").unwrap();
    let answers = [(); 4].map(|()| datagram(&client).len());
    assert_eq!(answers, [30_000, 30_000, 30_000, 0]);
    server.stops("", "");
    let long = folder.file("long", vec![b'x'; 65_508]);
    let cause = "a TEXT of 65508 bytes is longer than a datagram (65507 bytes)";
    for handler in ["--when a", "--reply"] {
        refused(&[(&format!("udp-serve 127.0.0.1:0 {handler} @{long}"), cause)]);
    }
    refused(&[
        ("udp-serve 0 --when '' x", "--when '': an empty regex matches everything"),
        (
            "udp-serve 0 --when 'a(b' x",
            "--when 'a(b': unclosed group, marked by <-- HERE in 'a( <-- HERE b'",
        ),
        ("udp-serve 0 --when a b --echo", "--when cannot be used with --echo"),
    ]);
}
