//! Which addresses may connect to `serve`, and how often: `--per-ip`, `--allow`, `--deny`,
//! `--accept-proxy`, `--mode`, `--systemd`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use super::is_served;
use crate::run::{
    BINARY, Folder, Running, ask, connect, datagrams, datagrams_to, events_of, free_port, program,
    read_all, reset, sockctl, take, until,
};

#[test]
fn a_place_is_free_once_its_client_has_gone() {
    let server = sockctl("serve 0 --reply hey --per-ip 1").start();
    for _ in 0..100 {
        assert_eq!(read_all(&server.connect()), b"hey");
    }
    server.stops("", "");
}

#[test]
fn an_address_has_its_share_of_connections() {
    let server = sockctl("serve 0 --echo --per-ip 2 -v").start();
    let mut held: Vec<TcpStream> = (0..2).map(|_| server.connect()).collect();
    assert!(held.iter().all(is_served));
    assert!(!is_served(&server.connect()));
    server.stderr_has(" refused: too many connections from its address (--per-ip)\n");
    // Another address has its own share, and a place that was given back is free.
    sockctl(format!("connect {server} -s 127.0.0.2")).input("ping").run().is(0, "ping", "");
    drop(held.pop());
    server.stderr_has("closed (eof; received 1, sent 1 bytes");
    until("a place is free", || is_served(&server.connect()));
}

#[test]
fn deny_beats_allow_and_others_are_served() {
    let server = sockctl("serve 0 --echo -v --allow 127.0.0.0/8 --deny 127.0.0.2").start();
    let ask =
        |source: &str| sockctl(format!("connect {server} -s {source} -w 10")).input("ping").run();
    ask("127.0.0.1").is(0, "ping", "");
    ask("127.0.0.3").is(0, "ping", "");
    let refused = ask("127.0.0.2");
    assert_eq!(refused.stdout, b"");
    server.stderr_has("] 127.0.0.2:");
    server.stderr_has(" refused: 127.0.0.2 is not allowed (--deny 127.0.0.2)\n");
}

#[test]
fn a_refusal_names_the_rule() {
    let folder = Folder::new();
    let file = folder.file("rules", "# lab\n127.1.0.0/16\nlocalhost # here\n");
    let words = format!("--echo --allow 127.0.0.0/8 --deny @{file} --json");
    let server = sockctl(format!("serve 0 {words}")).start();
    let ask = |source: &str| sockctl(format!("connect {server} -s {source}")).input("ping").run();
    ask("127.0.0.2").is(0, "ping", "");
    for (number, source, rule) in
        [(2, "127.1.2.3", "--deny 127.1.0.0/16"), (3, "127.0.0.1", "--deny localhost")]
    {
        assert_eq!(ask(source).stdout, b"");
        until("the event is written", || {
            events_of(&server.stderr_has(""), "closed").len() == number
        });
        let event = &events_of(&server.stderr_has(""), "closed")[number - 1];
        assert_eq!((&event["reason"], &event["rule"]), (&"access".into(), &rule.into()));
        assert_eq!((&event["id"], &event["sent"]), (&number.into(), &0.into()));
    }
    let server = sockctl("serve 0 --echo --allow 192.0.2.0/24 -v").start();
    assert!(!is_served(&server.connect()));
    server.stderr_has(" refused: 127.0.0.1 is not allowed (--allow)\n");
    let done = sockctl("serve 0 --deny nosuch.invalid").run().gives(6, "");
    assert!(done.starts_with("sockctl: resolve nosuch.invalid: "), "{done}");

    let server = sockctl("udp-serve 0 --deny localhost -v").start();
    let stranger = datagrams_to(server.port());
    stranger.send(b"no").unwrap();
    let from = stranger.local_addr().unwrap();
    let line = format!("{from} refused: 127.0.0.1 is not allowed (--deny localhost)\n");
    server.stderr_has(&line);
}

/// Connects and closes, or resets, without a byte.
fn check_health(server: &Running) {
    drop(server.connect());
    reset(server.connect());
}

