//! Telling the world that we listen: the port file and the service manager.

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
        Endpoint::Beyond(name) => name.clone().into_bytes(),
    };
    text.push(b'\n');
    let fail = |e: io::Error| {
        Failure::system("write the port file", path.display(), &e).exit(match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::Output,
            _ => Exit::Usage,
        })
    };
    if !fs::symlink_metadata(path).map_or(true, |found| found.is_file()) {
        // A device or FIFO is written, not replaced.
        return fs::OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(&text))
            .map_err(fail);
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let result = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    result.map_err(|e| {
        // What could not be written may not exist either.
        let _ = fs::remove_file(&temporary);
        fail(e)
    })
}

/// `READY=1` to `NOTIFY_SOCKET`, where a service manager set it (`sd_notify(3)`). One that does
/// not listen is its own trouble.
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
