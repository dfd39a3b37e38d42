//! Programs that fail and clients that go cost other clients nothing, and a program inherits nothing
//! (rows 21, 48 and 65 to 71).

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use crate::run::{
    BINARY, Folder, ask, datagram, datagrams, is_alive, program, python, read_all, read_to_either,
    read_to_reset, reset, shell, sockctl, until,
};

/// The next line that a client gets, without its newline.
#[track_caller]
fn line(client: &TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while { client }.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

#[test]
fn row_05_program_words_need_not_be_utf_8() {
    let word = std::ffi::OsStr::from_bytes(b"h\xffllo");
    let server = sockctl("serve 0 -- printf %s").arg(word).start();
    assert_eq!(read_all(&server.connect()), b"h\xffllo");
}

#[test]
fn row_65_missing_or_not_executable_is_2_at_the_start() {
    let folder = Folder::new();
    let plain = folder.at("plain");
    fs::write(&plain, "").unwrap();
    let (plain, folder) = (plain.to_str().unwrap(), folder.path().to_str().unwrap());
    let none = "no such file or directory (ENOENT 2)";
    for (word, cause) in [
        ("./no/such", none.to_string()),
        ("no-such-program", format!("{none}; looked for on PATH")),
        ("", format!("{none}; looked for on PATH")),
        (plain, "permission denied (EACCES 13)".into()),
        (folder, "is a directory (EISDIR 21)".into()),
    ] {
        for command in ["serve", "udp-serve"] {
            let told = format!("sockctl: run '{word}': {cause}\n");
            sockctl([command, "0", "--", word]).run().is(2, "", &told);
        }
    }
}

#[test]
fn row_21_row_65_a_program_that_cannot_be_started_any_more_costs_its_client_only() {
    let folder = Folder::new();
    let program = folder.at("program");
    let write = |text: &str| {
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    };
    write("#!/bin/sh\necho here\n");
    let server = sockctl("serve 0 -v --").arg(&program).start();
    assert_eq!(read_all(&server.connect()), b"here\n");
    write("no program at all\n");
    assert_eq!(read_to_reset(&server.connect()), b"");
    server.stderr_has("exec format error (ENOEXEC 8)\n");
    fs::remove_file(&program).unwrap();
    assert_eq!(read_to_reset(&server.connect()), b"");
    server.stderr_has("no such file or directory (ENOENT 2)\n");
    write("#!/bin/sh\necho here again\n");
    assert_eq!(read_all(&server.connect()), b"here again\n");
}

#[test]
fn row_66_however_it_ends_the_client_gets_its_output_and_the_end() {
    for pumped in ["", "--hex /dev/null"] {
        for (command, status) in [
            ("true", "exit status 0"),
            ("echo out; exit 3", "exit status 3"),
            ("echo out; kill -SEGV $$", "killed by SIGSEGV"),
            ("echo out; kill -35 $$", "killed by SIGRTMIN+1"),
            ("head -c 1000000 /dev/zero; kill -KILL $$", "killed by SIGKILL"),
        ] {
            let server = sockctl("serve 0 -v").args(pumped).args(["--sh", command]).start();
            let (got, is_end) = read_to_either(server.connect());
            let wanted = match command {
                "true" => 0,
                _ if command.starts_with("echo") => 4,
                _ => 1_000_000,
            };
            assert_eq!((got.len(), is_end), (wanted, status.starts_with("exit")), "{command}");
            server.stderr_has(&format!(" ended: {status}\n"));
            server.stderr_has(if is_end { "closed (eof;" } else { "closed (error;" });
        }
    }
}

/// A handler that answers without reading, without Content-Length: the end is the end.
const ANSWER: &str = r"printf 'HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello\n'";

#[test]
fn row_67_a_reply_is_never_lost_to_a_reset() {
    for pumped in ["", "--hex /dev/null"] {
        let server = sockctl("serve 0").args(pumped).args(["--sh", ANSWER]).start();
        let request = format!("POST / HTTP/1.1\r\n\r\n{}", "body ".repeat(1000));
        let answered = (0..200)
            .filter(|_| {
                let mut client = server.connect();
                client.write_all(request.as_bytes()).unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).is_ok() && answer.ends_with("hello\n")
            })
            .count();
        assert_eq!(answered, 200);
    }
}

#[test]
#[ignore = "needs curl"]
fn row_67_curl_200_of_200() {
    let server = sockctl(["serve", "0", "--sh", ANSWER]).start();
    let url = format!("http://{server}/");
    for _ in 0..200 {
        program("curl", format!("-sS --data a=b {url}")).run().is(0, "hello\n", "");
    }
}

#[test]
fn row_68_a_half_close_is_the_programs_end_of_input() {
    for pumped in ["", "--hex /dev/null"] {
        let command = "cat; sleep 3; echo and after the end";
        let server = sockctl("serve 0 -v").args(pumped).args(["--sh", command]).start();
        assert_eq!(ask(&server.connect(), b"request\n"), b"request\nand after the end\n");
        server.stderr_has("ended: exit status 0\n");
    }
}

