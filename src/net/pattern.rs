//! A regex over bytes, for `--expect`: `.` and `\xff` are one byte, `\d`, `\s`, `\w` and `(?i)` know
//! ASCII, `^` and `$` are those of lines. Under `(?u)` dots, escapes and classes are of characters
//! of UTF-8; tables of Unicode (there also for `\w` and `(?i)`) are not built in.

use std::convert::Infallible;
use std::ops::Range;

use regex::bytes::{Match, Regex, RegexBuilder};
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{self, AssertionKind, Ast, Visitor};

use crate::exit::quoted;

/// `$` before LF and at the end, and also before CRLF. All of `(?R)` would be too much: with it `.`
/// does not match CR, and `\r$` matches no line end.
const LINE_END: &str = "(?:$|(?R:$))";

/// A compiled regex, and how it was written.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles a regex.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut compiled = String::with_capacity(text.len());
        let mut rest = 0;
        // What cannot be parsed is compiled as it is, for the error.
        for at in Parser::new().parse(text).map(|ast| line_ends(&ast)).unwrap_or_default() {
            compiled += &text[rest..at];
            compiled += LINE_END;
            rest = at + 1;
        }
        compiled += &text[rest..];
        let regex = RegexBuilder::new(&compiled).unicode(false).multi_line(true).build();
        let regex = regex.map_err(|e| explain(text, &e))?;
        if text.is_empty() {
            return Err("an empty regex matches everything".into());
        }
        Ok(Self { text: text.to_owned(), regex })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The leftmost match.
    pub fn find<'a>(&self, bytes: &'a [u8]) -> Option<Match<'a>> {
        self.regex.find(bytes)
    }

    /// The leftmost match that is not empty.
    pub fn find_some(&self, bytes: &[u8]) -> Option<Range<usize>> {
        self.regex.find_iter(bytes).find(|found| !found.is_empty()).map(|found| found.range())
    }
}

/// Why a regex cannot be compiled, with the place where it goes wrong.
fn explain(text: &str, error: &regex::Error) -> String {
    let mut parser = regex_syntax::ParserBuilder::new();
    let parsed = parser.unicode(false).utf8(false).multi_line(true).build().parse(text);
    let (cause, span) = match parsed {
        Err(regex_syntax::Error::Parse(e)) => (e.kind().to_string(), *e.span()),
        Err(regex_syntax::Error::Translate(e)) => (e.kind().to_string(), *e.span()),
        // Its compiled size, for example.
        _ => return error.to_string(),
    };
    // The hint in brackets is about building the crate.
    let cause = match cause.split_once(" (make sure") {
        Some((cause, _)) => format!("{cause}; without (?u) it knows ASCII"),
        None => cause,
    };
    let (before, rest) = text.split_at(span.end.offset);
    let marked = quoted(format!("{before} <-- HERE {rest}").trim_end());
    format!("{cause}, marked by <-- HERE in {marked}")
}

/// Where each `$` stands, first to last.
fn line_ends(ast: &Ast) -> Vec<usize> {
    struct Found(Vec<usize>);
    impl Visitor for Found {
        type Output = Vec<usize>;
        type Err = Infallible;

        fn finish(self) -> Result<Vec<usize>, Infallible> {
            Ok(self.0)
        }

        fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
            if let Ast::Assertion(one) = ast
                && one.kind == AssertionKind::EndLine
            {
                self.0.push(one.span.start.offset);
            }
            Ok(())
        }
    }
    let Ok(found) = ast::visit(ast, Found(Vec::new()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(pattern: &str, text: &'a str) -> Option<&'a str> {
        let found = Pattern::parse(pattern).unwrap().find(text.as_bytes())?;
        str::from_utf8(found.as_bytes()).ok()
    }

    #[test]
    fn row_94_a_line_ends_before_crlf_too() {
        for (pattern, text, matched) in [
            (r"^\+PONG$", "+PONG\r\n", "+PONG"),
            (r"^\+PONG$", "+PONG\n", "+PONG"),
            (r"^\+PONG$", "+PONG", "+PONG"),
            ("^$", "a\r\n\r\nb", ""),
            ("(a|b$)$", "ab\r\nc", "b"),
            (r"PONG\r$", "PONG\r\n", "PONG\r"),
            ("^220 .*\n", "220 hi\r\n", "220 hi\r\n"),
            (".*$", "220 hi\r\n", "220 hi\r"),
            ("(?x) b $ # the end $", "ab\r\n", "b"),
            ("(?-m)b$", "b\r\nb", "b"),
            (r"[$]\$x", "$$x", "$$x"),
        ] {
            assert_eq!(found(pattern, text), Some(matched), "{pattern} in {text:?}");
        }
        for (pattern, text) in
            [(r"^\+PONG$", "+PONGS\r\n"), ("(?-m)a$", "a\r\nb"), (r"\$", "a\r\n")]
        {
            assert_eq!(found(pattern, text), None, "{pattern} in {text:?}");
        }
    }

    #[test]
    fn it_is_shown_as_it_was_written() {
        assert_eq!(Pattern::parse("^a$").unwrap().as_str(), "^a$");
        assert_eq!(
            Pattern::parse("a$(").unwrap_err(),
            "unclosed group, marked by <-- HERE in 'a$( <-- HERE'"
        );
    }
}