#[test]
fn row_97_a_health_check_before_a_proxy_header_is_connection_detail() {
    let server = sockctl("serve 0 --echo --accept-proxy 127.0.0.1").start();
    check_health(&server);
    let mut client = server.connect();
    client.write_all(b"PROXY UNKNOWN\r\n").unwrap();
    assert!(is_served(&client));
    drop(client);
    server.stops("", "");
    let server = sockctl(BELIEVES).start();
    check_health(&server);
    server.stderr_has(" closed (eof; received 0, sent 0 bytes in ");
    server.stderr_has(" closed (reset; received 0, sent 0 bytes in ");
}

#[test]
fn what_is_suppressed_is_accounted_for_at_the_end() {
    let server = sockctl("serve 0 --echo --accept-proxy 127.0.0.1").start();
    for _ in 0..103 {
        assert_eq!(ask(&server.connect(), "GET /"), b"");
    }
    server.signal("TERM");
    let said = server.finish().gives(0, "");
    assert_eq!(said.matches(": no PROXY header\n").count(), 100, "{said}");
    assert!(said.ends_with("sockctl: warning: 3 similar messages suppressed\n"), "{said}");
}

#[test]
fn v4_peers_of_a_dual_stack_server_count_as_v4() {
    let server = sockctl("serve *:0 --echo --allow 127.0.0.1").start();
    assert!(is_served(&server.connect()));
    let server = sockctl("serve *:0 --echo --allow ::/0").start();
    assert!(!is_served(&server.connect()));
}

#[test]
fn datagrams_of_the_denied_are_not_seen() {
    let server = sockctl("udp-serve 0 --deny 127.0.0.2 --count 1").start();
    let to = ("127.0.0.1", server.port());
    UdpSocket::bind("127.0.0.2:0").unwrap().send_to(b"no", to).unwrap();
    let friend = datagrams();
    friend.send_to(b"yes", to).unwrap();
    let address = server.address();
    let shown = format!("{} yes\n", friend.local_addr().unwrap());
    server.finish().is(0, shown, format!("listening on {address}\n"));
}

/// A server that believes the PROXY headers of 127.0.0.1, and logs the clients it accepts.
const BELIEVES: &str = "serve 0 --echo -v --accept-proxy 127.0.0.1";

#[test]
fn a_proxy_header_gives_the_address_of_the_client() {
    let server = sockctl(BELIEVES).start();
    let mut client = server.connect();
    // Byte by byte, and with the first bytes of the client in the same segment.
    for byte in b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r" {
        client.write_all(&[*byte]).unwrap();
    }
    client.write_all(b"\nping").unwrap();
    assert_eq!(take(&client, 4), b"ping");
    server.stderr_has("[1] 192.0.2.7:4711 accepted");

    let mut client = server.connect();
    let mut header =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\xc6\x33\x64\x01\x12\x67\0\x50".to_vec();
    header.extend(b"ping");
    client.write_all(&header).unwrap();
    assert_eq!(take(&client, 4), b"ping");
    server.stderr_has("[2] 192.0.2.9:4711 accepted");
}

#[test]
fn a_proxy_without_its_header_is_refused() {
    let server = sockctl(BELIEVES).args("-w 300ms").start();
    let mut client = server.connect();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0);
    server.stderr_has(": no PROXY header\n");
    // One that says nothing is let go when its time is up.
    assert_eq!(read_all(&server.connect()), b"");
    server.stderr_has(": no PROXY header in time\n");
    // One that leaves before it has said it all.
    let mut client = server.connect();
    client.write_all(b"PROXY TCP4 192").unwrap();
    drop(client);
    server.stderr_has("the proxy closed after 14 bytes of its PROXY header");
}

#[test]
fn a_header_from_another_address_is_payload() {
    let server = sockctl(BELIEVES).start();
    let header = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n";
    let client = sockctl(format!("connect {server} -s 127.0.0.2"));
    client.input(header).run().is(0, header, "");
    server.stderr_has("[1] 127.0.0.2:");
}

