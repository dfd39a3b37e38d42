//! `--hex`: what went over a connection, in both directions, as `hexdump -C` shows it.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::signal;
use crate::exit::{Exit, Failure};

/// How many bytes a line shows.
const WIDTH: usize = 16;

/// How many bytes are dumped with one write.
const RECORD: usize = 16 << 10;

/// In a dump's name: the number of the connection.
const NUMBER: &[u8] = b"%i";

/// Where dumps go: one file for all connections, or, with `%i` in its name, one for each. A file is
/// opened when there is something to dump into it.
pub struct Dump {
    path: PathBuf,
    open: Box<Opener>,
    shared: RefCell<Option<Out>>,
}

type Opener = dyn Fn(&Path) -> io::Result<Box<dyn Write>>;
type Out = Rc<RefCell<Box<dyn Write>>>;

impl Dump {
    /// Dumps to what `open` gives for the path; it gets whole records.
    pub fn new(path: PathBuf, open: Box<Opener>) -> Self {
        Self { path, open, shared: RefCell::new(None) }
    }

    /// The dump of the connection with this number, which begins its lines if it `is_labelled`.
    pub fn of(&self, number: u64, is_labelled: bool) -> Result<HexDump, Failure> {
        let name = self.path.as_os_str().as_bytes();
        let at = name.windows(NUMBER.len()).position(|part| part == NUMBER);
        let path = at.map_or(self.path.clone(), |at| {
            let (start, end) = (&name[..at], &name[at + NUMBER.len()..]);
            OsString::from_vec([start, number.to_string().as_bytes(), end].concat()).into()
        });
        let shared = self.shared.borrow().clone().filter(|_| at.is_none());
        let out = match shared {
            Some(out) => out,
            None => Rc::new(RefCell::new((self.open)(&path).map_err(|e| failed(&path, &e))?)),
        };
        self.shared.replace(Some(Rc::clone(&out)));
        Ok(HexDump::new(out, path, is_labelled.then_some(number)))
    }

    /// Waits until all is written, as far as there is time.
    pub fn finish(&self) -> Result<(), Failure> {
        let out = self.shared.borrow();
        let done = out.as_ref().map_or(Ok(()), |out| out.borrow_mut().flush());
        done.map_err(|e| match signal::pending() {
            Some(number) if e.kind() == io::ErrorKind::Interrupted => {
                Failure::silent(Exit::of_signal(number))
            }
            _ => failed(&self.path, &e),
        })
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::file("write the hex dump", path.display(), error)
}

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From us to the peer.
    Sent,
    /// From the peer to us.
    Received,
}

/// The dump of one connection, with offsets of its own.
///
/// A line is `> 0.001234 00000000  68 65 … 0a  |hello.|`: `>` sent or `<` received, seconds since
/// the start, the offset in that direction, the bytes; `[ID] ` before it where there is an id.
pub struct HexDump {
    out: Out,
    path: PathBuf,
    id: Option<u64>,
    sent: u64,
    received: u64,
}

impl HexDump {
    fn new(out: Out, path: PathBuf, id: Option<u64>) -> Self {
        Self { out, path, id, sent: 0, received: 0 }
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
            let written = self.out.borrow_mut().write_all(text.as_bytes());
            written.map_err(|e| failed(&self.path, &e).exit(Exit::Output))
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
        let out: Out = Rc::new(RefCell::new(Box::new(io::sink())));
        let mut dump = HexDump::new(out, PathBuf::new(), id);
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
