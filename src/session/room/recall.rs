//! `--recall`: what was said to all, for those who join later.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::ZonedDateTime;

/// The most that is kept, in bytes, however many lines are wanted.
const MOST: usize = 1 << 20;

/// The last lines that were said to all.
pub struct Recall {
    /// How many are kept.
    most: usize,
    lines: VecDeque<(ZonedDateTime, Box<[u8]>)>,
    /// The bytes of all.
    held: usize,
    /// What newcomers get, until something is said: thousands may join at once.
    shown: Option<Arc<[u8]>>,
}

impl Recall {
    /// Keeps at most this many lines, of at most a mebibyte together.
    pub fn new(most: usize) -> Self {
        Self { most, lines: VecDeque::new(), held: 0, shown: None }
    }

    /// Keeps a line, which has its newline, and forgets the first ones beyond the limits.
    pub fn record(&mut self, line: &[u8]) {
        if self.most == 0 {
            return;
        }
        self.held += line.len();
        self.lines.push_back((ZonedDateTime::now(), line.into()));
        while self.lines.len() > self.most || self.held > MOST {
            let Some((_, line)) = self.lines.pop_front() else {
                break;
            };
            self.held -= line.len();
        }
        self.shown = None;
    }

    /// The lines as notices, with the time of each, of another day with its date; none where nothing was said.
    pub fn lines(&mut self) -> Option<Arc<[u8]>> {
        if self.lines.is_empty() {
            return None;
        }
        let shown = self.shown.get_or_insert_with(|| {
            let today = ZonedDateTime::now().date();
            let shown = |(time, line): &(ZonedDateTime, Box<[u8]>)| {
                let form = if time.date() == today { "%H:%M:%S" } else { "%b %d %H:%M" };
                [format!("-- {} ", time.strftime(form)).as_bytes(), line].concat()
            };
            self.lines.iter().flat_map(shown).collect::<Vec<u8>>().into()
        });
        Some(Arc::clone(shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recalled(recall: &mut Recall) -> String {
        recall.lines().map_or_else(String::new, |lines| String::from_utf8(lines.to_vec()).unwrap())
    }

    #[test]
    fn the_last_lines_come_with_their_times() {
        let mut recall = Recall::new(2);
        assert!(recall.lines().is_none());
        for line in ["<ann> one\n", "<ann> two\n", "* bob waves\n"] {
            recall.record(line.as_bytes());
        }
        let lines = recalled(&mut recall);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines.iter().map(|line| &line[12..]).collect::<Vec<_>>(),
            ["<ann> two", "* bob waves"]
        );
        assert!(lines.iter().all(|line| line.starts_with("-- ") && line.as_bytes()[5] == b':'));
        let yesterday = ZonedDateTime::now().yesterday().unwrap();
        recall.lines[0].0 = yesterday.clone();
        recall.shown = None;
        let date = yesterday.strftime("-- %b %d %H:%M <ann> two\n").to_string();
        assert!(recalled(&mut recall).starts_with(&date));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut recall = Recall::new(usize::MAX);
        for _ in 0..100 {
            recall.record(&[b'x'; 60 << 10]);
        }
        assert!(recall.held <= MOST && recall.lines.len() == MOST / (60 << 10));
        let mut none = Recall::new(0);
        none.record(b"x\n");
        assert!(none.lines().is_none());
    }
}
