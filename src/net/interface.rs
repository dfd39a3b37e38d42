//! Network interfaces: their names and indices.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_indextoname, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

use crate::sanitize;

/// The index of an interface.
pub fn index(name: &str) -> Option<u32> {
    if_nametoindex(name).ok()
}

/// Whether an interface has this index.
pub fn exists(index: u32) -> bool {
    name(index).is_some()
}

/// The addresses under which other machines may reach this one: of interfaces that are up, neither
/// loopback nor link-local.
pub fn addresses() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for interface in getifaddrs().into_iter().flatten() {
        let flags = interface.flags;
        if !flags.contains(InterfaceFlags::IFF_UP) || flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        found.extend(ip_of(interface.address.as_ref()).filter(|address| match address {
            IpAddr::V4(v4) => !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        }));
    }
    found
}

/// All addresses of this machine.
pub fn all_addresses() -> Vec<IpAddr> {
    getifaddrs().into_iter().flatten().filter_map(|it| ip_of(it.address.as_ref())).collect()
}

fn ip_of(address: Option<&SockaddrStorage>) -> Option<IpAddr> {
    let v4 = address.and_then(SockaddrStorage::as_sockaddr_in).map(|v4| v4.ip().into());
    v4.or_else(|| Some(address?.as_sockaddr_in6()?.ip().into()))
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
