//! What `opts` writes: a table for people, an object a line for scripts.

use std::io::{self, Write};

use serde::Serialize;

use super::summary::Summary;
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
#[derive(Default, Serialize)]
pub(super) struct Listed {
    name: String,
    level: String,
    number: i32,
    r#type: &'static str,
    access: Calls,
    pub(super) value: Option<Value>,
    /// Its value on a fresh socket, where that is compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default: Option<Value>,
    /// It is not as on a fresh socket, or not what was asked for.
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

impl Listed {
    /// An option that has not been read yet.
    pub(super) fn of(option: &SocketOption) -> Self {
        Self {
            name: option.name.to_string(),
            level: option.level_and_name().0.to_owned(),
            number: option.number,
            r#type: option.format.name(),
            access: option.calls,
            meaning: option.meaning,
            sysctl: option.sysctl,
            ..Self::default()
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
        entry.differs = why.is_some();
        entry.change = Some(Change { requested, effective, why, line });
        entry
    }

    /// Whether it is a setting, or differs.
    pub(super) fn is_change(&self) -> bool {
        self.differs || self.change.is_some()
    }

    /// Name, value, default, level and type; values at most `most` wide.
    fn cells(&self, most: usize) -> [String; 5] {
        [
            self.name.clone(),
            column(self.value.as_ref(), most),
            column(self.default.as_ref(), most.min(WIDE_VALUE)),
            self.level.clone(),
            self.r#type.to_owned(),
        ]
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

/// A value in its column, at most `most` wide; `-` where there is none to show.
fn column(value: Option<&Value>, most: usize) -> String {
    match value.map(Value::to_string) {
        None => "-".into(),
        Some(empty) if empty.is_empty() => "\"\"".into(),
        Some(text) => cut(&text, most),
    }
}

/// How options and sockets are listed, and where.
pub struct Listing<'a> {
    /// An object a line, for scripts.
    pub json: bool,
    /// Colours, where a terminal has them.
    pub color: bool,
    /// The terminal's width: nothing is wrapped without one.
    pub width: Option<usize>,
    /// The output.
    pub out: &'a mut dyn Write,
}

impl Listing<'_> {
    pub(super) fn json(&mut self, object: &impl Serialize) -> io::Result<()> {
        writeln!(self.out, "{}", json::line(object)?)
    }

    /// What one socket is, followed by an empty line.
    pub(super) fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        if self.json {
            return self.json(summary);
        }
        summary.write(self.out)?;
        writeln!(self.out)
    }

    /// Sockets, a line each under a heading; nothing for none.
    pub(super) fn list(&mut self, mut rows: Vec<[String; 8]>) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let head = ["PID", "COMMAND", "FD", "FAMILY", "TYPE", "STATE", "LOCAL", "PEER"];
        rows.insert(0, head.map(str::to_owned));
        // A process chooses its name and the paths of its UNIX sockets.
        for cell in rows.as_flattened_mut() {
            *cell = sanitize::line(cell.as_bytes());
        }
        let columns = widths(&rows);
        rows.iter().try_for_each(|row| writeln!(self.out, "{}", padded(row, &columns).trim_end()))
    }

    /// A line for each entry; under a heading if they are `all` there are, long values cut. With a
    /// column of values on a fresh socket if the one inspected `compares` with it.
    /// Over 50 lines: a column after another.
    pub(super) fn entries(
        &mut self,
        entries: &[Listed],
        all: bool,
        compares: bool,
    ) -> io::Result<()> {
        if self.json {
            return entries.iter().try_for_each(|entry| self.json(entry));
        }
        // At a terminal each level of the whole table has a heading instead of a column; in a pipe
        // every line is an option.
        let grouped = all && self.width.is_some();
        let most = match self.width {
            _ if !all => usize::MAX,
            Some(width) if width < WIDE => NARROW_VALUE,
            _ => WIDE_VALUE,
        };
        let head = ["NAME", "VALUE", "DEFAULT", "LEVEL", "TYPE"].map(str::to_owned);
        let head = all.then_some(head);
        let cells = entries.iter().filter(|entry| entry.change.is_none());
        let cells = head.iter().cloned().chain(cells.map(|entry| entry.cells(most)));
        // What is longer pushes its own line only.
        let mut columns = widths(&cells.collect::<Vec<_>>()).map(|width| width.min(WIDE_NAME));
        if !compares {
            columns[2] = 0;
        }
        if grouped {
            columns[3] = 0;
        }
        if let Some(head) = head {
            self.line(&self.row(&padded(&head, &columns), "MEANING"), "1")?;
        }
        let mut level = None;
        for entry in entries {
            let row = if let Some(change) = &entry.change {
                change.line.clone()
            } else {
                if level.replace(&entry.level) != Some(&entry.level) && grouped {
                    writeln!(self.out)?;
                    self.line(&entry.level, "1")?;
                }
                self.row(&padded(&entry.cells(most), &columns), &entry.remark())
            };
            let color = match &entry.change {
                Some(_) if entry.errno.is_some() => "31",
                _ if entry.differs => "33",
                _ => "",
            };
            self.line(&row, color)?;
        }
        Ok(())
    }

    /// A row, its last cell wrapped under itself, or under the row where that gets too narrow.
    fn row(&self, cells: &str, last: &str) -> String {
        let Some(width) = self.width else {
            return format!("{cells}{last}");
        };
        let mut indent = cells.chars().count();
        let mut row = cells.to_owned();
        if width < indent + MEANING_WIDTH {
            row = cut(cells.trim_end(), width);
            row.push_str("\n    ");
            indent = 4;
        }
        row + &wrapped(last, width.saturating_sub(indent)).join(&format!("\n{:indent$}", ""))
    }

    fn line(&mut self, text: &str, color: &str) -> io::Result<()> {
        if self.color && !color.is_empty() {
            writeln!(self.out, "\u{1b}[{color}m{text}\u{1b}[0m")
        } else {
            writeln!(self.out, "{text}")
        }
    }
}

/// The widest cell of each column.
fn widths<const N: usize>(rows: &[[String; N]]) -> [usize; N] {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    std::array::from_fn(width)
}

/// The cells of a row in their columns, without those that have no width.
fn padded<const N: usize>(cells: &[String; N], widths: &[usize; N]) -> String {
    let shown = cells.iter().zip(widths).filter(|(_, width)| **width > 0);
    shown.fold(String::new(), |row, (cell, width)| row + &format!("{cell:<width$}  "))
}

/// The text in lines of at most `width` characters, broken between words, and within those that
/// are longer than a line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let letters: Vec<char> = word.chars().collect();
        match lines.last_mut() {
            Some(line) if line.chars().count() + letters.len() < width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.extend(letters.chunks(width.max(1)).map(String::from_iter)),
        }
    }
    lines
}
