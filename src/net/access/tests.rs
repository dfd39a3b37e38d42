use std::fs;

use super::*;
use crate::exit::Exit;
use crate::net::address::Family;
use crate::net::resolve::Source;
use socket2::Type;

const QUERY: Query = Query {
    family: Family::Any,
    numeric: false,
    source: Source { ip: None, port: 0 },
    kind: Type::STREAM,
};

fn access(allow: &[&str], deny: &[&str]) -> AccessList {
    let read = |words: &[&str]| words.iter().map(|word| networks(word).unwrap()).collect();
    let allow = (!allow.is_empty()).then(|| read(allow));
    let mut access = AccessList { allow, deny: read(deny) };
    access.look_up(QUERY, Deadline::NEVER).unwrap();
    access
}

fn denial(access: &AccessList, from: &str) -> Option<Box<str>> {
    access.denial(Some(from.parse().unwrap()))
}

fn admits(access: &AccessList, from: &str) -> bool {
    denial(access, from).is_none()
}

#[test]
fn deny_beats_allow_and_allow_leaves_out_the_rest() {
    let both = access(&["10.0.0.0/8", "::1"], &["10.1.0.0/16"]);
    assert!(admits(&both, "10.2.3.4") && admits(&both, "::1"));
    assert!(!admits(&both, "10.1.2.3") && !admits(&both, "192.0.2.1") && !admits(&both, "::2"));
    let deny = access(&[], &["192.0.2.1"]);
    assert!(admits(&deny, "192.0.2.2") && !admits(&deny, "192.0.2.1"));
    assert!(access(&["10.0.0.0/8"], &[]).denial(None).is_none());
}

#[test]
fn v4_mapped_is_v4_in_rules_and_in_peers() {
    let v4 = access(&["10.0.0.0/8"], &["::ffff:10.1.0.0/112"]);
    assert!(admits(&v4, "::ffff:10.2.0.1") && !admits(&v4, "10.1.0.9"));
    assert!(!admits(&access(&["::/0"], &[]), "10.0.0.1"));
}

#[test]
fn a_file_has_one_a_line_and_is_read_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "# office\n10.0.0.0/8\n\n  ::1  # here\n localhost").unwrap();
    let word = format!("@{}", file.path().display());
    let mut rules = access(&[&word], &[]);
    let admitted = |rules: &AccessList| {
        ["10.0.0.1", "::1", "127.0.0.1", "127.0.0.2"].map(|from| admits(rules, from))
    };
    assert_eq!(admitted(&rules), [true, true, true, false]);
    fs::write(&file, "10.0.0.0/8\n10.0.0.0/33\n").unwrap();
    let refusal = networks(&word).unwrap_err().to_string();
    assert!(refusal.starts_with("line 2 of '"), "{refusal}");
    let reread = |rules: &mut AccessList| rules.reread(Deadline::NEVER);
    assert_eq!(reread(&mut rules), [format!("{refusal}; the old list holds")]);
    assert_eq!(admitted(&rules), [true, true, true, false]);
    fs::write(&file, "localhost\n127.0.0.2").unwrap();
    assert!(reread(&mut rules).is_empty());
    assert_eq!(admitted(&rules)[2..], [true, true]);
    fs::write(&file, "# none yet\n").unwrap();
    assert!(reread(&mut rules).is_empty());
    assert_eq!(admitted(&rules), [false; 4]);
    assert!(networks("@/nonexistent").unwrap_err().to_string().contains("ENOENT 2"));
}

#[test]
fn a_denial_names_its_rule() {
    let rules = access(&["127.0.0.0/8", "::1"], &["127.1.0.0/16", "127.0.0.2", "localhost"]);
    for (from, rule) in [
        ("127.1.2.3", Some("--deny 127.1.0.0/16")),
        ("127.0.0.2", Some("--deny 127.0.0.2")),
        ("127.0.0.1", Some("--deny localhost")),
        ("::ffff:127.0.0.1", Some("--deny localhost")),
        ("192.0.2.1", Some("--allow")),
        ("127.0.0.3", None),
    ] {
        assert_eq!(denial(&rules, from).as_deref(), rule, "{from}");
    }
}

#[test]
fn nothing_else_is_a_rule() {
    for word in ["", "10.0.0.0/", "10.0.0/8", "10.1", "a b", "host:80", "1.2.3.4/33", "::/129"] {
        assert!(networks(word).unwrap_err().to_string().contains("10.0.0.0/8"), "{word}");
    }
    let mut list = networks("nosuch.invalid").unwrap();
    let failure = list.look_up(QUERY, Deadline::NEVER).unwrap_err();
    assert_eq!((&*failure.target, failure.exit), ("nosuch.invalid", Exit::Unresolved));
}
