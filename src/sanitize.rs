//! Escaping untrusted text: which characters may not reach a terminal, and how they are written
//! instead. The one notation of error lines, addresses and what peers send.

pub mod names;

/// Whether a character acts on a terminal, turns the direction of text, or hides in it: C0, DEL,
/// C1, the bidi controls of UAX #9, line and paragraph separators, and the invisible format
/// characters. ZWNJ and ZWJ are not: Persian, Indic scripts and emoji are misspelt without them.
pub fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' // soft hyphen
            | '\u{61c}' // Arabic letter mark
            | '\u{180e}' // Mongolian vowel separator
            | '\u{200b}' // zero width space
            | '\u{200e}'..='\u{200f}' // left-to-right and right-to-left mark
            | '\u{2028}'..='\u{202e}' // separators; embeddings and overrides
            | '\u{2060}'..='\u{206f}' // word joiner, invisible operators, isolates
            | '\u{feff}' // zero width no-break space
            | '\u{fff9}'..='\u{fffb}' // interlinear annotation
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' // of shorthand and of music
            | '\u{e0000}'..='\u{e007f}') // tags: ASCII in invisible ink
}

/// Appends `bytes` to `out`, hidden characters except those in `kept` as `\n`, `\t`, `\r`,
/// `\x1b`, `\u{9b}`, and bytes that are not UTF-8 as `\xff`.
pub fn escape(bytes: &[u8], kept: &[char], out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                c if !hidden(c) || kept.contains(&c) => out.push(c),
                '\n' | '\t' | '\r' => out.extend(c.escape_default()),
                c if c.is_ascii() => escape_byte(c as u8, out),
                c => out.extend(c.escape_unicode()),
            }
        }
        for &byte in chunk.invalid() {
            escape_byte(byte, out);
        }
    }
}

/// `bytes` as one line: every hidden character is escaped.
pub fn line(bytes: &[u8]) -> String {
    one_line(bytes, &[])
}

/// A received line for people: as [`line()`], but a TAB stays.
pub fn text(bytes: &[u8]) -> String {
    one_line(bytes, &['\t'])
}

fn one_line(bytes: &[u8], kept: &[char]) -> String {
    let mut out = String::with_capacity(bytes.len());
    escape(bytes, kept, &mut out);
    out
}

/// Appends one byte as `\xHH`.
pub fn escape_byte(byte: u8, out: &mut String) {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    out.extend(['\\', 'x', digit(byte >> 4), digit(byte & 15)]);
}

/// Escapes a stream: TAB and newline pass, every other control, bidi control and byte that is not
/// UTF-8 is escaped (`\x1b`, `\r`, `\u{9b}`, `\xff`). A character split over two feeds stays whole.
#[derive(Debug, Default)]
pub struct Sanitizer {
    /// The first bytes of a character whose rest has not come yet; three at most.
    begun: Vec<u8>,
}

impl Sanitizer {
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
        escape(whole, &['\t', '\n'], out);
        self.begun.extend_from_slice(begun);
    }

    /// Appends what is left at the end: a character that never became whole.
    pub fn finish(&mut self, out: &mut String) {
        escape(&std::mem::take(&mut self.begun), &[], out);
    }
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

    fn sanitized<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
        let (mut sanitizer, mut out) = (Sanitizer::default(), String::new());
        for part in parts {
            sanitizer.feed(part, &mut out);
        }
        sanitizer.finish(&mut out);
        out
    }

    #[test]
    fn each_kind_of_hidden_character_has_its_notation() {
        assert_eq!(
            line("a\n\t\r\x1b\x7f\u{9b}\u{202e}\u{2028}\u{e0041}é".as_bytes()),
            r"a\n\t\r\x1b\x7f\u{9b}\u{202e}\u{2028}\u{e0041}é"
        );
        assert_eq!(line(b"\xff\xe2\x82!"), r"\xff\xe2\x82!");
    }

    #[test]
    fn joiners_that_scripts_need_stay() {
        let text = "می\u{200c}خواهم 👩\u{200d}🚀";
        assert_eq!(line(text.as_bytes()), text);
    }

    #[test]
    fn what_acts_on_a_terminal_is_written_out() {
        let title = "\x1b]0;owned\x07\u{9b}2J\u{202e}txt\ttab\r\n";
        assert_eq!(
            sanitized([title.as_bytes()]),
            "\\x1b]0;owned\\x07\\u{9b}2J\\u{202e}txt\ttab\\r\n"
        );
        // A bare 0x9B, CSI to an 8-bit terminal, is no UTF-8.
        assert_eq!(sanitized([b"\x9b2J".as_slice()]), r"\x9b2J");
    }

    #[test]
    fn a_character_is_held_back_only_until_it_is_whole_or_hopeless() {
        let (mut sanitizer, mut out) = (Sanitizer::default(), String::new());
        sanitizer.feed(b"a\xe2\x82", &mut out);
        assert_eq!(out, "a");
        sanitizer.feed(b"\xac", &mut out);
        assert_eq!(out, "a€");
        sanitizer.feed(b"\xf0\x9f", &mut out);
        sanitizer.feed(b"b", &mut out);
        assert_eq!(out, r"a€\xf0\x9fb");
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(text(b"a\nb\tc"), "a\\nb\tc");
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
            prop_assert_eq!(sanitized(parts), sanitized([&bytes[..]]));
            prop_assert_eq!(sanitized(bytes.chunks(1)), sanitized([&bytes[..]]));
        }

        #[test]
        fn no_control_passes(bytes in strange()) {
            let passes = |c| !hidden(c) || c == '\t' || c == '\n';
            prop_assert!(sanitized([&bytes[..]]).chars().all(passes));
            prop_assert!(text(&bytes).chars().all(|c| !hidden(c) || c == '\t'));
        }

        #[test]
        fn plain_text_stays_as_it_is(text in "[ -~äß漢字]{0,40}") {
            prop_assert_eq!(sanitized([text.as_bytes()]), text);
        }
    }
}
