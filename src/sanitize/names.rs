//! Names that strangers choose: what a name is, which names are the same, and which can be mistaken
//! for each other.

use unicase::UniCase;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::hidden;

/// The most characters in a name that a member chooses.
const LONGEST: usize = 32;
/// The most marks on a letter (UTS #39, 5.4): scripts need no more, and more cover other lines.
const MARKS: usize = 4;

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// None at all, or more than 32 characters.
    Length,
    /// A character that is no letter or digit of any script, and none of `_ - .`.
    Character(char),
    /// More than four marks on a letter.
    Marks,
}

/// A name as it is shown: accents composed (NFC), so that it is the same bytes on every keyboard.
pub fn name(text: &str) -> Result<String, NameError> {
    if text.is_empty() || !may_be_name(text) {
        return Err(NameError::Length);
    }
    let name: String = text.nfc().collect();
    let (mut before, mut marks) = (None, 0);
    for c in name.chars() {
        // A mark belongs to the letter before it: Hindi and Thai cannot be written without.
        let mark = is_combining_mark(c) && before.is_some_and(char::is_alphanumeric);
        let allowed = c.is_alphanumeric() || "_-.".contains(c) || mark;
        if !allowed || hidden(c) || is_blank(c) {
            return Err(NameError::Character(c));
        }
        if mark {
            marks += 1;
        } else {
            (before, marks) = (Some(c), 0);
        }
        if marks > MARKS {
            return Err(NameError::Marks);
        }
    }
    if name.chars().count() > LONGEST {
        return Err(NameError::Length);
    }
    Ok(name)
}

/// The name that is nearest to a text of any kind: `_` for what no name can have, cut to its first 32
/// characters; none without a letter or digit.
pub fn nearest(text: &str) -> Option<String> {
    let mut nearest: String = text.nfc().take(LONGEST).collect();
    // Each turn but the last takes one character out wherever it is, or all marks.
    for _ in 0..=LONGEST + 1 {
        match name(&nearest) {
            Ok(name) => return name.contains(char::is_alphanumeric).then_some(name),
            Err(NameError::Character(c)) => nearest = nearest.replace(c, "_"),
            Err(NameError::Marks) => nearest.retain(|c| !is_combining_mark(c)),
            Err(NameError::Length) => return None,
        }
    }
    None
}

/// Whether a text is short enough for a name, however it is composed.
pub fn may_be_name(text: &str) -> bool {
    text.len() <= LONGEST * 4 * 4
}

/// What two names that count as the same have in common: the compatibility caseless match of
/// the Unicode Standard (3.13, D146), so that `ANN`, `ann` and `ａｎｎ` are one.
pub fn caseless(name: &str) -> String {
    let decomposed: String = name.nfd().collect();
    let folded = UniCase::unicode(decomposed).to_folded_case();
    let compatible: String = folded.nfkd().collect();
    let folded = UniCase::unicode(compatible).to_folded_case();
    folded.nfkd().collect()
}

/// What a name has in common with all that it can be mistaken for: these share one at least. The
/// confusable skeletons (UTS #39, 4) of the name as it is shown and of its [`caseless`], so that `server`
/// with a Cyrillic letter is `server`, and `Iucy` is `lucy`. Accents that Unicode composes with no
/// letter do not tell names apart.
pub fn skeletons(name: &str) -> [String; 2] {
    let name: String = name.nfc().filter(|&c| !is_accent(c)).collect();
    let folded = |text: &str| caseless(&skeleton(text));
    [folded(&caseless(&name)), folded(&name)]
}

// `CONFUSABLES`, sorted; `PROTOTYPES`, one behind the other, and where each ends.
include!(concat!(env!("OUT_DIR"), "/confusables.rs"));

/// The confusable skeleton of a text.
fn skeleton(text: &str) -> String {
    let mut skeleton = String::new();
    for c in text.nfd() {
        match CONFUSABLES.binary_search(&c) {
            Ok(at) => {
                let start = at.checked_sub(1).map_or(0, |before| PROTOTYPE_ENDS[before]);
                skeleton.push_str(&PROTOTYPES[start.into()..PROTOTYPE_ENDS[at].into()]);
            }
            Err(_) => skeleton.push(c),
        }
    }
    skeleton.nfd().collect()
}

