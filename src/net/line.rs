//! Lines out of a stream of bytes, and line ends into one; whatever pieces the bytes come in.

use std::borrow::Cow;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// The handling of a line that is longer than the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlong {
    /// It counts as several lines of exactly `cap` bytes and a rest.
    Split,
    /// Its first `cap` bytes are the line; the rest is dropped.
    Cut,
}

/// Splits a stream into lines, which end in LF or CRLF. Holds `cap` bytes of it at most; the
/// first `cap` bytes of a line are delivered without waiting for its end.
#[derive(Debug)]
pub struct Lines {
    cap: usize,
    overlong: Overlong,
    /// A line ends in LF alone: a CR before it belongs to the line.
    keeps_cr: bool,
    /// The beginning of a line whose end has not come yet.
    held: Vec<u8>,
    /// When the last of it came.
    last: Instant,
    /// A piece of this line was delivered already: a line end right behind it adds no line.
    begun: bool,
    /// Dropping the rest of a cut line.
    dropping: bool,
}

impl Lines {
    /// A splitter for lines of up to `cap` bytes, which must not be 0, line ends not counted.
    pub fn new(cap: usize, overlong: Overlong) -> Self {
        let (held, last) = (Vec::new(), Instant::now());
        let (cap, keeps_cr) = (cap.max(1), false);
        Self { cap, overlong, keeps_cr, held, last, begun: false, dropping: false }
    }

    /// The same for lines that end in LF alone.
    #[must_use]
    pub fn keeping_cr(mut self) -> Self {
        self.keeps_cr = true;
        self
    }

    /// The next line that `bytes` complete, without its end. What was used is taken off `bytes`: all
    /// of them, where there is no line.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Cow<'a, [u8]>> {
        while !bytes.is_empty() {
            if self.dropping {
                let end = memchr::memchr(b'\n', bytes);
                *bytes = &bytes[end.map_or(bytes.len(), |end| end + 1)..];
                self.dropping = end.is_none();
                self.begun = self.dropping;
                continue;
            }
            let room = self.cap - self.held.len();
            let end = memchr::memchr(b'\n', &bytes[..bytes.len().min(room + 1)]);
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len().min(room)));
            if end.is_some() {
                *bytes = &rest[1..];
                let line = self.join(piece);
                let line = if self.keeps_cr { line } else { without_cr(line) };
                if !std::mem::take(&mut self.begun) || !line.is_empty() {
                    return Some(line);
                }
                continue;
            }
            *bytes = rest;
            // A CR in the last place waits for the next byte: it may belong to the line end.
            let may_end = !self.keeps_cr && piece.ends_with(b"\r") && rest.is_empty();
            if piece.len() == room && !may_end {
                self.begun = true;
                self.dropping = self.overlong == Overlong::Cut;
                return Some(self.join(piece));
            }
            self.held.extend_from_slice(piece);
            self.last = Instant::now();
        }
        None
    }

    /// Whether the beginning of a line waits for its end.
    pub fn has_partial(&self) -> bool {
        !self.held.is_empty()
    }

    /// When that beginning has waited so long for more; `None` where there is none.
    pub fn due(&self, quiet: Duration) -> Option<Instant> {
        self.has_partial().then(|| self.last + quiet)
    }

    /// Takes that beginning as a line of its own: after a pause, and at the end of the stream. A CR
    /// at its end stays: a LF may still follow, which then adds no empty line.
    pub fn take_partial(&mut self) -> Option<Vec<u8>> {
        if self.held.is_empty() {
            return None;
        }
        self.begun = true;
        Some(std::mem::take(&mut self.held))
    }

    /// What is held, with the rest of it.
    fn join<'a>(&mut self, rest: &'a [u8]) -> Cow<'a, [u8]> {
        if self.held.is_empty() {
            return Cow::Borrowed(rest);
        }
        self.held.extend_from_slice(rest);
        Cow::Owned(std::mem::take(&mut self.held))
    }
}

fn without_cr(mut line: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match &mut line {
        Cow::Borrowed(bytes) => *bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes),
        Cow::Owned(bytes) => _ = bytes.pop_if(|byte| *byte == b'\r'),
    }
    line
}

/// Line ends as they are sent: as they are, or as CRLF.
#[derive(Debug)]
pub struct LineEnds {
    crlf: bool,
    /// The last byte so far was a CR.
    after_cr: bool,
}

impl LineEnds {
    /// With `crlf` the CR is added where it is missing before a LF.
    pub fn new(crlf: bool) -> Self {
        Self { crlf, after_cr: false }
    }

    /// The next bytes as they are sent.
    pub fn convert<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.crlf {
            return bytes.into();
        }
        let mut out = Vec::with_capacity(bytes.len());
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if let Some(line) = piece.strip_suffix(b"\n") {
                out.extend_from_slice(line);
                if line.last().map_or(!self.after_cr, |&byte| byte != b'\r') {
                    out.push(b'\r');
                }
                out.push(b'\n');
            } else {
                out.extend_from_slice(piece);
            }
            self.after_cr = piece.ends_with(b"\r");
        }
        out.into()
    }
}

/// A prefix before each line of a stream; all else passes as it is.
#[derive(Debug, Default)]
pub struct LinePrefix {
    /// A line has begun and not ended.
    is_inside: bool,
}

impl LinePrefix {
    /// The next bytes, with the prefix before each line that begins in them.
    pub fn insert(&mut self, prefix: &str, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + prefix.len());
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if !self.is_inside {
                out.extend_from_slice(prefix.as_bytes());
            }
            out.extend_from_slice(piece);
            self.is_inside = !piece.ends_with(b"\n");
        }
        out
    }
}
