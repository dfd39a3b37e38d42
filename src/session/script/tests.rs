//! Scripts without a connection: what is done next after bytes in any pieces.

use super::*;
use proptest::prelude::*;

fn expect(pattern: &str) -> Step {
    Step::Expect(Pattern::parse(pattern).unwrap())
}

fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().into())
}

fn met(pattern: &str, matched: &str) -> Action {
    Action::Met { pattern: pattern.into(), matched: matched.into() }
}

/// Everything a script asks for when these parts come, each after all that could be done before.
fn played<'a>(
    steps: Vec<Step>,
    parts: impl IntoIterator<Item = &'a [u8]>,
    ended: bool,
) -> (Vec<Action>, Vec<u8>) {
    let mut script = Script::new(steps, false);
    let mut actions = Vec::new();
    let mut act = |script: &mut Script| {
        loop {
            match script.act() {
                Action::Await => return false,
                last @ (Action::Answer | Action::Close | Action::Unmet) => {
                    actions.push(last);
                    return true;
                }
                action => actions.push(action),
            }
            script.done();
        }
    };
    let mut over = act(&mut script);
    for part in parts {
        script.feed(part);
        over = over || act(&mut script);
    }
    if ended {
        script.end();
        if !over {
            act(&mut script);
        }
    }
    (actions, script.unread)
}

#[test]
fn steps_are_done_in_order_and_what_is_behind_a_match_is_kept() {
    let steps = vec![
        expect("^220 .*\n"),
        send("EHLO x\r\n"),
        expect("^250 "),
        expect("OK"),
        send("QUIT\r\n"),
    ];
    let came: [&[u8]; 3] = [b"22", b"0 hi\r\n250", b" 1 OK bye"];
    let (actions, unread) = played(steps, came, false);
    assert_eq!(
        actions,
        [
            met("^220 .*\n", "220 hi\r\n"),
            Action::Send(b"EHLO x\r\n"[..].into()),
            met("^250 ", "250 "),
            met("OK", "OK"),
            Action::Send(b"QUIT\r\n"[..].into()),
            Action::Answer,
        ]
    );
    assert_eq!(unread, b" bye");
}

#[test]
fn an_expectation_waits_for_an_arrival_even_if_it_matches_nothing() {
    let mut script = Script::new(vec![expect("x*"), Step::ExpectEof], false);
    assert_eq!(script.act(), Action::Await);
    script.feed(b"y");
    assert_eq!(script.act(), met("x*", ""));
    assert_eq!(script.act(), Action::Await);
    script.end();
    assert_eq!(script.act(), met("--expect-eof", ""));
    assert_eq!(script.act(), Action::Close);
}

#[test]
fn the_end_leaves_an_expectation_unmet() {
    let (actions, _) = played(vec![expect("a")], [&b"b"[..]], true);
    assert_eq!(actions, [Action::Unmet]);
    let (actions, _) = played(vec![expect("a")], [], true);
    assert_eq!(actions, [Action::Unmet]);
    let (actions, _) = played(vec![expect("$")], [], true);
    assert_eq!(actions, [Action::Unmet]);
}

#[test]
fn a_failure_tells_what_came_escaped_and_cut() {
    let account = |bytes: &[u8]| {
        let mut script = Script::new(vec![expect("never")], false);
        script.feed(bytes);
        assert_eq!(script.act(), Action::Await);
        assert_eq!(script.pending(), Some(("never", "'never' from".into())));
        script.account()
    };
    assert_eq!(account(b""), "nothing received");
    assert_eq!(account(b"!"), "received 1 byte: '!'");
    assert_eq!(account(b"-ERR \x1b[1m\xff\r\n"), r"received 12 bytes: '-ERR \x1b[1m\xff\r\n'");
    let long = account(&[[b'a'; 1000], [b'z'; 1000]].concat());
    let (a, z) = ("a".repeat(HEAD), "z".repeat(TAIL));
    assert_eq!(long, format!("received 2000 bytes: '{a}…{z}'"));
    let lost = account(&vec![b'q'; WINDOW + 5]);
    assert_eq!(lost, format!("received 1048581 bytes: '…{}'", "q".repeat(TAIL)));
}

#[test]
fn of_a_flood_the_last_mebibyte_is_searched() {
    let mut script = Script::new(vec![expect("begin"), expect("end")], false);
    script.feed(b"begin");
    assert_eq!(script.act(), met("begin", "begin"));
    for _ in 0..3 {
        script.feed(&vec![b'.'; WINDOW]);
        assert_eq!(script.act(), Action::Await);
        assert!(script.unread.len() <= WINDOW);
    }
    script.feed(b"end");
    assert_eq!(script.act(), met("end", "end"));
    assert_eq!(script.act(), Action::Close);
}

#[test]
fn bytes_that_no_step_waits_for_are_not_kept() {
    let mut script = Script::new(vec![send("x")], false);
    script.feed(b"before");
    assert_eq!(script.act(), Action::Send(b"x"[..].into()));
    assert_eq!(script.act(), Action::Await);
    script.done();
    script.feed(b"after");
    assert!(script.unread.is_empty());
    assert_eq!(script.act(), Action::Answer);
}

