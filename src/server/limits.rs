//! Who may connect, and how many: `--allow`, `--deny`, `-m`, `--on-full`, `--per-ip`.

use std::collections::HashMap;
use std::net::IpAddr;

use super::preauth::network;
use crate::net::access::Access;
use crate::net::endpoint::Endpoint;

/// What is asked of newcomers beside a key.
#[derive(Debug)]
pub struct Limits {
    /// `-m`: connections at a time.
    pub max: usize,
    /// `--on-full reject`: a connection too many is closed; otherwise it waits.
    pub reject: bool,
    /// `--per-ip`: connections from one address at a time.
    pub per_ip: Option<usize>,
    /// `--allow`, `--deny`.
    pub access: Access,
}

impl Default for Limits {
    /// No limits.
    fn default() -> Self {
        Self { max: usize::MAX, reject: false, per_ip: None, access: Access::default() }
    }
}

/// How many connections each address has, where that is limited.
#[derive(Debug, Default)]
pub(super) struct PerAddressCounts(HashMap<IpAddr, usize>);

impl PerAddressCounts {
    /// The connections from where this peer is; UNIX peers are not counted.
    pub(super) fn of(&self, peer: &Endpoint) -> usize {
        let count = peer.ip().and_then(|ip| self.0.get(&network(ip)));
        count.copied().unwrap_or_default()
    }

    /// One more.
    pub(super) fn add(&mut self, peer: &Endpoint) {
        if let Some(ip) = peer.ip() {
            *self.0.entry(network(ip)).or_default() += 1;
        }
    }

    /// One less; an address without any is forgotten.
    pub(super) fn remove(&mut self, peer: &Endpoint) {
        let Some(ip) = peer.ip().map(network) else {
            return;
        };
        if let Some(count) = self.0.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&ip);
            }
        }
    }
}
