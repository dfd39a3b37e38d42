//! Authentication: keys, and the handshakes that prove that a peer holds one.

pub mod challenge;
pub mod digest;
pub mod key;
pub mod noise;
pub mod python;
pub mod random;
pub mod secret;
#[cfg(test)]
mod tests;

/// How the hello of the encrypted protocol begins, whatever its version.
const NOISE_MAGIC: &[u8] = b"SKCTL\0";
/// How the challenge of a Python listener begins, behind the four bytes of its length.
const PYTHON_CHALLENGE: &[u8] = b"#CHALLENGE#";
