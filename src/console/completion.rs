//! Completion by Tab at the prompt: `/commands`, and the names of members.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::lock;

/// The most candidates offered: one screen. Peers can make up any number of names.
const OFFERED: usize = 100;
/// How many are remembered, and how long each may be.
const KNOWN: usize = 10_000;
const LONGEST: usize = 128;

/// The words that can be completed. Clones share them, so that names are added and removed while
/// the prompt runs. A word that begins with `/` or `@` is completed at the
/// start of a line, where it means something; any other anywhere, there behind an `@` too.
#[derive(Clone, Default)]
pub struct Words(Arc<Mutex<BTreeSet<String>>>);

impl Words {
    /// Begins with these.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let words = words.into_iter().map(Into::into).collect();
        Self(Arc::new(Mutex::new(words)))
    }

    /// Adds a name, unless it is longer than any that a member can have.
    pub fn add(&self, word: impl AsRef<str>) {
        let (word, mut words) = (word.as_ref(), lock(&self.0));
        if word.len() <= LONGEST && words.len() < KNOWN && !words.contains(word) {
            words.insert(word.into());
        }
    }

    /// Removes a name.
    pub fn remove(&self, word: &str) {
        lock(&self.0).remove(word);
    }

    /// Where the word before `pos` begins, and what it may become, each with a blank after it.
    pub fn complete(&self, line: &str, pos: usize) -> (usize, Vec<String>) {
        let before = line.get(..pos).unwrap_or(line);
        let start = before
            .rfind(char::is_whitespace)
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let begun = before[start..].to_lowercase();
        let at_start = start == 0 || line[..start].ends_with('\n');
        let to_one = begun.strip_prefix('@').filter(|_| at_start);
        let words = lock(&self.0);
        let found = words.iter().filter_map(|word| {
            let (is_name, lower) = (!word.starts_with(['/', '@']), word.to_lowercase());
            if (at_start || is_name) && lower.starts_with(&begun) {
                return Some(format!("{word} "));
            }
            let fits = is_name && to_one.is_some_and(|begun| lower.starts_with(begun));
            fits.then(|| format!("@{word} "))
        });
        (start, found.take(OFFERED).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_completed_where_a_line_begins_and_names_anywhere() {
        let words = Words::new(["/who", "/kick", "/quit", "@1"]);
        words.add("Ann");
        words.add("andré");
        let complete = |line: &str| words.complete(line, line.len());
        assert_eq!(complete("/k"), (0, vec!["/kick ".into()]));
        assert_eq!(complete("@1"), (0, vec!["@1 ".into()]));
        assert_eq!(complete("@AN"), (0, vec!["@Ann ".into(), "@andré ".into()]));
        assert_eq!(complete("hi @an").1.len(), 0);
        assert_eq!(complete("hi /k"), (3, vec![]));
        assert_eq!(complete("hi an"), (3, vec!["Ann ".into(), "andré ".into()]));
        assert_eq!(complete("two\n/q"), (4, vec!["/quit ".into()]));
        assert_eq!(complete("é\u{3000}AN").0, 5);
        words.remove("Ann");
        assert_eq!(complete("AN"), (0, vec!["andré ".into()]));
    }

    #[test]
    fn the_number_of_names_is_limited() {
        let words = Words::default();
        words.add("x".repeat(LONGEST + 1));
        (0..2 * KNOWN).for_each(|n| words.add(n.to_string()));
        assert_eq!(lock(&words.0).len(), KNOWN);
        assert_eq!(words.complete("x", 1).1.len(), 0);
        assert_eq!(words.complete("1", 1).1.len(), OFFERED);
    }

    #[test]
    fn what_follows_the_cursor_stays_out_of_it() {
        let words = Words::new(["/who"]);
        assert_eq!(words.complete("/w and more", 2), (0, vec!["/who ".into()]));
    }
}
