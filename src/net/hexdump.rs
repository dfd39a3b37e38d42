//! `--hex`: what went over a connection, in both directions, as `hexdump -C` shows it.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use crate::exit::{During, Exit, Failure};

/// How many bytes a line shows.
const WIDTH: usize = 16;

/// How many bytes are dumped with one write.
const RECORD: usize = 16 << 10;

/// A dump's destination, shared by all connections.
#[derive(Clone)]
pub struct Dump {
    name: Rc<str>,
    out: Rc<RefCell<Box<dyn Write>>>,
}

impl Dump {
    /// A dump to `out`, which gets whole records; `name` is what failures call it.
    pub fn to(name: &str, out: Box<dyn Write>) -> Self {
        Self { name: name.into(), out: Rc::new(RefCell::new(out)) }
    }
}

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From us to the peer.
    Sent,
    /// From the peer to us.
    Received,
}

/// The dump of one connection. Connections have a `HexDump` each, with offsets of its own, over a
/// shared [`Dump`].
///
/// A line is `> 0.001234 00000000  68 65 … 0a  |hello.|`: `>` sent or `<` received, seconds since
/// the start, the offset in that direction, the bytes; `[ID] ` before it where there is an id.
pub struct HexDump {
    out: Dump,
    id: Option<u64>,
    sent: u64,
    received: u64,
}

impl HexDump {
    /// A dump to `out`; a server gives the `id` of the client.
    pub fn new(out: Dump, id: Option<u64>) -> Self {
        Self { out, id, sent: 0, received: 0 }
    }

    /// Dumps bytes that went over the connection together, whole lines at a time: those of several
    /// connections do not mix. A failure is one of local output.
    pub fn record(
        &mut self,
        direction: Direction,
        elapsed: Duration,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let empty = bytes.is_empty().then_some(bytes);
        bytes.chunks(RECORD).chain(empty).try_for_each(|bytes| {
            let text = self.format(direction, elapsed, bytes);
            let written = self.out.out.borrow_mut().write_all(text.as_bytes());
            written.during("write the hex dump", &self.out.name).map_err(|e| e.exit(Exit::Output))
        })
    }

    /// The lines of a record. An empty datagram is a line without bytes.
    fn format(&mut self, direction: Direction, elapsed: Duration, bytes: &[u8]) -> String {
        let (arrow, offset) = match direction {
            Direction::Sent => ('>', &mut self.sent),
            Direction::Received => ('<', &mut self.received),
        };
        let label = self.id.map(|id| format!("[{id}] ")).unwrap_or_default();
        let head = format!("{label}{arrow} {:.6} ", elapsed.as_secs_f64());
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

/// Appends one line in the format of hexdump(1) `-C`: eight and eight bytes, then their text.
fn push_row(text: &mut String, offset: u64, row: &[u8]) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{offset:08x} ");
    for place in 0..WIDTH {
        if place % 8 == 0 {
            text.push(' ');
        }
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

    fn dump(id: Option<u64>, records: &[(Direction, &[u8])]) -> String {
        let mut dump = HexDump::new(Dump::to("", Box::new(std::io::sink())), id);
        let elapsed = Duration::from_micros(1234);
        records.iter().map(|(direction, bytes)| dump.format(*direction, elapsed, bytes)).collect()
    }

    #[test]
    fn a_line_is_as_hexdump_c_has_it() {
        assert_eq!(
            dump(None, &[(Direction::Sent, b"hello\n")]),
            "> 0.001234 00000000  68 65 6c 6c 6f 0a                                 |hello.|\n"
        );
        assert_eq!(
            dump(None, &[(Direction::Received, b"0123456789abcdef\x7f")]),
            "< 0.001234 00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n\
             < 0.001234 00000010  7f                                                |.|\n"
        );
    }

    #[test]
    fn each_direction_counts_its_own_bytes() {
        let text = dump(
            Some(3),
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

    proptest! {
        #[test]
        fn every_byte_can_be_read_back(bytes: Vec<u8>, cut: prop::sample::Index) {
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let text = dump(None, &[(Direction::Sent, first), (Direction::Sent, second)]);
            let read: Vec<u8> = text
                .lines()
                .flat_map(|line| line[21..69].split_whitespace())
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect();
            prop_assert_eq!(read, bytes);
        }
    }
}
