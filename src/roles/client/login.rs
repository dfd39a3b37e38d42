//! The login at a proxy: the user of the URL, and the password from a file or the environment, never
//! from the command line.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::auth::secret::{SecretFile, without_newline};
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::proxy::{Login, Proxy, Scheme};

const VARIABLE: &str = "SOCKCTL_PROXY_PASSWORD";
/// The login for `proxy`; `None` where no user is given.
pub fn login(proxy: &Proxy, file: Option<&Path>) -> Result<Option<Login>, Failure> {
    let Some(user) = &proxy.user else {
        return match file {
            None => Ok(None),
            Some(_) => Err(Failure::usage(
                "--proxy-password-file needs a user: --proxy socks5://USER@HOST:PORT",
            )),
        };
    };
    let password = match (file, std::env::var_os(VARIABLE)) {
        (Some(path), _) => read(path, proxy.scheme.longest())?,
        (None, Some(value)) => Zeroizing::new(value.as_bytes().to_vec()),
        (None, None) => {
            return Err(Failure::usage(format!(
                "--proxy: no password for its user; set {VARIABLE} or add --proxy-password-file FILE"
            )));
        }
    };
    let most = proxy.scheme.longest();
    if password.len() > most {
        return Err(Failure::usage(format!("the proxy's password has over {most} bytes")));
    }
    if proxy.scheme == Scheme::Http && std::str::from_utf8(&password).is_err() {
        return Err(Failure::usage("the HTTP proxy's password is not UTF-8"));
    }
    let user = user.clone();
    Ok(Some(Login { user, password }))
}

/// A password, minus exactly one final LF or CRLF, out of a file that only its owner can read.
fn read(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let content = SecretFile::open("read the proxy's password from", path, Deadline::of_run())
        .and_then(|file| file.read(most + 2))
        .map_err(|failure| match failure.exit {
            Exit::TimedOut => failure,
            _ => failure.exit(Exit::Usage),
        })?;
    Ok(Zeroizing::new(without_newline(&content).to_vec()))
}
