//! What one result of `connect --check` means: for the check, as an event, and as an exit status.

use nix::errno::Errno;

use crate::console::event::Event;
use crate::console::timings::millis;
use crate::exit::{Exit, errno_name};
use crate::net::retry::Retry;
use crate::net::scan::Checked;
use crate::net::tlsinfo::TLS_CLOSED;

/// What must hold for a check to succeed, and what its lines are.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct CheckOptions {
    /// `--any`: one target is enough.
    pub any: bool,
    /// `--closed`: nothing may listen at a target.
    pub closed: bool,
    /// `--tls`: a target must be trusted.
    pub tls: bool,
    /// `--wait`: a target may be checked several times.
    pub waits: bool,
    /// `--json`.
    pub json: bool,
    /// `-v`: closed ports of a range, too, and details.
    pub verbose: bool,
    /// `-q`: only what is not as it should be.
    pub quiet: bool,
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
    /// What the result of a check means.
    pub fn verdict(self, checked: &Checked) -> Verdict {
        let is_met = if self.closed { is_closed(checked) } else { checked.exit.is_none() };
        if is_met {
            Verdict::Met
        } else if checked.exit.is_none_or(|exit| may_pass(checked, exit)) {
            Verdict::MayPass
        } else {
            Verdict::Hopeless
        }
    }
}

/// Whether a failure may pass by itself. A proxy may accept before the service does, and then end the
/// TLS handshake; a certificate that is not trusted stays what it is.
fn may_pass(checked: &Checked, exit: Exit) -> bool {
    let closes = checked.tls.as_ref().is_some_and(|tls| tls.code == Some(TLS_CLOSED));
    closes || Retry::may_pass(exit, Some(checked.code))
}

/// The event of a result.
pub fn event<'a>(address: &'a str, checked: &'a Checked, met: bool) -> Event<'a> {
    let state = match checked {
        it if it.is_open() => "open",
        it if is_closed(it) => "closed",
        _ => "unknown",
    };
    let errno = (checked.code != 0).then(|| errno_name(checked.code));
    let (ms, tls) = (millis(checked.took), checked.tls.as_ref());
    Event::Check { address, state, result: checked.code, errno, ms, tls, met }
}

/// Whether nothing listens: refused, or a UNIX socket without a file. What gives no answer may be busy
/// or filtered.
fn is_closed(checked: &Checked) -> bool {
    checked.code == Errno::ECONNREFUSED as i32 || checked.code == Errno::ENOENT as i32
}
