//! Multicast groups, their sources and interfaces, as the structs the kernel takes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::net::interface;
use crate::net::quantity::number;

/// The error is the cause; none where the text has not the accepted form.
pub(super) type Result<T> = std::result::Result<T, Option<String>>;

/// An interface by name or index.
pub(super) fn interface(text: &str) -> Result<u32> {
    let index = number(text).or_else(|| interface::index(text));
    index.ok_or_else(|| Some("no such interface".to_owned()))
}

/// An address, of a family where the type says which.
fn address<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| None)
}

/// `GROUP%INTERFACE` in two; without one the kernel chooses.
fn zoned(text: &str) -> (&str, Option<&str>) {
    text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)))
}

fn zone_index(zone: Option<&str>) -> Result<u32> {
    zone.map_or(Ok(0), interface)
}

/// `struct ip_mreqn`: group, local address, interface.
fn mreqn(group: Ipv4Addr, zone: Option<&str>) -> Result<Vec<u8>> {
    let (local, index) = match zone.and_then(|zone| zone.parse().ok()) {
        Some(local) => (local, 0),
        None => (Ipv4Addr::UNSPECIFIED, zone_index(zone)?),
    };
    Ok([group.octets(), local.octets(), index.to_ne_bytes()].concat())
}

/// The interface that multicasts leave from.
pub(super) fn multicast_interface(text: &str) -> Result<Vec<u8>> {
    mreqn(Ipv4Addr::UNSPECIFIED, Some(text))
}

pub(super) fn group4(text: &str) -> Result<Vec<u8>> {
    let (group, zone) = zoned(text);
    mreqn(address(group)?, zone)
}

/// `struct ip_mreq_source`: group, local address, source; in this order on Linux.
pub(super) fn source4(text: &str) -> Result<Vec<u8>> {
    let (group, rest) = text.split_once(',').ok_or(None)?;
    let (source, local) = zoned(rest);
    let local = local.map_or(Ok(Ipv4Addr::UNSPECIFIED), address)?;
    let (group, source): (Ipv4Addr, Ipv4Addr) = (address(group)?, address(source)?);
    Ok([group.octets(), local.octets(), source.octets()].concat())
}

pub(super) fn group6(text: &str) -> Result<Vec<u8>> {
    let (group, zone) = zoned(text);
    let group: Ipv6Addr = address(group)?;
    Ok([&group.octets()[..], &zone_index(zone)?.to_ne_bytes()].concat())
}

pub(super) fn any(text: &str) -> Result<Vec<u8>> {
    let (group, zone) = zoned(text);
    let group = address(group)?;
    Ok(requests(zone_index(zone)?, &[group]))
}

pub(super) fn any_source(text: &str) -> Result<Vec<u8>> {
    let (group, rest) = text.split_once(',').ok_or(None)?;
    let (source, zone) = zoned(rest);
    let addresses = [address(group)?, address(source)?];
    Ok(requests(zone_index(zone)?, &addresses))
}

/// `struct group_req` and `group_source_req`: interface, then each address in 128 bytes.
fn requests(index: u32, addresses: &[IpAddr]) -> Vec<u8> {
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