#[test]
fn row_69_a_reset_hangs_up_on_the_program() {
    for pumped in ["", "--hex /dev/null"] {
        for command in ["echo $$; exec sleep 1000", "echo $$; cat; exec sleep 1000"] {
            let server = sockctl("serve 0 -v").args(pumped).args(["--sh", command]).start();
            let client = server.connect();
            let id = line(&client);
            reset(client);
            server.stderr_has(&format!("process {id} ended: killed by SIGHUP\n"));
            until("the program has ended", || !is_alive(&id));
            server.stderr_has("closed (");
        }
    }
}

#[test]
fn row_69_term_and_kill_follow_for_the_whole_group() {
    // The shell heeds HUP; what it started heeds nothing, from before it says who it is.
    let command = "sh -c 'trap \"\" HUP TERM; echo $$; while :; do sleep 1; done' & wait";
    let server = sockctl(["serve", "0", "-v", "--sh", command]).start();
    let client = server.connect();
    let id = line(&client);
    reset(client);
    server.stderr_has("killed by SIGHUP\n");
    assert!(is_alive(&id), "it was not given its time");
    until("what the program started has ended", || !is_alive(&id));
    // And one that heeds TERM only.
    let command = "trap '' HUP; trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    let server = sockctl(["serve", "0", "-v", "--sh", command]).start();
    let client = server.connect();
    assert_eq!(line(&client), "ready");
    reset(client);
    server.stderr_has("ended: exit status 7\n");
}

#[test]
fn row_69_a_stopped_program_hears_of_it() {
    let server = sockctl("serve 0 -v --sh 'echo $$; kill -STOP $$'").start();
    let client = server.connect();
    let id = line(&client);
    until("the program stops", || {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        stat.contains(") T ")
    });
    reset(client);
    server.stderr_has("ended: killed by SIGHUP\n");
}

#[test]
fn row_69_a_thousand_runs_leave_no_zombie() {
    let server = sockctl("serve 0 -m 64 --sh 'echo; exec sleep 1000'").start();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..250 {
                    let client = server.connect();
                    assert_eq!(line(&client), "");
                    reset(client);
                }
            });
        }
    });
    until("no child is left", || server.children() == 0);
}

#[test]
fn row_69_without_sigchld_from_the_parent_children_are_collected() {
    // Started with SIGCHLD ignored and blocked, as some parents leave it.
    let script = "import os, signal, sys\n\
                  signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n\
                  signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])\n\
                  os.execv(sys.argv[1], sys.argv[1:])";
    let server = python(script, [BINARY]).args("serve 0 -v --sh 'exit 3'").start();
    assert_eq!(read_all(&server.connect()), b"");
    server.stderr_has("ended: exit status 3\n");
    until("no child is left", || server.children() == 0);
}

#[test]
fn row_70_a_program_inherits_0_1_and_2_only() {
    let folder = Folder::new();
    let file = folder.at("file");
    fs::write(&file, "").unwrap();
    let show = "ls /proc/$$/fd; exit";
    let socket = datagrams();
    let line = r#"exec "$0" udp-serve 0 --sh "$1" 5<"$FILE" 7</tmp 9>&2"#;
    let server = shell(line, [show]).env("FILE", &file).start();
    socket.send_to(b"x", ("127.0.0.1", server.port())).unwrap();
    assert_eq!(datagram(&socket), b"0\n1\n2\n");
    for words in ["", "-x /dev/null"] {
        // Descriptors that our parent left open: a file, a directory, one far up.
        let line = format!(r#"exec "$0" serve 0 {words} --sh "$1" 5<"$FILE" 7</tmp 9>&2"#);
        let server = shell(&line, [show]).env("FILE", &file).start();
        let held: Vec<TcpStream> = (0..3).map(|_| server.connect()).collect();
        for client in held {
            let lines: Vec<String> = BufReader::new(client).lines().map(Result::unwrap).collect();
            assert_eq!(lines, ["0", "1", "2"], "{words:?}");
        }
    }
}

#[test]
fn row_71_arguments_arrive_unsplit() {
    let script = "import sys; print(sys.argv[1:])";
    let server = sockctl(["serve", "0", "--", "python3", "-c", script])
        .args(["two words", "it's", "\"", "$HOME", "*", "", "-v", "--"])
        .start();
    assert_eq!(
        String::from_utf8(read_all(&server.connect())).unwrap(),
        "['two words', \"it's\", '\"', '$HOME', '*', '', '-v', '--']\n"
    );
}

#[test]
fn row_71_nothing_a_peer_says_reaches_a_shell() {
    let server = sockctl(["serve", "0", "--sh", "read line; printf '%s' \"$line\""]).start();
    let mut client = server.connect();
    client.write_all(b"$(id); `id` & exit\n").unwrap();
    assert_eq!(read_all(&client), b"$(id); `id` & exit");
}
