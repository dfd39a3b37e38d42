//! Names with several addresses, answers to what was sent to many, receivers that take no more, and
//! servers that would answer each other for ever (rows 85, 86, 87, 99, 117).

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::run::{
    Folder, REFUSED, apart, datagram, datagrams_to, free_port, python, sockctl, until,
};

/// A name for both loopback addresses.
const BOTH: &str = "printf '::1 both\\n127.0.0.1 both\\n' >hosts; mount --bind hosts /etc/hosts\n";

#[test]
#[ignore = "needs unshare, mount, iproute2 and root"]
fn row_85_a_name_reaches_its_ipv4_address_where_ipv6_is_off() {
    let folder = Folder::new();
    let line = format!(
        r#"{BOTH}echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
        "$0" udp-serve 127.0.0.1:9 --count 2 --port-file port & server=$!
        until [ -s port ]; do sleep 0.02; done
        "$0" udp-send both:9 one
        "$0" udp-send both:9 two
        wait $server"#
    );
    let said = apart(&line, "").within(&folder).run();
    assert_eq!(said.code, 0, "{}", said.stderr);
    let said = said.text();
    let lines: Vec<&str> = said.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(lines, ["one", "two"]);
}

#[test]
#[ignore = "needs unshare, mount, iproute2 and root"]
fn row_85_a_server_and_a_sender_meet_at_one_name() {
    let folder = Folder::new();
    let line = format!(
        r#"{BOTH}"$0" udp-serve both:9 --echo & server=$!
        until "$0" udp-send -q both:9 up --reply -w 1s; do :; done >/dev/null 2>&1
        "$0" udp-send both:9 one two --reply
        printf 'three\nfour\n' | "$0" udp-send both:9 --reply
        kill $server; wait $server"#
    );
    let done = apart(&line, "").within(&folder).run();
    done.is(0, "onetwothreefour", "listening on 127.0.0.1:9\n");
}

#[test]
#[ignore = "needs unshare, mount, iproute2 and root"]
fn row_85_a_failure_names_every_address() {
    let folder = Folder::new();
    let line = format!(r#"{BOTH}exec "$0" udp-send both:9 hi"#);
    let done = apart(&line, "").within(&folder).run();
    done.fails(3, format!("send to both:9: [::1]:9: {REFUSED}, 127.0.0.1:9: {REFUSED}"));
}

/// Sends to a group or a broadcast address; the address and bytes of the answer.
const MANY: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.9.0.1"))
s.settimeout(10)
for to in sys.argv[1:]:
    s.sendto(b"hi", (to, 9))
    print(to, *s.recvfrom(100))
"#;

#[test]
#[ignore = "needs unshare, iproute2 and root"]
fn row_86_what_was_sent_to_many_is_answered_from_an_address_of_ours() {
    for address in ["'*:9'", "0.0.0.0:9"] {
        let line = format!(
            r#"ip link add eth9 type veth peer name eth8; ip addr add 10.9.0.1/24 brd + dev eth9
            ip link set eth8 up; ip link set eth9 up; ip route add default dev eth9
            "$0" udp-serve {address} --echo --join 239.9.9.9%eth9 --port-file /tmp/row86.$$ &
            server=$!
            until [ -s /tmp/row86.$$ ]; do :; done
            python3 -c "$1" 10.9.0.1 239.9.9.9 10.9.0.255 255.255.255.255
            kill $server; wait $server"#
        );
        let shown = address.trim_matches('\'');
        let wanted: String = ["10.9.0.1", "239.9.9.9", "10.9.0.255", "255.255.255.255"]
            .map(|to| format!("{to} b'hi' ('10.9.0.1', 9)\n"))
            .concat();
        apart(&line, [MANY]).run().is(0, wanted, format!("listening on {shown}\n"));
    }
}

#[test]
fn row_87_a_receiver_that_takes_no_more_is_4_with_how_many_went() {
    let folder = Folder::new();
    let full = UnixDatagram::bind(folder.at("s")).unwrap();
    let path = folder.text("s");
    let done = sockctl(format!("udp-send unix:{path} -w 100ms")).input("x\n".repeat(100_000)).run();
    assert_eq!(done.code, 4);
    let mut went = 0;
    full.set_nonblocking(true).unwrap();
    while full.recv(&mut [0; 9]).is_ok() {
        went += 1;
    }
    let why = "connection timed out (ETIMEDOUT 110); nothing taken for 100ms (-w)";
    let said = format!("sockctl: send to unix:{path}: {why}, {went} datagrams were sent\n");
    assert_eq!(done.stderr, said);
}

#[test]
fn row_99_lines_go_on_while_nobody_listens_and_the_status_is_3() {
    let port = free_port();
    let folder = Folder::new();
    let dump = folder.text("dump");
    let mut sender = sockctl(format!("udp-send 127.0.0.1:{port} --hex {dump}")).start();
    for line in ["lost", "also"] {
        sender.send(format!("{line}\n"));
        until("it is sent", || std::fs::read_to_string(&dump).is_ok_and(|it| it.contains(line)));
    }
    let server = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut buffer = [0; 100];
    until("a line arrives", || {
        sender.send("again\n");
        server.recv(&mut buffer).is_ok()
    });
    sender.send("at last\n");
    until("the last line arrives", || {
        server.recv(&mut buffer).is_ok_and(|count| buffer[..count] == *b"at last")
    });
    sender.close();
    sender.finish().fails(3, format!("send to 127.0.0.1:{port}: {REFUSED}"));
}

/// Sends a datagram that claims to be from another port.
const FORGE: &str = r#"
import socket, struct, sys
sport, dport = map(int, sys.argv[1:])
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
s.sendto(struct.pack("!HHHH", sport, dport, 12, 0) + b"ping", ("127.0.0.1", 0))
"#;

#[test]
#[ignore = "needs root"]
fn row_117_servers_do_not_answer_themselves_or_each_other_for_ever() {
    for handler in ["--echo", "--reply ping", "--sh cat"] {
        let one = sockctl(format!("udp-serve 127.0.0.1:0 {handler}")).start();
        let other = sockctl("udp-serve 127.0.0.1:0 --echo").start();
        let (port, peer) = (one.port(), other.port());
        python(FORGE, format!("{port} {port}")).run().is(0, "", "");
        one.rests();
        if handler == "--sh cat" {
            continue; // too slow to wait for
        }
        python(FORGE, format!("{peer} {port}")).run().is(0, "", "");
        one.rests();
        other.rests();
        // Others are answered meanwhile, and afterwards.
        let client = datagrams_to(port);
        client.send(b"ping").unwrap();
        assert_eq!(datagram(&client), b"ping");
    }
}

#[test]
fn a_client_that_repeats_itself_is_answered() {
    let server = sockctl("udp-serve 127.0.0.1:0 --echo").start();
    let done = sockctl(format!("udp-send {} x --reply --count 2000", server.address())).run();
    done.is(0, "x".repeat(2000), "");
}
