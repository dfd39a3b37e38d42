//! The programs that are measured: started, asked about, ended.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// A server at work.
pub struct Server {
    child: Child,
    /// Held open: a server may end with it.
    _stdin: ChildStdin,
    pub port: u16,
}

impl Server {
    /// Starts a program; `{port}` in its words is a free port. Returns once it can be connected to.
    pub fn start(words: &[&str]) -> Self {
        let port = free_port();
        let words: Vec<String> = words
            .iter()
            .map(|word| word.replace("{port}", &port.to_string()))
            .collect();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", words[0]));
        let stdin = child.stdin.take().unwrap();
        let listens = format!(":{port:04X} 00000000:0000 0A");
        let until = Instant::now() + Duration::from_secs(10);
        // Looked up, not tried: a connection would be a client.
        while !fs::read_to_string("/proc/net/tcp")
            .unwrap()
            .contains(&listens)
        {
            assert!(Instant::now() < until, "{words:?} does not listen");
            std::thread::sleep(Duration::from_millis(1));
        }
        Self {
            child,
            _stdin: stdin,
            port,
        }
    }

    /// Proportional set size, in bytes.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(path).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kilobytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kilobytes.parse::<u64>().unwrap() * 1024
    }

    /// The time its threads have run.
    pub fn cpu(&self) -> Duration {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap() {
            let text = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            let nanoseconds = text.split(' ').next().unwrap();
            total += nanoseconds.parse::<u64>().unwrap();
        }
        Duration::from_nanos(total)
    }

    /// The number of its threads.
    pub fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .unwrap()
            .count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Whether a program is installed.
pub fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
