//! `connect --check`: `connect_ex` on many ports at a time.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use socket2::SockAddr;

use super::deadline::Deadline;
use super::dial::{self, Dial};
use super::socket::Socket;
use crate::exit::Failure;

/// Connects under way at a time: enough to hide the round trips, few enough for any limit on
/// open files.
const WINDOW: usize = 256;

/// The result of one check, like Python's `connect_ex`.
pub struct Checked {
    /// 0, or the errno value.
    pub code: i32,
    /// How long it took.
    pub took: Duration,
}

struct Attempt<'a> {
    index: usize,
    address: &'a SockAddr,
    socket: Socket,
    began: Instant,
    until: Deadline,
}

/// Tries every address, `timeout` each (zero: as long as it takes) and none beyond `deadline`.
/// `tell` gets each result with its index as it comes; an address not reached before the deadline
/// has timed out.
pub fn scan(
    addresses: &[SockAddr],
    how: &Dial<'_>,
    timeout: Duration,
    deadline: Deadline,
    mut tell: impl FnMut(usize, Checked),
) -> Result<(), Failure> {
    let mut waiting = addresses.iter().enumerate();
    let mut running: Vec<Attempt<'_>> = Vec::with_capacity(WINDOW);
    loop {
        while running.len() < WINDOW {
            let Some((index, address)) = waiting.next() else {
                break;
            };
            let began = Instant::now();
            if deadline.passed() {
                tell(
                    index,
                    Checked {
                        code: Errno::ETIMEDOUT as i32,
                        took: Duration::ZERO,
                    },
                );
                continue;
            }
            let socket = match dial::open(address, how) {
                // Out of descriptors: those under way are finished first.
                Err(failure)
                    if failure.code == Some(Errno::EMFILE as i32) && !running.is_empty() =>
                {
                    finish_some(&mut running, &mut tell)?;
                    dial::open(address, how)?
                }
                result => result?,
            };
            match socket.start_connect(address) {
                Err(e) if e.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {
                    let until = Deadline::after(timeout).min(deadline);
                    running.push(Attempt {
                        index,
                        address,
                        socket,
                        began,
                        until,
                    });
                }
                result => tell(index, checked(&result, began)),
            }
        }
        if running.is_empty() {
            return Ok(());
        }
        finish_some(&mut running, &mut tell)?;
    }
}

/// Waits until some of the attempts have ended, and tells them.
fn finish_some(
    running: &mut Vec<Attempt<'_>>,
    tell: &mut impl FnMut(usize, Checked),
) -> Result<(), Failure> {
    let until = running
        .iter()
        .fold(Deadline::NEVER, |until, attempt| until.min(attempt.until));
    let mut polled: Vec<PollFd<'_>> = running
        .iter()
        .map(|attempt| PollFd::new(attempt.socket.as_fd(), PollFlags::POLLOUT))
        .collect();
    match nix::poll::poll(&mut polled, until.timeout()) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(e) => return Err(Failure::system("wait for", "connections", &e.into())),
    }
    let ended: Vec<bool> = polled.iter().map(|fd| fd.any().unwrap_or(false)).collect();
    let mut index = 0;
    running.retain(|attempt| {
        let over = ended[index];
        index += 1;
        let result = match over {
            true => attempt.socket.finish_connect(attempt.address),
            false if attempt.until.passed() => attempt.socket.abandon_connect(attempt.address),
            false => return true,
        };
        tell(attempt.index, checked(&result, attempt.began));
        false
    });
    Ok(())
}

fn checked(result: &io::Result<()>, began: Instant) -> Checked {
    let code = match result {
        Ok(()) => 0,
        Err(e) => e.raw_os_error().unwrap_or(Errno::EIO as i32),
    };
    Checked {
        code,
        took: began.elapsed(),
    }
}
