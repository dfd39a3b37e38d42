//! The VALUE of `NAME=VALUE` as the bytes the kernel takes. Each form has a sentence that says what
//! is accepted; the error for a wrong value shows it.

use super::group;
use crate::net::options::{Fields, Kind, Names, Width};
use crate::net::quantity::{self, number};

/// The bytes for `text`, or what is wrong with it.
pub(super) fn encode(kind: Kind, text: &str) -> Result<Vec<u8>, String> {
    let (bytes, accepted) = read(kind, text);
    bytes.map_err(|cause| cause.unwrap_or_else(|| format!("expected {accepted}")))
}

/// What [`encode`] accepts.
pub(super) fn accepted(kind: Kind) -> String {
    read(kind, "").1
}

/// The bytes for `text`, and what is accepted. An error without a cause: `text` has not this form.
fn read(kind: Kind, text: &str) -> (group::Result<Vec<u8>>, String) {
    let int = |value: Option<i32>| value.map(|v| v.to_ne_bytes().to_vec()).ok_or(None);
    let (bytes, accepted) = match kind {
        Kind::Flag => (int(flag(text)), "0 or 1 (off, on)"),
        Kind::Int | Kind::Errno => (int(number(text)), "a number"),
        Kind::Unsigned => (int(number::<u32>(text).map(u32::cast_signed)), "a number from 0"),
        Kind::Wide => {
            (number::<u64>(text).map(|v| v.to_ne_bytes().to_vec()).ok_or(None), "a number from 0")
        }
        Kind::Size => (int(size(text)), "a size: 512, 64k, 1M, 2GiB"),
        Kind::Seconds => {
            let negative = number(text).filter(|&number| number < 0);
            (int(negative.or_else(|| whole(text, 1_000_000))), "whole seconds, or 90s, 2m, 1h")
        }
        Kind::Millis => {
            (int(number(text).or_else(|| whole(text, 1000))), "milliseconds, or 500ms, 1.5s, 2m")
        }
        Kind::Micros => {
            (int(number(text).or_else(|| whole(text, 1))), "microseconds, or 500us, 10ms, 1s")
        }
        Kind::Duration => {
            (timeval(text).ok_or(None), "seconds, or 500ms, 1.5s, 2m, 1h; 0 is no limit")
        }
        Kind::Linger => {
            (linger(text).ok_or(None), "off, or seconds; 0 resets the connection at close")
        }
        Kind::Text => {
            let fits = text.len() <= 127 && !text.contains('\0');
            (fits.then(|| text.into()).ok_or(None), "a string of at most 127 bytes")
        }
        Kind::Interface => (
            group::interface(text).map(|index| index.to_ne_bytes().to_vec()),
            "the name or index of an interface",
        ),
        Kind::InterfaceSwapped => (
            group::interface(text).map(|index| index.to_be_bytes().to_vec()),
            "the name or index of an interface",
        ),
        Kind::Ipv4 => {
            (group::multicast_interface(text), "an IPv4 address of this machine, or an interface")
        }
        Kind::Group4 => {
            (group::group4(text), "GROUP[%INTERFACE], as 239.1.2.3%eth0 or 239.1.2.3%192.0.2.1")
        }
        Kind::Source4 => {
            (group::source4(text), "GROUP,SOURCE[%ADDRESS], as 232.1.2.3,192.0.2.7%192.0.2.1")
        }
        Kind::Group6 => (group::group6(text), "GROUP[%INTERFACE], as ff02::1%eth0"),
        Kind::Group => (group::any(text), "GROUP[%INTERFACE], as 239.1.2.3%eth0 or ff02::1%eth0"),
        Kind::Source => {
            (group::any_source(text), "GROUP,SOURCE[%INTERFACE], as 232.1.2.3,192.0.2.7%eth0")
        }
        Kind::Names(names) => {
            let value = name_of(names, text).or_else(|| number(text));
            return (int(value), format!("{}, or a number", listed(names)));
        }
        Kind::Bits(names) => {
            let mut parts = text.split(['|', ',']);
            let bits = || parts.try_fold(0, |all, bit| Some(all | name_of(names, bit)?));
            let value = number(text).or_else(bits);
            return (int(value), format!("{}, joined by |, or a number", listed(names)));
        }
        Kind::Record(fields) => {
            let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
            return (record(fields, text).ok_or(None), format!("numbers: {}", names.join(",")));
        }
        Kind::Filter => (
            filter(text).ok_or(None),
            "a program as `tcpdump -ddd` prints it, joined by commas: 1,6 0 0 65535",
        ),
        Kind::List | Kind::Address | Kind::Bytes => {
            let digits = text.strip_prefix("0x").unwrap_or(text);
            (hex::decode(digits).map_err(|_| None), "bytes in hex")
        }
    };
    (bytes, accepted.into())
}

/// A classic BPF program: its length, then `CODE JT JF K` for each instruction.
fn filter(text: &str) -> Option<Vec<u8>> {
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

fn name_of(names: Names, text: &str) -> Option<i32> {
    names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| *value)
}

/// The names of an enum, one after the other.
pub(super) fn listed(names: Names) -> String {
    names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Numbers, or `NAME=NUMBER`, in the order of the fields.
fn record(fields: Fields, text: &str) -> Option<Vec<u8>> {
    let parts: Vec<&str> = text.split(',').collect();
    let mut bytes = Vec::new();
    for ((name, width), part) in fields.iter().zip(&parts) {
        let named = part.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
        let part = named.unwrap_or(part);
        match width {
            Width::U8 => bytes.push(number(part)?),
            Width::U16 => bytes.extend(number::<u16>(part)?.to_ne_bytes()),
            Width::U32 => bytes.extend(number::<u32>(part)?.to_ne_bytes()),
            Width::I32 => bytes.extend(number::<i32>(part)?.to_ne_bytes()),
            Width::U64 => bytes.extend(number::<u64>(part)?.to_ne_bytes()),
        }
    }
    (parts.len() == fields.len()).then_some(bytes)
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
        const NAMES: Names = &[("a", 1), ("b", 4)];
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
        assert_eq!(encode(Kind::Interface, "nosuch0").unwrap_err(), "no such interface");
    }
}
