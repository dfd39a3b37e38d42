//! The two-way pump between a socket and stdin/stdout: byte-exact, as fast as the kernel allows,
//! with bounded buffers, and with the rules of how ends are passed on.
//!
//! One thread, non-blocking: each direction moves what it can, then one poll(2) waits for
//! whatever holds it up. `flow.rs` knows how bytes move; this file knows when it is over.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::time::TimeSpec;

use super::deadline::Deadline;
use super::flow::{Change, Filter, Flow, Held, Step, Wire};
use super::hexdump::Tap;
use super::signal::Deferred;
use super::socket::Socket;
use super::stdio::Stdio;
use crate::exit::Failure;
use crate::net::codec::Codec;

/// The kernel shows a half-close and a close alike: once the peer has ended, a stdin with nothing
/// to read for this long ends us too.
const QUIET: Duration = Duration::from_millis(500);

/// How a pump ends, and what it does on the way.
pub struct Rules {
    /// stdin is read and sent; otherwise our side stays silent and open.
    pub send: bool,
    /// What arrives goes to stdout; otherwise it is read and dropped.
    pub receive: bool,
    /// The end of stdin is passed on with a shutdown of the write side.
    pub half_close: bool,
    /// How long the peer has to end once our side has; `None`: as long as it likes.
    pub linger: Option<Duration>,
    /// Both directions silent for this long is a failure; zero: no limit.
    pub idle: Duration,
    /// It is over once this many bytes came (`--max-bytes`).
    pub max: Option<u64>,
    /// The end of the whole run.
    pub deadline: Deadline,
    /// What is sent passes this first (`--crlf`).
    pub outgoing: Option<Filter>,
    /// What arrives passes this before it is written (a terminal must be spared).
    pub incoming: Option<Filter>,
    /// `--hex`.
    pub tap: Option<Tap>,
    /// `--progress`: gets the bytes received and sent so far, a few times a second.
    pub progress: Option<Report>,
    /// What stands between the socket and the payload.
    pub codec: Option<Box<dyn Codec>>,
}

/// Shows how many bytes were received and sent so far.
pub type Report = Box<dyn FnMut(u64, u64)>;

/// When progress is reported: a few times a second, as long as there is somebody to see it.
pub struct Pace {
    report: Option<Report>,
    next: Instant,
}

impl Pace {
    const EACH: Duration = Duration::from_millis(250);

    /// Reports to this one, if at all.
    pub fn new(report: Option<Report>) -> Self {
        let next = Instant::now() + Self::EACH;
        Self { report, next }
    }

    /// Reports, if it is time.
    pub fn tell(&mut self, received: u64, sent: u64) {
        if let Some(report) = &mut self.report
            && self.next <= Instant::now()
        {
            report(received, sent);
            self.next = Instant::now() + Self::EACH;
        }
    }

    /// Reports the totals.
    pub fn end(&mut self, received: u64, sent: u64) {
        if let Some(report) = &mut self.report {
            report(received, sent);
        }
    }

    /// When the next report is due.
    pub fn due(&self) -> Deadline {
        self.report.as_ref().map_or(Deadline::NEVER, |_| Deadline::at(self.next))
    }
}

/// What was moved, and why it is over.
pub struct Ended {
    /// Bytes from the peer that were written out.
    pub received: u64,
    /// Bytes sent to the peer.
    pub sent: u64,
    /// Why it is over.
    pub end: End,
}

/// Why a pump is over.
#[derive(Debug)]
pub enum End {
    /// Both sides ended, or the peer did and stdin had nothing more to say.
    Eof,
    /// The peer had its time after our end.
    Linger,
    /// As many bytes came as were wanted.
    Limit,
    /// Both directions were silent for too long.
    Idle,
    /// The run's time is up.
    Deadline,
    /// A reset, or another failure of the connection.
    Broken(io::Error),
    /// stdin could not be read.
    Input(io::Error),
    /// stdout could not be written.
    Output(io::Error),
    /// The `--hex` file could not be written.
    Tap(Failure),
    /// A signal asked us to stop.
    Signal(i32),
}

