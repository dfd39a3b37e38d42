//! `--reply TEXT`: sends TEXT, then ends its side.

use super::{Clients, Handler, Id};
use crate::console::event::Reason;

/// Says the same to everybody. What a client says is read and dropped, so that closing never
/// loses the reply to a reset.
pub struct Reply(pub Vec<u8>);

impl Handler for Reply {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        clients.send(client, &self.0);
        clients.close(client, Reason::Eof);
    }

    fn received(&mut self, _client: Id, _bytes: &[u8], _clients: &mut dyn Clients) {}
}
