//! Socket options by the system's names: a table, settings from the command line, and the moment
//! each is applied at. What came of a setting, and why, is in `effect`.

mod effect;
mod group;
mod parse;
mod row;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;
use std::io;

use nix::errno::Errno;
use socket2::{Domain, Type};

use super::socket::Socket;
use crate::exit::Failure;

pub use effect::{Effect, set};
pub use row::{Kind, Level, Moment, Row, Sockets};
pub use table::{ALIASES, rows};
pub use value::{Number, Value};

/// How much of a word from the command line an error shows.
const SHOWN: usize = 80;

/// The option of this name: exact but for case, or `LEVEL:NUMBER`.
pub fn lookup(name: &str) -> Result<Row, Failure> {
    if let Some((level, number)) = name.split_once(':') {
        return unnamed(level, number).ok_or_else(|| {
            Failure::usage(format!("{}: not LEVEL:NUMBER, as 6:1 or tcp:1", shown(name)))
        });
    }
    let asked = ALIASES
        .iter()
        .find(|(alias, _)| alias.eq_ignore_ascii_case(name))
        .map_or(name, |(_, row)| row);
    rows().find(|row| row.name.eq_ignore_ascii_case(asked)).cloned().ok_or_else(|| unknown(name))
}

/// A level by number or name: `6`, `tcp`, `IPPROTO_TCP`.
fn unnamed(level: &str, number: &str) -> Option<Row> {
    let named = [
        ("socket", Level::Socket),
        ("ip", Level::Ip),
        ("ipv6", Level::Ipv6),
        ("tcp", Level::Tcp),
        ("udp", Level::Udp),
    ];
    let level = named
        .iter()
        .find(|(short, full)| {
            level.eq_ignore_ascii_case(short) || level.eq_ignore_ascii_case(&full.to_string())
        })
        .map_or_else(|| level.parse().ok(), |(_, full)| Some(full.number()))?;
    Some(Row::unnamed(level, number.parse().ok()?))
}

fn unknown(name: &str) -> Failure {
    let upper = name.to_ascii_uppercase();
    let mut near: Vec<(f64, &str)> = rows()
        .map(|row| row.name.as_ref())
        .chain(ALIASES.iter().map(|(alias, _)| *alias))
        .map(|known| (likeness(known, &upper), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let near: Vec<&str> = near.into_iter().take(3).map(|(_, known)| known).collect();
    let hint = if near.is_empty() {
        "`sockctl opts` lists all".to_owned()
    } else {
        format!("nearest: {}", near.join(", "))
    };
    Failure::usage(format!("{}: no such socket option; {hint}", shown(name)))
}

/// How alike two names are, up to 1; a forgotten prefix (`NODELAY`) hardly counts.
fn likeness(known: &str, asked: &str) -> f64 {
    let bare = known.split_once('_').map_or(known, |(_, bare)| bare);
    strsim::jaro_winkler(known, asked).max(strsim::jaro_winkler(bare, asked) - 0.01)
}

/// A word from the command line, made visible and cut.
fn shown(word: &str) -> String {
    let mut text: String = word.chars().take(SHOWN + 1).collect();
    text = text.escape_debug().to_string();
    if text.chars().count() > SHOWN {
        text = text.chars().take(SHOWN - 1).chain(['…']).collect();
    }
    text
}

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
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let mut row = lookup(name)?;
        if !row.access.settable() {
            return Err(Failure::usage(format!("{} can only be read", row.name)));
        }
        let value = match (value, row.kind) {
            (Some(value), _) => value,
            (None, Kind::Flag) => "1",
            (None, kind) => {
                return Err(Failure::usage(format!(
                    "{0} needs a value: {0}=VALUE, {1}",
                    row.name,
                    parse::accepted(kind)
                )));
            }
        };
        let bytes = match row.kind {
            Kind::Filter => parse::filter(value).ok_or(None),
            kind => parse::encode(kind, value),
        }
        .map_err(|cause| {
            let cause = cause.unwrap_or_else(|| format!("expected {}", parse::accepted(row.kind)));
            Failure::usage(format!("{}={}: {cause}", row.name, shown(value)))
        })?;
        // The MCAST_ options exist on both levels under one name; the group says which.
        if matches!(row.kind, Kind::Group | Kind::Source) && value.contains(':') {
            row.level = Level::Ipv6;
        }
        Ok(Self { row, bytes, value: shown(value) })
    }

    /// The option.
    pub fn row(&self) -> &Row {
        &self.row
    }

    /// The value as a typed one.
    pub fn requested(&self) -> Value {
        match self.row.kind {
            Kind::Filter => Value::decode(Kind::Int, &self.instructions().to_ne_bytes()),
            Kind::Group4 | Kind::Source4 | Kind::Group6 | Kind::Group | Kind::Source => {
                Value::Text(self.value.clone())
            }
            kind => Value::decode(kind, &self.bytes),
        }
    }

    fn instructions(&self) -> i32 {
        i32::try_from(self.bytes.len() / 8).unwrap_or(i32::MAX)
    }

    fn put(&self, socket: &Socket) -> io::Result<()> {
        if !matches!(self.row.kind, Kind::Filter) {
            return socket.set_option(&self.row, &self.bytes);
        }
        // struct sock_fprog: the length, and a pointer to the program.
        let mut program = [0; 2 * size_of::<usize>()];
        let (length, pointer) = program.split_at_mut(size_of::<usize>());
        let count = u16::try_from(self.instructions()).map_err(|_| Errno::EINVAL)?;
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

/// Where in a socket's life settings are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A stream socket before bind and listen.
    Listener,
    /// A stream socket before connect.
    Dialled,
    /// A stream socket that accept returned.
    Accepted,
    /// A datagram socket before bind or connect.
    Datagram,
}

impl Moment {
    /// Whether an option of this moment is set at this stage.
    fn belongs(self, stage: Stage) -> bool {
        match stage {
            Stage::Listener => self != Self::Connection,
            Stage::Accepted => matches!(self, Self::Connection | Self::Any),
            Stage::Dialled | Stage::Datagram => true,
        }
    }
}

/// Applies those of `settings` that belong to this stage of `socket`'s life, in their order.
pub fn apply(settings: &[Setting], socket: &Socket, stage: Stage) -> Result<(), Failure> {
    settings.iter().filter(|setting| setting.row.moment.belongs(stage)).try_for_each(|setting| {
        setting.put(socket).map_err(|error| effect::failure(socket, setting, &error))
    })
}

/// Tries all of `settings` on a fresh socket that is thrown away, so that a server refuses at its
/// start what would otherwise fail for each client.
pub fn check(settings: &[Setting], domain: Domain, kind: Type) -> Result<(), Failure> {
    if settings.is_empty() {
        return Ok(());
    }
    let socket = Socket::new(domain, kind)
        .map_err(|error| Failure::system("socket for", "the options", &error))?;
    apply(settings, &socket, Stage::Dialled)
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

/// Why an option could not be read or set, in words, where more is known than errno says.
pub fn reason(socket: &Socket, row: &Row, error: &io::Error) -> Option<String> {
    effect::reason(socket, row, error)
}

/// Which kind of socket this is.
fn kind_of(socket: &Socket) -> Sockets {
    let options = socket.options();
    match (options.domain(), options.r#type()) {
        (Ok(Domain::UNIX), _) => Sockets::UNIX,
        (_, Ok(Type::STREAM)) => Sockets::TCP,
        (_, Ok(Type::DGRAM)) => Sockets::UDP,
        _ => Sockets::RAW,
    }
}
