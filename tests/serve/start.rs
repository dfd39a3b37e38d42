//! The start of a server: one on a path, all that it needs before it says that it listens, a port
//! file that is this run's (rows 90, 98, 120).

use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use crate::run::{
    Folder, IN_USE, Program, Running, apart, ask, injected, port_in, read_all, shell, sockctl,
    until,
};

/// Two servers started at once: one listens, the other says why it does not, with 10.
#[track_caller]
fn one_of(two: [Program; 2], address: &str) {
    let mut two = two.map(Program::start);
    let mut ended = None;
    until("one of them has ended", || {
        ended = two.iter_mut().position(|server| !server.is_running());
        ended.is_some()
    });
    let [one, other] = two;
    let (ended, lives): (Running, Running) =
        if ended == Some(0) { (one, other) } else { (other, one) };
    ended
        .finish()
        .fails(10, format!("listen on {address}: another server listens there: {IN_USE}"));
    assert_eq!(lives.address(), address);
}

/// What is there before: nothing, or what servers that were killed have left.
fn stale(folder: &Folder, kind: &str) {
    match kind {
        "stream" => drop(UnixListener::bind(folder.at("s")).unwrap()),
        "datagram" => drop(UnixDatagram::bind(folder.at("s")).unwrap()),
        _ => {}
    }
}

#[test]
fn row_90_of_two_servers_at_once_one_listens() {
    for (command, kind) in
        [("serve", "none"), ("serve", "stream"), ("udp-serve", "none"), ("udp-serve", "datagram")]
    {
        for _ in 0..5 {
            let folder = Folder::new();
            stale(&folder, kind);
            let address = format!("unix:{}", folder.text("s"));
            let server = || sockctl(format!("{command} {address} --echo"));
            one_of([server(), server()], &address);
        }
    }
}

#[test]
fn row_90_a_folder_that_another_program_keeps_locked_is_served_in() {
    let folder = Folder::new();
    stale(&folder, "stream");
    let lock = std::fs::File::open(folder.path()).unwrap();
    lock.lock().unwrap();
    let server = sockctl(format!("serve unix:{} --reply hi", folder.text("s"))).start();
    server.address();
    assert_eq!(read_all(UnixStream::connect(folder.at("s")).unwrap()), b"hi");
}

#[test]
#[ignore = "needs strace"]
fn row_90_also_where_a_call_takes_a_second() {
    for (command, kind, call) in [
        ("serve", "stream", "listen"),
        ("serve", "none", "listen"),
        ("serve", "stream", "unlink,unlinkat"),
        ("udp-serve", "datagram", "unlink,unlinkat"),
        ("udp-serve", "datagram", "bind"),
    ] {
        let folder = Folder::new();
        stale(&folder, kind);
        let address = format!("unix:{}", folder.text("s"));
        let words = format!("{command} {address} --echo");
        let slow = || injected(&format!("{call}:delay_enter=1s"), &words);
        one_of([slow(), slow()], &address);
    }
}

#[test]
fn row_98_the_port_file_of_an_earlier_run_is_never_read() {
    for command in ["serve", "udp-serve"] {
        let folder = Folder::new();
        let file = folder.file("port", "1\n");
        // A link that others have planted is not followed.
        let other = folder.file("other", "kept");
        std::os::unix::fs::symlink(&other, folder.at("link")).unwrap();
        // A server that cannot start leaves none behind.
        let done = sockctl(format!("{command} 192.0.2.1:1 --echo --port-file {file}")).run();
        assert_eq!((done.code, Path::new(&file).exists()), (10, false));
        for name in ["port", "link"] {
            let words = format!("{command} 127.0.0.1:0 --echo --port-file {}", folder.text(name));
            let server = sockctl(words).start();
            let port = server.port();
            assert_eq!(port_in(folder.at(name)), port);
            server.signal("TERM");
            assert_eq!(server.finish().code, 0);
            assert!(!folder.at(name).exists(), "{command}: {name} is left");
        }
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "kept");
    }
}

#[test]
fn row_98_what_a_service_manager_says_is_not_a_programs() {
    let server = sockctl("serve 0 --sh env")
        .env("NOTIFY_SOCKET", "/nonexistent/notify")
        .env("WATCHDOG_USEC", "1")
        .env("LISTEN_ADDRESS", "its own")
        .start();
    let variables = String::from_utf8(ask(&server.connect(), "")).unwrap();
    assert!(variables.contains("LISTEN_ADDRESS=its own\n"), "{variables}");
    assert!(!variables.contains("NOTIFY_SOCKET") && !variables.contains("WATCHDOG"), "{variables}");
}

#[test]
fn row_120_descriptors_that_are_missing_are_an_error_before_it_listens() {
    for handler in ["", "--room", "--echo", "-- cat"] {
        for command in ["serve", "udp-serve"] {
            if command == "udp-serve" && handler == "--room" {
                continue;
            }
            let (mut is_served, mut failures) = (false, 0);
            for most in 4..40 {
                let line = format!(
                    r#"ulimit -n {most}; exec "$0" {command} 127.0.0.1:0 --deadline 50ms {handler}"#
                );
                let done = shell(&line, "").run();
                let said = done.stderr.contains("listening on");
                assert_eq!(done.code == 4, said, "{command} {handler} {most}: {}", done.stderr);
                failures += u32::from(!said);
                is_served |= said;
            }
            assert!(is_served && failures > 0, "{command} {handler}");
        }
    }
}

#[test]
#[ignore = "needs strace"]
fn row_120_a_thread_that_is_missing_is_an_error_before_it_listens() {
    for command in ["serve", "serve --room", "udp-serve", "udp-serve --echo"] {
        let words = format!("{command} 127.0.0.1:0 --deadline 1s");
        let done = injected("clone3,clone:error=EAGAIN", &words).run();
        let is_served = done.stderr.contains("listening on");
        assert_eq!(done.code, if is_served { 4 } else { 1 }, "{command}: {}", done.stderr);
    }
}

#[test]
#[ignore = "needs unshare, mount and root"]
fn row_120_a_missing_proc_is_told() {
    let folder = Folder::new();
    let line = r#"mkdir empty && mount --bind empty /proc && [ ! -e /proc/self ]
        "$0" opts --port 8520 || echo "status $?"
        "$0" opts --pid 1 || echo "status $?""#;
    let done = apart(line, "").within(&folder).run();
    let why = "no such file or directory (ENOENT 2)";
    let (one, other) = ("read /proc/net/tcp", "look into /proc");
    let said = format!("sockctl: {one}: {why}\nsockctl: {other}: {why}; is it mounted?\n");
    done.is(0, "status 1\nstatus 1\n", said);
}
