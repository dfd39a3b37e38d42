//! The formats of options' values: what each accepts on the command line, and the bytes for it.
//!
//! Over 300 lines: a format is one type, read and encoded in one place; a quarter is its tests.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::membership::{address, index, mreqn, requests, source};
use crate::net::quantity::{self, number};

/// Values with names.
pub type Names = &'static [(&'static str, i32)];

/// The fields of a struct, which follow each other without gaps.
pub type Fields = &'static [(&'static str, Width)];

/// How an option's bytes are understood.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "`facts` has a line for each")]
pub enum ValueFormat {
    Flag,
    Int,
    Errno,
    Unsigned,
    Unsigned64,
    Size,
    Seconds,
    Millis,
    Micros,
    Duration,
    Linger,
    Text,
    /// The index of a network interface.
    Interface,
    /// The same in network byte order.
    InterfaceSwapped,
    /// Set as a struct `ip_mreqn`, read as an IPv4 address.
    MulticastInterface,
    /// A struct sockaddr.
    Address,
    /// A struct `ip_mreqn`: group, local address, interface.
    Group4,
    /// A struct `ip_mreq_source`: group, local address, source; in this order on Linux.
    Source4,
    /// A struct `ipv6_mreq`: group and interface.
    Group6,
    /// A struct `group_req`: interface and group, of either family.
    Group,
    /// A struct `group_source_req`: interface, group and source, of either family.
    Source,
    /// An int whose values have names.
    Names(Names),
    /// An int whose bits have names.
    Bits(Names),
    /// A struct of numbers.
    Record(Fields),
    /// A list of 32-bit numbers.
    List,
    /// A classic BPF program; reading gives its length.
    Filter,
    Bytes,
}

/// A number in a struct.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Width {
    U8,
    U16,
    U32,
    I32,
    U64,
}

impl Width {
    /// Its size.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 | Self::I32 => 4,
            Self::U64 => 8,
        }
    }
}

/// A failure without a cause: the text has not the accepted form.
pub(super) type Result<T> = std::result::Result<T, Option<&'static str>>;

impl ValueFormat {
    /// The name in the type column; how many bytes to ask the kernel for, exact where it insists on
    /// it; what is accepted as a value.
    fn facts(self) -> (&'static str, usize, &'static str) {
        const INTERFACE: &str = "the name or index of an interface";
        const GROUP4: &str = "GROUP[%INTERFACE], as 239.1.2.3%eth0 or 239.1.2.3%192.0.2.1";
        const SOURCE4: &str = "GROUP,SOURCE[%ADDRESS], as 232.1.2.3,192.0.2.7%192.0.2.1";
        const GROUP: &str = "GROUP[%INTERFACE], as 239.1.2.3%eth0 or ff02::1%eth0";
        const SOURCE: &str = "GROUP,SOURCE[%INTERFACE], as 232.1.2.3,192.0.2.7%eth0";
        const FILTER: &str =
            "a program as `tcpdump -ddd` prints it, joined by commas: 1,6 0 0 65535";
        match self {
            Self::Flag => ("flag", 4, "0 or 1 (off, on)"),
            Self::Int => ("integer", 4, "a number"),
            Self::Errno => ("error", 4, "a number"),
            Self::Unsigned => ("unsigned", 4, "a number from 0"),
            Self::Unsigned64 => ("unsigned", 8, "a number from 0"),
            Self::Size => ("size", 4, "a size: 512, 64k, 1M, 2GiB"),
            Self::Seconds => ("seconds", 4, "whole seconds, or 90s, 2m, 1h, 14d"),
            Self::Millis => ("milliseconds", 4, "milliseconds, or 500ms, 1.5s, 2m"),
            Self::Micros => ("microseconds", 4, "microseconds, or 500us, 10ms, 1s"),
            Self::Duration => {
                ("duration", 16, "seconds, or 500ms, 1.5s, 2m, 1h, 14d; 0 is no limit")
            }
            Self::Linger => ("linger", 8, "off, or seconds; 0 resets the connection at close"),
            Self::Text => ("string", 256, "a string of at most 127 bytes"),
            Self::Interface | Self::InterfaceSwapped => ("interface", 4, INTERFACE),
            Self::MulticastInterface => {
                ("address", 4, "an IPv4 address of this machine, or an interface")
            }
            Self::Address => ("address", 256, "bytes in hex"),
            Self::Group4 => ("membership", 0, GROUP4),
            Self::Source4 => ("membership", 0, SOURCE4),
            Self::Group6 => ("membership", 0, "GROUP[%INTERFACE], as ff02::1%eth0"),
            Self::Group => ("membership", 0, GROUP),
            Self::Source => ("membership", 0, SOURCE),
            Self::Names(_) => ("enum", 4, ", or a number"),
            Self::Bits(_) => ("bits", 4, ", joined by |, or a number"),
            Self::Record(fields) => {
                ("record", fields.iter().map(|(_, width)| width.bytes()).sum(), "numbers: ")
            }
            Self::List => ("list", 4096, "bytes in hex"),
            Self::Filter => ("filter", 4, FILTER),
            Self::Bytes => ("bytes", 4096, "bytes in hex"),
        }
    }

