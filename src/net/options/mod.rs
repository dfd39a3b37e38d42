//! What socket options there are: the table, the search by name or number, and the bytes of values.

mod format;
mod membership;
#[rustfmt::skip]
mod names;
#[rustfmt::skip]
mod table;
mod value;

use std::borrow::Cow;
use std::fmt;
use std::io;

use nix::errno::Errno;
use serde::Serialize;

use super::quantity;
use crate::exit::{Failure, shortened};
pub use format::{Names, ValueFormat, listed};
pub use names::{DOMAINS, TYPES};
pub use table::ALIASES;
pub use value::{Number, Value};

/// A socket option.
#[derive(Clone, Debug)]
pub struct SocketOption {
    /// The system's name; `LEVEL:NUMBER` for an option that is not in the table.
    pub name: Cow<'static, str>,
    /// `SOL_SOCKET` or a protocol.
    pub level: i32,
    /// The number on that level.
    pub number: i32,
    /// How its bytes are understood.
    pub format: ValueFormat,
    /// The calls that know it.
    pub calls: Calls,
    /// The socket that it is set on.
    pub stage: Stage,
    /// The sockets it means something on.
    pub on: Sockets,
    /// One line of meaning.
    pub meaning: &'static str,
    /// The sysctl that gives its default or its limit.
    pub sysctl: Option<&'static str>,
    /// The values the kernel accepts.
    pub range: Option<(i64, i64)>,
    /// The capability that setting it can take.
    pub needs: Option<&'static str>,
}

impl SocketOption {
    const fn sysctl(mut self, name: &'static str) -> Self {
        self.sysctl = Some(name);
        self
    }

    const fn range(mut self, least: i64, most: i64) -> Self {
        self.range = Some((least, most));
        self
    }

    const fn needs(mut self, capability: &'static str) -> Self {
        self.needs = Some(capability);
        self
    }

    /// Level and name in a call; both numbers of an option that is not in the table.
    pub fn level_and_name(&self) -> (&str, &str) {
        let named = || (name_of(names::LEVELS, self.level).unwrap_or_default(), &*self.name);
        self.name.split_once(':').unwrap_or_else(named)
    }
}

/// Whether an option is known to getsockopt(2), setsockopt(2), or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Calls {
    Get,
    Set,
    #[default]
    Both,
}

/// The sockets of a server: which of them an option is set on, or is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The one that listens, before bind. Accepted sockets inherit most options.
    Listener,
    /// One that accept returned.
    Accepted,
    /// Both: what a listener itself sends (its SYN-ACK) carries the option too. A client's socket
    /// and a datagram socket have all options set, before bind and connect.
    Any,
}

/// Kinds of sockets, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets(u8);

#[allow(missing_docs, reason = "the names say it")]
impl Sockets {
    pub const TCP: Self = Self(1);
    pub const UDP: Self = Self(2);
    /// UNIX domain, streams and datagrams.
    pub const UNIX: Self = Self(4);
    /// Raw IP, which this program never opens.
    pub const RAW: Self = Self(8);
    /// TCP and UDP.
    pub const INET: Self = Self(3);
    /// All but raw ones.
    pub const ALL: Self = Self(7);

    /// Whether one of `other` is among these.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            [("TCP", Self::TCP), ("UDP", Self::UDP), ("UNIX", Self::UNIX), ("raw IP", Self::RAW)];
        let names = names.into_iter().filter(|(_, set)| self.contains(*set));
        f.write_str(&listed(&names.collect::<Vec<_>>(), " and "))
    }
}

/// Every option, grouped by level.
pub fn all() -> std::slice::Iter<'static, SocketOption> {
    table::ROWS.iter()
}

/// The option of this very name: for those that the program itself sets.
pub fn named(name: &str) -> io::Result<&'static SocketOption> {
    all().find(|option| option.name == name).ok_or_else(|| Errno::ENOPROTOOPT.into())
}

/// The name of a value.
pub fn name_of(names: Names, value: i32) -> Option<&'static str> {
    names.iter().find(|(_, known)| *known == value).map(|(name, _)| *name)
}

/// The option of this name: exact but for case, or `LEVEL:NUMBER`.
pub fn lookup(name: &str) -> Result<SocketOption, Failure> {
    if let Some((level, number)) = name.split_once(':') {
        return unnamed(level, number).ok_or_else(|| {
            Failure::usage(format!("{}: not LEVEL:NUMBER, as 6:1 or tcp:1", shortened(name)))
        });
    }
    let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
    let asked = alias.map_or(name, |(_, name)| name);
    let found = all().find(|option| option.name.eq_ignore_ascii_case(asked));
    found.cloned().ok_or_else(|| unknown(name))
}

/// An option by its numbers; the level also by name: `6`, `tcp`, `IPPROTO_TCP`.
fn unnamed(level: &str, number: &str) -> Option<SocketOption> {
    let mut levels = names::LEVELS.iter();
    let named = levels.find(|(name, _)| {
        let short = name.split_once('_').map(|(_, short)| short);
        [Some(*name), short].into_iter().flatten().any(|name| level.eq_ignore_ascii_case(name))
    });
    let level = named.map_or_else(|| quantity::count(level), |(_, level)| Some(*level))?;
    let number = quantity::count(number)?;
    Some(SocketOption {
        name: format!("{level}:{number}").into(),
        level,
        number,
        format: ValueFormat::Bytes,
        calls: Calls::Both,
        stage: Stage::Any,
        on: Sockets::ALL,
        meaning: "an option by its numbers",
        sysctl: None,
        range: None,
        needs: None,
    })
}

fn unknown(name: &str) -> Failure {
    let upper = name.to_ascii_uppercase();
    let known =
        all().map(|option| option.name.as_ref()).chain(ALIASES.iter().map(|(alias, _)| *alias));
    let mut near: Vec<(f64, &str)> = known
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
    Failure::usage(format!("{}: no such socket option; {hint}", shortened(name)))
}

/// How alike two names are, up to 1; a forgotten prefix (`NODELAY`) hardly counts.
fn likeness(known: &str, asked: &str) -> f64 {
    let bare = known.split_once('_').map_or(known, |(_, bare)| bare);
    strsim::jaro_winkler(known, asked).max(strsim::jaro_winkler(bare, asked) - 0.01)
}
