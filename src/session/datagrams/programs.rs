//! `udp-serve -- PROGRAM`: a program for each datagram. The datagram is its stdin, a file of its
//! own, so that nobody waits for a program that does not read; its stdout is the answer.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, PipeReader, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::console::event::{Event, Status};
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::poller::{Interest, Poller, Ready};
use crate::net::udp::{self, Envelope};
use crate::session::program::children::Children;
use crate::session::program::ending::{Endings, signal};
use crate::session::program::{Program, Request};

/// The token of the children; a run's is its datagram's number.
const CHILDREN: u64 = u64::MAX;
/// One read of what a program wrote.
const BUFFER: usize = 64 << 10;

/// The programs at work.
pub struct Programs {
    program: Program,
    /// `--max-conns`: at a time.
    most: usize,
    /// `-w`: how long a program may take; zero: no limit.
    timeout: Duration,
    children: Children,
    poller: Poller,
    runs: HashMap<u64, Run>,
    /// Whose answer was given up.
    endings: Endings,
    talk: Talk,
    /// Datagrams so far.
    count: u64,
    buffer: Vec<u8>,
}

/// A program at work on a datagram.
struct Run {
    pid: Pid,
    asked: Envelope,
    output: PipeReader,
    answer: Vec<u8>,
    /// When it is given up.
    until: Deadline,
    given_up: bool,
}

impl Programs {
    /// Nothing is started yet.
    pub fn new(program: Program, most: usize, timeout: Duration, talk: Talk) -> io::Result<Self> {
        let (children, poller) = (Children::watch()?, Poller::new()?);
        poller.add(&children, CHILDREN, READ)?;
        Ok(Self {
            program,
            most,
            timeout,
            children,
            poller,
            runs: HashMap::new(),
            endings: Endings::default(),
            talk,
            count: 0,
            buffer: vec![0; BUFFER],
        })
    }

    /// Whether no more can be started for now: datagrams wait in the socket.
    pub fn is_full(&self) -> bool {
        self.runs.len() >= self.most
    }

    /// Whether an answer may still come, or a program has to be ended.
    pub fn is_busy(&self) -> bool {
        !self.runs.is_empty() || !self.endings.is_empty()
    }

    /// Starts the program for a datagram. A failure is told and forgotten.
    pub fn start(&mut self, datagram: &[u8], asked: Envelope, local: Option<Endpoint>) {
        self.count += 1;
        if let Err(e) = self.run(datagram, asked, local) {
            self.talk.failure(&self.program.failure(&e));
        }
    }

    fn run(&mut self, datagram: &[u8], asked: Envelope, local: Option<Endpoint>) -> io::Result<()> {
        let mut stdin = File::from(memfd_create("datagram", MFdFlags::MFD_CLOEXEC)?);
        stdin.write_all(datagram)?;
        stdin.rewind()?;
        let (output, stdout) = io::pipe()?;
        // Each end has a mode of its own: the program's stays blocking.
        fcntl(&output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        self.poller.add(&output, self.count, READ)?;
        let local = match (local, asked.to) {
            (Some(Endpoint::Inet(inet)), Some(ip)) => Some(SocketAddr::new(ip, inet.port()).into()),
            (Some(Endpoint::Any(port)), Some(ip)) => Some(SocketAddr::new(ip, port).into()),
            (local, _) => local,
        };
        let request = Request {
            datagram: true,
            local: local.as_ref(),
            peer: &Endpoint::from(&asked.from),
            neighbours: 0,
            credentials: None,
            key: None,
        };
        let (stdin, stdout) = (OwnedFd::from(stdin), OwnedFd::from(stdout));
        let start = self.program.prepare(stdin, stdout, &request);
        let pid = self.program.start(start)?;
        self.say(self.count, pid, None);
        let run = Run {
            pid,
            asked,
            output,
            answer: Vec::new(),
            until: Deadline::after(self.timeout),
            given_up: false,
        };
        self.runs.insert(self.count, run);
        Ok(())
    }

    /// When [`Programs::tick`] is due though nothing is readable.
    pub fn deadline(&self) -> Deadline {
        let waiting = self.runs.values().filter(|run| !run.given_up);
        waiting.fold(self.endings.due(), |due, run| due.min(run.until))
    }

    /// Everything that is ready or due; the answers of programs that have ended.
    pub fn tick(&mut self) -> Vec<(Envelope, Vec<u8>)> {
        let mut ready: Vec<Ready> = Vec::new();
        // What cannot be waited for now is waited for again.
        let _ = self.poller.wait(&mut ready, Deadline::at(Instant::now()));
        let mut answers = Vec::new();
        for event in ready {
            if event.token == CHILDREN {
                for (pid, status) in self.children.reap() {
                    answers.extend(self.reaped(pid, status));
                }
            } else {
                self.read(event.token);
            }
        }
        for run in self.runs.values_mut() {
            if run.until.passed() && !run.given_up {
                let cause = "the program did not end in time";
                give_up(run, cause, Exit::TimedOut, &mut self.endings, &self.talk);
            }
        }
        self.endings.step();
        answers
    }

    /// Reads what a program wrote, as far as an answer may be long.
    fn read(&mut self, number: u64) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        let most = udp::limit(&run.asked.from).unwrap_or(udp::MOST);
        loop {
            match run.output.read(&mut self.buffer) {
                Ok(0) => break self.quiet(number),
                // Nobody waits for what comes now; it is read so that the program can end.
                Ok(_) if run.given_up => return,
                Ok(count) => run.answer.extend_from_slice(&self.buffer[..count]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => break self.quiet(number),
            }
            if run.answer.len() > most {
                run.answer = Vec::new();
                let cause = format!("the answer is longer than {most} bytes");
                return give_up(run, &cause, Exit::Other, &mut self.endings, &self.talk);
            }
        }
    }

    /// A program has ended its output, though not itself: its hang-up is no news.
    fn quiet(&self, number: u64) {
        if let Some(run) = self.runs.get(&number) {
            // A pipe that cannot be forgotten is closed with its program.
            let _ = self.poller.remove(&run.output);
        }
    }

    /// A program has ended: its answer, if it gave one.
    fn reaped(&mut self, pid: Pid, status: Status) -> Option<(Envelope, Vec<u8>)> {
        let number = *self.runs.iter().find(|(_, run)| run.pid == pid)?.0;
        self.read(number);
        let run = self.runs.remove(&number)?;
        self.endings.reaped(pid);
        self.say(number, pid, Some(status));
        let answers = !run.given_up && !run.answer.is_empty();
        answers.then_some((run.asked, run.answer))
    }

    fn say(&self, id: u64, pid: Pid, status: Option<Status>) {
        let pid = pid.as_raw();
        self.talk.say(&Event::Exec { id, pid, status });
    }
}

const READ: Interest = Interest { read: true, write: false };

/// Nobody waits for this answer any more: its program is ended.
fn give_up(run: &mut Run, cause: &str, exit: Exit, endings: &mut Endings, talk: &Talk) {
    run.given_up = true;
    endings.begin(run.pid);
    let peer = Endpoint::from(&run.asked.from);
    talk.failure(&Failure::new("answer", peer, cause, exit));
}

impl AsFd for Programs {
    /// Readable when [`Programs::tick`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

impl Drop for Programs {
    /// The run is over: so are its programs.
    fn drop(&mut self) {
        for run in self.runs.values() {
            signal(run.pid, Signal::SIGKILL);
        }
    }
}