    /// The name in the type column.
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// How many bytes to ask the kernel for.
    pub fn room(self) -> usize {
        self.facts().1
    }

    /// What [`ValueFormat::encode`] accepts.
    pub fn accepted(self) -> String {
        let accepted = self.facts().2;
        match self {
            Self::Names(names) | Self::Bits(names) => format!("{}{accepted}", listed(names, ", ")),
            Self::Record(fields) => format!("{accepted}{}", listed(fields, ",")),
            _ => accepted.to_owned(),
        }
    }

    /// The bytes for `text`, or what is wrong with it.
    pub fn encode(self, text: &str) -> std::result::Result<Vec<u8>, String> {
        self.bytes(text).map_err(|cause| {
            cause.map_or_else(|| format!("expected {}", self.accepted()), str::to_owned)
        })
    }

    fn bytes(self, text: &str) -> Result<Vec<u8>> {
        let (head, zone) = text.split_once('%').map_or((text, None), |(h, zone)| (h, Some(zone)));
        let bytes = match self {
            Self::Flag => int(flag(text)),
            Self::Int | Self::Errno => int(number(text)),
            Self::Unsigned => int(number::<u32>(text).map(u32::cast_signed)),
            Self::Unsigned64 => number::<u64>(text).map(|number| number.to_ne_bytes().into()),
            Self::Size => int(quantity::size(text).ok().and_then(|size| size.try_into().ok())),
            Self::Seconds => int(number(text).or_else(|| whole(text, 1_000_000))),
            Self::Millis => int(number(text).or_else(|| whole(text, 1000))),
            Self::Micros => int(number(text).or_else(|| whole(text, 1))),
            Self::Duration => timeval(text),
            Self::Linger => linger(text),
            Self::Text => (text.len() <= 127 && !text.contains('\0')).then(|| text.into()),
            Self::Interface => Some(index(Some(text))?.to_ne_bytes().into()),
            Self::InterfaceSwapped => Some(index(Some(text))?.to_be_bytes().into()),
            Self::MulticastInterface => Some(mreqn(Ipv4Addr::UNSPECIFIED, Some(text))?),
            Self::Group4 => Some(mreqn(address(head)?, zone)?),
            Self::Source4 => {
                let (group, source) = source::<Ipv4Addr>(head)?;
                let local = zone.map_or(Ok(Ipv4Addr::UNSPECIFIED), address)?;
                Some([group.octets(), local.octets(), source.octets()].concat())
            }
            Self::Group6 => {
                let group: Ipv6Addr = address(head)?;
                Some([&group.octets()[..], &index(zone)?.to_ne_bytes()].concat())
            }
            Self::Group => Some(requests(&[address(head)?], index(zone)?)),
            Self::Source => {
                let (group, source) = source(head)?;
                Some(requests(&[group, source], index(zone)?))
            }
            Self::Names(names) => int(value_of(names, text).or_else(|| number(text))),
            Self::Bits(names) => int(number(text).or_else(|| {
                let mut bits = text.split(['|', ',']);
                bits.try_fold(0, |all, bit| Some(all | value_of(names, bit)?))
            })),
            Self::Record(fields) => record(fields, text),
            Self::Filter => filter(text),
            Self::List | Self::Address | Self::Bytes => {
                hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok()
            }
        };
        bytes.ok_or(None)
    }
}

