//! `-- PROGRAM ARGS…`, `--sh COMMAND`: what is run for a client, and how it is started.
//!
//! It is started the fast way of std (`posix_spawn(3)`): nothing runs between fork and exec, so
//! everything a program must not inherit is taken from it beforehand. Descriptors are
//! close-on-exec, variables are chosen, the limit on open files is ours only between two starts.

pub mod children;
pub mod ending;
mod environment;
pub mod handler;
mod pump;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, Pid, eaccess};

use crate::exit::{Exit, Failure, quoted};
use crate::net::open_files::{self, OpenFiles};
pub use environment::Request;

/// Where a bare name is looked for if PATH is not set: `confstr(_CS_PATH)`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// So many programs are started at once.
const LANES: usize = 4;

/// A program that is to be started, with its stdin and stdout.
pub struct Start {
    command: Command,
    ends: [OwnedFd; 2],
}

/// A program that can be started.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    words: Vec<OsString>,
    inherited: Vec<(OsString, OsString)>,
    files: Option<OpenFiles>,
}

impl Program {
    /// The program that these words run. One that is missing or not executable is a wrong word.
    pub fn find(words: Vec<OsString>) -> Result<Self, Failure> {
        let word = words.first().cloned().unwrap_or_default();
        let fail = |e: io::Error| Failure::system("run", quoted(&word), &e).exit(Exit::Usage);
        let path = if word.as_bytes().contains(&b'/') {
            check(Path::new(&word)).map_err(fail)?;
            word.clone().into()
        } else {
            search(&word).map_err(|e| fail(e).hint("looked for on PATH"))?
        };
        // What we have open by inheritance is not the program's.
        open_files::close_on_exec();
        Ok(Self {
            path,
            words,
            inherited: environment::inherited(std::env::vars_os()),
            files: None,
        })
    }

    /// The limit on open files that the program gets, where ours is another by now.
    #[must_use]
    pub fn with_limit(mut self, files: Option<OpenFiles>) -> Self {
        self.files = files;
        self
    }

    /// What starts it with these ends, in a process group of its own. Its stderr is ours.
    pub fn prepare(&self, stdin: OwnedFd, stdout: OwnedFd, request: &Request<'_>) -> Start {
        // An absolute path keeps std from forking to search PATH in the child.
        let mut command = Command::new(&self.path);
        if let Some((name, args)) = self.words.split_first() {
            command.arg0(name).args(args);
        }
        command
            .env_clear()
            .envs(self.inherited.iter().map(|(name, value)| (name, value)))
            .envs(request.variables())
            .process_group(0);
        Start { command, ends: [stdin, stdout] }
    }

    /// Starts it once.
    pub fn start(&mut self, start: Start) -> io::Result<Pid> {
        let Start { command, ends } = start;
        match &mut self.files {
            Some(files) => files.start(ends.each_ref(), |ends| run(command, ends)),
            None => run(command, ends),
        }
    }

    /// Starts it several times, and says what came of each. Whoever starts a program waits until it
    /// is executed; so some do it at once, unless the limit on open files, which is that of the
    /// whole process, stands in the way.
    pub fn start_all(&mut self, starts: Vec<Start>) -> Vec<io::Result<Pid>> {
        let lanes = LANES.min(starts.len());
        if lanes < 2 || self.files.is_some() {
            return starts.into_iter().map(|start| self.start(start)).collect();
        }
        let queue = Mutex::new(starts.into_iter().enumerate());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            let mut done = Vec::new();
            while let Some((index, Start { command, ends })) = next() {
                done.push((index, run(command, ends)));
            }
            done
        };
        let mut done = thread::scope(|scope| {
            // One that cannot be had is missed by nobody: this thread works, too.
            let start = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
            let helpers: Vec<_> = (1..lanes).filter_map(start).collect();
            let mut done = work();
            for helper in helpers {
                done.extend(helper.join().unwrap_or_default());
            }
            done
        });
        done.sort_unstable_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, result)| result).collect()
    }

    /// Tells that it could not be started.
    pub fn failure(&self, error: &io::Error) -> Failure {
        let word = self.words.first().map(OsString::as_os_str);
        Failure::system("run", quoted(word.unwrap_or_default()), error)
    }
}

fn run(mut command: Command, [stdin, stdout]: [OwnedFd; 2]) -> io::Result<Pid> {
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout));
    // Dropping std's handle neither ends nor reaps it: `children` does.
    let child = command.spawn()?;
    let id = i32::try_from(child.id()).map_err(|_| Errno::EOVERFLOW)?;
    Ok(Pid::from_raw(id))
}

/// Whether a file can be run by us.
fn check(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.is_dir() {
        return Err(Errno::EISDIR.into());
    }
    Ok(eaccess(path, AccessFlags::X_OK)?)
}

/// The first file of this name on PATH that can be run.
fn search(name: &OsStr) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let mut failure = io::Error::from(Errno::ENOENT);
    if name.is_empty() {
        return Err(failure);
    }
    for folder in std::env::split_paths(&path) {
        let found = std::path::absolute(folder.join(name))?;
        match check(&found) {
            Ok(()) => return Ok(found),
            // A file of that name that may not be run tells more than that there is none.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => failure = e,
            Err(_) => {}
        }
    }
    Err(failure)
}
