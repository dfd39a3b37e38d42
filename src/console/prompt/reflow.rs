//! A window that changes its width while a line of several rows is being typed.
//!
//! Most terminals lay the rows of a long line out anew then, and the cursor goes with its text;
//! rustyline looks for the line where it was before. Here the line is cleared where it is, and the
//! cursor is put where rustyline believes it to be.

use std::fmt::Write as _;

use rustyline::GraphemeClusterMode;
use unicode_segmentation::UnicodeSegmentation;

/// rustyline's tab stops.
const TAB: usize = 8;

/// The line as it was drawn, and how wide the window was.
pub struct Drawn {
    prompt: String,
    line: String,
    /// The place of the cursor in `line`.
    at: usize,
    /// The place in `line` where a full row was ended with a newline: rustyline does so where the
    /// line itself ends there, and types on.
    broken: Option<usize>,
    /// Nothing of it is on the screen any more: the cursor is where it is to begin.
    is_gone: bool,
    columns: usize,
    widths: GraphemeClusterMode,
    /// Whether the terminal lays long lines out anew.
    reflows: bool,
}

impl Drawn {
    /// Nothing is drawn yet, in a window of so many columns.
    pub fn new(columns: usize) -> Self {
        // There is no standard for asking. xterm and screen leave rows as they are.
        let set = |name| std::env::var_os(name).is_some();
        let rigid = (set("XTERM_VERSION") || set("STY")) && !set("TMUX");
        Self {
            prompt: String::new(),
            line: String::new(),
            at: 0,
            broken: None,
            is_gone: false,
            columns,
            widths: widths(),
            reflows: !rigid,
        }
    }

    /// A new line begins, in a window of so many columns; what was typed of the one before, and
    /// the place of the cursor in it.
    pub fn renew(&mut self, columns: usize) -> (String, usize) {
        self.prompt.clear();
        self.broken = None;
        self.is_gone = false;
        self.columns = columns;
        (std::mem::take(&mut self.line), std::mem::take(&mut self.at))
    }

    /// Whether nothing is typed.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.end().row + 1
    }

    /// The terminal goes to the shell, and the line is left behind: what takes the cursor below it.
    pub fn leave(&mut self) -> String {
        self.is_gone = true;
        let (end, cursor) = (self.end(), self.cursor());
        "\r".to_string() + &"\n".repeat(1 + end.row.saturating_sub(cursor.row))
    }

    /// Whether rustyline draws the line again by itself when the window gets this width.
    pub fn is_wrapped(&self, columns: usize) -> bool {
        let end = self.end();
        end.row > 0 || end.column >= columns
    }

    /// The line, or the place of the cursor in it, is about to change.
    pub fn change(&mut self, line: &str, at: usize, columns: usize) {
        if columns != self.columns && !self.is_wrapped(columns) {
            self.columns = columns; // one row stays one row
        }
        if self.line != line {
            line.clone_into(&mut self.line);
        }
        self.at = at;
    }

    /// The whole is about to be drawn again, after this prompt: what takes the cursor to where
    /// rustyline believes it to be, to be written first.
    pub fn redraw(&mut self, prompt: &str, columns: usize) -> Option<String> {
        let is_gone = std::mem::take(&mut self.is_gone);
        let row = if is_gone {
            Some(0)
        } else if columns != self.columns && self.reflows {
            Some(self.moved(columns))
        } else {
            None
        };
        let correction = row.map(|row| self.correction(row));
        if self.prompt != prompt {
            prompt.clone_into(&mut self.prompt);
        }
        self.columns = columns;
        let end = self.end();
        let full = end.row > 0 && end.column == 0 && !self.line.ends_with('\n');
        self.broken = full.then_some(self.line.len());
        correction
    }

    /// Clears the line, in whose row of this number the cursor is, and goes to where rustyline
    /// takes the cursor to be, with as many rows below as it takes for its own.
    fn correction(&self, row: usize) -> String {
        let (end, cursor) = (self.end(), self.cursor());
        let mut out = String::new();
        up(row, &mut out);
        out.push_str("\r\x1b[J");
        out.extend(std::iter::repeat_n('\n', end.row));
        up(end.row.saturating_sub(cursor.row), &mut out);
        out
    }

    /// The row of the cursor in a window that has so many columns now.
    fn moved(&self, columns: usize) -> usize {
        let place = self.place(self.at, columns, self.broken);
        if self.at == self.line.len() {
            place.row // behind a full last row the cursor stays in that
        } else {
            place.wrapped(columns).row
        }
    }

    /// Where rustyline takes the cursor to be.
    fn cursor(&self) -> Place {
        self.place(self.at, self.columns, None).wrapped(self.columns)
    }

    /// Where rustyline takes the end of the line to be.
    fn end(&self) -> Place {
        self.place(self.line.len(), self.columns, None).wrapped(self.columns)
    }

    /// The place behind the first `length` bytes of the line.
    fn place(&self, length: usize, columns: usize, broken: Option<usize>) -> Place {
        let mut place = Place::default();
        let line = &self.line[..length];
        // The line may be another one by now.
        let (first, rest) = line.split_at_checked(broken.unwrap_or(0)).unwrap_or((line, ""));
        for part in self.prompt.graphemes(true).chain(first.graphemes(true)) {
            self.step(&mut place, part, columns);
        }
        if broken.is_some_and(|at| at <= length) {
            self.step(&mut place, "\n", columns);
        }
        for part in rest.graphemes(true) {
            self.step(&mut place, part, columns);
        }
        place
    }

    /// As rustyline counts, and terminals do.
    fn step(&self, place: &mut Place, part: &str, columns: usize) {
        let width = match part {
            "\n" => {
                *place = Place { row: place.row + 1, column: 0 };
                return;
            }
            "\t" => TAB - place.column % TAB,
            _ => self.widths.width(part).into(),
        };
        place.column += width;
        if place.column > columns {
            place.row += 1;
            place.column = width;
        }
    }
}

