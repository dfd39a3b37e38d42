//! `--send`, `--expect`, …: the steps of a conversation, carried out in the order given.
//!
//! Pure: [`Script::feed`] and [`Script::end`] say what came from the peer, [`Script::act`] says
//! what is to be done next. `handler.rs` does it on connections, each a `conversation.rs`.
//!
//! | step           | what [`Script::act`] asks for                                          |
//! |----------------|------------------------------------------------------------------------|
//! | `--send`       | these bytes, all of them, before the next step                          |
//! | `--expect`     | to wait, until the leftmost match in all unread bytes; it is read then  |
//! | `--expect-eof` | to wait, until the peer ends; data before the end is read               |
//! | `--pause`      | to let this time pass; what comes meanwhile is kept                     |
//! | `--starttls`   | TLS, if all bytes that came are read; else it is a failure               |
//! | `--reset`      | a reset, once what was sent is out                                      |
//! | (none left)    | after a `--send` or `--pause` the answer to its end, else to close      |

mod conversation;
pub mod handler;
pub mod repeat;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::exit::{Failure, quoted};
use crate::net::line::LineEnds;
use crate::net::text;
use crate::session::pattern::Pattern;

/// How much an expectation looks back on: of more unread bytes the first are forgotten.
const WINDOW: usize = 1 << 20;
/// How much of what came a failure shows, in bytes: its begin and its end.
const HEAD: usize = 160;
const TAIL: usize = 80;

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Step {
    /// Send these bytes.
    Send(Arc<[u8]>),
    /// Wait for a match.
    Expect(Pattern),
    /// Wait for the peer's end.
    ExpectEof,
    /// Wait for this long.
    Pause(Duration),
    /// Begin TLS.
    StartTls,
    /// Reset the connection.
    Reset,
}

impl Step {
    /// What it expects: the pattern, and how an error line names it.
    fn expectation(&self) -> Option<(&str, String)> {
        match self {
            Self::Send(_) | Self::Pause(_) | Self::StartTls | Self::Reset => None,
            Self::Expect(pattern) => {
                Some((pattern.as_str(), format!("{} from", quoted(pattern.as_str()))))
            }
            Self::ExpectEof => Some(("--expect-eof", "the end of".into())),
        }
    }
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send all of this, call [`Script::done`], then ask again.
    Send(Arc<[u8]>),
    /// An expectation is met: report it, then ask again.
    Met {
        /// As it was written.
        pattern: String,
        /// What matched.
        matched: Vec<u8>,
    },
    /// Let this time pass, call [`Script::done`], then ask again.
    Pause(Duration),
    /// Begin TLS, call [`Script::done`], then ask again.
    StartTls,
    /// Bytes came before TLS that no step has read: an injected command would be taken for one that is
    /// encrypted (CVE-2011-0411).
    UnreadBeforeTls,
    /// A step goes on: ask again when data was received, or the step is done.
    Await,
    /// The peer ended before a pending expectation was met.
    Unmet,
    /// All is sent: end our side and read the answer to its end.
    Answer,
    /// The last expectation is met: close.
    Close,
    /// Reset the connection.
    Reset,
}

/// The steps still to be done, and what came from the peer that no step has read. A clone shares the
/// steps.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Script {
    steps: Arc<[Step]>,
    /// The step on hand.
    at: usize,
    unread: Vec<u8>,
    /// How many bytes are kept at most: [`WINDOW`], less in tests.
    window: usize,
    /// How many bytes before the unread ones were dropped since a step last consumed any.
    lost: u64,
    /// A step has consumed bytes.
    has_consumed: bool,
    /// The last of them was no line end.
    is_mid_line: bool,
    /// Something came, or the step is another, since the unread bytes were last searched.
    fresh: bool,
    ended: bool,
    /// The step on hand is a send, a pause or TLS that has begun.
    has_begun: bool,
}

impl Script {
    /// A script of these steps; with `crlf` the line ends that it sends are CRLF.
    pub fn new(mut steps: Vec<Step>, crlf: bool) -> Self {
        let mut line_ends = LineEnds::new(crlf);
        for step in &mut steps {
            if let Step::Send(bytes) = step
                && crlf
            {
                *bytes = line_ends.convert(bytes).into();
            }
        }
        Self {
            steps: steps.into(),
            at: 0,
            unread: Vec::new(),
            window: WINDOW,
            lost: 0,
            has_consumed: false,
            is_mid_line: false,
            fresh: false,
            ended: false,
            has_begun: false,
        }
    }

    fn step(&self) -> Option<&Step> {
        self.steps.get(self.at)
    }

    /// Whether a step that is left sends.
    fn sends(&self) -> bool {
        self.steps[self.at..].iter().any(|step| matches!(step, Step::Send(_)))
    }

    /// Whether a step that is left reads received bytes, or fails because of them.
    fn reads(&self) -> bool {
        let reads =
            |step: &Step| matches!(step, Step::Expect(_) | Step::ExpectEof | Step::StartTls);
        self.steps[self.at..].iter().any(reads)
    }