/// Moves bytes between `socket` and stdin/stdout until one of the ends of [`End`]. The socket's
/// mode is non-blocking meanwhile.
pub fn pump(socket: &Socket, rules: Rules, signals: Option<&Deferred>) -> Ended {
    let mut pump = match Pump::new(socket, rules, signals) {
        Ok(pump) => pump,
        Err(e) => {
            return Ended { received: 0, sent: 0, end: End::Broken(e) };
        }
    };
    let mut end = pump.run();
    if let End::Eof | End::Linger | End::Limit = end {
        pump.up.finish();
        // A peer that is gone altogether now has had everything.
        if let (End::Eof, Err(e)) = (&end, pump.down.goes_on())
            && e.kind() == io::ErrorKind::InvalidData
        {
            end = End::Broken(e);
        }
    }
    pump.down.hurry();
    pump.pace.end(pump.down.moved(), pump.up.moved());
    // A socket that is gone does not care about its mode.
    let _ = socket.set_nonblocking(false);
    Ended { received: pump.down.moved(), sent: pump.up.moved(), end }
}

struct Pump<'a> {
    socket: &'a Socket,
    signals: Option<&'a Deferred>,
    up: Flow<'a>,
    down: Flow<'a>,
    half_close: bool,
    linger: Option<Duration>,
    idle: Duration,
    deadline: Deadline,
    /// When our side ended, if it has; from the start where nothing is sent.
    up_ended: Option<Instant>,
    down_ended: Option<Instant>,
    /// When something last moved in a direction.
    up_moved: Instant,
    down_moved: Instant,
    pace: Pace,
    /// A send failed: what has arrived is still to be delivered.
    broken: Option<io::Error>,
}

impl<'a> Pump<'a> {
    fn new(socket: &'a Socket, rules: Rules, signals: Option<&'a Deferred>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let Rules {
            send,
            receive,
            half_close,
            linger,
            idle,
            max,
            deadline,
            outgoing,
            incoming,
            tap,
            progress,
            codec,
        } = rules;
        let now = Instant::now();
        let codec = codec.map(|codec| Wire::new(codec.into()));
        let upwards = Change {
            filter: outgoing,
            codec: codec.clone(),
            tap: tap.clone(),
            began: Some(now),
            ends: half_close,
        };
        let downwards = Change { filter: incoming, codec, tap, began: Some(now), ends: false };
        Ok(Self {
            socket,
            signals,
            up: Flow::up(Stdio::input(), socket, upwards),
            down: Flow::down(socket, receive.then(Stdio::output), downwards, max),
            half_close,
            linger,
            idle,
            deadline,
            up_ended: (!send).then_some(now),
            down_ended: None,
            up_moved: now,
            down_moved: now,
            pace: Pace::new(progress),
            broken: None,
        })
    }

    fn run(&mut self) -> End {
        loop {
            if let Some(signal) = self.signals.and_then(Deferred::pending) {
                return End::Signal(signal);
            }
            self.pace.tell(self.down.moved(), self.up.moved());
            let up = if self.up_ended.is_none() && self.broken.is_none() {
                self.step_up()
            } else {
                Ok(None)
            };
            let down = if self.down_ended.is_none() {
                self.step_down()
            } else if self.up_ended.is_none() && self.broken.is_none() {
                let goes_on = self.down.goes_on().map_err(End::Broken);
                goes_on.map(|on| on.then_some(Progress::Held(Held::Source)))
            } else {
                Ok(None)
            };
            let (up, down) = match (up, down) {
                (Err(end), _) | (_, Err(end)) => return end,
                (Ok(up), Ok(down)) => (up, down),
            };
            if let Some(end) = self.over(down) {
                return end;
            }
            if up == Some(Progress::Moved) || down == Some(Progress::Moved) {
                if self.deadline.passed() {
                    return End::Deadline;
                }
                continue;
            }
            if let Some(end) = self.wait(up, down) {
                return end;
            }
        }
    }

