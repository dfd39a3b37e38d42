//! Keys out of files and descriptors. All checks are made on what was opened, not on its name.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::RawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::{KEY_MAX, KEYS_FILE_MAX, Key, Keyring};
use crate::exit::{Exit, Failure};

/// What an error line begins with.
const OP: &str = "read key from";

/// Reads a file that is ONE key, which nobody but its owner may read.
pub fn read_key_file(path: &Path) -> Result<Key, Failure> {
    let name = shown(path);
    let file = File::open(path).map_err(|e| unopened(&name, &e))?;
    check_access(&file, &name)?;
    read_key(&file, &name)
}

/// Reads a `--keys` file: up to 64 named keys, one a line.
pub fn read_keys_file(path: &Path) -> Result<Keyring, Failure> {
    let name = shown(path);
    let file = File::open(path).map_err(|e| unopened(&name, &e))?;
    check_access(&file, &name)?;
    let content = content(&file, &name, KEYS_FILE_MAX)?;
    if content.len() > KEYS_FILE_MAX {
        return Err(refused(&name, "over 64 KiB; is this the right file?"));
    }
    Keyring::parse(&content).map_err(|flaw| refused(&name, flaw))
}

/// Reads ONE key from a descriptor that we were started with.
///
/// The descriptor is opened a second time through /proc, which leaves the original to whoever
/// set it up, and reads a file from its start. What can be opened this way is a file or a pipe.
pub(super) fn read_key_fd(fd: RawFd) -> Result<Key, Failure> {
    let name = format!("descriptor {fd}");
    let file = File::open(format!("/proc/self/fd/{fd}")).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => refused(&name, "it is not open; add a redirection like 3<FILE"),
        _ => Failure::system(OP, &name, &e).exit(Exit::Usage).hint("it must be a file or a pipe"),
    })?;
    check_kind(&file, &name)?;
    read_key(&file, &name)
}

fn read_key(file: &File, name: &str) -> Result<Key, Failure> {
    // Room for CRLF behind the longest key; what is longer still is found out by the parser.
    let content = content(file, name, KEY_MAX + 2)?;
    Key::parse(&content).map_err(|flaw| refused(name, flaw))
}

/// What is in `file`, whatever size it claims to have; one byte over `limit` at most.
fn content(file: &File, name: &str, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Room enough to never move: a copy left behind would not be wiped.
    let mut content = Zeroizing::new(Vec::with_capacity(limit + 64));
    let mut capped = file.take(limit as u64 + 1);
    match capped.read_to_end(&mut content) {
        Ok(_) => Ok(content),
        Err(e) => Err(Failure::system(OP, name, &e)),
    }
}

/// Refuses all but regular files and pipes; returns the mode of a file.
fn check_kind(file: &File, name: &str) -> Result<Option<u32>, Failure> {
    let meta = file.metadata().map_err(|e| Failure::system(OP, name, &e))?;
    let kind = meta.file_type();
    if kind.is_file() {
        Ok(Some(meta.mode()))
    } else if kind.is_fifo() {
        Ok(None)
    } else if kind.is_dir() {
        Err(refused(name, "it is a directory; name a file in it"))
    } else {
        Err(refused(name, "it is neither a file nor a pipe"))
    }
}

/// Refuses, besides, a file that others can read, or write their own key into.
fn check_access(file: &File, name: &str) -> Result<(), Failure> {
    let Some(mode) = check_kind(file, name)? else {
        return Ok(());
    };
    let can = match (mode & 0o044, mode & 0o022) {
        (0, 0) => return Ok(()),
        (0, _) => "write",
        _ => "read",
    };
    let cause = format!("others can {can} it (mode {:04o})", mode & 0o7777);
    Err(refused(name, cause).hint(&format!("chmod 600 {name}")))
}

fn unopened(name: &str, error: &io::Error) -> Failure {
    let failure = Failure::system(OP, name, error);
    match error.kind() {
        io::ErrorKind::NotFound => {
            failure.exit(Exit::Usage).hint("--create-key --key-file FILE makes a new one")
        }
        io::ErrorKind::PermissionDenied => failure,
        _ => failure.exit(Exit::Usage),
    }
}

fn refused(name: &str, cause: impl Into<String>) -> Failure {
    Failure::new(OP, name, cause, Exit::Usage)
}

/// A path in an error line, which stays one line whatever the path is.
pub(super) fn shown(path: &Path) -> String {
    let mut shown = String::new();
    for c in path.to_string_lossy().chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}
