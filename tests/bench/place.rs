//! Which processors the load and the programs run on.
//!
//! The scheduler may put two that wait for each other on one processor, where a message takes a
//! fifth of the time: what would be measured is who had that luck.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The calling thread.
const SELF: Pid = Pid::from_raw(0);

/// While it lives, the thread that made it keeps to one processor, and leaves the others to the
/// programs it starts. With one processor it changes nothing.
pub struct Apart(Option<CpuSet>);

impl Apart {
    pub fn new() -> Self {
        let before = sched_getaffinity(SELF).ok();
        let first = processors().first().copied();
        keep_to(|number| Some(number) == first);
        Self(before)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = sched_setaffinity(SELF, before);
        }
    }
}

/// Starts a program where the calling thread is not, if that keeps to one processor.
pub fn elsewhere<T>(start: impl FnOnce() -> T) -> T {
    let [own] = processors()[..] else {
        return start();
    };
    keep_to(|number| number != own);
    let started = start();
    keep_to(|number| number == own);
    started
}

/// The processors that the calling thread may use, by number.
pub fn processors() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(SELF) else {
        return Vec::new();
    };
    let allowed = |number: &usize| set.is_set(*number).unwrap_or(false);
    (0..CpuSet::count()).filter(allowed).collect()
}

/// Keeps the calling thread to those of the machine's processors; where there is none of them, it
/// stays where it is.
fn keep_to(which: impl Fn(usize) -> bool) {
    let mut set = CpuSet::new();
    for number in (0..CpuSet::count()).filter(|number| which(*number)) {
        let _ = set.set(number);
    }
    let _ = sched_setaffinity(SELF, &set);
}
