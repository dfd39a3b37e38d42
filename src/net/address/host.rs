//! The HOST of an address: which words are literals, which are names, and which are neither.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dns_lookup::{AddrInfoHints, getaddrinfo};

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

/// What `inet_aton(3)` makes of two to four numbers. getaddrinfo(3) calls it.
fn spelled_out(word: &str) -> Option<IpAddr> {
    let flags = libc::AI_NUMERICHOST;
    let hints = AddrInfoHints { flags, address: libc::AF_INET, ..AddrInfoHints::default() };
    let mut found = getaddrinfo(Some(word), None, Some(hints)).ok()?.flatten();
    found.next().map(|found| found.sockaddr.ip()).filter(|_| word.contains('.'))
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
