//! From a key to the 32 bytes that the protocol takes.
//!
//! | the key is        | the 32 bytes are                                                        |
//! |-------------------|-------------------------------------------------------------------------|
//! | 32 random bytes (`sockctl-key-1`) | HKDF-SHA256(salt `sockctl key v1`, the bytes, info `NNpsk0`) |
//! | a passphrase      | Argon2id(64 MiB, t=3, p=1, salt SHA-256(`sockctl passphrase v1` 00 context)) |
//!
//! The salt of a passphrase is the same for all who share the context: two sides that know nothing
//! but the passphrase must come to the same bytes. A context of one's own makes it one's own.

use argon2::{Algorithm, Argon2, Params, Version};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::auth::key::{Key, Keyring};
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

/// Keys in the form the protocol takes, with their names.
pub struct Psks(Vec<Psk>);

/// One of them.
pub(super) struct Psk {
    pub name: Option<String>,
    pub bytes: Zeroizing<[u8; 32]>,
}

impl Psks {
    pub(super) fn all(&self) -> &[Psk] {
        &self.0
    }

    pub(super) fn first(&self) -> &Psk {
        &self.0[0]
    }
}

/// Derives all keys of a ring: milliseconds of work and 64 MiB for each passphrase. What is to be
/// warned of comes along.
pub fn derive(keyring: &Keyring, context: &[u8]) -> Result<(Psks, Vec<String>), Failure> {
    let mut warnings = Vec::new();
    let mut psks = Vec::with_capacity(keyring.keys().len());
    for key in keyring.keys() {
        let bytes = if key.is_random() {
            expand(key.bytes())?
        } else {
            let length = characters(key.bytes());
            if length < SHORTEST {
                let cause = format!("a passphrase of {length} characters is guessed at once");
                return Err(Failure::new("use", called(key), cause, Exit::Usage)
                    .hint("take 16 or more, or make a key with --create-key"));
            }
            if length < SHORT {
                warnings.push(format!(
                    "{}: a recorded hello lets others guess a passphrase of {length} characters; \
                     take 16 or more, or --create-key",
                    called(key)
                ));
            }
            stretch(key.bytes(), context)?
        };
        psks.push(Psk { name: key.name.clone(), bytes });
    }
    Ok((Psks(psks), warnings))
}

fn expand(random: &[u8]) -> Result<Zeroizing<[u8; 32]>, Failure> {
    let mut psk = Zeroizing::new([0; 32]);
    let derived = Hkdf::<Sha256>::new(Some(HKDF_SALT), random).expand(HKDF_INFO, psk.as_mut());
    derived.map_err(|e| underived(&e))?;
    Ok(psk)
}

fn stretch(passphrase: &[u8], context: &[u8]) -> Result<Zeroizing<[u8; 32]>, Failure> {
    let mut psk = Zeroizing::new([0; 32]);
    let salt = Sha256::new().chain_update(PASSPHRASE_SALT).chain_update(context).finalize();
    let params = Params::new(MEMORY, PASSES, 1, Some(32)).map_err(|e| underived(&e))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, &salt, psk.as_mut())
        .map_err(|e| underived(&e))?;
    Ok(psk)
}

fn underived(error: &dyn std::fmt::Display) -> Failure {
    Failure::new("use", "the key", error.to_string(), Exit::Other)
}

/// The characters of a passphrase; of one that is not UTF-8, its bytes.
fn characters(passphrase: &[u8]) -> usize {
    std::str::from_utf8(passphrase).map_or(passphrase.len(), |text| text.chars().count())
}

fn called(key: &Key) -> String {
    match &key.name {
        Some(name) => format!("key {name}"),
        None => "the key".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the README.
    pub const RANDOM: &[u8] = b"sockctl-key-1 alice AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn psk(key: &[u8], context: &[u8]) -> String {
        let keyring = Keyring::from(Key::parse(key).unwrap());
        let (psks, _) = derive(&keyring, context).unwrap();
        hex::encode(psks.first().bytes.as_slice())
    }

    #[test]
    fn the_vectors_of_the_readme() {
        let readme = include_str!("../../../README.md");
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
            assert!(readme.contains(&row), "the README has no row {row}");
        }
        for text in ["sockctl key v1", "NNpsk0", "sockctl passphrase v1"] {
            assert!(readme.contains(&format!("`{text}`")), "{text}");
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
        let derived = |key: &[u8]| {
            let keyring = Keyring::from(Key::parse(key).unwrap());
            derive(&keyring, b"").map(|(_, warnings)| warnings)
        };
        let failure = derived("Schlüs7".as_bytes()).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.to_string().contains("of 7 characters"), "{failure}");
        assert!(derived(b"wangwang").unwrap()[0].contains("of 8 characters"));
        assert!(derived(b"sixteen letters!").unwrap().is_empty());
        assert!(derived(RANDOM).unwrap().is_empty());
    }
}
