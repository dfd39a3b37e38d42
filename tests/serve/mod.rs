//! `serve`: its handlers, its limits, its ends.

use std::fmt::Display;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use crate::run::{
    DEADLINE, Folder, IN_USE, RESET, Running, Words, ask, connect, conversation, datagram, echoes,
    events, is_like, pattern, read_all, read_to_reset, reset, shell, sockctl, take, until,
    until_refused,
};

mod accept;
mod broker;
mod floods;
mod library;
pub mod limits;
mod script;
mod start;
mod stream;

/// `serve` with these words, listening on a free port of 127.0.0.1.
fn serve(words: impl Words) -> Running {
    let server = sockctl("serve 0").args(words).start();
    server.address();
    server
}

/// Sends a byte; whether it comes back before the connection ends.
fn is_served(mut stream: &TcpStream) -> bool {
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0]).is_ok()
}

// ---- handlers ------------------------------------------------------------------------------

#[test]
fn the_conversation_in_a_pipe_takes_the_flags_of_connect() {
    let mut server = serve("-C --no-half-close");
    let client = server.connect();
    server.send("one\ntwo\r\n");
    assert_eq!(take(&client, 10), b"one\r\ntwo\r\n");
    // The end of stdin is not passed on.
    server.close();
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!((&client).read(&mut [0]).is_err());
    (&client).write_all(b"still heard\n").unwrap();
    server.stdout_has("still heard\n");
    drop(client);
    server.stderr_has(" left\n");

    let mut server = serve("--send-only --once");
    let client = server.connect();
    (&client).write_all(b"not heard\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    server.stderr_has("joined");
    server.send("all of it\n");
    server.close();
    assert_eq!(read_all(&client), b"all of it\n");
    drop(client);
    server.finish().gives(0, "");

    let mut server = serve("--recv-only --once");
    server.feed(b"never read".to_vec());
    assert_eq!(ask(&server.connect(), b"heard\n"), b"");
    server.finish().gives(0, "heard\n");

    for flag in ["-C", "--send-only", "--recv-only", "--no-half-close"] {
        let refusal = sockctl(format!("serve 0 --echo {flag}")).run();
        let name = if flag == "-C" { "--crlf" } else { flag };
        refusal.refuses(format!("--echo cannot be used with {name}"));
    }
}

#[test]
fn echo_returns_everything_to_its_sender() {
    let server = serve("--echo");
    let all: Vec<u8> = (0..=255).collect();
    let (first, second) = (server.connect(), server.connect());
    assert_eq!(ask(&second, b"second"), b"second");
    assert_eq!(ask(&first, &all), all);
    server.stops("", "");
}

#[test]
fn discard_swallows_and_ends_after_the_client() {
    let server = serve("--discard");
    assert_eq!(ask(&server.connect(), vec![7; 300_000]), b"");
    server.stops("", "");
}

#[test]
fn reply_is_sent_before_the_client_says_anything() {
    let server = serve(r"--reply one\r\n\x00\\");
    assert_eq!(read_all(&server.connect()), b"one\r\n\0\\");
    assert_eq!(ask(&server.connect(), b"GET / HTTP/1.0\r\n\r\n"), b"one\r\n\0\\");
    server.stops("", "");
}

#[test]
fn reply_sends_a_file_as_it_is_and_loses_none_of_it_to_a_client_that_talks_first() {
    let (folder, text) = (Folder::new(), pattern(12_000_000));
    let server = serve(format!("--reply @{}", folder.file("text", &text)));
    let client = server.connect();
    (&client).write_all(&vec![b'x'; 100_000]).unwrap();
    assert!(read_all(&client) == text);
    server.stops("", "");
}

// ---- the conversation in a pipe ------------------------------------------------------------

#[test]
fn stdin_waits_for_a_client_and_goes_to_all_that_are_connected() {
    let mut server = serve("");
    // More than the pipe and all buffers hold is not read while no client is connected.
    let port = server.port();
    let text = pattern(1_600_000);
    server.feed(text.clone());
    server.rests();
    let first = connect(port);
    assert!(read_all(&first) == text);
    // The end of stdin was passed on; a later client gets it at once, and what it sends is written.
    assert_eq!(ask(&connect(port), b"late"), b"");
    server.stdout_has("late");
    drop(first);
    server.stderr_has("[1] ");
    assert!(server.is_running());
}

#[test]
fn what_clients_say_comes_to_stdout_and_what_stdin_says_to_each() {
    let mut server = serve("");
    let (first, second) = (server.connect(), server.connect());
    server.stderr_has("[2] ");
    (&first).write_all(b"one").unwrap();
    server.stdout_has("one");
    (&second).write_all(b"two\n").unwrap();
    server.stdout_has("onetwo\n");
    server.send("to all\n");
    assert_eq!(take(&first, 7), b"to all\n");
    assert_eq!(take(&second, 7), b"to all\n");
    let (a, b) = (first.local_addr().unwrap(), second.local_addr().unwrap());
    server.close();
    assert_eq!(read_all(&first), b"");
    assert_eq!(read_all(&second), b"");
    // Half-closed, they can still speak.
    (&second).write_all(b"three\n").unwrap();
    server.stdout_has("three\n");
    drop(first);
    server.stderr_has(&format!("[1] {a} left\n"));
    drop(second);
    server.stderr_has(&format!("[2] {b} left\n"));
    let said = format!("[1] {a} joined\n[2] {b} joined\n[1] {a} left\n[2] {b} left\n");
    server.stops("onetwo\nthree\n", &said);
}

#[test]
fn a_client_that_takes_nothing_while_another_waits_is_cut_off_as_slow() {
    let mut server = serve("-w 1 -v");
    let stuck = server.connect();
    server.stderr_has("[1] ");
    let waits = server.connect();
    server.stderr_has("[2] ");
    let text = vec![b'x'; 64 << 20];
    server.feed(text.clone());
    assert!(read_all(&waits) == text);
    server.stderr_has("left (slow; received 0, sent ");
    drop(stuck);
}

#[test]
fn a_sole_client_is_waited_for() {
    let mut server = serve("-w 200ms");
    let client = server.connect();
    server.stderr_has("joined");
    let text = vec![b'x'; 32 << 20];
    let began = Instant::now();
    server.feed(text.clone());
    until("it took nothing for long", || began.elapsed() > Duration::from_secs(1));
    server.rests();
    assert!(read_all(&client) == text);
}

// ---- once ----------------------------------------------------------------------------------

/// What is said of one client: nothing where a handler talks to it.
fn told(handler: &str, address: &str, peer: impl Display, how: &str) -> String {
    if handler.is_empty() {
        conversation(address, peer, how)
    } else {
        format!("listening on {address}\n")
    }
}

#[test]
fn once_serves_one_and_refuses_the_next() {
    for (handler, answer, heard) in [
        ("--echo", "x", ""),
        ("--discard", "", ""),
        ("--reply=r", "r", ""),
        ("", "from stdin", "x"),
    ] {
        let mut server = serve(format!("--once {handler}"));
        let (port, address) = (server.port(), server.address());
        let client = connect(port);
        until_refused(port);
        if handler.is_empty() {
            server.send("from stdin");
        }
        server.close();
        assert_eq!(ask(&client, b"x"), answer.as_bytes());
        let said = told(handler, &address, client.local_addr().unwrap(), "");
        server.finish().is(0, heard, &said);
    }
}

#[test]
fn once_ends_with_7_where_its_client_resets() {
    for handler in ["--echo", "--discard", ""] {
        let server = serve(format!("--once {handler}"));
        let address = server.address();
        let client = server.connect();
        let peer = client.local_addr().unwrap();
        let port = server.port();
        until_refused(port);
        reset(client);
        let said = told(handler, &address, peer, " (reset)");
        server.finish().is(7, "", format!("{said}sockctl: connection from {peer}: {RESET}\n"));
    }
}

#[test]
fn once_ends_with_4_where_its_client_is_silent() {
    for handler in ["--echo", ""] {
        let server = serve(format!("--once -i 300ms {handler}"));
        let address = server.address();
        let client = server.connect();
        assert_eq!(read_to_reset(&client), b"");
        let peer = client.local_addr().unwrap();
        let said = told(handler, &address, peer, " (idle)");
        let why = "idle timeout: no data for 300ms (-i)";
        server.finish().is(4, "", format!("{said}sockctl: connection from {peer}: {why}\n"));
    }
}

#[test]
fn once_ends_with_0_if_it_is_stopped_before_a_client_comes() {
    serve("--once").stops("", "");
    serve("--once --echo").stops("", "");
}

// ---- limits --------------------------------------------------------------------------------

#[test]
fn row_34_silence_ends_a_connection_and_bytes_keep_it() {
    let mut server = serve("-i 1s --json");
    let (silent, told) = (server.connect(), server.connect());
    let began = Instant::now();
    let id = |stream: &TcpStream| stream.local_addr().unwrap().to_string();
    server.stderr_has(&id(&told));
    for _ in 0..4 {
        (&told).write_all(b".").unwrap();
        assert!(read_within(&told, Duration::from_millis(400)).is_none());
    }
    assert_eq!(read_to_reset(&silent), b"");
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(read_to_reset(&told), b"");
    let said = server.stderr_has("\"reason\":\"idle\"");
    let closed = said.lines().find(|line| line.contains("closed")).unwrap();
    assert!(closed.contains(&id(&silent)), "the silent one first: {said}");
    server.close();
}

/// What one read brings, if anything comes in this time.
fn read_within(mut stream: &TcpStream, time: Duration) -> Option<usize> {
    stream.set_read_timeout(Some(time)).unwrap();
    let result = stream.read(&mut [0; 100]).ok();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    result
}

#[test]
fn the_deadline_ends_the_server_with_4() {
    let began = Instant::now();
    let server = serve("--echo --deadline 700ms -v");
    let (client, address) = (server.connect(), server.address());
    let peer = client.local_addr().unwrap();
    assert_eq!(read_to_reset(&client), b"");
    assert!(began.elapsed() >= Duration::from_millis(700));
    let said = format!(
        "listening on {address}\n[1] {peer} accepted on {address}\n\
         [1] {peer} closed (shutdown; received 0, sent 0 bytes in 0.… s)\n\
         sockctl: serve on {address}: the deadline has passed\n"
    );
    server.finish().is(4, "", said);
}

// ---- stopping ------------------------------------------------------------------------------

#[test]
fn grace_is_how_long_a_client_that_takes_nothing_keeps_a_stopping_server() {
    let folder = Folder::new();
    let file = folder.file("text", vec![0; 32 << 20]);
    for (grace, least) in [("1s", Duration::from_secs(1)), ("0", Duration::ZERO)] {
        let server = serve(format!("--reply @{file} --grace {grace}"));
        let client = server.connect();
        take(&client, 1);
        let began = Instant::now();
        server.stops("", "");
        assert!(began.elapsed() >= least);
        assert!(began.elapsed() < least + Duration::from_secs(4));
        drop(client);
    }
}

#[test]
fn each_signal_stops_it_also_while_stdout_is_not_read() {
    for signal in ["INT", "TERM"] {
        let folder = Folder::new();
        let _unread = folder.fifo("out");
        let line = r#"exec "$0" serve 0 --grace 500ms > "$1""#;
        let server = shell(line, [folder.at("out")]).start();
        let client = server.connect();
        client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut client = client;
        let flood = vec![b'x'; 65536];
        while client.write(&flood).is_ok() {}
        server.rests();
        server.signal(signal);
        assert_eq!(server.finish().code, 0, "{signal}");
    }
}

// ---- sockets -------------------------------------------------------------------------------

#[test]
fn row_14_a_port_is_shared_between_servers_that_both_ask_for_it() {
    let server = serve("--reply=a --reuse-port");
    let address = server.address();
    sockctl(format!("serve {address}")).run().fails(10, format!("listen on {address}: {IN_USE}"));
    let other = sockctl(format!("serve {address} --reply=b --reuse-port")).start();
    assert_eq!(other.address(), address);
    let mut answers = std::collections::BTreeSet::new();
    until("both are reached", || {
        answers.insert(read_all(&server.connect()));
        answers.len() == 2
    });
}

#[test]
fn minus_6_listens_on_the_other_loopback_only() {
    let server = sockctl("serve -6 0 --echo").start();
    let port = server.port();
    assert_eq!(server.address(), format!("[::1]:{port}"));
    assert_eq!(ask(&TcpStream::connect(("::1", port)).unwrap(), b"6"), b"6");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_unix_path_serves_and_is_removed_at_the_end() {
    for signal in ["TERM", "INT"] {
        let folder = Folder::new();
        let address = format!("unix:{}", folder.text("s"));
        let server = sockctl(format!("serve {address} --echo")).start();
        assert_eq!(server.address(), address);
        let client = UnixStream::connect(folder.at("s")).unwrap();
        echoes(&client, b"x");
        // A live one is not touched.
        let other = sockctl(format!("serve {address} --echo")).run();
        other.fails(10, format!("listen on {address}: another server listens there: {IN_USE}"));
        assert_eq!(folder.count(), 1);
        server.signal(signal);
        server.finish().is(0, "", format!("listening on {address}\n"));
        assert_eq!(folder.count(), 0, "{signal}");
    }
}

#[test]
fn an_abstract_name_serves() {
    let name = format!("sockctl-test-{}", std::process::id());
    let server = sockctl(format!("serve unix:@{name} --echo --once")).start();
    assert_eq!(server.address(), format!("unix:@{name}"));
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    assert_eq!(ask(&UnixStream::connect_addr(&address).unwrap(), "x"), b"x");
    server.finish().is(0, "", format!("listening on unix:@{name}\n"));
}

#[test]
fn a_unix_client_that_closes_while_stdin_is_open_is_let_go_in_good_order() {
    let folder = Folder::new();
    let address = format!("unix:{}", folder.text("s"));
    let server = sockctl(format!("serve {address}")).start();
    server.address();
    UnixStream::connect(folder.at("s")).unwrap().write_all(b"x").unwrap();
    server.stderr_has(&format!("[1] {address} left\n"));
    server.rests();
    server.stops("x", &format!("[1] {address} joined\n[1] {address} left\n"));
}

// ---- ready ---------------------------------------------------------------------------------

#[test]
fn the_service_manager_is_told_once_it_listens() {
    let folder = Folder::new();
    let path = folder.at("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let server = sockctl("serve 0 --echo").env("NOTIFY_SOCKET", &path).start();
    assert_eq!(datagram(&manager), b"READY=1");
    assert_eq!(ask(&server.connect(), b"x"), b"x");
}

// ---- talk ----------------------------------------------------------------------------------

#[test]
fn json_tells_listening_accepted_and_closed_with_every_field() {
    let server = serve("--echo --json --once");
    let client = server.connect();
    let peer = client.local_addr().unwrap().to_string();
    let local = client.peer_addr().unwrap().to_string();
    assert_eq!(ask(&client, b"hello"), b"hello");
    let said = server.finish().gives(0, "");
    let mut events = events(&said);
    let seconds = events[2].as_object_mut().unwrap().remove("seconds").unwrap();
    assert!(seconds.as_f64().unwrap() >= 0.0);
    let wanted = serde_json::json!([
        {"event": "listening", "local": local},
        {"event": "accepted", "id": 1, "peer": peer, "local": local},
        {"event": "closed", "id": 1, "peer": peer, "received": 5, "sent": 5, "reason": "eof"},
    ]);
    assert_eq!(serde_json::Value::from(events), wanted);
}

#[test]
fn the_trace_tells_a_whole_connection() {
    let server = sockctl("serve --trace 0 --echo --once").start();
    let (address, client) = (server.address(), server.connect());
    let peer = client.local_addr().unwrap();
    assert_eq!(ask(&client, b"hello"), b"hello");
    let said = server.finish();
    let fd = |before: &str| {
        let rest = said.stderr.split(before).nth(1).unwrap();
        rest.split_whitespace().next().unwrap().to_owned()
    };
    let (listener, accepted) = (fd("SOCK_STREAM) -> fd "), fd("accept() -> fd "));
    // The client's end may come with its bytes or after.
    let wanted = format!(
        "socket(AF_INET, SOCK_STREAM) -> fd {listener}\n\
         setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)\n\
         setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)\n\
         setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)\n\
         bind(127.0.0.1:0)\n\
         getsockname() -> {address}\n\
         listen(4096)\n\
         listening on {address}\n\
         accept() -> fd {accepted} from {peer}\n\
         close(fd {listener})\n\
         recv(262144) -> 5\n\
         sendall(5)\n\
         recv(262144) -> 0\n\
         shutdown(SHUT_WR)\n\
         close(fd {accepted})\n"
    );
    said.is(0, "", &wanted);
}

#[test]
fn the_dump_shows_both_directions() {
    let folder = Folder::new();
    let path = folder.text("dump");
    let server = serve(format!("--echo --once --hex {path}"));
    assert_eq!(ask(&server.connect(), b"hello"), b"hello");
    assert_eq!(server.finish().code, 0);
    let dump = std::fs::read_to_string(path).unwrap();
    let shown = "00000000  68 65 6c 6c 6f           |hello|";
    assert!(is_like(&format!("[1] < 0.… {shown}\n[1] > 0.… {shown}\n"), &dump), "{dump}");
}
