//! `--echo`: sends everything back (RFC 862).

use super::{Clients, Handler, Id};

/// The echo service.
pub struct Echo;

impl Handler for Echo {
    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        clients.send(client, bytes);
        bytes.len()
    }
}
