//! `sockctl opts` on sockets in use: in every state, of a connection, of other processes.

use serde_json::Value;

use crate::run::{REFUSED, Running, datagrams, free_port, listener, python, shell, sockctl};

/// A process with a listener, both ends of a connection and a datagram socket, descriptors 3 to 6.
const SERVER: &str = "
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
listener.bind(('127.0.0.1', 0))
listener.listen()
client = socket.create_connection(listener.getsockname())
client.settimeout(3)
accepted, _ = listener.accept()
accepted.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, b'\\2\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0')
datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
print(listener.getsockname()[1], flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
";

struct Peer {
    process: Running,
    pid: u32,
    port: u16,
}

fn peer() -> Peer {
    let process = python(SERVER, "").start();
    let port = process.stdout_has("\n").trim().parse().unwrap();
    let pid = process.id();
    Peer { process, pid, port }
}

#[track_caller]
fn text(words: &str) -> String {
    sockctl(format!("opts {words}")).run().output()
}

fn json(words: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap();
    text(&format!("--json {words}")).lines().map(parse).collect()
}

/// Cells of a line, by its columns' gaps.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn each_state_shows_what_it_changes() {
    let shown = text("--state listening --changed");
    let listening: Vec<Vec<&str>> = shown.lines().map(cells).collect();
    assert_eq!(listening[0][..3], ["NAME", "VALUE", "DEFAULT"]);
    assert_eq!(listening[1][..3], ["SO_ACCEPTCONN", "1", "0"]);
    // Binding to ::1 leaves no way to IPv4.
    assert_eq!(listening[2][..3], ["IPV6_V6ONLY", "1", "0"]);
    let connected = text("--state connected --changed");
    assert!(connected.contains("\nTCP_MAXSEG "), "{connected}");
    assert_eq!(text("--state unbound --changed"), "");
    let unix = text("--unix --state connected --changed");
    assert!(unix.contains("\nSO_PEERCRED "), "{unix}");
    let mtu = |state| text(&format!("--udp --state {state} IP_MTU"));
    assert!(mtu("unbound").contains("ENOTCONN"), "{}", mtu("unbound"));
    assert!(cells(&mtu("connected"))[1].parse::<u32>().unwrap() > 60_000);
    for kind in ["--udp", "--unix", "-6", "-4"] {
        for state in ["unbound", "bound", "connected"] {
            assert!(text(&format!("{kind} --state {state}")).lines().count() > 40);
        }
    }
    sockctl("opts --udp --state listening").run().fails(2, "datagram sockets do not listen");
}

#[test]
fn an_option_can_mean_something_else_in_another_state() {
    // Before the handshake it is what to offer, after it what was agreed on.
    assert_eq!(cells(&text("TCP_MAXSEG"))[1], "536");
    let connected = text("--state connected TCP_MAXSEG");
    assert!(cells(&connected)[1].parse::<u32>().unwrap() > 536, "{connected}");
    let said = sockctl("opts --state bound IPV6_V6ONLY=1").run().stderr;
    let head = "sockctl: set IPV6_V6ONLY=1: invalid argument (EINVAL 22)";
    assert!(said.starts_with(head), "{said}");
}

#[test]
fn a_connection_tells_both_its_ends_and_its_mode() {
    let (_listener, address) = listener();
    let shown = text(&format!("--connect {address}"));
    let fact = |name: &str| {
        let line = shown.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in {shown}"))[name.len()..].trim().to_owned()
    };
    assert_eq!(fact("getpeername"), address);
    assert!(fact("getsockname").starts_with("127.0.0.1:"));
    assert_eq!(fact("family"), "AF_INET");
    assert_eq!(fact("type"), "SOCK_STREAM");
    assert_eq!(fact("state"), "ESTABLISHED");
    assert!(fact("fileno").parse::<u32>().unwrap() > 2);
    assert_eq!(fact("blocking"), "yes: a call waits (O_NONBLOCK is off)");
    assert_eq!(fact("receive timeout"), "none (SO_RCVTIMEO is 0)");
    assert_eq!(fact("send timeout"), "none (SO_SNDTIMEO is 0)");
    // TCP_INFO follows, each number with its unit.
    assert_eq!(fact("ca_state"), "open");
    assert!(fact("rtt ").ends_with(" ms"), "{shown}");
    assert!(fact("snd_cwnd").ends_with(" segments"), "{shown}");
    assert!(fact("snd_mss").ends_with(" bytes"), "{shown}");
    assert!(fact("delivery_rate").ends_with("/s"), "{shown}");
    let facts = &json(&format!("--connect {address}"))[0];
    assert!(facts["tcp_info"]["rtt"].is_u64(), "{facts}");
    assert_eq!(facts["getpeername"], address.as_str());
    assert_eq!((&facts["blocking"], &facts["rcvtimeo"]), (&true.into(), &Value::Null));

    let udp = datagrams();
    let address = udp.local_addr().unwrap().to_string();
    let shown = text(&format!("--udp --connect {address}"));
    assert!(shown.contains("type             SOCK_DGRAM\nstate            CONNECTED\n"), "{shown}");
    let done = sockctl("opts --connect 127.0.0.1:1").run();
    done.fails(3, format!("connect to 127.0.0.1:1: {REFUSED}"));
}

