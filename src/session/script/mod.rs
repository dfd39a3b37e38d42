//! `--send`, `--expect`, `--expect-eof`: the steps of a smoke test, carried out in the order given.
//!
//! Pure: [`Script::feed`] and [`Script::end`] say what came from the peer, [`Script::act`] says
//! what is to be done next. `handler.rs` does it on a connection.
//!
//! | step           | what [`Script::act`] asks for                                          |
//! |----------------|------------------------------------------------------------------------|
//! | `--send`       | these bytes, all of them, before the next step                          |
//! | `--expect`     | to wait, until the leftmost match in all unread bytes; it is read then  |
//! | `--expect-eof` | to wait, until the peer ends; data before the end is read               |
//! | (none left)    | after a `--send` the answer to its end, else to close                   |

pub mod handler;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::exit::quoted;
use crate::net::pattern::Pattern;
use crate::net::text;

/// How much an expectation looks back on: of more unread bytes the first are forgotten.
const WINDOW: usize = 1 << 20;
/// How much of what came a failure shows, in bytes: its begin and its end.
const HEAD: usize = 160;
const TAIL: usize = 80;

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Step {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Wait for a match.
    Expect(Pattern),
    /// Wait for the peer's end.
    ExpectEof,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send all of this, call [`Script::sent`], then ask again.
    Send(Vec<u8>),
    /// An expectation is met: report it, then ask again.
    Met {
        /// As it was written.
        pattern: String,
        /// What matched.
        matched: Vec<u8>,
    },
    /// A step goes on: ask again when data was received, or all is sent.
    Await,
    /// The peer ended before a pending expectation was met.
    Unmet,
    /// All is sent: end our side and read the answer to its end.
    Answer,
    /// The last expectation is met: close.
    Close,
}

/// The steps still to be done, and what came from the peer that no step has read.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Script {
    steps: VecDeque<Step>,
    unread: Vec<u8>,
    /// How many bytes are kept at most: [`WINDOW`], less in tests.
    window: usize,
    /// How many bytes before the unread ones were dropped since a step last consumed any.
    lost: u64,
    /// A step has consumed bytes.
    has_consumed: bool,
    /// Something came, or the step is another, since the unread bytes were last searched.
    fresh: bool,
    ended: bool,
    /// The step on hand is a send that has begun.
    is_sending: bool,
    /// The last step that was done is a send.
    has_sent: bool,
}

impl Script {
    /// A script of these steps.
    pub fn new(steps: Vec<Step>) -> Self {
        Self {
            steps: steps.into(),
            unread: Vec::new(),
            window: WINDOW,
            lost: 0,
            has_consumed: false,
            fresh: false,
            ended: false,
            is_sending: false,
            has_sent: false,
        }
    }

    /// Bytes came from the peer. Holds 1 MiB of them at most.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.steps.iter().all(|step| matches!(step, Step::Send(_))) {
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
        match self.steps.front_mut() {
            Some(Step::Send(_)) if self.is_sending => Action::Await,
            Some(Step::Send(bytes)) => {
                self.is_sending = true;
                Action::Send(std::mem::take(bytes))
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
                        self.pass(false);
                        Action::Met { pattern, matched }
                    }
                    None if self.ended => Action::Unmet,
                    None => Action::Await,
                }
            }
            Some(Step::ExpectEof) if self.ended => {
                self.consume(self.unread.len());
                self.pass(false);
                Action::Met { pattern: "--expect-eof".into(), matched: Vec::new() }
            }
            Some(Step::ExpectEof) => Action::Await,
            None if self.has_sent => Action::Answer,
            None => Action::Close,
        }
    }

    /// The step on hand consumes so many of the unread bytes, and all that were dropped before.
    fn consume(&mut self, count: usize) {
        self.has_consumed |= count > 0;
        self.unread.drain(..count);
        self.lost = 0;
    }

    fn pass(&mut self, is_send: bool) {
        self.steps.pop_front();
        self.is_sending = false;
        self.has_sent = is_send;
        self.fresh = true;
    }

    /// All of what [`Action::Send`] asked for is sent.
    pub fn sent(&mut self) {
        if self.is_sending {
            self.pass(true);
        }
    }

    /// Whether no step is left.
    pub fn is_done(&self) -> bool {
        self.steps.is_empty()
    }

    /// What is expected and has not come: the pattern, and how an error line names it.
    pub fn pending(&self) -> Option<(&str, String)> {
        match self.steps.front()? {
            Step::Send(_) => None,
            Step::Expect(pattern) => {
                Some((pattern.as_str(), format!("{} from", quoted(pattern.as_str()))))
            }
            Step::ExpectEof => Some(("--expect-eof", "the end of".into())),
        }
    }

    /// What was received instead, for an error line: escaped, and cut in the middle.
    pub fn account(&self) -> String {
        let unread = &self.unread;
        let count = self.lost + unread.len() as u64;
        let bytes = if count == 1 { "byte" } else { "bytes" };
        match count {
            0 if self.has_consumed => return "nothing received after that".into(),
            0 => return "nothing received".into(),
            _ => {}
        }
        if self.lost == 0 && unread.len() <= HEAD + TAIL {
            return format!("received {count} {bytes}: '{}'", text::show(unread));
        }
        let head = if self.lost == 0 { HEAD } else { 0 };
        let head = &unread[..head.min(unread.len())];
        let tail = &unread[unread.len().saturating_sub(TAIL)..];
        let (head, tail) = (text::show(head), text::show(tail));
        format!("received {count} {bytes}: '{head}…{tail}'")
    }
}
