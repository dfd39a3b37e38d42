//! `udp-serve -- PROGRAM`: a program for each datagram. Its stdin is a file with the datagram, so
//! that the server never waits for a program that does not read; its stdout is the answer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, PipeReader, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::Pid;

use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::endpoint::Endpoint;
use crate::net::poller::Interest;
use crate::net::quantity;
use crate::net::udp::{self, Envelope};
use crate::session::About;
use crate::session::program::Program;
use crate::session::program::runner::Runner;

/// One read of a program's output.
const BUFFER: usize = 64 << 10;

/// The programs at work, each with its datagram's number as token.
pub struct DatagramPrograms {
    runner: Runner,
    /// `--max-conns`: how many may run at once.
    most: usize,
    /// `-w`: how long each may take; zero: no limit.
    timeout: Duration,
    runs: BTreeMap<u64, DatagramProgram>,
    /// Datagrams so far.
    count: u64,
    buffer: Vec<u8>,
}

/// A program at work on a datagram.
struct DatagramProgram {
    pid: Option<Pid>,
    asked: Envelope,
    output: PipeReader,
    answer: Vec<u8>,
    until: Deadline,
    given_up: bool,
}

impl DatagramPrograms {
    /// Nothing is started yet.
    pub fn new(program: Program, most: usize, timeout: Duration, talk: Talk) -> io::Result<Self> {
        let runner = Runner::new(program, talk)?;
        let (runs, buffer) = (BTreeMap::new(), vec![0; BUFFER]);
        Ok(Self { runner, most, timeout, runs, count: 0, buffer })
    }

    /// Whether more may be started; meanwhile datagrams wait in the socket.
    pub fn has_room(&self) -> bool {
        self.runs.len() < self.most
    }

    /// Whether an answer may still come, or a program has to be ended.
    pub fn is_busy(&self) -> bool {
        self.runner.is_busy()
    }

    /// Starts the program for each of these datagrams. Failures are reported.
    pub fn start(&mut self, datagrams: &[&[u8]], asked: &Envelope, local: Option<&Endpoint>) {
        for bytes in datagrams {
            self.count += 1;
            if let Err(e) = self.queue(bytes, asked, local) {
                self.failed(&e);
            }
        }
        for (number, result) in self.runner.start() {
            match (result, self.runs.get_mut(&number)) {
                (Ok(pid), Some(run)) => run.pid = Some(pid),
                (Ok(_), None) => {}
                (Err(e), _) => {
                    self.runs.remove(&number);
                    self.failed(&e);
                }
            }
        }
    }

    /// Reports that a program could not be started.
    fn failed(&mut self, error: &io::Error) {
        let failure = self.runner.start_failure(error);
        self.runner.report(&failure);
    }

    fn queue(
        &mut self,
        bytes: &[u8],
        asked: &Envelope,
        local: Option<&Endpoint>,
    ) -> io::Result<()> {
        let mut stdin = File::from(memfd_create("datagram", MFdFlags::MFD_CLOEXEC)?);
        stdin.write_all(bytes)?;
        stdin.rewind()?;
        let (output, stdout) = io::pipe()?;
        // O_NONBLOCK belongs to one end: the program's stays blocking.
        fcntl(&output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        self.runner.poller().add(&output, self.count, Interest { read: true, write: false })?;
        let about = About {
            is_datagram: true,
            is_dialled: false,
            local: local.map(|bound| asked.local(bound)),
            peer: asked.from.clone(),
            neighbours: 0,
            credentials: None,
            key: None,
            tls: None,
            has_codec: false,
        };
        self.runner.queue(self.count, stdin.into(), stdout.into(), &about);
        let run = DatagramProgram {
            pid: None,
            asked: asked.clone(),
            output,
            answer: Vec::new(),
            until: Deadline::after(self.timeout),
            given_up: false,
        };
        self.runs.insert(self.count, run);
        Ok(())
    }

    /// When [`DatagramPrograms::tick`] is due though nothing is readable.
    pub fn deadline(&self) -> Deadline {
        let waiting = self.runs.values().filter(|run| !run.given_up);
        waiting.fold(self.runner.deadline(), |due, run| due.min(run.until))
    }

    /// Handles what is ready or due; the answers of programs that have ended.
    pub fn tick(&mut self) -> Vec<(Envelope, Vec<u8>)> {
        let (ready, ended) = self.runner.poll();
        for event in ready {
            self.read(event.token);
        }
        let answers = ended.into_iter().filter_map(|(number, _)| {
            self.read(number);
            let run = self.runs.remove(&number)?;
            (!run.given_up && !run.answer.is_empty()).then_some((run.asked, run.answer))
        });
        let answers = answers.collect();
        let limit = quantity::shown(self.timeout);
        for run in self.runs.values_mut() {
            if run.until.passed() && !run.given_up {
                let cause = format!("the program did not end within {limit} (-w)");
                run.give_up(&cause, Exit::TimedOut, &mut self.runner);
            }
        }
        answers
    }

    /// Reads what a program wrote, up to the longest possible answer.
    fn read(&mut self, number: u64) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        let most = udp::limit(&run.asked.from).unwrap_or(udp::LARGEST);
        loop {
            match run.output.read(&mut self.buffer) {
                // Read and dropped, so that the program can end.
                Ok(1..) if run.given_up => return,
                Ok(count @ 1..) => run.answer.extend_from_slice(&self.buffer[..count]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => {
                    // The program may run on; its hang-up is reported only once. A pipe that is
                    // still watched is closed with its run.
                    let _ = self.runner.poller().remove(&run.output);
                    return;
                }
            }
            if run.answer.len() > most {
                run.answer = Vec::new();
                let cause = format!("the answer is longer than {most} bytes");
                return run.give_up(&cause, Exit::Other, &mut self.runner);
            }
        }
    }
}

impl DatagramProgram {
    /// Reports why there will be no answer, and ends the program.
    fn give_up(&mut self, cause: &str, exit: Exit, runner: &mut Runner) {
        self.given_up = true;
        if let Some(pid) = self.pid {
            runner.end(pid, Instant::now());
        }
        runner.report(&Failure::new("answer", &self.asked.from, cause, exit));
    }
}

impl AsFd for DatagramPrograms {
    /// Readable when [`DatagramPrograms::tick`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.runner.as_fd()
    }
}
