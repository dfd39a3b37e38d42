//! `--echo`: returns what comes.

use super::{Clients, Handler, Id};

/// The echo service (RFC 862).
pub struct Echo;

impl Handler for Echo {
    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) {
        clients.send(client, bytes);
    }
}
