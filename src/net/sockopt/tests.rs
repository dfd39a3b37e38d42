//! The table against itself and against the kernel.

use std::collections::BTreeSet;

use super::*;
use crate::net::options::{ALIASES, all};

fn fresh() -> Vec<Socket> {
    [
        (Domain::IPV4, Type::STREAM),
        (Domain::IPV6, Type::STREAM),
        (Domain::IPV4, Type::DGRAM),
        (Domain::IPV6, Type::DGRAM),
        (Domain::UNIX, Type::STREAM),
        (Domain::UNIX, Type::DGRAM),
    ]
    .into_iter()
    .filter_map(|(domain, kind)| Socket::new(domain, kind).ok())
    .collect()
}

fn tcp() -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM).unwrap()
}

fn line(text: &str) -> String {
    set(&tcp(), &Setting::parse(text).unwrap()).to_string()
}

#[test]
fn names_and_numbers_are_unique() {
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for option in all() {
        assert!(names.insert(option.name.clone()), "{}", option.name);
        assert!(numbers.insert((option.level, option.number)), "{}", option.name);
        assert!(!option.meaning.is_empty() && !option.meaning.ends_with('.'));
        assert!(option.name.len() <= 25, "{}", option.name);
    }
    for (alias, name) in ALIASES {
        assert!(names.insert((*alias).into()), "{alias}");
        assert!(lookup(alias).unwrap().name == *name);
    }
}

#[test]
fn every_option_reads_or_says_why_not() {
    for socket in fresh() {
        for option in all().filter(|option| option.calls != Calls::Set) {
            if let Ok(reading) = read(&socket, option) {
                let _ = (reading.value.to_string(), serde_json::to_string(&reading.value).unwrap());
            }
        }
    }
}

#[test]
fn every_option_survives_legal_and_wild_values() {
    let words = [
        "0",
        "1",
        "-1",
        "2147483647",
        "-2147483648",
        "4294967295",
        "on",
        "lo",
        "reno",
        "ff",
        "00000000",
        "lowdelay",
        "239.1.2.3",
        "239.1.2.3%lo",
        "ff02::1%lo",
        "232.1.2.3,192.0.2.1%127.0.0.1",
        "ff35::1,2001:db8::1%lo",
        "1,6 0 0 65535",
        "1,0",
        "0,0,0,0,0",
    ];
    for option in all().filter(|option| option.calls != Calls::Get) {
        let mut settable = false;
        for word in words {
            let Ok(setting) = Setting::parse(&format!("{}={word}", option.name)) else {
                continue;
            };
            settable = true;
            for socket in fresh() {
                let _ = set(&socket, &setting).to_string();
            }
        }
        assert!(settable, "{} took none of the values", option.name);
    }
}

#[test]
fn the_options_that_the_program_sets_are_in_the_table() {
    for name in [
        "IPV6_MULTICAST_HOPS",
        "IPV6_RECVPKTINFO",
        "IPV6_UNICAST_HOPS",
        "IPV6_V6ONLY",
        "IP_MULTICAST_TTL",
        "IP_PKTINFO",
        "IP_TTL",
        "SO_BROADCAST",
        "SO_KEEPALIVE",
        "SO_RCVLOWAT",
        "SO_REUSEADDR",
        "SO_REUSEPORT",
        "TCP_INFO",
        "TCP_NODELAY",
        "UDP_GRO",
    ] {
        assert!(named(name).is_ok_and(|option| option.format.room() >= 4), "{name}");
    }
    assert!(tcp().set_int("SO_NOSUCH", 1).is_err());
    tcp().set_int("SO_KEEPALIVE", 1).unwrap();
}

#[test]
fn names_are_found_without_regard_to_case_and_by_number() {
    assert_eq!(lookup("tcp_nodelay").unwrap().number, 1);
    let raw = lookup("6:1").unwrap();
    assert_eq!((raw.level, raw.number), (6, 1));
    assert_eq!(lookup("IPPROTO_TCP:1").unwrap().name, "6:1");
    assert!(lookup("nowhere:1").is_err() && lookup("6:+1").is_err());
}

