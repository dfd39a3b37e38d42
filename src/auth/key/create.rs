//! `--create-key`: a new random key in a new file.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::{BASE64_LEN, MARK, key_name};
use crate::auth::random_bytes;
use crate::auth::secret::{create, keep_private};
use crate::exit::Failure;

/// The beginning of an error line.
const OP: &str = "create key";

/// Writes a new random key into a new file that only its owner can read, as one
/// `sockctl-key-1 NAME BASE64URL` line; without a name it is called `default`.
pub fn create_key(path: &Path, name: Option<&str>) -> Result<(), Failure> {
    keep_private();
    let name = name.unwrap_or("default");
    if key_name(name.as_bytes()).is_none() {
        return Err(Failure::usage("the name of a key is 1 to 32 of A-Z a-z 0-9 _ . -"));
    }
    let bytes = Zeroizing::new(random_bytes::<32>()?);
    let mut text = Zeroizing::new([0; BASE64_LEN]);
    // 32 bytes always fill exactly these 43 characters.
    let _ = URL_SAFE_NO_PAD.encode_slice(bytes.as_slice(), text.as_mut_slice());
    // With room enough to never move: a copy left behind would not be wiped.
    let mut line = Zeroizing::new(Vec::with_capacity(128));
    for part in [MARK, name.as_bytes(), b" ", text.as_slice(), b"\n"] {
        line.extend_from_slice(part);
    }
    create(OP, path, &line)
}
