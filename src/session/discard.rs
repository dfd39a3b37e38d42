//! `--discard`: reads everything and drops it (RFC 863).

use super::Handler;

/// The discard service.
pub struct Discard;

impl Handler for Discard {}
