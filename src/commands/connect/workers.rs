//! The threads of `connect --check`, and where they meet.
//!
//! Each ADDRESS has one: a resolver without an answer, a silent host and the pauses between attempts hold
//! up nothing else. The main thread ends as soon as the answer is known; what is still under way then
//! ends with the process.

use std::mem;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::poll::PollFlags;

use super::probe::AddressPorts;
use crate::exit::{During, Failure};
use crate::net::deadline::{self, Deadline};
use crate::net::poller::Waker;
use crate::net::signal::Deferred;

/// The results, which the threads write, and what wakes the main thread.
pub(super) struct Workers<R> {
    state: Mutex<State<R>>,
    pub(super) waker: Waker,
}

pub(super) struct State<R> {
    pub(super) results: R,
    /// Threads at work.
    pub(super) busy: usize,
    /// What makes further checks useless.
    pub(super) failure: Option<Failure>,
}

impl<R: Send + 'static> Workers<R> {
    /// Starts a thread for each ADDRESS, which does this work.
    pub(super) fn start(
        results: R,
        addresses: Vec<AddressPorts>,
        work: impl Fn(&Self, AddressPorts) -> Result<(), Failure> + Clone + Send + 'static,
    ) -> Result<Arc<Self>, Failure> {
        let waker = Waker::new().during("start", "the check")?;
        let state = Mutex::new(State { results, busy: addresses.len(), failure: None });
        let workers = Arc::new(Self { state, waker });
        for ports in addresses {
            let (workers, work) = (Arc::clone(&workers), work.clone());
            let thread = thread::Builder::new().name("check".into()).spawn(move || {
                let result = work(&workers, ports);
                let mut state = workers.lock();
                state.busy -= 1;
                state.failure = state.failure.take().or(result.err());
                workers.waker.wake();
            });
            thread.during("start", "the check")?;
        }
        Ok(workers)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the lock for good: what threads still find does not follow what was written last.
    pub(super) fn stop(state: MutexGuard<'_, State<R>>) {
        mem::forget(state);
    }

    /// Waits for a thread that wakes us, or for a signal.
    pub(super) fn wait(&self, signals: Option<&Deferred>, until: Deadline) -> Result<(), Failure> {
        let waker = self.waker.as_fd();
        let signals = signals.map_or(waker, AsFd::as_fd);
        let fds = [(waker, PollFlags::POLLIN), (signals, PollFlags::POLLIN)];
        deadline::wait(fds, until).during("wait for", "connections")?;
        self.waker.quiet();
        Ok(())
    }
}
