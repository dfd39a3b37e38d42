//! `NAME=VALUE` from the command line, ready to be set; and what an option reads as.

use std::fmt;
use std::io;

use nix::errno::Errno;

use super::parse;
use super::value::Value;
use crate::exit::{Failure, shortened};
use crate::net::options::{Access, Kind, Level, Row, lookup};
use crate::net::socket::Socket;

/// `NAME=VALUE`, ready to be applied.
#[derive(Clone, Debug)]
pub struct Setting {
    row: Row,
    bytes: Vec<u8>,
    value: String,
}

impl Setting {
    /// From `NAME=VALUE`, or `NAME` alone for a flag that is to be on.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let (name, value) =
            text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let mut row = lookup(name)?;
        if row.access == Access::Get {
            return Err(Failure::usage(format!("{} can only be read", row.name)));
        }
        let value = match (value, row.kind) {
            (Some(value), _) => value,
            (None, Kind::Flag) => "1",
            (None, kind) => {
                let accepted = parse::accepted(kind);
                let message = format!("{0} needs a value: {0}=VALUE, {accepted}", row.name);
                return Err(Failure::usage(message));
            }
        };
        let bytes = parse::encode(row.kind, value).map_err(|cause| {
            Failure::usage(format!("{}={}: {cause}", row.name, shortened(value)))
        })?;
        // The MCAST_ options exist on both levels under one name; the group says which.
        if matches!(row.kind, Kind::Group | Kind::Source) && value.contains(':') {
            row.level = Level::Ipv6;
        }
        Ok(Self { row, bytes, value: shortened(value) })
    }

    /// The option.
    pub fn row(&self) -> &Row {
        &self.row
    }

    /// The value as a typed one.
    pub fn requested(&self) -> Value {
        match self.row.kind {
            kind if kind.is_membership() => Value::Text(self.value.clone()),
            kind => Value::decode(kind, &self.bytes),
        }
    }

    /// setsockopt(2).
    pub(super) fn put(&self, socket: &Socket) -> io::Result<()> {
        if !matches!(self.row.kind, Kind::Filter) {
            return socket.set_option(&self.row, &self.bytes);
        }
        // struct sock_fprog: the length, and a pointer to the program.
        let mut program = [0; 2 * size_of::<usize>()];
        let (length, pointer) = program.split_at_mut(size_of::<usize>());
        let count = u16::try_from(self.bytes.len() / size_of::<libc::sock_filter>());
        let count = count.map_err(|_| Errno::EINVAL)?;
        length[..2].copy_from_slice(&count.to_ne_bytes());
        pointer.copy_from_slice(&self.bytes.as_ptr().expose_provenance().to_ne_bytes());
        socket.set_option(&self.row, &program)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.row.name, self.value)
    }
}

/// An option as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Its value.
    pub value: Value,
    /// Its bytes as the kernel gave them.
    pub raw: Vec<u8>,
}

/// Reads an option.
pub fn read(socket: &Socket, row: &Row) -> io::Result<Reading> {
    let raw = socket.get_option(row)?;
    Ok(Reading { value: Value::decode(row.kind, &raw), raw })
}
