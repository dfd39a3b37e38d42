//! `--log` of a room: what was said to all, a line each, with the local time before it.

use jiff::ZonedDateTime;

use crate::exit::Failure;
use crate::net::dump::{self, Dump, Recorder};
use crate::sanitize;

/// The log of a room.
pub struct Log {
    dumps: Vec<Dump>,
    recorders: Vec<Recorder>,
}

impl Log {
    /// Opens these files. A failure is one of local output.
    pub fn open(dumps: Vec<Dump>) -> Result<Self, Failure> {
        if dumps.iter().any(Dump::is_numbered) {
            return Err(Failure::usage("a room has one log: %i in --log FILE numbers connections"));
        }
        let recorders =
            dumps.iter().map(|dump| dump.recorder(0, false)).collect::<Result<_, _>>()?;
        Ok(Self { dumps, recorders })
    }

    /// Writes a line, which has its newline.
    pub(super) fn write(&self, line: &[u8]) -> Result<(), Failure> {
        let time = ZonedDateTime::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
        let text = sanitize::text(line.strip_suffix(b"\n").unwrap_or(line));
        self.recorders
            .iter()
            .try_for_each(|recorder| recorder.write_line(&format!("{time} {text}")))
    }

    /// Waits until all is written, as far as there is time.
    pub(super) fn finish(self) -> Result<(), Failure> {
        drop(self.recorders);
        dump::finish(&self.dumps)
    }
}
