//! `-- PROGRAM ARGS…`, `--sh COMMAND`: which program is run, and how it is started, or executed in our
//! place.
//!
//! std starts it by `posix_spawn(3)`: no code of ours runs between fork and exec, so whatever a
//! program must not inherit is taken from it beforehand. Descriptors are close-on-exec, variables
//! are chosen, the limit on open files is ours only between two starts.

mod ending;
mod environment;
pub mod handler;
mod pump;
pub mod runner;

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::{AccessFlags, Pid, eaccess, execve};

use crate::console::event::Status;
use crate::exit::{Exit, Failure, quoted};
use crate::net::open_files::{self, OpenFiles};
use crate::net::signal;
use crate::net::stdio::{self, StreamKind};
use crate::session::About;

/// Where a bare name is looked for if PATH is not set: `confstr(_CS_PATH)`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Threads that start programs at once: `posix_spawn(3)` returns only when the program is executed.
/// With 32 clients at a time 1.3 times as many are served as with one thread (`cargo bench -- --only
/// program`).
const SPAWN_THREADS: usize = 4;

/// How long a server's program may go on after its connection has ended in both directions.
pub const EXIT_GRACE: Duration = Duration::from_secs(1);

/// A program that is to be started, with its stdin and stdout.
struct Start {
    /// Whose it is.
    token: u64,
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
    /// The program that these words run; a usage error where it is missing or not executable.
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

    /// Executes it in our place: the same process, with the standard streams alone and as they came, and
    /// signals as they came. Returns where that fails.
    pub fn exec(&self) -> Failure {
        // What was closed when the process began is `/dev/null` by now.
        for stream in [stdio::Stdio::input(), stdio::Stdio::output(), stdio::Stdio::error()] {
            if stream.kind() == StreamKind::Closed {
                let _ = fcntl(stream, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
            }
        }
        signal::restore_sigpipe();
        let text = |word: &OsStr| CString::new(word.as_bytes());
        let exec = || -> io::Result<Infallible> {
            let words = self.words.iter().map(|word| text(word)).collect::<Result<Vec<_>, _>>()?;
            let variables = environment::kept(std::env::vars_os());
            let variables = variables.map(|(mut name, value)| {
                name.push("=");
                name.push(value);
                text(&name)
            });
            let variables = variables.collect::<Result<Vec<_>, _>>()?;
            Ok(execve(&text(self.path.as_os_str())?, &words, &variables)?)
        };
        match exec() {
            Err(e) => self.start_failure(&e),
        }
    }

    /// The limit on open files that the program gets, where ours is another by now.
    #[must_use]
    pub fn with_limit(mut self, files: Option<OpenFiles>) -> Self {
        self.files = files;
        self
    }

    /// The name of the host that it talks to, where one was given to connect to.
    #[must_use]
    pub fn with_remote_host(mut self, name: &str) -> Self {
        self.inherited.push(("TCPREMOTEHOST".into(), name.into()));
        self
    }

    /// Makes it ready to be started with these descriptors, in a process group of its own. Its
    /// stderr is ours.
    fn prepare(&self, token: u64, stdin: OwnedFd, stdout: OwnedFd, about: &About) -> Start {
        // An absolute path keeps std from forking to search PATH in the child.
        let mut command = Command::new(&self.path);
        if let Some((name, args)) = self.words.split_first() {
            command.arg0(name).args(args);
        }
        command
            .env_clear()
            .envs(self.inherited.iter().map(|(name, value)| (name, value)))
            .envs(environment::variables(about))
            .process_group(0);
        Start { token, command, ends: [stdin, stdout] }
    }

    /// Starts it once for each: the result of each token, in the order of tokens. Several threads
    /// share the work, unless each start has to change the limit on open files, which is that of
    /// the whole process.
    fn start(&mut self, starts: Vec<Start>) -> Vec<(u64, io::Result<Pid>)> {
        if let Some(files) = &mut self.files {
            let start = |Start { token, command, ends }| {
                (token, files.start(ends.each_ref(), |ends| run(command, ends)))
            };
            return starts.into_iter().map(start).collect();
        }
        let threads = SPAWN_THREADS.min(starts.len());
        let queue = Mutex::new(starts.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            let mut done = Vec::new();
            while let Some(Start { token, command, ends }) = next() {
                done.push((token, run(command, ends)));
            }
            done
        };
        let mut done = thread::scope(|scope| {
            // Without a thread more the work takes longer.
            let start = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
            let helpers: Vec<_> = (1..threads).filter_map(start).collect();
            let mut done = work();
            for helper in helpers {
                done.extend(helper.join().unwrap_or_default());
            }
            done
        });
        done.sort_unstable_by_key(|(token, _)| *token);
        done
    }

    /// The failure to start it.
    fn start_failure(&self, error: &io::Error) -> Failure {
        Failure::system("run", self.name(), error)
    }

    /// The failure of one that has ended like this; `None` where it succeeded.
    fn failure(&self, status: Status) -> Option<Failure> {
        let cause = match status {
            Status::Exited(0) => return None,
            Status::Exited(code) => format!("exited with status {code}"),
            Status::Killed(_) => status.to_string(),
        };
        Some(Failure::new("program", self.name(), cause, Exit::Other))
    }

    fn name(&self) -> String {
        quoted(self.words.first().map_or(OsStr::new(""), OsString::as_os_str))
    }
}

fn run(mut command: Command, [stdin, stdout]: [OwnedFd; 2]) -> io::Result<Pid> {
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout));
    // Dropping std's handle neither ends nor reaps it: `Runner` does.
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
            // "Permission denied" is more useful than "not found".
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => failure = e,
            Err(_) => {}
        }
    }
    Err(failure)
}
