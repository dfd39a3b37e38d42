//! Frames of Python's `multiprocessing.connection` (`send_bytes`, `recv_bytes`).
//!
//! A frame is an i32 length, big-endian, and the message; a message longer than an i32 has the
//! length -1, and then its length as a u64. Messages are payload: they are never unpickled.

use std::mem::take;

use crate::net::codec::{Codec, ProtocolError};

#[cfg(test)]
mod tests;

/// A longer line is sent as several messages.
const LINE_MAX: usize = 1 << 20;

/// What of the payload is one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A line, sent without its newline; a received message gets one.
    Line,
    /// Whatever is sent at a time; received messages are joined.
    Chunk,
}

/// Both directions of a connection.
pub struct Frames {
    unit: Unit,
    /// The beginning of a line to send whose newline is still to come.
    line: Vec<u8>,
    /// The received part of the next length.
    header: Vec<u8>,
    /// What is still to come of a message.
    left: u64,
    peer_ended: bool,
}

impl Frames {
    /// A connection whose handshake is over.
    pub fn new(unit: Unit) -> Self {
        Self { unit, line: Vec::new(), header: Vec::with_capacity(12), left: 0, peer_ended: false }
    }

    /// The length in the header; `None` while it is not whole.
    fn length(&self) -> Result<Option<u64>, ProtocolError> {
        match self.header.first_chunk().copied().map(i32::from_be_bytes) {
            None => Ok(None),
            Some(-1) => Ok(self.header[4..].first_chunk().copied().map(u64::from_be_bytes)),
            Some(short) => u64::try_from(short)
                .map(Some)
                .map_err(|_| ProtocolError::new(format!("a frame of {short} bytes"))),
        }
    }

    /// A message has come whole, if nothing is left of it.
    fn end_message(&self, payload: &mut Vec<u8>) {
        if self.left == 0 && self.unit == Unit::Line {
            payload.push(b'\n');
        }
    }
}

/// Appends a frame.
pub fn frame(message: &[u8], wire: &mut Vec<u8>) {
    if let Ok(short) = i32::try_from(message.len()) {
        wire.extend_from_slice(&short.to_be_bytes());
    } else {
        wire.extend_from_slice(&(-1i32).to_be_bytes());
        wire.extend_from_slice(&(message.len() as u64).to_be_bytes());
    }
    wire.extend_from_slice(message);
}

impl Codec for Frames {
    fn encode(&mut self, payload: &[u8], wire: &mut Vec<u8>) -> Result<(), ProtocolError> {
        if self.unit == Unit::Chunk {
            // An empty payload is no message: a peer that expects none would never read it.
            if !payload.is_empty() {
                frame(payload, wire);
            }
            return Ok(());
        }
        for piece in payload.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n");
            for part in text.unwrap_or(piece).chunks(LINE_MAX) {
                if self.line.len() + part.len() > LINE_MAX {
                    self.encode_eof(wire);
                }
                self.line.extend_from_slice(part);
            }
            if text.is_some() {
                frame(&self.line, wire);
                self.line.clear();
            }
        }
        Ok(())
    }

    fn encode_eof(&mut self, wire: &mut Vec<u8>) {
        if !self.line.is_empty() {
            frame(&take(&mut self.line), wire);
        }
    }

    fn decode(
        &mut self,
        wire: &mut [u8],
        payload: &mut Vec<u8>,
        _answer: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        let mut wire = &*wire;
        while !wire.is_empty() {
            if self.left > 0 {
                let count = wire.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                payload.extend_from_slice(&wire[..count]);
                wire = &wire[count..];
                self.left -= count as u64;
                self.end_message(payload);
                continue;
            }
            self.header.push(wire[0]);
            wire = &wire[1..];
            if let Some(length) = self.length()? {
                self.header.clear();
                self.left = length;
                self.end_message(payload);
            }
        }
        Ok(())
    }

    fn peer_ended(&self) -> bool {
        self.peer_ended
    }

    fn at_wire_eof(&mut self) -> Result<(), ProtocolError> {
        self.peer_ended = true;
        let cause = match (self.left, self.header.len()) {
            (0, 0) => return Ok(()),
            (0, _) => "truncated in the length of a message".into(),
            (left, _) => format!("truncated with {left} bytes of a message to come"),
        };
        Err(ProtocolError::new(cause))
    }
}
