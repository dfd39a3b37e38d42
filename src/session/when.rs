//! `--when REGEX TEXT`: answers what matches, in the order of arrival.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::{Clients, Handler, Id, StreamEnd};
use crate::console::event::Reason;
use crate::console::talk::Talk;
use crate::net::flow::HIGH_WATER;
use crate::net::pattern::Pattern;

/// Unmatched bytes that are kept of a client; of more the oldest are dropped.
const UNMATCHED: usize = 1 << 20;

/// What is answered, and how.
#[derive(Clone, Debug)]
pub struct Rules(pub Vec<(Pattern, Arc<[u8]>)>);

impl Rules {
    /// The leftmost match that is not empty, of the first rule that has it, and its answer.
    pub fn find(&self, bytes: &[u8]) -> Option<(Range<usize>, &Arc<[u8]>)> {
        let found =
            self.0.iter().filter_map(|(pattern, text)| Some((pattern.find_some(bytes)?, text)));
        found.min_by_key(|(found, _)| found.start) // the first of equals
    }

    /// The answers to all matches in these bytes.
    pub fn answers<'a>(&'a self, mut bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        std::iter::from_fn(move || {
            let (found, text) = self.find(bytes)?;
            bytes = &bytes[found.end..];
            Some(&text[..])
        })
    }
}

/// Answers every match in what a client sends.
pub struct When {
    rules: Rules,
    talk: Talk,
    /// By the client's number.
    all: BTreeMap<u64, Unmatched>,
    has_warned: bool,
}

/// What came from a client and has not matched.
#[derive(Default)]
struct Unmatched {
    bytes: Vec<u8>,
    /// The client ended its side.
    has_ended: bool,
}

impl When {
    /// No client yet.
    pub fn new(rules: Rules, talk: Talk) -> Self {
        Self { rules, talk, all: BTreeMap::new(), has_warned: false }
    }

    /// Answers the matches so far. A client that does not read its answers waits: it is not read, and
    /// what it has sent stays unmatched.
    fn answer(&mut self, client: Id, clients: &mut dyn Clients) {
        let Some(unmatched) = self.all.get_mut(&client.number) else {
            return;
        };
        let mut at = 0;
        let mut is_behind = false;
        while let Some((found, text)) = self.rules.find(&unmatched.bytes[at..]) {
            is_behind = clients.queued(client) >= HIGH_WATER;
            if is_behind {
                break;
            }
            clients.send_shared(client, text);
            at += found.end;
        }
        unmatched.bytes.drain(..at);
        clients.pause(client, is_behind);
        if is_behind {
            return;
        }
        let over = unmatched.bytes.len().saturating_sub(UNMATCHED);
        if over > 0 {
            unmatched.bytes.drain(..over);
            if !self.has_warned {
                self.has_warned = true;
                let (id, limit) = (client.number, UNMATCHED >> 20);
                let warning = format!(
                    "[{id}] more than {limit} MiB matched no --when: the oldest bytes are dropped"
                );
                self.talk.warn(&warning);
            }
        }
        if unmatched.has_ended {
            clients.finish(client);
        }
    }
}

impl Handler for When {
    fn received(&mut self, client: Id, bytes: &[u8], clients: &mut dyn Clients) -> usize {
        self.all.entry(client.number).or_default().bytes.extend_from_slice(bytes);
        self.answer(client, clients);
        bytes.len()
    }

    fn ended(&mut self, client: Id, end: StreamEnd, clients: &mut dyn Clients) {
        if end == StreamEnd::Limit {
            return clients.close(client, Reason::Limit);
        }
        self.all.entry(client.number).or_default().has_ended = true;
        self.answer(client, clients);
    }

    fn drained(&mut self, client: Id, clients: &mut dyn Clients) {
        self.answer(client, clients);
    }

    fn left(&mut self, client: Id, _clients: &mut dyn Clients) {
        self.all.remove(&client.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(all: &[(&str, &str)]) -> Rules {
        let rule = |(pattern, text): &(&str, &str)| {
            (Pattern::parse(pattern).unwrap(), Arc::from(text.as_bytes()))
        };
        Rules(all.iter().map(rule).collect())
    }

    #[test]
    fn the_leftmost_match_wins_and_of_equals_the_first_rule() {
        let rules = rules(&[("b", "B"), ("a.", "A2"), ("a", "A1")]);
        let found = |text: &str| {
            let (found, answer) = rules.find(text.as_bytes())?;
            Some((found, String::from_utf8_lossy(answer).into_owned()))
        };
        assert_eq!(found("xba"), Some((1..2, "B".into())));
        assert_eq!(found("xab"), Some((1..3, "A2".into())));
        assert_eq!(found("a"), Some((0..1, "A1".into())));
        assert_eq!(found("none"), None);
    }

    #[test]
    fn an_empty_match_is_none() {
        let rules = rules(&[(r"\b|x$", "X")]);
        assert_eq!(rules.find(b"a b"), None);
        assert_eq!(rules.find(b"a xx\n").map(|(found, _)| found), Some(3..4));
    }
}