#[test]
fn the_name_of_the_peer_is_read_in_every_family() {
    const SCRIPT: &str = "
import os, socket, sys, tempfile
path = os.path.join(tempfile.mkdtemp(), 'a')
for family, address in [(socket.AF_INET, ('127.0.0.1', 0)), (socket.AF_INET6, ('::1', 0)),
                        (socket.AF_UNIX, path), (socket.AF_UNIX, '\\0' + path)]:
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen()
    client = socket.socket(family)
    client.connect(listener.getsockname())
    accepted, _ = listener.accept()
    print(client.fileno(), accepted.fileno())
    kept = (listener, client, accepted, globals().get('kept'))
os.remove(path)
os.rmdir(os.path.dirname(path))
print('.', flush=True)
sys.stdin.read()
";
    let process = python(SCRIPT, "").start();
    let descriptors = process.stdout_has(".\n");
    let sides = descriptors.split_whitespace().filter(|word| *word != ".");
    let sides: Vec<&str> = sides.collect();
    assert_eq!(sides.len(), 8);
    for fd in sides {
        let of = format!("--pid {} --fd {fd}", process.id());
        let peer = json(&of)[0]["getpeername"].clone();
        assert_eq!(json(&format!("{of} SO_PEERNAME"))[0]["value"], peer, "{fd}");
    }
}

#[test]
fn the_sockets_of_a_process_are_listed() {
    let peer = peer();
    let shown = text(&format!("--pid {}", peer.pid));
    let rows: Vec<Vec<&str>> = shown.lines().map(cells).collect();
    let local = format!("127.0.0.1:{}", peer.port);
    assert_eq!(rows[0], ["PID", "COMMAND", "FD", "FAMILY", "TYPE", "STATE", "LOCAL", "PEER"]);
    let pid = peer.pid.to_string();
    assert_eq!(rows[1], [&pid, "python3", "3", "AF_INET", "SOCK_STREAM", "LISTEN", &local, "-"]);
    assert_eq!(rows[2][2..6], ["4", "AF_INET", "SOCK_STREAM", "ESTABLISHED"]);
    assert_eq!((rows[2][6], rows[2][7]), (rows[3][7], rows[3][6]));
    assert_eq!(rows[4][2..6], ["6", "AF_UNIX", "SOCK_DGRAM", "UNCONNECTED"]);
    let facts = json(&format!("--pid {}", peer.pid));
    assert_eq!(facts.len(), 4);
    assert_eq!((&facts[1]["fileno"], &facts[1]["blocking"]), (&4.into(), &false.into()));
    assert_eq!(facts[2]["rcvtimeo"], 2.0);
}

#[test]
fn what_a_process_set_is_found() {
    let peer = peer();
    let shown = text(&format!("--pid {} --changed", peer.pid));
    assert!(shown.contains("\nTCP_NODELAY"), "{shown}");
    assert!(shown.contains("\nSO_RCVTIMEO"), "{shown}");
    let by_port = text(&format!("--port {} TCP_NODELAY SO_ACCEPTCONN", peer.port));
    let rows: Vec<Vec<&str>> = by_port.lines().map(cells).collect();
    assert_eq!(rows[1][..3], [&peer.pid.to_string(), "python3", "3"]);
    assert_eq!(rows[2][..3], ["TCP_NODELAY", "1", "0"]);
    assert_eq!(rows[3][..3], ["SO_ACCEPTCONN", "1", "0"]);
}

#[test]
fn what_is_set_on_a_live_socket_is_set_for_its_process() {
    let mut peer = peer();
    let shown = text(&format!("--pid {} --fd 4 SO_RCVBUF=5000 SO_KEEPALIVE=1", peer.pid));
    assert_eq!(shown, "SO_RCVBUF=5000 -> 10000: doubled by the kernel\nSO_KEEPALIVE=1 -> 1\n");
    peer.process.send("client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)\n");
    peer.process.stdout_has("\n10000\n");
    let done = sockctl(format!("opts --pid {} SO_RCVBUF=5000", peer.pid)).run();
    done.fails(2, "it has several sockets: --pid PID --fd N says which one to set options on");
}

