//! What `opts` writes: a table for people, an object a line for scripts.

use std::io::{self, Write};

use serde::Serialize;

use crate::console::json;
use crate::exit::{cut, errno_name};
use crate::net::options::{Calls, SocketOption, Value};
use crate::net::sockopt::Effect;
use crate::sanitize;

/// Widest column; names are no longer.
const WIDE_NAME: usize = 25;

/// Widest value in the table of all; by name, values are shown whole.
const WIDE_VALUE: usize = 24;

/// The same at a terminal narrower than [`WIDE`].
const NARROW_VALUE: usize = 13;

/// From this width on, a terminal has room to spare.
const WIDE: usize = 100;

/// Narrowest column in which wrapped text is still read with ease.
const MEANING_WIDTH: usize = 20;

/// An option as it was read, or the effect of a setting.
#[derive(Serialize)]
pub(super) struct Entry {
    name: String,
    level: String,
    number: i32,
    r#type: &'static str,
    access: Calls,
    pub(super) value: Option<Value>,
    /// Its value on a fresh socket, where that is compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default: Option<Value>,
    /// It was set, or changed with the socket's state.
    #[serde(skip)]
    pub(super) differs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) raw: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) errno: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    meaning: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sysctl: Option<&'static str>,
    #[serde(flatten)]
    change: Option<Change>,
}

/// The effect of a setting.
#[derive(Serialize)]
struct Change {
    requested: Value,
    effective: Option<Value>,
    why: Option<String>,
    /// The line for people.
    #[serde(skip)]
    line: String,
}

impl Entry {
    /// An option that has not been read yet.
    pub(super) fn of(option: &SocketOption) -> Self {
        Self {
            name: option.name.to_string(),
            level: option.level_and_name().0.to_owned(),
            number: option.number,
            r#type: option.format.name(),
            access: option.calls,
            value: None,
            default: None,
            differs: false,
            raw: None,
            errno: None,
            why: None,
            meaning: option.meaning,
            sysctl: option.sysctl,
            change: None,
        }
    }

    /// A setting and its effect.
    pub(super) fn set(effect: Effect<'_>) -> Self {
        let mut entry = Self::of(effect.setting.option());
        let (requested, line) = (effect.setting.requested(), effect.to_string());
        match effect.effective {
            Ok(Some(reading)) => {
                entry.value = Some(reading.value);
                entry.raw = Some(hex::encode(reading.raw));
            }
            Ok(None) => {}
            Err(error) => entry.errno = error.raw_os_error().map(errno_name),
        }
        let (effective, why) = (entry.value.clone(), effect.why);
        entry.change = Some(Change { requested, effective, why, line });
        entry
    }

    /// Whether it is a setting, or not as on a fresh socket.
    pub(super) fn is_change(&self) -> bool {
        self.differs || self.change.is_some()
    }

    /// The last column: why there is no value, the meaning, the sysctl.
    fn remark(&self) -> String {
        let why = match (&self.errno, &self.why) {
            (Some(errno), Some(why)) => format!("({errno}: {why}) "),
            (Some(why), None) | (None, Some(why)) => format!("({why}) "),
            (None, None) => String::new(),
        };
        let sysctl = self.sysctl.map(|name| format!(" [{name}]"));
        format!("{why}{}{}", self.meaning, sysctl.unwrap_or_default())
    }
}

/// One object on a line of its own.
pub(super) fn write_json(object: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", json::line(object)?)
}

/// A value in its column, at most `most` wide; `-` where there is none to show.
fn column(value: Option<&Value>, most: usize) -> String {
    match value.map(Value::to_string) {
        None => "-".into(),
        Some(empty) if empty.is_empty() => "\"\"".into(),
        Some(text) => cut(&text, most),
    }
}

/// How the entries are laid out for people.
pub(super) struct Table {
    /// Widths of name, value, default, level and type.
    columns: [usize; 5],
    /// Every option is listed: under a heading, long values cut.
    all: bool,
    color: bool,
    /// The terminal's: nothing is wrapped without one.
    width: Option<usize>,
}

