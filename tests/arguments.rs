//! Wrong words on the command line: refused with status 2 and one line that names the value and
//! the accepted forms, before anything is opened.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::run::{Folder, IN_USE, NOT_THERE, refused, shell, sockctl};

const COMMANDS: [&str; 7] =
    ["serve", "connect", "udp-serve", "udp-send", "auth-serve", "auth-connect", "opts"];

const DURATIONS: &str = "a duration is 500ms, 1.5s, 2m, 1h, 14d or a bare number of seconds";

const PORTS: &str = "a port is a number 0–65535, or a service name behind a host";

#[test]
fn row_01_no_or_unknown_subcommand_is_refused() {
    let which = "serve, connect, udp-serve, udp-send, auth-serve, auth-connect, opts";
    refused(&[
        ("", &format!("which command? {which}")),
        ("frobnicate", "no command 'frobnicate'"),
        ("serv", "no command 'serv'; did you mean serve?"),
        ("connect --frob", "no option '--frob'"),
        // A long or wild word is shown cut and escaped.
        (&"x".repeat(100_000), &format!("no command '{}…'", "x".repeat(79))),
        ("a\n\x1b[31mb", r"no command 'a\n\x1b[31mb'"),
    ]);
}

#[test]
fn row_46_the_name_we_are_started_under_is_not_repeated() {
    use std::os::unix::process::CommandExt;
    let named = |words: &str| {
        sockctl(words).with(|command| _ = command.arg0("/tmp/\x1b]0;owned\x07\u{202e}")).run()
    };
    for words in ["--help", "connect --help", "connect", "--frob", "connect --frob"] {
        let (done, wanted) = (named(words), sockctl(words).run());
        done.is(wanted.code, &wanted.stdout, &wanted.stderr);
    }
}

fn help(command: &str) -> String {
    sockctl(format!("{command} --help")).run().output()
}

#[test]
fn row_01_help_and_version_go_to_stdout() {
    let version = concat!("sockctl ", env!("CARGO_PKG_VERSION"), "\n");
    sockctl("--version").run().is(0, version, "");
    sockctl("-V").run().is(0, version, "");
    for command in COMMANDS {
        let text = help(command);
        assert!(text.contains(&format!("Usage: sockctl {command}")), "{text}");
        assert!(text.contains("--trace"), "{command}");
    }
    let text = help("");
    assert!(COMMANDS.iter().all(|name| text.contains(name)), "{text}");
}

