//! `sockctl opts` against an independent reader: Python's socket module.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::run::{Finished, Words, apart, datagrams, listener, python, sockctl};

mod live;

/// Reads every option that Python has a name for on fresh sockets, as an int.
const READER: &str = r#"
import errno, json, socket
prefixes = (("SO_", socket.SOL_SOCKET), ("IP_", socket.IPPROTO_IP),
            ("IPV6_", socket.IPPROTO_IPV6), ("TCP_", socket.IPPROTO_TCP))
def read(kind, family, level, number):
    with socket.socket(family, kind) as s:
        try:
            return s.getsockopt(level, number)
        except OSError as e:
            return errno.errorcode[e.errno]
found = {}
for kind_name, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
    for name in dir(socket):
        for prefix, level in prefixes:
            if name.startswith(prefix):
                family = socket.AF_INET6 if prefix == "IPV6_" else socket.AF_INET
                number = getattr(socket, name)
                found.setdefault(name, {"number": number})[kind_name] = read(kind, family, level, number)
print(json.dumps(found))
"#;

/// Python's names that are no options: values, and other families' options.
fn is_option(name: &str) -> bool {
    let values = [
        "IP_DEFAULT_MULTICAST_LOOP",
        "IP_DEFAULT_MULTICAST_TTL",
        "IP_MAX_MEMBERSHIPS",
        "IPV6_RTHDR_TYPE_0",
    ];
    !values.contains(&name) && !name.starts_with("SO_J1939") && !name.starts_with("SO_VM_SOCKETS")
}

fn opts(words: &str) -> Vec<Value> {
    run(words).output().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The first four bytes of what the kernel gave, as Python's getsockopt takes them.
fn int(row: &Value) -> Option<i32> {
    let raw = hex::decode(row["raw"].as_str()?).unwrap();
    Some(i32::from_ne_bytes(raw.get(..4)?.try_into().unwrap()))
}

#[test]
fn every_option_python_knows_has_python_s_number_and_value() {
    let out = python(READER, "").run().text();
    let python: BTreeMap<String, Value> = serde_json::from_str(&out).unwrap();
    let python: Vec<_> = python.iter().filter(|(name, _)| is_option(name)).collect();
    let names: Vec<&str> = python.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(" ");

    let mut compared = 0;
    for (kind, flags) in [("tcp", "--json"), ("udp", "--json --udp")] {
        // By name even what the table of this kind does not list.
        for ((name, theirs), ours) in python.iter().zip(opts(&format!("{flags} {names}"))) {
            if name.starts_with("TCP_") && kind != "tcp" {
                continue;
            }
            assert_eq!(ours["number"], theirs["number"], "{name}");
            match (int(&ours), &theirs[kind]) {
                (Some(int), Value::Number(number)) => {
                    assert_eq!(Some(i64::from(int)), number.as_i64(), "{name} of {kind}");
                    compared += 1;
                }
                // Which error it is can depend on the room for the answer.
                (None, Value::String(errno)) if ours["access"] != "set" => {
                    assert!(ours["errno"].is_string(), "{name} of {kind}: not {errno}");
                }
                _ => {}
            }
        }
    }
    assert!(compared > 80, "only {compared} compared");
}

/// `sockctl opts` with these words, to its end.
fn run(words: impl Words) -> Finished {
    sockctl("opts").args(words).run()
}

#[test]
fn each_setting_is_a_line_and_a_refused_one_is_the_status() {
    for (words, code, stdout, stderr) in [
        (
            "SO_RCVBUF=1000 SO_KEEPALIVE=1",
            0,
            "SO_RCVBUF=1000 -> 2304: doubled by the kernel, minimum 2304\nSO_KEEPALIVE=1 -> 1\n",
            "",
        ),
        (
            "TCP_KEEPCNT=0 SO_KEEPALIVE=1",
            1,
            "TCP_KEEPCNT=0 -> EINVAL: 1–127\nSO_KEEPALIVE=1 -> 1\n",
            "sockctl: set TCP_KEEPCNT=0: invalid argument (EINVAL 22); 1–127\n",
        ),
        // An option is set on a socket that has it.
        (
            "UDP_CORK=1 SO_PASSCRED=1 IPV6_V6ONLY=1",
            0,
            "UDP_CORK=1 -> 1\nSO_PASSCRED=1 -> 1\nIPV6_V6ONLY=1 -> 1\n",
            "",
        ),
        // A wrong word comes before any answer.
        (
            "TCP_NODELAY SO_NOSUCH",
            2,
            "",
            "sockctl: SO_NOSUCH: no such socket option; nearest: SO_NOFCS, SO_NO_CHECK, \
             SO_NETNS_COOKIE\n",
        ),
    ] {
        run(words).is(code, stdout, stderr);
    }
    let rows = opts("--json SO_RCVBUF=1000 TCP_NODELAY=1");
    let told = |row: &Value| json!([row["requested"], row["effective"], row["why"]]);
    assert_eq!(told(&rows[0]), json!([1000, 2304, "doubled by the kernel, minimum 2304"]));
    assert_eq!(told(&rows[1]), json!([true, true, null]));
}

#[test]
fn names_are_shown_alone_and_each_kind_has_its_own() {
    let names = |words: &str| -> Vec<String> {
        let text = run(words).output();
        text.lines().map(|line| line.split(' ').next().unwrap().to_string()).collect()
    };
    assert_eq!(names("so_type TCP_MAXSEG"), ["SO_TYPE", "TCP_MAXSEG"]);
    for kind in ["", "--udp", "--unix", "-4", "-6"] {
        let rows = opts(&format!("--json {kind}"));
        assert!(rows.len() > 40 && rows.iter().all(|row| row["number"].is_i64()));
        let wanted: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(names(kind)[1..], wanted);
    }
    let has = |list: &[String], name: &str| list.iter().any(|one| one == name);
    let (tcp, udp, unix) = (names(""), names("--udp"), names("--unix"));
    assert!(has(&tcp, "TCP_NODELAY") && has(&tcp, "SO_RCVBUF") && has(&tcp, "IP_TTL"));
    assert!(has(&udp, "UDP_CORK") && has(&udp, "SO_RCVBUF") && !has(&udp, "TCP_NODELAY"));
    assert!(has(&unix, "SO_PASSCRED") && !has(&unix, "IP_TTL") && !has(&unix, "UDP_CORK"));
}

/// The calls of a `--trace`, by name, with the option for setsockopt.
fn calls(stderr: &str) -> Vec<String> {
    stderr
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once('(')?;
            Some(match name {
                "setsockopt" => rest.split(", ").nth(1)?.to_string(),
                _ => name.to_string(),
            })
        })
        .collect()
}

