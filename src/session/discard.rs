//! `--discard`: swallows what comes.

use super::{Clients, Handler, Id};

/// The discard service (RFC 863).
pub struct Discard;

impl Handler for Discard {
    fn received(&mut self, _client: Id, _bytes: &[u8], _clients: &mut dyn Clients) {}
}
