//! Each record once and in order: a server numbers its records, and keeps them until Redis has them, and a
//! while longer; others know by the number what they have had, and what they have missed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::record::Record;

/// An entry of the stream gets no more records when it has so many, or so many bytes.
const RECORDS: u64 = 128;
const BYTES: usize = 64 << 10;
/// The most bytes of records that wait for Redis.
const MOST: usize = 8 << 20;
/// Entries, and bytes of their records, that are kept when Redis has them: it may come back without its latest
/// data.
const KEPT: usize = 256;
const MOST_KEPT: usize = 4 << 20;
/// Servers whose numbers are known at most.
const SERVERS: usize = 1024;

/// An entry of the stream.
#[derive(Clone, Default)]
pub struct Entry {
    /// The number of its first record.
    pub first: u64,
    pub count: u64,
    /// The records as [`Record::write`] has made them.
    pub records: Arc<Vec<u8>>,
    /// What Redis calls it, once Redis has it.
    pub id: Option<String>,
    /// It was sent, perhaps in vain: it does not change any more.
    is_sealed: bool,
    /// Redis has had it.
    was_sent: bool,
}

impl Entry {
    /// One of a single record, which has this number.
    pub fn of(number: u64, record: &Record) -> Self {
        let mut records = Vec::new();
        record.write(&mut records);
        let records = Arc::new(records);
        Self { first: number, count: 1, records, id: None, is_sealed: true, was_sent: false }
    }
}

/// The records of this server, in their order.
#[derive(Default)]
pub struct Backlog {
    /// First those that Redis has.
    entries: VecDeque<Entry>,
    /// The number of the last record.
    last: u64,
    /// Bytes of records that Redis does not have.
    waiting: usize,
}

impl Backlog {
    /// Appends a record. Returns how many of the first ones had to be dropped that Redis has never had.
    pub fn push(&mut self, record: &Record) -> u64 {
        let is_open = |entry: &Entry| {
            !entry.is_sealed && entry.count < RECORDS && entry.records.len() < BYTES
        };
        self.last += 1;
        if !self.entries.back().is_some_and(is_open) {
            self.entries.push_back(Entry { first: self.last, ..Entry::default() });
        }
        if let Some(entry) = self.entries.back_mut() {
            let before = entry.records.len();
            record.write(Arc::make_mut(&mut entry.records)); // shared once it is sealed
            entry.count += 1;
            self.waiting += entry.records.len() - before;
        }
        self.bound()
    }

    /// Drops the first ones that wait beyond the bound.
    fn bound(&mut self) -> u64 {
        let mut dropped = 0;
        while self.waiting > MOST
            && let Some(at) = self.entries.iter().position(|entry| entry.id.is_none())
            && let Some(entry) = self.entries.remove(at)
        {
            dropped += if entry.was_sent { 0 } else { entry.count };
            self.waiting -= entry.records.len();
        }
        dropped
    }

    /// The first entries that Redis does not have, which do not change any more.
    pub fn unsent(&mut self, most: usize) -> Vec<Entry> {
        let waiting = self.entries.iter_mut().filter(|entry| entry.id.is_none()).take(most);
        waiting
            .map(|entry| {
                entry.is_sealed = true;
                entry.clone()
            })
            .collect()
    }

    /// Redis has these, and calls them by these names.
    pub fn sent(&mut self, entries: &[Entry], ids: Vec<String>) {
        for (sent, id) in entries.iter().zip(ids) {
            // Not among them any more if it was dropped meanwhile.
            if let Ok(at) = self.entries.binary_search_by_key(&sent.first, |entry| entry.first)
                && self.entries[at].id.replace(id).is_none()
            {
                self.entries[at].was_sent = true;
                self.waiting -= sent.records.len();
            }
        }
        let had = self.entries.iter().take_while(|entry| entry.id.is_some());
        let (mut count, mut bytes) =
            had.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.records.len()));
        while (count > KEPT || bytes > MOST_KEPT)
            && let Some(first) = self.entries.pop_front()
        {
            (count, bytes) = (count - 1, bytes - first.records.len());
        }
    }

    /// The name of the last entry that Redis has.
    pub fn last_sent(&self) -> Option<&str> {
        self.entries.iter().rev().find_map(|entry| entry.id.as_deref())
    }

    /// Redis has lost its latest data: all that is kept waits again.
    pub fn unsend(&mut self) {
        for entry in &mut self.entries {
            if entry.id.take().is_some() {
                self.waiting += entry.records.len();
            }
        }
    }

    /// The bytes of the records that Redis does not have.
    pub fn waiting(&self) -> usize {
        self.waiting
    }
}