/// Whether these come in this order, with others between them.
#[track_caller]
fn in_order(stderr: &str, wanted: &str) {
    let all = calls(stderr);
    let mut left = all.iter();
    for want in wanted.split(' ') {
        assert!(left.any(|call| call == want), "{want} of {wanted:?} in {all:?}");
    }
}

#[test]
fn servers_set_options_before_bind_and_after_accept() {
    for command in ["serve", "auth-serve --digest md5"] {
        let server = sockctl(command)
            .args("127.0.0.1:0 --discard --trace --backlog 5 -o SO_REUSEPORT -o TCP_QUICKACK=0")
            .env("SOCKCTL_KEY", "wangwang")
            .start();
        let text = server.stderr_has("listening on ");
        in_order(&text, "socket SO_REUSEPORT bind listen");
        assert!(text.contains("\nlisten(5)\n"), "{text}");
        drop(server.connect());
        in_order(&server.stderr_has("recv("), "listen accept TCP_QUICKACK recv");
    }
    let server = sockctl("udp-serve 127.0.0.1:0 --trace -o IP_TTL=9").start();
    in_order(&server.stderr_has("listening on "), "socket IP_TTL bind");
}

#[test]
fn clients_set_options_before_they_connect() {
    let (listener, address) = listener();
    for command in ["connect", "auth-connect --digest md5 -w 100ms"] {
        let client = sockctl(command)
            .args(format!("{address} --trace -o SO_RCVBUF=8192 -o TCP_NODELAY"))
            .env("SOCKCTL_KEY", "wangwang")
            .start();
        drop(listener.accept().unwrap());
        let done = client.finish();
        in_order(&done.stderr, "socket SO_RCVBUF TCP_NODELAY connect");
    }
    let udp = datagrams();
    let port = udp.local_addr().unwrap().port();
    let said = sockctl(format!("udp-send {port} x --trace -o IP_TTL=9")).run().gives(0, "");
    in_order(&said, "socket IP_TTL connect sendto");
}

#[test]
fn an_interface_that_has_gone_is_shown_by_its_index() {
    sockctl("opts SO_BINDTOIFINDEX=999").run().is(0, "SO_BINDTOIFINDEX=999 -> 999\n", "");
}

#[test]
#[ignore = "needs unshare, ip and root"]
fn an_interface_name_is_escaped() {
    let line = r#"
        name="$(printf 'a\033[31mb')"
        ip link set lo down name "$name"
        "$0" opts SO_BINDTOIFINDEX=1"#;
    apart(line, "").run().is(0, "SO_BINDTOIFINDEX=1 -> a\\x1b[31mb\n", "");
}
