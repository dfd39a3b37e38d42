//! `--reply TEXT`: sends TEXT, then ends its side.

use std::sync::Arc;

use super::{Clients, Handler, Id};
use crate::console::event::Reason;

/// Sends the same text to every client. What a client sends is read and dropped: a socket that is
/// closed with unread data resets the connection, which can destroy the reply on its way.
pub struct Reply(pub Arc<[u8]>);

impl Handler for Reply {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        clients.send_shared(client, &self.0);
        clients.close(client, Reason::Eof);
    }
}