/// Whether one name can be mistaken for another.
pub fn confusable(a: &str, b: &str) -> bool {
    let theirs = skeletons(b);
    skeletons(a).iter().any(|skeleton| theirs.contains(skeleton))
}

/// The combining accents of Latin, Greek and Cyrillic, and of symbols.
fn is_accent(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}'
        | '\u{483}'..='\u{489}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}')
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
    fn the_table_gives_the_skeletons_of_unicode_security() {
        let all: String = ('\0'..=char::MAX).collect();
        assert!(skeleton(&all) == unicode_security::skeleton(&all).collect::<String>());
    }

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
        assert_eq!(
            name("a\u{316}\u{317}\u{318}\u{319}"),
            Ok("a\u{316}\u{317}\u{318}\u{319}".into())
        );
        assert_eq!(name(&format!("a{}", "\u{316}".repeat(5))), Err(NameError::Marks));
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
            assert_eq!(caseless(a), caseless(b), "{a} {b}");
        }
        assert_ne!(caseless("ann"), caseless("anna"));
    }

    #[test]
    fn row_119_names_that_can_be_mistaken_for_each_other_are_confusable() {
        for (a, b) in [
            ("s\u{435}rver", "server"),
            ("\u{405}\u{415}RV\u{415}R", "server"),
            ("\u{391}nn", "Ann"),
            ("\u{391}\u{39d}\u{39d}", "Ann"),
            ("\u{43e}lga", "olga"),
            ("Iucy", "lucy"),
            ("guestl", "guest1"),
            ("b0b", "bob"),
            ("s\u{325}er\u{325}ve\u{30a}r", "server"),
            ("ｓｅｒｖｅｒ", "server"),
            ("𝐬𝐞𝐫𝐯𝐞𝐫", "server"),
        ] {
            assert!(confusable(a, b) && confusable(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("Ann", "Anna"),
            ("guest1", "guest11"),
            ("guest10", "guest1"),
            ("Иван", "Ivan"),
            ("René", "Rene"),
            ("ดี", "ดิ"),
            ("王", "玉"),
            ("bob", "rob"),
        ] {
            assert!(!confusable(a, b), "{a} {b}");
        }
    }

    #[test]
    fn any_text_has_a_name_near_to_it() {
        for (text, near) in [
            ("Ann Smith", "Ann_Smith"),
            ("ann@example.org", "ann_example.org"),
            ("x\x1b[2J\n", "x__2J_"),
            ("\u{202e}bob", "_bob"),
            ("e\u{301}", "é"),
            ("\u{301}a🚀\u{301}", "_a__"),
        ] {
            assert_eq!(nearest(text).as_deref(), Some(near), "{text:?}");
        }
        assert_eq!(nearest(&"ab".repeat(5000)), Some("ab".repeat(16)));
        assert_eq!(nearest(&format!("a{}", "\u{316}".repeat(5000))), Some("a".into()));
        for none in ["", " ", "🚀", "\u{3164}", "--"] {
            assert_eq!(nearest(none), None, "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_near_is_a_name(text in "\\PC{0,40}|[a\u{0}-\u{ffff}]{0,40}") {
            match nearest(&text) {
                Some(near) => prop_assert_eq!(name(&near), Ok(near.clone())),
                None => prop_assert!(!text.nfc().take(LONGEST).any(|c| c.is_alphanumeric() && !is_blank(c))),
            }
        }

        #[test]
        fn a_name_is_its_own_name(text in "\\PC{0,40}") {
            if let Ok(once) = name(&text) {
                prop_assert_eq!(name(&once), Ok(once.clone()));
                prop_assert_eq!(caseless(&once), caseless(&text));
                prop_assert_eq!(caseless(&caseless(&once)), caseless(&once));
                prop_assert!(confusable(&once, &caseless(&once)));
                prop_assert!(!once.chars().any(|c| c.is_whitespace() || c.is_control()));
            }
        }
    }
}
