//! Keys: the forms in which one is written.
//!
//! | written as                          | the key is                                        |
//! |-------------------------------------|---------------------------------------------------|
//! | `sockctl-key-1 NAME BASE64URL`      | the 32 bytes that the base64 stands for           |
//! | `NAME:KEY` (a line of `--keys`)     | KEY, byte for byte                                |
//! | anything else (not in `--keys`)     | itself, byte for byte, minus one final LF or CRLF |
//!
//! The errors of a key are static texts, so that none can carry key material.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::secret::without_newline;
use crate::sanitize::names;

mod ask;
mod create;
mod source;
#[cfg(test)]
mod tests;

pub use create::create_key;
pub use source::{load, read_keys_file};

/// The longest key, in bytes.
pub const KEY_MAX: usize = 4096;
/// The most keys a server takes.
pub const KEYS_MAX: usize = 64;
/// The largest `--keys` file, in bytes.
pub const KEYS_FILE_MAX: usize = 64 * 1024;

/// The beginning of an error line.
const OP: &str = "read key from";
/// The beginning of a random key's line.
const MARK: &[u8] = b"sockctl-key-1 ";
/// How many base64 characters 32 bytes take without padding.
const BASE64_LEN: usize = 43;

const EMPTY: &str = "the key is empty; write one, or make one with --create-key";
const ZERO: &str = "the key is all NUL bytes, the same as none to HMAC; make one with --create-key";
const LONG: &str = "the key is over 4 KiB; use a shorter one, or make one with --create-key";
const DAMAGED: &str = "a damaged sockctl-key-1 line: NAME and 43 characters of URL-safe base64 \
                       must follow, and nothing else; copy it anew";
const NO_FORM: &str = "neither NAME:KEY nor a sockctl-key-1 line; \
                       a NAME is 1 to 32 of A-Z a-z 0-9 _ . -";
const NESTED: &str = "a sockctl-key-1 line carries its own name; drop the NAME: before it";

/// A shared key, and its name. Its bytes are wiped when it is dropped, and shown nowhere.
#[derive(Clone)]
pub struct Key {
    /// The name; a key of plain text has none unless `--keys` gives it one.
    pub name: Option<String>,
    bytes: Zeroizing<Vec<u8>>,
    /// Made by `--create-key`, not by a person.
    random: bool,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Key {
    /// The key that `content` is: a `sockctl-key-1` line, or itself without its final newline.
    pub fn parse(content: &[u8]) -> Result<Self, &'static str> {
        let content = without_newline(content);
        match content.strip_prefix(MARK) {
            Some(rest) => Self::random(rest),
            None => Self::new(None, content),
        }
    }

    /// The key that a line of a `--keys` file is.
    fn named(line: &[u8]) -> Result<Self, &'static str> {
        if let Some(rest) = line.strip_prefix(MARK) {
            return Self::random(rest);
        }
        let (name, key) = halves(line, b':').ok_or(NO_FORM)?;
        let name = key_name(name).ok_or(NO_FORM)?;
        if key.starts_with(MARK) {
            return Err(NESTED);
        }
        Self::new(Some(name), key)
    }

    /// The key that `NAME BASE64URL` is.
    fn random(rest: &[u8]) -> Result<Self, &'static str> {
        let (name, text) = halves(rest, b' ').ok_or(DAMAGED)?;
        let name = key_name(name).ok_or(DAMAGED)?;
        if text.len() != BASE64_LEN {
            return Err(DAMAGED);
        }
        // One byte more than needed: the decoder estimates upwards.
        let mut bytes = Zeroizing::new([0; 33]);
        match URL_SAFE_NO_PAD.decode_slice(text, bytes.as_mut_slice()) {
            Ok(32) => Self::new(Some(name), &bytes[..32]).map(|key| Self { random: true, ..key }),
            _ => Err(DAMAGED),
        }
    }

    fn new(name: Option<String>, bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.is_empty() {
            return Err(EMPTY);
        }
        if bytes.len() > KEY_MAX {
            return Err(LONG);
        }
        if padless(bytes).is_empty() {
            return Err(ZERO);
        }
        Ok(Self { name, bytes: Zeroizing::new(bytes.to_vec()), random: false })
    }

    /// Whether it is 32 random bytes; anything else may be a passphrase, which can be guessed.
    pub fn is_random(&self) -> bool {
        self.random
    }

    /// Whether it is the same secret, whatever its name.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.random, self.bytes()) == (other.random, other.bytes())
    }

    /// The secret bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The keys that a server accepts, or the one that a client proves; never empty.
#[derive(Debug)]
pub struct Keyring(Vec<Key>);

impl Keyring {
    /// The keys in `content`, a `NAME:KEY` or `sockctl-key-1` line each.
    ///
    /// Blank lines are skipped, and lines that begin with `#` are comments: no NAME does. Any
    /// other line is an error, which names the line. Names that can be mistaken for each other count
    /// as the same, as they do in a room.
    pub fn parse(content: &[u8]) -> Result<Self, String> {
        let mut keys: Vec<(usize, Key)> = Vec::new();
        for (number, line) in (1..).zip(content.split(|&b| b == b'\n')) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() || line.starts_with(b"#") {
                continue;
            }
            let key = Key::named(line).map_err(|why| format!("line {number}: {why}"))?;
            for (earlier, other) in &keys {
                if let (Some(name), Some(other)) = (&key.name, &other.name)
                    && names::confusable(name, other)
                {
                    return Err(if name.eq_ignore_ascii_case(other) {
                        format!("line {number}: the name of line {earlier} again")
                    } else {
                        format!(
                            "line {number}: its name can be mistaken for that of line {earlier}"
                        )
                    });
                }
                if padless(key.bytes()) == padless(other.bytes()) {
                    return Err(format!("line {number}: the key of line {earlier} again"));
                }
            }
            if keys.len() == KEYS_MAX {
                return Err(format!("line {number}: more than {KEYS_MAX} keys"));
            }
            keys.push((number, key));
        }
        if keys.is_empty() {
            return Err("no key in it; write one NAME:KEY a line".into());
        }
        Ok(Self(keys.into_iter().map(|(_, key)| key).collect()))
    }

    /// All keys, in the order they were written.
    pub fn keys(&self) -> &[Key] {
        &self.0
    }

    /// The first key: the one that a client proves.
    pub fn first(&self) -> &Key {
        &self.0[0]
    }
}

impl From<Key> for Keyring {
    fn from(key: Key) -> Self {
        Self(vec![key])
    }
}

/// `name`, if it is one: `[A-Za-z0-9_.-]{1,32}`.
fn key_name(name: &[u8]) -> Option<String> {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"_.-".contains(b);
    if !(1..=32).contains(&name.len()) || !name.iter().all(allowed) {
        return None;
    }
    String::from_utf8(name.to_vec()).ok()
}

/// `bytes` without the NULs at its end. HMAC pads a key with them: they make no difference.
fn padless(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    &bytes[..end]
}

/// The parts before and after the first `separator`.
fn halves(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&b| b == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}
