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

use nix::errno::Errno;
use nix::unistd::{AccessFlags, Pid, eaccess};

use crate::exit::{Exit, Failure, quoted};
use crate::net::open_files::{self, OpenFiles};
pub use environment::Request;

/// Where a bare name is looked for if PATH is not set: `confstr(_CS_PATH)`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

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

    /// Starts it in a process group of its own. Its stderr is ours.
    pub fn start(
        &mut self,
        stdin: OwnedFd,
        stdout: OwnedFd,
        request: &Request<'_>,
    ) -> io::Result<Pid> {
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
        let spawn = |[stdin, stdout]: [OwnedFd; 2]| {
            let mut command = command;
            command
                .stdin(Stdio::from(stdin))
                .stdout(Stdio::from(stdout));
            command.spawn()
        };
        let child = match &mut self.files {
            Some(files) => files.start([&stdin, &stdout], spawn),
            None => spawn([stdin, stdout]),
        }?;
        // Dropping std's handle neither ends nor reaps it: `children` does.
        let id = i32::try_from(child.id()).map_err(|_| Errno::EOVERFLOW)?;
        Ok(Pid::from_raw(id))
    }

    /// Tells that it could not be started.
    pub fn failure(&self, error: &io::Error) -> Failure {
        let word = self.words.first().map(OsString::as_os_str);
        Failure::system("run", quoted(word.unwrap_or_default()), error)
    }
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
