//! What went wrong -> exit status: one table, and the one line in which a failure is reported.
//!
//! Over 300 lines: the statuses, and how each error of the system becomes one.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::{fmt, io};

use nix::errno::Errno;

use crate::sanitize;

/// The exit status of a run that did not end in plain success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Any other failure at run time.
    Other = 1,
    /// Usage or configuration.
    Usage = 2,
    /// Connection refused.
    Refused = 3,
    /// Timed out: connect, idle, deadline, missing reply.
    TimedOut = 4,
    /// Host or network unreachable.
    Unreachable = 5,
    /// Name not resolved.
    Unresolved = 6,
    /// Reset, broken or truncated connection.
    Broken = 7,
    /// An expectation was not met.
    Expectation = 8,
    /// Authentication failed.
    NotAuthenticated = 9,
    /// Address in use or not available.
    Address = 10,
    /// Permission denied.
    Permission = 11,
    /// Local output failed.
    Output = 12,
    /// The terminal has gone (SIGHUP).
    HungUp = 129,
    /// Interrupted (SIGINT).
    Interrupted = 130,
    /// stdout is a pipe without a reader: no message, as of a filter that SIGPIPE ends.
    ReaderGone = 141,
    /// Terminated (SIGTERM).
    Terminated = 143,
}

/// The statuses in one sentence, for help and man page.
pub const STATUSES: &str = "Exit status: 0 done, 1 other failure, 2 usage, 3 refused, 4 timed out, \
5 unreachable, 6 not resolved, 7 reset or broken, 8 expectation not met, 9 not authenticated, \
10 address in use or not available, 11 permission denied, 12 output failed, \
129/130/141/143 hung up / interrupted / reader gone / terminated";

impl Exit {
    /// The status of a run that a signal has ended.
    pub fn of_signal(signal: i32) -> Self {
        match signal {
            libc::SIGHUP => Self::HungUp,
            libc::SIGINT => Self::Interrupted,
            _ => Self::Terminated,
        }
    }

    /// The status of a system error. The standard library knows most errno values by kind.
    pub fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        let code = error.raw_os_error();
        match error.kind() {
            Kind::ConnectionRefused => Self::Refused,
            Kind::TimedOut => Self::TimedOut,
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => {
                Self::Unreachable
            }
            _ if code == Some(libc::EHOSTDOWN) => Self::Unreachable,
            Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected
            | Kind::UnexpectedEof => Self::Broken,
            Kind::AddrInUse | Kind::AddrNotAvailable => Self::Address,
            Kind::PermissionDenied => Self::Permission,
            Kind::InvalidInput if code.is_none() => Self::Usage,
            _ => Self::Other,
        }
    }
}

/// Begins the second line of a usage error.
pub const USAGE: &str = "\nusage: ";

/// A failure as the user reads it: `OP TARGET: CAUSE`, in one line.
///
/// `op` is what was tried (`connect to`, `listen on`), `target` the address or name.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was tried, with its preposition; its first word is the JSON `op`.
    pub op: &'static str,
    /// The address, file or name it was tried on; may be empty.
    pub target: String,
    /// Why it failed, the system's name and number included; may be empty.
    pub cause: String,
    /// The system's error number, where there is one.
    pub code: Option<i32>,
    /// The exit status.
    pub exit: Exit,
}

impl Failure {
    /// A failure with a cause of our own.
    pub fn new(
        op: &'static str,
        target: impl fmt::Display,
        cause: impl Into<String>,
        exit: Exit,
    ) -> Self {
        Self { op, target: target.to_string(), cause: cause.into(), code: None, exit }
    }

    /// A failure whose cause is a system error; the status comes from [`Exit::of`].
    pub fn system(op: &'static str, target: impl fmt::Display, error: &io::Error) -> Self {
        let code = error.raw_os_error();
        Self { code, ..Self::new(op, target, cause(error), Exit::of(error)) }
    }

    /// The end of a wait at a deadline of ours, reported as ETIMEDOUT.
    pub fn timed_out(op: &'static str, target: impl fmt::Display) -> Self {
        Self::system(op, target, &Errno::ETIMEDOUT.into())
    }

    /// A name that getaddrinfo(3) could not resolve; `code` is one of its own (`EAI_NONAME`, -2).
    pub fn resolver(name: &str, code: i32) -> Self {
        let (short, text) = eai(code);
        let cause = format!("{text} ({short} {code})");
        Self { code: Some(code), ..Self::new("resolve", name, cause, Exit::Unresolved) }
    }

    /// A file that an option names could not be read or written: a usage error, as a rule.
    pub fn file(op: &'static str, target: impl fmt::Display, error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        let is_full =
            matches!(error.kind(), Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge);
        Self::system(op, target, error).exit(match error.kind() {
            Kind::TimedOut => Exit::TimedOut,
            _ if is_full && error.raw_os_error().is_some() => Exit::Output,
            _ => Exit::Usage,
        })
    }

