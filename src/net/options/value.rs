//! An option's bytes as a value: typed for scripts, short for people.

use std::fmt::{self, Display};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::format::{Fields, Names, ValueFormat, Width};
use super::name_of;
use crate::exit::errno_name;
use crate::net::interface;
use crate::sanitize;

/// What an option is set to. As JSON: flags are booleans, numbers numbers, durations seconds,
/// records objects; values with names, addresses and hex are strings.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// On or off, shown as 1 and 0: the way it is typed.
    Flag(bool),
    /// A number.
    Number(Number),
    /// A time.
    #[serde(serialize_with = "seconds")]
    Duration(Duration),
    /// `SO_LINGER`; no seconds where it is off.
    #[allow(missing_docs, reason = "the fields of struct linger")]
    Linger { on: bool, seconds: i32 },
    /// A string, the name of a number, or bytes in hex.
    Text(String),
    /// The index of an interface, 0 for none.
    Interface(u32),
    /// A struct of numbers.
    #[serde(serialize_with = "object")]
    Record(Vec<(&'static str, Number)>),
    /// Several numbers.
    List(Vec<u32>),
}

/// A number of any width.
pub type Number = i128;

impl Value {
    /// The value that `bytes` stand for; in hex where they do not fit the format.
    pub fn decode(format: ValueFormat, bytes: &[u8]) -> Self {
        Self::understood(format, bytes).unwrap_or_else(|| Self::Text(hex::encode(bytes)))
    }

    fn understood(format: ValueFormat, bytes: &[u8]) -> Option<Self> {
        let unsigned = |bytes| int(bytes).map(i32::cast_unsigned);
        Some(match format {
            ValueFormat::Flag => Self::Flag(int(bytes)? != 0),
            ValueFormat::Int
            | ValueFormat::Size
            | ValueFormat::Seconds
            | ValueFormat::Millis
            | ValueFormat::Micros => Self::Number(int(bytes)?.into()),
            ValueFormat::Unsigned => Self::Number(unsigned(bytes)?.into()),
            ValueFormat::Unsigned64 => {
                Self::Number(u64::from_ne_bytes(bytes.try_into().ok()?).into())
            }
            ValueFormat::Duration => Self::Duration(duration(bytes)?),
            ValueFormat::Linger => {
                let (on, seconds) = (int(bytes.get(..4)?)? != 0, int(bytes.get(4..)?)?);
                Self::Linger { on, seconds: if on { seconds } else { 0 } }
            }
            ValueFormat::Text => {
                let text = bytes.split(|byte| *byte == 0).next()?;
                Self::Text(String::from_utf8_lossy(text).into_owned())
            }
            ValueFormat::Interface => Self::Interface(unsigned(bytes)?),
            ValueFormat::InterfaceSwapped => Self::Interface(u32::from_be(unsigned(bytes)?)),
            ValueFormat::MulticastInterface => ipv4(bytes)?,
            ValueFormat::Address => Self::Text(socket_address(bytes)?),
            ValueFormat::Names(names) => named(names, int(bytes)?),
            ValueFormat::Bits(names) => bits(names, int(bytes)?),
            ValueFormat::Errno => match int(bytes)? {
                0 => Self::Number(0),
                code => Self::Text(errno_name(code)),
            },
            ValueFormat::Record(fields) => Self::Record(record(fields, bytes)),
            ValueFormat::List => Self::List(bytes.chunks_exact(4).filter_map(unsigned).collect()),
            ValueFormat::Filter => {
                Self::Number((bytes.len() / size_of::<libc::sock_filter>()).try_into().ok()?)
            }
            _ => return None,
        })
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(on) => write!(f, "{}", u8::from(*on)),
            Self::Number(number) => write!(f, "{number}"),
            Self::Duration(time) => write!(f, "{}", time.as_secs_f64()),
            Self::Linger { on: false, .. } => f.write_str("off"),
            Self::Linger { seconds, .. } => write!(f, "{seconds}"),
            Self::Text(text) => f.write_str(&sanitize::line(text.as_bytes())),
            Self::Interface(index) => f.write_str(&interface::shown(*index)),
            Self::Record(fields) => {
                joined(f, fields.iter().map(|(name, number)| format!("{name}={number}")))
            }
            Self::List(numbers) => joined(f, numbers.iter().map(u32::to_string)),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: impl Iterator<Item = String>) -> fmt::Result {
    f.write_str(&parts.collect::<Vec<_>>().join(","))
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

fn object<S: Serializer>(
    fields: &[(&'static str, Number)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().copied())
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
    let address = match bytes.split_at_checked(4)? {
        (_, [address @ .., a, b, c, d]) if address.len() == 4 => match int(&[*a, *b, *c, *d])? {
            0 => address,
            index => return Some(Value::Interface(index.cast_unsigned())),
        },
        (address, _) => address,
    };
    Some(Value::Text(Ipv4Addr::from(*address.first_chunk()?).to_string()))
}

fn socket_address(bytes: &[u8]) -> Option<String> {
    let (family, rest) = bytes.split_first_chunk()?;
    let port = || Some(u16::from_be_bytes(*rest.first_chunk()?));
    let address: SocketAddr = match u16::from_ne_bytes(*family).into() {
        libc::AF_INET => (Ipv4Addr::from(*rest.get(2..)?.first_chunk()?), port()?).into(),
        libc::AF_INET6 => (Ipv6Addr::from(*rest.get(6..)?.first_chunk()?), port()?).into(),
        libc::AF_UNIX => {
            let (mark, name) = match rest {
                [0, name @ ..] => ("@", name),
                path => ("", path.split(|byte| *byte == 0).next()?),
            };
            return Some(format!("unix:{mark}{}", String::from_utf8_lossy(name)));
        }
        _ => return None,
    };
    Some(address.to_string())
}

fn named(names: Names, number: i32) -> Value {
    name_of(names, number).map_or(Value::Number(number.into()), |name| Value::Text(name.to_owned()))
}

fn bits(names: Names, number: i32) -> Value {
    let set = names.iter().filter(|(_, bit)| number & bit != 0);
    let known = set.clone().fold(0, |all, (_, bit)| all | bit);
    if number == 0 || number != known {
        return Value::Number(number.into());
    }
    Value::Text(set.map(|(name, _)| *name).collect::<Vec<_>>().join("|"))
}

/// The fields that `bytes` hold: an older kernel may give fewer.
fn record(fields: Fields, mut bytes: &[u8]) -> Vec<(&'static str, Number)> {
    let mut next = |width: Width| {
        let (head, rest) = bytes.split_at_checked(width.bytes())?;
        bytes = rest;
        Some(match width {
            Width::U8 => head[0].into(),
            Width::U16 => u16::from_ne_bytes(head.try_into().ok()?).into(),
            Width::U32 => u32::from_ne_bytes(head.try_into().ok()?).into(),
            Width::I32 => i32::from_ne_bytes(head.try_into().ok()?).into(),
            Width::U64 => u64::from_ne_bytes(head.try_into().ok()?).into(),
        })
    };
    fields.iter().map_while(|(name, width)| Some((*name, next(*width)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_booleans_for_scripts_and_digits_for_people() {
        let value = Value::decode(ValueFormat::Flag, &1_i32.to_ne_bytes());
        assert_eq!(value.to_string(), "1");
        assert_eq!(serde_json::to_string(&value).unwrap(), "true");
    }

    #[test]
    fn records_are_objects() {
        const FIELDS: Fields = &[("pid", Width::I32), ("wide", Width::U64)];
        let bytes = [[255_u8; 4].as_slice(), &7_u64.to_ne_bytes()].concat();
        let value = Value::decode(ValueFormat::Record(FIELDS), &bytes);
        assert_eq!(value.to_string(), "pid=-1,wide=7");
        assert_eq!(serde_json::to_string(&value).unwrap(), r#"{"pid":-1,"wide":7}"#);
    }

    #[test]
    fn bits_and_names_fall_back_to_numbers() {
        const NAMES: &[(&str, i32)] = &[("a", 1), ("b", 2)];
        assert_eq!(bits(NAMES, 3), Value::Text("a|b".into()));
        assert_eq!(bits(NAMES, 5), Value::Number(5));
        assert_eq!(bits(NAMES, 0), Value::Number(0));
        assert_eq!(named(NAMES, 2), Value::Text("b".into()));
        assert_eq!(named(NAMES, 9), Value::Number(9));
    }

    #[test]
    fn bytes_of_any_length_are_shown_somehow() {
        let formats = [
            ValueFormat::Flag,
            ValueFormat::Int,
            ValueFormat::Unsigned,
            ValueFormat::Unsigned64,
            ValueFormat::Duration,
            ValueFormat::Linger,
            ValueFormat::Text,
            ValueFormat::Interface,
            ValueFormat::InterfaceSwapped,
            ValueFormat::MulticastInterface,
            ValueFormat::Address,
            ValueFormat::Names(&[("x", 1)]),
            ValueFormat::Bits(&[("x", 1)]),
            ValueFormat::Errno,
            ValueFormat::List,
            ValueFormat::Bytes,
        ];
        for format in formats {
            for len in 0..64 {
                for fill in [0, 1, 10, 255] {
                    let value = Value::decode(format, &vec![fill; len]);
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
        assert_eq!(Value::decode(ValueFormat::Address, &bytes).to_string(), "192.0.2.1:80");
    }
}
