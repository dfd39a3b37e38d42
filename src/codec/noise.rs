//! Noise records: the wire format of an encrypted session (specified in `auth::noise`).

use std::mem::{replace, take};

use snow::TransportState;

use crate::net::codec::{Codec, ProtocolError, Reject};

/// The most data in a record.
pub const DATA_MAX: usize = 16 << 10;
/// The shortest record, without its length: a type, and the tag of AES-GCM.
pub const SHORTEST: u8 = 1 + 16;
const LONGEST: usize = SHORTEST as usize + DATA_MAX;
/// Each direction rekeys after so many records.
const REKEY_AFTER: u64 = 1 << 20;
/// The bytes of buffer that an idle session keeps; a server may have thousands of them.
const KEPT: usize = 256;

/// The type of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Record {
    /// Payload.
    Data = 1,
    /// The end of this direction.
    Eof = 2,
    /// The client has the session's keys: its hello was no replay.
    Ready = 3,
    /// The client is accepted.
    Welcome = 4,
    /// The client is not accepted, for this [`Reject`].
    Refused = 5,
}

impl Record {
    const ALL: [Self; 5] = [Self::Data, Self::Eof, Self::Ready, Self::Welcome, Self::Refused];
}

/// Both directions of an encrypted session.
pub struct Records {
    state: TransportState,
    /// The plaintext of one record: its type and data, and room for the tag.
    clear: Vec<u8>,
    /// The beginning of a record that has not come whole.
    partial: Vec<u8>,
    encoded: u64,
    decoded: u64,
    /// Bytes of payload that came.
    received: u64,
    ended: bool,
    peer_ended: bool,
}

impl Records {
    /// A session that begins now.
    pub fn new(state: TransportState) -> Self {
        Self {
            state,
            clear: Vec::new(),
            partial: Vec::new(),
            encoded: 0,
            decoded: 0,
            received: 0,
            ended: false,
            peer_ended: false,
        }
    }

    /// Appends one record.
    pub fn write(
        &mut self,
        kind: Record,
        data: &[u8],
        wire: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        self.clear.clear();
        self.clear.push(kind as u8);
        self.clear.extend_from_slice(data);
        let length = usize::from(SHORTEST) + data.len();
        let framed = u16::try_from(length).map_err(|_| error("a record too long"))?;
        wire.extend_from_slice(&framed.to_be_bytes());
        let start = wire.len();
        wire.resize(start + length, 0);
        self.state
            .write_message(&self.clear, &mut wire[start..])
            .map_err(|e| ProtocolError::new(e.to_string()))?;
        self.encoded += 1;
        if self.encoded.is_multiple_of(REKEY_AFTER) {
            self.state.rekey_outgoing();
        }
        Ok(())
    }

    /// Decrypts one record, given without its length: its type and data.
    pub fn read(&mut self, record: &[u8]) -> Result<(Record, &[u8]), ProtocolError> {
        self.clear.resize(record.len(), 0);
        let length = self
            .state
            .read_message(record, &mut self.clear)
            .map_err(|_| error("a record was changed on its way"))?;
        self.decoded += 1;
        if self.decoded.is_multiple_of(REKEY_AFTER) {
            self.state.rekey_incoming();
        }
        let kind = Record::ALL.into_iter().find(|kind| *kind as u8 == self.clear[0]);
        Ok((kind.ok_or_else(|| error("an unknown record"))?, &self.clear[1..length]))
    }

    /// Frees what only large records need, once a burst of them is over.
    fn shrink(&mut self) {
        self.clear.truncate(KEPT);
        self.clear.shrink_to(KEPT);
        if self.partial.is_empty() {
            self.partial.shrink_to(KEPT);
        }
    }

    /// Decodes one record, given without its length.
    fn decode_record(&mut self, record: &[u8], payload: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let (kind, data) = self.read(record)?;
        let count = data.len();
        match kind {
            Record::Data => {
                payload.extend_from_slice(data);
                self.received += count as u64;
            }
            Record::Eof if count == 0 => self.peer_ended = true,
            _ => return Err(error("a record out of place")),
        }
        Ok(())
    }
}

fn error(cause: &str) -> ProtocolError {
    ProtocolError::new(cause)
}

/// The length of the record that `bytes` begin with, its length field included; `None` while that
/// field is not whole.
fn measure(bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
    let Some(&[high, low]) = bytes.get(..2) else {
        return Ok(None);
    };
    match usize::from(u16::from_be_bytes([high, low])) {
        length if (usize::from(SHORTEST)..=LONGEST).contains(&length) => Ok(Some(2 + length)),
        length => Err(ProtocolError::new(format!("a record of {length} bytes"))),
    }
}

impl Codec for Records {
    fn is_encrypted(&self) -> bool {
        true
    }

    fn encode(&mut self, payload: &[u8], wire: &mut Vec<u8>) -> Result<(), ProtocolError> {
        for data in payload.chunks(DATA_MAX) {
            self.write(Record::Data, data, wire)?;
        }
        self.shrink();
        Ok(())
    }

    fn encode_eof(&mut self, wire: &mut Vec<u8>) {
        if !replace(&mut self.ended, true) {
            // Fails only behind 2^64 records, whose peer then sees a truncation.
            let _ = self.write(Record::Eof, &[], wire);
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
            if self.peer_ended {
                return Err(error("data after the end"));
            }
            // A record that is all there is decoded where it is. To copy all into one buffer before
            // costs 4 % of the CPU time of both ends.
            if self.partial.is_empty()
                && let Some(length) = measure(wire)?.filter(|length| *length <= wire.len())
            {
                let (record, rest) = wire.split_at(length);
                self.decode_record(&record[2..], payload)?;
                wire = rest;
                continue;
            }
            // First the length, then the rest of the record.
            let missing = measure(&self.partial)?.unwrap_or(2) - self.partial.len();
            let (more, rest) = wire.split_at(missing.min(wire.len()));
            self.partial.extend_from_slice(more);
            wire = rest;
            if measure(&self.partial)? == Some(self.partial.len()) {
                let mut record = take(&mut self.partial);
                self.decode_record(&record[2..], payload)?;
                record.clear();
                self.partial = record; // keeps its capacity
            }
        }
        self.shrink();
        Ok(())
    }

    fn peer_ended(&self) -> bool {
        self.peer_ended
    }

    fn at_wire_eof(&mut self) -> Result<(), ProtocolError> {
        if self.peer_ended {
            return Ok(());
        }
        let received = self.received;
        Err(ProtocolError::new(format!(
            "truncated after {received} bytes: the peer's end did not come"
        )))
    }

    fn accept(&mut self, wire: &mut Vec<u8>) {
        if !self.state.is_initiator() {
            // The first record of a direction can always be made.
            let _ = self.write(Record::Welcome, &[], wire);
        }
    }

    fn reject(&mut self, why: Reject, wire: &mut Vec<u8>) {
        if !self.state.is_initiator() {
            let _ = self.write(Record::Refused, &[why as u8], wire);
        }
    }
}