/// What has come from the other servers.
#[derive(Default)]
pub struct Seen {
    /// The number of the next record of each.
    next: BTreeMap<String, u64>,
}

/// What is new in an entry.
#[derive(Debug, PartialEq, Eq)]
pub struct News {
    /// So many of its records have come before.
    pub known: u64,
    /// So many records before it have not come.
    pub missed: u64,
}

impl Seen {
    /// An entry of this server with `count` records has come; `first` is the number of its first.
    pub fn take(&mut self, server: &str, first: u64, count: u64) -> News {
        let next = self.next.get(server).copied().unwrap_or(first);
        if next == first && self.next.len() >= SERVERS && !self.next.contains_key(server) {
            self.next.pop_first(); // any is better than all of them for ever
        }
        self.next.insert(server.into(), next.max(first.saturating_add(count)));
        News { known: next.saturating_sub(first).min(count), missed: first.saturating_sub(next) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(text: &str) -> Record {
        Record::Said { member: 1, name: "ann".into(), text: text.into(), is_action: false }
    }

    #[test]
    fn what_waits_is_bounded_and_the_gap_is_seen() {
        let (mut backlog, mut seen) = (Backlog::default(), Seen::default());
        assert_eq!(backlog.push(&said("first")), 0);
        let first = backlog.unsent(1).pop().map(|it| (it.first, it.count)).unwrap();
        assert_eq!(seen.take("a", first.0, first.1), News { known: 0, missed: 0 });
        let sent = backlog.unsent(1);
        backlog.sent(&sent, vec!["1-0".into()]);
        let line = said(&"x".repeat(1000));
        let most = u64::try_from(MOST / 1006).unwrap();
        let dropped: u64 = (0..most + 1000).map(|_| backlog.push(&line)).sum();
        assert!((1000..1000 + 2 * RECORDS).contains(&dropped), "{dropped}");
        let next = backlog.unsent(1).pop().map(|it| (it.first, it.count)).unwrap();
        assert_eq!(seen.take("a", next.0, next.1), News { known: 0, missed: dropped });
    }

    #[test]
    fn what_redis_has_had_is_kept_within_bounds_and_is_never_called_dropped() {
        let mut backlog = Backlog::default();
        let line = said(&"x".repeat(BYTES));
        for number in 0..100 {
            assert_eq!(backlog.push(&line), 0);
            let sent = backlog.unsent(1);
            backlog.sent(&sent, vec![format!("{number}-0")]);
        }
        backlog.unsend();
        assert!((MOST_KEPT - 2 * BYTES..=MOST_KEPT).contains(&backlog.waiting()));
        let dropped: u64 = (0..100).map(|_| backlog.push(&line)).sum();
        assert!((0..100).map(|_| backlog.push(&line)).sum::<u64>() > 0 && dropped == 0);
    }

    proptest! {
        /// However often Redis forgets what it had, or a reply is lost, each record comes once.
        #[test]
        fn each_record_comes_once(steps in prop::collection::vec(0..4_u8, 0..200)) {
            let (mut backlog, mut seen) = (Backlog::default(), Seen::default());
            let (mut said_so_far, mut heard, mut serial) = (0, Vec::new(), 0);
            for step in steps {
                match step {
                    0 | 1 => {
                        backlog.push(&said(&said_so_far.to_string()));
                        said_so_far += 1;
                    }
                    2 => {
                        let mut ids = Vec::new();
                        let entries = backlog.unsent(3);
                        for entry in &entries {
                            let news = seen.take("a", entry.first, entry.count);
                            prop_assert_eq!(news.missed, 0);
                            let known = usize::try_from(news.known).unwrap();
                            heard.extend(Record::parse_all(&entry.records).skip(known).flatten());
                            serial += 1;
                            ids.push(format!("{serial}-0"));
                        }
                        if serial % 3 > 0 { // else the reply is lost
                            backlog.sent(&entries, ids);
                        }
                    }
                    _ => backlog.unsend(),
                }
            }
            let all: Vec<Record> = (0..heard.len()).map(|it| said(&it.to_string())).collect();
            prop_assert_eq!(heard, all);
        }
    }
}
