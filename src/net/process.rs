//! Sockets of other processes: lists them (proc(5)) and duplicates one (`pidfd_getfd(2)`).

use std::fs;
use std::io;
use std::os::fd::{AsFd, RawFd};
use std::path::Path;

use nix::errno::Errno;

use super::raw;
use super::socket::Socket;
use crate::exit::{During, Exit, Failure};
use crate::sanitize;

/// A socket that a process has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The process.
    pub pid: i32,
    /// Its descriptor.
    pub fd: RawFd,
    /// The socket's inode, which is the same for all who share it.
    pub inode: u64,
}

/// The sockets a process has open, by descriptor.
pub fn sockets(pid: i32) -> Result<Vec<Held>, Failure> {
    list(pid).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound if Path::new("/proc/self").exists() => no_process(pid),
        io::ErrorKind::NotFound => Failure::system("look into", "/proc", &e).hint("is it mounted?"),
        _ => Failure::system("look into", format!("process {pid}"), &e)
            .hint("only its owner may, or CAP_SYS_PTRACE"),
    })
}

fn list(pid: i32) -> io::Result<Vec<Held>> {
    let mut held = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let path = entry?.path();
        match fs::read_link(&path) {
            Ok(link) => {
                held.extend(socket(&path, &link).map(|(fd, inode)| Held { pid, fd, inode }));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {} // closed since it was listed
            Err(e) => return Err(e), // the kernel lets others list descriptors, not read them
        }
    }
    held.sort_unstable_by_key(|held| held.fd);
    Ok(held)
}

/// Descriptor and inode of the socket at `/proc/PID/fd/N`, whose link says what it is.
fn socket(path: &Path, link: &Path) -> Option<(RawFd, u64)> {
    let fd = path.file_name()?.to_str()?.parse().ok()?;
    let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    Some((fd, inode.parse().ok()?))
}

/// A descriptor of ours for a socket of another process: the same socket, so that what is set on
/// it is set for both.
pub fn borrow(pid: i32, fd: RawFd) -> Result<Socket, Failure> {
    duplicate(pid, fd).map_err(|error| {
        let target = format!("descriptor {fd} of process {pid}");
        let failure = Failure::system("borrow", target, &error);
        let listed = "--pid without --fd lists its sockets";
        match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
            Errno::ESRCH => no_process(pid),
            Errno::EPERM => failure.hint(
                "ptrace rules forbid it (its owner may if kernel.yama.ptrace_scope is 0, else CAP_SYS_PTRACE)",
            ),
            Errno::ENOSYS => failure.hint("this kernel has no pidfd_getfd(2), which came with Linux 5.6"),
            Errno::EBADF => failure.hint(listed).exit(Exit::Usage),
            Errno::ENOTSOCK => Failure { op: "use", ..failure.hint(listed).exit(Exit::Usage) },
            _ => failure,
        }
    })
}

fn duplicate(pid: i32, fd: RawFd) -> io::Result<Socket> {
    let process = raw::pidfd_open(pid)?;
    let socket = Socket::from(raw::pidfd_getfd(process.as_fd(), fd)?);
    socket.options().r#type()?;
    Ok(socket)
}

/// What a process calls itself (its `comm`).
pub fn name(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(sanitize::line(name.strip_suffix(b"\n").unwrap_or(&name)))
}

fn no_process(pid: i32) -> Failure {
    let cause = "no such process (ESRCH 3)";
    Failure::new("look into", format!("process {pid}"), cause, Exit::Other)
}

/// The sockets that are served at a port of this machine, with the processes that hold them: TCP
/// listeners, or bound UDP sockets. Those of processes that may not be inspected are left out;
/// if there is no other, that is the error.
pub fn at_port(port: u16, udp: bool) -> Result<Vec<Held>, Failure> {
    let target = format!("port {port}");
    let tables = if udp { ["udp", "udp6"] } else { ["tcp", "tcp6"] };
    let mut inodes = Vec::new();
    for table in tables {
        match fs::read_to_string(format!("/proc/net/{table}")) {
            Ok(text) => inodes.extend(text.lines().filter_map(|line| entry(line, port, !udp))),
            // No IPv6.
            Err(e) if e.kind() == io::ErrorKind::NotFound && table.ends_with('6') => {}
            Err(e) => return Err(e).during("read", format!("/proc/net/{table}")),
        }
    }
    if inodes.is_empty() {
        return Err(Failure::new("look up", &target, "no process listens there", Exit::Refused));
    }
    let processes = fs::read_dir("/proc").during("look up", &target)?;
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut pids: Vec<i32> = pids.collect();
    pids.sort_unstable();
    // Processes that end meanwhile, and those of others, are passed over.
    let held = pids.into_iter().filter_map(|pid| list(pid).ok()).flatten();
    let found: Vec<Held> = held.filter(|held| inodes.contains(&held.inode)).collect();
    if found.is_empty() {
        let cause = "its process belongs to another user: operation not permitted (EPERM 1)";
        return Err(Failure::new("look up", &target, cause, Exit::Permission));
    }
    Ok(found)
}

/// The inode of a line of /proc/net/tcp (proc(5)) that is about this port and, if asked for,
/// listens: `sl local_address rem_address st … inode`, addresses as `ADDR:PORT` in hex.
fn entry(line: &str, port: u16, listening: bool) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (_, local) = fields.next()?.rsplit_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    let wanted = u16::from_str_radix(local, 16).ok()? == port && (!listening || state == "0A");
    wanted.then(|| inode.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "   0: 0100007F:2148 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0";

    #[test]
    fn a_line_of_the_kernel_s_table_is_read() {
        assert_eq!(entry(LINE, 8520, true), Some(4711));
        assert_eq!(entry(LINE, 8521, true), None);
        assert_eq!(entry(&LINE.replace(" 0A ", " 01 "), 8520, true), None);
        assert_eq!(entry(&LINE.replace(" 0A ", " 07 "), 8520, false), Some(4711));
        assert_eq!(entry("  sl  local_address rem_address   st", 8520, true), None);
    }

    #[test]
    fn our_own_sockets_are_found_and_borrowed() {
        let ours = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&ours);
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(sockets(pid).unwrap().iter().any(|held| held.fd == fd));
        let port = ours.local_addr().unwrap().port();
        let found = at_port(port, false).unwrap();
        assert!(found.iter().any(|held| (held.pid, held.fd) == (pid, fd)));
        let borrowed = borrow(pid, fd).unwrap();
        assert_eq!(borrowed.local().unwrap().to_string(), format!("127.0.0.1:{port}"));
    }
}
