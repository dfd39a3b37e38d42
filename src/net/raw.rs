//! The only unsafe code: system calls for which nix has no safe wrapper, and a library to link.
//! getsockopt(2) and setsockopt(2) with any level, number and bytes, sockets of other processes
//! (`pidfd_getfd(2)`), the count of unread bytes, children that ended by any signal, and close-on-exec
//! of inherited descriptors. Also a look at the standard streams before the standard library has one.
#![allow(
    unsafe_code,
    reason = "options and descriptors are known at run time; the safe wrappers know each at compile time"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use nix::errno::Errno;

// Unwinding, which the standard library refers to, from the static library: looking up the shared
// one, and its look at the processor, is a tenth of the time that a short run takes.
#[cfg(target_env = "gnu")]
#[link(name = "gcc_eh", kind = "static", modifiers = "-bundle")]
unsafe extern "C" {}

/// The standard streams that were not open when the process began, a bit each.
static CLOSED: AtomicU8 = AtomicU8::new(0);
/// Whether SIGPIPE was ignored then.
static IGNORED_PIPE: AtomicBool = AtomicBool::new(false);

/// Runs before main: by then the standard library has opened `/dev/null` in place of what is closed, and
/// ignores SIGPIPE.
#[used]
#[unsafe(link_section = ".init_array")]
static RECORD_CLOSED: extern "C" fn() = {
    extern "C" fn record() {
        for fd in 0..3_u8 {
            // SAFETY: the call takes integers; a number that is not open is EBADF and nothing else.
            if unsafe { libc::fcntl(fd.into(), libc::F_GETFD) } < 0 {
                CLOSED.fetch_or(1 << fd, Ordering::Relaxed);
            }
        }
        IGNORED_PIPE.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
    }
    record
};

/// Whether descriptor 0, 1 or 2 was closed when the process began.
pub fn was_closed(stream: BorrowedFd<'_>) -> bool {
    CLOSED.load(Ordering::Relaxed) & (1 << stream.as_raw_fd()) != 0
}

/// Gives SIGPIPE the disposition back that it had when the process began, for a program in our place.
pub fn restore_sigpipe() {
    if !IGNORED_PIPE.load(Ordering::Relaxed) {
        // SAFETY: the call takes integers; SIG_DFL is no handler of ours.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    }
}

/// `SO_GET_FILTER` is the number of `SO_ATTACH_FILTER`, read (`asm-generic/socket.h`).
const SO_GET_FILTER: i32 = libc::SO_ATTACH_FILTER;
/// The size of what `SO_GET_FILTER` counts: its length is a number of instructions, not of bytes.
/// It is the only such option of the families in the option table (socket(7), net/core/filter.c).
const INSTRUCTION: usize = size_of::<libc::sock_filter>();
/// The most instructions of a classic BPF program (`linux/bpf_common.h`).
const BPF_MAXINSNS: usize = 4096;
/// Bytes behind the buffer that must still be `CANARY` after the call. Some options write a field
/// of their struct without looking at the length (`TCP_AO_GET_KEYS`, its `nkeys` at 208).
const GUARD: usize = 4096;
const CANARY: u8 = 0xa5;

/// getsockopt(2): the option's bytes, at most `room` of them; `SO_GET_FILTER` gives its whole
/// program whatever the room. `EOVERFLOW` if the kernel wrote beyond the room.
pub fn getsockopt(fd: BorrowedFd<'_>, level: i32, number: i32, room: usize) -> io::Result<Vec<u8>> {
    let counts_instructions = (level, number) == (libc::SOL_SOCKET, SO_GET_FILTER);
    let (unit, room) =
        if counts_instructions { (INSTRUCTION, BPF_MAXINSNS * INSTRUCTION) } else { (1, room) };
    guarded(room, |bytes| {
        let mut len = length(room / unit)?;
        // SAFETY: given `len`, the kernel writes `len` units, which are the first `room` bytes, and
        // stores their count in `len`. An option that takes a struct whose own count sets the
        // length (MCAST_MSFILTER, TCP_AO_GET_KEYS) finds it zeroed, and writes its fixed part,
        // which ends within `GUARD`. `bytes` and `len` live through the call, and the descriptor is
        // open as long as it is borrowed.
        let status = unsafe {
            libc::getsockopt(fd.as_raw_fd(), level, number, bytes.as_mut_ptr().cast(), &raw mut len)
        };
        Errno::result(status)?;
        Ok(usize::try_from(len).unwrap_or(room).saturating_mul(unit))
    })
}

/// What `fill` writes into `room` zeroed bytes, cut to the count that it returns; `EOVERFLOW` where
/// it has changed a byte of the guard behind them.
fn guarded(room: usize, fill: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0_u8; room + GUARD];
    bytes[room..].fill(CANARY);
    let count = fill(&mut bytes)?;
    if bytes[room..].iter().any(|&byte| byte != CANARY) {
        return Err(Errno::EOVERFLOW.into());
    }
    bytes.truncate(count.min(room));
    Ok(bytes)
}

/// setsockopt(2).
pub fn setsockopt(fd: BorrowedFd<'_>, level: i32, number: i32, bytes: &[u8]) -> io::Result<()> {
    let mut copy = bytes.to_vec();
    let (at, len) = (copy.as_mut_ptr().cast(), length(copy.len())?);
    // SAFETY: `copy` is readable and writable for `len` bytes: some options write an answer into it
    // (IPV6_FLOWLABEL_MGR, the label that was chosen). A pointer inside it (SO_ATTACH_FILTER) is
    // checked by the kernel like any user address. The descriptor is open as long as it is borrowed.
    let status = unsafe { libc::setsockopt(fd.as_raw_fd(), level, number, at, len) };
    Errno::result(status)?;
    Ok(())
}

