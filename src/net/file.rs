//! Files that options name, to be read. They may be FIFOs: waiting for the other end is bounded, as a
//! rule by the end of the run.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::poll::PollFlags;

use super::deadline::{Deadline, wait};
use super::errno::would_block;
use crate::exit::{Failure, quoted};

/// A file, FIFO or device that is read to its end, until a deadline.
pub struct InputFile {
    file: File,
    until: Deadline,
}

impl InputFile {
    /// Opens it; a FIFO without a writer, too.
    pub fn open(path: &Path, until: Deadline) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        Ok(Self { file: options.open(path)?, until })
    }

    /// What it is.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }
}

impl Read for &InputFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // A FIFO that no writer has opened yet is not ready, though read(2) would be at its end.
            if wait([(self.file.as_fd(), PollFlags::POLLIN)], self.until)?[0].is_empty() {
                if Deadline::of_run().passed() {
                    return Err(Deadline::error());
                }
                return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing to read in time"));
            }
            match (&self.file).read(buffer) {
                Err(e) if would_block(&e) => {}
                result => return result,
            }
        }
    }
}

/// All of a file of at most `limit` bytes.
pub fn read(path: &OsStr, limit: u64, until: Deadline) -> Result<Vec<u8>, Failure> {
    let read = InputFile::open(path.as_ref(), until).and_then(|file| {
        let mut bytes = Vec::new();
        (&file).take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    });
    read.map_err(|e| Failure::file("read", quoted(path), &e))
}
