//! Records: what goes over the wire once both sides have the session's keys.

use snow::TransportState;

use crate::layer::{Away, Flaw, Layer};

/// The most data in a record.
pub(super) const DATA_MAX: usize = 16 << 10;
/// The tag of AES-GCM.
const TAG: u8 = 16;
/// The shortest record: a type, and the tag.
pub(super) const SHORTEST: u8 = 1 + TAG;
const LONGEST: usize = SHORTEST as usize + DATA_MAX;
/// Each direction rekeys after so many records.
const REKEY_AFTER: u64 = 1 << 20;
/// What a session keeps of its room while nothing is said; thousands may be silent.
const KEPT: usize = 256;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Payload.
    Data = 1,
    /// The end of this direction.
    Eof = 2,
    /// The client has the session's keys: message 1 was no replay.
    Ready = 3,
    /// The client is let in.
    Welcome = 4,
    /// The client is not let in, for this reason.
    Refused = 5,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        let all = [Self::Data, Self::Eof, Self::Ready, Self::Welcome, Self::Refused];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Both directions of an encrypted session.
pub struct Records {
    state: TransportState,
    /// Room for one record in the clear: its type and data, and the tag.
    clear: Vec<u8>,
    /// The beginning of a record that has not come whole.
    held: Vec<u8>,
    sealed: u64,
    opened: u64,
    /// Bytes of payload that came.
    received: u64,
    ended: bool,
    peer_ended: bool,
}

impl Records {
    pub(super) fn new(state: TransportState) -> Self {
        Self {
            state,
            clear: Vec::new(),
            held: Vec::new(),
            sealed: 0,
            opened: 0,
            received: 0,
            ended: false,
            peer_ended: false,
        }
    }

    /// Appends one record.
    pub(super) fn write(
        &mut self,
        kind: Kind,
        data: &[u8],
        wire: &mut Vec<u8>,
    ) -> Result<(), Flaw> {
        let length = usize::from(SHORTEST) + data.len();
        self.make_room(length);
        self.clear[0] = kind as u8;
        self.clear[1..=data.len()].copy_from_slice(data);
        let start = wire.len();
        wire.resize(start + 2 + length, 0);
        let framed = u16::try_from(length).map_err(|_| Flaw("a record too long".into()))?;
        wire[start..start + 2].copy_from_slice(&framed.to_be_bytes());
        self.state
            .write_message(&self.clear[..=data.len()], &mut wire[start + 2..])
            .map_err(|e| Flaw(e.to_string()))?;
        self.sealed += 1;
        if self.sealed.is_multiple_of(REKEY_AFTER) {
            self.state.rekey_outgoing();
        }
        Ok(())
    }

    /// Opens one record, without the length before it: its type and data.
    pub(super) fn read(&mut self, record: &[u8]) -> Result<(Kind, &[u8]), Flaw> {
        self.make_room(record.len());
        let length = self
            .state
            .read_message(record, &mut self.clear)
            .map_err(|_| Flaw("a record was changed on its way".into()))?;
        self.opened += 1;
        if self.opened.is_multiple_of(REKEY_AFTER) {
            self.state.rekey_incoming();
        }
        let kind = Kind::of(self.clear[0]).ok_or_else(|| Flaw("an unknown record".into()))?;
        Ok((kind, &self.clear[1..length]))
    }

    fn make_room(&mut self, length: usize) {
        if self.clear.len() < length {
            self.clear.resize(length, 0);
        }
    }

    /// Gives back what only large records need, once a burst of them is over.
    fn rest(&mut self) {
        self.clear.truncate(KEPT);
        self.clear.shrink_to(KEPT);
        if self.held.is_empty() {
            self.held.shrink_to(KEPT);
        }
    }

    /// A record of an open session: appends its payload.
    fn take(&mut self, record: &[u8], payload: &mut Vec<u8>) -> Result<(), Flaw> {
        if self.peer_ended {
            return Err(Flaw("data after the end".into()));
        }
        let (kind, data) = self.read(record)?;
        let count = data.len();
        match kind {
            Kind::Data => {
                payload.extend_from_slice(data);
                self.received += count as u64;
            }
            Kind::Eof if count == 0 => self.peer_ended = true,
            _ => return Err(Flaw("a record out of place".into())),
        }
        Ok(())
    }
}

/// How long the record is that `bytes` begin with, its length included; `None` where that has not
/// come whole. `bytes` may be short of it.
fn measure(bytes: &[u8]) -> Result<Option<usize>, Flaw> {
    let Some(&[high, low]) = bytes.get(..2) else {
        return Ok(None);
    };
    match usize::from(u16::from_be_bytes([high, low])) {
        length if (usize::from(SHORTEST)..=LONGEST).contains(&length) => Ok(Some(2 + length)),
        length => Err(Flaw(format!("a record of {length} bytes"))),
    }
}

impl Layer for Records {
    fn seal(&mut self, payload: &[u8], wire: &mut Vec<u8>) -> Result<(), Flaw> {
        for data in payload.chunks(DATA_MAX) {
            self.write(Kind::Data, data, wire)?;
        }
        self.rest();
        Ok(())
    }

    fn seal_end(&mut self, wire: &mut Vec<u8>) -> Result<(), Flaw> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        self.write(Kind::Eof, &[], wire)
    }

    fn open(&mut self, mut wire: &[u8], payload: &mut Vec<u8>) -> Result<(), Flaw> {
        if self.peer_ended && !wire.is_empty() {
            return Err(Flaw("data after the end".into()));
        }
        while !self.held.is_empty() && !wire.is_empty() {
            // Byte by byte as far as the length, then the rest of the record at once.
            let wanted = measure(&self.held)?.unwrap_or(2) - self.held.len();
            let (more, rest) = wire.split_at(wanted.min(wire.len()));
            self.held.extend_from_slice(more);
            wire = rest;
            if measure(&self.held)? == Some(self.held.len()) {
                let mut record = std::mem::take(&mut self.held);
                let result = self.take(&record[2..], payload);
                record.clear();
                self.held = record; // keeps its room
                result?;
            }
        }
        while let Some(length) = measure(wire)? {
            if wire.len() < length {
                break;
            }
            let (record, rest) = wire.split_at(length);
            self.take(&record[2..], payload)?;
            wire = rest;
        }
        if self.peer_ended && !wire.is_empty() {
            return Err(Flaw("data after the end".into()));
        }
        self.held.extend_from_slice(wire);
        self.rest();
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.peer_ended
    }

    fn wire_ended(&mut self) -> Result<(), Flaw> {
        if self.peer_ended {
            return Ok(());
        }
        Err(Flaw(format!("truncated after {} bytes: the peer's end did not come", self.received)))
    }

    fn welcome(&mut self, wire: &mut Vec<u8>) {
        if !self.state.is_initiator() {
            // The first record of a direction can always be made.
            let _ = self.write(Kind::Welcome, &[], wire);
        }
    }

    fn turn_away(&mut self, why: Away, wire: &mut Vec<u8>) {
        if !self.state.is_initiator() {
            let _ = self.write(Kind::Refused, &[why as u8], wire);
        }
    }
}
