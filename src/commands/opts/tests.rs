//! What `opts` writes, for people and for scripts.

use clap::Parser;

use super::*;
use crate::exit::Exit;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    opts: Opts,
}

fn run(args: &[&str], json: bool, width: Option<usize>) -> (String, Option<Exit>) {
    let cli = Cli::try_parse_from([&["opts"], args].concat()).unwrap();
    let mut out = Vec::new();
    let exit = cli.opts.run(json, false, width, &mut out).err().map(|failure| failure.exit);
    (String::from_utf8(out).unwrap(), exit)
}

#[test]
fn a_name_is_one_line_and_a_setting_another() {
    let (text, exit) = run(&["TCP_NODELAY", "SO_RCVBUF=1000"], false, None);
    assert_eq!(exit, None);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("TCP_NODELAY  0  IPPROTO_TCP  flag  "));
    assert_eq!(lines[1], "SO_RCVBUF=1000 -> 2304: doubled by the kernel, minimum 2304");
}

#[test]
fn a_refused_setting_is_shown_and_is_the_failure() {
    let (text, exit) = run(&["TCP_KEEPCNT=0", "SO_KEEPALIVE=1"], false, None);
    assert_eq!(exit, Some(Exit::Other));
    assert_eq!(text, "TCP_KEEPCNT=0 -> EINVAL: 1–127\nSO_KEEPALIVE=1 -> 1\n");
}

#[test]
fn a_wrong_word_comes_before_any_answer() {
    let (text, exit) = run(&["TCP_NODELAY", "SO_NOSUCH"], false, None);
    assert_eq!((text.as_str(), exit), ("", Some(Exit::Usage)));
}

#[test]
fn in_a_pipe_every_option_is_one_line() {
    for kind in [&[][..], &["--udp"], &["--unix"], &["-4"], &["-6"]] {
        let (text, exit) = run(kind, false, None);
        assert_eq!(exit, None);
        assert!(text.lines().count() > 40, "{kind:?}");
        let known = |line: &str| {
            let name = line.split(' ').next().unwrap();
            name == "NAME" || options::lookup(name).is_ok()
        };
        assert!(text.lines().all(known), "{kind:?}");
    }
}

#[test]
fn at_a_terminal_no_line_is_wider_than_it() {
    for width in [40, 80, 100, 200] {
        let (text, _) = run(&[], false, Some(width));
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(width), "{width}: {widest:?}");
    }
    run(&[], false, Some(1));
}

#[test]
fn json_is_an_object_a_line() {
    let (text, _) = run(&[], true, None);
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(row["name"].is_string() && row["number"].is_i64(), "{line}");
    }
    let (text, _) = run(&["SO_RCVBUF=1000"], true, None);
    let row: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&row["requested"], &row["effective"]), (&1000.into(), &2304.into()));
    assert_eq!(row["why"], "doubled by the kernel, minimum 2304");
}

#[test]
fn an_option_chooses_its_socket() {
    let (text, exit) = run(&["UDP_CORK=1", "SO_PASSCRED=1", "IPV6_V6ONLY=1"], false, None);
    assert_eq!(exit, None);
    assert_eq!(text, "UDP_CORK=1 -> 1\nSO_PASSCRED=1 -> 1\nIPV6_V6ONLY=1 -> 1\n");
}
