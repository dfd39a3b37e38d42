//! Our side of a talk over datagrams: where they are shown, dumped and reported, and where those
//! that are entered, and signals, come from.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, Instant};

use super::input::{read_failed, splitter};
use crate::console::event::{Event, Payload};
use crate::console::prompt::{Options, Typed};
use crate::console::talk::Talk;
use crate::exit::{During, Failure};
use crate::net::deadline::Deadline;
use crate::net::dump::{self, Direction, Dump, Recorder};
use crate::net::endpoint::Endpoint;
use crate::net::line::Lines;
use crate::net::poller::{Interest, Poller};
use crate::net::signal::Deferred;
use crate::net::stdio::Stdio;
use crate::net::text;
use crate::net::udp::Datagrams;
use crate::sanitize;
use crate::session::seat::{Inbox, Input, Leave, Seat};

/// The poller's tokens.
pub(super) const SOCKET: u64 = 0;
pub(super) const INBOX: u64 = 1;
pub(super) const SIGNALS: u64 = 2;
/// What answers later: the programs, or the relay's target.
pub(super) const LATER: u64 = 3;
pub(super) const OUTPUT: u64 = 4;

/// The most that one read of stdin makes a datagram of: the buffer of OpenBSD's nc.
const READ: usize = 16 << 10;
/// How long a stdout that is not read may keep a run that is to end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How a datagram is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// One line, `peer text`, that no datagram can forge: everything but text is escaped.
    Record,
    /// The same for a terminal.
    Line,
    /// Its bytes and nothing else.
    Bytes,
    /// The same for a terminal.
    Text,
    /// Only as an event.
    Nothing,
}

/// Our side of a talk: a person at a prompt, or stdout.
pub struct Frontend {
    pub(super) seat: Seat,
    pub(super) inbox: Inbox,
    /// The lines of stdin; without them each read of it is a datagram.
    lines: Option<Lines>,
    /// SIGINT and SIGTERM, where they do not end the process at once.
    pub(super) signals: Option<Deferred>,
    pub(super) talk: Talk,
    shown: Shown,
    /// `--hex`, `--log`.
    dumps: Vec<Dump>,
    recorders: RefCell<Vec<Recorder>>,
    began: Instant,
    /// Once a signal has come: how long stdout may take what is shown.
    until: Deadline,
}

impl Frontend {
    /// Takes over the terminal, for a prompt, or stdin and stdout; stdin is not read before it is
    /// asked for, by lines or, if it `is_raw`, by reads. `dumps` are those of `--hex` and
    /// `--log`.
    pub fn new(
        is_prompt: bool,
        is_raw: bool,
        shown: Shown,
        signals: Option<Deferred>,
        dumps: Vec<Dump>,
        talk: &Talk,
    ) -> Result<Self, Failure> {
        let inbox = Inbox::new().during("use", "the terminal")?;
        let seat = if is_prompt {
            Seat::at_prompt(&inbox, Options::default(), talk.clone())?
        } else {
            Seat::in_pipe(&inbox, false, talk.clone())?
        };
        let recorders = dumps.iter().map(|dump| dump.recorder(1, false));
        let recorders = RefCell::new(recorders.collect::<Result<_, _>>()?);
        let (talk, began, until) = (talk.clone(), Instant::now(), Deadline::NEVER);
        let lines = (!is_raw).then(splitter);
        Ok(Self { seat, inbox, lines, signals, talk, shown, dumps, recorders, began, until })
    }

    /// Shows one datagram.
    pub(super) fn show(&self, peer: &Endpoint, bytes: &[u8]) {
        if self.talk.is_json() {
            self.talk.say(&Event::Message {
                id: None,
                name: None,
                peer: Some(peer.to_string()),
                bytes: Some(bytes.len()),
                payload: Payload::of(bytes),
            });
        }
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let line = match self.shown {
            Shown::Nothing => return,
            Shown::Bytes => return self.seat.show(bytes),
            Shown::Text => {
                let mut shown = String::new();
                sanitize::escape(bytes, &['\t', '\n'], &mut shown);
                return self.seat.show(shown.as_bytes());
            }
            Shown::Record => {
                // A blank in a UNIX name does not end it.
                let peer = peer.to_string().replace(' ', "\\x20");
                format!("{peer} {}\n", text::show(text))
            }
            Shown::Line => format!("{peer} {}\n", sanitize::text(text)),
        };
        self.seat.show(line.as_bytes());
    }

