//! `--create-key`: a new random key in a new file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::file::shown;
use super::{BASE64_LEN, MARK, key_name};
use crate::auth::random;
use crate::exit::{Exit, Failure};

/// What an error line begins with.
const OP: &str = "create key";

/// Writes a new random key into a new file that only its owner can read, as one
/// `sockctl-key-1` line; `default` is the name of a key without one.
pub fn create_key(path: &Path, name: Option<&str>) -> Result<(), Failure> {
    let name = name.unwrap_or("default");
    if key_name(name.as_bytes()).is_none() {
        return Err(Failure::usage("the name of a key is 1 to 32 of A-Z a-z 0-9 _ . -"));
    }
    let bytes = Zeroizing::new(random::bytes()?);
    let line = line(name, &bytes);

    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| unmade(path, &e))?;
    let written =
        file.write_all(&line).and_then(|()| file.sync_all()).and_then(|()| sync_folder(path));
    written.map_err(|e| {
        // Half a key helps nobody, and would stand in the way of the next attempt.
        let _ = fs::remove_file(path);
        Failure::system(OP, shown(path), &e).exit(Exit::Output)
    })
}

/// `sockctl-key-1 NAME BASE64URL` and a newline.
fn line(name: &str, bytes: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    let mut line = Zeroizing::new(Vec::with_capacity(128));
    let mut text = Zeroizing::new([0; BASE64_LEN]);
    // 32 bytes always fill exactly these 43 characters.
    let _ = URL_SAFE_NO_PAD.encode_slice(bytes, text.as_mut_slice());
    line.extend_from_slice(MARK);
    line.extend_from_slice(name.as_bytes());
    line.push(b' ');
    line.extend_from_slice(text.as_slice());
    line.push(b'\n');
    line
}

/// Makes the new name itself last through a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match File::open(folder) {
        Ok(folder) => folder.sync_all(),
        // A folder one may write to but not read: nothing to hold on to.
        Err(_) => Ok(()),
    }
}

fn unmade(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::system(OP, shown(path), error);
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            failure.exit(Exit::Usage).hint("a key is never overwritten: name a new file")
        }
        _ => failure,
    }
}
