//! The source of a run's keys: an option, else the variable, else the terminal.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use zeroize::Zeroizing;

use super::{KEY_MAX, KEYS_FILE_MAX, Key, Keyring, OP, ask};
use crate::auth::secret::{SecretFile, keep_private};
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;

/// The environment variable that may hold a key; programs that we start do not inherit it.
const KEY_VARIABLE: &str = "SOCKCTL_KEY";

/// The keys of this run: those of `--key-file`, `--keys` or `--key-fd`, of which at most one is
/// given; else the key in the variable, or typed at the terminal.
pub fn load(
    key_file: Option<&Path>,
    keys: Option<&Path>,
    key_fd: Option<RawFd>,
) -> Result<Keyring, Failure> {
    keep_private();
    match (key_file, keys, key_fd) {
        (Some(path), ..) => read_key_file(path).map(Keyring::from),
        (_, Some(path), _) => read_keys_file(path, Deadline::of_run()),
        (.., Some(fd)) => read_key(&SecretFile::open_fd(OP, fd)?).map(Keyring::from),
        _ => unasked(std::env::var_os(KEY_VARIABLE), ask::at_terminal),
    }
}

/// The key in the variable, or the one typed.
pub(super) fn unasked(
    variable: Option<OsString>,
    ask: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, Failure>,
) -> Result<Keyring, Failure> {
    let (origin, content) = match variable {
        Some(value) => (KEY_VARIABLE, Zeroizing::new(value.as_bytes().to_vec())),
        None => (ask::TERMINAL, ask()?),
    };
    let key = Key::parse(&content);
    key.map(Keyring::from).map_err(|why| Failure::new(OP, origin, why, Exit::Usage))
}

/// Reads a file that is one key.
pub(super) fn read_key_file(path: &Path) -> Result<Key, Failure> {
    read_key(&open(path, Deadline::of_run())?)
}

/// Reads a `--keys` file: up to 64 named keys, one a line; until a deadline, as it may be a FIFO.
pub fn read_keys_file(path: &Path, until: Deadline) -> Result<Keyring, Failure> {
    let file = open(path, until)?;
    let content = file.read(KEYS_FILE_MAX)?;
    if content.len() > KEYS_FILE_MAX {
        return Err(file.refused("over 64 KiB; is this the right file?"));
    }
    Keyring::parse(&content).map_err(|why| file.refused(why))
}

fn open(path: &Path, until: Deadline) -> Result<SecretFile, Failure> {
    SecretFile::open(OP, path, until).map_err(|failure| match failure.code {
        Some(code) if code == Errno::ENOENT as i32 => {
            failure.hint("--create-key --key-file FILE makes a new one")
        }
        _ => failure,
    })
}

fn read_key(file: &SecretFile) -> Result<Key, Failure> {
    // With room for CRLF behind the longest key; the parser refuses what is longer still.
    let content = file.read(KEY_MAX + 2)?;
    Key::parse(&content).map_err(|why| file.refused(why))
}
