//! `connect --check` of several ADDRESSes: all, any or none of them open, waited for, tried again and
//! again, and a program executed in our place.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::FILTERED;
use crate::run::{
    BINARY, Finished, Folder, free_port, is_like, listen, listener, listening, python, refused,
    shell, sockctl,
};

/// `connect -z` beside a port of 127.0.0.1 that gives no answer, the `PORT` in these words.
fn beside_a_silent_port(words: &str) -> Finished {
    python(FILTERED, ["127.0.0.1", "0", BINARY, "connect", "-z"]).args(words).run()
}

#[test]
fn several_addresses_of_any_form_are_reported_in_the_order_written() {
    let folder = Folder::new();
    let (_listener, open) = listener();
    let port = open.rsplit(':').next().unwrap();
    let path = format!("unix:{}", folder.text("s"));
    let _unix = UnixListener::bind(folder.at("s")).unwrap();
    let words = format!("{open} {path} {port},1 tcp://localhost:{port} unix:{path}x");
    sockctl(format!("connect -z {words}")).run().is(
        3,
        format!(
            "{open} open\n{path} open\n{open} open\n127.0.0.1:1 ECONNREFUSED (111)\n\
             localhost:{port} open\nunix:{path}x ENOENT (2)\n"
        ),
        "",
    );
    sockctl(format!("connect -z {path} {open} {port}")).run().is(
        0,
        format!("{path} open\n{open} open\n{open} open\n"),
        "",
    );
    sockctl(format!("connect -qz {path} 1 {open}")).run().is(
        3,
        "127.0.0.1:1 ECONNREFUSED (111)\n",
        "",
    );
    // Ranges of different ADDRESSes are different ranges.
    sockctl(format!("connect -z {port}-{port} 127.0.0.77:1-2")).run().is(
        3,
        format!("{open} open\n"),
        "127.0.0.77:1-2: 0 of 2 open\n",
    );
}

#[test]
fn what_says_nothing_together_is_refused() {
    let write = "write each of several addresses as HOST:PORT";
    let extra = |word| format!("unexpected word '{word}' after HOST PORT; {write}");
    refused(&[
        ("connect -z db 5432 cache 6379", &extra("cache")),
        ("connect -z ::1 80 x:1", &extra("x:1")),
        ("connect -z db:5432 cache", "address 'cache': a port is missing; write cache:PORT"),
        ("connect -z db:5432 cache 6379", "address 'cache': a port is missing; write cache:PORT"),
        (
            "connect -z 1 127.0.0.1:80-22",
            "port range '80-22': the lower end comes first; write 22-80",
        ),
        ("connect --any 1", "--any needs -z, which checks addresses"),
        ("connect --closed 1", "--closed needs -z, which checks addresses"),
        ("connect --count 2 1", "--count repeats steps (--send, --expect, …) or, with -z, checks"),
        ("connect -z 1 --interval 2", "--count is missing"),
        ("connect -z 1 --count 0", "--count '0': expected a whole number from 1 on"),
        ("connect -z 1-3 --count 2", "--count tries single ports: 22,80, not a range"),
        (
            "connect -z 1 --count 2 --wait 1",
            "--wait cannot be used with --count: --count N tries N times, open or not",
        ),
        (
            "connect -z 1 --count 2 -- true",
            "--count cannot be used with a program behind --, which waits for one success",
        ),
        (
            "connect -z 1 --closed --proxy socks5://h:1",
            "--closed cannot be used with --proxy, which does not say whether a port is closed",
        ),
    ]);
    sockctl("connect -z --any --count 2 1").run().refuses("--any cannot be used with --count");
}

