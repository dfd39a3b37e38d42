//! The VALUE of `NAME=VALUE` as the bytes the kernel takes. Every form has a sentence that says
//! what is accepted; a wrong value is told with it.

use super::group;
use crate::net::options::{Field, Kind};
use crate::net::quantity::{self, number};

/// The bytes for `text`, or what is wrong with it (`None`: it is no accepted form).
pub(super) fn encode(kind: Kind, text: &str) -> Result<Vec<u8>, Option<String>> {
    let int = |value: Option<i32>| value.map(|v| v.to_ne_bytes().to_vec()).ok_or(None);
    match kind {
        Kind::Flag => int(flag(text)),
        Kind::Int | Kind::Errno => int(number(text)),
        Kind::Unsigned => int(number::<u32>(text).map(u32::cast_signed)),
        Kind::Wide => number::<u64>(text).map(|v| v.to_ne_bytes().to_vec()).ok_or(None),
        Kind::Size => int(size(text)),
        Kind::Seconds if text.starts_with('-') => int(number(text)),
        Kind::Seconds => int(whole(text, 1_000_000)),
        Kind::Millis => int(number(text).or_else(|| whole(text, 1000))),
        Kind::Micros => int(number(text).or_else(|| whole(text, 1))),
        Kind::Duration => timeval(text).ok_or(None),
        Kind::Linger => linger(text).ok_or(None),
        Kind::Text if text.len() > 127 || text.contains('\0') => Err(None),
        Kind::Text => Ok(text.as_bytes().to_vec()),
        Kind::Interface => Ok(group::interface(text)?.to_ne_bytes().to_vec()),
        Kind::InterfaceSwapped => Ok(group::interface(text)?.to_be_bytes().to_vec()),
        Kind::Ipv4 => group::multicast_interface(text),
        Kind::Group4 => group::group4(text),
        Kind::Source4 => group::source4(text),
        Kind::Group6 => group::group6(text),
        Kind::Group => group::any(text),
        Kind::Source => group::any_source(text),
        Kind::Names(names) => int(name_of(names, text).or_else(|| number(text))),
        Kind::Bits(names) => int(number(text).or_else(|| {
            text.split(['|', ',']).try_fold(0, |all, bit| Some(all | name_of(names, bit)?))
        })),
        Kind::Record(fields) => record(fields, text).ok_or(None),
        Kind::List | Kind::Address | Kind::Bytes => bytes(text).ok_or(None),
        Kind::Filter => Err(None),
    }
}

/// What [`encode`] accepts.
pub(super) fn accepted(kind: Kind) -> String {
    match kind {
        Kind::Flag => "0 or 1 (off, on)".into(),
        Kind::Int | Kind::Errno => "a number".into(),
        Kind::Unsigned | Kind::Wide => "a number from 0".into(),
        Kind::Size => "a size: 512, 64k, 1M, 2GiB".into(),
        Kind::Seconds => "whole seconds, or 90s, 2m, 1h".into(),
        Kind::Millis => "milliseconds, or 500ms, 1.5s, 2m".into(),
        Kind::Micros => "microseconds, or 500us, 10ms, 1s".into(),
        Kind::Duration => "seconds, or 500ms, 1.5s, 2m, 1h; 0 is no limit".into(),
        Kind::Linger => "off, or seconds; 0 resets the connection at close".into(),
        Kind::Text => "a string of at most 127 bytes".into(),
        Kind::Interface | Kind::InterfaceSwapped => "the name or index of an interface".into(),
        Kind::Ipv4 => "an IPv4 address of this machine, or an interface".into(),
        Kind::Group4 => "GROUP[%INTERFACE], as 239.1.2.3%eth0 or 239.1.2.3%192.0.2.1".into(),
        Kind::Source4 => "GROUP,SOURCE[%ADDRESS], as 232.1.2.3,192.0.2.7%192.0.2.1".into(),
        Kind::Group6 => "GROUP[%INTERFACE], as ff02::1%eth0".into(),
        Kind::Group => "GROUP[%INTERFACE], as 239.1.2.3%eth0 or ff02::1%eth0".into(),
        Kind::Source => "GROUP,SOURCE[%INTERFACE], as 232.1.2.3,192.0.2.7%eth0".into(),
        Kind::Names(names) => format!("{}, or a number", listed(names, ", ")),
        Kind::Bits(names) => format!("{}, joined by |, or a number", listed(names, ", ")),
        Kind::Record(fields) => {
            let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
            format!("numbers: {}", names.join(","))
        }
        Kind::Filter => {
            "a program as `tcpdump -ddd` prints it, joined by commas: 1,6 0 0 65535".into()
        }
        Kind::List | Kind::Address | Kind::Bytes => "bytes in hex".into(),
    }
}

