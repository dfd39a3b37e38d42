//! Talk over datagrams: `udp-serve` answers each datagram to its sender, `udp-send` sends datagrams
//! and waits for the answers.

mod outbox;
pub mod programs;
pub mod send;
pub mod serve;

use crate::console::event::{Event, Payload};
use crate::console::talk::Talk;
use crate::net::endpoint::Endpoint;
use crate::net::text;
use crate::sanitize;
use crate::session::seat::Seat;

/// How a datagram is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// One line, `peer text`, that no datagram can forge: everything but text is escaped.
    Record,
    /// The same for a terminal.
    Line,
    /// Its bytes and nothing else.
    Bytes,
    /// Only as an event.
    Nothing,
}

/// Shows one datagram.
fn show(out: &Seat, talk: &Talk, peer: &Endpoint, bytes: &[u8], how: Shown) {
    if talk.is_json() {
        talk.say(&Event::Message {
            id: None,
            name: None,
            peer: Some(peer.to_string()),
            bytes: Some(bytes.len()),
            payload: Payload::of(bytes),
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
