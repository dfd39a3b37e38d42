//! A regex over bytes, for `--expect` and `--when`: `.` and `\xff` are one byte, `\d`, `\s`, `\w` and `(?i)` know
//! ASCII, `^` and `$` are those of lines. Under `(?u)` dots, escapes and classes are of characters
//! of UTF-8; tables of Unicode (there also for `\w` and `(?i)`) are not built in.

use std::convert::Infallible;
use std::ops::Range;

use regex::bytes::{Match, Regex, RegexBuilder};
use regex_automata::meta;
use regex_automata::util::syntax;
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{self, AssertionKind, Ast, Visitor};

use crate::exit::quoted;

/// `$` before LF and at the end, and also before CRLF. All of `(?R)` would be too much: with it `.`
/// does not match CR, and `\r$` matches no line end.
const LINE_END: &str = "(?:$|(?R:$))";

/// How large regexes may become that are compiled together: the limit that regex has for each.
const SIZE_LIMIT: usize = 10 << 20;

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

    /// Whether it may match no bytes at all: anywhere, or where its assertions hold.
    pub fn matches_nothing(&self) -> bool {
        let parsed = parser().parse(self.regex.as_str());
        parsed.is_ok_and(|hir| hir.properties().minimum_len() == Some(0))
    }
}

/// Several regexes, of which one search finds the leftmost match. It goes no further than that,
/// however many of them match nowhere.
#[derive(Clone, Debug)]
pub struct Alternatives(meta::Regex);

impl Alternatives {
    /// Compiles them together.
    pub fn new(patterns: &[&Pattern]) -> Result<Self, String> {
        let texts: Vec<&str> = patterns.iter().map(|pattern| pattern.regex.as_str()).collect();
        let syntax = syntax::Config::new().unicode(false).utf8(false).multi_line(true);
        let limits = meta::Config::new().utf8_empty(false).nfa_size_limit(Some(SIZE_LIMIT));
        let compiled = meta::Builder::new().syntax(syntax).configure(limits).build_many(&texts);
        compiled.map(Self).map_err(|e| e.to_string())
    }

    /// The leftmost match, and whose it is: of those that begin at one place, the first.
    pub fn find(&self, bytes: &[u8]) -> Option<(usize, Range<usize>)> {
        let found = self.0.find(bytes)?;
        Some((found.pattern().as_usize(), found.range()))
    }
}

/// The parser of regexes as they are compiled.
fn parser() -> regex_syntax::Parser {
    let mut parser = regex_syntax::ParserBuilder::new();
    parser.unicode(false).utf8(false).multi_line(true).build()
}

/// Why a regex cannot be compiled, with the place where it goes wrong.
fn explain(text: &str, error: &regex::Error) -> String {
    let (cause, span) = match parser().parse(text) {
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
    fn what_may_match_nothing_is_known() {
        for (pattern, nothing) in [
            ("x*", true),
            (r"\b|xx", true),
            ("$", true),
            ("(?x) # no more", true),
            ("^x$", false),
            (".+|a", false),
            ("[a&&b]", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches_nothing(), nothing, "{pattern}");
        }
    }

    #[test]
    fn of_alternatives_the_leftmost_counts_and_of_equals_the_first() {
        let patterns = ["b$", "(?x) a. # two", "(a)", "^c"].map(|it| Pattern::parse(it).unwrap());
        let alternatives = Alternatives::new(&patterns.each_ref()).unwrap();
        for (text, found) in [
            ("xb\r\nab", Some((0, 1..2))),
            ("xab", Some((1, 1..3))),
            ("a", Some((2, 0..1))),
            ("bx\nc", Some((3, 3..4))),
            ("bc", None),
        ] {
            assert_eq!(alternatives.find(text.as_bytes()), found, "{text:?}");
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
