//! `--discard`: reads everything and drops it (RFC 863).

use super::{Clients, Handler, Id};

/// The discard service.
pub struct Discard;

impl Handler for Discard {
    fn received(&mut self, _client: Id, bytes: &[u8], _clients: &mut dyn Clients) -> usize {
        bytes.len()
    }
}
