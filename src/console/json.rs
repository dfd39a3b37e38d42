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
