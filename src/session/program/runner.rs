//! The programs at work: started, watched and ended in one place, for streams and for datagrams.
//!
//! Each has a token of its owner's choice: a client's number, or a datagram's. SIGCHLD announces
//! the end of a child and waitpid(2) collects it, so that no zombie stays. All children of this
//! process are programs started here.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::ending::{Endings, signal};
use super::{Program, Start};
use crate::console::event::{Event, Status};
use crate::console::log_limit::LogLimit;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::net::poller::{Interest, Poller, Ready};
use crate::net::signal::{children, ended_child};
use crate::session::About;

/// The poller's token of SIGCHLD.
const CHILDREN: u64 = u64::MAX;

/// Starts programs, reports their output's readiness and their ends, and ends their groups.
pub struct Runner {
    program: Program,
    /// Readable when a child may have ended.
    children: UnixStream,
    poller: Poller,
    /// Started by the next [`Runner::start`].
    queued: Vec<Start>,
    /// The token of each program that runs.
    running: BTreeMap<Pid, u64>,
    endings: Endings,
    talk: Talk,
    log_limit: LogLimit,
}

impl Runner {
    /// Nothing is started yet.
    pub fn new(program: Program, talk: Talk) -> io::Result<Self> {
        let (children, poller) = (children()?, Poller::new()?);
        poller.add(&children, CHILDREN, Interest { read: true, write: false })?;
        Ok(Self {
            program,
            children,
            poller,
            queued: Vec::new(),
            running: BTreeMap::new(),
            endings: Endings::default(),
            log_limit: LogLimit::for_peers(talk.clone()),
            talk,
        })
    }

    /// Watches the owner's descriptors; [`Runner::poll`] reports them.
    pub fn poller(&self) -> &Poller {
        &self.poller
    }

    /// Prepares a program with these descriptors; [`Runner::start`] starts it.
    pub fn queue(&mut self, token: u64, stdin: OwnedFd, stdout: OwnedFd, about: &About) {
        self.queued.push(self.program.prepare(token, stdin, stdout, about));
    }

    /// Drops a queued program.
    pub fn unqueue(&mut self, token: u64) {
        self.queued.retain(|start| start.token != token);
    }

    /// Starts what is queued, all at once: the process of each token, or why there is none.
    pub fn start(&mut self) -> Vec<(u64, io::Result<Pid>)> {
        if self.queued.is_empty() {
            return Vec::new();
        }
        let results = self.program.start(std::mem::take(&mut self.queued));
        for (token, pid) in &results {
            if let Ok(pid) = pid {
                self.talk.say(&Event::Exec { id: *token, pid: pid.as_raw(), status: None });
                self.running.insert(*pid, *token);
            }
        }
        results
    }

    /// The failure to start a program.
    pub fn start_failure(&self, error: &io::Error) -> Failure {
        self.program.start_failure(error)
    }

    /// The failure of a program that has ended like this; `None` where it succeeded.
    pub fn failure(&self, status: Status) -> Option<Failure> {
        self.program.failure(status)
    }

    /// Reports a failure, within the log rate limit.
    pub fn report(&mut self, failure: &Failure) {
        self.log_limit.failure(failure, Instant::now());
    }

    /// Ends a program with its group: HUP at this time, TERM and KILL later.
    pub fn end(&mut self, pid: Pid, at: Instant) {
        self.endings.begin(pid, at);
        self.endings.step();
    }

    /// Never blocks: the watched descriptors that are ready, and the tokens of the programs that
    /// have ended, and how. Their output may still hold bytes.
    pub fn poll(&mut self) -> (Vec<Ready>, Vec<(u64, Status)>) {
        let mut ready = Vec::new();
        // After a failure the descriptors are still ready for the next call.
        let _ = self.poller.wait(&mut ready, Deadline::now());
        let before = ready.len();
        ready.retain(|event| event.token != CHILDREN);
        let ended = if ready.len() < before { self.reap() } else { Vec::new() };
        self.endings.step();
        (ready, ended)
    }

    /// Collects the children that have ended.
    fn reap(&mut self) -> Vec<(u64, Status)> {
        let mut sink = [0; 256];
        while matches!((&self.children).read(&mut sink), Ok(n) if n > 0) {}
        let mut ended = Vec::new();
        while let Some((pid, status)) = ended_child() {
            let status = match status.signal() {
                Some(signal) => Status::Killed(signal),
                None => Status::Exited(status.code().unwrap_or_default()),
            };
            self.endings.reaped(pid);
            if let Some(id) = self.running.remove(&pid) {
                self.talk.say(&Event::Exec { id, pid: pid.as_raw(), status: Some(status) });
                ended.push((id, status));
            }
        }
        ended
    }

    /// When [`Runner::start`] or [`Runner::poll`] is due though nothing is readable.
    pub fn deadline(&self) -> Deadline {
        if self.queued.is_empty() { self.endings.due() } else { Deadline::now() }
    }

    /// Whether a program runs, or is to be started or ended.
    pub fn is_busy(&self) -> bool {
        !(self.queued.is_empty() && self.running.is_empty() && self.endings.is_empty())
    }
}

impl AsFd for Runner {
    /// Readable when [`Runner::poll`] has something to report.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

impl Drop for Runner {
    /// Programs do not outlive the run.
    fn drop(&mut self) {
        for &group in self.running.keys().chain(self.endings.groups()) {
            signal(group, Signal::SIGKILL);
        }
    }
}