#[test]
fn tls_begins_where_all_that_came_is_read() {
    let tls = |came: &[u8]| {
        let mut script = Script::new(vec![expect("^220 "), expect("o"), Step::StartTls], false);
        script.feed(came);
        assert_eq!(script.act(), met("^220 ", "220 "));
        assert_eq!(script.act(), met("o", "o"));
        script
    };
    let mut script = tls(b"220 go");
    assert_eq!(script.act(), Action::StartTls);
    assert_eq!((script.act(), script.unread_before_tls()), (Action::Await, None));
    script.done();
    assert_eq!(script.act(), Action::Close);

    let mut script = tls(b"220 go\n");
    assert_eq!(script.act(), Action::UnreadBeforeTls);
    let hint = r"; an --expect of a whole line ends in .*\n";
    let unread = format!(r"1 byte before TLS that no step has read: '\n'{hint}");
    assert_eq!(script.unread_before_tls(), Some(unread));

    // Also where no step reads, or the window has lost it.
    let mut script = Script::new(vec![send("x"), Step::StartTls], false);
    script.window = 0;
    assert_eq!(script.act(), Action::Send(b"x"[..].into()));
    script.feed(b"injected");
    script.done();
    assert_eq!(script.act(), Action::UnreadBeforeTls);
    assert_eq!(
        script.unread_before_tls(),
        Some("8 bytes before TLS that no step has read: '…'".into())
    );
}

/// Patterns whose match is the same however the bytes come: each ends in what it looks for.
const STABLE: [&str; 5] = ["^a+b", "b\r?\n", "(?-u:\\xff)", "[^\n]*\n", "ab|ba"];

fn stream() -> impl Strategy<Value = (Vec<u8>, Vec<usize>, Vec<usize>)> {
    let byte = prop_oneof![Just(b'a'), Just(b'b'), Just(b'\n'), Just(b'\r'), any::<u8>()];
    prop::collection::vec(byte, 0..60).prop_flat_map(|bytes| {
        let cuts = prop::collection::vec(0..=bytes.len(), 0..5);
        let steps = prop::collection::vec(0..=STABLE.len(), 0..6);
        (Just(bytes), cuts, steps)
    })
}

fn steps(picks: &[usize]) -> Vec<Step> {
    picks.iter().map(|&pick| STABLE.get(pick).map_or_else(|| send("s"), |p| expect(p))).collect()
}

proptest! {
    #[test]
    fn any_split_gives_the_same_actions((bytes, cuts, picks) in stream(), ended: bool) {
        let mut cuts = cuts;
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let whole = played(steps(&picks), [&bytes[..]], ended).0;
        prop_assert_eq!(&played(steps(&picks), parts, ended).0, &whole);
        prop_assert_eq!(&played(steps(&picks), bytes.chunks(1), ended).0, &whole);
        for at in 0..bytes.len() {
            let (first, second) = bytes.split_at(at);
            prop_assert_eq!(&played(steps(&picks), [first, second], ended).0, &whole);
        }
    }

    /// Whatever the pattern: each arrival is searched once, from the first unread byte.
    #[test]
    fn the_match_is_the_leftmost_of_all_unread(parts in prop::collection::vec("[ab\n]{0,6}", 0..6),
        pattern in prop_oneof![Just("a+"), Just("a*b?$"), Just("b.*"), Just("^b")]) {
        let Step::Expect(compiled) = expect(pattern) else { unreachable!() };
        let mut script = Script::new(vec![expect(pattern)], false);
        let mut unread = Vec::new();
        for part in &parts {
            unread.extend_from_slice(part.as_bytes());
            script.feed(part.as_bytes());
            let wanted = match compiled.find(&unread) {
                Some(found) if !unread.is_empty() => Action::Met {
                    pattern: pattern.into(),
                    matched: found.as_bytes().to_vec(),
                },
                _ => Action::Await,
            };
            let done = wanted != Action::Await;
            prop_assert_eq!(script.act(), wanted);
            if done {
                prop_assert_eq!(script.act(), Action::Close);
                break;
            }
        }
    }
}

/// What can happen to a script: bytes, or the end.
fn arrivals() -> impl Strategy<Value = (Vec<Vec<u8>>, Option<usize>)> {
    let part = prop::collection::vec(prop_oneof![Just(b'a'), Just(b'.')], 0..600);
    let end = prop::option::of(0_usize..6);
    (prop::collection::vec(part, 0..5), end)
}

proptest! {
    /// Steps in any order, a window that is soon full, an end at any place: the script never
    /// panics, and a failure counts exactly the bytes since the last step that consumed any.
    #[test]
    fn bytes_that_were_dropped_are_counted_once(picks in prop::collection::vec(0..4_usize, 0..5),
        (parts, end) in arrivals(), window in 0_usize..300) {
        let choices = [expect("a"), expect("never"), Step::ExpectEof, send("s")];
        let mut script = Script::new(picks.iter().map(|&pick| choices[pick].clone()).collect(), false);
        script.window = window;
        let mut waiting = 0;
        let act = |script: &mut Script, waiting: &mut usize| loop {
            let (before, lost) = (script.unread.len(), script.lost);
            match script.act() {
                Action::Met { .. } => {
                    prop_assert_eq!(before + usize::try_from(lost).unwrap(), *waiting);
                    prop_assert_eq!(script.lost, 0);
                    *waiting = script.unread.len();
                }
                Action::Send(_) => script.done(),
                _ => return Ok(()),
            }
        };
        act(&mut script, &mut waiting)?;
        for (index, part) in parts.iter().enumerate() {
            if end == Some(index) {
                script.end();
                act(&mut script, &mut waiting)?;
            }
            if script.reads() {
                waiting += part.len();
            }
            script.feed(part);
            prop_assert!(script.unread.len() <= window);
            act(&mut script, &mut waiting)?;
            let account = script.account();
            let count = match account.split(' ').nth(1) {
                Some("received") => 0, // nothing received
                Some(count) => count.parse().unwrap(),
                None => unreachable!("{account}"),
            };
            prop_assert_eq!(count, waiting, "{}", account);
        }
    }
}
