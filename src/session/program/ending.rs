//! Ends the process group of a program whose client is gone: HUP and CONT at once, TERM two seconds
//! later, KILL two seconds after that.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::net::deadline::Deadline;

/// The signals, and how long after the beginning each is sent. A stopped program needs CONT to
/// receive anything but KILL.
const STEPS: [(Duration, &[Signal]); 3] = [
    (Duration::ZERO, &[Signal::SIGHUP, Signal::SIGCONT]),
    (Duration::from_secs(2), &[Signal::SIGTERM, Signal::SIGCONT]),
    (Duration::from_secs(4), &[Signal::SIGKILL]),
];

/// How often a group is looked at meanwhile: its last members may be zombies that another process reaps.
const POLL: Duration = Duration::from_millis(50);

/// When the end of a group began, and how many steps are done.
#[derive(Clone, Copy, Debug)]
struct Ending(Instant, usize);

impl Ending {
    /// When the next step is due, and its signals; `None` once all are done.
    fn next(self) -> Option<(Instant, &'static [Signal])> {
        STEPS.get(self.1).map(|(after, signals)| (self.0 + *after, *signals))
    }

    /// The signals that are due, in order.
    fn step(&mut self, now: Instant) -> Vec<Signal> {
        let mut due = Vec::new();
        while let Some((at, signals)) = self.next()
            && now >= at
        {
            due.extend_from_slice(signals);
            self.1 += 1;
        }
        due
    }
}

/// The groups that are being ended. A leader may end before the rest of its group.
#[derive(Debug, Default)]
pub(super) struct Endings {
    groups: BTreeMap<Pid, Ending>,
    /// When their members were looked for last.
    checked: Option<Instant>,
}

impl Endings {
    /// Begins to end a group that still has members at this time; nothing, if that was begun already.
    pub fn begin(&mut self, group: Pid, at: Instant) {
        if has_members(group) {
            self.groups.entry(group).or_insert(Ending(at, 0));
        }
    }

    /// The leader of a group was reaped. Without other members the group is over.
    pub fn reaped(&mut self, leader: Pid) {
        if self.groups.contains_key(&leader) && !has_members(leader) {
            self.groups.remove(&leader);
        }
    }

    /// Sends what is due; a group without members is over.
    pub fn step(&mut self) {
        let now = Instant::now();
        self.checked = Some(now);
        self.groups.retain(|&group, ending| {
            if !has_members(group) {
                return false;
            }
            ending.step(now).into_iter().for_each(|due| signal(group, due));
            ending.next().is_some()
        });
    }

    /// When [`Endings::step`] is due.
    pub fn due(&self) -> Deadline {
        let check = self.checked.filter(|_| !self.is_empty()).map(|at| at + POLL);
        let next = self.groups.values().filter_map(|ending| ending.next());
        next.map(|(at, _)| at).chain(check).min().into()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Their groups.
    pub fn groups(&self) -> impl Iterator<Item = &Pid> {
        self.groups.keys()
    }
}

/// Sends a signal to a whole group; one without members is over already.
pub(super) fn signal(group: Pid, signal: Signal) {
    let _ = killpg(group, signal);
}

/// Whether a group has members. As long as it has, its number is given to no other, even if its
/// leader was reaped.
fn has_members(group: Pid) -> bool {
    killpg(group, None).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Signal::{SIGCONT, SIGHUP, SIGKILL, SIGTERM};

    #[test]
    fn hup_then_term_then_kill() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let mut ending = Ending(began, 0);
        assert_eq!(ending.next().unwrap().0, began);
        assert_eq!(ending.step(began), [SIGHUP, SIGCONT]);
        assert_eq!(ending.step(at(1999)), []);
        assert_eq!(ending.next().unwrap().0, at(2000));
        assert_eq!(ending.step(at(2000)), [SIGTERM, SIGCONT]);
        assert_eq!(ending.step(at(5000)), [SIGKILL]);
        assert_eq!(ending.next(), None);
        assert_eq!(ending.step(at(9000)), []);
    }

    #[test]
    fn a_late_loop_catches_up_in_order() {
        let began = Instant::now();
        let all = Ending(began, 0).step(began + Duration::from_secs(60));
        assert_eq!(all, [SIGHUP, SIGCONT, SIGTERM, SIGCONT, SIGKILL]);
    }
}
