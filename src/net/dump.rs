//! What `--hex` and `--log` write: all that went over a connection, in both directions, each to a file of
//! its own and in a format of its own.

mod hex;
mod text;

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::signal;
use crate::exit::{Exit, Failure};
use hex::HexLines;
use text::TextLines;

/// How many bytes are dumped with one write.
const RECORD: usize = 16 << 10;

/// In a dump's name: the number of the connection.
const NUMBER: &[u8] = b"%i";

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `--hex`: as `hexdump -C` shows them, with a time and a direction.
    Hex,
    /// `--log`: as lines of text, with a time and a direction.
    Text,
}

impl Format {
    /// The operation, in a failure.
    pub fn op(self) -> &'static str {
        match self {
            Self::Hex => "write the hex dump",
            Self::Text => "write the log",
        }
    }
}

/// Where dumps go: one file for all connections, or, with `%i` in its name, one for each. A file is
/// opened when the first connection that is dumped into it stands.
pub struct Dump {
    format: Format,
    path: PathBuf,
    open: Box<OpenFile>,
    /// The files that are written up to the end of the run: the one of all connections, and those with a
    /// queue, whose reader may be behind.
    files: RefCell<Vec<Rc<DumpFile>>>,
    /// The last line of a connection could not be written.
    lost: Rc<RefCell<Option<Failure>>>,
}

/// Opens a dump; the second says whether its flush may have something to wait for.
type OpenFile = dyn Fn(&Path) -> io::Result<(Box<dyn Write>, bool)>;

/// An open dump.
struct DumpFile {
    /// The operation, in a failure.
    op: &'static str,
    path: PathBuf,
    writer: RefCell<Box<dyn Write>>,
}

impl DumpFile {
    fn write(&self, text: &str) -> Result<(), Failure> {
        let written = self.writer.borrow_mut().write_all(text.as_bytes());
        written.map_err(|e| Failure::file(self.op, self.path.display(), &e).exit(Exit::Output))
    }

    fn flush(&self) -> Result<(), Failure> {
        self.writer.borrow_mut().flush().map_err(|e| match signal::pending() {
            Some(number) if e.kind() == io::ErrorKind::Interrupted => {
                Failure::silent(Exit::of_signal(number))
            }
            _ => Failure::file(self.op, self.path.display(), &e),
        })
    }
}

impl Dump {
    /// Dumps to what `open` gives for the path; it gets whole records.
    pub fn new(format: Format, path: PathBuf, open: Box<OpenFile>) -> Self {
        Self { format, path, open, files: RefCell::default(), lost: Rc::default() }
    }

    /// How it writes.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether each connection has a file of its own.
    pub fn is_numbered(&self) -> bool {
        self.number_at().is_some()
    }

    /// Where the connection's number goes.
    fn number_at(&self) -> Option<usize> {
        let name = self.path.as_os_str().as_bytes();
        name.windows(NUMBER.len()).position(|part| part == NUMBER)
    }

    /// The recorder of the connection with this number, which begins its lines if it `is_labelled`.
    pub fn recorder(&self, number: u64, is_labelled: bool) -> Result<Recorder, Failure> {
        let name = self.path.as_os_str().as_bytes();
        let at = self.number_at();
        let path = at.map_or(self.path.clone(), |at| {
            let (start, end) = (&name[..at], &name[at + NUMBER.len()..]);
            OsString::from_vec([start, number.to_string().as_bytes(), end].concat()).into()
        });
        let mut files = self.files.borrow_mut();
        let shared = files.first().filter(|_| at.is_none()).cloned();
        let file = if let Some(file) = shared {
            file
        } else {
            let op = self.format.op();
            let opened = (self.open)(&path).map_err(|e| Failure::file(op, path.display(), &e));
            let (writer, is_queued) = opened?;
            let file = Rc::new(DumpFile { op, path, writer: RefCell::new(writer) });
            if at.is_none() || is_queued {
                files.push(Rc::clone(&file));
            }
            file
        };
        let label = if is_labelled { format!("[{number}] ") } else { String::new() };
        let lines = match self.format {
            Format::Hex => Lines::Hex(HexLines::new(label)),
            Format::Text => Lines::Text(TextLines::new(&label)),
        };
        Ok(Recorder { file, lines, lost: Rc::clone(&self.lost) })
    }

    /// Waits until all is written, as far as there is time.
    fn finish(&self) -> Result<(), Failure> {
        if let Some(failure) = self.lost.take() {
            return Err(failure);
        }
        // Each, also behind one that failed.
        let results: Vec<_> = self.files.borrow().iter().map(|file| file.flush()).collect();
        results.into_iter().collect()
    }
}

/// Waits until all is written to all of them, as far as there is time. The recorders are gone.
pub fn finish(dumps: &[Dump]) -> Result<(), Failure> {
    // Each, also behind one that failed.
    let results: Vec<Result<(), Failure>> = dumps.iter().map(Dump::finish).collect();
    results.into_iter().collect()
}

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From us to the peer.
    Sent,
    /// From the peer to us.
    Received,
}

impl Direction {
    fn arrow(self) -> char {
        match self {
            Self::Sent => '>',
            Self::Received => '<',
        }
    }
}

/// Dumps one connection, until it is dropped.
pub struct Recorder {
    file: Rc<DumpFile>,
    lines: Lines,
    lost: Rc<RefCell<Option<Failure>>>,
}

enum Lines {
    Hex(HexLines),
    Text(TextLines),
}

impl Recorder {
    /// Dumps bytes of a stream that went over the connection `elapsed` after it was opened, whole lines
    /// at a time: those of several connections do not mix. A failure is one of local output.
    pub fn record(
        &mut self,
        direction: Direction,
        elapsed: Duration,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        bytes.chunks(RECORD).try_for_each(|bytes| {
            let text = match &mut self.lines {
                Lines::Hex(lines) => lines.format(direction, elapsed, bytes),
                Lines::Text(lines) => lines.format(direction, bytes),
            };
            self.file.write(&text)
        })
    }

    /// The same for a datagram, which may be empty; as text it is one line.
    pub fn record_datagram(
        &mut self,
        direction: Direction,
        elapsed: Duration,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let text = match &mut self.lines {
            Lines::Hex(lines) => lines.format(direction, elapsed, bytes),
            Lines::Text(lines) => lines.datagram(direction, bytes),
        };
        self.file.write(&text)
    }

    /// Writes a line that is no connection's.
    pub fn write_line(&self, line: &str) -> Result<(), Failure> {
        self.file.write(&format!("{line}\n"))
    }
}

impl Drop for Recorder {
    /// Writes the beginning of a line whose end never came. [`finish`] reports a failure.
    fn drop(&mut self) {
        if let Lines::Text(lines) = &mut self.lines {
            let rest = lines.end();
            if let Err(failure) = self.file.write(&rest) {
                self.lost.borrow_mut().get_or_insert(failure);
            }
        }
    }
}
