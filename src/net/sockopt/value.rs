//! An option's bytes as a value: typed for scripts, short for people.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use nix::net::if_::if_indextoname;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::exit::errno_name;
use crate::net::options::{Field, Kind};

/// What an option is set to. As JSON: flags are booleans, numbers numbers, durations seconds,
/// records objects; values with names, addresses and hex are strings.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// On or off, shown as 1 and 0: the way it is typed.
    Flag(bool),
    /// A number.
    Int(i64),
    /// A large number.
    Wide(u64),
    /// A time.
    Duration(Duration),
    /// `SO_LINGER`: seconds, or off.
    Linger(Option<i32>),
    /// A string, or the name of a number.
    Text(String),
    /// The index of an interface, 0 for none.
    Interface(u32),
    /// A struct of numbers.
    Record(Vec<(&'static str, Number)>),
    /// Several numbers.
    List(Vec<u32>),
    /// Bytes, shown in hex.
    Bytes(Vec<u8>),
}

/// A number in a record.
pub type Number = i128;

impl Value {
    /// The value that `bytes` stand for; in hex where they do not fit the kind.
    pub fn decode(kind: Kind, bytes: &[u8]) -> Self {
        Self::understood(kind, bytes).unwrap_or_else(|| Self::Bytes(bytes.to_vec()))
    }

    fn understood(kind: Kind, bytes: &[u8]) -> Option<Self> {
        Some(match kind {
            Kind::Flag => Self::Flag(int(bytes)? != 0),
            Kind::Int | Kind::Size | Kind::Seconds | Kind::Millis | Kind::Micros => {
                Self::Int(int(bytes)?.into())
            }
            Kind::Unsigned => Self::Int(int(bytes)?.cast_unsigned().into()),
            Kind::Wide => Self::Wide(u64::from_ne_bytes(bytes.try_into().ok()?)),
            Kind::Duration => Self::Duration(duration(bytes)?),
            Kind::Linger => {
                let on = int(bytes.get(..4)?)? != 0;
                let seconds = int(bytes.get(4..)?)?;
                Self::Linger(on.then_some(seconds))
            }
            Kind::Text => {
                let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
                Self::Text(String::from_utf8_lossy(&bytes[..end]).into_owned())
            }
            Kind::Interface => Self::Interface(int(bytes)?.cast_unsigned()),
            Kind::InterfaceSwapped => Self::Interface(u32::from_be(int(bytes)?.cast_unsigned())),
            Kind::Ipv4 => ipv4(bytes)?,
            Kind::Address => Self::Text(socket_address(bytes)?),
            Kind::Names(names) => named(names, int(bytes)?),
            Kind::Bits(names) => bits(names, int(bytes)?),
            Kind::Errno => match int(bytes)? {
                0 => Self::Int(0),
                code => Self::Text(errno_name(code)),
            },
            Kind::Record(fields) => Self::Record(record(fields, bytes)),
            Kind::List => Self::List(
                bytes
                    .chunks_exact(4)
                    .filter_map(|chunk| int(chunk).map(i32::cast_unsigned))
                    .collect(),
            ),
            Kind::Filter => {
                let instructions = bytes.len() / size_of::<libc::sock_filter>();
                Self::Int(i64::try_from(instructions).ok()?)
            }
            Kind::Group4
            | Kind::Source4
            | Kind::Group6
            | Kind::Group
            | Kind::Source
            | Kind::Bytes => return None,
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(on) => write!(f, "{}", u8::from(*on)),
            Self::Int(number) => write!(f, "{number}"),
            Self::Wide(number) => write!(f, "{number}"),
            Self::Duration(time) => write!(f, "{}", time.as_secs_f64()),
            Self::Linger(None) => f.write_str("off"),
            Self::Linger(Some(seconds)) => write!(f, "{seconds}"),
            Self::Text(text) => write!(f, "{}", text.escape_debug()),
            Self::Interface(0) => f.write_str("0"),
            Self::Interface(index) => match if_indextoname(*index) {
                Ok(name) => write!(f, "{}", name.to_string_lossy()),
                Err(_) => write!(f, "{index}"),
            },
            Self::Record(fields) => {
                for (i, (name, number)) in fields.iter().enumerate() {
                    let gap = if i > 0 { "," } else { "" };
                    write!(f, "{gap}{name}={number}")?;
                }
                Ok(())
            }
            Self::List(numbers) => {
                for (i, number) in numbers.iter().enumerate() {
                    let gap = if i > 0 { "," } else { "" };
                    write!(f, "{gap}{number}")?;
                }
                Ok(())
            }
            Self::Bytes(bytes) => f.write_str(&hex::encode(bytes)),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Flag(on) => serializer.serialize_bool(*on),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Wide(number) => serializer.serialize_u64(*number),
            Self::Duration(time) => serializer.serialize_f64(time.as_secs_f64()),
            Self::Linger(seconds) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("on", &seconds.is_some())?;
                map.serialize_entry("seconds", &seconds.unwrap_or(0))?;
                map.end()
            }
            Self::Text(text) => serializer.serialize_str(text),
            Self::Interface(index) => serializer.serialize_u32(*index),
            Self::Record(fields) => {
                serializer.collect_map(fields.iter().map(|(name, number)| (name, number)))
            }
            Self::List(numbers) => serializer.collect_seq(numbers),
            Self::Bytes(bytes) => serializer.serialize_str(&hex::encode(bytes)),
        }
    }
}

/// An int; some options answer with a single byte, `SO_TIMESTAMPING` with more than one int.
fn int(bytes: &[u8]) -> Option<i32> {
    match bytes {
        [byte] => Some((*byte).into()),
        _ => Some(i32::from_ne_bytes(*bytes.first_chunk()?)),
    }
}

fn duration(bytes: &[u8]) -> Option<Duration> {
    let seconds = i64::from_ne_bytes(*bytes.first_chunk()?);
    let micros = i64::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
    Some(Duration::new(seconds.try_into().ok()?, u32::try_from(micros).ok()?.checked_mul(1000)?))
}

/// `in_addr`, or the `ip_mreqn` with which `IP_MULTICAST_IF` is set.
fn ipv4(bytes: &[u8]) -> Option<Value> {
    if bytes.len() == 12 {
        let index = int(&bytes[8..])?;
        if index != 0 {
            return Some(Value::Interface(index.cast_unsigned()));
        }
    }
    let start = if bytes.len() == 12 { 4 } else { 0 };
    let octets: [u8; 4] = *bytes.get(start..)?.first_chunk()?;
    Some(Value::Text(Ipv4Addr::from(octets).to_string()))
}

fn socket_address(bytes: &[u8]) -> Option<String> {
    let family = i32::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    let ip = match family {
        libc::AF_INET => {
            let octets: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
            IpAddr::V4(Ipv4Addr::from(octets))
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        libc::AF_UNIX => return Some(unix_name(bytes.get(2..)?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port).to_string())
}

fn unix_name(name: &[u8]) -> String {
    if let [0, rest @ ..] = name {
        return format!("unix:@{}", String::from_utf8_lossy(rest));
    }
    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    format!("unix:{}", String::from_utf8_lossy(&name[..end]))
}

fn named(names: &[(&str, i32)], number: i32) -> Value {
    names
        .iter()
        .find(|(_, value)| *value == number)
        .map_or(Value::Int(number.into()), |(name, _)| Value::Text((*name).to_owned()))
}

fn bits(names: &[(&str, i32)], number: i32) -> Value {
    let set: Vec<&str> =
        names.iter().filter(|(_, bit)| number & bit != 0).map(|(name, _)| *name).collect();
    let known = names.iter().fold(0, |all, (_, bit)| all | bit);
    if set.is_empty() || number & !known != 0 {
        return Value::Int(number.into());
    }
    Value::Text(set.join("|"))
}

fn record(fields: &'static [Field], bytes: &[u8]) -> Vec<(&'static str, Number)> {
    let mut rest = bytes;
    let mut numbers = Vec::with_capacity(fields.len());
    for field in fields {
        let Some((head, tail)) = rest.split_at_checked(field.size) else {
            break;
        };
        numbers.push((field.name, number(field, head)));
        rest = tail;
    }
    numbers
}

fn number(field: &Field, bytes: &[u8]) -> Number {
    match *bytes {
        [a] => a.into(),
        [a, b] => u16::from_ne_bytes([a, b]).into(),
        [a, b, c, d] if field.signed => i32::from_ne_bytes([a, b, c, d]).into(),
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
        _ => bytes.first_chunk().map_or(0, |wide| u64::from_ne_bytes(*wide).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_booleans_for_scripts_and_digits_for_people() {
        let value = Value::decode(Kind::Flag, &1_i32.to_ne_bytes());
        assert_eq!(value.to_string(), "1");
        assert_eq!(serde_json::to_string(&value).unwrap(), "true");
    }

    #[test]
    fn records_are_objects() {
        const FIELDS: &[Field] = &[
            Field { name: "pid", size: 4, signed: true },
            Field { name: "wide", size: 8, signed: false },
        ];
        let bytes = [[255_u8; 4].as_slice(), &7_u64.to_ne_bytes()].concat();
        let value = Value::decode(Kind::Record(FIELDS), &bytes);
        assert_eq!(value.to_string(), "pid=-1,wide=7");
        assert_eq!(serde_json::to_string(&value).unwrap(), r#"{"pid":-1,"wide":7}"#);
    }

    #[test]
    fn bits_and_names_fall_back_to_numbers() {
        const NAMES: &[(&str, i32)] = &[("a", 1), ("b", 2)];
        assert_eq!(bits(NAMES, 3), Value::Text("a|b".into()));
        assert_eq!(bits(NAMES, 5), Value::Int(5));
        assert_eq!(bits(NAMES, 0), Value::Int(0));
        assert_eq!(named(NAMES, 2), Value::Text("b".into()));
        assert_eq!(named(NAMES, 9), Value::Int(9));
    }

    #[test]
    fn bytes_of_any_length_are_shown_somehow() {
        let kinds = [
            Kind::Flag,
            Kind::Int,
            Kind::Unsigned,
            Kind::Wide,
            Kind::Duration,
            Kind::Linger,
            Kind::Text,
            Kind::Interface,
            Kind::InterfaceSwapped,
            Kind::Ipv4,
            Kind::Address,
            Kind::Names(&[("x", 1)]),
            Kind::Bits(&[("x", 1)]),
            Kind::Errno,
            Kind::List,
            Kind::Bytes,
        ];
        for kind in kinds {
            for len in 0..64 {
                for fill in [0, 1, 10, 255] {
                    let value = Value::decode(kind, &vec![fill; len]);
                    let _ = (value.to_string(), serde_json::to_string(&value).unwrap());
                }
            }
        }
    }

    #[test]
    fn an_address_is_shown_with_its_port() {
        let mut bytes = vec![0; 16];
        bytes[..2].copy_from_slice(&u16::try_from(libc::AF_INET).unwrap().to_ne_bytes());
        bytes[2..4].copy_from_slice(&80_u16.to_be_bytes());
        bytes[4..8].copy_from_slice(&[192, 0, 2, 1]);
        assert_eq!(Value::decode(Kind::Address, &bytes).to_string(), "192.0.2.1:80");
    }
}
