use super::*;
use proptest::prelude::*;

/// The lines of `parts`, and what is left at the end.
fn lines<'a>(
    cap: usize,
    overlong: Overlong,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
    let mut splitter = Lines::new(cap, overlong);
    let mut lines = Vec::new();
    for mut part in parts {
        while let Some(line) = splitter.next(&mut part) {
            lines.push(line.into_owned());
        }
        assert!(splitter.held.len() <= cap, "holds no more than the cap");
    }
    (lines, splitter.take_partial())
}

/// The same, as text: `a|b|` is two lines, `a|b` one and a rest.
fn shown(cap: usize, overlong: Overlong, parts: &[&str]) -> String {
    let (lines, rest) = lines(cap, overlong, parts.iter().map(|part| part.as_bytes()));
    let mut all: Vec<_> = lines.iter().map(|line| line.escape_ascii().to_string()).collect();
    all.push(rest.unwrap_or_default().escape_ascii().to_string());
    all.join("|")
}

#[test]
fn line_ends_are_lf_and_crlf() {
    let split = |parts: &[&str]| shown(100, Overlong::Split, parts);
    assert_eq!(split(&["a\nb\r\n\n\r\nc"]), "a|b|||c");
    assert_eq!(split(&["a\rb\r\r\nc\r"]), r"a\rb\r|c\r");
    assert_eq!(split(&["a", "b\r", "\n", "c"]), "ab|c");
    assert_eq!(split(&[]), "");
}

#[test]
fn a_cr_may_belong_to_the_line() {
    let mut splitter = Lines::new(3, Overlong::Split).keeping_cr();
    let mut bytes = &b"a\r\n\r\nbc\r\nd"[..];
    for wanted in ["a\r", "\r", "bc\r"] {
        assert_eq!(splitter.next(&mut bytes).as_deref(), Some(wanted.as_bytes()));
    }
    assert_eq!(splitter.next(&mut bytes), None);
    assert_eq!(splitter.take_partial(), Some(b"d".to_vec()));
}

#[test]
fn an_overlong_line_is_split_or_cut() {
    for (text, split, cut) in [
        ("abcdefg\nh", "abc|def|g|h", "abc|h"),
        ("abcdef\nh", "abc|def|h", "abc|h"),
        ("abc\nh\n", "abc|h|", "abc|h|"),
        ("abc\r\nh", "abc|h", "abc|h"),
        ("ab\r\nh", "ab|h", "ab|h"),
        ("ab\rcd\n", r"ab\r|cd|", r"ab\r|"),
        ("abcdef", "abc|def|", "abc|"),
        ("abc\n\n", "abc||", "abc||"),
    ] {
        assert_eq!(shown(3, Overlong::Split, &[text]), split, "{text:?}");
        assert_eq!(shown(3, Overlong::Cut, &[text]), cut, "{text:?}");
    }
}

#[test]
fn a_taken_partial_is_ended_by_the_line_end_that_follows() {
    let mut splitter = Lines::new(100, Overlong::Split);
    assert_eq!(splitter.next(&mut &b"hi"[..]), None);
    assert_eq!(splitter.take_partial(), Some(b"hi".to_vec()));
    assert_eq!(splitter.take_partial(), None);
    let mut bytes = &b"\r\n\nyes\n"[..];
    assert_eq!(splitter.next(&mut bytes).as_deref(), Some(&b""[..]));
    assert_eq!(splitter.next(&mut bytes).as_deref(), Some(&b"yes"[..]));
    assert_eq!(splitter.next(&mut bytes), None);
}

#[test]
fn the_cr_is_added_only_where_it_is_missing() {
    let (mut ends, mut out) = (LineEnds::new(true), Vec::new());
    for part in ["a\nb\r\n\n", "\n", "c\r", "\nd\r", "", "\n\re\n"] {
        out.extend_from_slice(&ends.convert(part.as_bytes()));
    }
    let text = String::from_utf8_lossy(&out);
    assert_eq!(text, "a\r\nb\r\n\r\n\r\nc\r\nd\r\n\re\r\n");
}

#[test]
fn each_line_has_its_prefix_and_nothing_else() {
    let mut prefix = LinePrefix::default();
    let parts = ["a\nb", "c\n", "\n", "", "\r\n\nd"];
    let out: Vec<_> = parts.map(|part| prefix.insert("> ", part.as_bytes())).concat();
    assert_eq!(String::from_utf8_lossy(&out), "> a\n> bc\n> \n> \r\n> \n> d");
}

/// Bytes rich in line ends, and three places to cut them at.
fn stream() -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    let byte = prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()];
    prop::collection::vec(byte, 0..60).prop_flat_map(|bytes| {
        let cuts = prop::collection::vec(0..=bytes.len(), 3);
        (Just(bytes), cuts)
    })
}

fn parts<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts = cuts.to_vec();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_split_gives_the_same_lines((bytes, cuts) in stream(), cap in 1usize..8, split: bool) {
        let overlong = if split { Overlong::Split } else { Overlong::Cut };
        let whole = lines(cap, overlong, [&bytes[..]]);
        prop_assert_eq!(&lines(cap, overlong, parts(&bytes, &cuts)), &whole);
        prop_assert_eq!(&lines(cap, overlong, bytes.chunks(1)), &whole);
        prop_assert!(whole.0.iter().all(|line| line.len() <= cap));
    }

    #[test]
    fn short_lines_are_those_of_the_text((bytes, _) in stream()) {
        let (all, rest) = lines(100, Overlong::Split, [&bytes[..]]);
        let strip = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        let mut expected: Vec<_> = bytes.split(|&byte| byte == b'\n').collect();
        let last = expected.pop().unwrap_or_default();
        prop_assert_eq!(rest.unwrap_or_default(), last);
        let expected: Vec<_> = expected.into_iter().map(strip).collect();
        prop_assert_eq!(all, expected);
    }

    #[test]
    fn any_split_gives_the_same_crlf((bytes, cuts) in stream()) {
        let run = |parts: Vec<&[u8]>| {
            let mut ends = LineEnds::new(true);
            parts.iter().flat_map(|part| ends.convert(part).into_owned()).collect::<Vec<_>>()
        };
        let whole = run(vec![&bytes]);
        prop_assert_eq!(&run(parts(&bytes, &cuts)), &whole);
        prop_assert_eq!(&run(vec![&whole]), &whole, "what has its CRs stays as it is");
        prop_assert!(!whole.starts_with(b"\n"));
        prop_assert!(whole.windows(2).all(|pair| pair[1] != b'\n' || pair[0] == b'\r'));
    }
}
