//! TEXT: bytes as written on the command line (`--send`, `--reply`), and back for records.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::deadline::Deadline;
use super::file;
use crate::exit::{Failure, quoted};
use crate::sanitize;

const ESCAPES: &str = r"escapes are \n \r \t \0 \\ \xHH";

/// The bytes a TEXT stands for: its escapes `\n \r \t \0 \\ \xHH` carried out, or, behind a
/// leading `@`, what the file of that name holds, verbatim. A literal `@` first is `\x40`.
pub fn parse(word: &OsStr) -> Result<Vec<u8>, Failure> {
    match word.as_bytes().strip_prefix(b"@") {
        Some([]) => Err(Failure::usage(r"'@': a file name is missing; a literal @ first is \x40")),
        Some(file) => file::read(OsStr::from_bytes(file), u64::MAX, Deadline::of_run()),
        None => unescape(word),
    }
}

fn unescape(word: &OsStr) -> Result<Vec<u8>, Failure> {
    let mut rest = word.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some(plain) = rest.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&rest[..plain]);
        let escape = &rest[plain..];
        let (byte, length) = match *escape {
            [_, b'n', ..] => (b'\n', 2),
            [_, b'r', ..] => (b'\r', 2),
            [_, b't', ..] => (b'\t', 2),
            [_, b'0', ..] => (0, 2),
            [_, b'\\', ..] => (b'\\', 2),
            [_, b'x', high, low, ..] => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => (high << 4 | low, 4),
                _ => return Err(unknown(escape, word)),
            },
            _ => return Err(unknown(escape, word)),
        };
        out.push(byte);
        rest = &escape[length..];
    }
    out.extend_from_slice(rest);
    Ok(out)
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

/// The failure for what `rest`, the end of `word`, begins with.
fn unknown(rest: &[u8], word: &OsStr) -> Failure {
    let rest = String::from_utf8_lossy(rest);
    let length = if rest.starts_with(r"\x") { 4 } else { 2 };
    let escape: String = rest.chars().take(length).collect();
    let (escape, word) = (quoted(&*escape), quoted(word));
    Failure::usage(format!("unknown escape {escape} in {word}; {ESCAPES}"))
}

/// Writes bytes as TEXT in one line: printable UTF-8 as it is, backslashes and controls as
/// escapes, each byte of any other hidden character or of what is not UTF-8 as `\xHH`.
///
/// [`parse`] reads it back to the same bytes, with one exception: a leading `@` stays, and would
/// be read as a file's name.
pub fn show(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str(r"\n"),
                '\r' => out.push_str(r"\r"),
                '\t' => out.push_str(r"\t"),
                '\0' => out.push_str(r"\0"),
                '\\' => out.push_str(r"\\"),
                c if sanitize::hidden(c) => {
                    for &byte in c.encode_utf8(&mut [0; 4]).as_bytes() {
                        sanitize::escape_byte(byte, &mut out);
                    }
                }
                c => out.push(c),
            }
        }
        for &byte in chunk.invalid() {
            sanitize::escape_byte(byte, &mut out);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::exit::Exit;
    use proptest::prelude::*;

    fn refusal(word: impl AsRef<OsStr>) -> String {
        let failure = parse(word.as_ref()).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        failure.to_string()
    }

    #[test]
    fn every_escape() {
        let text = parse(OsStr::new(r"a\n\r\t\0\\\x41\xfFé\\n")).unwrap();
        assert_eq!(text, b"a\n\r\t\0\\A\xff\xc3\xa9\\n");
        let raw = OsStr::from_bytes(b"raw \xff\n");
        assert_eq!(parse(raw).unwrap(), b"raw \xff\n");
        assert_eq!(parse(OsStr::new("")).unwrap(), b"");
        assert_eq!(parse(OsStr::new(r"\x40a@b")).unwrap(), b"@a@b");
    }

    #[test]
    fn any_other_escape_is_shown_and_refused() {
        assert_eq!(
            refusal(r"hi\q!"),
            r"unknown escape '\q' in 'hi\q!'; escapes are \n \r \t \0 \\ \xHH"
        );
        for (word, escape) in [
            (r"\xg0", r"'\xg0'"),
            (r"\x4", r"'\x4'"),
            (r"\x", r"'\x'"),
            ("\\", r"'\'"),
            (r"\é", r"'\é'"),
            ("\\\u{1b}", r"'\\x1b'"),
            (r"\N", r"'\N'"),
        ] {
            let refusal = refusal(word);
            assert!(refusal.contains(&format!("unknown escape {escape} ")), "{refusal}");
        }
    }

    #[test]
    fn a_file_is_read_verbatim() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, b"\\n\xff\n").unwrap();
        let mut word = std::ffi::OsString::from("@");
        word.push(&file);
        assert_eq!(parse(&word).unwrap(), b"\\n\xff\n");
        assert_eq!(
            refusal("@/nonexistent/x"),
            "read '/nonexistent/x': no such file or directory (ENOENT 2)"
        );
        assert!(refusal("@").contains("file name is missing"));
    }

    #[test]
    fn a_record_is_one_line_of_text() {
        assert_eq!(show("né\n\r\t\0\\".as_bytes()), r"né\n\r\t\0\\");
        assert_eq!(show(b"\x1b\x7f\xff"), r"\x1b\x7f\xff");
        assert_eq!(show("\u{9b}\u{202e}".as_bytes()), r"\xc2\x9b\xe2\x80\xae");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(
            bytes in prop_oneof![
                any::<Vec<u8>>(),
                "[\\x00-\\xa0\\\\n0x\\x{2028}-\\x{202f}é]{0,30}".prop_map(String::into_bytes),
            ]
        ) {
            let shown = show(&bytes);
            prop_assert!(!shown.chars().any(sanitize::hidden));
            prop_assert!(bytes.starts_with(b"@") || parse(OsStr::new(&shown)).unwrap() == bytes);
        }

        #[test]
        fn nothing_panics(word in "\\PC*|[\\\\nx0-9a-f]*") {
            if !word.starts_with('@') {
                let _ = parse(OsStr::new(&word));
            }
        }
    }
}
