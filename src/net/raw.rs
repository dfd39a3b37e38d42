//! The only unsafe code: getsockopt(2) and setsockopt(2) with any level, number and bytes, and
//! descriptors that nobody here owns, as no safe wrapper exists for either; and a library that is
//! linked.
#![allow(
    unsafe_code,
    reason = "options and descriptors are known at run time; the safe wrappers know each at compile time"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

// Unwinding, which the standard library refers to, from the static library: looking up the shared
// one, and its look at the processor, is a tenth of the time that a short run takes.
#[cfg(target_env = "gnu")]
#[link(name = "gcc_eh", kind = "static", modifiers = "-bundle")]
unsafe extern "C" {}

/// getsockopt(2): the option's bytes, at most `room` of them.
pub fn getsockopt(fd: BorrowedFd<'_>, level: i32, number: i32, room: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0_u8; room];
    let mut len = length(room)?;
    // SAFETY: `bytes` is writable for `len` bytes, the kernel writes no more than that and
    // stores the count in `len`; both live through the call, and the descriptor is open as
    // long as it is borrowed.
    let status = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            number,
            bytes.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    Errno::result(status)?;
    bytes.truncate(usize::try_from(len).unwrap_or(room));
    Ok(bytes)
}

/// setsockopt(2).
pub fn setsockopt(fd: BorrowedFd<'_>, level: i32, number: i32, bytes: &[u8]) -> io::Result<()> {
    let len = length(bytes.len())?;
    // SAFETY: `bytes` is readable for `len` bytes and the kernel only reads it; a pointer inside
    // it (SO_ATTACH_FILTER) is checked by the kernel like any user address. The descriptor is
    // open as long as it is borrowed.
    let status =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, number, bytes.as_ptr().cast(), len) };
    Errno::result(status)?;
    Ok(())
}

/// Marks all open descriptors from `first` on close-on-exec: `close_range(2)`, and where the kernel
/// lacks it (before 5.11) one by one, below `most` and 65,536.
pub fn close_on_exec(first: u32, most: usize) {
    // SAFETY: the call takes three integers and closes nothing; it sets a flag on descriptors.
    let status = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
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
