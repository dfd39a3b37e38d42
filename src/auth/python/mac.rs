//! The MACs that challenges and answers name.

use sha2::{Sha256, Sha384};

use crate::auth::digest::{Digest, mac};
use crate::auth::key::Key;

/// The length of a challenge of Python 3.11 and older, and of its answer.
pub(super) const OLD_CHALLENGE: usize = 20;
pub(super) const OLD_ANSWER: usize = 16;

/// A MAC that Python may name.
#[derive(Clone, Copy)]
pub(super) enum Mac {
    Md5,
    Sha256,
    Sha384,
}

impl Mac {
    pub(super) fn named(name: &[u8], md5: bool) -> Option<Self> {
        match name {
            b"md5" if md5 => Some(Self::Md5),
            b"sha256" => Some(Self::Sha256),
            b"sha384" => Some(Self::Sha384),
            _ => None,
        }
    }

    pub(super) fn of(self, key: &Key, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => Digest::Md5.mac(key.bytes(), message),
            Self::Sha256 => mac::<Sha256>(key.bytes(), message),
            Self::Sha384 => mac::<Sha384>(key.bytes(), message),
        }
    }
}

/// `{NAME}REST`: the name, and what comes after it.
pub(super) fn named(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = message.strip_prefix(b"{")?;
    // As in Python: a bare MAC may begin with the brace by chance.
    if message.len() == OLD_ANSWER || message.len() == OLD_CHALLENGE {
        return None;
    }
    let end = rest.iter().take(9).position(|byte| *byte == b'}')?;
    Some((&rest[..end], &rest[end + 1..]))
}
