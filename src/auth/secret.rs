//! Secrets in files and descriptors: keys and passwords. All checks are made on what was opened, not
//! on its name.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::exit::{During, Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::file::InputFile;
use crate::sanitize;

/// An open file or pipe that holds a secret.
pub struct SecretFile {
    file: InputFile,
    /// Its name in errors, and what they begin with.
    name: String,
    op: &'static str,
}

impl SecretFile {
    /// Opens a pipe, or a file that only its owner can read and write, to be read until then; `op`
    /// begins an error.
    pub fn open(op: &'static str, path: &Path, until: Deadline) -> Result<Self, Failure> {
        let name = shown(path);
        let file = InputFile::open(path, until).during(op, &name);
        let file = file.map_err(|failure| match failure.exit {
            Exit::Permission => failure,
            _ => failure.exit(Exit::Usage),
        })?;
        let this = Self { file, name, op };
        let mode = this.check_kind()?.unwrap_or(0);
        let can = match (mode & 0o044, mode & 0o022) {
            (0, 0) => return Ok(this),
            (0, _) => "write",
            _ => "read",
        };
        let cause = format!("others can {can} it (mode {:04o})", mode & 0o7777);
        Err(this.refused(cause).hint(&format!("chmod 600 {}", this.name)))
    }

    /// Opens a descriptor that we were started with a second time, through /proc: the original stays
    /// as it was set up, and a file is read from its start.
    pub fn open_fd(op: &'static str, fd: RawFd) -> Result<Self, Failure> {
        let name = format!("descriptor {fd}");
        let file = InputFile::open(format!("/proc/self/fd/{fd}").as_ref(), Deadline::of_run())
            .map_err(|e| {
                if e.kind() == io::ErrorKind::NotFound {
                    let cause = "it is not open; add a redirection like 3<FILE";
                    return Failure::new(op, &name, cause, Exit::Usage);
                }
                let failure = Failure::system(op, &name, &e).exit(Exit::Usage);
                failure.hint("it must be a file or a pipe")
            })?;
        let this = Self { file, name, op };
        this.check_kind()?;
        Ok(this)
    }

    /// The content, whatever size it claims to have; one byte over `limit` at most.
    pub fn read(&self, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
        // With room enough to never move: a copy left behind would not be wiped.
        let mut content = Zeroizing::new(Vec::with_capacity(limit + 64));
        let mut capped = (&self.file).take(limit as u64 + 1);
        capped.read_to_end(&mut content).during(self.op, &self.name)?;
        Ok(content)
    }

    /// A secret that is no good.
    pub fn refused(&self, cause: impl Into<String>) -> Failure {
        Failure::new(self.op, &self.name, cause, Exit::Usage)
    }

    /// Refuses all but regular files and pipes; returns the mode of a file.
    fn check_kind(&self) -> Result<Option<u32>, Failure> {
        let meta = self.file.metadata().during(self.op, &self.name)?;
        match meta.file_type() {
            kind if kind.is_file() => Ok(Some(meta.mode())),
            kind if kind.is_fifo() => Ok(None),
            kind if kind.is_dir() => Err(self.refused("it is a directory; name a file in it")),
            _ => Err(self.refused("it is neither a file nor a pipe")),
        }
    }
}

/// Writes a secret into a new file that only its owner can read; `op` begins an error.
pub fn create(op: &'static str, path: &Path, content: &[u8]) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.during(op, shown(path)).map_err(|failure| match failure.code {
        Some(libc::EEXIST) => {
            failure.exit(Exit::Usage).hint("a key is never overwritten: name a new file")
        }
        _ => failure,
    })?;
    // A file system may report only then that it is full.
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.during(op, shown(path)).map_err(|failure| {
        // Half a key is of no use, and would stand in the way of the next attempt.
        let _ = fs::remove_file(path);
        failure.exit(Exit::Output)
    })
}

/// The process will hold a secret: no core dump has it, and no other process of the user can read it
/// from memory or from /proc.
pub fn keep_private() {
    // It cannot fail with these arguments (PR_SET_DUMPABLE).
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// A path in an error line, which stays one line whatever the path is.
pub fn shown(path: &Path) -> String {
    sanitize::line(path.as_os_str().as_bytes())
}

/// `content` minus exactly one final LF or CRLF.
pub fn without_newline(content: &[u8]) -> &[u8] {
    match content.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => content,
    }
}
