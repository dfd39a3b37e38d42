//! What servers tell each other: records, a line each, so that `redis-cli XRANGE` shows them as they are.
//!
//! | record                  | is                                                                     |
//! |-------------------------|------------------------------------------------------------------------|
//! | `<NUMBER NAME text`     | the member said the text to all                                        |
//! | `*NUMBER NAME text`     | the same by `/me`                                                      |
//! | `+NUMBER NAME`          | the member joined, or is called so from now on                         |
//! | `-NUMBER NAME`          | the member left                                                        |
//! | `@NUMBER NAME TO NAME text` | the member says the text to the member TO alone; in that server's own stream |
//! | `!NUMBER NAME why`      | for this member: its private line was not delivered to NAME            |
//!
//! A member is known by its number on its server: another may get its name.
//!
//! The names and texts of another server are checked and sanitized like those of members.

use crate::sanitize::names;

/// What happened to a member of a server, which has this number there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// It said this to all, by `/me` or not.
    Said {
        member: u64,
        name: String,
        text: Vec<u8>,
        is_action: bool,
    },
    /// It joined, or is called so from now on.
    Named {
        member: u64,
        name: String,
    },
    Left {
        member: u64,
        name: String,
    },
    /// It said this to one member of the server that gets the record.
    Private {
        member: u64,
        name: String,
        to: u64,
        to_name: String,
        text: Vec<u8>,
    },
    /// What this member, one of the server that gets the record, said to one called so was not delivered.
    Refused {
        member: u64,
        name: String,
        why: Vec<u8>,
    },
}

impl Record {
    /// The bytes that [`Record::write`] appends.
    pub fn len(&self) -> usize {
        let mut written = Vec::new();
        self.write(&mut written);
        written.len()
    }

    /// Appends the record with a newline.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (kind, member, name) = match self {
            Self::Said { member, name, is_action: false, .. } => (b'<', member, name),
            Self::Said { member, name, is_action: true, .. } => (b'*', member, name),
            Self::Named { member, name } => (b'+', member, name),
            Self::Left { member, name } => (b'-', member, name),
            Self::Private { member, name, .. } => (b'@', member, name),
            Self::Refused { member, name, .. } => (b'!', member, name),
        };
        out.push(kind);
        out.extend_from_slice(format!("{member} {name}").as_bytes());
        if let Self::Private { to, to_name, .. } = self {
            out.extend_from_slice(format!(" {to} {to_name}").as_bytes());
        }
        if let Self::Said { text, .. }
        | Self::Private { text, .. }
        | Self::Refused { why: text, .. } = self
        {
            out.push(b' ');
            out.extend_from_slice(text);
        }
        out.push(b'\n');
    }

    /// The record in a line, if it is one.
    fn parse(line: &[u8]) -> Option<Self> {
        let (kind, rest) = line.split_first()?;
        let (member, name, rest) = who(rest)?;
        Some(match (kind, rest) {
            (b'<' | b'*', Some(text)) => {
                Self::Said { member, name, text: text.into(), is_action: *kind == b'*' }
            }
            (b'+', None) => Self::Named { member, name },
            (b'-', None) => Self::Left { member, name },
            (b'@', Some(rest)) => {
                let (to, to_name, text) = who(rest)?;
                Self::Private { member, name, to, to_name, text: text?.into() }
            }
            (b'!', Some(why)) => Self::Refused { member, name, why: why.into() },
            _ => return None,
        })
    }

    /// The records in what [`Record::write`] has made; what is none is left out.
    pub fn parse_all(lines: &[u8]) -> impl Iterator<Item = Option<Self>> {
        lines
            .split_inclusive(|&byte| byte == b'\n')
            .map(|line| Self::parse(line.strip_suffix(b"\n").unwrap_or(line)))
    }
}

/// The number and the name of a member, and what stands behind them.
fn who(text: &[u8]) -> Option<(u64, String, Option<&[u8]>)> {
    let mut words = text.splitn(3, |&byte| byte == b' ');
    let number = str::from_utf8(words.next()?).ok()?.parse().ok()?;
    Some((number, member(words.next()?)?, words.next()))
}

/// A member's name, perhaps with the number that makes it unique.
fn member(name: &[u8]) -> Option<String> {
    let name = str::from_utf8(name).ok()?;
    let (chosen, number) = name.split_once('~').unwrap_or((name, "2"));
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && names::name(chosen).is_ok_and(|it| it == chosen)).then(|| name.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> impl Strategy<Value = Record> {
        let name = || "[a-zé]{1,8}(~[2-9])?";
        let text =
            || prop::collection::vec(any::<u8>().prop_filter("newline", |&it| it != b'\n'), 0..20);
        let member = any::<u64>;
        prop_oneof![
            (member(), name(), text(), any::<bool>()).prop_map(
                |(member, name, text, is_action)| {
                    Record::Said { member, name, text, is_action }
                }
            ),
            (member(), name()).prop_map(|(member, name)| Record::Named { member, name }),
            (member(), name()).prop_map(|(member, name)| Record::Left { member, name }),
            (member(), name(), member(), name(), text()).prop_map(
                |(member, name, to, to_name, text)| {
                    Record::Private { member, name, to, to_name, text }
                }
            ),
            (member(), name(), text()).prop_map(|(member, name, why)| Record::Refused {
                member,
                name,
                why
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(records in prop::collection::vec(record(), 0..8)) {
            let mut bytes = Vec::new();
            for record in &records {
                record.write(&mut bytes);
            }
            let read: Option<Vec<Record>> = Record::parse_all(&bytes).collect();
            prop_assert_eq!(read, Some(records));
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Record::parse_all(&bytes).count();
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        for line in [
            "",
            "<",
            "<ann",
            "+",
            "+a b",
            "+a\x1b",
            "=a",
            "?a b",
            "@a b",
            "+ann~",
            "+ann~x",
            "<a\u{202e} x",
        ] {
            assert_eq!(Record::parse(line.as_bytes()), None, "{line:?}");
        }
    }
}
