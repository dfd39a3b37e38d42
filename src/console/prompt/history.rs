//! The prompt's history: in memory, and in a file that only its owner can read if one is named.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustyline::error::ReadlineError;
use rustyline::history::{FileHistory, History, MemHistory};
use rustyline::{Editor, Helper};

use crate::exit::cause;
use crate::sanitize::{self, hidden};

/// Where history is kept between runs, if anywhere.
pub struct Store {
    file: Option<(PathBuf, FileHistory)>,
}

impl Store {
    /// Reads the file, and creates it where there is none. If that fails there is a warning, and
    /// history is kept for this run only.
    pub fn open<H: Helper>(
        path: Option<PathBuf>,
        editor: &mut Editor<H, MemHistory>,
    ) -> (Self, Option<String>) {
        let Some(path) = path else { return (Self { file: None }, None) };
        match read(&path) {
            Err(e) => (Self { file: None }, Some(warning("read", &path, &e))),
            Ok(history) => {
                for entry in history.iter().filter(|entry| is_drawable(entry)) {
                    // One that repeats the last is left out.
                    let _ = editor.add_history_entry(entry);
                }
                (Self { file: Some((path, history)) }, None)
            }
        }
    }

    /// Remembers one entry; a warning if it cannot be written.
    pub fn add<H: Helper>(
        &mut self,
        entry: &str,
        editor: &mut Editor<H, MemHistory>,
    ) -> Option<String> {
        let is_kept = !entry.trim().is_empty() && is_drawable(entry);
        if !is_kept || !editor.add_history_entry(entry).unwrap_or(false) {
            return None;
        }
        let (path, history) = self.file.as_mut()?;
        let e = io_error(history.add(entry).and_then(|_| history.append(path)).err()?);
        let warning = warning("write", path, &e);
        self.file = None;
        Some(warning)
    }
}

/// Whether an entry can be shown as it is: rustyline draws every character of it. Others can write
/// the file, too.
fn is_drawable(entry: &str) -> bool {
    entry.chars().all(|c| !hidden(c) || c == '\n' || c == '\t')
}

fn read(path: &Path) -> io::Result<FileHistory> {
    // Opening a FIFO would wait for its other end.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Err(io::Error::other("not a regular file"));
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let mut history = FileHistory::new();
    history.load(path).map_err(io_error)?;
    Ok(history)
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
