//! What a name is, and which names are the same.

use unicase::UniCase;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::sanitize::hidden;

/// The most characters in a name that a member chooses.
const LONGEST: usize = 32;

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// None at all, or more than 32 characters.
    Length,
    /// A character that is no letter or digit of any script, and none of `_ - .`.
    Character(char),
}

/// A name as it is shown: accents composed (NFC), so that it is the same bytes on every keyboard.
pub fn name(text: &str) -> Result<String, NameError> {
    if text.is_empty() || text.len() > LONGEST * 4 * 4 {
        return Err(NameError::Length); // no need to compose a long one
    }
    let name: String = text.nfc().collect();
    let mut before = None;
    for c in name.chars() {
        // A mark belongs to the letter before it: Hindi and Thai cannot be written without.
        let mark = is_combining_mark(c) && before.is_some_and(char::is_alphanumeric);
        let allowed = c.is_alphanumeric() || "_-.".contains(c) || mark;
        if !allowed || hidden(c) || is_blank(c) {
            return Err(NameError::Character(c));
        }
        if !is_combining_mark(c) {
            before = Some(c);
        }
    }
    if name.chars().count() > LONGEST {
        return Err(NameError::Length);
    }
    Ok(name)
}

/// What two names that count as the same have in common: the compatibility caseless match of
/// the Unicode Standard (3.13, D146), so that `ANN`, `ann` and `ａｎｎ` are one.
pub fn key(name: &str) -> String {
    let decomposed: String = name.nfd().collect();
    let folded = UniCase::unicode(decomposed).to_folded_case();
    let compatible: String = folded.nfkd().collect();
    let folded = UniCase::unicode(compatible).to_folded_case();
    folded.nfkd().collect()
}

/// Letters and marks that show nothing: a name of theirs would be no name to the eye.
fn is_blank(c: char) -> bool {
    matches!(c,
        '\u{34f}' // combining grapheme joiner
        | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // Hangul fillers
        | '\u{17b4}' | '\u{17b5}' // Khmer inherent vowels
        | '\u{180b}'..='\u{180f}' // Mongolian variation selectors
        | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}') // variation selectors
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_words_of_any_script() {
        for good in ["a", "Ann", "x_1-2.3", "Łukasz", "王小明", "मित्र", "ธีรศักดิ์", "محمد", "Ö"]
        {
            assert_eq!(name(good), Ok(good.nfc().collect()), "{good}");
        }
        assert_eq!(name("e\u{301}"), Ok("é".into()));
        assert_eq!(name(&"é".repeat(32)), Ok("é".repeat(32)));
    }

    #[test]
    fn what_would_deceive_the_eye_is_no_name() {
        for bad in ["", &"a".repeat(33), &"e\u{301}".repeat(3000)] {
            assert_eq!(name(bad), Err(NameError::Length), "{bad:?}");
        }
        for (bad, c) in [
            ("a b", ' '),
            ("a~2", '~'),
            ("<ann>", '<'),
            ("a\u{200b}", '\u{200b}'),
            ("\u{3164}", '\u{3164}'),
            ("\u{301}a", '\u{301}'),
            ("_\u{301}", '\u{301}'),
            ("a\u{202e}b", '\u{202e}'),
            ("a\u{fe0f}", '\u{fe0f}'),
            ("\x1b[2J", '\x1b'),
            ("🚀", '🚀'),
        ] {
            assert_eq!(name(bad), Err(NameError::Character(c)), "{bad:?}");
        }
    }

    #[test]
    fn names_that_look_the_same_are_the_same() {
        for (a, b) in [
            ("Ann", "aNN"),
            ("STRASSE", "straße"),
            ("é", "E\u{301}"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("ａｎｎ", "ann"),
            ("ﬁn", "FIN"),
        ] {
            assert_eq!(key(a), key(b), "{a} {b}");
        }
        assert_ne!(key("ann"), key("anna"));
    }

    proptest! {
        #[test]
        fn a_name_is_its_own_name(text in "\\PC{0,40}") {
            if let Ok(once) = name(&text) {
                prop_assert_eq!(name(&once), Ok(once.clone()));
                prop_assert_eq!(key(&once), key(&text));
                prop_assert_eq!(key(&key(&once)), key(&once));
                prop_assert!(!once.chars().any(|c| c.is_whitespace() || c.is_control()));
            }
        }
    }
}
