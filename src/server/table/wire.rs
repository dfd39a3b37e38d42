//! What comes over the wire of a connection, counted and dumped, and what goes over it that is no
//! payload. What a handler says is in `clients.rs`.

use std::io;

use super::{Phase, Table, dump, transmit};
use crate::net::codec::ProtocolError;
use crate::net::hexdump::Direction;

impl Table {
    /// recv(2) on one connection, counted and dumped. 0 is its end.
    pub(in crate::server) fn recv(&mut self, slot: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(conn) = self.conns.get_mut(slot) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let n = conn.socket.recv(buffer)?;
        conn.active = self.now;
        conn.wire_ended = n == 0;
        if conn.is_wrapped() {
            return Ok(n); // it is not known yet what this is
        }
        conn.received += n as u64;
        if n == 0 {
            conn.peer_ended = true;
            self.dirty.push(slot);
        } else if matches!(conn.phase, Phase::Open) {
            dump(&mut self.quit, conn, Direction::Received, &buffer[..n]);
        }
        Ok(n)
    }

    /// What came over the wire, nothing being its end, as the payload it carries, counted and
    /// dumped; whether the peer has ended with it, or what is wrong behind that payload.
    pub(in crate::server) fn unwrap(
        &mut self,
        slot: usize,
        wire: &[u8],
        payload: &mut Vec<u8>,
    ) -> Result<bool, ProtocolError> {
        let Some(conn) = self.conns.get_mut(slot) else {
            return Ok(false);
        };
        let Some(codec) = &mut conn.codec else {
            return Ok(false);
        };
        let result = match wire {
            [] => codec.at_wire_eof(),
            wire => codec.decode(wire, payload),
        };
        let had_ended = std::mem::replace(&mut conn.peer_ended, codec.peer_ended());
        let ends = conn.peer_ended && !had_ended;
        conn.received += payload.len() as u64;
        if !payload.is_empty() {
            dump(&mut self.quit, conn, Direction::Received, payload);
        }
        self.dirty.push(slot);
        result.map(|()| ends)
    }

    /// Sends bytes of ours that are no payload (a handshake's).
    pub(in crate::server) fn send_plain(&mut self, slot: usize, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(slot)
            && !bytes.is_empty()
        {
            self.queued += transmit(conn, &self.log, bytes, self.now);
            self.dirty.push(slot);
        }
    }
}
