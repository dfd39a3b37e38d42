//! Authentication: keys, and the handshakes that prove that a peer holds one.

pub mod challenge;
pub mod digest;
pub mod key;
pub mod noise;
pub mod proof;
pub mod python;
pub mod secret;
pub mod security;
#[cfg(test)]
mod tests;
pub mod tls;

use rand::TryRng;
use rand::rngs::SysRng;

use crate::exit::{During, Failure};

/// How the hello of the encrypted protocol begins, whatever its version.
const NOISE_MAGIC: &[u8] = b"SKCTL\0";
/// How the challenge of a Python listener begins, behind the four bytes of its length.
const PYTHON_CHALLENGE: &[u8] = b"#CHALLENGE#";

/// The command for a server whose first bytes are these, if they ask for a proof of a key. The
/// encrypted protocol's server says nothing first.
pub fn asks_for_key(first: &[u8]) -> Option<&'static str> {
    if first.get(4..).is_some_and(|message| message.starts_with(PYTHON_CHALLENGE)) {
        return Some("auth-connect --python");
    }
    // Of 32 random bytes hardly any are text.
    let is_challenge = first.len() == challenge::CHALLENGE_LEN && str::from_utf8(first).is_err();
    is_challenge.then_some("auth-connect --digest NAME")
}

/// What to tell about a peer that speaks TLS on a plain connection, if its first bytes are a client's
/// hello, or the alert with which a server answers what is none (RFC 8446, sections 4.1.2 and 6).
pub fn speaks_tls(first: &[u8]) -> Option<&'static str> {
    match first {
        [22, 3, 0..=4, _, _, 1, ..] => Some("the client speaks TLS; add --tls"),
        [21, 3, 0..=4, 0, 2, 1 | 2, ..] => Some("the server speaks TLS; add --tls"),
        _ => None,
    }
}

/// Random bytes of the operating system, for a challenge or a new key. There is no other source.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).during("read", "the system's random numbers")?;
    Ok(bytes)
}