#[test]
fn what_cannot_be_borrowed_is_told() {
    let Peer { pid, process: _process, .. } = peer();
    let ask = |words: &str| sockctl(format!("opts {words}")).run();
    ask(&format!("--pid {pid} --fd 0")).fails(
        2,
        format!(
            "use descriptor 0 of process {pid}: socket operation on non-socket (ENOTSOCK 88); \
             --pid without --fd lists its sockets"
        ),
    );
    let said = ask(&format!("--pid {pid} --fd 77")).gives(2, "");
    assert!(said.contains("(EBADF 9)"), "{said}");
    let pid = i32::MAX;
    ask(&format!("--pid {pid}"))
        .fails(1, format!("look into process {pid}: no such process (ESRCH 3)"));
    let port = free_port();
    ask(&format!("--port {port}"))
        .fails(3, format!("look up port {port}: no process listens there"));
}

/// Numbers of instructions whose reading is longer than a buffer of 4,096 bytes, and around it.
const FILTERS: [usize; 8] = [1, 511, 512, 513, 600, 1000, 3000, 4096];

#[test]
fn row_102_the_filter_of_another_process_is_read_by_every_name() {
    const SCRIPT: &str = "
import ctypes, socket, struct, sys
count = int(sys.argv[1])
program = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 65535) * count)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(('127.0.0.1', 0))
sock.setsockopt(socket.SOL_SOCKET, 26, struct.pack('HP', count, ctypes.addressof(program)))
print(sock.getsockname()[1])
sys.stdin.read()
";
    for count in FILTERS {
        let process = python(SCRIPT, [count.to_string()]).start();
        let port = process.stdout_has("\n").trim().to_owned();
        let pid = process.id().to_string();
        let hex = "060000000000ffff".to_owned();
        let hex = format!("{}ffff0000", &hex[..8]).repeat(count);
        for (words, wanted) in [
            (["--pid", &pid, "SO_ATTACH_FILTER"], count.to_string()),
            (["--pid", &pid, "1:26"], hex.clone()),
            (["--pid", &pid, "socket:26"], hex.clone()),
            (["--pid", &pid, "--changed"], count.to_string()),
        ] {
            let shown = sockctl("opts").args(words).run().output();
            assert!(shown.split_whitespace().any(|cell| cell == wanted), "{count} {words:?}");
        }
        text(&format!("--udp --port {port} SO_ATTACH_FILTER"));
    }
}

#[test]
#[ignore = "needs unshare"]
fn row_101_descriptors_that_can_only_be_listed_are_no_empty_list() {
    let line = "unshare -r \"$0\" opts --pid 1";
    shell(line, "").run().fails(
        11,
        "look into process 1: permission denied (EACCES 13); only its owner may, or CAP_SYS_PTRACE",
    );
    let (_listener, address) = listener();
    let port = address.rsplit(':').next().unwrap();
    shell("unshare -r \"$0\" opts --port \"$1\"", [port]).run().fails(
        11,
        format!(
            "look up port {port}: its process belongs to another user: operation not permitted \
             (EPERM 1)"
        ),
    );
}

#[test]
fn row_113_a_process_cannot_choose_what_a_terminal_does() {
    const SCRIPT: &str = "
import os, socket, sys
os.closerange(3, 1024)  # what other tests pass on to their servers at this moment
open('/proc/self/comm', 'w').write('\\x1b[2Ja\\nb\\ufeff')
sock = socket.socket()
sock.bind(('127.0.0.1', 0))
sock.listen()
print(sock.getsockname()[1])
sys.stdin.read()
";
    let process = python(SCRIPT, "").start();
    let port = process.stdout_has("\n").trim().to_owned();
    let pid = process.id().to_string();
    for words in [["--pid", &pid], ["--port", &port]] {
        let done = sockctl("opts").args(words).run();
        let wanted = format!(
            "PID{0:1$}  COMMAND              FD  FAMILY   TYPE         STATE   LOCAL{0:2$}  PEER\n\
             {pid}  \\x1b[2Ja\\nb\\u{{feff}}  3   AF_INET  SOCK_STREAM  LISTEN  127.0.0.1:{port}  -\n",
            "",
            pid.len() - 3,
            "127.0.0.1:".len() + port.len() - 5,
        );
        done.is(0, wanted, "");
    }
}