    /// Bytes came from the peer. Holds 1 MiB of them at most.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !self.reads() {
            return;
        }
        self.unread.extend_from_slice(bytes);
        let over = self.unread.len().saturating_sub(self.window);
        self.unread.drain(..over);
        self.lost += over as u64;
        self.fresh = true;
    }

    /// The peer ended its side: nothing more comes.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// What is to be done next.
    pub fn act(&mut self) -> Action {
        match self.steps.get(self.at) {
            Some(Step::Send(_) | Step::Pause(_) | Step::StartTls) if self.has_begun => {
                Action::Await
            }
            Some(Step::Send(bytes)) => {
                self.has_begun = true;
                Action::Send(Arc::clone(bytes))
            }
            Some(Step::Pause(time)) => {
                self.has_begun = true;
                Action::Pause(*time)
            }
            Some(Step::Expect(pattern)) => {
                let found = if self.fresh && !self.unread.is_empty() {
                    pattern.find(&self.unread).map(|found| found.range())
                } else {
                    None
                };
                self.fresh = false;
                match found {
                    Some(found) => {
                        let pattern = pattern.as_str().to_string();
                        let matched = self.unread[found.clone()].to_vec();
                        self.consume(found.end);
                        self.advance();
                        Action::Met { pattern, matched }
                    }
                    None if self.ended => Action::Unmet,
                    None => Action::Await,
                }
            }
            Some(Step::ExpectEof) if self.ended => {
                self.consume(self.unread.len());
                self.advance();
                Action::Met { pattern: "--expect-eof".into(), matched: Vec::new() }
            }
            Some(Step::ExpectEof) => Action::Await,
            Some(Step::StartTls) if self.count() > 0 => Action::UnreadBeforeTls,
            Some(Step::StartTls) => {
                self.has_begun = true;
                Action::StartTls
            }
            Some(Step::Reset) => {
                self.advance();
                Action::Reset
            }
            None if matches!(self.steps.last(), Some(Step::Send(_) | Step::Pause(_))) => {
                Action::Answer
            }
            None => Action::Close,
        }
    }

    /// The step on hand consumes so many of the unread bytes, and all that were dropped before.
    fn consume(&mut self, count: usize) {
        if let Some(last) = self.unread.drain(..count).next_back() {
            (self.has_consumed, self.is_mid_line) = (true, last != b'\n');
        }
        self.lost = 0;
    }

    fn advance(&mut self) {
        self.at += 1;
        self.has_begun = false;
        self.fresh = true;
    }

    /// What [`Action::Send`], [`Action::Pause`] or [`Action::StartTls`] asked for is done.
    pub fn done(&mut self) {
        if self.has_begun {
            self.advance();
        }
    }

    /// Whether no step is left.
    pub fn is_over(&self) -> bool {
        self.step().is_none()
    }

    /// What the step on hand expects and has not come: the pattern, and how an error line names it.
    pub fn pending(&self) -> Option<(&str, String)> {
        self.step()?.expectation()
    }

    /// The same of the step on hand, or of the first behind it that expects anything, before TLS begins.
    pub fn awaited(&self) -> Option<(&str, String)> {
        let steps = self.steps[self.at..].iter();
        steps.take_while(|step| !matches!(step, Step::StartTls)).find_map(Step::expectation)
    }

    /// How many bytes came before TLS that no step has read, and what they are.
    pub fn unread_before_tls(&self) -> Option<String> {
        let is_met = matches!(self.step(), Some(Step::StartTls)) && !self.has_begun;
        if !is_met || self.count() == 0 {
            return None;
        }
        let (count, shown) = (amount(self.count()), self.shown());
        let hint =
            if self.is_mid_line { "; an --expect of a whole line ends in .*\\n" } else { "" };
        Some(format!("{count} before TLS that no step has read: '{shown}'{hint}"))
    }

    /// How many bytes no step has read.
    fn count(&self) -> u64 {
        self.lost + self.unread.len() as u64
    }

    /// What was received instead, for an error line: escaped, and cut in the middle.
    pub fn account(&self) -> String {
        match self.count() {
            0 if self.has_consumed => "nothing received after that".into(),
            0 => "nothing received".into(),
            count => format!("received {}: '{}'", amount(count), self.shown()),
        }
    }

    /// The bytes that no step has read: escaped, and cut in the middle.
    fn shown(&self) -> String {
        let unread = &self.unread;
        if self.lost == 0 && unread.len() <= HEAD + TAIL {
            return text::show(unread);
        }
        let head = if self.lost == 0 { HEAD } else { 0 };
        let head = &unread[..head.min(unread.len())];
        let tail = &unread[unread.len().saturating_sub(TAIL)..];
        format!("{}…{}", text::show(head), text::show(tail))
    }
}

fn amount(count: u64) -> String {
    if count == 1 { "1 byte".into() } else { format!("{count} bytes") }
}

/// Refuses steps that can never be reached, or done.
pub fn check(steps: &[Step]) -> Result<(), Failure> {
    if steps.iter().filter(|step| matches!(step, Step::StartTls)).count() > 1 {
        return Err(Failure::usage(
            "--starttls can be given once: what follows it is encrypted already",
        ));
    }
    match steps.split_last() {
        Some((_, before)) if before.iter().any(|step| matches!(step, Step::Reset)) => {
            Err(Failure::usage("no step can follow --reset: it ends the connection"))
        }
        _ => Ok(()),
    }
}
