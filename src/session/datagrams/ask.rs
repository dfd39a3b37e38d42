//! `udp-send --reply`, `--expect`, `--wait`: a datagram, and the answers to it before the next.

use std::time::Duration;

use nix::poll::PollFlags;

use super::send::Sender;
use crate::console::event::{Event, Level};
use crate::exit::{Exit, Failure, quoted};
use crate::net::deadline::Deadline;
use crate::net::errno::would_block;
use crate::net::{quantity, text};
use crate::session::pattern::Pattern;

/// How often `--wait` tries.
pub const RESEND: Duration = Duration::from_secs(1);

/// What a wait for an answer ends with.
enum Wait {
    Received,
    TimedOut,
    /// Its receiver is not there; another address is next.
    AddressChanged,
}

impl Sender<'_> {
    /// Sends one datagram and waits for the answers to it.
    pub(super) fn ask(&mut self, bytes: &[u8], buffer: &mut [u8]) -> Result<(), Failure> {
        let wanted = self.replies.max(1);
        let mut retries = self.retries;
        let mut received = 0;
        let mut until = self.request(bytes)?;
        while received < wanted {
            match self.receive(buffer, until)? {
                Wait::Received => {
                    received += 1;
                    until = self.until();
                }
                Wait::AddressChanged => until = self.request(bytes)?,
                Wait::TimedOut if received > 0 => return Err(self.missing(received, wanted)),
                Wait::TimedOut => {
                    self.may_send_again(&mut retries, wanted)?;
                    until = self.request(bytes)?;
                }
            }
        }
        if self.retry.is_some() {
            self.failure = None;
        }
        Ok(())
    }

    /// Sends one datagram; until when its answer is waited for.
    fn request(&mut self, bytes: &[u8]) -> Result<Deadline, Failure> {
        self.send(&[bytes])?;
        Ok(match &mut self.retry {
            Some(retry) => retry.attempt().min(Deadline::after(RESEND)),
            None => self.until(),
        })
    }

    /// There is no answer: a failure, unless `--wait` or `--retries` gives another try.
    fn may_send_again(&mut self, retries: &mut usize, wanted: usize) -> Result<(), Failure> {
        if let Some(retry) = &self.retry {
            let last = self.failure.clone().unwrap_or_else(|| self.missing(0, wanted));
            if let Some(notice) = retry.notice(&self.to.from, &last.cause) {
                self.frontend.talk.notice(Level::Verbose, &notice);
            }
            if retry.is_over() {
                return Err(retry.run_out(last));
            }
            self.failure = None;
            return Ok(());
        }
        if *retries == 0 || self.deadline.passed() {
            return Err(self.missing(0, wanted));
        }
        *retries -= 1;
        Ok(())
    }

    /// The failure when an answer does not come.
    fn missing(&self, received: usize, wanted: usize) -> Failure {
        let count = format!("received {received} of {wanted} answers");
        let Some(pattern) = &self.expect else {
            return Failure::timed_out("answer from", &self.to.from).hint(&count);
        };
        let cause = if self.deadline.passed() {
            "the deadline has passed (--deadline)".into()
        } else if self.retry.is_some() && received == 0 {
            "no answer".into()
        } else {
            format!("not within {} (-w)", quantity::shown(self.timeout))
        };
        let count = if received == 0 { "nothing received" } else { &*count };
        self.unmet(pattern, &format!("{cause}; {count}"))
    }

    /// Waits for the next answer, shows and checks it. With `--wait` one that does not match is none,
    /// and an ICMP error only the cause that is reported at the end.
    fn receive(&mut self, buffer: &mut [u8], until: Deadline) -> Result<Wait, Failure> {
        let waits = self.retry.is_some();
        loop {
            let is_over = until.passed();
            let error = match self.socket.recv(buffer) {
                Ok(received) => {
                    let is_expected = received.datagrams().all(|bytes| self.is_expected(bytes));
                    self.show(&received, is_expected || !waits)?;
                    self.frontend.wait_for_room(self.deadline)?;
                    match received.datagrams().try_for_each(|bytes| self.expect(bytes)) {
                        Err(failure) if waits => self.failure = Some(failure),
                        checked => return checked.map(|()| Wait::Received),
                    }
                    if is_over {
                        return Ok(Wait::TimedOut);
                    }
                    continue;
                }
                Err(e) if would_block(&e) && is_over => return Ok(Wait::TimedOut),
                Err(e) if would_block(&e) => match self.socket.wait(PollFlags::POLLIN, until) {
                    Ok(()) => continue,
                    Err(e) => e,
                },
                Err(e) => e,
            };
            if self.try_next_address(error)? && !waits {
                return Ok(Wait::AddressChanged);
            }
        }
    }

    fn is_expected(&self, answer: &[u8]) -> bool {
        self.expect.as_ref().is_none_or(|pattern| pattern.find(answer).is_some())
    }

    fn expect(&self, answer: &[u8]) -> Result<(), Failure> {
        let Some(pattern) = &self.expect else {
            return Ok(());
        };
        let found = pattern.find(answer).map(|found| found.as_bytes());
        self.frontend.talk.say(&Event::expected(pattern.as_str(), found));
        if found.is_some() {
            return Ok(());
        }
        let (count, shown) = (answer.len(), text::show(answer));
        let bytes = if count == 1 { "byte" } else { "bytes" };
        let cause =
            format!("the answer does not match; received {count} {bytes}: {}", quoted(shown));
        Err(self.unmet(pattern, &cause))
    }

    fn unmet(&self, pattern: &Pattern, cause: &str) -> Failure {
        let target = format!("{} from {}", quoted(pattern.as_str()), self.to.from);
        Failure::new("expect", target, cause, Exit::Expectation)
    }
}