#[test]
fn row_10_an_unknown_name_shows_the_nearest() {
    let wrong = |name| lookup(name).unwrap_err().to_string();
    assert!(wrong("SO_RECVBUF").contains("nearest: SO_RCVBUF"));
    assert!(wrong("nodelay").contains("nearest: TCP_NODELAY"));
    assert!(wrong("zzzzzz").contains("lists all"));
    let long = wrong(&"\u{1b}\n".repeat(50_000));
    assert!(long.len() < 200 && !long.contains(['\u{1b}', '\n']), "{long}");
}

#[test]
fn a_wrong_value_is_refused_with_the_accepted_forms() {
    let wrong = |text| Setting::parse(text).unwrap_err().to_string();
    assert_eq!(wrong("SO_RCVBUF=lots"), "SO_RCVBUF=lots: expected a size: 512, 64k, 1M, 2GiB");
    assert!(wrong("SO_RCVBUF").starts_with("SO_RCVBUF needs a value"));
    assert_eq!(wrong("SO_TYPE=1"), "SO_TYPE can only be read");
    assert!(Setting::parse("TCP_NODELAY").is_ok());
}

#[test]
fn effects_are_explained() {
    assert_eq!(line("SO_KEEPALIVE=1"), "SO_KEEPALIVE=1 -> 1");
    assert_eq!(
        line("SO_RCVBUF=1000"),
        "SO_RCVBUF=1000 -> 2304: doubled by the kernel, minimum 2304"
    );
    assert_eq!(line("SO_RCVBUF=8k"), "SO_RCVBUF=8k -> 16384: doubled by the kernel");
    let limit = std::fs::read_to_string("/proc/sys/net/core/wmem_max").unwrap();
    let limit: i64 = limit.trim().parse().unwrap();
    assert_eq!(
        line("SO_SNDBUF=1G"),
        format!(
            "SO_SNDBUF=1G -> {}: cut to net.core.wmem_max = {limit}, then doubled by the kernel",
            limit * 2
        )
    );
    assert_eq!(line("TCP_KEEPIDLE=40000"), "TCP_KEEPIDLE=40000 -> EINVAL: 1–32767");
    assert!(line("SO_RCVTIMEO=0.0011").contains("rounded up to the kernel's tick"));
    assert_eq!(line("IP_TOS=lowdelay"), "IP_TOS=lowdelay -> lowdelay");
    assert!(line("UDP_CORK=1").contains("an option of UDP sockets"));
    assert!(line("TCP_CONGESTION=nosuch").contains("available: "));
    assert!(line("MCAST_JOIN_GROUP=239.1.2.3%lo").ends_with("-> set: cannot be read back"));
    assert_eq!(line("6:1=01000000"), "6:1=01000000 -> 01000000");
}

#[test]
fn settings_are_applied_at_their_moment() {
    let settings: Vec<Setting> = ["SO_REUSEADDR", "SO_KEEPALIVE", "IP_TOS=lowdelay"]
        .iter()
        .map(|text| Setting::parse(text).unwrap())
        .collect();
    let seen = |stage| {
        let socket = tcp();
        apply(&settings, &socket, stage).unwrap();
        ["SO_REUSEADDR", "SO_KEEPALIVE", "IP_TOS"].map(|name| {
            let option = lookup(name).unwrap();
            read(&socket, &option).unwrap().raw[0] != 0
        })
    };
    assert_eq!(seen(Stage::Listener), [true, false, true]);
    assert_eq!(seen(Stage::Accepted), [false, true, true]);
    assert_eq!(seen(Stage::Any), [true, true, true]);
}

#[test]
fn a_failure_names_setting_cause_and_status() {
    let settings = [Setting::parse("TCP_KEEPCNT=1000").unwrap()];
    let failure = check(&settings, Domain::IPV4, Type::STREAM).unwrap_err();
    assert_eq!(failure.to_string(), "set TCP_KEEPCNT=1000: invalid argument (EINVAL 22); 1–127");
}

#[test]
fn a_filter_can_be_attached() {
    let shown = line("SO_ATTACH_FILTER=1,6 0 0 65535");
    // Some systems leave even classic programs to the superuser.
    assert!(shown.ends_with(" -> 1") || shown.ends_with(" -> EPERM"), "{shown}");
}
