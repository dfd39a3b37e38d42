//! From a key to the 32 bytes that the protocol takes, as specified in `auth::noise`.

use argon2::{Algorithm, Argon2, Params, Version};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::auth::key::Key;
use crate::exit::{Exit, Failure};

const HKDF_SALT: &[u8] = b"sockctl key v1";
const HKDF_INFO: &[u8] = b"NNpsk0";
const PASSPHRASE_SALT: &[u8] = b"sockctl passphrase v1\0";
/// Argon2id: KiB of memory, and passes over it.
const MEMORY: u32 = 64 << 10;
const PASSES: u32 = 3;

/// A passphrase of fewer characters is refused.
const SHORTEST: usize = 8;
/// One of fewer is warned of.
const SHORT: usize = 16;

/// The 32 bytes of a key, and a warning if it is a passphrase that can be guessed.
pub(super) fn derive(
    key: &Key,
    context: &[u8],
) -> Result<(Zeroizing<[u8; 32]>, Option<String>), Failure> {
    let underived =
        |e: &dyn std::fmt::Display| Failure::new("use", "the key", e.to_string(), Exit::Other);
    let (bytes, mut psk) = (key.bytes(), Zeroizing::new([0; 32]));
    if key.is_random() {
        let hkdf = Hkdf::<Sha256>::new(Some(HKDF_SALT), bytes);
        hkdf.expand(HKDF_INFO, psk.as_mut()).map_err(|e| underived(&e))?;
        return Ok((psk, None));
    }
    // The characters of a passphrase; of one that is not UTF-8, its bytes.
    let length = std::str::from_utf8(bytes).map_or(bytes.len(), |text| text.chars().count());
    if length < SHORTEST {
        let called = key.name.as_ref().map_or("the key".into(), |name| format!("key {name}"));
        let cause = format!("a passphrase of {length} characters is too short");
        return Err(Failure::new("use", called, cause, Exit::Usage)
            .hint("use 16 or more, or make a key with --create-key"));
    }
    let warning = (length < SHORT).then(|| {
        let called = key.name.as_ref().map_or(String::new(), |name| format!("key {name}: "));
        format!(
            "{called}a passphrase of {length} characters can be guessed offline from a recording; \
             use 16 or more, or --create-key"
        )
    });
    let salt = Sha256::new().chain_update(PASSPHRASE_SALT).chain_update(context).finalize();
    let params = Params::new(MEMORY, PASSES, 1, Some(32)).map_err(|e| underived(&e))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(bytes, &salt, psk.as_mut())
        .map_err(|e| underived(&e))?;
    Ok((psk, warning))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of the specification's vectors.
    pub const RANDOM: &[u8] = b"sockctl-key-1 alice AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn psk(key: &[u8], context: &[u8]) -> String {
        let (psk, _) = derive(&Key::parse(key).unwrap(), context).unwrap();
        hex::encode(psk.as_slice())
    }

    #[test]
    fn the_vectors_of_the_specification() {
        let specification = include_str!("../noise.rs");
        for (key, context) in [
            (RANDOM, &b""[..]),
            (b"correct horse battery staple", b""),
            (b"correct horse battery staple", b"backup"),
        ] {
            let psk = psk(key, context);
            let text = std::str::from_utf8(key).unwrap();
            let context = std::str::from_utf8(context).unwrap();
            let context = match context {
                "" => String::new(),
                context => format!(" `{context}`"),
            };
            let row = format!("| `{text}` |{context} | `{psk}` |");
            assert!(specification.contains(&row), "no row {row}");
        }
        for text in ["sockctl key v1", "NNpsk0", "sockctl passphrase v1"] {
            assert!(specification.contains(&format!("`{text}`")), "{text}");
        }
    }

    #[test]
    fn a_context_makes_a_passphrase_one_s_own() {
        let passphrase = b"correct horse battery staple";
        assert_ne!(psk(passphrase, b""), psk(passphrase, b"a"));
        assert_eq!(psk(RANDOM, b""), psk(RANDOM, b"a")); // bound by the prologue
    }

    #[test]
    fn a_short_passphrase_is_refused_or_warned_of() {
        let derived =
            |key: &[u8]| derive(&Key::parse(key).unwrap(), b"").map(|(_, warning)| warning);
        let failure = derived("Schlüs7".as_bytes()).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.to_string().contains("of 7 characters"), "{failure}");
        assert!(derived(b"wangwang").unwrap().unwrap().contains("of 8 characters"));
        assert!(derived(b"sixteen letters!").unwrap().is_none());
        assert!(derived(RANDOM).unwrap().is_none());
    }
}