#[test]
fn one_that_is_silent_holds_up_no_other() {
    let began = Instant::now();
    let (_listener, open) = listener();
    let any = beside_a_silent_port(&format!("--any PORT 1 {open} -w 60"));
    let wanted =
        format!("127.0.0.1:… EINPROGRESS (115)\n127.0.0.1:1 ECONNREFUSED (111)\n{open} open\n");
    let (code, text) = (any.code, any.text());
    assert!(code == 0 && is_like(&wanted, &text), "{text}");
    // It is waited for all the same where all must be open, and once for all of them.
    let all = beside_a_silent_port(&format!("PORT {open} PORT localhost:PORT -w 0.5"));
    assert_eq!(all.code, 4);
    let timed_out = "127.0.0.1:… ETIMEDOUT (110)\n";
    let wanted = format!("{timed_out}{open} open\n{timed_out}localhost:… ETIMEDOUT (110)\n");
    assert!(is_like(&wanted, &all.text()));
    // The others become open meanwhile.
    let wait = "--any PORT 127.0.0.1:1 --wait 60s -w 30s";
    let port = free_port();
    let waiting = python(FILTERED, ["127.0.0.1", "0", BINARY, "connect", "-z"])
        .args(format!("{wait} {port}"))
        .start();
    let _listener = listen(port);
    assert_eq!(waiting.finish().code, 0);
    assert!(began.elapsed() < Duration::from_secs(25), "one was waited for");
}

/// Listens on `argv[1]` once its stdin says so, and closes what it accepts, as docker-proxy does while
/// the service behind it has not started.
const ACCEPTOR: &str = r"
import socket, sys
input()
server = socket.create_server(('127.0.0.1', int(sys.argv[1])))
while True: server.accept()[0].close()
";

#[test]
fn all_are_waited_for_under_one_deadline() {
    let folder = Folder::new();
    let (first, second) = (free_port(), free_port());
    let path = folder.text("s");
    let mut servers = [first, second].map(|port| python(ACCEPTOR, [port.to_string()]).start());
    let mut waiting = sockctl(format!(
        "connect -z 127.0.0.1:{first},{second} unix:{path} {second} --wait 60s -v"
    ))
    .start();
    waiting.stderr_has(&format!(
        "waiting up to 60s for 127.0.0.1:{first}: ECONNREFUSED, 127.0.0.1:{second}: ECONNREFUSED, \
         unix:{path}: ENOENT, 127.0.0.1:{second}: ECONNREFUSED\n"
    ));
    servers[1].send("\n");
    waiting.stderr_has(&format!(
        "waiting up to 60s for 127.0.0.1:{first}: ECONNREFUSED, unix:{path}: ENOENT\n"
    ));
    servers[0].send("\n");
    waiting.stdout_has(&format!("127.0.0.1:{first} open\n127.0.0.1:{second} open\n"));
    assert!(waiting.is_running());
    let _unix = UnixListener::bind(&path).unwrap();
    let done = waiting.finish();
    assert_eq!(done.code, 0);
    assert_eq!(
        done.text(),
        format!(
            "127.0.0.1:{first} open\n127.0.0.1:{second} open\nunix:{path} open\n\
             127.0.0.1:{second} open\n"
        )
    );

    let (_listener, open) = listener();
    let run_out = sockctl(format!("connect -z 1 {open} nosuch.invalid:80 --wait 300ms")).run();
    let wanted =
        format!("127.0.0.1:1 ECONNREFUSED (111)\n{open} open\nnosuch.invalid:80 EAI_NONAME (-2)\n");
    run_out.is(4, wanted, "");
    sockctl("connect -z --any 1 2 --wait 0").run().is(
        4,
        "127.0.0.1:1 ECONNREFUSED (111)\n127.0.0.1:2 ECONNREFUSED (111)\n",
        "",
    );
}

#[test]
fn what_cannot_pass_is_not_waited_for() {
    // ENOTDIR: no socket will ever be there.
    let (_listener, open) = listener();
    let both = "127.0.0.1:1 ECONNREFUSED (111)\nunix:/dev/null/s ENOTDIR (20)\n";
    sockctl("connect -z 1 unix:/dev/null/s --wait 1h").run().is(1, both, "");
    let any = sockctl(format!("connect -z --any unix:/dev/null/s {open} --wait 1h")).run();
    any.is(0, format!("unix:/dev/null/s ENOTDIR (20)\n{open} open\n"), "");
    let none = "unix:/dev/null/s ENOTDIR (20)\n".repeat(2);
    sockctl("connect -z --any unix:/dev/null/s unix:/dev/null/s --wait 1h").run().is(1, none, "");
}