/// How wide the terminal draws emoji of several characters. There is no standard for asking, and where the
/// guess is wrong a line that fills its row is drawn a row too high or too low.
pub fn widths() -> GraphemeClusterMode {
    let variable = |name| std::env::var(name).unwrap_or_default();
    match (variable("TERM_PROGRAM").as_str(), variable("TERM").as_str()) {
        ("tmux" | "ghostty", _) | ("", "foot" | "xterm-ghostty") => GraphemeClusterMode::Unicode,
        _ => GraphemeClusterMode::from_env(),
    }
}

/// Where something is, counted from the prompt's first column.
#[derive(Default)]
struct Place {
    row: usize,
    column: usize,
}

impl Place {
    /// Behind a full row is the beginning of the next.
    fn wrapped(self, columns: usize) -> Self {
        if self.column < columns {
            return self;
        }
        Self { row: self.row + 1, column: 0 }
    }
}

fn up(rows: usize, out: &mut String) {
    if rows > 0 {
        // A String takes everything.
        let _ = write!(out, "\x1b[{rows}A");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The prompt and so many letters in a window of 10 columns, the cursor at `at`; then the
    /// window gets another width.
    fn correction(letters: usize, at: usize, columns: usize) -> Option<String> {
        let mut drawn = Drawn { reflows: true, ..Drawn::new(10) };
        let line = "x".repeat(letters);
        drawn.change(&line, at, 10);
        drawn.redraw(">>> ", 10);
        drawn.change(&line, at, columns);
        drawn.redraw(">>> ", columns)
    }

    #[test]
    fn a_line_may_change_with_the_width() {
        let mut drawn = Drawn::new(10);
        drawn.redraw(">>> ", 10);
        for (line, at) in
            [("123456", 6), ("\u{4e16}\u{754c}\u{4e16}", 3), ("\u{e9}\n\t", 2), ("", 0)]
        {
            for columns in [10, 3, 1, 7] {
                drawn.change(line, at, columns);
                drawn.redraw(">>> ", columns);
                drawn.leave();
            }
        }
    }

    #[test]
    fn a_line_is_cleared_where_it_is_after_the_width_changed() {
        for (letters, at, columns, wanted) in [
            (5, 5, 20, None),                               // one row before and after
            (5, 5, 10, None),                               // no change
            (5, 5, 8, Some("\x1b[1A\r\x1b[J")),             // one row became two
            (20, 20, 12, Some("\x1b[1A\r\x1b[J\n\n")),      // three became two
            (20, 20, 7, Some("\x1b[3A\r\x1b[J\n\n")),       // three became four
            (20, 8, 7, Some("\x1b[1A\r\x1b[J\n\n\x1b[1A")), // the cursor stays in the second
            (16, 16, 20, Some("\x1b[1A\r\x1b[J\n\n")),      // a full row was ended
            (16, 16, 5, Some("\x1b[4A\r\x1b[J\n\n")),       // four full rows, and the cursor below
        ] {
            let got = correction(letters, at, columns);
            assert_eq!(got.as_deref(), wanted, "{letters} {at} {columns}");
        }
    }
}
