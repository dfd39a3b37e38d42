//! `--when REGEX TEXT`: answers what matches, in the order of arrival.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Clients, Handler, Id, StreamEnd};
use crate::console::event::Reason;
use crate::console::talk::Talk;
use crate::net::deadline::Deadline;
use crate::net::flow::HIGH_WATER;
use crate::session::pattern::{Alternatives, Pattern};

/// Unmatched bytes that are kept of a client; of more the oldest are dropped.
const UNMATCHED: usize = 1 << 20;

/// What is answered, and how.
#[derive(Clone, Debug)]
pub struct Rules {
    patterns: Alternatives,
    texts: Vec<Arc<[u8]>>,
}

impl Rules {
    /// Rules of patterns that match nothing empty, each with its answer. Fails where they are too large
    /// together.
    pub fn new(rules: Vec<(Pattern, Arc<[u8]>)>) -> Result<Self, String> {
        let (patterns, texts): (Vec<_>, Vec<_>) = rules.into_iter().unzip();
        let patterns = Alternatives::new(&patterns.iter().collect::<Vec<_>>())?;
        Ok(Self { patterns, texts })
    }

    /// The end of the leftmost match, of the first rule that has it, and its answer.
    pub fn find(&self, bytes: &[u8]) -> Option<(usize, &Arc<[u8]>)> {
        let (rule, found) = self.patterns.find(bytes)?;
        Some((found.end, &self.texts[rule]))
    }

    /// The length of the longest answer, in bytes.
    pub fn longest(&self) -> usize {
        self.texts.iter().map(|text| text.len()).max().unwrap_or(0)
    }

    /// The answers to all matches in these bytes.
    pub fn answers<'a>(&'a self, mut bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        std::iter::from_fn(move || {
            let (end, text) = self.find(bytes)?;
            bytes = &bytes[end..];
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
    /// Clients that have more to be answered, and room for it.
    ready: Vec<Id>,
}

/// What came from a client and has not matched.
#[derive(Default)]
struct Unmatched {
    bytes: Vec<u8>,
    /// The client ended its side.
    has_ended: bool,
    /// Each answer is sent by itself: it may be a message of the codec's.
    has_codec: bool,
}

impl When {
    /// No client yet.
    pub fn new(rules: Rules, talk: Talk) -> Self {
        Self { rules, talk, all: BTreeMap::new(), has_warned: false, ready: Vec::new() }
    }

    /// Answers the matches so far. A client that does not read its answers waits: it is not read, and
    /// what it has sent stays unmatched.
    fn answer(&mut self, client: Id, clients: &mut dyn Clients) {
        let Some(unmatched) = self.all.get_mut(&client.number) else {
            return;
        };
        let room = HIGH_WATER.saturating_sub(clients.queued(client));
        let (mut at, mut count, mut answers) = (0, 0, Vec::new());
        let mut is_behind = false;
        while let Some((end, text)) = self.rules.find(&unmatched.bytes[at..]) {
            is_behind = count >= room;
            if is_behind {
                break;
            }
            count += text.len();
            at += end;
            if unmatched.has_codec {
                clients.send(client, text);
            } else {
                answers.extend_from_slice(text);
            }
        }
        // One send for all: each would be a segment.
        if !answers.is_empty() {
            clients.send(client, &answers);
        }
        unmatched.bytes.drain(..at);
        clients.pause(client, is_behind);
        if is_behind {
            // What was taken at once is not reported as drained; other clients come first.
            self.ready.extend((clients.queued(client) == 0).then_some(client));
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
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        let has_codec = clients.about(client).is_some_and(|about| about.has_codec);
        self.all.insert(client.number, Unmatched { has_codec, ..Unmatched::default() });
    }

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

    fn deadline(&self) -> Deadline {
        if self.ready.is_empty() { Deadline::NEVER } else { Deadline::now() }
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        for client in std::mem::take(&mut self.ready) {
            self.answer(client, clients);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_match_has_the_answer_of_its_rule() {
        let rule = |(pattern, text): (&str, &str)| {
            (Pattern::parse(pattern).unwrap(), Arc::from(text.as_bytes()))
        };
        let rules = [("never", "N"), ("b", "B"), ("a.", "A2"), ("a", "A1"), ("^x", "X")].map(rule);
        let rules = Rules::new(rules.into()).unwrap();
        let answers = |text: &str| rules.answers(text.as_bytes()).collect::<Vec<_>>().concat();
        assert_eq!(answers("-ba-b-ab"), b"BA2BA2");
        assert_eq!(answers("-xa"), b"A1");
        // What is left behind a match is searched as it will be when more has come.
        assert_eq!(answers("bxx"), b"BXX");
        assert_eq!(answers("nothing"), b"");
    }
}