#[test]
fn row_01_help_into_a_reader_that_has_seen_enough() {
    for words in ["--help", "--version", "connect --help", "opts --help"] {
        let line = format!(r#"{{ "$0" {words}; echo "status $?" >&2; }} | head -n 1 >/dev/null"#);
        shell(&line, "").run().is(0, "", "status 0\n");
        let line = format!(r#"{{ "$0" {words}; echo "status $?" >&2; }} | exec true"#);
        shell(&line, "").run().is(0, "", "status 0\n");
    }
}

#[test]
fn row_02_a_port_that_is_none_names_the_value_and_the_range() {
    for port in
        ["65536", "-1", "0x50", "80abc", "+80", " 80", "8 0", "99999999999999999999", "८०", "80\n"]
    {
        let shown = port.replace('\n', r"\n");
        let message = format!("port '{shown}': {PORTS}");
        for command in ["connect", "serve", "udp-send", "udp-serve"] {
            let two = ["--trace", "localhost", port];
            // clap would take `-1` for an option: as one word it is no option.
            if !port.starts_with('-') {
                sockctl([command]).args(two).run().refuses(&message);
            }
            let one = format!("127.0.0.1:{port}");
            sockctl([command, "--trace", &one]).run().refuses(&message);
        }
    }
    for word in ["65536", "0x50", "80abc", "", "+80", " 80"] {
        sockctl(["connect", "--trace", word]).run().refuses(format!("port '{word}': {PORTS}"));
    }
    let empty = "the port is empty; write 127.0.0.1:PORT, a port is 0–65535";
    let missing = "a host is missing; write 127.0.0.1:80, or, to listen on every address of \
                   this machine, *:80";
    refused(&[
        ("connect --trace 127.0.0.1:", &format!("address '127.0.0.1:': {empty}")),
        ("connect :80", &format!("address ':80': {missing}")),
    ]);
}

#[test]
fn a_path_is_no_host() {
    for (path, fix) in [
        ("./app.sock", "unix:./app.sock"),
        ("/tmp/app.sock", "unix:/tmp/app.sock"),
        ("run/app.sock", "unix:run/app.sock"),
    ] {
        let why = format!("address '{path}': a path is written {fix}");
        for command in ["connect", "connect -z", "serve", "udp-send", "udp-serve"] {
            refused(&[(&format!("{command} {path}"), &why)]);
        }
    }
}

#[test]
fn a_number_below_zero_is_refused_with_what_is_expected() {
    let number =
        |flag: &str, value: &str| format!("--{flag} '{value}': expected a whole number from 1 on");
    refused(&[
        ("connect 1 --count -1", &number("count", "-1")),
        ("serve --per-ip -1", &number("per-ip", "-1")),
        ("serve -m -5", &number("max-conns", "-5")),
        ("connect 1 --max-bytes -1", "--max-bytes '-1': a size is 512, 64k, 1M or 2GiB"),
        (
            "connect 1 -w -1",
            "--timeout '-1': a duration is 500ms, 1.5s, 2m, 1h, 14d or a bare number of seconds",
        ),
    ]);
}

#[test]
fn row_02_a_list_of_ports_is_refused_whole() {
    let port = |wrong: &str| format!("port '{wrong}': {PORTS}");
    let zero = "port 0 is for listening only; to dial, write one of 1–65535";
    refused(&[
        ("connect -z --trace 127.0.0.1:22,,80", &port("")),
        ("connect -z --trace 127.0.0.1:80,", &port("")),
        ("connect -z --trace 127.0.0.1:1-", &port("1-")),
        ("connect -z --trace 127.0.0.1:-5", &port("-5")),
        ("connect -z --trace 127.0.0.1:22,65536", &port("65536")),
        (
            "connect -z 127.0.0.1:80-22",
            "port range '80-22': the lower end comes first; write 22-80",
        ),
        ("connect -z --trace 127.0.0.1:0-3", zero),
        ("connect -z --trace 127.0.0.1:22,0", zero),
        // A list is for --check.
        ("connect 127.0.0.1:22,80", &port("22,80")),
    ]);
}

#[test]
fn row_03_port_0_is_for_listening() {
    let zero = "port 0 is for listening only; to dial, write one of 1–65535";
    refused(&[
        ("connect --trace 127.0.0.1:0", zero),
        ("connect --trace 0", zero),
        ("connect --trace localhost 0", zero),
        ("connect --trace [::1]:0", zero),
        ("udp-send --trace 127.0.0.1:0 x", zero),
        ("connect *:80", "host * is for listening only; to dial this machine write 127.0.0.1"),
    ]);
}

#[test]
fn a_word_that_is_missing_is_named_as_it_is_written() {
    sockctl("udp-send").run().is(
        2,
        "",
        "sockctl: ADDRESS is missing\nusage: sockctl udp-send [OPTIONS] ADDRESS [TEXT]...\n",
    );
}

#[test]
fn row_04_two_handlers_are_refused_before_bind() {
    for command in ["serve", "auth-serve", "udp-serve"] {
        for (words, one, other) in [
            ("--echo --discard", "--echo", "--discard"),
            ("--echo --reply x", "--echo", "--reply"),
            ("--reply x --discard", "--reply", "--discard"),
            ("--sh cat --discard", "--sh", "--discard"),
            ("--reply x --sh cat", "--reply", "--sh"),
            ("--echo -- cat", "--echo", "PROGRAM"),
            ("--sh cat -- cat", "--sh", "PROGRAM"),
        ] {
            let done = sockctl(format!("{command} --trace 127.0.0.1:0 {words}")).run();
            done.refuses(format!("{one} cannot be used with {other}"));
        }
    }
}

#[test]
fn a_program_has_the_connection_to_itself() {
    let why = "the program has the connection to itself";
    for (words, one, other) in [
        ("--send x", "--send", "PROGRAM"),
        ("--expect x", "--expect", "PROGRAM"),
        ("--expect-eof", "--expect-eof", "PROGRAM"),
        ("--crlf", "--crlf", "PROGRAM"),
        ("--no-newline", "--no-newline", "PROGRAM"),
        ("--send-only", "--send-only", "PROGRAM"),
        ("--recv-only", "--recv-only", "PROGRAM"),
        ("--no-half-close", "--no-half-close", "PROGRAM"),
        ("--max-bytes 5", "--max-bytes", "PROGRAM"),
    ] {
        for command in ["connect", "auth-connect"] {
            let done = sockctl(format!("{command} 1 --trace {words} -- cat")).run();
            done.refuses(format!("{one} cannot be used with {other}; {why}"));
        }
    }
}

#[test]
fn row_05_a_host_that_is_not_utf_8_is_refused_and_a_file_is_not() {
    let forms = "an address is HOST:PORT, HOST PORT, [IPV6]:PORT, *:PORT, PORT, unix:PATH or \
                 unix:@NAME";
    for word in [&b"h\xff"[..], b"h\xff:80"] {
        let shown = word.escape_ascii();
        let words = ["connect".as_ref(), OsStr::from_bytes(word), "80".as_ref()];
        sockctl(words).run().refuses(format!("address '{shown}' is not UTF-8; {forms}"));
    }
    let folder = Folder::new();
    let file = folder.path().join(OsStr::from_bytes(b"port\xff"));
    let socket = folder.path().join(OsStr::from_bytes(b"socket\xff"));
    let mut address = std::ffi::OsString::from("unix:");
    address.push(&socket);
    let mut server = sockctl("serve --once --port-file").args([file.as_os_str(), &address]).start();
    assert!(server.address().ends_with(r"socket\xff"));
    let path = [socket.as_os_str().as_bytes(), b"\n"].concat();
    assert_eq!(fs::read(&file).unwrap(), path);
    sockctl(["connect".as_ref(), address.as_os_str()]).input("over it").run().is(0, "", "");
    server.close();
    assert_eq!(server.finish().stdout, b"over it");
}

#[test]
fn row_06_a_wild_host_is_escaped_and_cut_short() {
    let done = sockctl(["connect", &format!("{}:80", "a".repeat(100_000))]).run();
    done.refuses(format!("host '{}…': a host name has at most 253 bytes", "a".repeat(79)));
    let controls = "a host name has no blanks and no control characters";
    for (host, shown) in [
        ("a\nb", r"a\nb"),
        ("a\x1b[31m", r"a\x1b[31m"),
        ("a b", "a b"),
        ("a\u{202e}b", r"a\u{202e}b"),
    ] {
        let message = format!("host '{shown}': {controls}");
        sockctl(["connect", host, "80"]).run().refuses(&message);
        sockctl(["connect", &format!("{host}:80")]).run().refuses(&message);
    }
    // Other scripts are names like any other; the resolver has the last word.
    let name = sockctl("connect -n bücher.invalid 80").run();
    assert_eq!(name.code, 6, "{}", name.stderr);
}

#[test]
fn row_113_a_path_is_escaped_and_stays_one_line() {
    let path = "/nonexistent/\x1b[2Ja\nb\u{feff}\u{180e}\u{202e}";
    let shown = r"/nonexistent/\x1b[2Ja\nb\u{feff}\u{180e}\u{202e}";
    for words in [
        ["serve", "0", "--hex"],
        ["serve", "0", "--port-file"],
        ["udp-serve", "0", "--port-file"],
        ["serve", "0", "--"],
        ["auth-serve", "0", "--key-file"],
        ["auth-serve", "0", "--keys"],
    ] {
        for json in [false, true] {
            let program = if json { sockctl([words[0], "--json"]) } else { sockctl([words[0]]) };
            let done = program.args([words[1], words[2], path]).run();
            let message = done.gives(2, "");
            let line = message.strip_suffix('\n').unwrap();
            let acts = |c: char| c.is_control() || "\u{feff}\u{180e}\u{202e}".contains(c);
            assert!(line.contains("[2Ja") && !line.contains(acts), "{message:?}");
        }
    }
    let done = sockctl(["connect", &format!("unix:{path}")]).run();
    done.fails(1, format!("connect to unix:{shown}: no such file or directory (ENOENT 2)"));
}

#[test]
fn row_07_a_duration_that_is_none_names_the_accepted_forms() {
    for flag in ["--timeout", "--linger", "--idle-timeout", "--deadline"] {
        for value in ["-1", "NaN", "inf", "1e30", "5x", "", "1 s", "-0", "0x10", "5.", "1h2", "∞"]
        {
            let message = format!("{flag} '{value}': {DURATIONS}");
            let words = ["connect", "--trace", "127.0.0.1:1", flag, value];
            sockctl(words).run().refuses(&message);
        }
        let long = "99999999999999999999";
        let words = ["connect", "--trace", "127.0.0.1:1", flag, long];
        let done = sockctl(words).run();
        done.refuses(format!("{flag} '{long}': longer than 100 years; {DURATIONS}"));
    }
    let done = sockctl("serve --trace 127.0.0.1:0 --grace=-1").run();
    done.refuses(format!("--grace '-1': {DURATIONS}"));
    // The longest that is accepted overflows nothing.
    assert_eq!(sockctl("connect 127.0.0.1:1 -w 36500000 -i 876000h").run().code, 3);
}

#[test]
fn row_09_max_conns_is_a_count_that_allocates_nothing() {
    let message = "expected a whole number from 1 on";
    for value in ["0", "-1", "+5", "1.5", "x", ""] {
        let done = sockctl(format!("serve --trace 127.0.0.1:0 --max-conns={value}")).run();
        done.refuses(format!("--max-conns '{value}': {message}"));
    }
    let server = sockctl("serve 127.0.0.1:0 --echo --max-conns 999999999").start();
    server.address();
    let memory = server.vitals().memory;
    assert!(memory < 64 << 20, "{memory} bytes");
}

#[test]
fn row_10_an_unknown_option_names_the_nearest() {
    let unknown =
        "SO_RCVBFU: no such socket option; nearest: SO_RCVBUF, SO_RCVBUFFORCE, SO_RCVMARK";
    for command in ["serve", "connect", "udp-serve", "udp-send", "auth-serve", "auth-connect"] {
        let done = sockctl(format!("{command} --trace 127.0.0.1:1 -o SO_RCVBFU=1")).run();
        done.refuses(format!("--opt 'SO_RCVBFU=1': {unknown}"));
    }
    sockctl("opts SO_RCVBFU=1").run().fails(2, unknown);
    sockctl("opts TCP_NODELAY=x").run().fails(2, "TCP_NODELAY=x: expected 0 or 1 (off, on)");
    sockctl("opts SO_ERROR=1").run().fails(2, "SO_ERROR can only be read");
    let done = sockctl("connect 127.0.0.1:1 -o SO_RCVBUF=x").run();
    done.refuses("--opt 'SO_RCVBUF=x': SO_RCVBUF=x: expected a size: 512, 64k, 1M, 2GiB");
}

#[test]
fn sizes_and_durations_are_written_alike_in_flags_and_options() {
    for words in ["-o SO_RCVBUF=64kB", "--max-bytes 64kB", "-w .5"] {
        let refused = sockctl(format!("connect 127.0.0.1:1 {words}")).run();
        assert_eq!(refused.code, 3, "{words:?}: {}", refused.stderr);
    }
    let timeout = sockctl("opts SO_RCVTIMEO=.5 SO_SNDTIMEO=500ms").run();
    timeout.is(0, "SO_RCVTIMEO=.5 -> 0.5\nSO_SNDTIMEO=500ms -> 0.5\n", "");
}

#[test]
fn a_source_is_an_address_without_stray_brackets() {
    let accepted = "expected an address of this machine: 192.0.2.1, 192.0.2.1:5000, ::1 or \
                    [::1]:5000";
    for source in ["[127.0.0.2", "127.0.0.2]", "[[::1]]", "[127.0.0.2]", "[]", ""] {
        let words = ["connect", "127.0.0.1:1", "-s", source];
        sockctl(words).run().refuses(format!("--source '{source}': {accepted}"));
    }
    for source in ["127.0.0.2", "127.0.0.2:0"] {
        assert_eq!(sockctl(["connect", "127.0.0.1:1", "-s", source]).run().code, 3);
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let long = format!("unix:/{}", "x".repeat(107));
    let limit = "a UNIX socket's path has at most 107 bytes, this one has 108";
    let too_long = format!("address 'unix:/{}…': {limit}", "x".repeat(73));
    let (no_path, no_name) = (
        "address 'unix:': a path is missing; write unix:PATH or unix:@NAME",
        "address 'unix:@': a name is missing; write unix:PATH or unix:@NAME",
    );
    let other_family = |source: &str, address: &str| {
        format!("source {source} is of another family than {address}")
    };
    let several =
        |extra: &str| format!("unexpected word {extra}; it talks to one, and -z checks several");
    refused(&[
        (&format!("connect {long}"), &too_long),
        (&format!("serve {long}"), &too_long),
        ("connect unix:", no_path),
        ("serve unix:", no_path),
        ("connect unix:@", no_name),
        ("serve unix:@", no_name),
        ("connect a 80 c", &several("'c' after the address a:80")),
        ("connect 127.0.0.1:80 x", &several("'x' after the address 127.0.0.1:80")),
        ("connect 80 x", &several("'x' after the address 127.0.0.1:80")),
        ("connect -z 127.0.0.1:80,90 x", "address 'x': a port is missing; write x:PORT"),
        ("connect -4 ::1 80", "-4 excludes the IPv6 address [::1]"),
        ("connect -6 127.0.0.1:80", "-6 excludes the IPv4 address 127.0.0.1"),
        ("connect -4 unix:/s", "-4 excludes the UNIX socket 'unix:/s'"),
        ("connect -z -6 unix:/s", "-6 excludes the UNIX socket 'unix:/s'"),
        ("connect -s ::1 127.0.0.1:80", &other_family("::1", "127.0.0.1:80")),
        ("connect -s 127.0.0.1 [::1]:80", &other_family("127.0.0.1", "[::1]:80")),
        ("connect -z -s ::1 80", &other_family("::1", "127.0.0.1:80")),
        ("connect -6 -s 127.0.0.1 localhost:80", &other_family("127.0.0.1", "localhost:80")),
        ("connect -s 127.0.0.1 unix:/s", &other_family("127.0.0.1", "unix:/s")),
        // Text, although JSON is asked for.
        ("connect --json 65536", &format!("port '65536': {PORTS}")),
        ("connect --json 127.0.0.1:1 -w x", &format!("--timeout 'x': {DURATIONS}")),
        // What one command says to the values and the pairs of its options.
        ("connect 1 --send x --recv-only", "--send cannot be used with --recv-only"),
        ("connect 1 -z --expect x", "--check cannot be used with --expect"),
        (
            "connect 1 --expect (a",
            "--expect '(a': unclosed group, marked by <-- HERE in '( <-- HERE a'",
        ),
        (
            "connect 1 --expect [ä]",
            "--expect '[ä]': Unicode not allowed here, marked by <-- HERE in '[ä <-- HERE ]'",
        ),
        (
            "connect 1 --send \\q",
            r"--send: unknown escape '\q' in '\q'; escapes are \n \r \t \0 \\ \xHH",
        ),
        ("connect 1 --max-bytes 0", "--max-bytes '0': expected at least 1 byte"),
        ("connect unix:/x --tcp-info", "--tcp-info: unix:/x is not a TCP connection"),
        ("connect 1 --send-proxy=3", "--send-proxy '3': expected a whole number from 1 to 2"),
        (
            "connect unix:/x --proxy socks5://127.0.0.1:1",
            "--proxy: unix:/x: a proxy cannot reach a UNIX socket of this machine",
        ),
        (
            "connect 1 --proxy socks4://127.0.0.1:1",
            "--proxy: expected socks5://[USER@]HOST:PORT or http://[USER@]HOST:PORT",
        ),
        (
            "connect 1 --proxy socks5://me:hidden@127.0.0.1:1",
            "--proxy: a password on the command line is visible to every user; use \
             SOCKCTL_PROXY_PASSWORD or --proxy-password-file FILE",
        ),
        ("serve unix:/s --mode 999", "--mode '999': expected an octal mode: 0660 or 600"),
        ("serve 0 --mode 0660", "--mode is for unix:PATH, not 127.0.0.1:0"),
        ("serve --systemd 8520", "--systemd cannot be used with ADDRESS"),
        (
            "serve 0 --allow 10.0.0.0/33",
            "--allow '10.0.0.0/33': expected a network (10.0.0.0/8, 2001:db8::/32), an address, \
             a host name, or @FILE",
        ),
        (
            "serve 0 --allow @/nonexistent",
            "--allow '@/nonexistent': read '/nonexistent': no such file or directory (ENOENT 2)",
        ),
        (
            "udp-serve --join 239.1.2.3%nope *:0",
            "--join '239.1.2.3%nope': no network interface 'nope'; `ip link` lists them",
        ),
        (
            "udp-serve --join 192.0.2.1%lo *:0",
            "--join '192.0.2.1%lo': expected a multicast group: 239.1.2.3, ff02::1%eth0",
        ),
        ("auth-connect 1 --context x --digest md5", "--context cannot be used with --digest"),
        ("auth-connect 1 --context x --python", "--context cannot be used with --python"),
        ("opts --fd 3", "--pid is missing"),
        ("opts --pid 1 --udp", "--pid cannot be used with --udp"),
        ("opts --pid 0", "--pid '0': expected a whole number from 1 to 2147483647"),
        ("opts --port 0", "--port '0': expected a whole number from 1 to 65535"),
        (
            "--generate postcard",
            "--generate 'postcard': expected one of man, complete-bash, complete-zsh, \
             complete-fish, complete-nushell",
        ),
    ]);
}

#[test]
fn row_08_two_sources_of_a_key_or_a_key_as_a_word_are_refused() {
    refused(&[
        ("auth-serve --key-file=a --key-fd=3", "--key-file cannot be used with --key-fd"),
        ("auth-serve --key-file=a --keys=b", "--key-file cannot be used with --keys"),
        ("auth-serve --keys=a --key-fd=3", "--keys cannot be used with --key-fd"),
        ("auth-connect --key wangwang 1", "no option '--key'; did you mean --key-fd?"),
        ("auth-connect --password wangwang 1", "no option '--password'"),
    ]);
}

#[test]
fn the_usage_line_is_that_of_the_command() {
    let refused = sockctl("connect -w x").run();
    assert_eq!(
        refused.stderr.lines().nth(1),
        Some("usage: sockctl connect [OPTIONS] [ADDRESS]... [-- <PROGRAM> [ARGS]...]")
    );
}

#[test]
fn row_113_a_path_in_an_error_is_one_line_and_acts_on_no_terminal() {
    let folder = Folder::new();
    let wild = "a\u{1b}]0;x\u{7}\nsockctl: b\u{feff}";
    let shown = r"a\x1b]0;x\x07\nsockctl: b\u{feff}";
    let path = folder.path().join(wild);
    let path = path.to_str().unwrap();
    let inside = format!("{path}/file");
    let folder = folder.path().display();
    let done = sockctl("serve --echo 0 --hex").arg(&inside).run();
    done.fails(2, format!("write the hex dump {folder}/{shown}/file: {NOT_THERE}"));
    let done = sockctl("serve --echo 0 --port-file").arg(&inside).run();
    done.fails(2, format!("write the port file {folder}/{shown}/file: {NOT_THERE}"));
    fs::write(path, "kept").unwrap();
    let done = sockctl("serve --echo").arg(format!("unix:{path}")).run();
    done.fails(10, format!("listen on unix:{folder}/{shown}: the path is not a socket: {IN_USE}"));
    assert_eq!(fs::read(path).unwrap(), b"kept");
}
