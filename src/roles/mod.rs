//! What `serve` and `auth-serve`, `connect` and `auth-connect` have in common: the two roles a
//! stream socket can play, composed from the floors below.

pub mod client;
pub mod server;

use std::fmt::Display;
use std::io::{self, IsTerminal};

use crate::console::event::Reason;
use crate::exit::{Exit, Failure};
use crate::net::dial::timed_out;
use crate::net::flow::Filter;
use crate::net::pump::{End, Ended};
use crate::sanitize::Sanitizer;

/// A filter that makes strangers' text visible, if stdout is a terminal and `--raw` is off.
pub fn spare_terminal(raw: bool) -> Option<Filter> {
    if raw || !io::stdout().is_terminal() {
        return None;
    }
    let mut sanitizer = Sanitizer::default();
    Some(Box::new(move |bytes, out| {
        let mut text = String::new();
        sanitizer.feed(bytes, &mut text);
        if bytes.is_empty() {
            sanitizer.finish(&mut text);
        }
        out.extend_from_slice(text.as_bytes());
    }))
}

/// What the end of a pump means for the run, and for the `closed` event. `op` says which
/// connection it was ("connection to", "connection from").
pub fn judge(ended: Ended, op: &'static str, peer: &dyn Display) -> (Reason, Result<(), Failure>) {
    match ended.end {
        End::Eof | End::Linger => (Reason::Eof, Ok(())),
        End::Limit => (Reason::Limit, Ok(())),
        End::Idle => (Reason::Idle, verdict(Reason::Idle, op, peer)),
        End::Deadline => {
            (Reason::Shutdown, Err(timed_out(op, peer).hint("the deadline has passed")))
        }
        End::Broken(mut e) => {
            // The kernel shows a reset that comes behind the peer's end as EPIPE.
            if e.kind() == io::ErrorKind::BrokenPipe {
                e = nix::errno::Errno::ECONNRESET.into();
            }
            let failure = Failure::system(op, peer, &e);
            let exit = if failure.exit == Exit::TimedOut { Exit::TimedOut } else { Exit::Broken };
            (Reason::Reset, Err(failure.exit(exit)))
        }
        End::Input(e) => (Reason::Error, Err(Failure::system("read", "stdin", &e))),
        End::Output(e) => (Reason::Error, Err(Failure::output(&e))),
        End::Tap(failure) => {
            let moved =
                format!("received {}, sent {} bytes until then", ended.received, ended.sent);
            (Reason::Error, Err(failure.hint(&moved)))
        }
        End::Signal(libc::SIGINT) => (Reason::Shutdown, Err(Failure::silent(Exit::Interrupted))),
        End::Signal(_) => (Reason::Shutdown, Err(Failure::silent(Exit::Terminated))),
    }
}

/// What the end of the only connection of a readiness loop means for the run.
pub fn verdict(reason: Reason, op: &'static str, peer: &dyn Display) -> Result<(), Failure> {
    match reason {
        Reason::Eof | Reason::Shutdown | Reason::Kicked => Ok(()),
        Reason::Idle => Err(timed_out(op, peer).hint("nothing was said for too long")),
        Reason::Reset => Err(Failure::system(op, peer, &nix::errno::Errno::ECONNRESET.into())),
        Reason::Limit | Reason::Slow | Reason::Auth | Reason::Error => {
            Err(Failure::new(op, peer, format!("closed ({reason})"), Exit::Broken))
        }
    }
}
