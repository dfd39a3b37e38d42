//! Which characters must not be shown as they are, and how they are written instead.
//!
//! The one notation of error lines, addresses and what strangers send to a terminal.

/// Whether a character acts on a terminal, turns the direction of text, or hides in it: C0, DEL,
/// C1, the bidi controls of UAX #9, line and paragraph separators, and the invisible format
/// characters. ZWNJ and ZWJ are not: Persian, Indic scripts and emoji are misspelt without them.
pub fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' // soft hyphen
            | '\u{61c}' // Arabic letter mark
            | '\u{200b}' // zero width space
            | '\u{200e}'..='\u{200f}' // left-to-right and right-to-left mark
            | '\u{2028}'..='\u{202e}' // separators; embeddings and overrides
            | '\u{2060}'..='\u{206f}' // word joiner, invisible operators, isolates
            | '\u{feff}' // zero width no-break space
            | '\u{fff9}'..='\u{fffb}' // interlinear annotation
            | '\u{e0000}'..='\u{e007f}') // tags: ASCII in invisible ink
}

/// Appends `bytes` to `out`, hidden characters except those in `kept` as `\n`, `\t`, `\r`,
/// `\x1b`, `\u{9b}`, and bytes that are not UTF-8 as `\xff`.
pub fn write(bytes: &[u8], kept: &[char], out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                c if !hidden(c) || kept.contains(&c) => out.push(c),
                '\n' | '\t' | '\r' => out.extend(c.escape_default()),
                c if c.is_ascii() => write_byte(c as u8, out),
                c => out.extend(c.escape_unicode()),
            }
        }
        for &byte in chunk.invalid() {
            write_byte(byte, out);
        }
    }
}

/// All of `bytes` in one visible line.
pub fn line(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    write(bytes, &[], &mut out);
    out
}

/// Appends one byte as `\xHH`.
pub fn write_byte(byte: u8, out: &mut String) {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    out.extend(['\\', 'x', digit(byte >> 4), digit(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