    /// Waits while stdout has not taken what was shown before; a failure if it takes no more.
    pub(super) fn wait_for_room(&self, until: Deadline) -> Result<(), Failure> {
        if self.seat.is_full() {
            self.seat.flush(until);
        }
        self.seat.failure().map_or(Ok(()), Err)
    }

    /// Whether datagrams are dumped.
    pub(super) fn has_dump(&self) -> bool {
        !self.dumps.is_empty()
    }

    /// Dumps a datagram, if there is a dump.
    pub(super) fn dump(&self, direction: Direction, bytes: &[u8]) -> Result<(), Failure> {
        let elapsed = self.began.elapsed();
        let mut recorders = self.recorders.borrow_mut();
        recorders.iter_mut().try_for_each(|one| one.record_datagram(direction, elapsed, bytes))
    }

    /// A poller for a socket, for what is entered and signalled, and for a reader of stdout that goes
    /// away (`OUTPUT`).
    pub(super) fn poller(&self, socket: &Datagrams) -> io::Result<Poller> {
        let poller = Poller::new()?;
        poller.add(socket, SOCKET, Interest::READ)?;
        poller.add(&self.inbox.waker, INBOX, Interest::READ)?;
        if let Some(signals) = &self.signals {
            poller.add(signals, SIGNALS, Interest::READ)?;
        }
        if self.shown != Shown::Nothing && Stdio::output().is_to_reader() {
            poller.add(Stdio::output(), OUTPUT, Interest::default())?;
        }
        Ok(poller)
    }

    /// The datagrams that were entered since the last call, and how input ended behind them, if it
    /// did. The caller asks for more.
    pub(super) fn entered(&mut self) -> Result<(Vec<Vec<u8>>, Option<Leave>), Failure> {
        self.inbox.waker.quiet();
        let mut entered = Vec::new();
        while let Some(input) = self.inbox.take() {
            self.seat.came(&input);
            match input {
                Input::Typed(Typed::Lines(typed)) => {
                    let quit = typed.iter().position(|line| line == "/quit");
                    let lines = typed.into_iter().take(quit.unwrap_or(usize::MAX));
                    entered.extend(lines.map(String::into_bytes));
                    if quit.is_some() {
                        return Ok((entered, Some(Leave::Quit)));
                    }
                }
                Input::Typed(Typed::Interrupt) => return Ok((entered, Some(Leave::Interrupted))),
                Input::Typed(Typed::End) => return Ok((entered, Some(Leave::Quit))),
                Input::Chunk(bytes) => match &mut self.lines {
                    Some(lines) => {
                        let mut rest = &bytes[..];
                        let next = || lines.next(&mut rest).map(Into::into);
                        entered.extend(std::iter::from_fn(next));
                    }
                    None => entered.extend(bytes.chunks(READ).map(<[u8]>::to_vec)),
                },
                Input::End => {
                    entered.extend(self.lines.as_mut().and_then(Lines::take_partial));
                    return Ok((entered, Some(Leave::Quit)));
                }
                Input::Failed(e) => return Err(read_failed(&e)),
            }
        }
        Ok((entered, None))
    }

    /// A signal has come: stdout has little time left.
    pub(super) fn stop(&mut self) {
        self.until = self.until.min(Deadline::after(FLUSH_TIMEOUT));
    }

    /// Gives terminal or stdout back at the end of a run that `--deadline` bounds.
    pub fn finish(self, result: Result<(), Failure>, deadline: Deadline) -> Result<(), Failure> {
        let left = deadline.remaining().map(|left| left.max(FLUSH_TIMEOUT));
        let until = self.until.min(left.map_or(Deadline::NEVER, Deadline::after));
        let written = self.seat.finish(until);
        let dumped = dump::finish(&self.dumps);
        result.and(written).and(dumped)
    }
}
