//! Records: what goes over the wire once both sides have the session's keys.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::error::Unspecified;
use snow::HandshakeState;
use zeroize::Zeroizing;

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
/// What is wrong with anything behind the end of a direction.
const AFTER_END: &str = "data after the end";

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
        let all = [
            Self::Data,
            Self::Eof,
            Self::Ready,
            Self::Welcome,
            Self::Refused,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One direction: its key, and the number of its next record, which is the nonce (Noise, §5.1 and
/// §12). A key is used for no number twice: it only counts up, and far from its end there is
/// another.
struct Direction {
    key: LessSafeKey,
    next: u64,
}

impl Direction {
    fn new(key: &[u8; 32]) -> Result<Self, Unspecified> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key)?);
        Ok(Self { key, next: 0 })
    }

    /// Four zeros and the number, big-endian.
    fn nonce(number: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    /// Encrypts what stands in `record` from `start` on where it stands, and appends the tag.
    fn seal(&mut self, record: &mut Vec<u8>, start: usize) -> Result<(), Unspecified> {
        let (nonce, text) = (Self::nonce(self.next), &mut record[start..]);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), text)?;
        record.extend_from_slice(tag.as_ref());
        self.count()
    }

    /// Decrypts a record where it stands.
    fn open<'a>(&mut self, record: &'a mut [u8]) -> Result<&'a [u8], Unspecified> {
        let nonce = Self::nonce(self.next);
        let text = self.key.open_in_place(nonce, Aad::empty(), record)?;
        self.count()?;
        Ok(text)
    }

    fn count(&mut self) -> Result<(), Unspecified> {
        self.next += 1;
        if self.next.is_multiple_of(REKEY_AFTER) {
            self.rekey()?;
        }
        Ok(())
    }

    /// Another key, which tells nothing of those before it (Noise, §4.2 and §11.3).
    fn rekey(&mut self) -> Result<(), Unspecified> {
        let mut key = Zeroizing::new([0; 32]);
        let nonce = Self::nonce(u64::MAX);
        let _tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut key[..])?;
        self.key = Self::new(&key)?.key;
        Ok(())
    }
}

/// Both directions of an encrypted session.
pub struct Records {
    sealing: Direction,
    opening: Direction,
    /// Whether this is the side that wanted in.
    is_client: bool,
    /// The beginning of a record that has not come whole.
    held: Vec<u8>,
    /// Bytes of payload that came.
    received: u64,
    ended: bool,
    peer_ended: bool,
}

impl Records {
    /// The session that a handshake, which is over, was for.
    pub(super) fn new(mut state: HandshakeState) -> Result<Self, snow::Error> {
        if !state.is_handshake_finished() {
            return Err(snow::Error::Input);
        }
        let is_client = state.is_initiator();
        let (first, second) = state.dangerously_get_raw_split();
        let keys = [first, second].map(Zeroizing::new);
        let direction = |key| Direction::new(key).map_err(|_| snow::Error::Input);
        let (there, back) = (direction(&keys[0])?, direction(&keys[1])?);
        let (sealing, opening) = if is_client {
            (there, back)
        } else {
            (back, there)
        };
        Ok(Self {
            sealing,
            opening,
            is_client,
            held: Vec::new(),
            received: 0,
            ended: false,
            peer_ended: false,
        })
    }

    /// Appends one record.
    pub(super) fn write(
        &mut self,
        kind: Kind,
        data: &[u8],
        wire: &mut Vec<u8>,
    ) -> Result<(), Flaw> {
        let length = usize::from(SHORTEST) + data.len();
        let framed = u16::try_from(length).map_err(|_| Flaw("a record too long".into()))?;
        wire.reserve(2 + length);
        wire.extend_from_slice(&framed.to_be_bytes());
        let start = wire.len();
        wire.push(kind as u8);
        wire.extend_from_slice(data);
        let sealed = self.sealing.seal(wire, start);
        sealed.map_err(|_| Flaw("a record could not be sealed".into()))
    }

    /// Opens one record where it stands, without the length before it: its type and data.
    pub(super) fn read<'a>(&mut self, record: &'a mut [u8]) -> Result<(Kind, &'a [u8]), Flaw> {
        let changed = |_| Flaw("a record was changed on its way".into());
        let text = self.opening.open(record).map_err(changed)?;
        let known = text.split_first();
        known
            .and_then(|(&kind, data)| Some((Kind::of(kind)?, data)))
            .ok_or_else(|| Flaw("an unknown record".into()))
    }

    /// A record of an open session: appends its payload.
    fn take(&mut self, record: &mut [u8], payload: &mut Vec<u8>) -> Result<(), Flaw> {
        if self.peer_ended {
            return Err(Flaw(AFTER_END.into()));
        }
        match self.read(record)? {
            (Kind::Data, data) => {
                payload.extend_from_slice(data);
                self.received += data.len() as u64;
            }
            (Kind::Eof, []) => self.peer_ended = true,
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
        payload
            .chunks(DATA_MAX)
            .try_for_each(|data| self.write(Kind::Data, data, wire))
    }

    fn seal_end(&mut self, wire: &mut Vec<u8>) -> Result<(), Flaw> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        self.write(Kind::Eof, &[], wire)
    }

    fn open(&mut self, mut wire: &mut [u8], payload: &mut Vec<u8>) -> Result<(), Flaw> {
        if self.peer_ended && !wire.is_empty() {
            return Err(Flaw(AFTER_END.into()));
        }
        while !self.held.is_empty() && !wire.is_empty() {
            // Byte by byte as far as the length, then the rest of the record at once.
            let wanted = measure(&self.held)?.unwrap_or(2) - self.held.len();
            let (more, rest) = wire.split_at_mut(wanted.min(wire.len()));
            self.held.extend_from_slice(more);
            wire = rest;
            if measure(&self.held)? == Some(self.held.len()) {
                let mut record = std::mem::take(&mut self.held);
                let result = self.take(&mut record[2..], payload);
                record.clear();
                self.held = record; // keeps its room
                result?;
            }
        }
        while let Some(length) = measure(wire)? {
            if wire.len() < length {
                break;
            }
            let (record, rest) = wire.split_at_mut(length);
            self.take(&mut record[2..], payload)?;
            wire = rest;
        }
        if self.peer_ended && !wire.is_empty() {
            return Err(Flaw(AFTER_END.into()));
        }
        self.held.extend_from_slice(wire);
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.peer_ended
    }

    fn wire_ended(&mut self) -> Result<(), Flaw> {
        if self.peer_ended {
            return Ok(());
        }
        Err(Flaw(format!(
            "truncated after {} bytes: the peer's end did not come",
            self.received
        )))
    }

    fn welcome(&mut self, wire: &mut Vec<u8>) {
        if !self.is_client {
            // The first record of a direction can always be made.
            let _ = self.write(Kind::Welcome, &[], wire);
        }
    }

    fn turn_away(&mut self, why: Away, wire: &mut Vec<u8>) {
        if !self.is_client {
            let _ = self.write(Kind::Refused, &[why as u8], wire);
        }
    }
}
