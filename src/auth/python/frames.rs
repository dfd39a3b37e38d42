//! Frames of `multiprocessing.connection` (`send_bytes`, `recv_bytes`), once the handshake is over.

use std::mem::take;

use crate::layer::{Flaw, Layer};

/// A longer line is sent as several messages.
const LINE_MAX: usize = 1 << 20;

/// What of the payload is one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A line, which goes without its newline; a message that comes gets one.
    Line,
    /// Whatever is sent at a time; messages that come are joined.
    Chunk,
}

/// Both directions.
pub struct Frames {
    unit: Unit,
    /// The beginning of a line whose end is still to come.
    line: Vec<u8>,
    /// What has come of the next length.
    header: Vec<u8>,
    /// What is still to come of a message.
    left: u64,
    wire_ended: bool,
}

impl Frames {
    /// A connection on which nothing has been said since the handshake.
    pub fn new(unit: Unit) -> Self {
        Self { unit, line: Vec::new(), header: Vec::with_capacity(12), left: 0, wire_ended: false }
    }

    /// The length that the header tells; `None` while it is not whole.
    fn length(&self) -> Result<Option<u64>, Flaw> {
        let Some(short) = self.header.first_chunk().copied().map(i32::from_be_bytes) else {
            return Ok(None);
        };
        if let Ok(length) = u64::try_from(short) {
            return Ok(Some(length));
        }
        if short != -1 {
            return Err(Flaw(format!("a frame of {short} bytes")));
        }
        Ok(self.header[4..].first_chunk().copied().map(u64::from_be_bytes))
    }

    /// A message has come whole.
    fn message_ends(&self, payload: &mut Vec<u8>) {
        if self.unit == Unit::Line {
            payload.push(b'\n');
        }
    }
}

/// Appends a frame.
pub(super) fn frame(message: &[u8], wire: &mut Vec<u8>) {
    header(message.len(), wire);
    wire.extend_from_slice(message);
}

/// Appends the length of a frame.
fn header(length: usize, wire: &mut Vec<u8>) {
    if let Ok(short) = i32::try_from(length) {
        wire.extend_from_slice(&short.to_be_bytes());
    } else {
        wire.extend_from_slice(&(-1i32).to_be_bytes());
        wire.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

impl Layer for Frames {
    fn seal(&mut self, payload: &[u8], wire: &mut Vec<u8>) -> Result<(), Flaw> {
        if self.unit == Unit::Chunk {
            // Nothing sent is no message: a peer that expects none would never read it.
            if !payload.is_empty() {
                frame(payload, wire);
            }
            return Ok(());
        }
        for piece in payload.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            for part in text.chunks(LINE_MAX) {
                if self.line.len() + part.len() > LINE_MAX {
                    frame(&take(&mut self.line), wire);
                }
                self.line.extend_from_slice(part);
            }
            if ends {
                frame(&self.line, wire);
                self.line.clear();
            }
        }
        Ok(())
    }

    fn seal_end(&mut self, wire: &mut Vec<u8>) -> Result<(), Flaw> {
        if !self.line.is_empty() {
            frame(&take(&mut self.line), wire);
        }
        Ok(())
    }

    fn open(&mut self, mut wire: &[u8], payload: &mut Vec<u8>) -> Result<(), Flaw> {
        while !wire.is_empty() {
            if self.left > 0 {
                let count = wire.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                payload.extend_from_slice(&wire[..count]);
                wire = &wire[count..];
                self.left -= count as u64;
                if self.left == 0 {
                    self.message_ends(payload);
                }
                continue;
            }
            self.header.push(wire[0]);
            wire = &wire[1..];
            if let Some(length) = self.length()? {
                self.header.clear();
                self.left = length;
                if length == 0 {
                    self.message_ends(payload);
                }
            }
        }
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.wire_ended
    }

    fn wire_ended(&mut self) -> Result<(), Flaw> {
        self.wire_ended = true;
        match (self.left, self.header.len()) {
            (0, 0) => Ok(()),
            (0, _) => Err(Flaw("truncated in the length of a message".into())),
            (left, _) => Err(Flaw(format!("truncated with {left} bytes of a message to come"))),
        }
    }
}