fn int(value: Option<i32>) -> Option<Vec<u8>> {
    value.map(|value| value.to_ne_bytes().to_vec())
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

/// The value of a name.
fn value_of(names: Names, text: &str) -> Option<i32> {
    names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| *value)
}

/// The first of each pair, joined.
pub fn listed<T>(pairs: &[(&str, T)], by: &str) -> String {
    pairs.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(by)
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

    fn int(format: ValueFormat, text: &str) -> Option<i32> {
        format.encode(text).ok().map(|bytes| i32::from_ne_bytes(bytes.try_into().unwrap()))
    }

    #[test]
    fn numbers_of_every_unit() {
        let cases = [
            (ValueFormat::Flag, "on", Some(1)),
            (ValueFormat::Flag, "FALSE", Some(0)),
            (ValueFormat::Flag, "2", None),
            (ValueFormat::Int, "-1", Some(-1)),
            (ValueFormat::Int, "0x10", Some(16)),
            (ValueFormat::Int, "+1", None),
            (ValueFormat::Int, "", None),
            (ValueFormat::Int, "-", None),
            (ValueFormat::Int, "2147483648", None),
            (ValueFormat::Unsigned, "4294967295", Some(-1)),
            (ValueFormat::Unsigned, "-1", None),
            (ValueFormat::Size, "64k", Some(65536)),
            (ValueFormat::Size, "1MiB", Some(1 << 20)),
            (ValueFormat::Size, "64kB", Some(65536)),
            (ValueFormat::Size, "512b", Some(512)),
            (ValueFormat::Size, "2GiB", None),
            (ValueFormat::Size, "-1", None),
            (ValueFormat::Size, "k", None),
            (ValueFormat::Seconds, "2m", Some(120)),
            (ValueFormat::Seconds, "1.5", None),
            (ValueFormat::Seconds, "-1", Some(-1)),
            (ValueFormat::Millis, "1500", Some(1500)),
            (ValueFormat::Millis, "1.5s", Some(1500)),
            (ValueFormat::Micros, "10ms", Some(10_000)),
            (ValueFormat::Millis, ".5s", Some(500)),
            (ValueFormat::Micros, "1e3", None),
            (ValueFormat::Seconds, "1e30", None),
            (ValueFormat::Seconds, "NaN", None),
        ];
        for (format, text, expected) in cases {
            assert_eq!(int(format, text), expected, "{format:?} {text:?}");
        }
    }

    #[test]
    fn named_values_and_bits() {
        const NAMES: Names = &[("a", 1), ("b", 4)];
        assert_eq!(int(ValueFormat::Names(NAMES), "B"), Some(4));
        assert_eq!(int(ValueFormat::Names(NAMES), "7"), Some(7));
        assert_eq!(int(ValueFormat::Names(NAMES), "c"), None);
        assert_eq!(int(ValueFormat::Bits(NAMES), "a|b"), Some(5));
        assert_eq!(int(ValueFormat::Bits(NAMES), "a|c"), None);
    }

    #[test]
    fn structs_have_the_sizes_of_the_system() {
        let len = |format: ValueFormat, text| format.encode(text).unwrap().len();
        assert_eq!(len(ValueFormat::Duration, "1.5s"), size_of::<libc::timeval>());
        assert_eq!(len(ValueFormat::Linger, "5"), size_of::<libc::linger>());
        assert_eq!(len(ValueFormat::Group4, "239.1.2.3%lo"), size_of::<libc::ip_mreqn>());
        assert_eq!(
            len(ValueFormat::Source4, "232.1.2.3,192.0.2.1"),
            size_of::<libc::ip_mreq_source>()
        );
        assert_eq!(len(ValueFormat::Group6, "ff02::1%lo"), size_of::<libc::ipv6_mreq>());
        assert_eq!(len(ValueFormat::Group, "ff02::1%lo"), 136);
        assert_eq!(len(ValueFormat::Source, "232.1.2.3,192.0.2.1"), 264);
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
        assert_eq!(ValueFormat::Interface.encode("nosuch0").unwrap_err(), "no such interface");
    }
}
