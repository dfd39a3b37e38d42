//! `connect --check`: `connect_ex` on many ports at a time.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use socket2::{Domain, SockAddr};

use super::deadline::Deadline;
use super::dial::{self, Dial, FULL_BACKLOG};
use super::errno::would_block;
use super::socket::Socket;
use super::tlsinfo::TlsInfo;
use crate::exit::{During, Exit, Failure, errno_name};

/// Connects under way at a time: enough to hide the round trips, few enough for any limit on
/// open files.
const WINDOW: usize = 256;

/// The result of one check, like Python's `connect_ex`.
pub struct Checked {
    /// 0, or the errno value (below zero: that of getaddrinfo): of connecting or, where TLS is asked
    /// for, of its handshake.
    pub code: i32,
    /// The exit status of a failure; `None`: it is open and, where TLS is asked for, trusted.
    pub exit: Option<Exit>,
    /// How long it took.
    pub took: Duration,
    /// What came of TLS, once connected.
    pub tls: Option<TlsInfo>,
}

impl Checked {
    /// The result of connecting with this code.
    pub fn new(code: i32, took: Duration) -> Self {
        let exit = match code {
            0 => None,
            ..0 => Some(Exit::Unresolved),
            code => Some(Exit::of(&io::Error::from_raw_os_error(code))),
        };
        Self { code, exit, took, tls: None }
    }

    /// Whether a connection was made, whatever came then.
    pub fn is_open(&self) -> bool {
        self.code == 0 || self.tls.is_some()
    }

    /// A failure in a word: `ECONNREFUSED`, `CERT_EXPIRED`.
    pub fn word(&self) -> Option<String> {
        match self.code {
            0 => self.tls.as_ref()?.code.map(str::to_owned),
            code => Some(errno_name(code)),
        }
    }
}

/// Sockets that were refused, which can try another address of their family. A scan of closed ports
/// takes 0.63 of nc's time with them, and 1.34 with a new socket for each port.
type Spare = Vec<(Domain, Socket)>;

/// A connect under way.
struct Connecting<'a> {
    index: usize,
    address: &'a SockAddr,
    socket: Socket,
    began: Instant,
    until: Deadline,
    /// The backlog of a UNIX listener is full: connect(2) is repeated, as no event says when there
    /// is room.
    is_full: bool,
}

/// Tries every address, `timeout` each (zero: as long as it takes) and none beyond `deadline`.
/// `report` gets each result with its index as it comes; an address not reached before the deadline
/// has timed out.
/// Over 50 lines: its state is that of one loop.
pub fn scan(
    addresses: &[SockAddr],
    how: &Dial,
    timeout: Duration,
    deadline: Deadline,
    mut report: impl FnMut(usize, Checked),
) -> Result<(), Failure> {
    let mut waiting = addresses.iter().enumerate().peekable();
    let mut spare = Spare::new();
    let mut running: Vec<Connecting<'_>> = Vec::with_capacity(WINDOW);
    loop {
        while running.len() < WINDOW
            && let Some(&(index, address)) = waiting.peek()
        {
            let began = Instant::now();
            if deadline.passed() {
                report(index, Checked::new(libc::ETIMEDOUT, Duration::ZERO));
                waiting.next();
                continue;
            }
            let family = address.domain();
            let used = spare.pop_if(|(domain, _)| *domain == family);
            let socket = match used.map_or_else(|| dial::open(address, how), |(_, used)| Ok(used)) {
                // Out of descriptors: those under way are finished first.
                Err(failure) if failure.code == Some(libc::EMFILE) && !running.is_empty() => break,
                Err(failure) => {
                    let error = dial::lacks_family(&failure).ok_or(failure)?;
                    waiting.next();
                    report(index, checked(&Err(error), began));
                    continue;
                }
                Ok(socket) => socket,
            };
            waiting.next();
            let mut is_full = false;
            let result = match socket.start_connect(address) {
                // On this machine it is over already.
                Ok(false) => socket.conclude_connect(address),
                Err(e) if would_block(&e) => {
                    is_full = true;
                    None
                }
                result => Some(result.map(drop)),
            };
            if let Some(result) = result {
                report(index, checked(&result, began));
                if result.is_err() && is_free(&socket) {
                    spare.push((family, socket));
                }
                continue;
            }
            let until = Deadline::after(timeout).min(deadline);
            running.push(Connecting { index, address, socket, began, until, is_full });
        }
        if running.is_empty() {
            return Ok(());
        }
        finish_some(&mut running, &mut spare, &mut report)?;
    }
}

/// Waits until some of the attempts have ended, and reports them; sockets that can be used again
/// are `spare`.
fn finish_some(
    running: &mut Vec<Connecting<'_>>,
    spare: &mut Spare,
    report: &mut impl FnMut(usize, Checked),
) -> Result<(), Failure> {
    let mut until = running.iter().fold(Deadline::NEVER, |until, it| until.min(it.until));
    let mut polled = Vec::with_capacity(running.len());
    for it in &*running {
        if it.is_full {
            until = until.min(Deadline::after(FULL_BACKLOG));
        } else {
            polled.push(PollFd::new(it.socket.as_fd(), PollFlags::POLLOUT));
        }
    }
    match nix::poll::poll(&mut polled, until.timeout()) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(()),
        Err(e) => return Err(e).during("wait for", "connections"),
    }
    let mut polled = polled.iter().map(|fd| fd.any().unwrap_or(false));
    let ended: Vec<bool> =
        running.iter().map(|it| it.is_full || polled.next().unwrap_or(false)).collect();
    for index in (0..ended.len()).rev() {
        let connecting = &running[index];
        let finished = ended[index].then(|| connecting.socket.conclude_connect(connecting.address));
        let (result, again) = match finished.flatten() {
            Some(result) => (result, true),
            None if connecting.until.passed() => {
                (connecting.socket.abandon_connect(connecting.address), false)
            }
            None => continue,
        };
        report(connecting.index, checked(&result, connecting.began));
        let connecting = running.swap_remove(index);
        if again && result.is_err() && is_free(&connecting.socket) {
            spare.push((connecting.address.domain(), connecting.socket));
        }
    }
    Ok(())
}

/// Whether a socket that was refused can be used again: not one that was connected to itself.
fn is_free(socket: &Socket) -> bool {
    socket.options().peer_addr().is_err()
}

fn checked(result: &io::Result<()>, began: Instant) -> Checked {
    let code = match result {
        Ok(()) => 0,
        Err(e) => e.raw_os_error().unwrap_or(Errno::EIO as i32),
    };
    Checked::new(code, began.elapsed())
}
