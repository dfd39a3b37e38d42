//! What one result of `connect --check` means: for the check, as an event, and as an exit status.

use std::io;

use nix::errno::Errno;

use crate::console::event::Event;
use crate::exit::{Exit, errno_name};
use crate::net::retry::Retry;

/// What must hold for a check to succeed, and what its lines are.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct CheckOptions {
    /// `--any`: one target is enough.
    pub any: bool,
    /// `--closed`: nothing may listen at a target.
    pub closed: bool,
    /// `--wait`: a target may be checked several times.
    pub waits: bool,
    /// `--json`.
    pub json: bool,
    /// `-v`: closed ports of a range, too.
    pub verbose: bool,
}

/// What a result means for the check.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Met,
    /// The next check may give another result.
    MayPass,
    /// Further checks do not help.
    Hopeless,
}

impl CheckOptions {
    /// What the errno value of a check means; 0 is open.
    pub fn verdict(self, code: i32) -> Verdict {
        let is_met = if self.closed { is_closed(code) } else { code == 0 };
        if is_met {
            Verdict::Met
        } else if code == 0 || Retry::may_pass(status(code), Some(code)) {
            Verdict::MayPass
        } else {
            Verdict::Hopeless
        }
    }
}

/// The event of a result, which took so many milliseconds.
pub fn event(address: &str, code: i32, ms: f64, met: bool) -> Event<'_> {
    let state = match code {
        0 => "open",
        code if is_closed(code) => "closed",
        _ => "unknown",
    };
    let errno = (code != 0).then(|| errno_name(code));
    Event::Check { address, state, result: code, errno, ms, met }
}

/// Whether nothing listens: refused, or a UNIX socket without a file. What gives no answer may be busy
/// or filtered.
fn is_closed(code: i32) -> bool {
    code == Errno::ECONNREFUSED as i32 || code == Errno::ENOENT as i32
}

/// The exit status of a check that failed in this way.
pub fn status(code: i32) -> Exit {
    if code < 0 { Exit::Unresolved } else { Exit::of(&io::Error::from_raw_os_error(code)) }
}
