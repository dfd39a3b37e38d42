//! `--recall`: what was said to all, for those who join later.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::members::Output;
use crate::session::Id;

/// The most that is kept, in bytes, however many lines are wanted.
const MOST: usize = 1 << 20;
/// What the time before a line takes, at most.
const STAMP: usize = "-- Nov 27 12:03 ".len();

/// The last lines that were said to all.
pub struct Recall {
    /// How many are kept.
    most: usize,
    lines: VecDeque<(Timestamp, Box<[u8]>)>,
    /// The bytes of all, with their times.
    held: usize,
    /// What newcomers get, until something is said: thousands may join at once.
    shown: Option<Arc<[u8]>>,
}

impl Recall {
    /// Keeps at most this many lines, of at most a mebibyte together.
    pub fn new(most: usize) -> Self {
        Self { most, lines: VecDeque::new(), held: 0, shown: None }
    }

    /// The most bytes that a newcomer gets.
    pub(super) fn limit(&self) -> usize {
        if self.most > 0 { MOST } else { 0 }
    }

    /// Keeps a line, which has its newline, and forgets the first ones beyond the limits.
    pub(super) fn record(&mut self, line: &[u8]) {
        if self.most == 0 {
            return;
        }
        // The clock of Redis, of which the times of earlier lines may be, can be ahead of ours.
        let last = self.lines.back().map_or(Timestamp::MIN, |(time, _)| *time);
        self.insert(self.lines.len(), last.max(Timestamp::now()), line);
    }

    /// The same for a line that was said then, in milliseconds since the Epoch.
    pub fn record_at(&mut self, time: u64, line: &[u8]) {
        let time = i64::try_from(time).ok().and_then(|it| Timestamp::from_millisecond(it).ok());
        if let Some(time) = time.filter(|_| self.most > 0) {
            let at = self.lines.partition_point(|(before, _)| *before <= time);
            self.insert(at, time, line);
        }
    }

    fn insert(&mut self, at: usize, time: Timestamp, line: &[u8]) {
        self.held += STAMP + line.len();
        self.lines.insert(at, (time, line.into()));
        while self.lines.len() > self.most || self.held > MOST {
            let first = self.lines.pop_front();
            self.held -= first.map_or(self.held, |(_, line)| STAMP + line.len());
        }
        self.shown = None;
    }

    /// Sends the lines to a newcomer. The first to get these lines has a copy of its own, which counts in
    /// what all queues own: newcomers who read nothing, with a line between any two of them, could hold a
    /// copy each.
    pub(super) fn show(&mut self, to: Id, out: &mut dyn Output) {
        if let Some(shown) = &self.shown {
            out.send_shared(to, shown);
        } else if !self.lines.is_empty() {
            let shown = self.lines();
            out.send(to, &shown);
            self.shown = Some(shown.into());
        }
    }

    /// The lines as notices, with the time of each; of another day with its date.
    fn lines(&self) -> Vec<u8> {
        let zone = TimeZone::system();
        let today = Timestamp::now().to_zoned_datetime(zone.clone()).date();
        let mut shown = Vec::with_capacity(self.held);
        for (time, line) in &self.lines {
            let time = time.to_zoned_datetime(zone.clone());
            let form = if time.date() == today { "-- %H:%M:%S " } else { "-- %b %d %H:%M " };
            shown.extend_from_slice(time.strftime(form).to_string().as_bytes());
            shown.extend_from_slice(line);
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    fn recalled(recall: &Recall) -> String {
        String::from_utf8(recall.lines()).unwrap()
    }

    #[test]
    fn the_last_lines_come_with_their_times() {
        let mut recall = Recall::new(2);
        assert_eq!(recalled(&recall), "");
        for line in ["<ann> one\n", "<ann> two\n", "* bob waves\n"] {
            recall.record(line.as_bytes());
        }
        let lines = recalled(&recall);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines.iter().map(|line| &line[12..]).collect::<Vec<_>>(),
            ["<ann> two", "* bob waves"]
        );
        assert!(lines.iter().all(|line| line.starts_with("-- ") && line.as_bytes()[5] == b':'));
        let yesterday = Timestamp::now() - 24.hours();
        recall.lines[0].0 = yesterday;
        let yesterday = yesterday.to_zoned_datetime(TimeZone::system());
        let date = yesterday.strftime("-- %b %d %H:%M <ann> two\n").to_string();
        assert!(recalled(&recall).starts_with(&date));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut recall = Recall::new(usize::MAX);
        for size in [60 << 10, 1] {
            for _ in 0..2 * MOST / (STAMP + size) {
                recall.record(&vec![b'x'; size]);
            }
            assert!(recall.held <= MOST && recalled(&recall).len() <= MOST);
            assert_eq!(recall.lines.len(), MOST / (STAMP + size));
        }
        let mut none = Recall::new(0);
        none.record(b"x\n");
        assert_eq!((recalled(&none).len(), none.limit()), (0, 0));
    }
}
