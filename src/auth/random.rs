//! Randomness from the operating system. There is no other source and no fallback.

use std::io;

use rand::TryRng;
use rand::rngs::SysRng;

use crate::exit::Failure;

/// 32 random bytes: a challenge, or a new key.
pub fn bytes() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|e| Failure::system("read", "the system's random numbers", &io::Error::from(e)))?;
    Ok(bytes)
}