/// A classic BPF program: its length, then `CODE JT JF K` for each instruction.
pub(super) fn filter(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split([',', '\n']).map(str::trim);
    let count: usize = parts.next()?.parse().ok()?;
    let mut code = Vec::new();
    for part in parts.by_ref().filter(|part| !part.is_empty()) {
        let mut numbers = part.split_ascii_whitespace();
        code.extend(numbers.next()?.parse::<u16>().ok()?.to_ne_bytes());
        code.push(numbers.next()?.parse().ok()?);
        code.push(numbers.next()?.parse().ok()?);
        code.extend(numbers.next()?.parse::<u32>().ok()?.to_ne_bytes());
        if numbers.next().is_some() {
            return None;
        }
    }
    (code.len() == count.checked_mul(8)? && count > 0 && count <= 4096).then_some(code)
}

/// Bytes in hex, with or without `0x`.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok()
}

fn flag(text: &str) -> Option<i32> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "true" | "yes" => Some(1),
        "0" | "off" | "false" | "no" => Some(0),
        _ => None,
    }
}

fn size(text: &str) -> Option<i32> {
    quantity::size(text).ok()?.try_into().ok()
}

/// A duration in microseconds, to the nearest.
fn micros(text: &str) -> Option<u64> {
    let nanos = quantity::duration(text).ok()?.as_nanos();
    u64::try_from((nanos + 500) / 1000).ok()
}

/// A duration that is a whole number of units of `unit` microseconds.
fn whole(text: &str, unit: u64) -> Option<i32> {
    let micros = micros(text)?;
    (micros % unit == 0).then_some(())?;
    (micros / unit).try_into().ok()
}

fn timeval(text: &str) -> Option<Vec<u8>> {
    let micros = i64::try_from(micros(text)?).ok()?;
    let mut bytes = (micros / 1_000_000).to_ne_bytes().to_vec();
    bytes.extend((micros % 1_000_000).to_ne_bytes());
    Some(bytes)
}

fn linger(text: &str) -> Option<Vec<u8>> {
    let (on, seconds) = match text.to_ascii_lowercase().as_str() {
        "off" => (0, 0),
        text => (1, whole(text, 1_000_000)?),
    };
    Some([i32::to_ne_bytes(on), seconds.to_ne_bytes()].concat())
}

fn name_of(names: &[(&str, i32)], text: &str) -> Option<i32> {
    names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| *value)
}

/// The names of an enum, one after the other.
pub(super) fn listed(names: &[(&str, i32)], gap: &str) -> String {
    let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    names.join(gap)
}

