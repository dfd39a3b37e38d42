//! Where the key of a run comes from: one explicit source, else the variable, else the terminal.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::file::read_key_fd;
use super::{Key, Keyring, ask, read_key_file, read_keys_file};
use crate::exit::{Exit, Failure};

/// The environment variable that may hold a key; programs we start must not inherit it.
pub const KEY_VARIABLE: &str = "SOCKCTL_KEY";

/// The explicit sources of keys; at most one may be given.
#[derive(Debug, Default)]
pub struct KeySources {
    /// `--key-file`: one key.
    pub key_file: Option<PathBuf>,
    /// `--keys`: many named keys.
    pub keys: Option<PathBuf>,
    /// `--key-fd`: one key, from a descriptor we were started with.
    pub key_fd: Option<RawFd>,
}

/// The keys of this run.
pub fn load(sources: &KeySources) -> Result<Keyring, Failure> {
    load_from(sources, std::env::var_os(KEY_VARIABLE), ask::at_terminal)
}

/// [`load`], with the variable's value and the prompt handed in.
pub(super) fn load_from(
    sources: &KeySources,
    variable: Option<OsString>,
    ask: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, Failure>,
) -> Result<Keyring, Failure> {
    refuse_two(sources)?;
    if let Some(path) = &sources.key_file {
        return read_key_file(path).map(Keyring::from);
    }
    if let Some(path) = &sources.keys {
        return read_keys_file(path);
    }
    if let Some(fd) = sources.key_fd {
        return read_key_fd(fd).map(Keyring::from);
    }
    let (origin, content) = match variable {
        Some(value) => (KEY_VARIABLE, Zeroizing::new(value.as_bytes().to_vec())),
        None => ("the terminal", ask()?),
    };
    Key::parse(&content)
        .map(Keyring::from)
        .map_err(|flaw| Failure::new("read key from", origin, flaw, Exit::Usage))
}

fn refuse_two(sources: &KeySources) -> Result<(), Failure> {
    let given: Vec<&str> = [
        ("--key-file", sources.key_file.is_some()),
        ("--keys", sources.keys.is_some()),
        ("--key-fd", sources.key_fd.is_some()),
    ]
    .into_iter()
    .filter_map(|(flag, given)| given.then_some(flag))
    .collect();
    match given[..] {
        [first, second, ..] => {
            Err(Failure::usage(format!("{first} and {second} both give the key; use one of them")))
        }
        _ => Ok(()),
    }
}
