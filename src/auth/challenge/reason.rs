//! Why a challenge-response failed, on either side: one line each, without any of the peer's bytes.

use std::fmt;

use super::{CHALLENGE_LEN, Digest};

/// How the hello of the encrypted protocol begins, whatever its version.
const ENCRYPTED: &[u8] = b"SKCTL\0";

/// Why a client was refused; shown as one line, without any of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A complete, well-formed answer that no key makes.
    WrongKey(Digest),
    /// This byte (the first is 1) is no hex digit.
    Malformed(usize),
    /// This byte (the first is 1) is a capital hex digit.
    Capital(usize),
    /// The hello of the encrypted protocol.
    Encrypted,
    /// A frame of Python's `multiprocessing.connection`.
    Python,
    /// The client ended after this many digits.
    Ended {
        /// Digits of the answer that came.
        got: usize,
        /// The digest whose answer was expected.
        digest: Digest,
    },
    /// The deadline passed after this many digits.
    TimedOut {
        /// Digits of the answer that came.
        got: usize,
        /// The digest whose answer was expected.
        digest: Digest,
    },
}

impl Reason {
    /// Whether it was a wrong proof, the only refusal that counts for a penalty: silence, ends
    /// and strangers' protocols are no guesses at the key.
    pub fn is_wrong_proof(&self) -> bool {
        matches!(self, Self::WrongKey(_))
    }

    /// What the byte at `at`, the first that is no lowercase hex digit, gives away.
    pub(super) fn stray(answer: &[u8], at: usize) -> Self {
        if answer.starts_with(ENCRYPTED) {
            return Self::Encrypted;
        }
        // A frame's length: big-endian, and nobody greets with 64 KiB or more.
        if answer.len() >= 4 && answer.starts_with(&[0, 0]) {
            return Self::Python;
        }
        match answer[at] {
            b'A'..=b'F' => Self::Capital(at + 1),
            _ => Self::Malformed(at + 1),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            // The start of a longer digest's answer looks like a whole one of ours.
            Self::WrongKey(Digest::Sha512) => f.write_str("wrong key"),
            Self::WrongKey(digest) => {
                write!(f, "wrong key, or a longer digest than {digest} on the client")
            }
            Self::Malformed(1) => f.write_str(
                "the client does not answer the challenge; does it use auth-connect --digest?",
            ),
            Self::Malformed(at) => {
                write!(f, "byte {at} of the answer is no hex digit")?;
                hint(f, at - 1)
            }
            Self::Capital(at) => {
                write!(f, "byte {at} of the answer is a capital; hex digits must be lowercase")
            }
            Self::Encrypted => f.write_str(
                "the client speaks the encrypted protocol; drop --digest here or add it there",
            ),
            Self::Python => f.write_str(
                "the client speaks Python's multiprocessing protocol; use --python here",
            ),
            Self::Ended { got: 0, .. } => f.write_str("the client ended without an answer"),
            Self::Ended { got, digest } => {
                write!(f, "the client ended after {}", Short { got, digest })
            }
            Self::TimedOut { got: 0, .. } => f.write_str("no answer in time"),
            Self::TimedOut { got, digest } => {
                write!(f, "timed out after {}", Short { got, digest })
            }
        }
    }
}

/// An answer that is too short: `31 of 64 answer digits`, and the digest that would be done.
struct Short {
    got: usize,
    digest: Digest,
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { got, digest } = *self;
        write!(f, "{got} of {} answer digits", digest.hex_len())?;
        hint(f, got)
    }
}

/// The digest that would be done with so many digits.
fn hint(f: &mut fmt::Formatter<'_>, digits: usize) -> fmt::Result {
    match Digest::ALL.into_iter().find(|other| other.hex_len() == digits) {
        Some(other) => write!(f, "; does the client use --digest {other}?"),
        None => Ok(()),
    }
}

/// Why a client has nothing to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoChallenge {
    /// The challenge of a Python `multiprocessing.connection.Listener`.
    Python,
    /// The server ended after this many bytes.
    Ended(usize),
    /// The deadline passed after this many bytes.
    TimedOut(usize),
}

impl fmt::Display for NoChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Python => f.write_str(
                "the server speaks Python's multiprocessing protocol; use --python here",
            ),
            Self::Ended(0) => f.write_str(
                "the server closed without a challenge; does it use auth-serve --digest?",
            ),
            Self::Ended(got) => {
                write!(f, "the server closed after {got} of {CHALLENGE_LEN} challenge bytes")
            }
            Self::TimedOut(0) => {
                f.write_str("no challenge in time; does the server use auth-serve --digest?")
            }
            Self::TimedOut(got) => {
                write!(f, "timed out after {got} of {CHALLENGE_LEN} challenge bytes")
            }
        }
    }
}