#[test]
fn rules_are_for_the_client_behind_the_proxy() {
    let server = sockctl(BELIEVES).args("--deny 192.0.2.0/24 --per-ip 1").start();
    let ask = |address: &str| {
        let mut client = server.connect();
        write!(client, "PROXY TCP4 {address} 198.51.100.1 4711 80\r\n").unwrap();
        (is_served(&client), client)
    };
    assert!(!ask("192.0.2.7").0);
    let (first, held) = ask("203.0.113.1");
    assert!(first);
    assert!(!ask("203.0.113.1").0);
    assert!(ask("203.0.113.2").0);
    drop(held);
}

#[test]
fn the_mode_of_a_unix_path_is_as_asked() {
    let folder = Folder::new();
    let path = folder.text("s");
    let server = sockctl(format!("serve unix:{path} --echo --mode 0640")).start();
    server.address();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    server.stops("", "");
    assert_eq!(folder.count(), 0);
}

/// Starts a server as systemd does: sockets from descriptor 3 on, `LISTEN_FDS`, `LISTEN_PID`.
pub fn activated(sockets: &[&dyn AsRawFd], words: &str) -> Running {
    let (mut away, mut back) = (String::new(), String::new());
    for (nth, socket) in sockets.iter().enumerate() {
        let fd = socket.as_raw_fd();
        // First out of the way of those that are made.
        let (from, to) = (60 + nth, 3 + nth);
        away.extend([format!("exec {from}<&{fd}; ")]);
        back.extend([format!("exec {to}<&{from} {from}<&-; ")]);
    }
    let count = sockets.len();
    let script = format!(r#"{away}{back}exec env LISTEN_FDS={count} LISTEN_PID=$$ "$0" {words}"#);
    program("bash", ["-c", &script, BINARY]).start()
}

/// A socket that programs inherit.
pub fn inherited<T: AsFd>(socket: T) -> T {
    nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    socket
}

#[test]
fn row_91_all_sockets_of_a_service_manager_are_served() {
    let folder = Folder::new();
    let tcp = [0; 2].map(|_| inherited(TcpListener::bind("127.0.0.1:0").unwrap()));
    let ports = [0, 1].map(|nth| tcp[nth].local_addr().unwrap().port());
    let unix = inherited(UnixListener::bind(folder.at("s")).unwrap());

    let server = activated(&[&tcp[0]], "serve --systemd --echo");
    assert_eq!(server.address(), format!("127.0.0.1:{}", ports[0]));
    assert!(is_served(&connect(ports[0])));
    server.stops("", "");

    let file = folder.text("port");
    let server = activated(
        &[&tcp[0], &tcp[1], &unix],
        &format!("serve --systemd --echo --port-file {file}"),
    );
    let path = format!("unix:{}", folder.text("s"));
    server.stderr_has(&format!("listening on {path}\n"));
    for _ in 0..3 {
        assert!(is_served(&connect(ports[0])) && is_served(&connect(ports[1])));
        assert_eq!(ask(&UnixStream::connect(folder.at("s")).unwrap(), "x"), b"x");
    }
    let wanted = format!("{}\n{}\n{}\n", ports[0], ports[1], folder.text("s"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), wanted);
    server.signal("TERM");
    let [one, other] = [0, 1].map(|n| format!("listening on 127.0.0.1:{}\n", ports[n]));
    server.finish().is(0, "", format!("{one}{other}listening on {path}\n"));
}

#[test]
#[ignore = "needs systemd-socket-activate"]
fn row_91_systemd_s_own_tool_hands_two_sockets_over() {
    let ports = [free_port(), free_port()];
    let words = ports.map(|port| format!("-l 127.0.0.1:{port}")).join(" ");
    let manager = program("systemd-socket-activate", words).args([BINARY, "serve", "--systemd"]);
    let manager = manager.args("--sh env").start();
    manager.stderr_has(&format!("127.0.0.1:{}", ports[1]));
    for port in ports {
        until("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let variables = String::from_utf8(read_all(connect(port))).unwrap();
        assert!(variables.contains("PROTO=TCP\n"), "{variables}");
        // Row 98: what the manager says is not the program's.
        assert!(!variables.contains("LISTEN_"), "{variables}");
    }
}

#[test]
fn without_a_service_manager_there_is_no_socket() {
    let done = sockctl("serve --systemd --echo").run();
    done.fails(2, "take the sockets of the service manager: LISTEN_FDS names none");
}
