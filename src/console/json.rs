//! JSON lines: an object a line, safe to show on a terminal.

use std::fmt::Write;

use serde::Serialize;

use crate::sanitize::hidden;

/// The object as one line, without its newline. `serde_json` escapes C0 alone; the other hidden
/// characters can only be inside of strings, where each is written as `\uXXXX`.
pub fn line(object: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string(object)?;
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(line, "\\u{unit:04x}");
            }
        } else {
            line.push(c);
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn hidden_characters_are_escaped_and_mean_the_same() {
        let text = "a\n\x1b\x7f\u{9b}\u{ad}\u{202e}\u{e0041}é😀\"";
        let escaped = line(&text).unwrap();
        assert_eq!(escaped, r#""a\n\u001b\u007f\u009b\u00ad\u202e\udb40\udc41é😀\"""#);
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }
}
