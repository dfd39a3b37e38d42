//! Talk over datagrams: for `udp-serve` the request is a pair, the datagram and the socket that
//! answers it; for `udp-send` it is a datagram and the answers to it.

pub mod programs;
pub mod send;
pub mod serve;

use crate::console::event::{Event, Payload};
use crate::console::talk::Talk;
use crate::net::endpoint::Endpoint;
use crate::net::text;
use crate::net::udp::Peer;
use crate::sanitize;
use crate::session::seat::Seat;

/// How a datagram is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// One line, `peer text`, which no datagram can forge: TEXT escapes for all that is not text.
    Record,
    /// The same for a terminal.
    Line,
    /// Its bytes and nothing else.
    Bytes,
    /// Only as an event.
    Nothing,
}

/// Shows one datagram.
fn show(out: &Seat, talk: &Talk, from: &Peer, bytes: &[u8], how: Shown) {
    let peer = Endpoint::from(from);
    if talk.is_json() {
        let payload = Payload::of(bytes);
        talk.say(&Event::Message {
            id: None,
            name: None,
            peer: Some(peer.to_string()),
            bytes: Some(bytes.len()),
            payload,
        });
    }
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    match how {
        Shown::Nothing => {}
        Shown::Bytes => out.show(bytes),
        Shown::Record => {
            // A blank in a UNIX name does not end it.
            let peer = peer.to_string().replace(' ', "\\x20");
            out.show(format!("{peer} {}\n", text::show(text)).as_bytes());
        }
        Shown::Line => out.show(format!("{peer} {}\n", sanitize::text(text)).as_bytes()),
    }
}
