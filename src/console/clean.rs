//! Strangers' text, made visible before it reaches a terminal.

use crate::visible;

/// A streaming filter: TAB and newline pass, every other control, bidi control and byte that is
/// not UTF-8 is written out (`\x1b`, `\r`, `\u{9b}`, `\xff`). A character split over two feeds is
/// shown whole.
#[derive(Debug, Default)]
pub struct Cleaner {
    /// The first bytes of a character whose rest has not come yet; three at most.
    begun: Vec<u8>,
}

impl Cleaner {
    /// Appends to `out` what can be shown of `bytes` by now.
    pub fn feed(&mut self, bytes: &[u8], out: &mut String) {
        let joined;
        let bytes = if self.begun.is_empty() {
            bytes
        } else {
            self.begun.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.begun);
            &joined
        };
        let (whole, begun) = bytes.split_at(bytes.len() - begun_at_end(bytes));
        visible::write(whole, &['\t', '\n'], out);
        self.begun.extend_from_slice(begun);
    }

    /// Appends what is left at the end: a character that never became whole.
    pub fn finish(&mut self, out: &mut String) {
        visible::write(&std::mem::take(&mut self.begun), &[], out);
    }
}

/// One whole line made visible; a newline inside it is written out too.
pub fn line(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    visible::write(bytes, &['\t'], &mut out);
    out
}

/// How many bytes at the end begin a character that more bytes could complete.
fn begun_at_end(bytes: &[u8]) -> usize {
    let could_go_on = |tail: &[u8]| {
        std::str::from_utf8(tail).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
    };
    (1..=bytes.len().min(3)).find(|&n| could_go_on(&bytes[bytes.len() - n..])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clean<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
        let (mut cleaner, mut out) = (Cleaner::default(), String::new());
        for part in parts {
            cleaner.feed(part, &mut out);
        }
        cleaner.finish(&mut out);
        out
    }

    #[test]
    fn what_acts_on_a_terminal_is_written_out() {
        let title = "\x1b]0;owned\x07\u{9b}2J\u{202e}txt\ttab\r\n";
        assert_eq!(clean([title.as_bytes()]), "\\x1b]0;owned\\x07\\u{9b}2J\\u{202e}txt\ttab\\r\n");
        // A bare 0x9B, CSI to an 8-bit terminal, is no UTF-8.
        assert_eq!(clean([b"\x9b2J".as_slice()]), r"\x9b2J");
    }

    #[test]
    fn a_character_is_held_back_only_until_it_is_whole_or_hopeless() {
        let (mut cleaner, mut out) = (Cleaner::default(), String::new());
        cleaner.feed(b"a\xe2\x82", &mut out);
        assert_eq!(out, "a");
        cleaner.feed(b"\xac", &mut out);
        assert_eq!(out, "a€");
        cleaner.feed(b"\xf0\x9f", &mut out);
        cleaner.feed(b"b", &mut out);
        assert_eq!(out, r"a€\xf0\x9fb");
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(line(b"a\nb\tc"), "a\\nb\tc");
    }

    /// Any bytes, and text rich in what has to be written out.
    fn strange() -> impl Strategy<Value = Vec<u8>> {
        let text = "[a-c\\PC\\x00-\\x20\\x7f-\\x{a0}\\x{200b}-\\x{2070}😀]{0,40}";
        prop_oneof![any::<Vec<u8>>(), text.prop_map(String::into_bytes)]
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_text(bytes in strange(), cuts in any::<[prop::sample::Index; 3]>()) {
            let mut cuts = cuts.map(|cut| cut.index(bytes.len() + 1));
            cuts.sort_unstable();
            let [a, b, c] = cuts;
            let parts = [&bytes[..a], &bytes[a..b], &bytes[b..c], &bytes[c..]];
            prop_assert_eq!(clean(parts), clean([&bytes[..]]));
            prop_assert_eq!(clean(bytes.chunks(1)), clean([&bytes[..]]));
        }

        #[test]
        fn no_control_passes(bytes in strange()) {
            let passes = |c| !visible::hidden(c) || c == '\t' || c == '\n';
            prop_assert!(clean([&bytes[..]]).chars().all(passes));
            prop_assert!(line(&bytes).chars().all(|c| !visible::hidden(c) || c == '\t'));
        }

        #[test]
        fn plain_text_stays_as_it_is(text in "[ -~äß漢字]{0,40}") {
            prop_assert_eq!(clean([text.as_bytes()]), text);
        }
    }
}
