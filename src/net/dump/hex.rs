//! The lines of `--hex`: eight bytes each, so that a label, the time and the offset fit beside them into
//! 78 columns.

use std::fmt::Write as _;
use std::time::Duration;

use super::Direction;

/// How many bytes a line shows. With sixteen, as hexdump(1) has them, a time and an offset of eight
/// digits alone are more than 78 columns.
const WIDTH: usize = 8;

/// The hex dump of one connection, with offsets of its own in each direction.
///
/// A line is `> 0.001234 00000000  68 65 6c 6c 6f 0a        |hello.|`: `>` sent or `<` received,
/// seconds since the connection was opened, the offset in that direction, the bytes, their text. Ten
/// million connections, eleven days and 16 TiB fit into 78 columns; what is beyond makes it wider.
pub struct HexLines {
    label: String,
    sent: u64,
    received: u64,
}

impl HexLines {
    /// Nothing is dumped yet. Each line begins with the label.
    pub fn new(label: String) -> Self {
        Self { label, sent: 0, received: 0 }
    }

    /// The lines of bytes that went over the connection together. An empty datagram is a line without
    /// bytes.
    pub fn format(&mut self, direction: Direction, elapsed: Duration, bytes: &[u8]) -> String {
        let offset = match direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        };
        let head = format!("{}{} {:.6} ", self.label, direction.arrow(), elapsed.as_secs_f64());
        let mut text = String::new();
        let empty = bytes.is_empty().then_some(bytes);
        for row in bytes.chunks(WIDTH).chain(empty) {
            text.push_str(&head);
            push_row(&mut text, *offset, row);
            *offset += row.len() as u64;
        }
        text
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends one line in the format of hexdump(1) `-C`: the bytes, then their text.
fn push_row(text: &mut String, offset: u64, row: &[u8]) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{offset:08x}  ");
    for place in 0..WIDTH {
        match row.get(place) {
            Some(&byte) => {
                text.push(char::from(DIGITS[usize::from(byte >> 4)]));
                text.push(char::from(DIGITS[usize::from(byte & 15)]));
                text.push(' ');
            }
            None => text.push_str("   "),
        }
    }
    text.push_str(" |");
    text.extend(row.iter().map(|&byte| match byte {
        b' '..=b'~' => char::from(byte),
        _ => '.',
    }));
    text.push_str("|\n");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use proptest::prelude::*;

    fn dump(label: &str, records: &[(Direction, &[u8])]) -> String {
        let mut dump = HexLines::new(label.into());
        let elapsed = Duration::from_micros(1234);
        records.iter().map(|(direction, bytes)| dump.format(*direction, elapsed, bytes)).collect()
    }

    #[test]
    fn a_line_is_as_hexdump_c_has_it() {
        assert_eq!(
            dump("", &[(Direction::Sent, b"hello\n")]),
            "> 0.001234 00000000  68 65 6c 6c 6f 0a        |hello.|\n"
        );
        assert_eq!(
            dump("", &[(Direction::Received, b"01234567\x7f")]),
            "< 0.001234 00000000  30 31 32 33 34 35 36 37  |01234567|\n\
             < 0.001234 00000008  7f                       |.|\n"
        );
    }

    #[test]
    fn each_direction_counts_its_own_bytes() {
        let text = dump(
            "[3] ",
            &[
                (Direction::Sent, b"abc"),
                (Direction::Received, b"de"),
                (Direction::Sent, b""),
                (Direction::Sent, b"f"),
            ],
        );
        let heads: Vec<_> = text.lines().map(|line| &line[..23]).collect();
        assert_eq!(
            heads,
            [
                "[3] > 0.001234 00000000",
                "[3] < 0.001234 00000000",
                "[3] > 0.001234 00000003",
                "[3] > 0.001234 00000003",
            ]
        );
    }

    /// Ten million connections, eleven days, 16 TiB.
    #[test]
    fn no_line_is_wider_than_78_columns() {
        let mut dump = HexLines::new("[9999999] ".into());
        dump.sent = (1 << 44) - 8;
        let elapsed = Duration::from_micros(999_999_999_999);
        let line = dump.format(Direction::Sent, elapsed, b"01234567");
        let wanted = "[9999999] > 999999.999999 ffffffffff8  30 31 32 33 34 35 36 37  |01234567|\n";
        assert_eq!(line, wanted);
        assert!(line.trim_end().len() <= 78);
    }

    proptest! {
        #[test]
        fn every_byte_can_be_read_back(bytes: Vec<u8>, cut: prop::sample::Index) {
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let text = dump("", &[(Direction::Sent, first), (Direction::Sent, second)]);
            let read: Vec<u8> = text
                .lines()
                .flat_map(|line| line[21..45].split_whitespace())
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect();
            prop_assert_eq!(read, bytes);
        }
    }
}