impl Table {
    /// Of columns as wide as these entries, with defaults where the socket `compares` with them.
    pub(super) fn of(
        entries: &[Entry],
        all: bool,
        compares: bool,
        color: bool,
        width: Option<usize>,
    ) -> Self {
        let columns = if all { [4, 5, 7, 5, 4] } else { [0; 5] };
        let mut table = Self { columns, all, color, width };
        for entry in entries.iter().filter(|entry| entry.change.is_none()) {
            let widths = table.cells(entry).map(|cell| cell.chars().count());
            for (column, width) in table.columns.iter_mut().zip(widths) {
                // What is longer pushes its own line only.
                *column = (*column).max(width.min(WIDE_NAME));
            }
        }
        if !compares {
            table.columns[2] = 0;
        }
        if table.grouped() {
            table.columns[3] = 0;
        }
        table
    }

    /// At a terminal each level of the whole table has a heading instead of a column; in a pipe
    /// every line is an option.
    fn grouped(&self) -> bool {
        self.all && self.width.is_some()
    }

    fn cells(&self, entry: &Entry) -> [String; 5] {
        let most = match self.width {
            _ if !self.all => usize::MAX,
            Some(width) if width < WIDE => NARROW_VALUE,
            _ => WIDE_VALUE,
        };
        [
            entry.name.clone(),
            column(entry.value.as_ref(), most),
            column(entry.default.as_ref(), most.min(WIDE_VALUE)),
            entry.level.clone(),
            entry.r#type.to_owned(),
        ]
    }

    pub(super) fn write(&self, entries: &[Entry], out: &mut dyn Write) -> io::Result<()> {
        if self.all {
            let head = ["NAME", "VALUE", "DEFAULT", "LEVEL", "TYPE"].map(str::to_owned);
            writeln!(out, "{}", self.painted(&self.row(&head, "MEANING"), "1"))?;
        }
        let mut level = None;
        for entry in entries {
            let (line, color) = match &entry.change {
                Some(change) if entry.errno.is_some() => (change.line.clone(), "31"),
                Some(Change { line, why: Some(_), .. }) => (line.clone(), "33"),
                Some(change) => (change.line.clone(), ""),
                None => {
                    let new = level.replace(&entry.level) != Some(&entry.level);
                    if new && self.grouped() {
                        writeln!(out, "\n{}", self.painted(&entry.level, "1"))?;
                    }
                    let color = if entry.differs { "33" } else { "" };
                    (self.row(&self.cells(entry), &entry.remark()), color)
                }
            };
            writeln!(out, "{}", self.painted(&line, color))?;
        }
        Ok(())
    }

    /// One row, its last cell wrapped under itself, or under the row where that gets too naroption.
    fn row(&self, cells: &[String; 5], last: &str) -> String {
        let shown = cells.iter().zip(self.columns).filter(|(_, column)| *column > 0);
        let padded = shown.map(|(cell, column)| format!("{cell:<column$}  "));
        let mut text = padded.collect::<Vec<_>>().concat();
        let start = text.chars().count();
        let Some(width) = self.width else {
            text.push_str(last);
            return text;
        };
        let indent = if width < start + MEANING_WIDTH {
            text = cut(text.trim_end(), width);
            text.push_str("\n    ");
            4
        } else {
            start
        };
        let lines = wrapped(last, width.saturating_sub(indent));
        text.push_str(&lines.join(&format!("\n{:indent$}", "")));
        text
    }

    fn painted(&self, text: &str, color: &str) -> String {
        if self.color && !color.is_empty() {
            format!("\u{1b}[{color}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The text in lines of at most `width` characters, broken between words, and within those that
/// are longer than a line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut room = 0;
    for word in text.split(' ') {
        let letters: Vec<char> = word.chars().collect();
        if let Some(line) = lines.last_mut()
            && letters.len() < room
        {
            room -= letters.len() + 1;
            line.push(' ');
            line.push_str(word);
            continue;
        }
        for part in letters.chunks(width.max(1)) {
            room = width.saturating_sub(part.len());
            lines.push(part.iter().collect());
        }
    }
    lines
}

/// Sockets, a line each under a heading; nothing for none.
pub(super) fn write_list(mut lines: Vec<[String; 8]>, out: &mut dyn Write) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let head = ["PID", "COMMAND", "FD", "FAMILY", "TYPE", "STATE", "LOCAL", "PEER"];
    lines.insert(0, head.map(str::to_owned));
    // A process chooses its name and the paths of its UNIX sockets.
    let lines: Vec<_> = lines
        .iter()
        .map(|line| line.each_ref().map(|cell| sanitize::line(cell.as_bytes())))
        .collect();
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    for line in &lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
