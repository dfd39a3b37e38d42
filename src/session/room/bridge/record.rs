//! What servers tell each other: records, a line each, so that `redis-cli XRANGE` shows them as they are.
//!
//! | record           | is                                                        |
//! |------------------|-----------------------------------------------------------|
//! | `<NAME text`     | NAME said the text to all                                 |
//! | `*NAME text`     | the same by `/me`                                         |
//! | `+NAME`          | NAME joined                                               |
//! | `-NAME`          | NAME left                                                 |
//! | `=OLD NEW`       | OLD is now NEW                                            |
//! | `@FROM TO text`  | FROM says the text to TO alone; in that server's own stream |
//!
//! The names and texts of another server are checked and sanitized like those of members.

use crate::sanitize::names;

/// What happened to a member of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// It said this to all, by `/me` or not.
    Said {
        name: String,
        text: Vec<u8>,
        is_action: bool,
    },
    Joined(String),
    Left(String),
    Renamed {
        old: String,
        new: String,
    },
    /// It said this to one member.
    Private {
        from: String,
        to: String,
        text: Vec<u8>,
    },
}

impl Record {
    fn parts(&self) -> [&[u8]; 6] {
        match self {
            Self::Said { name, text, is_action } => {
                [if *is_action { b"*" } else { b"<" }, name.as_bytes(), b" ", text, b"", b""]
            }
            Self::Joined(name) => [b"+", name.as_bytes(), b"", b"", b"", b""],
            Self::Left(name) => [b"-", name.as_bytes(), b"", b"", b"", b""],
            Self::Renamed { old, new } => [b"=", old.as_bytes(), b" ", new.as_bytes(), b"", b""],
            Self::Private { from, to, text } => {
                [b"@", from.as_bytes(), b" ", to.as_bytes(), b" ", text]
            }
        }
    }

    /// The bytes that [`Record::write`] appends.
    pub fn len(&self) -> usize {
        self.parts().iter().map(|part| part.len()).sum::<usize>() + 1
    }

    /// Appends the record with a newline.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.parts().iter().for_each(|part| out.extend_from_slice(part));
        out.push(b'\n');
    }

    /// The record in a line, if it is one.
    fn parse(line: &[u8]) -> Option<Self> {
        let (kind, rest) = line.split_first()?;
        let mut words = rest.splitn(2, |&byte| byte == b' ');
        let name = member(words.next()?)?;
        let rest = words.next();
        Some(match (kind, rest) {
            (b'<' | b'*', Some(text)) => {
                Self::Said { name, text: text.into(), is_action: *kind == b'*' }
            }
            (b'+', None) => Self::Joined(name),
            (b'-', None) => Self::Left(name),
            (b'=', Some(new)) => Self::Renamed { old: name, new: member(new)? },
            (b'@', Some(rest)) => {
                let (to, text) = rest.split_at(rest.iter().position(|&byte| byte == b' ')?);
                Self::Private { from: name, to: member(to)?, text: text[1..].into() }
            }
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
        prop_oneof![
            (name(), text(), any::<bool>()).prop_map(|(name, text, is_action)| Record::Said {
                name,
                text,
                is_action
            }),
            name().prop_map(Record::Joined),
            name().prop_map(Record::Left),
            (name(), name()).prop_map(|(old, new)| Record::Renamed { old, new }),
            (name(), name(), text()).prop_map(|(from, to, text)| Record::Private {
                from,
                to,
                text
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
