//! Lines out of a stream of bytes, and line ends into one; whatever pieces the bytes come in.

use std::borrow::Cow;

/// The handling of a line that is longer than the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlong {
    /// It counts as several lines of exactly `cap` bytes and a rest.
    Split,
    /// Its first `cap` bytes are the line; the rest is dropped.
    Cut,
}

/// What is kept of the buffer after a line that came in pieces: most come whole, and many
/// splitters are idle.
const KEPT: usize = 64;

/// Splits a stream into lines, which end in LF or CRLF. Holds `cap` bytes of it at most; the
/// first `cap` bytes of a line are delivered without waiting for its end.
#[derive(Debug)]
pub struct Lines {
    cap: usize,
    overlong: Overlong,
    /// The beginning of a line whose end has not come yet.
    held: Vec<u8>,
    /// A piece of this line was delivered already: a line end right behind it adds no line.
    begun: bool,
    /// Dropping the rest of a cut line.
    dropping: bool,
}

impl Lines {
    /// A splitter for lines of up to `cap` bytes, which must not be 0, line ends not counted.
    pub fn new(cap: usize, overlong: Overlong) -> Self {
        Self { cap: cap.max(1), overlong, held: Vec::new(), begun: false, dropping: false }
    }

    /// Takes the next bytes; `each` gets every line they complete, without its LF and without a
    /// CR right before that.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.held.is_empty() && !self.dropping {
                self.whole(line, &mut each);
            } else {
                self.hold(line, &mut each);
                let held = std::mem::take(&mut self.held);
                if !self.dropping {
                    self.whole(&held, &mut each);
                }
                if held.capacity() <= KEPT {
                    self.held = held;
                    self.held.clear();
                }
            }
            self.begun = false;
            self.dropping = false;
            bytes = rest;
        }
        self.hold(bytes, &mut each);
    }

    /// The beginning of a line whose end has not come yet.
    pub fn partial(&self) -> &[u8] {
        &self.held
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

    /// A line, or the last piece of one, whose LF has come.
    fn whole(&self, line: &[u8], each: &mut impl FnMut(&[u8])) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() && !self.begun {
            each(line);
        }
        let pieces = match self.overlong {
            Overlong::Split => usize::MAX,
            Overlong::Cut => 1,
        };
        line.chunks(self.cap).take(pieces).for_each(each);
    }

    /// Keeps bytes that are no line end, and delivers pieces as long as the cap.
    fn hold(&mut self, mut bytes: &[u8], each: &mut impl FnMut(&[u8])) {
        while !bytes.is_empty() && !self.dropping {
            let room = self.cap - self.held.len();
            let (taken, rest) = bytes.split_at(room.min(bytes.len()));
            self.held.extend_from_slice(taken);
            bytes = rest;
            // A CR in the last place waits for the next byte: it may belong to the line end.
            let full = self.held.len() == self.cap;
            if full && (!self.held.ends_with(b"\r") || !bytes.is_empty()) {
                each(&self.held);
                self.held.clear();
                self.begun = true;
                self.dropping = self.overlong == Overlong::Cut;
            }
        }
    }
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
        for part in parts {
            splitter.feed(part, |line| lines.push(line.to_vec()));
            assert!(splitter.partial().len() <= cap, "holds no more than the cap");
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
        let mut lines = Vec::new();
        splitter.feed(b"hi", |_| ());
        assert_eq!(splitter.take_partial(), Some(b"hi".to_vec()));
        assert_eq!(splitter.take_partial(), None);
        splitter.feed(b"\r\n\nyes\n", |line| lines.push(line.to_vec()));
        assert_eq!(lines, [b"".to_vec(), b"yes".to_vec()]);
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