#[test]
fn closed_means_that_nobody_listens_any_more() {
    let (server, open) = listener();
    let port = server.local_addr().unwrap().port();
    let closed = |words: &str| sockctl(format!("connect -z --closed {words}")).run();
    let gone = "127.0.0.1:1 ECONNREFUSED (111)\nunix:/nosuch ENOENT (2)\n";
    closed("1 unix:/nosuch").is(0, gone, "");
    closed(&format!("1 {open}")).is(
        8,
        format!("127.0.0.1:1 ECONNREFUSED (111)\n{open} open\n"),
        "",
    );
    closed(&format!("{open} --wait 0.3")).is(4, format!("{open} open\n"), "");
    closed(&format!("--any {open} 1")).is(
        0,
        format!("{open} open\n127.0.0.1:1 ECONNREFUSED (111)\n"),
        "",
    );
    // Of a range all ports.
    closed("127.0.0.77:1-3").is(0, "", "");
    closed(&format!("127.0.0.1:{port}-{port}")).is(8, format!("{open} open\n"), "");
    // No answer (a busy server, a packet filter) and no name say nothing about a listener.
    closed("nosuch.invalid:80").is(6, "nosuch.invalid:80 EAI_NONAME (-2)\n", "");
    assert_eq!(beside_a_silent_port("--closed PORT -w 0.3").code, 4);

    let words = format!("connect -z --closed {open} 1 --wait 60s -v");
    let waiting = sockctl(words).start();
    waiting.stderr_has(&format!("waiting up to 60s for {open}: still open\n"));
    drop(server);
    let done = waiting.finish();
    let lines = format!("{open} ECONNREFUSED (111)\n127.0.0.1:1 ECONNREFUSED (111)\n");
    assert_eq!((done.code, done.text()), (0, lines));
}

/// `connect -z` of these words in a shell that has set this up before, and the same program without
/// it: both must print the same.
#[track_caller]
fn is_as_if_started_directly(setup: &str, program: &str) {
    let (_listener, open) = listener();
    let direct = shell(&format!("{setup}\nexec {program}"), "").run();
    let line = format!("{setup}\nexec \"$0\" connect -qz {open} -- {program}");
    let ours = shell(&line, "").run();
    ours.is(0, &direct.stdout, &direct.stderr);
    assert!(!direct.stdout.is_empty(), "{program} printed nothing");
}

#[test]
fn a_program_takes_our_place() {
    let (_listener, open) = listener();
    // The same process.
    let pid = sockctl(format!("connect -z {open} -- sh -c 'echo $$; read line; echo $line'"));
    let mut running = pid.start();
    let id = running.id();
    running.stdout_has(&format!("{id}\n"));
    running.send("and stdin\n");
    running.finish().is(0, format!("{id}\nand stdin\n"), format!("{open} open\n"));
    // Its status and the signal that ends it.
    let status = |program: &str| sockctl(format!("connect -qz {open} -- {program}")).run().code;
    assert_eq!(status("sh -c 'exit 7'"), 7);
    assert_eq!(status("sh -c 'kill -KILL $$'"), 1009);

    // Descriptors; the one beyond 2 is that of the folder.
    let show = "python3 -c 'import os; print(sorted(os.listdir(\"/proc/self/fd\")))'";
    let line = format!("exec 7</dev/null; exec \"$0\" connect -qz {open} -- {show}");
    shell(&line, "").run().is(0, "['0', '1', '2', '3']\n", "");
    let closed = "[ -e /proc/self/fd/0 ] && echo open || echo closed";
    is_as_if_started_directly("exec <&-", &format!("sh -c '{closed}'"));
    // Signals, the modes of the streams, and limits.
    for setup in ["", "trap '' INT PIPE USR1", "trap '' HUP TERM XFSZ"] {
        is_as_if_started_directly(
            setup,
            "grep -E '^(Sig(Ign|Blk|Cgt)|Shd|Threads)' /proc/self/status",
        );
    }
    is_as_if_started_directly("", "cat /proc/self/limits");
    let flags =
        "python3 -c 'import fcntl; print([fcntl.fcntl(n, fcntl.F_GETFL) for n in (0, 1, 2)])'";
    is_as_if_started_directly("", flags);
    // The environment, a service manager's among it, but for secrets and descriptors.
    is_as_if_started_directly(
        "export NOTIFY_SOCKET=/x WATCHDOG_USEC=1 TCPREMOTEIP=::1 PROTO=TCP A='b c'",
        "env",
    );
    let hidden = sockctl(format!("connect -qz {open} -- env"))
        .env("SOCKCTL_KEY", "secret")
        .env("LISTEN_FDS", "1")
        .run()
        .text();
    assert!(!hidden.contains("SOCKCTL_") && !hidden.contains("LISTEN_"), "{hidden}");
}

