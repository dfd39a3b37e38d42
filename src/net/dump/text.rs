//! The lines of `--log`: the payload as text, a time and a direction before each line.

use std::fmt::Write as _;

use super::Direction;
use crate::net::line::{Lines, Overlong};
use crate::net::text;

/// A longer line is written in pieces of this many bytes.
const LINE: usize = 4 << 10;

/// The log of one connection.
///
/// A line is `12:30:05.120 < hello`: the local time at which its first byte went over the connection,
/// the label, `>` sent or `<` received, and the text without its newline. All that could pass for
/// another line, or act on a terminal, is an escape of TEXT, a CR before the newline too. What has no
/// newline waits for it until something goes the other way, the connection is over, or the line is too
/// long.
pub struct TextLines {
    sent: DirectionLines,
    received: DirectionLines,
}

/// One direction of it.
struct DirectionLines {
    /// What stands behind each time.
    head: String,
    lines: Lines,
    /// The time before the line that waits for its end.
    began: Option<String>,
}

impl TextLines {
    /// Nothing is logged yet. The label stands before each direction.
    pub fn new(label: &str) -> Self {
        let lines = |direction: Direction| DirectionLines {
            head: format!("{label}{}", direction.arrow()),
            lines: Lines::new(LINE, Overlong::Split).keeping_cr(),
            began: None,
        };
        Self { sent: lines(Direction::Sent), received: lines(Direction::Received) }
    }

    /// The lines that these bytes complete, behind what waits in the other direction.
    pub fn format(&mut self, direction: Direction, bytes: &[u8]) -> String {
        let (lines, other) = match direction {
            Direction::Sent => (&mut self.sent, &mut self.received),
            Direction::Received => (&mut self.received, &mut self.sent),
        };
        let mut out = String::new();
        other.end(&mut out);
        lines.feed(bytes, &mut out);
        out
    }

    /// A datagram as one line, without a newline at its end.
    pub fn datagram(&self, direction: Direction, bytes: &[u8]) -> String {
        let lines = match direction {
            Direction::Sent => &self.sent,
            Direction::Received => &self.received,
        };
        let mut out = String::new();
        lines.push(&time_of_day(), bytes.strip_suffix(b"\n").unwrap_or(bytes), &mut out);
        out
    }

    /// What waits for its end.
    pub fn end(&mut self) -> String {
        let mut out = String::new();
        self.sent.end(&mut out);
        self.received.end(&mut out);
        out
    }
}

impl DirectionLines {
    fn feed(&mut self, mut bytes: &[u8], out: &mut String) {
        let now = time_of_day();
        while let Some(line) = self.lines.next(&mut bytes) {
            let began = self.began.take();
            self.push(began.as_ref().unwrap_or(&now), &line, out);
        }
        if self.lines.has_partial() {
            self.began.get_or_insert(now);
        }
    }

    fn end(&mut self, out: &mut String) {
        if let (Some(line), Some(began)) = (self.lines.take_partial(), self.began.take()) {
            self.push(&began, &line, out);
        }
    }

    fn push(&self, time: &str, line: &[u8], out: &mut String) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{time} {} {}", self.head, text::show(line));
    }
}

fn time_of_day() -> String {
    jiff::ZonedDateTime::now().strftime("%H:%M:%S%.3f").to_string()
}

#[cfg(test)]
mod tests {
    use super::Direction::{Received, Sent};
    use super::*;
    use proptest::prelude::*;

    /// The log without its times, whose form is checked.
    fn log(label: &str, records: &[(Direction, &[u8])]) -> String {
        let mut log = TextLines::new(label);
        let mut out: String =
            records.iter().map(|(direction, bytes)| log.format(*direction, bytes)).collect();
        out += &log.end();
        untimed(&out)
    }

    fn untimed(log: &str) -> String {
        let lines = log.split_inclusive('\n').map(|line| {
            let (time, rest) = line.split_once(' ').unwrap();
            let digit = |c: char| if c.is_ascii_digit() { '9' } else { c };
            assert_eq!(time.chars().map(digit).collect::<String>(), "99:99:99.999");
            rest
        });
        lines.collect()
    }

    #[test]
    fn a_line_is_cut_at_newlines_across_reads() {
        assert_eq!(
            log("[3] ", &[(Received, b"HELO\r\nMA"), (Received, b"IL\n\nQU"), (Received, b"IT")]),
            "[3] < HELO\\r\n[3] < MAIL\n[3] < \n[3] < QUIT\n"
        );
        // An umlaut of two reads stays whole.
        assert_eq!(log("", &[(Sent, b"\xc3"), (Sent, b"\xa4\n")]), "> ä\n");
    }

    #[test]
    fn what_has_no_newline_is_written_when_the_direction_changes() {
        assert_eq!(
            log("", &[(Received, b"login: "), (Sent, b"anna\n"), (Received, b"\nhello\n")]),
            "< login: \n> anna\n< hello\n"
        );
        assert_eq!(log("", &[(Received, b"more?"), (Sent, b"\n")]), "< more?\n> \n");
        let mut waiting = TextLines::new("");
        assert_eq!(waiting.format(Received, b"login: "), "");
        assert_eq!(untimed(&waiting.end()), "< login: \n");
        assert_eq!(waiting.end(), "");
    }

    #[test]
    fn no_peer_can_forge_a_line() {
        assert_eq!(
            log("", &[(Received, b"\r12:00:00.000 > \x1b[A\\n\xff\xc2\x9b\n")]),
            "< \\r12:00:00.000 > \\x1b[A\\\\n\\xff\\xc2\\x9b\n"
        );
    }

    #[test]
    fn a_datagram_is_one_line() {
        let log = TextLines::new("");
        let mut out = log.datagram(Received, b"two\nlines\n");
        out += &log.datagram(Sent, b"");
        assert_eq!(untimed(&out), "< two\\nlines\n> \n");
    }

    #[test]
    fn a_long_line_is_written_in_pieces() {
        let long = [b'x'; 2 * LINE + 1];
        let pieces =
            log("", &[(Sent, &long[..LINE + 9]), (Sent, &long[LINE + 9..]), (Sent, b"\n")]);
        let lengths: Vec<usize> = pieces.lines().map(|line| line.len() - 2).collect();
        assert_eq!(lengths, [LINE, LINE, 1]);
        // A newline right behind a full piece ends that.
        assert_eq!(log("", &[(Sent, &long[..LINE]), (Sent, b"\n")]).lines().count(), 1);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_whatever_the_split(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            cut: prop::sample::Index,
        ) {
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let shown = log("", &[(Sent, first), (Sent, second)]);
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let lines = text.split(|&byte| byte == b'\n');
            let wanted: Vec<_> = lines.map(|line| format!("> {}\n", text::show(line))).collect();
            prop_assert_eq!(shown, if bytes.is_empty() { String::new() } else { wanted.concat() });
        }
    }
}
