//! Who we are to a proxy: the user of the URL, the password from a file or the environment, never
//! from the command line.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};
use crate::net::proxy::{Login, Proxy};

const VARIABLE: &str = "SOCKCTL_PROXY_PASSWORD";
/// The longest password: RFC 1929 has one byte for its length.
const LONGEST: usize = 255;

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
        (Some(path), _) => read(path)?,
        (None, Some(value)) => Zeroizing::new(value.as_bytes().to_vec()),
        (None, None) => {
            return Err(Failure::usage(format!(
                "--proxy: no password for its user; set {VARIABLE} or add --proxy-password-file FILE"
            )));
        }
    };
    if password.len() > LONGEST {
        return Err(Failure::usage("the proxy's password has over 255 bytes"));
    }
    let user = user.clone();
    Ok(Some(Login { user, password }))
}

/// A password, minus exactly one final LF or CRLF, out of a file that nobody else can read.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let op = "read the proxy's password from";
    let name = crate::sanitize::line(path.as_os_str().as_bytes());
    let system = |e| Failure::system(op, &name, &e).exit(Exit::Usage);
    let file = File::open(path).map_err(system)?;
    let meta = file.metadata().map_err(system)?;
    if meta.is_file() && meta.mode() & 0o044 != 0 {
        let cause = format!("others can read it (mode {:04o})", meta.mode() & 0o7777);
        let failure = Failure::new(op, &name, cause, Exit::Usage);
        return Err(failure.hint(&format!("chmod 600 {name}")));
    }
    let mut password = Zeroizing::new(Vec::with_capacity(2 * LONGEST));
    let most = LONGEST as u64 + 3;
    file.take(most).read_to_end(&mut password).map_err(system)?;
    if password.ends_with(b"\n") {
        password.pop();
        if password.ends_with(b"\r") {
            password.pop();
        }
    }
    Ok(password)
}
