//! What socket options there are: the table, its types, and the search by name or number.

#[rustfmt::skip]
mod names;
mod row;
#[rustfmt::skip]
mod table;

use std::io;

use nix::errno::Errno;

use super::quantity;
use crate::exit::{Failure, shortened};
pub use names::{DOMAINS, TYPES};
pub use row::{Access, Fields, Kind, Level, Moment, Names, Row, Sockets, Width};
pub use table::ALIASES;

/// Every option, grouped by level.
pub fn rows() -> std::slice::Iter<'static, Row> {
    table::ROWS.iter()
}

/// The option of this very name: for those that the program itself sets.
pub fn named(name: &str) -> io::Result<&'static Row> {
    rows().find(|row| row.name == name).ok_or_else(|| Errno::ENOPROTOOPT.into())
}

/// The name of a value.
pub fn name_of(names: Names, value: i32) -> Option<&'static str> {
    names.iter().find(|(_, known)| *known == value).map(|(name, _)| *name)
}

/// The option of this name: exact but for case, or `LEVEL:NUMBER`.
pub fn lookup(name: &str) -> Result<Row, Failure> {
    if let Some((level, number)) = name.split_once(':') {
        return unnamed(level, number).ok_or_else(|| {
            Failure::usage(format!("{}: not LEVEL:NUMBER, as 6:1 or tcp:1", shortened(name)))
        });
    }
    let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
    let asked = alias.map_or(name, |(_, row)| row);
    rows().find(|row| row.name.eq_ignore_ascii_case(asked)).cloned().ok_or_else(|| unknown(name))
}

/// An option by its numbers; the level also by name: `6`, `tcp`, `IPPROTO_TCP`.
fn unnamed(level: &str, number: &str) -> Option<Row> {
    let levels = [Level::Socket, Level::Ip, Level::Ipv6, Level::Tcp, Level::Udp];
    let named = levels.iter().find(|known| {
        let name = known.to_string();
        let (_, short) = name.split_once('_').unwrap_or_default();
        level.eq_ignore_ascii_case(&name) || level.eq_ignore_ascii_case(short)
    });
    let level = named.map_or_else(|| quantity::count(level), |known| Some(known.number()))?;
    let number = quantity::count(number)?;
    Some(Row {
        name: format!("{level}:{number}").into(),
        level: Level::Other(level),
        number,
        kind: Kind::Bytes,
        access: Access::Both,
        moment: Moment::Any,
        on: Sockets::ALL,
        meaning: "an option by its numbers",
        sysctl: None,
        range: None,
        needs: None,
    })
}

fn unknown(name: &str) -> Failure {
    let upper = name.to_ascii_uppercase();
    let known = rows().map(|row| row.name.as_ref()).chain(ALIASES.iter().map(|(alias, _)| *alias));
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
