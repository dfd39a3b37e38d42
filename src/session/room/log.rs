//! `--log` of a room: what was said to all, a line each, with the local time before it.

use jiff::ZonedDateTime;

use crate::exit::Failure;
use crate::net::dump::{self, Dump, Format, Recorder};
use crate::sanitize;

/// The log of a room.
pub struct Log {
    dump: Dump,
    recorder: Recorder,
}

impl Log {
    /// Takes the destination of `--log`, if it was given, out of those of the connections.
    pub fn take(dumps: &mut Vec<Dump>) -> Result<Option<Dump>, Failure> {
        let log = dumps.extract_if(.., |dump| dump.format() == Format::Text).next();
        if log.as_ref().is_some_and(Dump::is_numbered) {
            return Err(Failure::usage("a room has one log: %i in --log FILE numbers connections"));
        }
        Ok(log)
    }

    /// Opens the file. A failure is one of local output.
    pub fn open(dump: Dump) -> Result<Self, Failure> {
        let recorder = dump.recorder(0, false)?;
        Ok(Self { dump, recorder })
    }

    /// Writes a line, which has its newline.
    pub(super) fn write(&self, line: &[u8]) -> Result<(), Failure> {
        let time = ZonedDateTime::now().strftime("%Y-%m-%d %H:%M:%S");
        let text = sanitize::text(line.strip_suffix(b"\n").unwrap_or(line));
        self.recorder.write_line(&format!("{time} {text}"))
    }

    /// Waits until all is written, as far as there is time.
    pub(super) fn finish(self) -> Result<(), Failure> {
        drop(self.recorder);
        dump::finish(&[self.dump])
    }
}
