//! `--hex`: what went over a connection, in both directions, as `hexdump -C` shows it.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use crate::exit::{During, Exit, Failure};

/// How many bytes a line shows.
const WIDTH: usize = 16;

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

impl Write for Dump {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.borrow_mut().flush()
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

/// The dump of one connection. Connections that share a file have a `HexDump` each over a shared
/// writer ([`Dump`]): offsets begin anew with each, and end with it.
///
/// A line is `> 0.001234 00000000  68 65 … 0a  |hello.|`: `>` sent or `<` received, seconds since
/// the start, the offset in that direction, the bytes; `[ID] ` before it where there is an id.
#[derive(Debug)]
pub struct HexDump<W: Write> {
    out: W,
    id: Option<u64>,
    sent: u64,
    received: u64,
}

impl<W: Write> HexDump<W> {
    /// A dump to `out`; a server gives the `id` of the client.
    pub fn new(out: W, id: Option<u64>) -> Self {
        Self { out, id, sent: 0, received: 0 }
    }

    /// Dumps bytes that went over the connection together, in one write: records of several
    /// connections do not mix. An empty datagram is a line without bytes.
    pub fn record(
        &mut self,
        direction: Direction,
        elapsed: Duration,
        bytes: &[u8],
    ) -> io::Result<()> {
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
        self.out.write_all(text.as_bytes())
    }
}

impl HexDump<Dump> {
    /// [`HexDump::record`]; its failure names the file, and is one of local output.
    pub fn tell(
        &mut self,
        direction: Direction,
        elapsed: Duration,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let result = self.record(direction, elapsed, bytes);
        result.during("write the hex dump", &self.out.name).map_err(|e| e.exit(Exit::Output))
    }
}

/// Appends one line in the format of hexdump(1) `-C`: eight and eight bytes, then their text.
fn push_row(text: &mut String, offset: u64, row: &[u8]) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{offset:08x} ");
    for place in 0..WIDTH {
        if place % 8 == 0 {
            text.push(' ');
        }
        let _ = match row.get(place) {
            Some(byte) => write!(text, "{byte:02x} "),
            None => write!(text, "   "),
        };
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
        let mut out = Vec::new();
        let mut dump = HexDump::new(&mut out, id);
        for (direction, bytes) in records {
            dump.record(*direction, Duration::from_micros(1234), bytes).unwrap();
        }
        String::from_utf8(out).unwrap()
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
