//! How a client gets its connection: tries again while there is time (`--wait`).

use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::ClientArgs;
use crate::exit::{Exit, Failure};
use crate::net::address::Address;
use crate::net::deadline::Deadline;
use crate::net::dial::dial;
use crate::net::endpoint::Endpoint;
use crate::net::quantity;
use crate::net::socket::Socket;

/// The pause after a first failure; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_millis(500);

/// The time that `--wait` gives, and how it is spent.
pub struct Patience {
    limit: Duration,
    deadline: Deadline,
    until: Deadline,
    pause: Duration,
    attempts: u32,
}

impl Patience {
    /// `limit` from now, or until `deadline` if that is earlier.
    pub fn new(limit: Duration, deadline: Deadline) -> Self {
        // Zero is at once here, where it means "no limit" elsewhere.
        let end = Instant::now()
            .checked_add(limit)
            .map_or(Deadline::NEVER, Deadline::at);
        Self {
            limit,
            deadline,
            until: end.min(deadline),
            pause: FIRST,
            attempts: 0,
        }
    }

    /// Begins an attempt; when that must end. The first one is made even if there is no time.
    pub fn attempt(&mut self) -> Deadline {
        self.attempts += 1;
        if self.limit.is_zero() {
            self.deadline
        } else {
            self.until
        }
    }

    /// Pauses before the next attempt; false if there is no time for one. Signals end the process
    /// meanwhile, as anywhere before the talk.
    pub fn pause(&mut self) -> bool {
        if self.until.passed() {
            return false;
        }
        let pause = self
            .until
            .left()
            .map_or(self.pause, |left| left.min(self.pause));
        std::thread::sleep(pause);
        self.pause = (self.pause * 2).min(LONGEST);
        !self.until.passed()
    }

    /// The last failure, when time has run out.
    fn run_out(&self, last: Failure) -> Failure {
        let times = match self.attempts {
            1 => "1 attempt".into(),
            more => format!("{more} attempts"),
        };
        last.hint(&format!(
            "still so after {}, {times} (--wait)",
            quantity::shown(self.limit)
        ))
        .exit(Exit::TimedOut)
    }
}

/// Whether a failure may pass by itself: nobody listens yet, no route yet, no name yet, no answer
/// yet.
pub fn may_pass(failure: &Failure) -> bool {
    // A UNIX socket that is not bound yet has no file.
    failure.code == Some(Errno::ENOENT as i32)
        || matches!(
            failure.exit,
            Exit::Refused | Exit::Unreachable | Exit::Unresolved | Exit::TimedOut
        )
}

/// Opens the connection, and again and again as long as `--wait` says; the socket, and who is at
/// its other end.
pub fn open(
    args: &ClientArgs,
    address: &Address,
    deadline: Deadline,
) -> Result<(Socket, Endpoint), Failure> {
    let attempt = |until: Deadline| {
        let until = Deadline::after(args.socket.timeout).min(until);
        let socket = dial(address, &args.dial(), until)?;
        let peer = socket.peer();
        let peer = peer.map_err(|e| Failure::system("connect to", address, &e))?;
        Ok((socket, peer))
    };
    let Some(limit) = args.wait else {
        return attempt(deadline);
    };
    let mut patience = Patience::new(limit, deadline);
    let mut last: Option<Failure> = None;
    loop {
        match attempt(patience.attempt()) {
            Err(failure) if may_pass(&failure) => {
                // An attempt that our own end cut short says less than the one before it.
                let cut_short = failure.exit == Exit::TimedOut && patience.until.passed();
                last = match last {
                    Some(before) if cut_short => Some(before),
                    _ => Some(failure),
                };
            }
            result => return result,
        }
        if !patience.pause()
            && let Some(last) = last.take()
        {
            return Err(patience.run_out(last));
        }
    }
}
