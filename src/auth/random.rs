//! Randomness from the operating system. There is no other source and no fallback.

use std::io;

use rand::TryRng;
use rand::rngs::SysRng;

use crate::exit::Failure;

/// Random bytes: a challenge, or a new key.
pub fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|e| Failure::system("read", "the system's random numbers", &io::Error::from(e)))?;
    Ok(bytes)
}
