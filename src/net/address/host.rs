//! The HOST of an address: which words are literals, which are names, and which are neither.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Host;
use crate::exit::{Failure, quoted};
use crate::sanitize;

/// What an address looks like.
pub(super) const FORMS: &str = "an address is HOST:PORT, HOST PORT, [IPV6]:PORT, *:PORT, PORT, unix:PATH or \
                     unix:@NAME";

/// The longest host name: RFC 1035, section 2.3.4, without the length bytes at both ends.
const HOST_MAX: usize = 253;

/// The longest interface name: IFNAMSIZ without its NUL.
const ZONE_MAX: usize = 15;

/// Reads a HOST.
pub(super) fn host(word: &str) -> Result<Host, Failure> {
    if word == "*" {
        return Ok(Host::Wildcard);
    }
    if let Some(literal) = word.strip_prefix('[') {
        return literal.strip_suffix(']').and_then(ipv6).ok_or_else(|| {
            bad_host(word, "brackets hold an IPv6 address, as [::1] or [fe80::1%eth0]")
        });
    }
    if let Ok(ip) = word.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    if let Some(host) = ipv6(word) {
        return Ok(host);
    }
    name(word).map(|()| Host::Name(word.to_owned()))
}

/// The refusal of a word that is no address at all, with the forms of one.
pub(super) fn no_address(word: &str) -> Failure {
    Failure::usage(format!("address {}: {FORMS}", quoted(word)))
}

/// Refuses names that cannot be in the DNS.
fn name(word: &str) -> Result<(), Failure> {
    if word.is_empty() || word.contains(':') {
        return Err(no_address(word));
    }
    if word.len() > HOST_MAX {
        let long = format!("a host name has at most {HOST_MAX} bytes");
        return Err(bad_host(word, &long));
    }
    if word.contains(|c: char| c.is_whitespace() || sanitize::hidden(c)) {
        return Err(bad_host(word, "a host name has no blanks and no control characters"));
    }
    if word.starts_with(['+', '-']) {
        return Err(bad_host(word, "a host name begins with no sign"));
    }
    // inet_aton(3) reads them as addresses, in octal and hexadecimal too: `010.1` is 8.0.0.1.
    if word.split('.').all(numeric) {
        let fix = spelled_out(word).map_or_else(
            || "four numbers 0–255, as 127.0.0.1".to_owned(),
            |ip| format!("four numbers; write {ip}"),
        );
        return Err(bad_host(word, &format!("an IPv4 address has {fix}")));
    }
    Ok(())
}

fn numeric(label: &str) -> bool {
    match label.strip_prefix("0x").or_else(|| label.strip_prefix("0X")) {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// What `inet_aton(3)` makes of two to four numbers: the last one fills the bytes that are left.
fn spelled_out(word: &str) -> Option<Ipv4Addr> {
    let number = |label: &str| match label.get(..2) {
        Some("0x" | "0X") => u32::from_str_radix(&label[2..], 16).ok(),
        Some(_) if label.starts_with('0') => u32::from_str_radix(label, 8).ok(),
        _ => label.parse().ok(),
    };
    let numbers: Vec<u32> = word.split('.').map(number).collect::<Option<_>>()?;
    let (&last, bytes) = numbers.split_last()?;
    if !(1..=3).contains(&bytes.len()) {
        return None;
    }
    let mut ip = last.to_be_bytes();
    for (place, &byte) in bytes.iter().enumerate() {
        if ip[place] != 0 {
            return None;
        }
        ip[place] = u8::try_from(byte).ok()?;
    }
    Some(ip.into())
}

/// An IPv6 literal without brackets, with a zone or not. std refuses zones that are names.
pub(super) fn ipv6(text: &str) -> Option<Host> {
    let Some((ip, zone)) = text.split_once('%') else {
        let ip: Ipv6Addr = text.parse().ok()?;
        return Some(Host::Ip(ip.into()));
    };
    // What netdevice(7) can have as an interface's name.
    let is_invalid = |c: char| c == '/' || c == ':' || c.is_whitespace() || sanitize::hidden(c);
    let well_formed = !zone.is_empty() && zone.len() <= ZONE_MAX && !zone.contains(is_invalid);
    let ip = ip.parse().ok().filter(|_| well_formed)?;
    Some(Host::Scoped(ip, zone.to_owned()))
}

fn bad_host(word: &str, why: &str) -> Failure {
    Failure::usage(format!("host {}: {why}", quoted(word)))
}
