//! SIGINT, SIGTERM and SIGHUP: fatal at once while nothing needs cleaning up, a readable
//! descriptor where a loop wants to end in good order.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use super::raw;

struct Signals {
    pipe: UnixStream,
    at_once: Arc<AtomicBool>,
    last: Arc<AtomicUsize>,
}

static SIGNALS: OnceLock<Signals> = OnceLock::new();

/// Installs the handlers. Until [`defer`] is called a signal ends the process with 128 + its
/// number, as an exit value. SIGHUP stays ignored where it was inherited so (nohup).
pub fn install() -> io::Result<()> {
    let (pipe, writer) = UnixStream::pair()?;
    pipe.set_nonblocking(true)?;
    let signals = Signals {
        pipe,
        at_once: Arc::new(AtomicBool::new(true)),
        last: Arc::new(AtomicUsize::new(0)),
    };
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if signal == SIGHUP && is_inherited_ignored(SIGHUP) {
            continue;
        }
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&signals.at_once))?;
        flag::register_usize(
            signal,
            Arc::clone(&signals.last),
            usize::try_from(signal).unwrap_or_default(),
        )?;
        low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    // A second call has no effect.
    let _ = SIGNALS.set(signals);
    Ok(())
}

/// The time in which signals are not fatal but reported here.
pub struct Deferred(&'static Signals);

/// From now until the guard is dropped, signals wait to be taken. `None` before [`install`].
pub fn defer() -> Option<Deferred> {
    let signals = SIGNALS.get()?;
    signals.at_once.store(false, Ordering::SeqCst);
    Some(Deferred(signals))
}

/// Runs `work`, which may block and leaves nothing to clean up: signals are fatal at once
/// meanwhile, deferred or not.
pub fn fatal_during<T>(work: impl FnOnce() -> T) -> T {
    let Some(signals) = SIGNALS.get() else {
        return work();
    };
    let before = signals.at_once.swap(true, Ordering::SeqCst);
    if let Ok(signal @ 1..) = i32::try_from(signals.last.load(Ordering::SeqCst)) {
        // It came while it was deferred, and would not be taken any more.
        low_level::exit(128 + signal);
    }
    let result = work();
    signals.at_once.store(before, Ordering::SeqCst);
    result
}

impl Deferred {
    /// The signal received since the last call, if any; several count as one.
    pub fn take(&self) -> Option<i32> {
        let mut sink = [0; 64];
        let mut pipe = &self.0.pipe;
        while matches!(pipe.read(&mut sink), Ok(n) if n > 0) {}
        match self.0.last.swap(0, Ordering::SeqCst) {
            0 => None,
            signal => i32::try_from(signal).ok(),
        }
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        self.0.at_once.store(true, Ordering::SeqCst);
    }
}

impl AsFd for Deferred {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.pipe.as_fd()
    }
}

/// A descriptor that is readable whenever a child may have ended (SIGCHLD), also where that signal
/// was inherited blocked or ignored: the kernel would then reap children, and lose their status.
pub fn children() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    low_level::pipe::register(SIGCHLD, writer)?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.thread_unblock()?;
    Ok(reader)
}

/// Collects a child that has ended; `None` where none has.
pub fn ended_child() -> Option<(Pid, ExitStatus)> {
    let (pid, status) = raw::wait_for_any().ok()??;
    Some((Pid::from_raw(pid), status))
}

/// The name of a signal. Real-time signals count from the first, as in `kill -l`.
pub fn name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) => format!("SIGRTMIN{:+}", number - libc::SIGRTMIN()),
    }
}

/// Whether we were started with `signal` ignored: the `SigIgn` mask of proc(5), as there is no
/// safe way to ask sigaction(2). Without /proc nothing counts as ignored.
fn is_inherited_ignored(signal: i32) -> bool {
    // The text usually fits: it is longer only for a user in hundreds of groups.
    let mut status = Vec::with_capacity(4096);
    // On an error the part that was read is searched.
    let _ =
        std::fs::File::open("/proc/self/status").and_then(|mut file| file.read_to_end(&mut status));
    String::from_utf8_lossy(&status)
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}