fn record(fields: &[Field], text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut parts = text.split(',');
    for field in fields {
        let part = parts.next()?;
        let part =
            part.strip_prefix(field.name).and_then(|rest| rest.strip_prefix('=')).unwrap_or(part);
        match (field.size, field.signed) {
            (1, _) => bytes.push(number(part)?),
            (2, _) => bytes.extend(number::<u16>(part)?.to_ne_bytes()),
            (4, true) => bytes.extend(number::<i32>(part)?.to_ne_bytes()),
            (4, false) => bytes.extend(number::<u32>(part)?.to_ne_bytes()),
            _ => bytes.extend(number::<u64>(part)?.to_ne_bytes()),
        }
    }
    parts.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(kind: Kind, text: &str) -> Option<i32> {
        encode(kind, text).ok().map(|bytes| i32::from_ne_bytes(bytes.try_into().unwrap()))
    }

    #[test]
    fn numbers_of_every_unit() {
        let cases = [
            (Kind::Flag, "on", Some(1)),
            (Kind::Flag, "FALSE", Some(0)),
            (Kind::Flag, "2", None),
            (Kind::Int, "-1", Some(-1)),
            (Kind::Int, "0x10", Some(16)),
            (Kind::Int, "+1", None),
            (Kind::Int, "", None),
            (Kind::Int, "-", None),
            (Kind::Int, "2147483648", None),
            (Kind::Unsigned, "4294967295", Some(-1)),
            (Kind::Unsigned, "-1", None),
            (Kind::Size, "64k", Some(65536)),
            (Kind::Size, "1MiB", Some(1 << 20)),
            (Kind::Size, "64kB", Some(65536)),
            (Kind::Size, "512b", Some(512)),
            (Kind::Size, "2GiB", None),
            (Kind::Size, "-1", None),
            (Kind::Size, "k", None),
            (Kind::Seconds, "2m", Some(120)),
            (Kind::Seconds, "1.5", None),
            (Kind::Seconds, "-1", Some(-1)),
            (Kind::Millis, "1500", Some(1500)),
            (Kind::Millis, "1.5s", Some(1500)),
            (Kind::Micros, "10ms", Some(10_000)),
            (Kind::Millis, ".5s", Some(500)),
            (Kind::Micros, "1e3", None),
            (Kind::Seconds, "1e30", None),
            (Kind::Seconds, "NaN", None),
        ];
        for (kind, text, expected) in cases {
            assert_eq!(int(kind, text), expected, "{kind:?} {text:?}");
        }
    }

    #[test]
    fn named_values_and_bits() {
        const NAMES: &[(&str, i32)] = &[("a", 1), ("b", 4)];
        assert_eq!(int(Kind::Names(NAMES), "B"), Some(4));
        assert_eq!(int(Kind::Names(NAMES), "7"), Some(7));
        assert_eq!(int(Kind::Names(NAMES), "c"), None);
        assert_eq!(int(Kind::Bits(NAMES), "a|b"), Some(5));
        assert_eq!(int(Kind::Bits(NAMES), "a|c"), None);
    }

    #[test]
    fn structs_have_the_sizes_of_the_system() {
        let len = |kind, text| encode(kind, text).unwrap().len();
        assert_eq!(len(Kind::Duration, "1.5s"), size_of::<libc::timeval>());
        assert_eq!(len(Kind::Linger, "5"), size_of::<libc::linger>());
        assert_eq!(len(Kind::Group4, "239.1.2.3%lo"), size_of::<libc::ip_mreqn>());
        assert_eq!(len(Kind::Source4, "232.1.2.3,192.0.2.1"), size_of::<libc::ip_mreq_source>());
        assert_eq!(len(Kind::Group6, "ff02::1%lo"), size_of::<libc::ipv6_mreq>());
        assert_eq!(len(Kind::Group, "ff02::1%lo"), 136);
        assert_eq!(len(Kind::Source, "232.1.2.3,192.0.2.1"), 264);
    }

    #[test]
    fn a_filter_is_what_tcpdump_prints() {
        assert_eq!(filter("1,6 0 0 65535").unwrap().len(), 8);
        assert_eq!(filter("1\n6 0 0 65535\n").unwrap().len(), 8);
        for wrong in ["", "2,6 0 0 1", "1,6 0 0", "1,6 0 0 1 2", "0", "1,6 0 256 1"] {
            assert_eq!(filter(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_unknown_interface_is_named_as_the_cause() {
        let cause = encode(Kind::Interface, "nosuch0").unwrap_err();
        assert_eq!(cause.as_deref(), Some("no such interface"));
    }
}
