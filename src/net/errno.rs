//! What the errors of socket calls mean: not now, interrupted, reset.

use std::io;

use nix::errno::Errno;

/// Whether the call would have blocked: to be repeated when the descriptor is ready.
pub fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Whether the peer has reset the connection: as a rule, or after it had ended its side.
pub fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Repeats a call that a signal interrupted.
pub fn restart<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// The same, with the error as that of the standard library.
pub fn retry<T>(call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    restart(call).map_err(Into::into)
}
