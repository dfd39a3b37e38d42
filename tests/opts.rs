//! `sockctl opts` against an independent reader: Python's socket module.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

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

fn opts(args: &[&str]) -> Vec<Value> {
    let out = Command::new(env!("CARGO_BIN_EXE_sockctl"))
        .arg("opts")
        .args(args)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    assert!(out.status.success());
    String::from_utf8(out.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The first four bytes of what the kernel gave, as Python's getsockopt takes them.
fn int(row: &Value) -> Option<i32> {
    let raw = hex::decode(row["raw"].as_str()?).unwrap();
    Some(i32::from_ne_bytes(raw.get(..4)?.try_into().unwrap()))
}

#[test]
fn every_option_python_knows_has_python_s_number_and_value() {
    let out = Command::new("python3")
        .args(["-c", READER])
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let python: BTreeMap<String, Value> = serde_json::from_slice(&out.stdout).unwrap();
    let python: Vec<_> = python.iter().filter(|(name, _)| is_option(name)).collect();
    let names: Vec<&str> = python.iter().map(|(name, _)| name.as_str()).collect();

    let mut compared = 0;
    for (kind, flags) in [("tcp", &["--json"][..]), ("udp", &["--json", "--udp"])] {
        // By name even what the table of this kind does not list.
        for ((name, theirs), ours) in python.iter().zip(opts(&[flags, &names].concat())) {
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
