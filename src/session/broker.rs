//! `--broker`: what a client sends goes to all others, bytes as they are.

use super::room::QUEUE_LIMIT;
use super::{Clients, Handler, Id, StreamEnd};
use crate::console::event::Reason;

/// Passes bytes on to all others.
pub struct Broker;

impl Handler for Broker {
    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        clients.broadcast(bytes, &[client]);
        bytes.len()
    }

    /// A client that has ended its side gets what is queued for it: the others never end.
    fn ended(&mut self, client: Id, _end: StreamEnd, clients: &mut dyn Clients) {
        clients.close(client, Reason::Eof);
    }

    /// A client that is cut off as `slow` has lost bytes: that is reported without `-v`, too.
    fn is_social(&self) -> bool {
        true
    }

    fn queue_limit(&self) -> usize {
        QUEUE_LIMIT
    }
}
