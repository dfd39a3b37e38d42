//! Randomness from the operating system. There is no other source and no fallback.

use rand::TryRng;
use rand::rngs::SysRng;

use crate::exit::{During, Failure};

/// Random bytes: a challenge, or a new key.
pub fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).during("read", "the system's random numbers")?;
    Ok(bytes)
}
