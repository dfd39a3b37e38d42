//! TLS records, 1.2 and 1.3 (RFC 5246, RFC 8446): the codec over rustls's unbuffered connection, in
//! both roles. The handshake (`auth::tls`) runs the same state machine before.
//! Over 300 lines: all that drives rustls's state machine, so that its states are known in one file.
//!
//! | from the wire            | to the wire                                                  |
//! |--------------------------|--------------------------------------------------------------|
//! | application data         | [`Codec::encode`]: application data                          |
//! | `close_notify`           | [`Codec::encode_eof`]: `close_notify`                        |
//! | key update, errors       | answers of the codec's own: key update, alerts               |
//! | session tickets          | (a server's follow the handshake)                            |

use std::mem::{replace, take};
use std::ops::DerefMut;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedConnectionCommon, UnbufferedStatus,
};
use rustls::{AlertDescription, Error};

use crate::exit::Exit;
use crate::net::codec::{Codec, ProtocolError};

/// The type, version and length in front of a record's body, in bytes.
const HEADER: usize = 5;
/// More bytes than a record adds to its data, with any cipher suite.
const OVERHEAD: usize = 64;
/// The most bytes of data in a record (RFC 8446, section 5.1).
const DATA_MAX: usize = 16 << 10;

/// One side of a TLS connection, as rustls has it.
pub trait Side: DerefMut<Target = UnbufferedConnectionCommon<Self::Data>> {
    /// What rustls keeps for this side.
    type Data;

    /// Takes what it can of the records that `incoming` begins with.
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

/// Where the records of a stream begin and end.
#[derive(Default)]
struct Framing {
    header: [u8; HEADER],
    /// How much of the header has come.
    filled: usize,
    /// How much of the body has not come.
    body: usize,
}

impl Framing {
    /// How many bytes are missing of the record's header, or then of its body.
    fn missing(&self) -> usize {
        if self.filled < HEADER { HEADER - self.filled } else { self.body }
    }

    /// Passes over bytes.
    fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.missing().min(bytes.len());
            let (now, rest) = bytes.split_at(count);
            if self.filled < HEADER {
                self.header[self.filled..self.filled + count].copy_from_slice(now);
                self.filled += count;
                if self.filled == HEADER {
                    self.body = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
                }
            } else {
                self.body -= count;
            }
            if self.filled == HEADER && self.body == 0 {
                self.filled = 0;
            }
            bytes = rest;
        }
    }

    fn is_between_records(&self) -> bool {
        self.filled == 0
    }
}

/// A TLS session, from its first byte.
pub struct Session<S> {
    side: S,
    framing: Framing,
    /// What has come and is not processed: the beginning of a record, or of a message that spans several.
    partial: Vec<u8>,
    /// Bytes of payload that came.
    received: u64,
    ended: bool,
    peer_ended: bool,
}

impl<S: Side> Session<S> {
    /// A session that begins now.
    pub fn new(side: S) -> Self {
        Self {
            side,
            framing: Framing::default(),
            partial: Vec::new(),
            received: 0,
            ended: false,
            peer_ended: false,
        }
    }

    /// What rustls knows of the session.
    pub fn side(&self) -> &S {
        &self.side
    }

    /// How many bytes may be read without reading past the record that comes.
    pub fn missing(&self) -> usize {
        self.framing.missing()
    }

    /// Takes received bytes; appends payload and answers, which are valid even before an error. Without
    /// bytes a client's hello is the answer.
    pub fn receive(
        &mut self,
        mut wire: &mut [u8],
        payload: &mut Vec<u8>,
        answer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        // The rest of a record that has begun is put behind its beginning; all other records are
        // decrypted where they are.
        while !self.partial.is_empty() && !wire.is_empty() {
            let count = self.missing().min(wire.len());
            let (more, rest) = wire.split_at_mut(count);
            self.framing.advance(more);
            self.partial.extend_from_slice(more);
            wire = rest;
            if self.framing.is_between_records() {
                let mut partial = take(&mut self.partial);
                let result = self.process(&mut partial, payload, answer);
                partial.drain(..result?);
                self.partial = partial;
            }
        }
        if self.partial.is_empty() {
            self.framing.advance(wire);
            let taken = self.process(wire, payload, answer)?;
            self.partial = wire[taken..].to_vec();
        }
        Ok(())
    }