    /// stdout could not be written.
    pub fn output(error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let exit = match error.kind() {
            io::ErrorKind::BrokenPipe => Exit::ReaderGone,
            io::ErrorKind::TimedOut => Exit::TimedOut,
            _ => Exit::Output,
        };
        Self::system("write", "stdout", &error).exit(exit)
    }

    /// An exit status without a message.
    pub fn silent(exit: Exit) -> Self {
        Self::new("", "", "", exit)
    }

    /// Whether it has no message.
    pub fn is_silent(&self) -> bool {
        self.op.is_empty()
    }

    /// An invalid command line or configuration file: status 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", "", message, Exit::Usage)
    }

    /// Whether it is one of [`Failure::usage`].
    pub fn is_usage(&self) -> bool {
        self.op == "usage" && self.exit == Exit::Usage
    }

    /// The same failure with a hint of what to do about it after the cause.
    #[must_use]
    pub fn hint(mut self, hint: &str) -> Self {
        self.cause.push_str("; ");
        self.cause.push_str(hint);
        self
    }

    /// The same failure under another exit status.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The system's name of the error (`ECONNREFUSED`), where there is one.
    pub fn errno(&self) -> Option<String> {
        self.code.map(errno_name)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.op == "usage" {
            return f.write_str(&self.cause);
        }
        write!(f, "{}", self.op)?;
        if !self.target.is_empty() {
            write!(f, " {}", self.target)?;
        }
        if !self.cause.is_empty() {
            write!(f, ": {}", self.cause)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Makes a failure of a system error.
pub trait During<T> {
    /// Adds what was tried, with its preposition, and on what: see [`Failure::system`].
    fn during(self, op: &'static str, target: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, op: &'static str, target: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::system(op, target, &error.into()))
    }
}

/// The name and meaning of a getaddrinfo(3) error.
fn eai(code: i32) -> (&'static str, &'static str) {
    match code {
        libc::EAI_AGAIN => ("EAI_AGAIN", "temporary failure in name resolution"),
        libc::EAI_NODATA => ("EAI_NODATA", "no address associated with this name"),
        libc::EAI_NONAME => ("EAI_NONAME", "name or service not known"),
        libc::EAI_SERVICE => ("EAI_SERVICE", "service not known for this kind of socket"),
        libc::EAI_FAIL => ("EAI_FAIL", "non-recoverable failure in name resolution"),
        libc::EAI_FAMILY => ("EAI_FAMILY", "address family not supported"),
        libc::EAI_MEMORY => ("EAI_MEMORY", "out of memory"),
        libc::EAI_SYSTEM => ("EAI_SYSTEM", "system error"),
        _ => ("EAI", "name resolution failed"),
    }
}

/// The name of an errno value (`ECONNREFUSED`) or, below zero, of a getaddrinfo(3) error
/// (`EAI_NONAME`); `errno 999` for one without a name.
pub fn errno_name(code: i32) -> String {
    if code < 0 {
        return eai(code).0.into();
    }
    match Errno::from_raw(code) {
        Errno::UnknownErrno => format!("errno {code}"),
        errno => format!("{errno:?}"),
    }
}

/// A system error as text: `connection refused (ECONNREFUSED 111)`.
pub fn cause(error: &io::Error) -> String {
    let Some(code) = error.raw_os_error() else {
        return error.to_string();
    };
    // The standard library has strerror's text, with the number behind it.
    let mut text = error.to_string();
    text.truncate(text.rfind(" (os error").unwrap_or(text.len()));
    // It begins with a capital; an error line goes on after a colon. `RFS specific error` stays.
    if text.chars().nth(1).is_some_and(char::is_lowercase) {
        text[..1].make_ascii_lowercase();
    }
    format!("{text} ({} {code})", errno_name(code))
}

/// How much of an offending value an error line shows, in characters.
const SHOWN: usize = 80;

/// An offending value as an error line names it: in quotes, escaped, cut to 80 characters.
pub fn quoted(value: impl AsRef<OsStr>) -> String {
    format!("'{}'", shortened(value))
}

/// The same without quotes, for what is the subject of its line.
pub fn shortened(value: impl AsRef<OsStr>) -> String {
    cut(&sanitize::line(value.as_ref().as_bytes()), SHOWN)
}

/// A text of at most `width` characters; the last is `…` where some are left out.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_escaped_and_cut() {
        assert_eq!(quoted("db:80abc"), "'db:80abc'");
        assert_eq!(quoted("a\nb\x1b[31m"), r"'a\nb\x1b[31m'");
        assert_eq!(quoted(OsStr::from_bytes(b"h\xff")), r"'h\xff'");
        assert_eq!(quoted("é".repeat(80)), format!("'{}'", "é".repeat(80)));
        assert_eq!(quoted("é".repeat(81)), format!("'{}…'", "é".repeat(79)));
        assert_eq!(quoted("\n".repeat(100_000)).chars().count(), 82);
    }
}
