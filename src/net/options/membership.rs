//! Multicast groups, their sources and interfaces, as the structs the kernel takes.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use super::format::Result;
use crate::net::interface;
use crate::net::quantity::number;

/// An interface by name or index; 0, so that the kernel chooses, for none.
pub(super) fn index(interface: Option<&str>) -> Result<u32> {
    let Some(text) = interface else {
        return Ok(0);
    };
    number(text).or_else(|| interface::index(text)).ok_or(Some("no such interface"))
}

/// An address, of a family where the type says which.
pub(super) fn address<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| None)
}

/// `GROUP,SOURCE`.
pub(super) fn source<T: FromStr>(text: &str) -> Result<(T, T)> {
    let (group, source) = text.split_once(',').ok_or(None)?;
    Ok((address(group)?, address(source)?))
}

/// `struct ip_mreqn`: group, local address, interface. `zone` is one of the last two.
pub(super) fn mreqn(group: Ipv4Addr, zone: Option<&str>) -> Result<Vec<u8>> {
    let (local, index) = match zone.and_then(|zone| zone.parse().ok()) {
        Some(local) => (local, 0),
        None => (Ipv4Addr::UNSPECIFIED, index(zone)?),
    };
    Ok([group.octets(), local.octets(), index.to_ne_bytes()].concat())
}

/// `struct group_req` and `group_source_req`: interface, then each address in 128 bytes.
pub(super) fn requests(addresses: &[IpAddr], index: u32) -> Vec<u8> {
    let mut bytes = index.to_ne_bytes().to_vec();
    bytes.extend([0; size_of::<usize>() - 4]);
    for address in addresses {
        let end = bytes.len() + size_of::<libc::sockaddr_storage>();
        // Family, then the port, then for IPv6 the flow label: all of two or four bytes.
        let (family, gap, octets) = match address {
            IpAddr::V4(v4) => (libc::AF_INET, 2, v4.octets().to_vec()),
            IpAddr::V6(v6) => (libc::AF_INET6, 6, v6.octets().to_vec()),
        };
        let family = u16::try_from(family).unwrap_or_default();
        bytes.extend(family.to_ne_bytes());
        bytes.resize(bytes.len() + gap, 0);
        bytes.extend(octets);
        bytes.resize(end, 0);
    }
    bytes
}
