//! The limit on open files (`RLIMIT_NOFILE`), and close-on-exec for inherited descriptors.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

use super::raw;

/// The limit on open files, raised; programs get it as it was inherited.
#[derive(Debug)]
pub struct OpenFiles {
    given: rlim_t,
    raised: rlim_t,
    hard: rlim_t,
    /// Numbers below the given limit, for what a program is to be started with.
    low: Vec<OwnedFd>,
}

impl OpenFiles {
    /// Raises the limit to what is needed, or as far as it goes. `None` where it stays.
    pub fn raise(needed: rlim_t) -> Option<Self> {
        let (given, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        let raised = needed.min(hard);
        if raised <= given {
            return None;
        }
        setrlimit(Resource::RLIMIT_NOFILE, raised, hard).ok()?;
        let mut files = Self { given, raised, hard, low: Vec::new() };
        files.keep_low();
        Some(files)
    }

    /// Starts a program with these two descriptors under the limit as it was given, which it
    /// inherits. What is open stays open; but `posix_spawn(3)` takes no number beyond the limit.
    pub fn start<T>(
        &mut self,
        ends: [&OwnedFd; 2],
        start: impl FnOnce([OwnedFd; 2]) -> io::Result<T>,
    ) -> io::Result<T> {
        self.low.clear();
        let result = self.start_low(ends, start);
        self.keep_low();
        result
    }

    fn start_low<T>(
        &self,
        ends: [&OwnedFd; 2],
        start: impl FnOnce([OwnedFd; 2]) -> io::Result<T>,
    ) -> io::Result<T> {
        let low = [ends[0].try_clone()?, ends[1].try_clone()?];
        // The soft limit can always be set up to the hard one.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, self.given, self.hard);
        let result = start(low);
        let _ = setrlimit(Resource::RLIMIT_NOFILE, self.raised, self.hard);
        result
    }

    /// Keeps two low numbers occupied until they are needed: the lowest are given out first.
    fn keep_low(&mut self) {
        while self.low.len() < 2
            && let Ok(null) = File::open("/dev/null")
        {
            self.low.push(null.into());
        }
    }
}

/// The soft limit.
pub fn most() -> usize {
    let soft = getrlimit(Resource::RLIMIT_NOFILE).ok();
    soft.and_then(|(soft, _)| usize::try_from(soft).ok()).unwrap_or(1024)
}

/// Marks every descriptor from 3 on close-on-exec: inherited ones may not be, and no program is to
/// get them.
pub fn close_on_exec() {
    raw::close_on_exec(3, most());
}
