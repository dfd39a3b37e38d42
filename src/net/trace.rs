//! `--trace`: every socket call as it is made, in the vocabulary of Python's socket module. README
//! has a table of that module's functions and the commands that call them.
//!
//! The call sites are in `socket.rs` and the few places that move bytes without it (splice).
//! Calls that would block are not shown. Nothing is formatted while tracing is off.

use std::fmt::{self, Display};
use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::errno::would_block;
use crate::exit::errno_name;

/// One socket call: its name, its arguments as Python would take them, and its result.
pub struct Call<'a> {
    /// `connect`, `recv`, `sendall`, …
    name: &'static str,
    /// The arguments, each as shown between the parentheses.
    args: &'a [&'a dyn Display],
    /// What the call returned.
    outcome: CallResult,
}

/// What a socket call returned.
#[derive(Serialize)]
#[serde(untagged)]
pub enum CallResult {
    /// Nothing (Python's None).
    Done,
    /// A new descriptor.
    Descriptor(RawFd),
    /// A new descriptor and the peer's address (`accept`).
    Accepted(RawFd, String),
    /// A number of bytes.
    Count(usize),
    /// A number of bytes and the sender's address (`recvfrom`).
    CountFrom(usize, String),
    /// A value read (`getsockopt`, `getsockname`).
    Value(String),
    /// The errno value of a failure.
    Failed(i32),
}

impl Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (i, arg) in self.args.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{arg}")?;
        }
        f.write_str(")")?;
        match &self.outcome {
            CallResult::Done => Ok(()),
            CallResult::Descriptor(fd) => write!(f, " -> fd {fd}"),
            CallResult::Accepted(fd, peer) => write!(f, " -> fd {fd} from {peer}"),
            CallResult::Count(n) => write!(f, " -> {n}"),
            CallResult::CountFrom(n, peer) => write!(f, " -> {n} from {peer}"),
            CallResult::Value(value) => write!(f, " -> {value}"),
            CallResult::Failed(code) => write!(f, " -> {} {code}", errno_name(*code)),
        }
    }
}

/// As JSON: `result` is what Python would return, or `errno` names the error.
impl Serialize for Call<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        let args: Vec<String> = self.args.iter().map(ToString::to_string).collect();
        map.serialize_entry("call", self.name)?;
        map.serialize_entry("args", &args)?;
        match &self.outcome {
            CallResult::Failed(code) => map.serialize_entry("errno", &errno_name(*code)),
            result => map.serialize_entry("result", result),
        }?;
        map.end()
    }
}

type Sink = Box<dyn Fn(&Call<'_>) + Send + Sync>;

static SINK: OnceLock<Sink> = OnceLock::new();

/// Turns tracing on for the rest of the run: `sink` gets every call.
pub fn start(sink: impl Fn(&Call<'_>) + Send + Sync + 'static) {
    // A second start keeps the first sink: there is one --trace.
    let _ = SINK.set(Box::new(sink));
}

/// Whether tracing is on.
pub fn on() -> bool {
    SINK.get().is_some()
}

/// Reports one call.
pub(super) fn call(name: &'static str, args: &[&dyn Display], outcome: CallResult) {
    if let Some(sink) = SINK.get() {
        sink(&Call { name, args, outcome });
    }
}

/// Reports a call, with what `returned` makes of its result, and passes the result on.
pub(super) fn result<T>(
    name: &'static str,
    args: &[&dyn Display],
    result: io::Result<T>,
    returned: impl FnOnce(&T) -> CallResult,
) -> io::Result<T> {
    if on() {
        call(name, args, result.as_ref().map_or_else(failed, returned));
    }
    result
}

/// Reports a call that returns nothing but success or an error, and passes the result on.
pub(super) fn done(
    name: &'static str,
    args: &[&dyn Display],
    result: io::Result<()>,
) -> io::Result<()> {
    self::result(name, args, result, |()| CallResult::Done)
}

/// Reports a call that moves bytes, unless it would only have blocked, and passes the result on.
pub(super) fn counted(
    name: &'static str,
    room: usize,
    result: io::Result<usize>,
) -> io::Result<usize> {
    let sends = name == "sendall";
    let arg = match &result {
        Err(e) if would_block(e) => return result,
        // Python's sendall takes the data and returns None: its length says all.
        Ok(n) if sends => *n,
        _ => room,
    };
    let returned = |&n: &usize| if sends { CallResult::Done } else { CallResult::Count(n) };
    self::result(name, &[&arg], result, returned)
}

/// The errno value a failed call is shown with.
pub(super) fn failed(error: &io::Error) -> CallResult {
    CallResult::Failed(error.raw_os_error().unwrap_or_default())
}
