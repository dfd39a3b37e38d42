//! Files that are written as a run goes (`--hex`, `--log`): a regular file at once; what may block, a FIFO or a
//! terminal, through a queue, for whose reader a write waits [`QUEUE_TIMEOUT`] at most.

use std::fs::{File, OpenOptions, Permissions, metadata};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{AccessFlags, access, geteuid};

use super::printer::Queue;
use crate::net::deadline::Deadline;
use crate::net::signal;

/// How long a reader that does not keep up is waited for; then records are dropped until it has.
const QUEUE_TIMEOUT: Duration = Duration::from_millis(100);
/// What a reader gets at the end once a signal has come.
const FLUSH_AFTER_SIGNAL: Duration = Duration::from_millis(100);

/// Who may read a file that is created, and what becomes of one that exists.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// What is there stays, and is added to.
    pub append: bool,
    /// Only its owner can read it: mode 0600.
    pub private: bool,
}

/// A file that is written whole records at a time.
pub enum OutputFile {
    /// It never blocks.
    Direct(File),
    /// It may.
    Queued {
        /// Its queue.
        queue: Queue,
        /// Records that found the queue full.
        dropped: u64,
    },
}

impl OutputFile {
    /// Opens it, without waiting for the reader of a FIFO.
    pub fn open(path: &Path, mode: Mode) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(!mode.append);
        options.mode(if mode.private { 0o600 } else { 0o666 });
        // Appended to by everything that writes it: `--hex` and `--log` may name one file.
        options.custom_flags(libc::O_APPEND | libc::O_NONBLOCK | libc::O_NOCTTY);
        let file = match options.open(path) {
            Err(e) if is_unread_fifo(path, &e) => None,
            opened => Some(opened?),
        };
        if let Some(file) = &file {
            let found = file.metadata()?;
            if found.is_file() && mode.private {
                if found.uid() != geteuid().as_raw() {
                    return Err(Errno::EPERM.into()); // its owner could read along
                }
                file.set_permissions(Permissions::from_mode(0o600))?;
            }
            if !found.file_type().is_fifo() && !file.is_terminal() {
                return Ok(Self::Direct(file.try_clone()?));
            }
            fcntl(file, FcntlArg::F_SETFL(OFlag::empty()))?;
        }
        let (path, mut file) = (path.to_owned(), file);
        let queue = Queue::new("file", move |bytes| {
            if file.is_none() {
                file = Some(OpenOptions::new().write(true).open(&path)?);
            }
            file.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
        })?;
        Ok(Self::Queued { queue, dropped: 0 })
    }
}

/// Whether open(2) failed as a FIFO has no reader yet.
fn is_unread_fifo(path: &Path, error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENXIO)
        && metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

impl Write for OutputFile {
    /// Takes all of a record, or drops it.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let (queue, dropped) = match self {
            Self::Direct(file) => return file.write(record),
            Self::Queued { queue, dropped } => (queue, dropped),
        };
        if queue.is_full() && (*dropped > 0 || !queue.wait_for_room(Deadline::after(QUEUE_TIMEOUT)))
        {
            *dropped += 1;
        } else if let Some(e) = queue.failure() {
            return Err(e);
        } else {
            if *dropped > 0 {
                let note = format!("{dropped} records dropped: they were not read\n");
                queue.push(note.as_bytes());
                *dropped = 0;
            }
            queue.push(record);
        }
        Ok(record.len())
    }

    /// Waits until all is written; for a moment once a signal has come.
    fn flush(&mut self) -> io::Result<()> {
        let Self::Queued { queue, .. } = self else {
            return Ok(());
        };
        let limit = if signal::has_come() { FLUSH_AFTER_SIGNAL } else { Duration::ZERO };
        let is_written = queue.drain(Deadline::after(limit).min(Deadline::of_run()));
        match queue.failure() {
            Some(e) => Err(e),
            None if is_written => Ok(()),
            None if Deadline::of_run().passed() => Err(Deadline::error()),
            None if signal::pending().is_some() => Err(io::ErrorKind::Interrupted.into()),
            None => Ok(()),
        }
    }
}

/// Whether a file can be written, as far as can be said without opening it.
pub fn check(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match metadata(path) {
        Ok(found) if found.is_dir() => Err(Errno::EISDIR.into()),
        Ok(_) => Ok(access(path, AccessFlags::W_OK)?),
        Err(_) => Ok(access(folder.unwrap_or(Path::new(".")), AccessFlags::W_OK)?),
    }
}
