//! The prompt's history: in memory, and in a file that only its owner can read if one is named.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Editor, Helper};

use crate::exit::cause;
use crate::sanitize;

/// Where history is kept between runs, if anywhere.
pub struct Store {
    path: Option<PathBuf>,
}

impl Store {
    /// Reads the file, and creates it where there is none. If that fails there is a warning, and
    /// history is kept for this run only.
    pub fn open<H: Helper>(
        path: Option<PathBuf>,
        editor: &mut Editor<H, FileHistory>,
    ) -> (Self, Option<String>) {
        match path.as_deref().map(|path| read(path, editor)) {
            Some(Err(e)) => {
                let warning = path.map(|path| warning("read", &path, &e));
                (Self { path: None }, warning)
            }
            _ => (Self { path }, None),
        }
    }

    /// Remembers one entry; a warning if it cannot be written.
    pub fn add<H: Helper>(
        &mut self,
        entry: &str,
        editor: &mut Editor<H, FileHistory>,
    ) -> Option<String> {
        if entry.trim().is_empty() || !editor.add_history_entry(entry).unwrap_or(false) {
            return None;
        }
        let path = self.path.as_deref()?;
        let e = io_error(editor.append_history(path).err()?);
        let warning = warning("write", path, &e);
        self.path = None;
        Some(warning)
    }
}

fn read<H: Helper>(path: &Path, editor: &mut Editor<H, FileHistory>) -> io::Result<()> {
    // Opening a FIFO would wait for its other end.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Err(io::Error::other("not a regular file"));
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    editor.load_history(path).map_err(io_error)
}

fn io_error(error: ReadlineError) -> io::Error {
    match error {
        ReadlineError::Io(e) if e.kind() == io::ErrorKind::InvalidData => {
            io::Error::other("it is not text")
        }
        ReadlineError::Io(e) => e,
        ReadlineError::Errno(e) => e.into(),
        other => io::Error::other(other),
    }
}

fn warning(op: &str, path: &Path, error: &io::Error) -> String {
    let path = sanitize::line(path.as_os_str().as_encoded_bytes());
    format!("sockctl: {op} the history {path}: {}\n", cause(error))
}