#[test]
fn a_program_is_executed_only_if_the_check_has_succeeded() {
    let (_listener, open) = listener();
    let refused = "127.0.0.1:1 ECONNREFUSED (111)\n";
    let said = format!("{open} open\n{refused}");
    sockctl(format!("connect -z {open} 1 -- echo no")).run().is(3, "", said);
    sockctl(format!("connect -qz {open} 1 -- echo no")).run().is(3, "", refused);
    sockctl("connect -z 1-3 -- echo no").run().is(3, "", "127.0.0.1:1-3: 0 of 3 open\n");
    let any = format!("connect -z --any 1 {open} --wait 1h -- echo yes");
    sockctl(any).run().is(0, "yes\n", format!("{refused}{open} open\n"));
    sockctl("connect -z --closed 1 -- echo yes").run().is(0, "yes\n", refused);
    let json = sockctl(format!("connect -z {open} --json -- echo yes")).run().gives(0, "yes\n");
    assert!(json.starts_with(r#"{"event":"check","address":"#), "{json}");

    let missing = "no such file or directory (ENOENT 2); looked for on PATH";
    sockctl("connect -z 1 --wait 1h -- nosuchprogram")
        .run()
        .fails(2, format!("run 'nosuchprogram': {missing}"));
    let folder = Folder::new();
    let bad = folder.file("bad", "no program\n");
    fs::set_permissions(&bad, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    sockctl(["connect", "-qz", &open, "--", &bad])
        .run()
        .fails(1, format!("run '{bad}': exec format error (ENOEXEC 8)"));
}

#[test]
fn a_signal_ends_the_wait_and_no_program_is_started() {
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let waiting = sockctl("connect -z 1 --wait 1h -v -- echo no").start();
        waiting.stderr_has("waiting up to");
        waiting.signal(name);
        waiting.finish().gives(code, "");
    }
}

#[test]
fn a_program_starts_once_its_real_server_answers() {
    let folder = Folder::new();
    let server = "
import http.server, socketserver
server = socketserver.TCPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
import sys
print('listening on 127.0.0.1:%d' % server.server_address[1], file=sys.stderr)
server.serve_forever()";
    fs::write(folder.at("page"), "it is there").unwrap();
    let server = python(server, "").within(&folder).start();
    let at = server.address();
    let get =
        "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())";
    sockctl(["connect", "-z", &at, "--wait", "30s", "--", "python3", "-c", get])
        .arg(format!("http://{at}/page"))
        .run()
        .is(0, "it is there\n", format!("{at} open\n"));
}

/// The lines of `--count`, their times replaced by `T`.
fn untimed(text: &str) -> String {
    let is_time = |word: &str| {
        word.contains('.') && word.bytes().all(|b| b.is_ascii_digit() || b"./".contains(&b))
    };
    let line = |line: &str| {
        let words = line.split(' ').map(|word| if is_time(word) { "T" } else { word });
        words.collect::<Vec<_>>().join(" ") + "\n"
    };
    text.lines().map(line).collect()
}

#[test]
fn count_is_a_tcp_ping() {
    let (_listener, open) = listener();
    let ping = |words: &str| {
        let done = sockctl(format!("connect -z --interval 10ms {words}")).run();
        assert_eq!(done.stderr, "", "{words}");
        (done.code, untimed(&done.text()))
    };
    let times = "min/avg/p50/p99/max T ms";
    let wanted = format!("{open} open T ms\n").repeat(3);
    assert_eq!(
        ping(&format!("{open} --count 3")),
        (0, format!("{wanted}{open}: 3 tries, 0 failures, {times}\n"))
    );
    let wanted = "127.0.0.1:1 ECONNREFUSED (111) T ms\n".repeat(2);
    assert_eq!(ping("1 --count 2"), (3, format!("{wanted}127.0.0.1:1: 2 tries, 2 failures\n")));
    // Several: a summary each.
    let port = open.rsplit(':').next().unwrap();
    let (code, text) = ping(&format!("1,{port} unix:/nosuch --count 1"));
    assert_eq!(code, 3);
    let summaries = format!(
        "127.0.0.1:1: 1 try, 1 failure\n{open}: 1 try, 0 failures, {times}\n\
         unix:/nosuch: 1 try, 1 failure\n"
    );
    assert!(text.ends_with(&summaries) && text.lines().count() == 6, "{text}");

    assert_eq!(
        ping(&format!("-q {open} --count 2")),
        (0, format!("{open}: 2 tries, 0 failures, {times}\n"))
    );

    let began = Instant::now();
    let done = sockctl(format!("connect -z {open} --count 3 --interval 150ms --json")).run();
    assert!(began.elapsed() >= Duration::from_millis(300));
    let objects: Vec<Value> =
        done.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 4);
    for object in &objects[..3] {
        let ms = object["ms"].as_f64().unwrap();
        assert!((0.0..10_000.0).contains(&ms));
        let wanted =
            json!({"event": "check", "address": open, "state": "open", "result": 0, "ms": ms});
        assert_eq!(*object, wanted);
    }
    let summary = &objects[3];
    assert_eq!(
        (&summary["event"], &summary["tries"], &summary["failures"]),
        (&json!("summary"), &json!(3), &json!(0))
    );
    for key in ["min", "avg", "p50", "p90", "p99", "max"] {
        assert!(summary["ms"][key].as_f64().unwrap() > 0.0, "{key}");
    }
}

#[test]
fn a_ping_sees_a_server_go() {
    let (server, at) = listening(
        "import socket, sys
server = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % server.getsockname()[1], file=sys.stderr)
while True: server.accept()[0].close()",
        "",
    );
    let ping = sockctl(format!("connect -z {at} --count 1000000 --interval 5ms")).start();
    ping.stdout_has(&format!("{at} open"));
    drop(server);
    ping.stdout_has(&format!("{at} ECONNREFUSED (111)"));
    // What was until now is summed up.
    ping.signal("INT");
    let done = ping.finish();
    let text = untimed(&done.stdout.iter().map(|b| char::from(*b)).collect::<String>());
    let summary = text.lines().last().unwrap();
    assert!(summary.contains(" failure") && summary.ends_with("max T ms"), "{summary}");
    assert_eq!((done.code, done.stderr.as_str()), (130, ""));
}

#[test]
fn a_ping_ends_by_a_signal_its_deadline_or_its_reader() {
    let (_listener, open) = listener();
    let ping = format!("connect -z {open} --count 100");
    let running = sockctl(&ping).start();
    running.stdout_has("\n");
    running.signal("TERM");
    let done = running.finish();
    assert_eq!(done.code, 143);
    let wanted = format!("{open} open T ms\n{open}: 1 try, 0 failures, min/avg/p50/p99/max T ms\n");
    assert_eq!(untimed(&done.text()), wanted);
    let done = sockctl(format!("{ping} --deadline 0.3")).run();
    assert_eq!(done.code, 4);
    assert_eq!(untimed(&done.text()), wanted);
    let line = "{ \"$0\" $1 --interval 1ms; echo $? >&2; } | head -n 1";
    let said = shell(&line.replace("$1", &ping), "").run();
    assert_eq!((said.stderr.as_str(), said.stdout.ends_with(b" ms\n")), ("141\n", true));
    let full = format!("exec \"$0\" {ping} >/dev/full");
    shell(&full, "").run().fails(12, "write stdout: no space left on device (ENOSPC 28)");
}