/// waitpid(2) for any child that has ended: its process id, and how it ended; `None` while none
/// has. nix refuses the status of one that a real-time signal ended, after it was collected.
pub fn wait_for_any() -> io::Result<Option<(i32, ExitStatus)>> {
    let mut status = 0;
    // SAFETY: the kernel stores an int in `status`, which lives through the call.
    let pid = Errno::result(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) })?;
    Ok((pid != 0).then(|| (pid, ExitStatus::from_raw(status))))
}

/// The bytes that could be read from a socket or a pipe now: ioctl(2) with `SIOCINQ`, which is `FIONREAD`.
pub fn unread(fd: BorrowedFd<'_>) -> io::Result<u64> {
    count(fd, libc::FIONREAD)
}

/// The bytes of a TCP socket that the peer's kernel has not acknowledged, our FIN among them: ioctl(2)
/// with `SIOCOUTQ`, which is `TIOCOUTQ`.
pub fn unacknowledged(fd: BorrowedFd<'_>) -> io::Result<u64> {
    count(fd, libc::TIOCOUTQ)
}

/// ioctl(2) with one of the two requests above.
fn count(fd: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<u64> {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel stores an int in `count`; the descriptor is open while it is borrowed.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut count) })?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Whether a signal is ignored: sigaction(2), asked without a change.
pub fn is_ignored(signal: i32) -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: no new action is given; the kernel writes the present one into `now`, and nothing is
    // read from it where the call has failed.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Puts a duplicate of `with` in the place of an open descriptor: dup3(2), close-on-exec.
pub fn replace(fd: BorrowedFd<'_>, with: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes integers; `fd` stays open, as its borrower expects.
    Errno::result(unsafe { libc::dup3(with.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) })?;
    Ok(())
}

/// A descriptor for a process: `pidfd_open(2)`, close-on-exec.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers.
    opened(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// A duplicate of descriptor `fd` of another process: `pidfd_getfd(2)`, close-on-exec.
pub fn pidfd_getfd(process: BorrowedFd<'_>, fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call takes three integers; the process's descriptor is open while it is borrowed.
    opened(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })
}

/// The new descriptor that a system call returned.
fn opened(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(Errno::result(result)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just opened it for us, and nothing else refers to it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Marks all open descriptors from `first` on close-on-exec: `close_range(2)`, and where the kernel
/// lacks it (before 5.11) one by one, below `most` and 65,536.
pub fn close_on_exec(first: u32, most: usize) {
    // SAFETY: the call takes three integers and closes nothing; it sets a flag on descriptors.
    let status =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if status == 0 {
        return;
    }
    let most = i32::try_from(most.min(1 << 16)).unwrap_or(1 << 16);
    for fd in first.cast_signed()..most {
        // SAFETY: it takes integers; a number that is not open is EBADF and nothing else.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

fn length(bytes: usize) -> io::Result<libc::socklen_t> {
    libc::socklen_t::try_from(bytes).map_err(|_| Errno::EINVAL.into())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// Attaches a program of so many instructions, each of which is `BPF_RET`.
    fn attach(socket: &std::net::UdpSocket, count: usize) {
        let mut program = vec![libc::sock_filter { code: 6, jt: 0, jf: 0, k: 65535 }; count];
        let program =
            libc::sock_fprog { len: count.try_into().unwrap(), filter: program.as_mut_ptr() };
        // SAFETY: a sock_fprog is plain integers and a pointer, which lives through the call.
        let bytes = unsafe {
            std::slice::from_raw_parts((&raw const program).cast::<u8>(), size_of_val(&program))
        };
        setsockopt(socket.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, bytes).unwrap();
    }

    #[test]
    fn a_filter_is_read_whole_whatever_room_is_given() {
        for count in [1, 511, 512, 513, 600, 1000, 3000, BPF_MAXINSNS] {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            attach(&socket, count);
            for room in [0, 4, 256, 4096] {
                let bytes = getsockopt(socket.as_fd(), 1, SO_GET_FILTER, room).unwrap();
                assert_eq!(bytes.len(), count * INSTRUCTION, "{count} {room}");
                assert_eq!(bytes[..8], [6, 0, 0, 0, 255, 255, 0, 0]);
            }
        }
    }

    #[test]
    fn what_an_option_answers_into_its_value_does_not_reach_the_caller() {
        // struct in6_flowlabel_req: destination ::1, label 0, GET, EXCL, CREATE; rest.
        let mut bytes = vec![0; 32];
        (bytes[15], bytes[21], bytes[22]) = (1, 1, 1);
        let socket = std::net::UdpSocket::bind("[::1]:0").unwrap();
        setsockopt(socket.as_fd(), libc::IPPROTO_IPV6, 32, &bytes).unwrap();
        assert_eq!(std::hint::black_box(&bytes)[16..20], [0; 4]);
    }

    #[test]
    fn a_write_behind_the_room_is_an_error() {
        for at in [8, 9, 216, 8 + GUARD - 1] {
            let result = guarded(8, |bytes| {
                bytes[at] = 1;
                Ok(8)
            });
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EOVERFLOW));
        }
        assert_eq!(guarded(8, |_| Ok(4)).unwrap(), [0; 4]);
        assert_eq!(guarded(8, |_| Ok(usize::MAX)).unwrap(), [0; 8]);
    }
}
