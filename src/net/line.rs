//! Lines out of a stream of bytes, and line ends into one; whatever pieces the bytes come in.

use std::borrow::Cow;
use std::time::{Duration, Instant};

/// The handling of a line that is longer than the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlong {
    /// It counts as several lines of exactly `cap` bytes and a rest.
    Split,
    /// Its first `cap` bytes are the line; the rest is dropped.
    Cut,
}

/// Splits a stream into lines, which end in LF or CRLF. Holds `cap` bytes of it at most; the
/// first `cap` bytes of a line are delivered without waiting for its end.
#[derive(Debug)]
pub struct Lines {
    cap: usize,
    overlong: Overlong,
    /// A line ends in LF alone: a CR before it belongs to the line.
    keeps_cr: bool,
    /// The beginning of a line whose end has not come yet.
    held: Vec<u8>,
    /// When the last of it came.
    last: Instant,
    /// A piece of this line was delivered already: a line end right behind it adds no line.
    begun: bool,
    /// Dropping the rest of a cut line.
    dropping: bool,
}

impl Lines {
    /// A splitter for lines of up to `cap` bytes, which must not be 0, line ends not counted.
    pub fn new(cap: usize, overlong: Overlong) -> Self {
        let (held, last) = (Vec::new(), Instant::now());
        let (cap, keeps_cr) = (cap.max(1), false);
        Self { cap, overlong, keeps_cr, held, last, begun: false, dropping: false }
    }

    /// The same for lines that end in LF alone.
    #[must_use]
    pub fn keeping_cr(mut self) -> Self {
        self.keeps_cr = true;
        self
    }

    /// The next line that `bytes` complete, without its end. What was used is taken off `bytes`: all
    /// of them, where there is no line.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Cow<'a, [u8]>> {
        while !bytes.is_empty() {
            if self.dropping {
                let end = memchr::memchr(b'\n', bytes);
                *bytes = &bytes[end.map_or(bytes.len(), |end| end + 1)..];
                self.dropping = end.is_none();
                self.begun = self.dropping;
                continue;
            }
            let room = self.cap - self.held.len();
            let end = memchr::memchr(b'\n', &bytes[..bytes.len().min(room + 1)]);
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len().min(room)));
            if end.is_some() {
                *bytes = &rest[1..];
                let line = self.join(piece);
                let line = if self.keeps_cr { line } else { without_cr(line) };
                if !std::mem::take(&mut self.begun) || !line.is_empty() {
                    return Some(line);
                }
                continue;
            }
            *bytes = rest;
            // A CR in the last place waits for the next byte: it may belong to the line end.
            let may_end = !self.keeps_cr && piece.ends_with(b"\r") && rest.is_empty();
            if piece.len() == room && !may_end {
                self.begun = true;
                self.dropping = self.overlong == Overlong::Cut;
                return Some(self.join(piece));
            }
            self.held.extend_from_slice(piece);
            self.last = Instant::now();
        }
        None
    }

    /// Whether the beginning of a line waits for its end.
    pub fn has_partial(&self) -> bool {
        !self.held.is_empty()
    }

    /// When that beginning has waited so long for more; `None` where there is none.
    pub fn due(&self, quiet: Duration) -> Option<Instant> {
        self.has_partial().then(|| self.last + quiet)
    }

    /// Takes that beginning as a line of its own: after a pause, and at the end of the stream. A CR
    /// at its end stays: a LF may still follow, which then adds no empty line.
    pub fn take_partial(&mut self) -> Option<Vec<u8>> {
        if self.held.is_empty() {
            return None;
        }
        self.begun = true;
        Some(std::mem::take(&mut self.held))
    }

    /// What is held, with the rest of it.
    fn join<'a>(&mut self, rest: &'a [u8]) -> Cow<'a, [u8]> {
        if self.held.is_empty() {
            return Cow::Borrowed(rest);
        }
        self.held.extend_from_slice(rest);
        Cow::Owned(std::mem::take(&mut self.held))
    }
}

fn without_cr(mut line: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match &mut line {
        Cow::Borrowed(bytes) => *bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes),
        Cow::Owned(bytes) => _ = bytes.pop_if(|byte| *byte == b'\r'),
    }
    line
}

/// Line ends as they are sent: as they are, or as CRLF.
#[derive(Debug)]
pub struct LineEnds {
    crlf: bool,
    /// The last byte so far was a CR.
    after_cr: bool,
}

impl LineEnds {
    /// With `crlf` the CR is added where it is missing before a LF.
    pub fn new(crlf: bool) -> Self {
        Self { crlf, after_cr: false }
    }

    /// The next bytes as they are sent.
    pub fn convert<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.crlf {
            return bytes.into();
        }
        let mut out = Vec::with_capacity(bytes.len());
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if let Some(line) = piece.strip_suffix(b"\n") {
                out.extend_from_slice(line);
                if line.last().map_or(!self.after_cr, |&byte| byte != b'\r') {
                    out.push(b'\r');
                }
                out.push(b'\n');
            } else {
                out.extend_from_slice(piece);
            }
            self.after_cr = piece.ends_with(b"\r");
        }
        out.into()
    }
}

/// A prefix before each line of a stream; all else passes as it is.
#[derive(Debug, Default)]
pub struct LinePrefix {
    /// A line has begun and not ended.
    is_inside: bool,
}

impl LinePrefix {
    /// The next bytes, with the prefix before each line that begins in them.
    pub fn insert(&mut self, prefix: &str, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + prefix.len());
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if !self.is_inside {
                out.extend_from_slice(prefix.as_bytes());
            }
            out.extend_from_slice(piece);
            self.is_inside = !piece.ends_with(b"\n");
        }
        out
    }
}

#[cfg(test)]
mod tests {
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
}
