//! Ready notification: the port file and the service manager.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::thread;

use super::endpoint::Endpoint;
use super::listen::OwnFile;
use crate::exit::Failure;

/// How many temporary names are tried.
const ATTEMPTS: u32 = 100;

/// `--port-file`: there while this run listens, so that that of an earlier run is never read as this one's.
pub struct PortFile {
    path: PathBuf,
    own: Option<OwnFile>,
}

impl PortFile {
    /// Removes what an earlier run has left: right before bind(2), as a command that is refused must
    /// leave the file of one that runs. A device or FIFO stays: it is written, not replaced.
    pub fn prepare(path: &Path) -> Result<Self, Failure> {
        if is_replaced(path) {
            match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failure(path, &e)),
                _ => {}
            }
        }
        Ok(Self { path: path.into(), own: None })
    }

    /// Writes each port (or UNIX path) and a newline, whole or not at all: a reader never sees half
    /// of it.
    pub fn write(&mut self, locals: &[Endpoint]) -> Result<(), Failure> {
        let mut text = Vec::new();
        for local in locals {
            match local {
                Endpoint::Inet(inet) => text.extend(inet.port().to_string().bytes()),
                Endpoint::Any(port) => text.extend(port.to_string().bytes()),
                Endpoint::Unix(name) => text.extend(name),
                Endpoint::ViaProxy(name) => text.extend(name.bytes()),
            }
            text.push(b'\n');
        }
        self.own = replace(&self.path, &text).map_err(|e| failure(&self.path, &e))?;
        Ok(())
    }
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::file("write the port file", path.display(), error)
}

/// Whether a new file takes the place of what is there; a symbolic link is not followed, unless it
/// stands for a descriptor.
fn is_replaced(path: &Path) -> bool {
    let is_descriptor = ["/dev/fd/", "/dev/stdout", "/dev/stderr", "/proc/"];
    let name = path.as_os_str().as_bytes();
    !is_descriptor.iter().any(|start| name.starts_with(start.as_bytes()))
        && fs::symlink_metadata(path).map_or(true, |found| found.is_file() || found.is_symlink())
}

/// Writes a device, FIFO or descriptor. Nothing waits for the reader of a FIFO, which may never come.
fn pass(path: &Path, text: &[u8]) -> io::Result<()> {
    let (path, text) = (path.to_owned(), text.to_owned());
    let is_fifo = fs::metadata(&path).is_ok_and(|found| found.file_type().is_fifo());
    let write = move || OpenOptions::new().write(true).open(path)?.write_all(&text);
    if is_fifo {
        thread::Builder::new().name("port file".into()).spawn(write)?;
        return Ok(());
    }
    write()
}

/// Writes a file under another name and renames it: the file, which is ours, unless it is a device
/// or FIFO. The name is new: nothing that others have put there is opened.
fn replace(path: &Path, text: &[u8]) -> io::Result<Option<OwnFile>> {
    if !is_replaced(path) {
        pass(path, text)?;
        return Ok(None);
    }
    let id = std::process::id();
    for attempt in 0..ATTEMPTS {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{id}.{attempt}"));
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            file => file?,
        };
        let own = OwnFile::of(Path::new(&temporary))?;
        file.write_all(text)?;
        fs::rename(&temporary, path)?;
        return Ok(Some(own.renamed(path)?));
    }
    Err(io::ErrorKind::AlreadyExists.into())
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
