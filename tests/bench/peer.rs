//! The programs that are measured: started, watched, ended with all they started.

use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, killpg};
use nix::sys::time::TimeValLike;
use nix::time::ClockId;
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::place::elsewhere;

/// How long a program may take to listen, or to end once it should.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A running program in a process group of its own, which is killed on drop.
pub struct Process {
    child: Child,
    words: Vec<String>,
}

/// A program that listens.
pub struct Server {
    pub process: Process,
    pub port: u16,
}

impl Process {
    /// Starts `words`; what it writes to stderr is dropped.
    pub fn start(words: &[String], stdin: Stdio, stdout: Stdio) -> Result<Self> {
        let (program, args) = words.split_first().context("no program")?;
        let mut command = Command::new(program);
        command.args(args).stdin(stdin).stdout(stdout).stderr(Stdio::null()).process_group(0);
        let child = elsewhere(|| command.spawn()).with_context(|| program.clone())?;
        let words = words.to_vec();
        Ok(Self { child, words })
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end; an error if that does not come in time.
    pub fn wait(&mut self, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        while self.runs() {
            ensure!(Instant::now() < until, "{:?} does not end", self.words);
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    /// The most memory it has held (`VmHWM`), in bytes.
    pub fn peak_memory(&self) -> Option<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        kilobytes(&fs::read_to_string(path).ok()?, "VmHWM:")
    }

    /// The CPU time of all its threads so far, and of its children that have ended.
    pub fn cpu(&self) -> Result<Duration> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        let own: Duration = ClockId::pid_cpu_clock_id(pid)?.now()?.into();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Behind the name: the children's user and system time are fields 16 and 17 of the line.
        let fields = stat.rsplit(')').next().into_iter().flat_map(|rest| rest.split(' '));
        let children: u32 = fields.skip(14).take(2).map(str::parse::<u32>).sum::<Result<_, _>>()?;
        let second = sysconf(SysconfVar::CLK_TCK)?.context("no clock ticks")?;
        Ok(own + Duration::from_secs(children.into()) / u32::try_from(second)?)
    }

    /// The CPU time of its whole group so far; those that have ended are not in it.
    pub fn group_cpu(&self) -> Result<Duration> {
        let mut total = Duration::ZERO;
        for process in self.group()? {
            let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(process)?))?;
            total += Duration::from(clock.now()?);
        }
        Ok(total)
    }

    /// The memory of its whole group: proportional set sizes, in bytes.
    pub fn group_memory(&self) -> Result<f64> {
        let mut total = 0.0;
        for process in self.group()? {
            // One that has just ended holds nothing.
            let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
            total += text.ok().and_then(|text| kilobytes(&text, "Pss:")).unwrap_or_default();
        }
        Ok(total)
    }

    fn group(&self) -> Result<Vec<u32>> {
        let mut members = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // pid (name) state parent group
            let group = stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(3));
            if group == Some(&self.child.id().to_string()) {
                members.push(process);
            }
        }
        Ok(members)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended, and its group with it.
        let group = i32::try_from(self.child.id()).map(Pid::from_raw);
        let _ = group.map(|group| killpg(group, Signal::SIGKILL));
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts `words`, in which `{port}` becomes a free port, and waits until it listens there.
    pub fn start(words: &[String], stdin: Stdio, stdout: Stdio) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Self::ready(words, stdin, stdout, port, "/proc/net/tcp", "0A")
    }

    /// The same for UDP.
    pub fn start_udp(words: &[String]) -> Result<Self> {
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        Self::ready(words, Stdio::null(), Stdio::null(), port, "/proc/net/udp", "07")
    }

    fn ready(
        words: &[String],
        stdin: Stdio,
        stdout: Stdio,
        port: u16,
        table: &str,
        state: &str,
    ) -> Result<Self> {
        let mut process = Process::start(&with_port(words, port), stdin, stdout)?;
        let listens = format!(":{port:04X} 00000000:0000 {state}");
        let until = Instant::now() + PATIENCE;
        // Looked up, not tried: a connection would be a client.
        while !fs::read_to_string(table)?.contains(&listens) {
            if !process.runs() || Instant::now() > until {
                bail!("{words:?} does not listen");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Self { process, port })
    }
}

/// The words of a command line, for [`Process::start`].
pub fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(ToString::to_string).collect()
}

/// The same words with the port where `{port}` stands.
pub fn with_port(words: &[String], port: u16) -> Vec<String> {
    let port = port.to_string();
    words.iter().map(|word| word.replace("{port}", &port)).collect()
}

/// Whether a program can be found.
pub fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    name.starts_with('/') || std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// CPU time of all children that have ended and were waited for, in microseconds.
pub fn children_cpu() -> f64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0.0, |usage| {
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let micros = micros as f64;
        micros
    })
}

/// A file of this many zero bytes.
pub fn file_of(path: &std::path::Path, bytes: usize) -> Result<()> {
    let mut file = File::create(path)?;
    let block = vec![0x5a_u8; 1 << 20];
    for at in (0..bytes).step_by(block.len()) {
        std::io::Write::write_all(&mut file, &block[..block.len().min(bytes - at)])?;
    }
    Ok(())
}

fn kilobytes(text: &str, field: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let number: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(number * 1024.0)
}
