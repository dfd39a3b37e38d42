//! Network interfaces: their names and indices.

use nix::net::if_::{if_indextoname, if_nametoindex};

use crate::sanitize;

/// The index of an interface.
pub fn index(name: &str) -> Option<u32> {
    if_nametoindex(name).ok()
}

/// Whether an interface has this index.
pub fn exists(index: u32) -> bool {
    name(index).is_some()
}

/// How an interface is shown: its name, or its index where it has gone.
pub fn shown(index: u32) -> String {
    name(index).map_or_else(|| index.to_string(), |name| sanitize::line(&name))
}

fn name(index: u32) -> Option<Vec<u8>> {
    // nix 0.31 takes the NULL of a failure for success, and returns an empty name.
    let name = if_indextoname(index).ok()?.into_bytes();
    (!name.is_empty()).then_some(name)
}
