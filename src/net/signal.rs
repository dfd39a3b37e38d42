//! SIGINT, SIGTERM and SIGHUP: fatal at once while nothing needs cleaning up, a readable
//! descriptor where a loop wants to end in good order.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{SigId, flag, low_level};

use super::raw;
pub use super::raw::restore_sigpipe;

struct Signals {
    pipe: UnixStream,
    at_once: Arc<AtomicBool>,
    last: Arc<AtomicUsize>,
    /// SIGHUP has asked a server to read its files again.
    reload: Arc<AtomicBool>,
    /// The actions of SIGHUP, while it is like the others.
    hang_up: Mutex<Vec<SigId>>,
    writer: UnixStream,
    /// One was taken.
    taken: AtomicBool,
}

static SIGNALS: OnceLock<Signals> = OnceLock::new();

/// Installs the handlers. Until [`defer`] is called a signal ends the process with 128 + its
/// number, as an exit value. A signal that came ignored stays so: by nohup, by a script's `&`.
pub fn install() -> io::Result<()> {
    // With a handler, a write beyond the limit on file sizes fails (EFBIG).
    if !raw::is_ignored(SIGXFSZ) {
        flag::register(SIGXFSZ, Arc::default())?;
    }
    let (pipe, writer) = UnixStream::pair()?;
    pipe.set_nonblocking(true)?;
    let signals = Signals {
        pipe,
        at_once: Arc::new(AtomicBool::new(true)),
        last: Arc::new(AtomicUsize::new(0)),
        reload: Arc::default(),
        hang_up: Mutex::default(),
        writer,
        taken: AtomicBool::new(false),
    };
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if raw::is_ignored(signal) {
            continue;
        }
        let number = usize::try_from(signal).unwrap_or_default();
        let at_once = Arc::clone(&signals.at_once);
        let actions = [
            flag::register_conditional_shutdown(signal, 128 + signal, at_once)?,
            flag::register_usize(signal, Arc::clone(&signals.last), number)?,
            low_level::pipe::register(signal, signals.writer.try_clone()?)?,
        ];
        if signal == SIGHUP {
            *signals.hang_up.lock().unwrap_or_else(PoisonError::into_inner) = actions.into();
        }
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

/// The same for a server: from now on SIGHUP asks to read files again, which
/// [`Deferred::wants_reload`] reports. Not where a terminal controls us, whose end it announces, nor
/// where it came ignored.
pub fn defer_with_reload() -> io::Result<Option<Deferred>> {
    let Some(deferred) = defer() else {
        return Ok(None);
    };
    let signals = deferred.0;
    let mut actions = signals.hang_up.lock().unwrap_or_else(PoisonError::into_inner);
    if !actions.is_empty() && File::open("/dev/tty").is_err() {
        flag::register(SIGHUP, Arc::clone(&signals.reload))?;
        low_level::pipe::register(SIGHUP, signals.writer.try_clone()?)?;
        for action in actions.drain(..) {
            low_level::unregister(action);
        }
    }
    Ok(Some(deferred))
}

/// Runs `work`, which may block and leaves nothing to clean up: signals are fatal at once
/// meanwhile, deferred or not.
pub fn fatal_during<T>(work: impl FnOnce() -> T) -> T {
    let Some(signals) = SIGNALS.get() else {
        return work();
    };
    let before = signals.at_once.swap(true, Ordering::SeqCst);
    if let Some(signal) = pending() {
        // It came while it was deferred, and would not be taken any more.
        low_level::exit(128 + signal);
    }
    let result = work();
    signals.at_once.store(before, Ordering::SeqCst);
    result
}

/// The signal that has come and was not taken.
pub fn pending() -> Option<i32> {
    let last = SIGNALS.get()?.last.load(Ordering::SeqCst);
    i32::try_from(last).ok().filter(|&signal| signal != 0)
}

/// Whether a signal has come, taken or not.
pub fn has_come() -> bool {
    SIGNALS.get().is_some_and(|signals| signals.taken.load(Ordering::SeqCst)) || pending().is_some()
}

impl Deferred {
    /// Whether SIGHUP has asked to read files again since the last call. Asked after
    /// [`Deferred::take`], which empties the descriptor: what comes later makes it readable again.
    pub fn wants_reload(&self) -> bool {
        self.0.reload.swap(false, Ordering::SeqCst)
    }

    /// The signal received since the last call, if any; several count as one.
    pub fn take(&self) -> Option<i32> {
        let mut sink = [0; 64];
        let mut pipe = &self.0.pipe;
        while matches!(pipe.read(&mut sink), Ok(n) if n > 0) {}
        match self.0.last.swap(0, Ordering::SeqCst) {
            0 => None,
            signal => {
                self.0.taken.store(true, Ordering::SeqCst);
                i32::try_from(signal).ok()
            }
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