    /// Runs the state machine until it needs more; how many bytes it has done with.
    fn process(
        &mut self,
        incoming: &mut [u8],
        payload: &mut Vec<u8>,
        answer: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let mut taken = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = self.side.process(&mut incoming[taken..]);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        payload.extend_from_slice(record.payload);
                        self.received += record.payload.len() as u64;
                        discard += record.discard;
                    }
                }
                Ok(ConnectionState::PeerClosed) => self.peer_ended = true,
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(answer, 0, |buffer| data.encode(buffer))?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(_) => {
                    // Behind close_notify nothing counts (RFC 8446, 6.1).
                    return Ok(if self.peer_ended { incoming.len() } else { taken + discard });
                }
                Err(error) => {
                    self.alert(answer);
                    return Err(error);
                }
            }
            taken += discard;
        }
    }

    /// Appends the alert that an error has left. Nothing is processed behind an error.
    fn alert(&mut self, answer: &mut Vec<u8>) {
        while self.side.wants_write() {
            let UnbufferedStatus { state, .. } = self.side.process(&mut []);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else {
                return;
            };
            if encode(answer, 0, |buffer| data.encode(buffer)).is_err() {
                return;
            }
        }
    }

    /// Appends payload or, without any, `close_notify`; before it what is to be sent anyway.
    fn write(&mut self, payload: Option<&[u8]>, wire: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let length = payload.map_or(0, <[u8]>::len);
        let size = length + (length / DATA_MAX + 1) * OVERHEAD;
        loop {
            // What is partial holds no whole message: none of it is discarded.
            match self.side.process(&mut self.partial).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let written = encode(wire, size, |buffer| match payload {
                        Some(payload) => traffic.encrypt(payload, buffer),
                        None => traffic.queue_close_notify(buffer),
                    });
                    return written.map_err(|error| ProtocolError::new(error.to_string()));
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(wire, 0, |buffer| data.encode(buffer))
                        .map_err(|error| ProtocolError::new(error.to_string()))?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_ended = true,
                Ok(_) => return Err(ProtocolError::new("the session is over")),
                Err(error) => return Err(protocol_error(&error)),
            }
        }
    }
}

/// Why nothing could be written.
enum Unwritten {
    TooSmall(usize),
    Failed(Error),
}

impl From<EncodeError> for Unwritten {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(it) => Self::TooSmall(it.required_size),
            EncodeError::AlreadyEncoded => Self::Failed(Error::General(error.to_string())),
        }
    }
}

impl From<EncryptError> for Unwritten {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(it) => Self::TooSmall(it.required_size),
            EncryptError::EncryptExhausted => Self::Failed(Error::EncryptError),
        }
    }
}

/// Appends what `write` puts into a buffer of this size, or then of the size it asks for.
fn encode<E: Into<Unwritten>>(
    wire: &mut Vec<u8>,
    size: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), Error> {
    let start = wire.len();
    wire.resize(start + size, 0);
    loop {
        let result = write(&mut wire[start..]).map_err(Into::into);
        match result {
            Ok(count) => {
                wire.truncate(start + count);
                return Ok(());
            }
            Err(Unwritten::TooSmall(required)) => wire.resize(start + required, 0),
            Err(Unwritten::Failed(error)) => {
                wire.truncate(start);
                return Err(error);
            }
        }
    }
}

/// What is wrong with the peer's records, or what its alert says.
fn protocol_error(error: &Error) -> ProtocolError {
    match error {
        Error::AlertReceived(alert) => {
            let exit = if is_rejection(*alert) { Exit::NotAuthenticated } else { Exit::Broken };
            let cause = format!("the peer ended TLS with the alert {}", alert_name(*alert));
            ProtocolError { cause, exit }
        }
        _ => ProtocolError::new(format!("TLS: {error}")),
    }
}

/// An alert's name as RFC 8446, section 6, writes it: `unknown_ca`.
pub fn alert_name(alert: AlertDescription) -> String {
    let mut name = String::new();
    let shown = format!("{alert:?}");
    let mut before = 'A';
    for c in shown.chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
        before = c;
    }
    name
}

/// Whether the alert says that our certificate is not accepted.
pub fn is_rejection(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

impl<S: Side> Codec for Session<S> {
    fn is_encrypted(&self) -> bool {
        true
    }

    fn encode(&mut self, payload: &[u8], wire: &mut Vec<u8>) -> Result<(), ProtocolError> {
        self.write(Some(payload), wire)
    }

    fn encode_eof(&mut self, wire: &mut Vec<u8>) {
        if !replace(&mut self.ended, true) {
            // Fails only where nothing can be sent any more.
            let _ = self.write(None, wire);
        }
    }

    fn decode(
        &mut self,
        wire: &mut [u8],
        payload: &mut Vec<u8>,
        answer: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        if self.peer_ended {
            return Ok(());
        }
        self.receive(wire, payload, answer).map_err(|error| protocol_error(&error))
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
            "truncated after {received} bytes: the peer's close_notify did not come"
        )))
    }
}
