//! Words that are addresses, words that are not, and the fix that each refusal shows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::*;
use crate::exit::Exit;

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// The address as shown, and how many words it took.
fn taken(line: &[&str]) -> (String, usize) {
    let (address, used) = Address::take(&words(line)).unwrap();
    (address.to_string(), used)
}

/// The line of a refusal.
fn told<T: fmt::Debug>(result: Result<T, Failure>) -> String {
    let failure = result.unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    failure.to_string()
}

fn refused(line: &[&str]) -> String {
    told(Address::take(&words(line)))
}

#[test]
fn a_complete_first_word_is_the_address() {
    for (word, shown) in [
        ("db:5432", "db:5432"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("localhost:http", "localhost:http"),
        ("[::1]:80", "[::1]:80"),
        ("[0:0::1]:80", "[::1]:80"),
        ("[fe80::1%eth0]:80", "[fe80::1%eth0]:80"),
        ("*:0", "*:0"),
        ("80", "127.0.0.1:80"),
        ("3com.example:80", "3com.example:80"),
        ("bücher.example:80", "bücher.example:80"),
        ("unix:/run/x", "unix:/run/x"),
        ("unix:x:80", "unix:x:80"),
        ("unix:@n", "unix:@n"),
        ("unix:a\nb", r"unix:a\nb"),
    ] {
        assert_eq!(taken(&[word]), (shown.to_owned(), 1), "{word}");
        assert_eq!(taken(&[word, "more"]), (shown.to_owned(), 1), "{word}");
    }
}

#[test]
fn otherwise_host_and_port_are_two_words() {
    for (host, port, shown) in [
        ("db", "5432", "db:5432"),
        ("::1", "80", "[::1]:80"),
        ("::", "80", "[::]:80"),
        ("fe80::", "80", "[fe80::]:80"),
        ("[::1]", "80", "[::1]:80"),
        ("fe80::1%eth0", "80", "[fe80::1%eth0]:80"),
        ("2001:db8:0:0:0:0:0:80", "443", "[2001:db8::80]:443"),
        ("1.2.3.4", "http", "1.2.3.4:http"),
        ("*", "80", "*:80"),
        ("3com", "80", "3com:80"),
    ] {
        assert_eq!(taken(&[host, port, "more"]), (shown.to_owned(), 2), "{host} {port}");
    }
}

#[test]
fn left_out_it_is_the_default() {
    let (address, used) = Address::take(&[]).unwrap();
    assert_eq!((address.to_string().as_str(), used), ("127.0.0.1:8520", 0));
    let filled = |family| address.clone().resolve_default(family).to_string();
    assert_eq!(filled(Family::Any), "127.0.0.1:8520");
    assert_eq!(filled(Family::V4), "127.0.0.1:8520");
    assert_eq!(filled(Family::V6), "[::1]:8520");
}

#[test]
fn a_bad_port_is_named_with_the_range() {
    for word in
        ["65536", "0x50", "80abc", "+80", " 80", "-1", "", "99999999999999999999", "80,81", "80-90"]
    {
        for refusal in [refused(&["db", word]), refused(&["::1", word])] {
            assert!(refusal.contains(&quoted(word)), "{refusal}");
            assert!(refusal.contains("0–65535"), "{refusal}");
        }
        if !word.is_empty() {
            for refusal in [refused(&[word]), refused(&[&format!("db:{word}")])] {
                assert!(refusal.contains(&quoted(word)), "{refusal}");
                assert!(refusal.contains("0–65535"), "{refusal}");
            }
        }
    }
    assert_eq!(
        refused(&["db:80abc"]),
        "port '80abc': a port is a number 0–65535, or a service name behind a host"
    );
}

#[test]
fn every_refusal_shows_the_fix() {
    for (word, fix) in [
        ("::1:80", "address '::1:80' is ambiguous; write [::1]:80, or [::1:80]:PORT"),
        ("::1:http", "write [::1]:http"),
        ("1:2:3:4:5:6:7:8:80", "write [1:2:3:4:5:6:7:8]:80"),
        ("fe80::1%eth0:80", "write [fe80::1%eth0]:80"),
        (":::80", "write [::]:80"),
        (":80", "write 127.0.0.1:80, or, to listen on every address of this machine, *:80"),
        (":", "write 127.0.0.1:PORT, or, "),
        ("db:", "write db:PORT"),
        ("[::1]:", "write [::1]:PORT"),
        ("db", "address 'db': a port is missing; write db:PORT"),
        ("http", "a port is missing; write http:PORT"),
        ("::1", "write [::1]:PORT"),
        ("*", "write *:PORT"),
        ("1.2.3.4", "write 1.2.3.4:PORT"),
        ("127.1:80", "host '127.1': an IPv4 address has four numbers; write 127.0.0.1"),
        ("127.1", "write 127.0.0.1"),
        ("0x7f.1:80", "write 127.0.0.1"),
        ("010.0.0.1:80", "write 8.0.0.1"),
        ("1.2.65535:80", "write 1.2.255.255"),
        ("1.2.65536:80", "four numbers 0–255, as 127.0.0.1"),
        ("1.2.3.4.5:80", "four numbers 0–255"),
        ("256.1.1.1:80", "four numbers 0–255"),
        ("1.2.3.4.:80", "four numbers 0–255"),
        ("0x7f000001:80", "four numbers 0–255"),
        ("80:80", "four numbers 0–255"),
        ("[1.2.3.4]:80", "brackets hold an IPv6 address"),
        ("[fe80::1%]:80", "brackets hold an IPv6 address"),
        ("[::1", "brackets hold an IPv6 address"),
        ("[::1]80", "[IPV6]:PORT"),
        ("a:b:c", "HOST:PORT"),
        ("", "port '': a port is a number 0–65535"),
        ("a b:80", "no blanks"),
        ("a\u{1b}[2J:80", r"'a\x1b[2J'"),
        ("-x:80", "begins with no sign"),
        ("unix:", "write unix:PATH"),
        ("unix:@", "a name is missing"),
    ] {
        let refusal = refused(&[word]);
        assert!(refusal.contains(fix), "{word}: {refusal}");
    }
    // In front of another word as well: `udp-send ::1:80 42` could mean the text 42.
    assert!(refused(&["::1:80", "42"]).contains("ambiguous"));
}

#[test]
fn a_huge_word_is_cut_short() {
    for word in ["a".repeat(100_000), "9".repeat(100_000), "a:".repeat(50_000)] {
        for line in [vec![word.clone()], vec![word.clone(), "80".into()], vec!["db".into(), word]] {
            let line: Vec<_> = line.iter().map(String::as_str).collect();
            if let Err(failure) = Address::take(&words(&line)) {
                assert!(failure.to_string().chars().count() < 300);
            }
        }
    }
    let longest = format!("{}:80", "a".repeat(253));
    assert_eq!(taken(&[&longest]), (longest.clone(), 1));
    assert!(refused(&[&format!("a{longest}")]).contains("at most 253 bytes"));
}

#[test]
fn unix_names_are_bytes_of_a_limited_number() {
    let take = |bytes: &[u8]| Address::take(&[OsString::from_vec(bytes.to_vec())]);
    let unix = |bytes: &[u8]| Address::Unix(OsString::from_vec(bytes.to_vec()));
    assert_eq!(take(b"unix:\xff").unwrap().0, unix(b"\xff"));
    assert_eq!(take(b"unix:@\xff").unwrap().0, unix(b"@\xff"));
    for prefix in ["unix:", "unix:@"] {
        let named = |length| take(format!("{prefix}{}", "x".repeat(length)).as_bytes());
        assert!(named(107).is_ok());
        assert!(told(named(108)).contains("at most 107 bytes, this one has 108"));
    }
    assert!(told(take(b"h\xff:80")).starts_with(r"address 'h\xff:80' is not UTF-8"));
    let second = [OsString::from("db"), OsString::from_vec(b"\xff".to_vec())];
    assert!(told(Address::take(&second)).contains(r"'\xff' is not UTF-8"));
}

#[test]
fn a_flag_excludes_the_literals_of_the_other_family() {
    let check = |word: &str, family| {
        let (address, _) = Address::take(&words(&[word])).unwrap();
        address.check_family(family)
    };
    for word in ["db:80", "*:80", "80", "127.0.0.1:80"] {
        assert!(check(word, Family::V4).is_ok(), "{word}");
    }
    for word in ["db:80", "*:80", "80", "[::1]:80", "[fe80::1%lo]:80"] {
        assert!(check(word, Family::V6).is_ok(), "{word}");
        assert!(check(word, Family::Any).is_ok(), "{word}");
    }
    for (word, family, line) in [
        ("127.0.0.1:80", Family::V6, "-6 excludes the IPv4 address 127.0.0.1"),
        ("[::1]:80", Family::V4, "-4 excludes the IPv6 address [::1]"),
        ("[fe80::1%lo]:80", Family::V4, "-4 excludes the IPv6 address [fe80::1%lo]"),
        ("unix:/x", Family::V6, "-6 excludes the UNIX socket 'unix:/x'"),
    ] {
        assert_eq!(told(check(word, family)), line);
    }
}

#[test]
fn port_0_and_the_wildcard_are_for_listening() {
    let check = |word: &str| Address::take(&words(&[word])).unwrap().0.check_dial();
    assert!(check("db:1").is_ok());
    assert!(check("unix:/x").is_ok());
    assert!(told(check("127.0.0.1:0")).contains("port 0 is for listening"));
    assert!(told(check("*:80")).contains("write 127.0.0.1"));
}

#[test]
fn a_zone_is_an_interface_by_name_or_number() {
    let scope = |word: &str| match Address::take(&words(&[word])).unwrap().0 {
        Address::Inet { host, .. } => host.scope_id(),
        Address::Unix(_) => panic!("{word} has no host"),
    };
    let lo = scope("[fe80::1%lo]:80").unwrap();
    assert_ne!(lo, 0);
    assert_eq!(scope(&format!("[fe80::1%{lo}]:80")).unwrap(), lo);
    assert_eq!(scope("[fe80::1]:80").unwrap(), 0);
    for zone in ["nosuch0", "4000000000", "0", "-1"] {
        let refusal = told(scope(&format!("[fe80::1%{zone}]:80")));
        assert!(refusal.starts_with(&format!("zone '{zone}' of fe80::1:")), "{refusal}");
    }
}

#[test]
fn a_port_list_keeps_its_order() {
    for (line, used, shown) in [
        (
            &["127.0.0.1:22,80,8000-8100"][..],
            1,
            "127.0.0.1:22 127.0.0.1:80 [2] 127.0.0.1:8000 to 127.0.0.1:8100: 101",
        ),
        (&["db", "443,22"], 2, "db:443 db:22"),
        (&["db:http,80"], 1, "db:http db:80"),
        (&["db:iso-tsap"], 1, "db:iso-tsap"),
        (&["[::1]:5-5"], 1, "[0] [::1]:5 to [::1]:5: 1"),
        (&["22,1-65535"], 1, "127.0.0.1:22 [1] 127.0.0.1:1 to 127.0.0.1:65535: 65535"),
        (&[], 0, "127.0.0.1:8520"),
        (&["unix:/x,y"], 1, "unix:/x,y"),
    ] {
        let (targets, count) = Address::take_list(&words(line)).unwrap();
        let same_range = |a: &Target, b: &Target| a.range.is_some() && a.range == b.range;
        let items = targets.chunk_by(same_range).map(|ports| {
            let (first, last) = (&ports[0].address, &ports[ports.len() - 1].address);
            match ports[0].range {
                None => first.to_string(),
                Some(entry) => format!("[{entry}] {first} to {last}: {}", ports.len()),
            }
        });
        assert_eq!((items.collect::<Vec<_>>().join(" ").as_str(), count), (shown, used));
    }
}

#[test]
fn a_bad_port_list_is_refused() {
    for (list, line) in [
        ("9-5", "port range '9-5': the lower end comes first; write 5-9"),
        ("22,", "port '': a port is a number 0–65535"),
        ("22,,80", "port '': "),
        ("1-2-3", "port '1-2-3'"),
        ("5-", "port '5-'"),
        ("5-70000", "port '5-70000'"),
        ("-5", "port '-5'"),
        ("22,0", "port 0 is for listening"),
        ("0-5", "port 0 is for listening"),
        ("80 ,22", "port '80 '"),
    ] {
        let refusal = told(Address::take_list(&words(&[&format!("db:{list}")])));
        assert!(refusal.starts_with(line), "{list}: {refusal}");
    }
    assert!(told(Address::take_list(&words(&["*:80"]))).contains("for listening only"));
    assert!(told(Address::take_list(&words(&["::1:80,81"]))).contains("write [::1]:80,81"));
}

fn any_host() -> impl Strategy<Value = Host> {
    prop_oneof![
        Just(Host::Wildcard),
        any::<IpAddr>().prop_map(Host::Ip),
        (any::<Ipv6Addr>(), "[a-z0-9.@-]{1,15}").prop_map(|(ip, zone)| Host::Scoped(ip, zone)),
        "[a-zé][a-z0-9é.-]{0,20}".prop_map(Host::Name),
    ]
}

fn any_address() -> impl Strategy<Value = Address> {
    let port = prop_oneof![
        any::<u16>().prop_map(Port::Number),
        "[a-zA-Z][a-z0-9-]{0,14}".prop_map(Port::Service),
    ];
    prop_oneof![
        4 => (any_host(), port).prop_map(|(host, port)| Address::Inet { host, port }),
        1 => "[ -?A-~]{1,107}".prop_map(|path| Address::Unix(path.into())),
        1 => "@[ -~]{1,107}".prop_map(|name| Address::Unix(name.into())),
    ]
}

proptest! {
    #[test]
    fn an_address_reads_back_as_shown(address in any_address()) {
        // `unix:80` is a path.
        prop_assume!(!matches!(&address, Address::Inet { host: Host::Name(name), .. } if name == "unix"));
        let shown = address.to_string();
        prop_assert_eq!(Address::take(&words(&[&shown, "1"])).unwrap(), (address, 1));
    }

    #[test]
    fn any_words_give_an_address_or_one_short_visible_line(
        line in prop::collection::vec("\\PC{0,20}|[0-9a-fx:.%*+@,\\[\\]-]{0,20}|[\\x00-\\xa0]{0,200}", 0..3)
    ) {
        let line: Vec<_> = line.into_iter().map(OsString::from).collect();
        let taken = Address::take(&line).map(|(address, used)| (address.to_string(), used));
        let list = Address::take_list(&line).map(|(_, used)| (String::new(), used));
        for result in [taken, list] {
            match result {
                Ok((shown, used)) => {
                    prop_assert!(used <= line.len());
                    prop_assert!(!shown.chars().any(sanitize::hidden));
                }
                Err(failure) => {
                    let line = failure.to_string();
                    prop_assert_eq!(failure.exit, Exit::Usage);
                    prop_assert!(line.chars().count() < 400);
                    prop_assert!(!line.chars().any(sanitize::hidden), "{}", line);
                }
            }
        }
    }
}