    fn step_up(&mut self) -> Result<Option<Progress>, End> {
        match self.up.step() {
            Step::Moved => self.up_moved = Instant::now(),
            Step::Held(held) => return Ok(Some(Progress::Held(held))),
            Step::Ended => {
                self.up_ended = Some(Instant::now());
                if self.half_close {
                    // A peer that is gone shows itself to the other direction.
                    let _ = self.socket.shutdown_write();
                }
            }
            Step::Full => return Err(End::Limit),
            Step::SourceFailed(e) => return Err(End::Input(e)),
            Step::SinkFailed(e) => self.broken = Some(e),
            Step::TapFailed(e) => return Err(End::Tap(e)),
        }
        Ok(Some(Progress::Moved))
    }

    fn step_down(&mut self) -> Result<Option<Progress>, End> {
        match self.down.step() {
            Step::Moved => self.down_moved = Instant::now(),
            Step::Held(held) => return Ok(Some(Progress::Held(held))),
            Step::Ended => self.down_ended = Some(Instant::now()),
            Step::Full => return Err(End::Limit),
            Step::SourceFailed(e) => return Err(End::Broken(self.broken.take().unwrap_or(e))),
            Step::SinkFailed(e) => return Err(End::Output(e)),
            Step::TapFailed(e) => return Err(End::Tap(e)),
        }
        Ok(Some(Progress::Moved))
    }

    /// Whether the ends that came make it over.
    fn over(&mut self, down: Option<Progress>) -> Option<End> {
        let delivered = self.down_ended.is_some() || down == Some(Progress::Held(Held::Source));
        match (&self.broken, self.up_ended, self.down_ended) {
            (Some(_), ..) if delivered => self.broken.take().map(End::Broken),
            (None, Some(_), Some(_)) => Some(End::Eof),
            _ => None,
        }
    }

    /// Waits for what holds the directions up, bounded by every limit that applies.
    fn wait(&mut self, up: Option<Progress>, down: Option<Progress>) -> Option<End> {
        let quiet = match (self.down_ended, up) {
            (Some(ended), Some(Progress::Held(Held::Source))) => {
                Deadline::at(ended.max(self.up_moved) + QUIET)
            }
            _ => Deadline::NEVER,
        };
        let linger = match (self.up_ended, self.linger) {
            (Some(ended), Some(linger)) => Deadline::at(ended + linger),
            _ => Deadline::NEVER,
        };
        let idle = match self.idle {
            Duration::ZERO => Deadline::NEVER,
            idle => Deadline::at(self.up_moved.max(self.down_moved) + idle),
        };
        let ends = [
            (quiet, End::Eof),
            (linger, End::Linger),
            (idle, End::Idle),
            (self.deadline, End::Deadline),
        ];
        let patience = match down {
            Some(Progress::Held(Held::Source)) => self.down.patience(),
            _ => Deadline::NEVER,
        };
        let until = ends
            .iter()
            .fold(self.pace.due().min(patience), |until, (deadline, _)| until.min(*deadline));

        let mut fds: Vec<(BorrowedFd<'_>, PollFlags)> = Vec::with_capacity(3);
        fds.extend(up.and_then(|up| self.up.holds(up.held()?)));
        fds.extend(down.and_then(|down| self.down.holds(down.held()?)));
        if let Some(signals) = self.signals {
            fds.push((signals.as_fd(), PollFlags::POLLIN));
        }
        let mut polled: Vec<PollFd<'_>> =
            fds.iter().map(|(fd, events)| PollFd::new(*fd, *events)).collect();
        // EINTR or not: the loop looks at everything again.
        let _ = nix::poll::ppoll(&mut polled, until.left().map(TimeSpec::from), None);
        if patience.passed() {
            self.down.hurry();
        }
        ends.into_iter().find_map(|(deadline, end)| deadline.passed().then_some(end))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Moved,
    Held(Held),
}

impl Progress {
    fn held(self) -> Option<Held> {
        match self {
            Self::Moved => None,
            Self::Held(held) => Some(held),
        }
    }
}
