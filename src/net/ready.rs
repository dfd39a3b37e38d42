//! Ready notification: the port file and the service manager.

use std::fs;
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use super::endpoint::Endpoint;
use crate::exit::{Exit, Failure};

/// Writes the port (or the UNIX path) and a newline to `path`, whole or not at all: a reader
/// never sees half of it.
pub fn write_port_file(path: &Path, local: &Endpoint) -> Result<(), Failure> {
    let mut text = match local {
        Endpoint::Inet(inet) => inet.port().to_string().into_bytes(),
        Endpoint::Any(port) => port.to_string().into_bytes(),
        Endpoint::Unix(name) => name.clone(),
        Endpoint::ViaProxy(name) => name.clone().into_bytes(),
    };
    text.push(b'\n');
    replace(path, &text).map_err(|e| {
        Failure::system("write the port file", path.display(), &e).exit(match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::Output,
            _ => Exit::Usage,
        })
    })
}

/// Writes a file under another name and renames it. A device or FIFO is written, not replaced.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    if !fs::symlink_metadata(path).map_or(true, |found| found.is_file()) {
        return fs::OpenOptions::new().write(true).open(path)?.write_all(text);
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let result = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // It may not exist.
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Sends `READY=1` to `NOTIFY_SOCKET`, where a service manager set it (`sd_notify(3)`). Errors are
/// ignored: the server works without the notification.
pub fn notify() {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(b"READY=1", &address);
    }
}
